//! The environment files: whether they can be read, and whether systemd takes every line of them.

use std::path::Path;

use super::{
    Check, Finding, Patient,
    patient::{quoted, small_file},
};
use crate::{
    service::{Os, Scope},
    system::EntryKind,
    values,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "environment-file-missing",
        [
            "an environment file is not there: nothing is started without it",
            "`service.environment_files`",
            "an empty file that only its owner may read, to be filled",
        ],
        missing,
    ),
    Check::error(
        "environment-file-unreadable",
        [
            "an environment file cannot be read by the service manager",
            "its mode and owner: the machine's service manager reads as root, a user's as that user",
            "`chown`, `chmod`",
        ],
        unreadable,
    )
    .on(Os::Linux),
    Check::error(
        "environment-file-lines",
        [
            "an environment file has lines that systemd drops without a word, or takes otherwise than meant",
            "each line: `export`, a missing `=`, a name that is none, a byte order mark, UTF-16",
            "`sed` puts them right",
        ],
        lines,
    ),
];

fn missing(patient: &Patient) -> Vec<Finding> {
    let files = patient.service.environment_files.iter();
    files
        .filter(|file| !matches!(patient.look.target(file), Ok(Some(entry)) if entry.kind == EntryKind::File))
        .filter(|file| patient.look.target(file).is_ok())
        .map(|file| {
            let finding = Finding::new(format!("the environment file {} is not there", file.display()));
            match patient.look.target(file) {
                Ok(Some(_)) => finding.seen("it is no file").by_hand("name a file"),
                _ if patient.is_on_windows() => finding
                    .seen("service.environment_files names it")
                    .by_hand("make it, and write KEY=value lines into it"),
                _ => finding
                    .seen("service.environment_files names it")
                    .run(format!("install -m 600 /dev/null {}", quoted(file)))
                    .by_hand("write KEY=value lines into it"),
            }
        })
        .collect()
}

fn unreadable(patient: &Patient) -> Vec<Finding> {
    let is_users = patient.service.scope == Scope::User;
    let files = patient.service.environment_files.iter();
    let is_closed = |file: &&std::path::PathBuf| match patient.look.target(file) {
        Ok(Some(entry)) => {
            entry.kind == EntryKind::File
                && (patient.look.read(file).is_err() || (is_users && !patient.may("-r", file)))
        }
        Ok(None) => false,
        Err(_) => true,
    };
    files
        .filter(is_closed)
        .map(|file| {
            let entry = patient.look.target(file).ok().flatten();
            let seen = entry.map(|entry| super::places::described(patient, file, &entry));
            let finding = Finding::new(format!("the environment file {} cannot be read", file.display()))
                .seen(seen.unwrap_or_else(|| "nor can the folder it lies in".into()));
            if is_users {
                finding.run(format!("sudo chown {} {}", patient.host.user_name(), quoted(file)))
            } else {
                finding.by_hand("run doctor as root: the machine's service manager reads it as root")
            }
        })
        .collect()
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Export,
    NoAssignment,
    NoName,
}

fn lines(patient: &Patient) -> Vec<Finding> {
    let files = patient.service.environment_files.iter();
    files
        .filter_map(|file| {
            let bytes = small_file(patient.look, file)?;
            if patient.is_on_windows() {
                return faults_on_windows(file, &bytes);
            }
            faults_of(file, &bytes)
        })
        .collect()
}

fn faults_of(file: &Path, bytes: &[u8]) -> Option<Finding> {
    let name = file.display();
    let finding = Finding::new(format!("{name} does not say what it means to"));
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let convert = format!(
            "text=$(iconv -f UTF-16 -t UTF-8 {0}) && printf '%s\\n' \"$text\" >{0}",
            quoted(file)
        );
        return Some(finding.seen("it is UTF-16: systemd reads UTF-8").run(convert));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut finding = finding;
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        finding = finding
            .seen("it begins with a byte order mark, which becomes part of the first name")
            .run(format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {}", quoted(file)));
        return Some(finding).filter(|_| !rest.is_empty());
    }
    let faults = faults(&text, true);
    for (number, fault) in &faults {
        finding = finding.seen(told(*number, *fault, "export is for shells: systemd drops the line"));
    }
    let has = |wanted: Fault| faults.iter().any(|(_, fault)| *fault == wanted);
    if has(Fault::Export) {
        finding = finding.run(format!(
            "sed -i 's/^[[:space:]]*export[[:space:]]\\+//' {}",
            quoted(file)
        ));
    }
    let others = faults
        .iter()
        .filter(|(_, fault)| matches!(fault, Fault::NoAssignment | Fault::NoName));
    let numbers: Vec<_> = others.map(|(number, _)| format!("{number}s/^/# /")).collect();
    if !numbers.is_empty() {
        finding = finding.run(format!("sed -i '{}' {}", numbers.join(";"), quoted(file)));
    }
    Some(finding).filter(|finding| !finding.evidence.is_empty())
}

