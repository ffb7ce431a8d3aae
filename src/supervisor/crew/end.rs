//! Whether a supervisor ended with its app, or was killed.

use crate::{backend::Live, exit::Exit, service::Os, supervisor::state::End};

/// What a supervisor exited with, where that was its app's end and no kill. On Windows a kill is an exit too, with any code, often 1:
/// then what it wrote down last is no end. A code with which it has not begun to keep an app needs no such word.
pub(super) fn of_app(end: End, live: Option<&Live>, os: Os) -> Option<u32> {
    const BEFORE: [Exit; 4] = [Exit::Usage, Exit::NotInstalled, Exit::Privilege, Exit::Locked];
    let End::Exited(code) = end else { return None };
    if os != Os::Windows {
        return Some(code);
    }
    let is_one_of = |exits: &[Exit]| exits.iter().any(|&exit| exit as u32 == code);
    let has_ended = match live {
        Some(live) => is_one_of(&BEFORE) || !live.is_at_work(),
        None => is_one_of(&BEFORE) || is_one_of(&[Exit::Ok, Exit::Failed]),
    };
    has_ended.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_told_from_an_end_by_what_was_written_down_last() {
        let live = |active: &str, sub: &str| Live {
            active: active.into(),
            sub: sub.into(),
            ..Live::default()
        };
        let (running, restarting) = (live("active", "running"), live("activating", "auto-restart"));
        let (done, failed) = (live("active", "exited"), live("failed", "failed"));
        for (end, last, expected) in [
            (End::Killed(9), None, None),
            (End::Killed(9), Some(&failed), None),
            // By TerminateProcess, with any code.
            (End::Exited(1), Some(&running), None),
            (End::Exited(0), Some(&running), None),
            (End::Exited(1), Some(&restarting), None),
            (End::Exited(0x4001_0004), Some(&running), None),
            (End::Exited(0xc000_013a), None, None),
            // With the app; one that was stopped leaves nothing behind.
            (End::Exited(0), None, Some(0)),
            (End::Exited(0), Some(&done), Some(0)),
            (End::Exited(1), Some(&failed), Some(1)),
            // It did not come so far: what is written down may be another supervisor's.
            (End::Exited(9), Some(&running), Some(9)),
            (End::Exited(2), None, Some(2)),
            (End::Exited(1), None, Some(1)),
        ] {
            assert_eq!(of_app(end, last, Os::Windows), expected, "{end:?} {last:?}");
        }
        // By a signal, where there are signals.
        assert_eq!(of_app(End::Exited(101), Some(&running), Os::Linux), Some(101));
        assert_eq!(of_app(End::Killed(9), Some(&running), Os::Linux), None);
    }
}
