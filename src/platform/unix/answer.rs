//! What a command answers: how it ends, and the last of what it says.

use std::{
    io::{self, PipeReader, Read as _},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::{
    exit_code, stop,
    tree::{no_longer_awaited, spawn_awaited},
};

/// So much of the end of what is said is kept.
const KEPT: usize = 4 * 1024;
/// So long nothing is heard before it is looked whether the command has ended: what it has started may hold its output open.
const LOOK: Duration = Duration::from_millis(50);

static HAS_ASKED: AtomicBool = AtomicBool::new(false);

/// Runs a prepared command to its end, or until `give_up` says so: its status, and the last of what it said. What it leaves
/// behind in its process group is ended, and nobody waits for it.
pub fn answer(command: &mut Command, give_up: &dyn Fn() -> bool) -> io::Result<(i32, String)> {
    use std::os::unix::process::CommandExt as _;
    let (mut reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    HAS_ASKED.store(true, Ordering::Relaxed);
    let child = spawn_awaited(command);
    command.stdout(Stdio::null()).stderr(Stdio::null()); // our own ends are closed
    let mut child = child?;
    let answered = heard(&mut child, &mut reader, give_up);
    if answered.is_err() {
        let _ = stop(&mut child); // the error is the one to tell
    }
    no_longer_awaited(child.id());
    answered
}

/// Whether a command was asked since this was asked last.
pub(super) fn has_asked() -> bool {
    HAS_ASKED.swap(false, Ordering::Relaxed)
}

fn heard(child: &mut Child, reader: &mut PipeReader, give_up: &dyn Fn() -> bool) -> io::Result<(i32, String)> {
    let mut tail = Vec::new();
    let mut is_closed = false;
    let mut pause = Duration::from_millis(1);
    loop {
        if is_closed {
            thread::sleep(pause);
            pause = LOOK.min(pause * 2);
        } else if has_more(reader, LOOK)? {
            is_closed = !hear(reader, &mut tail)?;
        }
        if has_ended(child)? {
            let _ = killpg(number(child)?, Signal::SIGKILL); // the rest of its group, as long as its number is its own
            while !is_closed && has_more(reader, Duration::ZERO)? && tail.len() < 2 * KEPT {
                is_closed = !hear(reader, &mut tail)?;
            }
            return Ok((exit_code(child.wait()?), String::from_utf8_lossy(&tail).into_owned()));
        }
        if give_up() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

/// Whether it has; it stays a zombie, and its number its own.
fn has_ended(child: &Child) -> io::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(number(child)?), flags)? != WaitStatus::StillAlive)
}

fn number(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

fn has_more(reader: &PipeReader, limit: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
    match poll(&mut fds, limit) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes in what has been said; whether more may come.
fn hear(reader: &mut PipeReader, tail: &mut Vec<u8>) -> io::Result<bool> {
    let mut said = [0; KEPT];
    let read = reader.read(&mut said)?;
    tail.extend_from_slice(&said[..read]);
    let beyond = tail.len().saturating_sub(KEPT);
    tail.drain(..beyond);
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str, limit: Duration) -> io::Result<(i32, String)> {
        let until = std::time::Instant::now() + limit;
        answer(Command::new("sh").args(["-c", script]), &|| {
            std::time::Instant::now() >= until
        })
    }

    #[test]
    fn the_last_that_is_said_is_kept_and_the_end_is_not_waited_for_by_what_is_left() {
        let second = Duration::from_secs(20);
        assert_eq!(
            said("echo one; echo two >&2; exit 3", second).expect("it ran"),
            (3, "one\ntwo\n".into())
        );
        let (code, text) = said("seq 100000; echo last", second).expect("it ran");
        assert!(
            code == 0 && text.ends_with("100000\nlast\n") && text.len() <= KEPT,
            "{code} {text}"
        );
        assert_eq!(
            said("exec >&- 2>&-; sleep 0.2; exit 4", second).expect("it ran"),
            (4, String::new())
        );
        let start = std::time::Instant::now();
        let (code, text) = said("sleep 1000 & echo $!", second).expect("it ran");
        assert!(code == 0 && start.elapsed() < second, "{:?}", start.elapsed());
        let left = std::path::PathBuf::from(format!("/proc/{}/stat", text.trim()));
        let is_over = || std::fs::read_to_string(&left).map_or(true, |stat| stat.contains(") Z "));
        assert!((0..200).any(|_| is_over() || {
            thread::sleep(Duration::from_millis(10));
            false
        }));
        for endless in ["sleep 1000", "exec cat /dev/zero", "exec >&- 2>&-; sleep 1000"] {
            let given_up = said(endless, Duration::from_millis(300)).expect_err("it does not end");
            assert_eq!(given_up.kind(), io::ErrorKind::Interrupted);
        }
    }
}
