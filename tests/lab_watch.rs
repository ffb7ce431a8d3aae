//! The watcher and the helper on a real systemd: what happens without them, what they leave alone, and who is asked how.
//! Longer than 300 lines: one machine a question, each with its answers.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use support::lab::Lab;

const WATCH: &str = "autoglm-boot-watch.service";
const HELPER: &str = "/var/lib/autoglm-boot/bin/autoglm-boot";
const SECOND: Duration = Duration::from_secs(1);

/// An app whose health can be told by a file `mode`: in `/srv/NAME`, of the account `app`, at this port.
fn app(lab: &Lab, name: &str, port: u16, arguments: &str, tables: &str) {
    lab.write(
        &format!("/srv/{name}/patient.py"),
        include_str!("support/patient.py"),
        0o644,
    );
    let arguments: String = arguments
        .split_whitespace()
        .map(|word| format!(", \"{word}\""))
        .collect();
    let tables = tables.replace("PORT", &port.to_string());
    let text = format!(
        "[app]\nname = \"{name}\"\n[service]\ncommand = [\"python3\", \"patient.py\", \"{port}\"{arguments}]\n{tables}"
    );
    lab.write(&format!("/srv/{name}/app.toml"), &text, 0o644);
    lab.run(&format!("chown -R app:app /srv/{name}")).expect(0);
}

const HEALTH: &str = "[restart]\ndelay = \"100ms\"\n[health]\nhttp = \"http://127.0.0.1:PORT/\"\ninterval = \"300ms\"\n\
                      timeout = \"1s\"\nretries = 2\n";

fn install(lab: &Lab, names: &[&str]) {
    let files: String = names.iter().map(|name| format!(" -m /srv/{name}/app.toml")).collect();
    lab.run(&format!("autoglm-boot install{files}")).expect(0);
}

fn property(lab: &Lab, unit: &str, property: &str) -> String {
    lab.run(&format!("systemctl show -P {property} {unit}"))
        .stdout
        .trim()
        .to_owned()
}

fn journal(lab: &Lab, unit: &str) -> String {
    lab.run(&format!("journalctl --sync; journalctl -u {unit} --no-pager"))
        .stdout
}

fn starts(lab: &Lab, name: &str, what: &str) -> Vec<f64> {
    let text = lab.run(&format!("cat /srv/{name}/starts")).stdout;
    let of_it = text.lines().filter_map(|line| line.strip_prefix(what));
    of_it.map(|time| time.trim().parse().unwrap()).collect()
}

