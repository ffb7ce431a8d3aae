//! The command line: types only.
#![allow(clippy::doc_markdown)] // these comments are the help text, as it is printed

use std::path::Path;

use clap::{Parser, Subcommand};

mod control;
mod examine;
mod install;
mod keep;
mod manifest;
mod scope;

pub use control::{Control, List, Logs, Probe, Status, Stop};
pub use examine::{Doctor, Security};
pub use install::{History, Install, Rollback, Uninstall};
pub use keep::{Run, Supervisor, SupervisorVerb, Wait, Watch};
pub use manifest::{Check, Render};
pub use scope::{ImageArgs, ScopeArgs, TargetArgs};

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
