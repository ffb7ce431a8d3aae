//! What systemctl(1) is asked.

use std::{path::PathBuf, time::Duration};

use super::Systemd;
use crate::{
    backend::{Backend as _, Live},
    exit::{Exit, Failure},
    system::{Cmd, Probe},
};

impl Systemd {
    /// What systemctl(1) says to a question. A service manager that replaces itself (`daemon-reexec`, as an update of systemd
    /// does) drops who asks, and answers soon again.
    pub(super) fn answer(&self, look: &dyn Probe, cmd: &Cmd) -> Result<String, Failure> {
        const SOON: Duration = Duration::from_secs(5);
        const PAUSE: Duration = Duration::from_millis(100);
        let failed = |cause: &str| {
            Failure::new(Exit::Failed, format!("systemd does not answer: `{cmd}`: {cause}"))
                .repair("is systemd running, and may this user talk to it? Try `systemctl is-system-running`")
        };
        let start = look.monotonic();
        loop {
            let output = look.query(cmd).map_err(|error| failed(&error.to_string()))?;
            if output.is_ok() {
                return Ok(output.stdout);
            }
            if !self.is_reachable(look) || look.monotonic().saturating_sub(start) > SOON {
                return Err(failed(output.stderr.trim()));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The services that the service manager holds in its memory, with one question, where `show` asks for one after the other.
    pub(super) fn listed(&self, look: &dyn Probe) -> Result<String, Failure> {
        let list = [
            "list-units",
            "--type=service",
            "--all",
            "--plain",
            "--no-legend",
            "--full",
        ];
        self.answer(look, &self.systemctl(list))
    }

    /// Units that run and need it, and those that need these.
    pub(super) fn dependants(&self, look: &dyn Probe, live: &Live) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut next = live.required_by.clone();
        while !next.is_empty() {
            next.retain(|unit| unit.ends_with(".service") && !found.contains(unit));
            let up = self.observe(look, &next)?.into_iter().filter(Live::is_up);
            next.clear();
            for live in up {
                next.extend(live.required_by);
                found.push(live.unit);
            }
        }
        Ok(found)
    }

    /// A unit of a user whose service manager does not run: as its files are.
    pub(super) fn at_rest(&self, look: &dyn Probe, unit: &str) -> Live {
        let is_there = |path: PathBuf| matches!(look.entry(&path), Ok(Some(_)));
        let app = unit.trim_end_matches(".service");
        let mut live = Live::unknown(unit);
        if is_there(self.path(app)) {
            live.result = "no-manager".into();
        }
        if is_there(self.link(app)) {
            live.enabled = "enabled".into();
        }
        live
    }
}
