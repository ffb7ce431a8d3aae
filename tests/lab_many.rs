//! Many apps in one call: one transaction with one reload and one start, the waits side by side; all or none, or all but those
//! that fail; and a new version of the tool over a hundred apps.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::lab::{Lab, Out};

const FOLDERS: [&str; 3] = ["/etc", "/var/lib", "/srv"];

/// Writes a manifest of an app that is ready after so many milliseconds.
fn app(lab: &Lab, file: &str, name: &str, settle: u32, more: &str) {
    let text = format!(
        "[app]\nname = \"{name}\"\n[readiness]\nsettle = \"{settle}ms\"\n[service]\nuser = \"nobody\"\n{more}\n"
    );
    lab.write(file, &text, 0o644);
}

const SLEEP: &str = "command = [\"sleep\", \"1000\"]";
const ENDS: &str = "command = [\"sh\", \"-c\", \"echo no luck; exit 3\"]";

fn install(lab: &Lab, args: &str) -> Out {
    lab.run(&format!("autoglm-boot install {args}"))
}

/// How often systemd was told to read its units again.
fn reloads(lab: &Lab) -> usize {
    lab.run("journalctl --sync");
    let said = lab.run("journalctl -b -q -o cat _PID=1 --grep '^Reloading'").stdout;
    said.lines().filter(|line| line.starts_with("Reloading")).count()
}

/// The main processes of these apps.
fn pids(lab: &Lab, names: &[&str]) -> Vec<String> {
    let units = names.join(" ");
    let said = lab.run(&format!("systemctl show -P MainPID {units}")).stdout;
    said.split_whitespace().map(str::to_owned).collect()
}

fn json(out: &Out) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_else(|error| panic!("{error}: {}", out.stdout))
}

/// The outcome of each app, by name.
fn outcomes(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let apps = answer["apps"].as_array().unwrap_or_else(|| panic!("{answer:#}")).iter();
    apps.map(|app| (text(&app["name"]), text(&app["outcome"]))).collect()
}

