//! How it ended, decoded: what the service manager says of it, where nothing else explains it.

use std::time::Duration;

use super::{Check, Ending, Finding, Patient, patient::quoted};
use crate::{
    backend::evidence::{advice, ending},
    plan::Span,
    service::{Os, Profile, RestartPolicy, StartType},
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "namespace",
        [
            "a folder that systemd is to bind for the app is not there (226/NAMESPACE)",
            "what systemd says of the start",
            "the folder",
        ],
        namespace,
    )
    .on(Os::Linux),
    Check::error(
        "out-of-memory",
        [
            "the kernel ended it for want of memory",
            "`Result=oom-kill`, what systemd says of it, `resources.memory`",
            "a higher `resources.memory`",
        ],
        out_of_memory,
    )
    .on(Os::Linux),
    Check::error(
        "call-denied",
        [
            "it was killed for a system call that is filtered (SIGSYS)",
            "the signal that ended it",
            "an error instead of the end: `SystemCallErrorNumber=`",
        ],
        call_denied,
    )
    .on(Os::Linux),
    Check::error(
        "compiler-denied",
        [
            "it compiles at run time, which the strict profile denies to machine code",
            "the signal that ended it, its last lines, `MemoryDenyWriteExecute=`",
            "`MemoryDenyWriteExecute = \"no\"`",
        ],
        compiler_denied,
    )
    .on(Os::Linux),
    Check::error(
        "start-timeout",
        [
            "it was not ready within `service.start_timeout`",
            "the last answer of its probe, what systemd says of the start",
            "a longer `service.start_timeout`",
        ],
        start_timeout,
    ),
    Check::error(
        "ends-at-once",
        [
            "it does its work and ends: nothing stays that could be kept running",
            "exit status 0 right after the start",
            "`service.type = \"oneshot\"`",
        ],
        ends_at_once,
    )
    .last(),
    Check::error(
        "start-refused",
        [
            "systemd could not execute it (exit status 200 to 243)",
            "the exit status",
            "what that status means",
        ],
        refused,
    )
    .last()
    .on(Os::Linux),
    Check::error(
        "killed",
        [
            "a signal ended it",
            "the signal, its last lines",
            "what that signal means",
        ],
        killed,
    )
    .last()
    .on(Os::Linux),
    Check::error(
        "crash-loop",
        [
            "it ends again and again",
            "the restarts, the exit status, its last lines",
            "its own: try the command by hand as its user",
        ],
        crash_loop,
    )
    .last(),
];

fn ended<'a>(patient: &'a Patient, code: u32, status: u32) -> Option<&'a Ending> {
    patient
        .ending
        .as_ref()
        .filter(|ending| ending.live.last_exit == (code, status))
}

fn namespace(patient: &Patient) -> Vec<Finding> {
    let said = || {
        patient.lines.iter().rev().find_map(|line| {
            let (_, rest) = line.split_once("Failed to set up mount namespacing: ")?;
            let (path, why) = rest.rsplit_once(": ")?;
            let path = path.trim_start_matches("/run/systemd/unit-root");
            (path.starts_with('/') && why.contains("No such file")).then(|| (line.trim().to_owned(), path.to_owned()))
        })
    };
    let Some((line, path)) = ended(patient, 1, 226).and_then(|_| said()) else {
        return Vec::new();
    };
    Finding::new(format!("systemd is to bind {path}, which is not there"))
        .seen(line)
        .run(format!("install -d {}", quoted(std::path::Path::new(&path))))
        .by_hand("or take it out of [raw.systemd] or the drop-in that names it")
        .only()
}

fn out_of_memory(patient: &Patient) -> Vec<Finding> {
    const SIGKILL: u32 = 9;
    let Some(ending) = &patient.ending else {
        return Vec::new();
    };
    let has = |signs: &[&str]| {
        let mut lines = patient.lines.iter().rev();
        lines
            .find(|line| signs.iter().any(|sign| line.contains(sign)))
            .map(|line| line.trim())
    };
    let line = has(&["killed by the OOM killer", "Failed with result 'oom-kill'"]);
    // Where the control groups are those of old, the kernel tells nobody: but who else kills what has a limit?
    let is_killed = ending.live.last_exit == (2, SIGKILL) && patient.service.resources.memory.is_some();
    let is_sick = patient
        .app
        .live
        .pulse
        .as_ref()
        .is_some_and(|pulse| pulse.ended.is_some());
    let is_ours = is_sick || has(&["timed out", "Killing process"]).is_some();
    if ending.live.result != "oom-kill" && line.is_none() && (!is_killed || is_ours) {
        return Vec::new();
    }
    let seen = if is_killed {
        "it was killed by SIGKILL"
    } else {
        "Result=oom-kill"
    };
    let finding = Finding::new("the kernel ended it for want of memory").seen(line.unwrap_or(seen));
    match patient.service.resources.memory {
        Some(limit) => finding
            .seen(format!("resources.memory is {}", super::requirements::size(limit)))
            .edit(
                patient,
                "resources.memory",
                format!("\"{}Mi\"", (limit * 4).div_ceil(1 << 20)),
            )
            .only(),
        None => finding
            .by_hand("give the machine more memory, or let the app use less")
            .only(),
    }
}

fn call_denied(patient: &Patient) -> Vec<Finding> {
    const SIGSYS: u32 = 31;
    let Some(end) = ended(patient, 2, SIGSYS).or_else(|| ended(patient, 3, SIGSYS)) else {
        return Vec::new();
    };
    Finding::new("it was killed for a system call that is filtered")
        .seen(ending(&end.live))
        .edit(patient, "raw.systemd.Service.SystemCallErrorNumber", "\"EPERM\"")
        .only()
}

