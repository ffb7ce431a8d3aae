//! What does a step.

use std::{path::Path, time::Duration};

use super::wait::Waits;
use crate::{
    backend::{Backend, conditions},
    exit::{Exit, Failure},
    plan::{Condition, Step, Task},
    platform::{self, Signal},
    report::Report,
    session::Session,
    system::Cmd,
};

/// One session's hands, for what one target has planned.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) backend: &'a dyn Backend,
    /// Whether our own program may be moved out of its place: not by a run that finishes another one, which goes on after it.
    pub(super) goes_aside: bool,
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
            Step::Provide { folder } if system.target(&folder.path).map_err(failed)?.is_none() => {
                const ITS_OWN: u32 = 0o750;
                system.make_folder(&folder.path, ITS_OWN).map_err(failed)?;
                if system.euid() == 0 {
                    system.set_owner(&folder.path, folder.uid, folder.gid).map_err(failed)?;
                }
            }
            // What only its owner reads, nobody reads before the lock is free again.
            Step::WriteFile {
                path,
                text,
                mode: 0o600,
            } => {
                system.create_file(path, text.as_bytes(), 0o600).map_err(failed)?;
            }
            Step::WriteFile { path, text, mode } => system.write_file(path, text.as_bytes(), *mode).map_err(failed)?,
            Step::WriteBytes { path, bytes, mode, .. } => system.write_file(path, bytes, *mode).map_err(failed)?,
            // What is not there any more is nobody's.
            Step::Share { path, .. } if steadfast && system.entry(path).map_err(failed)?.is_none() => {}
            Step::Share { path, share } => share
                .known(system)
                .and_then(|share| system.share(path, &share))
                .map_err(failed)?,
            Step::Approve { link, scope, value } => {
                system.set_approval(link, *scope, value.as_deref()).map_err(failed)?;
            }
            Step::Copy { from, path, mode } => system.copy(from, path, *mode).map_err(failed)?,
            Step::Link { path, target } => system.link(path, target).map_err(failed)?,
            Step::Remove { path } => system.remove(path).map_err(failed)?,
            Step::Rmdir { path } => {
                system.remove_folder(path).map_err(failed)?;
            }
            Step::Discard { paths, patience } => {
                let until = system.monotonic() + *patience;
                let errors = paths.iter().filter_map(|path| {
                    let error = self.discard(path, until, report).err()?;
                    Some(format!("{}: {error}", path.display()))
                });
                let errors: Vec<_> = errors.collect();
                if !errors.is_empty() {
                    return Err(Failure::new(
                        Exit::Failed,
                        format!("cannot remove {}", errors.join(", ")),
                    ));
                }
            }
            Step::Run { cmd, only_if } => {
                let Some(cmd) = self.narrowed(cmd, only_if.as_ref())? else {
                    return Ok("not needed".into());
                };
                let mut output = system.run(&cmd, steadfast).map_err(failed)?;
                if let Some(again) = self.backend.instead(&cmd, &output) {
                    output = system.run(&again, steadfast).map_err(failed)?;
                }
                if !self.backend.has_done(&cmd, &output) {
                    return Err(self.backend.explain(system, &cmd, &output));
                }
            }
            Step::Launch { cmd } => {
                system.run(cmd, steadfast).map_err(failed)?;
            }
            Step::Await { .. } => {
                let task = Task {
                    of: None,
                    step: step.clone(),
                };
                let mut waits = Waits::begin(*self, std::slice::from_ref(&task), steadfast);
                while let Some(mut ended) = waits.round(report)? {
                    if let Some((_, end)) = ended.pop() {
                        return end;
                    }
                }
            }
            Step::Mkdir { .. } | Step::Provide { .. } | Step::Finally(_) | Step::OnUndo(_) | Step::OnRollback(_) => {}
        }
        Ok(String::new())
    }

    /// Removes what may be held by somebody, until then at most (on the monotonic clock); our own program, which we hold ourselves,
    /// goes out of the way.
    fn discard(&self, path: &Path, until: Duration, report: &mut Report) -> std::io::Result<()> {
        const LOOK: Duration = Duration::from_millis(200);
        let system = self.session.system();
        let start = system.monotonic();
        loop {
            match system.discard(path) {
                Err(error) if platform::is_in_use(&error) => {}
                done => return done,
            }
            if self.goes_aside
                && let Some((path, goes)) = system.put_aside(path)
            {
                report.note(&aside(&path, goes));
                return Ok(());
            }
            let now = system.monotonic();
            if now >= until || system.interrupted().is_some() {
                report.note(&format!("left, it is in use: {}", path.display()));
                return Ok(());
            }
            let reason = format!("{} is in use", path.display());
            report.waiting(&reason, now.saturating_sub(start), until.saturating_sub(start));
            system.sleep(LOOK);
        }
    }

    /// A command, for those of its units that the condition holds of; none if it is not to be run.
    fn narrowed(&self, cmd: &Cmd, only_if: Option<&Condition>) -> Result<Option<Cmd>, Failure> {
        let system = self.session.system();
        let Some(condition) = only_if else {
            return Ok(Some(cmd.clone()));
        };
        if cmd.units.is_empty() {
            let holds = conditions::holds(self.backend, system, condition)?;
            return Ok(holds.then(|| cmd.clone()));
        }
        let units = conditions::those(self.backend, system, condition, &cmd.units)?;
        Ok((!units.is_empty()).then(|| Cmd { units, ..cmd.clone() }))
    }

    pub(super) fn heed_interrupt(&self) -> Result<(), Failure> {
        match self.session.system().interrupted() {
            None => Ok(()),
            Some(Signal::Interrupt) => Err(Failure::new(Exit::Interrupted, "interrupted")),
            Some(Signal::Terminate) => Err(Failure::new(Exit::Terminated, "terminated")),
        }
    }
}

/// Where our own program is, that was moved out of the way.
fn aside(path: &Path, goes: bool) -> String {
    let path = path.display();
    if goes {
        return format!("our own program runs: it goes with the next start, from {path}");
    }
    format!("our own program runs: remove it by hand, it is now {path}")
}

/// The step as its error begins: `cannot write /etc/…`.
fn imperative(step: &Step) -> String {
    let line = step.to_string();
    format!("cannot {}", line.split_whitespace().collect::<Vec<_>>().join(" "))
}