#[test]
fn a_folder_is_one_transaction_with_one_reload_and_the_waits_side_by_side() {
    let mut lab = Lab::with_program("many-folder");
    let clean = lab.listing(&FOLDERS);
    for number in 0..10 {
        app(
            &lab,
            &format!("/srv/all/app{number}.toml"),
            &format!("app{number}"),
            3000,
            SLEEP,
        );
    }
    let needs = format!("{SLEEP}\n[dependencies]\nrequires = [\"app9\"]");
    app(&lab, "/srv/all/a-first/app.toml", "first", 3000, &needs);
    lab.write("/srv/all/.hidden.toml", "", 0o644);
    lab.write("/srv/all/read.me", "", 0o644);

    let start = Instant::now();
    let out = install(&lab, "-m /srv/all").expect(0);
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "eleven waits of 3 s took {:?}",
        start.elapsed()
    );
    assert!(out.stdout.contains("11 apps: 11 installed"), "{}", out.stdout);
    assert!(out.stdout.contains("first: installed and ready"), "{}", out.stdout);
    assert_eq!(reloads(&lab), 0, "new names need none");
    lab.run("autoglm-boot status").expect(0);

    let before = pids(&lab, &["first", "app0", "app9"]);
    let out = install(&lab, "-m /srv/all --json").expect(0);
    assert!(
        outcomes(&json(&out)).iter().all(|(_, outcome)| outcome == "unchanged"),
        "{}",
        out.stdout
    );
    install(&lab, "-m /srv/all --check").expect(0);
    app(
        &lab,
        "/srv/all/app0.toml",
        "app0",
        100,
        "command = [\"sleep\", \"2000\"]",
    );
    app(
        &lab,
        "/srv/all/app1.toml",
        "app1",
        100,
        "command = [\"sleep\", \"2000\"]",
    );
    install(&lab, "-m /srv/all --check").expect(6);
    let shown = install(&lab, "-m /srv/all --dry-run").expect(0).stdout;
    assert!(
        shown.contains("-ExecStart=\"/usr/bin/sleep\" \"1000\"\n  +ExecStart=\"/usr/bin/sleep\" \"2000\""),
        "{shown}"
    );
    let out = install(&lab, "-m /srv/all").expect(0);
    assert!(out.stdout.contains("11 apps: 2 updated, 9 unchanged"), "{}", out.stdout);
    assert_eq!(reloads(&lab), 1, "two changed units need one");
    let after = pids(&lab, &["first", "app0", "app9"]);
    assert_eq!(
        (&before[0], &before[2]),
        (&after[0], &after[2]),
        "what is unchanged runs on"
    );
    assert_ne!(before[1], after[1]);

    lab.reboot();
    lab.run("autoglm-boot status").expect(0);
    lab.run("rm /srv/all/app5.toml");
    let out = install(&lab, "-m /srv/all").expect(0);
    assert!(
        out.stdout
            .contains("app5 was installed from /srv/all/app5.toml, which is gone"),
        "{}",
        out.stdout
    );
    lab.run("autoglm-boot status app5").expect(0);

    // What refers to a name keeps it in systemd's memory: then systemd has to read again.
    let user = "[Unit]\nWants=late0.service\n[Service]\nExecStart=/bin/sleep 1000\n";
    lab.write("/etc/systemd/system/user.service", user, 0o644);
    lab.run("systemctl daemon-reload && systemctl start user").expect(0);
    let before = reloads(&lab);
    for number in 0..2 {
        app(
            &lab,
            &format!("/srv/late/{number}.toml"),
            &format!("late{number}"),
            100,
            SLEEP,
        );
    }
    install(&lab, "-m /srv/late").expect(0);
    assert_eq!(reloads(&lab) - before, 1);
    lab.run("systemctl stop user && rm -r /srv/late /etc/systemd/system/user.service && systemctl daemon-reload")
        .expect(0);

    let names = lab.run("autoglm-boot list | cut -d: -f1 | tac").stdout;
    for name in names.lines() {
        lab.run(&format!("autoglm-boot uninstall {name}")).expect(0);
    }
    lab.run("rm -r /srv/all");
    assert_eq!(lab.listing(&FOLDERS), clean);
}

#[test]
fn one_that_fails_undoes_all_of_them_and_only_what_this_run_changed() {
    let lab = Lab::with_program("many-undo");
    for name in ["same", "changed"] {
        app(&lab, &format!("/srv/{name}.toml"), name, 100, SLEEP);
    }
    install(&lab, "-m /srv/same.toml -m /srv/changed.toml").expect(0);
    let before = lab.listing(&["/etc", "/var/lib"]);
    let same = pids(&lab, &["same"]);
    app(
        &lab,
        "/srv/changed.toml",
        "changed",
        100,
        "command = [\"sleep\", \"2000\"]",
    );
    app(&lab, "/srv/new.toml", "new", 100, SLEEP);
    app(&lab, "/srv/ends.toml", "ends", 2000, ENDS);
    let out = install(&lab, "-m /srv").expect(1);
    assert!(
        out.stderr.contains("ends.service: it ended once") && out.stderr.contains("no luck"),
        "{}",
        out.stderr
    );
    assert!(
        out.stderr.contains("all of them are as they were before"),
        "{}",
        out.stderr
    );
    assert_eq!(lab.listing(&["/etc", "/var/lib"]), before);
    assert_eq!(
        pids(&lab, &["same"]),
        same,
        "what this run did not change is not touched"
    );
    let said = lab
        .run("tr '\\0' ' ' </proc/$(systemctl show -P MainPID changed)/cmdline")
        .stdout;
    assert_eq!(said, "/usr/bin/sleep 1000 ");
    assert_eq!(pids(&lab, &["new", "ends"]), ["0", "0"]);
    lab.run("autoglm-boot status").expect(0);
}

