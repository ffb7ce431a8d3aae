//! A container as others make them: a root filesystem of its own, built by a recipe, and its command as PID 1; no init system.
//! The recipe's base is that of the labs; of its stages only the last is built, with the program under test.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::lab::{self, Out, binaries};

const PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// What a container engine does before it starts the command: `$0` is the root, `$@` the command.
const ENTER: &str = "set -e; ip link set lo up; mount -t proc proc \"$0/proc\"; mount -t tmpfs dev \"$0/dev\"; \
    for node in null zero full random urandom tty; do : >\"$0/dev/$node\"; mount --bind /dev/$node \"$0/dev/$node\"; done; \
    ln -s /proc/self/fd \"$0/dev/fd\"; mkdir \"$0/dev/shm\"; exec chroot \"$0\" env -i PATH=\"$PATH\" HOME=/root \"$@\"";

pub struct Container {
    name: String,
    folder: PathBuf,
    recipe: Recipe,
    running: Option<(Child, u32)>,
}

/// The last stage of a Dockerfile.
#[derive(Debug, Default)]
struct Recipe {
    /// What changes the root, in order: an instruction and what it is given.
    steps: Vec<(String, String)>,
    command: Vec<String>,
    health: String,
}

impl Container {
    /// Builds the root; `recipe` lies within the repository.
    pub fn built(name: &str, recipe: &str) -> Self {
        let text = fs::read_to_string(repository().join(recipe)).unwrap();
        let (name, folder) = lab::overlay(name, &[]);
        let container = Self {
            name,
            folder,
            recipe: Recipe::read(&text),
            running: None,
        };
        for (instruction, rest) in &container.recipe.steps {
            match instruction.as_str() {
                "COPY" => container.copy(rest),
                _ => container.do_inside(rest),
            }
        }
        container
    }

    fn copy(&self, rest: &str) {
        let mut words: Vec<_> = rest.split_whitespace().collect();
        let is_built = words[0].starts_with("--from=");
        words.retain(|word| !word.starts_with("--"));
        let to = self.path(words.pop().unwrap());
        fs::create_dir_all(&to).unwrap();
        for from in words.into_iter().map(Path::new) {
            let name = from.file_name().unwrap();
            let from = if is_built {
                binaries().0.join(name)
            } else {
                repository().join(from)
            };
            fs::copy(from, to.join(name)).unwrap();
        }
    }

    fn do_inside(&self, command: &str) {
        let words = ["sh", "-c", command].map(String::from);
        let out: Out = self.command(&words).output().unwrap().into();
        out.expect(0);
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--kill-child", "--fork"])
            .args(["--pid", "--mount", "--net", "--uts", "--ipc", "sh", "-c", ENTER])
            .arg(self.path("/"))
            .args(words)
            .env_clear()
            .env(PATH.0, PATH.1)
            .stdin(Stdio::null());
        command
    }

    /// Starts its command.
    pub fn start(&mut self) {
        let mut console = fs::OpenOptions::new();
        let console = console
            .create(true)
            .append(true)
            .open(self.folder.join("console"))
            .unwrap();
        let mut command = self.command(&self.recipe.command);
        command.stdout(console.try_clone().unwrap()).stderr(console);
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        let leader = loop {
            // PID 1 has become the command when it does not lie outside of the root any more.
            let leader = lab::leader_of(child.id());
            if let Some(leader) = leader.filter(|leader| {
                fs::read_link(format!("/proc/{leader}/exe")).is_ok_and(|exe| exe.ends_with("autoglm-boot"))
            }) {
                break leader;
            }
            let has_ended = child.try_wait().unwrap();
            assert!(
                has_ended.is_none() && start.elapsed() < Duration::from_secs(20),
                "{has_ended:?}: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        self.running = Some((child, leader));
    }

    /// A command of the shell inside, as root, beside what runs there: as `docker exec`.
    pub fn run(&self, command: &str) -> Out {
        let (_, leader) = self.running.as_ref().unwrap();
        let output = Command::new("nsenter")
            .args(["-t", &leader.to_string(), "-a", "-r", "-w", "--", "sh", "-c", command])
            .env_clear()
            .envs([PATH, ("HOME", "/root")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.into()
    }

    /// The command that says whether it is well.
    pub fn health(&self) -> i32 {
        self.run(&self.recipe.health).code
    }

    /// Sends a signal to PID 1; how its command ended, and after how long.
    pub fn end(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let (mut child, leader) = self.running.take().unwrap();
        let start = Instant::now();
        super::home::kill(leader, signal);
        let status = child.wait().unwrap();
        (status.code(), start.elapsed())
    }

    /// How its command ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        let (mut child, _) = self.running.take().unwrap();
        child.wait().unwrap().code()
    }

    /// What was said since it was built.
    pub fn said(&self) -> String {
        lab::console_text(&self.folder)
    }

    /// Where a path of it lies outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.join("root").join(inside.trim_start_matches('/'))
    }

    /// Writes a file inside.
    pub fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some((mut child, leader)) = self.running.take() {
            lab::kill(leader);
            let _ = child.wait();
        }
        lab::remove(&self.folder, &self.name);
    }
}

impl Recipe {
    fn read(text: &str) -> Self {
        let mut recipe = Self::default();
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
        for line in text.lines().map(str::trim).filter(is_said) {
            let (instruction, rest) = line.split_once(' ').unwrap();
            match instruction {
                "FROM" => recipe = Self::default(),
                "COPY" | "RUN" => recipe.steps.push((instruction.into(), rest.into())),
                "CMD" => recipe.command = serde_json::from_str(rest).unwrap(),
                "HEALTHCHECK" => recipe.health = rest.split_once("CMD ").unwrap().1.into(),
                "WORKDIR" if recipe.steps.is_empty() => {} // of the stage that builds the program
                "EXPOSE" => {}
                _ => panic!("not understood: {line}"),
            }
        }
        recipe
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
