//! What the app said last: the causes that it names itself.

use std::{path::PathBuf, time::Duration};

use super::{Check, Finding, Patient};
use crate::{plan::Span, service::Os, system::Cmd};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "waits-for-terminal",
        [
            "it asks on a terminal, which a service has not: it ends, or asks for ever",
            "the app's last lines (EOFError, not a tty)",
            "its answers as arguments, or as its standard input",
        ],
        terminal,
    ),
    Check::error(
        "no-space",
        [
            "it could not write: no space left on device",
            "the app's last lines",
            "what takes the space",
        ],
        no_space,
    ),
    Check::error(
        "too-many-files",
        [
            "it has more files and connections open than it may",
            "the app's last lines (Too many open files), `resources.open_files`",
            "a higher `resources.open_files`",
        ],
        too_many_files,
    ),
    Check::error(
        "too-many-tasks",
        [
            "it has more processes and threads than it may",
            "the app's last lines, `resources.tasks`",
            "a higher `resources.tasks`",
        ],
        too_many_tasks,
    ),
    Check::warning(
        "log-flood",
        [
            "it writes so many lines that some are dropped",
            "what journald says of the app in the last ten minutes (Suppressed … messages)",
            "a higher `logging.level`; or a higher `logging.rate_limit`",
        ],
        flood,
    )
    .on(Os::Linux),
];

/// The last line that has one of these in it; only of an app that is not well.
pub(super) fn line_with<'a>(patient: &'a Patient, words: &[&str]) -> Option<&'a str> {
    patient.ending.as_ref()?;
    let has = |line: &&String| words.iter().any(|word| line.contains(word));
    patient.lines.iter().rev().find(has).map(|line| line.trim())
}

/// The path that a line ends with, in quotes or behind a colon.
pub(super) fn path_in(line: &str) -> Option<PathBuf> {
    let quotes = ['\'', '"', '`', '‘', '’'];
    let in_quotes = line
        .split(quotes)
        .skip(1)
        .step_by(2)
        .filter(|part| part.starts_with('/'))
        .last();
    let bare = || line.split([' ', ':', ',']).rfind(|part| part.starts_with('/'));
    in_quotes.or_else(bare).map(PathBuf::from)
}

fn terminal(patient: &Patient) -> Vec<Finding> {
    const SIGNS: [&str; 7] = [
        "EOFError: EOF when reading a line",
        "EOF when reading a line",
        "not a tty",
        "is not a TTY",
        "not a terminal",
        "Inappropriate ioctl for device",
        "no tty present",
    ];
    /// So many times in the last lines: then it asks for ever.
    const FOR_EVER: usize = 20;
    let is_sign = |line: &&String| SIGNS.iter().any(|sign| line.contains(sign));
    let signs = patient.lines.iter().filter(is_sign).count();
    let Some(line) = patient.lines.iter().rev().find(is_sign) else {
        return Vec::new();
    };
    if patient.ending.is_none() && signs < FOR_EVER {
        return Vec::new();
    }
    let finding = Finding::new("it asks on a terminal, which a service has not").seen(line.trim());
    if patient.is_on_windows() {
        return finding
            .by_hand("say what it asks for in service.command, in service.environment, or in its configuration: its standard input is empty")
            .only();
    }
    finding
        .edit(patient, "raw.systemd.Service.StandardInput", "\"data\"")
        .edit(patient, "raw.systemd.Service.StandardInputText", "\"yes\"")
        .by_hand(
            "write instead of yes what it is to be told; better: say it in service.command, or in its configuration",
        )
        .only()
}

fn no_space(patient: &Patient) -> Vec<Finding> {
    let Some(line) = line_with(patient, &["No space left on device", "ENOSPC", "Disk quota exceeded"]) else {
        return Vec::new();
    };
    let place = path_in(line).unwrap_or_else(|| patient.service.working_directory.clone());
    let finding = Finding::new("it could not write: the disk was full").seen(line);
    super::places::make_room(patient, finding, &place).only()
}

