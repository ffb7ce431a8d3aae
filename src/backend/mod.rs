//! The targets: one trait, one match to choose, one folder or file a target.
//!
//! To add one: a file here that implements [`Backend`], a template, a function in [`crate::render`], an arm in
//! [`choose`], and a case folder under `tests/cases`.

use std::{path::PathBuf, time::Duration};

use crate::{
    exit::{Exit, Failure},
    host::{Host, Init},
    plan::{OwnFolder, Plan, Step},
    receipt::{Receipt, Store},
    service::{RunAs, Scope, Service},
    supervisor::Rooms,
    system::{Cmd, Output, Probe},
};

pub mod conditions;
pub mod embedded;
pub mod evidence;
mod state;
pub mod systemd;
mod usage;
pub mod windows;

pub use state::*;
pub use usage::Usage;

/// A target: how an app is rendered for it, installed, watched and removed. It looks, it never touches: what is to be done
/// it says as a [`Plan`].
pub trait Backend: Sync {
    /// The target's name, as in `--target`.
    fn name(&self) -> &'static str;
    /// Whose service manager.
    fn scope(&self) -> Scope;
    /// Where this scope's records lie.
    fn store(&self) -> Store;
    /// An app's native name.
    fn unit(&self, app: &str) -> String;
    /// The native artefact.
    fn render(&self, service: &Service) -> Result<Rendered, Failure>;
    /// What this machine cannot give to the app, beyond what is lost in the rendering; `others` are native names of apps that
    /// come with it.
    fn losses(&self, _look: &dyn Probe, _service: &Service, _others: &[&str]) -> Vec<String> {
        Vec::new()
    }
    /// What somebody decided about its start at boot, which an install does not undo.
    fn decided(&self, _app: &AppState) -> Option<&'static str> {
        None
    }
    /// Native names of what must be there before an app that requires it is installed.
    fn needed(&self, service: &Service) -> Vec<String> {
        service.dependencies.requires.clone()
    }
    /// What the service manager says of these units, in their order.
    fn observe(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure>;
    /// The same, as far as it changes by itself: for whoever waits.
    fn glance(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        self.observe(look, units)
    }
    /// Whether what was installed was changed by hand since, or removed.
    fn is_drifted(&self, look: &dyn Probe, receipt: &Receipt) -> bool {
        is_file_drifted(look, receipt)
    }
    /// Whether a command did what it was for.
    fn has_done(&self, _cmd: &Cmd, output: &Output) -> bool {
        output.is_ok()
    }
    /// What is run in place of a command whose program does not know a word of it.
    fn instead(&self, _cmd: &Cmd, _output: &Output) -> Option<Cmd> {
        None
    }
    /// Those of these units that are neither up nor have done their work.
    fn not_up(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<String>, Failure> {
        let lives = self.observe(look, units)?;
        let down = lives
            .into_iter()
            .filter(|live| !live.is_up() || live.is_between_restarts());
        Ok(down.map(|live| live.unit).collect())
    }
    /// Everything an install or uninstall of these apps depends on.
    fn state(&self, look: &dyn Probe, apps: &[String]) -> Result<State, Failure>;
    /// Where nothing of this target starts at boot: what to do about it.
    fn boot_hint(&self) -> Option<&'static str> {
        None
    }
    /// What an install of these apps has to do; the state is of them, in their order.
    fn install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure>;
    /// What an uninstall has to do; the state is of this one app, and `others` are left in this scope.
    fn uninstall(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Plan;
    /// What a start, stop or restart has to do.
    fn control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan;
    /// Whether the service manager answers (a user's may not run yet).
    fn is_reachable(&self, look: &dyn Probe) -> bool;
    /// Whether the health of the apps is watched.
    fn is_watching(&self, look: &dyn Probe) -> bool;
    /// Whether a user's services outlive a logout.
    fn is_lingering(&self, look: &dyn Probe, user: &str) -> bool;
    /// Whether a command starts an app, as far as an undo is concerned: without it, all is back but does not run.
    fn is_start(&self, cmd: &Cmd) -> bool {
        !cmd.units.is_empty()
    }
    /// Makes a failure of a command that did not exit 0, with what the service manager knows about it.
    fn explain(&self, look: &dyn Probe, cmd: &Cmd, output: &Output) -> Failure;
    /// The app's last lines of output; none where they cannot be read.
    fn last_lines(&self, look: &dyn Probe, live: &Live) -> Vec<String>;
    /// What the app said, and what was said of it, since so long ago: the last few hundred lines.
    fn said(&self, look: &dyn Probe, unit: &str, since: Duration) -> Vec<String>;
    /// Where the app's output is to be found.
    fn logs(&self, look: &dyn Probe, unit: &str, query: &LogQuery) -> Result<Logs, Failure>;
}

/// The native artefact of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its file name.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What this target cannot express, and what it does instead: one line each.
    pub losses: Vec<String>,
}

