//! An app on Windows with a home of its own, and what is asked about processes there.
#![allow(unsafe_code, dead_code, unreachable_pub)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    ptr::{null, null_mut},
    time::{Duration, Instant},
};

use autoglm_boot::platform::{Known, known_folder};
use windows_sys::Win32::{
    Foundation::WAIT_TIMEOUT,
    System::{
        Diagnostics::ToolHelp::{
            CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
        },
        Threading::{OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject},
    },
    UI::WindowsAndMessaging::{FindWindowExW, GetWindowThreadProcessId, PostMessageW},
};

/// An app of this name, and its folder, whose name is hard to quote.
pub struct Home {
    folder: std::rc::Rc<tempfile::TempDir>,
    name: String,
    port: u16,
    scope: &'static str,
    backend: Option<&'static str>,
    program: PathBuf,
}

impl Home {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("a b & 中文 ").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = Self {
            folder: folder.into(),
            name: name.into(),
            port,
            scope: "--user",
            backend: None,
            program: env!("CARGO_BIN_EXE_autoglm-boot").into(),
        };
        fs::copy(example("tree.exe"), home.path("tree.exe")).expect("cargo build --example tree");
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where its app is to answer.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Installed for the machine.
    pub fn of_machine(mut self) -> Self {
        self.scope = "--system";
        self
    }

    /// Installed with this backend, whatever the manifest says.
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.backend = Some(backend);
        self
    }

    /// The same app, with another version of our program.
    pub fn clone_with(&self, program: &Path) -> Self {
        Self {
            folder: self.folder.clone(),
            name: self.name.clone(),
            port: self.port,
            scope: self.scope,
            backend: self.backend,
            program: program.into(),
        }
    }

    /// The tree of three that answers, with these keys of its service, and these tables.
    pub fn manifest(&self, service: &str, tables: &str) {
        let command = format!("['./tree', '{}', 'pids']", self.port);
        let readiness = format!("[readiness]\nhttp = 'http://127.0.0.1:{}/'\n", self.port);
        let restart = if tables.contains("[restart]") {
            ""
        } else {
            "[restart]\ndelay = '100ms'\n"
        };
        self.manifest_of(&command, service, &format!("{readiness}{restart}{tables}"));
    }

    pub fn manifest_of(&self, command: &str, service: &str, tables: &str) {
        let text = format!(
            "[app]\nname = '{}'\n[service]\ncommand = {command}\nstop_timeout = '500ms'\n{service}\n{tables}\n",
            self.name
        );
        fs::write(self.path("app.toml"), text).unwrap();
    }

    /// In its scope.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(backend) = self.backend.filter(|_| args[0] == "install") {
            command.args(["install", "--backend", backend]).args(&args[1..]);
        } else {
            command.args(args);
        }
        command
            .arg(self.scope)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn run(&self, args: &[&str], code: i32) -> String {
        let (status, said) = ended(&mut self.command(args));
        assert_eq!(status, code, "{args:?}: {said}");
        said
    }

    pub fn status(&self) -> i32 {
        ended(&mut self.command(&["status"])).0
    }

    pub fn answers(&self) -> bool {
        self.asked("").is_ok()
    }

    #[track_caller]
    pub fn ask(&self, path: &str) -> String {
        self.asked(path).unwrap()
    }

    /// Makes its first process end with status 3.
    pub fn crash(&self) {
        let _ = self.asked("crash"); // it does not answer any more
    }

    fn asked(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (_, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| std::io::Error::other("no answer"))?;
        Ok(body.to_owned())
    }

    /// The processes of the app that run, the first one first.
    pub fn tree(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
        let pids = text.lines().map(|line| line.parse().unwrap());
        pids.filter(|&pid| is_alive(pid)).collect()
    }
}

/// Another user of Wine: a profile of its own. Its SID is ours, so that it may do what we may.
pub struct Other {
    profile: PathBuf,
    prefix: String,
}

impl Other {
    /// None on a real Windows.
    pub fn new(name: &str) -> Option<Self> {
        let prefix = std::env::var("WINECONFIGDIR").ok()?;
        let prefix = prefix.replace(r"\??\Z:", "").replace('\\', "/");
        let profile = PathBuf::from(r"C:\users").join(name);
        for folder in [
            r"AppData\Local",
            r"AppData\Roaming\Microsoft\Windows\Start Menu\Programs\Startup",
        ] {
            fs::create_dir_all(profile.join(folder)).unwrap();
        }
        Some(Self { profile, prefix })
    }

