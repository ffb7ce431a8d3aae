//! What begins our supervisor on Windows, where the embedded one alone is begun by nobody: a task of the Task Scheduler, or a
//! shortcut in the Startup folder. The rest is the supervisor's, as everywhere ([`super::embedded`]).

use std::path::{Path, PathBuf};

use super::{AppState, AtPath, Live};
use crate::{
    exit::Failure,
    host::Host,
    receipt::{Receipt, Store},
    render::{self, Artefact},
    service::{Method, Scope, Service},
    system::{Cmd, Folders, Probe},
};

mod adopt;
mod bare;
mod kept;
mod place;
mod steps;
pub mod tasks;

pub use bare::Kind;
pub use place::Place;
use tasks::Task;
pub use tasks::{Bounds, Facts};

/// As receipts and `--backend` name them.
pub const TASK: &str = "task";
/// See [`TASK`].
pub const STARTUP_FOLDER: &str = "startup-folder";

/// The word for a method, and back.
pub fn name(method: Method) -> &'static str {
    match method {
        Method::Task => TASK,
        Method::StartupFolder => STARTUP_FOLDER,
    }
}

/// The method of this name.
pub fn method(name: &str) -> Option<Method> {
    [Method::Task, Method::StartupFolder]
        .into_iter()
        .find(|&method| self::name(method) == name)
}

/// What begins supervisors: by one method, in one scope.
#[derive(Debug, Clone)]
pub struct Anchor {
    pub(super) method: Method,
    scope: Scope,
    folders: Folders,
    /// The program that tasks and shortcuts start.
    program: PathBuf,
    /// This program.
    own: PathBuf,
    records: PathBuf,
}

/// What is seen of what begins one app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is seen")]
pub struct Anchored {
    /// Whether it is there.
    pub is_there: bool,
    /// Whether somebody has switched it off.
    pub is_off: bool,
    /// Whether the Task Scheduler starts something else than what was installed.
    pub is_other: bool,
    /// What was decided about a shortcut, as it is written.
    pub approval: Option<Vec<u8>>,
    /// Whether a task that is not ours runs.
    pub is_running: bool,
    /// The XML that the Task Scheduler has, where it is known to be whole; what a shortcut starts that is not ours.
    pub told: Option<String>,
    /// What the Task Scheduler has of it, as far as it tells.
    pub stored: Option<Facts>,
    /// What of it was installed.
    pub installed: Option<Facts>,
}

impl Anchored {
    /// Whether it is there, and not of the app with this receipt.
    pub fn is_foreign(&self, receipt: Option<&Receipt>) -> bool {
        self.is_there && receipt.is_none()
    }

    /// Whether its runs are bounded otherwise than it was installed: by hand, or by a policy.
    pub fn has_other_bounds(&self) -> bool {
        let both = self.stored.as_ref().zip(self.installed.as_ref());
        both.is_some_and(|(stored, installed)| stored.bounds != installed.bounds)
    }
}

impl Anchor {
    /// Of this machine; none where it is not Windows.
    pub fn new(host: &Host, method: Method, scope: Scope) -> Option<Self> {
        let folders = host.windows.clone()?;
        Some(Self {
            method,
            scope,
            program: place::of(host, &folders, scope),
            own: host.program.clone(),
            records: host.store(scope).root().to_path_buf(),
            folders,
        })
    }