/// The same, as our supervisor reads it: a backslash is a character, and nobody has sed(1).
fn faults_on_windows(file: &Path, bytes: &[u8]) -> Option<Finding> {
    let mut finding = Finding::new(format!("{} does not say what it means to", file.display()));
    let save = "save it as UTF-8 without a mark: Notepad, Save as, encoding UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Some(finding.seen("it is UTF-16: it is read as UTF-8").by_hand(save));
    }
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        finding = finding
            .seen("it begins with a byte order mark, which becomes part of the first name")
            .by_hand(save);
        return Some(finding).filter(|_| !rest.is_empty());
    }
    for (number, fault) in faults(&String::from_utf8_lossy(bytes), false) {
        finding = finding.seen(told(number, fault, "export is for shells: the line is dropped"));
        finding = finding.by_hand(match fault {
            Fault::Export => format!("take export out of line {number}"),
            Fault::NoAssignment | Fault::NoName => format!("write line {number} as NAME=value, or put a # before it"),
        });
    }
    Some(finding).filter(|finding| !finding.evidence.is_empty())
}

fn faults(text: &str, has_escapes: bool) -> Vec<(usize, Fault)> {
    let lines = assignments(text, has_escapes);
    lines
        .filter_map(|(number, line)| Some((number, fault(line)?)))
        .collect()
}

/// All of it may be a secret, also what is before a =.
fn told(number: usize, fault: Fault, export: &str) -> String {
    let why = match fault {
        Fault::Export => export,
        Fault::NoAssignment => "there is no = in it",
        Fault::NoName => "what is before the = is no name of a variable",
    };
    format!("line {number}: {why}")
}

/// The lines that are to set a variable, with their numbers; not those that go on with the one before, nor what is in quotes
/// over several lines.
fn assignments(text: &str, has_escapes: bool) -> impl Iterator<Item = (usize, &str)> {
    let mut goes_on = false;
    let mut quote = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim_end_matches('\r');
        let goes_on_next = has_escapes && line.ends_with('\\');
        let begins = !std::mem::replace(&mut goes_on, goes_on_next) && quote.is_none();
        let is_comment = begins && line.trim_start().starts_with(['#', ';']);
        if is_comment {
            goes_on = false;
        } else {
            let mut escaped = false;
            for c in line.chars() {
                match (quote, c) {
                    _ if escaped => escaped = false,
                    (None | Some('"'), '\\') if has_escapes => escaped = true,
                    (None, '"' | '\'') => quote = Some(c),
                    (Some(open), c) if c == open => quote = None,
                    _ => {}
                }
            }
        }
        (begins && !is_comment && !line.trim().is_empty()).then_some((number + 1, line))
    })
}

fn fault(line: &str) -> Option<Fault> {
    let Some((name, _)) = line.split_once('=') else {
        return Some(Fault::NoAssignment);
    };
    let trimmed = name.trim_start();
    if trimmed.starts_with("export ") || trimmed.starts_with("export\t") {
        Some(Fault::Export)
    } else {
        // systemd takes the blanks before the = away.
        (!values::is_variable(trimmed.trim_end())).then_some(Fault::NoName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_dropped_are_told_and_those_that_are_not_are_not() {
        let file = Path::new("/a.env");
        for text in [
            "",
            "A=1\r\nB=2\r\n", // systemd takes a CR for the end of a line
            "# a\n; b\n\nA=1\n B = 2\nC='x\nnot = a line\n'\nD=a\\\n  export b\nE=\"a\nb\"\nF=it's\n'\n",
        ] {
            assert_eq!(faults_of(file, text.as_bytes()), None, "{text}");
        }
        for (text, seen, run) in [
            (&b"export A=1\n"[..], "line 1: export is for shells", "export"),
            (b"A=1\nthis is none\n", "line 2: there is no = in it", "2s/^/# /"),
            (b"1A=x\n", "no name", "1s/^/# /"),
            (b"a-b=x\n", "no name", "1s/^/# /"),
            (b"\xef\xbb\xbfA=1\n", "byte order mark", "1s/^"),
            (b"\xff\xfeA\0=\0", "UTF-16", "iconv"),
        ] {
            let finding = faults_of(file, text).expect("it is told");
            assert!(finding.evidence.iter().any(|told| told.contains(seen)), "{finding}");
            assert!(finding.to_string().contains(run), "{finding}");
        }
        for line in ["export TOKEN=hidden\n", "hidden\n", "hidden/+==\n"] {
            for judge in [faults_of, faults_on_windows] {
                let secret = judge(file, line.as_bytes()).expect("it is told");
                assert!(!secret.to_string().contains("hidden"), "{secret}");
            }
        }
    }

    #[test]
    fn on_windows_they_are_told_in_its_words() {
        let file = Path::new("/a.env");
        for text in [
            "",
            "A=C:\\models\\\r\nB=\"C:\\x y\\\"\r\nC=1\r\n",
            "# a\nA='x\nnot = a line\n'\n",
        ] {
            assert_eq!(faults_on_windows(file, text.as_bytes()), None, "{text}");
        }
        for (text, seen, repair) in [
            (
                &b"export A=1\r\n"[..],
                "the line is dropped",
                "take export out of line 1",
            ),
            (
                b"A=C:\\\r\nthis is none\r\n",
                "line 2: there is no =",
                "write line 2 as NAME=value",
            ),
            (b"\xef\xbb\xbfA=1\n", "byte order mark", "encoding UTF-8"),
            (b"\xff\xfeA\0=\0", "UTF-16", "encoding UTF-8"),
        ] {
            let told = faults_on_windows(file, text).expect("it is told").to_string();
            assert!(told.contains(seen) && told.contains(repair), "{told}");
            assert!(!told.contains("systemd") && !told.contains("sed -i"), "{told}");
        }
    }
}
