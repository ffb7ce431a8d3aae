//! Where our own program lies, so that a task or a shortcut finds it: each version in a folder of its own. One that runs is locked
//! and cannot be replaced; it goes when nothing needs it any more.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    host::Host,
    plan::Step,
    service::Scope,
    system::{Folders, Probe},
};

const PROGRAM: &str = "autoglm-boot.exe";

/// What is there of our own program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The version that this run needs.
    pub wanted: PathBuf,
    /// Whether it is there.
    pub is_there: bool,
    /// Those that are there.
    pub present: Vec<PathBuf>,
    /// Those that apps of this scope need, with the apps.
    pub needed: Vec<(String, PathBuf)>,
    /// Apps of this scope that a task starts without our supervisor.
    pub bare: Vec<String>,
    /// Apps of this scope of which whoever logs on has an instance.
    pub everybodys: Vec<String>,
    /// What other apps each app of this scope requires.
    pub needs: Vec<(String, Vec<String>)>,
}

/// The folder of all versions: of the machine's where only administrators write.
pub(super) fn folder(folders: &Folders, scope: Scope) -> PathBuf {
    match scope {
        Scope::System => folders.programs.join("autoglm-boot"),
        Scope::User => folders.user.join("autoglm-boot").join("program"),
    }
}

/// The program as tasks and shortcuts start it: where we are run from there, as we are.
pub(super) fn of(host: &Host, folders: &Folders, scope: Scope) -> PathBuf {
    let folder = folder(folders, scope);
    if host.program.starts_with(&folder) {
        return host.program.clone();
    }
    folder.join(&host.mark).join(PROGRAM)
}

impl Place {
    /// What is there.
    pub fn look(look: &dyn Probe, wanted: PathBuf, folder: &Path, needed: Vec<(String, PathBuf)>) -> Self {
        let versions = look.list(folder).unwrap_or_default();
        let present = versions.into_iter().map(|version| version.join(PROGRAM));
        let is_there = |path: &PathBuf| matches!(look.entry(path), Ok(Some(_)));
        Self {
            is_there: is_there(&wanted),
            present: present.filter(is_there).collect(),
            wanted,
            needed,
            ..Self::default()
        }
    }

    /// Puts it there.
    pub(super) fn put(&self, own: &Path) -> Vec<Step> {
        if self.is_there {
            return Vec::new();
        }
        let folder = self.wanted.parent().map(Path::to_path_buf);
        let folder = folder.map(|path| Step::Mkdir { path, mode: 0o755 });
        let copy = Step::Copy {
            from: own.to_path_buf(),
            path: self.wanted.clone(),
            mode: 0o755,
        };
        folder.into_iter().chain([copy]).collect()
    }

    /// Removes those versions that none needs of the apps that stay; these are named. `patience`: with those who run one still.
    pub(super) fn sweep(&self, stays: &dyn Fn(&str) -> bool, is_wanted: bool, patience: Duration) -> Option<Step> {
        let is_needed = |path: &PathBuf| {
            let is_theirs = self.needed.iter().any(|(app, program)| stays(app) && program == path);
            is_theirs || (is_wanted && *path == self.wanted)
        };
        let unneeded = self.present.iter().filter(|path| !is_needed(path));
        let paths: Vec<_> = unneeded
            .flat_map(|path| std::iter::once(path.clone()).chain(path.parent().map(Path::to_path_buf)))
            .collect();
        (!paths.is_empty()).then(|| Step::Discard { paths, patience }.finally())
    }
}
