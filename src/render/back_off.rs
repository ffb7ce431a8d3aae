//! `restart.max_delay` as systemd has it since version 254 (systemd.service(5), `RestartSteps=`, `RestartMaxDelaySec=`).
//! Unlike our supervisor it forgets no restart while time goes by: it counts anew after a start that was asked for, and
//! after `systemctl reset-failed` (<https://github.com/systemd/systemd/issues/43813>).

use super::seconds;
use crate::service::{Restart, RestartPolicy};

/// The first systemd that backs off.
const SINCE: u32 = 254;

/// Whether its restarts are to become rarer.
pub(super) fn is_wanted(restart: &Restart) -> bool {
    restart.policy != RestartPolicy::Never && restart.max_delay > restart.delay
}

/// The directives, for a systemd that knows them. From a delay of nothing it does not back off: nothing doubled is nothing.
pub(super) fn directives(restart: &Restart, version: Option<u32>) -> Vec<String> {
    if !is_wanted(restart) || restart.delay.is_zero() || version.is_none_or(|version| version < SINCE) {
        return Vec::new();
    }
    vec![
        format!("RestartSteps={}", steps(restart)),
        format!("RestartMaxDelaySec={}", seconds(restart.max_delay)),
    ]
}

/// Before restart `n`, counted from 0, systemd waits `delay * (max_delay / delay)^(n / steps)`, and from `steps` on
/// `max_delay`. With as many steps as there are doublings from one to the other, each wait is at most twice the one before.
/// There is one at least: `max_delay` is longer.
fn steps(restart: &Restart) -> u32 {
    let ratio = restart.max_delay.as_nanos().div_ceil(restart.delay.as_nanos());
    ratio.next_power_of_two().ilog2()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn restart(delay: u64, max_delay: u64) -> Restart {
        Restart {
            policy: RestartPolicy::Always,
            delay: Duration::from_millis(delay),
            max_delay: Duration::from_millis(max_delay),
            max_attempts: 5,
            window: Duration::from_mins(10),
        }
    }

    #[test]
    fn as_many_steps_as_doublings() {
        for (delay, max_delay, steps) in [
            (1_000, 1_001, 1),
            (1_000, 2_000, 1),
            (1_000, 2_001, 2),
            (1_000, 4_000, 2),
            (5_000, 60_000, 4),
            (1_000, 60_000, 6),
            (1_000, 64_000, 6),
            (1_000, 65_000, 7),
            (1, 100 * 366 * 86_400_000, 42),
        ] {
            assert_eq!(
                super::steps(&restart(delay, max_delay)),
                steps,
                "{delay} to {max_delay}"
            );
        }
    }

    /// As `service_restart_usec_next` of systemd computes it.
    #[test]
    fn each_wait_is_longer_than_the_one_before_but_never_more_than_twice_as_long() {
        for (delay, max_delay) in [(1_000, 1_500), (1_000, 60_000), (5_000, 7_000), (250, 3_600_000)] {
            let restart = restart(delay, max_delay);
            let steps = steps(&restart);
            let ratio = restart.max_delay.as_secs_f64() / restart.delay.as_secs_f64();
            let wait = |n: u32| restart.delay.as_secs_f64() * ratio.powf(f64::from(n) / f64::from(steps));
            for n in 1..=steps {
                let growth = wait(n) / wait(n - 1);
                assert!(growth > 1.0 && growth <= 2.0 + 1e-9, "{delay} to {max_delay}: {growth}");
            }
        }
    }

    #[test]
    fn it_is_only_written_where_it_is_wanted_and_known() {
        let wanted = restart(5_000, 60_500);
        assert_eq!(
            directives(&wanted, Some(254)),
            ["RestartSteps=4", "RestartMaxDelaySec=60.500"]
        );
        assert_eq!(directives(&wanted, Some(257)).len(), 2);
        let never = Restart {
            policy: RestartPolicy::Never,
            ..wanted.clone()
        };
        for (restart, version) in [
            (&wanted, None),
            (&wanted, Some(253)),
            (&never, Some(257)),
            (&restart(5_000, 5_000), Some(257)),
            (&restart(0, 5_000), Some(257)),
        ] {
            assert_eq!(
                directives(restart, version),
                Vec::<String>::new(),
                "{restart:?} {version:?}"
            );
        }
    }
}
