//! The unit: whether it is there, is ours, is as it was installed, is what systemd holds, and starts at boot.

use std::path::{Path, PathBuf};

use super::{Check, Finding, Patient, Source, patient::quoted};
use crate::{
    backend::{AppState, AtPath},
    journal,
    service::Os,
    system::Probe,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "install-interrupted",
        [
            "an install or uninstall was cut short",
            "the journal in our records",
            "the next install, which undoes or finishes it",
        ],
        interrupted,
    ),
    Check::error(
        "unit-masked",
        [
            "the unit is masked: somebody forbade its start",
            "`LoadState`, a link to `/dev/null`",
            "`systemctl unmask`",
        ],
        masked,
    )
    .on(Os::Linux),
    Check::error(
        "unit-foreign",
        [
            "there is a unit of that name that is not ours",
            "the unit files, our receipt",
            "`install --adopt`, or another name",
        ],
        foreign,
    ),
    Check::error(
        "unit-removed",
        [
            "it is installed, but its unit is gone (Unit not found)",
            "our receipt, the unit file",
            "`install`",
        ],
        removed,
    )
    .on(Os::Linux),
    Check::error(
        "unit-drifted",
        [
            "the unit was changed by hand since it was installed",
            "its SHA-256, our receipt",
            "`install --force`, or a drop-in",
        ],
        drifted,
    ),
    Check::error(
        "unit-broken",
        [
            "systemd cannot load the unit, mostly because of a drop-in",
            "`LoadState`, the drop-ins, what systemd says of the unit",
            "without that drop-in",
        ],
        broken,
    )
    .on(Os::Linux),
    Check::error(
        "unit-not-loaded",
        [
            "systemd holds nothing, or something older, of the unit that is there (Unit not found)",
            "`LoadState`, `NeedDaemonReload`",
            "`systemctl daemon-reload`",
        ],
        not_loaded,
    )
    .on(Os::Linux),
    Check::error(
        "not-enabled",
        [
            "it does not start at boot",
            "the links of the boot target",
            "`systemctl enable`",
        ],
        not_enabled,
    )
    .on(Os::Linux),
];

fn interrupted(patient: &Patient) -> Vec<Finding> {
    let store = patient.backend.store();
    let pending = journal::pending(store.root(), patient.look).unwrap_or_default();
    let lock = crate::session::lock_path(store.root());
    let own = pending.into_iter().find(|(_, name)| *name == patient.service.name);
    let Some((verb, _)) = own.filter(|_| !patient.look.is_locked(&lock)) else {
        return Vec::new();
    };
    told_of_journal(&verb, store.root()).run(patient.install("")).only()
}

fn told_of_journal(verb: &str, records: &Path) -> Finding {
    Finding::new(format!("an earlier {verb} was cut short")).seen(format!("its journal lies in {}", records.display()))
}

/// The same of an app of which nothing else is known: its first install was cut short, or its uninstall.
pub fn cut_short(look: &dyn Probe, records: &Path, name: &str) -> Option<Finding> {
    if look.is_locked(&crate::session::lock_path(records)) {
        return None; // it is at work
    }
    let pending = journal::pending(records, look).unwrap_or_default();
    let (verb, _) = pending.into_iter().find(|(_, app)| app == name)?;
    let finding = told_of_journal(&verb, records).by_hand(format!(
        "whatever changes something next undoes or finishes it: install {name} again, or autoglm-boot uninstall {name}"
    ));
    Some(Finding {
        id: CHECKS[0].id,
        ..finding
    })
}

fn masked(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    let link = matches!(&app.at_path, Some(AtPath::Link(to)) if to.as_os_str() == "/dev/null");
    if app.live.load != "masked" && !link {
        return Vec::new();
    }
    Finding::new(format!("{} is masked: it cannot be started", patient.unit()))
        .seen("it leads to /dev/null")
        .run(patient.systemctl("unmask"))
        .only()
}

/// Whether a unit is there that may be looked at at all.
fn is_plain(app: &AppState) -> bool {
    app.live.load != "masked"
}

