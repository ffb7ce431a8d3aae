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

/// A signal that asks us to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or a terminal that went away.
    Terminate,
}
