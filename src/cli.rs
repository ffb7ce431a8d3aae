//! The command line: types only.
#![allow(clippy::doc_markdown)] // these comments are the help text, as it is printed

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    check::Wish,
    platform,
    service::{Method, Os, Scope},
};

/// Makes an app start by itself and stay up: one app.toml, one command.
#[derive(Debug, Parser)]
#[command(name = "autoglm-boot", version, max_term_width = 100)]
#[command(after_help = "Examples:
  autoglm-boot check                         look for mistakes in ./app.toml
  autoglm-boot install --dry-run             show what would be done
  sudo autoglm-boot install                  for the machine: install, start, wait until it is ready
  autoglm-boot install                       the same for this user only
  autoglm-boot status                        how it is
  sudo autoglm-boot uninstall hello          stop it and remove every trace

Exit codes:
    0  well
    1  failed, and undone
    2  the command line or the manifest is wrong
    3  status: not running
    4  not installed
    5  needs a privilege
    6  install --check: changes are pending
    7  not ready, or unhealthy
    8  failed, and the undo is incomplete
    9  another run is at work
  130  interrupted, and undone
  143  terminated, and undone")]
pub struct Cli {
    /// Only errors, and what was asked for
    #[arg(short, long, global = true, display_order = 100)]
    pub quiet: bool,
    /// Log each step as it begins, on standard error
    #[arg(short, long, global = true, conflicts_with = "quiet", display_order = 101)]
    pub verbose: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Install or update an app, start it, wait until it is ready: all of it or nothing
    Install(Install),
    /// Tell how installed apps are; exits 0 if all are well
    Status(Status),
    /// List the installed apps, a line each
    List(List),
    /// Start an installed app and wait until it is ready
    Start(Control),
    /// Stop an installed app; at boot it starts again
    Stop(Stop),
    /// Restart an installed app and wait until it is ready
    Restart(Control),
    /// Show an app's output
    Logs(Logs),
    /// List the last installed versions of an app
    History(History),
    /// Install an earlier version again, and wait until it is ready
    Rollback(Rollback),
    /// Stop an app and remove every trace of its installation; your own files stay
    Uninstall(Uninstall),
    /// Find out why an app does not start, or will not; changes nothing
    Doctor(Doctor),
    /// Show what an app could still do, and what taking it away would cost
    Security(Security),
    /// Show every mistake in a manifest; writes nothing
    Check(Check),
    /// Print the unit that an install would write, or write it into a folder
    Render(Render),
    /// Ask an app whether it is ready and well, as its manifest says
    Probe(Probe),
    /// Keep apps in the foreground, without any service manager: as a container's command
    Run(Run),
    /// The service that watches the health of the apps
    #[command(hide = true)]
    Watch(Watch),
    /// What an app that needs others runs before its start
    #[command(hide = true)]
    Wait(Wait),
    /// The embedded supervisor's own controls
    #[command(hide = true)]
    Supervisor(Supervisor),
}

/// The image of a machine, instead of the machine.
#[derive(Debug, Clone, Default, Args)]
pub struct ImageArgs {
    /// In the image of a machine that lies in this folder: files only, nothing is started; the manifest lies in it too
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl Verb {
    /// The image that is meant.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::Install(args) => args.image.root.as_deref(),
            Self::Uninstall(args) => args.image.root.as_deref(),
            Self::Check(args) => args.image.root.as_deref(),
            Self::Render(args) => args.image.root.as_deref(),
            _ => None,
        }
    }

    /// Whose service manager is meant.
    pub fn scope(&self) -> &ScopeArgs {
        match self {
            Self::Install(args) => &args.scope,
            Self::Status(args) => &args.scope,
            Self::List(args) => &args.scope,
            Self::Start(args) | Self::Restart(args) => &args.scope,
            Self::Stop(args) => &args.scope,
            Self::Logs(args) => &args.scope,
            Self::History(args) => &args.scope,
            Self::Rollback(args) => &args.scope,
            Self::Uninstall(args) => &args.scope,
            Self::Doctor(args) => &args.scope,
            Self::Security(args) => &args.scope,
            Self::Check(args) => &args.scope,
            Self::Render(args) => &args.scope,
            Self::Probe(args) => &args.scope,
            Self::Watch(args) => &args.scope,
            Self::Wait(args) => &args.scope,
            Self::Run(args) => &args.scope,
            Self::Supervisor(args) => &args.scope,
        }
    }
}

