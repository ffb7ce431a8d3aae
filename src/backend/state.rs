//! What is observed of a scope and its apps: what every plan is made from.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Usage,
    systemd::Helper,
    windows::{Anchored, Place},
};
use crate::{
    health::{Main, pulse::Pulse},
    history::Version,
    receipt::{Original, Receipt, ScopeRecord},
    service::Service,
};

/// What the service manager says of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is said")]
pub struct Live {
    /// The native name.
    pub unit: String,
    /// `LoadState`: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `activating`, `deactivating`, `failed`, `reloading`.
    pub active: String,
    /// `SubState`: `running`, `exited`, `auto-restart` …
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `masked` …
    pub enabled: String,
    /// The file it was read from.
    pub fragment: Option<PathBuf>,
    /// The user's additions.
    pub drop_ins: Vec<PathBuf>,
    /// Whether the disk holds a newer version than the service manager.
    pub is_stale: bool,
    /// `Result`: `success`, `exit-code`, `signal`, `start-limit-hit` …
    pub result: String,
    /// How the main process ended last (`CLD_EXITED` 1, `CLD_KILLED` 2, `CLD_DUMPED` 3; 0: not yet) and its status or signal.
    pub last_exit: (u32, u32),
    /// Automatic restarts since the last start by hand.
    pub restarts: u32,
    /// The main process.
    pub pid: Option<u32>,
    /// The numbers of the user and the group that it is started as.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
    /// Bytes in use: under systemd by all its processes, under our supervisor by the main one.
    pub memory: Option<u64>,
    /// What all its processes use of what they may.
    #[serde(default)]
    pub usage: Usage,
    /// When it became active, on the monotonic clock.
    pub active_since: Option<Duration>,
    /// When its state last changed, on the monotonic clock.
    pub changed: Option<Duration>,
    /// Units that require it, are bound to it, or start only while it runs.
    pub required_by: Vec<String>,
    /// Whether a job of it is queued or running.
    pub has_job: bool,
    /// When it last left the inactive state, on the monotonic clock.
    pub started: Option<Duration>,
    /// When its main process was started last, on the monotonic clock.
    #[serde(default)]
    pub main_started: Option<Duration>,
    /// After which ends it is started again: `no`, `always`, `on-failure` … (`Restart`).
    #[serde(default)]
    pub restart: String,
    /// The number of the signal that asks it to end (`KillSignal`).
    #[serde(default)]
    pub stop_signal: Option<u32>,
    /// Whether it has a network of its own (`PrivateNetwork`, `NetworkNamespacePath`).
    #[serde(default)]
    pub has_own_network: bool,
    /// The identity of its run (`InvocationID`).
    #[serde(default)]
    pub invocation: String,
    /// Its health, as whoever watches it tells it.
    #[serde(default)]
    pub pulse: Option<Pulse>,
    /// Why its output cannot be written, where that is so.
    #[serde(default)]
    pub output: Option<String>,
    /// In which boot that was so, where that was written down ([`crate::system::Probe::boot`]).
    #[serde(default)]
    pub boot: String,
    /// Whether it is certain that the service manager holds nothing of that name, not even that something else refers to it.
    #[serde(default)]
    pub is_nowhere: bool,
}

impl Live {
    /// A unit that the service manager does not know.
    pub fn unknown(unit: &str) -> Self {
        Self {
            unit: unit.into(),
            load: "not-found".into(),
            active: "inactive".into(),
            ..Self::default()
        }
    }

    /// Its main process, to be asked as.
    pub fn main(&self) -> Main {
        Main {
            pid: self.pid,
            owner: self.owner,
            ..Main::default()
        }
    }

    /// Whether the service manager knows a unit of that name, in whatever state.
    pub fn is_known(&self) -> bool {
        !self.load.is_empty() && self.load != "not-found"
    }

    /// Whether the service manager has read it, or still runs what it had read before.
    pub fn is_loaded(&self) -> bool {
        !matches!(self.load.as_str(), "not-found" | "bad-setting" | "error") || self.active != "inactive"
    }

