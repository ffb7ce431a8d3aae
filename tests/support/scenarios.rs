//! What health, readiness and dependencies promise: one table, run under whatever keeps the apps.

use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// What keeps the apps, and where they lie.
pub trait Hand: Sync {
    /// Runs the program; its exit code, and what it said.
    fn run(&self, args: &[&str]) -> (i32, String);
    /// A folder for one app, empty: as the test sees it, and as the program does.
    fn folder(&self, name: &str) -> (PathBuf, PathBuf);
    /// A port that nobody else has.
    fn port(&self) -> u16;
    /// What the journal or the log says of an app.
    fn log(&self, name: &str) -> String;
}

/// What is promised of an app.
pub type Scenario = fn(&Patient);

/// The scenarios by name.
const TOGETHER: [(&str, Scenario); 10] = [
    ("turns-500", |app| is_restarted_when(app, "500")),
    ("hangs", |app| is_restarted_when(app, "hang")),
    ("wrong-body", |app| is_restarted_when(app, "body")),
    ("closes-its-port", |app| is_restarted_when(app, "close")),
    ("slow-starter", a_slow_starter_is_left_alone),
    ("on-failure", sick_is_a_failure_also_where_the_process_would_end_cleanly),
    ("only-told", with_action_none_it_is_only_told),
    ("command", a_command_is_asked_as_the_app),
    ("dependant", a_dependant_starts_when_its_dependency_is_ready),
    ("in-vain", a_dependant_whose_dependency_does_not_come_is_told),
];

/// Of these the restarts are counted. systemd forgets its count of starts when it reloads, which others here make it do.
const ALONE: [(&str, Scenario); 2] = [
    ("flapping", a_flapping_one_ends_failed_after_its_budget),
    ("never-ready", one_that_is_never_ready_ends_failed),
];

/// Runs all of them, each with an app of its own.
pub fn run_all(hand: &dyn Hand) {
    run(hand, &TOGETHER);
    for scenario in ALONE {
        run(hand, &[scenario]);
    }
}

/// Runs some at once; which of them failed.
fn run(hand: &dyn Hand, scenarios: &[(&'static str, Scenario)]) {
    let failed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = scenarios
            .iter()
            .map(|(name, scenario)| (name, scope.spawn(move || scenario(&Patient::new(hand, name)))))
            .collect();
        threads
            .into_iter()
            .filter_map(|(name, thread)| thread.join().is_err().then_some(*name))
            .collect()
    });
    assert!(failed.is_empty(), "these failed: {failed:?} (see above why)");
}

/// An app whose health can be told.
pub struct Patient<'a> {
    hand: &'a dyn Hand,
    name: String,
    port: u16,
    folder: PathBuf,
    inside: PathBuf,
}

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        self.hand.run(&["uninstall", &self.name, "-q", "--force"]);
    }
}

impl<'a> Patient<'a> {
    pub fn new(hand: &'a dyn Hand, name: &str) -> Self {
        let (folder, inside) = hand.folder(name);
        std::fs::write(folder.join("patient.py"), include_str!("patient.py")).unwrap();
        Self {
            hand,
            name: name.into(),
            port: hand.port(),
            folder,
            inside,
        }
    }

