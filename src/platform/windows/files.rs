//! Files: who may open them, links, locks. Permission bits mean one thing here: whether anybody but the owner, the machine's
//! administrators and the system itself may open a file.

use std::{
    fs, io,
    os::windows::{
        fs::MetadataExt as _,
        io::{AsHandle as _, AsRawHandle as _, FromRawHandle as _},
    },
    path::{Path, PathBuf},
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE, GENERIC_READ, GENERIC_WRITE,
        INVALID_HANDLE_VALUE,
    },
    Security::{PROTECTED_DACL_SECURITY_INFORMATION, UNPROTECTED_DACL_SECURITY_INFORMATION},
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, CREATE_NEW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_CREATION_DISPOSITION,
        FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, GetFileInformationByHandle, MOVEFILE_DELAY_UNTIL_REBOOT,
        MoveFileExW, OPEN_ALWAYS,
    },
};

use super::{
    Known,
    access::{Access, empty_list, is_apart, set_list},
    euid, known_folder, succeeded, unsupported, wide,
};
use crate::system::{Entry, EntryKind};

/// Whether a whole file system can be put on disk at once: only an administrator could.
pub const SYNCS_FILESYSTEMS: bool = false;

/// What is told of a file, in our terms. Its owner counts as us: [`super::owner`] tells who it is. A file that takes nothing from
/// the folder it lies in counts as private, so that it is written anew as one.
pub fn entry(path: &Path, meta: &fs::Metadata) -> Entry {
    const READ_ONLY: u32 = 1;
    let kind = match meta.file_type() {
        kind if kind.is_symlink() => EntryKind::Link(PathBuf::new()),
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_dir() => EntryKind::Folder,
        _ => EntryKind::Other,
    };
    let is_private = kind == EntryKind::File && long(path).and_then(|path| is_apart(&path)).unwrap_or_default();
    let theirs = if is_private { 0 } else { 0o055 };
    let ours = if meta.file_attributes() & READ_ONLY == 0 {
        0o700
    } else {
        0o500
    };
    Entry {
        kind,
        mode: ours | theirs,
        uid: euid(),
        gid: euid(),
        len: meta.len(),
        modified: meta
            .modified()
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .unwrap_or_default(),
    }
}

/// Creates a file that only we can open, and that was not there.
pub fn create_private(path: &Path) -> io::Result<fs::File> {
    open_as_own(path, CREATE_NEW)
}

/// Opens a file as it is, or creates one that only we can open.
pub fn open_private(path: &Path) -> io::Result<fs::File> {
    // One that is removed while somebody holds it denies itself to everybody, and goes with its last handle.
    patiently(|| open_as_own(path, OPEN_ALWAYS))
}

#[allow(unsafe_code)]
fn open_as_own(path: &Path, how: FILE_CREATION_DISPOSITION) -> io::Result<fs::File> {
    let access = Access::private(path)?;
    let path = wide(long(path)?)?;
    let attributes = access.attributes();
    // SAFETY: the path ends with a zero, the attributes live; the handle it returns is ours.
    unsafe {
        let handle = CreateFileW(
            path.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &raw const attributes,
            how,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        );
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(fs::File::from_raw_handle(handle))
    }
}