    /// Where its records lie.
    pub fn records(&self) -> PathBuf {
        self.profile.join(r"AppData\Local\autoglm-boot")
    }

    /// Runs our program as this user.
    #[track_caller]
    pub fn run(&self, args: &[&str], code: i32) -> String {
        let name = self.profile.file_name().unwrap().to_str().unwrap();
        let folder = format!("{}/drive_c/users/{name}", self.prefix);
        let script = format!(
            "cd / && WINEPREFIX='{}' USER={name} wine '{}' {} >'{folder}/said' 2>&1 </dev/null; echo $? >'{folder}/new'; mv '{folder}/new' '{folder}/code'\n",
            self.prefix,
            env!("CARGO_BIN_EXE_autoglm-boot"),
            args.join(" ")
        );
        fs::write(self.profile.join("run.sh"), script).unwrap();
        let words = ["/d", "/c", "start", "/wait", "/unix", "/bin/sh"];
        let run = Command::new("cmd").args(words).arg(format!("{folder}/run.sh")).status();
        assert!(run.unwrap().success());
        let end = self.profile.join("code");
        soon("it has ended", || end.exists()); // Wine does not always wait for it
        let said = String::from_utf8_lossy(&fs::read(self.profile.join("said")).unwrap()).into_owned();
        let ended: i32 = fs::read_to_string(&end).unwrap().trim().parse().unwrap();
        fs::remove_file(end).unwrap();
        assert_eq!(ended, code, "{args:?}: {said}");
        said
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Where the user's records lie.
pub fn records() -> PathBuf {
    known_folder(Known::LocalAppData).unwrap().join("autoglm-boot")
}

/// What is left of all installations.
pub fn left() -> Vec<PathBuf> {
    all_below(&records())
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command(&["uninstall", &self.name, "--force", "-q"]).output();
    }
}

/// How it ended, and what it said.
pub fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

/// A folder that is there, and everything below it.
pub fn all_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = vec![folder.to_path_buf()];
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A program that is built for the tests.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples").join(name)
}

#[track_caller]
pub fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process runs: one that has ended may still be there, but is signalled.
pub fn is_alive(pid: u32) -> bool {
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

pub fn kill(pid: u32) {
    // SAFETY: the handle is ours.
    unsafe {
        let handle = OpenProcess(PROCESS_TERMINATE, 0, pid);
        assert!(!handle.is_null(), "{pid} runs");
        let handle = OwnedHandle::from_raw_handle(handle);
        assert_ne!(TerminateProcess(handle.as_raw_handle(), 1), 0);
    }
}

/// Posts a message to the window of a supervisor.
pub fn post(pid: u32, message: u32, first: usize) {
    let class: Vec<u16> = "autoglm-boot\0".encode_utf16().collect();
    let (mut window, mut owner, nobody) = (null_mut(), 0, null_mut());
    // SAFETY: the name ends with a zero; the number is ours.
    unsafe {
        while owner != pid {
            window = FindWindowExW(nobody, window, class.as_ptr(), null());
            assert!(!window.is_null(), "{pid} has a window");
            GetWindowThreadProcessId(window, &raw mut owner);
        }
        assert_ne!(PostMessageW(window, message, first, 0), 0);
    }
}

/// Whoever started a process.
pub fn parent(pid: u32) -> u32 {
    let mut entry = PROCESSENTRY32W {
        dwSize: u32::try_from(size_of::<PROCESSENTRY32W>()).unwrap(),
        ..PROCESSENTRY32W::default()
    };
    // SAFETY: the snapshot is ours, and the entry says its own size.
    unsafe {
        let snapshot = OwnedHandle::from_raw_handle(CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0));
        let mut more = Process32FirstW(snapshot.as_raw_handle(), &raw mut entry);
        while more != 0 {
            if entry.th32ProcessID == pid {
                return entry.th32ParentProcessID;
            }
            more = Process32NextW(snapshot.as_raw_handle(), &raw mut entry);
        }
    }
    panic!("{pid} is not there");
}
