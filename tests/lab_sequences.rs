//! Random sequences of verbs and faults on a real systemd, against a small model of what should be there after each.
//! The same sequences each time, so that a failure is the change's; `SEQUENCES_SEED=N` tries others.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use support::{faulty, lab::Lab};

const SEQUENCES: usize = 200;
const VERBS: usize = 5;
/// `exec`: a start that has ended has executed the program, which the comparison reads.
const FOREIGN: &str = "[Service]\nType=exec\nExecStart=/usr/bin/sleep 900\n[Install]\nWantedBy=multi-user.target\n";

/// Run by the lab inside of it: the program, with a fault.
#[test]
fn inside_of_a_lab() {
    faulty::inside();
}

/// What should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    /// The argument of the installed app's command.
    installed: Option<u32>,
    /// Its earlier versions that are kept, the oldest first, and itself.
    history: Vec<u32>,
    /// Whether it runs.
    active: bool,
    /// Whether a unit of somebody else's is there, or was before ours.
    foreign: bool,
}

impl Model {
    fn install(&mut self, version: u32) {
        if self.installed != Some(version) {
            self.history.push(version);
            let surplus = self.history.len().saturating_sub(3);
            self.history.drain(..surplus);
        }
        self.installed = Some(version);
        self.active = true;
    }

    fn uninstall(&mut self) {
        self.installed = None;
        self.history.clear();
        self.active = self.foreign;
    }

    /// The argument of the command that should run.
    fn running(&self) -> Option<u32> {
        let foreign = self.foreign.then_some(900);
        self.installed.or(foreign).filter(|_| self.active)
    }
}

/// What is there.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    installed: Option<u32>,
    running: Option<u32>,
    is_enabled: bool,
    status: u8,
    versions: usize,
    has_records: bool,
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn version(&mut self) -> u32 {
        101 + u32::try_from(self.below(3)).unwrap()
    }
}

struct Scene<'a> {
    lab: &'a Lab,
    random: Random,
    model: Model,
    /// What was done, for the message of a failure.
    done: Vec<String>,
}

#[test]
fn two_hundred_random_sequences_of_verbs_and_faults_end_as_they_should() {
    let seed: u64 = std::env::var("SEQUENCES_SEED").map_or(979_917_497, |seed| seed.parse().unwrap());
    println!("SEQUENCES_SEED={seed}");
    let lab = faulty::lab("sequences");
    for version in 101..=103 {
        let text = format!(
            "[app]\nname = \"app\"\n[service]\ncommand = [\"sleep\", \"{version}\"]\n[readiness]\nsettle = \"20ms\"\n"
        );
        lab.write(&format!("/srv/{version}.toml"), &text, 0o644);
    }
    lab.write(
        "/srv/bad.toml",
        "[app]\nname = \"app\"\n[service]\ncommand = [\"false\"]\n",
        0o644,
    );
    // Another one, which fails with it, or alone.
    lab.write(
        "/srv/ends.toml",
        "[app]\nname = \"ends\"\n[service]\ncommand = [\"false\"]\n",
        0o644,
    );
    let clean = lab.listing(&["/etc", "/var/lib"]);
    let mut scene = Scene {
        lab: &lab,
        random: Random(seed),
        model: Model {
            installed: None,
            history: Vec::new(),
            active: false,
            foreign: false,
        },
        done: Vec::new(),
    };
    for _ in 0..SEQUENCES {
        for _ in 0..VERBS {
            scene.act();
            scene.compare();
        }
        scene.sweep();
        scene.done.clear();
    }
    // What a kill before the first note leaves is an empty folder with a lock: it goes with the next run.
    lab.run("autoglm-boot install -q -m /srv/101.toml && autoglm-boot uninstall -q app")
        .expect(0);
    assert_eq!(lab.listing(&["/etc", "/var/lib"]), clean);
}