/// An app that is to be installed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The checked manifest.
    pub service: Service,
    /// The manifest as it was written.
    pub manifest: String,
    /// The version that is installed again, in a rollback.
    pub again: Option<u32>,
    /// Folders it writes to that are not there, outermost first.
    pub folders: Vec<OwnFolder>,
}

impl Wanted {
    /// What a checked manifest asks for, on this machine.
    pub fn new(look: &dyn Probe, service: Service, manifest: String, again: Option<u32>) -> Self {
        Self {
            folders: own_folders(look, &service),
            service,
            manifest,
            again,
        }
    }

    /// The same, by what is there now: a run that went before may have removed some of its folders.
    #[must_use]
    pub fn anew(&self, look: &dyn Probe) -> Self {
        Self {
            folders: own_folders(look, &self.service),
            ..self.clone()
        }
    }

    /// What makes its folders.
    pub fn folder_steps(&self) -> impl Iterator<Item = Step> {
        self.folders.iter().cloned().map(|folder| Step::Provide { folder })
    }

    /// All folders that were ever made for it, of which these are the earlier ones.
    pub fn made(&self, earlier: Option<&Receipt>) -> Vec<PathBuf> {
        let mut made = earlier.map_or_else(Vec::new, |receipt| receipt.made.clone());
        made.extend(self.folders.iter().map(|folder| folder.path.clone()));
        made
    }
}

/// The folders of `security.writable_directories` that are missing, with their missing parents; a throw-away user gets its
/// own from systemd.
fn own_folders(look: &dyn Probe, service: &Service) -> Vec<OwnFolder> {
    let of = |user: &str| look.user(user).map(|user| (user.uid, user.gid));
    let owner = match &service.run_as {
        RunAs::Dynamic => None,
        RunAs::Invoker => of(&look.euid().to_string()),
        RunAs::User { user, group } => of(user).map(|(uid, gid)| {
            let named = group.as_ref().and_then(|group| look.group_number(group));
            (uid, named.unwrap_or(gid))
        }),
    };
    let Some((uid, gid)) = owner else { return Vec::new() };
    let mut folders: Vec<OwnFolder> = Vec::new();
    for folder in &service.security.writable {
        for path in crate::session::missing_folders(look, folder) {
            if !folders.iter().any(|other| other.path == path) {
                folders.push(OwnFolder { path, uid, gid });
            }
        }
    }
    folders
}

/// Whether an install waits until an app is ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patience {
    /// It does not.
    None,
    /// As long as the manifest allows.
    #[default]
    Manifest,
    /// So long at most.
    AtMost(Duration),
}

/// What an install was asked for.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the command line's flags")]
pub struct Install {
    /// Start it.
    pub start: bool,
    /// Whether to wait until it is ready.
    pub patience: Patience,
    /// Restart it even if nothing changed.
    pub restart: bool,
    /// Overwrite what was changed by hand.
    pub force: bool,
    /// Take over a unit that is not ours.
    pub adopt: bool,
    /// Seconds since 1970, UTC.
    pub now: u64,
    /// The account that installs.
    pub by: String,
    /// Folders that were created for the state just now.
    pub created: Vec<PathBuf>,
}

