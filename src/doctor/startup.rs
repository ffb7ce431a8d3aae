//! What begins it by itself on Windows: its task, or its shortcut.

use std::path::Path;

use super::{Check, Finding, Patient, program::script};
use crate::{
    backend::windows::Bounds,
    render::windows::LONGEST_PATH,
    service::{Method, Os},
    values::windows_path,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "startup-gone",
        [
            "it is installed, but its task or its shortcut is gone",
            "our receipt, `schtasks /query`, the Startup folder",
            "`install`",
        ],
        gone,
    )
    .on(Os::Windows),
    Check::error(
        "task-changed",
        [
            "its task starts something else, or at another occasion, than was installed",
            "command, arguments and triggers of `schtasks /query /xml`",
            "`install --force`",
        ],
        changed,
    )
    .on(Os::Windows),
    Check::error(
        "task-disabled",
        [
            "its task is disabled: nothing starts it",
            "`Enabled` of the task's settings",
            "`schtasks /change /enable`",
        ],
        disabled,
    )
    .on(Os::Windows),
    Check::error(
        "startup-app-off",
        [
            "its shortcut is switched off among the startup apps: no logon starts it",
            "`StartupApproved` of the registry",
            "`install --force`, or the Task Manager",
        ],
        switched_off,
    )
    .on(Os::Windows),
    Check::error(
        "path-too-long",
        [
            "its folder, or a program of it, has a path that Windows does not start",
            "their length: 260 characters, with the end",
            "a shorter path",
        ],
        too_long,
    )
    .on(Os::Windows),
    Check::warning(
        "task-on-batteries",
        [
            "its task is not started on batteries, or ended there",
            "`DisallowStartIfOnBatteries` and `StopIfGoingOnBatteries` of the task, and of what was installed",
            "`install --force`",
        ],
        on_batteries,
    )
    .on(Os::Windows),
    Check::warning(
        "task-time-limit",
        [
            "its task is ended after some time, by default after 72 hours",
            "`ExecutionTimeLimit` of the task, and of what was installed",
            "`install --force`",
        ],
        time_limit,
    )
    .on(Os::Windows),
];

/// Whether it was installed to be begun like this.
pub(super) fn is_by(patient: &Patient, method: Method) -> bool {
    patient.is_installed() && patient.method() == Some(method)
}

fn query(patient: &Patient) -> String {
    format!("schtasks /query /tn {} /xml", patient.service.name)
}

fn gone(patient: &Patient) -> Vec<Finding> {
    let what = match patient.method() {
        Some(Method::Task) => format!("its task \\{} is gone", patient.service.name),
        Some(Method::StartupFolder) => "its shortcut is gone from the Startup folder".into(),
        None => return Vec::new(),
    };
    if !patient.is_installed() || patient.app.anchored.is_there {
        return Vec::new();
    }
    Finding::new(format!("it is installed, but {what}"))
        .seen("our receipt names it, and nothing is there")
        .run(patient.install(""))
        .only()
}

fn changed(patient: &Patient) -> Vec<Finding> {
    if !is_by(patient, Method::Task) || !patient.app.anchored.is_other {
        return Vec::new();
    }
    Finding::new("its task was changed by hand: it starts something else, or at another occasion")
        .seen(format!("{} shows another command or trigger", query(patient)))
        .run(patient.install(" --force"))
        .by_hand("to keep a change: put it into the manifest")
        .only()
}

fn disabled(patient: &Patient) -> Vec<Finding> {
    if !is_by(patient, Method::Task) || !patient.app.anchored.is_off {
        return Vec::new();
    }
    Finding::new("its task is disabled: nothing starts it")
        .seen(format!("Enabled is false in the settings of {}", query(patient)))
        .run(format!("schtasks /change /tn {} /enable", patient.service.name))
        .only()
}

