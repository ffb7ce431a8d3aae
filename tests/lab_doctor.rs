//! Failures that are made: doctor names each as its first finding, what it prints is carried out as it is printed, and the next
//! install succeeds. Apps that are well have no finding.
//! Longer than 300 lines: most of it is the table of failures.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::fmt::Write as _;

use support::{
    lab::Lab,
    repair::{carry_out, first_finding},
};

/// A server that answers, in a file of its own; port 8000 if nothing else is said.
const SERVER: &str = "\
import http.server, os, sys
port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists('sick') else 200); self.end_headers(); self.wfile.write(b'well')
    def log_message(self, *words): pass
http.server.HTTPServer(('127.0.0.1', port), Answer).serve_forever()
";
/// A program that does nothing, well.
const RUN: &str = "#!/bin/sh\nexec sleep infinity\n";

/// When a failure is made.
enum When {
    /// Before the install, which fails of it.
    Before,
    /// Before the install; the undo leaves nothing that could be looked at afterwards.
    OnlyThen,
    /// After an install that went well.
    After,
}
use When::{After, Before, OnlyThen};

/// A failure: the check that has to find it first, when it is made, the manifest's own lines, and how it is made in the app's
/// folder.
struct Case(&'static str, When, &'static str, &'static str);

/// Programs, folders, files, accounts.
const FILES: &[Case] = &[
    Case("program-not-executable", Before, "", "chmod a-x run"),
    Case(
        "program-missing",
        Before,
        "service.command = [\"pyhton3\", \"-m\", \"http.server\", \"8101\", \"--bind\", \"127.0.0.1\"]\n",
        "",
    ),
    Case(
        "program-missing",
        Before,
        "service.command = [\"venv/bin/sleep\", \"infinity\"]\n",
        "",
    ),
    Case("program-closed", Before, "", "chown root run; chmod 0700 run"),
    Case(
        "script-missing",
        Before,
        "service.command = [\"python3\", \"serve.py\", \"8102\"]\n",
        "mkdir code; mv serve.py code",
    ),
    Case(
        "program-closed",
        Before,
        "service.command = [\"python3\", \"serve.py\", \"8103\"]\n",
        "chown root serve.py; chmod 0600 serve.py",
    ),
    Case(
        "mount-noexec",
        Before,
        "service.command = [\"disk/run\"]\n",
        "mkdir disk; mount -t tmpfs -o noexec none disk; cp run disk",
    ),
    Case("shebang-crlf", Before, "", "sed -i 's/$/\\r/' run"),
    Case(
        "interpreter-missing",
        Before,
        "",
        "printf '#!/opt/gone/bin/python3\\nimport time\\ntime.sleep(1000)\\n' >run",
    ),
    Case(
        "interpreter-missing",
        Before,
        "",
        "printf '#!/usr/bin/env python\\nimport time\\ntime.sleep(1000)\\n' >run",
    ),
    Case("shebang-missing", Before, "", "sed -i 1d run"),
    Case(
        "architecture",
        Before,
        "service.command = [\"bin/sleep\", \"1000\"]\n",
        "mkdir bin; cp /bin/sleep bin; printf '\\267' | dd of=bin/sleep bs=1 seek=18 conv=notrunc status=none",
    ),
    Case(
        "library-missing",
        Before,
        "service.command = [\"./server\", \"serve.py\", \"8104\"]\n",
        "mkdir lib; cp /usr/bin/node server; mv /usr/lib/x86_64-linux-gnu/libcares.so.2* lib; printf 'setInterval(() => 0, 1000)' >serve.py",
    ),
    Case(
        "folder-missing",
        Before,
        "service.working_directory = \"/srv/elsewhere\"\nservice.user = \"app\"\n",
        "",
    ),
    Case(
        "folder-closed",
        Before,
        "service.working_directory = \"/home/app\"\nservice.user = \"web\"\n",
        "chmod 0700 /home/app",
    ),
    Case(
        "folder-read-only",
        Before,
        "security.profile = \"strict\"\nsecurity.writable_directories = [\"data\"]\nservice.command = [\"/bin/sh\", \"-c\", \"touch data/x && exec sleep infinity\"]\n",
        "install -d -o root data",
    ),
    Case(
        "folder-read-only",
        Before,
        "security.writable_directories = [\"data\"]\nservice.command = [\"/bin/sh\", \"-c\", \"touch data/x && exec sleep infinity\"]\n",
        "install -d -o app -m 0500 data",
    ),
    Case("user-missing", Before, "service.user = \"carol\"\n", "chmod a+rx ."),
    Case("group-missing", Before, "service.group = \"gpu-users\"\n", ""),
    Case(
        "environment-file-missing",
        Before,
        "service.environment_files = [\"secrets.env\"]\n",
        "",
    ),
    Case(
        "environment-file-lines",
        Before,
        "service.environment_files = [\"a.env\"]\nservice.command = [\"/bin/sh\", \"-c\", \"test -n \\\"$TOKEN\\\" && exec sleep infinity\"]\n",
        "echo 'export TOKEN=x' >a.env; chmod 600 a.env",
    ),
    Case(
        "environment-file-lines",
        Before,
        "service.environment_files = [\"a.env\"]\nservice.command = [\"/bin/sh\", \"-c\", \"test $NUMBER -eq 3 && exec sleep infinity\"]\n",
        "printf '\\357\\273\\277NUMBER=3\\n' >a.env; chmod 600 a.env",
    ),
    Case(
        "disk-full",
        Before,
        "service.command = [\"/bin/sh\", \"-c\", \"echo x >disk/x && test -s disk/x && exec sleep infinity\"]\nsecurity.writable_directories = [\"disk\"]\n",
        "mkdir disk; mount -t tmpfs -o size=1M none disk; dd if=/dev/zero of=disk/full bs=1M 2>/dev/null; chmod 777 disk",
    ),
    Case(
        "no-space",
        Before,
        "service.command = [\"/bin/sh\", \"-c\", \"dd if=/dev/zero of=/srv/APP/disk/x bs=900K count=1 && exec sleep infinity; rm disk/x; exit 1\"]\nsecurity.writable_directories = [\"disk\"]\n",
        "mkdir disk; mount -t tmpfs -o size=512K none disk; chmod 777 disk",
    ),
    Case(
        "permission-denied",
        Before,
        "service.command = [\"/bin/sh\", \"-c\", \"echo x >/srv/APP/log/x && exec sleep infinity\"]\n",
        "install -d -o root log",
    ),
    Case(
        "read-only-folder",
        Before,
        "security.profile = \"strict\"\nservice.command = [\"/bin/sh\", \"-c\", \"touch /srv/APP/x && exec sleep infinity\"]\n",
        "",
    ),
    Case(
        "namespace",
        Before,
        "raw.systemd.Service.ReadWritePaths = \"/srv/APP/gone\"\n",
        "",
    ),
    Case(
        "device-closed",
        Before,
        "security.devices = [\"/dev/phone\"]\nservice.command = [\"/bin/sh\", \"-c\", \"exec 3<>/dev/phone && exec sleep infinity\"]\n",
        "mknod /dev/phone c 1 3; chmod 660 /dev/phone; chgrp video /dev/phone",
    ),
    Case(
        "device-refused",
        Before,
        "security.profile = \"strict\"\nservice.command = [\"python3\", \"-c\", \"import time; open('/dev/other'); time.sleep(1000)\"]\n",
        "mknod /dev/other c 1 3; chmod 666 /dev/other",
    ),
];

/// Units, dependencies, ports, health.
const RUNS: &[Case] = &[
    Case("unit-masked", Before, "", "systemctl -q mask APP"),
    Case(
        "unit-foreign",
        Before,
        "",
        "printf '[Service]\\nExecStart=/bin/sleep 1\\n' >/etc/systemd/system/APP.service",
    ),
    Case(
        "install-interrupted",
        After,
        "readiness.settle = \"2s\"\n",
        "autoglm-boot install --restart -m app.toml >/dev/null 2>&1 & sleep 1; kill -KILL $!; wait; true",
    ),
    Case(
        "unit-removed",
        After,
        "",
        "rm /etc/systemd/system/APP.service; systemctl daemon-reload",
    ),
    Case(
        "unit-drifted",
        After,
        "",
        "sed -i s/RestartSec=.*/RestartSec=9/ /etc/systemd/system/APP.service; systemctl daemon-reload",
    ),
    Case(
        "unit-broken",
        After,
        "",
        "mkdir -p /etc/systemd/system/APP.service.d; printf '[Service]\\nType=nonsense\\nExecStart=\\n' >/etc/systemd/system/APP.service.d/x.conf; systemctl daemon-reload; systemctl stop APP",
    ),
    Case("unit-not-loaded", After, "", "touch /etc/systemd/system/APP.service"),
    Case("not-enabled", After, "", "systemctl -q disable APP"),
    Case(
        "dependency-missing",
        Before,
        "dependencies.requires = [\"database\"]\n",
        "mkdir database; printf 'app.name = \"database\"\\nservice.command = [\"sleep\", \"infinity\"]\\nreadiness.settle = \"100ms\"\\n' >database/app.toml",
    ),
    Case(
        "dependency-failed",
        Before,
        "dependencies.requires = [\"cache.service\"]\n",
        "printf '[Unit]\\nStartLimitBurst=1\\nStartLimitIntervalSec=1h\\n[Service]\\nExecStart=/bin/sh -c \"test -e /run/cache && exec sleep 1000\"\\n' >/etc/systemd/system/cache.service; systemctl start cache; sleep 0.2; touch /run/cache",
    ),
    Case(
        "dependency-not-required",
        Before,
        "dependencies.after = [\"queue.service\"]\nservice.command = [\"/bin/sh\", \"-c\", \"test -e /run/queue && exec sleep infinity\"]\n",
        "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/touch /run/queue\\n' >/etc/systemd/system/queue.service; systemctl daemon-reload",
    ),
    Case(
        "port-taken",
        Before,
        "service.command = [\"python3\", \"serve.py\", \"8201\"]\nreadiness.http = \"http://127.0.0.1:8201/\"\n",
        "systemd-run -q --unit=squatter python3 $PWD/serve.py 8201; until curl -s http://127.0.0.1:8201/; do sleep 0.1; done",
    ),
    Case(
        "port-taken",
        Before,
        "service.command = [\"python3\", \"-m\", \"http.server\", \"8203\", \"--bind\", \"127.0.0.1\"]\n",
        "systemd-run -q --unit=squatter2 python3 $PWD/serve.py 8203; until curl -s http://127.0.0.1:8203/; do sleep 0.1; done",
    ),
    Case(
        "unwatched",
        After,
        "service.command = [\"python3\", \"serve.py\", \"8204\"]\nreadiness.http = \"http://127.0.0.1:8204/\"\n",
        "systemctl -q stop autoglm-boot-watch",
    ),
    Case(
        "unhealthy",
        After,
        "service.command = [\"/bin/sh\", \"-c\", \"rm -f sick; exec python3 serve.py 8205\"]\nhealth = { http = \"http://127.0.0.1:8205/\", interval = \"200ms\", retries = 1, action = \"none\" }\n",
        "touch sick; until autoglm-boot status APP | grep -q unhealthy; do sleep 0.1; done",
    ),
];

/// Ends, and requirements.
const ENDS: &[Case] = &[
    Case(
        "port-privileged",
        Before,
        "service.command = [\"python3\", \"serve.py\", \"81\"]\nreadiness.http = \"http://127.0.0.1:81/\"\nsecurity.profile = \"none\"\nrestart.delay = \"200ms\"\n",
        "",
    ),
    Case(
        "call-denied",
        Before,
        "raw.systemd.Service.SystemCallFilter = [\"\", \"~uname\"]\nraw.systemd.Service.SystemCallErrorNumber = \"\"\nservice.command = [\"python3\", \"serve.py\"]\n",
        "printf 'import os, time\\ntry: os.uname()\\nexcept OSError: pass\\ntime.sleep(1000)\\n' >serve.py",
    ),
    Case(
        "compiler-denied",
        Before,
        "security.profile = \"strict\"\nservice.command = [\"./server\", \"serve.js\"]\n",
        "cp /usr/bin/node server; echo 'setInterval(() => 0, 1000)' >serve.js",
    ),
    Case(
        "start-timeout",
        OnlyThen,
        "service.start_timeout = \"1s\"\nservice.command = [\"/bin/sh\", \"-c\", \"sleep 3; exec python3 serve.py 8202\"]\nreadiness.http = \"http://127.0.0.1:8202/\"\n",
        "",
    ),
    Case(
        "start-timeout",
        Before,
        "service.start_timeout = \"1s\"\nservice.type = \"notify\"\nservice.command = [\"/bin/sh\", \"-c\", \"sleep 2; systemd-notify --ready; exec sleep infinity\"]\nraw.systemd.Service.NotifyAccess = \"all\"\n",
        "",
    ),
    Case(
        "waits-for-terminal",
        Before,
        "service.command = [\"python3\", \"-c\", \"import time; print(input('Go on? ')); time.sleep(1000)\"]\n",
        "",
    ),
    Case(
        "log-flood",
        After,
        "logging.rate_limit = { burst = 100, interval = \"1s\" }\nservice.command = [\"/bin/sh\", \"-c\", \"test \\\"$LOG_LEVEL\\\" = warning || seq 30000; sleep 2; echo so far; exec sleep infinity\"]\n",
        "sleep 3; journalctl --sync",
    ),
    Case("ends-at-once", OnlyThen, "service.command = [\"true\"]\n", ""),
    Case(
        "too-many-files",
        Before,
        "service.command = [\"python3\", \"-c\", \"import time; x = [open('/dev/null') for _ in range(200)]; time.sleep(1000)\"]\nresources.open_files = 64\n",
        "",
    ),
    Case(
        "new-privileges",
        Before,
        "service.command = [\"python3\", \"-c\", \"import os, time; flag = [l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')][0]; flag.split()[1] == '0' or exit('sudo: The \\\"no new privileges\\\" flag is set'); time.sleep(1000)\"]\n",
        "",
    ),
    Case(
        "python-module",
        Before,
        "service.command = [\"venv/bin/python3\", \"-c\", \"import wheelless, time; time.sleep(1000)\"]\n",
        "python3 -m venv venv; chown -R app venv",
    ),
    Case(
        "requirement-package",
        Before,
        "service.command = [\"venv/bin/python3\", \"-c\", \"import wheelless, time; time.sleep(1000)\"]\nrequirements.packages = [\"wheelless>=1.0\", \"pip\"]\n",
        "python3 -m venv venv; chown -R app venv",
    ),
    Case(
        "requirement-package",
        Before,
        "service.command = [\"python3\", \"-c\", \"import wheelless, time; time.sleep(1000)\"]\nrequirements.packages = [\"wheelless\"]\n",
        "",
    ),
    Case(
        "requirement-python",
        Before,
        "service.command = [\"./old/python3\", \"-c\", \"import time; time.sleep(1000)\"]\nrequirements.python = \">=3.9\"\n",
        "mkdir old; printf '#!/bin/sh\\necho\\necho \\047{\"version\": \"3.8.1\", \"executable\": \"/old\", \"is_environment\": false, \"packages\": []}\\047\\n' >old/python3; chmod +x old/python3",
    ),
    Case(
        "requirement-executable",
        Before,
        "requirements.executables = [\"adb\"]\nservice.command = [\"/bin/sh\", \"-c\", \"adb && exec sleep infinity\"]\n",
        "mkdir platform-tools; ln -s /bin/true platform-tools/adb",
    ),
    Case(
        "requirement-disk",
        Before,
        "requirements.disk = \"2Mi\"\nservice.working_directory = \"disk\"\nservice.command = [\"sleep\", \"infinity\"]\n",
        "mkdir disk; mount -t tmpfs -o size=1M,mode=755 none disk; chown app disk",
    ),
];

/// What only a person can repair, and how the test does: the last words.
const BY_HAND: &[(Case, &str)] = &[
    (
        Case("program-missing", Before, "service.command = [\"frobnicate\"]\n", ""),
        "ln -s /srv/APP/run /usr/local/bin/frobnicate",
    ),
    (
        Case(
            "crash-loop",
            Before,
            "",
            "printf '#!/bin/sh\\necho I am ill\\nexit 3\\n' >run",
        ),
        "printf '#!/bin/sh\\nexec sleep infinity\\n' >run",
    ),
    (
        Case("killed", Before, "", "printf '#!/bin/sh\\nkill -SEGV $$\\n' >run"),
        "printf '#!/bin/sh\\nexec sleep infinity\\n' >run",
    ),
    (
        Case(
            "start-refused",
            Before,
            "raw.systemd.Service.StateDirectory = \"of/it\"\n",
            "touch /var/lib/of",
        ),
        "rm /var/lib/of",
    ),
    (
        Case(
            "device-missing",
            Before,
            "security.devices = [\"/dev/scanner\"]\nservice.command = [\"/bin/sh\", \"-c\", \"test -e /dev/scanner && exec sleep infinity\"]\n",
            "",
        ),
        "mknod /dev/scanner c 1 3; chmod 666 /dev/scanner",
    ),
    (
        Case(
            "library-missing",
            Before,
            "service.command = [\"./server\", \"serve.py\"]\n",
            "cp /usr/bin/node server; mkdir /root/gone; mv /usr/lib/x86_64-linux-gnu/libcares.so.2* /root/gone; printf 'setInterval(() => 0, 1000)' >serve.py",
        ),
        "mv /root/gone/* /usr/lib/x86_64-linux-gnu",
    ),
    (
        Case("requirement-memory", Before, "requirements.memory = \"100Ti\"\n", ""),
        "sed -i s/100Ti/1Mi/ app.toml",
    ),
    (
        Case("manifest-wrong", Before, "restart.policy = \"sometimes\"\n", ""),
        "sed -i /sometimes/d app.toml",
    ),
];

/// Runs each case in a folder and under a name of its own.
fn all<'a>(lab: &Lab, cases: impl IntoIterator<Item = (&'a Case, &'a str)>) {
    let mut wrong = String::new();
    for (number, (case, by_hand)) in cases.into_iter().enumerate() {
        let name = format!("app{number}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(lab, &name, case, by_hand)));
        let told = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(told)) => told,
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| "it panicked".into()),
        };
        writeln!(wrong, "== {} ({name})\n{told}", case.0).unwrap();
        lab.run(&format!("autoglm-boot uninstall --force {name}; systemctl stop {name}"));
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn one(lab: &Lab, name: &str, Case(id, when, lines, make): &Case, by_hand: &str) -> Result<(), String> {
    let folder = format!("/srv/{name}");
    let own = |text: &str| text.replace("APP", name);
    let command = if lines.contains("service.command") {
        ""
    } else {
        "service.command = [\"./run\"]\n"
    };
    let settle = if lines.contains("readiness.") || lines.contains("health = ") {
        ""
    } else {
        "readiness.settle = \"500ms\"\n"
    };
    let user = if lines.contains("service.user") {
        ""
    } else {
        "service.user = \"app\"\n"
    };
    lab.write(&format!("{folder}/run"), RUN, 0o755);
    lab.write(&format!("{folder}/serve.py"), SERVER, 0o644);
    let manifest = own(&format!("app.name = \"APP\"\n{user}{command}{settle}{lines}"));
    lab.write(&format!("{folder}/app.toml"), &manifest, 0o644);
    lab.run(&format!("chown -R app {folder}")).expect(0);
    let install = format!("autoglm-boot install --manifest {folder}/app.toml");
    let doctor = format!("autoglm-boot doctor --manifest {folder}/app.toml");
    let make = format!("cd {folder} && {}", own(make));
    let make = if make.ends_with("&& ") { "true".into() } else { make };

    let mut outputs = Vec::new();
    if matches!(when, After) {
        lab.run(&install).expect(0);
        let before = lab.run(&format!("autoglm-boot doctor {name}"));
        if !before.stdout.contains("nothing found") {
            return Err(format!("before it was made: {before:?}"));
        }
        lab.run(&make).expect(0);
        outputs.push(lab.run(&format!("autoglm-boot doctor {name}")).stdout);
    } else {
        lab.run(&make).expect(0);
        let failed = lab.run(&install);
        if failed.code != 1 && *id != "manifest-wrong" {
            return Err(format!("the install did not fail: {failed:?}"));
        }
        outputs.push(failed.stderr);
    }
    if !matches!(when, OnlyThen) {
        outputs.push(lab.run(&doctor).stdout);
    }
    for output in &outputs {
        let first = first_finding(output).map(|(id, _)| id);
        if first.as_deref() != Some(id) {
            return Err(format!("{first:?} was found first:\n{output}"));
        }
    }
    let (_, repairs) = first_finding(&outputs[0]).unwrap();
    let done = repairs.iter().filter(|repair| carry_out(lab, repair)).count();
    if by_hand.is_empty() && done == 0 {
        return Err(format!("nothing could be done: {repairs:?}"));
    }
    lab.run(&format!("cd {folder}; {}", own(by_hand))).expect(0);
    let again = lab.run(&install);
    if again.code != 0 {
        return Err(format!("after {repairs:?} the install fails: {again:?}"));
    }
    let after = lab.run(&format!("autoglm-boot doctor {name}"));
    if !after.stdout.contains("nothing found") {
        return Err(format!("after {repairs:?}: {after:?}"));
    }
    lab.run(&format!("autoglm-boot uninstall {name}")).expect(0);
    Ok(())
}

