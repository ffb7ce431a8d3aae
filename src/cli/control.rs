//! The verbs for an app that is installed.

use std::time::Duration;

use clap::Args;

use super::scope::{OF_MACHINE, OF_USER, ScopeArgs};

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
