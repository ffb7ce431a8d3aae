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
        self, Asker, Main, Wrong,
        pulse::{self, Pulse},
        state::{Action, Care, Course, Event, Phase},
    },
    service::{Service, StartType},
};

/// What is known of a record without reading it: its length, and when it was changed.
pub(super) type Stamp = (u64, Duration);

/// What is wanted of an app.
pub(super) struct Wanted {
    stamp: Stamp,
    stop_timeout: Duration,
    /// Apps that must be ready before it starts.
    needs: Vec<String>,
    /// `None` for what is not watched.
    care: Option<Care>,
    /// What it is given of variables, where that may be asked for.
    environment: Arc<[(OsString, OsString)]>,
}

/// A run that is being ended for its health.
struct Ending {
    why: String,
    /// The same, without what only the app's owner may read.
    told: String,
    /// When it is ended by force.
    by_force: Duration,
}

/// One app.
pub(super) struct App {
    wanted: Wanted,
    unit: String,
    invocation: Option<String>,
    course: Option<Course>,
    pulse: Option<Pulse>,
    /// The process that it is asked as.
    main: Main,
    /// Counts runs and what is asked of them: what answers late, answers nobody.
    run: u64,
    ending: Option<Ending>,
    /// Why the run before this one was ended, if for its health.
    ended: Option<String>,
    /// The run that was ended for its health, until the next one.
    last: Option<(String, Pulse)>,
}

impl Wanted {
    pub(super) fn new(service: &Service, stamp: Stamp) -> Self {
        Self {
            stamp,
            stop_timeout: service.stop_timeout,
            needs: service.dependencies.apps.clone(),
            care: care(service),
            environment: health::given(service),
        }
    }
}

impl App {
    pub(super) fn new(unit: &str, wanted: Wanted) -> Self {
        Self {
            wanted,
            unit: unit.into(),
            invocation: None,
            course: None,
            pulse: None,
            main: Main::default(),
            run: 0,
            ending: None,
            ended: None,
            last: None,
        }
    }

    /// The same app, wanted otherwise now. What was asked before, counts no more.
    pub(super) fn take_over(&mut self, wanted: Wanted, now: Duration) {
        match (&mut self.course, &wanted.care) {
            (Some(course), Some(care)) if course.care() == care => {}
            (Some(course), Some(care)) => {
                course.take_over(care.clone(), now);
                self.run += 1;
            }
            (None, Some(_)) => {}
            (_, None) => {
                (self.course, self.pulse) = (None, None);
                (self.ending, self.ended, self.last) = (None, None, None);
                self.run += 1;
            }
        }
        self.wanted = wanted;
    }

    /// Whether it is wanted as that record says.
    pub(super) fn is_known_by(&self, stamp: Stamp) -> bool {
        self.wanted.stamp == stamp
    }

    /// Whether that app must be ready before it starts.
    pub(super) fn needs(&self, app: &str) -> bool {
        self.wanted.needs.iter().any(|need| need == app)
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let by_force = self
            .ending
            .as_ref()
            .filter(|_| self.course.is_some())
            .map(|ending| ending.by_force);
        let due = self.course.as_ref().and_then(Course::due);
        [due, by_force].into_iter().flatten().min()
    }

    /// Whether the service manager has to say how it is: its run is another one than before, or not known yet.
    pub(super) fn is_unclear(&mut self, invocation: Option<String>) -> bool {
        if self.wanted.care.is_none() {
            return false;
        }
        if invocation != self.invocation {
            self.goes(invocation);
        }
        let is_silent = self.course.as_ref().is_some_and(|course| !course.has_told());
        match self.invocation {
            Some(_) => self.course.is_none() || is_silent || self.main.owner.is_none(),
            None => self.ending.is_some(),
        }
    }

    /// That run is over, and this one, if any, has begun.
    fn goes(&mut self, next: Option<String>) {
        let (last, pulse) = (self.invocation.take(), self.pulse.take());
        let told = self.ending.as_ref().map(|ending| ending.told.clone());
        if next.is_some() {
            self.last = None;
        } else if let (Some(last), Some(pulse), Some(_)) = (last, pulse, &told) {
            let (answer, ended) = (None, told);
            self.last = Some((last, Pulse { answer, ended, ..pulse }));
        }
        self.invocation = next;
        self.course = None;
        self.main = Main::default();
        self.run += 1;
    }

