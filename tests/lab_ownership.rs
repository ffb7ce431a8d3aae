//! Whose unit is it: what somebody else wrote, changed, masked, disabled, added or needs is refused or kept, told with a
//! repair, and put back exactly; and the words and exit codes of `status`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use support::lab::{Lab, Out};

const FOLDERS: [&str; 4] = ["/etc", "/usr/lib/systemd/system", "/var/lib", "/srv"];
const UNIT: &str = "/etc/systemd/system/app.service";
const SLEEP: &str = "command = [\"sleep\", \"1000\"]";

/// Writes `/srv/NAME.toml`: a table `[service]` to go on from, and an app that is ready at once.
fn manifest(lab: &Lab, name: &str, service: &str) {
    let text = format!("[app]\nname = \"{name}\"\n[readiness]\nsettle = \"50ms\"\n[service]\n{service}\n");
    lab.write(&format!("/srv/{name}.toml"), &text, 0o644);
}

fn install(lab: &Lab, name: &str, flags: &str) -> Out {
    lab.run(&format!("autoglm-boot install -m /srv/{name}.toml {flags}"))
}

/// Properties of a unit, as systemd has them in memory.
fn show(lab: &Lab, unit: &str, property: &str) -> String {
    lab.run(&format!("systemctl show -P {property} {unit}"))
        .expect(0)
        .stdout
        .trim()
        .to_owned()
}

fn is_active(lab: &Lab, unit: &str) -> bool {
    show(lab, unit, "ActiveState") == "active"
}

fn command_line(lab: &Lab, unit: &str) -> String {
    lab.run(&format!(
        "tr '\\0' ' ' </proc/$(systemctl show -P MainPID {unit})/cmdline"
    ))
    .stdout
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} in {text}");
    }
}

/// `status`, until it begins with these words; then it must exit with this code.
#[track_caller]
fn status(lab: &Lab, name: &str, words: &str, code: i32) -> String {
    let start = Instant::now();
    loop {
        let out = lab.run(&format!("autoglm-boot status {name}"));
        if out.stdout.starts_with(&format!("{name}: {words}")) {
            return out.expect(code).stdout;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{words} in {}{}",
            out.stdout,
            out.stderr
        );
        sleep(Duration::from_millis(50));
    }
}

/// One foreign unit: refused without a trace, adopted, and put back as it was.
fn refused_adopted_and_put_back(lab: &Lab, case: &str, fragment: &str, was_active: bool, diff: &[&str]) {
    let before = lab.listing(&FOLDERS);
    let pid = show(lab, "app", "MainPID");
    let enabled = show(lab, "app", "UnitFileState");
    status(lab, "app", "foreign", 4);
    for flags in ["", "--force", "--dry-run"] {
        let out = install(lab, "app", flags).expect(1);
        says(
            &out.stderr,
            &["is not ours", fragment, "Nothing was changed", "--adopt"],
        );
        says(&out.stderr, diff);
        assert_eq!(lab.listing(&FOLDERS), before, "{case} {flags}");
        assert_eq!(show(lab, "app", "MainPID"), pid, "{case} {flags}: not even restarted");
    }
    lab.run("autoglm-boot uninstall app").expect(4);

    let out = install(lab, "app", "--adopt").expect(0);
    says(&out.stdout, &["adopted and ready"]);
    status(lab, "app", "ready", 0);
    assert_eq!(command_line(lab, "app"), "/usr/bin/sleep 1000 ", "{case}");
    says(&install(lab, "app", "").expect(0).stdout, &["unchanged"]);
    // What is put back is what was there first, not what an update replaced; and a file is adopted once.
    manifest(lab, "app", "command = [\"sleep\", \"1001\"]");
    says(&install(lab, "app", "--adopt").expect(0).stdout, &["updated and ready"]);
    assert_eq!(command_line(lab, "app"), "/usr/bin/sleep 1001 ", "{case}");
    manifest(lab, "app", SLEEP);

    let out = lab.run("autoglm-boot uninstall app").expect(0);
    says(&out.stdout, &["the unit that was there before is back"]);
    assert_eq!(lab.listing(&FOLDERS), before, "{case}: as it was");
    assert_eq!(is_active(lab, "app"), was_active, "{case}");
    assert_eq!(show(lab, "app", "UnitFileState"), enabled, "{case}");
    if was_active {
        assert_eq!(command_line(lab, "app"), "/bin/sleep 111 ", "{case}");
    }
}

