//! The embedded supervisor, for real: the program itself, in user scope, in folders of its own. It is what this machine has,
//! or it is asked for.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use support::home::{Home, free_port, is_there, kill, soon};

#[test]
fn hello_installs_answers_survives_a_kill_and_leaves_nothing() {
    let home = Home::new();
    let port = free_port();
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello");
    fs::copy(hello.join("hello.py"), home.path("hello.py")).unwrap();
    let text = fs::read_to_string(hello.join("app.toml")).unwrap();
    let text = text.replace("8765", &port.to_string()).replace("\"hello\"", "\"app\"");
    fs::write(home.path("app.toml"), text + "[restart]\ndelay = \"100ms\"\n").unwrap();
    let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();

    let said = home.run(&["install"], 0);
    assert!(
        said.contains("app: installed and ready") && said.contains("enabled at boot: no"),
        "{said}"
    );
    assert!(answers());
    assert!(home.run(&["status"], 0).starts_with("app: ready"));
    assert!(home.run(&["install"], 0).contains("unchanged"));
    home.run(&["install", "--check"], 0);

    let first = home.pid("app").unwrap();
    kill(first, "-KILL");
    soon("it is started again", || {
        home.pid("app").is_some_and(|pid| pid != first) && answers()
    });
    assert!(home.run(&["status"], 0).contains("1 automatic restart"));

    home.run(&["stop"], 0);
    assert!(!answers());
    home.run(&["status"], 3);
    home.run(&["start"], 0);
    home.run(&["restart"], 0);
    assert!(answers());
    home.run(&["uninstall"], 0);
    assert!(!answers());
    assert_eq!(home.left(), Vec::<PathBuf>::new());
    home.run(&["status", "app"], 4);
}

#[test]
fn an_app_that_cannot_start_is_told_with_its_cause_and_leaves_nothing() {
    let home = Home::new();
    for (service, cause, finding) in [
        (
            "command = [\"sh\", \"-c\", \"echo last words; exit 3\"]",
            "last words",
            "crash-loop",
        ),
        ("command = [\"sh\", \"-c\", \"exit 3\"]", "exit status 3", "crash-loop"),
        ("command = [\"sh\", \"-c\", \"kill -SEGV $$\"]", "SIGSEGV", "killed"),
        (
            "command = [\"python3\", \"-c\", \"import no_such\"]",
            "No module named",
            "python-module",
        ),
        (
            "command = [\"python3\", \"-c\", \"input()\"]",
            "EOFError",
            "waits-for-terminal",
        ),
        (
            "command = [\"sleep\", \"9\"]\npre_start = [[\"false\"]]",
            "exit status 1",
            "crash-loop",
        ),
        (
            "command = [\"sleep\", \"9\"]\nuser = \"dynamic\"",
            "only, not as",
            "manifest-wrong",
        ),
        ("command = [\"sleep\", \"9\"]\ntype = \"forking\"", "needs systemd", ""),
        (
            "command = [\"sleep\", \"9\"]\nstart_timeout = \"1s\"\n[readiness]\ntcp = \"127.0.0.1:9\"",
            "not ready within 1s",
            "start-timeout",
        ),
    ] {
        home.app("app", service);
        let code = if cause == "only, not as" { 2 } else { 1 };
        let said = home.run(&["install"], code);
        assert!(said.contains(cause), "{service}: {said}");
        let told = said.lines().find_map(|line| line.strip_prefix("doctor: "));
        let id = told.and_then(|told| told.split(':').next()).unwrap_or_default();
        assert_eq!(id, finding, "{service}: {said}");
        assert_eq!(home.left(), Vec::<PathBuf>::new(), "{service}");
    }
}

#[test]
fn an_update_that_fails_leaves_the_earlier_version_running() {
    let home = Home::new();
    home.app("app", "command = [\"sleep\", \"111\"]\n[readiness]\nsettle = \"100ms\"");
    home.run(&["install"], 0);
    home.app("app", "command = [\"false\"]\n[readiness]\nsettle = \"100ms\"");
    assert!(home.run(&["install"], 1).contains("the earlier version is back"));
    let command = fs::read_to_string(format!("/proc/{}/cmdline", home.pid("app").unwrap())).unwrap();
    assert!(command.ends_with("sleep\u{0}111\u{0}"), "{command:?}");
}

