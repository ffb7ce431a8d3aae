//! Commands: the first word becomes the absolute path of a program that is there and can be executed.

use std::path::{Path, PathBuf};

use super::Checker;
use crate::{manifest::At, service::Os, system::EntryKind};

impl Checker<'_> {
    /// A command; a bare program name is searched for in these folders, then on our own PATH.
    pub(super) fn command(&mut self, argv: &At<Vec<String>>, path: &[PathBuf]) -> Vec<String> {
        let mut words = argv.value.clone();
        self.warn_of_shell(argv);
        if self.os == Os::Windows {
            words[0] = self.windows_program(argv, path);
            return words;
        }
        let found = if words[0].contains('/') {
            Some(self.place(&At {
                value: words[0].clone(),
                span: argv.span.clone(),
            }))
        } else {
            self.search(&words[0], argv, path)
        };
        if let Some(found) = found {
            self.check_program(&found, argv);
            words[0] = found.to_string_lossy().into_owned();
        }
        words
    }

    pub(super) fn search(&mut self, name: &str, argv: &At<Vec<String>>, path: &[PathBuf]) -> Option<PathBuf> {
        if self.is_elsewhere {
            let message = format!("where the program {name:?} lies on another machine is not known here");
            self.wrong(message, &argv.span, "write its absolute path there");
            return None;
        }
        let own = self.look.env("PATH").unwrap_or_default();
        // A relative folder on PATH means another one in every working directory.
        let own = std::env::split_paths(&own).filter(|folder| folder.is_absolute());
        let folders: Vec<_> = path.iter().cloned().chain(own).collect();
        let found = self.look.find_program(name, &folders);
        if found.is_none() {
            let searched: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let message = format!("there is no program {name:?} in {}", searched.join(":"));
            self.lacking(message, &argv.span, "install it, or write its absolute path");
        }
        found
    }

    pub(super) fn check_program(&mut self, program: &Path, argv: &At<Vec<String>>) {
        if self.is_elsewhere {
            return;
        }
        if program.to_str().is_none() {
            let message = format!("the path {} is not UTF-8", program.display());
            self.wrong(message, &argv.span, "move it, or name it by a link");
            return;
        }
        let shown = program.display();
        let (message, help) = match self.look.target(program) {
            Ok(Some(entry)) if entry.kind == EntryKind::File && entry.mode & 0o111 != 0 => return,
            Ok(Some(entry)) if entry.kind == EntryKind::File => (
                format!("{shown} is not executable"),
                format!("chmod +x {shown}, or put its interpreter first"),
            ),
            Ok(Some(_)) => (format!("{shown} is no program"), "name a file".into()),
            Ok(None) => (format!("the program {shown} is not there"), "install it first".into()),
            Err(error) => (format!("{shown}: {error}"), "check its permissions".into()),
        };
        self.lacking(message, &argv.span, &help);
    }

    /// A command written as one string looks as if a shell read it; none does.
    fn warn_of_shell(&mut self, argv: &At<Vec<String>>) {
        let written = self.manifest.source.get(argv.span.clone()).unwrap_or_default();
        let is_list = written.starts_with('[');
        if let Some(word) = argv.value.iter().find(|word| !is_list && is_of_shell(word)) {
            self.warnings.push(format!(
                "no shell runs the command: {word:?} reaches the program as it is; \
                 if a shell is meant, write [\"/bin/sh\", \"-c\", \"…\"], else write the command as a list"
            ));
        }
    }
}

/// Whether a shell would do something with this word (POSIX, "Shell Command Language").
fn is_of_shell(word: &str) -> bool {
    const OPERATORS: [&str; 10] = ["&&", "||", "|", ";", "&", "<", ">", ">>", "<<", "!"];
    let is_variable = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(".contains(c));
    OPERATORS.contains(&word)
        || word.ends_with(';')
        || word.contains('`')
        || word == "~"
        || word.starts_with("~/")
        || word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with(['<', '>'])
        || word.split('$').skip(1).any(is_variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_is_told_from_a_plain_word() {
        for word in [
            "&&", "|", ">", "2>&1", ">out", "$HOME", "${A}/b", "$(date)", "`date`", "~/app", "cd;",
        ] {
            assert!(is_of_shell(word), "{word}");
        }
        for word in [
            "",
            "a",
            "--x=1",
            "a&b",
            "100$",
            "{\"a\": 1}",
            "a>b",
            "~user",
            "12",
            "$1",
        ] {
            assert!(!is_of_shell(word), "{word}");
        }
    }
}