fn too_many_files(patient: &Patient) -> Vec<Finding> {
    let Some(line) = line_with(patient, &["Too many open files", "EMFILE"]) else {
        return Vec::new();
    };
    let finding = Finding::new("it has too many files and connections open").seen(line);
    if patient.is_on_windows() {
        // 512 streams (_setmaxstdio, Microsoft C runtime).
        return finding
            .seen("the limit is that of the app's own runtime: resources.open_files is without effect on Windows")
            .by_hand(
                "let it close what it does not need, or have fewer connections; a program in C can call _setmaxstdio",
            )
            .only();
    }
    let now = patient.service.resources.open_files;
    finding
        .seen(now.map_or("the limit is that of the system".into(), |limit| {
            format!("resources.open_files is {limit}")
        }))
        .edit(
            patient,
            "resources.open_files",
            now.map_or(65_536, |limit| (limit * 4).max(1024)).to_string(),
        )
        .only()
}

fn too_many_tasks(patient: &Patient) -> Vec<Finding> {
    let signs = [
        "can't start new thread",
        "Resource temporarily unavailable",
        "fork: retry",
        "Cannot fork",
        "EAGAIN",
    ];
    if patient.is_on_windows() {
        let Some(line) = line_with(patient, &signs[..1]) else {
            return Vec::new();
        };
        return Finding::new("it could not start one more thread")
            .seen(line)
            .seen("there is no limit of ours: resources.tasks is without effect on Windows")
            .by_hand("let it have fewer threads (its own setting), or give the machine more memory")
            .only();
    }
    let limit = patient.service.resources.tasks;
    let Some((line, limit)) = line_with(patient, &signs).zip(limit) else {
        return Vec::new();
    };
    Finding::new("it has more processes and threads than it may")
        .seen(line)
        .seen(format!("resources.tasks is {limit}"))
        .edit(patient, "resources.tasks", (limit * 4).max(64).to_string())
        .only()
}

fn flood(patient: &Patient) -> Vec<Finding> {
    const RECENT: Duration = Duration::from_mins(10);
    if !patient.is_of_systemd() || !patient.app.live.is_up() && patient.ending.is_none() {
        return Vec::new();
    }
    let started = patient
        .app
        .live
        .started
        .map(|at| patient.look.monotonic().saturating_sub(at));
    let since = format!("--since=-{}s", started.unwrap_or(RECENT).min(RECENT).as_secs() + 1);
    let words = [
        "--quiet",
        "--no-pager",
        "--output=cat",
        "--identifier=systemd-journald",
        &since,
    ];
    let output = patient.look.query(&Cmd::new("journalctl", words)).unwrap_or_default();
    let end = format!("from {}", patient.unit());
    let is_own = |line: &&str| line.starts_with("Suppressed ") && line.trim().ends_with(&end);
    let Some(line) = output.stdout.lines().rfind(is_own) else {
        return Vec::new();
    };
    let limit = patient.service.logging.rate_limit;
    Finding::new("it writes more lines than its limit: some are dropped")
        .seen(line.trim())
        .seen(format!(
            "logging.rate_limit is {} in {}",
            limit.burst,
            Span(limit.interval)
        ))
        .edit(patient, "logging.level", "\"warning\"")
        .by_hand("if it does not read LOG_LEVEL: name its variable in logging.level_variable, or make it say less")
        .only()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_path_is_found_in_what_was_said() {
        for (line, path) in [
            (
                "PermissionError: [Errno 13] Permission denied: '/srv/a b/x.log'",
                Some("/srv/a b/x.log"),
            ),
            ("touch: cannot touch '/usr/x': Read-only file system", Some("/usr/x")),
            ("/bin/sh: 1: cannot create /srv/x: Permission denied", Some("/srv/x")),
            ("Error: EROFS: read-only file system, open '/srv/y'", Some("/srv/y")),
            ("Permission denied", None),
        ] {
            assert_eq!(path_in(line).as_deref(), path.map(Path::new), "{line}");
        }
    }
}
