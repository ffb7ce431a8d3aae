//! One app, as the watcher sees it.

use std::{
    ffi::OsString,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use super::{
    Board,
    asking::{Job, Pool},
};
use crate::{
    backend::Live,
    health::{
        Asker, Main, Wrong,
        pulse::Pulse,
        state::{Action, Care, Course, Event, Phase},
    },
    service::{Probe, RestartPolicy, Service, StartType},
};

/// What is known of a record without reading it: its length, and when it was changed.
pub(super) type Stamp = (u64, Duration);

/// One app.
pub(super) struct App {
    pub(super) stamp: Stamp,
    /// What a clean end means: after one that was asked for, some are not started again.
    pub(super) policy: RestartPolicy,
    pub(super) stop_signal: String,
    pub(super) stop_timeout: Duration,
    /// Apps that must be ready before it starts.
    pub(super) needs: Vec<String>,
    unit: String,
    /// `None` for what is not watched.
    care: Option<Care>,
    invocation: Option<String>,
    course: Option<Course>,
    pulse: Option<Pulse>,
    pid: Option<u32>,
    owner: Option<(u32, u32)>,
    environment: Arc<[(OsString, OsString)]>,
    /// Counts runs and answers: what answers late, answers nobody.
    run: u64,
    /// Its run is being ended for its health: why, and when by force.
    ending: Option<(String, Duration)>,
    /// Why its last run was ended, if for its health.
    ended: Option<String>,
}

impl App {
    pub(super) fn new(unit: &str, service: &Service, stamp: Stamp) -> Self {
        Self {
            stamp,
            policy: service.restart.policy,
            stop_signal: service.stop_signal.clone(),
            stop_timeout: service.stop_timeout,
            needs: service.dependencies.apps.clone(),
            unit: unit.into(),
            care: care(service),
            invocation: None,
            course: None,
            pulse: None,
            pid: None,
            owner: None,
            environment: given(service),
            run: 0,
            ending: None,
            ended: None,
        }
    }

    /// The same app, wanted otherwise now.
    pub(super) fn take_over(&mut self, service: &Service, stamp: Stamp, now: Duration) {
        let new = Self::new(&self.unit, service, stamp);
        if let (Some(course), Some(care)) = (&mut self.course, &new.care) {
            course.take_over(care.clone(), now);
        } else {
            self.course = None;
        }
        self.care = new.care;
        self.environment = new.environment;
        self.stamp = stamp;
        self.policy = new.policy;
        self.stop_signal = new.stop_signal;
        self.stop_timeout = new.stop_timeout;
        self.needs = new.needs;
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let by_force = self
            .ending
            .as_ref()
            .filter(|_| self.course.is_some())
            .map(|(_, at)| *at);
        let due = self.course.as_ref().and_then(Course::due);
        [due, by_force].into_iter().flatten().min()
    }

    /// Whether the service manager has to say how it is: its run is another one than before, or not known yet.
    pub(super) fn is_unclear(&mut self, invocation: Option<String>) -> bool {
        if self.care.is_none() {
            return false;
        }
        if invocation != self.invocation {
            self.invocation = invocation;
            self.course = None;
            self.pulse = None;
            self.pid = None;
            self.run += 1;
        }
        let is_silent = self.course.as_ref().is_some_and(|course| !course.has_told());
        match self.invocation {
            Some(_) => self.course.is_none() || is_silent,
            None => self.ending.is_some(),
        }
    }

    /// Takes in what the service manager says.
    pub(super) fn see(&mut self, live: &Live, before: &Board, now: Duration, pool: &Pool) -> Vec<Action> {
        let is_of_now = self.invocation.as_ref() == Some(&live.invocation) && live.is_up();
        let is_preparing = live.active == "activating" && live.sub != "start";
        let (Some(care), Some(started), true) = (&self.care, live.main_started, is_of_now && !is_preparing) else {
            return Vec::new();
        };
        if live.pid.is_none() && live.active != "active" {
            return Vec::new(); // that was the process of an earlier run
        }
        self.pid = live.pid;
        self.owner = live.owner;
        if self.course.is_none() {
            self.ending = None;
            let seen = before.pulse(&self.unit, &live.invocation);
            self.ended = self.ended.take().or_else(|| seen.as_ref()?.ended.clone());
            let phase = seen.map(|pulse| pulse.phase);
            self.course = Some(Course::resumed(care.clone(), started, phase, now));
        }
        let event = if live.active == "active" {
            Event::Told
        } else {
            Event::Tick
        };
        self.on(event, now, pool)
    }

    /// Why it will not be started again, if its run was ended for its health and that was the last one.
    pub(super) fn is_given_up(&mut self, live: &Live) -> Option<String> {
        if self.invocation.is_some() || live.is_up() {
            return None;
        }
        let (why, _) = self.ending.take()?;
        (live.active == "failed").then_some(why)
    }

    pub(super) fn tick(&mut self, now: Duration, pool: &Pool) -> Vec<Action> {
        let mut actions = self.on(Event::Tick, now, pool);
        let is_due = |(_, at): &&(String, Duration)| now >= *at;
        actions.extend(
            self.ending
                .as_ref()
                .filter(is_due)
                .map(|(why, _)| Action::End(why.clone())),
        );
        actions
    }

    pub(super) fn answered(&mut self, run: u64, answer: Result<(), Wrong>, now: Duration, pool: &Pool) -> Vec<Action> {
        if run != self.run {
            return Vec::new();
        }
        self.on(answer.into(), now, pool)
    }

    fn on(&mut self, event: Event, now: Duration, pool: &Pool) -> Vec<Action> {
        let Some(course) = &mut self.course else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for action in course.on(event, now) {
            match action {
                Action::Ready => {
                    course.spread(part(&self.unit), now);
                    found.push(Action::Ready);
                }
                Action::Ask(probe, timeout) => pool.ask(Job {
                    unit: self.unit.clone(),
                    run: self.run,
                    probe,
                    timeout,
                    asker: Asker::Process(Main {
                        pid: self.pid,
                        owner: self.owner,
                        environment: Arc::clone(&self.environment),
                    }),
                    is_urgent: course.phase() == Phase::Starting,
                }),
                other => found.push(other),
            }
        }
        let pulse = Pulse::of(course, self.pulse.as_ref(), now);
        self.pulse = Some(Pulse {
            ended: self.ended.clone(),
            ..pulse
        });
        found
    }

    /// Its run is being ended; by force at that time.
    pub(super) fn ends(&mut self, why: &str, at: Duration) {
        self.ending = Some((why.into(), at));
        self.ended = Some(why.into());
    }

    /// Whether its run is to be ended by force now, or for the first time; `None` while it has time to end by itself.
    pub(super) fn is_forced(&mut self, now: Duration) -> Option<bool> {
        let Some((_, at)) = &mut self.ending else {
            return Some(false);
        };
        let is_due = now >= *at;
        if is_due {
            *at = now + self.stop_timeout.max(Duration::from_secs(1));
        }
        is_due.then_some(true)
    }

    /// Which run it is in.
    pub(super) fn invocation(&self) -> Option<&str> {
        self.invocation.as_deref()
    }

    /// How its run is.
    pub(super) fn pulse(&self) -> Option<(&str, &Pulse)> {
        Some((self.invocation.as_deref()?, self.pulse.as_ref()?))
    }
}

/// A part of one that is different for each unit, and always the same.
fn part(unit: &str) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    unit.hash(&mut hasher);
    f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0
}

/// What does its work once is not watched, nor what has no probe.
fn care(service: &Service) -> Option<Care> {
    let care = Care::of(service);
    (care.has_probe() && service.start_type != StartType::Oneshot).then_some(care)
}

/// The variables that the manifest gives, where a command may need them.
fn given(service: &Service) -> Arc<[(OsString, OsString)]> {
    let is_command = |probe: &Probe| matches!(probe, Probe::Command { .. });
    let health = service.health.as_ref().map(|health| &health.probe);
    if !service.readiness.probe.iter().chain(health).any(is_command) {
        return Arc::default();
    }
    let level = service.logging.level.iter().map(|(level, variable)| (variable, level));
    let variables = service.environment.iter().map(|(name, value)| (name, value));
    variables
        .chain(level)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}
