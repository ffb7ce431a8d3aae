//! Several apps with `--keep-going`: what fails is undone alone and told, and what was stopped or ran before still does.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use support::lab::Lab;

const SLEEP: &str = "command = [\"sleep\", \"1000\"]";
const LINK: &str = "/etc/systemd/system/multi-user.target.wants/was.service";

/// Writes `/srv/NAME.toml`, of an app that is soon ready; `more` goes on in its table `[service]`.
fn manifest(lab: &Lab, name: &str, more: &str) {
    let text = format!("[app]\nname = \"{name}\"\n[readiness]\nsettle = \"100ms\"\n[service]\n{more}\n");
    lab.write(&format!("/srv/{name}.toml"), &text, 0o644);
}

#[test]
fn an_app_that_was_stopped_is_not_started_when_its_update_fails_and_others_are_kept() {
    let lab = Lab::with_program("keep-stopped");
    for name in ["was", "good", "better"] {
        manifest(&lab, name, SLEEP);
    }
    lab.run("autoglm-boot install -m /srv/was.toml && autoglm-boot stop was")
        .expect(0);
    lab.run(&format!("rm {LINK} && mkdir {LINK}")).expect(0); // no link can be made there
    manifest(&lab, "was", "command = [\"sleep\", \"2000\"]");
    let out = lab
        .run("autoglm-boot install --keep-going --force -m /srv/was.toml -m /srv/good.toml -m /srv/better.toml")
        .expect(1);
    assert!(out.stdout.contains("2 installed, 1 failed"), "{}", out.stdout);
    assert_eq!(lab.run("systemctl is-active was").stdout, "inactive\n");
}

#[test]
fn the_others_are_kept_also_where_the_earlier_version_of_one_does_not_come_back() {
    let lab = Lab::with_program("keep-down");
    manifest(
        &lab,
        "was",
        "command = [\"sh\", \"-c\", \"test -e /srv/there && exec sleep 1000\"]",
    );
    manifest(&lab, "good", SLEEP);
    lab.run("touch /srv/there && autoglm-boot install -m /srv/was.toml && rm /srv/there")
        .expect(0);
    manifest(&lab, "was", "command = [\"false\"]");
    let out = lab.run("autoglm-boot install --keep-going -m /srv/was.toml -m /srv/good.toml");
    assert_eq!(lab.run("systemctl is-active good").stdout, "active\n", "{}", out.stderr);
    assert!(matches!(out.code, 1 | 8), "{}: {}", out.code, out.stderr);
}

#[test]
fn a_manifest_that_is_wrong_is_told_also_where_none_of_the_others_could_be_kept() {
    let lab = Lab::with_program("keep-wrong");
    manifest(&lab, "bad", "command = [\"false\"]");
    lab.write("/srv/wrong.toml", "nonsense = 1\n", 0o644);
    let out = lab
        .run("autoglm-boot install --keep-going -m /srv/bad.toml -m /srv/wrong.toml")
        .expect(1);
    assert!(out.stderr.contains("nonsense"), "{}", out.stderr);
}

#[test]
fn what_was_written_without_a_start_is_in_effect_after_the_next_install() {
    let lab = Lab::with_program("keep-old");
    let value = || {
        lab.run("tr '\\0' '\\n' </proc/$(systemctl show -P MainPID app)/environ | grep ^A=")
            .stdout
    };
    manifest(&lab, "app", &format!("{SLEEP}\nenvironment = {{ A = \"1\" }}"));
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    manifest(&lab, "app", &format!("{SLEEP}\nenvironment = {{ A = \"2\" }}"));
    lab.run("autoglm-boot install --no-start -m /srv/app.toml").expect(0);
    assert_eq!(value(), "A=1\n", "it runs on as it did");
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    assert_eq!(value(), "A=2\n");
}
