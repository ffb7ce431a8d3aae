//! The refused set on Windows. Under our supervisor an argument travels in our records, and in UTF-16: everything arrives. A
//! bare command is written into the task or the shortcut itself, and must survive what these do to it.

use std::ops::Range;

use super::{Checker, carry::asked};
use crate::{
    render::{argv, windows},
    service::{Method, Service},
    values::windows_path,
};

/// `CreateProcess`: a command line has 32,767 characters at most, with its end.
const LONGEST_LINE: usize = 32_766;
/// A variable and its value (Environment Variables, Win32 documentation).
const LONGEST_VARIABLE: usize = 32_766;

impl Checker<'_> {
    /// Refuses what would not arrive.
    pub(super) fn check_carried_to_windows(&mut self, service: &Service) {
        let m = self.manifest;
        let pre_start = service
            .pre_start
            .iter()
            .zip(m.service.pre_start.iter().map(|at| &at.span));
        let command = (&service.command, &m.service.command.span);
        for (argv, span) in pre_start.chain([command]) {
            self.check_line(argv, span);
        }
        for (argv, span) in asked(service, m) {
            self.check_line(argv, span);
        }
        for (key, value) in &m.service.environment {
            if windows_path::length(&key.value) + 1 + windows_path::length(&value.value) > LONGEST_VARIABLE {
                self.wrong(
                    "this is longer than a variable can be on Windows",
                    &value.span,
                    "put it into a file",
                );
            }
        }
        let names = m.service.environment.iter().map(|(key, _)| key);
        for (number, name) in names.clone().enumerate() {
            let is_same = |other: &&crate::manifest::At<String>| other.value.eq_ignore_ascii_case(&name.value);
            if names.clone().take(number).any(|other| is_same(&other)) {
                let message = format!("{} is set twice: Windows does not tell A from a", name.value);
                self.wrong(message, &name.span, "keep one of the two");
            }
        }
        if !service.windows.is_supervised {
            self.check_bare(service);
        }
        if let Some(at) = &m.app.description
            && service.windows.method == Method::Task
            && windows::description(service).is_none()
        {
            let help = "leave out what is no character of XML, and \"$(@\" at the beginning";
            self.wrong("a task cannot hold this", &at.span, help);
        }
    }

    fn check_line(&mut self, argv: &[String], span: &Range<usize>) {
        if windows_path::length(&argv::line(argv)) > LONGEST_LINE {
            self.wrong(
                "this is longer than a command line of Windows can be",
                span,
                "put it into a file",
            );
        }
        let is_batch = argv
            .first()
            .is_some_and(|program| matches!(windows_path::extension(program).as_str(), "bat" | "cmd"));
        if is_batch && argv.iter().skip(1).any(|word| word.contains(BATCH)) {
            let message = "a batch file's arguments are read by cmd.exe, which makes something else of some of these";
            self.wrong(
                message,
                span,
                "name the program itself, or hand them over in the environment",
            );
        }
    }

    /// The command itself is what the task or the shortcut starts.
    fn check_bare(&mut self, service: &Service) {
        let m = self.manifest;
        let span = &m.service.command.span;
        let is_task = service.windows.method == Method::Task;
        let line = argv::line(service.command.get(1..).unwrap_or_default());
        let folder = service.working_directory.to_string_lossy();
        let folder_span = m.service.working_directory.as_ref().map_or(0..0, |at| at.span.clone());
        let supervised = "leave windows.supervised = false out: then it arrives as it is";
        let program = service.command.first().map(String::as_str).unwrap_or_default();
        for (text, span) in [(program, span), (&*line, span), (&*folder, &folder_span)] {
            if let Some(why) = windows::lost(text, is_task) {
                self.wrong(why, span, supervised);
            }
        }
        for (text, span) in [(program, span), (&*folder, &folder_span)] {
            if windows_path::length(text) > windows::LONGEST_PATH {
                self.wrong(
                    "a task and a shortcut take no path of more than 260 characters",
                    span,
                    supervised,
                );
            }
        }
        if !is_task && windows_path::is_network(program) {
            self.wrong(
                "a shortcut to another machine is not made",
                span,
                "use method = \"task\", or a drive's letter",
            );
        }
    }
}

/// What cmd.exe does not pass on as it is, even in quotes.
const BATCH: [char; 10] = ['"', '%', '!', '^', '&', '|', '<', '>', '\n', '\r'];
