//! A user's own services: they outlive the session they were installed in. Root provisions another user: what is done is done as that user, in its home, and only lingering takes root.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use support::lab::Lab;

const FOLDERS: [&str; 4] = ["/etc", "/var/lib", "/home", "/root"];
const APP: &str =
    "[app]\nname = \"app\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n[readiness]\nsettle = \"100ms\"\n";

fn lab(name: &str) -> Lab {
    let lab = Lab::with_program(name);
    lab.run("useradd -m -s /bin/sh anna").expect(0);
    lab.write("/srv/app.toml", APP, 0o644);
    lab
}

#[test]
fn root_installs_for_another_user_and_the_app_is_there_after_a_reboot() {
    let mut lab = lab("user-other");
    let clean = lab.listing(&FOLDERS);
    lab.run("XDG_CONFIG_HOME=/root/config autoglm-boot install --user=anna -m /srv/app.toml")
        .expect(0);
    let strangers = lab.run("find /home/anna ! -user anna -o ! -group anna").stdout;
    assert_eq!(strangers, "", "all of it is the user's");
    assert!(lab.path("/home/anna/.config/systemd/user/app.service").exists());
    let record = lab.run("cat /home/anna/.local/state/autoglm-boot/scope.json").stdout;
    assert!(record.contains("\"lingering\": \"root\""), "{record}");
    let receipt = lab
        .run("cat /home/anna/.local/state/autoglm-boot/apps/app/receipt.json")
        .stdout;
    assert!(receipt.contains("\"by\": \"root\""), "{receipt}");

    lab.reboot();
    lab.run("until autoglm-boot status -q --user=anna app; do sleep 0.1; done")
        .expect(0);
    lab.run("ps -o user= -p $(pgrep -f 'sleep 1000') | grep -x anna")
        .expect(0);
    lab.as_user("anna", "autoglm-boot status app").expect(0);
    lab.run("autoglm-boot restart --user=anna app").expect(0);
    let logs = lab.run("autoglm-boot logs --user=anna app");
    assert_eq!(logs.code, 0, "{}", logs.stderr);
    lab.run("autoglm-boot uninstall --user=anna app").expect(0);
    assert!(
        !lab.path("/var/lib/systemd/linger/anna").exists(),
        "what was enabled for it is reverted"
    );
    assert_eq!(lab.listing(&FOLDERS), clean);
}

#[test]
fn what_fails_for_another_user_leaves_nothing_and_lingering_that_was_there_stays() {
    let lab = lab("user-fails");
    let clean = lab.listing(&FOLDERS);
    lab.write("/srv/bad.toml", &APP.replace("\"sleep\", \"1000\"", "\"false\""), 0o644);
    lab.run("autoglm-boot install --user=anna -m /srv/bad.toml").expect(1);
    assert_eq!(lab.listing(&FOLDERS), clean);

    lab.run("loginctl enable-linger anna").expect(0);
    lab.run("autoglm-boot install --user=anna -m /srv/app.toml").expect(0);
    lab.as_user("anna", "autoglm-boot uninstall app").expect(0);
    assert!(lab.path("/var/lib/systemd/linger/anna").exists());
}

#[test]
fn a_home_that_leads_elsewhere_is_the_users_own_trouble() {
    let lab = lab("user-hostile");
    lab.run("runuser -u anna -- ln -s /etc /home/anna/.config && runuser -u anna -- mkdir -p /home/anna/.local && runuser -u anna -- ln -s /var/lib /home/anna/.local/state").expect(0);
    let clean = lab.listing(&FOLDERS);
    let out = lab.run("autoglm-boot install --user=anna -m /srv/app.toml").expect(5);
    assert!(out.stderr.contains("Permission denied"), "{}", out.stderr);
    assert_eq!(
        lab.listing(&FOLDERS),
        clean,
        "root wrote nothing where the user may not"
    );
}