#[test]
fn with_keep_going_the_good_ones_stay() {
    let lab = Lab::with_program("many-keep");
    app(&lab, "/srv/was.toml", "was", 100, SLEEP);
    install(&lab, "-m /srv/was.toml").expect(0);
    app(&lab, "/srv/was.toml", "was", 1000, ENDS);
    app(&lab, "/srv/good.toml", "good", 100, SLEEP);
    app(&lab, "/srv/ends.toml", "ends", 2000, ENDS);
    app(
        &lab,
        "/srv/unloadable.toml",
        "unloadable",
        100,
        &format!("{SLEEP}\n[raw.systemd.Service]\nType = \"dbus\""),
    );
    let needs = |on: &str| format!("{SLEEP}\n[dependencies]\nrequires = [\"{on}\"]");
    app(&lab, "/srv/needs.toml", "needs", 100, &needs("ends"));
    app(&lab, "/srv/needs-it-too.toml", "needs-it-too", 100, &needs("needs"));
    lab.write("/srv/wrong.toml", "[app]\nnam = 1\n", 0o644);

    install(&lab, "-m /srv").expect(2);
    lab.run("autoglm-boot status good").expect(4);
    let out = install(&lab, "-m /srv --keep-going --json").expect(1);
    let answer = json(&out);
    let mut outcomes = outcomes(&answer);
    outcomes.sort();
    let expected = [
        ("", "refused"),
        ("ends", "failed"),
        ("good", "installed"),
        ("needs", "failed"),
        ("needs-it-too", "failed"),
        ("unloadable", "failed"),
        ("was", "failed"),
    ];
    assert_eq!(
        outcomes,
        expected.map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
    );
    let of = |name: &str| {
        let apps = answer["apps"].as_array().unwrap();
        let app = apps.iter().find(|app| app["name"] == name).unwrap();
        app["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(of("ends").contains("no luck"), "{}", of("ends"));
    assert!(of("needs-it-too").contains("which failed"), "{}", of("needs-it-too"));
    lab.run("autoglm-boot status good was").expect(0);
    let said = lab
        .run("tr '\\0' ' ' </proc/$(systemctl show -P MainPID was)/cmdline")
        .stdout;
    assert_eq!(said, "/usr/bin/sleep 1000 ", "the earlier version is back");
    for name in ["ends", "needs", "needs-it-too", "unloadable"] {
        lab.run(&format!("autoglm-boot status {name}")).expect(4);
        let load = lab.run(&format!("systemctl show -P LoadState {name}")).stdout;
        assert_eq!(load.trim(), "not-found", "{name}");
        assert!(!lab.path(&format!("/var/lib/autoglm-boot/apps/{name}")).exists());
    }
    lab.run("autoglm-boot uninstall -q good && autoglm-boot uninstall -q was")
        .expect(0);
    assert!(!lab.path("/var/lib/autoglm-boot").exists());

    lab.run("rm /srv/good.toml /srv/wrong.toml /srv/was.toml");
    let out = install(&lab, "-m /srv --keep-going").expect(1);
    assert!(out.stderr.contains("none of them could be kept"), "{}", out.stderr);
    assert!(!lab.path("/var/lib/autoglm-boot").exists());
}

#[test]
fn circles_names_used_twice_and_two_scopes_are_refused() {
    let lab = Lab::with_program("many-refused");
    let needs = |on: &str| format!("{SLEEP}\n[dependencies]\nrequires = [\"{on}\"]");
    app(&lab, "/srv/circle/a.toml", "a", 100, &needs("b"));
    app(&lab, "/srv/circle/b.toml", "b", 100, &needs("a"));
    app(&lab, "/srv/twice/a.toml", "a", 100, SLEEP);
    app(&lab, "/srv/twice/b.toml", "a", 100, SLEEP);
    app(&lab, "/srv/scopes/a.toml", "a", 100, SLEEP);
    app(
        &lab,
        "/srv/scopes/b.toml",
        "b",
        100,
        &format!("{SLEEP}\n[linux]\nscope = \"user\"").replace("user = \"nobody\"", ""),
    );
    let text = lab
        .run("sed -i /nobody/d /srv/scopes/b.toml && cat /srv/scopes/b.toml")
        .stdout;
    for (folder, told) in [
        ("circle", "a -> b -> a"),
        (
            "twice",
            "a is the name of two apps: /srv/twice/a.toml and /srv/twice/b.toml",
        ),
        ("scopes", "one call is one scope"),
    ] {
        for verb in ["install", "check"] {
            let out = lab.run(&format!("autoglm-boot {verb} -m /srv/{folder}")).expect(2);
            assert!(out.stderr.contains(told), "{verb} {folder}: {}\n{text}", out.stderr);
        }
    }
    lab.run("autoglm-boot list | grep -q 'no app is installed'").expect(0);
}

#[test]
fn the_backend_that_was_asked_for_is_remembered() {
    let lab = Lab::with_program("many-backend");
    let clean = lab.listing(&FOLDERS);
    app(&lab, "/srv/all/a.toml", "a", 100, SLEEP);
    app(&lab, "/srv/all/b.toml", "b", 100, SLEEP);
    install(&lab, "-m /srv/all/a.toml --backend embedded").expect(0);
    assert_eq!(lab.run("systemctl show -P LoadState a").stdout.trim(), "not-found");
    install(&lab, "-m /srv/all/b.toml --backend systemd").expect(0);
    let out = lab.run("autoglm-boot status").expect(0);
    assert!(
        out.stdout.contains("a: ready") && out.stdout.contains("b: ready"),
        "{}",
        out.stdout
    );
    lab.run("autoglm-boot restart a").expect(0);
    let out = install(&lab, "-m /srv/all").expect(1);
    assert!(
        out.stderr.contains("a is installed with the backend embedded"),
        "{}",
        out.stderr
    );
    install(&lab, "-m /srv/all --backend nonesuch").expect(2);
    lab.run("autoglm-boot uninstall b && autoglm-boot uninstall a && rm -r /srv/all")
        .expect(0);
    assert_eq!(lab.listing(&FOLDERS), clean);
}

#[test]
fn a_new_version_of_the_tool_over_a_hundred_apps_restarts_none() {
    let lab = Lab::with_program("many-upgrade");
    for number in 0..100 {
        app(
            &lab,
            &format!("/srv/app{number}.toml"),
            &format!("app{number}"),
            100,
            SLEEP,
        );
    }
    install(&lab, "-m /srv").expect(0);
    let names: Vec<_> = (0..100).map(|number| format!("app{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // As an older version would have written them: other comments, no OnSuccess=, and the records that go with it.
    lab.write("/srv/age.py", AGE, 0o755);
    lab.run("python3 /srv/age.py && rm /srv/age.py && systemctl daemon-reload")
        .expect(0);
    let before = pids(&lab, &names);
    assert!(before.len() == 100 && before.iter().all(|pid| pid != "0"), "{before:?}");
    let clean = |lab: &Lab| {
        let out = lab.run("autoglm-boot status --json").expect(0);
        let apps = json(&out)["apps"].as_array().unwrap().clone();
        assert_eq!(apps.len(), 100);
        assert!(
            apps.iter()
                .all(|app| app["state"] == "ready" && app["drifted"] == false && app["restarts"] == 0),
            "{}",
            out.stdout
        );
    };
    clean(&lab);
    let reloads_before = reloads(&lab);
    let out = install(&lab, "-m /srv").expect(0);
    assert!(out.stdout.contains("100 apps: 100 updated"), "{}", out.stdout);
    assert_eq!(reloads(&lab) - reloads_before, 1);
    assert_eq!(pids(&lab, &names), before, "none was restarted");
    clean(&lab);
    install(&lab, "-m /srv --check").expect(0);
}

const AGE: &str = r##"
import glob, hashlib, json, re
for path in glob.glob("/var/lib/autoglm-boot/apps/*/receipt.json"):
    receipt = json.load(open(path))
    unit = open(receipt["unit"]).read()
    unit = re.sub("^OnSuccess=.*\n", "", unit.replace("# Written by", "# Made by"), flags=re.M)
    open(receipt["unit"], "w").write(unit)
    receipt["digest"] = hashlib.sha256(unit.encode()).hexdigest()
    receipt["tool"] = "0.0.1"
    json.dump(receipt, open(path, "w"))
"##;