#[test]
fn arguments_and_environment_arrive_byte_for_byte() {
    let home = Home::new();
    let hostile = [
        "",
        " ",
        "a b",
        "\t",
        "\n",
        "$HOME ${HOME} $$",
        "%n %%",
        "\\",
        "\"'`",
        ";",
        "中文 😀",
        "\u{1}\u{7f}",
        "-x",
    ];
    let words: Vec<_> = hostile
        .iter()
        .map(|word| serde_json::to_string(word).unwrap().replace('\u{7f}', "\\u007f"))
        .collect();
    let words = words.join(", ");
    fs::write(home.path("file.env"), "FROM_FILE=\"two words\"\n").unwrap();
    let script = "import os, sys, time; open('argv', 'wb').write(b'\\\\0'.join(map(os.fsencode, sys.argv[1:]))); \
                  open('env', 'wb').write(b'\\\\0'.join(k + b'=' + v for k, v in os.environb.items())); time.sleep(99)";
    home.app(
        "app",
        &format!(
            "command = [\"python3\", \"-c\", \"{script}\", {words}]\n\
         environment_files = [\"file.env\"]\npath = [\"bin dir\"]\n\
         [service.environment]\nONE = \"$HOME % \\\" 中文\"\nTWO = \"\"\n[readiness]\nsettle = \"500ms\""
        ),
    );
    home.run(&["install", "--timeout", "10s"], 0);
    let arguments = fs::read_to_string(home.path("argv")).unwrap();
    assert_eq!(arguments.split('\u{0}').collect::<Vec<_>>(), hostile);
    let environment = fs::read_to_string(home.path("env")).unwrap();
    for expected in ["ONE=$HOME % \" 中文", "TWO=", "FROM_FILE=two words"] {
        assert!(
            environment.split('\u{0}').any(|entry| entry == expected),
            "{expected} in {environment:?}"
        );
    }
    let path = environment
        .split('\u{0}')
        .find(|entry| entry.starts_with("PATH="))
        .unwrap();
    assert!(path.contains("/bin dir:/usr/local/sbin"), "{path}");
    assert!(!environment.contains("CARGO"), "ours is not inherited");
}

#[test]
fn the_whole_tree_ends_with_it_and_a_killed_supervisor_blocks_nothing() {
    let home = Home::new();
    // A child that forks twice and leaves the session, and does not listen to SIGTERM.
    let script = "(setsid sh -c 'trap \\\"\\\" TERM; echo $$ >escaped; while :; do sleep 1; done' &) ; exec sleep 99";
    home.app(
        "app",
        &format!("command = [\"sh\", \"-c\", \"{script}\"]\nstop_timeout = \"500ms\"\n[readiness]\nsettle = \"300ms\""),
    );
    let escaped = || {
        fs::read_to_string(home.path("escaped"))
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    home.run(&["install"], 0);
    let (app, child) = (home.pid("app").unwrap(), escaped());
    assert!(is_there(child));
    home.run(&["stop"], 0);
    assert!(!is_there(app) && !is_there(child), "nothing of the tree is left");

    home.run(&["start"], 0);
    let (app, child) = (home.pid("app").unwrap(), escaped());
    kill(home.supervisor("app"), "-KILL");
    soon("the app dies with its supervisor", || !is_there(app));
    let said = home.run(&["status"], 3);
    assert!(said.contains("its supervisor was killed"), "{said}");
    home.run(&["start"], 0);
    assert!(!is_there(child), "what it left behind is ended before the next start");
    assert_ne!(home.pid("app").unwrap(), app);
    home.run(&["uninstall"], 0);
    assert_eq!(home.left(), [home.path("run/none")][..0]);
}

#[test]
fn a_budget_that_is_used_up_ends_it() {
    let home = Home::new();
    home.app(
        "app",
        "command = [\"false\"]\n[restart]\ndelay = \"10ms\"\nmax_delay = \"10ms\"\nmax_attempts = 3",
    );
    home.run(&["install", "--no-wait"], 0);
    soon("it has failed", || {
        home.command(&["status"])
            .output()
            .unwrap()
            .stdout
            .starts_with(b"app: failed")
    });
    let said = home.run(&["status"], 3);
    assert!(
        said.contains("restarted too often") && said.contains("exit status 1"),
        "{said}"
    );
    assert_eq!(home.run(&["logs", "-n", "50"], 0).matches("restart ").count(), 3);
    home.run(&["uninstall"], 0);
}

#[test]
fn in_the_foreground_it_passes_output_through_and_ends_with_a_signal() {
    let home = Home::new();
    home.app(
        "app",
        "command = [\"sh\", \"-c\", \"echo hello $GIVEN; exec sleep 99\"]",
    );
    let child = home
        .command(&["run", "--manifest", "app.toml"])
        .env("GIVEN", "inherited")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    soon("it runs", || home.pid("app").is_some());
    home.run(&["run", "-m", "app.toml"], 9);
    sleep(Duration::from_millis(200));
    let app = home.pid("app").unwrap();
    kill(child.id(), "-TERM");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&out.stdout).contains("hello inherited"),
        "{out:?}"
    );
    assert!(!is_there(app));

    home.app(
        "app",
        "command = [\"sh\", \"-c\", \"exit 4\"]\n[restart]\npolicy = \"never\"",
    );
    home.run(&["run", "-m", "app.toml"], 1);
}

