//! Accounts. Windows has no numbers for them: whoever is an administrator, elevated, counts as 0, anybody else as 1.

use std::{
    fs, io,
    os::windows::{
        fs::OpenOptionsExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    },
    path::Path,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        Authorization::{ConvertSidToStringSidW, GetSecurityInfo, SE_FILE_OBJECT},
        GetTokenInformation, LookupAccountNameW, LookupAccountSidW, OWNER_SECURITY_INFORMATION, PSID, SID_NAME_USE,
        SidTypeUser, TOKEN_QUERY, TOKEN_USER, TokenUser,
    },
    Storage::FileSystem::{FILE_FLAG_BACKUP_SEMANTICS, READ_CONTROL},
    System::{
        RemoteDesktop::{
            WTS_CURRENT_SERVER_HANDLE, WTS_CURRENT_SESSION, WTSDomainName, WTSFreeMemory, WTSQuerySessionInformationW,
            WTSUserName,
        },
        Threading::{GetCurrentProcess, OpenProcessToken},
    },
    UI::Shell::IsUserAnAdmin,
};

use super::{Known, access::checked, known_folder, succeeded, text_at, unsupported, wide};
use crate::system::User;

/// An account: its name, with its domain, and its SID in letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `DOMAIN\name`; the SID where it has no name.
    pub name: String,
    /// `S-1-5-…`, which is the same in every language.
    pub sid: String,
    /// Whether it is somebody's, and neither a group nor one of Windows itself.
    pub is_user: bool,
}

/// A name has 256 characters at most, a domain 255.
const ROOM: usize = 300;

/// Whom we run as: 0 for an elevated administrator.
#[allow(unsafe_code)]
pub fn euid() -> u32 {
    // SAFETY: it takes nothing.
    u32::from(unsafe { IsUserAnAdmin() } == 0)
}

/// The account we run as.
#[allow(unsafe_code)]
pub fn own_account() -> io::Result<Account> {
    let mut token = null_mut();
    // SAFETY: the handle of our own process needs no closing; the token's is ours.
    succeeded(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: as above.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut room = [0_u64; 32]; // a SID has 68 bytes at most
    let mut bytes = u32::try_from(size_of_val(&room)).unwrap_or_default();
    // SAFETY: the room is as large as it is said to be, and aligned.
    succeeded(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            room.as_mut_ptr().cast(),
            bytes,
            &raw mut bytes,
        )
    })?;
    // SAFETY: it was filled with this; the SID lies in the room behind it.
    let sid = unsafe { (*room.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    account(sid)
}

/// The account that owns a file or a folder: a group, where an administrator made it.
pub fn owner(path: &Path) -> io::Result<Account> {
    let open = fs::OpenOptions::new()
        .access_mode(READ_CONTROL)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS) // folders too
        .open(path)?;
    owner_of(&open)
}

