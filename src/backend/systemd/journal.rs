//! The journal: what an app said.

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
        if look.euid() == 0 {
            // What the app wrote last may not have been taken in yet.
            let _ = look.query(&Cmd::new("journalctl", ["--sync"]));
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
