//! One mutating run in one scope: the state folder, the lock, and the recovery of what an earlier run left.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    apply,
    backend::{self, Backend},
    exit::{Exit, Failure},
    host::Host,
    journal,
    receipt::Store,
    report::Report,
    system::{Lock, System},
};

/// How long a second run waits for the first.
const PATIENCE: Duration = Duration::from_secs(3);

/// The lock is held while this lives.
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
            created: make_folders(system, store.root())?,
            store,
            lock: None,
        };
        session.lock = Some(session.take_lock(report)?);
        let found = journal::find(session.state(), system).map_err(|error| {
            Failure::new(
                Exit::UndoIncomplete,
                format!("an earlier run was interrupted and its journal cannot be read: {error}"),
            )
            .repair(format!(
                "look at {}, put right what it names, and remove it",
                session.state().display()
            ))
        })?;
        for found in &found {
            let planner = backend::named(host, &found.intent.backend, backend.scope())?;
            apply::recover(&session, planner.as_ref(), found, report)?;
        }
        journal::sweep(session.state(), system).map_err(|error| denied(session.state(), &error))?;
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

    /// Ends the run. Where no app is left, neither is the state folder, nor `folders` as far as they are empty.
    pub fn close(mut self, folders: &[PathBuf]) {
        let lock_path = self.lock_path();
        let is_bare = self.system.list(self.state()).is_ok_and(|entries| {
            entries
                .iter()
                .all(|entry| *entry == lock_path || is_empty_apps(self.system, entry))
        });
        if is_bare {
            // What stays behind here is empty and harmless; the run itself has ended well or said why not.
            let _ = self.system.remove_folder(&self.store.apps());
            let _ = self.system.remove(&lock_path);
            let _ = self.system.remove_folder(self.state());
            for folder in self.created.iter().chain(folders).rev() {
                let _ = self.system.remove_folder(folder);
            }
        }
        self.lock = None;
    }

    fn lock_path(&self) -> PathBuf {
        lock_path(self.state())
    }

    fn take_lock(&self, report: &mut Report) -> Result<Lock, Failure> {
        let path = self.lock_path();
        let start = self.system.monotonic();
        loop {
            match self.system.lock(&path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                // The run before us removed the folder with its last app.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    make_folders(self.system, self.state())?;
                    continue;
                }
                Err(error) => return Err(denied(self.state(), &error)),
            }
            let waited = self.system.monotonic().saturating_sub(start);
            if waited >= PATIENCE || self.system.interrupted().is_some() {
                return Err(Failure::new(
                    Exit::Locked,
                    format!("another autoglm-boot is at work here: it holds {}", path.display()),
                )
                .repair("wait until it has ended, then run this again"));
            }
            report.waiting("another autoglm-boot is at work", waited, PATIENCE);
            self.system.sleep(Duration::from_millis(50));
        }
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
fn make_folders(system: &dyn System, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let missing = missing_folders(system, folder);
    for folder in &missing {
        if let Err(error) = system.make_folder(folder, 0o755)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(denied(folder, &error));
        }
    }
    Ok(missing)
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
