//! What a supervisor needs of the system: to start an app so that it dies with it, and itself in the background.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    os::windows::{
        io::{AsHandle as _, AsRawHandle as _, FromRawHandle as _, OwnedHandle},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, HANDLE_FLAG_INHERIT, SetHandleInformation},
    Storage::FileSystem::{FILE_TYPE_CHAR, GetFileType},
    System::{
        Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle},
        Threading::{
            CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, DETACHED_PROCESS, OpenProcess,
            PROCESS_TERMINATE, TerminateProcess,
        },
    },
};

use super::{Job, Pipe, console, signals};
use crate::{
    health::Being,
    platform::Caught,
    supervisor::{MARK, state::End},
    system::Cmd,
};

/// Whom a process runs as: always whom we run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity;

impl Identity {
    /// Accounts have no numbers here.
    pub fn numbers(&self) -> (u32, u32) {
        (0, 0)
    }
}

/// Whether a supervisor can run an app as somebody else. It cannot: its task says whom both run as.
pub const CAN_BE_ANYBODY: bool = false;

/// A process to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The argument list; the first word is an absolute path.
    pub argv: &'a [String],
    /// Where it runs, and in which environment.
    pub being: &'a Being,
    /// Open files, at most: Windows has no such limit.
    pub open_files: Option<u64>,
    /// Where its output goes.
    pub output: &'a Pipe,
}

/// The tree we keep.
static TREE: OnceLock<Job> = OnceLock::new();
/// Our own children in it, as long as they run, and how an app of ours is to be asked a question.
static CHILDREN: Mutex<BTreeMap<u32, (Child, Option<Being>)>> = Mutex::new(BTreeMap::new());

fn children() -> MutexGuard<'static, BTreeMap<u32, (Child, Option<Being>)>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner) // a map of handles is whole whoever panicked
}

/// Nobody is chosen here: see [`CAN_BE_ANYBODY`].
pub fn identity(_: &str, _: Option<&str>) -> io::Result<(Identity, Option<PathBuf>)> {
    Ok((Identity, None))
}

/// From now on what we start, and all that comes of it, is one tree, which dies with us.
pub fn adopt_orphans() -> io::Result<()> {
    tree().map(drop)
}

fn tree() -> io::Result<&'static Job> {
    if TREE.get().is_none() {
        let _ = TREE.set(Job::new()?); // another thread was faster
    }
    TREE.get().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Starts a process in our tree.
pub fn launch(launch: &Launch) -> io::Result<u32> {
    let Some((program, words)) = launch.argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(launch.being.environment.iter().map(|(key, value)| (key, value)))
        .current_dir(&launch.being.folder)
        .stdin(Stdio::null())
        .stdout(launch.output.try_clone()?)
        .stderr(launch.output.try_clone()?);
    keep(&mut command, Some(launch.being.clone()))
}

/// Starts a command that has our outputs, in our tree.
pub fn start_child(cmd: &Cmd) -> io::Result<u32> {
    let mut command = Command::new(&cmd.program);
    command
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null());
    keep(&mut command, None)
}

fn keep(command: &mut Command, being: Option<Being>) -> io::Result<u32> {
    let mut children = children(); // held, so that nobody looks for it before it is there
    let child = tree()?.spawn(command, window())?;
    let (pid, handle) = (child.id(), child.as_handle().try_clone_to_owned()?);
    children.insert(pid, (child, being));
    drop(children);
    std::thread::Builder::new().name("child".into()).spawn(move || {
        signals::wait_for(&handle);
        signals::happened(Caught::Child);
    })?;
    Ok(pid)
}

/// A console of their own for those we start, which nobody sees; they share ours where we have one, or they could not be asked
/// to end.
fn window() -> u32 {
    if console::is_there() { 0 } else { CREATE_NO_WINDOW }
}

/// Every child that has ended, without waiting for one to end.
pub fn reap() -> Vec<(u32, End)> {
    let mut ended = Vec::new();
    children().retain(|&pid, (child, _)| match child.try_wait() {
        Ok(Some(status)) => {
            ended.push((pid, End::Exited(super::exit_code(status).cast_unsigned())));
            false
        }
        Ok(None) => true,
        Err(_) => false,
    });
    ended
}

