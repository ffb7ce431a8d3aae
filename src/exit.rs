//! The exit codes, and the one error that carries them.
//!
//! An error names the thing, the cause and the repair: [`Failure`] holds the exit code and the repair, its message and
//! its source hold the thing and the cause.

use std::fmt;

use crate::{backend::Live, doctor::Finding};

/// Every exit code of the program. Stable: scripts depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// It failed, and what had been done was undone.
    Failed = 1,
    /// The command line or the manifest is wrong; nothing was touched.
    Usage = 2,
    /// The app is installed but not running.
    NotRunning = 3,
    /// There is no such app of ours.
    NotInstalled = 4,
    /// The step needs a privilege this user does not have.
    Privilege = 5,
    /// `--check`: an install would change something.
    Pending = 6,
    /// The app runs, but is not ready, or is unhealthy.
    NotReady = 7,
    /// It failed, and the undo is incomplete: the message names what is left.
    UndoIncomplete = 8,
    /// Another run holds the lock.
    Locked = 9,
    /// Interrupted by SIGINT, and undone.
    Interrupted = 130,
    /// Terminated by SIGTERM, and undone.
    Terminated = 143,
}

impl Exit {
    /// Of several answers of `status` the one to report: from well over pending and unready to not installed.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        const ORDER: [Exit; 12] = [
            Exit::Ok,
            Exit::Pending,
            Exit::NotReady,
            Exit::NotRunning,
            Exit::NotInstalled,
            Exit::Locked,
            Exit::Privilege,
            Exit::Usage,
            Exit::Failed,
            Exit::UndoIncomplete,
            Exit::Interrupted,
            Exit::Terminated,
        ];
        let rank = |exit: Exit| ORDER.iter().position(|&o| o == exit);
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code and its repair.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What went wrong, with its cause: may be several lines.
    pub message: String,
    /// What to do about it; empty where nothing sensible can be said.
    pub repair: String,
    /// The app it is about, as it was then: an undo leaves nothing to look at.
    pub trouble: Option<Box<Trouble>>,
    /// What doctor found first.
    pub finding: Option<Box<Finding>>,
}

/// How an app was when it failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The target that kept it.
    pub backend: &'static str,
    /// What the service manager said of it.
    pub live: Live,
    /// What it said last: an undo may take its log along.
    pub lines: Vec<String>,
    /// The last answer of its probe, where it ran but was not ready in time.
    pub late: Option<String>,
}

impl Failure {
    /// A failure with a message only.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            repair: String::new(),
            trouble: None,
            finding: None,
        }
    }

    /// What our own program ended with, by what it said: the error, and its repair.
    pub fn said(exit: Exit, text: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix("error: ").unwrap_or(text);
        match text.split_once("\nrepair: ") {
            Some((message, repair)) => Self::new(exit, message).repair(repair),
            None => Self::new(exit, text),
        }
    }

    /// Keeps how the app was.
    #[must_use]
    pub fn of(mut self, backend: &'static str, live: &Live, lines: Vec<String>) -> Self {
        self.trouble = Some(Box::new(Trouble {
            backend,
            live: live.clone(),
            lines,
            late: None,
        }));
        self
    }

    /// Keeps why it was not ready in time.
    #[must_use]
    pub fn late(mut self, reason: &str) -> Self {
        if let Some(trouble) = &mut self.trouble {
            trouble.late = Some(reason.into());
        }
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn repair(mut self, repair: impl Into<String>) -> Self {
        self.repair = repair.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_own_program_said_is_told_as_one_error_with_its_repair() {
        let failure = Failure::said(Exit::Failed, "error: it is late\nby a lot\nrepair: wait\n");
        assert_eq!(
            (failure.message.as_str(), failure.repair.as_str()),
            ("it is late\nby a lot", "wait")
        );
        let failure = Failure::said(Exit::Failed, "killed\n");
        assert_eq!((failure.message.as_str(), failure.repair.as_str()), ("killed", ""));
    }

    #[test]
    fn the_worst_of_several_answers_is_reported() {
        assert_eq!(Exit::Ok.worst(Exit::NotReady), Exit::NotReady);
        assert_eq!(Exit::NotInstalled.worst(Exit::NotReady), Exit::NotInstalled);
        assert_eq!(Exit::NotRunning.worst(Exit::Ok), Exit::NotRunning);
    }
}
