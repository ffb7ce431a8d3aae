//! What a real systemd says to the units of `tests/cases`: it verifies each without a word, and it reads those that replace
//! a classic unit, written by hand, as it reads that unit.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::chown,
    path::Path,
};

use autoglm_boot::{
    render::systemd_reset,
    service::Scope,
    system::{EntryKind, Probe as _},
};
use support::{
    cases::{Case, case, cases},
    lab::{Lab, Out},
    machine::{USERS, machine},
};

/// Services that cases depend on and that no case brings along.
const OTHERS: [&str; 3] = ["model-server.service", "postgresql.service", "redis.service"];

/// A lab that has what the machine in memory has, the services that cases depend on, and our reset units.
fn lab_like_the_machine(name: &str) -> Lab {
    let lab = Lab::with_program(name);
    for (old, new) in [("app", "alice"), ("web", "bob")] {
        lab.run(&format!("groupmod -n {new} {old} && usermod -l {new} {old}"))
            .expect(0);
    }
    for (user, uid) in USERS {
        lab.run(&format!(
            "id -u {user} >/dev/null 2>&1 || useradd --system --user-group --uid {uid} {user}"
        ))
        .expect(0);
        assert_eq!(lab.run(&format!("id -u {user}")).stdout, format!("{uid}\n"));
    }
    for (path, entry) in machine(0).files {
        let inside = path.to_str().unwrap();
        let there = lab.path(inside);
        if there.exists() {
            continue;
        }
        match entry.kind {
            EntryKind::Folder => fs::create_dir_all(&there).unwrap(),
            EntryKind::File | EntryKind::Link(_) | EntryKind::Other => {
                lab.write(inside, "#!/bin/sh\n", entry.mode);
                let code = machine(0).read(Path::new(inside)).unwrap();
                if !code.is_empty() {
                    fs::write(&there, code).unwrap();
                }
            }
        }
        chown(&there, Some(entry.uid), Some(entry.gid)).unwrap();
    }
    for other in OTHERS {
        let text = "[Service]\nExecStart=/bin/sleep infinity\n";
        lab.write(&format!("/etc/systemd/system/{other}"), text, 0o644);
    }
    for (scope, folder) in [(Scope::System, "system"), (Scope::User, "user")] {
        let path = format!("/etc/systemd/{folder}/autoglm-boot-reset@.service");
        lab.write(&path, systemd_reset(scope), 0o644);
    }
    lab
}

/// What `systemd-analyze verify` says to a unit, asked in the unit's scope.
fn verify(lab: &Lab, scope: Scope, path: &str) -> Out {
    let verify = |scope| format!("systemd-analyze {scope} verify --man=no --recursive-errors=no {path}");
    match scope {
        Scope::System => lab.run(&verify("--system")),
        Scope::User => lab.as_user("alice", &format!("XDG_RUNTIME_DIR=$(mktemp -d) {}", verify("--user"))),
    }
}

