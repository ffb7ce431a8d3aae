//! The life of one app as a pure machine: `(state, event, now) → (state, actions)`. The loop that acts is elsewhere.
//!
//! ```text
//! Idle ─start─► Awaiting ─it holds─► Preparing(n) ─ended 0─► … ─► Running ─ended, sick─► Clearing ─tree empty─► Waiting
//!   Awaiting ─not in time─► Clearing    └─ended badly, late─► Clearing        Waiting ─due─► Awaiting, ─stop─► Over
//!   any ─stop─► Clearing ─tree empty─► Over (stopped; failed where nothing starts it again, or its budget is used up)
//! ```
//!
//! docs/supervisor.md has it as a table, made of the machine itself.

use std::{collections::VecDeque, time::Duration};

use crate::service::{Restart, RestartPolicy, Service, StartType};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u32),
    /// By this signal.
    Killed(u32),
    /// It was never reached: the program could not be executed.
    NotExecuted,
    /// It was not started: what it waits for did not come in time.
    NotStarted,
}

impl End {
    /// As systemd.service(5) has it, "clean exit": status 0, or SIGHUP, SIGINT, SIGTERM or SIGPIPE.
    fn is_clean(self) -> bool {
        matches!(self, Self::Exited(0) | Self::Killed(1 | 2 | 13 | 15))
    }
}

/// Where the app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not yet started.
    Idle,
    /// It waits for what must hold before its start.
    Awaiting,
    /// The command of this number in `pre_start` runs.
    Preparing(usize),
    /// The app runs.
    Running,
    /// What is left of its process tree is ended, with a signal first and by force at `kill_at`.
    Clearing {
        /// What comes when nothing is left.
        next: Next,
        /// When what is left is killed.
        kill_at: Duration,
    },
    /// It ended and is started again at this time.
    Waiting(Duration),
    /// Nothing of it is left, and nobody starts it again here.
    Over(Outcome),
}

/// What comes after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A restart after so long.
    Restart(Duration),
    /// The end.
    Over(Outcome),
}

/// How its life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Because somebody asked for it, or by a clean end that no restart follows.
    Stopped,
    /// A oneshot has done its work.
    Done,
    /// By an unclean end that no restart follows.
    Failed,
    /// The restart budget is used up.
    Exhausted,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Start it.
    Start,
    /// Stop it, for good.
    Stop,
    /// Stop it and start it again.
    Restart,
    /// What it waited for holds.
    Awaited,
    /// Its main process, or the command that prepares it, ended like this.
    Ended(End),
    /// It is sick, or not ready in time: its run has failed.
    Sick,
    /// Nothing of its process tree is left.
    TreeEmpty,
    /// Time went by.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wait for what must hold before its start.
    Await,
    /// Run the command of this number in `pre_start`.
    Prepare(usize),
    /// Run the app.
    Spawn,
    /// Send the stop signal to its process tree.
    Signal,
    /// Kill what is left of it.
    Kill,
}

/// What a machine goes by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// When it is started again.
    pub restart: Restart,
    /// What an end with status 0 means.
    pub start_type: StartType,
    /// Whether it waits for something before each start.
    pub has_waits: bool,
    /// So many commands are run before each start.
    pub preparations: usize,
    /// How long each of them may take, and the whole work of a oneshot: as `TimeoutStartSec=` has it (systemd.service(5)).
    pub start_timeout: Duration,
    /// From the stop signal until what is left is killed.
    pub stop_timeout: Duration,
}

impl Terms {
    /// Those of a service.
    pub fn of(service: &Service) -> Self {
        Self {
            restart: service.restart.clone(),
            start_type: service.start_type,
            has_waits: service.dependencies.has_waits(),
            preparations: service.pre_start.len(),
            start_timeout: service.start_timeout,
            stop_timeout: service.stop_timeout,
        }
    }
}

/// One app's machine.
#[derive(Debug, Clone)]
pub struct Machine {
    terms: Terms,
    state: State,
    /// When it was started again by itself, within the budget's window.
    restarts: VecDeque<Duration>,
    /// Restarts in a row without an interval of quiet, for the back-off.
    streak: u32,
    /// Restarts since the last start by hand.
    count: u32,
    /// When the process that runs was started.
    started: Duration,
}

impl Machine {
    /// A machine that has not started yet.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            state: State::Idle,
            restarts: VecDeque::new(),
            streak: 0,
            count: 0,
            started: Duration::ZERO,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Automatic restarts since the last start by hand.
    pub fn restarts(&self) -> u32 {
        self.count
    }

    /// When a [`Event::Tick`] is due at the latest.
    pub fn due(&self) -> Option<Duration> {
        let is_work = self.terms.start_type == StartType::Oneshot;
        match self.state {
            State::Waiting(at) => Some(at),
            State::Clearing { kill_at, .. } => Some(kill_at),
            State::Preparing(_) => Some(self.started + self.terms.start_timeout),
            State::Running if is_work => Some(self.started + self.terms.start_timeout),
            _ => None,
        }
    }