/// How an app of ours was started; none where it is not ours.
pub(super) fn being_of(pid: u32) -> Option<Being> {
    children().get(&pid).and_then(|(_, being)| being.clone())
}

/// Every process of our tree, as far as it still runs.
pub fn descendants() -> Vec<u32> {
    TREE.get().and_then(|tree| tree.pids().ok()).unwrap_or_default()
}

/// What a killed supervisor left: nothing, its tree died with it.
pub fn marked(_: &str, _: &str) -> Vec<u32> {
    Vec::new()
}

/// Ends our tree: by force, or with a Ctrl-Break. Says whether it can be asked at all.
pub fn send_to_tree(name: &str) -> bool {
    if name == "SIGKILL" {
        return TREE.get().is_some_and(|tree| tree.kill().is_ok());
    }
    let groups: Vec<_> = children().keys().copied().collect();
    let all = descendants();
    // A console group is called after its first process, which may have ended before the others.
    let asked = groups.iter().filter(|&&group| console::send_break(group, &all));
    asked.count() > 0
}

/// Ends processes by force, or asks them to end; one that has ended by now is no error.
#[allow(unsafe_code)]
pub fn send(name: &str, pids: &[u32]) {
    for &pid in pids {
        if name != "SIGKILL" {
            let _ = signals::ask_to_end(pid) || console::send_break(pid, &[pid]); // who cannot be asked is killed in time
            continue;
        }
        // SAFETY: the handle is ours.
        unsafe {
            let handle = OpenProcess(PROCESS_TERMINATE, 0, pid);
            if !handle.is_null() {
                let handle = OwnedHandle::from_raw_handle(handle);
                TerminateProcess(handle.as_raw_handle(), 1);
            }
        }
    }
}

/// Starts a command that goes on without us, without a console, and outside of the job that we may be in. Returns what it said
/// until it let go of its output (see [`let_go`]): nothing, if all was well.
pub fn start_detached(cmd: &Cmd) -> io::Result<String> {
    let (mut reader, writer) = io::pipe()?;
    let mut command = Command::new(&cmd.program);
    command
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)))
        .env_remove(MARK) // an app may start another: that one is not its own
        .current_dir(super::known_folder(super::Known::System)?)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let flags = DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP;
    match command.creation_flags(flags | CREATE_BREAKAWAY_FROM_JOB).spawn() {
        // Whoever keeps us in a job wants that too: then it lives no longer than that.
        Err(error) if error.raw_os_error() == i32::try_from(ERROR_ACCESS_DENIED).ok() => {
            command.creation_flags(flags).spawn()?;
        }
        spawned => drop(spawned?), // it outlives us
    }
    drop(command); // it holds the writing end
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Lets go of standard output and standard error: whoever started us need not wait any longer.
#[allow(unsafe_code)]
pub fn let_go() -> io::Result<()> {
    let mut last = std::ptr::null_mut();
    for number in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: the handle is ours; after this nothing in this process has it. Both may be one, which is closed once: by the
        // second time its number may be another's.
        unsafe {
            let handle = GetStdHandle(number);
            super::succeeded(SetStdHandle(number, std::ptr::null_mut()))?;
            if is_handle(handle) && handle != last {
                drop(OwnedHandle::from_raw_handle(handle));
            }
            last = handle;
        }
    }
    Ok(())
}

/// From now on what we start has our own outputs only if it is given them: else whoever waits for their end would wait for the
/// end of all that we start.
#[allow(unsafe_code)]
pub fn keep_outputs() {
    for number in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: the handle is ours.
        unsafe {
            let handle = GetStdHandle(number);
            if is_handle(handle) {
                SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
            }
        }
    }
}

/// A console that was made for us, as one is for whatever a task or a shortcut starts, goes; and with it the handles to it, whose
/// numbers others get then.
#[allow(unsafe_code)]
pub fn stand_alone() {
    for number in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: the handle is ours, and not closed here.
        unsafe {
            if GetFileType(GetStdHandle(number)) == FILE_TYPE_CHAR {
                SetStdHandle(number, std::ptr::null_mut());
            }
        }
    }
    console::leave();
}

fn is_handle(handle: windows_sys::Win32::Foundation::HANDLE) -> bool {
    !handle.is_null() && handle != windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE
}
