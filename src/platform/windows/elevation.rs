//! How our privileges are to those that a logon gives: of an administrator there are two tokens, linked to each other.

use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};

use windows_sys::Win32::{
    Security::{
        GetTokenInformation, TOKEN_ELEVATION_TYPE, TOKEN_QUERY, TokenElevationType, TokenElevationTypeDefault,
        TokenElevationTypeFull,
    },
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

/// Whether we have the larger one (`TOKEN_ELEVATION_TYPE`). Where User Account Control is off, and for the built-in administrator, there is one token only.
#[allow(unsafe_code)]
pub fn is_raised() -> bool {
    let mut kind: TOKEN_ELEVATION_TYPE = TokenElevationTypeDefault;
    let mut bytes = u32::try_from(size_of_val(&kind)).unwrap_or_default();
    let mut token = std::ptr::null_mut();
    // SAFETY: the handle of our own process needs no closing, the token's is ours; the room is as large as it is said to be.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) == 0 {
            return false;
        }
        let token = OwnedHandle::from_raw_handle(token);
        let (room, length) = ((&raw mut kind).cast(), bytes);
        if GetTokenInformation(token.as_raw_handle(), TokenElevationType, room, length, &raw mut bytes) == 0 {
            return false;
        }
    }
    kind == TokenElevationTypeFull
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wine 8 as root: an administrator who has been raised.
    #[test]
    fn who_is_no_administrator_is_not_raised() {
        let is_administrator = crate::platform::euid() == 0;
        assert!(is_administrator || !is_raised());
    }
}
