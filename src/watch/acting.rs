//! What the watcher does: it says so in the journal of the app, and has the service manager act.

use std::time::Duration;

use super::Watcher;
use crate::{
    backend::{Backend as _, Live, evidence},
    journal, platform,
    service::Scope,
    session,
    system::Cmd,
};

/// Priorities of the journal (syslog(3)).
pub(super) const ERROR: &str = "3";
pub(super) const WARNING: &str = "4";
pub(super) const NOTICE: &str = "5";

impl Watcher<'_> {
    /// Ends a run as one that has failed: what follows, `Restart=`, `RestartSec=` and `StartLimitBurst=` of the unit say. A stop that
    /// somebody asks for at the same time goes before: what is on its way down is left alone.
    pub(super) fn end(&mut self, unit: &str, why: &str) {
        let now = self.system.monotonic();
        let Some(app) = self.apps.get_mut(unit) else { return };
        let Some(is_forced) = app.is_forced(now) else { return };
        let invocation = app.invocation().map(str::to_owned);
        let is_its_run = || invocation.is_some() && invocation == self.backend.invocation(self.system, unit);
        if !is_its_run() || self.is_at_work_on(unit) {
            return;
        }
        let live = match self.backend.observe(self.system, &[unit.to_owned()]) {
            Ok(lives) => lives.into_iter().next().unwrap_or_default(),
            Err(error) => {
                return self.say(
                    unit,
                    WARNING,
                    &format!("{why}; it could not be ended: {}", error.message),
                );
            }
        };
        let is_up = live.is_up() && !live.has_job && Some(&live.invocation) == invocation.as_ref();
        if !is_up || !is_its_run() {
            return;
        }
        let signal = signal(&live, is_forced);
        self.say(
            unit,
            WARNING,
            &if is_forced {
                format!("it has not ended: {signal}")
            } else {
                format!("{why}: it is ended ({signal})")
            },
        );
        let done = self.system.run(&self.backend.kill(unit, &signal), true);
        match (done, self.apps.get_mut(unit)) {
            (Ok(output), Some(app)) if output.is_ok() => {
                if !is_forced {
                    app.ends(why, now);
                }
            }
            (Ok(output), _) => self.say(
                unit,
                WARNING,
                &format!("it could not be ended: {}", output.stderr.trim()),
            ),
            (Err(error), _) => self.say(unit, WARNING, &format!("it could not be ended: {error}")),
        }
    }

    /// Whether an install or uninstall of it is under way, which waits for it by itself. What one has left that was cut short does
    /// nothing any more.
    fn is_at_work_on(&self, unit: &str) -> bool {
        let pending = journal::pending(self.store.root(), self.system).unwrap_or_default();
        pending.iter().any(|(_, app)| self.backend.unit(app) == unit)
            && self.system.is_locked(&session::lock_path(self.store.root()))
    }

    /// What was not started in this boot because this one could not be, is started now that it is ready. What nobody wanted to be
    /// started, or somebody has stopped since, is left alone.
    pub(super) fn revive_dependants(&mut self, unit: &str) {
        let name = unit.trim_end_matches(".service");
        let dependants: Vec<_> = self
            .apps
            .iter()
            .filter(|(dependant, app)| app.needs(name) && self.backend.invocation(self.system, dependant).is_none())
            .map(|(dependant, _)| dependant.clone())
            .collect();
        if dependants.is_empty() {
            return;
        }
        for live in self.backend.observe(self.system, &dependants).unwrap_or_default() {
            let was_never_up =
                live.active == "inactive" && live.started.is_none() && live.is_enabled() && !live.has_job;
            if was_never_up && self.was_not_started_for_another(&live.unit) && !self.is_at_work_on(&live.unit) {
                self.say(&live.unit, NOTICE, &format!("{name} is ready now: it is started"));
                let _ = self.system.run(&self.backend.start_soon(&live.unit), true); // its own journal tells how that went
            }
        }
    }

    /// Since it was installed: whoever did that, has decided whether it is to run.
    fn was_not_started_for_another(&self, unit: &str) -> bool {
        let app = unit.trim_end_matches(".service");
        let receipt = self.store.receipt(app, self.system).ok().flatten();
        receipt.is_some_and(|receipt| {
            let since = Duration::from_secs(receipt.installed);
            self.backend.was_not_started_for_another(self.system, unit, since)
        })
    }

    /// Says something in the journal of an app.
    pub(super) fn say(&self, unit: &str, priority: &str, text: &str) {
        let of = match self.backend.scope() {
            Scope::System => ["OBJECT_SYSTEMD_UNIT", "UNIT"],
            Scope::User => ["OBJECT_SYSTEMD_USER_UNIT", "USER_UNIT"],
        };
        let fields = [
            ("MESSAGE", text),
            ("PRIORITY", priority),
            ("SYSLOG_IDENTIFIER", "autoglm-boot"),
            (of[0], unit),
            (of[1], unit),
        ];
        let _ = platform::to_journal(&fields); // a journal that does not listen cannot be told
    }
}

/// What ends it. After a clean end some are not started again: those are not asked.
fn signal(live: &Live, is_forced: bool) -> String {
    match live
        .stop_signal
        .filter(|_| live.comes_back_when_asked_to_end() && !is_forced)
    {
        Some(number) => evidence::signal(number),
        None => "SIGKILL".into(),
    }
}

impl crate::backend::systemd::Systemd {
    /// Ends the main process of a unit; what it leaves behind, systemd ends.
    fn kill(&self, unit: &str, signal: &str) -> Cmd {
        // A signal without a name is given by its number.
        let signal = format!("--signal={}", signal.trim_start_matches("signal "));
        self.systemctl(["kill", "--kill-who=main", &signal])
            .units([unit.to_owned()])
    }

    fn start_soon(&self, unit: &str) -> Cmd {
        self.systemctl(["--no-block", "start"]).units([unit.to_owned()])
    }
}