#[test]
fn an_app_that_says_itself_when_it_is_ready_is_waited_for() {
    let home = Home::new();
    let script = "import os, socket, time; time.sleep(0.5); s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); \
                  s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); time.sleep(99)";
    home.app(
        "app",
        &format!("command = [\"python3\", \"-c\", \"{script}\"]\ntype = \"notify\"\n[readiness]\nsettle = \"10ms\""),
    );
    let start = Instant::now();
    home.run(&["install"], 0);
    assert!(start.elapsed() >= Duration::from_millis(500));
    home.run(&["status"], 0);
    home.app(
        "app",
        "command = [\"sleep\", \"99\"]\ntype = \"notify\"\nstart_timeout = \"1s\"",
    );
    home.run(&["install"], 1);
    home.run(&["uninstall"], 0);
    home.app("app", "command = [\"touch\", \"done\"]\ntype = \"oneshot\"");
    home.run(&["install"], 0);
    assert!(home.path("done").exists());
    assert!(home.run(&["status"], 0).starts_with("app: ready"));
}

#[test]
fn earlier_versions_come_back_by_a_rollback_and_three_are_kept() {
    let home = Home::new();
    let install = |argument: &str, code: i32| {
        home.app(
            "app",
            &format!("command = [\"sleep\", \"{argument}\"]\n[readiness]\nsettle = \"50ms\""),
        );
        home.run(&["install"], code)
    };
    let runs = || {
        let command = fs::read_to_string(format!("/proc/{}/cmdline", home.pid("app").unwrap())).unwrap();
        command
            .trim_end_matches('\u{0}')
            .rsplit('\u{0}')
            .next()
            .unwrap()
            .to_owned()
    };
    install("101", 0);
    let said = home.run(&["rollback"], 2);
    assert!(said.contains("there is no earlier version"), "{said}");
    install("102", 0);
    install("103", 0);
    install("not-a-number", 1); // which is no version: it was never ready
    assert_eq!(runs(), "103");
    let said = home.run(&["rollback"], 0);
    assert!(said.contains("was not changed"), "the manifest is the user's: {said}");
    assert_eq!(runs(), "102");
    assert!(
        home.run(&["rollback", "--to", "1"], 2)
            .contains("version 1 is not kept")
    );
    home.run(&["rollback", "--to", "3"], 0);
    assert_eq!(runs(), "103");
    let said = home.run(&["history"], 0);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(
        said.starts_with("5 (installed): ") && said.contains(", 3 again"),
        "{said}"
    );
    install("103", 0);
    assert_eq!(
        home.run(&["history"], 0).lines().count(),
        3,
        "what is installed already is no new version"
    );
    let versions = home.path("state/autoglm-boot/apps/app/versions");
    assert_eq!(fs::read_dir(&versions).unwrap().count(), 2, "and the installed one");
    for entry in fs::read_dir(&versions).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a version may hold secrets");
    }
    home.run(&["uninstall"], 0);
    assert_eq!(home.left(), Vec::<PathBuf>::new());
}

