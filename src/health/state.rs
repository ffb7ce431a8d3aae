//! The course of one run of an app, as the answers tell it: a pure machine. Whoever keeps or watches the app asks what it says
//! is to be asked, and acts on what it finds.
//!
//! ```text
//! Starting ─ready: its probe answers well, it has settled, or it says so─► Ready ─`retries` failures in a row─► Sick
//!    └─not ready within start_timeout: late                                  └────────────a good answer───────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Wrong;
use crate::{
    plan::Span,
    service::{Health, Probe, Readiness, Service, SickAction, StartType},
};

/// How often an app without `[health]` is asked whether it is still ready: that is only told.
const LOOK: Duration = Duration::from_secs(10);

/// What is watched of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Care {
    /// When it is ready.
    pub readiness: Readiness,
    /// When it is sick.
    pub health: Option<Health>,
    /// From the start of the process until ready.
    pub start_timeout: Duration,
    /// Whether it says itself when it is ready (`sd_notify(3)`).
    pub tells: bool,
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It was not ready yet.
    Starting,
    /// It is ready, and well.
    Ready,
    /// It was ready, and does not answer well any more.
    Sick,
}

/// What happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time went by.
    Tick,
    /// The app says that it is ready.
    Told,
    /// The answer to what was asked.
    Answered(Result<(), String>),
    /// It could not be asked: nothing is known of it.
    NotAsked,
}

impl From<Result<(), Wrong>> for Event {
    fn from(answer: Result<(), Wrong>) -> Self {
        match answer {
            Ok(()) => Self::Answered(Ok(())),
            Err(Wrong::Answer(why)) => Self::Answered(Err(why)),
            Err(Wrong::NotAsked(_)) => Self::NotAsked,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask this, for so long at most, and say what was answered.
    Ask(Probe, Duration),
    /// It became ready.
    Ready,
    /// End its run as one that has failed: why. Said again with each further failure.
    End(String),
    /// Tell that it is not well, and leave it alone: why.
    Tell(String),
    /// Tell that it is well again.
    Well,
}

/// One run of an app.
#[derive(Debug, Clone)]
pub struct Course {
    care: Care,
    started: Duration,
    phase: Phase,
    has_told: bool,
    /// When it was last found to be late.
    late: Option<Duration>,
    failures: u32,
    answer: Option<Result<(), String>>,
    /// When to ask next; `None` while an answer is waited for, and where there is nothing to ask.
    next: Option<Duration>,
}

impl Care {
    /// What a service wants to be watched.
    pub fn of(service: &Service) -> Self {
        Self {
            readiness: service.readiness.clone(),
            health: service.health.clone(),
            start_timeout: service.start_timeout,
            tells: service.start_type == StartType::Notify,
        }
    }

    /// Whether there is anything to ask.
    pub fn has_probe(&self) -> bool {
        self.readiness.probe.is_some() || self.health.is_some()
    }

    /// What is done about an app that is sick or late.
    fn action(&self) -> SickAction {
        self.health.as_ref().map_or(SickAction::Restart, |health| health.action)
    }

    /// What is asked in a phase, how long an answer may take, and how long the next question waits.
    fn question(&self, phase: Phase) -> Option<(&Probe, Duration, Duration)> {
        let readiness = &self.readiness;
        match (phase, &self.health) {
            (Phase::Starting, _) => Some((readiness.probe.as_ref()?, readiness.timeout, readiness.interval)),
            (_, Some(health)) => Some((&health.probe, health.timeout, health.interval)),
            (_, None) => Some((readiness.probe.as_ref()?, readiness.timeout, LOOK)),
        }
    }

    /// So many failures in a row are an illness.
    fn retries(&self) -> u32 {
        self.health.as_ref().map_or(1, |health| health.retries)
    }

    fn start_period(&self) -> Duration {
        self.health
            .as_ref()
            .map_or(Duration::ZERO, |health| health.start_period)
    }
}

impl Course {
    /// The course of a process that was started then (on the monotonic clock).
    pub fn new(care: Care, started: Duration) -> Self {
        let mut course = Self {
            started,
            phase: Phase::Starting,
            has_told: !care.tells,
            late: None,
            failures: 0,
            answer: None,
            next: None,
            care,
        };
        course.next = course.care.question(Phase::Starting).map(|_| started);
        course
    }

    /// The course of a process that runs already, and was seen by somebody else before: in this phase, or nobody knows. What had its
    /// time to become ready is taken for ready until it has failed as often as an illness takes.
    pub fn resumed(care: Care, started: Duration, seen: Option<Phase>, now: Duration) -> Self {
        let mut course = Self::new(care, started);
        let is_due = now >= course.deadline();
        course.phase = seen.unwrap_or(if is_due { Phase::Ready } else { Phase::Starting });
        course.has_told |= course.phase != Phase::Starting;
        course.next = course.care.question(course.phase).map(|_| now);
        course
    }

    /// Asks for the first time after this part of the pause: many apps that became ready together are not asked together for ever.
    pub fn spread(&mut self, part: f64, now: Duration) {
        if let Some(next) = self.next {
            self.next = Some(now + next.saturating_sub(now).mul_f64(part.clamp(0.0, 1.0)));
        }
    }

    /// The same run, watched by what is wanted now.
    pub fn take_over(&mut self, care: Care, now: Duration) {
        if self.care != care {
            self.care = care;
            self.failures = 0;
            self.next = self.care.question(self.phase).map(|_| now);
        }
    }

    /// Asks at once, and forgets what is asked now.
    pub fn ask_again(&mut self, now: Duration) {
        self.next = self.care.question(self.phase).map(|_| now);
    }

    /// When its process was started.
    pub fn started(&self) -> Duration {
        self.started
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the app has said that it is ready, where it does.
    pub fn has_told(&self) -> bool {
        self.has_told
    }

    /// What was answered last.
    pub fn answer(&self) -> Option<&Result<(), String>> {
        self.answer.as_ref()
    }

    /// Whether what was asked may hold secrets.
    pub fn is_private(&self) -> bool {
        let asked = self.care.question(self.phase);
        asked.is_some_and(|(probe, ..)| probe.is_private())
    }

    /// Failures in a row, so far as they count.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What is watched.
    pub fn care(&self) -> &Care {
        &self.care
    }

    /// When an [`Event::Tick`] is due at the latest.
    pub fn due(&self) -> Option<Duration> {
        let is_starting = self.phase == Phase::Starting;
        let ask = self.next.filter(|_| self.has_told);
        let settled = (is_starting && self.care.readiness.probe.is_none() && self.has_told)
            .then(|| self.started + self.care.readiness.settle);
        let late = self.late_again().filter(|_| is_starting && !self.has_told);
        [ask, settled, late].into_iter().flatten().min()
    }

    /// Takes an event and says what is to be done.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Told => {
                self.has_told = true;
                self.tick(now)
            }
            Event::Tick => self.tick(now),
            Event::Answered(answer) => self.answered(answer, now),
            Event::NotAsked => {
                self.ask_after_a_pause(now);
                Vec::new()
            }
        }
    }

