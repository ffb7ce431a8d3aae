//! Access lists: whom a file, a folder or a pipe lets in.

use std::{
    io,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, LocalFree},
    Security::{
        ACL, ACL_REVISION,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT,
            SetNamedSecurityInfoW,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, InitializeAcl, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    },
};

use super::{own_account, succeeded, wide};

/// An access list, in memory of the system's.
pub(super) struct Access(PSECURITY_DESCRIPTOR);

impl Access {
    /// For the account we run as, the administrators and the system; inherited from nowhere ([MS-DTYP] 2.5.1, SDDL).
    /// Whether it passes on to what is made in a folder.
    pub(super) fn own(is_folder: bool) -> io::Result<Self> {
        let flags = if is_folder { "OICI" } else { "" };
        let own = own_account()?.sid;
        Self::of(&format!(
            "D:P(A;{flags};GA;;;{own})(A;{flags};GA;;;SY)(A;{flags};GA;;;BA)"
        ))
    }

    /// For the account we run as, and the system, alone.
    pub(super) fn owner_only() -> io::Result<Self> {
        Self::of(&format!("D:P(A;;GA;;;{})(A;;GA;;;SY)", own_account()?.sid))
    }

    #[allow(unsafe_code)]
    fn of(letters: &str) -> io::Result<Self> {
        let letters = wide(letters)?;
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero; the descriptor is freed when this is dropped.
        succeeded(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                letters.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }

    /// What a call that creates something takes; no longer than this lives.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    #[allow(unsafe_code)]
    pub(super) fn list(&self) -> io::Result<*const ACL> {
        let (mut is_there, mut is_default, mut list) = (0, 0, null_mut());
        // SAFETY: the descriptor is one; the list lies within it.
        succeeded(unsafe { GetSecurityDescriptorDacl(self.0, &raw mut is_there, &raw mut list, &raw mut is_default) })?;
        Ok(list)
    }
}

impl Drop for Access {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the system allocated it so, and nobody frees it but this.
        unsafe { LocalFree(self.0) };
    }
}

/// A list without an entry of its own: what is inherited is all there is.
#[allow(unsafe_code)]
pub(super) fn empty_list() -> io::Result<[u32; 2]> {
    let mut list = [0_u32; 2];
    let bytes = u32::try_from(size_of_val(&list)).unwrap_or_default();
    // SAFETY: the list is as long as it is said to be, and aligned.
    succeeded(unsafe { InitializeAcl(list.as_mut_ptr().cast(), bytes, ACL_REVISION) })?;
    Ok(list)
}

#[allow(unsafe_code)]
pub(super) fn set_list(name: &[u16], list: *const ACL, protection: u32) -> io::Result<()> {
    // SAFETY: the name ends with a zero, the list is one, and both live.
    let result = unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | protection,
            null_mut(),
            null_mut(),
            list,
            null(),
        )
    };
    if result == ERROR_SUCCESS {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(i32::try_from(result).unwrap_or_default()))
}
