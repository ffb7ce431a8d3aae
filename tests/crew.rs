//! `run`: apps in the foreground, one or several, for real: the program itself in user scope, in folders of its own.
//! Longer than 300 lines: one question a test, each with apps of its own.
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
    io::Write as _,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixDatagram, UnixStream},
    },
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use support::home::{Foreground, Home, is_there, kill, soon};

const FOR_EVER: &str = "exec sleep 1000";
/// Ready as soon as it runs.
const SETTLED: &str = "[readiness]\nsettle = \"10ms\"";

fn install(home: &Home, names: &[&str]) {
    let files: Vec<_> = names.iter().map(|name| format!("{name}.toml")).collect();
    let mut args = vec!["install", "--no-start"];
    args.extend(files.iter().flat_map(|file| ["-m", file.as_str()]));
    home.run(&args, 0);
}

/// The lines of one app, without its name.
fn lines_of<'a>(text: &'a str, app: &str) -> Vec<&'a str> {
    let prefix = format!("{app} | ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

#[test]
fn several_are_kept_with_their_names_in_front_and_all_end_with_a_signal() {
    let home = Home::new();
    home.script(
        "one",
        "echo hello from one; echo and again >&2; exec sleep 1000",
        SETTLED,
    );
    home.script("two", "echo hello from two; exec sleep 1000", SETTLED);
    home.script("three", FOR_EVER, SETTLED);
    install(&home, &["one", "two", "three"]);
    for (args, signal) in [
        (&["run", "one", "two"] as &[_], "-TERM"),
        (&["run", "--all"], "-INT"),
        (&["run", "-m", "."], "-TERM"),
    ] {
        let mut crew = home.begin(args);
        soon("both are ready", || home.is_ready("one") && home.is_ready("two"));
        assert_eq!(
            home.pid("three").is_some(),
            args.len() < 3 || args[1] == "-m",
            "{args:?}"
        );
        let pids = [home.pid("one").unwrap(), home.pid("two").unwrap()];
        assert_eq!(crew.end(signal), 0, "{args:?}: {}", crew.text());
        assert!(!pids.into_iter().any(is_there));
        let text = crew.text();
        assert_eq!(lines_of(&text, "one"), ["hello from one", "and again"], "{text}");
        assert_eq!(lines_of(&text, "two"), ["hello from two"], "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
    for name in ["one", "two", "three"] {
        home.run(&["uninstall", name], 0);
    }
    let control = home.path("run/autoglm-boot");
    assert!(
        !control.exists(),
        "{:?}",
        fs::read_dir(control).map(Iterator::collect::<Vec<_>>)
    );
}

#[test]
fn the_output_of_a_single_one_is_passed_through_byte_for_byte() {
    let home = Home::new();
    // Every byte, a line that is longer than most buffers, and an end without a line break.
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend(std::iter::repeat_n(b'x', 300_000));
    bytes.extend(b"\nand no line break at the end");
    fs::write(home.path("bytes"), &bytes).unwrap();
    home.script("app", "exec cat bytes", "[restart]\npolicy = \"never\"");
    let mut app = home.begin(&["run", "-m", "app.toml"]);
    assert_eq!(app.status().code(), Some(0));
    sleep(Duration::from_millis(100));
    assert!(app.bytes() == bytes, "{} of {}", app.bytes().len(), bytes.len());
}

#[test]
fn lines_of_several_are_whole_however_much_they_say() {
    const LINES: usize = 2000;
    let home = Home::new();
    for (name, letter) in [("one", "a"), ("two", "b")] {
        let line = letter.repeat(9000) + "\n";
        fs::write(home.path(&format!("said-by-{name}")), line.repeat(LINES)).unwrap();
        home.script(
            name,
            &format!("exec cat said-by-{name}"),
            "[restart]\npolicy = \"never\"",
        );
    }
    let mut crew = home.begin(&["run", "-m", "one.toml", "-m", "two.toml"]);
    assert_eq!(crew.status().code(), Some(0));
    sleep(Duration::from_millis(300));
    let text = crew.text();
    for (name, letter) in [("one", "a"), ("two", "b")] {
        let lines = lines_of(&text, name);
        assert_eq!(lines.len(), LINES, "{name}");
        let is_whole = |line: &&str| line.len() == 9000 && line.bytes().all(|byte| byte == letter.as_bytes()[0]);
        assert!(lines.iter().all(is_whole), "{name}");
    }
}

#[test]
fn each_starts_when_what_it_needs_is_ready_also_when_that_failed_first() {
    let home = Home::new();
    let first = "echo started >>base-starts; test $(wc -l <base-starts) -gt 1 || exit 3; sleep 0.3; touch base-ready; exec sleep 1000";
    home.script(
        "base",
        first,
        "[restart]\ndelay = \"200ms\"\n[readiness]\ncommand = [\"test\", \"-e\", \"base-ready\"]\ninterval = \"50ms\"",
    );
    let second = "test -e base-ready && touch in-order; exec sleep 1000";
    home.script(
        "app",
        second,
        &format!("[dependencies]\nrequires = [\"base\"]\n{SETTLED}"),
    );
    install(&home, &["base", "app"]);
    let mut crew = home.begin(&["run", "app", "base"]);
    soon("it is ready", || home.is_ready("app"));
    assert!(home.path("in-order").exists(), "{}", crew.text());
    assert_eq!(crew.end("-TERM"), 0);
    assert!(
        crew.text()
            .contains("base | [autoglm-boot] base: ended (exit status 3): restart 1 in 200ms"),
        "{}",
        crew.text()
    );
}

#[test]
fn at_the_end_those_go_first_that_need_others() {
    let home = Home::new();
    let script = |name: &str| {
        format!("trap 'sleep 0.2; echo {name} >>ends; exit 0' TERM; touch {name}-up; while :; do sleep 0.05; done")
    };
    home.script("base", &script("base"), SETTLED);
    home.script(
        "app",
        &script("app"),
        &format!("[dependencies]\nrequires = [\"base\"]\n{SETTLED}"),
    );
    home.script(
        "top",
        &script("top"),
        &format!("[dependencies]\nrequires = [\"app\"]\n{SETTLED}"),
    );
    let mut crew = home.begin(&["run", "-m", "base.toml", "-m", "app.toml", "-m", "top.toml"]);
    soon("all are ready", || home.is_ready("top") && home.path("top-up").exists());
    assert_eq!(crew.end("-TERM"), 0);
    assert_eq!(fs::read_to_string(home.path("ends")).unwrap(), "top\napp\nbase\n");
}

#[test]
fn what_cannot_be_kept_is_told_before_anything_starts() {
    let home = Home::new();
    home.run(&["run", "--all"], 4);
    home.script("one", FOR_EVER, "[dependencies]\nrequires = [\"two\"]");
    home.script("two", FOR_EVER, "[dependencies]\nrequires = [\"one\"]");
    home.script("other", FOR_EVER, SETTLED);
    let said = home.run(&["run", "-m", "one.toml", "-m", "two.toml"], 2);
    assert!(
        said.contains("wait for each other") && said.contains("one -> two -> one"),
        "{said}"
    );
    // Installed one after the other, they make a circle too.
    install(&home, &["other"]);
    home.script("two", FOR_EVER, SETTLED);
    install(&home, &["one", "two"]);
    home.script(
        "two",
        FOR_EVER,
        &format!("[dependencies]\nrequires = [\"one\"]\n{SETTLED}"),
    );
    home.run(&["install", "--no-start", "-m", "two.toml"], 0);
    for args in [&["run", "one", "two"] as &[_], &["run", "--all"]] {
        let said = home.run(args, 2);
        assert!(said.contains("wait for each other"), "{said}");
    }
    let said = home.run(&["run", "other", "nobody"], 4);
    assert!(said.contains("nobody"), "{said}");
    home.run(&["run", "nobody"], 4);
    assert!(
        !home.path("run/autoglm-boot/other.json").exists(),
        "nothing was started"
    );
}

#[test]
fn a_name_that_is_given_twice_is_one_app() {
    let home = Home::new();
    home.script("app", "echo one start; exec sleep 1000", SETTLED);
    install(&home, &["app"]);
    let mut crew = home.begin(&["run", "app", "app"]);
    soon("it is ready", || home.is_ready("app"));
    sleep(Duration::from_millis(600));
    assert_eq!(crew.end("-TERM"), 0, "{}", crew.text());
    assert_eq!(crew.text().matches("one start").count(), 1, "{}", crew.text());
}

#[test]
fn it_ends_when_all_are_over_and_says_whether_one_failed() {
    let home = Home::new();
    let never = "[restart]\npolicy = \"never\"";
    home.script("good", "exit 0", never);
    home.script("bad", "exit 3", never);
    home.script("done", "exit 0", "type = \"oneshot\"");
    assert_eq!(
        home.begin(&["run", "-m", "good.toml", "-m", "done.toml"])
            .status()
            .code(),
        Some(0)
    );
    assert_eq!(
        home.begin(&["run", "-m", "good.toml", "-m", "bad.toml"])
            .status()
            .code(),
        Some(1)
    );
    // The others go on.
    home.script("good", FOR_EVER, SETTLED);
    let mut crew = home.begin(&["run", "-m", "good.toml", "-m", "bad.toml"]);
    crew.says("bad: failed: exit status 3");
    soon("it is ready", || home.is_ready("good"));
    assert_eq!(crew.end("-TERM"), 1);
    // Stopped one by one, all is well.
    home.script("other", FOR_EVER, SETTLED);
    install(&home, &["good", "other"]);
    let mut crew = home.begin(&["run", "--all"]);
    soon("both are ready", || home.is_ready("good") && home.is_ready("other"));
    home.run(&["stop", "good"], 0);
    home.run(&["status", "good"], 3);
    home.run(&["status", "other"], 0);
    home.run(&["start", "good"], 0);
    assert_eq!(home.crew("good"), home.crew("other"), "it is one of the crew again");
    home.run(&["stop", "good"], 0);
    home.run(&["stop", "other"], 0);
    assert_eq!(crew.status().code(), Some(0), "{}", crew.text());
}

#[test]
fn whoever_keeps_it_is_told_when_all_are_ready_and_when_it_ends() {
    let home = Home::new();
    let socket = UnixDatagram::bind(home.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut message = [0; 1000];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    let begin = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("NOTIFY_SOCKET", home.path("notify"));
        Foreground::of(command)
    };
    let ready = "[readiness]\ncommand = [\"test\", \"-e\", \"may-be-ready\"]\ninterval = \"50ms\"";
    home.script("slow", "test -z \"$NOTIFY_SOCKET\" || exit 9; exec sleep 1000", ready);
    home.script("fast", FOR_EVER, SETTLED);
    // It is over when it has done its work: after the others are ready, or before.
    home.script(
        "work",
        "while ! test -e may-end; do sleep 0.05; done",
        "type = \"oneshot\"",
    );
    for (args, parts) in [
        (&["run", "-m", "slow.toml"] as &[_], &["may-be-ready"] as &[_]),
        (&["run", "-m", "slow.toml", "-m", "fast.toml"], &["may-be-ready"]),
        (
            &["run", "-m", "slow.toml", "-m", "work.toml"],
            &["may-be-ready", "may-end"],
        ),
        (
            &["run", "-m", "slow.toml", "-m", "work.toml"],
            &["may-end", "may-be-ready"],
        ),
    ] {
        let mut crew = begin(args);
        soon("it runs", || home.pid("slow").is_some());
        for part in parts {
            sleep(Duration::from_millis(300));
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 100]).is_err(), "{args:?}: not yet");
            socket.set_nonblocking(false).unwrap();
            fs::write(home.path(part), "").unwrap();
        }
        assert_eq!(told(), "READY=1", "{args:?} {parts:?}");
        crew.end("-TERM");
        assert_eq!(told(), "STOPPING=1", "{args:?}");
        for part in parts {
            fs::remove_file(home.path(part)).unwrap();
        }
    }
}

