//! The refused set: what a target cannot carry unchanged. A character arrives as it was written, or the manifest is refused
//! with exit 2. What each rule rests on was measured under a running systemd 252 by the fidelity lab.

use super::Checker;
use crate::{render::is_noncharacter, service::Service};

/// The kernel's limit for one argument or variable, without its end (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST_WORD: usize = 131_071;
/// systemd's limit for one line of a unit (`LONG_LINE_MAX`), with room for the directive.
const LONGEST_LINE: usize = 1024 * 1024 - 256;

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

impl Checker<'_> {
    /// Refuses what would not arrive.
    pub(super) fn check_carried(&mut self, service: &Service) {
        let m = self.manifest;
        let commands = std::iter::once((&service.command, &m.service.command.span)).chain(
            service
                .pre_start
                .iter()
                .zip(m.service.pre_start.iter().map(|at| &at.span)),
        );
        for (argv, span) in commands {
            if let Some(why) = argv.first().and_then(|path| program(path)) {
                self.wrong(why, span, "move it, or give it another name by a link");
            }
            self.check_length(argv.iter().map(String::len), span);
        }
        let folder = m.service.working_directory.as_ref().map_or(0..0, |at| at.span.clone());
        if let Some(why) = raw_path(&service.working_directory.to_string_lossy()) {
            self.wrong(why, &folder, "move it, or name it by a link");
        }
        for (file, at) in service.environment_files.iter().zip(&m.service.environment_files) {
            if let Some(why) = raw_path(&file.to_string_lossy()) {
                self.wrong(why, &at.span, "move it, or name it by a link");
            }
        }
        for (folder, at) in service.path.iter().zip(&m.service.path) {
            if folder.to_string_lossy().contains(':') {
                self.wrong(
                    "a colon parts the folders of PATH",
                    &at.span,
                    "move it, or name it by a link",
                );
            }
        }
        for (key, text) in &m.service.environment {
            if let Some(why) = value(&text.value) {
                self.wrong(why, &text.span, "encode it, or use service.environment_files");
            }
            self.check_length(std::iter::once(key.value.len() + 1 + text.value.len()), &text.span);
        }
    }

    fn check_length(&mut self, words: impl Iterator<Item = usize>, span: &std::ops::Range<usize>) {
        let mut line = 0;
        for word in words {
            line += word * 4 + 3; // every byte may need four: \x01
            if word > LONGEST_WORD {
                self.wrong(
                    format!("{word} bytes are more than one word can have ({LONGEST_WORD})"),
                    span,
                    "put it into a file",
                );
                return;
            }
        }
        if line > LONGEST_LINE {
            self.wrong(
                "this is longer than a line of a unit can be",
                span,
                "put it into a file",
            );
        }
    }
}
