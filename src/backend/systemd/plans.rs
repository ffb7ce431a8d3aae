//! The plan of an install: a pure function of what was observed.

use std::{path::PathBuf, time::Duration};

use super::{
    Systemd,
    change::{self, Change},
};
use crate::{
    backend::{AtPath, Backend, Install, Live, Rendered, State},
    exit::Failure,
    history,
    plan::{Condition, Plan, Step},
    receipt::{self, Receipt, ScopeRecord},
    render,
    service::{Service, StartType},
    system::Cmd,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
pub(super) const SLACK: Duration = Duration::from_secs(30);

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
            undo: starts.then(|| Box::new(self.stop(&unit))),
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

    /// A unit that systemd could not load, or that was removed by hand, is refused by `systemctl stop`: there is nothing to stop.
    pub(super) fn stop(&self, unit: &str) -> Step {
        let condition = Condition::Loaded { unit: unit.into() };
        Step::run_if(self.systemctl(["stop", unit]), condition)
    }

    /// What starts the earlier version again after an undo, and sees that it runs.
    pub(super) fn revival(&self, state: &State) -> Vec<Step> {
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
    pub(super) fn reset_failed(&self, live: &Live) -> Option<Step> {
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
}
