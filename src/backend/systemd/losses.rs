//! What a user's service manager cannot give, as far as this machine tells.

use std::path::{Path, PathBuf};

use super::Systemd;
use crate::{
    service::{Scope, Service},
    system::Probe,
};

/// Where a user's service manager looks for units, beside the user's own folders (systemd.unit(5), "User Unit Search Path").
const OF_ALL_USERS: [&str; 5] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
];

impl Systemd {
    /// What this machine cannot give to an app of a user: nothing is lost for the machine's own.
    pub(super) fn lost_here(&self, look: &dyn Probe, service: &Service, others: &[&str]) -> Vec<String> {
        if self.scope == Scope::System {
            return Vec::new();
        }
        let mut losses = self.lost_limits(look, service);
        losses.extend(self.lost_order(look, service, others));
        losses
    }

    /// Limits need controllers that were delegated to the user (`Delegate=`, systemd.resource-control(5)).
    fn lost_limits(&self, look: &dyn Probe, service: &Service) -> Vec<String> {
        let resources = &service.resources;
        let controllers = self.controllers(look);
        let limits = [
            ("cpu", resources.cpu.is_some(), "cpu"),
            ("cpu_request", resources.cpu_request.is_some(), "cpu"),
            ("memory", resources.memory.is_some(), "memory"),
            ("memory_request", resources.memory_request.is_some(), "memory"),
            ("tasks", resources.tasks.is_some(), "pids"),
        ];
        let lost = limits
            .into_iter()
            .filter(|(_, is_set, controller)| *is_set && !controllers.iter().any(|own| own == controller));
        lost.map(|(key, _, controller)| {
            format!("resources.{key}: this user was not given the {controller} controller: without effect")
        })
        .collect()
    }

    fn controllers(&self, look: &dyn Probe) -> Vec<String> {
        let uid = self.host.user.uid;
        let own = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
        let has_one_hierarchy = || matches!(look.entry(Path::new("/sys/fs/cgroup/cgroup.controllers")), Ok(Some(_)));
        match look.read(Path::new(&own)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes)
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            // The user's manager does not run yet: what it is given everywhere (user@.service).
            Err(_) if has_one_hierarchy() => vec!["memory".into(), "pids".into()],
            Err(_) => Vec::new(),
        }
    }

    /// Units of the machine are not a user's to wait for.
    fn lost_order(&self, look: &dyn Probe, service: &Service, others: &[&str]) -> Vec<String> {
        let dependencies = &service.dependencies;
        let units = dependencies.after.iter().map(|unit| ("after", unit));
        let units = units.chain(dependencies.wants.iter().map(|unit| ("wants", unit)));
        let is_file = |unit: &str| {
            // Others come and go without a file.
            let kind = unit.rsplit('.').next().unwrap_or_default();
            matches!(kind, "service" | "target" | "socket" | "timer" | "path") && !unit.contains('@')
        };
        units
            .filter(|(_, unit)| is_file(unit) && !others.contains(&unit.as_str()) && !self.has_file(look, unit))
            .map(|(key, unit)| {
                format!("dependencies.{key}: a user's service manager has no {unit} here: without effect")
            })
            .collect()
    }

    fn has_file(&self, look: &dyn Probe, unit: &str) -> bool {
        let data = self.host.user.home.join(".local/share/systemd/user");
        let all = OF_ALL_USERS.iter().map(PathBuf::from);
        let mut folders = all.chain([self.units(), data]);
        folders.any(|folder| matches!(look.entry(&folder.join(unit)), Ok(Some(_))))
    }
}