    /// Takes an event and says what is to be done.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match (self.state, event) {
            (State::Idle, Event::Start) => self.begin(now),
            (State::Idle | State::Waiting(_), Event::Stop) => self.over(Outcome::Stopped),
            (State::Waiting(at), Event::Tick) if now >= at => self.begin_again(now),
            (State::Waiting(_), Event::Restart) => {
                self.forgive();
                self.begin(now)
            }
            (State::Awaiting, Event::Awaited) => self.prepare(0, now),
            (State::Preparing(number), Event::Ended(End::Exited(0))) => self.prepare(number + 1, now),
            (State::Awaiting | State::Preparing(_) | State::Running, Event::Ended(end)) => {
                let next = self.after(Some(end), now);
                self.clear(next, now)
            }
            (State::Running, Event::Sick) => self.fail(now),
            (State::Preparing(_) | State::Running, Event::Tick) if self.due().is_some_and(|due| now >= due) => {
                self.fail(now)
            }
            (State::Awaiting | State::Preparing(_) | State::Running, Event::Stop) => {
                self.clear(Next::Over(Outcome::Stopped), now)
            }
            (State::Awaiting | State::Preparing(_) | State::Running, Event::Restart) => {
                self.forgive();
                self.clear(Next::Restart(Duration::ZERO), now)
            }
            (State::Clearing { kill_at, .. }, Event::Stop) => {
                let next = Next::Over(Outcome::Stopped);
                self.state = State::Clearing { next, kill_at };
                Vec::new()
            }
            // A restart is no answer to a stop: what somebody stopped stays so.
            (State::Clearing { next, kill_at }, Event::Restart) if next != Next::Over(Outcome::Stopped) => {
                self.forgive();
                let next = Next::Restart(Duration::ZERO);
                self.state = State::Clearing { next, kill_at };
                Vec::new()
            }
            (State::Clearing { kill_at, .. }, Event::Tick) if now >= kill_at => vec![Action::Kill],
            (State::Clearing { next, .. }, Event::TreeEmpty) => match next {
                Next::Over(outcome) => self.over(outcome),
                Next::Restart(Duration::ZERO) => self.begin(now),
                Next::Restart(delay) => {
                    self.state = State::Waiting(now + delay);
                    Vec::new()
                }
            },
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, now: Duration) -> Vec<Action> {
        if self.terms.has_waits {
            self.state = State::Awaiting;
            return vec![Action::Await];
        }
        self.prepare(0, now)
    }

    fn begin_again(&mut self, now: Duration) -> Vec<Action> {
        self.count = self.count.saturating_add(1);
        if self.terms.restart.max_attempts > 0 {
            self.restarts.push_back(now);
        }
        self.begin(now)
    }

    fn prepare(&mut self, number: usize, now: Duration) -> Vec<Action> {
        self.started = now;
        if number < self.terms.preparations {
            self.state = State::Preparing(number);
            return vec![Action::Prepare(number)];
        }
        self.state = State::Running;
        vec![Action::Spawn]
    }

    fn clear(&mut self, next: Next, now: Duration) -> Vec<Action> {
        let kill_at = now + self.terms.stop_timeout;
        self.state = State::Clearing { next, kill_at };
        vec![Action::Signal]
    }

    fn fail(&mut self, now: Duration) -> Vec<Action> {
        let next = self.after(None, now);
        self.clear(next, now)
    }

    fn over(&mut self, outcome: Outcome) -> Vec<Action> {
        self.state = State::Over(outcome);
        Vec::new()
    }

    /// A start by hand is not counted, and forgets the earlier ones.
    fn forgive(&mut self) {
        self.restarts.clear();
        self.streak = 0;
        self.count = 0;
    }

    /// What follows an end by itself; `None`: its run has failed, however the process ends then.
    fn after(&mut self, end: Option<End>, now: Duration) -> Next {
        let is_oneshot = self.terms.start_type == StartType::Oneshot;
        let is_running = self.state == State::Running;
        if is_oneshot && is_running && end == Some(End::Exited(0)) {
            return Next::Over(Outcome::Done);
        }
        // What has to do its work does not end well by a signal.
        let is_clean = is_running && !is_oneshot && end.is_some_and(End::is_clean);
        let restart = &self.terms.restart;
        let is_again = match restart.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !is_clean,
            RestartPolicy::Never => false,
        };
        if !is_again {
            return Next::Over(if is_clean { Outcome::Stopped } else { Outcome::Failed });
        }
        let ran = now.saturating_sub(self.started);
        if is_running && ran > restart.max_delay.max(restart.delay) * 2 {
            self.streak = 0; // it stood for a while: the back-off begins anew
        }
        let delay = backoff(restart, self.streak).max(Duration::from_millis(1));
        // It comes then at the earliest: later it has fewer before it within the window.
        let is_past = |at: Duration| (now + delay).saturating_sub(at) >= restart.window;
        while self.restarts.front().is_some_and(|&at| is_past(at)) {
            self.restarts.pop_front();
        }
        let budget = usize::try_from(restart.max_attempts).unwrap_or(usize::MAX);
        if budget > 0 && self.restarts.len() >= budget {
            return Next::Over(Outcome::Exhausted);
        }
        self.streak = self.streak.saturating_add(1);
        Next::Restart(delay)
    }
}

/// `delay`, doubled with every restart in a row, up to `max_delay`.
pub fn backoff(policy: &Restart, streak: u32) -> Duration {
    let factor = 1_u32.checked_shl(streak).unwrap_or(u32::MAX);
    policy
        .delay
        .saturating_mul(factor)
        .min(policy.max_delay)
        .max(policy.delay.min(policy.max_delay))
}

#[cfg(test)]
mod tests;
