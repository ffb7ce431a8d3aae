//! What tells others of a lock that they may not hold: an event of its name, which goes with the process that holds it.

use std::{
    io,
    os::windows::io::{FromRawHandle as _, OwnedHandle},
    path::Path,
};

use sha2::{Digest as _, Sha256};
use windows_sys::Win32::System::Threading::{CreateEventW, OpenEventW, SYNCHRONIZATION_SYNCHRONIZE};

use super::{access::Access, own_account, wide};

/// Seen by everybody as long as it lives.
#[derive(Debug)]
pub struct Sign(#[expect(dead_code, reason = "its drop takes the sign away")] Option<OwnedHandle>);

/// Puts up a sign that this file is locked. It is for others only: one that cannot be put up does no harm.
pub fn sign(path: &Path) -> Sign {
    Sign(put_up(path).ok())
}

#[allow(unsafe_code)]
fn put_up(path: &Path) -> io::Result<OwnedHandle> {
    let own = own_account()?.sid;
    // Others may see it, and nothing more (`SYNCHRONIZE`).
    let access = Access::of(&format!("D:P(A;;GA;;;{own})(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x100000;;;AU)"))?;
    let (attributes, name) = (access.attributes(), name(path)?);
    // SAFETY: the name ends with a zero, the attributes live; the handle is ours.
    unsafe {
        let handle = CreateEventW(&raw const attributes, 1, 0, name.as_ptr());
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}

/// Whether somebody holds a lock of a file that we may not open.
#[allow(unsafe_code)]
pub fn is_listed_as_locked(path: &Path) -> bool {
    let Ok(name) = name(path) else { return false };
    // SAFETY: the name ends with a zero; the handle is ours.
    unsafe {
        let handle = OpenEventW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr());
        if handle.is_null() {
            return false;
        }
        drop(OwnedHandle::from_raw_handle(handle));
        true
    }
}

/// One name for each place, in all sessions of the machine, however the place is written.
fn name(path: &Path) -> io::Result<Vec<u16>> {
    let digest = Sha256::digest(path.to_string_lossy().to_lowercase().as_bytes());
    let letters: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    wide(format!("Global\\autoglm-boot-lock-{letters}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_as_long_as_it_is_held() {
        let path = Path::new(r"C:\somewhere\app.lock");
        assert!(!is_listed_as_locked(path));
        let sign = sign(path);
        assert!(is_listed_as_locked(path));
        assert!(
            is_listed_as_locked(Path::new(r"c:\Somewhere\app.lock")),
            "it is the same place"
        );
        assert!(!is_listed_as_locked(Path::new(r"C:\somewhere\other.lock")));
        drop(sign);
        assert!(!is_listed_as_locked(path));
    }
}