/// A package that needs no network: pip finds it, and nothing else, in a folder.
fn with_wheels(lab: &Lab) {
    let make = "\
import zipfile
with zipfile.ZipFile('/srv/wheels/wheelless-1.2-py3-none-any.whl', 'w') as z:
    z.writestr('wheelless.py', '')
    z.writestr('wheelless-1.2.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: wheelless\\nVersion: 1.2\\n')
    z.writestr('wheelless-1.2.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    z.writestr('wheelless-1.2.dist-info/RECORD', 'wheelless.py,,\\nwheelless-1.2.dist-info/METADATA,,\\nwheelless-1.2.dist-info/WHEEL,,\\nwheelless-1.2.dist-info/RECORD,,\\n')
";
    lab.write("/srv/wheels/make.py", make, 0o644);
    lab.run("python3 /srv/wheels/make.py").expect(0);
    lab.write(
        "/etc/pip.conf",
        "[global]\nno-index = true\nfind-links = /srv/wheels\n",
        0o644,
    );
}

#[test]
fn failures_of_files_are_found_first_and_repaired_as_printed() {
    let lab = Lab::with_program("doctor-files");
    all(&lab, FILES.iter().map(|case| (case, "")));
}

#[test]
fn failures_of_runs_are_found_first_and_repaired_as_printed() {
    let lab = Lab::with_program("doctor-runs");
    all(&lab, RUNS.iter().map(|case| (case, "")));
}

#[test]
fn failures_that_end_it_are_found_first_and_repaired_as_printed() {
    let lab = Lab::with_program("doctor-ends");
    with_wheels(&lab);
    all(&lab, ENDS.iter().map(|case| (case, "")));
}

#[test]
fn what_only_a_person_can_repair_is_found_first_as_well() {
    let lab = Lab::with_program("doctor-by-hand");
    all(&lab, BY_HAND.iter().map(|(case, by_hand)| (case, *by_hand)));
}

/// Installs the apps of these manifests, and says that nothing is found of any of them.
#[track_caller]
fn well(lab: &Lab, scope: &str, files: &str, names: &[&str]) {
    lab.run(&format!("autoglm-boot install {scope} {files}")).expect(0);
    for name in names {
        let out = lab.run(&format!("autoglm-boot doctor {scope} {name}")).expect(0);
        assert_eq!(out.stdout, format!("{name}: nothing found\n"));
    }
}

#[test]
fn apps_that_are_well_have_no_finding() {
    let lab = Lab::with_program("doctor-well");
    let put = |folder: &str, user: &str, manifest: &str| {
        lab.write(&format!("{folder}/app.toml"), manifest, 0o644);
        lab.write(&format!("{folder}/serve.py"), SERVER, 0o644);
        lab.run(&format!("chown -R {user} {folder}")).expect(0);
    };
    let probe = |port: u16| format!("readiness.http = \"http://127.0.0.1:{port}/\"\n");
    let serves = |name: &str, python: &str, port: u16, rest: &str| {
        format!(
            "app.name = \"{name}\"\nservice.command = [\"{python}\", \"serve.py\", \"{port}\"]\n{}{rest}",
            probe(port)
        )
    };
    let web = "app.name = \"static\"\nservice.command = [\"python3\", \"-m\", \"http.server\", \"8301\", \"--bind\", \"127.0.0.1\"]\n";
    put("/srv/static", "app", &format!("{web}{}", probe(8301)));
    let wish = "requirements.python = \">=3.9\"\nrequirements.packages = [\"pip>=20\"]\n";
    put(
        "/home/app/venv-app",
        "app",
        &serves("in-venv", "venv/bin/python3", 8302, wish),
    );
    lab.run("runuser -u app -- python3 -m venv /home/app/venv-app/venv")
        .expect(0);
    let node = "app.name = \"on-node\"\nservice.command = [\"node\", \"serve.js\"]\n";
    let wish = "requirements.executables = [\"node\"]\nrequirements.memory = \"1Mi\"\nrequirements.disk = \"1Mi\"\n";
    put("/srv/on-node", "app", &format!("{node}{}{wish}", probe(8303)));
    let serve = "require('http').createServer((_, answer) => answer.end('well')).listen(8303, '127.0.0.1')\n";
    lab.write("/srv/on-node/serve.js", serve, 0o644);
    put("/srv/pair/db", "app", &serves("db", "python3", 8304, ""));
    put(
        "/srv/pair/front",
        "app",
        &serves("front", "python3", 8305, "dependencies.requires = [\"db\"]\n"),
    );
    let files = "-m /srv/static -m /home/app/venv-app -m /srv/on-node -m /srv/pair";
    well(
        &lab,
        "--system",
        files,
        &["static", "in-venv", "on-node", "db", "front"],
    );
    put("/home/web/mine", "web", &serves("mine", "python3", 8306, ""));
    well(&lab, "--user=web", "-m /home/web/mine", &["mine"]);
    let out = lab.run("autoglm-boot doctor --json").expect(0).stdout;
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let apps = answer["apps"].as_array().unwrap();
    assert_eq!(apps.len(), 5, "{answer}");
    assert!(
        apps.iter().all(|app| app["findings"].as_array().unwrap().is_empty()),
        "{answer}"
    );
}

#[test]
fn what_is_another_accounts_is_not_given_away() {
    let lab = Lab::with_program("doctor-others");
    let manifest = "app.name = \"mine\"\nservice.user = \"app\"\nreadiness.settle = \"200ms\"\nsecurity.writable_directories = [\"data\"]\n\
                    service.command = [\"/bin/sh\", \"-c\", \"touch data/x && exec sleep infinity\"]\n";
    lab.write("/srv/mine/app.toml", manifest, 0o644);
    lab.run("chown app /srv/mine; install -d -o web -m 0755 /srv/mine/data")
        .expect(0);
    let failed = lab.run("autoglm-boot install -m /srv/mine/app.toml").expect(1);
    let (id, repairs) = first_finding(&failed.stderr).unwrap();
    assert_eq!(id, "folder-read-only", "{}", failed.stderr);
    assert!(
        failed.stderr.contains("setfacl -m u:app:rwX /srv/mine/data"),
        "{}",
        failed.stderr
    );
    assert!(!repairs.iter().any(|repair| carry_out(&lab, repair)), "{repairs:?}");
}

/// A user's own: what only its service manager has.
#[test]
fn a_users_failures_are_found_first_and_repaired_as_printed() {
    let lab = Lab::with_program("doctor-user");
    let manifest = "app.name = \"mine\"\nservice.command = [\"sleep\", \"infinity\"]\nreadiness.settle = \"200ms\"\n";
    lab.write(
        "/home/web/mine/app.toml",
        &format!("{manifest}service.environment_files = [\"a.env\"]\n"),
        0o644,
    );
    lab.write("/home/web/mine/a.env", "A=1\n", 0o600);
    lab.run("chown -R web /home/web/mine && chown root /home/web/mine/a.env")
        .expect(0);
    lab.run("printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/local/bin/sudo && chmod +x /usr/local/bin/sudo")
        .expect(0);
    let as_web = |command: &str| lab.as_user("web", command);
    let install = "autoglm-boot install -m /home/web/mine/app.toml";
    lab.run("loginctl enable-linger web").expect(0);
    let failed = as_web(install).expect(1);
    let (id, repairs) = first_finding(&failed.stderr).unwrap();
    assert_eq!(id, "environment-file-unreadable", "{}", failed.stderr);
    assert!(repairs.iter().any(|repair| carry_out(&lab, repair)));
    as_web(install).expect(0);
    assert_eq!(
        as_web("autoglm-boot doctor mine").expect(0).stdout,
        "mine: nothing found\n"
    );

    lab.run("loginctl disable-linger web").expect(0);
    let found = lab.run("autoglm-boot doctor --user=web mine").expect(1);
    let (id, repairs) = first_finding(&found.stdout).unwrap();
    assert_eq!(id, "lingering-off", "{}", found.stdout);
    assert!(repairs.iter().any(|repair| carry_out(&lab, repair)));
    as_web(install).expect(0);
    assert_eq!(
        as_web("autoglm-boot doctor mine").expect(0).stdout,
        "mine: nothing found\n"
    );
    as_web("autoglm-boot uninstall mine").expect(0);
}

/// What lets others in: the check, the manifest's own lines, how it is made, and what a person does of the repair.
const OPENINGS: &[(&str, &str, &str, &str)] = &[
    ("open-to-others", "service.user = \"root\"\n", "chown -R app .", ""),
    (
        "open-to-others",
        "service.user = \"root\"\nservice.working_directory = \"/srv\"\n",
        "chown root . serve.py; chown app run",
        "",
    ),
    (
        "open-to-others",
        "service.user = \"root\"\n",
        "chown -R root:app .; chmod g+w run",
        "",
    ),
    (
        "open-to-others",
        "service.user = \"root\"\nservice.command = [\"/usr/bin/python3\", \"serve.py\", \"8601\"]\n",
        "chown -R root .; chmod o+w serve.py",
        "",
    ),
    (
        "open-to-others",
        "service.user = \"root\"\nservice.command = [\"deep/er/run\"]\nservice.working_directory = \"/srv\"\n",
        "mkdir -p deep/er; cp run deep/er; chown -R root .; chmod 777 deep",
        "",
    ),
    ("open-to-others", "service.user = \"app\"\n", "chmod 777 .", ""),
    (
        "secret-in-manifest",
        "service.user = \"app\"\nservice.environment.API_TOKEN = \"hidden-one\"\n",
        "",
        "sed -i /API_TOKEN/d app.toml",
    ),
    (
        "secret-in-manifest",
        "service.user = \"app\"\nservice.command = [\"./run\", \"--api-key=hidden-two\"]\n",
        "",
        "sed -i /api-key/d app.toml; sed -i '1i service.command = [\"./run\"]' app.toml",
    ),
    (
        "secret-in-manifest",
        "service.user = \"app\"\nservice.environment.DATABASE = \"postgres://app:hidden-three@db/x\"\n",
        "",
        "sed -i /DATABASE/d app.toml",
    ),
    (
        "secret-readable",
        "service.user = \"app\"\nservice.environment_files = [\"a.env\"]\n",
        "echo DB_PASSWORD=hidden-four >a.env; chmod 644 a.env",
        "",
    ),
    (
        "listens-on-all",
        "service.user = \"app\"\nservice.command = [\"python3\", \"-m\", \"http.server\", \"8602\", \"--bind\", \"0.0.0.0\"]\n",
        "",
        "",
    ),
    (
        "listens-on-all",
        "service.user = \"app\"\nservice.command = [\"python3\", \"-m\", \"http.server\", \"8603\"]\nreadiness.http = \"http://127.0.0.1:8603/\"\n",
        "",
        "echo 'security.network = \"loopback\"' >>app.toml",
    ),
];

/// They keep nothing from running: an install goes well, and tells them; doctor has the repair.
#[test]
fn what_lets_others_in_is_told_by_install_and_repaired_as_printed() {
    let lab = Lab::with_program("doctor-open");
    for (number, (id, lines, make, by_hand)) in OPENINGS.iter().enumerate() {
        let name = format!("app{number}");
        let folder = format!("/srv/{name}");
        let command = if lines.contains("service.command") {
            ""
        } else {
            "service.command = [\"run\"]\n"
        };
        let settle = if lines.contains("readiness") {
            ""
        } else {
            "readiness.settle = \"200ms\"\n"
        };
        let here = |text: &str| {
            text.replace("\"run\"", "\"./run\"")
                .replace("/srv\"", &format!("{folder}\""))
        };
        lab.write(&format!("{folder}/run"), RUN, 0o755);
        lab.write(&format!("{folder}/serve.py"), SERVER, 0o644);
        lab.write(
            &format!("{folder}/app.toml"),
            &here(&format!("app.name = \"{name}\"\n{command}{settle}{lines}")),
            0o644,
        );
        lab.run(&format!("cd {folder}; chown -R app .; {make}")).expect(0);
        let install = format!("autoglm-boot install -m {folder}/app.toml");
        let told = lab.run(&install).expect(0).stderr;
        let found = lab.run(&format!("autoglm-boot doctor {name}")).expect(0).stdout;
        let (first, repairs) = first_finding(&found).unwrap_or_else(|| panic!("{id} {lines}: {found}"));
        assert_eq!(first, *id, "{lines}: {found}");
        let message = found
            .lines()
            .find_map(|line| line.strip_prefix(&format!("warning {id}: ")))
            .unwrap();
        let is_seen_only_when_it_runs = found.contains("is open to every address");
        assert_ne!(told.contains(message), is_seen_only_when_it_runs, "{lines}: {told}");
        assert!(
            !told.contains("hidden-") && !found.contains("hidden-"),
            "a secret is told: {told}{found}"
        );
        let done = repairs.iter().filter(|repair| carry_out(&lab, repair)).count();
        assert!(done > 0 || !by_hand.is_empty(), "{found}");
        lab.run(&format!("cd {folder}; true; {by_hand}")).expect(0);
        let told = lab.run(&install).expect(0).stderr;
        assert!(!told.contains(message), "after {repairs:?}: {told}");
        let after = lab.run(&format!("autoglm-boot doctor {name}")).expect(0).stdout;
        assert_eq!(after, format!("{name}: nothing found\n"), "after {repairs:?}");
        lab.run(&format!("autoglm-boot uninstall {name}")).expect(0);
    }
}

/// An app of which only a journal speaks.
#[test]
fn a_first_install_that_was_cut_short_is_told_of_and_the_next_one_succeeds() {
    let lab = Lab::with_program("doctor-cut");
    lab.write("/srv/cut/app.toml", "app.name = \"cut\"\nservice.user = \"app\"\nservice.command = [\"sleep\", \"infinity\"]\nreadiness.settle = \"2s\"\n", 0o644);
    lab.run("autoglm-boot install -m /srv/cut >/dev/null 2>&1 & sleep 1; kill -KILL $!; wait; true")
        .expect(0);
    for command in [
        "autoglm-boot doctor cut",
        "autoglm-boot doctor",
        "autoglm-boot doctor -m /srv/cut/app.toml",
    ] {
        let told = lab.run(command).expect(1).stdout;
        assert_eq!(
            first_finding(&told).unwrap().0,
            "install-interrupted",
            "{command}: {told}"
        );
    }
    lab.run("autoglm-boot install -m /srv/cut").expect(0);
    assert_eq!(lab.run("autoglm-boot doctor").expect(0).stdout, "cut: nothing found\n");
}

#[test]
fn requirements_are_checked_before_anything_is_written_unless_that_is_skipped_aloud() {
    let lab = Lab::with_program("doctor-requires");
    let manifest = "app.name = \"needy\"\nservice.user = \"app\"\nservice.command = [\"python3\", \"-c\", \"import time; time.sleep(1000)\"]\n\
        readiness.settle = \"200ms\"\nrequirements.packages = [\"torch>=1.13\"]\nrequirements.executables = [\"adb\"]\n";
    lab.write("/srv/needy/app.toml", manifest, 0o644);
    let clean = lab.listing(&["/etc", "/var/lib"]);
    let install = "autoglm-boot install -m /srv/needy/app.toml";
    for flags in ["", "--dry-run"] {
        let out = lab.run(&format!("{install} {flags}")).expect(1);
        assert!(
            out.stderr.contains("lacks torch") && out.stderr.contains("no adb on the service's PATH"),
            "{}",
            out.stderr
        );
        assert!(out.stderr.contains("Nothing was changed"), "{}", out.stderr);
        assert_eq!(first_finding(&out.stderr).unwrap().0, "requirement-package");
    }
    assert_eq!(lab.listing(&["/etc", "/var/lib"]), clean);
    let out = lab.run(&format!("{install} --skip-requirements")).expect(0);
    assert!(
        out.stderr
            .contains("its requirements were NOT checked (--skip-requirements)"),
        "{}",
        out.stderr
    );
    lab.run("autoglm-boot uninstall needy").expect(0);
}