const FOREIGN: &str = "[Unit]\nDescription=by hand\n[Service]\nExecStart=/bin/sleep 111\n[Install]\nWantedBy=multi-user.target graphical.target\nAlias=other-name.service\n";

#[test]
fn a_foreign_unit_is_refused_with_a_diff_and_adopted_only_when_told_and_put_back_exactly() {
    let lab = Lab::with_program("foreign");
    manifest(&lab, "app", SLEEP);
    let diff = ["-Description=by hand", "-ExecStart=/bin/sleep 111", "+ExecStart="];

    // By hand, enabled and running, with a mode and an owner of its own.
    lab.write(UNIT, FOREIGN, 0o640);
    lab.run(&format!(
        "chown app: {UNIT} && systemctl daemon-reload && systemctl enable --now app"
    ))
    .expect(0);
    refused_adopted_and_put_back(&lab, "by hand", UNIT, true, &diff);

    // By hand, neither enabled nor running.
    lab.run("systemctl disable --now app").expect(0);
    refused_adopted_and_put_back(&lab, "disabled", UNIT, false, &diff);

    // Linked from elsewhere.
    lab.run(&format!(
        "mv {UNIT} /srv/app.service && systemctl daemon-reload && systemctl enable --now /srv/app.service"
    ))
    .expect(0);
    refused_adopted_and_put_back(&lab, "linked", UNIT, true, &diff);
    lab.run("systemctl disable --now app && rm /srv/app.service").expect(0);

    // A vendor's, which lies elsewhere: ours goes before it.
    lab.write("/usr/lib/systemd/system/app.service", FOREIGN, 0o644);
    lab.run("systemctl daemon-reload && systemctl enable --now app")
        .expect(0);
    refused_adopted_and_put_back(&lab, "vendor", "/lib/systemd/system/app.service", true, &diff);
}

/// Names and places of units that nobody wrote to the folder of the administrator.
#[test]
fn an_alias_a_runtime_file_a_static_unit_and_an_init_script_are_foreign_and_put_back_as_well() {
    let lab = Lab::with_program("kinds");
    manifest(&lab, "app", SLEEP);
    let diff = ["-Description=by hand", "-ExecStart=/bin/sleep 111", "+ExecStart="];
    let foreign = FOREIGN.replace("other-name", "app");

    // The name is another unit's second one.
    lab.write("/etc/systemd/system/real.service", &foreign, 0o644);
    lab.run("systemctl daemon-reload && systemctl enable --now real")
        .expect(0);
    refused_adopted_and_put_back(&lab, "alias", "/etc/systemd/system/real.service", true, &diff);
    lab.run("systemctl disable --now real && rm /etc/systemd/system/real.service && systemctl daemon-reload")
        .expect(0);

    // It lasts until the next boot, and ours goes before it.
    lab.write("/root/app.service", FOREIGN, 0o644); // /run is mounted inside of the lab
    lab.run(
        "mkdir -p /run/systemd/system && cp /root/app.service /run/systemd/system && systemctl daemon-reload && systemctl start app",
    )
    .expect(0);
    refused_adopted_and_put_back(&lab, "runtime", "/run/systemd/system/app.service", true, &diff);
    lab.run("systemctl stop app && rm /run/systemd/system/app.service && systemctl daemon-reload")
        .expect(0);

    // A vendor's that starts at boot by a link of the vendor's own.
    let (text, _) = FOREIGN.split_once("[Install]").unwrap();
    lab.write("/usr/lib/systemd/system/app.service", text, 0o644);
    lab.run(
        "cd /usr/lib/systemd/system && mkdir -p multi-user.target.wants && ln -s ../app.service multi-user.target.wants/ && \
         systemctl daemon-reload && systemctl start app",
    )
    .expect(0);
    refused_adopted_and_put_back(&lab, "static", "/lib/systemd/system/app.service", true, &diff);
    lab.run(
        "systemctl stop app && cd /usr/lib/systemd/system && rm app.service multi-user.target.wants/app.service && systemctl daemon-reload",
    )
    .expect(0);

    // systemd makes a unit of an init script.
    let script = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: app\n# Required-Start:\n# Required-Stop:\n\
                  # Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\nexit 0\n";
    lab.write("/etc/init.d/app", script, 0o755);
    lab.run("systemctl daemon-reload").expect(0);
    refused_adopted_and_put_back(&lab, "init.d", "generator.late/app.service", false, &["+ExecStart="]);
}

