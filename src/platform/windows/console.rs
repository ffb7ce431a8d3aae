//! Consoles: whether we have one, and how an app is asked to end through its own (Console documentation).

use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent, GetConsoleCP,
};

/// Whether we have one.
#[allow(unsafe_code)]
pub(super) fn is_there() -> bool {
    // SAFETY: it takes nothing; without a console there is no code page.
    unsafe { GetConsoleCP() != 0 }
}

/// Leaves ours: with its last process its window goes.
#[allow(unsafe_code)]
pub(super) fn leave() {
    // SAFETY: it takes nothing; where there is none it does nothing.
    unsafe { FreeConsole() };
}

/// Sends a Ctrl-Break to a group of processes: through our console where we have one, which they share, else through theirs.
#[allow(unsafe_code)]
pub(super) fn send_break(group: u32, processes: &[u32]) -> bool {
    // SAFETY: it takes numbers.
    let send = || unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) != 0 };
    if is_there() {
        return send();
    }
    // SAFETY: as above. Of a console that is not our own group's, no event reaches us.
    let is_attached = |pid: u32| unsafe { AttachConsole(pid) != 0 };
    if !std::iter::once(group).chain(processes.iter().copied()).any(is_attached) {
        return false; // it has no console: a program with windows, or none any more
    }
    let is_sent = send();
    leave();
    is_sent
}
