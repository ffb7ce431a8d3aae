//! The steps that install, start and remove what begins an app.

use std::{path::PathBuf, time::Duration};

use super::{Anchor, AppState, Kind, place};
use crate::{
    backend::{Install, State},
    exit::{Exit, Failure},
    journal::Before,
    plan::Step,
    receipt::{self, Receipt},
    render::Artefact,
    service::{Method, RunAs, Scope, Service, Trigger},
    session::missing_folders,
    supervisor::Rooms,
    system::{Cmd, Probe, Share},
};

impl Anchor {
    /// Folders that are missing, beyond those of the records.
    pub fn missing(&self, look: &dyn Probe) -> Vec<PathBuf> {
        let mut missing = missing_folders(look, &place::folder(&self.folders, self.scope));
        if self.method == Method::StartupFolder {
            missing.extend(missing_folders(look, self.startup()));
        }
        missing
    }

    /// What is there of our own program.
    pub fn place(&self, look: &dyn Probe, receipts: &[Receipt]) -> super::Place {
        let needed = receipts
            .iter()
            .filter_map(|receipt| Some((receipt.name.clone(), receipt.program.clone()?)));
        let folder = place::folder(&self.folders, self.scope);
        let is_bare = |receipt: &&Receipt| receipt.program.is_none() && receipt.backend == super::TASK;
        super::Place {
            bare: receipts
                .iter()
                .filter(is_bare)
                .map(|receipt| receipt.name.clone())
                .collect(),
            everybodys: receipts
                .iter()
                .filter(|receipt| receipt.is_everybodys)
                .map(|receipt| receipt.name.clone())
                .collect(),
            needs: receipts
                .iter()
                .map(|receipt| (receipt.name.clone(), receipt.needs.clone()))
                .collect(),
            ..super::Place::look(look, self.program.clone(), &folder, needed.collect())
        }
    }

    /// What all apps under our supervisor need: our own program.
    pub fn put_program(&self, state: &State) -> Vec<Step> {
        state.scope.place.put(&self.own)
    }

    /// Removes versions of our own program that no app needs any more. `gone`: those that need none from now on; `here`: whether the
    /// one of now is needed; `patience`: with those who run one still.
    pub fn sweep(state: &State, gone: &[&str], is_here: bool, patience: Duration) -> Option<Step> {
        state.scope.place.sweep(&|app| !gone.contains(&app), is_here, patience)
    }

    /// Refuses what cannot be installed as it is meant.
    pub fn refuse(&self, service: &Service, state: &State, app: &AppState, options: &Install) -> Result<(), Failure> {
        let name = &service.name;
        let no = |message: String, repair: &str| {
            let message = format!("{name}: {message}\nNothing was changed.");
            Err(Failure::new(Exit::Failed, message).repair(repair))
        };
        self.refuse_foreign(service, app, options)?;
        if app.anchored.is_other && !options.force {
            return no(
                format!(
                    "its task was changed by hand since: it starts something else, or at another occasion (schtasks /query /tn {name} /xml)"
                ),
                "put the change into the manifest, or overwrite it with --force",
            );
        }
        self.refuse_elevated(service)?;
        self.refuse_everybodys(service, app)?;
        self.refuse_bare(service)?;
        let was_bare = app.service().is_some_and(|old| self.is_bare(old));
        if app.receipt.is_some() && app.live.is_up() && !options.start && was_bare != self.is_bare(service) {
            return no(
                "windows.supervised changes while it runs: without a start nothing would tell how it is".into(),
                "leave --no-start out, or stop it first",
            );
        }
        match &state.scope.session {
            Some((own, session)) if self.scope == Scope::User && service.windows.trigger == Trigger::Logon => no(
                format!("we run as {own}, but {session} has logged on: it would start when {own} does"),
                "run it as the user who logs on, in a console that is not elevated as somebody else",
            ),
            Some((own, session)) if service.is_everybodys() && options.start => no(
                format!("we run as {own}, but {session} has logged on: what is started now would be {own}'s instance"),
                "add --no-start: it is started for whoever logs on next",
            ),
            _ => Ok(()),
        }
    }

    /// Folders of an app that its account writes to, and could not make.
    pub fn folders(rooms: &Rooms) -> impl Iterator<Item = PathBuf> {
        let logs = rooms.log.parent().map(PathBuf::from);
        [Some(rooms.folder.clone()), logs].into_iter().flatten()
    }

    /// Gives them to the account: of the machine's records it has only these. Whoever logs on may read what is started.
    pub fn shares(&self, service: &Service, rooms: &Rooms, installed: PathBuf) -> Vec<Step> {
        if service.is_everybodys() {
            let (path, share) = (installed, Share::Public);
            return vec![Step::Share { path, share }];
        }
        let RunAs::User { user, .. } = account(service) else {
            return Vec::new();
        };
        if self.scope == Scope::User || self.is_bare(service) {
            return Vec::new();
        }
        let share = |path: PathBuf, how: fn(String) -> Share| Step::Share {
            path,
            share: how(user.clone()),
        };
        // SYSTEM may write everywhere: for it they say that nobody else may, whoever it was for before.
        let logs = rooms.log.parent();
        let logs = logs.map(|logs| share(logs.to_path_buf(), Share::Writes));
        let mut steps = vec![
            share(installed, Share::Reads),
            share(rooms.folder.clone(), Share::WritesInPublic),
        ];
        steps.extend(logs);
        steps
    }

