//! The machine itself: the effects behind the two traits.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Cmd, Entry, EntryKind, Folders, Lock, Output, Probe, Role, Share, Space, System, User, staging};
use crate::{
    health::{self, Asker},
    platform::{self, Signal},
    service,
};

/// The machine itself.
#[derive(Debug, Default)]
pub struct Real;

impl Real {
    /// The machine, with SIGINT, SIGTERM and SIGHUP noted rather than deadly from now on, and our outputs our own.
    pub fn with_signals() -> io::Result<Self> {
        platform::note_signals()?;
        platform::keep_outputs();
        Ok(Self)
    }
}

impl Probe for Real {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn head(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        present(fs::symlink_metadata(path))?
            .map(|meta| {
                let mut entry = platform::entry(path, &meta);
                if meta.is_symlink() {
                    entry.kind = EntryKind::Link(fs::read_link(path)?);
                }
                Ok(entry)
            })
            .transpose()
    }

    fn target(&self, path: &Path) -> io::Result<Option<Entry>> {
        Ok(present(fs::metadata(path))?.map(|meta| platform::entry(path, &meta)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let Some(entries) = present(fs::read_dir(folder))? else {
            return Ok(Vec::new());
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn query(&self, cmd: &Cmd) -> io::Result<Output> {
        platform::run(cmd, &|| false)
    }

    fn query_as(&self, role: &Role, cmd: &Cmd, limit: Duration) -> io::Result<Output> {
        platform::run_as(role, cmd, limit)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        platform::space(path)
    }

    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        let folders = std::env::join_paths(path).ok()?;
        which::which_in(name, Some(folders), "/").ok()
    }

    fn user(&self, name_or_number: &str) -> Option<User> {
        platform::user(name_or_number)
    }

    fn group(&self, name_or_number: &str) -> Option<String> {
        platform::group(name_or_number)
    }

    fn group_number(&self, name_or_number: &str) -> Option<u32> {
        platform::group_number(name_or_number)
    }

    fn owner(&self, path: &Path) -> Option<String> {
        platform::owner_name(path)
    }

    fn folders(&self) -> Option<Folders> {
        platform::folders()
    }

    fn sid(&self, account: &str) -> Option<String> {
        platform::sid(account)
    }

    fn session_user(&self) -> Option<String> {
        platform::session_user()
    }

    fn is_raised(&self) -> bool {
        platform::is_raised()
    }

    fn approval(&self, link: &str, scope: service::Scope) -> io::Result<Option<Vec<u8>>> {
        platform::approval(link, scope == service::Scope::System)
    }

    fn shortcut(&self, path: &Path) -> Option<String> {
        platform::starts(path)
    }

    /// Whoever we act for has folders of its own.
    fn env(&self, name: &str) -> Option<OsString> {
        let is_ours = platform::acting_for().is_none() || !name.starts_with("XDG_");
        std::env::var_os(name).filter(|_| is_ours)
    }

    fn euid(&self) -> u32 {
        platform::euid()
    }

    fn program(&self) -> PathBuf {
        std::env::current_exe().unwrap_or_else(|_| "autoglm-boot".into())
    }

    fn home(&self) -> Option<PathBuf> {
        platform::acting_for()
            .map(|user| user.home.clone())
            .or_else(dirs::home_dir)
    }

    fn ask(&self, probe: &service::Probe, timeout: Duration, asker: &Asker) -> Result<(), String> {
        health::ask(probe, timeout, asker).map_err(|wrong| wrong.to_string())
    }

    fn monotonic(&self) -> Duration {
        platform::monotonic()
    }

    fn boot(&self) -> String {
        platform::boot()
    }

    fn resident(&self, pid: u32) -> Option<u64> {
        platform::resident(pid)
    }

    /// Whoever may not open it sees it among all locks.
    fn is_locked(&self, path: &Path) -> bool {
        match fs::File::open(path) {
            Ok(file) => matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => platform::is_listed_as_locked(path),
            Err(_) => false,
        }
    }
}

impl System for Real {
    fn act_for(&self, user: &User) -> io::Result<()> {
        platform::act_for(user)
    }

    fn sync(&self, paths: &[&Path]) -> io::Result<()> {
        /// One by one, more files than this cost more than the whole file system.
        const MANY: usize = 100;
        // A name is only sure to be on disk when its folder is.
        let parents: BTreeSet<_> = paths.iter().filter_map(|path| path.parent()).collect();
        let folders = parents
            .into_iter()
            .filter_map(|parent| parent.ancestors().find(|folder| folder.is_dir()));
        if platform::SYNCS_FILESYSTEMS && paths.len() > MANY {
            let mut filesystems = BTreeMap::new();
            for folder in folders {
                filesystems.insert(platform::filesystem(&fs::metadata(folder)?), folder);
            }
            return filesystems.into_values().try_for_each(platform::sync_filesystem);
        }
        let is_file = |path: &&&Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
        let mut places: BTreeSet<_> = folders.collect();
        places.extend(paths.iter().filter(is_file));
        places.into_iter().try_for_each(platform::sync)
    }

    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::create_dir(path)?;
        platform::set_mode(path, mode)
    }

    fn claim(&self, folder: &Path) -> io::Result<()> {
        platform::claim(folder)
    }

    fn share(&self, folder: &Path, share: &Share) -> io::Result<()> {
        platform::share(folder, share)
    }

    fn set_approval(&self, link: &str, scope: service::Scope, value: Option<&[u8]>) -> io::Result<()> {
        platform::set_approval(link, scope == service::Scope::System, value)
    }

    fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let staging = staging(path);
        let owner = self.entry(path)?.filter(|old| old.kind == EntryKind::File);
        let created = match platform::create_private(&staging) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove(&staging)?; // a kill has left it
                platform::create_private(&staging)
            }
            created => created,
        };
        let written = created.and_then(|mut file| {
            file.write_all(bytes)?;
            platform::set_open_mode(&file, &staging, mode)?;
            if let Some(old) = owner {
                platform::set_owner(&staging, old.uid, old.gid)?;
            }
            drop(file);
            platform::rename(&staging, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&staging); // the first error is the one to tell
        }
        written
    }