/// A path that is longer than 260 characters is one only in this form (Naming Files, "Maximum Path Length Limitation").
fn long(path: &Path) -> io::Result<PathBuf> {
    const LONGEST: usize = 247; // of a folder; a file may have a few more
    let whole = std::path::absolute(path)?;
    let text = whole.as_os_str();
    if text.len() <= LONGEST || text.to_string_lossy().starts_with(r"\\") {
        return Ok(whole);
    }
    let mut long = std::ffi::OsString::from(r"\\?\");
    long.push(text);
    Ok(long.into())
}

/// Opens a file to append to it.
pub fn append(path: &Path, mode: u32) -> io::Result<fs::File> {
    let is_new = !path.exists();
    let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    if is_new {
        set_mode(path, mode)?;
    }
    Ok(file)
}

/// Our own standard output, without a buffer.
pub fn own_output() -> io::Result<fs::File> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Writes to what other processes write to as well, each in its turn: here one write is one.
pub fn in_turn<T>(_: &fs::File, write: impl FnOnce() -> T) -> T {
    write()
}

/// Removes a file; whether it was there.
pub fn remove(path: &Path) -> io::Result<bool> {
    match patiently(|| fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a file another name, at once. Whoever looks at the other one in this moment (a scanner, an indexer) may keep it from
/// being replaced: that passes.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    patiently(|| fs::rename(from, to))
}

/// Does what somebody who holds the file may deny for a moment.
pub(super) fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 20;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(25);
    for _ in 1..TRIES {
        match act() {
            Err(error) if is_in_use(&error) => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    act()
}

/// Moves our own program, which runs, to a folder for what lasts no longer: its name is not held. Where it may (it takes an
/// administrator), the system removes it when it starts next (`MoveFileExW`). That is done as the system, so an administrator's goes
/// where nobody else can exchange it.
#[allow(unsafe_code)]
pub fn put_aside(program: &Path) -> Option<(PathBuf, bool)> {
    let own = fs::File::open(std::env::current_exe().ok()?).ok()?;
    if !is_same_file(&own, program) {
        return None;
    }
    drop(own);
    let is_administrator = euid() == 0;
    let temporary = if is_administrator {
        known_folder(Known::System).ok()?.parent()?.join("Temp")
    } else {
        std::env::temp_dir()
    };
    let aside = temporary.join(format!("autoglm-boot-{}.removed.exe", std::process::id()));
    rename(program, &aside).ok()?;
    let name = wide(long(&aside).ok()?).ok()?;
    // SAFETY: the name ends with a zero; without another one, it is removed.
    let goes = is_administrator && unsafe { MoveFileExW(name.as_ptr(), null(), MOVEFILE_DELAY_UNTIL_REBOOT) } != 0;
    Some((aside, goes))
}

/// Whether a file is held by somebody: one that is read or run.
pub fn is_in_use(error: &io::Error) -> bool {
    let held = [ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE];
    let code = error.raw_os_error().map(i32::cast_unsigned);
    code.is_some_and(|code| held.contains(&code))
}

/// Whether only we can open it, by the permission bits of group and others; else it is as open as the folder it lies in.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let name = wide(long(path)?)?;
    let (group, others) = (mode & 0o070, mode & 0o007);
    if group == 0 && others == 0 {
        let access = Access::private(path)?;
        return set_list(&name, access.list()?, PROTECTED_DACL_SECURITY_INFORMATION);
    }
    let empty = empty_list()?;
    set_list(&name, empty.as_ptr().cast(), UNPROTECTED_DACL_SECURITY_INFORMATION)
}

/// The same for a file that is open: by its name, which it keeps until it is moved into place.
pub fn set_open_mode(_: &fs::File, path: &Path, mode: u32) -> io::Result<()> {
    set_mode(path, mode)
}

/// Puts a file's bytes on disk; a folder's names are journalled by the file system itself.
pub fn sync(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    match fs::OpenOptions::new().write(true).open(path) {
        Err(error) if is_in_use(&error) => Ok(()), // a program that runs: it was on disk before it was started
        file => file?.sync_all(),
    }
}

/// Only where [`SYNCS_FILESYSTEMS`].
pub fn sync_filesystem(_: &Path) -> io::Result<()> {
    Err(unsupported("a file system put on disk as a whole"))
}

/// Which file system a file lies in: it is not asked, where [`SYNCS_FILESYSTEMS`] is not.
pub fn filesystem(_: &fs::Metadata) -> u64 {
    0
}

/// Creates a symbolic link, which takes a privilege or developer mode.
pub fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    let whole = path.parent().unwrap_or(Path::new("")).join(target);
    if whole.is_dir() {
        return std::os::windows::fs::symlink_dir(target, path);
    }
    std::os::windows::fs::symlink_file(target, path)
}

/// Who makes a file owns it.
pub fn set_owner(_: &Path, _: u32, _: u32) -> io::Result<()> {
    Ok(())
}

/// What the system says of a path that leads on through more links than it follows.
pub fn too_many_links() -> io::Error {
    io::Error::from_raw_os_error(1921) // ERROR_CANT_RESOLVE_FILENAME
}

/// There is no such judge here.
#[cfg(test)]
pub fn resolve_in_root(_: &Path, _: &Path) -> io::Result<PathBuf> {
    Err(unsupported("another root"))
}

/// Whether the open file is the one at the path.
pub fn is_same_file(file: &fs::File, path: &Path) -> bool {
    let Ok(there) = fs::File::open(path) else { return false };
    matches!((identity_of(file), identity_of(&there)), (Some(open), Some(there)) if open == there)
}

/// The volume, and the file's number in it.
#[allow(unsafe_code)]
fn identity_of(file: &fs::File) -> Option<(u32, u32, u32)> {
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the structure is ours.
    succeeded(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut about) }).ok()?;
    Some((about.dwVolumeSerialNumber, about.nFileIndexHigh, about.nFileIndexLow))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_private_file_is_made_once_and_read_by_us() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("中文 & %TEMP% file");
        let mut file = create_private(&path).expect("it is not there yet");
        file.write_all(b"x").expect("it is ours");
        let again = create_private(&path).expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let mut text = String::new();
        open_private(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .expect("it is ours");
        assert_eq!(text, "x");
        assert!(is_same_file(&file, &path));
        set_mode(&path, 0o644).expect("it is ours");
        set_mode(&path, 0o600).expect("it is ours");
        assert!(fs::read(&path).is_ok());
        drop(create_private(&folder.path().join("other")).expect("it is not there yet"));
        assert!(!is_same_file(&file, &folder.path().join("other")));
        assert!(!is_same_file(&file, &folder.path().join("gone")));
    }

    #[test]
    fn a_path_may_be_longer_than_the_systems_old_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&long).expect("it is writable");
        let path = long.join("file");
        drop(create_private(&path).expect("it is not there yet"));
        set_mode(&path, 0o644).expect("it is ours");
        assert!(path.is_file());
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let held = open_private(&path).expect("it is writable");
        held.try_lock().expect("nobody holds it");
        let other = open_private(&path).expect("it is there");
        assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().expect("nobody holds it now");
    }
}
