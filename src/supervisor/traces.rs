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
    system::{EntryKind, Lock, Probe, Real, System},
};

impl Rooms {
    /// What the app was installed as, where whoever logs on has an instance: without it, this one ends.
    pub(super) fn record(&self) -> Option<PathBuf> {
        Some(self.site.records.as_ref()?.installed_path(&self.app))
    }

    /// What the supervisor of an app has left and nobody else needs: its log and the earlier files of it, then what tells of it,
    /// then the folders, to be removed if they are empty by then.
    pub fn leftovers(&self, look: &dyn Probe) -> Vec<PathBuf> {
        let name = format!("{}.log", self.app);
        let is_log = |path: &PathBuf| {
            let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(&name));
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|n| n.parse::<u32>().is_ok()))
        };
        let logs = look
            .list(self.log.parent().unwrap_or(Path::new("/")))
            .unwrap_or_default();
        let mut paths = vec![self.log.clone()];
        paths.extend(logs.into_iter().filter(|path| is_log(path) && *path != self.log));
        // What was killed has left what its socket was, too.
        paths.extend([
            self.status.clone(),
            self.lock.clone(),
            self.socket.clone(),
            self.notify(),
        ]);
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

    /// Removes them, while nobody else begins. What cannot be removed does no harm.
    pub(super) fn clear(&self, system: &dyn System, lock: Lock) {
        let left = self.leftovers(system);
        for path in &left {
            let _ = system.discard(path);
        }
        drop(lock); // on Windows a file is there as long as somebody holds it, and with it its folder
        let is_folder =
            |path: &&PathBuf| matches!(system.entry(path), Ok(Some(entry)) if entry.kind == EntryKind::Folder);
        for path in left.iter().filter(is_folder) {
            let _ = system.discard(path);
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

/// Removes what a supervisor leaves whose app was uninstalled; not where it was installed and started again meanwhile.
pub(super) fn clear_without(record: &Path, rooms: &Rooms, system: &dyn System) {
    if is_gone(system, record)
        && let Ok(Some(lock)) = system.lock(&rooms.lock)
        && is_gone(system, record)
    {
        rooms.clear(system, lock);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{receipt::Store, supervisor::Site};

    fn site(records: Option<Store>) -> Site {
        Site {
            runtime: "/home/alice/autoglm-boot/machine/run".into(),
            logs: "/home/alice/autoglm-boot/machine/log".into(),
            is_parted: true,
            records,
        }
    }

    #[test]
    fn an_instance_of_what_the_machine_has_hangs_on_its_record_and_leaves_its_users_records_too() {
        let rooms = site(Some(Store::new("/machine".into()))).rooms("app");
        assert_eq!(rooms.record(), Some("/machine/apps/app/installed.json".into()));
        let left = rooms.leftovers(&Real);
        let last: Vec<_> = left.iter().rev().take(4).rev().collect();
        assert_eq!(
            last,
            [
                Path::new("/home/alice/autoglm-boot/machine/log"),
                Path::new("/home/alice/autoglm-boot/machine/run"),
                Path::new("/home/alice/autoglm-boot/machine"),
                Path::new("/home/alice/autoglm-boot"),
            ]
        );
        assert!(left.contains(&PathBuf::from("/home/alice/autoglm-boot/machine/run/app/lock")));

        let rooms = site(None).rooms("app");
        assert_eq!(rooms.record(), None);
        let left = rooms.leftovers(&Real);
        assert_eq!(
            left.last(),
            Some(&PathBuf::from("/home/alice/autoglm-boot/machine/run"))
        );
        assert!(!left.contains(&PathBuf::from("/home/alice/autoglm-boot/machine/run/app/lock")));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test makes what it looks at")]
    fn a_record_that_is_gone_ends_the_app_and_one_that_is_replaced_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = folder.path().join("installed.json");
        std::fs::write(&record, "{}").expect("it is writable");
        let (news, heard) = mpsc::channel();
        end_without(record.clone(), news).expect("a thread");
        assert!(heard.recv_timeout(Duration::from_millis(4500)).is_err(), "it is there");
        std::fs::remove_file(&record).expect("it is ours");
        let end = heard.recv_timeout(Duration::from_secs(20)).expect("it is gone");
        assert!(matches!(end, News::Terminate));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test makes what it looks at")]
    fn what_is_cleared_leaves_what_is_somebody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("autoglm-boot");
        let site = Site {
            runtime: root.join("machine/run"),
            logs: root.join("machine/log"),
            ..site(Some(Store::new("/machine".into())))
        };
        let fill = || {
            let rooms = site.rooms("app");
            for path in [&rooms.status, &rooms.log, &rooms.log.with_extension("log.1")] {
                std::fs::create_dir_all(path.parent().expect("it has one")).expect("it is writable");
                std::fs::write(path, "").expect("it is writable");
            }
            rooms
        };
        let other = root.join("apps/other");
        std::fs::create_dir_all(&other).expect("it is writable");
        let clear = |rooms: Rooms| {
            let lock = Real.lock(&rooms.lock).expect("it is writable");
            rooms.clear(&Real, lock.expect("nobody holds it"));
        };
        clear(fill());
        assert!(other.is_dir() && !root.join("machine").exists());
        // Of an own app that is gone there may still be a lock.
        std::fs::remove_dir(&other).expect("it is ours");
        let rooms = fill();
        std::fs::write(session::lock_path(&root), "").expect("it is writable");
        clear(rooms);
        assert!(!root.exists());
    }
}
