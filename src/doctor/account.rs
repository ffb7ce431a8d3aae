//! Whom it runs as.

use super::{Check, Finding, Patient};
use crate::service::{Os, RunAs, Scope};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "user-missing",
        [
            "the user it runs as does not exist (217/USER)",
            "`service.user`, the accounts of the machine",
            "`useradd --system`",
        ],
        user_missing,
    )
    .on(Os::Linux),
    Check::error(
        "group-missing",
        [
            "the group it runs as does not exist (216/GROUP)",
            "`service.group`, the groups of the machine",
            "`groupadd --system`",
        ],
        group_missing,
    )
    .on(Os::Linux),
    Check::error(
        "lingering-off",
        [
            "a user's app ends at logout and does not start at boot",
            "`/var/lib/systemd/linger`",
            "`loginctl enable-linger`",
        ],
        lingering_off,
    )
    .on(Os::Linux),
];

fn user_missing(patient: &Patient) -> Vec<Finding> {
    let RunAs::User { user, .. } = &patient.service.run_as else {
        return Vec::new();
    };
    if patient.look.user(user).is_some() {
        return Vec::new();
    }
    Finding::new(format!("there is no user {user}"))
        .seen("service.user names it, /etc/passwd does not")
        .run(format!("useradd --system --user-group {}", shell_words::quote(user)))
        .only()
}

fn group_missing(patient: &Patient) -> Vec<Finding> {
    let RunAs::User { group: Some(group), .. } = &patient.service.run_as else {
        return Vec::new();
    };
    if patient.look.group(group).is_some() {
        return Vec::new();
    }
    Finding::new(format!("there is no group {group}"))
        .seen("service.group names it, /etc/group does not")
        .run(format!("groupadd --system {}", shell_words::quote(group)))
        .only()
}

fn lingering_off(patient: &Patient) -> Vec<Finding> {
    let user = patient.host.user_name();
    let is_due = patient.service.scope == Scope::User && patient.is_of_systemd() && patient.is_installed();
    if !is_due || patient.backend.is_lingering(patient.look, &user) {
        return Vec::new();
    }
    Finding::new(format!(
        "{user} does not linger: the app ends at logout, and does not start at boot"
    ))
    .seen(format!("there is no /var/lib/systemd/linger/{user}"))
    .run(format!("loginctl enable-linger {user}"))
    .only()
}