#[test]
fn systemd_verifies_every_case_without_a_word_and_finds_what_is_broken() {
    let lab = lab_like_the_machine("cases");
    let cases = cases();
    let path = |case: &Case| {
        let folder = match case.service.scope {
            Scope::System => "system",
            Scope::User => "user",
        };
        format!("/etc/systemd/{folder}/{}", case.unit.file)
    };
    // All of them first: a case may depend on another.
    for case in &cases {
        lab.write(&path(case), &case.unit.text, 0o644);
    }
    let mut wrong = String::new();
    for case in &cases {
        let out = verify(&lab, case.service.scope, &path(case));
        if out.code != 0 || !out.stderr.is_empty() {
            writeln!(wrong, "{}: {out:#?}", case.name()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for unit in [
        "system/autoglm-boot-reset@app.service",
        "user/autoglm-boot-reset@app.service",
    ] {
        let scope = if unit.starts_with("user") {
            Scope::User
        } else {
            Scope::System
        };
        let out = verify(&lab, scope, &format!("/etc/systemd/{unit}")).expect(0);
        assert_eq!(out.stderr, "", "{unit}");
    }

    // The check can fail: what is right but for one line is found, in both scopes.
    for scope in [Scope::System, Scope::User] {
        let case = cases.iter().find(|case| case.service.scope == scope).unwrap();
        let mut found = 0;
        for (line, with, said) in [
            ("Type=exec", "Typo=exec", "'Typo'"),
            ("Type=exec", "Type=exek", "exek"),
            ("RestartSec=5", "RestartSec=five", "five"),
            ("/run\"", "/gone\"", "/gone is not executable"),
            ("/usr/bin/python3", "/gone", "/gone is not executable"),
        ] {
            if !case.unit.text.contains(line) {
                continue;
            }
            let broken = path(case).replace(".service", "-broken.service");
            lab.write(&broken, &case.unit.text.replace(line, with), 0o644);
            let out = verify(&lab, scope, &broken);
            assert!(out.code != 0 && out.stderr.contains(said), "{line} -> {with}: {out:#?}");
            found += 1;
        }
        assert!(found > 3, "{scope:?}: {found}");
    }
}

/// The machine in memory is a double: on a real one like it, the program writes the same units.
#[test]
fn the_program_renders_every_case_as_it_is_expected() {
    let lab = lab_like_the_machine("render");
    for case in cases() {
        lab.write("/srv/app/app.toml", &case.file("app.toml").unwrap(), 0o644);
        let render = "autoglm-boot render --manifest /srv/app/app.toml";
        let out = match case.service.scope {
            Scope::System => lab.run(render),
            Scope::User => lab.as_user("alice", render),
        };
        assert_eq!(out.expect(0).stdout, case.unit.text, "{}", case.name());
    }
}

/// A property, its value in a classic unit, and in ours.
type Differences = &'static [(&'static str, &'static str, &'static str)];

/// What may differ; any other difference is a fault, and so is one of these that is no more. Names, paths and times do not
/// differ: both units are read under the same name, and neither is started.
const DIFFER: Differences = &[
    // Started when the program is executed, not when the process is forked: a program that is not there is a failed start.
    ("Type", "simple", "exec"),
    // The restart budget. systemd's own, five in ten seconds, is never used up by an app that is restarted after five.
    ("StartLimitBurst", "5", "6"),
    ("StartLimitIntervalUSec", "10s", "10min"),
    // Starts by hand do not use it up.
    ("OnSuccess", "", "autoglm-boot-reset@NAME"),
    // stop_timeout is 30 s; the time to abort follows it.
    ("TimeoutStopUSec", "1min 30s", "30s"),
    ("TimeoutAbortUSec", "1min 30s", "30s"),
    // A limit of our own instead of journald's: it holds whatever journald.conf says. 0 is "not set" here.
    ("LogRateLimitBurst", "0", "10000"),
    ("LogRateLimitIntervalUSec", "0", "30s"),
];

/// What the article writes beside its StandardOutput=: "inherit" is that too, and both mean the journal.
const ARTICLE: Differences = &[("StandardError", "journal", "inherit")];

/// `requires` means ready, not only started: the dependant waits for it, two minutes at most, and systemd a little longer.
const WAITS: Differences = &[
    ("TimeoutStartUSec", "1min 30s", "2min 10s"),
    ("ExecStartPre", "", WAIT),
    ("ExecStartPreEx", "", WAIT),
];
const WAIT: &str = "autoglm-boot wait --system --timeout 2m --app model-server";

#[test]
fn systemd_reads_our_unit_as_it_reads_the_classic_one() {
    let lab = lab_like_the_machine("classic");
    for (name, own) in [("27-classic-open-autoglm", ARTICLE), ("28-classic-api-server", WAITS)] {
        let case = case(name);
        let classic = loaded(&lab, &case.unit.file, &case.file("classic.service").unwrap());
        let ours = loaded(&lab, &case.unit.file, &case.unit.text);
        let names: BTreeSet<_> = classic.keys().chain(ours.keys()).collect();
        assert!(names.len() > 200, "{}", names.len());
        let differ: BTreeMap<_, _> = names
            .into_iter()
            .map(|name| {
                (
                    name.as_str(),
                    [&classic, &ours].map(|unit| unit.get(name).map_or("", String::as_str)),
                )
            })
            .filter(|(_, [classic, ours])| classic != ours)
            .map(|(name, [classic, ours])| (name, [classic, if ours.contains(WAIT) { WAIT } else { ours }]))
            .collect();
        let expected: BTreeMap<_, _> = DIFFER
            .iter()
            .chain(own)
            .map(|(name, classic, ours)| (*name, [*classic, *ours]))
            .collect();
        assert_eq!(differ, expected, "{name}");
    }
}

/// Every property of a unit that is loaded and enabled under this name. Of a list of units the order means nothing.
fn loaded(lab: &Lab, unit: &str, text: &str) -> BTreeMap<String, String> {
    lab.write(&format!("/etc/systemd/system/{unit}"), text, 0o644);
    lab.run(&format!("systemctl enable --quiet {unit}")).expect(0); // it reloads too
    let out = lab.run(&format!("systemctl show --all {unit}")).expect(0);
    lab.run(&format!(
        "systemctl disable --quiet {unit}; rm /etc/systemd/system/{unit}; systemctl daemon-reload"
    ))
    .expect(0);
    let properties = out.stdout.lines().filter_map(|line| line.split_once('='));
    let sorted = |value: &str| {
        let mut words: Vec<_> = value.split(' ').collect();
        if words.iter().all(|word| word.contains('.')) {
            words.sort_unstable();
        }
        words.join(" ").replace(unit, "NAME")
    };
    properties
        .map(|(name, value)| (name.to_owned(), sorted(value)))
        .collect()
}

/// systemd hands a limit of 0 on to nobody, so that journald's own would hold.
#[test]
fn a_rate_limit_of_zero_is_none() {
    let lab = lab_like_the_machine("rate");
    let talk = |unit: &str, text: &str| {
        lab.write(
            "/srv/app/run",
            "#!/bin/sh\nseq 100000\ntouch said\nexec sleep infinity\n",
            0o755,
        );
        lab.write(&format!("/etc/systemd/system/{unit}"), text, 0o644);
        let said = "until rm /srv/app/said 2>/dev/null; do sleep 0.1; done; journalctl --sync";
        lab.run(&format!("systemctl start {unit} && {said}")).expect(0);
        let lines = lab
            .run(&format!("journalctl -q -o cat -u {unit} | grep -c '^[0-9]*$'"))
            .stdout;
        lines.trim().parse::<u32>().unwrap()
    };
    let unlimited = case("15-logging").unit;
    assert_eq!(talk(&unlimited.file, &unlimited.text), 100_000);
    let limited = case("01-minimal").unit;
    let text = limited.text.replace("\"/usr/bin/python3\" \"main.py\"", "/srv/app/run");
    let lines = talk(&limited.file, &text);
    assert!((10_000..90_000).contains(&lines), "{lines}"); // journald multiplies it by the free space of its disk
}

/// What systemd could read as something else arrives as it was written.
#[test]
fn every_hostile_character_arrives() {
    let lab = lab_like_the_machine("hostile");
    let Case { service, unit, .. } = case("24-hostile");
    let program = "#!/usr/bin/python3 -I\nimport json, os, sys, time\n\
        with open('/srv/app/got', 'a') as got: print(json.dumps([sys.argv, dict(os.environ), os.getcwd()]), file=got)\n\
        if len(sys.argv) > 3: time.sleep(1000)\n";
    lab.write(&service.command[0], program, 0o755);
    lab.write(service.environment_files[0].to_str().unwrap(), "FROM_FILE=1\n", 0o600);
    lab.write(&format!("/etc/systemd/system/{}", unit.file), &unit.text, 0o644);
    let started = format!(
        "systemctl start {}; until [ \"$(wc -l </srv/app/got)\" = 2 ]; do sleep 0.1; done",
        unit.file
    );
    lab.run(&started).expect(0);
    let got = fs::read_to_string(lab.path("/srv/app/got")).unwrap();
    let expected = [&service.pre_start[0], &service.command];
    for (line, argv) in got.lines().zip(expected) {
        let (words, variables, folder): (Vec<String>, BTreeMap<String, String>, String) =
            serde_json::from_str(line).unwrap();
        assert_eq!(words, *argv);
        assert_eq!(folder, service.working_directory.to_str().unwrap());
        assert_eq!(variables["FROM_FILE"], "1");
        assert!(variables["PATH"].starts_with(&format!("{}:/usr/local/sbin:", service.path[0].display())));
        for (name, value) in &service.environment {
            assert_eq!(variables[name], *value, "{name}");
        }
    }
    let description = lab
        .run(&format!("systemctl show -P Description {}", unit.file))
        .expect(0);
    assert_eq!(description.stdout, format!("{}\n", service.description));
}