/// The machine's service manager, or one's own.
#[derive(Debug, Clone, Default, Args)]
pub struct ScopeArgs {
    /// For the whole machine (the default for root, where the manifest names no linux.scope)
    #[arg(long)]
    pub system: bool,
    /// For this user only (the default for anybody else); under systemd also without a login. Root may name another user
    #[arg(long, conflicts_with = "system", value_name = "NAME")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub user: Option<String>,
}

/// The two flags to a verb that looks for an installed app.
const OF_MACHINE: &str = "Only among the apps of the machine; without --system and --user among all";
const OF_USER: &str = "Only among the apps of this user; root may name another";

impl ScopeArgs {
    /// The scope that was asked for.
    pub fn scope(&self) -> Option<Scope> {
        match (self.system, &self.user) {
            (true, _) => Some(Scope::System),
            (_, Some(_)) => Some(Scope::User),
            _ => None,
        }
    }

    /// What a manifest is checked for, on this machine.
    pub fn wish(&self) -> Wish {
        Wish {
            scope: self.scope(),
            ..Wish::default()
        }
    }

    /// The user that was named.
    pub fn named_user(&self) -> Option<&str> {
        self.user.as_deref().filter(|name| !name.is_empty())
    }
}

/// `install`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot install --dry-run        show each step, and the unit
  sudo autoglm-boot install -m /opt/app/app.toml
  autoglm-boot install --user           for this user only, whoever it is
  autoglm-boot install -m /srv/apps     every app of a folder, all or none
  sudo autoglm-boot install --root /mnt/image -m /mnt/image/srv/app/app.toml
  autoglm-boot install --restart        after the app's code changed")]
