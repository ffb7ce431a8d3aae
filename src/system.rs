//! Looking at the machine ([`Probe`]) and touching it ([`System`]). With `platform/`, the only effects.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the boundary that clippy.toml guards

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    health::Asker,
    platform::{self, Signal},
    service,
};

mod real;
mod rooted;

pub use real::Real;
pub use rooted::Rooted;

/// A program and its arguments: never a joined string, never a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    /// A bare name, found on PATH, or an absolute path.
    pub program: String,
    /// What it is given.
    pub args: Vec<String>,
    /// The units it is about: its last arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Of systemd-run(1): the properties that name the units, before the last argument; then the units are no arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unit_properties: Vec<String>,
    /// Set in addition to our own environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Run as whoever called us, where we act for somebody else ([`System::act_for`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_privileged: bool,
}

impl Cmd {
    /// A command with its arguments.
    pub fn new<S: Into<String>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            units: Vec::new(),
            unit_properties: Vec::new(),
            env: Vec::new(),
            is_privileged: false,
        }
    }

    /// The same, run as whoever called us.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        self.is_privileged = true;
        self
    }

    /// The same for these units.
    #[must_use]
    pub fn units(mut self, units: impl IntoIterator<Item = String>) -> Self {
        self.units.extend(units);
        self
    }

    /// All it is given.
    pub fn words(&self) -> Vec<String> {
        const IN_ONE_WORD: usize = 1000; // a word may have 128 KiB (execve(2))
        let mut words = self.args.clone();
        if self.unit_properties.is_empty() {
            words.extend(self.units.iter().cloned());
            return words;
        }
        let last = words.pop();
        for property in &self.unit_properties {
            let chunks = self.units.chunks(IN_ONE_WORD);
            words.extend(chunks.map(|units| format!("--property={property}={}", units.join(" "))));
        }
        words.extend(last);
        words
    }
}

impl std::fmt::Display for Cmd {
    /// As it would be typed, where it is not too long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LONGEST: usize = 200;
        f.write_str(&shell_words::quote(&self.program))?;
        let line = shell_words::join(self.words());
        match line.char_indices().nth(LONGEST) {
            None => write!(f, " {line}"),
            Some((end, _)) => write!(f, " {}…", &line[..end]),
        }
    }
}

/// How a command ended and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + n for a death by signal n, as a shell reports it.
    pub code: i32,
    /// Standard output, invalid bytes replaced.
    pub stdout: String,
    /// Standard error, invalid bytes replaced.
    pub stderr: String,
}

impl Output {
    /// Whether it exited 0.
    pub fn is_ok(&self) -> bool {
        self.code == 0
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// File, folder, link or something else.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub len: u64,
    /// When its contents changed last, since 1970.
    pub modified: Duration,
}

/// The kind of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link and where it points.
    Link(PathBuf),
    /// A device, a socket, a pipe.
    Other,
}

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name; a number may have none.
    pub name: Option<String>,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its home folder.
    pub home: PathBuf,
}

/// Folders of Windows, which lie elsewhere on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Where only administrators write programs.
    pub programs: PathBuf,
    /// The machine's data.
    pub machine: PathBuf,
    /// The user's data that stays on this machine.
    pub user: PathBuf,
    /// What is started when the user logs on.
    pub startup: PathBuf,
    /// What is started when anybody logs on.
    pub common_startup: PathBuf,
    /// The system's own programs.
    pub system: PathBuf,
}

/// Whom a question is asked as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The user, and the group where it is not the user's own; none for whom we run as.
    pub user: Option<(String, Option<String>)>,
    /// Groups that the user is in besides its own, by name or number: only root asks with them, and only with those
    /// that exist.
    pub groups: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it is asked in; where that cannot be entered, `/`.
    pub folder: PathBuf,
}

/// What is left of a file system for those who are not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Files; none where the file system has no limit of them.
    pub files: Option<u64>,
}

/// Whom a file or a folder on Windows is for, beside the administrators and the system itself: accounts by their names, or their
/// SIDs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// It may read what is in it.
    Reads(String),
    /// It may do everything but give it to others.
    Writes(String),
    /// The same, and everybody who has logged on may read.
    WritesInPublic(String),
    /// Everybody who has logged on may read.
    Public,
}

impl Share {
    /// The same, by SIDs.
    pub fn known(&self, look: &dyn Probe) -> io::Result<Self> {
        let sid = |account: &String| {
            let unknown = || io::Error::other(format!("there is no account {account}"));
            look.sid(account).ok_or_else(unknown)
        };
        Ok(match self {
            Self::Reads(account) => Self::Reads(sid(account)?),
            Self::Writes(account) => Self::Writes(sid(account)?),
            Self::WritesInPublic(account) => Self::WritesInPublic(sid(account)?),
            Self::Public => Self::Public,
        })
    }
}

