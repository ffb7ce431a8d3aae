//! What the watcher sees, written down for whoever asks: a small file that anybody may read. It is worth what it says as long as
//! the watcher that wrote it runs, and of the run of an app that it names.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{
        Backend as _,
        systemd::{Systemd, WATCH},
    },
    health::{self, Asker, pulse::Pulse, state::Phase},
    system::Probe,
};

/// The version of the format written here.
const FORMAT: u32 = 1;

/// By then the watcher has seen a start.
const SOON: Duration = Duration::from_secs(3);

/// What the watcher sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    format: u32,
    /// The run of the watcher that wrote it.
    watcher: String,
    /// By unit.
    apps: BTreeMap<String, Posted>,
}

/// What is seen of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Posted {
    /// Of which run.
    invocation: String,
    /// How it is.
    pulse: Pulse,
}

impl Board {
    /// An empty board of the watcher's run.
    pub fn new(watcher: &str) -> Self {
        Self {
            format: FORMAT,
            watcher: watcher.into(),
            apps: BTreeMap::new(),
        }
    }

    /// The board, if the watcher that wrote it runs.
    pub fn read(backend: &Systemd, look: &dyn Probe) -> Option<Self> {
        let watcher = backend.invocation(look, WATCH)?;
        let bytes = look.read(&backend.board()).ok()?;
        let board: Self = serde_json::from_slice(&bytes).ok()?;
        (board.format == FORMAT && board.watcher == watcher).then_some(board)
    }

    /// The board that the watcher before this one has left.
    pub fn left(backend: &Systemd, look: &dyn Probe) -> Self {
        let bytes = look.read(&backend.board()).unwrap_or_default();
        let board: Option<Self> = serde_json::from_slice(&bytes).ok();
        board.filter(|board| board.format == FORMAT).unwrap_or_default()
    }

    /// Writes down how a run of a unit is, or that there is none. Whether that is something new.
    pub fn post(&mut self, unit: &str, pulse: Option<(&str, &Pulse)>) -> bool {
        let is_known = match (pulse, self.apps.get(unit)) {
            (None, None) => true,
            (Some((invocation, pulse)), Some(known)) => known.invocation == invocation && known.pulse == *pulse,
            _ => false,
        };
        if is_known {
            return false;
        }
        match pulse {
            None => drop(self.apps.remove(unit)),
            Some((invocation, pulse)) => {
                let posted = Posted {
                    invocation: invocation.into(),
                    pulse: pulse.clone(),
                };
                self.apps.insert(unit.into(), posted);
            }
        }
        true
    }

    /// How this run of a unit is.
    pub fn pulse(&self, unit: &str, invocation: &str) -> Option<Pulse> {
        let posted = self.apps.get(unit)?;
        (posted.invocation == invocation).then(|| posted.pulse.clone())
    }
}

/// Whether an app is ready, for one that waits for it as whatever user: by the watcher's board; where nobody watches, by its own
/// probe if that may be read; and what has no probe, by the time that it runs. An error says why not.
pub fn is_ready(backend: &Systemd, look: &dyn Probe, app: &str) -> Result<(), String> {
    let unit = backend.unit(app);
    let invocation = backend.invocation(look, &unit).ok_or("it does not run")?;
    if let Some(pulse) = Board::read(backend, look).and_then(|board| board.pulse(&unit, &invocation)) {
        return match (pulse.phase, pulse.answer) {
            (Phase::Ready, _) => Ok(()),
            (Phase::Sick, answer) => Err(format!("it is unhealthy: {}", answer.unwrap_or_default())),
            (Phase::Starting, Some(answer)) => Err(format!("it is not ready yet: {answer}")),
            (Phase::Starting, None) => Err("it is not ready yet".into()),
        };
    }
    let age = age(backend, look, &unit);
    if backend.is_watching(look) && age < SOON {
        return Err("it has just been started".into()); // whether it is watched, will be seen by then
    }
    let unreadable = |_| format!("its record in {} cannot be read", backend.store().root().display());
    let receipt = backend.store().receipt(app, look).map_err(unreadable)?;
    if receipt.as_ref().is_some_and(|receipt| receipt.is_probe_private) {
        return Err("nobody watches it, and its probe may hold secrets".into());
    }
    let readiness = receipt.map(|receipt| receipt.readiness);
    match readiness
        .as_ref()
        .and_then(|readiness| Some((readiness.probe.as_ref()?, readiness.timeout)))
    {
        Some((probe, timeout)) => health::ask(probe, timeout, &Asker::Ourselves).map_err(|wrong| wrong.to_string()),
        None if age >= readiness.as_ref().map_or(SOON, |readiness| readiness.settle) => Ok(()),
        None => Err("it has just been started".into()),
    }
}

/// How long a unit has been up, by the time of the mark that the service manager made then.
fn age(backend: &Systemd, look: &dyn Probe, unit: &str) -> Duration {
    let marked = look.entry(&backend.mark(unit)).ok().flatten();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    marked.map_or(Duration::ZERO, |entry| since(entry.modified, now))
}

/// Only the wall clock says when a mark was made. One of the future was made before that clock was set back: it is no new one.
fn since(marked: Duration, now: Duration) -> Duration {
    now.checked_sub(marked).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_young() {
        let second = Duration::from_secs(1);
        assert_eq!(since(second * 100, second * 102), second * 2);
        assert_eq!(since(second * 100, second * 100), Duration::ZERO);
        assert!(since(second * 100, second * 40) > second * 1000);
    }
}
