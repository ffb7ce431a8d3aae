//! Plans for the embedded supervisor: pure functions of what was observed.

use std::time::Duration;

use super::Embedded;
use crate::{
    backend::{AtPath, Backend, Control, Install, Live, State},
    diff,
    exit::{Exit, Failure},
    history,
    plan::{Condition, Plan, Step},
    receipt::{self, Receipt},
    service::Service,
    supervisor::log,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
const SLACK: Duration = Duration::from_secs(10);

impl Embedded {
    /// Install: the checked manifest, the start, the wait, the receipt; of these only what is not so yet.
    pub(super) fn plan_install(&self, service: &Service, state: &State, options: &Install) -> Result<Plan, Failure> {
        let (store, name) = (self.store(), &service.name);
        let rendered = self.render(service)?;
        Self::refuse(service, &rendered.text, state, options)?;
        let writes = !matches!(&state.at_path, Some(AtPath::File(bytes, _)) if *bytes == rendered.text.as_bytes());
        let mut record = state.record.clone();
        record.add(options.created.iter().chain(&state.missing));

        let mut steps = Vec::new();
        let mkdir = |path| Step::Mkdir { path, mode: 0o755 };
        if state.receipt.is_none() {
            steps.push(mkdir(store.apps()));
            steps.push(mkdir(store.app(name)));
        }
        steps.extend(state.missing.iter().cloned().map(mkdir));
        if state.receipt.is_none() {
            steps.extend(Self::discard(state).map(Step::on_rollback));
        }
        if record != state.record {
            steps.push(receipt::write(store.record_path(), &record, 0o644)?);
        }
        let restarts = options.start && state.live.is_up() && (writes || options.restart);
        if restarts {
            steps.extend(self.revival(state));
        }
        if writes {
            steps.push(receipt::write(store.service_path(name), service, 0o600)?);
        }
        if restarts || (options.start && !state.live.is_up()) {
            let stop = Step::run(self.supervisor("stop", name));
            steps.push(Step::Run {
                cmd: self.supervisor(if restarts { "restart" } else { "start" }, name),
                only_if: None,
                undo: (!restarts).then(|| Box::new(stop)),
            });
            if let Some(deadline) = options.wait {
                let condition = Condition::Ready {
                    unit: name.clone(),
                    readiness: service.readiness.clone(),
                    start_type: service.start_type,
                    restarts: 0,
                };
                steps.push(Step::Await { condition, deadline });
            }
        }
        let new = self.receipt(service, &rendered.text, options);
        let records = history::record(&store, service, &rendered.text, state, &new, options)?;
        let artefact = store.service_path(name); // written before the start
        steps.extend(
            records
                .into_iter()
                .filter(|step| step.path() != Some(artefact.as_path())),
        );
        Ok(Plan {
            steps,
            replaces: state.receipt.is_some(),
        })
    }

    fn refuse(service: &Service, text: &str, state: &State, options: &Install) -> Result<(), Failure> {
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
    fn revival(&self, state: &State) -> Vec<Step> {
        let unit = state.live.unit.clone();
        let ready = state.receipt.as_ref().filter(|_| state.live.active == "active");
        let (condition, deadline) = match ready {
            Some(receipt) => (
                receipt.ready(state.service.as_ref(), &unit),
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
    fn discard(state: &State) -> Option<Step> {
        let rooms = state.rooms.as_ref()?;
        let mut paths = log::paths(&rooms.log);
        paths.extend([rooms.status.clone(), rooms.lock.clone()]);
        paths.extend(rooms.socket.parent().map(std::path::Path::to_path_buf));
        paths.push(rooms.folder.clone());
        Some(Step::Discard { paths })
    }

    fn receipt(&self, service: &Service, text: &str, options: &Install) -> Receipt {
        let unit = self.store().service_path(&service.name);
        let mut receipt = Receipt::new(service, self.name(), unit, text, options.now, &options.by);
        // Here an app is known by its own name.
        for need in &mut receipt.needs {
            *need = need.trim_end_matches(".service").to_owned();
        }
        receipt
    }

    /// Uninstall: stop, wait until no process is left, forget it.
    pub(super) fn plan_uninstall(&self, receipt: &Receipt, state: &State) -> Plan {
        let (store, name) = (self.store(), &receipt.name);
        let mut steps = Vec::new();
        if state.live.is_up() {
            steps.extend(self.revival(state));
        }
        let timeout = state
            .service
            .as_ref()
            .map_or(Duration::from_secs(90), |service| service.stop_timeout);
        steps.push(Step::run(self.supervisor("stop", name)));
        steps.push(Step::Await {
            condition: Condition::Stopped { unit: name.clone() },
            deadline: timeout + SLACK,
        });
        steps.extend(history::forget(&store, name, &state.history));
        steps.extend([store.service_path(name), store.receipt_path(name)].map(|path| Step::Remove { path }));
        steps.push(Step::Rmdir { path: store.app(name) });
        if state.others.is_empty() {
            steps.push(Step::Remove {
                path: store.record_path(),
            });
        }
        steps.extend(Self::discard(state));
        let folders = state.record.folders.iter().rev();
        let folders = folders.filter(|folder| !store.root().starts_with(folder));
        steps.extend(folders.map(|path| Step::Rmdir { path: path.clone() }));
        Plan { steps, replaces: true }
    }

    /// Start, stop or restart of what is installed.
    pub(super) fn plan_control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        let name = &receipt.name;
        let mut steps = Vec::new();
        match verb {
            Control::Stop if live.is_up() => steps.push(Step::run(self.supervisor("stop", name))),
            Control::Start if !live.is_up() => steps.push(Step::run(self.supervisor("start", name))),
            Control::Restart => steps.push(Step::run(self.supervisor("restart", name))),
            Control::Stop | Control::Start => {}
        }
        if let Some(deadline) = wait
            && verb != Control::Stop
        {
            let condition = receipt.ready(None, name);
            steps.push(Step::Await { condition, deadline });
        }
        Plan { steps, replaces: true }
    }
}