/// systemd looks for units made at run time first: an adoption would not be seen until they are gone.
#[test]
fn a_unit_made_at_run_time_is_refused_also_by_adopt_until_it_is_stopped() {
    let lab = Lab::with_program("transient");
    manifest(&lab, "app", SLEEP);
    lab.run("systemd-run --unit=app sleep 111").expect(0);
    let before = lab.listing(&FOLDERS);
    status(&lab, "app", "foreign", 4);
    for flags in ["", "--adopt --force", "--dry-run --adopt"] {
        let out = install(&lab, "app", flags).expect(1);
        says(
            &out.stderr,
            &[
                "/run/systemd/transient/app.service",
                "Nothing was changed",
                "systemctl stop app.service",
            ],
        );
        assert_eq!(lab.listing(&FOLDERS), before, "{flags}");
        assert_eq!(command_line(&lab, "app"), "/usr/bin/sleep 111 ", "{flags}");
    }
    lab.run("systemctl stop app.service").expect(0);
    install(&lab, "app", "").expect(0);
    assert_eq!(command_line(&lab, "app"), "/usr/bin/sleep 1000 ");
    lab.run("autoglm-boot uninstall app").expect(0);
    assert_eq!(lab.listing(&FOLDERS), before);
}

#[test]
fn an_adoption_that_fails_leaves_the_foreign_unit_running_as_it_was() {
    let lab = Lab::with_program("adopt");
    manifest(&lab, "app", "command = [\"sh\", \"-c\", \"echo 'last words'; exit 3\"]");
    for (path, enable) in [(UNIT, "enable"), ("/usr/lib/systemd/system/app.service", "disable")] {
        lab.write(path, FOREIGN, 0o640);
        lab.run(&format!(
            "systemctl daemon-reload && systemctl {enable} app && systemctl start app"
        ))
        .expect(0);
        let before = lab.listing(&FOLDERS);
        let enabled = show(&lab, "app", "UnitFileState");
        let out = install(&lab, "app", "--adopt").expect(1);
        says(&out.stderr, &["exit status 3", "the earlier version is back"]);
        assert_eq!(lab.listing(&FOLDERS), before, "{path}");
        assert!(is_active(&lab, "app"), "{path}");
        assert_eq!(command_line(&lab, "app"), "/bin/sleep 111 ", "{path}");
        assert_eq!(show(&lab, "app", "UnitFileState"), enabled, "{path}");
        assert_eq!(show(&lab, "app", "NeedDaemonReload"), "no", "{path}");
        status(&lab, "app", "foreign", 4);
        lab.run(&format!("systemctl disable --now app; rm {path}")).expect(0);
    }
}

