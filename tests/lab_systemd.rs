//! The main job on a real systemd: install, answer, reboot, answer again, uninstall and leave nothing; and every way an app
//! can fail to start.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use support::lab::Lab;

const FOLDERS: [&str; 4] = ["/etc", "/usr", "/var/lib", "/home"];

fn hello(lab: &Lab) {
    lab.run("cp -r /opt/examples/hello /srv/hello").expect(0);
}

fn answers(lab: &Lab) -> bool {
    lab.run("curl -fsS --max-time 5 http://127.0.0.1:8765/").stdout == "hello\n"
}

/// The first answer may need a moment after a boot: systemd says "running" before Python does.
fn answers_soon(lab: &Lab) -> bool {
    (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answers(lab)
    })
}

#[test]
fn it_answers_again_after_a_reboot_and_leaves_nothing_after_uninstall() {
    let mut lab = Lab::with_program("life");
    hello(&lab);
    let before = lab.listing(&FOLDERS);
    let out = lab.run("autoglm-boot install --manifest /srv/hello/app.toml").expect(0);
    assert!(out.stdout.contains("hello: installed and ready"), "{}", out.stdout);
    assert!(answers(&lab));
    let out = lab.run("autoglm-boot status hello --json").expect(0);
    for fact in [
        "\"state\": \"ready\"",
        "\"enabled_at_boot\": true",
        "\"drifted\": false",
    ] {
        assert!(out.stdout.contains(fact), "{fact} in {}", out.stdout);
    }

    lab.reboot();
    assert!(answers_soon(&lab));
    assert!(
        lab.run("autoglm-boot status hello")
            .expect(0)
            .stdout
            .starts_with("hello: ready")
    );
    lab.power_cut();
    assert!(answers_soon(&lab));

    lab.run("autoglm-boot uninstall hello").expect(0);
    assert!(!answers(&lab));
    assert_eq!(lab.listing(&FOLDERS), before);
    assert_eq!(lab.run("pgrep -f [h]ello.py").code, 1, "no process is left");
    assert_eq!(lab.run("systemctl list-units --failed --quiet --no-pager").stdout, "");
    lab.run("autoglm-boot status hello").expect(4);
    lab.run("autoglm-boot uninstall hello").expect(4);
}

#[test]
fn a_second_install_changes_nothing_and_a_changed_manifest_changes_the_app() {
    let lab = Lab::with_program("again");
    hello(&lab);
    lab.run("autoglm-boot install -m /srv/hello/app.toml").expect(0);
    let pid = lab.run("systemctl show -P MainPID hello").stdout;
    assert!(
        lab.run("autoglm-boot install -m /srv/hello/app.toml")
            .expect(0)
            .stdout
            .contains("unchanged")
    );
    lab.run("autoglm-boot install --check -m /srv/hello/app.toml").expect(0);
    assert_eq!(
        lab.run("systemctl show -P MainPID hello").stdout,
        pid,
        "nothing was restarted"
    );

    lab.run("sed -i 's/version = .*/version = \"2.0\"/; s/8765/8766/' /srv/hello/app.toml")
        .expect(0);
    lab.run("autoglm-boot install --check -m /srv/hello/app.toml").expect(6);
    lab.run("autoglm-boot install --dry-run -m /srv/hello/app.toml")
        .expect(0);
    assert_eq!(
        lab.run("systemctl show -P MainPID hello").stdout,
        pid,
        "a dry run changes nothing"
    );
    lab.run("autoglm-boot install -m /srv/hello/app.toml").expect(0);
    lab.run("curl -fsS http://127.0.0.1:8766/health").expect(0);
    let out = lab.run("cd /srv/hello && autoglm-boot status && autoglm-boot stop && autoglm-boot status");
    assert_eq!(out.code, 3, "{}", out.stdout);
    lab.run("cd / && autoglm-boot start").expect(0);
    assert!(
        lab.run("autoglm-boot logs hello -n 5")
            .expect(0)
            .stdout
            .contains("hello.service")
    );
}

