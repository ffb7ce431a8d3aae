//! Plans for the embedded supervisor: pure functions of what was observed.

use std::{path::PathBuf, time::Duration};

use super::Embedded;
use crate::{
    backend::{AppState, AtPath, Backend, Control, Install, Live, State, Wanted},
    diff,
    exit::{Exit, Failure},
    history::{self, Records, Version},
    plan::{Condition, Plan, Step},
    receipt::{self, Receipt},
    service::Service,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
const SLACK: Duration = Duration::from_secs(10);

impl Embedded {
    /// Install: the checked manifests, the starts, the waits, the receipts; of these only what is not so yet.
    pub(super) fn plan_install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure> {
        let store = self.store();
        let (scope, apps) = (&state.scope, &state.apps);
        let mut record = scope.record.clone();
        record.add(options.created.iter().chain(&scope.missing));
        let mut plan = Plan {
            replaces: apps.iter().any(|app| app.receipt.is_some()),
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
        // The undo of all that was written comes before a start of what was there.
        let pairs = || wanted.iter().zip(apps);
        for (wanted, app) in pairs() {
            plan.of(&wanted.service.name, self.new_steps(&wanted.service, app));
        }
        for (wanted, app) in pairs() {
            if Self::restarts(Self::writes(wanted, app), app, options) {
                plan.of(&wanted.service.name, self.revival(app));
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
            Self::refuse(service, &self.render(service)?.text, app, options)?;
            let records = self.records(wanted, app, options)?;
            plan.of(&service.name, wanted.folder_steps());
            // The version is what the supervisor reads.
            plan.of(&service.name, records.version);
            plan.of(&service.name, self.start_steps(wanted, app, options));
            receipts.push((&service.name, records.receipt));
            waits.extend(Self::wait(wanted, app, options).map(|wait| (service.name.as_str(), wait)));
        }
        for (unit, wait) in waits {
            plan.of(unit, [wait]);
        }
        for (unit, receipt) in receipts {
            plan.of(unit, receipt);
        }
        Ok(plan)
    }

    fn new_steps(&self, service: &Service, app: &AppState) -> Vec<Step> {
        let is_new = app.receipt.is_none();
        let folder = is_new.then(|| mkdir(self.store().app(&service.name)));
        let discard = Self::discard(app).filter(|_| is_new).map(Step::on_rollback);
        folder.into_iter().chain(discard).collect()
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
            vec![Step::run(self.supervisor("restart", name))]
        } else if options.start && !app.live.is_up() {
            vec![
                Step::run(self.supervisor("stop", name)).on_undo(),
                Step::run(self.supervisor("start", name)),
            ]
        } else {
            Vec::new()
        }
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

    fn records(&self, wanted: &Wanted, app: &AppState, options: &Install) -> Result<Records, Failure> {
        let version = version(wanted);
        let mut receipt = self.receipt(&wanted.service, &receipt::to_json(&version)?, options);
        if let Some(old) = app.receipt.as_ref().filter(|_| !Self::writes(wanted, app)) {
            receipt.digest.clone_from(&old.digest);
        }
        if !options.start && app.live.is_up() && (Self::writes(wanted, app) || app.is_behind()) {
            receipt.restart_due = app.live.active_since;
        }
        receipt.made = wanted.made(app.receipt.as_ref());
        let mut records = history::record(&self.store(), &version, app, receipt, wanted.again)?;
        if app.is_drifted() && app.service() == Some(&wanted.service) {
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
    fn revival(&self, state: &AppState) -> Vec<Step> {
        let unit = state.live.unit.clone();
        let ready = state.receipt.as_ref().filter(|_| state.live.active == "active");
        let (condition, deadline) = match ready {
            Some(receipt) => (
                receipt.ready(state.service(), &unit, 0),
                Duration::from_millis(receipt.start_timeout_ms),
            ),
            None => (Condition::Running { unit: unit.clone() }, SLACK),
        };
        vec![
            Step::run(self.supervisor("restart", &unit)).on_rollback(),
            Step::Await { condition, deadline }.on_rollback(),
        ]
    }

    /// The supervisor's own traces of an app.
    fn discard(state: &AppState) -> Option<Step> {
        let paths = state.leftovers.clone();
        (!paths.is_empty()).then_some(Step::Discard { paths })
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
        let mut steps = Vec::new();
        if app.live.is_up() {
            steps.extend(self.revival(app));
        }
        let service = app.service();
        let timeout = service.map_or(Duration::from_secs(90), |service| service.stop_timeout);
        steps.push(Step::run(self.supervisor("stop", name)));
        steps.push(Step::Await {
            condition: Condition::Stopped { unit: name.clone() },
            deadline: timeout + SLACK,
        });
        steps.extend(history::forget(&store, receipt));
        steps.extend(receipt.made.iter().rev().map(|path| Step::Rmdir { path: path.clone() }));
        if others.is_empty() {
            steps.push(Step::Remove {
                path: store.record_path(),
            });
        }
        steps.extend(Self::discard(app));
        let folders = state.scope.record.folders.iter().rev();
        let folders = folders.filter(|folder| !store.root().starts_with(folder));
        steps.extend(folders.map(|path| Step::Rmdir { path: path.clone() }));
        plan_of(name, steps)
    }

    /// Start, stop or restart of what is installed.
    pub(super) fn plan_control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        let name = &receipt.name;
        let mut steps = Vec::new();
        let mut restarts = 0;
        match verb {
            Control::Stop if live.is_up() => steps.push(Step::run(self.supervisor("stop", name))),
            Control::Start if !live.is_up() => steps.push(Step::run(self.supervisor("start", name))),
            Control::Start if !live.is_between_restarts() => restarts = live.restarts,
            Control::Start | Control::Restart => steps.push(Step::run(self.supervisor("restart", name))),
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
