//! The health of the app that is kept: asks what the course of its run says, on threads of their own, and waits for others
//! before its start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::News;
use crate::{
    health::{
        self, Asker, Main, Wrong,
        state::{Action, Care, Course, Event},
        wait::{self, Waits},
    },
    service::{Probe, Service, StartType},
};

/// One run after the other.
pub(super) struct Vitals {
    news: mpsc::Sender<News>,
    course: Option<Course>,
    /// Counts runs: what answers late, answers nobody.
    run: u64,
    /// Ends the wait that is under way.
    is_waiting: Arc<AtomicBool>,
}

impl Vitals {
    pub(super) fn new(news: mpsc::Sender<News>) -> Self {
        Self {
            news,
            course: None,
            run: 0,
            is_waiting: Arc::default(),
        }
    }

    /// A run has begun. What does its work once has no course.
    pub(super) fn begin(&mut self, service: &Service, now: Duration) {
        self.end();
        if service.start_type != StartType::Oneshot {
            self.course = Some(Course::new(Care::of(service), now));
        }
    }

    /// The run is over, or what it waited for is no longer needed.
    pub(super) fn end(&mut self) {
        self.run += 1;
        self.course = None;
        self.is_waiting.store(false, Ordering::Relaxed);
    }

    pub(super) fn course(&self) -> Option<&Course> {
        self.course.as_ref()
    }

    /// Whether the app has said that it is ready, where it does.
    pub(super) fn has_told(&self) -> bool {
        self.course().is_some_and(Course::has_told)
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.course()?.due()
    }

    /// What the course makes of it, of that what is not a question; questions are asked as the main process.
    pub(super) fn on(&mut self, event: Event, main: &Main, now: Duration) -> Vec<Action> {
        let Some(course) = &mut self.course else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for action in course.on(event, now) {
            match action {
                Action::Ask(probe, timeout) => self.ask(probe, timeout, Asker::Process(main.clone())),
                other => found.push(other),
            }
        }
        found
    }

    /// An answer to the run of this number.
    pub(super) fn answered(&mut self, run: u64, answer: Result<(), Wrong>, main: &Main, now: Duration) -> Vec<Action> {
        if run != self.run {
            return Vec::new();
        }
        self.on(answer.into(), main, now)
    }

    fn ask(&self, probe: Probe, timeout: Duration, asker: Asker) {
        let (news, run) = (self.news.clone(), self.run);
        let ask = move || {
            let answer = health::ask(&probe, timeout, &asker);
            let _ = news.send(News::Answered(run, answer)); // at the end nobody listens
        };
        if let Err(error) = std::thread::Builder::new().name("probe".into()).spawn(ask) {
            let answer = Err(Wrong::NotAsked(error.to_string()));
            let _ = self.news.send(News::Answered(self.run, answer)); // as above
        }
    }

    /// Waits for what must hold before the start.
    pub(super) fn wait(
        &mut self,
        waits: Waits,
        asker: Asker,
        is_ready: impl Fn(&str) -> Result<(), String> + Send + 'static,
    ) {
        self.end();
        self.is_waiting = Arc::new(AtomicBool::new(true));
        let (is_waiting, news, run) = (Arc::clone(&self.is_waiting), self.news.clone(), self.run);
        let wait = move || {
            let gives_up = || !is_waiting.load(Ordering::Relaxed);
            let waited = wait::wait(&waits, &asker, &is_ready, &mut |_| {}, &gives_up);
            let _ = news.send(News::Awaited(run, waited)); // as above
        };
        if let Err(error) = std::thread::Builder::new().name("wait".into()).spawn(wait) {
            let _ = self.news.send(News::Awaited(self.run, Err(error.to_string()))); // as above
        }
    }

    /// Whether this is of the run, or the wait, that is under way.
    pub(super) fn is_of_now(&self, run: u64) -> bool {
        run == self.run
    }
}
