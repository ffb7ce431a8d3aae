//! What is told of an app, whoever keeps it: whether it is ready, how it ended, its last lines, and what can be done.

use std::{fmt::Write as _, time::Duration};

use super::{Answer, Backend, Live};
use crate::{
    exit::{Exit, Failure},
    health::state::Phase,
    plan::{Condition, Span},
    service::{Probe as Question, Readiness, StartType},
    system::Probe,
};

/// Restarts that an app with a probe may need before it is ready: it may have to wait for another one.
const CRASHES_BEFORE_READY: u32 = 2;

/// Before and behind how an app ended that waits for its restart.
const ENDED: &str = "ended (";
const UNTIL_RESTART: &str = "), waiting for its restart";

/// What is seen of an app that was told to start, before its probe is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight<'a> {
    /// It is ready, or not yet.
    Answer(Answer),
    /// It runs: its probe has to say.
    Ask(&'a Question),
}

/// Whether an app that was told to start is ready by now. An error is final.
pub fn sight<'a>(
    backend: &dyn Backend,
    look: &dyn Probe,
    (readiness, start_type): (&'a Readiness, StartType),
    (restarts, has_waits): (u32, bool),
    live: &Live,
) -> Result<Sight<'a>, Failure> {
    let allowed = if readiness.probe.is_some() {
        CRASHES_BEFORE_READY
    } else {
        0
    };
    let is_before_start = live.active == "activating" && live.sub == "start-pre";
    if (live.active == "inactive" && live.has_job) || (is_before_start && has_waits) {
        return Ok(Sight::Answer(Answer::Queued));
    }
    if let Some(state) = not_active(backend, look, live, restarts, allowed)? {
        return Ok(Sight::Answer(Answer::NotYet(state)));
    }
    if let Some(answer) = watched(backend, look, readiness, live) {
        return Ok(Sight::Answer(answer));
    }
    if let Some(probe) = &readiness.probe {
        return Ok(Sight::Ask(probe));
    }
    let age = look.monotonic().saturating_sub(live.active_since.unwrap_or_default());
    let is_settled = age >= readiness.settle || start_type == StartType::Oneshot;
    Ok(Sight::Answer(if is_settled {
        Answer::Yes
    } else {
        Answer::NotYet(format!("running for {}", Span(age)))
    }))
}

/// What the watcher says of it: where there is one, it is the one to say. `None` where nobody watches.
fn watched(backend: &dyn Backend, look: &dyn Probe, readiness: &Readiness, live: &Live) -> Option<Answer> {
    /// By then it has seen that the app runs.
    const SEEN: Duration = Duration::from_secs(5);
    match &live.pulse {
        Some(pulse) if pulse.phase == Phase::Ready => Some(Answer::Yes),
        Some(pulse) => Some(Answer::NotYet(
            pulse.answer.clone().unwrap_or_else(|| "it was just started".into()),
        )),
        None => {
            let age = look.monotonic().saturating_sub(live.active_since.unwrap_or_default());
            let is_due = readiness.probe.is_some() && age < SEEN && backend.is_watching(look);
            is_due.then(|| Answer::NotYet("it was just started".into()))
        }
    }
}

/// `None` for an app that is active; else what it does instead. An error if it will not become active any more.
fn not_active(
    backend: &dyn Backend,
    look: &dyn Probe,
    live: &Live,
    restarts: u32,
    allowed: u32,
) -> Result<Option<String>, Failure> {
    let crashes = live.restarts.saturating_sub(restarts) + u32::from(live.is_between_restarts());
    if crashes > allowed {
        let times = if crashes == 1 {
            "once".into()
        } else {
            format!("{crashes} times")
        };
        let what = format!("it ended {times} before it was ready");
        return Err(failure(backend, look, live, &what));
    }
    match live.active.as_str() {
        "active" => Ok(None),
        // What it requires is restarted, and it with it (`Requires=`, systemd.unit(5)).
        "failed" if live.has_job => Ok(Some("started again with what it requires".into())),
        "failed" => Err(failure(backend, look, live, "it failed before it was ready")),
        "inactive" if !live.has_job => {
            let what = if !live.is_loaded() {
                "the service manager cannot load it"
            } else if live.last_exit.0 == 0 {
                "it was not started: something it requires failed, or a condition of the unit does not hold"
            } else {
                "it ended by itself before it was ready"
            };
            Err(failure(backend, look, live, what))
        }
        _ if live.is_between_restarts() => Ok(Some(format!("{ENDED}{}{UNTIL_RESTART}", ending(live)))),
        state => Ok(Some(format!("{state} ({})", live.sub))),
    }
}

/// A failure of the app itself: what happened, how it ended, its last lines.
pub fn failure(backend: &dyn Backend, look: &dyn Probe, live: &Live, what: &str) -> Failure {
    let mut message = format!("{}: {what}", live.unit);
    let ending = ending(live);
    if !ending.is_empty() {
        let _ = write!(message, "\n  cause: {ending}"); // writing to a string cannot fail
    }
    let lines = backend.last_lines(look, live);
    if !lines.is_empty() {
        message.push_str("\n  its last lines:");
        for line in &lines {
            let _ = write!(message, "\n    {line}");
        }
    }
    Failure::new(Exit::Failed, message)
        .repair(advice(live))
        .of(backend.name(), live, lines)
}

/// The failure of an app that has been started again since it ended: how it ended was seen before.
pub fn with_cause(mut failure: Failure, seen: &str) -> Failure {
    let is_known = failure.message.contains("\n  cause: ");
    if let Some(end) = seen
        .strip_prefix(ENDED)
        .and_then(|rest| rest.strip_suffix(UNTIL_RESTART))
        && !is_known
    {
        let at = failure.message.find('\n').unwrap_or(failure.message.len());
        failure.message.insert_str(at, &format!("\n  cause: {end}"));
    }
    failure
}

