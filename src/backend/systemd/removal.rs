//! Plans that end something: uninstall and stop; and the start of what is there.

use std::{path::PathBuf, time::Duration};

use super::{Systemd, linger_file, plans::SLACK};
use crate::{
    backend::{Backend, Control, Live, State},
    history,
    journal::Before,
    plan::{Condition, Plan, Step},
    receipt::{self, Original, Receipt, ScopeRecord},
    render,
    service::StartType,
    system::Cmd,
};

impl Systemd {
    /// Uninstall: stop, wait until no process is left, remove the links and the unit, then reload; and version 0 comes back.
    pub(super) fn plan_uninstall(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Plan {
        let (scope, app) = (&state.scope, &state.apps[0]);
        let (unit, path) = (self.unit(&receipt.name), self.path(&receipt.name));
        let mut plan = Plan {
            replaces: true,
            ..Plan::default()
        };
        if !self.host.is_image {
            let answers = Step::Await {
                condition: Condition::Manager,
                deadline: SLACK,
            };
            plan.shared([answers.on_rollback(), self.reload_again()]);
        }
        if app.live.is_up() {
            self.revive(&mut plan, std::iter::once(app));
        }
        let mut steps = Vec::new();
        if scope.is_reachable {
            let service = app.service();
            let timeout = service.map_or(Duration::from_secs(90), |service| service.stop_timeout);
            steps.push(self.stop(vec![unit.clone()]));
            steps.push(Step::Await {
                condition: Condition::Stopped { unit: unit.clone() },
                deadline: timeout + SLACK,
            });
        }
        steps.extend(app.links.iter().map(|(path, _)| Step::Remove { path: path.clone() }));
        steps.extend(self.end_watcher(others, state));
        steps.extend(put_back(app.original.as_ref(), path));
        if scope.is_reachable {
            let reset = self.systemctl(["reset-failed"]).units([unit.clone()]);
            steps.push(Step::run(self.systemctl(["daemon-reload"])));
            steps.push(Step::run_if(reset, Condition::Failed));
            if app.original.as_ref().is_some_and(|original| original.active) {
                steps.push(self.stop(vec![unit.clone()]).on_undo());
                steps.push(Step::run(self.systemctl(["start"]).units([unit.clone()])));
            }
        }
        steps.extend(self.forget(receipt, state, others));
        plan.of(&unit, steps);
        plan
    }

    /// Removes the records of an app, and what only the last app needed.
    fn forget(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Vec<Step> {
        let (store, name, scope) = (self.store(), &receipt.name, &state.scope);
        let mut steps = vec![Step::Remove {
            path: store.original_path(name),
        }];
        steps.extend(history::forget(&store, receipt));
        steps.extend(history::leave(receipt));
        if others.is_empty() {
            steps.push(Step::Remove {
                path: store.record_path(),
            });
        }
        // What another target keeps needs neither.
        if others.iter().all(|other| other.backend != self.name()) {
            steps.push(Step::Remove {
                path: self.units().join(render::RESET_UNIT),
            });
            if scope.record.lingering.is_some() {
                steps.extend(self.linger_no_more());
                steps.extend(
                    (!others.is_empty())
                        .then(|| self.forget_lingering(&scope.record))
                        .flatten(),
                );
            }
        }
        // Ours is removed when it is empty; where something else moved in, or another app lives, it stays.
        let folders = scope
            .record
            .folders
            .iter()
            .rev()
            .filter(|folder| !store.root().starts_with(folder));
        steps.extend(folders.map(|path| Step::Rmdir { path: path.clone() }));
        steps.extend(self.discard_helper(others, state));
        steps
    }

    fn forget_lingering(&self, record: &ScopeRecord) -> Option<Step> {
        let record = ScopeRecord {
            lingering: None,
            ..record.clone()
        };
        receipt::write(self.store().record_path(), &record, 0o644).ok()
    }

    fn linger_no_more(&self) -> Vec<Step> {
        let user = self.host.user_name();
        if self.host.is_image {
            return vec![Step::Remove {
                path: linger_file(&user),
            }];
        }
        let enable = Cmd::new("loginctl", ["enable-linger", &user]).privileged();
        let disable = Cmd::new("loginctl", ["disable-linger", &user]).privileged();
        // Where that is denied the app goes all the same, and the user lingers on.
        vec![Step::Launch { cmd: enable }.on_undo(), Step::Launch { cmd: disable }]
    }

    /// Start, stop or restart of what is installed.
    pub(super) fn plan_control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        let unit = [live.unit.clone()];
        let mut plan = Plan {
            replaces: true,
            ..Plan::default()
        };
        if verb == Control::Stop {
            let stop = Step::run(self.systemctl(["stop"]).units(unit));
            plan.shared(live.is_up().then_some(stop));
            return plan;
        }
        // Between two restarts a start would wait for the next one.
        let (word, restarts) = match verb {
            Control::Start if !live.is_up() => (Some("start"), 0),
            Control::Start if !live.is_between_restarts() => (None, live.restarts),
            _ => (Some("restart"), 0),
        };
        if let Some(word) = word {
            let is_told = matches!(receipt.start_type, StartType::Notify | StartType::Oneshot);
            let is_slow = (wait.is_some() && is_told) || receipt.waits.is_some();
            plan.shared(self.reset_failed(std::iter::once(live)));
            plan.shared([Step::run(if is_slow {
                self.systemctl(["--no-block", word]).units(unit)
            } else {
                self.systemctl([word]).units(unit)
            })]);
        }
        plan.shared(wait.map(|deadline| Step::Await {
            condition: receipt.ready(None, &live.unit, restarts),
            deadline,
        }));
        plan
    }
}

/// What lay at the unit's path before it was adopted; else nothing lies there any more.
fn put_back(original: Option<&Original>, path: PathBuf) -> Vec<Step> {
    let mut steps = vec![match original.map(|original| &original.unit) {
        Some(Before::File { bytes, mode, .. }) => Step::WriteFile {
            path,
            text: String::from_utf8_lossy(bytes).into_owned(),
            mode: *mode,
        },
        Some(Before::Link(target)) => Step::Link {
            path,
            target: target.clone(),
        },
        _ => Step::Remove { path },
    }];
    let links = original.into_iter().flat_map(|original| &original.links);
    steps.extend(links.map(|(path, target)| Step::Link {
        path: path.clone(),
        target: target.clone(),
    }));
    steps
}
