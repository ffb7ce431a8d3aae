//! What only Windows has: accounts with SIDs, folders that are shared by lists, decisions about shortcuts. Nothing here asks for it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::system::{Folders, Share};

/// What tells others of a lock: here the kernel does.
#[derive(Debug)]
pub struct Sign;

/// See [`Sign`].
pub fn sign(_: &Path) -> Sign {
    Sign
}

/// The name of the user whose file it is.
pub fn owner_name(path: &Path) -> Option<String> {
    super::user(&fs::metadata(path).ok()?.uid().to_string())?.name
}

/// Folders lie where they always do.
pub fn folders() -> Option<Folders> {
    None
}

/// Accounts have numbers here.
pub fn sid(_: &str) -> Option<String> {
    None
}

/// A session is not one of Windows.
pub fn session_user() -> Option<String> {
    None
}

/// A logon takes nothing from root.
pub fn is_raised() -> bool {
    false
}

/// There is no Startup folder.
pub fn approval(_: &str, _: bool) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// Nor are there shortcuts.
pub fn starts(_: &Path) -> Option<String> {
    None
}

/// As above.
pub fn set_approval(_: &str, _: bool, _: Option<&[u8]>) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Permission bits say whom a folder is for.
pub fn share(_: &Path, _: &Share) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Makes a folder that is not there. Only root writes where the machine's records lie.
pub fn claim(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made.and_then(|()| super::set_mode(folder, 0o755)),
    }
}

/// Whether a file is held by somebody who keeps it from being removed: nobody can.
pub fn is_in_use(_: &io::Error) -> bool {
    false
}

/// A program that runs can be removed as it is.
pub fn put_aside(_: &Path) -> Option<(PathBuf, bool)> {
    None
}

/// What we start has our outputs only if it is given them: here that is so.
pub fn keep_outputs() {}
