//! Runs a plan: whole or nothing. Under the lock, an intent journal first; each step marked before and after; on a failure
//! or an interrupt everything that was begun is undone, and what could not be undone is named.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    ops::Range,
    path::Path,
    time::Duration,
};

use crate::{
    backend::Backend,
    exit::{Exit, Failure},
    journal::{Before, Found, Intent, Journal, Mark},
    plan::{Names, Plan, Step, Task},
    report::Report,
    session::Session,
    system::System,
};

mod hands;
mod undo;
mod wait;

use hands::Hands;
use undo::{Extent, Left};

/// How long an undo waits for what it has to wait for.
const UNDO_DEADLINE: Duration = Duration::from_mins(2);

/// What a failure of one app means to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Everything is undone.
    Undone,
    /// Only that app is undone, and what requires it.
    Kept,
}

/// Apps that failed and were undone while others were kept: native name, and why.
pub type Dropped = BTreeMap<String, Failure>;

/// Does what the plan says.
///
/// The error says what went wrong and how the undo went; its exit code is [`Exit::Failed`], [`Exit::UndoIncomplete`] or
/// the interrupt's.
pub fn apply(
    session: &Session,
    verb: &str,
    names: &[String],
    plan: Plan,
    others: Others,
    report: &mut Report,
) -> Result<Dropped, Failure> {
    if plan.is_empty() {
        return Ok(Dropped::new());
    }
    let nothing_done = |error: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!(
                "cannot note what is about to be done in {}: {error}\nNothing was changed.",
                session.state().display()
            ),
        )
    };
    let (system, backend) = (session.system(), session.backend());
    let intent = Intent::new(verb, names, backend.name(), plan, system).map_err(nothing_done)?;
    let journal = Journal::write(session.state(), &intent, system).map_err(nothing_done)?;
    let mut run = Run::new(session, backend, &intent, &journal);
    match run.forward(others, report) {
        Ok(()) => Ok(run.dropped),
        Err((begun, failure)) => Err(run.backward(begun, failure, report)),
    }
}

/// Finishes or undoes what an earlier run left, and says so.
pub fn recover(session: &Session, backend: &dyn Backend, found: &Found, report: &mut Report) -> Result<(), Failure> {
    let intent = &found.intent;
    let mut run = Run::new(session, backend, intent, &found.journal);
    run.hands.goes_aside = false;
    let names = Names(&intent.names);
    if found.is_committed {
        report.note(&format!(
            "an earlier {} of {names} was complete: what was left of it is removed",
            intent.verb
        ));
        if !found.is_partly {
            run.finish(report);
        }
        return run.close();
    }
    report.note(&format!(
        "an earlier {} of {names} was interrupted: undoing it",
        intent.verb
    ));
    if run.is_untouched(found.begun) {
        return run.close();
    }
    // A kill loses no mark; a power cut may, and an undo of what was not done does no harm.
    let boot = session.system().boot();
    let is_same_boot = !boot.is_empty() && intent.boot == boot; // in an image nobody knows
    let begun = if is_same_boot {
        found.begun
    } else {
        intent.plan.tasks.len()
    };
    let left = run.undo(begun, Extent::All, &|_| true, report);
    if !left.open.is_empty() {
        return Err(run.incomplete("an earlier run was interrupted", &left.all()));
    }
    for down in &left.down {
        report.warn(&format!("what was there before is back, but does not run: {down}"));
    }
    run.close()
}

/// Does what the plan says, with nothing to undo: a start, a stop. The error is the step's own.
pub fn perform(session: &Session, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let hands = Hands {
        session,
        backend: session.backend(),
        goes_aside: false,
    };
    for task in &plan.tasks {
        hands.heed_interrupt()?;
        report.begin(&task.step);
        let evidence = hands.perform(&task.step, false, report)?;
        report.done(&task.step, task.of.is_some(), &evidence);
    }
    Ok(())
}

/// One plan under way.
struct Run<'a> {
    hands: Hands<'a>,
    intent: &'a Intent,
    journal: &'a Journal,
    before: HashMap<&'a Path, &'a Before>,
    dropped: Dropped,
}

impl<'a> Run<'a> {
    fn new(session: &'a Session, backend: &'a dyn Backend, intent: &'a Intent, journal: &'a Journal) -> Self {
        Self {
            hands: Hands {
                session,
                backend,
                goes_aside: true,
            },
            intent,
            journal,
            before: intent.before.iter().map(|(path, was)| (path.as_path(), was)).collect(),
            dropped: Dropped::new(),
        }
    }

