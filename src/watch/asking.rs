//! Asks many apps at once. A question costs little; to wake a thread for each of them, and the watcher for each answer, would
//! cost more than to ask. So one thread asks what is due together, others come where one does not answer soon, and answers wait
//! until the watcher collects them.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use super::News;
use crate::{
    health::{self, Asker, Wrong},
    service::Probe,
};

/// So long a thread waits for a question before it ends.
const IDLE: Duration = Duration::from_secs(30);
/// So many threads wait for a question; others end.
const KEPT: usize = 2;
/// So many threads ask at once; what is beyond waits.
const MOST: usize = 1024;
/// What a question needs of a stack, with room to spare.
const STACK: usize = 256 * 1024;

/// A question.
pub(super) struct Job {
    pub(super) unit: String,
    pub(super) run: u64,
    pub(super) probe: Probe,
    pub(super) timeout: Duration,
    pub(super) asker: Asker,
    /// Whether somebody waits for the answer.
    pub(super) is_urgent: bool,
}

/// What the run of this number of a unit has answered.
pub(super) struct Answered {
    pub(super) unit: String,
    pub(super) run: u64,
    pub(super) answer: Result<(), Wrong>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    answers: Vec<Answered>,
    /// Questions that are not answered yet.
    open: usize,
    idle: usize,
    threads: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    has_more: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // nobody panics while he holds it
    }
}

/// The threads that ask.
pub(super) struct Pool {
    shared: Arc<Shared>,
    news: mpsc::Sender<News>,
}

impl Pool {
    pub(super) fn new(news: mpsc::Sender<News>) -> Self {
        Self {
            shared: Arc::default(),
            news,
        }
    }

    /// Asks, soon.
    pub(super) fn ask(&self, job: Job) {
        let mut state = self.shared.state();
        state.open += 1;
        state.jobs.push_back(job);
    }

    /// Begins with what was given since; and where earlier questions still wait, with as many threads as there are of them.
    pub(super) fn begin(&self, were_waiting: usize) {
        let state = self.shared.state();
        let (jobs, idle, threads) = (state.jobs.len(), state.idle, state.threads);
        drop(state);
        if jobs == 0 {
            return;
        }
        self.shared.has_more.notify_one();
        let wanted = were_waiting.max(1);
        let room = MOST.saturating_sub(threads);
        for _ in (idle..wanted).take(room) {
            let (shared, news) = (Arc::clone(&self.shared), self.news.clone());
            let thread = std::thread::Builder::new().name("probe".into()).stack_size(STACK);
            self.shared.state().threads += 1;
            let work = move || {
                work(&shared, &news);
                shared.state().threads -= 1;
            };
            if thread.spawn(work).is_err() {
                self.shared.state().threads -= 1;
                return; // those that are there ask one after the other
            }
        }
        (1..wanted.min(idle)).for_each(|_| self.shared.has_more.notify_one());
    }

    /// Questions that nobody has begun to ask.
    pub(super) fn waiting(&self) -> usize {
        self.shared.state().jobs.len()
    }

    /// Whether an answer is still to come.
    pub(super) fn is_asking(&self) -> bool {
        self.shared.state().open > 0
    }

    /// The answers that came since.
    pub(super) fn answers(&self) -> Vec<Answered> {
        let mut state = self.shared.state();
        state.open -= state.answers.len();
        std::mem::take(&mut state.answers)
    }
}

fn work(shared: &Shared, news: &mpsc::Sender<News>) {
    loop {
        let mut state = shared.state();
        if state.jobs.is_empty() && state.idle >= KEPT {
            return;
        }
        state.idle += 1;
        let wait = shared
            .has_more
            .wait_timeout_while(state, IDLE, |state| state.jobs.is_empty());
        let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let Some(job) = state.jobs.pop_front() else { return };
        drop(state);
        let answer = health::ask(&job.probe, job.timeout, &job.asker);
        shared.state().answers.push(Answered {
            unit: job.unit,
            run: job.run,
            answer,
        });
        if job.is_urgent && news.send(News::Answered).is_err() {
            return;
        }
    }
}