fn foreign(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    if !app.is_foreign() || !is_plain(app) || patient.source == Source::Installed {
        return Vec::new();
    }
    let place = app
        .live
        .fragment
        .clone()
        .map_or_else(|| patient.unit(), |path| path.display().to_string());
    let finding = Finding::new(format!("{} is there already, and is not ours", patient.unit()))
        .seen(place)
        .seen("we have no receipt of it");
    if patient.is_on_windows() {
        return finding
            .by_hand("look at it, and remove it; or give the app another name")
            .only();
    }
    finding.run(patient.install(" --adopt")).only()
}

fn removed(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    if !patient.is_installed() || app.at_path.is_some() || !patient.is_of_systemd() {
        return Vec::new();
    }
    let unit = app
        .receipt
        .as_ref()
        .map_or_else(PathBuf::new, |receipt| receipt.unit.clone());
    Finding::new(format!("it is installed, but its unit is gone: {}", unit.display()))
        .seen("our receipt names it, and nothing is there")
        .run(patient.install(""))
        .only()
}

fn drifted(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    if !app.is_drifted() || app.at_path.is_none() || !is_plain(app) {
        return Vec::new();
    }
    let unit = app
        .receipt
        .as_ref()
        .map_or_else(PathBuf::new, |receipt| receipt.unit.clone());
    let finding = Finding::new(format!("{} was changed by hand since it was installed", unit.display()))
        .seen("its SHA-256 is not that of our receipt")
        .run(patient.install(" --force"));
    if patient.is_on_windows() {
        return finding.by_hand("to keep a change: put it into the manifest").only();
    }
    finding
        .by_hand(format!(
            "to keep a change: put it into the manifest, or into {}.d/",
            unit.display()
        ))
        .only()
}

fn broken(patient: &Patient) -> Vec<Finding> {
    let live = &patient.app.live;
    if !matches!(live.load.as_str(), "bad-setting" | "error") {
        return Vec::new();
    }
    let mut finding =
        Finding::new(format!("systemd cannot load {}", live.unit)).seen(format!("LoadState={}", live.load));
    let said = patient
        .lines
        .iter()
        .rev()
        .find(|line| line.contains(&live.unit) && line.contains(".conf:"));
    finding = said.map_or_else(|| finding.clone(), |line| finding.clone().seen(line.trim()));
    let reload = patient.manager("daemon-reload");
    match live.drop_ins.as_slice() {
        [] => finding.by_hand("look at [raw.systemd] of the manifest"),
        [only] => finding.run(format!("mv {0} {0}.off && {reload}", quoted(only))),
        several => {
            for path in several {
                finding = finding.seen(path.display().to_string());
            }
            finding.by_hand("take the drop-in that is wrong away, then systemctl daemon-reload")
        }
    }
    .only()
}

fn not_loaded(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    let is_there = matches!(&app.at_path, Some(AtPath::File(..) | AtPath::Link(_)));
    let is_unknown = app.live.load == "not-found" && patient.backend.is_reachable(patient.look);
    if !patient.is_installed() || !patient.is_of_systemd() || !is_there || !(is_unknown || app.live.is_stale) {
        return Vec::new();
    }
    let what = if is_unknown {
        "does not know"
    } else {
        "holds something older than"
    };
    let reload = patient.manager("daemon-reload");
    Finding::new(format!("systemd {what} {}", patient.unit()))
        .seen(format!(
            "LoadState={}, NeedDaemonReload={}",
            app.live.load,
            if app.live.is_stale { "yes" } else { "no" }
        ))
        .run(reload)
        .only()
}

fn not_enabled(patient: &Patient) -> Vec<Finding> {
    let app = patient.app;
    let is_due = patient.is_installed() && patient.is_of_systemd() && app.at_path.is_some() && is_plain(app);
    if !is_due || !app.links.is_empty() {
        return Vec::new();
    }
    Finding::new("it does not start at boot")
        .seen(format!("no link of a boot target leads to {}", patient.unit()))
        .run(patient.systemctl("enable"))
        .only()
}
