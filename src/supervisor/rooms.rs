//! Where supervisors keep what they need.

use std::path::{Path, PathBuf};

use super::Stage;
use crate::{
    exit::{Exit, Failure},
    platform,
    receipt::Store,
    system::System,
};

/// Where the supervisors of a scope keep what they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What they need while they run.
    pub runtime: PathBuf,
    /// What their apps say.
    pub logs: PathBuf,
    /// Whether each app has folders of its own in both: on Windows those are for the account that it runs as.
    pub is_parted: bool,
    /// The machine's records, where these places are a user's own: its instances of what the machine has for whoever logs on.
    pub records: Option<Store>,
}

/// Where a supervisor keeps what it needs while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// Of which app.
    pub app: String,
    /// Beside which others.
    pub site: Site,
    /// The folder of the lock and the status.
    pub folder: PathBuf,
    /// Held as long as the supervisor lives.
    pub lock: PathBuf,
    /// How the app is: a [`crate::backend::Live`] as JSON.
    pub status: PathBuf,
    /// The control socket; on Windows a file that names a pipe.
    pub socket: PathBuf,
    /// The app's output.
    pub log: PathBuf,
}

impl Site {
    /// Where the supervisor of an app of this name keeps its things.
    pub fn rooms(&self, app: &str) -> Rooms {
        let (folder, logs, socket) = if self.is_parted {
            let folder = self.runtime.join(app);
            let socket = folder.join(format!("{app}.control"));
            (folder, self.logs.join(app), socket)
        } else {
            (self.runtime.clone(), self.logs.clone(), self.sockets().join(app))
        };
        Rooms {
            app: app.into(),
            site: self.clone(),
            lock: folder.join(format!("{app}.lock")),
            status: folder.join(format!("{app}.json")),
            log: logs.join(format!("{app}.log")),
            socket,
            folder,
        }
    }

    /// Where control sockets lie that are not of one app.
    pub(super) fn sockets(&self) -> PathBuf {
        if self.is_parted {
            self.runtime.clone()
        } else {
            self.runtime.join("control")
        }
    }
}

impl Rooms {
    /// Those of another app of the same scope.
    pub fn of_other(&self, app: &str) -> Self {
        self.site.rooms(app)
    }

    /// Where the app says that it is ready (`sd_notify(3)`).
    pub fn notify(&self) -> PathBuf {
        self.status.with_extension("notify")
    }
}

/// Makes the folders that a supervisor needs; only their owner can enter that of the control sockets, also where it is there.
pub fn make_folders(rooms: &Rooms, stage: Stage, system: &dyn System) -> Result<(), Failure> {
    let failed = |folder: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot make {}: {error}", folder.display()))
    };
    let log = rooms.log.parent().filter(|_| stage == Stage::Background);
    let sockets = rooms.socket.parent().filter(|_| !rooms.site.is_parted);
    let folders = [
        Some((rooms.folder.as_path(), 0o755)),
        sockets.map(|path| (path, 0o700)),
        log.map(|path| (path, 0o755)),
    ];
    for (folder, mode) in folders.into_iter().flatten() {
        for missing in crate::session::missing_folders(system, folder) {
            match system.make_folder(&missing, mode) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(&missing, error));
                }
                _ => {}
            }
        }
    }
    let Some(control) = sockets else {
        return Ok(()); // pipes have no folder
    };
    platform::set_mode(control, 0o700).map_err(|error| failed(control, error))
}
