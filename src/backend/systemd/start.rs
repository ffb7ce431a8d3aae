//! What starts apps, in a plan, and what stops them again.

use std::time::Duration;

use super::{
    Systemd,
    plans::{Draft, SLACK},
};
use crate::{
    backend::{AppState, Install, Live, Patience},
    plan::{Condition, Plan, Step},
    service::StartType,
    system::Cmd,
};

/// The throw-away unit that starts several at once. One run at a time works in a scope.
const TOGETHER: &str = "autoglm-boot-start.service";

/// What an install is to start.
struct Due<'a> {
    /// What does not run.
    starts: Vec<&'a Draft<'a>>,
    /// What runs as it was before.
    restarts: Vec<&'a Draft<'a>>,
}

impl<'a> Due<'a> {
    fn of(drafts: &'a [Draft<'a>], options: &Install) -> Self {
        let drafts = drafts.iter().filter(|_| options.start);
        let (up, starts): (Vec<_>, Vec<_>) = drafts.partition(|draft| draft.state.live.is_up());
        let is_due = |draft: &&Draft| options.restart || draft.needs_restart();
        let restarts = up.into_iter().filter(is_due).collect();
        Self { starts, restarts }
    }

    fn all(&self) -> impl Iterator<Item = &'a Draft<'a>> {
        self.starts.iter().chain(&self.restarts).copied()
    }

    fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.restarts.is_empty()
    }
}

impl Systemd {
    /// Starts what does not run, restarts what runs as it was before, all of them at once.
    pub(super) fn start(&self, plan: &mut Plan, drafts: &[Draft], options: &Install) {
        let due = Due::of(drafts, options);
        if due.is_empty() {
            return;
        }
        let units = |drafts: &[&Draft]| drafts.iter().map(|draft| draft.unit.clone()).collect::<Vec<_>>();
        self.revive(plan, due.restarts.iter().map(|draft| draft.state));
        plan.shared(self.reset_failed(due.all().map(|draft| &draft.state.live)));
        if !due.starts.is_empty() {
            plan.shared([self.stop(units(&due.starts)).on_undo()]);
        }
        let only = drafts.first().filter(|_| drafts.len() == 1);
        for (verb, drafts) in [("start", &due.starts), ("restart", &due.restarts)] {
            if !drafts.is_empty() {
                plan.shared([self.launch(verb, units(drafts), only, options)]);
            }
        }
    }

    /// Waits for what was started.
    pub(super) fn wait(&self, plan: &mut Plan, drafts: &[Draft], options: &Install) {
        let due = Due::of(drafts, options);
        if options.patience == Patience::None {
            plan.shared(self.wait_for_starts(&due, drafts.len() == 1));
        }
        for draft in due.all() {
            let service = &draft.wanted.service;
            if let Some(deadline) = options.patience.with(service) {
                let condition = Condition::Ready {
                    unit: draft.unit.clone(),
                    readiness: service.readiness.clone(),
                    start_type: service.start_type,
                    restarts: 0,
                    waits: service.dependencies.waits(),
                };
                plan.of(&draft.unit, [Step::Await { condition, deadline }]);
            }
        }
    }

    /// Nobody waits until they are ready, but their starts must have gone well.
    fn wait_for_starts(&self, due: &Due, is_only: bool) -> Vec<Step> {
        let units: Vec<_> = due.starts.iter().map(|draft| draft.unit.clone()).collect();
        if is_only || units.is_empty() {
            return Vec::new();
        }
        let join = self.systemctl(["start", TOGETHER]); // what has ended by now is not there any more: that is well
        let condition = Condition::Started { units };
        vec![
            Step::Launch { cmd: join },
            Step::Await {
                condition,
                deadline: SLACK,
            },
        ]
    }

