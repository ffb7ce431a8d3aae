//! Access lists: whom a file, a folder or a pipe lets in.

use std::{
    fs, io,
    os::windows::{ffi::OsStringExt as _, fs::OpenOptionsExt as _, io::AsRawHandle as _},
    path::{Path, PathBuf},
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, LocalFree, WIN32_ERROR},
    Security::{
        ACL, ACL_REVISION,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
            SE_FILE_OBJECT, SetNamedSecurityInfoW, SetSecurityInfo,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorControl, GetSecurityDescriptorDacl, InitializeAcl,
        PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SE_DACL_PROTECTED, SECURITY_ATTRIBUTES,
        SetKernelObjectSecurity,
    },
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, CreateDirectoryW, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT,
        FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, GetFileInformationByHandle,
        GetFinalPathNameByHandleW, READ_CONTROL, WRITE_DAC,
    },
};

use super::{Known, euid, files::patiently, known_folder, own_account, owner_of, succeeded, wide};
use crate::system::Share;

/// `BUILTIN\Administrators` and the system itself ([MS-DTYP] 2.4.2.4).
const ADMINISTRATORS: &str = "S-1-5-32-544";
const SYSTEM: &str = "S-1-5-18";

/// To look, and to enter.
const READ: &str = "0x1200a9";
/// All but to remove it, and to change whom it is for.
const WRITE: &str = "0x1201bf";
/// All but to change whom it is for.
const MODIFY: &str = "0x1301bf";

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

    /// The same for a path. What an administrator makes among the machine's records is not for all that runs as that user.
    pub(super) fn private(path: &Path) -> io::Result<Self> {
        if euid() != 0 || !is_of_machine(path) {
            return Self::own(path.is_dir());
        }
        let flags = if path.is_dir() { "OICI" } else { "" };
        Self::of(&format!("O:BAD:P(A;{flags};FA;;;SY)(A;{flags};FA;;;BA)"))
    }

    /// Of the machine's records: only administrators and the system write there, everybody who has logged on may look. They are
    /// the administrators' own.
    fn of_machine() -> io::Result<Self> {
        Self::of("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;AU)")
    }

    /// Of a folder that is an account's too. Whoever writes there may not remove the folder itself, nor put something else in its
    /// place.
    fn shared(share: &Share) -> io::Result<Self> {
        let writes = |sid: &str| format!("(A;;{WRITE};;;{sid})(A;OICIIO;{MODIFY};;;{sid})");
        Self::of(&format!("D:P{}", Self::entries(share, "OICI", &writes)))
    }

    /// What such a folder passes on to what lies in it, as the system writes it down there (SDDL: `ID`, inherited).
    fn passed_on(share: &Share, is_folder: bool) -> io::Result<Self> {
        let flags = if is_folder { "OICIID" } else { "ID" };
        let writes = |sid: &str| format!("(A;{flags};{MODIFY};;;{sid})");
        Self::of(&format!("D:ARAI{}", Self::entries(share, flags, &writes)))
    }

    fn entries(share: &Share, flags: &str, writes: &dyn Fn(&str) -> String) -> String {
        let one = |rights: &str, who: &str| format!("(A;{flags};{rights};;;{who})");
        let theirs = match share {
            Share::Reads(sid) => one(READ, sid),
            Share::Writes(sid) => writes(sid),
            Share::WritesInPublic(sid) => writes(sid) + &one(READ, "AU"),
            Share::Public => one(READ, "AU"),
        };
        one("FA", "SY") + &one("FA", "BA") + &theirs
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
#[allow(unsafe_code)]
pub fn claim(folder: &Path) -> io::Result<()> {
    match make(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let held = hold(folder)?;
    let owner = owner_of(&held)?;
    let is_trusted = [ADMINISTRATORS, SYSTEM].contains(&owner.sid.as_str()) || owner == own_account()?;
    if !is_trusted {
        let name = owner.name;
        let message =
            format!("it is there already, and is not an administrator's but {name}'s: look at it, and move it away");
        return Err(io::Error::other(message));
    }
    let access = Access::of_machine()?;
    // SAFETY: the handle is open, the list is one, and both live.
    checked(unsafe {
        SetSecurityInfo(
            held.as_raw_handle(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
            null_mut(),
            null_mut(),
            access.list()?,
            null(),
        )
    })
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
///
/// The account may write there, so that what a name leads to may be another thing a moment later: everything is opened first,
/// looked at, and given by its handle. Nothing is passed on by the system itself (`SetSecurityInfo` does), which goes by names.
pub fn share(folder: &Path, share: &Share) -> io::Result<()> {
    let held = hold(folder)?;
    // What an account has made that it was for before, it may have kept for itself.
    let within = held_within(folder, &held)?;
    give(&held, &Access::shared(share)?)?;
    for entry in within {
        give(&entry, &Access::passed_on(share, entry.metadata()?.is_dir())?)?;
    }
    Ok(())
}

/// All that is in a folder, opened: what lies there indeed, wherever its name leads by now. What goes meanwhile, is gone.
fn held_within(folder: &Path, held: &fs::File) -> io::Result<Vec<fs::File>> {
    let mut within = Vec::new();
    if !held.metadata()?.is_dir() {
        return Ok(within);
    }
    let whole = place_of(held)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let entry = match patiently(|| hold(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entry => entry?,
        };
        if place_of(&entry)?.parent() != Some(&whole) {
            let message = format!("{} lies elsewhere: look at it, and remove it", path.display());
            return Err(io::Error::other(message));
        }
        within.extend(held_within(&path, &entry)?);
        within.push(entry);
    }
    Ok(within)
}

/// Where it lies that is open.
#[allow(unsafe_code)]
fn place_of(held: &fs::File) -> io::Result<PathBuf> {
    const LONGEST: usize = 32 * 1024; // Naming Files, "Maximum Path Length Limitation"
    let mut letters = vec![0_u16; LONGEST];
    // SAFETY: the handle is open, and no more is written than there is room.
    let length = unsafe {
        let room = u32::try_from(letters.len()).unwrap_or_default();
        GetFinalPathNameByHandleW(held.as_raw_handle(), letters.as_mut_ptr(), room, 0)
    };
    match usize::try_from(length).unwrap_or_default() {
        0 => Err(io::Error::last_os_error()),
        length => Ok(std::ffi::OsString::from_wide(letters.get(..length).unwrap_or_default()).into()),
    }
}

/// Whether a path is below the machine's records.
fn is_of_machine(path: &Path) -> bool {
    known_folder(Known::ProgramData).is_ok_and(|data| path.starts_with(data.join("autoglm-boot")))
}

/// Opens a file or a folder itself, to be given to others. An account may have put a junction, or a link, where something of its
/// own was, or a second name of somebody else's file: that is not for it.
#[allow(unsafe_code)]
fn hold(path: &Path) -> io::Result<fs::File> {
    let refused = |why: &str| Err(io::Error::other(format!("{} {why}", path.display())));
    let held = fs::OpenOptions::new()
        .access_mode(READ_CONTROL | WRITE_DAC | FILE_READ_ATTRIBUTES)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the structure is ours.
    succeeded(unsafe { GetFileInformationByHandle(held.as_raw_handle(), &raw mut about) })?;
    if about.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return refused("leads elsewhere: look at it, and remove it");
    }
    if about.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY == 0 && about.nNumberOfLinks > 1 {
        return refused("has another name elsewhere (a hard link): look at it, and remove it");
    }
    Ok(held)
}

/// Gives what is open a list, and nothing else.
#[allow(unsafe_code)]
fn give(held: &fs::File, access: &Access) -> io::Result<()> {
    // SAFETY: the handle is open, the descriptor is one, and both live.
    succeeded(unsafe { SetKernelObjectSecurity(held.as_raw_handle(), DACL_SECURITY_INFORMATION, access.0) })
}

/// Whether a file takes nothing from the folder it lies in: it is for those in its own list.
#[allow(unsafe_code)]
pub(super) fn is_apart(path: &Path) -> io::Result<bool> {
    let name = wide(path)?;
    let mut descriptor = null_mut();
    let (mut control, mut revision) = (0, 0);
    // SAFETY: the name ends with a zero; the descriptor is freed after it was read.
    unsafe {
        checked(GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        ))?;
        let access = Access(descriptor);
        succeeded(GetSecurityDescriptorControl(
            access.0,
            &raw mut control,
            &raw mut revision,
        ))?;
    }
    Ok(control & SE_DACL_PROTECTED != 0)
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
    checked(unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | protection,
            null_mut(),
            null_mut(),
            list,
            null(),
        )
    })
}

