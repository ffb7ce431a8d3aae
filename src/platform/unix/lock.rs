//! Files that are locked.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Opens a file as it is, or creates one that only we can open.
pub fn open_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Whether somebody holds a lock of this file (proc(5), `/proc/locks`). What is told of its file system differs from what
/// stat(2) says on some; its inode does not.
pub fn is_listed_as_locked(path: &Path) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    let inode = meta.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        matches!(words[..], [_, "FLOCK", _, "WRITE", _, file, ..] if file.rsplit(':').next() == Some(inode.as_str()))
    })
}

/// Whether the open file is the one at the path.
pub fn is_same_file(file: &fs::File, path: &Path) -> bool {
    let Ok(open) = file.metadata() else { return false };
    fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()))
}
