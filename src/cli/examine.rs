//! The verbs that examine an app.

use std::path::PathBuf;

use clap::Args;

use super::scope::{OF_MACHINE, OF_USER, ScopeArgs};

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
