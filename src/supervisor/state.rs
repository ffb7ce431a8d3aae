//! The life of one app as a pure machine: `(state, event, now) → (state, actions)`. The loop that acts is elsewhere.
//!
//! ```text
//! Idle ─start─► Preparing(n) ─ended 0─► … ─► Running ─ended─► Clearing ─tree empty─► Waiting ─due─► Preparing(0)
//!                   └─ended badly─► Clearing                     │                      └─stop─► Over
//!               any ─stop─► Clearing ────────────────tree empty──┴─► Over (stopped, or failed: the budget is used up)
//! ```

use std::{collections::VecDeque, time::Duration};

use crate::service::{Restart, RestartPolicy, StartType};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u32),
    /// By this signal.
    Killed(u32),
    /// It was never reached: the program could not be executed.
    NotExecuted,
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
    /// Its main process, or the command that prepares it, ended like this.
    Ended(End),
    /// Nothing of its process tree is left.
    TreeEmpty,
    /// Time went by.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run the command of this number in `pre_start`.
    Prepare(usize),
    /// Run the app.
    Spawn,
    /// Send the stop signal to its process tree.
    Signal,
    /// Kill what is left of it.
    Kill,
}

/// One app's machine.
#[derive(Debug, Clone)]
pub struct Machine {
    policy: Restart,
    start_type: StartType,
    preparations: usize,
    stop_timeout: Duration,
    state: State,
    /// When it was restarted, within the budget's window.
    restarts: VecDeque<Duration>,
    /// Restarts in a row without an interval of quiet, for the back-off.
    streak: u32,
    /// Restarts since the last start by hand.
    count: u32,
    started: Duration,
}

