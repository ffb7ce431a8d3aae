//! The refused set: what a target cannot carry unchanged. A character arrives as it was written, or the manifest is refused
//! with exit 2. What each rule rests on was measured under a running systemd 252 by the fidelity lab.

use std::{ops::Range, path::Path};

use super::Checker;
use crate::{
    manifest::Manifest,
    render::is_noncharacter,
    service::{Probe, Service},
};

/// The kernel's limit for one argument or variable, without its end (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST_WORD: usize = 131_071;
/// systemd's limit for one line of a unit (`LONG_LINE_MAX`), with room for the directive.
const LONGEST_LINE: usize = 1024 * 1024 - 256;
/// What the kernel passes on to one process, three quarters of it: the words, their ends, and a pointer to each (`ARG_MAX`,
/// execve(2)).
const MOST_WORDS: usize = 3 * 512 * 1024;
/// Room for `PATH=` and the folders that follow those of the manifest.
const DEFAULT_PATH: usize = 128;

/// The commands that probes run, and where they are written.
pub(super) fn asked<'a>(
    service: &'a Service,
    m: &'a Manifest,
) -> impl Iterator<Item = (&'a [String], &'a Range<usize>)> {
    let health = m.health.as_ref().and_then(|health| health.value.probe.command.as_ref());
    let asked = [
        (service.readiness.probe.as_ref(), m.readiness.probe.command.as_ref()),
        (service.health.as_ref().map(|health| &health.probe), health),
    ];
    asked.into_iter().filter_map(|(probe, at)| match (probe, at) {
        (Some(Probe::Command { argv }), Some(at)) => Some((argv.as_slice(), &at.span)),
        _ => None,
    })
}

/// Why a program's path cannot stand in `ExecStart=`: systemd refuses quotes, backslashes and control characters there
/// ("Executable name contains special characters").
pub(super) fn program(path: &str) -> Option<&'static str> {
    path.chars()
        .any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\') || is_noncharacter(c))
        .then_some("a quote, a backslash, a control or a noncharacter in a program's path is refused by systemd")
}

/// Why a folder cannot stand in `WorkingDirectory=`: it is taken raw to the end of the line.
pub(super) fn raw_path(path: &str) -> Option<&'static str> {
    let is_lost =
        path.chars().any(|c| c.is_control() || is_noncharacter(c)) || path.ends_with('\\') || path.trim_end() != path;
    is_lost.then_some(
        "a control character, a noncharacter, or a space or backslash at the end of a path is lost by systemd",
    )
}

/// Why a value cannot stand in `Environment=`: systemd leaves such a variable unset without a word.
pub(super) fn value(text: &str) -> Option<&'static str> {
    text.chars()
        .any(is_noncharacter)
        .then_some("a noncharacter in a variable makes systemd drop the variable")
}

/// Why a word cannot be an argument: it would arrive, but D-Bus does not carry it, and systemctl(1) then reads no property
/// of the unit at all ("Failed to get properties: Invalid argument").
fn argument(text: &str) -> Option<&'static str> {
    text.chars()
        .any(is_noncharacter)
        .then_some("a noncharacter in an argument keeps systemd from telling anything about the unit")
}

impl Checker<'_> {
    /// Refuses what would not arrive.
    pub(super) fn check_carried(&mut self, service: &Service) {
        let m = self.manifest;
        let pre_start = m.service.pre_start.iter().map(|at| &at.span);
        let started = service.pre_start.iter().zip(pre_start);
        for (argv, span) in started.chain([(&service.command, &m.service.command.span)]) {
            if let Some(why) = argv.first().and_then(|path| program(path)) {
                self.wrong(why, span, "move it, or give it another name by a link");
            }
            if let Some(why) = argv.iter().skip(1).find_map(|word| argument(word)) {
                self.wrong(why, span, "encode it, or hand it over in a file");
            }
            self.check_length(argv.iter().map(String::len), span);
            self.check_number(argv, &service.environment, span);
        }
        for (argv, span) in asked(service, m) {
            self.check_length(argv.iter().map(String::len), span);
        }
        if let Some(at) = &m.app.description
            && at.value.len() * 2 > LONGEST_LINE
        {
            self.wrong(
                "this may be longer than a line of a unit can be",
                &at.span,
                "shorten it",
            );
        }
        if let (Some((level, variable)), Some(at)) = (&service.logging.level, &m.logging.level) {
            self.check_length([variable.len() + 1 + level.len()], &at.span);
        }
        let folder = m.service.working_directory.as_ref().map_or(0..0, |at| at.span.clone());
        self.check_path(&service.working_directory, &folder);
        for (file, at) in service.environment_files.iter().zip(&m.service.environment_files) {
            self.check_path(file, &at.span);
        }
        self.check_search_path(service);
        for (key, text) in &m.service.environment {
            if let Some(why) = value(&text.value) {
                self.wrong(why, &text.span, "encode it, or use service.environment_files");
            }
            self.check_length([key.value.len() + 1 + text.value.len()], &text.span);
        }
    }

    fn check_path(&mut self, path: &Path, span: &Range<usize>) {
        if let Some(why) = raw_path(&path.to_string_lossy()) {
            self.wrong(
                format!("{:?}: {why}", path.to_string_lossy()),
                span,
                "move it, or name it by a link",
            );
        }
    }

    fn check_search_path(&mut self, service: &Service) {
        let written = &self.manifest.service.path;
        for (folder, at) in service.path.iter().zip(written) {
            let folder = folder.to_string_lossy();
            let colon = folder.contains(':').then_some("a colon parts the folders of PATH");
            if let Some(why) = colon.or_else(|| value(&folder)) {
                self.wrong(why, &at.span, "move it, or name it by a link");
            }
        }
        if let Some(last) = written.last() {
            let lengths = service.path.iter().map(|folder| folder.as_os_str().len() + 1);
            self.check_length([lengths.sum::<usize>() + DEFAULT_PATH], &last.span);
        }
    }

    fn check_number(&mut self, argv: &[String], environment: &[(String, String)], span: &Range<usize>) {
        const END_AND_POINTER: usize = 9;
        let words = argv.iter().map(String::len);
        let variables = environment.iter().map(|(key, value)| key.len() + 1 + value.len());
        if words.chain(variables).map(|word| word + END_AND_POINTER).sum::<usize>() > MOST_WORDS {
            let message = "with the variables, these are more words than a process can be given";
            self.wrong(message, span, "put them into a file");
        }
    }

    fn check_length(&mut self, words: impl IntoIterator<Item = usize>, span: &Range<usize>) {
        let mut line = 0;
        for word in words {
            line += word * 4 + 3; // every byte may need four: \x01
            if word > LONGEST_WORD {
                let message = format!("{word} bytes are more than one word can have ({LONGEST_WORD})");
                self.wrong(message, span, "put it into a file");
                return;
            }
        }
        if line > LONGEST_LINE {
            let message = "this may be longer than a line of a unit can be";
            self.wrong(message, span, "put it into a file");
        }
    }
}
