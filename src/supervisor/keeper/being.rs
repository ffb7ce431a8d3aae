//! Whom the app runs as, and its environment: looked up at each start.

use super::Keeper;
use crate::{
    health::Being,
    platform,
    service::{RunAs, StartType},
    supervisor::{MARK, Stage, crew, environment},
};

/// What is between us and whoever keeps us: not the app's.
const OURS: [&str; 7] = [
    crew::VARIABLE,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "INVOCATION_ID",
];

impl Keeper<'_> {
    pub(super) fn being(&self) -> Result<Being, String> {
        let service = self.service;
        let own = self.system.euid().to_string();
        let (name, group) = match &service.run_as {
            _ if !platform::CAN_BE_ANYBODY => (own.as_str(), None), // whoever started us has seen to that
            RunAs::User { user, group } => (user.as_str(), group.as_deref()),
            RunAs::Invoker => (own.as_str(), None),
            RunAs::Dynamic => return Err("a throw-away user needs systemd".into()),
        };
        let user = self
            .system
            .user(name)
            .ok_or_else(|| format!("there is no user {name}"))?;
        let (identity, shell) =
            platform::identity(user.name.as_deref().unwrap_or(name), group).map_err(|e| e.to_string())?;
        let inherited = match self.stage {
            Stage::Foreground | Stage::Among => std::env::vars_os()
                .filter(|(name, _)| !OURS.iter().any(|ours| name == ours))
                .collect(),
            Stage::Background => Vec::new(),
        };
        let mut environment = environment::of(service, &user, shell.as_deref(), inherited, self.system)?;
        environment.push((MARK.into(), self.rooms.status.clone().into()));
        if service.start_type == StartType::Notify {
            environment.push(("NOTIFY_SOCKET".into(), self.rooms.notify().into()));
        }
        Ok(Being {
            identity: matches!(service.run_as, RunAs::User { .. }).then_some(identity), // as far as it can be chosen
            folder: service.working_directory.clone(),
            environment,
        })
    }
}
