//! Running commands: no window, nothing left behind, to their end or until it is given up.

use std::{
    io,
    io::Read,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_TOO_MANY_OPEN_FILES},
    System::Threading::CREATE_NO_WINDOW,
};

use super::{Job, being_of, unsupported};
use crate::{
    health::{Being, Main},
    system::{Cmd, Output},
};

/// Runs a command to its end, or until `give_up` says so: then it is killed with all it started, and the result is an error.
/// It reads nothing from us, has no window, and a Ctrl-C at our console does not reach it: what it does is ours to undo.
pub fn run(cmd: &Cmd, give_up: &dyn Fn() -> bool) -> io::Result<Output> {
    let mut command = Command::new(&cmd.program);
    command
        .args(cmd.words())
        .envs(cmd.env.iter().map(|(key, value)| (key, value)));
    wait(&mut command, give_up)
}

/// A program, prepared to be run.
pub fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs a prepared command, capturing what it says.
pub fn wait(command: &mut Command, give_up: &dyn Fn() -> bool) -> io::Result<Output> {
    const LOOK: Duration = Duration::from_millis(50);
    /// What it has started may hold its outputs open, long after it has said all it says itself.
    const GRACE: Duration = Duration::from_millis(500);
    let job = Job::new()?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = job.spawn(command, CREATE_NO_WINDOW)?;
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take().map(|pipe| gather(pipe, sender.clone()));
    let stderr = child.stderr.take().map(|pipe| gather(pipe, sender));
    while let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(LOOK) {
        if child.try_wait()?.is_some() {
            let _ = receiver.recv_timeout(GRACE); // then what was said by now is all
            break;
        }
        if give_up() {
            job.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
        }
    }
    let status = child.wait()?;
    let text = |said: Option<Said>| {
        let said = said.unwrap_or_default();
        let bytes = said.lock().unwrap_or_else(PoisonError::into_inner);
        super::text::decoded(&bytes)
    };
    let output = Output {
        code: exit_code(status),
        stdout: text(stdout),
        stderr: text(stderr),
    };
    job.release()?; // what it left running on purpose is not ours to end
    Ok(output)
}

/// Runs a prepared command to its end, or until `give_up` says so: its status, and what it said. What it leaves behind is ended.
pub fn answer(command: &mut Command, give_up: &dyn Fn() -> bool) -> io::Result<(i32, String)> {
    let output = wait(command, give_up)?;
    Ok((output.code, format!("{}{}", output.stdout, output.stderr)))
}

/// What a command leaves is ended with it.
pub fn end_leftovers() {}

/// Whether there is a file: everybody sees the same.
pub fn is_there_for(_: u32, _: &Main, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

/// Whether an error says that something lacks here, and nothing about what was to be done.
pub fn is_want(error: &io::Error) -> bool {
    let wants = [
        ERROR_TOO_MANY_OPEN_FILES,
        ERROR_NOT_ENOUGH_MEMORY,
        ERROR_OUTOFMEMORY,
        ERROR_NO_SYSTEM_RESOURCES,
    ];
    let code = error.raw_os_error().map(i32::cast_unsigned);
    code.is_some_and(|code| wants.contains(&code))
}

/// No process becomes another here.
pub fn become_command(_: &Cmd) -> io::Error {
    unsupported("to become another program")
}

/// What was said so far.
type Said = Arc<Mutex<Vec<u8>>>;

/// Reads a pipe on a thread of its own, so that neither pipe can block the other. The sender is dropped at its end: when both
/// are, the command has closed its outputs.
fn gather(mut pipe: impl Read + Send + 'static, done: mpsc::Sender<()>) -> Said {
    let said = Said::default();
    let written = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut room = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut room) {
            let mut said = written.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(&room[..length]);
        }
        drop(done);
    });
    said
}

/// The exit code; every process has one.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Makes the command run in the folder and the environment that the app was started in: its supervisor, which asks, runs as
/// the app does. Nobody else can be the app.
pub fn like_process(command: &mut Command, pid: u32, _: &Main) -> io::Result<()> {
    let being = being_of(pid).ok_or_else(|| io::Error::other("only its supervisor can ask it so"))?;
    like_being(command, &being);
    Ok(())
}

/// Makes the command run as an app that has not started yet.
pub fn like_being(command: &mut Command, being: &Being) {
    let variables = being.environment.iter().map(|(key, value)| (key, value));
    command.env_clear().envs(variables).current_dir(&being.folder);
}

/// Does something in the network that a process sees: there is one for all.
pub fn in_network_of<T: Send>(_: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    Ok(act())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_to_its_end_and_says_what_it_says() {
        let cmd = Cmd::new("cmd.exe", ["/d", "/c", "echo out& echo err>&2& exit 3"]);
        let output = run(&cmd, &|| false).expect("it is there");
        assert_eq!(output.code, 3);
        assert_eq!((output.stdout.trim(), output.stderr.trim()), ("out", "err"));
    }

    #[test]
    fn what_a_command_leaves_behind_keeps_nobody_waiting() {
        let begun = std::time::Instant::now();
        let cmd = Cmd::new("cmd.exe", ["/d", "/c", "echo out& start /b ping -n 12 127.0.0.1"]);
        let output = run(&cmd, &|| false).expect("it is there");
        assert_eq!(output.code, 0);
        assert!(output.stdout.starts_with("out"), "{output:?}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_command_that_is_given_up_is_killed() {
        let begun = std::time::Instant::now();
        let cmd = Cmd::new("cmd.exe", ["/d", "/c", "ping -n 60 127.0.0.1 >nul"]);
        let gave_up = run(&cmd, &|| begun.elapsed() > Duration::from_millis(300)).expect_err("it was given up");
        assert_eq!(gave_up.kind(), io::ErrorKind::Interrupted);
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
