//! Linux and its kin.

use std::{
    fs, io,
    io::Read,
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use nix::unistd;

mod answer;
mod child;
mod control;
mod elsewhere;
mod environment;
mod like;
mod links;
mod lock;
mod memory;
mod notice;
mod role;
mod signals;
mod tree;

pub use answer::answer;
pub use child::*;
pub use control::*;
pub use elsewhere::*;
pub use environment::*;
pub use like::*;
pub use links::*;
pub use lock::*;
pub use memory::*;
pub use notice::*;
pub use role::*;
pub use signals::*;
pub use tree::*;

use like::as_identity;
use tree::{no_longer_awaited, spawn_awaited};

use crate::{
    service::Os,
    system::{Cmd, Entry, EntryKind, Output, User},
};

/// The system this program was built for.
pub const OS: Os = Os::Linux;

/// Whether a whole file system can be put on disk at once.
pub const SYNCS_FILESYSTEMS: bool = true;

/// One end of a pipe.
pub type Pipe = std::os::fd::OwnedFd;

static ACTING: OnceLock<User> = OnceLock::new();

/// Runs a command to its end, or until `give_up` says so: then it is killed and the result is an error. It reads nothing
/// from us, and a Ctrl-C at our terminal does not reach it: what it does is ours to undo.
pub fn run(cmd: &Cmd, give_up: &dyn Fn() -> bool) -> io::Result<Output> {
    let mut command = Command::new(&cmd.program);
    command
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)));
    if cmd.is_privileged && acting_for().is_some() {
        as_identity(&mut command, 0, 0, vec![unistd::Gid::from_raw(0)]);
    }
    wait(&mut command, give_up)
}

/// From now on we are this user, and so is whatever we start; only our saved ids are still root's (setresuid(2)), and an exec
/// loses them.
pub fn act_for(user: &User) -> io::Result<()> {
    let (uid, gid) = (unistd::Uid::from_raw(user.uid), unistd::Gid::from_raw(user.gid));
    let name = std::ffi::CString::new(user.name.clone().unwrap_or_default())?;
    unistd::initgroups(&name, gid)?;
    unistd::setresgid(gid, gid, unistd::Gid::from_raw(0))?;
    unistd::setresuid(uid, uid, unistd::Uid::from_raw(0))?;
    let _ = ACTING.set(user.clone()); // once: there is no way back
    Ok(())
}

/// Whom root acts for.
pub fn acting_for() -> Option<&'static User> {
    ACTING.get()
}

/// A program, prepared to be run.
pub fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs a prepared command, capturing what it says.
pub fn wait(command: &mut Command, give_up: &dyn Fn() -> bool) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = spawn_awaited(command)?;
    let ended = gathered(&mut child, give_up);
    no_longer_awaited(child.id());
    ended
}

/// What a command says until it has closed its outputs, and how it ended.
fn gathered(child: &mut Child, give_up: &dyn Fn() -> bool) -> io::Result<Output> {
    const LOOK: Duration = Duration::from_millis(50);
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take().map(|pipe| gather(pipe, sender.clone()));
    let stderr = child.stderr.take().map(|pipe| gather(pipe, sender));
    while let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(LOOK) {
        if give_up() {
            return stop(child);
        }
    }
    let status = child.wait()?;
    let text = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Output {
        code: exit_code(status),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Becomes the command; returns only if that fails.
pub fn become_command(cmd: &Cmd) -> io::Error {
    Command::new(&cmd.program)
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)))
        .exec()
}

/// Reads a pipe to its end on a thread of its own, so that neither pipe can block the other. The sender is dropped at the
/// end: when both are, the command has closed its outputs.
fn gather(mut pipe: impl Read + Send + 'static, done: mpsc::Sender<()>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes); // what could be read is what there is to tell
        drop(done);
        bytes
    })
}

/// Ends the command's whole process group.
fn stop(child: &mut Child) -> io::Result<Output> {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = nix::sys::signal::killpg(unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"))
}

/// As a shell reports it: 128 + n for a death by signal n.
pub fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// What `stat` says, in our terms.
pub fn entry(_: &Path, meta: &fs::Metadata) -> Entry {
    let kind = match meta.file_type() {
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_dir() => EntryKind::Folder,
        kind if kind.is_symlink() => EntryKind::Link(PathBuf::new()),
        _ => EntryKind::Other,
    };
    Entry {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        len: meta.len(),
        modified: meta
            .modified()
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .unwrap_or_default(),
    }
}

/// An account, by name or number.
pub fn user(name_or_number: &str) -> Option<User> {
    let by_number = || {
        let uid = unistd::Uid::from_raw(name_or_number.parse().ok()?);
        Some(unistd::User::from_uid(uid).ok().flatten().map_or(
            User {
                name: None,
                uid: uid.as_raw(),
                gid: uid.as_raw(),
                home: PathBuf::from("/"),
            },
            account,
        ))
    };
    unistd::User::from_name(name_or_number)
        .ok()
        .flatten()
        .map(account)
        .or_else(by_number)
}

fn account(user: unistd::User) -> User {
    User {
        name: Some(user.name),
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
    }
}

/// A group's name (or its number, where it has no name), by name or number.
pub fn group(name_or_number: &str) -> Option<String> {
    let by_number = || {
        let gid = unistd::Gid::from_raw(name_or_number.parse().ok()?);
        let named = unistd::Group::from_gid(gid).ok().flatten();
        Some(named.map_or_else(|| gid.to_string(), |group| group.name))
    };
    unistd::Group::from_name(name_or_number)
        .ok()
        .flatten()
        .map(|group| group.name)
        .or_else(by_number)
}

/// A group's number, by name or number.
pub fn group_number(name_or_number: &str) -> Option<u32> {
    let named = unistd::Group::from_name(name_or_number).ok().flatten();
    named.map_or_else(|| name_or_number.parse().ok(), |group| Some(group.gid.as_raw()))
}

/// Whom we run as.
pub fn euid() -> u32 {
    unistd::geteuid().as_raw()
}

/// What tells this boot from others (random(4)); empty where nothing does.
pub fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Time since boot without suspend.
pub fn monotonic() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Into::into)
}

/// Creates a file that only we can read, and that was not there.
pub fn create_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Our own standard output, without a buffer.
pub fn own_output() -> io::Result<fs::File> {
    Ok(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?.into())
}

/// Writes to what other processes write to as well, each in its turn (fcntl(2), "Advisory record locking"): what is written
/// stays together, however long it is.
pub fn in_turn<T>(output: &fs::File, write: impl FnOnce() -> T) -> T {
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc,
    };
    let lock = |kind: i32| libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let _ = fcntl(output, FcntlArg::F_SETLKW(&lock(libc::F_WRLCK))); // what cannot be locked is written all the same
    let written = write();
    let _ = fcntl(output, FcntlArg::F_SETLK(&lock(libc::F_UNLCK))); // as above
    written
}

/// Opens a file to append to it.
pub fn append(path: &Path, mode: u32) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

/// Gives a file another name, at once.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file; whether it was there.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the permission bits, whatever the umask.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The same for a file that is open.
pub fn set_open_mode(file: &fs::File, _: &Path, mode: u32) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Puts a file's bytes or a folder's names on disk.
pub fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Puts everything of the file system that a file lies in on disk (syncfs(2)).
pub fn sync_filesystem(path: &Path) -> io::Result<()> {
    Ok(unistd::syncfs(fs::File::open(path)?)?)
}

/// Which file system a file lies in.
pub fn filesystem(meta: &fs::Metadata) -> u64 {
    meta.dev()
}
