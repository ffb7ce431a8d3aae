//! Signals: those that ask us to end, those that are for an app, and the news of its end.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::platform::{Caught, Signal};

static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on SIGINT, SIGTERM and SIGHUP are noted for [`signal`] instead of ending us.
pub fn note_signals() -> io::Result<()> {
    let noted = SIGNAL.get_or_init(Arc::default);
    for (number, value) in [(SIGINT, 1), (SIGTERM, 2), (SIGHUP, 2)] {
        signal_hook::flag::register_usize(number, Arc::clone(noted), value)?;
    }
    Ok(())
}

/// The signal that asks us to end, if one came.
pub fn signal() -> Option<Signal> {
    match SIGNAL.get().map_or(0, |noted| noted.load(Ordering::Relaxed)) {
        0 => None,
        1 => Some(Signal::Interrupt),
        _ => Some(Signal::Terminate),
    }
}

/// Tells of every signal that a supervisor has to do with, on a thread of its own. A hang-up is for the app where there is no
/// terminal that could have gone away: in a container, where we are PID 1, and where the caller says so.
pub fn watch_signals(has_terminal: bool, mut tell: impl FnMut(Caught) + Send + 'static) -> io::Result<()> {
    let is_passed = !has_terminal || std::process::id() == 1;
    let meaning = move |signal| match signal {
        SIGCHLD => Caught::Child,
        SIGHUP if is_passed => Caught::Pass("SIGHUP"),
        SIGQUIT => Caught::Pass("SIGQUIT"),
        SIGUSR1 => Caught::Pass("SIGUSR1"),
        SIGUSR2 => Caught::Pass("SIGUSR2"),
        SIGWINCH => Caught::Pass("SIGWINCH"),
        _ => Caught::End,
    };
    let all = [SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];
    let mut signals = signal_hook::iterator::Signals::new(all)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            tell(meaning(signal));
        }
    })?;
    Ok(())
}
