//! An app that a task starts itself (`windows.supervised = false`): nobody of ours keeps it. What is known of it is what the Task
//! Scheduler tells, and what its own probe answers.

use std::time::Duration;

use super::{Anchor, AppState, Live, tasks};
use crate::{
    backend::{State, Wanted},
    exit::{Exit, Failure},
    plan::{Condition, Step},
    receipt::Receipt,
    render,
    service::{Method, Service, StartType},
    system::Probe,
};

/// The Task Scheduler first asks a window to close, and ends the process then.
const END: Duration = Duration::from_secs(30);

/// Who keeps an app, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A supervisor of ours.
    Kept,
    /// The same, one for each user who logs on.
    Everybodys,
    /// Nobody of ours.
    Bare,
}

impl Kind {
    fn of(is_bare: bool, is_everybodys: bool) -> Self {
        if is_bare {
            Self::Bare
        } else if is_everybodys {
            Self::Everybodys
        } else {
            Self::Kept
        }
    }
}

impl Anchor {
    /// Whether the app itself is what is started.
    pub fn is_bare(&self, service: &Service) -> bool {
        self.method == Method::Task && !service.windows.is_supervised
    }

    /// What becomes of it once it is begun.
    pub fn kind(&self, service: &Service) -> Kind {
        Kind::of(self.is_bare(service), service.is_everybodys())
    }

    /// The same, as its receipt says it: what is bare needs no program of ours.
    pub fn kind_by(&self, receipt: &Receipt) -> Kind {
        let is_bare = self.method == Method::Task && receipt.program.is_none();
        Kind::of(is_bare, receipt.is_everybodys)
    }

    /// Ends it, and waits until the Task Scheduler knows that.
    pub fn end_bare(&self, app: &str) -> Vec<Step> {
        let condition = Condition::Stopped { unit: app.into() };
        let gone = Step::Await {
            condition,
            deadline: END,
        };
        vec![Step::run(self.task(app).end()), gone]
    }

    /// How it is, by its last result: a number in every language.
    pub fn live_bare(&self, look: &dyn Probe, app: &str) -> Live {
        let task = self.task(app);
        let last = task.last_result(look);
        let mut live = Live {
            load: "loaded".into(),
            ..Live::unknown(app)
        };
        let (active, sub) = match last {
            Some(tasks::RUNNING) => ("active", "running"),
            Some(tasks::QUEUED) => ("activating", "queued"),
            Some(tasks::READY | tasks::OFF | tasks::NEVER | tasks::ENDED | 0) => ("inactive", "dead"),
            Some(_) => ("failed", "failed"),
            None if task.registered(look, &self.folders.system).is_there() => ("unknown", "unknown"),
            None => ("inactive", "dead"),
        };
        (live.active, live.sub) = (active.into(), sub.into());
        if let Some(code) = last.filter(|&code| code == 0 || active == "failed") {
            live.last_exit = (1, code);
        }
        if active == "failed" {
            live.result = "exit-code".into();
        }
        live
    }

    /// Whether the Task Scheduler has begun it. `before`: its last result when that was asked first; one that says how it ended is
    /// taken for the end of this run if it is another, or once it had its time.
    pub fn has_begun_bare(&self, look: &dyn Probe, app: &str, before: Option<u32>, waited: Duration) -> bool {
        const TIME: Duration = Duration::from_secs(10);
        match self.last_result(look, app) {
            Some(tasks::RUNNING) => true,
            Some(tasks::QUEUED | tasks::READY | tasks::OFF | tasks::NEVER | tasks::ENDED) | None => false,
            last => last != before || waited > TIME,
        }
    }

    /// Refuses to have a supervisor wait for what it does not see: everybody's instances lie apart from what runs once.
    fn refuse_apart(wanted: &[Wanted], state: &State) -> Result<(), Failure> {
        let is_everybodys = |name: &str| match named(wanted, name) {
            Some(wanted) => wanted.service.is_everybodys(),
            None => state.scope.place.everybodys.iter().any(|app| app == name),
        };
        for (name, needs) in needs(wanted, state) {
            let is_apart = |needed: &&String| is_everybodys(needed) != is_everybodys(name);
            let Some(needed) = needs.iter().find(is_apart) else {
                continue;
            };
            let which = if is_everybodys(name) { name } else { needed };
            let message = format!(
                "{name}: it requires {needed}, but only {which} has an instance for each user who logs on: neither would see the other\nNothing was changed."
            );
            return Err(Failure::new(Exit::Failed, message)
                .repair("wait for its address with dependencies.wait_for in place of requires"));
        }
        Ok(())
    }

