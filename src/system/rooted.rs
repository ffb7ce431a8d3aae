//! The folder of an image, seen and touched as if it were the root of a machine: no path leads out of it, and nothing is
//! run in it.

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{Cmd, Entry, EntryKind, Lock, Output, Probe, System, User, real::present};
use crate::{health::Asker, platform::Signal, render, service};

mod accounts;
mod confine;
#[cfg(test)]
mod tests;

use confine::{Last, resolve};

/// An image's folder. Every path it is given, and every one it gives back, is one inside the image: `/etc` is the image's,
/// and so is what an absolute link leads to. Only an error says where on the host that is.
pub struct Rooted<'a> {
    machine: &'a dyn System,
    folder: PathBuf,
    account: Option<Account>,
}

/// Whom it is installed for.
struct Account {
    user: User,
    /// Its home as a place on the host; `None` for `/`, which is nobody's own.
    home: Option<PathBuf>,
}

impl<'a> Rooted<'a> {
    /// The image in this folder of the host.
    pub fn new(machine: &'a dyn System, folder: &Path) -> io::Result<Self> {
        let place = fs::canonicalize(folder).map_err(|error| located(&error, folder))?;
        match machine.target(&place)? {
            Some(entry) if entry.kind == EntryKind::Folder => Ok(Self {
                machine,
                folder: place,
                account: None,
            }),
            _ => Err(located(&io::ErrorKind::NotADirectory.into(), folder)),
        }
    }

    /// The same for an account of the image: what is created in its home is its own, as far as we are root.
    pub fn for_account(mut self, user: User) -> io::Result<Self> {
        let home = self.place(&user.home, Last::Followed)?;
        self.account = Some(Account {
            user,
            home: Some(home).filter(|home| *home != self.folder),
        });
        Ok(self)
    }

    /// The account it is for.
    pub fn account(&self) -> Option<&User> {
        self.account.as_ref().map(|account| &account.user)
    }

    /// The image's folder on the host, without links.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path inside the image of what lies in it for the host, or would if it was there; `None` for what does not.
    pub fn inside(&self, host_path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(host_path).ok()?;
        let kept = usize::from(path.file_name().is_some()); // it may be a link itself, which is followed inside
        let (there, place) = path
            .ancestors()
            .skip(kept)
            .find_map(|there| Some((there, fs::canonicalize(there).ok()?)))?;
        let rest = path.strip_prefix(there).ok()?;
        let is_plain = rest.components().all(|word| matches!(word, Component::Normal(_))); // nothing is the parent of nothing
        let place = is_plain.then(|| place.join(rest))?;
        Some(Path::new("/").join(place.strip_prefix(&self.folder).ok()?))
    }

    /// Where a path of the image lies on the host.
    fn place(&self, path: &Path, last: Last) -> io::Result<PathBuf> {
        resolve(self.machine, &self.folder, path, last).map_err(|error| {
            let unresolved = path.strip_prefix("/").unwrap_or(path);
            located(&error, &self.folder.join(unresolved))
        })
    }

    /// Uses the place that a path leads to.
    fn at<T>(&self, path: &Path, last: Last, using: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let place = self.place(path, last)?;
        using(&place).map_err(|error| located(&error, &place))
    }

    /// The same for a change, which the root folder itself is none for: what replaces it is prepared beside it, outside.
    fn change<T>(&self, path: &Path, last: Last, change: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        self.at(path, last, |place| {
            if place == self.folder {
                return Err(io::ErrorKind::ResourceBusy.into()); // as the kernel has it for `/`
            }
            change(place)
        })
    }

    /// The same for what comes to lie there by it, unless it was a file before: that keeps its owner.
    fn create<T>(&self, path: &Path, last: Last, create: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        self.change(path, last, |place| {
            let old = self.machine.entry(place)?;
            let created = create(place)?;
            if old.is_none_or(|old| old.kind != EntryKind::File) {
                self.give(place)?;
            }
            Ok(created)
        })
    }

    /// What lies in the home of the account is the account's.
    fn give(&self, place: &Path) -> io::Result<()> {
        match &self.account {
            Some(Account { user, home: Some(home) }) if place.starts_with(home) => {
                self.machine.set_owner(place, user.uid, user.gid)
            }
            _ => Ok(()),
        }
    }

