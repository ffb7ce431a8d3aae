//! What is told of an app that failed: how it ended, its last lines, and what can be done.

use std::fmt::Write as _;

use super::Systemd;
use crate::{
    backend::{Live, LogQuery},
    exit::{Exit, Failure},
    system::Probe,
};

/// So many of the app's last lines are shown.
const LINES: u32 = 12;

impl Systemd {
    /// A failure of the app itself: what happened, how it ended, its last lines.
    pub(super) fn failure(&self, look: &dyn Probe, live: &Live, what: &str) -> Failure {
        let mut message = format!("{}: {what}", live.unit);
        let ending = ending(live);
        if !ending.is_empty() {
            let _ = write!(message, "\n  cause: {ending}"); // writing to a string cannot fail
        }
        let lines = self.last_lines(look, live);
        if !lines.is_empty() {
            message.push_str("\n  its last lines:");
            for line in lines {
                let _ = write!(message, "\n    {line}");
            }
        }
        Failure::new(Exit::Failed, message).repair(repair(live))
    }

    /// The last lines of this run in the journal; none where it cannot be read.
    fn last_lines(&self, look: &dyn Probe, live: &Live) -> Vec<String> {
        if look.euid() == 0 {
            // What the app wrote last may not have been taken in yet.
            let _ = look.query(&crate::system::Cmd::new("journalctl", ["--sync"]));
        }
        let mut cmd = self.journal(&live.unit);
        cmd.args
            .extend(["--quiet".into(), "--output=cat".into(), format!("--lines={LINES}")]);
        // By time and unit: of a process that died at once, the journal may not know the invocation.
        if let Some(started) = live.started {
            let ago = look.monotonic().saturating_sub(started).as_secs() + 1;
            cmd.args.push(format!("--since=-{ago}s"));
        }
        let output = look.query(&cmd).unwrap_or_default();
        output.stdout.lines().map(str::to_owned).collect()
    }

    /// journalctl(1) for one unit of this scope.
    pub(super) fn journal(&self, unit: &str) -> crate::system::Cmd {
        let unit = if self.is_user() {
            format!("--user-unit={unit}")
        } else {
            format!("--unit={unit}")
        };
        crate::system::Cmd::new("journalctl", ["--no-pager".into(), unit])
    }

    /// journalctl(1) for what the user wants to see.
    pub(super) fn log_command(&self, unit: &str, query: &LogQuery) -> crate::system::Cmd {
        let mut cmd = self.journal(unit);
        if query.follow {
            cmd.args.push("--follow".into());
        }
        if let Some(lines) = query.lines {
            cmd.args.push(format!("--lines={lines}"));
        }
        if let Some(since) = &query.since {
            cmd.args.push(format!("--since={since}"));
        }
        cmd
    }
}

/// How the main process ended, in words: `exit status 203 (EXEC): …`. Empty where it has not ended.
pub fn ending(live: &Live) -> String {
    let by = match live.result.as_str() {
        "start-limit-hit" => "it was restarted too often; the last time: ",
        "timeout" => "it took too long; in the end: ",
        "oom-kill" => "the kernel ended it for want of memory; in the end: ",
        "watchdog" => "it stopped answering the watchdog; in the end: ",
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

fn repair(live: &Live) -> String {
    let specific = match live.last_exit {
        (1, 200) => {
            "check working_directory: that it exists, and that the service's user may enter it and every folder above it"
        }
        (1, 203) => {
            "check that the program is executable by the service's user, and that the interpreter of its #! line exists"
        }
        (1, 216 | 217) => "check service.user and service.group",
        (1, 226) => "check the paths of [raw.systemd] and service.working_directory",
        _ if live.result == "oom-kill" => "raise resources.memory, or give the machine more",
        _ => "repair the app, try its command by hand as its user, then install again",
    };
    specific.into()
}

/// A signal's name.
fn signal(number: u32) -> String {
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
