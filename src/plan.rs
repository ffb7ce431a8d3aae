//! A plan is a value: what a verb is going to do, step by step, and what an undo does beyond putting the files back.
//! The dry run prints the same value that [`crate::apply`] runs, so the two cannot disagree.

use std::{
    borrow::Cow,
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    service::{Readiness, Scope, StartType},
    system::{Cmd, Share},
};

mod lines;

pub use lines::{Names, Span};

/// What a verb is going to do. An empty plan means: nothing to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Done in order. An undo first takes commands back and puts files back, in reverse order, then does what
    /// [`Step::OnRollback`] says, in order; of all that only what was begun.
    pub tasks: Vec<Task>,
    /// Whether an earlier version is replaced, which an undo brings back.
    pub replaces: bool,
    /// Which of the apps requires which other of them: native names.
    #[serde(default)]
    pub requires: Vec<(String, String)>,
}

/// A step, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The native name of the app it is of; none for what all of them need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What is done.
    pub step: Step,
}

/// One step: a closed list. Steps name intentions, never what is only known later (a pid).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Creates a folder that is not there.
    Mkdir {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Creates a folder of the app's own, that is not there.
    Provide {
        /// The folder.
        folder: OwnFolder,
    },
    /// Writes a file, at once.
    WriteFile {
        /// The file.
        path: PathBuf,
        /// All it will hold.
        text: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The same, of what is no text.
    WriteBytes {
        /// The file.
        path: PathBuf,
        /// All it will hold.
        bytes: Vec<u8>,
        /// Its permission bits.
        mode: u32,
        /// What people read of it.
        shown: String,
    },
    /// Gives a file or a folder to an account of Windows, beside the administrators and the system.
    Share {
        /// The file or folder, which is there by then.
        path: PathBuf,
        /// To whom, by its name, and how.
        share: Share,
    },
    /// Writes down, or forgets, what was decided about a shortcut in the Startup folder of Windows.
    Approve {
        /// Its file name.
        link: String,
        /// Of the machine, or of the user.
        scope: Scope,
        /// The decision, as Windows writes it.
        value: Option<Vec<u8>>,
    },
    /// Copies a file of this machine to a place where none is.
    Copy {
        /// The file.
        from: PathBuf,
        /// The copy.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Makes a symbolic link, at once.
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// Removes a file or a link.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// Removes what is worth nothing without the app, its log first: files, and folders if they are empty by then. An undo
    /// does not put it back: what it could miss is removed [`Step::Finally`].
    Discard {
        /// What may be there of it.
        paths: Vec<PathBuf>,
        /// How long to wait for those who hold it, on Windows; what is held then, is left.
        #[serde(default)]
        patience: Duration,
    },
    /// Removes a folder if it is empty by then.
    Rmdir {
        /// The folder.
        path: PathBuf,
    },
    /// Runs a command.
    Run {
        /// The command. If it names units, it is run for those of them that `only_if` holds of.
        cmd: Cmd,
        /// Run only if this holds by then.
        only_if: Option<Condition>,
    },
    /// Runs a command whose failure shows in what is waited for next.
    Launch {
        /// The command.
        cmd: Cmd,
    },
    /// Waits until the condition holds. Waits that follow each other are one: all begin together.
    Await {
        /// What must hold.
        condition: Condition,
        /// How long at most.
        deadline: Duration,
    },
    /// Nothing before all else is done, and the journal says so: what no undo could bring back. What keeps it from being done is
    /// told, and is no failure; what a kill has left of it, the next run does.
    Finally(Box<Step>),
    /// Nothing now. If the plan fails later: done before what was written earlier is put back.
    OnUndo(Box<Step>),
    /// Nothing now. If the plan fails later: done once the files are back (a `daemon-reload` must come after the unit is
    /// gone, not before).
    OnRollback(Box<Step>),
}

/// A folder that the app writes to, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFolder {
    /// The folder.
    pub path: PathBuf,
    /// The user it is for.
    pub uid: u32,
    /// The group it is for.
    pub gid: u32,
}

/// What a step can wait for or depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The app is ready (its probe answers, or it has settled).
    Ready {
        /// The app's native name.
        unit: String,
        /// How to tell.
        readiness: Readiness,
        /// What active means for it.
        start_type: StartType,
        /// Automatic restarts there were before: one more is a crash.
        restarts: u32,
        /// How long it may wait for others before its start, where it does; zero: for ever.
        #[serde(default)]
        waits: Option<Duration>,
    },
    /// It is active.
    Running {
        /// The app's native name.
        unit: String,
    },
    /// It is not active, and no process of it is left.
    Stopped {
        /// The app's native name.
        unit: String,
    },
    /// The starts of these have ended, and well.
    Started {
        /// Native names.
        units: Vec<String>,
    },
    /// The service manager has read a unit, or still runs it: what it has not, it cannot be told to stop.
    Loaded,
    /// The last start of a unit has failed, and the service manager remembers that.
    Failed,
    /// The service manager holds an older version of one of these than the disk.
    Stale {
        /// Native names.
        units: Vec<String>,
    },
    /// The user's services outlive a logout.
    Lingering {
        /// The account.
        user: String,
    },
    /// The service manager itself answers (a user's, after lingering was enabled).
    Manager,
}

