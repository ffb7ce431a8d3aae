//! What a supervisor needs of the system: to start an app so that it dies with it, and itself in the background.

use std::{
    fs, io,
    io::Read,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal as Number,
    },
    unistd::{self, Gid, Uid},
};

use super::euid;
use crate::{health::Being, supervisor::MARK, system::Cmd};

/// Whether a supervisor can run an app as somebody else: root can.
pub const CAN_BE_ANYBODY: bool = true;

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

impl Identity {
    /// Those of its user and of its group.
    pub fn numbers(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }
}

/// A process to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The argument list; the first word is an absolute path.
    pub argv: &'a [String],
    /// Whom it runs as, where, and in which environment.
    pub being: &'a Being,
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
        .envs(launch.being.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(launch.output.try_clone()?)
        .stderr(launch.output.try_clone()?);
    let identity = launch.being.identity.as_ref().filter(|_| euid() == 0).cloned();
    let groups: Vec<_> = identity
        .iter()
        .flat_map(|identity| &identity.groups)
        .map(|&gid| Gid::from_raw(gid))
        .collect();
    let folder = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(launch.being.folder.as_os_str()))?;
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
        die_with(parent) // after the change of identity, which would clear it
    };
    // SAFETY: the closure makes system calls on data prepared before the fork; it allocates nothing.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?; // `reap` waits for it, and for what it leaves behind
    Ok(child.id())
}

/// Starts a command that has our outputs, in a process group of its own, and is killed when our main thread ends.
#[allow(unsafe_code)]
pub fn start_child(cmd: &Cmd) -> io::Result<u32> {
    use std::os::unix::process::CommandExt as _;
    let parent = unistd::getpid();
    let mut command = Command::new(&cmd.program);
    command
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .process_group(0);
    // SAFETY: the closure makes two system calls; it allocates nothing.
    unsafe { command.pre_exec(move || die_with(parent)) };
    Ok(command.spawn()?.id()) // `reap` waits for it
}

/// From now on we are killed when the main thread of our parent ends (`PR_SET_PDEATHSIG`, prctl(2)); it may have ended already.
fn die_with(parent: unistd::Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Number::SIGKILL)?;
    if unistd::getppid() == parent {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::Interrupted))
    }
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
        .env_remove(MARK) // an app may start another: that one is not its own
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

/// What a supervisor in the background does first: on Windows there is more to leave behind than its output ([`let_go`]).
pub fn stand_alone() {}

/// Lets go of standard output and standard error: whoever started us need not wait any longer.
pub fn let_go() -> io::Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    unistd::dup2_stdout(&null)?;
    unistd::dup2_stderr(&null)?;
    Ok(())
}
