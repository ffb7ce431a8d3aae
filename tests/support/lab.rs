//! A machine per test: a fresh overlay over a Debian root filesystem, and a real systemd as PID 1 in systemd-nspawn.
//! It is gone when the value is dropped, also when the test panics; what a killed test run left is swept by the next one.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The control group hierarchies systemd needs; on a machine with cgroup 2 alone there is one root.
const HIERARCHIES: [&str; 2] = ["systemd", "unified"];

/// Those that limits and devices need as well.
const OF_LIMITS: [&str; 6] = ["memory", "cpu", "cpuacct", "pids", "devices", "blkio"];

/// PID 1 of a lab whose limits bite, for a moment: the controllers are mounted read-only without a user namespace.
const INIT: &str = "#!/bin/sh\nfor c in memory cpu cpuacct pids devices blkio; do mount -o remount,bind,rw /sys/fs/cgroup/$c; done\nexec /lib/systemd/systemd\n";

/// What a lab is made of.
#[derive(Default, Clone)]
pub struct Setup {
    /// Folders of the host, read-only: `HOST:INSIDE`.
    pub binds: Vec<String>,
    /// Root filesystems over that of all labs, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Whether limits and device rules bite: they are silently without effect otherwise.
    pub has_limits: bool,
}

pub struct Lab {
    name: String,
    folder: PathBuf,
    setup: Setup,
    child: Child,
    leader: u32,
}

/// How a command in the lab ended.
#[derive(Debug)]
pub struct Out {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Out {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Out {
    /// The output of a command that must exit with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The folder of the binaries under test, for the lab.
pub fn binaries() -> (PathBuf, &'static str) {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_autoglm-boot"));
    (binary.parent().unwrap().to_path_buf(), "/opt/bin")
}

impl Lab {
    /// A lab with the program on PATH and the examples in /opt/examples.
    pub fn with_program(name: &str) -> Self {
        Self::with_program_and(name, Setup::default())
    }

    /// The same, and whatever else it is made of.
    pub fn with_program_and(name: &str, mut setup: Setup) -> Self {
        let (host, inside) = binaries();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        setup.binds.push(format!("{}:{inside}", host.display()));
        setup.binds.push(format!("{}:/opt/examples", examples.display()));
        let lab = Self::made(name, setup, |_| {});
        lab.run("ln -s /opt/bin/autoglm-boot /usr/local/bin/").expect(0);
        lab
    }

    /// A lab with these folders of the host, read-only: `HOST:INSIDE`.
    pub fn up(name: &str, binds: &[String]) -> Self {
        Self::prepared(name, binds, |_| {})
    }

    /// The same; before it boots for the first time, something is done to its root filesystem.
    pub fn prepared(name: &str, binds: &[String], prepare: impl FnOnce(&Path)) -> Self {
        let setup = Setup {
            binds: binds.to_vec(),
            ..Setup::default()
        };
        Self::made(name, setup, prepare)
    }

