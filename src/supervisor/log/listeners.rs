//! Who listens to what is passed through.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{count, last_lines};

/// So many bytes of what was passed through are kept for whoever asks.
pub(super) const BACKLOG: usize = 64 * 1024;
/// So many bytes a listener may be behind.
pub(super) const AHEAD: usize = 1024 * 1024;

/// Who listens, and the last of what was passed through.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: VecDeque<u8>,
    ears: Vec<Weak<Ear>>,
    /// Nothing more comes.
    is_over: bool,
}

/// One that listens.
#[derive(Debug, Default)]
pub struct Ear {
    coming: Mutex<Coming>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Coming {
    lines: Vec<u8>,
    /// Lines that were not kept for it.
    skipped: u64,
    is_over: bool,
}

/// What a listener hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// These lines; before them so many were skipped, because it did not keep up.
    Lines(u64, Vec<u8>),
    /// Nothing so far.
    Nothing,
    /// Nothing more comes.
    End,
}

impl Listeners {
    /// The last so many lines that are kept, and one that hears what comes.
    pub fn listen(&self, lines: usize) -> (Vec<u8>, Arc<Ear>) {
        let ear = Arc::new(Ear::default());
        let mut state = self.state();
        ear.coming().is_over = state.is_over;
        state.ears.push(Arc::downgrade(&ear));
        let kept: Vec<u8> = state.last.iter().copied().collect();
        (last_lines(&kept, lines).to_vec(), ear)
    }

    /// One that does not keep up misses lines: the app must not stand still for it.
    pub(super) fn tell(&self, lines: &[u8]) {
        let mut state = self.state();
        let State { last, ears, .. } = &mut *state;
        ears.retain(|ear| ear.upgrade().map(|ear| ear.hear(lines)).is_some());
        let end = &lines[lines.len().saturating_sub(BACKLOG)..];
        let surplus = (last.len() + end.len()).saturating_sub(BACKLOG).min(last.len());
        last.drain(..surplus);
        last.extend(end);
    }

    /// Nothing more comes: gives those that listen a moment to pass on the last of it.
    pub fn end(&self, patience: Duration) {
        const LOOK: Duration = Duration::from_millis(5);
        let mut state = self.state();
        state.is_over = true;
        let ears = std::mem::take(&mut state.ears);
        drop(state);
        for ear in ears.iter().filter_map(Weak::upgrade) {
            ear.coming().is_over = true;
            ear.changed.notify_all();
        }
        let start = Instant::now();
        while ears.iter().any(|ear| ear.strong_count() > 0) && start.elapsed() < patience {
            std::thread::sleep(LOOK);
        }
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // bytes are bytes, whoever panicked
    }
}

impl Ear {
    /// What comes, within so long.
    pub fn next(&self, patience: Duration) -> Heard {
        let is_quiet = |coming: &mut Coming| coming.lines.is_empty() && !coming.is_over;
        let waited = self.changed.wait_timeout_while(self.coming(), patience, is_quiet);
        let (mut coming, _) = waited.unwrap_or_else(PoisonError::into_inner); // as above
        if coming.lines.is_empty() {
            return if coming.is_over { Heard::End } else { Heard::Nothing };
        }
        let skipped = std::mem::take(&mut coming.skipped);
        Heard::Lines(skipped, std::mem::take(&mut coming.lines))
    }

    fn hear(&self, lines: &[u8]) {
        let mut coming = self.coming();
        if coming.lines.len() + lines.len() > AHEAD {
            coming.skipped += count(&coming.lines);
            coming.lines.clear();
        }
        coming.lines.extend_from_slice(lines);
        self.changed.notify_all();
    }

    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner) // as above
    }
}
