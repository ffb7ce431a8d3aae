//! Symbolic links, and the owner of one.

use std::{io, path::Path};

/// Creates a symbolic link.
pub fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Gives a file, or a link itself, to an owner. Only root can, and only root has to.
pub fn set_owner(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if super::euid() != 0 {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

/// What the kernel says of a path that leads on through more links than it follows.
pub fn too_many_links() -> io::Error {
    nix::errno::Errno::ELOOP.into()
}

/// Where the kernel ends up with `root` as the root folder (`RESOLVE_IN_ROOT`, openat2(2)): the judge of our own way there.
#[cfg(test)]
pub fn resolve_in_root(root: &Path, path: &Path) -> io::Result<std::path::PathBuf> {
    use std::os::fd::AsRawFd as _;

    use nix::{
        errno::Errno,
        fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    };

    let folder = std::fs::File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = loop {
        match openat2(&folder, path, how) {
            Err(Errno::EAGAIN) => {} // something was renamed meanwhile, anywhere: it could not be sure of a `..`
            found => break found?,
        }
    };
    std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
}
