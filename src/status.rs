//! How an app is: a pure judgement of what was observed.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Serialize;

use crate::{
    backend::{Live, evidence::ending},
    exit::Exit,
    health::state::Phase,
    plan::Span,
    receipt::Receipt,
    service::{Scope, StartType},
};

/// The states of an app, each with one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Neither ours nor anybody's.
    NotInstalled,
    /// A unit of that name is there, but it is not ours.
    Foreign,
    /// An install or uninstall was cut short, and waits for the next one to undo or finish it.
    InterruptedInstall,
    /// An install or uninstall is at work this moment.
    Installing,
    /// Not running, and does not start at boot.
    Disabled,
    /// Not running, but starts at boot.
    Stopped,
    /// Whether it runs is not known: whoever started it does not tell.
    Unknown,
    /// On its way up.
    Starting,
    /// Runs; whether it is ready is not known (no probe, and it has not settled; or the probe may not be asked by this user).
    Running,
    /// Runs, and its probe answers well, or it has settled.
    Ready,
    /// Runs, but its probe does not answer well, and it has had its time.
    Unhealthy,
    /// It ended by itself and waits for its next start.
    Restarting,
    /// It ended, and nobody will start it again.
    Failed,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInstalled => "not installed",
            Self::Foreign => "foreign",
            Self::InterruptedInstall => "interrupted install",
            Self::Installing => "being installed",
            Self::Disabled => "disabled",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
        })
    }
}

impl Word {
    /// What `status` exits with.
    pub fn exit(self) -> Exit {
        match self {
            Self::Running | Self::Ready => Exit::Ok,
            Self::Starting
            | Self::Unhealthy
            | Self::Restarting
            | Self::Installing
            | Self::InterruptedInstall
            | Self::Unknown => Exit::NotReady,
            Self::Disabled | Self::Stopped | Self::Failed => Exit::NotRunning,
            Self::NotInstalled | Self::Foreign => Exit::NotInstalled,
        }
    }
}

/// What was seen of one app.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Our receipt.
    pub receipt: Option<&'a Receipt>,
    /// What the service manager says.
    pub live: &'a Live,
    /// What the probe said just now; asked only of what nobody watches, or was not seen to be ready yet.
    pub answer: Answer,
    /// Whether somebody watches.
    pub is_watching: bool,
    /// Whether it differs from what was installed.
    pub is_drifted: bool,
    /// An intent of ours about it: whether its writer still runs.
    pub intent: Option<bool>,
    /// The monotonic clock.
    pub now: Duration,
}

/// What a probe said to `status` itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answer {
    /// There is none, or it may not be asked.
    #[default]
    Unasked,
    /// It is well.
    Well,
    /// It is not: what it said.
    Bad(String),
    /// It said nothing in the moment that `status` has.
    Silent,
}

/// How one app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The app.
    pub name: String,
    /// Its state.
    pub state: Word,
    /// What there is to say about it.
    pub detail: String,
    /// Changed by hand since it was installed.
    pub drifted: bool,
    /// Starts at boot.
    pub enabled_at_boot: bool,
    /// Seconds since it is in this state.
    pub since_seconds: Option<u64>,
    /// Its main process.
    pub pid: Option<u32>,
    /// Bytes in use: under systemd by all its processes, under our supervisor by the main one.
    pub memory_bytes: Option<u64>,
    /// Bytes that end it.
    pub memory_limit_bytes: Option<u64>,
    /// Time on processors since its start, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Thousandths of a core, at most.
    pub cpu_limit_millis: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Of these at most.
    pub tasks_limit: Option<u64>,
    /// Files and sockets that the main process has open.
    pub open_files: Option<u64>,
    /// Of these at most.
    pub open_files_limit: Option<u64>,
    /// Bytes in its own shared memory.
    pub shared_memory_bytes: Option<u64>,
    /// Bytes that have room there.
    pub shared_memory_limit_bytes: Option<u64>,
    /// Automatic restarts since the last start by hand.
    pub restarts: u32,
    /// How it ended last.
    pub last_exit: Option<String>,
    /// Why its last run was ended, if for its health.
    pub ended_for: Option<String>,
    /// Whether its health is watched; `None` where there is nothing to watch.
    pub watched: Option<bool>,
    /// Why its output cannot be written, where that is so.
    pub output: Option<String>,
    /// The app's own version.
    pub version: Option<String>,
    /// Whose service manager.
    pub scope: Option<Scope>,
    /// Whose instance is told of, where whoever logs on has one: others' are not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_of: Option<String>,
    /// The native name.
    pub unit: String,
    /// The file it was read from.
    pub fragment: Option<PathBuf>,
    /// The user's additions.
    pub drop_ins: Vec<PathBuf>,
    /// The manifest it came from.
    pub manifest: Option<PathBuf>,
}

