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
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    libc,
    sched::{CloneFlags, setns},
    sys::prctl,
    unistd::{self, Gid, Uid},
};

use super::{Identity, acting_for, euid};
use crate::health::{Being, Main};

/// The namespaces that a command is asked in, in the order in which they are entered (setns(2)): the first gives whoever is not
/// root the right to the others.
const NAMESPACES: [(&str, CloneFlags); 3] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("net", CloneFlags::CLONE_NEWNET),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Makes the command run with the identity, folder, environment and namespaces of an app's main process: a probe runs as the app
/// it asks, never as root for it, and gains no rights on the way.
pub fn like_process(command: &mut Command, pid: u32, main: &Main) -> io::Result<()> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let identity = Identity::of(&proc, main.owner)?;
    let told = environment(&proc).map_err(gone)?;
    command.env_clear().envs(whole(&told, &main.environment));
    let folder = fs::File::open(proc.join("cwd")).map_err(gone)?;
    enter(command, foreign(&proc)?, folder);
    if euid() == 0 {
        let groups = identity.groups.into_iter().map(Gid::from_raw).collect();
        as_identity(command, identity.uid, identity.gid, groups);
        without_new_rights(command);
    }
    Ok(())
}

impl Identity {
    /// That of a process; of the owner it was started as, where root is to borrow it. A process can be another's for a time: that
    /// of the service manager before it becomes the app, or of a program with the set-user-ID bit.
    fn of(proc: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let status = fs::read_to_string(proc.join("status")).map_err(gone)?;
        if is_unborn(proc) {
            return Err(io::Error::other("it has not begun yet"));
        }
        let ids = |field: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.map(|rest| rest.split_whitespace().filter_map(|id| id.parse().ok()).collect())
                .unwrap_or_default()
        };
        let (users, groups) = (ids("Uid:"), ids("Gid:"));
        let (Some(&uid), Some(&gid)) = (users.get(1), groups.get(1)) else {
            return Err(io::Error::other("its main process has no identity to borrow"));
        };
        let is_roots = matches!(owner, Some((0, _))) || euid() != 0;
        let is_its_own = users.iter().all(|id| *id == uid)
            && groups.iter().all(|id| *id == gid)
            && owner.is_none_or(|owner| owner == (uid, gid));
        if !is_roots && !is_its_own {
            let message = "its main process is not the app's own user now: it runs with other rights";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        if owner.is_none() && euid() == 0 {
            return Err(Errno::EAGAIN.into()); // whose it is, is not known yet
        }
        let groups = ids("Groups:");
        Ok(Self { uid, gid, groups })
    }
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

/// What is not there in `/proc` is the process.
fn gone(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => Errno::ESRCH.into(),
        _ => error,
    }
}

/// Whether an error says that something lacks here, or that a process has gone, and nothing about what was to be done.
pub fn is_want(error: &io::Error) -> bool {
    let wants = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::ENOBUFS,
        Errno::EAGAIN,
        Errno::ESRCH,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| wants.contains(&Errno::from_raw(code)))
}

/// The variables of a process, as far as they can still be read: a program that sets its title writes over them (`setproctitle`).
/// Where those that the app was given are not among them, they come from there.
fn whole(told: &[u8], given: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let entries = told.split(|&byte| byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|&byte| byte == b'=').filter(|at| *at > 0)?;
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    });
    let mut variables: Vec<_> = entries.collect();
    let is_told = |(name, _): &(OsString, OsString)| variables.iter().any(|(told, _)| told == name);
    if !given.iter().all(is_told) {
        variables.retain(|(told, _)| given.iter().all(|(name, _)| name != told));
        variables.extend(given.iter().cloned());
    }
    variables
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
        without_new_rights(command);
    }
}

/// Whether there is a file, as the app's main process sees it: in its file system, with its rights.
pub fn is_there_for(pid: u32, main: &Main, path: &Path) -> io::Result<bool> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let identity = Identity::of(&proc, main.owner)?;
    let root = match fs::File::open(proc.join("root")) {
        Ok(root) => root,
        // A process may keep even its own user from looking into it (PR_SET_DUMPABLE, prctl(2)).
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && euid() != 0 => fs::File::open("/")?,
        Err(error) => return Err(gone(error)),
    };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let look = || loop {
        return match openat2(&root, path, how) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => continue, // something was renamed meanwhile, anywhere
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP) => Ok(false),
            Err(error) => Err(error.into()),
        };
    };
    if euid() != 0 {
        return look();
    }
    on_a_thread(|| {
        with_rights_of(&identity)?;
        look()
    })
}

/// What this thread looks at, it looks at with the rights of somebody else, from now on.
#[allow(unsafe_code)]
fn with_rights_of(identity: &Identity) -> io::Result<()> {
    let groups = &identity.groups;
    // SAFETY: the list is as long as it is said to be. The call itself is of this thread only, unlike that of the C library.
    if unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    unistd::setfsgid(gid);
    unistd::setfsuid(uid);
    if unistd::setfsuid(uid) == uid {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Does something on a thread that is thrown away afterwards, with all that was made of it.
fn on_a_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, act)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the question was lost")))
    })
}

/// Does something in the network that a process sees, on a thread of its own where that is not ours.
pub fn in_network_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let Some(network) = namespace(&proc, "net")? else {
        return Ok(act());
    };
    on_a_thread(move || {
        setns(&network, CloneFlags::CLONE_NEWNET)?;
        Ok(act())
    })
}

/// A namespace of a process, if it is not ours.
fn namespace(proc: &Path, kind: &str) -> io::Result<Option<OwnedFd>> {
    let path = proc.join("ns").join(kind);
    match (fs::read_link(&path), own_namespaces().get(kind)) {
        (Ok(there), Some(here)) if there != *here => Ok(Some(fs::File::open(path)?.into())),
        (Err(error), _) if error.kind() != io::ErrorKind::NotFound || !proc.exists() => Err(error),
        _ => Ok(None), // it is ours, or there are none of that kind
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

/// No program that it becomes gives it more rights than it has: within namespaces that an app has made, any file may look like
/// one of root's (`no_new_privs`, prctl(2)).
#[allow(unsafe_code)]
fn without_new_rights(command: &mut Command) {
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(|| Ok(prctl::set_no_new_privs()?)) };
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
