//! What is asked as somebody else, and what is left of a disk.

use std::{
    io,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

use super::{signal, succeeded, unsupported, user, wait, wide};
use crate::system::{Cmd, Output, Role, Space};

/// Runs a command, for so long at most. Nobody can be borrowed here: only who we are ourselves.
pub fn run_as(role: &Role, cmd: &Cmd, limit: Duration) -> io::Result<Output> {
    if let Some((name, _)) = &role.user
        && user(name).is_none()
    {
        return Err(unsupported("to ask as another user"));
    }
    let mut command = Command::new(&cmd.program);
    command.args(cmd.words()).env_clear();
    command.envs(role.environment.iter().map(|(key, value)| (key, value)));
    if role.folder.is_dir() {
        command.current_dir(&role.folder);
    }
    let until = Instant::now() + limit;
    wait(&mut command, &|| Instant::now() >= until || signal().is_some())
}

/// What is left of the disk that a folder lies in, for whom we run as.
#[allow(unsafe_code)]
pub fn space(path: &Path) -> io::Result<Space> {
    let path = wide(path)?;
    let mut bytes = 0;
    // SAFETY: the path ends with a zero; the other two are not asked for.
    succeeded(unsafe {
        GetDiskFreeSpaceExW(
            path.as_ptr(),
            &raw mut bytes,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    })?;
    Ok(Space { bytes, files: None })
}

/// Groups have no numbers here.
pub fn group_number(_: &str) -> Option<u32> {
    None
}

/// Windows takes back by itself what rests.
pub fn give_back_code() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_something_left() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(space(folder.path()).expect("it is there").bytes > 0);
        assert!(space(&folder.path().join("none")).is_err());
    }
}