fn compiler_denied(patient: &Patient) -> Vec<Finding> {
    const SIGNALS: [u32; 5] = [4, 5, 6, 7, 11]; // ILL, TRAP, ABRT, BUS, SEGV
    let security = &patient.service.security;
    let is_set = patient
        .service
        .raw_systemd
        .get("Service")
        .is_some_and(|lines| lines.iter().any(|(directive, _)| directive == "MemoryDenyWriteExecute"));
    let Some(end) = &patient.ending else { return Vec::new() };
    let (code, status) = end.live.last_exit;
    let is_signal = matches!(code, 2 | 3) && SIGNALS.contains(&status);
    if security.profile != Profile::Strict || !security.needs.is_native || is_set || !is_signal {
        return Vec::new();
    }
    Finding::new("it compiles at run time, it seems, which its profile denies to machine code")
        .seen(ending(&end.live))
        .seen("MemoryDenyWriteExecute=yes is in its unit")
        .edit(patient, "raw.systemd.Service.MemoryDenyWriteExecute", "\"no\"")
        .only()
}

fn start_timeout(patient: &Patient) -> Vec<Finding> {
    const LEAST: Duration = Duration::from_secs(30);
    const MUCH: u32 = 5;
    let Some(end) = &patient.ending else { return Vec::new() };
    let timed_out =
        |line: &&String| line.contains("start operation timed out") || line.contains("Failed with result 'timeout'");
    let line = patient.lines.iter().rev().find(timed_out);
    let Some(answer) = end.late.clone().or_else(|| line.map(|line| line.trim().to_owned())) else {
        return Vec::new();
    };
    let limit = patient.service.start_timeout;
    let longer = limit.saturating_mul(MUCH).max(LEAST);
    Finding::new(format!("it was not ready within {}", Span(limit)))
        .seen(answer)
        .edit(patient, "service.start_timeout", format!("\"{}\"", Span(longer)))
        .by_hand("if it never becomes ready: look at [readiness], and at its output")
        .only()
}

fn ends_at_once(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    let is_kept = service.start_type == StartType::Exec && service.restart.policy == RestartPolicy::Always;
    if !is_kept || ended(patient, 1, 0).is_none() {
        return Vec::new();
    }
    let finding =
        Finding::new("it does its work and ends")
            .seen("exit status 0")
            .edit(patient, "service.type", "\"oneshot\"");
    let finding = if patient.service.restart.max_attempts == 5 {
        finding
    } else {
        finding.edit(patient, "restart.policy", "\"never\"")
    };
    finding
        .by_hand(
            "if it goes on in the background instead: let it stay in the foreground, or service.type = \"forking\"",
        )
        .only()
}

fn with_lines(patient: &Patient, mut finding: Finding) -> Finding {
    const SHOWN: usize = 5;
    for line in &patient.lines[patient.lines.len().saturating_sub(SHOWN)..] {
        finding = finding.seen(line.trim());
    }
    finding
}

fn refused(patient: &Patient) -> Vec<Finding> {
    let Some(end) = &patient.ending else { return Vec::new() };
    let (code, status) = end.live.last_exit;
    if code != 1 || !(200..=243).contains(&status) || ending(&end.live) == format!("exit status {status}") {
        return Vec::new();
    }
    let finding = Finding::new(format!("it could not be started: {}", ending(&end.live)));
    with_lines(patient, finding).by_hand(advice(&end.live)).only()
}

fn killed(patient: &Patient) -> Vec<Finding> {
    let Some(end) = &patient.ending else { return Vec::new() };
    if !matches!(end.live.last_exit.0, 2 | 3) {
        return Vec::new();
    }
    let why = match end.live.last_exit.1 {
        9 => "somebody killed it, or the kernel for want of memory: dmesg | grep -i oom",
        6 => "it ended itself (abort): its last lines say why",
        4 => "it has instructions that this processor does not know: get a build for it",
        7 | 8 | 11 => "it has a mistake, or a library that does not fit: coredumpctl info, or run it under gdb",
        15 => "somebody told it to end: what it was is in the journal around that time",
        _ => "look at its output, and try its command by hand as its user",
    };
    let finding = Finding::new(format!("it was ended: {}", ending(&end.live)));
    with_lines(patient, finding).by_hand(why).only()
}

fn crash_loop(patient: &Patient) -> Vec<Finding> {
    let Some(end) = &patient.ending else { return Vec::new() };
    let live = &end.live;
    let what = match live.restarts {
        _ if live.result == "start-limit-hit" => "it ended too often, and was given up".to_owned(),
        0 => "it ended".into(),
        1 => "it ended, and was restarted once".into(),
        times => format!("it ends again and again: {times} restarts"),
    };
    let finding = Finding::new(format!("{what}: {}", ending(live)));
    let command = shell_words::join(&patient.service.command);
    let folder = quoted(&patient.service.working_directory);
    let by_hand = match patient.user_name() {
        _ if patient.is_on_windows() => format!("try it: cd {folder}; & {command}"),
        user if patient.service.scope == crate::service::Scope::System => {
            format!(
                "try it: cd {folder} && runuser -u {} -- {command}",
                shell_words::quote(&user)
            )
        }
        _ => format!("try it: cd {folder} && {command}"),
    };
    with_lines(patient, finding).by_hand(by_hand).only()
}