    /// What says itself when it has started may take as long as it likes: the wait is ours, not systemctl's. Of several the
    /// wait tells which one failed; to start them one by one would take systemd longer than one unit that wants them all.
    fn launch(&self, verb: &str, units: Vec<String>, only: Option<&Draft>, options: &Install) -> Step {
        let is_waited_for = options.patience != Patience::None;
        let is_slow = |only: &Draft| {
            let service = &only.wanted.service;
            matches!(service.start_type, StartType::Notify | StartType::Oneshot) || service.dependencies.has_waits()
        };
        match only {
            Some(only) if is_slow(only) && (is_waited_for || only.wanted.service.dependencies.has_waits()) => {
                Step::run(self.systemctl(["--no-block", verb]).units(units))
            }
            None if verb == "start" => Step::Launch {
                cmd: self.start_together(&units),
            },
            None if is_waited_for => Step::Launch {
                cmd: self.systemctl(["--no-block", verb]).units(units),
            },
            _ => Step::run(self.systemctl([verb]).units(units)),
        }
    }

    /// A throw-away unit that wants them all (systemd-run(1)), and ends after their starts.
    fn start_together(&self, units: &[String]) -> Cmd {
        let mut cmd = Cmd::new("systemd-run", self.is_user().then_some("--user"));
        let unit = format!("--unit={TOGETHER}");
        cmd.args.extend(
            [
                "--quiet",
                "--collect",
                "--no-block",
                "--service-type=oneshot",
                &unit,
                "true",
            ]
            .map(Into::into),
        );
        cmd.unit_properties = ["Wants", "After"].map(Into::into).into();
        self.in_scope(cmd.units(units.iter().cloned()))
    }

    /// A unit that systemd could not load, or that was removed by hand, is refused by `systemctl stop`: there is nothing to stop.
    pub(super) fn stop(&self, units: Vec<String>) -> Step {
        Step::run_if(self.systemctl(["stop"]).units(units), Condition::Loaded)
    }

    /// What starts the earlier versions again after an undo, and sees that they run. One that was only on its way up may never
    /// have come: it is started, and not waited for. So is what needs them.
    pub(super) fn revive<'a>(&self, plan: &mut Plan, apps: impl Iterator<Item = &'a AppState>) {
        let (active, rising): (Vec<_>, Vec<_>) = apps.partition(|app| app.live.active == "active");
        let units = |apps: &[&AppState]| apps.iter().map(|app| app.live.unit.clone()).collect::<Vec<_>>();
        if !rising.is_empty() {
            let cmd = self.systemctl(["--no-block", "restart"]).units(units(&rising));
            plan.shared([Step::Launch { cmd }.on_rollback()]);
        }
        if !active.is_empty() {
            let restart = self.systemctl(["restart"]).units(units(&active));
            plan.shared([Step::run(restart).on_rollback()]);
        }
        for app in active.iter().chain(&rising) {
            if !app.dependants.is_empty() {
                let args = ["--no-block", "start", "--"].map(str::to_owned).into_iter();
                let mut cmd = self.systemctl([]);
                cmd.args.extend(args.chain(app.dependants.iter().cloned()));
                plan.of(&app.live.unit, [Step::Launch { cmd }.on_rollback()]);
            }
        }
        for app in active {
            let unit = app.live.unit.clone();
            let (condition, deadline) = match &app.receipt {
                Some(receipt) => (
                    receipt.ready(app.service(), &unit, 0),
                    Duration::from_millis(receipt.start_timeout_ms),
                ),
                None => (Condition::Running { unit: unit.clone() }, SLACK),
            };
            plan.of(&unit, [Step::Await { condition, deadline }.on_rollback()]);
        }
    }

    /// A start by hand must not be refused for restarts there were before (`StartLimitBurst=` counts both). Only a unit that
    /// is up or failed is sure to be in the manager's memory, and only there is something to reset.
    pub(super) fn reset_failed<'a>(&self, lives: impl Iterator<Item = &'a Live>) -> Option<Step> {
        let known = lives.filter(|live| live.is_up() || live.active == "failed");
        let reset = self
            .systemctl(["reset-failed"])
            .units(known.map(|live| live.unit.clone()));
        (!reset.units.is_empty()).then(|| Step::run(reset))
    }
}
