//! The checked value: a [`Service`] exists only if the manifest is right and this machine can hold it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

mod ports;
mod requirements;
mod security;

pub use ports::Port;
pub use requirements::{Cuda, Requirements};
pub use security::{Needs, Network, Profile, Security};

/// Whose service manager keeps the app: the machine's, or one user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The machine's service manager, as root installs it.
    System,
    /// The invoking user's service manager, with lingering.
    User,
}

impl Scope {
    /// What names it on our command line.
    pub fn flag(self) -> &'static str {
        match self {
            Self::System => "--system",
            Self::User => "--user",
        }
    }
}

impl Service {
    /// Whether whoever logs on to Windows has an instance of its own: the machine has it, and nobody in particular runs it.
    pub fn is_everybodys(&self) -> bool {
        self.scope == Scope::System && self.run_as == RunAs::Invoker && self.windows.trigger == Trigger::Logon
    }
}

/// The system an app runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux and its kin.
    #[default]
    Linux,
    /// Windows.
    Windows,
}

/// An app as it is to be installed: every default filled in, every path absolute, every reference resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The app's name: a DNS label, so legal as a unit, a task and a Kubernetes name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The app's own version, as the manifest states it.
    pub version: Option<String>,
    /// The manifest it came from, absolute.
    pub manifest: PathBuf,
    /// Whose service manager keeps it.
    pub scope: Scope,
    /// The argument list; the first word is an absolute path.
    pub command: Vec<String>,
    /// Absolute, and there when it was checked.
    pub working_directory: PathBuf,
    /// Whom the process runs as.
    pub run_as: RunAs,
    /// Given to the process byte for byte, in the manifest's order.
    pub environment: Vec<(String, String)>,
    /// The user's own `KEY=value` files, absolute.
    pub environment_files: Vec<PathBuf>,
    /// Folders put before the default PATH, absolute.
    pub path: Vec<PathBuf>,
    /// Commands run before each start; the first word of each is an absolute path.
    pub pre_start: Vec<Vec<String>>,
    /// How the process says that it has started.
    pub start_type: StartType,
    /// From the start of the process until ready.
    pub start_timeout: Duration,
    /// From the stop signal until the whole process tree is killed.
    pub stop_timeout: Duration,
    /// The name of the signal, with its SIG.
    pub stop_signal: String,
    /// When and how often it is started again.
    pub restart: Restart,
    /// Other services.
    pub dependencies: Dependencies,
    /// How to tell that it is ready.
    pub readiness: Readiness,
    /// How to tell that it is sick.
    #[serde(default)]
    pub health: Option<Health>,
    /// Limits and shares.
    pub resources: Resources,
    /// Where output goes and how much of it.
    pub logging: Logging,
    /// What has to be there before it can run.
    #[serde(default)]
    pub requirements: Requirements,
    /// The rights it keeps.
    #[serde(default)]
    pub security: Security,
    /// Native directives merged last: section → (directive, value) in the manifest's order.
    pub raw_systemd: BTreeMap<String, Vec<(String, String)>>,
    /// How it is started on Windows.
    #[serde(default)]
    pub windows: Windows,
    /// Native elements of a task, in place of ours: section → (element, value) in the manifest's order.
    #[serde(default)]
    pub raw_task: BTreeMap<String, Vec<(String, String)>>,
}

/// How an app is started on Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// By what.
    pub method: Method,
    /// When.
    pub trigger: Trigger,
    /// After that so long.
    pub delay: Duration,
    /// With all privileges of whoever it runs as.
    pub is_elevated: bool,
    /// Under our own supervisor, which gives what Windows lacks.
    pub is_supervised: bool,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            method: Method::Task,
            trigger: Trigger::Boot,
            delay: Duration::ZERO,
            is_elevated: false,
            is_supervised: true,
        }
    }
}

/// What starts an app on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A task of the Task Scheduler.
    Task,
    /// A shortcut in the Startup folder.
    StartupFolder,
}

/// When an app is started on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// When the machine has started; nobody has to log on.
    Boot,
    /// When a user logs on.
    Logon,
}

/// Whom the process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunAs {
    /// The owner of the user-scope service manager: nothing is rendered.
    Invoker,
    /// A user (name, or a number where the number has no name), and the group if it is not the user's own.
    User {
        /// User name, or number.
        user: String,
        /// Group name, or number.
        group: Option<String>,
    },
    /// A throw-away user (`DynamicUser=`, systemd.exec(5)).
    Dynamic,
}

/// How the process says that it has started (`Type=`, systemd.service(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartType {
    /// Started when the program was executed.
    Exec,
    /// It says so itself (`sd_notify(3)`).
    Notify,
    /// The first process exits when the daemon stands.
    Forking,
    /// It does its work and ends; afterwards the service counts as active.
    Oneshot,
}

/// When and how often the app is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// On which ends.
    pub policy: RestartPolicy,
    /// Before the first restart.
    pub delay: Duration,
    /// Exponential back-off up to this; equal to `delay` for none.
    pub max_delay: Duration,
    /// Restarts within the window before giving up; 0: never give up.
    pub max_attempts: u32,
    /// The window of `max_attempts`.
    pub window: Duration,
}