impl Patience {
    /// How long to wait for this one.
    pub fn with(self, service: &Service) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::AtMost(limit) => Some(limit),
            Self::Manifest => Some(service.start_timeout + service.readiness.settling()),
        }
    }
}

/// Start, stop or restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Start it, if it is not running.
    Start,
    /// Stop it.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
}

/// Which output to show.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Go on as it comes.
    pub follow: bool,
    /// The last so many lines.
    pub lines: Option<u32>,
    /// From this time on: `-10m`, `10m`, `2026-11-23 12:00`, as journalctl(1) takes it.
    pub since: Option<String>,
}

/// Where an app's output is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logs {
    /// This command shows it.
    Command(Cmd),
    /// A supervisor of ours passes it through, or has it in files.
    Supervisor(Rooms),
}

/// An answer to a [`Condition`](crate::plan::Condition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Yes,
    /// It does not hold yet, and why.
    NotYet(String),
    /// Its start waits for the start of others, which does not count.
    Queued,
}

/// Whether the file that was installed is another one now, or gone.
fn is_file_drifted(look: &dyn Probe, receipt: &Receipt) -> bool {
    match look.read(&receipt.unit) {
        Ok(bytes) => crate::receipt::digest(&bytes) != receipt.digest,
        // What only its owner may read is only known to its owner.
        Err(error) => error.kind() != std::io::ErrorKind::PermissionDenied,
    }
}

/// The target of this machine in this scope; or the one that was wished for, if this machine can hold it.
pub fn choose(host: &Host, scope: Scope, wish: Option<&str>) -> Result<Box<dyn Backend>, Failure> {
    let native = match host.init {
        Init::Systemd => systemd::NAME,
        Init::Windows => windows::TASK,
        Init::None | Init::Other(_) => embedded::NAME,
    };
    let here = match host.init {
        Init::Systemd => "systemd",
        Init::Other(name) => name,
        Init::Windows => "Windows",
        Init::None => "no init system",
    };
    match (wish, host.init) {
        (None, Init::Other(name)) => Err(Failure::new(
            Exit::Failed,
            format!("this machine runs {name}: this version installs under systemd, or where no init system runs"),
        )
        .repair("let the supervisor keep it, which does not start at boot: --backend embedded; or keep `autoglm-boot run --manifest app.toml` in a service of your own")),
        (Some(systemd::NAME), _) if native != systemd::NAME => Err(Failure::new(
            Exit::Failed,
            format!("--backend systemd: systemd does not run here, but {here}"),
        )
        .repair("leave it out, or take --backend embedded")),
        (wish, _) => named(host, wish.unwrap_or(native), scope),
    }
}

/// The target of this name, as receipts and journals have it.
pub fn named(host: &Host, name: &str, scope: Scope) -> Result<Box<dyn Backend>, Failure> {
    match name {
        systemd::NAME => Ok(Box::new(systemd::Systemd::new(host, scope))),
        embedded::NAME => Ok(Box::new(embedded::Embedded::new(host, scope))),
        other
            if let Some(method) = windows::method(other)
                && let Some(anchored) = embedded::Embedded::anchored(host, scope, method) =>
        {
            Ok(Box::new(anchored))
        }
        other if windows::method(other).is_some() => Err(Failure::new(
            Exit::Failed,
            format!("--backend {other}: this is not Windows"),
        )
        .repair("for a machine that is: autoglm-boot render --target")),
        other => Err(Failure::new(
            Exit::Failed,
            format!("it was installed with the backend {other:?}, which this version does not know"),
        )
        .repair("use the version of autoglm-boot that installed it, or a newer one")),
    }
}
