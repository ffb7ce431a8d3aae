//! Plans for systemd: pure functions of what was observed.

use std::{path::PathBuf, time::Duration};

use super::{
    Systemd,
    change::{self, Change},
    live,
};
use crate::{
    backend::{AtPath, Backend, Control, Install, Live, Rendered, State},
    diff,
    exit::{Exit, Failure},
    history,
    plan::{Condition, Plan, Step},
    receipt::{self, Original, Receipt, ScopeRecord},
    render,
    service::{Service, StartType},
    system::Cmd,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
const SLACK: Duration = Duration::from_secs(30);

impl Systemd {
    /// Install: the unit, its link, the start, the wait, the receipt; of these only what is not so yet.
    pub(super) fn plan_install(&self, service: &Service, state: &State, options: &Install) -> Result<Plan, Failure> {
        let rendered = self.render(service)?;
        self.refuse(service, &rendered, state, options)?;
        let writes = !matches!(&state.at_path, Some(AtPath::File(bytes, 0o644)) if *bytes == rendered.text.as_bytes());
        let links = self.links_to_make(service, state, options);
        let links_now: Vec<_> = links
            .iter()
            .filter(|link| !state.links.iter().any(|(at, _)| at == *link))
            .cloned()
            .collect();
        // systemd remembers of a unit that it has loaded whether it is enabled.
        let reloads = writes || !links_now.is_empty();
        let receipt = self.receipt(service, &rendered, state, options, &links);
        let record = Self::record(state, options);

        let mut steps = self.manager_steps(state);
        steps.extend(self.folder_steps(service, state, &record)?);
        if options.adopt && state.is_foreign() {
            steps.push(receipt::write(
                self.store().original_path(&service.name),
                &self.original(state)?,
                0o600,
            )?);
        }
        if reloads {
            steps.push(Step::run(self.systemctl(["daemon-reload"])).on_rollback());
        }
        if writes {
            steps.extend(self.unit_steps(service, &rendered, state));
        }
        steps.extend(links_now.into_iter().map(|path| Step::Link {
            path,
            target: self.path(&service.name),
        }));
        if reloads {
            steps.push(self.reload(&service.name, state));
        }
        let is_restarted = options.restart || (writes && Self::needs_restart(&rendered, state));
        steps.extend(self.start_steps(service, state, options, is_restarted));
        steps.extend(history::record(
            &self.store(),
            service,
            &rendered.text,
            state,
            &receipt,
            options,
        )?);
        Ok(Plan {
            steps,
            replaces: state.receipt.is_some() || state.is_foreign(),
        })
    }

    /// What must not be done silently.
    fn refuse(&self, service: &Service, rendered: &Rendered, state: &State, options: &Install) -> Result<(), Failure> {
        let unit = self.unit(&service.name);
        let is_masked = state.live.load == "masked"
            || matches!(&state.at_path, Some(AtPath::Link(to)) if to.as_os_str() == "/dev/null");
        if is_masked {
            return Err(Failure::new(
                Exit::Failed,
                format!("{unit} is masked: somebody forbade its start.\nNothing was changed."),
            )
            .repair(format!(
                "if that is no longer meant: {}",
                self.systemctl(["unmask", &unit])
            )));
        }
        if let Some(first) = state.live.fragment.as_ref().filter(|path| live::goes_first(path)) {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{unit} is there already, is not ours, and goes before anything installed: {}\n{}Nothing was changed.",
                    first.display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair(format!(
                "remove it first (what systemd-run(1) started goes with `{}`), or give the app another name",
                self.systemctl(["stop", &unit])
            )));
        }
        if state.is_foreign() && !options.adopt {
            let there = state.live.fragment.clone().unwrap_or_else(|| self.path(&service.name));
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{unit} is there already and is not ours: {}\n{}Nothing was changed.",
                    there.display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair("take it over with --adopt (uninstall puts it back), or give the app another name"));
        }
        if state.is_drifted() && state.at_path.is_some() && !options.force {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} was changed by hand since it was installed:\n{}Nothing was changed.",
                    self.path(&service.name).display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair(format!(
                "put the change into the manifest or into {}.d/ (never touched by us), or overwrite it with --force",
                self.path(&service.name).display()
            )));
        }
        match &state.at_path {
            Some(AtPath::Other) => Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} is neither a file nor a link.\nNothing was changed.",
                    self.path(&service.name).display()
                ),
            )),
            _ => Ok(()),
        }
    }

    fn difference(rendered: &Rendered, state: &State) -> String {
        let there = state.text.as_deref();
        there.map_or_else(String::new, |there| diff::unified(there, &rendered.text))
    }

    /// What makes the user's service manager outlive a logout.
    fn manager_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        if !state.is_lingering {
            let user = self.host.user_name();
            steps.push(Step::Run {
                cmd: Cmd::new("loginctl", ["enable-linger", &user]),
                only_if: None,
                undo: Some(Box::new(Step::run_if(
                    Cmd::new("loginctl", ["disable-linger", &user]),
                    Condition::Lingering { user: user.clone() },
                ))),
            });
        }
        if !state.is_reachable {
            steps.push(Step::Await {
                condition: Condition::Manager,
                deadline: SLACK,
            });
        }
        steps
    }

    fn folder_steps(&self, service: &Service, state: &State, record: &ScopeRecord) -> Result<Vec<Step>, Failure> {
        let mkdir = |path: PathBuf| Step::Mkdir { path, mode: 0o755 };
        let mut steps = Vec::new();
        if state.receipt.is_none() {
            steps.push(mkdir(self.store().apps()));
            steps.push(mkdir(self.store().app(&service.name)));
        }
        if *record != state.record {
            steps.push(receipt::write(self.store().record_path(), record, 0o644)?);
        }
        steps.extend(state.missing.iter().cloned().map(mkdir));
        if !state.has_reset_unit {
            steps.push(Step::WriteFile {
                path: self.units().join(render::RESET_UNIT),
                text: render::systemd_reset(self.scope).into(),
                mode: 0o644,
            });
        }
        Ok(steps)
    }

    /// The unit itself, and what brings the earlier one back to life should a later step fail.
    fn unit_steps(&self, service: &Service, rendered: &Rendered, state: &State) -> Vec<Step> {
        let unit = self.unit(&service.name);
        vec![
            Step::Run {
                cmd: self.systemctl(["reset-failed", &unit]),
                only_if: Some(Condition::Failed { unit: unit.clone() }).filter(|_| state.live.active != "failed"),
                undo: None,
            }
            .on_rollback(),
            Step::WriteFile {
                path: self.path(&service.name),
                text: rendered.text.clone(),
                mode: 0o644,
            },
        ]
    }

    /// A name that systemd has never heard of needs no reload, as long as systemd agrees afterwards; a changed unit needs
    /// exactly one.
    fn reload(&self, app: &str, state: &State) -> Step {
        let is_new = state.live.load == "not-found";
        Step::Run {
            cmd: self.systemctl(["daemon-reload"]),
            only_if: is_new.then(|| Condition::Stale { unit: self.unit(app) }),
            undo: None,
        }
    }

    /// Whether what runs was started with something else than what is written now. What the manager has not yet read of an
    /// earlier change is not known to be harmless.
    fn needs_restart(rendered: &Rendered, state: &State) -> bool {
        match &state.at_path {
            Some(AtPath::File(bytes, _)) if !state.live.is_stale => {
                change::between(&String::from_utf8_lossy(bytes), &rendered.text) == Change::Restart
            }
            _ => true,
        }
    }

    fn start_steps(&self, service: &Service, state: &State, options: &Install, is_restarted: bool) -> Vec<Step> {
        let (unit, live) = (self.unit(&service.name), &state.live);
        let restarts = live.is_up() && is_restarted;
        let starts = !live.is_up();
        let mut steps = Vec::new();
        if !options.start || !(restarts || starts) {
            return steps;
        }
        if restarts {
            steps.extend(self.revival(state));
        }
        steps.extend(self.reset_failed(live));
        // What says itself when it has started may take as long as it likes: the wait is ours, not systemctl's.
        let is_slow = options.wait.is_some() && matches!(service.start_type, StartType::Notify | StartType::Oneshot);
        let verb = if restarts { "restart" } else { "start" };
        steps.push(Step::Run {
            cmd: if is_slow {
                self.systemctl(["--no-block", verb, &unit])
            } else {
                self.systemctl([verb, &unit])
            },
            only_if: None,
            undo: starts.then(|| Box::new(Step::run(self.systemctl(["stop", &unit])))),
        });
        if let Some(deadline) = options.wait {
            steps.push(Step::Await {
                condition: Condition::Ready {
                    unit,
                    readiness: service.readiness.clone(),
                    start_type: service.start_type,
                    restarts: 0,
                },
                deadline,
            });
        }
        steps
    }

    /// What starts the earlier version again after an undo, and sees that it runs.
    fn revival(&self, state: &State) -> Vec<Step> {
        let unit = state.live.unit.clone();
        let (condition, deadline) = match (&state.receipt, state.live.active.as_str()) {
            (Some(receipt), "active") => (
                receipt.ready(state.service.as_ref(), &unit),
                Duration::from_millis(receipt.start_timeout_ms),
            ),
            _ => (Condition::Running { unit: unit.clone() }, SLACK),
        };
        vec![
            Step::run(self.systemctl(["restart", &unit])).on_rollback(),
            Step::Await { condition, deadline }.on_rollback(),
        ]
    }

    /// A start by hand must not be refused for restarts there were before (`StartLimitBurst=` counts both). Only a unit that
    /// is up or failed is sure to be in the manager's memory, and only there is something to reset.
    fn reset_failed(&self, live: &Live) -> Option<Step> {
        (live.is_up() || live.active == "failed").then(|| Step::run(self.systemctl(["reset-failed", &live.unit])))
    }

    /// The boot link, unless the user took it away after we had made it.
    fn links_to_make(&self, service: &Service, state: &State, options: &Install) -> Vec<PathBuf> {
        let is_disabled_by_hand = state.receipt.is_some() && state.links.is_empty();
        if is_disabled_by_hand && !options.force {
            return Vec::new();
        }
        vec![self.link(&service.name)]
    }

    fn receipt(
        &self,
        service: &Service,
        rendered: &Rendered,
        state: &State,
        options: &Install,
        links: &[PathBuf],
    ) -> Receipt {
        let unit = self.path(&service.name);
        Receipt {
            // What was disabled by hand stays ours to remember: it may be enabled again.
            links: match &state.receipt {
                Some(old) if links.is_empty() => old.links.clone(),
                _ => links.to_vec(),
            },
            adopted: state.original.is_some() || (options.adopt && state.is_foreign()),
            ..Receipt::new(service, self.name(), unit, &rendered.text, options.now, &options.by)
        }
    }

    fn record(state: &State, options: &Install) -> ScopeRecord {
        let mut record = state.record.clone();
        record.add(options.created.iter().chain(&state.missing));
        record.lingering |= !state.is_lingering;
        record
    }

    fn original(&self, state: &State) -> Result<Original, Failure> {
        use crate::journal::Before;
        Ok(Original {
            unit: match &state.at_path {
                None => Before::Absent,
                Some(AtPath::File(bytes, _)) if std::str::from_utf8(bytes).is_err() => {
                    return Err(Failure::new(
                        Exit::Failed,
                        "the unit that is there is not UTF-8: it cannot be kept as version 0",
                    ));
                }
                Some(AtPath::File(bytes, mode)) => Before::File {
                    bytes: bytes.clone(),
                    mode: *mode,
                    uid: self.host.user.uid,
                    gid: self.host.user.gid,
                },
                Some(AtPath::Link(target)) => Before::Link(target.clone()),
                Some(AtPath::Other) => return Err(Failure::new(Exit::Failed, "it is neither a file nor a link")),
            },
            links: state.links.clone(),
            active: state.live.is_up(),
        })
    }

    /// Uninstall: stop, wait until no process is left, remove the links and the unit, then reload; and version 0 comes back.
    pub(super) fn plan_uninstall(&self, receipt: &Receipt, state: &State) -> Plan {
        let (unit, path) = (self.unit(&receipt.name), self.path(&receipt.name));
        let mut steps = vec![
            Step::Await {
                condition: Condition::Manager,
                deadline: SLACK,
            }
            .on_rollback(),
            Step::run(self.systemctl(["daemon-reload"])).on_rollback(),
        ];
        if state.live.is_up() {
            steps.extend(self.revival(state));
        }
        if state.is_reachable {
            let timeout = state
                .service
                .as_ref()
                .map_or(Duration::from_secs(90), |service| service.stop_timeout);
            steps.push(Step::run(self.systemctl(["stop", &unit])));
            steps.push(Step::Await {
                condition: Condition::Stopped { unit: unit.clone() },
                deadline: timeout + SLACK,
            });
        }
        steps.extend(state.links.iter().map(|(path, _)| Step::Remove { path: path.clone() }));
        let original = state.original.as_ref();
        match original.map(|original| &original.unit) {
            Some(crate::journal::Before::File { bytes, mode, .. }) => steps.push(Step::WriteFile {
                path,
                text: String::from_utf8_lossy(bytes).into_owned(),
                mode: *mode,
            }),
            Some(crate::journal::Before::Link(target)) => steps.push(Step::Link {
                path,
                target: target.clone(),
            }),
            _ => steps.push(Step::Remove { path }),
        }
        steps.extend(
            original
                .iter()
                .flat_map(|original| &original.links)
                .map(|(path, target)| Step::Link {
                    path: path.clone(),
                    target: target.clone(),
                }),
        );
        if state.is_reachable {
            steps.push(Step::run(self.systemctl(["daemon-reload"])));
            steps.push(Step::Run {
                cmd: self.systemctl(["reset-failed", &unit]),
                only_if: Some(Condition::Failed { unit: unit.clone() }),
                undo: None,
            });
            if original.is_some_and(|original| original.active) {
                steps.push(Step::run(self.systemctl(["start", &unit])));
            }
        }
        steps.extend(self.forget(receipt, state));
        Plan { steps, replaces: true }
    }

    /// Removes the records of an app, and what only the last app needed.
    fn forget(&self, receipt: &Receipt, state: &State) -> Vec<Step> {
        let (store, name) = (self.store(), &receipt.name);
        let mut steps = history::forget(&store, name, &state.history);
        let records = [
            store.original_path(name),
            store.service_path(name),
            store.receipt_path(name),
        ];
        steps.extend(records.map(|path| Step::Remove { path }));
        steps.push(Step::Rmdir { path: store.app(name) });
        let is_last = state.others.is_empty();
        if is_last {
            steps.push(Step::Remove {
                path: store.record_path(),
            });
            steps.push(Step::Remove {
                path: self.units().join(render::RESET_UNIT),
            });
            if state.record.lingering {
                let user = self.host.user_name();
                steps.push(Step::Run {
                    cmd: Cmd::new("loginctl", ["disable-linger", &user]),
                    only_if: None,
                    undo: Some(Box::new(Step::run(Cmd::new("loginctl", ["enable-linger", &user])))),
                });
            }
        }
        // Ours is removed when it is empty; where something else moved in, or another app lives, it stays.
        let folders = state
            .record
            .folders
            .iter()
            .rev()
            .filter(|folder| !store.root().starts_with(folder));
        steps.extend(folders.map(|path| Step::Rmdir { path: path.clone() }));
        steps
    }

    /// Start, stop or restart of what is installed.
    pub(super) fn plan_control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        let unit = &live.unit;
        let mut steps = Vec::new();
        if verb == Control::Stop {
            if live.is_up() {
                steps.push(Step::run(self.systemctl(["stop", unit])));
            }
        } else if verb == Control::Restart || !live.is_up() {
            let verb = if verb == Control::Restart { "restart" } else { "start" };
            let is_slow = wait.is_some() && matches!(receipt.start_type, StartType::Notify | StartType::Oneshot);
            steps.extend(self.reset_failed(live));
            steps.push(Step::run(if is_slow {
                self.systemctl(["--no-block", verb, unit])
            } else {
                self.systemctl([verb, unit])
            }));
        }
        if let Some(deadline) = wait
            && verb != Control::Stop
        {
            steps.push(Step::Await {
                condition: receipt.ready(None, unit),
                deadline,
            });
        }
        Plan { steps, replaces: true }
    }
}
