//! What a changed unit needs to take effect, by its directives. The table is in docs/changes.md.

/// The least that makes a change effective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing is different.
    Nothing,
    /// What people read: comments, the description.
    Cosmetic,
    /// What the service manager itself goes by: it takes it over at its reload, the app runs on.
    Reload,
    /// What the process was started with.
    Restart,
}

/// Directives that no running process is the wiser for.
const COSMETIC: [&str; 2] = ["Description", "Documentation"];
/// Directives that systemd reads when it acts (an order, a restart, a stop), not when it starts the process; seen in the lab.
const RELOAD: [&str; 16] = [
    "After",
    "Before",
    "Wants",
    "Requires",
    "WantedBy",
    "OnFailure",
    "OnSuccess",
    "StartLimitIntervalSec",
    "StartLimitBurst",
    "Restart",
    "RestartSec",
    "RestartSteps",
    "RestartMaxDelaySec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "KillSignal",
];

/// What the difference between two units needs.
pub(super) fn between(old: &str, new: &str) -> Change {
    let is_cosmetic = |directive: &str| COSMETIC.contains(&directive);
    let is_reload = |directive: &str| is_cosmetic(directive) || RELOAD.contains(&directive);
    if old == new {
        Change::Nothing
    } else if without(old, is_cosmetic) == without(new, is_cosmetic) {
        Change::Cosmetic
    } else if without(old, is_reload) == without(new, is_reload) {
        Change::Reload
    } else {
        Change::Restart
    }
}

/// The lines of a unit without comments and without these directives.
fn without(unit: &str, is_left_out: impl Fn(&str) -> bool) -> Vec<&str> {
    let lines = unit
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .filter(|line| {
            !line
                .split_once('=')
                .is_some_and(|(directive, _)| is_left_out(directive))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "# of /a\n[Unit]\nDescription=a\nAfter=b.service\n[Service]\nEnvironment=\"A=1\"\nEnvironment=\"A=2\"\n\
                        ExecStart=\"/a\"\nRestartSec=5\n";

    #[test]
    fn a_change_needs_what_its_directives_need() {
        for (from, to, change) in [
            ("", "", Change::Nothing),
            ("# of /a", "# of /b", Change::Cosmetic),
            ("Description=a", "Description=b", Change::Cosmetic),
            ("After=b.service\n", "", Change::Reload),
            ("RestartSec=5", "RestartSec=6", Change::Reload),
            ("\"/a\"", "\"/b\"", Change::Restart),
            ("A=1", "A=3", Change::Restart),
            ("ExecStart", "User=web\nExecStart", Change::Restart),
        ] {
            assert_eq!(between(UNIT, &UNIT.replacen(from, to, 1)), change, "{from} -> {to}");
        }
        let swapped = UNIT.replace("A=1", "A=x").replace("A=2", "A=1").replace("A=x", "A=2");
        assert_eq!(
            between(UNIT, &swapped),
            Change::Restart,
            "the order of assignments counts"
        );
    }
}