fn switched_off(patient: &Patient) -> Vec<Finding> {
    let anchored = &patient.app.anchored;
    if !is_by(patient, Method::StartupFolder) || !anchored.is_off {
        return Vec::new();
    }
    let value = anchored.approval.iter().flatten();
    let value: Vec<_> = value.map(|byte| format!("{byte:02x}")).collect();
    Finding::new("it is switched off among the startup apps: no logon starts it")
        .seen(format!(
            "StartupApproved has {} for {}.lnk: an odd first byte means off",
            value.join(" "),
            patient.service.name
        ))
        .run(patient.install(" --force"))
        .by_hand("or switch it on: Task Manager, Startup apps")
        .only()
}

/// What bounds the task, and what was to: what the manifest itself says ([raw.task.Settings]) is meant.
fn bounds<'a>(patient: &'a Patient) -> Option<(&'a Bounds, Bounds)> {
    if !is_by(patient, Method::Task) {
        return None;
    }
    let anchored = &patient.app.anchored;
    let meant = anchored.installed.as_ref().map(|facts| facts.bounds.clone());
    Some((&anchored.stored.as_ref()?.bounds, meant.unwrap_or_default()))
}

fn on_batteries(patient: &Patient) -> Vec<Finding> {
    let Some((there, meant)) = bounds(patient) else {
        return Vec::new();
    };
    let settings = [
        (
            there.is_kept_from_batteries && !meant.is_kept_from_batteries,
            "DisallowStartIfOnBatteries",
            "not started",
        ),
        (
            there.is_ended_on_batteries && !meant.is_ended_on_batteries,
            "StopIfGoingOnBatteries",
            "ended",
        ),
    ];
    let found: Vec<_> = settings.iter().filter(|(is_so, ..)| *is_so).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let what: Vec<_> = found.iter().map(|(_, _, what)| *what).collect();
    let mut finding = Finding::new(format!("on batteries its task is {}", what.join(", and ")));
    for (_, name, _) in found {
        finding = finding.seen(format!(
            "{name} is true in the settings of {}; installed was false",
            query(patient)
        ));
    }
    restored(patient, finding, "DisallowStartIfOnBatteries = true")
}

fn time_limit(patient: &Patient) -> Vec<Finding> {
    let Some((there, meant)) = bounds(patient) else {
        return Vec::new();
    };
    let Some(limit) = there
        .time_limit
        .as_ref()
        .filter(|_| meant.time_limit != there.time_limit)
    else {
        return Vec::new();
    };
    let finding = Finding::new(format!("its task is ended after {limit}, whatever the app does")).seen(format!(
        "ExecutionTimeLimit is {limit} in the settings of {}; installed was {}",
        query(patient),
        meant.time_limit.as_deref().unwrap_or("PT0S")
    ));
    restored(patient, finding, &format!("ExecutionTimeLimit = \"{limit}\""))
}

fn restored(patient: &Patient, finding: Finding, raw: &str) -> Vec<Finding> {
    finding
        .run(patient.install(" --force"))
        .by_hand(format!(
            "if it comes again, a policy sets it; if it is meant: [raw.task.Settings] {raw}"
        ))
        .only()
}

fn too_long(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    if patient.method().is_none() {
        return Vec::new();
    }
    let commands = service.pre_start.iter().chain([&service.command]);
    let mut paths = vec![service.working_directory.clone()];
    for argv in commands {
        paths.extend(argv.first().map(|program| patient.place(program)));
        paths.extend(script(patient, argv));
    }
    paths.dedup();
    paths.iter().filter_map(|path| described(path)).collect()
}

fn described(path: &Path) -> Option<Finding> {
    let length = windows_path::length(&path.to_string_lossy());
    let finding = Finding::new(format!("the path is too long for Windows: {}", path.display()));
    let finding = finding.seen(format!(
        "it has {length} characters; {} are the most, without its end",
        LONGEST_PATH - 1
    ));
    (length >= LONGEST_PATH).then(|| finding.by_hand("move the app to a folder with a shorter path"))
}
