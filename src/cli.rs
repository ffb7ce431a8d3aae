//! The command line: types only.
#![allow(clippy::doc_markdown)] // these comments are the help text, as it is printed

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::service::Scope;

/// Makes an app start by itself and stay up: one app.toml, one command.
#[derive(Debug, Parser)]
#[command(name = "autoglm-boot", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  autoglm-boot check                         look for mistakes in ./app.toml
  autoglm-boot install --dry-run             show what would be done
  sudo autoglm-boot install                  install, start, wait until it is ready
  autoglm-boot status                        how it is
  sudo autoglm-boot uninstall hello          stop it and remove every trace

Exit codes:
  0 well · 1 failed and undone · 2 usage or manifest · 3 not running · 4 not installed · 5 needs privilege
  6 changes pending (--check) · 7 not ready or unhealthy · 8 failed, and the undo is incomplete
  9 another run holds the lock · 130/143 interrupted and undone")]
pub struct Cli {
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say every command that is run (-v)
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Install an app: render, write, enable, start, wait until it is ready; all of it or nothing
    Install(Install),
    /// Tell how installed apps are; exits 0 if all are well
    Status(Status),
    /// List the installed apps
    List(List),
    /// Start an installed app and wait until it is ready
    Start(Control),
    /// Stop an installed app; it starts again at boot
    Stop(Control),
    /// Restart an installed app and wait until it is ready
    Restart(Control),
    /// Show an app's output
    Logs(Logs),
    /// Stop an app and remove every trace of its installation; your own files stay
    Uninstall(Uninstall),
    /// Show every mistake in a manifest; writes nothing
    Check(Check),
    /// Print what an install would write, or write it into a folder
    Render(Render),
    /// Keep an app in the foreground, without any service manager: as a container's command
    Run(Run),
    /// The embedded supervisor's own controls
    #[command(hide = true)]
    Supervisor(Supervisor),
}

/// The machine's service manager, or one's own.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ScopeArgs {
    /// For the whole machine (the default for root)
    #[arg(long)]
    pub system: bool,
    /// For this user only, also without a login (the default for anybody but root)
    #[arg(long, conflicts_with = "system")]
    pub user: bool,
}

impl ScopeArgs {
    /// The scope that was asked for.
    pub fn scope(self) -> Option<Scope> {
        match (self.system, self.user) {
            (true, _) => Some(Scope::System),
            (_, true) => Some(Scope::User),
            _ => None,
        }
    }
}

/// `install`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo autoglm-boot install --manifest /opt/app/app.toml
  autoglm-boot install --user
  autoglm-boot install --check || echo 'would change something'")]
#[expect(clippy::struct_excessive_bools, reason = "they are the command line's flags")]
pub struct Install {
    /// The manifest
    #[arg(short, long, default_value = "app.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Exit 6 if an install would change something; change nothing
    #[arg(long)]
    pub check: bool,
    /// Write and enable, but do not start
    #[arg(long)]
    pub no_start: bool,
    /// Do not wait until it is ready
    #[arg(long)]
    pub no_wait: bool,
    /// Restart it even if nothing changed (after its code changed)
    #[arg(long)]
    pub restart: bool,
    /// Overwrite what was changed by hand; enable what was disabled by hand
    #[arg(long)]
    pub force: bool,
    /// Take over a unit of that name that is not ours; uninstall puts it back
    #[arg(long)]
    pub adopt: bool,
    /// Wait so long until it is ready, instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `status`
#[derive(Debug, Args)]
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
pub struct List {
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `start`, `stop`, `restart`
#[derive(Debug, Args)]
pub struct Control {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Do not wait until it is ready
    #[arg(long)]
    pub no_wait: bool,
    /// Wait so long until it is ready, instead of service.start_timeout
    #[arg(long, value_name = "TIME", value_parser = crate::values::duration)]
    pub timeout: Option<Duration>,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `logs`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot logs hello -f
  autoglm-boot logs hello -n 20
  autoglm-boot logs hello --since -10m")]
pub struct Logs {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Go on as it comes
    #[arg(short, long)]
    pub follow: bool,
    /// The last so many lines; without --since: 100
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u32>,
    /// From this time on, as journalctl(1) takes it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
}

/// `uninstall`
#[derive(Debug, Args)]
pub struct Uninstall {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    /// The app that this manifest names
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Even if other services need it
    #[arg(long)]
    pub force: bool,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// The manifest
    #[arg(short, long, default_value = "app.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Answer with one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `render`
#[derive(Debug, Args)]
pub struct Render {
    /// The manifest
    #[arg(short, long, default_value = "app.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    /// For which target
    #[arg(long, default_value = "systemd", value_parser = ["systemd"])]
    pub target: String,
    #[command(flatten)]
    /// Whose service manager
    pub scope: ScopeArgs,
    /// Write into this folder instead of printing
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// `run`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoglm-boot run hello                     an installed app
  autoglm-boot run --manifest app.toml       one that is not installed

It ends with the app: 0 if it was stopped (SIGTERM, Ctrl-C) or has done its work, 1 if it failed for good.")]
pub struct Run {
    /// The app; may be left out where ./app.toml or a single installed app makes it clear
    pub name: Option<String>,
    /// A manifest instead, without an installation
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    pub manifest: Option<PathBuf>,
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
