//! Health: whether the app is well while it runs, and whether anybody looks.

use super::{Check, Finding, Patient};
use crate::health::state::{Care, Phase};
use crate::service::Os;

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "unhealthy",
        [
            "it runs, but its probe does not answer well; or its last run was ended for that",
            "what the watcher, or the supervisor, noted of its probe",
            "a restart; its own output says why",
        ],
        unhealthy,
    ),
    Check::warning(
        "unwatched",
        [
            "nobody asks it for its health: when it hangs, nothing is done",
            "the watcher's lock; only of an app with a probe that runs",
            "`systemctl start` of the watcher",
        ],
        unwatched,
    )
    .on(Os::Linux),
];

fn unhealthy(patient: &Patient) -> Vec<Finding> {
    let live = &patient.app.live;
    let Some(pulse) = &live.pulse else { return Vec::new() };
    let answer = pulse
        .answer
        .clone()
        .filter(|_| live.is_up() && pulse.phase == Phase::Sick);
    let ended = pulse.ended.clone().filter(|_| patient.ending.is_some());
    let finding = match (answer, ended) {
        (Some(answer), _) => Finding::new("it runs, but is not well").seen(answer),
        (_, Some(ended)) => Finding::new("its last run was ended, because it was not well").seen(ended),
        _ => return Vec::new(),
    };
    finding
        .run(format!("autoglm-boot restart {}", patient.service.name))
        .by_hand("if it comes again: look at its output (autoglm-boot logs); or [health] asks for something else")
        .only()
}

fn unwatched(patient: &Patient) -> Vec<Finding> {
    let is_due = patient.is_installed() && patient.is_of_systemd() && patient.app.live.is_up();
    let backend = patient.backend;
    if !is_due || !Care::of(patient.service).has_probe() || backend.is_watching(patient.look) {
        return Vec::new();
    }
    let watcher = crate::backend::systemd::WATCH;
    Finding::new("nobody asks it for its health")
        .seen(format!("{watcher} does not run"))
        .run(format!("{} {watcher}", patient.manager("start")))
        .by_hand(format!("if it does not come up: journalctl --unit={watcher}"))
        .only()
}