/// Also an empty file masks, and a mask may last until the next boot only.
#[test]
fn a_masked_unit_is_refused_also_by_force_and_stays_masked() {
    let lab = Lab::with_program("masked");
    manifest(&lab, "app", SLEEP);
    for (mask, unmask) in [
        ("systemctl mask app", "systemctl unmask app"),
        ("systemctl mask --runtime app", "systemctl unmask --runtime app"),
        (
            "touch /etc/systemd/system/app.service && systemctl daemon-reload",
            "rm /etc/systemd/system/app.service && systemctl daemon-reload",
        ),
    ] {
        lab.run(mask).expect(0);
        let before = lab.listing(&FOLDERS);
        for flags in ["", "--force", "--adopt", "--adopt --force", "--dry-run"] {
            let out = install(&lab, "app", flags).expect(1);
            says(&out.stderr, &["masked", "Nothing was changed", "unmask"]);
            assert_eq!(lab.listing(&FOLDERS), before, "{mask}: {flags}");
            assert_eq!(show(&lab, "app", "LoadState"), "masked", "{mask}: {flags}");
        }
        status(&lab, "app", "foreign", 4);
        lab.run(unmask).expect(0);
        install(&lab, "app", "").expect(0);
        lab.run("autoglm-boot uninstall app").expect(0);
    }
    // Ours, masked while it was installed.
    install(&lab, "app", "").expect(0);
    lab.run(&format!("systemctl stop app && rm {UNIT} && systemctl mask app"))
        .expect(0);
    let out = install(&lab, "app", "--force").expect(1);
    says(&out.stderr, &["masked", "unmask"]);
    assert_eq!(show(&lab, "app", "LoadState"), "masked");
}

#[test]
fn what_was_disabled_by_hand_stays_disabled_with_a_warning_until_forced() {
    let mut lab = Lab::with_program("disabled");
    manifest(&lab, "app", SLEEP);
    install(&lab, "app", "").expect(0);
    says(&status(&lab, "app", "ready", 0), &["at boot   enabled"]);

    lab.run("systemctl disable app").expect(0);
    says(&status(&lab, "app", "ready", 0), &["at boot   not enabled"]);
    for service in [
        SLEEP,
        "command = [\"sleep\", \"1001\"]",
        "command = [\"sleep\", \"1002\"]",
    ] {
        manifest(&lab, "app", service);
        let out = install(&lab, "app", "").expect(0);
        says(&out.stderr, &["disabled by hand", "--force"]);
        assert_eq!(lab.run("systemctl is-enabled app").stdout.trim(), "disabled");
        says(&status(&lab, "app", "ready", 0), &["at boot   not enabled"]);
    }
    lab.run("autoglm-boot stop app").expect(0);
    status(&lab, "app", "disabled", 3);
    lab.reboot();
    status(&lab, "app", "disabled", 3);
    lab.run("autoglm-boot start app").expect(0);

    // Nothing changed but the wish: the link is made, the app runs on, and systemd knows.
    let pid = show(&lab, "app", "MainPID");
    let out = install(&lab, "app", "--force").expect(0);
    assert!(!out.stderr.contains("disabled by hand"), "{}", out.stderr);
    assert_eq!(lab.run("systemctl is-enabled app").stdout.trim(), "enabled");
    assert_eq!(show(&lab, "app", "MainPID"), pid);
    says(&status(&lab, "app", "ready", 0), &["at boot   enabled"]);
    lab.run("autoglm-boot stop app").expect(0);
    status(&lab, "app", "stopped", 3);
    lab.reboot();
    status(&lab, "app", "ready", 0);
}

