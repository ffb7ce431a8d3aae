//! `[restart]`: when it is started again, and when that is given up.

use std::time::Duration;

use super::{Checker, or};
use crate::{
    plan::Span,
    service::{Health, Restart, RestartPolicy, SickAction, StartType},
    supervisor::state::backoff,
};

impl Checker<'_> {
    pub(super) fn restart(&mut self, start_type: StartType) -> Restart {
        let written = &self.manifest.restart;
        let policy = match written.policy.as_ref().map(|policy| policy.value.as_str()) {
            None if start_type == StartType::Oneshot => RestartPolicy::Never,
            None | Some("always") => RestartPolicy::Always,
            Some("on-failure") => RestartPolicy::OnFailure,
            Some(_) => RestartPolicy::Never,
        };
        if let Some(at) = &written.policy
            && start_type == StartType::Oneshot
            && policy == RestartPolicy::Always
        {
            self.wrong(
                "what does its work once cannot be restarted always",
                &at.span,
                "use \"on-failure\" or \"never\"",
            );
        }
        let delay = or(written.delay.as_ref(), 5);
        let max_delay = written.max_delay.as_ref().map_or(delay, |max| max.value);
        if let Some(at) = &written.max_delay
            && max_delay < delay
        {
            self.wrong(
                "restart.max_delay is shorter than restart.delay",
                &at.span,
                "leave it out: it is then the same",
            );
        }
        let max_attempts = written
            .max_attempts
            .as_ref()
            .map_or(5, |max| u32::try_from(max.value).unwrap_or(u32::MAX));
        let window = or(written.window.as_ref(), 600);
        let restart = Restart {
            policy,
            delay,
            max_delay,
            max_attempts,
            window,
        };
        let waits = waits(&restart);
        if policy != RestartPolicy::Never && max_attempts > 0 && waits >= window {
            self.warnings.push(format!(
                "restart.window is too short for {max_attempts} failures to fit in, which take {} at least: it will never give up",
                Span(waits)
            ));
        }
        restart
    }
}

impl Checker<'_> {
    /// An illness takes its time to be noticed: a budget that never fills up is none.
    pub(super) fn check_illness(&mut self, restart: &Restart, health: Option<&Health>) {
        let Some(health) = health.filter(|health| health.action == SickAction::Restart) else {
            return;
        };
        if restart.policy == RestartPolicy::Never || restart.max_attempts == 0 {
            return;
        }
        let noticed = health.interval.saturating_mul(health.retries);
        let all = waits(restart).saturating_add(noticed.saturating_mul(restart.max_attempts));
        if all >= restart.window && waits(restart) < restart.window {
            self.warnings.push(format!(
                "restart.window is too short for {} illnesses to be noticed in, which takes {} at least: an app that is \
                 sick again and again is never given up",
                restart.max_attempts,
                Span(all)
            ));
        }
    }
}

/// All waits of a whole budget together.
fn waits(restart: &Restart) -> Duration {
    const DOUBLED: u32 = 32; // then it is as long as can be
    let rising = restart.max_attempts.min(DOUBLED);
    let longest = restart.max_delay.saturating_mul(restart.max_attempts - rising);
    let waits = (0..rising).map(|number| backoff(restart, number));
    waits.fold(longest, Duration::saturating_add)
}
