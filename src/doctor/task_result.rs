//! What the Task Scheduler says of the last start of its task, in words.

use super::{Check, Finding, Patient, startup::is_by};
use crate::{
    backend::windows::tasks::{DENIED, MISSING},
    service::{Method, Os, RunAs},
};

pub(super) const CHECKS: &[Check] = &[
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