    fn system(&self) -> &'a dyn System {
        self.hands.session.system()
    }

    /// Every step in order; an error comes with the number of steps that were begun.
    fn forward(&mut self, others: Others, report: &mut Report) -> Result<(), (usize, Failure)> {
        let tasks = &self.intent.plan.tasks;
        let mut next = 0;
        while next < tasks.len() {
            let group = next..end_of_group(tasks, next);
            self.hands.heed_interrupt().map_err(|failure| (next, failure))?;
            self.mark_begun(&group).map_err(|failure| (next, failure))?;
            next = group.end;
            let done = match tasks[group.start].step {
                Step::Await { .. } => self.wait(group, others, report),
                _ => self.steps(group, others, report),
            };
            done.map_err(|failure| (next, failure))?;
        }
        self.commit().map_err(|failure| (tasks.len(), failure))?;
        // From here on it is done, whatever happens: a journal that stays says so itself.
        if self.dropped.is_empty() {
            self.finish(report);
        }
        self.close().or_else(|failure| {
            report.warn(&failure.message);
            Ok(())
        })
    }

    /// Steps that follow each other.
    fn steps(&mut self, group: Range<usize>, others: Others, report: &mut Report) -> Result<(), Failure> {
        for task in &self.intent.plan.tasks[group.clone()] {
            let Err(failure) = self.step(task, report) else {
                continue;
            };
            match &task.of {
                Some(unit) if others == Others::Kept => self.drop(unit, failure, group.end, report)?,
                _ => return Err(failure),
            }
        }
        Ok(())
    }

    /// One step, as far as it is of apps that are still meant.
    fn step(&self, task: &Task, report: &mut Report) -> Result<(), Failure> {
        let is_dropped = task.of.as_ref().is_some_and(|unit| self.dropped.contains_key(unit));
        if is_dropped || matches!(task.step, Step::Finally(_)) {
            return Ok(());
        }
        let Some(step) = task.step.only_of(&|unit| !self.dropped.contains_key(unit)) else {
            return Ok(());
        };
        report.begin(&step);
        let evidence = self.hands.perform(&step, false, report)?;
        report.done(&step, task.of.is_some(), &evidence);
        Ok(())
    }

    /// Waits that follow each other, together.
    fn wait(&mut self, group: Range<usize>, others: Others, report: &mut Report) -> Result<(), Failure> {
        let tasks = &self.intent.plan.tasks[group.clone()];
        let mut waits = wait::Waits::begin(self.hands, tasks, false);
        while let Some(answers) = waits.round(report)? {
            for (task, answer) in answers {
                match (answer, &task.of) {
                    (_, Some(unit)) if self.dropped.contains_key(unit) => {}
                    (Ok(evidence), _) => report.done(&task.step, task.of.is_some(), &evidence),
                    (Err(failure), Some(unit)) if others == Others::Kept => {
                        self.drop(unit, failure, group.end, report)?;
                    }
                    (Err(failure), _) => return Err(failure),
                }
            }
            waits.forget(&|unit| self.dropped.contains_key(unit));
        }
        Ok(())
    }

    /// Undoes one app and what requires it; the others go on.
    fn drop(&mut self, unit: &str, failure: Failure, begun: usize, report: &mut Report) -> Result<(), Failure> {
        let mut gone = vec![unit.to_owned()];
        let mut next = 0;
        while let Some(needed) = gone.get(next).cloned() {
            let requires = self.intent.plan.requires.iter();
            let dependants = requires.filter(|(by, on)| *on == needed && !self.dropped.contains_key(by));
            for (by, _) in dependants {
                if !gone.contains(by) && self.intent.plan.is_about(by) {
                    gone.push(by.clone());
                }
            }
            next += 1;
        }
        report.failed(&failure);
        let left = self.undo(begun, Extent::Part, &|of| gone.iter().any(|gone| gone == of), report);
        if !left.open.is_empty() {
            let errors = left.all().join("\n");
            return Err(Failure::new(failure.exit, format!("{}\n{errors}", failure.message)));
        }
        for down in &left.down {
            report.warn(&format!("what was there before is back, but does not run: {down}"));
        }
        for by in &gone[1..] {
            let message = format!("{by}: it requires {unit}, which failed");
            self.dropped.insert(
                by.clone(),
                Failure::new(Exit::Failed, message).repair("repair that one first"),
            );
        }
        self.dropped.insert(unit.to_owned(), failure);
        if self.dropped.len() == self.intent.names.len() {
            return Err(Failure::new(Exit::Failed, "none of them could be kept"));
        }
        Ok(())
    }

    /// What comes after all else: steps that no undo could take back. Not where some apps were undone, which may still need it.
    fn finish(&self, report: &mut Report) {
        let tasks = self.intent.plan.tasks.iter();
        let last = tasks.filter_map(|task| match &task.step {
            Step::Finally(step) => Some((task, step)),
            _ => None,
        });
        let last: Vec<_> = last.collect();
        // They wait until no power cut can lead to an undo any more.
        if !last.is_empty()
            && let Err(error) = self.system().sync(&[self.journal.path()])
        {
            report.warn(&format!(
                "cannot put {} on disk: {error}",
                self.journal.path().display()
            ));
        }
        for (task, step) in last {
            report.begin(step);
            match self.hands.perform(step, true, report) {
                Ok(evidence) => report.done(step, task.of.is_some(), &evidence),
                Err(failure) => report.warn(&format!("left behind, it is yours to remove: {}", failure.message)),
            }
        }
    }

    /// Undoes, and makes of the failure what the user is told.
    fn backward(&self, begun: usize, failure: Failure, report: &mut Report) -> Failure {
        report.failed(&failure);
        let undone = if begun == 0 {
            Left::default()
        } else {
            self.undo(begun, Extent::All, &|unit| !self.dropped.contains_key(unit), report)
        };
        let mut message = failure.message;
        for dropped in self.dropped.values() {
            let _ = write!(message, "\n{}", dropped.message); // writing to a string cannot fail
        }
        if !undone.open.is_empty() {
            return self.incomplete(&message, &undone.all());
        }
        if let Err(left) = self.close() {
            return left;
        }
        if !undone.down.is_empty() {
            let down = undone.down.join("\n  ");
            let message =
                format!("{message}\nUndone: the earlier version is back, but does not run as it did:\n  {down}");
            return Failure::new(Exit::UndoIncomplete, message).repair("look at its output, repair it, and start it");
        }
        let undone = if begun == 0 {
            "Nothing was changed."
        } else if self.intent.names.len() > 1 {
            "Undone: all of them are as they were before. Their own files are yours: if they were changed in place, they still are."
        } else if self.intent.plan.replaces {
            "Undone: the earlier version is back. The app's own files are yours: if they were changed in place, they still are."
        } else {
            "Undone: nothing is left of it."
        };
        Failure {
            message: format!("{message}\n{undone}"),
            ..failure
        }
    }

    fn mark_begun(&self, group: &Range<usize>) -> Result<(), Failure> {
        let done = group.start.checked_sub(1).map(Mark::Done);
        let marks: Vec<_> = done.into_iter().chain(group.clone().map(Mark::Begun)).collect();
        self.mark(&marks)
    }

    /// All is on disk before the mark says so.
    fn commit(&self) -> Result<(), Failure> {
        let paths: Vec<_> = self.before.keys().copied().collect();
        self.system()
            .sync(&paths)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot put it on disk: {error}")))?;
        let partly = (!self.dropped.is_empty()).then_some(Mark::Partly);
        let marks: Vec<_> = std::iter::once(Mark::Committed).chain(partly).collect();
        self.mark(&marks)
    }

    fn mark(&self, marks: &[Mark]) -> Result<(), Failure> {
        self.journal.mark(marks, self.system()).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot write {}: {error}", self.journal.path().display()),
            )
        })
    }

    fn close(&self) -> Result<(), Failure> {
        self.journal.remove(self.system()).map_err(|error| {
            Failure::new(
                Exit::UndoIncomplete,
                format!("{} could not be removed: {error}", self.journal.path().display()),
            )
        })
    }

    /// Whether a journal was written and then nothing done: its undo must not even restart anything.
    fn is_untouched(&self, begun: usize) -> bool {
        begun == 0 && self.intent.is_as_before(self.system())
    }

    fn incomplete(&self, cause: &str, errors: &[String]) -> Failure {
        let mut message = format!("{cause}\nThe undo is incomplete:");
        for error in errors {
            let _ = write!(message, "\n  {error}"); // writing to a string cannot fail
        }
        Failure::new(Exit::UndoIncomplete, message).repair(format!(
            "repair what is named, then run any installing or removing verb again: it takes the undo up from {}",
            self.journal.path().display()
        ))
    }
}

/// Where the group that begins here ends: waits are begun together; files that are written one after the other are noted
/// together, since to put back what was not changed does no harm.
fn end_of_group(tasks: &[Task], start: usize) -> usize {
    const MOST: usize = 100;
    let is_file = |task: &&Task| task.step.path().is_some() || task.step.is_for_undo();
    let files = tasks[start..].iter().take(MOST).take_while(is_file).count();
    wait::end_of_waits(tasks, start).max(start + files)
}
