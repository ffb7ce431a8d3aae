//! How an app ended last, and what it said: from a failure just now, from the service manager, or from its output alone
//! where an undo has left nothing else.

use std::time::Duration;

use super::Ending;
use crate::{
    backend::{AppState, Backend, Live},
    exit::Trouble,
    system::Probe,
};

/// What is older says nothing about now.
const RECENT: Duration = Duration::from_mins(10);
/// Starts that came before the last one.
const EARLIER: Duration = Duration::from_mins(1);
/// Who runs so long after a restart is well.
const WELL: Duration = Duration::from_mins(2);

/// How it ended, where it is not well, and its last lines.
pub fn history(
    look: &dyn Probe,
    backend: &dyn Backend,
    app: &AppState,
    trouble: Option<&Trouble>,
) -> (Option<Ending>, Vec<String>) {
    // Of what is restarted the last start may have said nothing yet.
    let since = |live: &Live| {
        let age = live.started.map_or(RECENT, |at| look.monotonic().saturating_sub(at));
        if live.restarts > 0 { age + EARLIER } else { age }
    };
    if let Some(Trouble {
        live,
        late,
        lines: told,
        ..
    }) = trouble
    {
        let mut lines = backend.said(look, &live.unit, since(live));
        if lines.is_empty() {
            lines.clone_from(told);
        }
        let (live, late) = (with_end(live, &lines), late.clone());
        return (Some(Ending { live, late }), lines);
    }
    let live = &app.live;
    if app.receipt.is_none() && !live.is_up() {
        let lines = backend.said(look, &live.unit, RECENT);
        return (of_lines(&live.unit, &lines), lines);
    }
    let lines = backend.said(look, &live.unit, since(live));
    let ending = Ending {
        live: with_end(live, &lines),
        late: None,
    };
    (is_ill(live, look.monotonic()).then_some(ending), lines)
}

/// The same, with the end that the service manager forgets while it starts it again.
fn with_end(live: &Live, lines: &[String]) -> Live {
    let mut live = live.clone();
    if live.last_exit.0 == 0
        && let Some(ending) = of_lines(&live.unit, lines)
    {
        live.last_exit = ending.live.last_exit;
    }
    live
}

fn is_ill(live: &Live, now: Duration) -> bool {
    let age = now.saturating_sub(live.active_since.unwrap_or_default());
    match live.active.as_str() {
        "failed" => true,
        _ if live.is_between_restarts() => true,
        "active" => live.restarts > 1 && age < WELL,
        // What was stopped by hand has ended well.
        "inactive" => !matches!(live.result.as_str(), "" | "success" | "no-manager"),
        _ => false,
    }
}

/// How it ended, as systemd's own lines tell it; they are the same in every language.
fn of_lines(unit: &str, lines: &[String]) -> Option<Ending> {
    let own = |line: &&String| line.starts_with(unit);
    let mut live = Live::unknown(unit);
    for line in lines.iter().filter(own) {
        if let Some((_, rest)) = line.split_once("code=")
            && let Some((code, rest)) = rest.split_once(", status=")
        {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let code = match code {
                "exited" => 1,
                "killed" => 2,
                _ => 3,
            };
            live.last_exit = (code, rest[..digits].parse().unwrap_or_default());
        }
        if let Some((_, rest)) = line.split_once("Failed with result '") {
            live.result = rest.split('\'').next().unwrap_or_default().into();
        }
        if line.contains("Scheduled restart job") {
            live.restarts += 1;
        }
    }
    let has_ended = live.last_exit.0 != 0 || !live.result.is_empty();
    has_ended.then_some(Ending { live, late: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_lines_tell_how_it_ended() {
        let lines = [
            "Starting a.service - a...",
            "a.service: Main process exited, code=exited, status=1/FAILURE",
            "code=killed, status=11 is what the app says",
            "a.service: Scheduled restart job, restart counter is at 1.",
            "a.service: Main process exited, code=killed, status=9/KILL",
            "a.service: Failed with result 'signal'.",
        ]
        .map(str::to_owned);
        let live = of_lines("a.service", &lines).expect("it ended").live;
        assert_eq!(
            (live.last_exit, live.result.as_str(), live.restarts),
            ((2, 9), "signal", 1)
        );
        assert!(of_lines("a.service", &["Started a.service - a.".into()]).is_none());
    }
}
