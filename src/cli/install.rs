//! The verbs that change what is installed, and what was installed before.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::scope::{ImageArgs, OF_MACHINE, OF_USER, ScopeArgs};

/// What `--backend` takes.
const BACKENDS: [&str; 4] = [
    crate::backend::systemd::NAME,
    crate::backend::embedded::NAME,
    crate::backend::windows::TASK,
    crate::backend::windows::STARTUP_FOLDER,
];

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
    /// What keeps the app running, instead of what this machine has: systemd, or the supervisor in this binary; on Windows
    /// a task, or a shortcut in the Startup folder
    #[arg(long, value_name = "NAME", value_parser = BACKENDS)]
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