/// Whose file it is that is open.
#[allow(unsafe_code)]
pub(super) fn owner_of(open: &fs::File) -> io::Result<Account> {
    let (mut sid, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the handle is open; the SID lies within the descriptor, which is freed after the SID was read.
    unsafe {
        checked(GetSecurityInfo(
            open.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut sid,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        ))?;
        let account = account(sid);
        LocalFree(descriptor);
        account
    }
}

/// The name of the user whose file it is; none where that is a group, or an account of Windows itself.
pub fn owner_name(path: &Path) -> Option<String> {
    owner(path).ok().filter(|owner| owner.is_user).map(|owner| owner.name)
}

/// What a SID is called; the caller's is a valid one.
#[allow(unsafe_code)]
fn account(sid: PSID) -> io::Result<Account> {
    let mut text = null_mut();
    // SAFETY: the SID is valid; the text is freed after it was read.
    let letters = unsafe {
        succeeded(ConvertSidToStringSidW(sid, &raw mut text))?;
        let letters = text_at(text).to_string_lossy().into_owned();
        LocalFree(text.cast());
        letters
    };
    let (mut name, mut domain) = ([0_u16; ROOM], [0_u16; ROOM]);
    let (mut name_length, mut domain_length) = (300, 300);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: both rooms are as long as they are said to be.
    let is_named = unsafe {
        LookupAccountSidW(
            null(),
            sid,
            name.as_mut_ptr(),
            &raw mut name_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    let part = |units: &[u16], length: u32| String::from_utf16_lossy(units.get(..length as usize).unwrap_or_default());
    let name = match (is_named, part(&domain, domain_length), part(&name, name_length)) {
        (0, _, _) => letters.clone(),
        (_, domain, name) if domain.is_empty() => name,
        (_, domain, name) => format!("{domain}\\{name}"),
    };
    Ok(Account {
        name,
        sid: letters,
        is_user: is_named != 0 && kind == SidTypeUser,
    })
}

/// The SID of an account, by its name, with or without its domain, in any of the system's languages.
#[allow(unsafe_code)]
pub fn sid(name: &str) -> Option<String> {
    if name.starts_with("S-1-") {
        return Some(name.to_owned());
    }
    let name = wide(name).ok()?;
    let (mut room, mut bytes) = ([0_u64; 32], 256_u32);
    let (mut domain, mut length) = ([0_u16; ROOM], 300_u32);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: the name ends with a zero; both rooms are as long as they are said to be, and aligned.
    unsafe {
        let found = LookupAccountNameW(
            null(),
            name.as_ptr(),
            room.as_mut_ptr().cast(),
            &raw mut bytes,
            domain.as_mut_ptr(),
            &raw mut length,
            &raw mut kind,
        );
        (found != 0).then(|| account(room.as_mut_ptr().cast()).ok()).flatten()
    }
    .map(|account| account.sid)
}

/// Who has logged on where we run: at a console, or from afar; nobody where nobody does, as in a task at boot.
#[allow(unsafe_code)]
pub fn session_user() -> Option<String> {
    let ask = |what| {
        let (mut text, mut bytes) = (null_mut(), 0);
        // SAFETY: the text ends with a zero, and is freed after it was read.
        unsafe {
            let told = WTSQuerySessionInformationW(
                WTS_CURRENT_SERVER_HANDLE,
                WTS_CURRENT_SESSION,
                what,
                &raw mut text,
                &raw mut bytes,
            );
            if told == 0 {
                return None;
            }
            let said = text_at(text).into_string().ok();
            WTSFreeMemory(text.cast());
            said.filter(|said| !said.is_empty())
        }
    };
    let name = ask(WTSUserName)?;
    Some(match ask(WTSDomainName) {
        Some(domain) => format!("{domain}\\{name}"),
        None => name,
    })
}

/// An account: so far only the one we run as is known, by its name, with or without its domain, or by the number above.
pub fn user(name_or_number: &str) -> Option<User> {
    let own = own_account().ok()?;
    let bare = own.name.rsplit('\\').next().unwrap_or_default();
    let is_own = name_or_number == euid().to_string()
        || [own.name.as_str(), bare, own.sid.as_str()]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(name_or_number));
    is_own.then(|| User {
        uid: euid(),
        gid: euid(),
        home: known_folder(Known::Profile).unwrap_or_default(),
        name: Some(own.name),
    })
}

/// A process has no main group that could be chosen.
pub fn group(_: &str) -> Option<String> {
    None
}

/// Nobody acts for another user: that takes the other's password, or a task.
pub fn act_for(_: &User) -> io::Result<()> {
    Err(unsupported("--user=NAME"))
}

/// Whom an administrator acts for: nobody.
pub fn acting_for() -> Option<&'static User> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_somebody_whose_files_are_owned() {
        let own = own_account().expect("we are somebody");
        assert!(own.sid.starts_with("S-1-5-"), "{own:?}");
        assert_eq!(user(&own.name), user(&euid().to_string()));
        assert_eq!(user(&own.name.to_uppercase()), user(&own.sid));
        assert_eq!(user("nobody-of-this-name"), None);
        assert_eq!(sid(&own.name), Some(own.sid.clone()));
        assert_eq!(sid("nobody-of-this-name"), None);
        let folder = tempfile::tempdir().expect("a folder");
        let owner = owner(folder.path()).expect("it has one");
        // What an elevated administrator makes may be the administrators'.
        assert!(
            [own.sid.as_str(), "S-1-5-32-544"].contains(&owner.sid.as_str()),
            "{owner:?} {own:?}"
        );
    }
}
