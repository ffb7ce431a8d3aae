//! What a supervisor needs of the system: to start an app so that it dies with it, to see its whole process tree, and to
//! end it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{self, Signal as Number},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, Gid, Pid, Uid},
};

use super::euid;
use crate::{supervisor::state::End, system::Cmd};

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// A process to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The argument list; the first word is an absolute path.
    pub argv: &'a [String],
    /// The folder it starts in.
    pub folder: &'a Path,
    /// The whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// Whom it runs as; `None` for whom we run as.
    pub identity: Option<&'a Identity>,
    /// Open files, at most.
    pub open_files: Option<u64>,
    /// Where its output goes.
    pub output: &'a OwnedFd,
}

/// An account with all its groups, and its shell.
pub fn identity(user: &str, group: Option<&str>) -> io::Result<(Identity, Option<PathBuf>)> {
    let unknown = || io::Error::other(format!("there is no user {user}"));
    let by_number = || Some((user.parse::<u32>().ok()?, user.parse::<u32>().ok()?));
    let account = unistd::User::from_name(user)?;
    let (uid, mut gid) = match &account {
        Some(account) => (account.uid.as_raw(), account.gid.as_raw()),
        None => by_number().ok_or_else(unknown)?,
    };
    if let Some(group) = group {
        gid = match unistd::Group::from_name(group)? {
            Some(group) => group.gid.as_raw(),
            None => group
                .parse()
                .map_err(|_| io::Error::other(format!("there is no group {group}")))?,
        };
    }
    let groups = match &account {
        Some(account) => {
            let name = std::ffi::CString::new(account.name.as_str())?;
            unistd::getgrouplist(&name, Gid::from_raw(gid))?
        }
        None => vec![Gid::from_raw(gid)],
    };
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok((Identity { uid, gid, groups }, account.map(|account| account.shell)))
}

/// From now on, orphans of our process tree become our children rather than those of PID 1.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Starts a process in a session of its own, which is killed when our main thread ends.
#[allow(unsafe_code)]
pub fn launch(launch: &Launch) -> io::Result<u32> {
    use std::os::unix::process::CommandExt as _;
    let (program, words) = launch
        .argv
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(launch.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(launch.output.try_clone()?)
        .stderr(launch.output.try_clone()?);
    let identity = launch.identity.filter(|_| euid() == 0).cloned();
    let groups: Vec<_> = identity
        .iter()
        .flat_map(|identity| &identity.groups)
        .map(|&gid| Gid::from_raw(gid))
        .collect();
    let folder = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(launch.folder.as_os_str()))?;
    let (open_files, parent) = (launch.open_files, unistd::getpid());
    let prepare = move || {
        unistd::setsid()?;
        if let Some(limit) = open_files {
            setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
        }
        if let Some(identity) = &identity {
            unistd::setgroups(&groups)?;
            unistd::setgid(Gid::from_raw(identity.gid))?;
            unistd::setuid(Uid::from_raw(identity.uid))?;
        }
        unistd::chdir(folder.as_c_str())?;
        // After the change of identity, which would clear it (PR_SET_PDEATHSIG, prctl(2)).
        prctl::set_pdeathsig(Number::SIGKILL)?;
        if unistd::getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::Interrupted))
        }
    };
    // SAFETY: the closure makes system calls on data prepared before the fork; it allocates nothing.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?; // `reap` waits for it, and for what it leaves behind
    Ok(child.id())
}

/// Waits for every child that has ended, without waiting for one to end.
pub fn reap() -> Vec<(u32, End)> {
    let mut ended = Vec::new();
    loop {
        let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, End::Exited(u32::try_from(status).unwrap_or_default())),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                (pid, End::Killed(u32::try_from(signal as i32).unwrap_or_default()))
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => continue,
        };
        ended.push((u32::try_from(pid.as_raw()).unwrap_or_default(), end));
    }
}

/// Every process below us, as far as it still runs.
pub fn descendants() -> Vec<u32> {
    let mut children = BTreeMap::<u32, Vec<u32>>::new();
    for pid in processes() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything: what follows the last bracket is state and parent (proc(5)).
        let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        if let (Some(state), Some(Ok(parent))) = (rest.next(), rest.next().map(str::parse::<u32>))
            && state != "Z"
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![std::process::id()];
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// Every other process that carries the variable in its environment, as far as we may see that.
pub fn marked(variable: &str, value: &str) -> Vec<u32> {
    let mark = format!("{variable}={value}");
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == mark.as_bytes())
    };
    let own = std::process::id();
    processes()
        .into_iter()
        .filter(|pid| *pid != own && is_marked(pid))
        .collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Sends a signal, by name, to processes; one that has ended by now is no error.
pub fn send(name: &str, pids: &[u32]) {
    let number: Number = name.parse().unwrap_or(Number::SIGTERM);
    for &pid in pids {
        if let Ok(pid) = i32::try_from(pid) {
            let _ = signal::kill(Pid::from_raw(pid), number);
            if number != Number::SIGKILL {
                let _ = signal::kill(Pid::from_raw(pid), Number::SIGCONT); // one that is stopped could not end
            }
        }
    }
}

/// Tells of every SIGCHLD (`false`) and of every signal that asks us to end (`true`), on a thread of its own.
pub fn watch_signals(mut tell: impl FnMut(bool) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            tell(signal != SIGCHLD);
        }
    })?;
    Ok(())
}

/// Starts a command that goes on without us, in a session of its own. Returns what it said until it let go of its output
/// (see [`let_go`]): nothing, if all was well.
#[allow(unsafe_code)]
pub fn start_detached(cmd: &Cmd) -> io::Result<String> {
    use std::os::unix::process::CommandExt as _;
    let (mut reader, writer) = io::pipe()?;
    let mut command = Command::new(&cmd.program);
    command
        .args(&cmd.args)
        .envs(cmd.env.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    // SAFETY: one system call.
    unsafe { command.pre_exec(|| Ok(unistd::setsid().map(drop)?)) };
    command.spawn()?; // it outlives us
    drop(command); // it holds the writing end
    let mut said = String::new();
    reader.read_to_string(&mut said)?;
    Ok(said)
}

/// Lets go of standard output and standard error: whoever started us need not wait any longer.
pub fn let_go() -> io::Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    unistd::dup2_stdout(&null)?;
    unistd::dup2_stderr(&null)?;
    Ok(())
}
