//! Runs a plan: whole or nothing. Under the lock, an intent journal first; each step marked before and after; on a failure
//! or an interrupt everything that was begun is undone, and what could not be undone is named.

use std::{fmt::Write as _, time::Duration};

use crate::{
    exit::{Exit, Failure},
    journal::{self, Found, Intent, Journal, Mark},
    plan::{Plan, Step},
    report::Report,
    session::Session,
    system::System,
};

mod hands;

use hands::Hands;

/// How long an undo waits for what it has to wait for.
const UNDO_DEADLINE: Duration = Duration::from_mins(2);

/// Does what the plan says.
///
/// The error says what went wrong and how the undo went; its exit code is [`Exit::Failed`], [`Exit::UndoIncomplete`] or
/// the interrupt's.
pub fn apply(session: &Session, verb: &str, name: &str, plan: Plan, report: &mut Report) -> Result<(), Failure> {
    if plan.is_empty() {
        return Ok(());
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
    let system = session.system();
    let intent = Intent::new(verb, name, plan, system).map_err(nothing_done)?;
    let journal = Journal::write(session.state(), &intent, system).map_err(nothing_done)?;
    let run = Run {
        hands: Hands { session },
        intent: &intent,
        journal: &journal,
    };
    match run.forward(report) {
        Ok(()) => Ok(()),
        Err((begun, failure)) => Err(run.backward(begun, failure, report)),
    }
}

/// Finishes or undoes what an earlier run left, and says so.
pub fn recover(session: &Session, found: &Found, report: &mut Report) -> Result<(), Failure> {
    let intent = &found.intent;
    let run = Run {
        hands: Hands { session },
        intent,
        journal: &found.journal,
    };
    if found.is_committed {
        report.note(&format!(
            "an earlier {} of {} was complete; its journal is removed",
            intent.verb, intent.name
        ));
        return run.close();
    }
    report.note(&format!(
        "an earlier {} of {} was interrupted: undoing it",
        intent.verb, intent.name
    ));
    if run.is_untouched(found.begun) {
        return run.close();
    }
    // A kill loses no mark; a power cut may, and an undo of what was not done does no harm.
    let is_same_boot = intent.boot == journal::boot_id(session.system());
    let begun = if is_same_boot {
        found.begun
    } else {
        intent.plan.steps.len()
    };
    let errors = run.undo(begun, report);
    if errors.is_empty() {
        return run.close();
    }
    Err(run.incomplete("an earlier run was interrupted", &errors))
}

/// Does what the plan says, with nothing to undo: a start, a stop. The error is the step's own.
pub fn perform(session: &Session, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let hands = Hands { session };
    for step in &plan.steps {
        hands.heed_interrupt()?;
        report.begin(step);
        let evidence = hands.perform(step, false, report)?;
        report.done(step, &evidence);
    }
    Ok(())
}

/// One plan under way.
struct Run<'a> {
    hands: Hands<'a>,
    intent: &'a Intent,
    journal: &'a Journal,
}

impl Run<'_> {
    fn system(&self) -> &dyn System {
        self.hands.session.system()
    }

    /// Every step in order; an error comes with the number of steps that were begun.
    fn forward(&self, report: &mut Report) -> Result<(), (usize, Failure)> {
        for (number, step) in self.intent.plan.steps.iter().enumerate() {
            let at = |begun| move |failure| (begun, failure);
            self.hands.heed_interrupt().map_err(at(number))?;
            self.mark(Mark::Begun(number)).map_err(at(number))?;
            report.begin(step);
            let evidence = self.hands.perform(step, false, report).map_err(at(number + 1))?;
            report.done(step, &evidence);
            self.mark(Mark::Done(number)).map_err(at(number + 1))?;
        }
        let all = self.intent.plan.steps.len();
        self.mark(Mark::Committed).map_err(|failure| (all, failure))?;
        // From here on it is done, whatever happens: a journal that stays says so itself.
        self.close().or_else(|failure| {
            report.warn(&failure.message);
            Ok(())
        })
    }

    /// Undoes, and makes of the failure what the user is told.
    fn backward(&self, begun: usize, failure: Failure, report: &mut Report) -> Failure {
        report.failed(&failure);
        let errors = if begun == 0 {
            Vec::new()
        } else {
            self.undo(begun, report)
        };
        if !errors.is_empty() {
            return self.incomplete(&failure.message, &errors);
        }
        if let Err(left) = self.close() {
            return left;
        }
        let undone = if begun == 0 {
            "Nothing was changed."
        } else if self.intent.plan.replaces {
            "Undone: the earlier version is back. The app's own files are yours: if they were changed in place, they still are."
        } else {
            "Undone: nothing is left of it."
        };
        Failure {
            message: format!("{}\n{undone}", failure.message),
            ..failure
        }
    }

    /// Undoes the steps that were begun: takes back, in reverse order, what came after the first [`Step::OnRollback`]; does
    /// what those say, in order; then takes back the rest.
    fn undo(&self, begun: usize, report: &mut Report) -> Vec<String> {
        let steps = &self.intent.plan.steps[..begun];
        let is_kept = |step: &Step| matches!(step, Step::OnRollback(_));
        let (early, late) = steps.split_at(steps.iter().position(is_kept).unwrap_or(steps.len()));
        let mut errors = self.take_back_all(late, report);
        for step in late {
            if let Step::OnRollback(step) = step {
                report.undo(step);
                if let Err(failure) = self.hands.perform(step, true, report) {
                    errors.push(format!("{step}: {}", failure.message));
                }
            }
        }
        errors.extend(self.take_back_all(early, report));
        errors
    }

    fn take_back_all(&self, steps: &[Step], report: &mut Report) -> Vec<String> {
        steps
            .iter()
            .rev()
            .filter_map(|step| self.take_back(step, report).err())
            .collect()
    }

    fn take_back(&self, step: &Step, report: &mut Report) -> Result<(), String> {
        if let Step::Run { undo: Some(undo), .. } = step {
            report.undo(undo);
            let done = self.hands.perform(undo, true, report);
            return done.map(drop).map_err(|failure| format!("{undo}: {}", failure.message));
        }
        let Some(path) = step.path() else { return Ok(()) };
        let Some((_, before)) = self.intent.before.iter().find(|(at, _)| at == path) else {
            return Ok(());
        };
        before
            .restore(path, self.system())
            .map_err(|error| format!("{} could not be put back: {error}", path.display()))
    }

    fn mark(&self, mark: Mark) -> Result<(), Failure> {
        self.journal.mark(mark, self.system()).map_err(|error| {
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
