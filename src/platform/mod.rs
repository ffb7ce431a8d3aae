//! What differs between systems: the only `cfg`, the only `unsafe`. The program above calls these functions by the same
//! names everywhere.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the boundary that clippy.toml guards

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

use std::{
    fs,
    io::{self, BufRead as _, Seek as _},
    path::Path,
    time::Duration,
};

/// What a service tells its manager (`sd_notify(3)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is ready.
    Ready,
    /// It is about to end.
    Stopping,
    /// It is alive (`WatchdogSec=`, systemd.service(5)).
    Alive,
}

/// What is caught by a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// A child may have ended.
    Child,
    /// It is to end.
    End,
    /// It is for the app: the signal's name.
    Pass(&'static str),
}

/// A signal that asks us to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or a terminal that went away.
    Terminate,
}

/// Asks a supervisor; the first line of its answer.
pub fn tell(path: &Path, words: &str, patience: Duration) -> io::Result<String> {
    let mut answer = String::new();
    ask_control(path, words, Some(patience))?.read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Opens a file to read it; others may write, rename and remove it meanwhile.
pub fn open_read(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}

/// Opens a file to read what is still to come.
pub fn open_at_end(path: &Path) -> io::Result<fs::File> {
    let mut file = open_read(path)?;
    file.seek(io::SeekFrom::End(0))?;
    Ok(file)
}
