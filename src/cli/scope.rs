//! Where something is meant: the machine or a user, this machine or an image of one, this system or another.

use std::path::PathBuf;

use clap::Args;

use crate::{
    check::Wish,
    platform,
    service::{Method, Os, Scope},
};

/// The image of a machine, instead of the machine.
#[derive(Debug, Clone, Default, Args)]
pub struct ImageArgs {
    /// In the image of a machine that lies in this folder: files only, nothing is started; the manifest lies in it too
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
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
pub(super) const OF_MACHINE: &str = "Only among the apps of the machine; without --system and --user among all";

pub(super) const OF_USER: &str = "Only among the apps of this user; root may name another";

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