#[test]
fn an_update_that_does_not_become_ready_leaves_the_earlier_version_running() {
    let lab = Lab::with_program("undo");
    hello(&lab);
    lab.run("autoglm-boot install -m /srv/hello/app.toml").expect(0);
    let before = lab.listing(&FOLDERS);
    lab.run("sed -i 's/8765\"]/1\"]/' /srv/hello/app.toml").expect(0); // a port it may take, but not the one that is asked
    let out = lab
        .run("autoglm-boot install -m /srv/hello/app.toml --timeout 2s")
        .expect(1);
    assert!(
        out.stderr.contains("not ready within 2s") && out.stderr.contains("the earlier version is back"),
        "{}",
        out.stderr
    );
    assert!(answers(&lab));
    assert_eq!(lab.listing(&FOLDERS), before);
    lab.run("autoglm-boot status hello").expect(0);
}

#[test]
fn an_app_that_cannot_start_is_refused_with_cause_and_repair_and_leaves_nothing() {
    let lab = Lab::with_program("bad");
    lab.run("printf '#!/no/such/interpreter\\n' >/srv/script; chmod +x /srv/script; touch /srv/plain")
        .expect(0);
    let before = lab.listing(&FOLDERS);
    let cases = [
        (r#"command = ["/no/such/program"]"#, "is not there"),
        (r#"command = ["/srv/plain"]"#, "is not executable"),
        (r#"command = ["/srv/script"]"#, "interpreter"),
        (r#"command = ["sh", "-c", "echo 'last words'; exit 3"]"#, "last words"),
        (r#"command = ["sh", "-c", "exit 3"]"#, "exit status 3"),
        (r#"command = ["true"]"#, "exit status 0"),
        (r#"command = ["sh", "-c", "sleep 2; kill -SEGV $$"]"#, "SIGSEGV"),
        ("command = [\"sleep\", \"9\"]\nuser = \"nobody-here\"", "no user"),
        (
            "command = [\"sleep\", \"9\"]\nworking_directory = \"/no/such\"",
            "is not there",
        ),
        (
            "command = [\"sleep\", \"9\"]\nstart_timeout = \"1s\"\n[readiness]\ntcp = \"127.0.0.1:9\"",
            "not ready within 1s",
        ),
        (
            "command = [\"sh\", \"-c\", \"exit 7\"]\n[restart]\ndelay = \"100ms\"\n[readiness]\ntcp = \"127.0.0.1:9\"",
            "exit status 7",
        ),
        (
            "command = [\"sleep\", \"9\"]\ntype = \"notify\"\nstart_timeout = \"1s\"",
            "bad",
        ),
        (
            "command = [\"sleep\", \"9\"]\npre_start = [[\"false\"]]",
            "could not be started",
        ),
        (
            "command = [\"sleep\", \"9\"]\n[dependencies]\nrequires = [\"nothing-there\"]",
            "requires nothing-there.service",
        ),
        (
            "command = [\"sleep\", \"9\"]\n[raw.systemd.Service]\nExecStart = \"\"",
            "check [raw.systemd]",
        ),
    ];
    for (service, said) in cases {
        lab.write(
            "/srv/app.toml",
            &format!("[app]\nname = \"bad\"\n[service]\n{service}\n"),
            0o644,
        );
        let out = lab.run("autoglm-boot install -m /srv/app.toml").expect(1);
        assert!(out.stderr.contains(said), "{service}: {said} in {}", out.stderr);
        assert!(
            out.stderr.contains("repair:") || out.stderr.contains("help:"),
            "{}",
            out.stderr
        );
        assert_eq!(lab.listing(&FOLDERS), before, "{service}");
        assert_eq!(
            lab.run("systemctl list-units --all --no-legend --plain bad.service")
                .stdout,
            "",
            "{service}"
        );
        lab.run("autoglm-boot status bad").expect(4);
    }
}

#[test]
fn restarts_by_hand_never_use_up_the_budget_but_crashes_do() {
    let lab = Lab::with_program("budget");
    hello(&lab);
    lab.run("autoglm-boot install -m /srv/hello/app.toml").expect(0);
    for _ in 0..30 {
        lab.run("systemctl restart hello").expect(0);
    }
    for _ in 0..8 {
        lab.run("autoglm-boot restart hello").expect(0);
    }
    lab.run("autoglm-boot status hello").expect(0);
    for end in ["exit 0", "exit 3", "kill -KILL $$"] {
        let service = format!(
            "command = [\"sh\", \"-c\", \"echo >>/srv/starts; sleep 0.2; {end}\"]\n[restart]\ndelay = \"100ms\"\nmax_attempts = 3"
        );
        lab.write(
            "/srv/crash.toml",
            &format!("[app]\nname = \"crash\"\n[service]\n{service}\n"),
            0o644,
        );
        lab.run("autoglm-boot install --no-wait -m /srv/crash.toml").expect(0);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let out = lab.run("autoglm-boot status crash").expect(3);
        assert!(out.stdout.starts_with("crash: failed"), "{end}: {}", out.stdout);
        assert_eq!(
            lab.run("wc -l </srv/starts; rm /srv/starts").stdout.trim(),
            "4",
            "{end}: the first start and three restarts"
        );
        lab.run("autoglm-boot uninstall crash").expect(0);
    }
}

#[test]
fn a_user_installs_without_root_and_it_runs_after_a_reboot_without_a_login() {
    let mut lab = Lab::with_program("user");
    lab.run("cp -r /opt/examples/hello /home/app/hello && chown -R app: /home/app")
        .expect(0);
    let before = lab.listing(&FOLDERS);
    let out = lab
        .as_user("app", "autoglm-boot install --system -m /home/app/hello/app.toml")
        .expect(5);
    assert!(out.stderr.contains("sudo autoglm-boot install"), "{}", out.stderr);
    // Without a session polkit denies lingering: then exit 5 names the command for an administrator.
    let out = lab.as_user("app", "autoglm-boot install -m /home/app/hello/app.toml");
    if out.code == 5 {
        assert!(out.stderr.contains("sudo loginctl enable-linger app"), "{}", out.stderr);
        assert_eq!(lab.listing(&FOLDERS), before);
        lab.run("loginctl enable-linger app").expect(0);
        lab.as_user("app", "autoglm-boot install -m /home/app/hello/app.toml")
            .expect(0);
    } else {
        assert_eq!(out.code, 0, "{}", out.stderr);
    }
    assert!(answers(&lab));
    lab.reboot();
    assert!(answers_soon(&lab));
    lab.as_user("app", "autoglm-boot status hello").expect(0);
    lab.as_user("app", "autoglm-boot uninstall hello").expect(0);
    lab.run("loginctl disable-linger app").expect(0);
    assert_eq!(
        lab.listing(&["/home"]).keys().collect::<Vec<_>>(),
        before.keys().filter(|p| p.starts_with("/home")).collect::<Vec<_>>()
    );
}

/// systemd reads a new name by itself, but keeps what it read of a file that was removed, as long as something refers to it.
#[test]
fn a_name_that_systemd_remembers_starts_the_new_command_and_a_changed_app_costs_one_reload() {
    let lab = Lab::with_program("reload");
    let reloads = || {
        let log = lab.run("journalctl --quiet -o cat _PID=1 | grep -c '^Reloading\\.'");
        log.stdout.trim().parse::<u32>().unwrap()
    };
    let app = |argument: &str| {
        lab.write(
            "/srv/app.toml",
            &format!("[app]\nname = \"app\"\n[service]\ncommand = [\"sleep\", \"{argument}\"]\n"),
            0o644,
        );
    };
    let command = || {
        lab.run("tr '\\0' ' ' </proc/$(systemctl show -P MainPID app)/cmdline")
            .stdout
    };
    lab.write(
        "/etc/systemd/system/app.service",
        "[Service]\nExecStart=/bin/sleep 111\n",
        0o644,
    );
    lab.write(
        "/etc/systemd/system/other.service",
        "[Unit]\nWants=app.service\n[Service]\nExecStart=/bin/sleep 112\n",
        0o644,
    );
    lab.run(
        "systemctl daemon-reload && systemctl start other && systemctl stop app && rm /etc/systemd/system/app.service",
    )
    .expect(0);
    let before = reloads();
    app("222");
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    assert_eq!(command(), "/usr/bin/sleep 222 ");
    assert_eq!(reloads(), before + 1, "remembered: reloaded once");
    app("333");
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    assert_eq!(command(), "/usr/bin/sleep 333 ");
    assert_eq!(reloads(), before + 2, "changed: reloaded once");

    lab.write(
        "/srv/new.toml",
        "[app]\nname = \"new\"\n[service]\ncommand = [\"sleep\", \"444\"]\n",
        0o644,
    );
    lab.run("autoglm-boot install -m /srv/new.toml").expect(0);
    assert_eq!(reloads(), before + 2, "a new name needs none");

    // Its file is gone, but it runs: that is seen, and it is not taken for new.
    lab.run("systemctl start --no-block other; cp /etc/systemd/system/new.service /run/systemd/system/gone.service && systemctl start gone && rm /run/systemd/system/gone.service").expect(0);
    lab.write(
        "/srv/gone.toml",
        "[app]\nname = \"gone\"\n[service]\ncommand = [\"sleep\", \"555\"]\n",
        0o644,
    );
    let out = lab.run("autoglm-boot install -m /srv/gone.toml").expect(1);
    assert!(out.stderr.contains("is not ours"), "{}", out.stderr);
}

/// docs/changes.md: what only people or the service manager read does not restart the app, and is in effect nevertheless.
#[test]
fn a_change_restarts_the_app_only_if_the_app_would_notice() {
    let lab = Lab::with_program("change");
    let install = |extra: &str, delay: &str, text: &str| {
        let manifest = format!(
            "[app]\nname = \"app\"\ndescription = \"{text}\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n{extra}\n\
             [restart]\ndelay = \"{delay}\"\n[readiness]\nsettle = \"50ms\"\n"
        );
        lab.write("/srv/app.toml", &manifest, 0o644);
        lab.run("autoglm-boot install -m /srv/app.toml").expect(0).stdout
    };
    let show = |property: &str| {
        lab.run(&format!("systemctl show -P {property} app"))
            .stdout
            .trim()
            .to_owned()
    };
    install("", "5s", "one");
    let pid = show("MainPID");
    let said = install("", "5s", "two");
    assert!(said.contains("updated; it runs on as it did"), "{said}");
    assert_eq!((show("Description").as_str(), show("MainPID")), ("two", pid.clone()));
    install("stop_timeout = \"7s\"", "100ms", "two");
    assert_eq!(show("MainPID"), pid);
    assert_eq!(
        (show("TimeoutStopUSec").as_str(), show("RestartUSec").as_str()),
        ("7s", "100ms")
    );
    assert_eq!(show("NeedDaemonReload"), "no");
    // The new delay is in effect in the life that began before it.
    lab.run(&format!("kill -KILL {pid}; sleep 1")).expect(0);
    let restarted = show("MainPID");
    assert!(restarted != pid && restarted != "0");
    install("stop_timeout = \"7s\"\nenvironment = { A = \"1\" }", "100ms", "two");
    assert_ne!(show("MainPID"), restarted, "an environment is only read at a start");
}

#[test]
fn a_start_of_what_runs_again_after_a_crash_is_well_and_one_that_waits_for_its_restart_begins_at_once() {
    let lab = Lab::with_program("crashed");
    lab.write(
        "/srv/app.toml",
        "[app]\nname = \"app\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n[readiness]\nsettle = \"50ms\"\n[restart]\ndelay = \"1s\"\n",
        0o644,
    );
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    let crash = "kill -KILL $(systemctl show -P MainPID app)";
    lab.run(&format!(
        "{crash}; sleep 1.5; systemctl show -P NRestarts app | grep -x 1"
    ))
    .expect(0);
    lab.run("autoglm-boot start app").expect(0);
    lab.run(&format!("{crash}; sleep 0.2; autoglm-boot start app"))
        .expect(0);
    lab.run("systemctl show -P NRestarts app | grep -x 0").expect(0);
}