#[test]
fn an_app_that_runs_already_is_not_run_twice_and_the_first_is_not_harmed() {
    let home = Home::new();
    home.script("one", FOR_EVER, SETTLED);
    home.script("two", FOR_EVER, SETTLED);
    install(&home, &["one", "two"]);
    let mut crew = home.begin(&["run", "--all"]);
    soon("both are ready", || home.is_ready("one") && home.is_ready("two"));
    let pids = || [home.pid("one"), home.pid("two")];
    let before = pids();
    for args in [&["run", "one"] as &[_], &["run", "--all"], &["run", "two", "one"]] {
        let said = home.run(args, 9);
        assert!(said.contains("runs already, under another supervisor"), "{said}");
    }
    assert_eq!(pids(), before);
    // And the crew is asked still.
    home.run(&["stop", "one"], 0);
    home.run(&["start", "one"], 0);
    assert_eq!(home.crew("one"), home.crew("two"));
    assert_eq!(crew.end("-TERM"), 0, "{}", crew.text());
}

#[test]
fn two_crews_of_other_apps_go_side_by_side() {
    let home = Home::new();
    for name in ["one", "two", "three", "four"] {
        home.script(name, FOR_EVER, SETTLED);
    }
    install(&home, &["one", "two", "three", "four"]);
    let mut first = home.begin(&["run", "one", "two"]);
    soon("they are ready", || home.is_ready("one") && home.is_ready("two"));
    let mut second = home.begin(&["run", "three", "four"]);
    soon("they are ready", || home.is_ready("three") && home.is_ready("four"));
    assert_eq!(second.end("-TERM"), 0, "{}", second.text());
    // The control socket is still that of the first.
    home.run(&["stop", "one"], 0);
    home.run(&["start", "one"], 0);
    assert_eq!(home.crew("one"), home.crew("two"));
    assert_eq!(first.end("-TERM"), 0, "{}", first.text());
}

