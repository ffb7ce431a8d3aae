//! Whole or nothing, on a real systemd: every effect of an install, an update and an uninstall is made to fail once, and the
//! process is killed right before and right after every effect. The number of effects is not written here: the loop ends
//! where the fault is no longer reached.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use support::{faulty, lab::Lab};

const FOLDERS: [&str; 4] = ["/etc", "/usr", "/var/lib", "/home"];
/// Where the program writes; all of [`FOLDERS`] is compared once, at the end.
const WRITTEN: [&str; 3] = ["/etc/systemd", "/var/lib/autoglm-boot", "/var/lib/app-data"];
const APP: &str = "[app]\nname = \"app\"\n[service]\ncommand = [\"sleep\", \"1000\"]\n[readiness]\nsettle = \"50ms\"\n";

/// Run by the labs inside of them: the program, with a fault.
#[test]
fn inside_of_a_lab() {
    faulty::inside();
}

fn lab(name: &str) -> Lab {
    let lab = faulty::lab(name);
    lab.write("/srv/app.toml", APP, 0o644);
    lab
}

/// What counts as the same: the files, and whether it runs and starts at boot.
fn snapshot(lab: &Lab) -> (BTreeMap<String, String>, String) {
    let mut files = lab.listing(&WRITTEN);
    files.retain(|path, _| !path.starts_with("/var/lib/autoglm-boot") || path.contains("/apps/"));
    // A folder's time is not compared; what an empty lock or state folder leaves is told by the last check of each lab.
    (
        files,
        lab.run("systemctl show -p ActiveState -p UnitFileState -p LoadState -p Description app")
            .stdout,
    )
}

/// One scenario: `prepare` brings the machine to the old state, `args` is what is run with a fault; afterwards the machine is
/// old or new, `status` has told the truth in between, and the next run of the program puts it right.
fn every_fault(name: &str, args: &str, prepare: impl Fn(&Lab)) {
    let lab = lab(name);
    let start = std::time::Instant::now();
    let clean = lab.listing(&FOLDERS);
    prepare(&lab);
    let old = snapshot(&lab);
    lab.run(&format!("autoglm-boot {args}")).expect(0);
    let new = snapshot(&lab);
    for kind in ["fail", "kill-before", "kill-after"] {
        for at in 0.. {
            let fault = format!("{kind} {at}");
            lab.run("autoglm-boot uninstall app -q --force; autoglm-boot uninstall new -q");
            prepare(&lab);
            assert_eq!(snapshot(&lab).1, old.1, "{fault}: the old state again");
            let (exit, was_reached) = faulty::run(&lab, &fault, args);
            if !was_reached {
                assert!(at > 5, "{kind}: {at} effects only?");
                println!("{kind}: {at} effects, {:?}", start.elapsed());
                break;
            }
            check_after(&lab, &fault, exit, &old, &new);
        }
    }
    lab.run("autoglm-boot uninstall app -q; autoglm-boot uninstall new -q");
    assert_eq!(lab.listing(&FOLDERS), clean, "nothing is left in the end");
}

type Snapshot = (BTreeMap<String, String>, String);

/// The receipt holds the time of the install: equal but for that.
fn without_times(snapshot: &Snapshot) -> (Vec<String>, String) {
    let files = snapshot.0.iter().map(|(path, facts)| {
        if path.ends_with("receipt.json") {
            path.clone()
        } else {
            format!("{path} {facts}")
        }
    });
    (files.collect(), snapshot.1.clone())
}