    /// What of it is written, or registered.
    pub fn put(&self, service: &Service, artefact: &Artefact, app: &AppState, options: &Install) -> Vec<Step> {
        let name = &service.name;
        let mut steps = Vec::new();
        if self.is_due(service, app, artefact, options.force) {
            steps.push(Step::WriteBytes {
                path: self.unit(name),
                bytes: artefact.bytes.clone(),
                mode: 0o644,
                shown: artefact.text.clone(),
            });
            if self.method == Method::Task {
                let task = self.task(name);
                if !app.anchored.is_there {
                    steps.push(Step::run(task.delete()).on_undo());
                }
                steps.push(Step::run(task.create(&self.unit(name))));
            }
        }
        if self.method == Method::StartupFolder && app.anchored.is_off && options.force {
            steps.extend(self.approve(name, app.anchored.approval.clone(), None));
        }
        steps
    }

    /// Changes what was decided about a shortcut.
    fn approve(&self, app: &str, before: Option<Vec<u8>>, from_now: Option<Vec<u8>>) -> Vec<Step> {
        let approve = |value| Step::Approve {
            link: Self::link(app),
            scope: self.scope,
            value,
        };
        vec![approve(before).on_undo(), approve(from_now)]
    }

    /// Somebody disabled it, and it stays so: what runs by now, runs on.
    pub fn settle(&self, service: &Service, artefact: &Artefact, app: &AppState, options: &Install) -> Option<Step> {
        let is_kept_off = self.method == Method::Task && app.anchored.is_off && !options.force;
        let is_due = is_kept_off && self.is_due(service, app, artefact, false);
        is_due.then(|| Step::run(self.task(&service.name).disable()))
    }

    /// Starts an app that does not run. `own`: our command of this verb.
    pub fn begin(&self, name: &str, program: Option<&PathBuf>, kind: Kind, own: &dyn Fn(&str) -> Cmd) -> Vec<Step> {
        match self.method {
            // In whose session the Task Scheduler runs a task of a group, and whether a user may have it do so, is not documented.
            Method::Task if kind != Kind::Everybodys => vec![Step::run(self.task(name).run()), Step::run(own("await"))],
            _ => {
                let mut cmd = own("start");
                cmd.program = program.unwrap_or(&self.program).to_string_lossy().into_owned();
                vec![Step::run(cmd)]
            }
        }
    }

    /// Removes it; what was there before it was taken over, is there again.
    pub fn remove(&self, receipt: &Receipt, app: &AppState) -> Vec<Step> {
        let (name, path) = (&receipt.name, receipt.unit.clone());
        let original = app.original.as_ref();
        let before = original.and_then(|original| match &original.unit {
            Before::File { bytes, .. } => Some(bytes),
            _ => None,
        });
        let mut steps = Vec::new();
        match (self.method, before) {
            (Method::Task, Some(bytes)) => {
                let is_away = !app.anchored.is_there;
                steps.extend(is_away.then(|| Step::run(self.task(name).delete()).on_undo()));
                steps.extend(self.put_back(name, bytes));
                steps.push(Step::Remove { path });
            }
            (Method::Task, None) => {
                let is_there = app.anchored.is_there;
                steps.extend(is_there.then(|| Step::run(self.task(name).delete())));
                steps.push(Step::Remove { path });
            }
            (Method::StartupFolder, before) => {
                steps.push(match before {
                    Some(bytes) => Step::WriteBytes {
                        path,
                        bytes: bytes.clone(),
                        mode: 0o644,
                        shown: "the shortcut as it was".into(),
                    },
                    None => Step::Remove { path },
                });
                let approval = original.and_then(|original| original.approval.clone());
                if app.anchored.approval != approval {
                    steps.extend(self.approve(name, app.anchored.approval.clone(), approval));
                }
            }
        }
        steps
    }

    /// What the receipt says of it.
    pub fn note(&self, service: &Service, receipt: &mut Receipt, artefact: &Artefact) {
        receipt.unit = self.unit(&receipt.name);
        receipt.digest = receipt::digest(&artefact.bytes);
        let is_bare = self.is_bare(service);
        receipt.program = Some(self.program.clone()).filter(|_| !is_bare);
        receipt.is_watched &= !is_bare;
    }
}

/// Whom it runs as there.
fn account(service: &Service) -> RunAs {
    match &service.run_as {
        RunAs::Dynamic => RunAs::User {
            user: "LocalService".into(),
            group: None,
        },
        run_as => run_as.clone(),
    }
}
