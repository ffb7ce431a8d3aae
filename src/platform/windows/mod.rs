//! Windows. What it has no counterpart for says so when it is called ([`unsupported`]).

use std::{
    ffi::OsStr,
    io,
    iter::once,
    os::windows::{
        ffi::{OsStrExt as _, OsStringExt as _},
        io::OwnedHandle,
    },
    path::PathBuf,
    time::Duration,
};

use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

mod access;
mod accounts;
mod approval;
mod child;
mod console;
mod control;
mod elevation;
mod environment;
mod files;
mod folders;
mod job;
mod listening;
mod lock;
mod notice;
mod process;
mod processes;
mod role;
mod shortcut;
mod signals;
mod text;
mod window;

pub use access::{claim, share};
pub use accounts::*;
pub use approval::*;
pub use child::*;
pub use control::*;
pub use elevation::*;
pub use environment::*;
pub use files::*;
pub use folders::*;
pub use job::*;
pub use listening::*;
pub use lock::*;
pub use notice::*;
pub use process::*;
pub use processes::*;
pub use role::*;
pub use shortcut::*;
pub use signals::*;

use crate::service::Os;

/// The system this program was built for.
pub const OS: Os = Os::Windows;

/// One end of a pipe.
pub type Pipe = OwnedHandle;

/// Time since boot without suspend.
#[allow(unsafe_code)]
pub fn monotonic() -> Duration {
    const TICKS_OF_A_MICROSECOND: u64 = 10;
    let mut ticks = 0;
    // SAFETY: it writes one number, into ours.
    unsafe { QueryUnbiasedInterruptTime(&raw mut ticks) };
    Duration::from_micros(ticks / TICKS_OF_A_MICROSECOND)
}

/// What is not there on Windows, or not yet.
fn unsupported(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{what}: not on Windows in this version"),
    )
}

/// A text as the system takes it: UTF-16 with its end. One with a NUL within is none.
fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let units: Vec<u16> = text.as_ref().encode_wide().collect();
    if units.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a NUL character within a text",
        ));
    }
    Ok(units.into_iter().chain(once(0)).collect())
}

/// The text up to the end that the system put there.
#[allow(unsafe_code)]
fn text_at(start: *const u16) -> std::ffi::OsString {
    if start.is_null() {
        return std::ffi::OsString::new();
    }
    let mut length = 0;
    // SAFETY: the system ends every text it hands out with a zero, and nothing behind it is read.
    let units = unsafe {
        while *start.add(length) != 0 {
            length += 1;
        }
        std::slice::from_raw_parts(start, length)
    };
    std::ffi::OsString::from_wide(units)
}

/// A path up to the end that the system put there.
fn path_at(start: *const u16) -> PathBuf {
    PathBuf::from(text_at(start))
}

/// The error of the call before, where it says that it failed.
fn succeeded(result: i32) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