impl Machine {
    /// A machine that has not started yet.
    pub fn new(policy: Restart, start_type: StartType, preparations: usize, stop_timeout: Duration) -> Self {
        Self {
            policy,
            start_type,
            preparations,
            stop_timeout,
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
        match self.state {
            State::Waiting(at) => Some(at),
            State::Clearing { kill_at, .. } => Some(kill_at),
            _ => None,
        }
    }

    /// Takes an event and says what is to be done.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match (self.state, event) {
            (State::Idle, Event::Start) => self.begin(now),
            (State::Idle | State::Waiting(_), Event::Stop) => self.over(Outcome::Stopped),
            (State::Waiting(at), Event::Tick) if now >= at => self.begin(now),
            (State::Waiting(_), Event::Restart) => {
                self.forgive();
                self.begin(now)
            }
            (State::Preparing(number), Event::Ended(End::Exited(0))) => self.prepare(number + 1, now),
            (State::Preparing(_) | State::Running, Event::Ended(end)) => {
                let next = self.after(end, now);
                self.clear(next, now)
            }
            (State::Preparing(_) | State::Running, Event::Stop) => self.clear(Next::Over(Outcome::Stopped), now),
            (State::Preparing(_) | State::Running, Event::Restart) => {
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
        self.prepare(0, now)
    }

    fn prepare(&mut self, number: usize, now: Duration) -> Vec<Action> {
        if number < self.preparations {
            self.state = State::Preparing(number);
            return vec![Action::Prepare(number)];
        }
        self.state = State::Running;
        self.started = now;
        vec![Action::Spawn]
    }

    fn clear(&mut self, next: Next, now: Duration) -> Vec<Action> {
        let kill_at = now + self.stop_timeout;
        self.state = State::Clearing { next, kill_at };
        vec![Action::Signal]
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

    /// What follows an end by itself.
    fn after(&mut self, end: End, now: Duration) -> Next {
        let is_oneshot = self.start_type == StartType::Oneshot;
        if is_oneshot && end == End::Exited(0) && self.state == State::Running {
            return Next::Over(Outcome::Done);
        }
        let is_again = match self.policy.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !end.is_clean(),
            RestartPolicy::Never => false,
        };
        if !is_again {
            return Next::Over(if end.is_clean() {
                Outcome::Stopped
            } else {
                Outcome::Failed
            });
        }
        if now.saturating_sub(self.started) > self.policy.max_delay.max(self.policy.delay) * 2 {
            self.streak = 0; // it stood for a while: the back-off begins anew
        }
        while self
            .restarts
            .front()
            .is_some_and(|&at| now.saturating_sub(at) >= self.policy.window)
        {
            self.restarts.pop_front();
        }
        let budget = usize::try_from(self.policy.max_attempts).unwrap_or(usize::MAX);
        if budget > 0 && self.restarts.len() >= budget {
            return Next::Over(Outcome::Exhausted);
        }
        if budget > 0 {
            self.restarts.push_back(now);
        }
        let delay = backoff(&self.policy, self.streak);
        self.streak = self.streak.saturating_add(1);
        self.count = self.count.saturating_add(1);
        Next::Restart(delay.max(Duration::from_millis(1)))
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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(policy: RestartPolicy, max_attempts: u32) -> Restart {
        Restart {
            policy,
            delay: SECOND,
            max_delay: SECOND * 8,
            max_attempts,
            window: SECOND * 600,
        }
    }

    fn machine(policy: Restart) -> Machine {
        Machine::new(policy, StartType::Exec, 0, SECOND * 10)
    }

    #[test]
    fn the_back_off_doubles_up_to_its_cap() {
        let policy = policy(RestartPolicy::Always, 0);
        let delays: Vec<_> = (0..6).map(|streak| backoff(&policy, streak).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 8, 8]);
        assert_eq!(backoff(&policy, 200), SECOND * 8, "it never overflows");
    }

    #[test]
    fn it_prepares_then_runs_and_a_failed_preparation_is_a_failed_start() {
        let mut machine = Machine::new(policy(RestartPolicy::Never, 5), StartType::Exec, 2, SECOND);
        assert_eq!(machine.on(Event::Start, SECOND), [Action::Prepare(0)]);
        assert_eq!(machine.on(Event::Ended(End::Exited(0)), SECOND), [Action::Prepare(1)]);
        let mut other = machine.clone();
        assert_eq!(machine.on(Event::Ended(End::Exited(0)), SECOND), [Action::Spawn]);
        assert_eq!(other.on(Event::Ended(End::Exited(3)), SECOND), [Action::Signal]);
        other.on(Event::TreeEmpty, SECOND);
        assert_eq!(other.state(), State::Over(Outcome::Failed));
    }

    #[test]
    fn the_first_start_and_three_restarts_use_up_a_budget_of_three() {
        let mut machine = machine(policy(RestartPolicy::OnFailure, 3));
        let mut now = SECOND;
        let mut starts = machine.on(Event::Start, now).len();
        while !matches!(machine.state(), State::Over(_)) {
            machine.on(Event::Ended(End::Exited(1)), now);
            machine.on(Event::TreeEmpty, now);
            now = machine.due().unwrap_or(now);
            starts += machine.on(Event::Tick, now).len();
        }
        assert_eq!((starts, machine.state()), (4, State::Over(Outcome::Exhausted)));
    }

    /// Random events: a stop always ends stopped, the budget is never exceeded within its window, no state is a dead end.
    #[test]
    fn no_sequence_of_events_breaks_its_promises() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..2000 {
            let kind = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]
                [usize::try_from(random(3)).unwrap_or(0)];
            let budget = u32::try_from(random(4)).unwrap_or(0);
            let mut machine = machine(policy(kind, budget));
            let mut now = SECOND;
            let mut spawns_since_forgiven = 0;
            machine.on(Event::Start, now);
            for _ in 0..60 {
                now += Duration::from_millis(random(3000));
                let event = match random(8) {
                    0 => Event::Restart,
                    1 | 2 => Event::Tick,
                    3 | 4 => Event::TreeEmpty,
                    5 => Event::Ended(End::Killed(9)),
                    _ => Event::Ended(End::Exited(u32::from(random(2) == 0))),
                };
                let before = machine.state();
                if event == Event::Restart {
                    spawns_since_forgiven = 0;
                }
                let actions = machine.on(event, now);
                spawns_since_forgiven +=
                    u32::try_from(actions.iter().filter(|a| **a == Action::Spawn).count()).unwrap_or(0);
                assert!(
                    budget == 0 || spawns_since_forgiven <= budget + 2,
                    "{before:?} {event:?}"
                );
                assert!(
                    !matches!(before, State::Over(_)) || machine.state() == before,
                    "over is over"
                );
            }
            machine.on(Event::Stop, now);
            machine.on(Event::TreeEmpty, now);
            assert!(matches!(machine.state(), State::Over(_)), "{:?}", machine.state());
        }
    }
}