/// The error that a call of this kind returns itself.
pub(super) fn checked(result: WIN32_ERROR) -> io::Result<()> {
    if result == ERROR_SUCCESS {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(i32::try_from(result).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_private(path: &Path) -> bool {
        is_apart(path).expect("it is ours")
    }

    /// Wine keeps of a list only what permission bits can say, and not that it is protected.
    fn is_wine() -> bool {
        std::env::var_os("WINECONFIGDIR").is_some()
    }

    #[test]
    fn what_is_shared_is_given_itself_and_nothing_that_it_leads_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, other) = (folder.path().join("run"), folder.path().join("other"));
        fs::create_dir(&ours).expect("it is new");
        fs::write(&other, "x").expect("it is new");
        let writes = Share::Writes("S-1-5-19".into());
        fs::write(ours.join("log"), "x").expect("it is new");
        fs::create_dir(ours.join("more")).expect("it is new");
        share(&ours, &writes).expect("all of it is its own");
        share(&other, &Share::Reads("S-1-5-19".into())).expect("it is a file");
        assert!(is_wine() || (is_private(&ours) && is_private(&other)));
        assert!(is_wine() || !is_private(&ours.join("log")));

        fs::hard_link(&other, ours.join("hard")).expect("it is ours");
        let error = share(&ours, &writes).expect_err("a second name");
        assert!(error.to_string().contains("hard link"), "{error}");
        fs::remove_file(ours.join("hard")).expect("it is there");

        let aim = folder.path().join("aim");
        fs::create_dir(&aim).expect("it is new");
        // Wine's shell makes none; on a real Windows anybody may.
        let words = ["/d", "/c", "mklink", "/j"];
        let made = std::process::Command::new("cmd")
            .args(words)
            .arg(ours.join("link"))
            .arg(&aim)
            .output();
        if made.is_ok_and(|made| made.status.success()) && ours.join("link").exists() {
            let error = share(&ours, &writes).expect_err("a junction within");
            assert!(error.to_string().contains("leads elsewhere"), "{error}");
            let error = share(&ours.join("link"), &writes).expect_err("a junction itself");
            assert!(error.to_string().contains("leads elsewhere"), "{error}");
        }
    }

    #[test]
    fn a_list_says_whom_it_is_for_and_is_passed_on_as_inherited() {
        let share = Share::WritesInPublic("S-1-5-19".into());
        assert_eq!(
            Access::entries(&share, "ID", &|sid| format!("(A;ID;{MODIFY};;;{sid})")),
            "(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1301bf;;;S-1-5-19)(A;ID;0x1200a9;;;AU)"
        );
        for share in [Share::Reads("S-1-5-19".into()), Share::Public, share] {
            assert!(Access::shared(&share).is_ok() && Access::passed_on(&share, true).is_ok());
        }
    }

    #[test]
    fn a_file_of_its_own_list_is_private_and_stays_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        drop(super::super::create_private(&path).expect("it is new"));
        let mode = |path: &Path| super::super::entry(path, &fs::metadata(path).expect("it is there")).mode;
        assert!(is_wine() || mode(&path) == 0o700);
        super::super::set_mode(&path, 0o644).expect("it is ours");
        assert_eq!(mode(&path), 0o755);
    }
}