#[test]
fn only_root_may_and_only_for_a_user_that_is_there() {
    let lab = lab("user-refused");
    lab.run("useradd -m other").expect(0);
    let out = lab
        .as_user("anna", "autoglm-boot install --user=other -m /srv/app.toml")
        .expect(5);
    assert!(
        out.stderr.contains("only root may act for another user"),
        "{}",
        out.stderr
    );
    assert!(
        out.stderr.contains("sudo autoglm-boot install '--user=other'"),
        "{}",
        out.stderr
    );
    let out = lab
        .run("autoglm-boot install --user=nobody-such -m /srv/app.toml")
        .expect(2);
    assert!(out.stderr.contains("there is no such user"), "{}", out.stderr);
    lab.run("autoglm-boot install --user anna -m /srv/app.toml").expect(2);
}

#[test]
fn what_user_scope_cannot_do_is_told() {
    let lab = lab("user-losses");
    let more = "[dependencies]\nafter = [\"network-online.target\", \"basic.target\", \"other\"]\nwants = [\"cron.service\"]\n[resources]\ncpu = \"1\"\nmemory = \"64Mi\"\n";
    lab.write("/srv/all/app.toml", &format!("{APP}{more}"), 0o644);
    lab.write("/srv/all/other.toml", &APP.replace("\"app\"", "\"other\""), 0o644);
    let out = lab.run("autoglm-boot install --user=anna -m /srv/all").expect(0);
    for told in [
        "app: not expressed as written: dependencies.after: a user's service manager has no network-online.target here",
        "dependencies.wants: a user's service manager has no cron.service here",
        "resources.cpu: this user was not given the cpu controller",
    ] {
        assert!(out.stderr.contains(told), "{told}: {}", out.stderr);
    }
    for known in ["basic.target", "other.service"] {
        assert!(!out.stderr.contains(known), "{known}: {}", out.stderr);
    }
    let out = lab.run("autoglm-boot install --system --dry-run -m /srv/all").expect(0);
    assert!(!out.stderr.contains("without effect"), "{}", out.stderr);

    let raw = "[raw.systemd.Service]\nCapabilityBoundingSet = \"CAP_CHOWN\"\n";
    lab.write(
        "/srv/raw.toml",
        &format!("{}{raw}", APP.replace("\"app\"", "\"raw\"")),
        0o644,
    );
    let out = lab.run("autoglm-boot install --user=anna -m /srv/raw.toml").expect(1);
    assert!(
        out.stderr.contains("CAPABILITIES") && out.stderr.contains("--system"),
        "{}",
        out.stderr
    );
}

/// Logs anna in on a terminal of her own, runs a command there, which must end well, and stays; the session's number.
fn log_in(lab: &Lab, command: &str) -> String {
    lab.write(
        "/srv/session",
        &format!("{command} >said 2>&1; echo $? >code; exec sleep 2000"),
        0o755,
    );
    lab.run(
        "rm -f /home/anna/code; setsid script -qec 'su - anna /srv/session' /dev/null </dev/null >/dev/null 2>&1 &",
    )
    .expect(0);
    let out = lab.run(
        "timeout 30 sh -c 'until [ -s /home/anna/code ]; do sleep 0.1; done'
        loginctl list-sessions --no-legend; cat /home/anna/said >&2; exit $(cat /home/anna/code)",
    );
    let listed = out.expect(0).stdout;
    let [session, _, "anna", terminal] = listed.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("one session of anna's, and it has a terminal: {listed}");
    };
    assert!(terminal.starts_with("pts/"), "{listed}");
    session.to_owned()
}

/// Ends the session, and waits until it is gone.
fn log_out(lab: &Lab, session: &str) {
    lab.run(&format!(
        "loginctl terminate-session {session} && timeout 30 sh -c 'while loginctl list-sessions --no-legend | grep .; do sleep 0.1; done'"
    ))
    .expect(0);
    assert_eq!(
        lab.run("pgrep -f '[s]leep 2000'").code,
        1,
        "all that was in the session is gone"
    );
}