#[test]
fn a_unit_changed_by_hand_is_shown_and_refused_and_overwritten_only_by_force() {
    let lab = Lab::with_program("drift");
    manifest(&lab, "app", SLEEP);
    install(&lab, "app", "").expect(0);
    let installed = lab.run(&format!("cat {UNIT}")).stdout;
    for service in [SLEEP, "command = [\"sleep\", \"1001\"]"] {
        manifest(&lab, "app", service);
        lab.run(&format!("echo '# by hand' >>{UNIT} && systemctl daemon-reload"))
            .expect(0);
        says(&status(&lab, "app", "ready (drifted)", 0), &["not as it was installed"]);
        says(
            &lab.run("autoglm-boot status app --json").expect(0).stdout,
            &["\"drifted\": true"],
        );
        let before = lab.listing(&FOLDERS);
        let pid = show(&lab, "app", "MainPID");
        for flags in ["", "--adopt", "--dry-run", "--check"] {
            let out = install(&lab, "app", flags).expect(1);
            says(
                &out.stderr,
                &["changed by hand", "-# by hand", "app.service.d/", "--force"],
            );
        }
        let out = install(&lab, "app", "--dry-run --force").expect(0);
        says(&out.stdout, &["write   /etc/systemd/system/app.service"]);
        assert_eq!(lab.listing(&FOLDERS), before);
        assert_eq!(show(&lab, "app", "MainPID"), pid);
        install(&lab, "app", "--force").expect(0);
        let out = status(&lab, "app", "ready", 0);
        assert!(!out.contains("drifted"), "{out}");
        assert!(!lab.run(&format!("cat {UNIT}")).stdout.contains("by hand"));
    }

    // Removed by hand: there is nothing of anybody's to keep.
    for stop in [
        "true",
        "systemctl stop app",
        "systemctl stop app; systemctl daemon-reload",
    ] {
        lab.run(&format!("rm {UNIT}; {stop}")).expect(0);
        says(&lab.run("autoglm-boot status app").stdout, &["(drifted)"]);
        install(&lab, "app", "").expect(0);
        let out = status(&lab, "app", "ready", 0);
        assert!(!out.contains("drifted"), "{stop}: {out}");
        assert_eq!(show(&lab, "app", "NeedDaemonReload"), "no", "{stop}");
    }
    assert_eq!(
        lab.run(&format!("cat {UNIT}")).stdout,
        installed.replace("\"1000\"", "\"1001\""),
        "as from the start"
    );
}

/// There is nothing that systemd could stop, and it says so with an error.
#[test]
fn what_was_removed_or_broken_by_hand_is_uninstalled_like_any_other() {
    let lab = Lab::with_program("broken");
    manifest(&lab, "app", SLEEP);
    let before = lab.listing(&FOLDERS);
    for broken in [format!("rm {UNIT}"), format!("sed -i /^ExecStart=/d {UNIT}")] {
        for (stop, is_running) in [("true", true), ("systemctl stop app", false)] {
            install(&lab, "app", "").expect(0);
            let pid = show(&lab, "app", "MainPID");
            lab.run(&format!("{stop} && {broken} && systemctl daemon-reload"))
                .expect(0);
            assert_ne!(show(&lab, "app", "LoadState"), "loaded", "{broken}");
            assert_eq!(is_active(&lab, "app"), is_running, "{broken}, {stop}");
            says(&lab.run("autoglm-boot status app").stdout, &["(drifted)"]);
            lab.run("autoglm-boot uninstall app").expect(0);
            assert_eq!(lab.listing(&FOLDERS), before, "{broken}, {stop}");
            assert_eq!(
                lab.run(&format!("ls /proc/{pid}")).code,
                2,
                "{broken}, {stop}: it runs on"
            );
            status(&lab, "app", "not installed", 4);
        }
    }
}

