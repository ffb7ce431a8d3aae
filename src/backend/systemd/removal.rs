//! Plans that end something: uninstall and stop; and the start of what is there.

use std::time::Duration;

use super::{Systemd, plans::SLACK};
use crate::{
    backend::{Backend, Control, Live, State},
    history,
    plan::{Condition, Plan, Step},
    receipt::Receipt,
    render,
    service::StartType,
    system::Cmd,
};

impl Systemd {
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
            steps.push(self.stop(&unit));
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
                steps.push(Step::Run {
                    cmd: self.systemctl(["start", &unit]),
                    only_if: None,
                    undo: Some(Box::new(self.stop(&unit))),
                });
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
