//! Waits for several apps at once.

use std::time::Duration;

use super::{UNDO_DEADLINE, hands::Hands};
use crate::{
    backend::{Answer, conditions, evidence},
    exit::Failure,
    plan::{Condition, Step, Task},
    report::Report,
};

/// The soonest two rounds follow each other.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// So long, or as long as the slowest of them may take, an app waits for what it requires before its own time begins.
const PATIENCE: Duration = Duration::from_mins(2);
/// Beyond the wait of an app for others, which its unit ends.
const SLACK: Duration = Duration::from_secs(15);
/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);
/// The latest, where no probe has an interval of its own.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Where the waits that begin here end; of any other step, right behind it.
pub(super) fn end_of_waits(tasks: &[Task], start: usize) -> usize {
    let is_wait = |task: &&Task| matches!(task.step, Step::Await { .. });
    start + tasks[start..].iter().take_while(is_wait).count().max(1)
}

/// Waits under way.
pub(super) struct Waits<'a> {
    hands: Hands<'a>,
    is_steadfast: bool,
    open: Vec<Wait<'a>>,
    pause: Duration,
    longest: Duration,
    /// Until when the wait of one app for another does not count.
    patience: Duration,
    is_first: bool,
}

struct Wait<'a> {
    task: &'a Task,
    condition: &'a Condition,
    deadline: Duration,
    begun: Duration,
    reason: String,
}

/// How a wait ended: how that was seen, or what is wrong.
pub(super) type End<'a> = (&'a Task, Result<String, Failure>);

impl<'a> Waits<'a> {
    /// Begins them all. `steadfast`: an interrupt does not end them (the undo must end).
    pub(super) fn begin(hands: Hands<'a>, tasks: &'a [Task], is_steadfast: bool) -> Self {
        let begun = hands.session.system().monotonic();
        let wait = |task: &'a Task| match &task.step {
            Step::Await { condition, deadline } => Some(Wait {
                task,
                condition,
                deadline: if is_steadfast {
                    UNDO_DEADLINE.max(*deadline)
                } else {
                    *deadline
                },
                begun,
                reason: String::new(),
            }),
            _ => None,
        };
        let open: Vec<_> = tasks.iter().filter_map(wait).collect();
        let intervals = open.iter().filter_map(|wait| match wait.condition {
            Condition::Ready { readiness, .. } if readiness.probe.is_some() => Some(readiness.interval),
            _ => None,
        });
        let waits = open.iter().map(|wait| match wait.condition {
            Condition::Ready {
                waits: Some(Duration::ZERO),
                ..
            } => FOR_EVER,
            Condition::Ready { waits, .. } => waits.unwrap_or_default() + SLACK,
            _ => Duration::ZERO,
        });
        let most = open
            .iter()
            .map(|wait| wait.deadline)
            .chain(waits)
            .fold(PATIENCE, Duration::max);
        Self {
            hands,
            is_steadfast,
            patience: begun + most,
            longest: intervals.min().unwrap_or(LONGEST_PAUSE),
            open,
            pause: FIRST_PAUSE,
            is_first: true,
        }
    }

    /// No longer waits for these apps.
    pub(super) fn forget(&mut self, is_meant: &dyn Fn(&str) -> bool) {
        self.open.retain(|wait| !wait.task.of.as_deref().is_some_and(is_meant));
    }

    /// Asks for all that is still open, soon at first and then less often; which waits have ended, and how. `None` when all
    /// have.
    pub(super) fn round(&mut self, report: &mut Report) -> Result<Option<Vec<End<'a>>>, Failure> {
        if self.open.is_empty() {
            return Ok(None);
        }
        if !std::mem::take(&mut self.is_first) {
            self.rest(report)?;
        }
        let (system, backend) = (self.hands.session.system(), self.hands.backend);
        let asked = system.monotonic();
        let asked_for: Vec<_> = self.open.iter().map(|wait| wait.condition).collect();
        let answers = conditions::check(backend, system, &asked_for)?;
        let now = system.monotonic();
        // What takes long to ask is asked less often.
        self.longest = self.longest.max(now.saturating_sub(asked));
        let mut ended = Vec::new();
        for (mut wait, answer) in std::mem::take(&mut self.open).into_iter().zip(answers) {
            let waited = now.saturating_sub(wait.begun);
            match answer {
                Ok(Answer::Yes) => ended.push((wait.task, Ok(format!("after {:.1} s", waited.as_secs_f64())))),
                Ok(Answer::NotYet(reason)) if waited >= wait.deadline => {
                    let late = evidence::too_late(backend, system, wait.condition, wait.deadline, &reason);
                    ended.push((wait.task, Err(late)));
                }
                Ok(Answer::NotYet(reason)) => {
                    wait.reason = reason;
                    self.open.push(wait);
                }
                Ok(Answer::Queued) if waited >= wait.deadline => {
                    let reason = "what it requires does not start";
                    let late = evidence::too_late(backend, system, wait.condition, wait.deadline, reason);
                    ended.push((wait.task, Err(late)));
                }
                Ok(Answer::Queued) => {
                    if now < self.patience {
                        wait.begun = now;
                    }
                    wait.reason = "waits for what it requires".into();
                    self.open.push(wait);
                }
                Err(failure) => ended.push((wait.task, Err(evidence::with_cause(failure, &wait.reason)))),
            }
        }
        Ok(Some(ended))
    }

    fn rest(&mut self, report: &mut Report) -> Result<(), Failure> {
        let system = self.hands.session.system();
        let first = &self.open[0];
        let reason = match self.open.len() {
            1 => first.reason.clone(),
            several => format!(
                "{several} are not ready, {}: {}",
                first.task.of.as_deref().unwrap_or_default(),
                first.reason
            ),
        };
        report.waiting(&reason, system.monotonic().saturating_sub(first.begun), first.deadline);
        if self.is_steadfast {
            std::thread::sleep(self.pause);
        } else {
            system.sleep(self.pause);
            self.hands.heed_interrupt()?;
        }
        self.pause = (self.pause * 3 / 2).min(self.longest);
        Ok(())
    }
}
