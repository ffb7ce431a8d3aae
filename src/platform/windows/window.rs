//! A window that nobody sees, by which the system asks us to end. A process without a console is told of a logoff and of a shutdown
//! by nothing else, nor is one with a console that has loaded user32.dll (`SetConsoleCtrlHandler`, remarks). `taskkill` and the
//! Task Scheduler close it, too, before they end a process by force.

use std::{io, ptr::null_mut, time::Duration};

use windows_sys::Win32::{
    Foundation::{HWND, LPARAM, LRESULT, WPARAM},
    System::Threading::SetProcessShutdownParameters,
    UI::WindowsAndMessaging::{
        CreateWindowExW, DefWindowProcW, DispatchMessageW, GetMessageW, MSG, RegisterClassW, WM_CLOSE, WM_ENDSESSION,
        WNDCLASSW, WS_OVERLAPPED,
    },
};

use super::{signals::asked_to_end, wide};

/// So long at most the system waits for whoever is told that its session ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What it is called, and its kind.
const NAME: &str = "autoglm-boot";

/// Listens on a thread of its own. Where no window can be made, nothing is told.
#[allow(unsafe_code)]
pub(super) fn listen() -> io::Result<()> {
    /// The first of those that are no part of the system: before an app of ours, which would be started again.
    const FIRST: u32 = 0x300;
    // SAFETY: it takes numbers; where it does nothing, the order is left to the system.
    unsafe { SetProcessShutdownParameters(FIRST, 0) };
    std::thread::Builder::new().name("window".into()).spawn(serve).map(drop)
}

#[allow(unsafe_code)]
fn serve() {
    let Ok(name) = wide(NAME) else { return };
    let class = WNDCLASSW {
        lpfnWndProc: Some(heard),
        lpszClassName: name.as_ptr(),
        ..WNDCLASSW::default()
    };
    let nobody = null_mut();
    // SAFETY: the name ends with a zero and lives as long as the window; the message is ours. Of a window that was never shown
    // nothing is seen. A message that cannot be read ends it.
    unsafe {
        RegisterClassW(&raw const class);
        let window = CreateWindowExW(
            0,
            name.as_ptr(),
            name.as_ptr(),
            WS_OVERLAPPED,
            0,
            0,
            0,
            0,
            nobody,
            nobody,
            nobody,
            null_mut(),
        );
        if window.is_null() {
            return;
        }
        let mut message = MSG::default();
        while GetMessageW(&raw mut message, nobody, 0, 0) > 0 {
            DispatchMessageW(&raw const message);
        }
    }
}

#[allow(unsafe_code)]
unsafe extern "system" fn heard(window: HWND, message: u32, first: WPARAM, second: LPARAM) -> LRESULT {
    match message {
        WM_CLOSE => asked_to_end(),
        WM_ENDSESSION if first != 0 => {
            asked_to_end();
            std::thread::sleep(PATIENCE); // once this returns we may be ended; the main thread ends us sooner
        }
        // SAFETY: what we were given is passed on. It agrees to the end of a session.
        _ => return unsafe { DefWindowProcW(window, message, first, second) },
    }
    0
}
