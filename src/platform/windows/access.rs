//! Access lists: whom a file, a folder or a pipe lets in.

use std::{
    fs, io,
    path::Path,
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
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, InitializeAcl, PROTECTED_DACL_SECURITY_INFORMATION,
        PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, UNPROTECTED_DACL_SECURITY_INFORMATION,
    },
    Storage::FileSystem::{CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT},
};

use super::{own_account, owner, succeeded, wide};
use crate::system::Share;

/// `BUILTIN\Administrators` and the system itself ([MS-DTYP] 2.4.2.4).
const ADMINISTRATORS: &str = "S-1-5-32-544";
const SYSTEM: &str = "S-1-5-18";

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

    /// Of the machine's records: only administrators and the system write there, everybody who has logged on may look. They are
    /// the administrators' own.
    fn of_machine() -> io::Result<Self> {
        Self::of("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;AU)")
    }

    /// Of a folder that is an account's too.
    fn shared(share: &Share) -> io::Result<Self> {
        const READ: &str = "0x1200a9"; // and enter
        const MODIFY: &str = "0x1301bf"; // all but to change whom it is for
        let theirs = match share {
            Share::Reads(sid) => format!("(A;OICI;{READ};;;{sid})"),
            Share::Writes(sid) => format!("(A;OICI;{MODIFY};;;{sid})"),
            Share::WritesInPublic(sid) => format!("(A;OICI;{MODIFY};;;{sid})(A;OICI;{READ};;;AU)"),
            Share::Public => format!("(A;OICI;{READ};;;AU)"),
        };
        Self::of(&format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA){theirs}"))
    }

    #[allow(unsafe_code)]
    pub(super) fn of(letters: &str) -> io::Result<Self> {
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

/// Makes the folder of the machine's records, or sees that it is no stranger's: anybody may make a folder in `ProgramData`.
pub fn claim(folder: &Path) -> io::Result<()> {
    match make(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if fs::symlink_metadata(folder)?.file_type().is_symlink() {
        return Err(io::Error::other("it is there already, and leads elsewhere"));
    }
    let owner = owner(folder)?;
    let is_trusted = [ADMINISTRATORS, SYSTEM].contains(&owner.sid.as_str()) || owner == own_account()?;
    if !is_trusted {
        let name = owner.name;
        let message =
            format!("it is there already, and is not an administrator's but {name}'s: look at it, and move it away");
        return Err(io::Error::other(message));
    }
    set_list(
        &wide(folder)?,
        Access::of_machine()?.list()?,
        PROTECTED_DACL_SECURITY_INFORMATION,
    )
}

/// In one step: there is no moment in which it is anybody's.
#[allow(unsafe_code)]
fn make(folder: &Path) -> io::Result<()> {
    let (name, access) = (wide(folder)?, Access::of_machine()?);
    let attributes = access.attributes();
    // SAFETY: the name ends with a zero, the attributes live.
    succeeded(unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) })
}

/// Whom a file, or a folder and all that is in it, is for, beside the administrators and the system.
pub fn share(folder: &Path, share: &Share) -> io::Result<()> {
    let access = Access::shared(share)?;
    leads_nowhere(folder)?;
    set_list(&wide(folder)?, access.list()?, PROTECTED_DACL_SECURITY_INFORMATION)?;
    if !folder.is_dir() {
        return Ok(());
    }
    let inherited = empty_list()?;
    for entry in fs::read_dir(folder)? {
        // What an account has made that it was for before, it may have kept for itself.
        let path = entry?.path();
        leads_nowhere(&path)?;
        set_list(
            &wide(path)?,
            inherited.as_ptr().cast(),
            UNPROTECTED_DACL_SECURITY_INFORMATION,
        )?;
    }
    Ok(())
}

/// An account may have put a junction, or a link, where something of its own was: what that leads to is not for it.
fn leads_nowhere(path: &Path) -> io::Result<()> {
    use std::os::windows::fs::MetadataExt as _;
    if fs::symlink_metadata(path)?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        return Ok(());
    }
    let message = format!("{} leads elsewhere: look at it, and remove it", path.display());
    Err(io::Error::other(message))
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
