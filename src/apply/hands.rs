//! What does a step.

use std::{path::Path, time::Duration};

use super::UNDO_DEADLINE;
use crate::{
    backend::{Answer, evidence},
    exit::{Exit, Failure},
    plan::{Condition, Step},
    platform::Signal,
    report::Report,
    session::Session,
    system::{EntryKind, System},
};

/// One session's hands.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    pub(super) session: &'a Session<'a>,
}

impl Hands<'_> {
    /// Does one step. `steadfast`: an interrupt does not stop it (the undo must end).
    pub(super) fn perform(&self, step: &Step, steadfast: bool, report: &mut Report) -> Result<String, Failure> {
        let system = self.session.system();
        let failed = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::Interrupted
                && let Err(interrupt) = self.heed_interrupt()
            {
                return interrupt;
            }
            Failure::new(Exit::Failed, format!("{}: {error}", imperative(step)))
        };
        match step {
            Step::Mkdir { path, mode } if system.target(path).map_err(failed)?.is_none() => {
                system.make_folder(path, *mode).map_err(failed)?;
            }
            Step::WriteFile { path, text, mode } => system.write_file(path, text.as_bytes(), *mode).map_err(failed)?,
            Step::Link { path, target } => system.link(path, target).map_err(failed)?,
            Step::Remove { path } => system.remove(path).map_err(failed)?,
            Step::Rmdir { path } => {
                system.remove_folder(path).map_err(failed)?;
            }
            Step::Discard { paths } => paths
                .iter()
                .try_for_each(|path| discard(system, path))
                .map_err(failed)?,
            Step::Run { cmd, only_if, .. } => {
                let backend = self.session.backend();
                if let Some(condition) = only_if
                    && !matches!(backend.check(system, condition)?, Answer::Yes(_))
                {
                    return Ok("not needed".into());
                }
                let output = system.run(cmd, steadfast).map_err(failed)?;
                if !output.is_ok() {
                    return Err(backend.explain(system, cmd, &output));
                }
            }
            Step::Await { condition, deadline } => {
                let deadline = if steadfast {
                    UNDO_DEADLINE.max(*deadline)
                } else {
                    *deadline
                };
                return self.wait(condition, deadline, steadfast, report);
            }
            Step::Mkdir { .. } | Step::OnRollback(_) => {}
        }
        Ok(String::new())
    }

    /// Asks again and again, soon at first and then less often.
    fn wait(
        &self,
        condition: &Condition,
        deadline: Duration,
        steadfast: bool,
        report: &mut Report,
    ) -> Result<String, Failure> {
        let (system, backend) = (self.session.system(), self.session.backend());
        let start = system.monotonic();
        let mut pause = Duration::from_millis(20);
        let longest = match condition {
            Condition::Ready { readiness, .. } if readiness.probe.is_some() => readiness.interval,
            _ => Duration::from_millis(500),
        };
        loop {
            let reason = match backend.check(system, condition)? {
                Answer::Yes(_) => {
                    let took = system.monotonic().saturating_sub(start);
                    return Ok(format!("after {:.1} s", took.as_secs_f64()));
                }
                Answer::NotYet(reason) => reason,
            };
            let waited = system.monotonic().saturating_sub(start);
            if waited >= deadline {
                return Err(evidence::too_late(backend, system, condition, deadline, &reason));
            }
            report.waiting(&reason, waited, deadline);
            if steadfast {
                std::thread::sleep(pause);
            } else {
                system.sleep(pause);
                self.heed_interrupt()?;
            }
            pause = (pause * 3 / 2).min(longest);
        }
    }

    pub(super) fn heed_interrupt(&self) -> Result<(), Failure> {
        match self.session.system().interrupted() {
            None => Ok(()),
            Some(Signal::Interrupt) => Err(Failure::new(Exit::Interrupted, "interrupted")),
            Some(Signal::Terminate) => Err(Failure::new(Exit::Terminated, "terminated")),
        }
    }
}

fn discard(system: &dyn System, path: &Path) -> std::io::Result<()> {
    match system.entry(path)?.map(|entry| entry.kind) {
        Some(EntryKind::Folder) => system.remove_folder(path).map(drop),
        Some(_) => system.remove(path),
        None => Ok(()),
    }
}

/// The step as its error begins: `cannot write /etc/…`.
fn imperative(step: &Step) -> String {
    let line = step.to_string();
    format!("cannot {}", line.split_whitespace().collect::<Vec<_>>().join(" "))
}