/// What no undo could bring back goes last, once there is nothing to undo any more.
#[test]
fn an_uninstall_that_fails_at_its_last_step_still_has_the_log() {
    let home = Home::new();
    for word in ["first", "second"] {
        home.script(
            "app",
            &format!("echo {word} >&2; exec sleep 1000"),
            "[readiness]\nsettle = \"50ms\"",
        );
        home.run(&["install"], 0);
    }
    let records = home.path("state/autoglm-boot");
    let (log, receipt) = (records.join("log/app.log"), records.join("apps/app/versions/1.json"));
    soon("it has said something", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("second"))
    });
    // A folder is no file that could be removed.
    let bytes = fs::read(&receipt).unwrap();
    fs::remove_file(&receipt).unwrap();
    fs::create_dir(&receipt).unwrap();
    let said = home.run(&["uninstall"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("first") && text.contains("second"), "{text}");
    assert!(home.run(&["status"], 0).starts_with("app: ready"));
    fs::remove_dir(&receipt).unwrap();
    fs::write(&receipt, bytes).unwrap();
    home.run(&["uninstall"], 0);
    assert_eq!(home.left(), Vec::<PathBuf>::new());
}

/// A folder that something is mounted on cannot be removed: by then there is nothing to undo, and the log is gone with the app.
#[test]
fn what_cannot_be_removed_in_the_end_is_told_and_undoes_nothing() {
    let home = Home::new();
    home.script(
        "app",
        "echo said >&2; exec sleep 1000",
        "[readiness]\nsettle = \"50ms\"",
    );
    home.run(&["install"], 0);
    let log = home.path("state/autoglm-boot/log");
    let own = home.command(&["uninstall"]);
    let mut mounted = std::process::Command::new("unshare");
    let script = "mount --bind \"$1\" \"$1\" || exit 99; shift; exec \"$@\"";
    mounted
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([log.as_os_str(), own.get_program()])
        .args(own.get_args())
        .current_dir(home.path(""))
        .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    let out = mounted.output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    if matches!(out.status.code(), Some(99)) || said.contains("unshare failed") {
        return; // it takes root
    }
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(
        said.contains("left behind") && said.contains("app: uninstalled"),
        "{said}"
    );
    assert!(!said.contains("Undone"), "{said}");
    home.run(&["status", "app"], 4);
    assert_eq!(fs::read_dir(&log).unwrap().count(), 0);
}

#[test]
fn what_a_kill_left_of_the_last_steps_is_done_by_the_next_run() {
    use autoglm_boot::{
        journal::{Intent, Journal, Mark},
        plan::{Plan, Step},
        system::Real,
    };
    const MARKS: [Mark; 3] = [Mark::Begun(0), Mark::Committed, Mark::Partly];
    let home = Home::new();
    home.app("app", "command = [\"sleep\", \"1000\"]\n[readiness]\nsettle = \"50ms\"");
    home.run(&["install"], 0);
    let records = home.path("state/autoglm-boot");
    let [gone, stays] = ["log/gone.log", "log/stays.log"].map(|name| records.join(name));
    for path in [&gone, &stays] {
        fs::write(path, "said").unwrap();
    }
    let journal = |step: Step, marks: &[Mark]| {
        let mut plan = Plan::default();
        plan.of("gone", [step.finally()]);
        let intent = Intent::new("uninstall", &["gone".into()], "embedded", plan, &Real).unwrap();
        let journal = Journal::write(&records, &intent, &Real).unwrap();
        journal.mark(marks, &Real).unwrap();
    };
    let discard = |file: &Path| Step::discard(vec![file.to_path_buf()]);
    journal(discard(&gone), &MARKS[..2]);
    let said = home.run(&["install"], 0);
    assert!(said.contains("an earlier uninstall of gone was complete"), "{said}");
    assert!(!gone.exists());
    journal(discard(&stays), &MARKS[..1]);
    let said = home.run(&["install"], 0);
    assert!(said.contains("was interrupted: undoing it") && stays.exists(), "{said}");
    // Where some of its apps were undone, they may need it.
    journal(discard(&stays), &MARKS);
    let said = home.run(&["install"], 0);
    assert!(said.contains("was complete") && stays.exists(), "{said}");
    // What it removes before our eyes is made again.
    let data = home.path("data");
    fs::create_dir(&data).unwrap();
    let writes = "command = [\"sleep\", \"1000\"]\n[readiness]\nsettle = \"50ms\"\n[security]\nwritable_directories = [\"data\"]";
    home.app("app", writes);
    journal(Step::Rmdir { path: data.clone() }, &MARKS[..2]);
    let said = home.run(&["install"], 0);
    assert!(said.contains("was complete") && data.is_dir(), "{said}");
    fs::remove_file(stays).unwrap();
    home.run(&["uninstall"], 0);
    assert_eq!(home.left(), Vec::<PathBuf>::new());
}