#[track_caller]
fn soon(lab: &Lab, command: &str) {
    let start = Instant::now();
    while lab.run(command).code != 0 {
        assert!(start.elapsed() < 20 * SECOND, "{command}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_the_watcher_or_with_a_broken_helper_apps_run_and_start_all_the_same() {
    let lab = Lab::with_program("watch-gone");
    app(&lab, "one", 9001, "", HEALTH);
    app(
        &lab,
        "needs",
        9002,
        "",
        &format!("[dependencies]\nrequires = [\"one\"]\n{HEALTH}"),
    );
    let clean = lab.listing(&["/etc", "/var/lib"]);
    install(&lab, &["one", "needs"]);
    let pids = || ["one", "needs"].map(|name| property(&lab, name, "MainPID"));
    let before = pids();

    lab.run(&format!("systemctl kill -s KILL {WATCH}")).expect(0);
    soon(&lab, "autoglm-boot status one | grep unwatched");
    soon(&lab, "autoglm-boot status one --json | grep '\"watched\": true'");
    assert_eq!(pids(), before, "no app was touched");

    lab.run(&format!(
        "rm {HELPER} && echo broken >{HELPER} && chmod 755 {HELPER} && systemctl restart {WATCH}; true"
    ))
    .expect(0);
    assert!(lab.run("autoglm-boot status needs").stdout.contains("unwatched"));
    lab.run("systemctl restart one needs").expect(0);
    soon(&lab, "autoglm-boot status one needs");
    lab.run(&format!("rm {HELPER} && systemctl restart needs")).expect(0);
    soon(&lab, "autoglm-boot status needs");

    // The next install repairs it, and touches no app.
    let before = pids();
    install(&lab, &["one", "needs"]);
    assert_eq!(pids(), before);
    lab.run("autoglm-boot status one --json | grep '\"watched\": true'")
        .expect(0);
    lab.run(&format!("{HELPER} --version")).expect(0);
    // What waits for another app meanwhile, asks it itself; what it may not ask, nobody has found ready.
    lab.write("/srv/quiet/ready", "", 0o644);
    for (name, tables) in [
        ("quiet", "[readiness]\ncommand = [\"test\", \"-e\", \"ready\"]\n"),
        ("plain", ""),
    ] {
        let text = format!("[app]\nname = \"{name}\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n{tables}");
        lab.write(&format!("/srv/{name}/app.toml"), &text, 0o644);
    }
    install(&lab, &["quiet", "plain"]);
    lab.run(&format!(
        "rm /srv/quiet/ready; systemctl stop {WATCH}; systemctl restart quiet"
    ))
    .expect(0);
    let wait = |name: &str| {
        let command = format!("autoglm-boot wait --system --timeout 4s --app {name}");
        lab.as_user("app", &command)
    };
    let waited = wait("quiet").expect(7);
    assert!(
        waited.stderr.contains("its probe may hold secrets"),
        "{}",
        waited.stderr
    );
    // The clock is set back after a start.
    lab.run("touch -h -d '+1 hour' /run/systemd/units/invocation:plain.service")
        .expect(0);
    wait("plain").expect(0);

    // It goes without a trace also while it does not come up.
    lab.run(&format!(
        "rm $(readlink -f {HELPER}) && echo broken >{HELPER} && chmod 755 {HELPER} && mkdir -p /run/autoglm-boot-watch && \
         touch /run/autoglm-boot-watch/board.json; systemctl start {WATCH}; true"
    ))
    .expect(0);
    for name in ["quiet", "plain", "needs", "one"] {
        lab.run(&format!("autoglm-boot uninstall {name}")).expect(0);
    }
    assert_eq!(lab.listing(&["/etc", "/var/lib"]), clean);
    assert_eq!(
        lab.run(&format!("systemctl is-active {WATCH}")).stdout.trim(),
        "inactive"
    );
    assert_eq!(lab.run("systemctl --failed --no-legend --plain").stdout, "");
    assert_eq!(lab.run("ls /run/autoglm-boot-watch").stdout, "");
}

#[test]
fn a_new_version_of_the_tool_replaces_the_helper_and_restarts_the_watcher_only() {
    let lab = Lab::with_program("watch-upgrade");
    app(&lab, "one", 9001, "", HEALTH);
    install(&lab, &["one"]);
    let (pid, watcher) = (property(&lab, "one", "MainPID"), property(&lab, WATCH, "InvocationID"));
    let first = lab.run(&format!("readlink {HELPER}")).stdout;
    // Another file is another version.
    lab.run("cp /opt/bin/autoglm-boot /usr/local/bin/newer && touch -d 2031-01-01 /usr/local/bin/newer")
        .expect(0);
    lab.run("newer install -m /srv/one/app.toml").expect(0);
    assert_ne!(lab.run(&format!("readlink {HELPER}")).stdout, first);
    assert_ne!(
        property(&lab, WATCH, "InvocationID"),
        watcher,
        "it runs the new version"
    );
    assert_eq!(property(&lab, "one", "MainPID"), pid);
    lab.run("autoglm-boot status one").expect(0);
    // What an upgrade has left goes with the next; two are the most.
    lab.run("touch -d 2032-01-01 /usr/local/bin/newer && newer install -m /srv/one/app.toml")
        .expect(0);
    assert_eq!(
        lab.run("ls /var/lib/autoglm-boot/bin | wc -l").stdout.trim(),
        "3",
        "the link, and two versions"
    );
    // It has not forgotten that the app was well.
    lab.run("echo 500 >/srv/one/mode").expect(0);
    soon(&lab, &format!("test \"$(systemctl show -P MainPID one)\" != {pid}"));
    lab.run("newer uninstall one").expect(0);
    lab.run("test ! -e /var/lib/autoglm-boot").expect(0);
}

#[test]
fn it_never_acts_against_a_stop_that_is_under_way() {
    let lab = Lab::with_program("watch-stop");
    // It does not answer any more while it ends, and takes its time for that.
    let script = "import http.server, signal, sys, threading, time\n\
                  class Page(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200); self.end_headers()\n\
                  server = http.server.ThreadingHTTPServer(('127.0.0.1', 9001), Page)\n\
                  def end(*_):\n    server.socket.close()\n    time.sleep(4)\n    sys.exit(0)\n\
                  signal.signal(signal.SIGTERM, end)\n\
                  threading.Thread(target=server.serve_forever, daemon=True).start()\n\
                  while True: time.sleep(1)\n";
    lab.write("/srv/slow/patient.py", script, 0o644);
    let text = HEALTH
        .replace("PORT", "9001")
        .replace("timeout = \"1s\"", "timeout = \"100ms\"");
    lab.write(
        "/srv/slow/app.toml",
        &format!("[app]\nname = \"slow\"\n[service]\ncommand = [\"python3\", \"patient.py\"]\n{text}"),
        0o644,
    );
    install(&lab, &["slow"]);
    let start = Instant::now();
    lab.run("systemctl stop slow").expect(0);
    assert!(start.elapsed() > 3 * SECOND, "it took its time");
    sleep(2 * SECOND);
    assert_eq!(property(&lab, "slow", "ActiveState"), "inactive");
    assert!(
        !journal(&lab, "slow").contains("it is ended"),
        "{}",
        journal(&lab, "slow")
    );
    lab.run("autoglm-boot status slow").expect(3);
}

/// One that hands over, one whose unit is not as its manifest, one that is only told of, one with a secret, and a deaf one.
fn five(lab: &Lab) {
    // Another process becomes the main one, as in an upgrade on the fly.
    let script =
        "#!/bin/sh\nsleep 1000 &\nsystemd-notify --ready --status=well\nsleep 3\nsystemd-notify MAINPID=$!\nexit 0\n";
    lab.write("/srv/hand/run", script, 0o755);
    lab.write(
        "/srv/hand/app.toml",
        "[app]\nname = \"hand\"\n[service]\ncommand = [\"./run\"]\ntype = \"notify\"\n[health]\ncommand = [\"test\", \"-e\", \"run\"]\n\
         interval = \"100ms\"\nretries = 1\n[raw.systemd.Service]\nNotifyAccess = \"all\"\n",
        0o644,
    );
    // To its unit a stop that is asked for is a clean end, whatever the manifest says.
    app(
        lab,
        "raw",
        9001,
        "",
        &format!("{HEALTH}[raw.systemd.Service]\nRestart = \"on-failure\"\n"),
    );
    app(lab, "plain", 9002, "", &format!("{HEALTH}action = \"none\"\n"));
    lab.write(
        "/srv/secret/check",
        "#!/bin/sh\necho secret-token\ntest ! -e bad\n",
        0o755,
    );
    lab.write(
        "/srv/secret/app.toml",
        "[app]\nname = \"secret\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n[restart]\npolicy = \"never\"\n\
         [health]\ncommand = [\"./check\"]\ninterval = \"300ms\"\nretries = 1\n",
        0o644,
    );
    // It does not listen to a stop signal.
    let deaf = HEALTH.replace("PORT", "9003");
    app(lab, "deaf", 9003, "", "");
    lab.write(
        "/srv/deaf/app.toml",
        &format!(
            "[app]\nname = \"deaf\"\n[service]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; exec python3 patient.py 9003\"]\n\
             stop_timeout = \"3s\"\n{deaf}"
        ),
        0o644,
    );
    install(lab, &["hand", "raw", "plain", "secret", "deaf"]);
}

#[test]
fn what_it_says_and_does_is_of_the_app_as_it_is_now() {
    let lab = Lab::with_program("watch-now");
    five(&lab);
    let first = ["hand", "raw", "deaf"].map(|name| property(&lab, name, "MainPID"));
    let is_new = |name: &str, pid: &str| format!("test \"$(systemctl show -P MainPID {name})\" != {pid}");

    // A run that was cut short lies there: it does nothing any more.
    lab.run(
        "touch /var/lib/autoglm-boot/intent.install.raw.jsonl && echo 500 >/srv/raw/mode && echo 500 >/srv/deaf/mode",
    )
    .expect(0);
    soon(&lab, &is_new("raw", &first[1]));
    soon(&lab, "test \"$(systemctl show -P ActiveState raw)\" = active");
    lab.run("rm /var/lib/autoglm-boot/intent.install.raw.jsonl").expect(0);
    assert!(
        journal(&lab, "raw").contains("it is ended (SIGKILL)"),
        "{}",
        journal(&lab, "raw")
    );

    // What became well again in time is left alone; what did not, is ended, and that is said.
    soon(
        &lab,
        "journalctl --sync; journalctl -u deaf | grep 'it is ended (SIGTERM)'",
    );
    lab.run("rm /srv/deaf/mode").expect(0);
    soon(&lab, "journalctl --sync; journalctl -u deaf | grep 'well again'");

    // What a private probe has said is for its owner; why the run was ended is told, though none follows.
    lab.run("touch /srv/secret/bad").expect(0);
    soon(&lab, "test \"$(systemctl show -P ActiveState secret)\" = failed");
    soon(&lab, "autoglm-boot status secret | grep 'ended for'");
    let said = lab
        .as_user(
            "app",
            "cat /run/autoglm-boot-watch/board.json; autoglm-boot status secret --json",
        )
        .stdout;
    assert!(
        said.contains("unhealthy") || said.contains("its probe does not answer well"),
        "{said}"
    );
    assert!(!said.contains("secret-token"), "{said}");
    let log = journal(&lab, "secret");
    assert!(log.contains("secret-token; it is not started again"), "{log}");

    // Without [health] it is not watched any more.
    lab.run("echo 500 >/srv/plain/mode").expect(0);
    soon(&lab, "autoglm-boot status plain | grep unhealthy");
    app(&lab, "plain", 9002, "", "");
    lab.run(&format!("{HELPER} install -m /srv/plain/app.toml")).expect(0);
    soon(&lab, "autoglm-boot status plain");
    assert!(
        lab.run("ls /var/lib/autoglm-boot/bin | wc -l").stdout.trim() == "2",
        "what is run from there is what is there"
    );
    let again = lab.run("autoglm-boot watch --system").expect(9);
    assert!(again.stderr.contains("watched already"), "{}", again.stderr);

    soon(&lab, "test \"$(systemctl show -P NRestarts deaf)\" = 0");
    assert_eq!(property(&lab, "deaf", "MainPID"), first[2], "it was well again");
    lab.run("echo 500 >/srv/deaf/mode").expect(0);
    soon(&lab, &is_new("deaf", &first[2]));
    assert!(
        journal(&lab, "deaf").contains("it has not ended: SIGKILL"),
        "{}",
        journal(&lab, "deaf")
    );
    assert_ne!(property(&lab, "hand", "MainPID"), first[0], "it has handed over");
    assert_eq!(property(&lab, "hand", "NRestarts"), "0", "{}", journal(&lab, "hand"));
    assert!(
        !journal(&lab, "hand").contains("unhealthy"),
        "{}",
        journal(&lab, "hand")
    );
    lab.run("autoglm-boot status hand").expect(0);

    // Where nothing can be noticed (a desktop has few of what that takes), it looks often.
    lab.write(
        "/etc/systemd/system/autoglm-boot-watch.service.d/blind.conf",
        "[Service]\nSystemCallFilter=~inotify_init1\nSystemCallErrorNumber=EMFILE\n",
        0o644,
    );
    lab.run(&format!("systemctl daemon-reload && systemctl restart {WATCH} raw"))
        .expect(0);
    let watcher = property(&lab, WATCH, "MainPID");
    assert_eq!(
        lab.run(&format!("ls -l /proc/{watcher}/fd | grep -c inotify")).stdout,
        "0\n"
    );
    let run = property(&lab, "raw", "InvocationID");
    let board = format!(
        "grep -E '\"raw.service\":.\"invocation\":\"{run}\",\"pulse\":.\"phase\":\"ready\"' /run/autoglm-boot-watch/board.json"
    );
    soon(&lab, &board);
    let pid = property(&lab, "raw", "MainPID");
    lab.run("echo 500 >/srv/raw/mode").expect(0);
    soon(&lab, &is_new("raw", &pid));
}

#[test]
fn an_app_in_a_network_of_its_own_is_asked_inside_of_it() {
    let lab = Lab::with_program("watch-net");
    let tables = format!("{HEALTH}[raw.systemd.Service]\nPrivateNetwork = true\n");
    app(&lab, "alone", 9001, "", &tables);
    install(&lab, &["alone"]);
    assert_ne!(
        lab.run("curl -s --max-time 2 http://127.0.0.1:9001/").code,
        0,
        "from outside it cannot be"
    );
    lab.run("autoglm-boot probe alone").expect(0);
    // Where nobody watches, whoever may not enter it does not take that for an illness.
    lab.run(&format!("systemctl stop {WATCH}")).expect(0);
    for user in ["app", "nobody"] {
        let seen = lab.as_user(user, "autoglm-boot status alone").expect(0);
        assert!(seen.stdout.contains("alone: running"), "{}", seen.stdout);
    }
    let seen = lab.run("autoglm-boot status alone").expect(0);
    assert!(seen.stdout.contains("alone: ready"), "{}", seen.stdout);
    lab.run(&format!("systemctl start {WATCH}")).expect(0);
    soon(&lab, "grep '\"phase\":\"ready\"' /run/autoglm-boot-watch/board.json");
    let pid = property(&lab, "alone", "MainPID");
    lab.run("echo 500 >/srv/alone/mode").expect(0);
    soon(&lab, &format!("test \"$(systemctl show -P MainPID alone)\" != {pid}"));
    soon(&lab, "autoglm-boot status alone");
}

#[test]
fn a_users_apps_are_watched_by_a_watcher_of_that_user() {
    let lab = Lab::with_program("watch-user");
    app(&lab, "mine", 9001, "", HEALTH);
    lab.run("loginctl enable-linger app").expect(0);
    lab.as_user("app", "autoglm-boot install -m /srv/mine/app.toml")
        .expect(0);
    let said = lab.as_user("app", "autoglm-boot status mine --json").expect(0).stdout;
    assert!(said.contains("\"watched\": true"), "{said}");
    lab.run("echo 500 >/srv/mine/mode").expect(0);
    soon(&lab, "test $(grep -c started /srv/mine/starts) = 2");
    let log = lab.as_user("app", "autoglm-boot logs mine").stdout;
    let log = log
        + &lab
            .run("journalctl --sync; journalctl USER_UNIT=mine.service --no-pager")
            .stdout;
    assert!(log.contains("unhealthy, http://127.0.0.1:9001/ answered 500"), "{log}");
    lab.as_user("app", "autoglm-boot uninstall mine").expect(0);
    assert_eq!(lab.as_user("app", "find ~ -name '*autoglm*'").stdout, "");
}

#[test]
fn dependants_wait_also_at_boot_and_one_whose_dependency_could_not_start_is_started_later() {
    let mut lab = Lab::with_program("watch-boot");
    app(&lab, "slow", 9001, "--delay 3", HEALTH);
    app(
        &lab,
        "needs",
        9002,
        "",
        &format!("[dependencies]\nrequires = [\"slow\"]\n{HEALTH}"),
    );
    // It says itself when it is ready, and fails at its first start in each boot: its dependant's start fails with it.
    let script = "#!/bin/sh\ntest -e /run/tried || { touch /run/tried; exit 1; }\nsystemd-notify --ready --status=well\nexec sleep 1000\n";
    lab.write("/srv/told/run", script, 0o755);
    lab.write(
        "/srv/told/app.toml",
        "[app]\nname = \"told\"\n[service]\ncommand = [\"./run\"]\ntype = \"notify\"\n[restart]\ndelay = \"500ms\"\n\
         [health]\ncommand = [\"true\"]\ninterval = \"300ms\"\n[raw.systemd.Service]\nNotifyAccess = \"all\"\n",
        0o644,
    );
    app(
        &lab,
        "follows",
        9003,
        "",
        &format!("[dependencies]\nrequires = [\"told\"]\n{HEALTH}"),
    );
    // It says so late; somebody stops what waits for it meanwhile. Nobody ever wanted the other one to be started.
    let script = "#!/bin/sh\nsleep 3\nsystemd-notify --ready --status=well\nexec sleep 1000\n";
    lab.write("/srv/late/run", script, 0o755);
    lab.write(
        "/srv/late/app.toml",
        "[app]\nname = \"late\"\n[service]\ncommand = [\"./run\"]\ntype = \"notify\"\n[health]\ncommand = [\"true\"]\n\
         interval = \"300ms\"\n[raw.systemd.Service]\nNotifyAccess = \"all\"\n",
        0o644,
    );
    let requires_late = format!("[dependencies]\nrequires = [\"late\"]\n{HEALTH}");
    app(&lab, "waits", 9004, "", &requires_late);
    app(&lab, "unwanted", 9005, "", &requires_late);
    lab.write(
        "/etc/systemd/system/stopper.service",
        "[Service]\nType=oneshot\nExecStart=sh -c 'sleep 1; systemctl stop waits'\n[Install]\nWantedBy=multi-user.target\n",
        0o644,
    );
    lab.run("touch /run/tried").expect(0);
    install(&lab, &["slow", "needs", "told", "follows", "late", "waits"]);
    lab.run("rm /srv/*/starts; systemctl enable stopper").expect(0);

    lab.reboot();
    soon(&lab, "autoglm-boot status needs slow told follows");
    let (ready, started) = (starts(&lab, "slow", "ready"), starts(&lab, "needs", "started"));
    assert!(started[0] >= ready[0] && started.len() == 1, "{started:?} {ready:?}");
    assert!(property(&lab, "told", "NRestarts") != "0", "it failed first");
    let log = journal(&lab, "follows");
    assert!(log.contains("told is ready now: it is started"), "{log}");

    soon(&lab, "autoglm-boot status late");
    lab.run("autoglm-boot install --no-start -m /srv/unwanted/app.toml")
        .expect(0);
    lab.run("autoglm-boot restart late").expect(0);
    sleep(SECOND);
    for name in ["waits", "unwanted"] {
        assert_eq!(
            property(&lab, name, "ActiveState"),
            "inactive",
            "{}",
            journal(&lab, name)
        );
    }
    // While the start of what it needs takes its time, nothing is done for the restart budget of a dependant.
    lab.run("systemctl start waits && systemctl --no-block restart late")
        .expect(0);
    sleep(SECOND);
    assert_eq!(property(&lab, "late", "ActiveState"), "activating");
    assert_eq!(property(&lab, "autoglm-boot-reset@waits", "ActiveState"), "inactive");
    // After a restart by itself it is looked at, once a second.
    soon(&lab, "autoglm-boot status late waits");
    let pid = property(&lab, "waits", "MainPID");
    lab.run("systemctl kill -s KILL waits").expect(0);
    soon(
        &lab,
        &format!("test \"$(systemctl show -P MainPID waits)\" != {pid} && autoglm-boot status waits"),
    );
    lab.run("systemctl --no-block restart late").expect(0);
    sleep(SECOND / 2);
    let looks = "for i in $(seq 30); do pgrep -x sleep -P $(systemctl show -P MainPID autoglm-boot-reset@waits); sleep 0.05; done | sort -u | wc -l";
    let looks: u32 = lab.run(looks).stdout.trim().parse().unwrap();
    assert!((1..=3).contains(&looks), "{looks} looks in a moment");
    soon(&lab, "autoglm-boot status late waits");
    assert_eq!(property(&lab, "autoglm-boot-reset@waits", "ActiveState"), "inactive");
}

#[test]
fn status_answers_at_once_whatever_hangs_and_a_quiet_machine_has_a_quiet_journal() {
    let lab = Lab::with_program("watch-quiet");
    // A name server that never answers.
    lab.write(
        "/srv/mute.py",
        "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 53))\nwhile True: s.recv(9000)\n",
        0o644,
    );
    lab.run("systemd-run --unit=mute python3 /srv/mute.py && rm -f /etc/resolv.conf && echo nameserver 127.0.0.1 >/etc/resolv.conf")
        .expect(0);
    let names: Vec<_> = (0..20).map(|number| format!("well{number}")).collect();
    for (name, port) in names.iter().zip(9100..) {
        app(&lab, name, port, "", HEALTH);
    }
    install(&lab, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let slow = HEALTH.replace("timeout = \"1s\"", "timeout = \"9s\"");
    app(
        &lab,
        "hangs",
        9001,
        "",
        &slow.replace("retries = 2", "action = \"none\""),
    );
    install(&lab, &["hangs"]);
    lab.run("echo hang >/srv/hangs/mode").expect(0);
    app(
        &lab,
        "nowhere",
        9002,
        "",
        &slow.replace("127.0.0.1:PORT", "nowhere.example:PORT"),
    );
    lab.run("autoglm-boot install --no-wait -m /srv/nowhere/app.toml")
        .expect(0);
    sleep(3 * SECOND);

    for stop in ["true", "systemctl stop autoglm-boot-watch"] {
        lab.run(stop).expect(0);
        for name in ["hangs", "nowhere"] {
            // Beside one that is well, in turns: how long it takes anyway, depends on the machine.
            let times = lab.run(&format!(
                "python3 -c 'import subprocess, time\ndef once(name):\n    t = time.perf_counter(); subprocess.run([\"autoglm-boot\", \"status\", name], capture_output=True); return time.perf_counter() - t\nmedian = lambda times: sorted(times)[len(times) // 2]\nprint(*map(median, zip(*((once(\"{name}\"), once(\"well0\")) for _ in range(15)))))'"
            ));
            let times: Vec<f64> = times
                .stdout
                .split_whitespace()
                .map(|time| time.parse().unwrap())
                .collect();
            assert!(
                times[0] < times[1] + 0.1,
                "{name} after {stop}: {times:?} s, though nobody waits for an answer"
            );
        }
    }
    lab.run("systemctl start autoglm-boot-watch").expect(0);
    lab.run("autoglm-boot uninstall hangs && autoglm-boot uninstall nowhere")
        .expect(0);
    sleep(2 * SECOND);
    lab.run("journalctl --sync; journalctl --rotate; journalctl --vacuum-time=1s")
        .expect(0);
    sleep(5 * SECOND);
    let lines = lab
        .run("journalctl --sync; journalctl -q --no-pager | grep -E 'well[0-9]|autoglm' ")
        .stdout;
    assert_eq!(lines, "", "all are well: there is nothing to say");
}

/// An app of the account `app` that is a script, in a folder of its own.
fn script(lab: &Lab, name: &str, script: &str, tables: &str) {
    lab.write(&format!("/srv/{name}/run"), &format!("#!/bin/sh\n{script}\n"), 0o755);
    let text = format!("[app]\nname = \"{name}\"\n[service]\ncommand = [\"./run\"]\n{tables}");
    lab.write(&format!("/srv/{name}/app.toml"), &text, 0o644);
    lab.run(&format!("chown -R app:app /srv/{name}")).expect(0);
}

#[test]
fn a_probe_has_no_more_rights_than_its_app_sees_its_files_and_leaves_nothing() {
    const ASKED: &str = "interval = \"200ms\"\ntimeout = \"1s\"\nretries = 2\naction = \"none\"\n";
    let lab = Lab::with_program("watch-rights");
    // A program with the set-user-ID bit is root's as long as it runs; what the app asks for is not.
    let su = "until test -s asked; do sleep 0.1; done; sleep 2; mkfifo fifo; sleep 9999 >fifo & exec su <fifo";
    let id = "[security]\nprofile = \"none\"\n[health]\ncommand = [\"sh\", \"-c\", \"id -u >>asked\"]\n";
    script(&lab, "becomes", su, &format!("{id}{ASKED}"));
    // Nothing gives it new rights, within the watcher or without.
    let nothing_new = "[security]\nprofile = \"none\"\n[health]\ncommand = [\"grep\", \"-q\", \"NoNewPrivs:.*1\", \"/proc/self/status\"]\n";
    script(&lab, "gains", "exec sleep 9999", &format!("{nothing_new}{ASKED}"));
    // A file of its own /tmp, by way of a link that leads somewhere else for us.
    let own_files = "touch /tmp/alive; ln -s /tmp/alive /var/tmp/link; exec sleep 9999";
    let file =
        "[security]\nprofile = \"strict\"\n[readiness]\nfile = \"/var/tmp/link\"\n[health]\nfile = \"/tmp/alive\"\n";
    script(&lab, "files", own_files, &format!("{file}{ASKED}"));
    // A title over its environment, as servers set it.
    let title = "exec perl -e '$0 = \"x\" x 3000; sleep 9999'";
    let mark = "environment = { MARK = \"given\" }\n[health]\ncommand = [\"sh\", \"-c\", \"test $MARK = given\"]\n";
    script(&lab, "title", title, &format!("{mark}{ASKED}"));
    let leaves = "[health]\ncommand = [\"sh\", \"-c\", \"setsid sleep 7777 & sleep 7777 & exit 0\"]\n";
    script(&lab, "leaves", "exec sleep 9999", &format!("{leaves}{ASKED}"));
    let names = ["becomes", "gains", "files", "title", "leaves"];
    install(&lab, &names);

    sleep(4 * SECOND);
    let status = |name: &str| lab.run(&format!("autoglm-boot status {name}"));
    for name in ["gains", "files", "title", "leaves"] {
        assert!(
            status(name).stdout.starts_with(&format!("{name}: ready")),
            "{}",
            status(name).stdout
        );
    }
    soon(&lab, "autoglm-boot status becomes | grep 'becomes: unhealthy'");
    let told = journal(&lab, "becomes");
    assert!(told.contains("runs with other rights"), "{told}");
    let asked = lab.run("sort -u /srv/becomes/asked").stdout;
    assert_eq!(asked, "1000\n", "before it was root's, and never after");
    for (name, code) in [("gains", 0), ("files", 0), ("title", 0), ("leaves", 0), ("becomes", 7)] {
        lab.run(&format!("autoglm-boot probe {name}")).expect(code);
    }
    assert_eq!(lab.run("sort -u /srv/becomes/asked").stdout, "1000\n");
    let left: u32 = lab.run("pgrep -cf 'sleep 7777'").stdout.trim().parse().unwrap();
    assert!(left <= 6, "{left} of about forty");
    let open = lab
        .run(&format!("ls /proc/$(systemctl show -P MainPID {WATCH})/fd | wc -l"))
        .stdout;
    assert!(open.trim().parse::<u32>().unwrap() < 40, "{open}");
    // What is not there any more is seen as well.
    lab.run("rm /proc/$(systemctl show -P MainPID files)/root/tmp/alive")
        .expect(0);
    soon(&lab, "autoglm-boot status files | grep 'files: unhealthy'");
    for name in names {
        lab.run(&format!("autoglm-boot uninstall {name}")).expect(0);
    }
    // Those of the install and of the question by hand; in sessions of their own they are nobody's.
    let left: u32 = lab.run("pgrep -cf 'sleep 7777'").stdout.trim().parse().unwrap();
    assert!(left <= 2, "{left}");
}