impl Plan {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.tasks.iter().map(|task| &task.step)
    }

    /// The steps that are done if all goes well, a line each.
    pub fn lines(&self) -> Vec<String> {
        let done = self.steps().filter(|step| !step.is_for_undo());
        done.map(ToString::to_string).collect()
    }

    /// Whether there is something to do for this app alone.
    pub fn is_about(&self, unit: &str) -> bool {
        self.tasks.iter().any(|task| task.of.as_deref() == Some(unit))
    }

    /// Adds steps that all apps need.
    pub fn shared(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.tasks.extend(steps.into_iter().map(|step| Task { of: None, step }));
    }

    /// Adds steps of one app.
    pub fn of(&mut self, unit: &str, steps: impl IntoIterator<Item = Step>) {
        self.tasks.extend(steps.into_iter().map(|step| Task {
            of: Some(unit.into()),
            step,
        }));
    }

    /// Every path that a step or its undo may change, each once, in order.
    pub fn paths(&self) -> Vec<&Path> {
        let mut seen = HashSet::new();
        self.steps()
            .filter_map(Step::path)
            .filter(|path| seen.insert(*path))
            .collect()
    }
}

impl Step {
    /// The path it changes, if it is a step of the file system.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Mkdir { path, .. }
            | Self::WriteFile { path, .. }
            | Self::WriteBytes { path, .. }
            | Self::Copy { path, .. }
            | Self::Link { path, .. }
            | Self::Remove { path }
            | Self::Rmdir { path } => Some(path),
            Self::Provide { folder } => Some(&folder.path),
            _ => None,
        }
    }

    /// The step, for the case that a later one fails: after the files are back.
    pub fn on_rollback(self) -> Self {
        Self::OnRollback(Box::new(self))
    }

    /// The step, for the case that a later one fails: before the files are put back.
    pub fn on_undo(self) -> Self {
        Self::OnUndo(Box::new(self))
    }

    /// The step, once all else is done, whatever happens.
    pub fn finally(self) -> Self {
        Self::Finally(Box::new(self))
    }

    /// Whether nothing is done if all goes well.
    pub fn is_for_undo(&self) -> bool {
        matches!(self, Self::OnUndo(_) | Self::OnRollback(_))
    }

    /// Whether the undo of some of the apps needs it, where it is of all: what is about units is narrowed to theirs, and what
    /// comes after the files are back (a reload) harms nobody.
    pub fn is_for_part(&self) -> bool {
        match self {
            Self::OnUndo(step) => matches!(&**step, Self::Run { cmd, .. } if !cmd.units.is_empty()),
            Self::OnRollback(_) => true,
            _ => false,
        }
    }

    /// Removes what is worth nothing without the app, and waits for nobody.
    pub fn discard(paths: Vec<PathBuf>) -> Self {
        let patience = Duration::ZERO;
        Self::Discard { paths, patience }
    }

    /// A command that is only run if something holds by then.
    pub fn run_if(cmd: Cmd, condition: Condition) -> Self {
        Self::Run {
            cmd,
            only_if: Some(condition),
        }
    }

    /// A command without a condition.
    pub fn run(cmd: Cmd) -> Self {
        Self::Run { cmd, only_if: None }
    }

    /// The step as far as it is of these apps; none if nothing is left of it.
    pub fn only_of(&self, is_meant: &dyn Fn(&str) -> bool) -> Option<Cow<'_, Self>> {
        let (Self::Run { cmd, .. } | Self::Launch { cmd }) = self else {
            return Some(Cow::Borrowed(self));
        };
        if cmd.units.iter().all(|unit| is_meant(unit)) {
            return Some(Cow::Borrowed(self));
        }
        let mut step = self.clone();
        if let Self::Run { cmd, .. } | Self::Launch { cmd } = &mut step {
            cmd.units.retain(|unit| is_meant(unit));
            if cmd.units.is_empty() {
                return None;
            }
        }
        Some(Cow::Owned(step))
    }
}

impl Condition {
    /// The one unit it is about.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Ready { unit, .. } | Self::Running { unit } | Self::Stopped { unit } => Some(unit),
            _ => None,
        }
    }
}
