//! Questions that are asked as somebody else, and what is left of a disk.

use std::{
    io,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::statvfs::statvfs,
    unistd::{Gid, Group},
};

use super::{acting_for, as_identity, euid, identity, signal, wait};
use crate::system::{Cmd, Output, Role, Space};

/// Runs a command as somebody else, for so long at most.
pub fn run_as(role: &Role, cmd: &Cmd, limit: Duration) -> io::Result<Output> {
    let mut command = Command::new(&cmd.program);
    command.args(cmd.words()).env_clear();
    command.envs(role.environment.iter().map(|(key, value)| (key, value)));
    command.current_dir(if role.folder.is_dir() {
        &role.folder
    } else {
        Path::new("/")
    });
    if let Some((user, group)) = &role.user {
        let (mut identity, _) = identity(user, group.as_deref())?;
        // Who acts for a user has no more groups than that user.
        if acting_for().is_none() {
            for name in &role.groups {
                let found = Group::from_name(name)?.map(|group| group.gid.as_raw());
                identity.groups.extend(found.or_else(|| name.parse().ok()));
            }
        }
        if euid() == 0 || acting_for().is_some() {
            let groups = identity.groups.into_iter().map(Gid::from_raw).collect();
            as_identity(&mut command, identity.uid, identity.gid, groups);
        } else if identity.uid != euid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let until = Instant::now() + limit;
    wait(&mut command, &|| Instant::now() >= until || signal().is_some())
}

/// What is left of the file system that a path lies in (statvfs(3)), for those who are not root.
#[allow(clippy::useless_conversion, reason = "the widths differ between platforms")]
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = statvfs(path)?;
    Ok(Space {
        bytes: u64::from(stat.blocks_available()) * u64::from(stat.fragment_size()),
        files: (stat.files() > 0).then(|| u64::from(stat.files_available())),
    })
}
