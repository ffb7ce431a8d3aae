//! What supervisors leave in their rooms; and the end of those whose app was uninstalled by somebody else: on Windows, where
//! whoever logs on has an instance of what the machine has.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use super::{News, Rooms};
use crate::{
    session,
    system::{Probe, Real, System},
};

impl Rooms {
    /// What the app was installed as, where whoever logs on has an instance: without it, this one ends.
    pub(super) fn record(&self, app: &str) -> Option<PathBuf> {
        Some(self.site.records.as_ref()?.installed_path(app))
    }

    /// What the supervisor of an app has left and nobody else needs: its log and the earlier files of it, then what tells of it,
    /// then the folders, to be removed if they are empty by then.
    pub fn leftovers(&self, app: &str, look: &dyn Probe) -> Vec<PathBuf> {
        let name = format!("{app}.log");
        let is_log = |path: &PathBuf| {
            let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(&name));
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|n| n.parse::<u32>().is_ok()))
        };
        let logs = look
            .list(self.log.parent().unwrap_or(Path::new("/")))
            .unwrap_or_default();
        let mut paths = vec![self.log.clone()];
        paths.extend(logs.into_iter().filter(|path| is_log(path) && *path != self.log));
        paths.extend([self.status.clone(), self.lock.clone()]);
        if !self.site.is_parted {
            paths.extend(self.socket.parent().map(Path::to_path_buf));
            paths.push(self.folder.clone());
            return paths;
        }
        if self.site.records.is_some() {
            paths.push(session::lock_path(&self.folder)); // of whoever started or stopped it
        }
        paths.extend(self.log.parent().map(Path::to_path_buf));
        paths.push(self.folder.clone());
        paths.extend([self.site.logs.clone(), self.site.runtime.clone()]);
        if self.site.records.is_some() {
            let own = self.site.runtime.ancestors().skip(1).take(2);
            paths.extend(own.map(Path::to_path_buf));
        }
        paths
    }

    /// Removes them. What cannot be removed does no harm.
    pub(super) fn clear(&self, app: &str, system: &dyn System) {
        for path in self.leftovers(app, system) {
            let _ = system.discard(&path);
        }
        if let Some(root) = self.site.runtime.ancestors().nth(2) {
            session::remove_unused(system, root);
        }
    }
}

/// Whether there is no such file. What we may not look at is there.
pub(super) fn is_gone(look: &dyn Probe, record: &Path) -> bool {
    matches!(look.entry(record), Ok(None))
}

/// Ends the app, as a stop does, once its record is gone: seen twice, so that one that is just replaced is not taken for it.
pub(super) fn end_without(record: PathBuf, news: mpsc::Sender<News>) -> io::Result<()> {
    const LOOK: Duration = Duration::from_secs(2);
    let thread = std::thread::Builder::new().name("record".into());
    let watch = move || {
        let mut times = 0;
        while times < 2 {
            std::thread::sleep(LOOK);
            times = if is_gone(&Real, &record) { times + 1 } else { 0 };
        }
        let _ = news.send(News::Terminate); // at the end nobody listens
    };
    thread.spawn(watch).map(drop)
}