/// Looking at the machine: nothing here changes it.
pub trait Probe: Sync {
    /// A file's bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The first bytes of a file, at most so many.
    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.read(path)?;
        bytes.truncate(most);
        Ok(bytes)
    }
    /// lstat(2); `None` where nothing is.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;
    /// stat(2), following links; `None` where nothing is.
    fn target(&self, path: &Path) -> io::Result<Option<Entry>>;
    /// What a folder holds, sorted; empty where there is no folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// A command that only looks.
    fn query(&self, cmd: &Cmd) -> io::Result<Output>;
    /// The same as somebody else, which takes root, for so long at most.
    fn query_as(&self, _role: &Role, _cmd: &Cmd, _limit: Duration) -> io::Result<Output> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// What is left of the file system that a path lies in.
    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Seconds since 1970, UTC, as this machine has it.
    fn now(&self) -> Duration {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }
    /// The first executable of that name in the folders.
    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf>;
    /// An account, by name or number.
    fn user(&self, name_or_number: &str) -> Option<User>;
    /// A group's name (or its number, where it has no name), by name or number.
    fn group(&self, name_or_number: &str) -> Option<String>;
    /// A group's number, by name or number.
    fn group_number(&self, name_or_number: &str) -> Option<u32> {
        name_or_number.parse().ok()
    }
    /// The name of the user whose file it is; none where that is a group, or an account of the system itself.
    fn owner(&self, path: &Path) -> Option<String> {
        self.user(&self.target(path).ok()??.uid.to_string())?.name
    }
    /// The folders of Windows; none where it is another system.
    fn folders(&self) -> Option<Folders> {
        None
    }
    /// The SID of an account of Windows, by its name.
    fn sid(&self, _account: &str) -> Option<String> {
        None
    }
    /// Who has logged on to Windows where we run, if anybody has.
    fn session_user(&self) -> Option<String> {
        None
    }
    /// Whether we have more privileges than a logon gives the same user: on Windows, of an administrator.
    fn is_raised(&self) -> bool {
        false
    }
    /// What somebody has decided about a shortcut of this name in the Startup folder: of the machine's, or of one's own.
    fn approval(&self, _link: &str, _scope: service::Scope) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    /// What a shortcut starts, with its words; none where nothing tells it.
    fn shortcut(&self, _path: &Path) -> Option<String> {
        None
    }
    /// A variable of our own environment.
    fn env(&self, name: &str) -> Option<OsString>;
    /// Whom we run as.
    fn euid(&self) -> u32;
    /// This program's own file.
    fn program(&self) -> PathBuf;
    /// What is seen of it.
    fn program_file(&self) -> Option<Entry> {
        self.target(&self.program()).ok().flatten()
    }
    /// Our own home folder.
    fn home(&self) -> Option<PathBuf>;
    /// Asks once. An error says what the answer was.
    fn ask(&self, probe: &service::Probe, timeout: Duration, asker: &Asker) -> Result<(), String>;
    /// Time since boot without suspend (`CLOCK_MONOTONIC`).
    fn monotonic(&self) -> Duration;
    /// What tells this boot of the machine from others; empty where nothing does, as in an image.
    fn boot(&self) -> String {
        String::new()
    }
    /// Bytes of memory that a process has at the moment.
    fn resident(&self, _pid: u32) -> Option<u64> {
        None
    }
    /// Whether another process holds the exclusive lock.
    fn is_locked(&self, path: &Path) -> bool;
}

/// A held lock: released when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "their drop releases the lock")] Option<(platform::Sign, fs::File)>);

impl Lock {
    /// A lock of nothing, for a fake.
    pub fn none() -> Self {
        Self(None)
    }
}