/// On which ends the app is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// On every end.
    Always,
    /// On an unclean end.
    OnFailure,
    /// Never.
    Never,
}

/// Other services: unit names, `.service` already added to the names of apps of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// Ordering only.
    pub after: Vec<String>,
    /// Ordering, and no start without them.
    pub requires: Vec<String>,
    /// Started too, not insisted on.
    pub wants: Vec<String>,
    /// Names of the apps among `requires`: their readiness is waited for.
    #[serde(default)]
    pub apps: Vec<String>,
    /// What else must hold before the start.
    #[serde(default)]
    pub wait_for: Vec<Probe>,
    /// For all of that together; zero: for ever.
    #[serde(default)]
    pub wait_timeout: Duration,
}

impl Dependencies {
    /// How long may be waited before the start, where there is something to wait for; zero: for ever.
    pub fn waits(&self) -> Option<Duration> {
        self.has_waits().then_some(self.wait_timeout)
    }

    /// Whether there is something to wait for before the start.
    pub fn has_waits(&self) -> bool {
        !(self.apps.is_empty() && self.wait_for.is_empty())
    }

    /// What it requires that is no app of ours: units of systemd.
    pub fn units(&self) -> impl Iterator<Item = &String> {
        let is_app = |unit: &String| self.apps.iter().any(|app| *unit == format!("{app}.service"));
        self.requires.iter().filter(move |unit| !is_app(unit))
    }
}

/// How to tell that the app is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// What is asked; without a probe the app is ready when it has run for `settle` without a restart.
    pub probe: Option<Probe>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Between two questions.
    pub interval: Duration,
    /// Without a probe: ready after so long without a restart.
    pub settle: Duration,
}

impl Readiness {
    /// How long it has to run before it is ready: nothing where a probe says so.
    pub fn settling(&self) -> Duration {
        if self.probe.is_none() {
            self.settle
        } else {
            Duration::ZERO
        }
    }
}

/// When the app is sick, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// From the start of the process; failures within it do not count.
    pub start_period: Duration,
    /// From an answer to the next question.
    pub interval: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// It is sick after so many failures in a row.
    pub retries: u32,
    /// What is done about it.
    pub action: SickAction,
}

/// What is done about an app that is sick, or not ready within its `start_timeout`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SickAction {
    /// Its run is ended as one that failed: `[restart]` says what follows.
    #[default]
    Restart,
    /// It is only told.
    None,
}

/// One question to the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// An HTTP GET.
    Http {
        /// `http://host:port/path`.
        url: String,
        /// Inclusive ranges of statuses that are well.
        expect_status: Vec<(u16, u16)>,
        /// Must be within the body.
        expect_body: Option<String>,
        /// Sent with the question: name, value.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Whether a redirect within the same host is followed (the manifest does not list its status).
        #[serde(default)]
        is_following: bool,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A command that exits 0; the first word is an absolute path.
    Command {
        /// The argument list.
        argv: Vec<String>,
    },
    /// A file that is there.
    File {
        /// Absolute.
        path: PathBuf,
    },
}

impl Probe {
    /// Whether it may hold secrets: only the app's owner is told of it.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Command { .. } => true,
            Self::Http { headers, .. } => !headers.is_empty(),
            Self::Tcp { .. } | Self::File { .. } => false,
        }
    }
}

/// Limits and shares, in exact units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Hard limit, in thousandths of a core.
    pub cpu: Option<u64>,
    /// Hard limit, in bytes.
    pub memory: Option<u64>,
    /// Guaranteed share, in thousandths of a core.
    pub cpu_request: Option<u64>,
    /// Guaranteed share, in bytes.
    pub memory_request: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Open files of one process.
    pub open_files: Option<u64>,
    /// The size of a private `/dev/shm`, in bytes.
    pub shared_memory: Option<u64>,
}

/// Where output goes and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// As it is written; by default the journal, where there is one.
    #[serde(default)]
    pub destination: Option<Destination>,
    /// The file, absolute; by default one in the target's folder of logs.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A file is not longer than this, in bytes.
    #[serde(default = "Logging::default_max_size")]
    pub max_size: u64,
    /// So many earlier files are kept beside the one that is written.
    #[serde(default = "Logging::default_max_files")]
    pub max_files: u32,
    /// The level handed to the app, in the variable that is named here.
    pub level: Option<(String, String)>,
    /// Lines within the interval before the rest of it is dropped.
    pub rate_limit: RateLimit,
}

impl Logging {
    /// What a manifest that says nothing means: 10 MiB.
    pub const fn default_max_size() -> u64 {
        10 * 1024 * 1024
    }

    /// What a manifest that says nothing means.
    pub const fn default_max_files() -> u32 {
        5
    }
}

/// Where output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// The journal of systemd.
    Journal,
    /// Files that are rotated.
    File,
}

/// A flood of lines must not fill the disk (`LogRateLimitBurst=`, systemd.exec(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Lines within `interval`; 0: no limit.
    pub burst: u32,
    /// The interval; 0: no limit.
    pub interval: Duration,
}
