//! Folders: whether they are there, whether the app's user may enter them, and whether anything fits in.

use std::path::{Path, PathBuf};

use super::{Check, Finding, Patient, patient::quoted, refusals::is_of_the_system};
use crate::{
    service::{Os, RunAs},
    system::{Cmd, Entry, EntryKind, Output},
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "folder-missing",
        [
            "the working directory is not there (200/CHDIR)",
            "`service.working_directory`",
            "`install -d`, for the app's user",
        ],
        missing,
    ),
    Check::error(
        "folder-closed",
        [
            "the app's user may not enter a folder on the way to its program, its folder or its script",
            "each folder on the way, asked as that user",
            "`chmod` of the first that is closed, for those that the user counts among",
        ],
        closed,
    )
    .on(Os::Linux),
    Check::error(
        "folder-read-only",
        [
            "the app's user may not write to a folder that it is to write to",
            "`security.writable_directories`, asked as that user",
            "`chown` to that user of what is root's; `chmod` of what is its own",
        ],
        read_only,
    )
    .on(Os::Linux),
    Check::error(
        "disk-full",
        [
            "nothing fits any more where the app writes",
            "the space and the number of files left (statvfs(3)) of its folders and of /tmp",
            "what takes the space; of a tmpfs its size",
        ],
        full,
    ),
];

fn missing(patient: &Patient) -> Vec<Finding> {
    let folder = &patient.service.working_directory;
    match patient.look.target(folder) {
        Ok(None) => {}
        Ok(Some(entry)) if entry.kind == EntryKind::Folder => return Vec::new(),
        Ok(Some(_)) => {
            return Finding::new(format!("{} is no folder", folder.display()))
                .seen("service.working_directory names it")
                .by_hand("name a folder")
                .only();
        }
        Err(error) => {
            return Finding::new(format!("{} cannot be looked at", folder.display()))
                .seen(error.to_string())
                .by_hand("run doctor as root")
                .only();
        }
    }
    let finding = Finding::new(format!("the folder {} is not there", folder.display()))
        .seen("service.working_directory names it");
    if patient.is_on_windows() {
        return finding.run(format!("mkdir {}", quoted(folder))).only();
    }
    let owner = match &patient.service.run_as {
        RunAs::User { user, .. } => format!(" -o {}", shell_words::quote(user)),
        _ => String::new(),
    };
    finding.run(format!("install -d{owner} {}", quoted(folder))).only()
}

/// What the app's user has to reach: its folder, its program, the script that its interpreter is given.
fn needed(patient: &Patient) -> Vec<PathBuf> {
    let service = patient.service;
    let mut places = vec![service.working_directory.clone()];
    let commands = service.pre_start.iter().chain([&service.command]);
    for argv in commands {
        places.extend(argv.first().map(|program| patient.place(program)));
        places.extend(super::program::script(patient, argv));
    }
    places
}

