//! The verbs for a manifest that is not installed.

use std::path::PathBuf;

use clap::Args;

use super::scope::{ImageArgs, ScopeArgs, TargetArgs};

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
