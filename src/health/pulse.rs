//! How an app is, as whoever watches it tells it: for `status`, and for those who wait for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{Course, Phase};

/// How an app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Where its run is.
    pub phase: Phase,
    /// Since when, on the monotonic clock.
    pub since: Duration,
    /// What it answered last, if that was not well. Without what only its owner may read.
    pub answer: Option<String>,
    /// Why its last run was ended, if it was ended for its health.
    #[serde(default)]
    pub ended: Option<String>,
}

impl Pulse {
    /// The pulse of a run, which is new where the phase is another one.
    pub fn of(course: &Course, before: Option<&Self>, now: Duration) -> Self {
        let phase = course.phase();
        let since = before.filter(|before| before.phase == phase).map(|before| before.since);
        let first = if before.is_some() { now } else { course.started() };
        let answer = course.answer().and_then(|answer| answer.as_ref().err());
        Self {
            phase,
            since: since.unwrap_or(first),
            answer: answer.map(|answer| public(course, answer)),
            ended: before.and_then(|before| before.ended.clone()),
        }
    }
}

/// What was said of a run, as everybody may read it.
pub fn public(course: &Course, said: &str) -> String {
    if course.is_private() {
        "its probe does not answer well (what it says is in the log of the app)".into()
    } else {
        said.into()
    }
}