#[test]
fn dropins_environment_files_and_data_are_never_touched_and_the_kept_dropin_is_told() {
    const YOURS: [&str; 2] = ["/etc/systemd/system/app.service.d", "/srv"];
    let lab = Lab::with_program("yours");
    let before = lab.listing(&["/etc", "/usr", "/var/lib"]);
    lab.write("/srv/app/secrets.env", "SECRET=\"a b\"\n# and no end of line", 0o600);
    lab.write("/srv/app/data/numbers", "1\r\n2\0\n", 0o640);
    lab.write(
        "/etc/systemd/system/app.service.d/x.conf",
        "[Service]\nEnvironment=FROM=dropin\n",
        0o604,
    );
    lab.write("/etc/systemd/system/app.service.d/notes.txt", "no drop-in\n", 0o600);
    lab.run("chown -R app: /srv/app").expect(0);
    let service = "working_directory = \"/srv/app\"\nenvironment_files = [\"/srv/app/secrets.env\"]\n";
    manifest(&lab, "app", &format!("{service}{SLEEP}"));
    let yours = lab.listing(&YOURS);
    install(&lab, "app", "").expect(0);
    assert_eq!(lab.listing(&YOURS), yours, "installed");
    let environment = lab
        .run("tr '\\0' '\\n' </proc/$(systemctl show -P MainPID app)/environ")
        .stdout;
    says(&environment, &["FROM=dropin", "SECRET=a b"]);
    says(
        &status(&lab, "app", "ready", 0),
        &["drop-in", "/etc/systemd/system/app.service.d/x.conf (yours)"],
    );

    manifest(&lab, "app", &format!("{service}command = [\"sleep\", \"1001\"]"));
    let yours = lab.listing(&YOURS);
    install(&lab, "app", "").expect(0);
    install(&lab, "app", "--force --restart").expect(0);
    assert_eq!(lab.listing(&YOURS), yours, "updated");

    let out = lab.run("autoglm-boot uninstall app").expect(0);
    says(
        &format!("{}{}", out.stdout, out.stderr),
        &["kept, it is yours: /etc/systemd/system/app.service.d/x.conf"],
    );
    assert_eq!(lab.listing(&YOURS), yours, "uninstalled");
    lab.run("rm -r /etc/systemd/system/app.service.d").expect(0);
    assert_eq!(
        lab.listing(&["/etc", "/usr", "/var/lib"]),
        before,
        "and nothing else is left"
    );
}

#[test]
fn what_others_need_is_not_uninstalled_without_force() {
    let lab = Lab::with_program("needed");
    manifest(&lab, "app", SLEEP);
    manifest(&lab, "front", &format!("{SLEEP}\n[dependencies]\nrequires = [\"app\"]"));
    install(&lab, "app", "").expect(0);
    install(&lab, "front", "").expect(0);
    let refused = |by: &str| {
        let before = lab.listing(&FOLDERS);
        for flags in ["", "--dry-run"] {
            let out = lab.run(&format!("autoglm-boot uninstall app {flags}")).expect(1);
            says(&out.stderr, &["app is needed by", by, "Nothing was changed", "--force"]);
        }
        assert_eq!(lab.listing(&FOLDERS), before, "{by}");
        assert!(is_active(&lab, "app"), "{by}");
    };
    refused("front");
    // Also while it does not run.
    lab.run("autoglm-boot stop front").expect(0);
    refused("front");
    assert_eq!(show(&lab, "front", "ActiveState"), "inactive");
    lab.run("autoglm-boot uninstall front").expect(0);

    for needs in ["Requires", "BindsTo", "Requisite"] {
        lab.write(
            "/etc/systemd/system/by-hand.service",
            &format!("[Unit]\n{needs}=app.service\nAfter=app.service\n[Service]\nExecStart=/bin/sleep 111\n[Install]\nWantedBy=multi-user.target\n"),
            0o644,
        );
        lab.run("systemctl daemon-reload && systemctl start by-hand").expect(0);
        refused("by-hand.service");
        // What starts at boot needs it, though it does not run now.
        lab.run("systemctl enable by-hand && systemctl stop by-hand").expect(0);
        refused("by-hand.service");
        lab.run("systemctl disable by-hand && rm /etc/systemd/system/by-hand.service && systemctl daemon-reload")
            .expect(0);
    }
    install(&lab, "front", "").expect(0);
    lab.run("autoglm-boot uninstall app --force").expect(0);
    status(&lab, "app", "not installed", 4);
    lab.run("autoglm-boot uninstall front").expect(0);
}

