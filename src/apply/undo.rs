//! Takes back what was begun.

use super::{Run, wait};
use crate::{
    plan::{Step, Task},
    report::Report,
};

/// How much is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything, so far as it was not undone before.
    All,
    /// What is of some of the apps.
    Part,
}

/// What an undo could not do.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What is not as it was: the next run takes it up.
    pub(super) open: Vec<String>,
    /// What is back, but does not run as it did. To try that again would keep everything else waiting.
    pub(super) down: Vec<String>,
}

impl Left {
    /// All of it.
    pub(super) fn all(self) -> Vec<String> {
        self.open.into_iter().chain(self.down).collect()
    }
}

impl Run<'_> {
    /// Undoes the steps that were begun, as far as they are of all or of these apps: takes back, in reverse order, what came
    /// after the first [`Step::OnRollback`]; does what those say, in order; then takes back the rest.
    pub(super) fn undo(
        &self,
        begun: usize,
        extent: Extent,
        is_meant: &dyn Fn(&str) -> bool,
        report: &mut Report,
    ) -> Left {
        let tasks = &self.intent.plan.tasks[..begun];
        let is_of = |task: &&Task| {
            let is_of_all = || extent == Extent::All || task.step.is_for_part();
            task.of.as_deref().map_or_else(is_of_all, is_meant)
        };
        let at = tasks.iter().position(|task| matches!(task.step, Step::OnRollback(_)));
        let (early, late) = tasks.split_at(at.unwrap_or(tasks.len()));
        let mut left = Left::default();
        for task in late.iter().rev().filter(is_of) {
            left.open.extend(self.take_back(&task.step, is_meant, report).err());
        }
        let back: Vec<_> = late
            .iter()
            .filter(is_of)
            .filter_map(|task| on_rollback(task, is_meant))
            .collect();
        self.bring_back(&back, &mut left, report);
        for task in early.iter().rev().filter(is_of) {
            left.open.extend(self.take_back(&task.step, is_meant, report).err());
        }
        let paths: Vec<_> = self.before.keys().copied().collect();
        left.open
            .extend(self.system().sync(&paths).err().map(|error| error.to_string()));
        left
    }

    /// What is done once the files are back; waits that follow each other together.
    fn bring_back(&self, tasks: &[Task], left: &mut Left, report: &mut Report) {
        let mut next = 0;
        while next < tasks.len() {
            let group = &tasks[next..wait::end_of_waits(tasks, next)];
            next += group.len();
            for task in group {
                report.undo(&task.step);
            }
            if matches!(group[0].step, Step::Await { .. }) {
                left.down.extend(self.await_all(group, report));
            } else if let Err(failure) = self.hands.perform(&group[0].step, true, report) {
                // To whom a file is given decides no more than whether it runs.
                let is_only_down = match &group[0].step {
                    Step::Run { cmd, .. } => self.hands.backend.is_start(cmd),
                    step => matches!(step, Step::Share { .. }),
                };
                let errors = if is_only_down { &mut left.down } else { &mut left.open };
                errors.push(format!("{}: {}", group[0].step, failure.message));
            }
        }
    }

    fn await_all(&self, group: &[Task], report: &mut Report) -> Vec<String> {
        let mut errors = Vec::new();
        let mut waits = wait::Waits::begin(self.hands, group, true);
        loop {
            match waits.round(report) {
                Ok(None) => return errors,
                Ok(Some(answers)) => {
                    let failed = answers
                        .into_iter()
                        .filter_map(|(task, answer)| Some(format!("{}: {}", task.step, answer.err()?.message)));
                    errors.extend(failed);
                }
                Err(failure) => {
                    errors.push(failure.message);
                    return errors;
                }
            }
        }
    }

    fn take_back(&self, step: &Step, is_meant: &dyn Fn(&str) -> bool, report: &mut Report) -> Result<(), String> {
        if let Step::OnUndo(undo) = step {
            let Some(undo) = undo.only_of(is_meant) else {
                return Ok(());
            };
            report.undo(&undo);
            let done = self.hands.perform(&undo, true, report);
            return done.map(drop).map_err(|failure| format!("{undo}: {}", failure.message));
        }
        let Some((path, before)) = step.path().and_then(|path| Some((path, self.before.get(path)?))) else {
            return Ok(());
        };
        before
            .restore(path, self.system())
            .map_err(|error| format!("{} could not be put back: {error}", path.display()))
    }
}

fn on_rollback(task: &Task, is_meant: &dyn Fn(&str) -> bool) -> Option<Task> {
    let Step::OnRollback(step) = &task.step else {
        return None;
    };
    let step = step.only_of(is_meant)?.into_owned();
    let of = task.of.clone();
    Some(Task { of, step })
}
