//! One mutating run in one scope: the state folder, the lock, and the recovery of what an earlier run left.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    apply,
    backend::{self, Backend},
    exit::{Exit, Failure},
    host::Host,
    journal,
    platform::Signal,
    receipt::Store,
    report::Report,
    service::Scope,
    system::{EntryKind, Lock, System},
};

/// How long a run waits for those before it: many at once, as a script starts them, all get their turn.
const PATIENCE: Duration = Duration::from_mins(5);

const IN_VAIN: &str = "interrupted while another autoglm-boot is at work here.\nNothing was changed.";

/// The lock is held while this lives. Where no app is left in the end, neither is the state folder.
pub struct Session<'a> {
    system: &'a dyn System,
    backend: &'a dyn Backend,
    store: Store,
    created: Vec<PathBuf>,
    lock: Option<Lock>,
}

impl<'a> Session<'a> {
    /// Takes the scope's lock, and finishes or undoes what an earlier run left.
    pub fn open(
        system: &'a dyn System,
        host: &Host,
        backend: &'a dyn Backend,
        report: &mut Report,
    ) -> Result<Self, Failure> {
        let store = backend.store();
        let mut session = Self {
            system,
            backend,
            created: Vec::new(),
            store,
            lock: None,
        };
        session.lock = Some(session.take_lock(backend.scope(), report)?);
        let found = journal::find(session.state(), system).map_err(|error| {
            Failure::new(
                Exit::UndoIncomplete,
                format!("an earlier run was interrupted and its journal cannot be read: {error}"),
            )
            .repair("look at it, put right what it names, and remove it")
        })?;
        for found in &found {
            let planner = backend::named(host, &found.intent.backend, backend.scope())?;
            apply::recover(&session, planner.as_ref(), found, report)?;
        }
        journal::sweep(session.state(), system).map_err(|error| denied(session.state(), &error))?;
        Ok(session)
    }

    /// The same for a run that only starts or stops the user's own instance of what the machine has: under a lock in the rooms of
    /// that, since the machine's records are not the user's to write.
    pub fn of_instance(
        system: &'a dyn System,
        backend: &'a dyn Backend,
        rooms: PathBuf,
        report: &mut Report,
    ) -> Result<Self, Failure> {
        let mut session = Self {
            system,
            backend,
            created: Vec::new(),
            store: Store::new(rooms),
            lock: None,
        };
        session.lock = Some(session.take_lock(Scope::User, report)?);
        Ok(session)
    }

    /// The machine.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    /// The target.
    pub fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    /// The scope's records.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The scope's state folder.
    pub fn state(&self) -> &Path {
        self.store.root()
    }

    /// Folders that were created to hold the state.
    pub fn created(&self) -> &[PathBuf] {
        &self.created
    }

    /// Ends the run. With the state folder go those of its parents that are ours (`folders` of the scope's record), as far
    /// as they are empty.
    pub fn close(mut self, folders: &[PathBuf]) {
        let parents = folders.iter().filter(|folder| self.store.root().starts_with(folder));
        self.created.extend(parents.cloned());
    }

    /// What stays behind here is empty and harmless; the run itself has ended well or said why not.
    fn tidy(&mut self) {
        if !is_unused(self.system, self.state()) {
            return;
        }
        let lock = self.lock.take();
        remove_root(self.system, self.state(), lock);
        for folder in self.created.iter().rev() {
            let _ = self.system.remove_folder(folder);
        }
    }

    fn lock_path(&self) -> PathBuf {
        lock_path(self.state())
    }