#[expect(clippy::struct_excessive_bools, reason = "they are the command line's flags")]
pub struct Install {
    /// The manifest; a folder: its *.toml and the app.toml of each folder within. Several are installed together, all or
    /// none
    #[arg(short, long, default_value = "app.toml", value_name = "FILE|DIR")]
    pub manifest: Vec<PathBuf>,
    /// Of several, keep those that become ready; undo only the others, and what requires them
    #[arg(long, conflicts_with_all = ["no_wait", "dry_run", "check"])]
    pub keep_going: bool,
    /// What keeps the app running, instead of what this machine has: systemd, or the supervisor in this binary
    #[arg(long, value_name = "NAME", value_parser = [crate::backend::systemd::NAME, crate::backend::embedded::NAME])]
    pub backend: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    #[command(flatten)]
    /// An image instead of this machine
    pub image: ImageArgs,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Exit 6 if an install would change anything, else 0; change nothing
    #[arg(long)]
    pub check: bool,
    /// Write and enable, but do not start or restart it
    #[arg(long, conflicts_with_all = ["restart", "timeout"])]
    pub no_start: bool,
    /// Start it, but do not wait until it is ready: a failure after the start is not seen, nor undone
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Restart it even if nothing changed (after its code changed)
    #[arg(long)]
    pub restart: bool,
    /// Install it even if what the manifest requires is not there, or cannot be checked
    #[arg(long)]
    pub skip_requirements: bool,
    /// Overwrite what was changed by hand, enable what was disabled by hand, and start it even if something answers at
    /// its address already
    #[arg(long)]
    pub force: bool,
    /// Take over a unit of that name that is not ours; uninstall puts it back
    #[arg(long)]
    pub adopt: bool,
    /// Wait so long until it is ready (like 30s, 5m), instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `status`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot status                 the app of ./app.toml, else all
  autoglm-boot status hello --json    for programs

It exits 0 if all are running or ready, 7 if one is not ready or unhealthy, 3 if one
does not run, 4 if one is not installed; of several, with the worst.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Status {
    /// The apps; without: that of ./app.toml, else all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `list`
#[derive(Debug, Args)]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct List {
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `start`, `restart`
#[derive(Debug, Args)]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Control {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Do not wait until it is ready
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Wait so long until it is ready (like 30s, 5m), instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `stop`
#[derive(Debug, Args)]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Stop {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

impl From<Stop> for Control {
    fn from(Stop { name, scope, json }: Stop) -> Self {
        Self {
            name,
            scope,
            no_wait: false,
            timeout: None,
            json,
        }
    }
}

/// `logs`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot logs hello -f              as it comes
  autoglm-boot logs hello -n 20           the last 20 lines
  autoglm-boot logs hello --since -10m    of the last ten minutes")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Logs {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Go on showing it as it comes
    #[arg(short, long)]
    pub follow: bool,
    /// The last so many lines; 100 where there is no --since
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u32>,
    /// From this time on, as journalctl(1) takes it: -10m, today, "2026-11-23 12:00"; under systemd only
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
}

/// `probe`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot probe hello                     once
  autoglm-boot probe hello --wait              until it is ready
  autoglm-boot probe hello --wait --timeout 5m

It exits 0 if all answers are well, 7 if not, 3 if the app does not run.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Probe {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// First wait until it is ready; starts nothing
    #[arg(long)]
    pub wait: bool,
    /// Wait so long at most (like 30s, 5m), instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `watch`
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    /// Whose apps
    pub scope: ScopeArgs,
}

/// `wait`
#[derive(Debug, Args)]
pub struct Wait {
    #[command(flatten)]
    /// Whose apps
    pub scope: ScopeArgs,
    /// An app that must be ready
    #[arg(long = "app", value_name = "NAME")]
    pub apps: Vec<String>,
    /// What else must hold, as in dependencies.wait_for
    #[arg(long = "for", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// For all of it together; 0s: for ever
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Duration,
}

/// `history`
#[derive(Debug, Args)]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct History {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `rollback`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo autoglm-boot rollback hello            the version before this one
  sudo autoglm-boot rollback hello --to 2     a version that history lists

The manifest and the app's own files stay as they are: they are yours.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Rollback {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    /// The version's number
    #[arg(long, value_name = "N")]
    pub to: Option<u32>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Overwrite what was changed by hand
    #[arg(long)]
    pub force: bool,
    /// Return when it was started, ready or not
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Wait so long until it is ready, instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `uninstall`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot uninstall hello --dry-run
  sudo autoglm-boot uninstall --manifest /opt/app/app.toml

Drop-ins (NAME.service.d), environment files and the app's own folder stay as they are.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Uninstall {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    /// The app that this manifest names
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    #[command(flatten)]
    /// An image instead of this machine
    pub image: ImageArgs,
    /// Uninstall it even if other services need it
    #[arg(long)]
    pub force: bool,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo autoglm-boot doctor hello      an installed app
  autoglm-boot doctor -m app.toml     one that is to be installed
  autoglm-boot doctor --list          what is looked at

Each finding has what was seen, and what puts it right: a command, a line of the manifest, or what
only a person can do. It exits 0 if there is no error among them, else 1.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Doctor {
    /// The app; without: that of ./app.toml, else all
    pub name: Option<String>,
    /// The app of this manifest, installed or not
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    pub manifest: Option<PathBuf>,
    /// Print what is looked at
    #[arg(long, conflicts_with_all = ["name", "manifest"])]
    pub list: bool,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `security`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot security -m app.toml    before it is installed
  autoglm-boot security hello          as it was installed, and as systemd holds it

The score is that of systemd-analyze(1): 10 is open, 0 is closed.")]
#[command(mut_arg("system", |arg| arg.help(OF_MACHINE)), mut_arg("user", |arg| arg.help(OF_USER)))]
pub struct Security {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    /// The app of this manifest, installed or not
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What starts the app.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// For what starts the app, on this system or another; by default for this machine
    #[arg(long, value_name = "TARGET", value_parser = ["systemd", "task", "startup-folder"], conflicts_with = "root")]
    pub target: Option<String>,
}

impl TargetArgs {
    /// The target, with its system; another system is another machine.
    pub fn wish(&self, scope: &ScopeArgs) -> Wish {
        let (os, method) = match self.target.as_deref() {
            None => (platform::OS, None),
            Some("task") => (Os::Windows, Some(Method::Task)),
            Some("startup-folder") => (Os::Windows, Some(Method::StartupFolder)),
            Some(_) => (Os::Linux, None),
        };
        Wish {
            scope: scope.scope(),
            os,
            is_elsewhere: os != platform::OS,
            method,
        }
    }
}

/// `check`
#[derive(Debug, Args)]
#[command(
    after_help = "It exits 0 if all is right, 2 if the manifest is wrong, and 1 if only this machine
lacks what it names: a program, a folder, an account. For another system nothing is looked up."
)]
pub struct Check {
    /// The manifest; a folder: its *.toml and the app.toml of each folder within
    #[arg(short, long, default_value = "app.toml", value_name = "FILE|DIR")]
    pub manifest: Vec<PathBuf>,
    #[command(flatten)]
    /// For which target
    pub target: TargetArgs,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    #[command(flatten)]
    /// An image instead of this machine
    pub image: ImageArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `render`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot render --manifest /opt/app/app.toml
  autoglm-boot render --user --output units       writes units/NAME.service
  autoglm-boot render --target task -o tasks      writes tasks/NAME.xml, for schtasks /create /xml

For another system nothing is looked up: paths to it must be absolute, and service.user named. Where
standard output is no terminal, it gets the file's own bytes: UTF-16 for a task.")]
pub struct Render {
    /// The manifest
    #[arg(short, long, default_value = "app.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    #[command(flatten)]
    /// For which target
    pub target: TargetArgs,
    /// Where autoglm-boot lies on the machine that a task or a shortcut is for [default: %ProgramFiles%\autoglm-boot]
    #[arg(long, value_name = "FILE")]
    pub program: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    #[command(flatten)]
    /// An image instead of this machine
    pub image: ImageArgs,
    /// Write it into this folder, created where missing, instead of printing it
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// `run`
#[derive(Debug, Args)]
#[command(mut_arg("system", |arg| arg.help("An app of the machine; a manifest as one of the machine")))]
#[command(mut_arg("user", |arg| arg.help("An app of this user; a manifest as one of this user")))]
#[command(after_help = "Examples:
  autoglm-boot run hello                 an installed app
  autoglm-boot run --manifest app.toml   one that is not installed

It keeps the app running, as [restart] in the manifest says, and passes its output through. It ends
with the app: 0 if it was stopped (SIGTERM, Ctrl-C) or has done its work, 1 if it failed for good.")]
pub struct Run {
    /// The apps; may be left out where ./app.toml or a single installed app makes it clear
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Every installed app, and those that are installed while it runs
    #[arg(long, conflicts_with_all = ["names", "manifest"])]
    pub all: bool,
    /// Manifests instead, without an installation; a folder: its *.toml and the app.toml of each folder within
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "names")]
    pub manifest: Vec<PathBuf>,
    /// One of several: its name is put in front of each line
    #[arg(long, hide = true)]
    pub among: bool,
    #[command(flatten)]
    /// Whose records
    pub scope: ScopeArgs,
}

/// `supervisor`
#[derive(Debug, Args)]
pub struct Supervisor {
    /// What it is to do
    pub verb: SupervisorVerb,
    /// The app
    pub name: String,
    #[command(flatten)]
    /// Whose records
    pub scope: ScopeArgs,
}

/// What the embedded supervisor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SupervisorVerb {
    /// Begin in the background, and return when the app was started
    Start,
    /// End the app and its supervisor
    Stop,
    /// Both
    Restart,
    /// Be the supervisor
    Serve,
}