impl Scene<'_> {
    fn run(&mut self, args: &str, code: i32) {
        self.done.push(args.into());
        let out = self.lab.run(&format!("autoglm-boot {args}"));
        assert_eq!(out.code, code, "{:#?}\n{}{}", self.done, out.stdout, out.stderr);
    }

    /// One verb, or one thing that a user does.
    fn act(&mut self) {
        let version = self.random.version();
        let install = format!("install -q -m /srv/{version}.toml");
        let is_ours = self.model.installed.is_some();
        match self.random.below(12) {
            0..=2 if self.model.foreign && !is_ours => {
                self.run(&install, 1);
                self.run(&format!("{install} --adopt"), 0);
                self.model.install(version);
            }
            0..=2 => {
                self.run(&install, 0);
                self.model.install(version);
            }
            3 if self.random.below(3) == 0 => self.run("install -q -m /srv/bad.toml", 1),
            3 if self.model.foreign && !is_ours || self.random.below(2) == 0 => {
                self.run(&format!("{install} -m /srv/ends.toml"), 1);
            }
            3 => {
                self.run(&format!("{install} -m /srv/ends.toml --keep-going"), 1);
                self.model.install(version);
            }
            4 => {
                self.run("uninstall -q app", if is_ours { 0 } else { 4 });
                if is_ours {
                    self.model.uninstall();
                }
            }
            5 if is_ours => {
                self.run("stop -q app", 0);
                self.model.active = false;
            }
            6 if is_ours => {
                self.run("restart -q app", 0);
                self.model.active = true;
            }
            7 if is_ours => match self.model.history.len().checked_sub(2).map(|at| self.model.history[at]) {
                Some(earlier) => {
                    self.run("rollback -q app", 0);
                    self.model.install(earlier);
                }
                None => self.run("rollback -q app", 2),
            },
            8 if !is_ours && !self.model.foreign => {
                self.done.push("a unit by hand".into());
                self.lab.write("/etc/systemd/system/app.service", FOREIGN, 0o644);
                self.lab
                    .run("systemctl daemon-reload && systemctl enable -q --now app")
                    .expect(0);
                (self.model.foreign, self.model.active) = (true, true);
            }
            9.. if !self.model.foreign || is_ours => self.fault(version),
            _ => {}
        }
    }

    /// An install, a rollback or an uninstall with a fault at some effect: afterwards all is old, or all is new.
    fn fault(&mut self, version: u32) {
        let kind = ["fail", "kill-before", "kill-after"][usize::try_from(self.random.below(3)).unwrap()];
        let fault = format!("{kind} {}", self.random.below(55));
        let mut new = self.model.clone();
        let args = if self.model.installed.is_some() && self.random.below(3) == 0 {
            new.uninstall();
            "uninstall -q app".to_owned()
        } else {
            new.install(version);
            format!("install -q -m /srv/{version}.toml")
        };
        self.done.push(format!("{fault}: {args}"));
        let (exit, _) = faulty::run(self.lab, &fault, &args);
        // Killed, or its undo was, or it could not remove its journal in the end: the next run sees to it.
        let code = self.lab.run("autoglm-boot uninstall -q no-such-app").code;
        assert_eq!(code, 4, "{:#?}", self.done);
        let is_new = self.seen().installed == new.installed;
        match exit {
            Some(0) => self.model = new,
            Some(1) => {}
            _ if is_new => self.model = new,
            _ => {}
        }
    }

    /// What is there, asked in one go: the installed version, the running one, and more.
    fn seen(&self) -> Seen {
        let command = "cat /var/lib/autoglm-boot/apps/app/installed.json; echo @@
            p=$(systemctl show -P MainPID app); [ $p = 0 ] || tr '\\0' ' ' </proc/$p/cmdline; echo @@
            systemctl is-enabled app; echo @@
            autoglm-boot status app >/dev/null; echo $? @@
            autoglm-boot history app --json; echo @@
            ls /var/lib/autoglm-boot/apps/app >/dev/null; echo $?";
        let said = self.lab.run(command).stdout;
        let [service, running, enabled, status, history, records] = said.split("@@").collect::<Vec<_>>()[..] else {
            panic!("{said}")
        };
        let service: serde_json::Value = serde_json::from_str(service).unwrap_or_default();
        let history: serde_json::Value = serde_json::from_str(history).unwrap();
        Seen {
            installed: service["service"]["command"][1]
                .as_str()
                .map(|argument| argument.parse().unwrap()),
            running: running
                .split_whitespace()
                .last()
                .map(|argument| argument.parse().unwrap()),
            is_enabled: enabled.trim() == "enabled",
            status: status.trim().parse().unwrap(),
            versions: history["versions"].as_array().map_or(0, Vec::len),
            has_records: records.trim() == "0",
        }
    }

    fn compare(&self) {
        let model = &self.model;
        let expected = Seen {
            installed: model.installed,
            running: model.running(),
            is_enabled: model.installed.is_some() || model.foreign,
            status: match (model.installed, model.active) {
                (None, _) => 4,
                (_, true) => 0,
                (_, false) => 3,
            },
            versions: model.history.len(),
            has_records: model.installed.is_some(),
        };
        assert_eq!(self.seen(), expected, "{:#?}", self.done);
    }

    /// Everything away again.
    fn sweep(&mut self) {
        if self.model.installed.is_some() {
            self.run("uninstall -q app", 0);
            self.model.uninstall();
            self.compare();
        }
        if self.model.foreign {
            let command = "systemctl disable -q --now app; rm /etc/systemd/system/app.service; systemctl daemon-reload";
            self.lab.run(command).expect(0);
            (self.model.foreign, self.model.active) = (false, false);
        }
    }
}
