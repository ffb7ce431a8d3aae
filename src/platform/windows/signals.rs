//! What asks us to end: Ctrl-C, Ctrl-Break, and a console that goes away (`HandlerRoutine`, Console documentation); a session or a
//! machine that does ([`super::window`]); and, since Windows has no signals, an event of ours that another of our processes sets.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    ptr::null,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use windows_sys::{
    Win32::{
        Foundation::ERROR_ALREADY_EXISTS,
        System::{
            Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler},
            Threading::{CreateEventW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, SetEvent, WaitForSingleObject},
        },
    },
    core::BOOL,
};

use super::{super::Signal, succeeded, wide, window};
use crate::platform::Caught;

static NOTED: AtomicUsize = AtomicUsize::new(0);
/// Who wants to know.
type Watcher = Box<dyn FnMut(Caught) + Send>;

static TELL: Mutex<Option<Watcher>> = Mutex::new(None);

/// From now on Ctrl-C and its kin are noted for [`signal`] instead of ending us.
#[allow(unsafe_code)]
pub fn note_signals() -> io::Result<()> {
    // SAFETY: the handler is a plain function, which lives as long as we do.
    succeeded(unsafe { SetConsoleCtrlHandler(Some(note), 1) })
}

#[allow(unsafe_code)]
unsafe extern "system" fn note(event: u32) -> BOOL {
    NOTED.store(if event == CTRL_C_EVENT { 1 } else { 2 }, Ordering::Relaxed);
    happened(Caught::End);
    if event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT {
        // Once this returns we are ended; the system waits for five seconds at most. The main thread ends us sooner.
        std::thread::sleep(window::PATIENCE);
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

/// Tells of every child that ended, and of everything that asks us to end, on threads of their own. Who watched before does no
/// longer.
pub fn watch_signals(_has_terminal: bool, tell: impl FnMut(Caught) + Send + 'static) -> io::Result<()> {
    let before = TELL
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(Box::new(tell));
    if before.is_some() {
        return Ok(()); // all else goes on
    }
    note_signals()?;
    window::listen()?;
    let Ok(event) = event_of(std::process::id()) else {
        return Ok(()); // somebody else has its name: then the control pipe alone asks us
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            wait_for(&event);
            asked_to_end();
        }
    })?;
    Ok(())
}

/// Somebody asks us to end.
pub(super) fn asked_to_end() {
    NOTED.store(2, Ordering::Relaxed);
    happened(Caught::End);
}

/// Tells whoever watches.
pub(super) fn happened(caught: Caught) {
    if let Some(watcher) = &mut *TELL.lock().unwrap_or_else(PoisonError::into_inner) {
        watcher(caught);
    }
}

/// Waits until a process has ended, or an event is set.
#[allow(unsafe_code)]
pub(super) fn wait_for(handle: &OwnedHandle) {
    // SAFETY: the handle is open, and ours.
    unsafe { WaitForSingleObject(handle.as_raw_handle(), INFINITE) };
}

/// The event that asks a process of ours to end: one of its session, which its own account can set.
fn event_name(pid: u32) -> io::Result<Vec<u16>> {
    wide(format!("Local\\autoglm-boot-end-{pid}"))
}

#[allow(unsafe_code)]
fn event_of(pid: u32) -> io::Result<OwnedHandle> {
    let name = event_name(pid)?;
    // SAFETY: the name ends with a zero; the handle is ours.
    unsafe {
        let handle = CreateEventW(null(), 0, 0, name.as_ptr());
        let error = io::Error::last_os_error();
        if handle.is_null() {
            return Err(error);
        }
        let event = OwnedHandle::from_raw_handle(handle);
        // One that is there is for whom somebody else says.
        let is_ours = error.raw_os_error() != i32::try_from(ERROR_ALREADY_EXISTS).ok();
        if is_ours { Ok(event) } else { Err(error) }
    }
}

/// Asks a process of ours to end, if it is one that listens.
#[allow(unsafe_code)]
pub(super) fn ask_to_end(pid: u32) -> bool {
    let Ok(name) = event_name(pid) else { return false };
    // SAFETY: as above.
    unsafe {
        let handle = OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr());
        if handle.is_null() {
            return false;
        }
        let handle = OwnedHandle::from_raw_handle(handle);
        SetEvent(handle.as_raw_handle()) != 0
    }
}
