//! The real machine, except that one effect fails, or the process is killed right before or right after it; or that its clock
//! hurries.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::lab::Lab;
use autoglm_boot::{
    health::Asker,
    platform::Signal,
    service,
    system::{Cmd, Entry, Lock, Output, Probe, Real, System, User},
};

/// The body of the test `inside_of_a_lab`: the program, with the fault that [`run`] names.
pub fn inside() {
    let Ok(fault) = std::env::var("FAULT") else { return };
    let system = Faulty::parse(&fault);
    let args = std::env::var("ARGS").unwrap();
    let args = std::iter::once("autoglm-boot").chain(args.split(' ')).map(Into::into);
    let exit = autoglm_boot::main(args, &system);
    println!("exit {} reached {}", exit as u8, system.was_reached());
}

/// A lab with the program on PATH and this test inside.
pub fn lab(name: &str) -> Lab {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap().display();
    let program = super::lab::binaries().0;
    let binds = [
        format!("{folder}:/opt/tests"),
        format!("{}:/opt/bin", program.display()),
    ];
    let lab = Lab::up(name, &binds);
    lab.run("ln -s /opt/bin/autoglm-boot /usr/local/bin/").expect(0);
    lab
}

/// Runs the program in the lab with a fault; the exit code if it lived, and whether the fault was reached. The test needs a
/// test `inside_of_a_lab` that calls [`inside`].
pub fn run(lab: &Lab, fault: &str, args: &str) -> (Option<u8>, bool) {
    let this = std::env::current_exe().unwrap();
    let name = this.file_name().unwrap().to_string_lossy().into_owned();
    let out = lab.run(&format!(
        "FAULT='{fault}' ARGS='{args}' /opt/tests/{name} --exact inside_of_a_lab --nocapture --test-threads 1"
    ));
    match out.stdout.lines().find_map(|line| line.split_once("exit ")) {
        Some((_, rest)) => {
            let (code, reached) = rest.split_once(" reached ").unwrap();
            (Some(code.parse().unwrap()), reached == "true")
        }
        None => (None, true),
    }
}

/// What happens at the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillBefore,
    KillAfter,
    Fail,
    /// None: the clock runs a thousand times as fast.
    Hurry,
}

/// Counts effects, and lets the fault happen at the one of this number.
pub struct Faulty {
    inner: Real,
    fault: Fault,
    at: usize,
    count: AtomicUsize,
}

impl Faulty {
    /// The fault as an environment variable names it: `kill-before 7`.
    pub fn parse(text: &str) -> Self {
        let (fault, at) = text.split_once(' ').expect("a fault and a number");
        Self {
            inner: Real::with_signals().expect("signals"),
            fault: match fault {
                "kill-before" => Fault::KillBefore,
                "kill-after" => Fault::KillAfter,
                "fail" => Fault::Fail,
                "hurry" => Fault::Hurry,
                other => panic!("no such fault: {other}"),
            },
            at: at.parse().expect("a number"),
            count: AtomicUsize::new(0),
        }
    }

    /// Whether the fault has happened.
    pub fn was_reached(&self) -> bool {
        self.count.load(Ordering::Relaxed) > self.at
    }

    fn effect<T>(
        &self,
        failed: impl FnOnce() -> io::Result<T>,
        effect: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        if number != self.at {
            return effect();
        }
        match self.fault {
            Fault::KillBefore => kill(),
            Fault::KillAfter => {
                let _ = effect();
                kill()
            }
            Fault::Fail => failed(),
            Fault::Hurry => effect(),
        }
    }

    fn file<T>(&self, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.effect(|| Err(io::Error::from(io::ErrorKind::StorageFull)), effect)
    }
}

fn kill() -> ! {
    let pid = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    std::thread::sleep(Duration::from_mins(1));
    unreachable!("SIGKILL was survived")
}

impl Probe for Faulty {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.entry(path)
    }
    fn target(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.target(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(folder)
    }
    fn query(&self, cmd: &Cmd) -> io::Result<Output> {
        self.inner.query(cmd)
    }
    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        self.inner.find_program(name, path)
    }
    fn user(&self, name_or_number: &str) -> Option<User> {
        self.inner.user(name_or_number)
    }
    fn group(&self, name_or_number: &str) -> Option<String> {
        self.inner.group(name_or_number)
    }
    fn env(&self, name: &str) -> Option<OsString> {
        self.inner.env(name)
    }
    fn boot(&self) -> String {
        self.inner.boot()
    }
    fn resident(&self, pid: u32) -> Option<u64> {
        self.inner.resident(pid)
    }
    fn euid(&self) -> u32 {
        self.inner.euid()
    }
    fn program(&self) -> PathBuf {
        self.inner.program()
    }
    fn home(&self) -> Option<PathBuf> {
        self.inner.home()
    }
    fn ask(&self, probe: &service::Probe, timeout: Duration, asker: &Asker) -> Result<(), String> {
        self.inner.ask(probe, timeout, asker)
    }
    fn monotonic(&self) -> Duration {
        let times = if self.fault == Fault::Hurry { 1000 } else { 1 };
        self.inner.monotonic() * times
    }
    fn is_locked(&self, path: &Path) -> bool {
        self.inner.is_locked(path)
    }
}

impl System for Faulty {
    fn act_for(&self, user: &User) -> io::Result<()> {
        self.inner.act_for(user)
    }
    fn sync(&self, paths: &[&Path]) -> io::Result<()> {
        self.file(|| self.inner.sync(paths))
    }
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.file(|| self.inner.make_folder(path, mode))
    }
    fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.file(|| self.inner.write_file(path, bytes, mode))
    }
    fn create_file(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.file(|| self.inner.create_file(path, bytes, mode))
    }
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.file(|| self.inner.set_owner(path, uid, gid))
    }
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.file(|| self.inner.append(path, bytes))
    }
    fn copy(&self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
        self.file(|| self.inner.copy(from, to, mode))
    }
    fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.file(|| self.inner.link(path, target))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.file(|| self.inner.remove(path))
    }
    fn remove_folder(&self, path: &Path) -> io::Result<bool> {
        self.file(|| self.inner.remove_folder(path))
    }
    fn run(&self, cmd: &Cmd, steadfast: bool) -> io::Result<Output> {
        let failed = || {
            Ok(Output {
                code: 1,
                stderr: "made to fail by the test".into(),
                ..Output::default()
            })
        };
        self.effect(failed, || self.inner.run(cmd, steadfast))
    }
    fn start_detached(&self, cmd: &Cmd) -> io::Result<String> {
        self.inner.start_detached(cmd)
    }
    fn become_command(&self, cmd: &Cmd) -> io::Error {
        self.inner.become_command(cmd)
    }
    fn sleep(&self, time: Duration) {
        self.inner.sleep(time);
    }
    fn interrupted(&self) -> Option<Signal> {
        self.inner.interrupted()
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.file(|| self.inner.lock(path))
    }
}
