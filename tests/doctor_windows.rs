//! Doctor on a recorded Windows: what the Task Scheduler and the registry answer, in no language.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use autoglm_boot::{
    backend::{
        AppState, Live,
        embedded::Embedded,
        windows::{Anchor, Facts},
    },
    check::{Wish, drafted},
    doctor::{Ending, Finding, Patient, Severity, Source, examine},
    host::{Host, Init},
    manifest::read,
    receipt::Receipt,
    service::{Method, Scope},
    system::{Folders, Probe as _},
};
use support::recorded::{Recorded, recorded};

/// How a task was left: what was changed in its XML, and its last result as schtasks writes it.
#[derive(Clone, Copy)]
struct Left<'a> {
    changed: Option<(&'a str, &'a str)>,
    last: i64,
    /// `ActiveState`, and `Result`.
    state: (&'a str, &'a str),
    method: Method,
    lines: &'a str,
    /// What the app said last.
    said: &'a str,
}

/// Registered, and stopped by hand after a run that ended well.
const WELL: Left = Left {
    changed: None,
    last: 0,
    state: ("inactive", ""),
    method: Method::Task,
    lines: "",
    said: "",
};

fn host(look: &Recorded) -> Host {
    Host {
        mark: "1".into(),
        windows: Some(Folders {
            programs: "/pf".into(),
            machine: "/pd".into(),
            user: "/local".into(),
            startup: "/startup".into(),
            common_startup: "/common".into(),
            system: "/system".into(),
        }),
        init: Init::Windows,
        systemd: None,
        user: look.user("0").unwrap(),
        runtime: "/run".into(),
        config: "/config".into(),
        state: "/state".into(),
        program: look.program(),
        is_image: false,
    }
}

/// What is found of an app of alice that is installed.
fn found(mut look: Recorded, left: Left) -> Vec<Finding> {
    let text = format!(
        "app.name = \"a\"\nservice.command = [\"python3\", \"main.py\"]\n{}",
        left.lines
    );
    let manifest = read(Path::new("/srv/app/app.toml"), text.as_bytes()).unwrap();
    let (checked, problems) = drafted(&manifest, &Wish::default(), &look);
    let service = checked.service;
    let host = host(&look);
    let anchor = Anchor::new(&host, left.method, Scope::System).unwrap();
    let artefact = anchor.artefact(&service).unwrap();
    if left.method == Method::Task {
        let (from, to) = left.changed.unwrap_or_default();
        let stored = artefact.text.replace(from, to);
        assert!(left.changed.is_none() || stored != artefact.text, "{from}");
        assert!(Facts::of(&stored).is_some(), "{stored}");
        // Windows writes it anew, with other white space.
        look.tasks.push(("/xml", stored.replace("\r\n    ", "\n ")));
        // 就绪, in a code page that is not ours.
        let line = format!(
            "\"PC\",\"\\a\",\"N/A\",\"\u{fffd}\u{fffd}\",\"\u{fffd}\",\"2026/11/24 13:02:03\",\"{}\",\"x\"\r\n",
            left.last
        );
        look.tasks.push(("/nh", line));
    }
    let unit = anchor.unit("a");
    let look = look.with_bytes(unit.to_str().unwrap(), &artefact.bytes);
    let live = Live {
        load: "loaded".into(),
        active: left.state.0.into(),
        result: left.state.1.into(),
        ..Live::unknown("a")
    };
    let ending = (left.state.0 == "failed").then(|| Ending {
        live: live.clone(),
        late: None,
    });
    let mut receipt = Receipt::new(&service, anchor.name(), unit.clone(), "", 0, "alice");
    anchor.note(&service, &mut receipt, &artefact);
    let app = AppState {
        live,
        anchored: anchor.look(&look, "a"),
        at_path: anchor.at_path(&look, "a"),
        receipt: Some(receipt),
        ..AppState::default()
    };
    let backend = Embedded::anchored(&host, Scope::System, left.method).unwrap();
    let source = (Source::Manifest, &service, problems.as_slice());
    examine(&Patient::new(
        (&look, &host),
        &backend,
        source,
        &app,
        (ending, left.said.lines().map(str::to_owned).collect()),
    ))
}

