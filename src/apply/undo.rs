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

impl Run<'_> {
    /// Undoes the steps that were begun, as far as they are of all or of these apps: takes back, in reverse order, what came
    /// after the first [`Step::OnRollback`]; does what those say, in order; then takes back the rest.
    pub(super) fn undo(
        &self,
        begun: usize,
        extent: Extent,
        is_meant: &dyn Fn(&str) -> bool,
        report: &mut Report,
    ) -> Vec<String> {
        let tasks = &self.intent.plan.tasks[..begun];
        let is_of = |task: &&Task| {
            let is_of_all = || extent == Extent::All || task.step.is_for_part();
            task.of.as_deref().map_or_else(is_of_all, is_meant)
        };
        let at = tasks.iter().position(|task| matches!(task.step, Step::OnRollback(_)));
        let (early, late) = tasks.split_at(at.unwrap_or(tasks.len()));
        let mut errors = Vec::new();
        for task in late.iter().rev().filter(is_of) {
            errors.extend(self.take_back(&task.step, is_meant, report).err());
        }
        let back: Vec<_> = late
            .iter()
            .filter(is_of)
            .filter_map(|task| on_rollback(task, is_meant))
            .collect();
        errors.extend(self.bring_back(&back, report));
        for task in early.iter().rev().filter(is_of) {
            errors.extend(self.take_back(&task.step, is_meant, report).err());
        }
        let paths: Vec<_> = self.before.keys().copied().collect();
        errors.extend(self.system().sync(&paths).err().map(|error| error.to_string()));
        errors
    }

    /// What is done once the files are back; waits that follow each other together.
    fn bring_back(&self, tasks: &[Task], report: &mut Report) -> Vec<String> {
        let mut errors = Vec::new();
        let mut next = 0;
        while next < tasks.len() {
            let group = &tasks[next..wait::end_of_waits(tasks, next)];
            next += group.len();
            for task in group {
                report.undo(&task.step);
            }
            if !matches!(group[0].step, Step::Await { .. }) {
                let done = self.hands.perform(&group[0].step, true, report);
                errors.extend(
                    done.err()
                        .map(|failure| format!("{}: {}", group[0].step, failure.message)),
                );
                continue;
            }
            let mut waits = wait::Waits::begin(self.hands, group, true);
            loop {
                match waits.round(report) {
                    Ok(None) => break,
                    Ok(Some(answers)) => errors.extend(
                        answers
                            .into_iter()
                            .filter_map(|(task, answer)| Some(format!("{}: {}", task.step, answer.err()?.message))),
                    ),
                    Err(failure) => {
                        errors.push(failure.message);
                        break;
                    }
                }
            }
        }
        errors
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
