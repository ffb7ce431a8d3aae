//! A thousand restarts: what keeps an app for months gives back all that a run of it needs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{fs, net::TcpListener, thread::sleep, time::Duration};

use support::home::{Home, is_there, parent, processes, soon_within, zombies_of};

const TIMES: u64 = 1000;
/// KiB that may be more: the last 64 KiB of what is passed through are kept, and what is freed is not given back at once. A leak of
/// half a KiB for each restart would be twice as much.
const SLACK: u64 = 256;
const AT_ONCE: &str = "[restart]\ndelay = \"1ms\"\nmax_delay = \"1ms\"\nmax_attempts = 0\n";

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// KiB of memory of its own.
    memory: u64,
    descriptors: usize,
    threads: usize,
    zombies: usize,
    children: usize,
}

impl Held {
    /// The least of some looks: what a run needs while it lasts is no leak.
    fn by(pid: u32) -> Self {
        let looks = (0..40).map(|_| {
            sleep(Duration::from_millis(7));
            Self::now(pid)
        });
        let least = |one: Self, other: Self| Self {
            memory: one.memory.min(other.memory),
            descriptors: one.descriptors.min(other.descriptors),
            threads: one.threads.min(other.threads),
            zombies: one.zombies.min(other.zombies),
            children: one.children.min(other.children),
        };
        looks.reduce(least).unwrap()
    }

    fn now(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        Self {
            memory: memory.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: count("fd"),
            threads: count("task"),
            zombies: zombies_of(pid),
            children: processes()
                .into_iter()
                .filter(|&child| parent(child) == Some(pid))
                .count(),
        }
    }
}

/// Lets the app end a thousand times, and looks what these processes hold before and after.
fn restart(home: &Home, keepers: &[u32]) {
    let restarts = || home.live("app")["restarts"].as_u64().unwrap_or(0);
    let limit = Duration::from_secs(100);
    soon_within(limit, "it is restarted", || restarts() > 100);
    let (first, before): (_, Vec<_>) = (restarts(), keepers.iter().map(|&pid| Held::by(pid)).collect());
    soon_within(limit, "it is restarted a thousand times", || restarts() > first + TIMES);
    for (&pid, before) in keepers.iter().zip(before) {
        let after = Held::by(pid);
        assert!(is_there(pid));
        assert!(after.memory <= before.memory + SLACK, "{before:?}, then {after:?}");
        assert!(
            after.descriptors <= before.descriptors + 1,
            "{before:?}, then {after:?}"
        );
        assert!(after.threads <= before.threads, "{before:?}, then {after:?}");
        assert!(
            after.zombies == 0 && after.children <= before.children + 1,
            "{before:?}, then {after:?}"
        );
    }
}

/// The processes that run our program with these words in these folders; a child of one is about to become the app.
fn keepers(home: &Home, words: &[&str]) -> Vec<u32> {
    let mark = home.path("run").display().to_string();
    let is_one = |pid: &u32| {
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        environment.contains(&mark) && words.iter().all(|word| command.split('\0').any(|part| part == *word))
    };
    let found: Vec<_> = processes().into_iter().filter(is_one).collect();
    let is_childs = |pid: &u32| parent(*pid).is_some_and(|parent| found.contains(&parent));
    found.iter().copied().filter(|pid| !is_childs(pid)).collect()
}

#[test]
fn a_thousand_restarts_of_the_smallest_app_leak_nothing() {
    let home = Home::new();
    home.app("app", &format!("command = [\"false\"]\n{AT_ONCE}"));
    home.run(&["install", "--no-wait"], 0);
    let keepers = keepers(&home, &["serve", "app"]);
    assert_eq!(keepers.len(), 1);
    restart(&home, &keepers);
}

#[test]
fn a_thousand_restarts_of_one_that_needs_all_there_is_leak_nothing() {
    let home = Home::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || server.incoming().for_each(drop));
    // It waits for others, prepares, is asked, says a line, and leaves a child behind that left its session.
    home.script(
        "app",
        "echo a line; (setsid sleep 1000 >/dev/null 2>&1 &); sleep 0.01; exit 3",
        &format!(
            "pre_start = [[\"true\"]]\n{AT_ONCE}[dependencies]\nwait_for = [\"tcp://127.0.0.1:{port}\"]\n\
             [readiness]\ncommand = [\"true\"]\ninterval = \"1ms\"\n[health]\ntcp = \"127.0.0.1:{port}\"\ninterval = \"1ms\"\n\
             [logging]\nmax_size = \"4Ki\"\nmax_files = 2\n"
        ),
    );
    home.run(&["install", "--no-wait"], 0);
    let keepers = keepers(&home, &["serve", "app"]);
    assert_eq!(keepers.len(), 1);
    restart(&home, &keepers);
}

#[test]
fn a_thousand_restarts_of_one_of_a_crew_leak_nothing() {
    let home = Home::new();
    home.app("app", &format!("command = [\"false\"]\n{AT_ONCE}"));
    home.script("other", "exec sleep 1000", "[readiness]\nsettle = \"10ms\"");
    let mut crew = home.begin(&["run", "-q", "-m", "app.toml", "-m", "other.toml"]);
    let manifest = home.path("app.toml").display().to_string();
    let keeper = || keepers(&home, &["--among", &manifest]);
    soon_within(Duration::from_secs(20), "it is kept", || !keeper().is_empty());
    restart(&home, &[keeper(), vec![crew.pid()]].concat());
    assert_eq!(crew.end("-TERM"), 0, "{}", crew.text());
}
