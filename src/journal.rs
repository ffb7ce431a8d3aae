//! The intent journal: what is about to be done and what was there before, on disk before the first effect. Whoever finds
//! one whose writer is gone can put everything back.
//!
//! It is one file, `intent.VERB.NAME.jsonl`, in the scope's state folder: the first line is the [`Intent`], every further
//! line a [`Mark`]. Its name tells anybody what was interrupted; its contents, which may hold secrets, only the owner. Of
//! several apps it is `intent.VERB.+N.jsonl`, and their names are in `intent.VERB.+N.names`, which anybody may read.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    plan::Plan,
    system::{EntryKind, Probe, System, staging},
};

mod found;

pub use found::{Found, find, pending, sweep};

/// The version of the format written here.
const FORMAT: u32 = 1;
const PREFIX: &str = "intent.";
const SUFFIX: &str = ".jsonl";
const NAMES: &str = "names";

/// The first line: everything an undo needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Version of this format.
    pub format: u32,
    /// The boot it was written in.
    pub boot: String,
    /// What was asked for.
    pub verb: String,
    /// Of which apps.
    pub names: Vec<String>,
    /// The target whose steps these are.
    pub backend: String,
    /// What was to be done.
    pub plan: Plan,
    /// What was there before, for every path of the plan.
    pub before: Vec<(PathBuf, Before)>,
}

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    /// Nothing.
    Absent,
    /// A file.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A symbolic link.
    Link(PathBuf),
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// The step of this number is about to be done.
    Begun(usize),
    /// It is done.
    Done(usize),
    /// All is done: what is left are the steps that come last, and to remove the journal.
    Committed,
    /// But not of all apps: some were undone, and may need what the last steps would remove. It comes after the other mark: an
    /// older version reads no further.
    Partly,
}

/// A journal that lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
}

impl Intent {
    /// Notes what is there now at every path of the plan.
    pub fn new(verb: &str, names: &[String], backend: &str, plan: Plan, look: &dyn Probe) -> io::Result<Self> {
        let before = plan
            .paths()
            .into_iter()
            .map(|path| Ok((path.to_path_buf(), Before::at(path, look)?)))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            format: FORMAT,
            boot: look.boot(),
            verb: verb.into(),
            names: names.to_vec(),
            backend: backend.into(),
            plan,
            before,
        })
    }

    /// Whether every path is as it was.
    pub fn is_as_before(&self, look: &dyn Probe) -> bool {
        self.before
            .iter()
            .all(|(path, before)| Before::at(path, look).is_ok_and(|now| now == *before))
    }
}

impl Before {
    fn at(path: &Path, look: &dyn Probe) -> io::Result<Self> {
        let Some(entry) = look.entry(path)? else {
            return Ok(Self::Absent);
        };
        match entry.kind {
            EntryKind::File => Ok(Self::File {
                bytes: look.read(path)?,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
            }),
            EntryKind::Link(target) => Ok(Self::Link(target)),
            EntryKind::Folder => Ok(Self::Folder { mode: entry.mode }),
            EntryKind::Other => Err(io::Error::other(format!(
                "{} is neither a file nor a folder",
                path.display()
            ))),
        }
    }

    /// Puts it back. What is as it was is not touched: it may lie where nothing can be written.
    pub fn restore(&self, path: &Path, system: &dyn System) -> io::Result<()> {
        let staging = staging(path);
        if system.entry(&staging)?.is_some() {
            system.remove(&staging)?;
        }
        match self {
            _ if Self::at(path, system).is_ok_and(|now| now == *self) => Ok(()),
            Self::Absent => match system.entry(path)? {
                None => Ok(()),
                Some(entry) if entry.kind == EntryKind::Folder => system.remove_folder(path).map(drop),
                Some(_) => system.remove(path),
            },
            Self::File { bytes, mode, uid, gid } => {
                system.write_file(path, bytes, *mode)?;
                system.set_owner(path, *uid, *gid)
            }
            Self::Link(target) => system.link(path, target),
            Self::Folder { mode } => match system.entry(path)? {
                None => system.make_folder(path, *mode),
                Some(_) => Ok(()),
            },
        }
    }
}

impl Journal {
    /// Writes the intent, on disk when it returns.
    pub fn write(state: &Path, intent: &Intent, system: &dyn System) -> io::Result<Self> {
        let of = match intent.names.as_slice() {
            [only] => only.clone(),
            several => format!("+{}", several.len()),
        };
        let journal = Self {
            path: state.join(format!("{PREFIX}{}.{of}{SUFFIX}", intent.verb)),
        };
        if intent.names.len() > 1 {
            system.write_file(&journal.names_path(), intent.names.join("\n").as_bytes(), 0o644)?;
        }
        let mut line = serde_json::to_vec(intent)?;
        line.push(b'\n');
        let written = system.write_file(&journal.path, &line, 0o600);
        written.and_then(|()| system.sync(&[&journal.path])).inspect_err(|_| {
            let _ = journal.remove(system); // the first error is the one to tell
        })?;
        Ok(journal)
    }

    /// Adds marks. They survive a kill; after a power cut a late one may be missing, and the undo allows for that.
    pub fn mark(&self, marks: &[Mark], system: &dyn System) -> io::Result<()> {
        let mut lines = Vec::new();
        for mark in marks {
            serde_json::to_writer(&mut lines, mark)?;
            lines.push(b'\n');
        }
        system.append(&self.path, &lines)
    }

    /// Ends it: nothing is left to finish or undo.
    pub fn remove(&self, system: &dyn System) -> io::Result<()> {
        system.remove(&self.path)?;
        system.sync(&[&self.path])?;
        system.remove(&self.names_path())
    }

    fn names_path(&self) -> PathBuf {
        self.path.with_extension(NAMES)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
