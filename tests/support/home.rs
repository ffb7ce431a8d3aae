//! A user's folders, and the program itself as that user: where nothing but the embedded supervisor keeps apps.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

pub struct Home(tempfile::TempDir);

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::Builder::new().prefix("a b 中文").tempdir().unwrap());
        fs::create_dir(home.path("run")).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, on a machine where no init system runs, or as if.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoglm-boot"));
        command
            .args(args)
            .arg("--user")
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        if args[0] == "install" && Path::new("/run/systemd/system").exists() {
            command.args(["--backend", "embedded"]);
        }
        command
    }

    /// Its exit code, and what it said.
    pub fn ask(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    pub fn run(&self, args: &[&str], code: i32) -> String {
        let (exit, said) = self.ask(args);
        assert_eq!(exit, code, "{args:?}: {said}");
        said
    }

    /// A manifest `NAME.toml`: what is in its `[service]`, and the tables behind it.
    pub fn app(&self, name: &str, service: &str) {
        let text = format!("[app]\nname = \"{name}\"\n[service]\n{service}\n");
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
    }

    /// The same, with a script of the shell as its command.
    pub fn script(&self, name: &str, script: &str, tables: &str) {
        let script = serde_json::to_string(script).unwrap();
        self.app(name, &format!("command = [\"sh\", \"-c\", {script}]\n{tables}"));
    }

    /// What its supervisor has written down of an app.
    pub fn live(&self, name: &str) -> serde_json::Value {
        let text = fs::read_to_string(self.path(&format!("run/autoglm-boot/{name}.json"))).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub fn pid(&self, name: &str) -> Option<u32> {
        u32::try_from(self.live(name)["pid"].as_u64()?).ok()
    }

    /// Whether it is ready, and runs.
    pub fn is_ready(&self, name: &str) -> bool {
        self.live(name)["pulse"]["phase"] == "ready" && self.pid(name).is_some_and(is_there)
    }

    /// The process that keeps an app.
    pub fn supervisor(&self, name: &str) -> u32 {
        parent(self.pid(name).unwrap()).unwrap()
    }

    /// The process that keeps that one.
    pub fn crew(&self, name: &str) -> u32 {
        parent(self.supervisor(name)).unwrap()
    }

    /// What is left of an installation.
    pub fn left(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for folder in ["run", "state"] {
            left.extend(
                fs::read_dir(self.path(folder))
                    .into_iter()
                    .flatten()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        left
    }

    /// Begins a command in the foreground; its output is kept as it comes.
    pub fn begin(&self, args: &[&str]) -> Foreground {
        Foreground::of(self.command(args))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let apps = fs::read_dir(self.path("state/autoglm-boot/apps"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for app in apps {
            let _ = self.command(&["uninstall", &app, "--force", "-q"]).output();
        }
    }
}

/// A command that runs, and what it has said so far.
pub struct Foreground {
    child: Option<Child>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Foreground {
    pub fn of(mut command: Command) -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap();
        drop(command);
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                heard.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            child: Some(child),
            said,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    #[track_caller]
    pub fn says(&self, what: &str) {
        let start = Instant::now();
        while !self.text().contains(what) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what:?} in {}", self.text());
            sleep(Duration::from_millis(10));
        }
    }

    /// How it ended by itself, in good time.
    #[track_caller]
    pub fn status(&mut self) -> ExitStatus {
        let start = Instant::now();
        let child = self.child.as_mut().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "it does not end: {}",
                self.text()
            );
            sleep(Duration::from_millis(10));
        }
    }

    /// Its exit code, after a signal.
    #[track_caller]
    pub fn end(&mut self, signal: &str) -> i32 {
        kill(self.pid(), signal);
        self.status().code().unwrap_or(-1)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let start = Instant::now();
        while ended.is_ok() && start.elapsed() < Duration::from_secs(5) {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit(')').next()?.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

pub fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|(_, parent)| parent)
}

pub fn is_there(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

pub fn processes() -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Children that have ended, and nobody has waited for.
pub fn zombies_of(parent: u32) -> usize {
    let is_one = |pid: &u32| stat(*pid) == Some(('Z', parent));
    processes().into_iter().filter(is_one).count()
}

#[track_caller]
pub fn soon(what: &str, is_so: impl FnMut() -> bool) {
    soon_within(Duration::from_secs(20), what, is_so);
}

#[track_caller]
pub fn soon_within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}");
        sleep(Duration::from_millis(20));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