/// A failure of a wait that took too long.
pub fn too_late(
    backend: &dyn Backend,
    look: &dyn Probe,
    condition: &Condition,
    deadline: Duration,
    reason: &str,
) -> Failure {
    let Condition::Ready { unit, .. } = condition else {
        return Failure::new(
            Exit::Failed,
            format!("{condition} did not come true within {}: {reason}", Span(deadline)),
        );
    };
    let what = format!("it was not ready within {}: {reason}", Span(deadline));
    match one(backend, look, unit) {
        Ok(live) => failure(backend, look, &live, &what)
            .repair(
                "if it only needs longer, raise service.start_timeout (model servers need \"30m\") or --timeout; \
             else look at its output, or try its command by hand",
            )
            .late(reason),
        Err(failure) => failure,
    }
}

/// What the service manager says of one unit.
pub fn one(backend: &dyn Backend, look: &dyn Probe, unit: &str) -> Result<Live, Failure> {
    Ok(backend.observe(look, &[unit.to_owned()])?.remove(0))
}

/// How the main process ended, in words: `exit status 203 (EXEC): …`. Empty where it has not ended.
pub fn ending(live: &Live) -> String {
    let by = match live.result.as_str() {
        "start-limit-hit" => "it was restarted too often; the last time: ",
        "timeout" => "it took too long; in the end: ",
        "oom-kill" => "the kernel ended it for want of memory; in the end: ",
        "watchdog" => "it stopped answering the watchdog; in the end: ",
        "no-manager" => return "the user's service manager does not run: nobody is logged in, nor lingers".into(),
        "unhealthy" => "it was unhealthy; in the end: ",
        "supervisor" => return "its supervisor was killed, and it with it".into(),
        "resources" => "the service manager could not start it (see the journal)",
        _ => "",
    };
    let (code, status) = live.last_exit;
    let end = match code {
        1 => match meaning(status) {
            Some(meaning) => format!("exit status {status} ({meaning})"),
            None => format!("exit status {status}"),
        },
        2 | 3 => format!("killed by {}", signal(status)),
        _ => String::new(),
    };
    if end.is_empty() && !by.is_empty() {
        return by
            .trim_end_matches(" the last time: ")
            .trim_end_matches(" in the end: ")
            .trim_end_matches(';')
            .into();
    }
    format!("{by}{end}")
}

/// systemd's own exit codes ("Process Exit Codes", systemd.exec(5)), which mean that the program was never reached, and
/// the shell's two.
fn meaning(status: u32) -> Option<&'static str> {
    Some(match status {
        126 => "found but not executable, as shells say it",
        127 => "program not found, as shells say it",
        200 => "CHDIR: the working directory cannot be entered",
        202 => "FDS: file descriptors could not be set up",
        203 => "EXEC: the program or its interpreter cannot be executed",
        204 => "MEMORY: out of memory",
        205 => "LIMITS: a limit could not be set",
        208 => "STDIN: standard input could not be set up",
        209 => "STDOUT: standard output could not be set up",
        216 => "GROUP: the group does not exist or cannot be taken on",
        217 => "USER: the user does not exist or cannot be taken on",
        218 => "CAPABILITIES: capabilities could not be dropped",
        219 => "CGROUP: the control group could not be set up",
        225 => "NETWORK: the network namespace could not be set up",
        226 => "NAMESPACE: the mount namespace could not be set up; does every path exist?",
        228 => "SECCOMP: the system call filter could not be set up",
        238 => "STATE_DIRECTORY: the state directory could not be set up",
        243 => "CREDENTIALS: credentials could not be set up",
        _ => return None,
    })
}

/// What can be done about how it ended.
pub fn advice(live: &Live) -> String {
    let specific = match live.last_exit {
        (1, 200) => {
            "check working_directory: that it exists, and that the service's user may enter it and every folder above it"
        }
        (1, 203) => {
            "check that the program is executable by the service's user, and that the interpreter of its #! line exists"
        }
        (1, 216 | 217) => "check service.user and service.group",
        (1, 218) => {
            "in user scope nothing can be dropped or hidden: take it out of [raw.systemd], or install with --system"
        }
        (1, 226) => "check the paths of [raw.systemd] and service.working_directory",
        _ if live.load == "bad-setting" => {
            "check [raw.systemd] and the drop-ins: the lines above say what systemd refuses"
        }
        _ if live.result == "oom-kill" => "raise resources.memory, or give the machine more",
        _ => "repair the app, try its command by hand as its user, then install again",
    };
    specific.into()
}

/// A signal's name.
pub(crate) fn signal(number: u32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let name = usize::try_from(number).ok().and_then(|n| NAMES.get(n.wrapping_sub(1)));
    name.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: u32, status: u32, result: &str) -> String {
        ending(&Live {
            last_exit: (code, status),
            result: result.into(),
            ..Live::default()
        })
    }

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(ended(1, 3, "exit-code"), "exit status 3");
        assert!(ended(1, 203, "exit-code").contains("interpreter"));
        assert_eq!(ended(2, 9, "signal"), "killed by SIGKILL");
        assert_eq!(ended(2, 34, "signal"), "killed by signal 34");
        assert_eq!(ended(0, 0, "success"), "");
        assert_eq!(ended(0, 0, "start-limit-hit"), "it was restarted too often");
        assert_eq!(
            ended(1, 1, "start-limit-hit"),
            "it was restarted too often; the last time: exit status 1"
        );
    }
}
