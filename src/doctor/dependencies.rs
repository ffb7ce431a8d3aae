//! Other services: whether they are there, run, and are waited for.

use std::path::Path;

use super::{Check, Finding, Patient, patient::quoted, program::list};
use crate::{backend::Live, service::Os};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "dependency-missing",
        [
            "a service that it requires is not there",
            "`dependencies.requires`, what the service manager knows",
            "the install of that one, where its manifest lies beside",
        ],
        missing,
    )
    .on(Os::Linux),
    Check::error(
        "dependency-failed",
        [
            "a service that it requires, wants or follows has failed, or is masked",
            "`ActiveState` of each",
            "`systemctl reset-failed` and `restart`; doctor, where it is ours",
        ],
        failed,
    )
    .on(Os::Linux),
    Check::error(
        "dependency-not-required",
        [
            "it comes after a service that nothing starts: an order is no requirement",
            "`dependencies.after`, `ActiveState` of each; only where it does not run",
            "the same name in `dependencies.wants`",
        ],
        not_required,
    )
    .on(Os::Linux),
];

fn lives(patient: &Patient, units: &[String]) -> Vec<Live> {
    let is_asked = patient.is_of_systemd() && patient.backend.is_reachable(patient.look);
    if !is_asked || units.is_empty() {
        return Vec::new();
    }
    patient.backend.observe(patient.look, units).unwrap_or_default()
}

fn missing(patient: &Patient) -> Vec<Finding> {
    let required = &patient.service.dependencies.requires;
    let absent = lives(patient, required).into_iter().filter(|live| !live.is_known());
    absent
        .map(|live| {
            let finding =
                Finding::new(format!("it requires {}, which is not there", live.unit)).seen("LoadState=not-found");
            let app = live.unit.strip_suffix(".service").unwrap_or(&live.unit);
            if let Some(file) = manifest_of(patient, app) {
                let scope = patient.service.scope.flag();
                finding.run(format!(
                    "autoglm-boot install {scope} --manifest {}",
                    quoted(Path::new(&file))
                ))
            } else {
                let left: Vec<_> = required.iter().filter(|unit| **unit != live.unit).cloned().collect();
                finding
                    .by_hand(format!("install {app} first; or, if it is not needed:"))
                    .edit(patient, "dependencies.requires", list(&left))
            }
        })
        .collect()
}

/// The manifest of another app, where it lies beside ours.
fn manifest_of(patient: &Patient, app: &str) -> Option<String> {
    let folder = patient.service.manifest.parent()?;
    let above = folder.parent().unwrap_or(folder);
    let places = [
        folder.join(format!("{app}.toml")),
        folder.join(app).join("app.toml"),
        above.join(app).join("app.toml"),
    ];
    let is_there = |place: &&std::path::PathBuf| matches!(patient.look.target(place), Ok(Some(_)));
    places
        .iter()
        .find(is_there)
        .map(|place| place.to_string_lossy().into_owned())
}

fn failed(patient: &Patient) -> Vec<Finding> {
    let dependencies = &patient.service.dependencies;
    let mut units = dependencies.requires.clone();
    if patient.ending.is_some() {
        // Where it runs all the same, it does without the others.
        units.extend(dependencies.wants.iter().chain(&dependencies.after).cloned());
    }
    units.sort();
    units.dedup();
    let told = |verb: &str, unit: &str| format!("{} {unit}", patient.manager(verb));
    lives(patient, &units)
        .into_iter()
        .filter(|live| live.active == "failed" || live.load == "masked")
        .map(|live| {
            let unit = &live.unit;
            if live.load == "masked" {
                let finding = Finding::new(format!("{unit}, which it depends on, is masked")).seen("LoadState=masked");
                return finding.run(told("unmask", unit));
            }
            let finding = Finding::new(format!("{unit}, which it depends on, has failed"));
            let finding = finding.seen(format!(
                "Result={}: {}",
                live.result,
                crate::backend::evidence::ending(&live)
            ));
            let app = unit.strip_suffix(".service").unwrap_or(unit);
            let is_ours = matches!(patient.backend.store().receipt(app, patient.look), Ok(Some(_)));
            let finding = finding.run(format!("{} && {}", told("reset-failed", unit), told("restart", unit)));
            if is_ours {
                finding.by_hand(format!("if it fails again: autoglm-boot doctor {app}"))
            } else {
                finding.by_hand(format!("if it fails again: journalctl --unit={unit}"))
            }
        })
        .collect()
}

fn not_required(patient: &Patient) -> Vec<Finding> {
    let dependencies = &patient.service.dependencies;
    if patient.ending.is_none() {
        return Vec::new(); // it runs all the same
    }
    let is_pulled = |unit: &String| dependencies.requires.contains(unit) || dependencies.wants.contains(unit);
    let services = dependencies
        .after
        .iter()
        .filter(|unit| unit.ends_with(".service") && !is_pulled(unit));
    let units: Vec<_> = services.cloned().collect();
    let down: Vec<_> = lives(patient, &units)
        .into_iter()
        .filter(|live| live.active == "inactive")
        .collect();
    down.iter()
        .filter(|live| live.is_known() && !live.is_enabled())
        .map(|live| {
            let mut wants = dependencies.wants.clone();
            wants.push(live.unit.clone());
            Finding::new(format!("it comes after {}, but nothing starts that one", live.unit))
                .seen(format!(
                    "{} is {} and {}; after is an order only",
                    live.unit, live.active, live.enabled
                ))
                .edit(patient, "dependencies.wants", list(&wants))
        })
        .collect()
}