    /// The target's name.
    pub fn name(&self) -> &'static str {
        name(self.method)
    }

    fn task(&self, app: &str) -> Task {
        Task::new(&self.folders.system, app)
    }

    /// The file that is installed.
    pub fn unit(&self, app: &str) -> PathBuf {
        match self.method {
            Method::Task => self.records.join("apps").join(app).join(format!("{app}.xml")),
            Method::StartupFolder => self.startup().join(Self::link(app)),
        }
    }

    fn link(app: &str) -> String {
        format!("{app}.lnk")
    }

    /// The Startup folder.
    pub fn startup(&self) -> &Path {
        match self.scope {
            Scope::System => &self.folders.common_startup,
            Scope::User => &self.folders.startup,
        }
    }

    /// What is installed.
    pub fn artefact(&self, service: &Service) -> Result<Artefact, Failure> {
        let program = self.program.to_string_lossy();
        match self.method {
            Method::Task => render::task(service, &program),
            Method::StartupFolder => Ok(render::shortcut(service, &program)),
        }
    }

    /// What is seen of what begins an app.
    pub fn look(&self, look: &dyn Probe, app: &str) -> Anchored {
        match self.method {
            Method::Task => {
                let theirs = self.task(app).registered(look, &self.folders.system);
                let ours = look
                    .read(&self.unit(app))
                    .ok()
                    .and_then(|bytes| Facts::of_bytes(&bytes));
                let facts = theirs.facts();
                let is_foreign = theirs.is_there() && !self.is_installed(look, app);
                let runs = || matches!(self.last_result(look, app), Some(tasks::RUNNING | tasks::QUEUED));
                Anchored {
                    is_there: theirs.is_there(),
                    is_running: is_foreign && runs(),
                    is_off: facts.is_some_and(|facts| !facts.is_enabled),
                    is_other: facts
                        .zip(ours.as_ref())
                        .is_some_and(|(theirs, ours)| !theirs.does_as(ours)),
                    approval: None,
                    told: theirs.text().map(str::to_owned),
                    stored: facts.cloned(),
                    installed: ours,
                }
            }
            Method::StartupFolder => {
                let approval = look.approval(&Self::link(app), self.scope).ok().flatten();
                let is_there = matches!(look.entry(&self.unit(app)), Ok(Some(_)));
                let is_foreign = is_there && !self.is_installed(look, app);
                Anchored {
                    is_there,
                    told: is_foreign.then(|| look.shortcut(&self.unit(app))).flatten(),
                    // An odd first byte means off (community sources; there is no documentation).
                    is_off: approval
                        .as_ref()
                        .and_then(|bytes| bytes.first())
                        .is_some_and(|first| first % 2 == 1),
                    is_other: false,
                    approval,
                    ..Anchored::default()
                }
            }
        }
    }

    fn is_installed(&self, look: &dyn Probe, app: &str) -> bool {
        Store::new(self.records.clone()).is_installed(app, look)
    }

    /// What lies at the unit's place.
    pub fn at_path(&self, look: &dyn Probe, app: &str) -> Option<AtPath> {
        look.read(&self.unit(app)).ok().map(|bytes| AtPath::File(bytes, 0o644))
    }

    /// Tells what begins an app, and whether it does.
    pub fn tell(&self, live: &mut Live, seen: &Anchored, app: &str, is_installed: bool) {
        live.enabled = if seen.is_there && !seen.is_off {
            "enabled"
        } else {
            "disabled"
        }
        .into();
        if seen.is_there && !is_installed {
            live.load = "loaded".into();
            live.fragment = Some(match self.method {
                Method::Task => PathBuf::from(format!("the task \\{app}")),
                Method::StartupFolder => self.unit(app),
            });
        }
    }

    /// What somebody decided about it, which an install does not undo.
    pub fn decided(&self, seen: &Anchored) -> Option<&'static str> {
        seen.is_off.then_some(match self.method {
            Method::Task => "its task was disabled by hand",
            Method::StartupFolder => "it was switched off among the startup apps (Task Manager)",
        })
    }

    /// The command in another form, where schtasks does not know the one word that is new to it: exit code 1, and not an
    /// `HRESULT`, which is what that word asks for.
    pub fn instead(cmd: &Cmd, code: i32) -> Option<Cmd> {
        let mut cmd = cmd.clone();
        (code == 1 && cmd.args.last().is_some_and(|word| word == tasks::HRESULT)).then(|| {
            cmd.args.pop();
            cmd
        })
    }

    /// Makes a failure of what schtasks said with its exit code.
    pub fn explain(cmd: &Cmd, code: i32, said: &str) -> Option<Failure> {
        tasks::explain(cmd, code, said)
    }

    /// Why the Task Scheduler did not start it, as far as that is known.
    pub fn last_result(&self, look: &dyn Probe, app: &str) -> Option<u32> {
        self.task(app).last_result(look)
    }

    /// The command that has the Task Scheduler start an app.
    pub fn run(&self, app: &str) -> Cmd {
        self.task(app).run()
    }

    /// Whether an app of this receipt is begun by this program as it is now; by none of ours if it is bare.
    fn is_current(&self, service: &Service, receipt: &Receipt) -> bool {
        receipt.program.as_ref() == Some(&self.program).filter(|_| !self.is_bare(service))
    }

    /// Whether it has to be written, or registered, anew. One that was disabled has to, to be started at all.
    pub fn is_due(&self, service: &Service, app: &AppState, artefact: &Artefact, is_forced: bool) -> bool {
        let is_changed = app.service() != Some(service);
        if self.method == Method::Task && app.anchored.is_off && (is_changed || is_forced) {
            return true;
        }
        if is_forced && app.anchored.has_other_bounds() {
            return true;
        }
        let is_same = matches!(&app.at_path, Some(AtPath::File(bytes, _)) if *bytes == artefact.bytes);
        let is_ours = app
            .receipt
            .as_ref()
            .is_some_and(|receipt| self.is_current(service, receipt));
        !is_same || !is_ours || !app.anchored.is_there || app.anchored.is_other
    }
}
