//! The processes below us: which there are, how they end, and how they are made to.

use std::{
    collections::BTreeSet,
    fs, io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::{
        signal::{self, Signal as Number},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::answer::has_asked;
use crate::supervisor::state::End;

/// Commands that somebody in this process waits for: [`reap`] leaves them alone.
static AWAITED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn awaited() -> MutexGuard<'static, BTreeSet<u32>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner) // a set of numbers is whole whoever panicked
}

/// Starts a command that its caller waits for.
pub(super) fn spawn_awaited(command: &mut Command) -> io::Result<Child> {
    let mut awaited = awaited();
    let child = command.spawn()?;
    awaited.insert(child.id());
    Ok(child)
}

/// The caller has waited for it.
pub(super) fn no_longer_awaited(pid: u32) {
    awaited().remove(&pid);
}

/// Waits for every child that has ended, without waiting for one to end.
pub fn reap() -> Vec<(u32, End)> {
    let mut ended = Vec::new();
    let awaited = awaited();
    for pid in children_of(std::process::id()).filter(|pid| !awaited.contains(pid)) {
        let Ok(number) = i32::try_from(pid) else { continue };
        let end = match waitpid(Pid::from_raw(number), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => End::Exited(u32::try_from(status).unwrap_or_default()),
            Ok(WaitStatus::Signaled(_, signal, _)) => End::Killed(u32::try_from(signal as i32).unwrap_or_default()),
            _ => continue,
        };
        ended.push((pid, end));
    }
    ended
}

/// Ends what commands have left that were asked for an answer, in sessions of their own: orphans of ours. Only when none is being
/// asked, for those may still need them.
pub fn end_leftovers() {
    let awaited = awaited();
    if awaited.is_empty() && has_asked() {
        let left = descendants();
        send("SIGKILL", &left);
        drop(awaited);
        reap();
    }
}

/// Every process below us, as far as it still runs.
pub fn descendants() -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![std::process::id()];
    while let Some(pid) = next.pop() {
        for child in children_of(pid) {
            next.push(child);
            if is_running(child) {
                found.push(child);
            }
        }
    }
    found
}

/// Whether a process is there, and no zombie.
fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The children of all threads of a process; orphans that we have adopted too.
fn children_of(pid: u32) -> impl Iterator<Item = u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists: Vec<_> = threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .collect();
    // A kernel may be built without these lists (CONFIG_PROC_CHILDREN, proc(5)).
    let all = if lists.is_empty() { by_parent(pid) } else { Vec::new() };
    let numbers = |list: String| {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    };
    lists.into_iter().flat_map(numbers).chain(all)
}

fn by_parent(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| stat(*pid).is_some_and(|(_, of)| of == parent);
    processes().into_iter().filter(is_child).collect()
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything: what follows the last bracket is state and parent (proc(5)).
    let mut rest = stat.rsplit(')').next()?.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

/// Every other process that carries the variable in its environment, as far as we may see that.
pub fn marked(variable: &str, value: &str) -> Vec<u32> {
    let mark = format!("{variable}={value}");
    // What runs in a container has its own folders, and may have the same name.
    let own_space = fs::read_link("/proc/self/ns/pid").ok();
    let is_here = |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok() == own_space;
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == mark.as_bytes())
    };
    let own = std::process::id();
    processes()
        .into_iter()
        .filter(|pid| *pid != own && is_marked(pid) && is_here(pid))
        .collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Sends a signal, by name, to every process below us; says whether it can reach any.
pub fn send_to_tree(name: &str) -> bool {
    send(name, &descendants());
    true
}

/// Sends a signal, by name, to processes; one that has ended by now is no error. What has no name of its own
/// (`SIGRTMIN+3`) is sent as SIGTERM.
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