    /// Takes in what the service manager says.
    pub(super) fn see(&mut self, live: &Live, before: &Board, now: Duration, pool: &Pool) -> Vec<Action> {
        let is_of_now = self.invocation.as_ref() == Some(&live.invocation) && live.is_up();
        let is_preparing = live.active == "activating" && live.sub != "start";
        let (Some(care), Some(started), true) = (&self.wanted.care, live.main_started, is_of_now && !is_preparing)
        else {
            return Vec::new();
        };
        if live.pid.is_none() && live.active != "active" {
            return Vec::new(); // that was the process of an earlier run
        }
        self.main = live.main();
        if self.course.is_none() {
            let seen = before.pulse(&self.unit, &live.invocation);
            let by_us = self.ending.take().map(|ending| ending.told);
            self.ended = by_us.or_else(|| seen.as_ref()?.ended.clone());
            let phase = seen.as_ref().map(|pulse| pulse.phase);
            self.course = Some(Course::resumed(care.clone(), started, phase, now));
            self.pulse = seen;
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
        let why = self.ending.take()?.why;
        let end = if live.result == "start-limit-hit" {
            "it was restarted too often and is given up"
        } else {
            "it is not started again"
        };
        (live.active == "failed").then(|| format!("{why}; {end}"))
    }

    pub(super) fn tick(&mut self, now: Duration, pool: &Pool) -> Vec<Action> {
        let mut actions = self.on(Event::Tick, now, pool);
        let due = self.ending.as_ref().filter(|ending| now >= ending.by_force);
        actions.extend(due.map(|ending| Action::End(ending.why.clone())));
        actions
    }

    pub(super) fn answered(&mut self, run: u64, answer: Result<(), Wrong>, now: Duration, pool: &Pool) -> Vec<Action> {
        if run != self.run {
            return Vec::new();
        }
        self.on(answer.into(), now, pool)
    }

    /// Asks once more: whom it was asked as, is not the app any more.
    pub(super) fn ask_again(&mut self, run: u64, now: Duration) {
        if let Some(course) = self.course.as_mut().filter(|_| run == self.run) {
            course.ask_again(now);
        }
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
                    self.ending = None;
                    found.push(Action::Ready);
                }
                Action::Well => {
                    self.ending = None;
                    found.push(Action::Well);
                }
                Action::Ask(probe, timeout) => pool.ask(Job {
                    unit: self.unit.clone(),
                    run: self.run,
                    probe,
                    timeout,
                    asker: Asker::Process(Main {
                        environment: Arc::clone(&self.wanted.environment),
                        ..self.main.clone()
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

    /// Its run is being ended.
    pub(super) fn ends(&mut self, why: &str, now: Duration) {
        let told = self.course.as_ref().map(|course| pulse::public(course, why));
        self.ending = Some(Ending {
            why: why.into(),
            told: told.unwrap_or_default(),
            by_force: now + self.wanted.stop_timeout,
        });
    }

    /// Whether its run is to be ended by force now, or for the first time; `None` while it has time to end by itself.
    pub(super) fn is_forced(&mut self, now: Duration) -> Option<bool> {
        let Some(Ending { by_force, .. }) = &mut self.ending else {
            return Some(false);
        };
        let is_due = now >= *by_force;
        if is_due {
            *by_force = now + self.wanted.stop_timeout.max(Duration::from_secs(1));
        }
        is_due.then_some(true)
    }

    /// The process that it is asked as.
    pub(super) fn pid(&self) -> Option<u32> {
        self.main.pid
    }

    /// Another process is its main one now.
    pub(super) fn hands_over(&mut self, pid: u32) {
        self.main.pid = Some(pid);
    }

    /// Which run it is in.
    pub(super) fn invocation(&self) -> Option<&str> {
        self.invocation.as_deref()
    }

    /// How its run is; or was, until the next one, if it was ended for its health.
    pub(super) fn pulse(&self) -> Option<(&str, &Pulse)> {
        match &self.invocation {
            Some(invocation) => Some((invocation, self.pulse.as_ref()?)),
            None => self
                .last
                .as_ref()
                .map(|(invocation, pulse)| (invocation.as_str(), pulse)),
        }
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

#[cfg(test)]
mod tests;
