//! How the app is, for whoever asks: in systemd's words, in a small file; and in its log what is not its own doing.

use std::{
    io::{PipeWriter, Write as _},
    path::Path,
    sync::mpsc,
};

use super::Keeper;
use crate::{
    backend::evidence,
    health::pulse::Pulse,
    plan::Span,
    platform::{self, Pipe, Told},
    service::StartType,
    supervisor::{
        Stage, crew,
        state::{End, Next, Outcome, State},
    },
};

/// Writes notes into the app's output on a thread of its own: where nobody reads that, the keeper does not stand still.
pub(super) fn notes(output: &Pipe) -> Option<mpsc::SyncSender<String>> {
    const WAITING: usize = 64;
    const STACK: usize = 64 * 1024;
    let mut output = PipeWriter::from(output.try_clone().ok()?);
    let (sender, notes) = mpsc::sync_channel::<String>(WAITING);
    let write = move || {
        for note in notes {
            let _ = output.write_all(note.as_bytes()); // nobody reads it any more
        }
    };
    let thread = std::thread::Builder::new().name("notes".into()).stack_size(STACK);
    thread.spawn(write).ok().map(|_| sender)
}

impl Keeper<'_> {
    /// Says in its log what a supervisor does.
    pub(super) fn note(&self, text: &str) {
        if let Some(notes) = &self.notes {
            let _ = notes.try_send(format!("[autoglm-boot] {}: {text}\n", self.service.name)); // the log says what it can
        }
    }

    /// Tells whoever keeps us: where we are a service of somebody ourselves, or one of a crew.
    pub(super) fn notify(&self, told: Told) {
        match (self.stage, self.system.env(crew::VARIABLE)) {
            (Stage::Foreground, _) => platform::notify(told),
            (Stage::Among, Some(socket)) if told == Told::Ready => {
                crew::tell_ready(Path::new(&socket), &self.service.name);
            }
            _ => {}
        }
    }

    /// Writes down what changed in the state of the app.
    pub(super) fn publish(&mut self) {
        let (now, state) = (self.system.monotonic(), self.machine.state());
        let (active, sub) = self.words(state);
        if self.live.active != active {
            self.live.changed = Some(now);
            self.live.active_since = (active == "active").then_some(now).or(self.live.active_since);
        }
        if matches!(state, State::Awaiting | State::Preparing(0) | State::Running) && self.live.active != "active" {
            self.live.started = Some(now);
        }
        self.live.result = match state {
            State::Over(Outcome::Exhausted) => "start-limit-hit",
            State::Over(Outcome::Stopped) => "",
            _ if self.is_late => "timeout",
            _ if self.sick.is_some() => "unhealthy",
            _ => "",
        }
        .into();
        self.live.restarts = self.machine.restarts();
        (self.live.active, self.live.sub) = (active.into(), sub.into());
        self.tell(state);
        self.pulse();
        self.write();
    }

    /// Writes down what changed in its health.
    pub(super) fn beat(&mut self) {
        let before = self.live.pulse.clone();
        self.pulse();
        if self.live.pulse != before {
            self.write();
        }
    }

    fn pulse(&mut self) {
        let ended = self.sick.clone();
        let before = self.live.pulse.take();
        let ended = ended.or_else(|| before.as_ref().and_then(|before| before.ended.clone()));
        let pulse = self.vitals.course().map(|course| {
            let now = self.system.monotonic();
            Pulse::of(course, before.as_ref(), now)
        });
        self.live.pulse = pulse.or(before).map(|pulse| Pulse { ended, ..pulse });
    }

    /// Tells in the log what is not the app's own doing.
    fn tell(&self, state: State) {
        let end = evidence::ending(&self.live);
        match state {
            State::Clearing {
                next: Next::Restart(delay),
                ..
            } if !delay.is_zero() => self.note(&format!(
                "ended ({end}): restart {} in {}",
                self.machine.restarts() + 1,
                Span(delay)
            )),
            State::Over(Outcome::Failed | Outcome::Exhausted) => self.note(&format!("failed: {end}")),
            _ => {}
        }
    }

    pub(super) fn write(&self) {
        let text = serde_json::to_vec(&self.live).unwrap_or_default();
        if let Err(error) = self.system.write_file(&self.rooms.status, &text, 0o644) {
            self.note(&format!("cannot write {}: {error}", self.rooms.status.display()));
        }
    }

    /// `ActiveState` and `SubState` of systemd that mean the same (org.freedesktop.systemd1(5)).
    fn words(&self, state: State) -> (&'static str, &'static str) {
        let is_unready = match self.service.start_type {
            StartType::Oneshot => true,
            // It is active once it has said so.
            StartType::Notify => !self.vitals.has_told(),
            StartType::Exec | StartType::Forking => false,
        };
        match state {
            State::Awaiting | State::Preparing(_) => ("activating", "start-pre"),
            State::Running if is_unready => ("activating", "start"),
            State::Running => ("active", "running"),
            State::Clearing { .. } => ("deactivating", "stop-sigterm"),
            State::Waiting(_) => ("activating", "auto-restart"),
            State::Over(_) if self.is_renewed => ("deactivating", "stop-sigterm"), // it comes again in a moment
            State::Idle | State::Over(Outcome::Stopped) => ("inactive", "dead"),
            State::Over(Outcome::Done) => ("active", "exited"),
            State::Over(Outcome::Failed | Outcome::Exhausted) => ("failed", "failed"),
        }
    }
}

/// As systemd tells it: `CLD_EXITED` 1 or `CLD_KILLED` 2, and the status or signal; 203 is EXEC. What was not started has no end.
pub(super) fn exit_of(end: End) -> (u32, u32) {
    match end {
        End::Exited(status) => (1, status),
        End::Killed(signal) => (2, signal),
        End::NotExecuted => (1, 203),
        End::NotStarted => (0, 0),
    }
}