#[test]
#[allow(clippy::too_many_lines, reason = "one state after the other, on one machine")]
fn status_says_each_state_in_its_word_with_its_exit_code_and_the_worst_of_several() {
    let lab = Lab::with_program("words");
    let command = |script: &str| format!("command = [\"sh\", \"-c\", \"{script}\"]\n");
    status(&lab, "ready", "not installed", 4);

    manifest(&lab, "ready", SLEEP);
    install(&lab, "ready", "").expect(0);
    status(&lab, "ready", "ready", 0);

    // Not yet settled.
    lab.write(
        "/srv/running.toml",
        &format!("[app]\nname = \"running\"\n[readiness]\nsettle = \"10m\"\n[service]\n{SLEEP}\n"),
        0o644,
    );
    install(&lab, "running", "--no-wait").expect(0);
    status(&lab, "running", "running", 0);

    manifest(&lab, "stopped", SLEEP);
    install(&lab, "stopped", "--no-start").expect(0);
    status(&lab, "stopped", "stopped", 3);

    manifest(&lab, "disabled", SLEEP);
    install(&lab, "disabled", "--no-start").expect(0);
    lab.run("systemctl disable disabled").expect(0);
    status(&lab, "disabled", "disabled", 3);

    // The probe answers badly: on its way up at first, ill after its time.
    let probed = |name: &str, limit: &str| {
        lab.write(
            &format!("/srv/{name}.toml"),
            &format!(
                "[app]\nname = \"{name}\"\n[readiness]\ncommand = [\"test\", \"-e\", \"/run/well\"]\n[service]\nstart_timeout = \"{limit}\"\n{SLEEP}\n"
            ),
            0o644,
        );
    };
    probed("starting", "10m");
    install(&lab, "starting", "--no-wait").expect(0);
    status(&lab, "starting", "starting", 7);
    lab.run("touch /run/well").expect(0);
    status(&lab, "starting", "ready", 0);
    probed("unhealthy", "1s");
    install(&lab, "unhealthy", "").expect(0);
    status(&lab, "unhealthy", "ready", 0);
    lab.run("rm /run/well").expect(0);
    status(&lab, "unhealthy", "unhealthy", 7);
    status(&lab, "starting", "unhealthy", 7); // it was ready before

    manifest(
        &lab,
        "restarting",
        &format!("{}[restart]\ndelay = \"3s\"", command("sleep 0.2; exit 3")),
    );
    install(&lab, "restarting", "--no-wait").expect(0);
    says(&status(&lab, "restarting", "restarting", 7), &["exit status 3"]);
    manifest(
        &lab,
        "failed",
        &format!(
            "{}[restart]\ndelay = \"100ms\"\nmax_attempts = 1",
            command("sleep 0.1; kill -SEGV $$")
        ),
    );
    install(&lab, "failed", "--no-wait").expect(0);
    says(&status(&lab, "failed", "failed", 3), &["SIGSEGV"]);
    // By now it was restarted, and says how often.
    let out = (0..100)
        .map(|_| {
            sleep(Duration::from_millis(100));
            lab.run("autoglm-boot status restarting")
        })
        .find(|out| out.stdout.contains("restarted once so far; last: exit status 3"))
        .unwrap();
    out.expect(7);

    for (names, code) in [
        ("ready running", 0),
        ("ready starting", 7),
        ("starting stopped ready", 3),
        ("failed ready restarting", 3),
        ("ready no-such stopped", 4),
    ] {
        let out = lab.run(&format!("autoglm-boot status {names}")).expect(code);
        assert_eq!(
            out.stdout.lines().filter(|line| !line.starts_with(' ')).count(),
            names.split(' ').count(),
            "one for each: {}",
            out.stdout
        );
    }
    let out = lab.run("autoglm-boot status ready --json").expect(0).stdout;
    says(
        &out,
        &[
            "\"exit\": 0",
            "\"state\": \"ready\"",
            "\"restarts\": 0",
            "\"enabled_at_boot\": true",
            "\"manifest\": \"/srv/ready.toml\"",
            &format!("\"pid\": {},", show(&lab, "ready", "MainPID")),
        ],
    );
    let number = |key: &str| {
        let rest = out.split_once(&format!("\"{key}\": ")).unwrap().1;
        rest.split([',', '\n']).next().unwrap().parse::<u64>().unwrap()
    };
    assert!((1..60).contains(&number("since_seconds")), "{out}");
    // Memory is told where systemd counts it.
    match show(&lab, "ready", "MemoryCurrent").as_str() {
        "[not set]" => says(&out, &["\"memory_bytes\": null"]),
        _ => assert!((1..100_000_000).contains(&number("memory_bytes")), "{out}"),
    }
}
