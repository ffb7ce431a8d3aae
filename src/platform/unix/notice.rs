//! Noticing what happens in folders (inotify(7)).

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Folders that are looked after.
#[derive(Debug)]
pub struct Notices {
    inotify: Arc<Inotify>,
    folders: Arc<Mutex<HashMap<WatchDescriptor, PathBuf>>>,
}

impl Notices {
    /// Tells, on a thread of its own, the path of everything that comes, goes or is changed in the folders that are added.
    pub fn new(mut tell: impl FnMut(PathBuf) + Send + 'static) -> io::Result<Self> {
        let notices = Self {
            inotify: Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?),
            folders: Arc::default(),
        };
        let (inotify, folders) = (Arc::clone(&notices.inotify), Arc::clone(&notices.folders));
        std::thread::Builder::new().name("notices".into()).spawn(move || {
            while let Ok(events) = inotify.read_events() {
                let folders = folders.lock().unwrap_or_else(PoisonError::into_inner); // a map of paths is whole whoever panicked
                for event in events {
                    if let (Some(folder), Some(name)) = (folders.get(&event.wd), event.name) {
                        tell(folder.join(name));
                    }
                }
            }
        })?;
        Ok(notices)
    }

    /// Looks after one more folder, or still after it.
    pub fn add(&self, folder: &Path) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ONLYDIR;
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner); // as above
        folders.insert(self.inotify.add_watch(folder, flags)?, folder.into());
        Ok(())
    }
}
