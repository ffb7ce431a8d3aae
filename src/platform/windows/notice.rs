//! Noticing what happens in folders: only the watcher needs it, which is a service of systemd.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::unsupported;

/// Folders that are looked after.
#[derive(Debug)]
pub struct Notices;

impl Notices {
    /// Nobody watches here: each app has a supervisor.
    pub fn new(_: impl FnMut(PathBuf) + Send + 'static) -> io::Result<Self> {
        Err(unsupported("the watcher of systemd"))
    }

    /// There is none.
    pub fn add(&self, _: &Path) -> io::Result<()> {
        Err(unsupported("the watcher of systemd"))
    }
}
