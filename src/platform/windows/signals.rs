//! Ctrl-C, Ctrl-Break, and a console, a session or a machine that goes away (`HandlerRoutine`, Console documentation).

use std::{
    io,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use windows_sys::{
    Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler},
    core::BOOL,
};

use super::{super::Signal, succeeded};

static NOTED: AtomicUsize = AtomicUsize::new(0);
/// Who wants to know.
type Watcher = Box<dyn FnMut(bool) + Send>;

static TELL: OnceLock<Mutex<Watcher>> = OnceLock::new();

/// From now on Ctrl-C and its kin are noted for [`signal`] instead of ending us.
#[allow(unsafe_code)]
pub fn note_signals() -> io::Result<()> {
    // SAFETY: the handler is a plain function, which lives as long as we do.
    succeeded(unsafe { SetConsoleCtrlHandler(Some(note), 1) })
}

#[allow(unsafe_code)]
unsafe extern "system" fn note(event: u32) -> BOOL {
    NOTED.store(if event == CTRL_C_EVENT { 1 } else { 2 }, Ordering::Relaxed);
    happened(true);
    if event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT {
        // Once this returns we are ended; the system waits for five seconds at most. The main thread ends us sooner.
        std::thread::sleep(Duration::from_secs(5));
    }
    1
}

/// The signal that asks us to end, if one came.
pub fn signal() -> Option<Signal> {
    match NOTED.load(Ordering::Relaxed) {
        0 => None,
        1 => Some(Signal::Interrupt),
        _ => Some(Signal::Terminate),
    }
}

/// Tells of every child that ended (`false`), and of everything that asks us to end (`true`).
pub fn watch_signals(tell: impl FnMut(bool) + Send + 'static) -> io::Result<()> {
    if TELL.set(Mutex::new(Box::new(tell))).is_err() {
        return Err(io::Error::other("somebody watches already"));
    }
    note_signals()
}

/// Tells whoever watches.
pub(super) fn happened(ends: bool) {
    if let Some(watcher) = TELL.get() {
        (watcher.lock().unwrap_or_else(PoisonError::into_inner))(ends);
    }
}
