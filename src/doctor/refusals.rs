//! What the app said last of what it was refused: by its profile, or by the permissions of files.

use std::path::Path;

use super::{
    Check, Finding, Patient,
    output::{line_with, path_in},
    program::list,
};
use crate::{
    service::{Os, Profile},
    system::EntryKind,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "read-only-folder",
        [
            "it writes where its profile lets it read only",
            "the app's last lines (Read-only file system), `security.profile`",
            "the folder in `security.writable_directories`",
        ],
        read_only,
    )
    .on(Os::Linux),
    Check::error(
        "device-refused",
        [
            "it opens a device that its profile keeps from it",
            "the app's last lines (Operation not permitted: /dev/…), `security.devices`",
            "the device in `security.devices`",
        ],
        device_refused,
    )
    .on(Os::Linux),
    Check::error(
        "new-privileges",
        [
            "it calls sudo, or another program that is somebody else's, which its profile denies",
            "the app's last lines (no new privileges)",
            "`security.profile = \"none\"`, or better no sudo: another `service.user`, `security.capabilities`",
        ],
        new_privileges,
    )
    .on(Os::Linux),
    Check::error(
        "permission-denied",
        [
            "its user may not read or write a file",
            "the app's last lines (Permission denied), the file's mode",
            "`chown` to its user of what is root's; `chmod` of what is its own",
        ],
        denied,
    )
    .on(Os::Linux),
];

fn read_only(patient: &Patient) -> Vec<Finding> {
    let security = &patient.service.security;
    let Some(line) = line_with(patient, &["Read-only file system", "EROFS"]) else {
        return Vec::new();
    };
    let finding = Finding::new("it writes where it may only read").seen(line);
    let Some(path) = path_in(line).filter(|_| security.profile != Profile::None) else {
        return finding
            .by_hand("name the folder in security.writable_directories")
            .only();
    };
    let is_folder = matches!(patient.look.target(&path), Ok(Some(entry)) if entry.kind == EntryKind::Folder);
    let folder = if is_folder {
        path.as_path()
    } else {
        path.parent().unwrap_or(&path)
    };
    let mut folders: Vec<_> = security
        .writable
        .iter()
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect();
    folders.push(folder.to_string_lossy().into_owned());
    finding
        .seen(format!("its profile is {}", security.profile))
        .edit(patient, "security.writable_directories", list(&folders))
        .only()
}

fn device_refused(patient: &Patient) -> Vec<Finding> {
    let security = &patient.service.security;
    let line = line_with(
        patient,
        &["Operation not permitted", "No such file or directory", "EPERM"],
    );
    let Some((line, path)) = line.and_then(|line| Some((line, path_in(line)?))) else {
        return Vec::new();
    };
    let is_there = matches!(patient.look.target(&path), Ok(Some(entry)) if entry.kind == EntryKind::Other);
    if security.profile == Profile::None || !path.starts_with("/dev") || !is_there {
        return Vec::new();
    }
    let mut devices = security.devices.clone();
    devices.push(path.to_string_lossy().into_owned());
    Finding::new(format!("its profile keeps {} from it", path.display()))
        .seen(line)
        .seen(format!("its profile is {}", security.profile))
        .edit(patient, "security.devices", list(&devices))
        .only()
}

fn new_privileges(patient: &Patient) -> Vec<Finding> {
    let signs = ["no new privileges", "effective uid is not 0", "must be setuid root"];
    let Some(line) = line_with(patient, &signs).filter(|_| patient.service.security.profile != Profile::None) else {
        return Vec::new();
    };
    Finding::new("it calls what takes on somebody else's rights, which its profile denies")
        .seen(line)
        .seen(format!("its profile is {}", patient.service.security.profile))
        .edit(patient, "security.profile", "\"none\"")
        .by_hand("better without: run it as the user it needs, or give it a capability (security.capabilities)")
        .only()
}

fn denied(patient: &Patient) -> Vec<Finding> {
    let Some(line) = line_with(patient, &["Permission denied", "EACCES"]) else {
        return Vec::new();
    };
    let finding = Finding::new("its user may not use a file").seen(line);
    let Some(path) = path_in(line).filter(|path| !path.starts_with("/dev") && !path.starts_with("/proc")) else {
        return Vec::new(); // it may as well be a socket, or a port
    };
    let user = patient.user_name();
    let there = path
        .ancestors()
        .find(|path| matches!(patient.look.target(path), Ok(Some(_))));
    let Some(there) = there.filter(|there| is_apps(patient, there)) else {
        return finding
            .by_hand(format!("let {user} use {}, or another place", path.display()))
            .only();
    };
    super::places::give(patient, finding, there).only()
}

/// Whether a path lies in what is the app's, and no link on the way leads elsewhere: the app's user may have made it, and it may
/// be anything that the log names.
fn is_apps(patient: &Patient, path: &Path) -> bool {
    let service = patient.service;
    let mut folders = service.security.writable.iter().chain([&service.working_directory]);
    let is_below = |folder: &&std::path::PathBuf| path.starts_with(folder);
    let Some(folder) = folders.find(is_below) else {
        return false;
    };
    let mut below = path.ancestors().take_while(|part| part != folder);
    let is_link =
        |part: &Path| matches!(patient.look.entry(part), Ok(Some(entry)) if matches!(entry.kind, EntryKind::Link(_)));
    !is_of_the_system(path) && !below.any(is_link)
}

/// Folders that are nobody's to give away.
pub(super) fn is_of_the_system(path: &Path) -> bool {
    const SHARED: [&str; 7] = [
        "/var/log",
        "/var/lib",
        "/var/cache",
        "/var/spool",
        "/var/tmp",
        "/var/www",
        "/run/user",
    ];
    let is_one = |of: &str| path.starts_with(of);
    let is_top = path.components().count() <= 2;
    let is_shared = SHARED.iter().any(|shared| path == Path::new(shared)) || path.parent() == Some(Path::new("/home"));
    is_top
        || is_shared
        || ["/etc", "/usr", "/bin", "/sbin", "/lib", "/boot", "/root", "/sys"]
            .into_iter()
            .any(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_systems_is_not_given_away() {
        for path in ["/", "/srv", "/home", "/home/alice", "/var/log", "/etc/x", "/usr/lib/x"] {
            assert!(is_of_the_system(Path::new(path)), "{path}");
        }
        for path in ["/srv/app", "/home/alice/app", "/var/lib/app"] {
            assert!(!is_of_the_system(Path::new(path)), "{path}");
        }
    }
}
