//! autoglm-boot makes an app start by itself and stay up. One `app.toml` describes the app; the program is a line of
//! values, and nothing before the last step changes the machine.
//!
//! ```text
//! argv ─clap─► Cli ─read─► Manifest ─check─► Service ─┐
//!                                                     ├─ backend.install(&service, &state) ─► Plan ─► apply ─► report
//! host::detect() ─► Host ─choose─► Backend ─observe─► State ┘   (templates rendered here)       │
//!                                                                                          System (write, run)
//! ```
//!
//! 1. **argv → [`cli::Cli`]**: types only; parsing has no effects.
//! 2. **[`manifest::Manifest`] → [`service::Service`]**: the manifest is what was written; a service exists only if it is
//!    right. All problems at once, each with its place in the file.
//! 3. **observe → [`backend::State`]**: a backend may look at the machine ([`system::Probe`]), never touch it.
//! 4. **state → [`plan::Plan`]**: a pure function; templates are rendered here, so that a foreseeable failure comes before
//!    the first effect.
//! 5. **[`apply`]**: under the lock of a [`session`], an intent [`journal`] first, each step marked before and after, then
//!    a [`receipt`]. The dry run prints the same plan, so the two cannot disagree.

pub mod apply;
pub mod backend;
pub mod check;
pub mod cli;
pub mod commands;
pub mod diff;
pub mod doctor;
pub mod exit;
pub mod exposure;
pub mod health;
pub mod history;
pub mod host;
pub mod journal;
pub mod manifest;
pub mod plan;
pub mod platform;
pub mod program;
pub mod receipt;
pub mod render;
pub mod report;
pub mod requirement;
pub mod service;
pub mod session;
pub mod status;
pub mod supervisor;
pub mod system;
pub mod values;
pub mod watch;

use std::ffi::OsString;

use clap::Parser as _;

/// The whole program: the arguments, and the machine to look at and to touch.
pub fn main(args: impl IntoIterator<Item = OsString>, system: &dyn system::System) -> exit::Exit {
    let args: Vec<_> = args.into_iter().collect();
    let cli = match cli::Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return commands::not_understood(&error, &args),
    };
    if cli.verbose {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_target(false)
            .init();
    }
    commands::run(cli, args, system)
}
