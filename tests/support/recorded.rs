//! The machine in memory, with what was recorded on others: files of /proc, a journal, a clock.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use autoglm_boot::{
    health::Asker,
    service,
    system::{Cmd, Entry, EntryKind, Output, Probe, Role, Space, User},
};

use super::machine::{Machine, machine};

/// What was recorded.
pub struct Recorded {
    machine: Machine,
    texts: BTreeMap<PathBuf, Vec<u8>>,
    /// What the kernel said.
    pub journal: String,
    /// Seconds since 1970.
    pub now: u64,
    /// What schtasks answers, by a word of the question: `/xml`, `/nh`.
    pub tasks: Vec<(&'static str, String)>,
    /// What was decided about its shortcut.
    pub approval: Option<Vec<u8>>,
    /// What the app's user may not read or write.
    pub closed: Vec<PathBuf>,
}

/// The machine in memory, as root sees it, in the year 2026.
pub fn recorded() -> Recorded {
    Recorded {
        machine: machine(0),
        texts: BTreeMap::new(),
        journal: String::new(),
        now: 1_790_000_000,
        tasks: Vec::new(),
        approval: None,
        closed: Vec::new(),
    }
}

impl Recorded {
    /// Adds a file.
    pub fn with(self, path: &str, text: &str) -> Self {
        self.with_bytes(path, text.as_bytes())
    }

    /// The same, of a file that is no text.
    pub fn with_bytes(mut self, path: &str, bytes: &[u8]) -> Self {
        self.texts.insert(path.into(), bytes.into());
        self.put(path, EntryKind::File, 0o644)
    }

    /// Adds a folder.
    pub fn folder(self, path: &str) -> Self {
        self.put(path, EntryKind::Folder, 0o755)
    }

    /// Adds a device.
    pub fn device(self, path: &str, mode: u32) -> Self {
        self.put(path, EntryKind::Other, mode)
    }

    /// Writes a file of the machine in the future.
    pub fn written(mut self, path: &str, at: u64) -> Self {
        self.machine.files.get_mut(Path::new(path)).unwrap().modified = Duration::from_secs(at);
        self
    }

    fn put(mut self, path: &str, kind: EntryKind, mode: u32) -> Self {
        let entry = Entry {
            kind,
            mode,
            uid: 0,
            gid: 1000,
            len: 1,
            modified: Duration::ZERO,
        };
        self.machine.files.insert(path.into(), entry);
        self
    }
}

impl Probe for Recorded {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.texts.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.machine.read(path),
        }
    }
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.machine.entry(path)
    }
    fn target(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.machine.target(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let files = self.machine.files.keys();
        Ok(files.filter(|file| file.parent() == Some(folder)).cloned().collect())
    }
    fn query(&self, cmd: &Cmd) -> io::Result<Output> {
        if cmd.program.ends_with("schtasks.exe") {
            let asked = |(word, _): &&(&str, String)| cmd.args.iter().any(|arg| arg == word);
            let answer = self.tasks.iter().find(asked);
            return Ok(Output {
                code: if answer.is_some() {
                    0
                } else {
                    0x8007_0002_u32.cast_signed()
                },
                stdout: answer.map_or_else(String::new, |(_, text)| text.clone()),
                ..Output::default()
            });
        }
        let is_kernels = cmd.args.iter().any(|arg| arg == "_TRANSPORT=kernel");
        Ok(Output {
            stdout: if is_kernels {
                self.journal.clone()
            } else {
                String::new()
            },
            ..Output::default()
        })
    }
    fn query_as(&self, _: &Role, cmd: &Cmd, _: Duration) -> io::Result<Output> {
        if !cmd.program.ends_with("/test") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let is_closed = self.closed.iter().any(|path| path.as_os_str() == cmd.args[1].as_str());
        Ok(Output {
            code: i32::from(is_closed && cmd.args[0] != "-e"),
            ..Output::default()
        })
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space {
            bytes: 1 << 40,
            files: None,
        })
    }
    fn now(&self) -> Duration {
        Duration::from_secs(self.now)
    }
    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        self.machine.find_program(name, path)
    }
    fn user(&self, name_or_number: &str) -> Option<User> {
        self.machine.user(name_or_number)
    }
    fn group(&self, name_or_number: &str) -> Option<String> {
        self.machine.group(name_or_number)
    }
    fn approval(&self, _: &str, _: service::Scope) -> io::Result<Option<Vec<u8>>> {
        Ok(self.approval.clone())
    }
    fn env(&self, name: &str) -> Option<OsString> {
        self.machine.env(name)
    }
    fn euid(&self) -> u32 {
        self.machine.euid()
    }
    fn program(&self) -> PathBuf {
        self.machine.program()
    }
    fn home(&self) -> Option<PathBuf> {
        self.machine.home()
    }
    fn ask(&self, probe: &service::Probe, timeout: Duration, asker: &Asker) -> Result<(), String> {
        self.machine.ask(probe, timeout, asker)
    }
    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
    fn is_locked(&self, _: &Path) -> bool {
        false
    }
}