    fn create_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = match platform::create_private(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return self.write_file(path, bytes, mode),
            created => created?,
        };
        let written = platform::set_open_mode(&file, path, mode).and_then(|()| file.write_all(bytes));
        written.inspect_err(|_| {
            let _ = fs::remove_file(path); // the first error is the one to tell
        })
    }

    fn copy(&self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
        self.write_file(to, &self.read(from)?, mode)
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        platform::set_owner(path, uid, gid)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::OpenOptions::new().append(true).open(path)?.write_all(bytes)
    }

    fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        match platform::symlink(target, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let staging = staging(path);
        self.remove(&staging)?;
        platform::symlink(target, &staging)?;
        platform::rename(&staging, path).inspect_err(|_| {
            let _ = fs::remove_file(&staging); // the first error is the one to tell
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        present(platform::remove(path)).map(drop)
    }

    fn put_aside(&self, program: &Path) -> Option<(PathBuf, bool)> {
        platform::put_aside(program)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        match fs::remove_dir(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn run(&self, cmd: &Cmd, steadfast: bool) -> io::Result<Output> {
        platform::run(cmd, &|| !steadfast && platform::signal().is_some())
    }

    fn start_detached(&self, cmd: &Cmd) -> io::Result<String> {
        platform::start_detached(cmd)
    }

    fn become_command(&self, cmd: &Cmd) -> io::Error {
        platform::become_command(cmd)
    }

    fn sleep(&self, time: Duration) {
        const SLICE: Duration = Duration::from_millis(50);
        let until = platform::monotonic() + time;
        while platform::signal().is_none() {
            let left = until.saturating_sub(platform::monotonic());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    fn interrupted(&self) -> Option<Signal> {
        platform::signal()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        const TRIES: u32 = 100;
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 0..TRIES {
            let file = platform::open_private(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            // The holder before us may have removed the file: then this lock is of nothing, and others take the new one.
            if platform::is_same_file(&file, path) {
                platform::set_mode(path, 0o600)?; // whoever may open it, may hold it, and so keep us from it
                return Ok(Some(Lock(Some((platform::sign(path), file)))));
            }
            std::thread::sleep(PAUSE);
        }
        Err(io::Error::other("it is another file each time"))
    }
}

/// `None` for what is not there.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
