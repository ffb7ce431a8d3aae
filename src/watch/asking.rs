//! Asks many apps at once: as many threads as there are questions under way, and some that wait for the next.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use super::News;
use crate::{
    health::{self, Asker},
    service::Probe,
};

/// So long a thread waits for a question before it ends.
const IDLE: Duration = Duration::from_secs(30);
/// What a question needs of a stack, with room to spare.
const STACK: usize = 256 * 1024;

/// A question.
pub(super) struct Job {
    pub(super) unit: String,
    pub(super) run: u64,
    pub(super) probe: Probe,
    pub(super) timeout: Duration,
    pub(super) asker: Asker,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    has_more: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner) // nobody panics while he holds it
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

    /// Asks; the answer is news.
    pub(super) fn ask(&self, job: Job) {
        let mut queue = self.shared.queue();
        let is_crowded = queue.idle <= queue.jobs.len();
        let (unit, run) = (job.unit.clone(), job.run);
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.has_more.notify_one();
        if !is_crowded {
            return;
        }
        let (shared, news) = (Arc::clone(&self.shared), self.news.clone());
        let thread = std::thread::Builder::new().name("probe".into()).stack_size(STACK);
        if let Err(error) = thread.spawn(move || work(&shared, &news)) {
            self.shared
                .queue()
                .jobs
                .retain(|job| (&job.unit, job.run) != (&unit, run));
            let answer = Err(format!("it could not be asked: {error}"));
            let _ = self.news.send(News::Answered(unit, run, answer)); // at the end nobody listens
        }
    }
}

fn work(shared: &Shared, news: &mpsc::Sender<News>) {
    loop {
        let mut queue = shared.queue();
        queue.idle += 1;
        let wait = shared
            .has_more
            .wait_timeout_while(queue, IDLE, |queue| queue.jobs.is_empty());
        let (mut queue, _) = wait.unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
        let Some(job) = queue.jobs.pop_front() else { return };
        drop(queue);
        let answer = health::ask(&job.probe, job.timeout, &job.asker);
        if news.send(News::Answered(job.unit, job.run, answer)).is_err() {
            return;
        }
    }
}