fn check_after(lab: &Lab, fault: &str, exit: Option<u8>, old: &Snapshot, new: &Snapshot) {
    let status = lab.run("autoglm-boot status app");
    if let Some(exit) = exit {
        // It lived: it says itself how it ended.
        let now = snapshot(lab);
        match exit {
            0 => assert_eq!(
                without_times(&now),
                without_times(new),
                "{fault}: it said that all is well"
            ),
            1 => assert_eq!(
                without_times(&now),
                without_times(old),
                "{fault}: it said that it was undone"
            ),
            8 => assert!(
                status.stdout.contains("interrupted install"),
                "{fault}: {}",
                status.stdout
            ),
            other => panic!("{fault}: exit {other}"),
        }
        if exit != 8 {
            return;
        }
    }
    // It was killed, or its undo was: what is pending is told, and a status changes nothing.
    let is_pending = lab.run("ls /var/lib/autoglm-boot/intent.*.jsonl 2>/dev/null").code == 0;
    assert_eq!(
        status.stdout.contains("interrupted install"),
        is_pending,
        "{fault}: {}",
        status.stdout
    );
    // The next mutating run, of whatever app, undoes or finishes it.
    lab.write(
        "/srv/other.toml",
        &APP.replace("name = \"app\"", "name = \"other\""),
        0o644,
    );
    lab.run("autoglm-boot install -q --no-start -m /srv/other.toml")
        .expect(0);
    lab.run("autoglm-boot uninstall -q other").expect(0);
    let now = without_times(&snapshot(lab));
    assert!(
        now == without_times(old) || now == without_times(new),
        "{fault}: neither old nor new\nnow {now:#?}\nold {:#?}\nnew {:#?}",
        without_times(old),
        without_times(new)
    );
    // And the same run again does what it was meant to do.
    lab.run("autoglm-boot install -q -m /srv/app.toml").expect(0);
    lab.run("autoglm-boot status app").expect(0);
}

#[test]
fn a_first_install_is_whole_or_nothing() {
    // With folders of its own: two to be made, one in the other.
    every_fault("first", "install -m /srv/app.toml", |lab| {
        let folders = "[security]\nwritable_directories = [\"/var/lib/app-data/of-it\"]\n";
        lab.write("/srv/app.toml", &format!("{APP}{folders}"), 0o644);
    });
}

#[test]
fn an_update_is_whole_or_nothing() {
    every_fault("update", "install -m /srv/app.toml", |lab| {
        lab.write(
            "/srv/app.toml",
            &APP.replace("[service]", "description = \"old\"\n[service]")
                .replace("1000", "999"), // which needs a restart
            0o644,
        );
        lab.run("autoglm-boot install -q -m /srv/app.toml").expect(0);
        lab.write("/srv/app.toml", APP, 0o644);
    });
}

/// One that is updated and one that is new.
#[test]
fn several_apps_are_whole_or_nothing() {
    every_fault("several", "install -m /srv/app.toml -m /srv/new.toml", |lab| {
        lab.write("/srv/app.toml", &APP.replace("1000", "999"), 0o644);
        lab.run("autoglm-boot install -q -m /srv/app.toml").expect(0);
        lab.write("/srv/app.toml", APP, 0o644);
        lab.write("/srv/new.toml", &APP.replace("\"app\"", "\"new\""), 0o644);
    });
}

#[test]
fn an_uninstall_is_whole_or_nothing() {
    every_fault("removal", "uninstall app", |lab| {
        lab.run("autoglm-boot install -q -m /srv/app.toml").expect(0);
    });
}

