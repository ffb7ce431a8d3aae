//! Root provisions another user: what is done is done as that user, in its home, and only lingering takes root.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

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