#[test]
fn an_app_may_have_any_name() {
    let home = Home::new();
    home.script("crew", FOR_EVER, SETTLED);
    home.script("control", FOR_EVER, SETTLED);
    install(&home, &["crew", "control"]);
    let mut crew = home.begin(&["run", "--all"]);
    soon("both are ready", || home.is_ready("crew") && home.is_ready("control"));
    home.run(&["stop", "control"], 0);
    home.run(&["start", "control"], 0);
    assert_eq!(home.crew("crew"), home.crew("control"));
    assert_eq!(crew.end("-TERM"), 0, "{}", crew.text());
}

#[test]
fn a_signal_for_the_apps_reaches_each_of_them() {
    let home = Home::new();
    let script = |name: &str| {
        format!(
            "trap 'echo hup >>{name}-got' HUP; trap 'echo usr1 >>{name}-got' USR1; touch {name}-up; while :; do sleep 0.05; done"
        )
    };
    home.script("one", &script("one"), SETTLED);
    home.script("two", &script("two"), SETTLED);
    let mut crew = home.begin(&["run", "-m", "one.toml", "-m", "two.toml"]);
    soon("both are up", || {
        home.path("one-up").exists() && home.path("two-up").exists()
    });
    kill(crew.pid(), "-USR1");
    let got = |name: &str| fs::read_to_string(home.path(&format!("{name}-got"))).unwrap_or_default();
    soon("both got it", || got("one") == "usr1\n" && got("two") == "usr1\n");
    // A supervisor of a crew has no terminal: what it gets, it was sent for the app.
    kill(home.supervisor("one"), "-HUP");
    soon("it got it", || got("one") == "usr1\nhup\n");
    // The terminal of the crew went away.
    assert_eq!(crew.end("-HUP"), 0);
}