#[test]
fn a_full_disk_and_one_that_is_read_only_are_told_and_nothing_is_changed() {
    let lab = lab("full");
    let before = lab.listing(&FOLDERS);
    lab.run("mkdir -p /var/lib/autoglm-boot && mount -t tmpfs -o size=4k tmpfs /var/lib/autoglm-boot && dd if=/dev/zero of=/var/lib/autoglm-boot/fill bs=4k count=1").expect(0);
    let out = lab.run("autoglm-boot install -m /srv/app.toml").expect(1);
    assert!(out.stderr.contains("Nothing was changed"), "{}", out.stderr);
    lab.run("umount /var/lib/autoglm-boot && rmdir /var/lib/autoglm-boot")
        .expect(0);
    assert_eq!(lab.listing(&FOLDERS), before);
    // Where nothing can be written, nothing needs to be put back.
    let units = "/etc/systemd/system";
    lab.run(&format!(
        "mount --bind {units} {units} && mount -o remount,bind,ro {units}"
    ))
    .expect(0);
    let out = lab.run("autoglm-boot install -m /srv/app.toml").expect(1);
    assert!(out.stderr.contains("Undone: nothing is left of it"), "{}", out.stderr);
    lab.run(&format!("umount {units}")).expect(0);
    assert_eq!(lab.listing(&FOLDERS), before);
    // A folder that cannot be made is not tried for ever.
    lab.run("ln -s /nowhere /var/lib/autoglm-boot").expect(0);
    let out = lab.run("timeout 10 autoglm-boot install -m /srv/app.toml").expect(1);
    assert!(
        out.stderr.contains("cannot keep records in /var/lib/autoglm-boot"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_run_waits_for_the_one_before_it_until_it_is_interrupted_or_has_waited_long_enough() {
    let lab = lab("locked");
    let install = "autoglm-boot install -m /srv/app.toml";
    let hold = |seconds: u32| {
        lab.run(&format!(
            "mkdir -p /var/lib/autoglm-boot && (flock /var/lib/autoglm-boot/lock sleep {seconds} >/dev/null 2>&1 &) && sleep 0.2"
        ))
        .expect(0)
    };
    hold(5);
    let out = lab.run(install).expect(0);
    assert!(out.stderr.contains("another autoglm-boot is at work"), "{}", out.stderr);
    let before = lab.listing(&FOLDERS);

    lab.write("/srv/app.toml", &APP.replace("1000", "2000"), 0o644);
    hold(60);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let out = lab
            .run(&format!("timeout -s {signal} --preserve-status 1 {install}"))
            .expect(code);
        assert!(out.stderr.contains("Nothing was changed"), "{}", out.stderr);
    }
    let (exit, _) = faulty::run(&lab, "hurry 0", "install -m /srv/app.toml");
    assert_eq!(exit, Some(9));
    assert_eq!(lab.listing(&FOLDERS), before);
}

#[test]
fn nobody_else_can_hold_the_lock_and_everybody_sees_that_it_is_held() {
    let lab = lab("lock");
    lab.run("autoglm-boot install -m /srv/app.toml").expect(0);
    let hold = "flock -s /var/lib/autoglm-boot/lock sleep 60 & sleep 0.5; kill -0 $!";
    assert_ne!(lab.as_user("app", hold).code, 0, "it could not be opened");
    lab.write(
        "/srv/app.toml",
        &APP.replace("50ms", "3s").replace("1000", "2000"),
        0o644,
    );
    lab.run("autoglm-boot install -m /srv/app.toml >/dev/null 2>&1 & sleep 1")
        .expect(0);
    let out = lab.as_user("app", "autoglm-boot status app").expect(7);
    assert!(out.stdout.starts_with("app: being installed"), "{}", out.stdout);
}

#[test]
fn an_interrupt_undoes_and_says_so() {
    let lab = lab("signal");
    let before = lab.listing(&FOLDERS);
    lab.write("/srv/slow.toml", &APP.replace("50ms", "60s"), 0o644);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let out = lab.run(&format!(
            "autoglm-boot install -m /srv/slow.toml & pid=$!; sleep 1; kill -{signal} $pid; wait $pid"
        ));
        // A shell without job control lets its background jobs ignore SIGINT: asked for explicitly, it works as well.
        let code = if out.code == code {
            code
        } else {
            lab.run(&format!(
                "timeout -s {signal} --preserve-status 1 autoglm-boot install -m /srv/slow.toml"
            ))
            .code
        };
        assert!(code == 130 || code == 143, "{signal}: {code}\n{}", out.stderr);
        assert_eq!(lab.listing(&FOLDERS), before, "{signal}");
    }
}