    /// Refuses what is for whoever logs on where it could not be kept apart: from what it was, and from who it is for.
    pub(super) fn refuse_everybodys(&self, service: &Service, app: &AppState) -> Result<(), Failure> {
        let no = |message: &str, repair: String| {
            let message = format!("{}: {message}\nNothing was changed.", service.name);
            Err(Failure::new(Exit::Failed, message).repair(repair))
        };
        let is_everybodys = service.is_everybodys();
        if app
            .receipt
            .as_ref()
            .is_some_and(|old| old.is_everybodys != is_everybodys)
        {
            return no(
                "it runs once for the machine, or for whoever logs on, and is installed the other way: what runs would not be found any more",
                format!(
                    "uninstall it first: autoglm-boot uninstall {} {}",
                    service.name,
                    self.scope.flag()
                ),
            );
        }
        if is_everybodys && service.windows.is_elevated {
            return no(
                "windows.elevated for whoever logs on: a supervisor with all privileges would write its log where everything that runs as that user can put something else",
                "leave windows.elevated out; or trigger = \"boot\", where only administrators write".into(),
            );
        }
        Ok(())
    }

    /// Refuses an app whose state nothing would tell.
    pub(super) fn refuse_bare(&self, service: &Service) -> Result<(), Failure> {
        if service.windows.is_supervised {
            return Ok(());
        }
        let no = |why: &str, repair: &str| {
            let message = format!(
                "{}: windows.supervised = false: {why}\nNothing was changed.",
                service.name
            );
            Err(Failure::new(Exit::Failed, message).repair(repair))
        };
        if self.method == Method::StartupFolder {
            return no(
                "in the Startup folder it is rendered by this version, but not installed: nothing would tell whether the app runs, nor end it",
                "leave it out, or windows.method = \"task\"; or autoglm-boot render, and copy the shortcut",
            );
        }
        if service.is_everybodys() {
            return no(
                "for whoever logs on it is rendered by this version, but not installed: of several instances the Task Scheduler does not tell whose runs",
                "leave it out; or autoglm-boot render, and schtasks /create /xml",
            );
        }
        if service.start_type == StartType::Oneshot {
            return no(
                "a \"oneshot\" is rendered by this version, but not installed: nothing would tell whether it has done its work",
                "leave it out; or autoglm-boot render, and schtasks /create /xml",
            );
        }
        if service.readiness.probe.is_none() {
            return no(
                "without a probe nothing would tell when the app is ready",
                "write [readiness] with http, tcp, file or command; or leave it out",
            );
        }
        Ok(())
    }

    /// Refuses to let a user's task start our supervisor with a full token: whatever runs as that user could replace what it is
    /// made of, and so be let through without a question (User Account Control asks for nothing where a task says so).
    pub(super) fn refuse_elevated(&self, service: &Service) -> Result<(), Failure> {
        if !render::is_open_to_its_user(service) {
            return Ok(());
        }
        let folder = self.records.display();
        let message = format!(
            "{}: windows.elevated with --user: the task would start our program with all privileges, from {folder}, which everything that runs as this user can change.\nNothing was changed.",
            service.name
        );
        Err(Failure::new(Exit::Failed, message).repair(
            "install it for the machine (--system, trigger = \"boot\"), where only administrators write; or leave windows.elevated out",
        ))
    }

    /// Refuses to have one of our supervisors wait for what is bare: it would wait for ever.
    pub fn refuse_waiting(&self, wanted: &[Wanted], state: &State) -> Result<(), Failure> {
        Self::refuse_apart(wanted, state)?;
        let is_bare = |name: &str| match named(wanted, name) {
            Some(wanted) => self.is_bare(&wanted.service),
            None => state.scope.place.bare.iter().any(|app| app == name),
        };
        for (name, needs) in needs(wanted, state).filter(|(name, _)| !is_bare(name)) {
            if let Some(needed) = needs.iter().find(|needed| is_bare(needed)) {
                let message = format!(
                    "{name}: it requires {needed}, which a task starts without our supervisor (windows.supervised = false): nothing would tell it when {needed} is ready\nNothing was changed."
                );
                return Err(Failure::new(Exit::Failed, message).repair(
                    "leave windows.supervised out there, or wait for its address with dependencies.wait_for in place of requires",
                ));
            }
        }
        Ok(())
    }
}

fn named<'a>(wanted: &'a [Wanted], name: &str) -> Option<&'a Wanted> {
    wanted.iter().find(|wanted| wanted.service.name == name)
}

/// What other apps each app will require: those that are wanted, and those that stay as they are.
fn needs<'a>(wanted: &'a [Wanted], state: &'a State) -> impl Iterator<Item = (&'a String, &'a Vec<String>)> {
    let ours = wanted
        .iter()
        .map(|wanted| (&wanted.service.name, &wanted.service.dependencies.apps));
    let theirs = state.scope.place.needs.iter().map(|(name, needs)| (name, needs));
    ours.chain(theirs.filter(|(name, _)| named(wanted, name).is_none()))
}
