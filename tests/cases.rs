//! Manifest → unit, whole files: each folder of `tests/cases` has an `app.toml` and the `expected.service` that comes of it;
//! where it says what is different on Windows, also the `expected.xml` or `expected.lnk.txt`: the text of the task or the
//! shortcut, in UTF-8. Their bytes are read by others in `windows_readers.rs`.
//! `UPDATE_CASES=1` writes what comes of it instead of comparing: then read the difference before it is committed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fmt::Write as _, fs, path::Path};

use autoglm_boot::{backend::Rendered, render, service::Method};
use support::cases::{HELPER, case, cases};

#[test]
fn every_case_renders_the_unit_that_is_expected() {
    let is_update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = String::new();
    for case in cases() {
        if is_update {
            fs::write(case.folder.join("expected.service"), &case.unit.text).unwrap();
        }
        let text = match case.file("expected.service") {
            Some(expected) if expected == case.unit.text => continue,
            Some(expected) => autoglm_boot::diff::unified(&expected, &case.unit.text),
            None => "it has no expected.service\n".into(),
        };
        writeln!(wrong, "{}:\n{text}", case.name()).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}UPDATE_CASES=1 writes what is rendered");
}

#[test]
fn every_case_renders_the_task_or_the_shortcut_that_is_expected() {
    let is_update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = String::new();
    let mut count = 0;
    for case in cases() {
        let Some((service, artefact)) = &case.windows else {
            continue;
        };
        count += 1;
        let name = match service.windows.method {
            Method::Task => "expected.xml",
            Method::StartupFolder => "expected.lnk.txt",
        };
        let text = artefact.text.replace("\r\n", "\n");
        let losses = artefact
            .losses
            .iter()
            .map(|loss| format!("{loss}\n"))
            .collect::<String>();
        // What gets lost has a file only where something does.
        for (name, text) in [(name, text.as_str()), ("expected.losses", losses.as_str())] {
            if is_update && !text.is_empty() {
                fs::write(case.folder.join(name), text).unwrap();
            }
            let expected = case.file(name).unwrap_or_default();
            if expected != text {
                let difference = autoglm_boot::diff::unified(&expected, text);
                writeln!(wrong, "{}: {name}\n{difference}", case.name()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}UPDATE_CASES=1 writes what is rendered");
    assert!(count >= 30, "{count}");
}

/// The cases are rendered for a systemd whose version is not known, as one before 254.
#[test]
fn since_systemd_254_a_back_off_is_two_lines_more_and_no_loss() {
    let case = case("06-restart-on-failure");
    let of_max_delay = |unit: &Rendered| unit.losses.iter().any(|loss| loss.contains("restart.max_delay"));
    assert_eq!(
        render::systemd(&case.service, Some(253), Path::new(HELPER)).unwrap(),
        case.unit
    );
    assert!(of_max_delay(&case.unit));
    let unit = render::systemd(&case.service, Some(254), Path::new(HELPER)).unwrap();
    let delay = "RestartSec=0.250\n";
    let back_off = format!("{delay}RestartSteps=7\nRestartMaxDelaySec=30\n");
    assert_eq!(unit.text, case.unit.text.replace(delay, &back_off));
    assert!(!of_max_delay(&unit));
}

#[test]
fn what_is_said_of_log_files_is_told_as_lost_where_there_is_a_journal() {
    let losses = case("33-log-files").unit.losses;
    for key in ["logging.file", "logging.max_size", "logging.max_files"] {
        assert!(losses.iter().any(|loss| loss.starts_with(key)), "{key} in {losses:?}");
    }
}

#[test]
fn a_start_that_may_take_longer_than_it_says_is_told_as_lost() {
    let losses = |name| case(name).unit.losses.join("\n");
    assert!(losses("32-waits").contains("start_timeout"), "{}", losses("32-waits"));
    assert!(losses("32-waits").ends_with("5m10s"), "{}", losses("32-waits"));
    assert!(!losses("09-dependencies").contains("start_timeout"));
}

/// The keys of the complete example, those in comments too; `# by default` and the like are no keys.
#[test]
fn every_key_is_written_in_a_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let complete = fs::read_to_string(root.join("examples/complete.toml")).unwrap();
    let key = |line: &str| {
        let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
        let is_key = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_key.then(|| key.to_owned())
    };
    let written: Vec<_> = cases()
        .iter()
        .flat_map(|case| {
            case.file("app.toml")
                .unwrap()
                .lines()
                .filter_map(key)
                .collect::<Vec<_>>()
        })
        .collect();
    let keys: Vec<_> = complete.lines().filter_map(key).collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        assert!(written.contains(&key), "no case has {key}");
    }
}

#[test]
fn the_cases_of_open_autoglm_are_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for case in cases().iter().filter(|case| case.name().contains("open-autoglm-")) {
        let (_, example) = case
            .name()
            .split_once("open-autoglm-")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let example = root.join(format!("examples/open-autoglm/{example}.toml"));
        assert_eq!(
            case.file("app.toml").unwrap(),
            fs::read_to_string(example).unwrap(),
            "{}",
            case.name()
        );
    }
}