#[test]
fn a_kill_of_an_app_or_of_its_supervisor_is_recovered_and_one_of_the_crew_blocks_nothing() {
    let home = Home::new();
    let script = |name: &str| {
        format!(
            "(setsid sh -c 'trap \"\" TERM; echo $$ >{name}-escaped; while :; do sleep 1; done' &) ; exec sleep 1000"
        )
    };
    for name in ["one", "two"] {
        home.script(
            name,
            &script(name),
            &format!("stop_timeout = \"500ms\"\n[restart]\ndelay = \"50ms\"\n{SETTLED}"),
        );
    }
    let escaped = |name: &str| {
        fs::read_to_string(home.path(&format!("{name}-escaped")))
            .unwrap_or_default()
            .trim()
            .parse::<u32>()
            .unwrap_or(0)
    };
    install(&home, &["one", "two"]);
    let mut crew = home.begin(&["run", "--all"]);
    let both_up =
        || home.is_ready("one") && home.is_ready("two") && is_there(escaped("one")) && is_there(escaped("two"));
    soon("both are up", both_up);

    let (app, child, other) = (home.pid("one").unwrap(), escaped("one"), home.pid("two"));
    kill(app, "-KILL");
    soon("it is started again", || {
        home.pid("one").is_some_and(|pid| pid != app) && both_up()
    });
    assert!(!is_there(child), "its tree went with it");

    let (app, child, supervisor) = (home.pid("one").unwrap(), escaped("one"), home.supervisor("one"));
    kill(supervisor, "-KILL");
    soon("the app dies with its supervisor", || !is_there(app));
    soon("both are started again", || {
        home.pid("one").is_some_and(|pid| pid != app && is_there(pid)) && both_up()
    });
    assert!(!is_there(child), "and what it left");
    assert_eq!(home.pid("two"), other, "the other runs on");

    let before = ["one", "two"].map(|name| (home.pid(name).unwrap(), home.supervisor(name), escaped(name)));
    assert_eq!(crew.end("-KILL"), -1);
    soon("no supervisor and no app survives", || {
        !before
            .iter()
            .any(|&(app, supervisor, _)| is_there(app) || is_there(supervisor))
    });
    let said = home.run(&["status", "one"], 3);
    assert!(said.contains("its supervisor was killed"), "{said}");
    let mut crew = home.begin(&["run", "--all"]);
    soon("both are up", || {
        both_up() && escaped("one") != before[0].2 && escaped("two") != before[1].2
    });
    assert!(
        !before.iter().any(|&(_, _, child)| is_there(child)),
        "what was left is ended before the next start"
    );
    let last = ["one", "two"].map(|name| (home.pid(name).unwrap(), escaped(name)));
    assert_eq!(crew.end("-TERM"), 0, "{}", crew.text());
    assert!(!last.iter().any(|&(app, child)| is_there(app) || is_there(child)));
}