    /// Whether it is up or on its way up.
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }

    /// Whether whoever keeps it has something to do with it: it is not over.
    pub fn is_at_work(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "deactivating") && self.sub != "exited"
    }

    /// Whether it runs at boot.
    pub fn is_enabled(&self) -> bool {
        self.enabled == "enabled"
    }

    /// Whether it is started again after it was asked to end: to systemd that is a clean end (systemd.service(5), `Restart=`).
    pub fn comes_back_when_asked_to_end(&self) -> bool {
        matches!(self.restart.as_str(), "always" | "on-success")
    }

    /// Whether it crashed and waits for its next start.
    pub fn is_between_restarts(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }
}

/// Everything an install or uninstall depends on.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What all apps of the scope share.
    pub scope: ScopeState,
    /// What is seen of each app.
    pub apps: Vec<AppState>,
}

/// What all apps of one scope share.
#[derive(Debug, Clone, Default)]
pub struct ScopeState {
    /// The scope's own record.
    pub record: ScopeRecord,
    /// Whether the service manager answers (a user's may not run yet).
    pub is_reachable: bool,
    /// Whether the user's services outlive a logout.
    pub is_lingering: bool,
    /// Whether the scope's unit that resets restart budgets is there as we write it.
    pub has_reset_unit: bool,
    /// What is there of the helper that units refer to.
    pub helper: Helper,
    /// What is there of our own program, where tasks and shortcuts start it.
    pub place: Place,
    /// Whom we run as, and who has logged on to Windows, where that is somebody else.
    pub session: Option<(String, String)>,
    /// Folders of the native artefacts that are missing, outermost first.
    pub missing: Vec<PathBuf>,
}

/// What is seen of one app.
#[derive(Debug, Clone, Default)]
pub struct AppState {
    /// What the service manager says.
    pub live: Live,
    /// What lies at the unit's path: `None` for nothing.
    pub at_path: Option<AtPath>,
    /// The text of the unit that is in force, wherever it lies: a link's target, a vendor's file.
    pub text: Option<String>,
    /// The links that start it at boot: link, target.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Units that need it and run: a start of it that fails stops them.
    pub dependants: Vec<String>,
    /// Our receipt of it.
    pub receipt: Option<Receipt>,
    /// The version that is installed.
    pub version: Option<Version>,
    /// Folders that its account writes to, and that are not there.
    pub missing: Vec<PathBuf>,
    /// What `--adopt` replaced.
    pub original: Option<Original>,
    /// What begins it on Windows.
    pub anchored: Anchored,
    /// What an embedded supervisor leaves of it, and nobody else needs.
    pub leftovers: Vec<PathBuf>,
}

/// What lies at the unit's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtPath {
    /// A file: its bytes and its permission bits.
    File(Vec<u8>, u32),
    /// A symbolic link; one to `/dev/null` masks the unit.
    Link(PathBuf),
    /// Something else.
    Other,
}

impl AppState {
    /// The checked manifest of what is installed.
    pub fn service(&self) -> Option<&Service> {
        self.version.as_ref().map(|version| &version.service)
    }

    /// Whether what runs is still what an install with `--no-start` has left running.
    pub fn is_behind(&self) -> bool {
        let due = self.receipt.as_ref().and_then(|receipt| receipt.restart_due);
        let since = self.live.active_since.or(Some(Duration::ZERO)); // what nobody tells was written down so
        due.is_some() && due == since && self.live.is_up()
    }

    /// Whether what was installed was changed by hand since, or removed.
    pub fn is_drifted(&self) -> bool {
        let Some(receipt) = &self.receipt else { return false };
        match &self.at_path {
            Some(AtPath::File(bytes, _)) => crate::receipt::digest(bytes) != receipt.digest,
            _ => true,
        }
    }

    /// Whether a unit of that name is there which is not ours.
    pub fn is_foreign(&self) -> bool {
        self.receipt.is_none() && (self.at_path.is_some() || self.live.is_known())
    }
}
