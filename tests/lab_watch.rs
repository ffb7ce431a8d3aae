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
    lab.run("autoglm-boot uninstall needs && autoglm-boot uninstall one")
        .expect(0);
    assert_eq!(lab.listing(&["/etc", "/var/lib"]), clean);
    assert_eq!(
        lab.run(&format!("systemctl is-active {WATCH}")).stdout.trim(),
        "inactive"
    );
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
    lab.run("echo 500 >/srv/one/mode.later; newer install -m /srv/one/app.toml")
        .expect(0);
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
    lab.run("touch /run/tried").expect(0);
    install(&lab, &["slow", "needs", "told", "follows"]);
    lab.run("rm /srv/*/starts").expect(0);

    lab.reboot();
    soon(&lab, "autoglm-boot status needs slow told follows");
    let (ready, started) = (starts(&lab, "slow", "ready"), starts(&lab, "needs", "started"));
    assert!(started[0] >= ready[0] && started.len() == 1, "{started:?} {ready:?}");
    assert!(property(&lab, "told", "NRestarts") != "0", "it failed first");
    let log = journal(&lab, "follows");
    assert!(log.contains("told is ready now: it is started"), "{log}");
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
            let times = lab.run(&format!(
                "python3 -c 'import subprocess, time\ndef once():\n    t = time.perf_counter(); subprocess.run([\"autoglm-boot\", \"status\", \"{name}\"], capture_output=True); return time.perf_counter() - t\nprint(sorted(once() for _ in range(9))[4])'"
            ));
            let median: f64 = times.stdout.trim().parse().unwrap();
            assert!(
                median < 1.0,
                "{name} after {stop}: {median} s, though nobody waits for an answer"
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