#[test]
fn several_apps_are_all_or_none_and_start_after_what_they_require() {
    let home = Home::new();
    let write = |name: &str, service: &str| {
        let text = format!("[app]\nname = \"{name}\"\n[readiness]\nsettle = \"300ms\"\n[service]\n{service}\n");
        fs::write(home.path(&format!("{name}.toml")), text).unwrap();
    };
    // It runs only if what it requires was ready before.
    let first = home.path("state/ready").display().to_string();
    write(
        "base",
        &format!("command = [\"sh\", \"-c\", \"sleep 0.2; touch '{first}'; exec sleep 1000\"]"),
    );
    write(
        "app",
        &format!(
            "command = [\"sh\", \"-c\", \"test -e '{first}' && exec sleep 1000\"]\n[dependencies]\nrequires = [\"base\"]"
        ),
    );
    write(
        "ends",
        "command = [\"sh\", \"-c\", \"sleep 0.1; exit 3\"]\n[dependencies]\nrequires = [\"base\"]",
    );
    fs::create_dir(home.path("state")).unwrap();
    let two = ["install", "-m", "app.toml", "-m", "base.toml"];
    let said = home.run(&[&two[..], &["-m", "ends.toml"]].concat(), 1);
    assert!(
        said.contains("ends: it ended once") && said.contains("all of them are as they were"),
        "{said}"
    );
    fs::remove_file(&first).unwrap();
    assert_eq!(home.left(), Vec::<PathBuf>::new());
    let said = home.run(&two, 0);
    assert!(said.contains("2 apps: 2 installed"), "{said}");
    home.run(&["status"], 0);
    fs::remove_file(&first).unwrap();

    let said = home.run(&[&two[..], &["-m", "ends.toml", "--keep-going"]].concat(), 1);
    assert!(said.contains("3 apps: 2 unchanged, 1 failed, and undone"), "{said}");
    home.run(&["status", "ends"], 4);
    home.run(&["status", "app", "base"], 0);
    home.run(&["uninstall", "base"], 1);
    home.run(&["uninstall", "app"], 0);
    home.run(&["uninstall", "base"], 0);
    assert_eq!(home.left(), Vec::<PathBuf>::new());
}

#[test]
fn what_was_done_in_another_boot_is_not_done_in_this_one() {
    let home = Home::new();
    home.app("work", "command = [\"touch\", \"done\"]\ntype = \"oneshot\"");
    let needs = "[readiness]\nsettle = \"10ms\"\n[dependencies]\nrequires = [\"work\"]\nwait_timeout = \"500ms\"\n[restart]\npolicy = \"never\"";
    home.script("app", "exec sleep 1000", needs);
    home.run(&["install", "-m", "work.toml"], 0);
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(home.live("work")["boot"], own.trim());
    let write = |boot: Option<&str>| {
        let mut live = home.live("work");
        match boot {
            Some(boot) => live["boot"] = boot.into(),
            None => drop(live.as_object_mut().unwrap().remove("boot")),
        }
        fs::write(home.path("run/autoglm-boot/work.json"), live.to_string()).unwrap();
    };
    write(Some("another"));
    let said = home.run(&["status", "work"], 3);
    assert!(said.starts_with("work: disabled"), "{said}");
    let said = home.run(&["install", "-m", "app.toml"], 1);
    assert!(said.contains("work: it does not run"), "{said}");
    // An earlier version of ours did not write down when it was.
    write(None);
    assert!(home.run(&["status", "work"], 0).starts_with("work: ready"));
    home.run(&["install", "-m", "app.toml"], 0);
    write(Some("another"));
    home.run(&["start", "work"], 0);
    assert!(home.run(&["status", "work"], 0).starts_with("work: ready"));
    home.run(&["uninstall", "app"], 0);
    home.run(&["uninstall", "work"], 0);
}
