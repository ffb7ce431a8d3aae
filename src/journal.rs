//! The intent journal: what is about to be done and what was there before, on disk before the first effect. Whoever finds
//! one whose writer is gone can put everything back.
//!
//! It is one file, `intent.VERB.NAME.jsonl`, in the scope's state folder: the first line is the [`Intent`], every further
//! line a [`Mark`]. Its name tells anybody what was interrupted; its contents, which may hold secrets, only the owner.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    plan::Plan,
    system::{EntryKind, Probe, System, staging},
};

/// The version of the format written here.
const FORMAT: u32 = 1;
const PREFIX: &str = "intent.";
const SUFFIX: &str = ".jsonl";

/// The first line: everything an undo needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Version of this format.
    pub format: u32,
    /// The boot it was written in.
    pub boot: String,
    /// What was asked for.
    pub verb: String,
    /// Of which app.
    pub name: String,
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
    /// All is done: what is left is to remove the journal.
    Committed,
}

/// A journal that lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
}

/// A journal that was found: what was meant and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub journal: Journal,
    /// What was meant.
    pub intent: Intent,
    /// Whether all of it was done.
    pub is_committed: bool,
    /// Steps that were begun.
    pub begun: usize,
}

impl Intent {
    /// Notes what is there now at every path of the plan.
    pub fn new(verb: &str, name: &str, plan: Plan, look: &dyn Probe) -> io::Result<Self> {
        let before = plan
            .paths()
            .into_iter()
            .map(|path| Ok((path.to_path_buf(), Before::at(path, look)?)))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            format: FORMAT,
            boot: boot_id(look),
            verb: verb.into(),
            name: name.into(),
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

    /// Puts it back.
    pub fn restore(&self, path: &Path, system: &dyn System) -> io::Result<()> {
        system.remove(&staging(path))?;
        match self {
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
        let path = state.join(format!("{PREFIX}{}.{}{SUFFIX}", intent.verb, intent.name));
        let mut line = serde_json::to_vec(intent)?;
        line.push(b'\n');
        system.write_file(&path, &line, 0o600)?;
        Ok(Self { path })
    }

    /// Adds a mark. Marks survive a kill; after a power cut a late one may be missing, and the undo allows for that.
    pub fn mark(&self, mark: Mark, system: &dyn System) -> io::Result<()> {
        let mut line = serde_json::to_vec(&mark)?;
        line.push(b'\n');
        system.append(&self.path, &line)
    }

    /// Ends it: nothing is left to finish or undo.
    pub fn remove(&self, system: &dyn System) -> io::Result<()> {
        system.remove(&self.path)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The identity of this boot (random(4)); empty where there is none.
pub fn boot_id(look: &dyn Probe) -> String {
    let id = look
        .read(Path::new("/proc/sys/kernel/random/boot_id"))
        .unwrap_or_default();
    String::from_utf8_lossy(&id).trim().to_owned()
}

/// The verb and the app of every journal that lies there: readable by anybody.
pub fn pending(state: &Path, look: &dyn Probe) -> io::Result<Vec<(String, String)>> {
    let names = look.list(state)?;
    Ok(names.iter().filter_map(|path| parse_name(path)).collect())
}

/// The journals that lie there, read.
pub fn find(state: &Path, look: &dyn Probe) -> io::Result<Vec<Found>> {
    look.list(state)?
        .into_iter()
        .filter(|path| parse_name(path).is_some())
        .map(|path| read(path, look))
        .collect()
}

fn read(path: PathBuf, look: &dyn Probe) -> io::Result<Found> {
    let bytes = look.read(&path)?;
    let mut lines = bytes.split(|&b| b == b'\n');
    let intent: Intent = serde_json::from_slice(lines.next().unwrap_or_default())?;
    if intent.format != FORMAT {
        return Err(io::Error::other(format!(
            "{} was written by a newer autoglm-boot (format {})",
            path.display(),
            intent.format
        )));
    }
    let marks: Vec<Mark> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    let begun = marks.iter().filter(|mark| matches!(mark, Mark::Begun(_))).count();
    Ok(Found {
        journal: Journal { path },
        is_committed: marks.contains(&Mark::Committed),
        begun,
        intent,
    })
}

/// `intent.install.hello.jsonl` → install, hello.
fn parse_name(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (verb, app) = name.split_once('.')?;
    Some((verb.into(), app.into()))
}
