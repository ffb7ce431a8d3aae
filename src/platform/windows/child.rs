//! What a supervisor needs of the system. Phase by phase: the tree itself is a [`Job`]; the loop above it is not wired to
//! Windows yet, so that what is here is no more than a start, a look and an end.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{Job, Pipe, signals, unsupported};
use crate::{supervisor::state::End, system::Cmd};

/// Whom a process runs as: always whom we run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity;

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
    /// Open files, at most: Windows has no such limit.
    pub open_files: Option<u64>,
    /// Where its output goes.
    pub output: &'a Pipe,
}

/// The tree we keep.
static TREE: OnceLock<Job> = OnceLock::new();
/// Our own children, as long as they run.
static CHILDREN: Mutex<BTreeMap<u32, Child>> = Mutex::new(BTreeMap::new());

/// Nobody is chosen here: the task says whom the supervisor runs as, and the app runs as the supervisor does.
pub fn identity(_: &str, _: Option<&str>) -> io::Result<(Identity, Option<PathBuf>)> {
    Ok((Identity, None))
}

/// From now on there is a tree that dies with us.
pub fn adopt_orphans() -> io::Result<()> {
    if TREE.get().is_none() {
        let _ = TREE.set(Job::new()?); // another thread was faster
    }
    Ok(())
}

/// Starts a process in our tree.
pub fn launch(launch: &Launch) -> io::Result<u32> {
    adopt_orphans()?;
    let (Some((program, words)), Some(tree)) = (launch.argv.split_first(), TREE.get()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(launch.environment.iter().map(|(key, value)| (key, value)))
        .current_dir(launch.folder)
        .stdin(Stdio::null())
        .stdout(launch.output.try_clone()?)
        .stderr(launch.output.try_clone()?);
    let child = tree.spawn(&mut command)?;
    let pid = child.id();
    watch(&child)?;
    children().insert(pid, child);
    Ok(pid)
}

/// Tells when it has ended, from a thread of its own.
#[allow(unsafe_code)]
fn watch(child: &Child) -> io::Result<()> {
    use std::os::windows::io::{AsHandle as _, AsRawHandle as _};

    use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};

    let handle = child.as_handle().try_clone_to_owned()?;
    std::thread::Builder::new().name("child".into()).spawn(move || {
        // SAFETY: the handle is open, and ours.
        unsafe { WaitForSingleObject(handle.as_raw_handle(), INFINITE) };
        signals::happened(false);
    })?;
    Ok(())
}

/// Every child that has ended, without waiting for one to end.
pub fn reap() -> Vec<(u32, End)> {
    let mut ended = Vec::new();
    children().retain(|&pid, child| match child.try_wait() {
        Ok(Some(status)) => {
            ended.push((pid, End::Exited(super::exit_code(status).cast_unsigned())));
            false
        }
        Ok(None) => true,
        Err(_) => false,
    });
    ended
}

/// Every process of our tree, as far as it still runs.
pub fn descendants() -> Vec<u32> {
    TREE.get().and_then(|tree| tree.pids().ok()).unwrap_or_default()
}

/// What a killed supervisor left: nothing, its tree died with it.
pub fn marked(_: &str, _: &str) -> Vec<u32> {
    Vec::new()
}

/// Ends processes by force; what asks them to end is not there yet.
#[allow(unsafe_code)]
pub fn send(name: &str, pids: &[u32]) {
    use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};

    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_TERMINATE, TerminateProcess};

    if name != "SIGKILL" {
        return;
    }
    for &pid in pids {
        // SAFETY: the handle is ours; one that has ended by now is no error.
        unsafe {
            let handle = OpenProcess(PROCESS_TERMINATE, 0, pid);
            if !handle.is_null() {
                let handle = OwnedHandle::from_raw_handle(handle);
                TerminateProcess(handle.as_raw_handle(), 1);
            }
        }
    }
}

/// A supervisor in the background is started by its task or its shortcut.
pub fn start_detached(_: &Cmd) -> io::Result<String> {
    Err(unsupported("a supervisor in the background"))
}

/// Nobody waits for our output.
pub fn let_go() -> io::Result<()> {
    Ok(())
}

fn children() -> std::sync::MutexGuard<'static, BTreeMap<u32, Child>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
