//! What an undo leaves: everything as it was, also what only needs the app; and an app that cannot be started again keeps nobody
//! else waiting.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use support::lab::{Lab, Out};

const SLEEP: &str = "command = [\"sleep\", \"1000\"]";

/// Writes `/srv/NAME.toml`: a table `[service]` to go on from, of an app that is soon ready.
fn manifest(lab: &Lab, name: &str, service: &str) {
    with_settle(lab, name, "100ms", service);
}

fn with_settle(lab: &Lab, name: &str, settle: &str, service: &str) {
    let text = format!("[app]\nname = \"{name}\"\n[readiness]\nsettle = \"{settle}\"\n[service]\n{service}\n");
    lab.write(&format!("/srv/{name}.toml"), &text, 0o644);
}

fn install(lab: &Lab, name: &str) -> Out {
    lab.run(&format!("autoglm-boot install -m /srv/{name}.toml"))
}

fn has_journal(lab: &Lab) -> bool {
    lab.run("ls /var/lib/autoglm-boot/intent.*").code == 0
}

#[test]
fn an_app_that_was_in_trouble_before_a_failed_update_can_still_be_repaired_by_the_next() {
    let lab = Lab::with_program("undo-trouble");
    let restart = "[restart]\ndelay = \"200ms\"\nmax_attempts = 0";
    let needs_file = "pre_start = [[\"test\", \"-e\", \"/srv/there\"]]";
    manifest(&lab, "app", &format!("{SLEEP}\n{needs_file}\n{restart}"));
    lab.run("touch /srv/there").expect(0);
    install(&lab, "app").expect(0);
    lab.run("rm /srv/there; kill -KILL $(systemctl show -P MainPID app); sleep 0.5")
        .expect(0);
    lab.run("autoglm-boot status app").expect(7);
    let before = lab.listing(&["/etc"]);

    manifest(&lab, "app", "command = [\"false\"]");
    let start = Instant::now();
    let out = install(&lab, "app").expect(1);
    assert!(out.stderr.contains("the earlier version is back"), "{}", out.stderr);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(lab.listing(&["/etc"]), before);
    lab.run("autoglm-boot status app").expect(7);
    manifest(&lab, "app", SLEEP);
    install(&lab, "app").expect(0);
}

#[test]
fn what_cannot_be_started_again_is_told_once_and_keeps_nobody_waiting() {
    let lab = Lab::with_program("undo-down");
    manifest(
        &lab,
        "app",
        "command = [\"sh\", \"-c\", \"test -e /srv/there && exec sleep 1000\"]",
    );
    lab.run("touch /srv/there").expect(0);
    install(&lab, "app").expect(0);
    lab.run("rm /srv/there").expect(0);
    manifest(&lab, "app", "command = [\"false\"]");
    let out = install(&lab, "app").expect(8);
    assert!(
        out.stderr
            .contains("the earlier version is back, but does not run as it did"),
        "{}",
        out.stderr
    );
    assert!(!has_journal(&lab));
    manifest(&lab, "other", SLEEP);
    install(&lab, "other").expect(0);

    // The same of a run that was killed: whoever comes next undoes it, and goes on.
    lab.run("touch /srv/there; autoglm-boot restart app; rm /srv/there")
        .expect(0);
    with_settle(&lab, "app", "1m", "command = [\"sleep\", \"1001\"]");
    lab.run("timeout -s KILL 2 autoglm-boot install -m /srv/app.toml")
        .expect(137);
    assert!(has_journal(&lab));
    manifest(&lab, "third", SLEEP);
    let out = install(&lab, "third").expect(0);
    assert!(out.stderr.contains("is back, but does not run"), "{}", out.stderr);
    assert!(!has_journal(&lab));
}

#[test]
fn what_requires_an_app_runs_again_after_an_update_of_it_that_could_not_even_start() {
    let lab = Lab::with_program("undo-dependants");
    manifest(&lab, "db", SLEEP);
    for (name, needed) in [("web", "db"), ("front", "web"), ("stopped", "db")] {
        manifest(
            &lab,
            name,
            &format!("{SLEEP}\n[dependencies]\nrequires = [\"{needed}\"]"),
        );
    }
    lab.run("autoglm-boot install -m /srv && autoglm-boot stop stopped")
        .expect(0);
    manifest(&lab, "db", "command = [\"sleep\", \"1001\"]\npre_start = [[\"false\"]]");
    install(&lab, "db").expect(1);
    lab.run("timeout 5 sh -c 'until autoglm-boot status db web front; do sleep 0.1; done'")
        .expect(0);
    lab.run("autoglm-boot status stopped").expect(3);
}

#[test]
fn an_update_of_systemd_itself_undoes_nothing() {
    let lab = Lab::with_program("undo-reexec");
    with_settle(&lab, "app", "6s", SLEEP);
    lab.run("(sleep 1; for i in 1 2 3 4 5; do systemctl daemon-reexec; done) >/dev/null 2>&1 &")
        .expect(0);
    install(&lab, "app").expect(0);
    lab.run("autoglm-boot status app").expect(0);
}