    fn manifest(&self, arguments: &str, service: &str, tables: &str) {
        let (name, port) = (&self.name, self.port);
        let arguments: String = arguments
            .split_whitespace()
            .map(|word| format!(", \"{word}\""))
            .collect();
        let text = format!(
            "[app]\nname = \"{name}\"\n[service]\ncommand = [\"python3\", \"patient.py\", \"{port}\"{arguments}]\n{service}\n{}",
            tables.replace("PORT", &port.to_string())
        );
        std::fs::write(self.folder.join("app.toml"), text).unwrap();
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> String {
        let (exit, said) = self.hand.run(args);
        assert_eq!(exit, code, "{}: {args:?}: {said}", self.name);
        said
    }

    #[track_caller]
    fn install(&self) -> String {
        let manifest = self.inside.join("app.toml");
        self.run(&["install", "-m", manifest.to_str().unwrap()], 0)
    }

    fn status(&self) -> serde_json::Value {
        let (_, said) = self.hand.run(&["status", &self.name, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        answer["apps"][0].clone()
    }

    fn state(&self) -> String {
        self.status()["state"].as_str().unwrap_or_default().to_owned()
    }

    fn pid(&self) -> Option<u64> {
        self.status()["pid"].as_u64()
    }

    /// When it was started or ready, in seconds of the monotonic clock, a number for each time.
    fn times(&self, what: &str) -> Vec<f64> {
        let text = std::fs::read_to_string(self.folder.join("starts")).unwrap_or_default();
        let of_it = text.lines().filter_map(|line| line.strip_prefix(what));
        of_it.map(|time| time.trim().parse().unwrap()).collect()
    }

    #[track_caller]
    fn soon(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < limit,
                "{}: {what} within {limit:?}: {}\n{}",
                self.name,
                self.status(),
                self.hand.log(&self.name)
            );
            sleep(Duration::from_millis(50));
        }
        start.elapsed()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HEALTH: &str = "[health]\nhttp = \"http://127.0.0.1:PORT/\"\nexpect_body = \"well\"\ninterval = \"1s\"\n\
                      timeout = \"1s\"\nretries = 2\n[restart]\ndelay = \"100ms\"\n";

fn is_restarted_when(app: &Patient, mode: &str) {
    app.manifest("", "", HEALTH);
    let said = app.install();
    assert!(said.contains("installed and ready"), "{said}");
    assert_eq!(app.state(), "ready");
    let first = app.pid().unwrap();
    std::fs::write(app.folder.join("mode"), mode).unwrap();
    // retries × (interval + timeout) + 2 s
    app.soon("it is restarted", 2 * (SECOND + SECOND) + 2 * SECOND, || {
        app.pid().is_some_and(|pid| pid != first)
    });
    app.soon("it is ready again", 5 * SECOND, || app.state() == "ready");
    let status = app.status();
    assert_eq!(status["restarts"], 1, "{status}");
    let why = status["ended_for"].as_str().unwrap_or_default();
    assert!(why.starts_with("unhealthy, "), "{status}");
    let log = app.hand.log(&app.name);
    assert!(log.contains(why), "the reason is in its journal: {why}\n{log}");
}

fn a_slow_starter_is_left_alone(app: &Patient) {
    app.manifest("--delay 60", "start_timeout = \"3m\"", HEALTH);
    app.install();
    assert_eq!(app.state(), "ready");
    assert_eq!(app.times("started").len(), 1, "it was started once");
    let waited = app.times("ready")[0] - app.times("started")[0];
    assert!(waited > 59.0, "{waited}");
}

fn a_flapping_one_ends_failed_after_its_budget(app: &Patient) {
    let health = HEALTH
        .replace("interval = \"1s\"", "interval = \"300ms\"")
        .replace("retries = 2", "retries = 1");
    app.manifest("--sick-after 1", "", &(health + "max_attempts = 2\n"));
    app.install();
    app.soon("it is given up", 30 * SECOND, || app.state() == "failed");
    assert_eq!(app.times("started").len(), 3, "the first start, and two restarts");
    app.run(&["status", &app.name], 3);
    sleep(2 * SECOND);
    assert_eq!(app.times("started").len(), 3, "nobody starts it again");
    // A start by hand begins a new count.
    app.run(&["start", &app.name], 0);
    app.soon("it is given up again", 30 * SECOND, || app.state() == "failed");
    assert_eq!(app.times("started").len(), 6);
}

fn one_that_is_never_ready_ends_failed(app: &Patient) {
    let tables = HEALTH.to_owned() + "max_attempts = 1\n";
    app.manifest("--delay 1000", "start_timeout = \"4s\"", &tables);
    let manifest = app.inside.join("app.toml");
    app.run(&["install", "-m", manifest.to_str().unwrap(), "--no-wait"], 0);
    app.soon("it is given up", 20 * SECOND, || app.state() == "failed");
    assert_eq!(app.times("started").len(), 2);
    let status = app.status();
    let log = app.hand.log(&app.name);
    assert!(log.contains("not ready within 4s"), "{status}\n{log}");
}

fn sick_is_a_failure_also_where_the_process_would_end_cleanly(app: &Patient) {
    let health = HEALTH.replace("delay", "policy = \"on-failure\"\ndelay");
    app.manifest("", "", &health);
    app.install();
    let first = app.pid().unwrap();
    std::fs::write(app.folder.join("mode"), "500").unwrap();
    app.soon("it is restarted", 8 * SECOND, || {
        app.pid().is_some_and(|pid| pid != first)
    });
}

fn with_action_none_it_is_only_told(app: &Patient) {
    app.manifest("", "", &HEALTH.replace("retries = 2", "retries = 2\naction = \"none\""));
    app.install();
    let first = app.pid();
    std::fs::write(app.folder.join("mode"), "500").unwrap();
    app.soon("it is unhealthy", 6 * SECOND, || app.state() == "unhealthy");
    app.run(&["status", &app.name], 7);
    sleep(3 * SECOND);
    assert_eq!(app.pid(), first, "and left alone");
    let log = app.hand.log(&app.name);
    assert_eq!(log.matches("nothing is done about it").count(), 1, "told once: {log}");
    std::fs::remove_file(app.folder.join("mode")).unwrap();
    app.soon("it is well again", 4 * SECOND, || app.state() == "ready");
    assert!(app.hand.log(&app.name).contains("well again"));
}

fn a_command_is_asked_as_the_app(app: &Patient) {
    let script = app.folder.join("is-well");
    std::fs::write(
        &script,
        "#!/bin/sh\nid -u >asked-as; echo \"$MARK\" >>asked-as; pwd >>asked-as; test ! -e mode\n",
    )
    .unwrap();
    executable(&script);
    let health = HEALTH.replace(
        "http = \"http://127.0.0.1:PORT/\"\nexpect_body = \"well\"",
        "command = [\"./is-well\"]",
    );
    app.manifest("", "environment = { MARK = \"of the app\" }", &health);
    app.install();
    app.soon("it has begun", 5 * SECOND, || !app.times("ready").is_empty());
    let asked = std::fs::read_to_string(app.folder.join("asked-as")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&app.folder).unwrap());
    assert_eq!(asked, format!("{owner}\nof the app\n{}\n", app.inside.display()));
    let first = app.pid().unwrap();
    std::fs::write(app.folder.join("mode"), "x").unwrap();
    app.soon("it is restarted", 8 * SECOND, || {
        app.pid().is_some_and(|pid| pid != first)
    });
    app.soon("it is well", 5 * SECOND, || {
        app.hand.run(&["probe", &app.name, "--wait"]).0 == 0
    });
}

fn a_dependant_starts_when_its_dependency_is_ready(app: &Patient) {
    // It fails first, and then needs its time.
    app.manifest("--fails 1 --delay 3", "", HEALTH);
    let dependant = Patient::new(app.hand, &format!("{}-of-it", app.name));
    dependant.manifest(
        "",
        "",
        &format!("[dependencies]\nrequires = [\"{}\"]\n{HEALTH}", app.name),
    );
    let (one, other) = (app.inside.join("app.toml"), dependant.inside.join("app.toml"));
    let args = ["install", "-m", one.to_str().unwrap(), "-m", other.to_str().unwrap()];
    app.run(&args, 0);
    assert_eq!(app.times("started").len(), 2);
    let (ready, started) = (app.times("ready"), dependant.times("started"));
    assert_eq!(started.len(), 1, "it was started once");
    assert!(started[0] >= ready[0], "{started:?} {ready:?}");
    // Also after a kill of it, and after a restart of the dependant alone.
    let pid = app.pid().unwrap().to_string();
    app.hand.run(&["kill", &pid]);
    app.soon("it is started again", 5 * SECOND, || app.times("started").len() == 3);
    app.run(&["restart", &dependant.name], 0);
    let (ready, started) = (app.times("ready"), dependant.times("started"));
    assert!(
        started.last() >= ready.last() && ready.len() == 2,
        "{started:?} {ready:?}"
    );
    app.run(&["status", &app.name, &dependant.name], 0);
}

fn a_dependant_whose_dependency_does_not_come_is_told(app: &Patient) {
    app.manifest(
        "",
        "",
        "[dependencies]\nwait_for = [\"file:///no/such/device\"]\nwait_timeout = \"1s\"\n[restart]\ndelay = \"100ms\"\nmax_attempts = 1\n",
    );
    let manifest = app.inside.join("app.toml");
    let said = app.run(&["install", "-m", manifest.to_str().unwrap()], 1);
    assert!(said.contains("/no/such/device is not there"), "{said}");
    assert_eq!(app.times("started").len(), 0, "it was never started");
    app.run(&["status", &app.name], 4);
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