    fn made(name: &str, setup: Setup, prepare: impl FnOnce(&Path)) -> Self {
        let (name, folder) = overlay(name, &setup.layers);
        let root = folder.join("root");
        let swept = Unbooted(&folder, &name);
        if setup.has_limits {
            fs::write(root.join("sbin/lab-init"), INIT).unwrap();
            fs::set_permissions(root.join("sbin/lab-init"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        prepare(&root);
        std::mem::forget(swept);
        let (child, leader) = boot(&name, &folder, &setup);
        Self {
            name,
            folder,
            setup,
            child,
            leader,
        }
    }

    /// A command of the shell inside, as root.
    pub fn run(&self, command: &str) -> Out {
        self.run_argv(&["sh", "-c", command])
    }

    /// A command inside, as root.
    pub fn run_argv(&self, argv: &[&str]) -> Out {
        let leader = self.leader.to_string();
        let output = Command::new("nsenter")
            .args(["-t", &leader, "-a", "--"])
            .args(argv)
            .env_clear()
            .envs([
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/root"),
                ("LANG", "C.UTF-8"),
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.into()
    }

    /// A command of the shell inside, as a user without a session.
    pub fn as_user(&self, user: &str, command: &str) -> Out {
        self.run_argv(&[
            "runuser",
            "-u",
            user,
            "--",
            "env",
            &format!("HOME=/home/{user}"),
            "sh",
            "-c",
            command,
        ])
    }

    /// Where a path of the lab lies on the host.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.join("root").join(inside.trim_start_matches('/'))
    }

    /// Writes a file inside.
    pub fn write(&self, inside: &str, text: &str, mode: u32) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Reboots in good order; the same files are there afterwards.
    pub fn reboot(&mut self) {
        self.run("systemctl --no-block reboot");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(133), "nspawn says 133 for a reboot");
        self.boot_again();
    }

    /// Cuts the power and boots again.
    pub fn power_cut(&mut self) {
        kill(self.leader);
        self.child.wait().unwrap();
        self.boot_again();
    }

    fn boot_again(&mut self) {
        (self.child, self.leader) = boot(&self.name, &self.folder, &self.setup);
    }

    /// Everything below these folders: type, mode, owner and contents; without what systemd writes by itself.
    pub fn listing(&self, folders: &[&str]) -> BTreeMap<String, String> {
        let mut listing = BTreeMap::new();
        for folder in folders {
            list(&self.folder.join("root"), &self.path(folder), &mut listing);
        }
        listing
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The end of a pid namespace's PID 1 ends everything in it; the end of nspawn would leave it all running.
        kill(self.leader);
        let _ = self.child.wait();
        remove(&self.folder, &self.name);
    }
}

/// Paths that change by themselves: journals and systemd's own stamps.
const CHANGING: [&str; 12] = [
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/timers",
    "/var/lib/systemd/catalog",
    "/var/lib/systemd/timesync",
    "/var/lib/systemd/rfkill",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/deb-systemd-helper-enabled",
    "/var/lib/dbus",
    "/var/lib/private",
    "/etc/machine-id",
    "/etc/resolv.conf",
    "/etc/.updated",
];

fn list(root: &Path, path: &Path, listing: &mut BTreeMap<String, String>) {
    let inside = format!("/{}", path.strip_prefix(root).unwrap().display());
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    if CHANGING.contains(&inside.as_str()) {
        return;
    }
    let contents = if meta.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else if meta.is_file() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        fs::read(path).unwrap_or_default().hash(&mut hasher);
        format!("{:x}", hasher.finish())
    } else {
        String::new()
    };
    listing.insert(
        inside,
        format!("{:o} {}:{} {contents}", meta.mode(), meta.uid(), meta.gid()),
    );
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(root, &entry.unwrap().path(), listing);
        }
    }
}

/// A fresh root filesystem, `root` in a folder of its own; by what it is removed again.
pub(super) fn overlay(name: &str, layers: &[PathBuf]) -> (String, PathBuf) {
    sweep();
    let name = format!("{name}-{}", std::process::id());
    let folder = labs().join(&name);
    for part in ["up", "work", "root"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let base = base();
    let layers: Vec<_> = layers
        .iter()
        .chain([&base])
        .map(|layer| layer.display().to_string())
        .collect();
    let options = format!(
        "lowerdir={},upperdir={1}/up,workdir={1}/work,volatile",
        layers.join(":"),
        folder.display()
    );
    let mounted = Command::new("mount")
        .args(["-t", "overlay", "overlay", "-o", &options])
        .arg(folder.join("root"))
        .status();
    assert!(mounted.unwrap().success(), "the overlay could not be mounted");
    (name, folder)
}

fn labs() -> PathBuf {
    std::env::temp_dir().join("autoglm-boot-labs")
}

fn base() -> PathBuf {
    std::env::var_os("AUTOGLM_BOOT_LAB_BASE").map_or_else(
        || {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/base");
            let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success(), "tests/lab/base failed");
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        },
        PathBuf::from,
    )
}

/// Boots the root, and waits until the machine is up.
fn boot(name: &str, folder: &Path, setup: &Setup) -> (Child, u32) {
    // Its own control groups first: two labs started from one would share them.
    let enter = cgroups(name)
        .iter()
        .filter(|group| setup.has_limits || !is_of_limits(group))
        .map(|group| format!("mkdir -p {0} && echo $$ >{0}/cgroup.procs && ", group.display()))
        .collect::<String>();
    let binds = setup
        .binds
        .iter()
        .map(|bind| format!(" --bind-ro='{bind}'"))
        .collect::<String>();
    let root = folder.join("root");
    let init = if setup.has_limits {
        "--capability=all --system-call-filter=bpf --kill-signal=SIGRTMIN+3 /sbin/lab-init"
    } else {
        "-b"
    };
    let command = format!(
        "{enter} exec setsid systemd-nspawn -q -D '{}' -M {name} --register=no --keep-unit --private-network --console=pipe{binds} {init}",
        root.display()
    );
    let console = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("console"))
        .unwrap();
    let child = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap();
    let mut lab = Booting(Some(child));
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(2) {
        let child = lab.0.as_mut().unwrap();
        if let Some(leader) = leader_of(child.id())
            && is_up(leader)
        {
            return (lab.0.take().unwrap(), leader);
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "nspawn ended: {}",
            console_text(folder)
        );
        sleep(Duration::from_millis(20));
    }
    panic!("the lab did not come up: {}", console_text(folder))
}

/// A root that could not be prepared is removed as well.
struct Unbooted<'a>(&'a Path, &'a str);

impl Drop for Unbooted<'_> {
    fn drop(&mut self) {
        remove(self.0, self.1);
    }
}

/// A lab that does not come up is ended as well.
struct Booting(Option<Child>);

impl Drop for Booting {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        if let Some(leader) = leader_of(child.id()) {
            kill(leader);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn is_up(leader: u32) -> bool {
    let output = Command::new("nsenter")
        .args(["-t", &leader.to_string(), "-a", "--"])
        .args(["systemctl", "is-system-running", "--wait"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    matches!(String::from_utf8_lossy(&output.stdout).trim(), "running" | "degraded")
}

pub(super) fn console_text(folder: &Path) -> String {
    fs::read_to_string(folder.join("console")).unwrap_or_default()
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let split: Vec<_> = HIERARCHIES
        .iter()
        .chain(&OF_LIMITS)
        .map(|h| root.join(h))
        .filter(|h| h.is_dir())
        .collect();
    let roots = if split.is_empty() {
        vec![root.to_path_buf()]
    } else {
        split
    };
    roots.into_iter().map(|h| h.join(format!("lab-{name}"))).collect()
}

/// Whether a control group is in a hierarchy that only labs with limits have a part of.
fn is_of_limits(group: &Path) -> bool {
    OF_LIMITS
        .iter()
        .any(|name| group.starts_with(Path::new("/sys/fs/cgroup").join(name)))
}

/// PID 1 of the lab: the child (of nspawn, or unshare) whose second pid is 1.
pub(super) fn leader_of(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().find_map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let pids: Vec<_> = status
            .lines()
            .find(|line| line.starts_with("NSpid:"))?
            .split_whitespace()
            .collect();
        (pids.len() == 3 && pids[2] == "1")
            .then(|| child.parse().ok())
            .flatten()
    })
}

pub(super) fn kill(pid: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

pub(super) fn remove(folder: &Path, name: &str) {
    let _ = Command::new("umount")
        .arg("-l")
        .arg(folder.join("root"))
        .stderr(Stdio::null())
        .status();
    for group in cgroups(name) {
        for _ in 0..50 {
            let _ = Command::new("find")
                .arg(&group)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                .stderr(Stdio::null())
                .status();
            if !group.exists() {
                break;
            }
            sleep(Duration::from_millis(20));
        }
    }
    let _ = fs::remove_dir_all(folder);
}

/// Removes labs whose test is gone: `NAME-PID`.
fn sweep() {
    let Ok(entries) = fs::read_dir(labs()) else { return };
    for folder in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(pid) = name.rsplit_once('-').and_then(|(_, pid)| pid.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        for group in cgroups(&name) {
            for file in find_procs(&group) {
                fs::read_to_string(file)
                    .unwrap_or_default()
                    .lines()
                    .filter_map(|pid| pid.parse().ok())
                    .for_each(kill);
            }
        }
        remove(&folder, &name);
    }
}

fn find_procs(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else {
        return Vec::new();
    };
    let folders = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir());
    let mut files: Vec<_> = folders.flat_map(|folder| find_procs(&folder)).collect();
    files.push(group.join("cgroup.procs"));
    files
}