#[test]
fn an_app_outlives_the_session_it_was_installed_in_if_its_user_lingers_and_only_then() {
    /// So long a user's services are kept after the last session: 10 s where nobody says otherwise (logind.conf(5)).
    const KEPT: Duration = Duration::from_secs(1);
    let lab = lab("user-logout");
    lab.write(
        "/etc/systemd/logind.conf.d/kept.conf",
        &format!("[Login]\nUserStopDelaySec={}\n", KEPT.as_secs()),
        0o644,
    );
    lab.run("systemctl restart systemd-logind && loginctl enable-linger anna")
        .expect(0);
    let app = || lab.run("pgrep -u anna -f hello.py").stdout;

    let session = log_in(&lab, "autoglm-boot install -m /opt/examples/hello/app.toml");
    let installed = app();
    assert_ne!(installed, "");
    log_out(&lab, &session);
    sleep(3 * KEPT);
    assert_eq!(app(), installed, "the same process");
    lab.run("curl -fsS http://127.0.0.1:8765/").expect(0);
    lab.as_user("anna", "autoglm-boot status hello").expect(0);

    // The same app and the same end of a session, but nobody lingers: it ends, in less time than it was given above.
    lab.run("loginctl disable-linger anna").expect(0);
    let is_gone = || {
        let start = Instant::now();
        while !app().is_empty() && start.elapsed() < 3 * KEPT {
            sleep(Duration::from_millis(100));
        }
        app().is_empty()
    };
    assert!(is_gone());
    let session = log_in(
        &lab,
        "timeout 10 sh -c 'until autoglm-boot status hello; do sleep 0.1; done'",
    );
    assert_ne!(app(), "", "a session starts it");
    log_out(&lab, &session);
    assert!(is_gone());
}

#[test]
fn without_a_service_manager_apps_are_told_as_stopped_and_what_was_cut_short_is_undone() {
    let lab = lab("user-asleep");
    let asleep = || {
        lab.run("loginctl disable-linger anna; timeout 30 sh -c 'while [ -e /run/user/$(id -u anna)/systemd/private ]; do sleep 0.1; done'")
            .expect(0)
    };
    lab.run("loginctl enable-linger anna").expect(0);
    lab.as_user("anna", "autoglm-boot install -m /srv/app.toml").expect(0);
    let installed = lab.listing(&["/home"]);
    asleep();
    let out = lab.as_user("anna", "autoglm-boot status app").expect(3);
    assert!(
        out.stdout.starts_with("app: stopped: the user's service manager"),
        "{}",
        out.stdout
    );
    lab.as_user("anna", "autoglm-boot list").expect(0);
    let out = lab.as_user("anna", "autoglm-boot start app").expect(7);
    assert!(
        out.stderr.contains("sudo loginctl enable-linger anna"),
        "{}",
        out.stderr
    );

    lab.run("loginctl enable-linger anna").expect(0);
    lab.write(
        "/srv/app.toml",
        &APP.replace("1000", "2000").replace("100ms", "1m"),
        0o644,
    );
    lab.as_user("anna", "timeout -s KILL 2 autoglm-boot install -m /srv/app.toml")
        .expect(137);
    assert_ne!(lab.listing(&["/home"]), installed);
    asleep();
    let out = lab.as_user("anna", "autoglm-boot uninstall no-such-app").expect(4);
    assert!(out.stdout.contains("undoing it"), "{}", out.stdout);
    assert_eq!(lab.listing(&["/home"]), installed);
}

#[test]
fn a_user_that_may_not_end_its_lingering_uninstalls_all_the_same_and_is_told() {
    let lab = lab("user-lingers");
    lab.run("autoglm-boot install --user=anna -m /srv/app.toml").expect(0);
    let out = lab.as_user("anna", "autoglm-boot uninstall app").expect(0);
    assert!(
        out.stderr.contains("sudo loginctl disable-linger anna"),
        "{}",
        out.stderr
    );
    assert_eq!(lab.run("find /home/anna -newer /srv/app.toml ! -type d").stdout, "");
    lab.as_user("anna", "autoglm-boot status app").expect(4);
}

#[test]
fn the_runtime_folder_of_whoever_called_su_is_not_taken_for_ones_own() {
    let lab = lab("user-su");
    lab.run("loginctl enable-linger anna && mkdir -p -m 700 /run/user/0")
        .expect(0);
    let su = "XDG_RUNTIME_DIR=/run/user/0 autoglm-boot";
    lab.as_user("anna", &format!("{su} install -m /srv/app.toml")).expect(0);
    lab.as_user("anna", &format!("{su} status app")).expect(0);
}