#[test]
fn a_supervisor_that_is_killed_while_all_end_leaves_nothing() {
    let home = Home::new();
    home.script("app", "(setsid sh -c 'trap \"\" TERM; echo $$ >escaped; while :; do sleep 1; done' &) ; trap '' TERM; touch up; while :; do sleep 1; done", &format!("stop_timeout = \"20s\"\n{SETTLED}"));
    home.script("other", FOR_EVER, SETTLED);
    let mut crew = home.begin(&["run", "-m", "app.toml", "-m", "other.toml"]);
    soon("it is up", || {
        home.is_ready("app") && home.path("escaped").exists() && home.path("up").exists()
    });
    let (app, supervisor) = (home.pid("app").unwrap(), home.supervisor("app"));
    let escaped = fs::read_to_string(home.path("escaped"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kill(crew.pid(), "-TERM");
    soon("it is told to end", || home.live("app")["active"] == "deactivating");
    kill(supervisor, "-KILL");
    crew.status();
    assert!(!is_there(app) && !is_there(escaped), "nothing is left");
}

#[test]
fn what_has_done_its_work_does_it_again_before_those_that_need_it_start() {
    let home = Home::new();
    home.script("work", "sleep 0.5; touch work-done", "type = \"oneshot\"");
    home.script(
        "app",
        "test -e work-done && touch in-order; exec sleep 1000",
        &format!("[dependencies]\nrequires = [\"work\"]\n{SETTLED}"),
    );
    for signal in ["-TERM", "-KILL", "-TERM"] {
        let mut crew = home.begin(&["run", "-m", "work.toml", "-m", "app.toml"]);
        soon("it is ready", || home.is_ready("app"));
        // It is ready by time: on a busy machine its first words may come after that.
        soon(&format!("{signal}: it began in order"), || {
            home.path("in-order").exists()
        });
        crew.end(signal);
        soon("it is gone", || !home.pid("app").is_some_and(is_there));
        for file in ["in-order", "work-done"] {
            fs::remove_file(home.path(file)).unwrap();
        }
    }
}

#[test]
fn the_output_is_followed_by_the_control_socket_and_no_reader_holds_the_app() {
    let home = Home::new();
    let script = "echo first; while ! test -e go; do sleep 0.05; done; i=0; while [ $i -lt 20000 ]; do echo line $i of many; i=$((i+1)); done; echo all said; trap 'echo last words; exit 0' TERM; while :; do sleep 0.05; done";
    home.script(
        "app",
        script,
        &format!("{SETTLED}\n[logging.rate_limit]\nburst = 0\ninterval = \"1s\""),
    );
    install(&home, &["app"]);
    let mut app = home.begin(&["run", "app"]);
    app.says("first");
    let mut follower = home.begin(&["logs", "-f", "app"]);
    follower.says("first");
    let mut gone = home.begin(&["logs", "-f", "app", "-n", "0"]);
    sleep(Duration::from_millis(200));
    gone.end("-KILL");
    // One that does not read.
    let mut deaf = home
        .command(&["logs", "-f", "app"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(200));
    let start = Instant::now();
    fs::write(home.path("go"), "").unwrap();
    app.says("all said");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    follower.says("line 19999 of many");
    let said = home.run(&["logs", "-n", "2"], 0);
    assert_eq!(said, "line 19999 of many\nall said\n");
    let first = home.pid("app").unwrap();
    fs::remove_file(home.path("go")).unwrap();
    home.run(&["restart"], 0);
    assert_ne!(home.pid("app"), Some(first));
    follower.says("last words\nfirst\n");
    fs::write(home.path("go"), "").unwrap();
    app.says("last words\nfirst\nline 0 of");
    soon("all is said again", || app.text().matches("all said").count() == 2);
    assert_eq!(app.end("-TERM"), 0);
    assert_eq!(follower.status().code(), Some(0), "it ends with the app");
    let text = follower.text();
    assert_eq!(
        text.lines().filter(|line| line.starts_with("line ")).count(),
        40_000,
        "nothing is missing"
    );
    assert!(text.ends_with("last words\n"), "{:?}", &text[text.len() - 100..]);
    let _ = deaf.kill();
    let _ = deaf.wait();
}

#[test]
fn only_its_owner_enters_the_folder_of_the_sockets_and_a_stale_one_is_replaced() {
    let home = Home::new();
    home.script("app", FOR_EVER, SETTLED);
    install(&home, &["app"]);
    let mut app = home.begin(&["run", "app"]);
    soon("it is ready", || home.is_ready("app"));
    let control = home.path("run/autoglm-boot/control");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&control), 0o700);
    let pid = home.pid("app").unwrap();
    app.end("-KILL");
    soon("the app dies with its supervisor", || !is_there(pid));
    assert!(control.join("app").exists(), "it is stale");
    fs::set_permissions(&control, fs::Permissions::from_mode(0o777)).unwrap();
    let mut app = home.begin(&["run", "app"]);
    soon("it is ready", || home.is_ready("app"));
    assert_eq!(mode(&control), 0o700, "whatever it was");
    home.run(&["stop"], 0);
    assert_eq!(app.status().code(), Some(0));
    let mut app = home.begin(&["run", "app"]);
    soon("it is ready", || home.is_ready("app"));
    for _ in 0..2 {
        let before = home.pid("app");
        home.run(&["restart"], 0);
        home.run(&["status"], 0);
        assert_ne!(home.pid("app"), before);
    }
    assert_eq!(app.end("-TERM"), 0, "it is the same process still");
}

/// It holds nothing and hears nobody for a moment.
#[test]
fn a_stop_of_one_that_is_just_starting_anew_is_not_lost() {
    let home = Home::new();
    home.script("app", FOR_EVER, SETTLED);
    install(&home, &["app"]);
    for delay in (0..100).step_by(4) {
        let mut app = home.begin(&["run", "app"]);
        soon("it is ready", || home.is_ready("app"));
        let mut asked = UnixStream::connect(home.path("run/autoglm-boot/control/app")).unwrap();
        writeln!(asked, "restart").unwrap();
        sleep(Duration::from_millis(delay));
        let said = home.run(&["stop"], 0);
        assert!(home.pid("app").is_none(), "{delay} ms: {said}");
        let start = Instant::now();
        assert_eq!(app.status().code(), Some(0), "{delay} ms: {said}");
        assert!(start.elapsed() < Duration::from_secs(5), "{delay} ms");
    }
}

#[test]
fn a_signal_while_they_begin_is_not_lost() {
    let home = Home::new();
    for name in ["one", "two"] {
        home.script(name, FOR_EVER, SETTLED);
    }
    for delay in (0..60).step_by(4) {
        let mut crew = home.begin(&["run", "-m", "one.toml", "-m", "two.toml"]);
        sleep(Duration::from_millis(delay));
        let (start, code) = (Instant::now(), crew.end("-TERM"));
        // Before it watches for it, the signal ends it at once.
        assert!([0, -1, 143].contains(&code), "{delay} ms: {code}: {}", crew.text());
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{delay} ms: {:?}",
            start.elapsed()
        );
        assert!(
            !["one", "two"].iter().any(|name| home.pid(name).is_some_and(is_there)),
            "{delay} ms"
        );
    }
}

#[test]
fn ctrl_c_at_a_terminal_ends_all_in_order() {
    let home = Home::new();
    home.script("one", "echo up; exec sleep 1000", SETTLED);
    home.script("two", "echo up; exec sleep 1000", SETTLED);
    // script(1) gives it a terminal, which sends the signal to the whole foreground process group.
    let program = env!("CARGO_BIN_EXE_autoglm-boot");
    let python = format!(
        "import os, pty, sys, time\npid, fd = pty.fork()\nif pid == 0:\n    os.execv({program:?}, [{program:?}, 'run', '-m', 'one.toml', '-m', 'two.toml', '--user'])\nsaid = b''\nwhile said.count(b'up') < 2: said += os.read(fd, 1000)\nos.write(fd, b'\\x03')\n_, status = os.waitpid(pid, 0)\nsys.exit(os.waitstatus_to_exitcode(status))\n"
    );
    let mut command = home.command(&["run"]);
    let envs: Vec<_> = command
        .get_envs()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("python3");
    command
        .args(["-c", &python])
        .current_dir(home.path(""))
        .envs(envs)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(home.pid("one"), None);
}
