//! Being somebody else: a command with the identity, the environment and the namespaces of another process; a question asked
//! in its network.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns},
    unistd::{self, Gid, Uid},
};

use super::{acting_for, euid};
use crate::health::Being;

/// The namespaces that a command is asked in, in the order in which they are entered (setns(2)): the first gives whoever is not
/// root the right to the others.
const NAMESPACES: [(&str, CloneFlags); 3] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("net", CloneFlags::CLONE_NEWNET),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Makes the command run with the identity, folder, environment and namespaces of another process: a probe runs as the app it
/// asks, never as root for it.
pub fn like_process(command: &mut Command, pid: u32) -> io::Result<()> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    if is_unborn(&proc) {
        return Err(io::Error::other("it has not begun yet"));
    }
    let status = fs::read_to_string(proc.join("status"))?;
    let ids = |field: &str| -> Vec<u32> {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .map(|rest| rest.split_whitespace().filter_map(|id| id.parse().ok()).collect())
            .unwrap_or_default()
    };
    let (Some(&uid), Some(&gid)) = (ids("Uid:").get(1), ids("Gid:").get(1)) else {
        return Err(io::Error::other(format!("process {pid} has no identity to borrow")));
    };
    let environment = environment(&proc)?;
    command
        .env_clear()
        .envs(environment.split(|&b| b == 0).filter_map(|entry| {
            let at = entry.iter().position(|&b| b == b'=')?;
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((text(&entry[..at]), text(&entry[at + 1..])))
        }));
    let folder = fs::File::open(proc.join("cwd"))?;
    enter(command, foreign(&proc)?, folder);
    if euid() == 0 {
        let groups = ids("Groups:").into_iter().map(Gid::from_raw).collect();
        as_identity(command, uid, gid, groups);
    }
    Ok(())
}

/// Whether it is still the service manager's own process, which is being made into that of the app: until then it has the
/// manager's identity, folder and namespaces, none of which is the app's. Its name is that of the app, in brackets.
fn is_unborn(proc: &Path) -> bool {
    let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
    let program = fs::read_link(proc.join("exe")).unwrap_or_default();
    let is_managers = program
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("systemd"));
    name.starts_with('(') && is_managers
}

/// While a process becomes another program (execve(2)), its environment reads as empty for a moment.
fn environment(proc: &Path) -> io::Result<Vec<u8>> {
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 1..TRIES {
        let environment = fs::read(proc.join("environ"))?;
        if !environment.is_empty() {
            return Ok(environment);
        }
        std::thread::sleep(PAUSE);
    }
    fs::read(proc.join("environ"))
}

/// Makes the command run as an app that has not started yet.
pub fn like_being(command: &mut Command, being: &Being) {
    let variables = being.environment.iter().map(|(key, value)| (key, value));
    command.env_clear().envs(variables).current_dir(&being.folder);
    if let Some(identity) = being.identity.as_ref().filter(|_| euid() == 0) {
        let groups = identity.groups.iter().copied().map(Gid::from_raw).collect();
        as_identity(command, identity.uid, identity.gid, groups);
    }
}

/// Does something in the network that a process sees, on a thread of its own where that is not ours.
pub fn in_network_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let Some(network) = namespace(&proc, "net")? else {
        return Ok(act());
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            Ok(act())
        });
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the question was lost")))
    })
}

/// A namespace of a process, if it is not ours. Whose namespaces we may not see, has none that we could enter.
fn namespace(proc: &Path, kind: &str) -> io::Result<Option<OwnedFd>> {
    let path = proc.join("ns").join(kind);
    match (fs::read_link(&path), own_namespaces().get(kind)) {
        (Ok(there), Some(here)) if there != *here => Ok(Some(fs::File::open(path)?.into())),
        _ => Ok(None),
    }
}

/// Ours, which do not change.
fn own_namespaces() -> &'static HashMap<&'static str, PathBuf> {
    static OWN: OnceLock<HashMap<&'static str, PathBuf>> = OnceLock::new();
    OWN.get_or_init(|| {
        let own = |kind| Some((kind, fs::read_link(Path::new("/proc/self/ns").join(kind)).ok()?));
        NAMESPACES.iter().filter_map(|(kind, _)| own(*kind)).collect()
    })
}

fn foreign(proc: &Path) -> io::Result<Vec<(OwnedFd, CloneFlags)>> {
    let mut namespaces = Vec::new();
    let is_needed = |(_, flag): &(&str, CloneFlags)| *flag != CloneFlags::CLONE_NEWUSER || euid() != 0;
    for (kind, flag) in NAMESPACES.into_iter().filter(is_needed) {
        namespaces.extend(namespace(proc, kind)?.map(|fd| (fd, flag)));
    }
    Ok(namespaces)
}

/// Enters namespaces between fork and exec, and then the folder.
#[allow(unsafe_code)]
fn enter(command: &mut Command, namespaces: Vec<(OwnedFd, CloneFlags)>, folder: fs::File) {
    let enter = move || {
        for (namespace, flag) in &namespaces {
            setns(namespace, *flag)?;
        }
        Ok(unistd::fchdir(&folder)?)
    };
    // SAFETY: the closure makes system calls on descriptors opened before the fork; it allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// Takes on another identity between fork and exec, from root.
#[allow(unsafe_code)]
pub(super) fn as_identity(command: &mut Command, uid: u32, gid: u32, groups: Vec<Gid>) {
    let is_acting = acting_for().is_some();
    let drop_root = move || {
        if is_acting {
            unistd::seteuid(Uid::from_raw(0))?;
        }
        unistd::setgroups(&groups)?;
        unistd::setgid(Gid::from_raw(gid))?;
        unistd::setuid(Uid::from_raw(uid))?;
        Ok(())
    };
    // SAFETY: the closure makes four system calls on data prepared before the fork; it allocates nothing.
    unsafe { command.pre_exec(drop_root) };
}