    fn take_lock(&mut self, scope: Scope, report: &mut Report) -> Result<Lock, Failure> {
        let path = self.lock_path();
        let start = self.system.monotonic();
        loop {
            match self.try_lock(&path, scope) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                // The run before us removes the folder with its last app, at this moment.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(denied(self.state(), &error)),
            }
            match self.system.interrupted() {
                None => {}
                Some(Signal::Interrupt) => return Err(Failure::new(Exit::Interrupted, IN_VAIN)),
                Some(Signal::Terminate) => return Err(Failure::new(Exit::Terminated, IN_VAIN)),
            }
            let waited = self.system.monotonic().saturating_sub(start);
            if waited >= PATIENCE {
                return Err(Failure::new(
                    Exit::Locked,
                    format!(
                        "another autoglm-boot is at work here: it holds {}\nNothing was changed.",
                        path.display()
                    ),
                )
                .repair("wait until it has ended, then run this again"));
            }
            report.waiting("another autoglm-boot is at work", waited, PATIENCE);
            self.system.sleep(Duration::from_millis(50));
        }
    }

    fn try_lock(&mut self, path: &Path, scope: Scope) -> io::Result<Option<Lock>> {
        let made = make_root(self.system, self.store.root(), scope)?;
        self.created.extend(made);
        self.system.lock(path)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.lock.is_some() {
            self.tidy();
        }
    }
}

/// Whether the folder of a scope's records holds nothing but its lock.
fn is_unused(system: &dyn System, root: &Path) -> bool {
    let lock = lock_path(root);
    let is_nothing = |entry: &PathBuf| *entry == lock || is_empty_apps(system, entry);
    system.list(root).is_ok_and(|entries| entries.iter().all(is_nothing))
}

fn remove_root(system: &dyn System, root: &Path, lock: Option<Lock>) {
    let _ = system.remove_folder(&Store::new(root.into()).apps());
    let _ = system.remove(&lock_path(root));
    drop(lock); // on Windows a file is there as long as somebody holds it
    let _ = system.remove_folder(root);
}

/// Removes the folder of a scope's records where it holds nothing, and nobody is at work there.
pub fn remove_unused(system: &dyn System, root: &Path) {
    let is_there = matches!(system.entry(root), Ok(Some(_)));
    if is_there
        && is_unused(system, root)
        && let Ok(Some(lock)) = system.lock(&lock_path(root))
        && is_unused(system, root)
    // nobody has come meanwhile
    {
        remove_root(system, root, Some(lock));
    }
}

/// The lock of a scope.
pub fn lock_path(state: &Path) -> PathBuf {
    state.join("lock")
}

fn is_empty_apps(system: &dyn System, entry: &Path) -> bool {
    entry.ends_with("apps") && system.list(entry).is_ok_and(|apps| apps.is_empty())
}

/// Creates a folder and its missing parents; says which.
fn make_folders(system: &dyn System, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let missing = missing_folders(system, folder);
    for folder in &missing {
        match system.make_folder(folder, 0o755) {
            // Another run was faster. A link to nowhere is in the way of all of them.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !is_link(system, folder) => {}
            made => made?,
        }
    }
    Ok(missing)
}

/// Makes the folder of a scope's records, and its missing parents; says which. That of the machine must be no stranger's.
pub fn make_root(system: &dyn System, root: &Path, scope: Scope) -> io::Result<Vec<PathBuf>> {
    if scope == Scope::User {
        return make_folders(system, root);
    }
    let missing = missing_folders(system, root);
    make_folders(system, root.parent().unwrap_or(root))?;
    system.claim(root)?;
    Ok(missing)
}

fn is_link(system: &dyn System, path: &Path) -> bool {
    let entry = system.entry(path);
    entry.is_ok_and(|entry| entry.is_some_and(|entry| matches!(entry.kind, EntryKind::Link(_))))
}

/// The folder and its parents as far as they are not there, outermost first.
pub fn missing_folders(look: &dyn crate::system::Probe, folder: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> = folder
        .ancestors()
        .take_while(|path| !matches!(look.target(path), Ok(Some(_))))
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

fn denied(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::PermissionDenied {
        Exit::Privilege
    } else {
        Exit::Failed
    };
    Failure::new(
        exit,
        format!(
            "cannot keep records in {}: {error}\nNothing was changed.",
            path.display()
        ),
    )
}