    fn deadline(&self) -> Duration {
        self.started + self.care.start_timeout
    }

    /// When it is late, or is so still.
    fn late_again(&self) -> Option<Duration> {
        match (self.late, self.care.action()) {
            (None, _) => Some(self.deadline()),
            (Some(last), SickAction::Restart) => Some(last + LOOK),
            (Some(_), SickAction::None) => None,
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
        if !self.has_told {
            return self.late_by(now, "it has not said that it is ready");
        }
        if self.phase == Phase::Starting && self.care.readiness.probe.is_none() {
            let is_settled = self.care.tells || now >= self.started + self.care.readiness.settle;
            return if is_settled { self.ready(now) } else { Vec::new() };
        }
        let is_due = self.next.is_some_and(|next| now >= next);
        let Some((probe, timeout, _)) = self.care.question(self.phase).filter(|_| is_due) else {
            return Vec::new();
        };
        self.next = None;
        vec![Action::Ask(probe.clone(), timeout)]
    }

    fn answered(&mut self, answer: Result<(), String>, now: Duration) -> Vec<Action> {
        self.ask_after_a_pause(now);
        self.answer = Some(answer.clone());
        match (self.phase, answer) {
            (Phase::Starting, Ok(())) => self.ready(now),
            (Phase::Starting, Err(why)) => self.late_by(now, &why),
            (Phase::Ready, Ok(())) => {
                self.failures = 0;
                Vec::new()
            }
            (Phase::Sick, Ok(())) => {
                self.failures = 0;
                self.phase = Phase::Ready;
                let is_told = self.care.health.is_some();
                if is_told { vec![Action::Well] } else { Vec::new() }
            }
            (_, Err(_)) if now < self.started + self.care.start_period() => Vec::new(),
            (_, Err(why)) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < self.care.retries() {
                    return Vec::new();
                }
                let is_new = self.phase != Phase::Sick;
                self.phase = Phase::Sick;
                self.ill(&format!("unhealthy, {why}"), is_new)
            }
        }
    }

    fn ask_after_a_pause(&mut self, now: Duration) {
        let pause = self.care.question(self.phase).map(|(_, _, pause)| pause);
        self.next = pause.map(|pause| now + self.sooner(pause, now));
    }

    /// Without `[health]` it is only seen that it does not answer well.
    fn ill(&self, why: &str, is_new: bool) -> Vec<Action> {
        match self.care.health.as_ref().map(|health| health.action) {
            Some(SickAction::Restart) => vec![Action::End(why.into())],
            Some(SickAction::None) if is_new => vec![Action::Tell(why.into())],
            _ => Vec::new(),
        }
    }

    /// What starts is asked soon at first, and then less often: most are ready within a moment.
    fn sooner(&self, pause: Duration, now: Duration) -> Duration {
        const SOONEST: Duration = Duration::from_millis(50);
        let age = now.saturating_sub(self.started);
        match self.phase {
            Phase::Starting => pause.min(SOONEST.max(age / 2)),
            Phase::Ready | Phase::Sick => pause,
        }
    }

    fn ready(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Ready;
        self.next = self.care.question(Phase::Ready).map(|(_, _, pause)| now + pause);
        vec![Action::Ready]
    }

    /// What becomes ready later is ready all the same. To end it may be in vain, and is said again; to tell it once is enough.
    fn late_by(&mut self, now: Duration, why: &str) -> Vec<Action> {
        if now < self.deadline() {
            return Vec::new();
        }
        let is_new = self.late.replace(now).is_none();
        let why = format!("not ready within {}, {why}", Span(self.care.start_timeout));
        match self.care.action() {
            SickAction::Restart => vec![Action::End(why)],
            SickAction::None if is_new => vec![Action::Tell(why)],
            SickAction::None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
