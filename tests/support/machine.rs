//! A machine in memory to check manifests against: always the same, whatever machine the tests run on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use autoglm_boot::{
    health::Asker,
    program::Elf,
    service,
    system::{Cmd, Entry, EntryKind, Output, Probe, User},
};

/// Its accounts; each has a group of its own, of the same name and number.
pub const USERS: [(&str, u32); 4] = [("root", 0), ("autoglm", 990), ("alice", 1000), ("bob", 1001)];

/// A machine with python3 in /usr/bin, the app in /srv/app owned by alice, folders of root and of nobody, and Open-AutoGLM.
pub struct Machine {
    pub files: BTreeMap<PathBuf, Entry>,
    euid: u32,
}

pub fn machine(euid: u32) -> Machine {
    let entry = |kind, mode, uid| Entry {
        kind,
        mode,
        uid,
        gid: uid,
        len: 0,
        modified: Duration::ZERO,
    };
    let file = |mode| entry(EntryKind::File, mode, 0);
    let folder = |uid| entry(EntryKind::Folder, 0o755, uid);
    let files = [
        ("/", folder(0)),
        ("/srv/app", folder(1000)),
        ("/srv/app/run", file(0o755)),
        ("/srv/app/100% \u{e9} $HOME", file(0o755)),
        ("/srv/app/venv/bin/python3", file(0o755)),
        ("/srv/app/native", file(0o755)),
        ("/srv/app/main.py", file(0o644)),
        ("/srv/app/a\"b", file(0o755)),
        ("/srv/app/secrets.env", file(0o600)),
        ("/srv/app/[50%] *?\\ .env", file(0o600)),
        ("/srv/app/data \"50%\" $x\\y #1", folder(1000)),
        ("/srv/root", folder(0)),
        ("/srv/nobody", folder(4242)),
        ("/usr/bin/python3", file(0o755)),
        ("/dev/mapper", folder(0)),
        ("/usr/lib/adapts", folder(1000)),
        ("/opt/open-autoglm", folder(990)),
        ("/opt/open-autoglm/venv/bin/python3", file(0o755)),
    ];
    Machine {
        files: files.into_iter().map(|(path, entry)| (path.into(), entry)).collect(),
        euid,
    }
}

/// The header of machine code for this machine, which needs no loader (elf(5)).
fn header() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(64, 0);
    let machine = Elf::machine_of(std::env::consts::ARCH).unwrap_or_default();
    header[18..20].copy_from_slice(&machine.to_le_bytes());
    header
}

impl Probe for Machine {
    fn program(&self) -> PathBuf {
        "/usr/bin/autoglm-boot".into()
    }

    /// It has files, but nothing is in them: only what is machine code says so.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let is_code = path.ends_with("native") || path == Path::new("/usr/bin/python3");
        let text = if is_code { header() } else { Vec::new() };
        let file = self.files.get(path).map(|_| text);
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.target(path)
    }

    fn target(&self, path: &Path) -> io::Result<Option<Entry>> {
        Ok(self.files.get(path).cloned())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        unreachable!("{}", folder.display())
    }

    fn query(&self, cmd: &Cmd) -> io::Result<Output> {
        unreachable!("{cmd}")
    }

    fn find_program(&self, name: &str, path: &[PathBuf]) -> Option<PathBuf> {
        let places = path.iter().map(|folder| folder.join(name));
        places.into_iter().find(|place| self.files.contains_key(place))
    }

    fn user(&self, name_or_number: &str) -> Option<User> {
        let number = name_or_number.parse().ok();
        let account = USERS
            .iter()
            .find(|(name, uid)| *name == name_or_number || Some(*uid) == number);
        let uid = account.map(|(_, uid)| *uid).or(number)?;
        Some(User {
            name: account.map(|(name, _)| (*name).to_owned()),
            uid,
            gid: uid,
            home: "/".into(),
        })
    }

    fn group(&self, name_or_number: &str) -> Option<String> {
        self.user(name_or_number)?.name
    }

    fn env(&self, name: &str) -> Option<OsString> {
        (name == "PATH").then(|| ".:/usr/local/bin:/usr/bin".into())
    }

    fn euid(&self) -> u32 {
        self.euid
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }

    fn ask(&self, probe: &service::Probe, _: Duration, _: &Asker) -> Result<(), String> {
        unreachable!("{probe:?}")
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn is_locked(&self, path: &Path) -> bool {
        unreachable!("{}", path.display())
    }
}