/// This alone is found, with this evidence and this repair.
#[track_caller]
fn only(left: Left, id: &str, seen: &str, repair: &str) -> Finding {
    let found = found(recorded(), left);
    let [finding] = found.as_slice() else {
        panic!("{id}: {found:#?}")
    };
    assert_eq!(finding.id, id, "{finding}");
    assert!(
        finding.evidence.iter().any(|evidence| evidence.contains(seen)),
        "{finding}"
    );
    let steps: Vec<_> = finding.repair.iter().map(ToString::to_string).collect();
    assert!(steps.iter().any(|step| step.contains(repair)), "{finding}");
    finding.clone()
}

#[test]
fn an_app_that_is_well_has_no_finding() {
    let up = ("active", "success");
    // 0x41301: it runs.
    for (last, state, method) in [
        (0, WELL.state, Method::Task),
        (267_009, up, Method::Task),
        (267_014, WELL.state, Method::Task), // ended by hand
        (-2_147_024_894, up, Method::Task),  // of an earlier start
        (0, up, Method::StartupFolder),
    ] {
        let left = Left {
            last,
            state,
            method,
            ..WELL
        };
        assert_eq!(found(recorded(), left), [], "{last}");
    }
}

#[test]
fn settings_that_bound_a_task_are_found_where_nobody_meant_them() {
    let changed = |from, to| Left {
        changed: Some((from, to)),
        ..WELL
    };
    let start = "<DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>";
    let going = "<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>";
    let limit = "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>";
    for (from, to, seen) in [
        (
            start,
            "<DisallowStartIfOnBatteries>true</DisallowStartIfOnBatteries>",
            "DisallowStartIfOnBatteries is true",
        ),
        (start, "", "DisallowStartIfOnBatteries is true"), // its default
        (
            going,
            "<StopIfGoingOnBatteries>1</StopIfGoingOnBatteries>",
            "StopIfGoingOnBatteries is true",
        ),
    ] {
        let finding = only(
            changed(from, to),
            "task-on-batteries",
            seen,
            "autoglm-boot install --system --force",
        );
        assert_eq!(finding.severity, Severity::Warning);
    }
    for (to, seen) in [
        (
            "<ExecutionTimeLimit>P3D</ExecutionTimeLimit>",
            "ExecutionTimeLimit is P3D",
        ),
        ("", "ExecutionTimeLimit is PT72H"),
    ] {
        only(changed(limit, to), "task-time-limit", seen, "--force");
    }
    for (from, to) in [
        (start, "<DisallowStartIfOnBatteries>0</DisallowStartIfOnBatteries>"),
        (limit, "<ExecutionTimeLimit>P0D</ExecutionTimeLimit>"),
    ] {
        assert_eq!(found(recorded(), changed(from, to)), [], "{to}");
    }
    // The manifest says so itself.
    let meant = "[raw.task.Settings]\nStopIfGoingOnBatteries = true\nExecutionTimeLimit = \"PT12H\"\n";
    assert_eq!(found(recorded(), Left { lines: meant, ..WELL }), []);
}

