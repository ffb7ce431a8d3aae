//! What begins it by itself on Windows: its task, its shortcut, and what the Task Scheduler says of the last start.

use std::path::Path;

use super::{Check, Finding, Patient, program::script};
use crate::{
    backend::windows::{
        Bounds,
        tasks::{DENIED, MISSING},
    },
    render::windows::LONGEST_PATH,
    service::{Method, Os, RunAs},
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
        "task-logon-refused",
        [
            "its account may not log on for a task (0x8007052E, 0x80070569)",
            "the task's last result; only while it does not run",
            "the right \"Log on as a batch job\", or an account that may",
        ],
        logon_refused,
    )
    .on(Os::Windows),
    Check::error(
        "task-not-started",
        [
            "the Task Scheduler could not start it (0x80070002, 0x80070005, 0xC0000135 …)",
            "the task's last result; only while it does not run",
            "what that result means",
        ],
        not_started,
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
    Check::error(
        "task-ended",
        [
            "its task was ended from outside (0x41306, 0xC000013A)",
            "the task's last result; only of an app that is not well",
            "`start`",
        ],
        ended,
    )
    .last()
    .on(Os::Windows),
    Check::warning(
        "task-never-ran",
        [
            "its task has never run (0x41303): no trigger has fired since it was registered",
            "the task's last result; only while it does not run",
            "`start`; or a reboot, or a logon",
        ],
        never_ran,
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

/// `SCHED_S_TASK_HAS_NOT_RUN` and `SCHED_S_TASK_TERMINATED` ([MS-TSCH] 2.3.4).
const NEVER_RAN: u32 = 0x0004_1303;
const TERMINATED: u32 = 0x0004_1306;
/// `HRESULT_FROM_WIN32` of `ERROR_PATH_NOT_FOUND`, `ERROR_LOGON_FAILURE` and `ERROR_LOGON_TYPE_NOT_GRANTED`.
const NO_PATH: u32 = 0x8007_0003;
const LOGON_FAILED: u32 = 0x8007_052e;
const LOGON_NOT_GRANTED: u32 = 0x8007_0569;
/// `STATUS_CONTROL_C_EXIT` and `STATUS_DLL_NOT_FOUND` ([MS-ERREF] 2.3.1): how a process ended.
const CONTROL_C: u32 = 0xc000_013a;
const NO_LIBRARY: u32 = 0xc000_0135;

/// Whether it was installed to be begun like this.
fn is_by(patient: &Patient, method: Method) -> bool {
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

/// The last result of a task whose app does not run.
fn result(patient: &Patient) -> Option<u32> {
    let is_due = is_by(patient, Method::Task) && patient.app.anchored.is_there && !patient.app.live.is_up();
    is_due.then(|| patient.last_result()).flatten()
}

fn told(message: &str, result: u32) -> Finding {
    Finding::new(message).seen(format!("the last result of its task is {result:#010X}"))
}

fn logon_refused(patient: &Patient) -> Vec<Finding> {
    let user = match &patient.service.run_as {
        RunAs::User { user, .. } => user.clone(),
        _ => patient.user_name(),
    };
    match result(patient) {
        Some(code @ LOGON_NOT_GRANTED) => told(&format!("{user} may not log on for a task"), code)
            .by_hand(format!(
                "give {user} the right: secpol.msc, Local Policies, User Rights Assignment, \"Log on as a batch job\"; and look that \"Deny log on as a batch job\" does not name it"
            ))
            .by_hand("or let LocalService have it, which needs no right: service.user")
            .only(),
        Some(code @ LOGON_FAILED) => told(&format!("{user} could not log on for the task"), code)
            .by_hand(format!(
                "look whether the account is there, is active, and has not expired: net user {user}"
            ))
            .run(patient.install(" --force"))
            .only(),
        _ => Vec::new(),
    }
}

fn not_started(patient: &Patient) -> Vec<Finding> {
    const FAILED: u32 = 0x8000_0000; // HRESULTs and NTSTATUS values that are no success begin there
    let Some(code) = result(patient) else {
        return Vec::new();
    };
    let program = patient.app.receipt.as_ref().and_then(|receipt| receipt.program.clone());
    let program = program.map_or_else(|| "our program".into(), |path| path.display().to_string());
    match code {
        MISSING | NO_PATH => told("the Task Scheduler did not find what it is to start", code)
            .seen(format!("it is to start {program}"))
            .run(patient.install(" --force"))
            .by_hand("if it comes again: something takes the program away, mostly a virus scanner"),
        DENIED => told("the Task Scheduler may not start it", code)
            .seen(format!("it is to start {program}"))
            .by_hand(format!(
                "let its account read and execute that: icacls \"{program}\"; a policy (AppLocker) may deny it as well"
            )),
        NO_LIBRARY => told("a DLL that it needs was not found", code)
            .seen(format!("it starts {program}"))
            .by_hand(
                "start that by hand as its account: Windows names the DLL; mostly a Visual C++ runtime is missing",
            ),
        LOGON_FAILED | LOGON_NOT_GRANTED | CONTROL_C => return Vec::new(), // other checks tell
        code if code >= FAILED => told("the Task Scheduler could not start it, or it broke off", code)
            .by_hand("its log has more: Microsoft-Windows-TaskScheduler/Operational, in the event viewer"),
        _ => return Vec::new(),
    }
    .only()
}

fn ended(patient: &Patient) -> Vec<Finding> {
    // What was stopped by hand has ended well.
    let Some(code) = result(patient).filter(|_| patient.ending.is_some()) else {
        return Vec::new();
    };
    let why = match code {
        TERMINATED => "its task was ended: by hand (schtasks /end), or by a limit of the task",
        CONTROL_C => "its task was ended with Ctrl-C, by a logoff, or by a window that was closed",
        _ => return Vec::new(),
    };
    told(why, code)
        .run(format!("autoglm-boot start {}", patient.service.name))
        .only()
}

fn never_ran(patient: &Patient) -> Vec<Finding> {
    let Some(code) = result(patient).filter(|code| *code == NEVER_RAN) else {
        return Vec::new();
    };
    told("its task has never run", code)
        .run(format!("autoglm-boot start {}", patient.service.name))
        .by_hand("or wait for what triggers it: windows.trigger")
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