/// Touching the machine.
pub trait System: Probe {
    /// From now on looks at and does everything as this user, except commands that are privileged; only root can.
    fn act_for(&self, user: &User) -> io::Result<()>;
    /// Puts what was written at these paths, and their names, on disk: files, links, folders, and what is no longer there.
    fn sync(&self, paths: &[&Path]) -> io::Result<()>;
    /// Creates one folder; its parent must be there.
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes the folder of a machine's records, or sees that the one that is there is no stranger's.
    fn claim(&self, folder: &Path) -> io::Result<()> {
        match self.target(folder)? {
            None => self.make_folder(folder, 0o755),
            Some(_) => Ok(()),
        }
    }
    /// Gives a file, or a folder and what is in it, to those it is for; on Windows.
    fn share(&self, _folder: &Path, _share: &Share) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
    /// Writes down, or forgets, what was decided about a shortcut in the Startup folder.
    fn set_approval(&self, _link: &str, _scope: service::Scope, _value: Option<&[u8]>) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
    /// Replaces a file at once or not at all. The owner of a file that was there is kept.
    fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// Writes a file that is not there in its place, which costs less; what is there is replaced as by `write_file`.
    fn create_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// Copies a file of this machine, at once or not at all; `from` is a place of this machine also where `to` is one of an image.
    fn copy(&self, from: &Path, to: &Path, mode: u32) -> io::Result<()>;
    /// Gives a file, or a link itself, to an owner; only root can, and only root has to.
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;
    /// Appends to a file that is there.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Creates or replaces a symbolic link, at once.
    fn link(&self, path: &Path, target: &Path) -> io::Result<()>;
    /// Removes a file or a link; nothing there is well.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Moves our own program out of its folder, which as it runs cannot be removed; says where to, and whether it goes from there by
    /// itself. None where it is not ours, or cannot be moved.
    fn put_aside(&self, _program: &Path) -> Option<(PathBuf, bool)> {
        None
    }
    /// Removes a folder if it is empty; says whether it is gone.
    fn remove_folder(&self, path: &Path) -> io::Result<bool>;
    /// Removes a file, a link, or a folder if it is empty; nothing there is well.
    fn discard(&self, path: &Path) -> io::Result<()> {
        match self.entry(path)?.map(|entry| entry.kind) {
            Some(EntryKind::Folder) => self.remove_folder(path).map(drop),
            Some(_) => self.remove(path),
            None => Ok(()),
        }
    }
    /// Runs a command that changes something. Gives up waiting for it on an interrupt, unless `steadfast`.
    fn run(&self, cmd: &Cmd, steadfast: bool) -> io::Result<Output>;
    /// Starts a command that goes on without us; returns what it said before it let go of its output.
    fn start_detached(&self, cmd: &Cmd) -> io::Result<String>;
    /// Becomes the command, which has our terminal; returns only if that fails.
    fn become_command(&self, cmd: &Cmd) -> io::Error;
    /// Waits; an interrupt ends it early.
    fn sleep(&self, time: Duration);
    /// The signal that asks us to end, if one came.
    fn interrupted(&self) -> Option<Signal>;
    /// Takes the exclusive lock of this file, created if need be; `None` while another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
}

/// As many links are followed on the way along one path (`path_resolution(7)`).
pub(crate) const MOST_LINKS: u32 = 40;

/// The same place without `..`, which systemd refuses in a path. The parent of a link is the parent of what it points to;
/// every other link stays.
pub fn without_parents(look: &dyn Probe, path: &Path) -> PathBuf {
    let mut links = MOST_LINKS;
    follow(look, path, &mut links)
}

fn follow(look: &dyn Probe, path: &Path, links: &mut u32) -> PathBuf {
    let mut place = PathBuf::new();
    for component in path.components() {
        if component != Component::ParentDir {
            place.push(component);
            continue;
        }
        while *links > 0
            && let Ok(Some(Entry { kind, .. })) = look.entry(&place)
            && let EntryKind::Link(target) = kind
        {
            *links -= 1;
            place.pop();
            place = follow(look, &place.join(target), links);
        }
        place.pop();
    }
    place
}

/// Where [`System::write_file`] and [`System::link`] prepare what they then move into place. A fixed name, so that
/// what a kill leaves there is found and removed.
pub fn staging(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.autoglm-boot-new"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel makes of the same path is the judge.
    #[test]
    fn a_path_without_parents_leads_to_the_same_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("it is there");
        for folder in ["real/deep/app", "other"] {
            fs::create_dir_all(root.join(folder)).expect("it is writable");
        }
        for (link, target) in [
            ("link", "real/deep/app"),
            ("twice", "link"),
            ("back", "other/../link"),
            ("absolute", root.join("real/deep").to_str().expect("UTF-8")),
        ] {
            platform::symlink(Path::new(target), &root.join(link)).expect("it is writable");
        }
        for (path, expected) in [
            ("other/../real", "real"),
            ("other/./..//real/../other", "other"),
            ("link/..", "real/deep"),
            ("link/../../..", ""),
            ("twice/../app", "real/deep/app"),
            ("back/../app", "real/deep/app"),
            ("absolute/../deep", "real/deep"),
            ("link", "link"),
            ("absolute/app/../app", "absolute/app"),
        ] {
            let path = root.join(path);
            let plain = without_parents(&Real, &path);
            assert_eq!(
                plain,
                root.join(expected).components().collect::<PathBuf>(),
                "{}",
                path.display()
            );
            assert_eq!(
                fs::canonicalize(&plain).ok(),
                fs::canonicalize(&path).ok(),
                "{}",
                path.display()
            );
        }
        assert_eq!(without_parents(&Real, Path::new("/../../usr")), Path::new("/usr"));
        platform::symlink(Path::new("round"), &root.join("round")).expect("it is writable");
        assert_eq!(without_parents(&Real, &root.join("round/../other")), root.join("other"));
    }
}