#[test]
fn a_last_result_is_told_in_words() {
    let down = ("failed", "supervisor");
    let stopped = WELL.state;
    for (last, state, id, seen, repair) in [
        (267_011, stopped, "task-never-ran", "0x00041303", "autoglm-boot start a"),
        (267_014, down, "task-ended", "0x00041306", "autoglm-boot start a"),
        (-1_073_741_510, down, "task-ended", "0xC000013A", "autoglm-boot start a"),
        (3_221_225_786, down, "task-ended", "0xC000013A", "autoglm-boot start a"),
        (
            -2_147_024_894,
            stopped,
            "task-not-started",
            "0x80070002",
            "install --system --force",
        ),
        (-2_147_024_891, stopped, "task-not-started", "0x80070005", "icacls"),
        (-1_073_741_515, stopped, "task-not-started", "0xC0000135", "Visual C++"),
        (-2_147_023_570, stopped, "task-logon-refused", "0x8007052E", "net user"),
        (
            -2_147_023_511,
            stopped,
            "task-logon-refused",
            "0x80070569",
            "Log on as a batch job",
        ),
        (
            -2_147_216_609,
            stopped,
            "task-not-started",
            "0x8004131F",
            "event viewer",
        ),
    ] {
        let left = Left { last, state, ..WELL };
        let found = found(recorded(), left);
        let first = found.first().unwrap_or_else(|| panic!("{seen}: nothing is found"));
        assert_eq!(first.id, id, "{first}");
        assert!(first.evidence.iter().any(|evidence| evidence.contains(seen)), "{first}");
        assert!(first.to_string().contains(repair), "{first}");
    }
}

#[test]
fn what_nothing_starts_any_more_is_found() {
    let changed = |from, to| Left {
        changed: Some((from, to)),
        ..WELL
    };
    only(
        changed(
            "<Enabled>true</Enabled>\r\n    <Hidden>",
            "<Enabled>false</Enabled>\r\n    <Hidden>",
        ),
        "task-disabled",
        "Enabled is false",
        "schtasks /change /tn a /enable",
    );
    only(
        changed("BootTrigger>", "TimeTrigger>"),
        "task-changed",
        "another command or trigger",
        "--force",
    );

    let shortcut = Left {
        method: Method::StartupFolder,
        ..WELL
    };
    let mut look = recorded();
    look.approval = Some(vec![3, 0, 0, 0, 1]);
    let switched = found(look, shortcut);
    assert_eq!(switched.len(), 1, "{switched:#?}");
    assert_eq!(switched[0].id, "startup-app-off");
    assert!(switched[0].evidence[0].contains("03 00 00 00 01"), "{}", switched[0]);
    let mut look = recorded();
    look.approval = Some(vec![2, 0, 0, 0]);
    assert_eq!(found(look, shortcut), []);
}

/// No command of Linux, no setting that is without effect, no word of systemd.
#[test]
fn what_an_app_says_itself_is_repaired_as_on_windows() {
    let file = "Traceback\nOSError: [Errno 24] Too many open files: 'x'\n";
    for (said, id, repair) in [
        (
            "EOFError: EOF when reading a line\n",
            "waits-for-terminal",
            "its standard input is empty",
        ),
        (file, "too-many-files", "close what it does not need"),
        (
            "RuntimeError: can't start new thread\n",
            "too-many-tasks",
            "fewer threads",
        ),
    ] {
        let left = Left {
            state: ("failed", "exit-code"),
            said,
            ..WELL
        };
        let found = found(recorded(), left);
        let finding = found.iter().find(|finding| finding.id == id);
        let finding = finding.unwrap_or_else(|| panic!("{id}: {found:#?}"));
        let text = finding.to_string();
        assert!(text.contains(repair), "{text}");
        for word in ["systemd", "sudo", "sed ", "install -m"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    let lines = "service.environment = { API_TOKEN = \"hidden\" }\n";
    let finding = only(Left { lines, ..WELL }, "secret-in-manifest", "API_TOKEN", "icacls");
    let text = finding.to_string();
    for word in ["systemd", "install -m", "hidden", "/dev/null"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_path_that_is_too_long_is_found() {
    for (length, is_found) in [(259, false), (260, true)] {
        let folder = format!("/srv/app/{}", "d".repeat(length - "/srv/app/".len()));
        let look = recorded().folder(&folder).with(&format!("{folder}/main.py"), "");
        let lines = format!("service.working_directory = \"{folder}\"\n");
        let found = found(look, Left { lines: &lines, ..WELL });
        let has = |finding: &Finding| finding.id == "path-too-long" && finding.message.ends_with(&folder);
        assert_eq!(found.iter().any(has), is_found, "{length}: {found:#?}");
    }
}