    fn text(&self, path: &str) -> String {
        let bytes = self.read(Path::new(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Probe for Rooted<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.at(path, Last::Followed, |place| self.machine.read(place))
    }

    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        self.at(path, Last::Followed, |place| self.machine.head(place, most))
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        present(self.at(path, Last::Kept, |place| self.machine.entry(place))).map(Option::flatten)
    }

    fn target(&self, path: &Path) -> io::Result<Option<Entry>> {
        present(self.at(path, Last::Followed, |place| self.machine.target(place))).map(Option::flatten)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let places = present(self.at(folder, Last::Followed, |place| self.machine.list(place)))?;
        let inside = |place: PathBuf| Some(folder.join(place.file_name()?));
        Ok(places.unwrap_or_default().into_iter().filter_map(inside).collect())
    }

    fn query(&self, cmd: &Cmd) -> io::Result<Output> {
        Err(not_run(cmd))
    }

    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        let is_program = |place: &PathBuf| {
            let entry = self.target(place).ok().flatten();
            entry.is_some_and(|entry| entry.kind == EntryKind::File && entry.mode & 0o111 != 0)
        };
        path.iter().map(|folder| folder.join(name)).find(is_program)
    }

    fn user(&self, name_or_number: &str) -> Option<User> {
        accounts::user(&self.text("/etc/passwd"), name_or_number)
    }

    fn group(&self, name_or_number: &str) -> Option<String> {
        accounts::group(&self.text("/etc/group"), name_or_number)
    }

    fn group_number(&self, name_or_number: &str) -> Option<u32> {
        accounts::group_number(&self.text("/etc/group"), name_or_number)
    }

    /// An image has no environment of its own: its programs lie where its systemd will search them. Who installs is who
    /// installs.
    fn env(&self, name: &str) -> Option<OsString> {
        match name {
            "PATH" => Some(render::DEFAULT_PATH.into()),
            "SUDO_USER" => self.machine.env(name),
            _ => None,
        }
    }

    /// Whoever installs, it is for its root, or for the account.
    fn euid(&self) -> u32 {
        self.account.as_ref().map_or(0, |account| account.user.uid)
    }

    /// The one that runs, which is the host's.
    fn program(&self) -> PathBuf {
        self.machine.program()
    }

    fn program_file(&self) -> Option<Entry> {
        self.machine.program_file()
    }

    /// The home of the account it is for, or of the image's root.
    fn home(&self) -> Option<PathBuf> {
        match &self.account {
            Some(account) => Some(account.user.home.clone()),
            None => self.user("0").map(|root| root.home),
        }
    }

    fn ask(&self, _: &service::Probe, _: Duration, _: &Asker) -> Result<(), String> {
        Err("nothing runs in an image that could be asked".into())
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn is_locked(&self, path: &Path) -> bool {
        self.place(path, Last::Followed)
            .is_ok_and(|place| self.machine.is_locked(&place))
    }
}

impl System for Rooted<'_> {
    /// The account is known from the beginning.
    fn act_for(&self, _: &User) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self, paths: &[&Path]) -> io::Result<()> {
        let places = paths.iter().map(|path| self.place(path, Last::Kept));
        let places = places.collect::<io::Result<Vec<_>>>()?;
        self.machine
            .sync(&places.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.create(path, Last::Kept, |place| self.machine.make_folder(place, mode))
    }

    fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.create(path, Last::Kept, |place| self.machine.write_file(place, bytes, mode))
    }

    fn create_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.create(path, Last::Kept, |place| self.machine.create_file(place, bytes, mode))
    }

    fn copy(&self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
        self.create(to, Last::Kept, |place| self.machine.copy(from, place, mode))
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.at(path, Last::Kept, |place| self.machine.set_owner(place, uid, gid))
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.at(path, Last::Followed, |place| self.machine.append(place, bytes))
    }

    /// The target is written as it is: it is for the image's own kernel to follow.
    fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.change(path, Last::Kept, |place| {
            self.machine.link(place, target)?;
            self.give(place)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(path, Last::Kept, |place| self.machine.remove(place))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        self.change(path, Last::Kept, |place| self.machine.remove_folder(place))
    }

    fn run(&self, cmd: &Cmd, _: bool) -> io::Result<Output> {
        Err(not_run(cmd))
    }

    fn start_detached(&self, cmd: &Cmd) -> io::Result<String> {
        Err(not_run(cmd))
    }

    fn become_command(&self, cmd: &Cmd) -> io::Error {
        not_run(cmd)
    }

    fn sleep(&self, time: Duration) {
        self.machine.sleep(time);
    }

    fn interrupted(&self) -> Option<Signal> {
        self.machine.interrupted()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.create(path, Last::Followed, |place| self.machine.lock(place))
    }
}

/// The same error, and where on the host it was met.
fn located(error: &io::Error, place: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{error}, at {}", place.display()))
}

fn not_run(cmd: &Cmd) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("nothing is run in an image: `{cmd}`"),
    )
}