/// Judges what was seen.
pub fn judge(name: &str, seen: &Seen) -> Status {
    let live = seen.live;
    let (state, detail) = word(seen);
    let is_by_pulse = matches!(state, Word::Starting | Word::Ready | Word::Unhealthy);
    let since = match &live.pulse {
        _ if live.active != "active" => live.changed,
        Some(pulse) if is_by_pulse => Some(pulse.since),
        _ => live.active_since,
    };
    let last_exit = Some(ending(live)).filter(|text| !text.is_empty());
    Status {
        name: name.into(),
        state,
        detail,
        // What an unfinished run wrote, nobody changed by hand.
        drifted: seen.is_drifted && seen.intent.is_none(),
        enabled_at_boot: live.is_enabled(),
        since_seconds: since.map(|at| seen.now.saturating_sub(at).as_secs()),
        pid: live.pid,
        memory_bytes: live.memory,
        memory_limit_bytes: live.usage.memory_limit,
        cpu_ms: live.usage.cpu.map(millis),
        cpu_limit_millis: live.usage.cpu_limit.map(millis),
        tasks: live.usage.tasks,
        tasks_limit: live.usage.tasks_limit,
        open_files: live.usage.open_files,
        open_files_limit: live.usage.open_files_limit,
        shared_memory_bytes: live.usage.shared_memory,
        shared_memory_limit_bytes: live.usage.shared_memory_limit,
        restarts: live.restarts,
        last_exit,
        ended_for: live.pulse.as_ref().and_then(|pulse| pulse.ended.clone()),
        watched: seen
            .receipt
            .filter(|receipt| receipt.is_watched)
            .map(|_| seen.is_watching),
        output: live.output.clone(),
        version: seen.receipt.and_then(|receipt| receipt.version.clone()),
        scope: seen.receipt.map(|receipt| receipt.scope),
        instance_of: None, // who asks is not seen in it
        unit: live.unit.clone(),
        fragment: live.fragment.clone(),
        drop_ins: live.drop_ins.clone(),
        manifest: seen.receipt.map(|receipt| receipt.manifest.clone()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn word(seen: &Seen) -> (Word, String) {
    let live = seen.live;
    match seen.intent {
        Some(true) => return (Word::Installing, "another autoglm-boot is at work".into()),
        Some(false) => {
            let repair = "the next install or uninstall undoes or finishes it".to_owned();
            return (Word::InterruptedInstall, repair);
        }
        None => {}
    }
    let Some(receipt) = seen.receipt else {
        return if live.is_known() {
            let from = live
                .fragment
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            (
                Word::Foreign,
                format!("a unit of that name is there and is not ours: {from}"),
            )
        } else {
            (Word::NotInstalled, String::new())
        };
    };
    let end = ending(live);
    match live.active.as_str() {
        "active" | "reloading" => active(seen, receipt),
        "failed" => (Word::Failed, end),
        "activating" if live.is_between_restarts() => (
            Word::Restarting,
            match live.restarts {
                0 => end,
                1 => format!("restarted once so far; last: {end}"),
                times => format!("restarted {times} times so far; last: {end}"),
            },
        ),
        "activating" => (Word::Starting, live.sub.clone()),
        "deactivating" => (Word::Stopped, "stopping".into()),
        "unknown" => (
            Word::Unknown,
            "whether it runs is not known: the Task Scheduler does not tell".into(),
        ),
        _ if live.is_enabled() => (Word::Stopped, end),
        _ => (Word::Disabled, "does not run, and does not start at boot".into()),
    }
}

fn active(seen: &Seen, receipt: &Receipt) -> (Word, String) {
    let age = seen.now.saturating_sub(seen.live.active_since.unwrap_or_default());
    if receipt.start_type == StartType::Oneshot {
        return (Word::Ready, "it has done its work".into());
    }
    if let Some(pulse) = &seen.live.pulse {
        let answer = pulse.answer.clone().unwrap_or_default();
        return match pulse.phase {
            Phase::Ready => (Word::Ready, String::new()),
            Phase::Sick => (Word::Unhealthy, answer),
            Phase::Starting if seen.answer == Answer::Well => (Word::Ready, String::new()), // a moment before it is seen
            Phase::Starting if has_had_its_time(seen, receipt) => (Word::Unhealthy, answer),
            Phase::Starting => (Word::Starting, answer),
        };
    }
    match &seen.answer {
        Answer::Well => (Word::Ready, String::new()),
        // Before it could be ready even once, silence is no illness.
        Answer::Bad(answer) if age < Duration::from_millis(receipt.start_timeout_ms) && seen.live.restarts == 0 => {
            (Word::Starting, answer.clone())
        }
        Answer::Bad(answer) => (Word::Unhealthy, answer.clone()),
        Answer::Silent => (
            Word::Running,
            "whether it is ready is not known: it does not answer at once".into(),
        ),
        Answer::Unasked if receipt.is_watched && seen.live.has_own_network => (
            Word::Running,
            "whether it is ready is not known: nobody watches it, and it has a network of its own".into(),
        ),
        Answer::Unasked if receipt.is_watched => (
            Word::Running,
            "whether it is ready is not known: nobody watches it, and its probe may hold secrets".into(),
        ),
        Answer::Unasked if seen.live.active_since.is_none() => (
            Word::Running,
            "whether it is ready is not known: its probe may hold secrets, and nobody watches it".into(),
        ),
        Answer::Unasked if age >= receipt.readiness.settle => (Word::Ready, String::new()),
        Answer::Unasked => (
            Word::Running,
            format!("not settled yet: {}", Span(receipt.readiness.settle)),
        ),
    }
}

/// Whether it should have been ready by now: nothing is done about it (`health.action`), or not yet.
fn has_had_its_time(seen: &Seen, receipt: &Receipt) -> bool {
    let started = seen.live.main_started.or(seen.live.active_since);
    let age = seen.now.saturating_sub(started.unwrap_or_default());
    age >= Duration::from_millis(receipt.start_timeout_ms)
}

#[cfg(test)]
mod tests;
