//! The verbs of those who keep apps: in the foreground, as a service, as a supervisor.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::scope::ScopeArgs;

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
    /// Wait until what starts it has begun it
    Await,
}
