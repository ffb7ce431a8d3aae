//! A process tree that ends as one: a job object, whose last handle takes all of its processes with it (Job Objects,
//! `JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE`). A job within a job is fine (Nested Jobs, Windows 8).

use std::{
    io,
    os::windows::{
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
        process::CommandExt as _,
    },
    process::{Child, Command},
    ptr::null,
};

use windows_sys::Win32::{
    Foundation::{ERROR_MORE_DATA, HANDLE, INVALID_HANDLE_VALUE},
    System::{
        Diagnostics::ToolHelp::{
            CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
        },
        JobObjects::{
            AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
            JOBOBJECT_BASIC_PROCESS_ID_LIST, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList,
            JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
        },
        Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_SUSPENDED, OpenThread, ResumeThread, THREAD_SUSPEND_RESUME},
    },
};

use super::succeeded;

/// A process tree. All of it is killed when this is dropped, and when we are killed.
#[derive(Debug)]
pub struct Job(OwnedHandle);

impl Job {
    /// An empty one.
    #[allow(unsafe_code)]
    pub fn new() -> io::Result<Self> {
        // SAFETY: without a name and without attributes; the handle it returns is ours alone.
        let handle = unsafe { CreateJobObjectW(null(), null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        let job = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        Ok(job)
    }

    /// Starts a process in it, with this kind of window (`CREATE_NO_WINDOW`, Process Creation Flags), and in a console group
    /// of its own, which a Ctrl-C of ours does not reach: not one instruction of it is run outside.
    #[allow(unsafe_code)]
    pub fn spawn(&self, command: &mut Command, window: u32) -> io::Result<Child> {
        let flags = window | CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED;
        let mut child = command.creation_flags(flags).spawn()?;
        // SAFETY: both handles are open.
        let assigned = succeeded(unsafe { AssignProcessToJobObject(self.handle(), child.as_raw_handle()) });
        assigned.and_then(|()| resume(child.id())).inspect_err(|_| {
            let _ = child.kill(); // it has not begun
        })?;
        Ok(child)
    }

    /// Its processes.
    #[allow(unsafe_code)]
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut room = 64;
        loop {
            // A list begins with two counts of four bytes each; a number then has eight.
            let mut list = vec![0_u64; 1 + room];
            let bytes = u32::try_from(size_of_val(list.as_slice())).unwrap_or(u32::MAX);
            // SAFETY: the list is as long as it is said to be, and aligned.
            let answered = succeeded(unsafe {
                QueryInformationJobObject(
                    self.handle(),
                    JobObjectBasicProcessIdList,
                    list.as_mut_ptr().cast(),
                    bytes,
                    std::ptr::null_mut(),
                )
            });
            match answered {
                Err(error) if error.raw_os_error() == i32::try_from(ERROR_MORE_DATA).ok() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    // SAFETY: it was filled with this, and lives.
                    let head = unsafe { &*list.as_ptr().cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>() };
                    let (all, count) = (head.NumberOfAssignedProcesses, head.NumberOfProcessIdsInList as usize);
                    if all as usize <= count {
                        let pids = list[1..].iter().take(count);
                        return Ok(pids.map(|&pid| u32::try_from(pid).unwrap_or_default()).collect());
                    }
                }
            }
            room *= 2;
        }
    }

    /// Kills all of it.
    #[allow(unsafe_code)]
    pub fn kill(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        succeeded(unsafe { TerminateJobObject(self.handle(), 1) })
    }

    /// Lets what still runs of it live on.
    pub fn release(self) -> io::Result<()> {
        self.limit(0)
    }

    #[allow(unsafe_code)]
    fn limit(&self, flags: u32) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        let bytes = u32::try_from(size_of_val(&limits)).unwrap_or_default();
        // SAFETY: the structure is the one that belongs to the class, and as long as it is said to be.
        succeeded(unsafe {
            SetInformationJobObject(
                self.handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                bytes,
            )
        })
    }

    fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

/// Lets a process begin that was made suspended: its one thread.
#[allow(unsafe_code)]
fn resume(pid: u32) -> io::Result<()> {
    // SAFETY: a snapshot of all threads; its handle is ours.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry = THREADENTRY32 {
        dwSize: u32::try_from(size_of::<THREADENTRY32>()).unwrap_or_default(),
        ..THREADENTRY32::default()
    };
    // SAFETY: the entry says its own size.
    let mut more = unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        if entry.th32OwnerProcessID == pid {
            // SAFETY: the handle it returns is ours.
            let thread = unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, entry.th32ThreadID) };
            if thread.is_null() {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: as above, and the handle is open.
            let (_thread, before) = unsafe { (OwnedHandle::from_raw_handle(thread), ResumeThread(thread)) };
            return if before == u32::MAX {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            };
        }
        // SAFETY: as above.
        more = unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) };
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use std::{
        process::Stdio,
        time::{Duration, Instant},
    };

    use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

    use super::*;

    /// Three levels of cmd.exe, and a ping that would run for ten minutes below them.
    fn tree() -> Command {
        let mut command = Command::new("cmd.exe");
        command
            .args([
                "/d",
                "/c",
                "cmd",
                "/d",
                "/c",
                "cmd",
                "/d",
                "/c",
                "ping",
                "-n",
                "600",
                "127.0.0.1",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_tree_of_three_levels_is_killed_as_one() {
        let job = Job::new().expect("a job");
        let mut child = job.spawn(&mut tree(), CREATE_NO_WINDOW).expect("cmd.exe is there");
        until("the tree has grown", || job.pids().expect("it is a job").len() >= 4);
        assert!(job.pids().expect("as above").contains(&child.id()));
        job.kill().expect("it is ours");
        child.wait().expect("it is ours");
        until("nothing is left", || job.pids().expect("as above").is_empty());
    }

    #[test]
    fn a_tree_dies_with_the_last_handle_to_its_job() {
        let outer = Job::new().expect("a job");
        outer.spawn(&mut tree(), CREATE_NO_WINDOW).expect("cmd.exe is there");
        until("the tree has grown", || outer.pids().expect("it is a job").len() >= 4);
        let pids = outer.pids().expect("as above");
        assert!(pids.iter().all(|&pid| is_alive(pid)), "{pids:?}");
        drop(outer);
        until("nothing is left", || !pids.iter().any(|&pid| is_alive(pid)));
    }

    /// Whether a process runs: one that has ended may still be there, but is signalled.
    #[allow(unsafe_code)]
    fn is_alive(pid: u32) -> bool {
        use windows_sys::Win32::{
            Foundation::WAIT_TIMEOUT,
            System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject},
        };

        // SAFETY: the handle is ours.
        unsafe {
            let handle = OpenProcess(PROCESS_SYNCHRONIZE, 0, pid);
            if handle.is_null() {
                return false;
            }
            let handle = OwnedHandle::from_raw_handle(handle);
            WaitForSingleObject(handle.as_raw_handle(), 0) == WAIT_TIMEOUT
        }
    }

    #[test]
    fn what_is_released_lives_on() {
        let job = Job::new().expect("a job");
        let mut ping = Command::new("ping");
        ping.args(["-n", "600", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = job.spawn(&mut ping, CREATE_NO_WINDOW).expect("ping is there");
        job.release().expect("it is ours");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(child.try_wait().expect("it is ours"), None);
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
}