fn closed(patient: &Patient) -> Vec<Finding> {
    if patient.is_root() || patient.service.run_as == RunAs::Dynamic {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = Vec::new();
    for place in needed(patient) {
        let Ok(Some(entry)) = patient.look.target(&place) else {
            continue;
        };
        let is_folder = entry.kind == EntryKind::Folder;
        // One question for the whole way; which folder it is, is only asked where the answer is no.
        if is_folder && patient.may("-x", &place) || !is_folder && patient.may("-e", &place) {
            continue;
        }
        let folders: Vec<_> = place.ancestors().skip(usize::from(!is_folder)).collect();
        let first = folders.into_iter().rev().find(|folder| !patient.may("-x", folder));
        let Some(first) = first else { continue };
        let message = format!("{} may not enter {}", patient.user_name(), first.display());
        if findings.iter().any(|finding| finding.message == message) {
            continue;
        }
        let mode = patient.look.target(first).ok().flatten();
        let (own, groups) = ids(patient);
        let class = mode.as_ref().map_or('o', |entry| class_of(entry, own, &groups));
        findings.push(
            Finding::new(message)
                .seen(mode.map_or_else(String::new, |entry| described(patient, first, &entry)))
                .seen(format!("it is on the way to {}", place.display()))
                .run(format!("chmod {class}+x {}", quoted(first))),
        );
    }
    findings
}

/// The numbers of the app's user and of all its groups.
fn ids(patient: &Patient) -> (Option<u32>, Vec<u32>) {
    let account = patient.account();
    let said = patient.ask(&Cmd::new("/usr/bin/id", ["-G"]));
    let said = said
        .filter(Output::is_ok)
        .map(|output| output.stdout)
        .unwrap_or_default();
    let mut groups: Vec<u32> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if groups.is_empty() {
        groups.extend(account.as_ref().map(|user| user.gid));
    }
    (account.map(|user| user.uid), groups)
}

/// Whose bits of a mode count for a user: the owner's, the group's, or those of others (`path_resolution(7)`).
fn class_of(entry: &Entry, own: Option<u32>, groups: &[u32]) -> char {
    if own == Some(entry.uid) {
        'u'
    } else if groups.contains(&entry.gid) {
        'g'
    } else {
        'o'
    }
}

/// `/srv: mode 0700, owner root`
pub(super) fn described(patient: &Patient, path: &Path, entry: &Entry) -> String {
    let owner = patient.look.user(&entry.uid.to_string()).and_then(|user| user.name);
    let owner = owner.unwrap_or_else(|| entry.uid.to_string());
    format!("{}: mode {:04o}, owner {owner}", path.display(), entry.mode)
}

fn read_only(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    if patient.is_root() || service.run_as == RunAs::Dynamic {
        return Vec::new();
    }
    let is_there = |folder: &&PathBuf| matches!(patient.look.target(folder), Ok(Some(_)));
    let folders = service.security.writable.iter().filter(is_there);
    folders
        .filter(|folder| !patient.may("-w", folder))
        .map(|folder| {
            let message = format!("{} may not write to {}", patient.user_name(), folder.display());
            give(patient, Finding::new(message), folder)
        })
        .collect()
}

/// Lets the app's user use a path: gives it what is root's. What is another account's, or the system's, is not ours to give away.
pub(super) fn give(patient: &Patient, finding: Finding, path: &Path) -> Finding {
    let user = patient.user_name();
    let Ok(Some(entry)) = patient.look.target(path) else {
        return finding.by_hand(format!("let {user} use {}", path.display()));
    };
    let finding = finding.seen(described(patient, path, &entry));
    if is_of_the_system(path) {
        return finding.by_hand(format!(
            "name a folder of its own in {}, and make it {user}'s",
            path.display()
        ));
    }
    let Some(account) = patient.account() else {
        return finding.by_hand("name it in security.writable_directories, which a throw-away user gets of its own");
    };
    if account.uid == entry.uid {
        return finding.run(format!("chmod u+rwX {}", quoted(path)));
    }
    if entry.uid == 0 {
        return finding.run(format!("chown -h {} {}", shell_words::quote(&user), quoted(path)));
    }
    finding.by_hand(format!(
        "it is another account's: let {user} use it (setfacl -m u:{}:rwX {}), or name a place of its own",
        shell_words::quote(&user),
        quoted(path)
    ))
}

/// Less than this is no room for anything.
const NOTHING: u64 = 64 * 1024;

fn full(patient: &Patient) -> Vec<Finding> {
    let mut folders = vec![patient.service.working_directory.clone(), PathBuf::from("/tmp")];
    folders.extend(patient.service.security.writable.iter().cloned());
    if patient.is_of_systemd() {
        folders.extend(["/var/log", "/etc/systemd", "/var/lib"].map(PathBuf::from));
    }
    let mounts = mounts(patient);
    let mut findings: Vec<Finding> = Vec::new();
    for folder in folders {
        let Ok(space) = patient.look.space(&folder) else {
            continue;
        };
        let seen = match space.files {
            _ if space.bytes < NOTHING => format!("{} bytes are free", space.bytes),
            Some(0) => "no file can be created: all inodes are in use".into(),
            _ => continue,
        };
        let (place, kind) = mount_of(&mounts, &folder);
        if kind == "squashfs" || is_read_only(&mounts, &place) {
            continue; // what is read-only is always full
        }
        let message = format!("the disk of {} is full", place.display());
        if findings.iter().any(|finding| finding.message == message) {
            continue;
        }
        let finding = Finding::new(message)
            .seen(seen)
            .seen(format!("the app writes to {}", folder.display()));
        findings.push(make_room(patient, finding, &folder));
    }
    findings
}

/// What makes room on the file system that a folder lies in.
pub(super) fn make_room(patient: &Patient, finding: Finding, folder: &Path) -> Finding {
    if patient.is_on_windows() {
        return finding.by_hand("make room: Settings, System, Storage shows what takes the space");
    }
    let (place, kind) = mount_of(&mounts(patient), folder);
    if kind == "tmpfs" {
        return finding.run(format!("mount -o remount,size=50% {}", quoted(&place)));
    }
    let finding = if place == Path::new("/") || place.starts_with("/var") {
        finding.run("journalctl --vacuum-size=64M")
    } else {
        finding
    };
    finding.by_hand(format!(
        "du -xah {} | sort -h | tail shows what takes the space",
        quoted(&place)
    ))
}

/// What is mounted (proc(5), `/proc/PID/mounts`).
pub(super) fn mounts(patient: &Patient) -> String {
    let mounts = patient.look.read(Path::new("/proc/self/mounts")).unwrap_or_default();
    String::from_utf8_lossy(&mounts).into_owned()
}

/// Where the file system of a path is mounted, and of which kind it is.
pub(super) fn mount_of(mounts: &str, path: &Path) -> (PathBuf, String) {
    let entry = |line: &str| {
        let mut words = line.split(' ').skip(1);
        Some((
            PathBuf::from(words.next()?.replace("\\040", " ")),
            words.next()?.to_owned(),
        ))
    };
    let covering = mounts
        .lines()
        .filter_map(entry)
        .filter(|(place, _)| path.starts_with(place));
    covering
        .max_by_key(|(place, _)| place.components().count())
        .unwrap_or_else(|| (PathBuf::from("/"), String::new()))
}

fn is_read_only(mounts: &str, place: &Path) -> bool {
    options(mounts, place).iter().any(|option| option == "ro")
}

/// With which options a file system is mounted.
pub(super) fn options(mounts: &str, place: &Path) -> Vec<String> {
    let at = |line: &&str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|at| Path::new(&at.replace("\\040", " ")) == place)
    };
    let line = mounts.lines().rfind(at).unwrap_or_default();
    line.split(' ')
        .nth(3)
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_opened_for_those_whose_bits_count() {
        let entry = Entry {
            kind: EntryKind::Folder,
            mode: 0o700,
            uid: 0,
            gid: 1000,
            len: 0,
            modified: std::time::Duration::ZERO,
        };
        for (own, groups, class) in [
            (Some(0), &[1000][..], 'u'),
            (Some(1000), &[1000], 'g'),
            (Some(1000), &[4, 1000], 'g'),
            (Some(1000), &[4], 'o'),
            (None, &[], 'o'),
        ] {
            assert_eq!(class_of(&entry, own, groups), class, "{own:?} {groups:?}");
        }
    }
}
