//! What the watcher does: it says so in the journal of the app, and has the service manager act.

use super::Watcher;
use crate::{
    backend::Backend as _,
    journal, platform,
    service::{RestartPolicy, Scope},
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
        let (is_asked, by_force) = (
            app.policy == RestartPolicy::Always && !is_forced,
            now + app.stop_timeout,
        );
        // After a clean end some are not started again: those are not asked.
        let signal = if is_asked {
            app.stop_signal.clone()
        } else {
            "SIGKILL".into()
        };
        if invocation.is_none() || invocation != self.backend.invocation(self.system, unit) || self.is_at_work_on(unit)
        {
            return;
        }
        let lives = self
            .backend
            .observe(self.system, &[unit.to_owned()])
            .unwrap_or_default();
        let is_up = |live: &crate::backend::Live| {
            live.is_up() && !live.has_job && Some(&live.invocation) == invocation.as_ref()
        };
        if !lives.first().is_some_and(is_up) {
            return;
        }
        if !is_forced {
            self.say(unit, WARNING, &format!("{why}: it is ended ({signal})"));
        }
        let done = self.system.run(&self.backend.kill(unit, &signal), true);
        match (done, self.apps.get_mut(unit)) {
            (Ok(output), Some(app)) if output.is_ok() => app.ends(why, by_force),
            (Ok(output), _) => self.say(
                unit,
                WARNING,
                &format!("it could not be ended: {}", output.stderr.trim()),
            ),
            (Err(error), _) => self.say(unit, WARNING, &format!("it could not be ended: {error}")),
        }
    }

    /// Whether an install or uninstall of it is under way, which waits for it by itself.
    fn is_at_work_on(&self, unit: &str) -> bool {
        let pending = journal::pending(self.store.root(), self.system).unwrap_or_default();
        pending.iter().any(|(_, app)| self.backend.unit(app) == unit)
    }

    /// What was never started in this boot because this one could not be is started now that it is ready.
    pub(super) fn revive_dependants(&mut self, unit: &str) {
        let name = unit.trim_end_matches(".service");
        let needs = |app: &super::App| app.needs.iter().any(|need| need == name);
        let dependants: Vec<_> = self
            .apps
            .iter()
            .filter(|(dependant, app)| needs(app) && self.backend.invocation(self.system, dependant).is_none())
            .map(|(dependant, _)| dependant.clone())
            .collect();
        if dependants.is_empty() {
            return;
        }
        for live in self.backend.observe(self.system, &dependants).unwrap_or_default() {
            let was_never_up =
                live.active == "inactive" && live.started.is_none() && live.is_enabled() && !live.has_job;
            if was_never_up && !self.is_at_work_on(&live.unit) {
                self.say(&live.unit, NOTICE, &format!("{name} is ready now: it is started"));
                let _ = self.system.run(&self.backend.start_soon(&live.unit), true); // its own journal tells how that went
            }
        }
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

impl crate::backend::systemd::Systemd {
    /// Ends the main process of a unit; what it leaves behind, systemd ends.
    fn kill(&self, unit: &str, signal: &str) -> Cmd {
        let signal = format!("--signal={signal}");
        self.systemctl(["kill", "--kill-who=main", &signal])
            .units([unit.to_owned()])
    }

    fn start_soon(&self, unit: &str) -> Cmd {
        self.systemctl(["--no-block", "start"]).units([unit.to_owned()])
    }
}
