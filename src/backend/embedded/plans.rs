//! Plans for the embedded supervisor: pure functions of what was observed.

use std::{path::PathBuf, time::Duration};

use super::{Embedded, KILLED};
use crate::{
    backend::{
        AppState, AtPath, Backend, Control, Install, Live, State, Wanted,
        windows::{Anchor, Kind},
    },
    diff,
    exit::{Exit, Failure},
    history::{self, Records, Version},
    plan::{Condition, Plan, Step},
    receipt::{self, Receipt},
    render::Artefact,
    service::Service,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
const SLACK: Duration = Duration::from_secs(10);

/// What an install does for one app, beside its start.
#[derive(Default)]
struct Draft {
    records: Records,
    /// What begins it is put in place.
    placing: Vec<Step>,
    /// Once it has been started.
    settling: Option<Step>,
}

impl Embedded {
    /// Install: the checked manifests, the starts, the waits, the receipts; of these only what is not so yet.
    pub(super) fn plan_install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure> {
        let store = self.store();
        let (scope, apps) = (&state.scope, &state.apps);
        let mut record = scope.record.clone();
        record.add(options.created.iter().chain(&scope.missing));
        let mut plan = Plan {
            replaces: apps.iter().any(|app| app.receipt.is_some() || adopts(app)),
            requires: requires(wanted),
            ..Plan::default()
        };
        if apps.iter().any(|app| app.receipt.is_none()) {
            plan.shared([mkdir(store.apps())]);
        }
        plan.shared(scope.missing.iter().cloned().map(mkdir));
        if record != scope.record {
            plan.shared([receipt::write(store.record_path(), &record, 0o644)?]);
        }
        let has_supervised = wanted.iter().any(|wanted| self.kind(&wanted.service) != Kind::Bare);
        if let Some(anchor) = &self.anchor {
            anchor.refuse_waiting(wanted, state)?;
            plan.shared(has_supervised.then(|| anchor.put_program(state)).into_iter().flatten());
        }
        // The undo of all that was written comes before a start of what was there.
        let pairs = || wanted.iter().zip(apps);
        for (wanted, app) in pairs() {
            plan.of(&wanted.service.name, self.new_steps(&wanted.service, app));
        }
        for (wanted, app) in pairs() {
            if Self::writes(wanted, app) {
                plan.of(&wanted.service.name, self.shares_again(app));
            }
            if let Some(anchor) = &self.anchor
                && anchor.is_due(&wanted.service, app, &anchor.artefact(&wanted.service)?, options.force)
            {
                plan.of(&wanted.service.name, anchor.bring_back(app, &wanted.service.name));
            }
            if Self::restarts(Self::writes(wanted, app), app, options) {
                plan.of(&wanted.service.name, self.revival(app, Some(&wanted.service)));
            }
        }
        let mut waits = Vec::new();
        let mut receipts = Vec::new();
        for (wanted, app) in pairs() {
            let service = &wanted.service;
            let required = &service.dependencies.requires;
            if waits
                .iter()
                .any(|(unit, _)| required.contains(&format!("{unit}.service")))
            {
                for (unit, wait) in waits.drain(..) {
                    plan.of(unit, [wait]);
                }
            }
            let draft = self.draft(wanted, state, app, options)?;
            plan.of(&service.name, wanted.folder_steps());
            // The version is what the supervisor reads.
            plan.of(&service.name, draft.records.version);
            plan.of(&service.name, draft.placing);
            plan.of(&service.name, self.start_steps(wanted, app, options));
            plan.of(&service.name, draft.settling);
            receipts.push((&service.name, draft.records.receipt));
            waits.extend(Self::wait(wanted, app, options).map(|wait| (service.name.as_str(), wait)));
        }
        for (unit, wait) in waits {
            plan.of(unit, [wait]);
        }
        for (unit, receipt) in receipts {
            plan.of(unit, receipt);
        }
        if self.anchor.is_some() && !plan.is_empty() {
            let names: Vec<_> = wanted.iter().map(|wanted| wanted.service.name.as_str()).collect();
            plan.shared(Anchor::sweep(state, &names, has_supervised, Duration::ZERO));
        }
        Ok(plan)
    }

    /// What is written of one app, and by what it is begun from now on.
    fn draft(&self, wanted: &Wanted, state: &State, app: &AppState, options: &Install) -> Result<Draft, Failure> {
        let service = &wanted.service;
        Self::refuse(service, &self.render(service)?.text, app, options)?;
        let Some(anchor) = &self.anchor else {
            return Ok(Draft {
                records: self.records(wanted, app, options, None)?,
                ..Draft::default()
            });
        };
        anchor.refuse(service, state, app, options)?;
        let artefact = anchor.artefact(service)?;
        let records = self.records(wanted, app, options, Some(&artefact))?;
        let mut placing = Vec::new();
        if !records.version.is_empty() {
            placing.extend(app.missing.iter().cloned().map(mkdir).filter(|_| app.receipt.is_some()));
            placing.extend(self.shares(service));
        }
        if let Some(original) = anchor.original(app).filter(|_| adopts(app)) {
            let path = self.store().original_path(&service.name);
            placing.push(receipt::write(path, &original, 0o600)?);
        }
        placing.extend(anchor.put(service, &artefact, app, options));
        Ok(Draft {
            records,
            placing,
            settling: anchor.settle(service, &artefact, app, options),
        })
    }

    /// Gives an app's account what it needs of the records.
    fn shares(&self, service: &Service) -> Vec<Step> {
        let Some(anchor) = &self.anchor else { return Vec::new() };
        let rooms = self.site_of_windows(service.is_everybodys()).rooms(&service.name);
        anchor.shares(service, &rooms, self.store().installed_path(&service.name))
    }

    /// The same for the version before, whose files are back: they are private then.
    fn shares_again(&self, app: &AppState) -> Vec<Step> {
        let shares = app.service().map(|service| self.shares(service));
        shares.into_iter().flatten().map(Step::on_rollback).collect()
    }

    fn new_steps(&self, service: &Service, app: &AppState) -> Vec<Step> {
        let is_new = app.receipt.is_none();
        let mut steps = Vec::new();
        if is_new {
            steps.push(mkdir(self.store().app(&service.name)));
        }
        // Everybody's own instance makes its own.
        if is_new && self.anchor.is_some() && !service.is_everybodys() {
            steps.extend(Anchor::folders(&self.site_of_windows(false).rooms(&service.name)).map(mkdir));
        }
        steps.extend(Self::discard(app).filter(|_| is_new).map(Step::on_rollback));
        steps
    }

    fn writes(wanted: &Wanted, app: &AppState) -> bool {
        app.service() != Some(&wanted.service) || app.is_drifted()
    }

    fn restarts(writes: bool, app: &AppState, options: &Install) -> bool {
        options.start && app.live.is_up() && (writes || app.is_behind() || options.restart)
    }

    fn start_steps(&self, wanted: &Wanted, app: &AppState, options: &Install) -> Vec<Step> {
        let name = &wanted.service.name;
        if Self::restarts(Self::writes(wanted, app), app, options) {
            self.again(name, None, self.kinds(app, &wanted.service))
        } else if options.start && !app.live.is_up() {
            let kinds @ (was, is) = self.kinds(app, &wanted.service);
            let undo = self.stop(name, is).into_iter().rev();
            let mut steps: Vec<_> = undo.map(Step::on_undo).collect();
            steps.extend(if was == Kind::Bare && is != Kind::Bare {
                self.again(name, None, kinds)
            } else {
                self.begin(name, &app.live, None, is)
            });
            steps
        } else {
            Vec::new()
        }
    }

    /// Starts an app that does not run; `program`: ours, as it was started before.
    fn begin(&self, name: &str, live: &Live, program: Option<&PathBuf>, kind: Kind) -> Vec<Step> {
        match &self.anchor {
            None => vec![Step::run(self.supervisor("start", name))],
            // What a supervisor left that has failed, or was killed, would be taken for the word of the new one.
            Some(_) if live.active == "failed" && kind != Kind::Bare => self.again(name, program, (kind, kind)),
            Some(anchor) => anchor.begin(name, program, kind, &|verb| self.supervisor(verb, name)),
        }
    }

    fn kind(&self, service: &Service) -> Kind {
        let anchor = self.anchor.as_ref();
        anchor.map_or(Kind::Kept, |anchor| anchor.kind(service))
    }

    /// What it was, and what it is from now on.
    fn kinds(&self, app: &AppState, service: &Service) -> (Kind, Kind) {
        let is = self.kind(service);
        (self.was(app).unwrap_or(is), is)
    }

    /// None where nothing was installed.
    fn was(&self, app: &AppState) -> Option<Kind> {
        app.service().map(|service| self.kind(service))
    }

    /// Stops it; returns when it has ended.
    fn stop(&self, name: &str, kind: Kind) -> Vec<Step> {
        match &self.anchor {
            Some(anchor) if kind == Kind::Bare => anchor.end_bare(name),
            _ => vec![Step::run(self.supervisor("stop", name))],
        }
    }

    /// Stops it, and starts it anew: what it was, and is then.
    fn again(&self, name: &str, program: Option<&PathBuf>, (was, is): (Kind, Kind)) -> Vec<Step> {
        let Some(anchor) = &self.anchor else {
            return vec![Step::run(self.supervisor("restart", name))];
        };
        let mut steps = self.stop(name, was);
        if (was == Kind::Bare) != (is == Kind::Bare) {
            // The Task Scheduler starts nothing while it believes that the one before runs; what a supervisor left, is old.
            steps.extend(self.stop(name, is));
        }
        steps.extend(anchor.begin(name, program, is, &|verb| self.supervisor(verb, name)));
        steps
    }

    fn wait(wanted: &Wanted, app: &AppState, options: &Install) -> Option<Step> {
        let service = &wanted.service;
        let is_started =
            Self::restarts(Self::writes(wanted, app), app, options) || (options.start && !app.live.is_up());
        let deadline = options.patience.with(service).filter(|_| is_started);
        deadline.map(|deadline| Step::Await {
            condition: Condition::Ready {
                unit: service.name.clone(),
                readiness: service.readiness.clone(),
                start_type: service.start_type,
                restarts: 0,
                waits: service.dependencies.waits(),
            },
            deadline,
        })
    }

    fn records(
        &self,
        wanted: &Wanted,
        app: &AppState,
        options: &Install,
        artefact: Option<&Artefact>,
    ) -> Result<Records, Failure> {
        let mut version = version(wanted);
        let mut receipt = self.receipt(&wanted.service, &receipt::to_json(&version)?, options);
        if let (Some(anchor), Some(artefact)) = (&self.anchor, artefact) {
            version.rendered.clone_from(&artefact.text);
            anchor.note(&wanted.service, &mut receipt, artefact);
        } else if let Some(old) = app.receipt.as_ref().filter(|_| !Self::writes(wanted, app)) {
            receipt.digest.clone_from(&old.digest);
        }
        if !options.start && app.live.is_up() && (Self::writes(wanted, app) || app.is_behind()) {
            // Of what is bare nothing tells since when it runs.
            let is_bare = self.was(app) == Some(Kind::Bare);
            receipt.restart_due = app.live.active_since.or(is_bare.then_some(Duration::ZERO));
        }
        receipt.adopted = app.original.is_some() || adopts(app);
        receipt.made = wanted.made(app.receipt.as_ref());
        let mut records = history::record(&self.store(), &version, app, receipt, wanted.again)?;
        if self.anchor.is_none() && app.is_drifted() && app.service() == Some(&wanted.service) {
            let path = self.store().installed_path(&wanted.service.name);
            records.version.push(receipt::write(path, &version, 0o600)?);
        }
        Ok(records)
    }

    fn refuse(service: &Service, text: &str, state: &AppState, options: &Install) -> Result<(), Failure> {
        if let Some(AtPath::File(bytes, _)) = &state.at_path
            && state.is_drifted()
            && !options.force
        {
            let difference = diff::unified(&String::from_utf8_lossy(bytes), text);
            let message = format!(
                "what was installed of {} was changed by hand since:\n{difference}Nothing was changed.",
                service.name
            );
            return Err(Failure::new(Exit::Failed, message)
                .repair("put the change into the manifest, or overwrite it with --force"));
        }
        Ok(())
    }

    /// What starts the earlier version again after an undo, and sees that it runs.
    fn revival(&self, state: &AppState, new: Option<&Service>) -> Vec<Step> {
        let unit = state.live.unit.clone();
        let ready = state.receipt.as_ref().filter(|_| state.live.active == "active");
        let (condition, deadline) = match ready {
            Some(receipt) => (
                receipt.ready(state.service(), &unit, 0),
                Duration::from_millis(receipt.start_timeout_ms),
            ),
            None => (Condition::Running { unit: unit.clone() }, SLACK),
        };
        let program = state.receipt.as_ref().and_then(|receipt| receipt.program.as_ref());
        let was = self.was(state).unwrap_or(Kind::Kept);
        // What runs by then may be of another kind.
        let is = new.map_or(was, |service| self.kind(service));
        let again = self.again(&unit, program, (is, was)).into_iter();
        let steps = again
            .chain([Step::Await { condition, deadline }])
            .map(Step::on_rollback);
        match &self.anchor {
            Some(anchor) => anchor.through(steps.collect(), state, &unit),
            None => steps.collect(),
        }
    }

    /// The supervisor's own traces of an app.
    fn discard(state: &AppState) -> Option<Step> {
        let paths = state.leftovers.clone();
        (!paths.is_empty()).then(|| Step::discard(paths))
    }

    fn receipt(&self, service: &Service, text: &str, options: &Install) -> Receipt {
        let unit = self.store().installed_path(&service.name);
        let mut receipt = Receipt::new(service, self.name(), unit, text, options.now, &options.by);
        // Here an app is known by its own name.
        for need in &mut receipt.needs {
            *need = need.trim_end_matches(".service").to_owned();
        }
        receipt
    }

    /// Uninstall: stop, wait until no process is left, forget it.
    pub(super) fn plan_uninstall(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Plan {
        let (store, name, app) = (self.store(), &receipt.name, &state.apps[0]);
        let mut steps = self.shares_again(app);
        if let Some(anchor) = &self.anchor {
            steps.extend(anchor.bring_back(app, name));
        }
        if app.live.is_up() {
            steps.extend(self.revival(app, None));
        }
        let service = app.service();
        let timeout = service.map_or(Duration::from_secs(90), |service| service.stop_timeout);
        steps.extend(self.stop(name, self.was(app).unwrap_or(Kind::Kept)));
        steps.push(Step::Await {
            condition: Condition::Stopped { unit: name.clone() },
            deadline: timeout + SLACK,
        });
        if let Some(anchor) = &self.anchor {
            steps.extend(anchor.remove(receipt, app));
        }
        steps.extend(app.original.is_some().then(|| Step::Remove {
            path: store.original_path(name),
        }));
        steps.extend(history::forget(&store, receipt));
        if others.is_empty() {
            steps.push(Step::Remove {
                path: store.record_path(),
            });
        }
        // An undo could bring back neither a log, nor whom a folder is for, nor our program.
        steps.extend(history::leave(receipt));
        steps.extend(Self::discard(app).map(Step::finally));
        if self.anchor.is_some() {
            // Instances of others see by themselves that it is gone, and end.
            let is_everybodys = receipt.is_everybodys;
            let patience = timeout + SLACK;
            let patience = if is_everybodys { patience } else { Duration::ZERO };
            steps.extend(Anchor::sweep(state, &[name], false, patience));
        }
        let folders = state.scope.record.folders.iter().rev();
        let folders = folders.filter(|folder| !store.root().starts_with(folder));
        steps.extend(folders.map(|path| Step::Rmdir { path: path.clone() }.finally()));
        plan_of(name, steps)
    }

    /// Start, stop or restart of what is installed.
    pub(super) fn plan_control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        let (name, program) = (&receipt.name, receipt.program.as_ref());
        let anchor = self.anchor.as_ref();
        let kind = anchor.map_or(Kind::Kept, |anchor| anchor.kind_by(receipt));
        let mut steps = Vec::new();
        let mut restarts = 0;
        match verb {
            // One that is ending may come again: it is started anew. So may one whose supervisor is not there this moment.
            Control::Stop
                if live.is_up()
                    || matches!(live.active.as_str(), "deactivating" | "unknown")
                    || live.result == KILLED =>
            {
                steps.extend(self.stop(name, kind));
            }
            Control::Start if !live.is_up() => steps.extend(self.begin(name, live, program, kind)),
            Control::Start if !live.is_between_restarts() => restarts = live.restarts,
            Control::Start | Control::Restart => steps.extend(self.again(name, program, (kind, kind))),
            Control::Stop => {}
        }
        if let Some(deadline) = wait
            && verb != Control::Stop
        {
            let condition = receipt.ready(None, name, restarts);
            steps.push(Step::Await { condition, deadline });
        }
        plan_of(name, steps)
    }
}

/// Whether something is there that is not ours, and is taken over: else it would have been refused.
fn adopts(app: &AppState) -> bool {
    app.anchored.is_foreign(app.receipt.as_ref())
}

fn version(wanted: &Wanted) -> Version {
    Version {
        manifest: wanted.manifest.clone(),
        service: wanted.service.clone(),
        rendered: String::new(), // the checked manifest is all that the supervisor reads
    }
}

fn plan_of(unit: &str, steps: Vec<Step>) -> Plan {
    let mut plan = Plan {
        replaces: true,
        ..Plan::default()
    };
    plan.of(unit, steps);
    plan
}

fn mkdir(path: PathBuf) -> Step {
    Step::Mkdir { path, mode: 0o755 }
}

/// Which of these apps require which others of them.
fn requires(wanted: &[Wanted]) -> Vec<(String, String)> {
    let is_one = |name: &str| wanted.iter().any(|wanted| wanted.service.name == name);
    let of = |wanted: &Wanted| {
        let by = wanted.service.name.clone();
        let needed = wanted.service.dependencies.requires.clone();
        needed
            .into_iter()
            .filter_map(move |unit| Some((by.clone(), unit.strip_suffix(".service")?.to_owned())))
    };
    let all = wanted.iter().flat_map(of);
    all.filter(|(_, needed)| is_one(needed)).collect()
}
