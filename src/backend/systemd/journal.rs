//! The journal: what an app said.

use std::time::Duration;

use super::Systemd;
use crate::{
    backend::{Live, LogQuery},
    system::{Cmd, Probe},
};

/// So many of the app's last lines are shown.
const LINES: u32 = 12;

impl Systemd {
    /// The last lines of this run in the journal; none where it cannot be read.
    pub(super) fn journal_tail(&self, look: &dyn Probe, live: &Live) -> Vec<String> {
        // By time and unit: of a process that died at once, the journal may not know the invocation.
        let since = live.started.map(|started| look.monotonic().saturating_sub(started));
        self.journal_lines(look, &live.unit, LINES, since)
    }

    /// The last lines since so long ago.
    pub(super) fn journal_since(&self, look: &dyn Probe, unit: &str, since: Duration) -> Vec<String> {
        const MANY: u32 = 300;
        self.journal_lines(look, unit, MANY, Some(since))
    }

    fn journal_lines(&self, look: &dyn Probe, unit: &str, lines: u32, since: Option<Duration>) -> Vec<String> {
        if look.euid() == 0 {
            // What the app wrote last may not have been taken in yet.
            let _ = look.query(&Cmd::new("journalctl", ["--sync"]));
        }
        let mut cmd = self.journal(unit);
        cmd.args
            .extend(["--quiet".into(), "--output=cat".into(), format!("--lines={lines}")]);
        if let Some(since) = since {
            cmd.args.push(format!("--since=-{}s", since.as_secs() + 1));
        }
        let output = look.query(&cmd).unwrap_or_default();
        output.stdout.lines().map(str::to_owned).collect()
    }

    /// Whether the service manager gave up starting a unit because it could not start another one that it needs, in this boot and
    /// after that time (since 1970), and nothing was done with it since. It is told in the journal only; where that cannot
    /// be read: no.
    pub(crate) fn was_not_started_for_another(&self, look: &dyn Probe, unit: &str, since: Duration) -> bool {
        /// How a job may end (org.freedesktop.systemd1(5), `JobRemoved`).
        const RESULTS: [&str; 11] = [
            "done",
            "canceled",
            "timeout",
            "failed",
            "dependency",
            "skipped",
            "invalid",
            "assert",
            "unsupported",
            "collected",
            "once",
        ];
        if look.euid() == 0 {
            let _ = look.query(&Cmd::new("journalctl", ["--sync"])); // else it may be there a moment later
        }
        let of = if self.is_user() { "USER_UNIT" } else { "UNIT" };
        let mut cmd = Cmd::new(
            "journalctl",
            ["--no-pager", "--quiet", "--boot", "--lines=1", "--output=cat"],
        );
        cmd.args.push("--output-fields=JOB_RESULT".into());
        cmd.args.push(format!("--since=@{}", since.as_secs()));
        cmd.args.push(format!("{of}={unit}"));
        cmd.args.extend(RESULTS.map(|result| format!("JOB_RESULT={result}")));
        // What a service manager says, and nobody in its name.
        cmd.args.push(if self.is_user() {
            format!("_UID={}", look.euid())
        } else {
            "_PID=1".into()
        });
        look.query(&cmd)
            .is_ok_and(|output| output.is_ok() && output.stdout.trim() == "dependency")
    }

    /// journalctl(1) for one unit of this scope.
    fn journal(&self, unit: &str) -> Cmd {
        let unit = if self.is_user() {
            format!("--user-unit={unit}")
        } else {
            format!("--unit={unit}")
        };
        Cmd::new("journalctl", ["--no-pager".into(), unit])
    }

    /// journalctl(1) for what the user wants to see.
    pub(super) fn log_command(&self, unit: &str, query: &LogQuery) -> Cmd {
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
