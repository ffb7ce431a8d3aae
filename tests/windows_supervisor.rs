//! On Windows, or under Wine: our supervisor keeps an app. It runs, answers, survives a kill of itself, and ends with its whole tree.
#![cfg(windows)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

#[path = "support/windows.rs"]
mod windows;

use std::{fs, path::PathBuf, process::Stdio};

use windows::{Home, soon};

#[test]
fn an_app_runs_answers_survives_a_kill_and_leaves_nothing() {
    let home = Home::new("w-kept");
    home.manifest("environment = { GREETING = 'grüß 中文 %PATH% \"x\"' }", "");
    let said = home.run(&["install", "--backend", "embedded"], 0);
    assert!(said.contains("w-kept: installed and ready"), "{said}");
    assert!(said.contains("enabled at boot: no"), "{said}");
    assert_eq!(home.ask("env/GREETING"), "grüß 中文 %PATH% \"x\"");
    assert!(
        !home.ask("env/SystemRoot").is_empty(),
        "what every program needs is there"
    );
    let said = home.run(&["status"], 0);
    assert!(said.starts_with("w-kept: ready") && said.contains(" MiB"), "{said}");
    assert!(home.run(&["install", "--backend", "embedded"], 0).contains("unchanged"));
    home.run(&["install", "--backend", "embedded", "--check"], 0);

    let tree = home.tree();
    assert_eq!(tree.len(), 3, "{tree:?}");
    windows::kill(tree[0]);
    soon("it is started again, and all of the old tree is gone", || {
        home.answers() && tree.iter().all(|&pid| !windows::is_alive(pid))
    });
    assert!(home.run(&["status"], 0).contains("1 automatic restart"));

    home.ask("say/written-down");
    soon("its output is kept", || {
        home.run(&["logs", "-n", "50"], 0).contains("written-down")
    });

    let tree = home.tree();
    home.run(&["stop"], 0);
    assert!(!home.answers());
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    home.run(&["status"], 3);
    home.run(&["start"], 0);
    let before = home.tree();
    home.run(&["restart"], 0);
    assert!(home.answers());
    assert!(before.iter().all(|&pid| !windows::is_alive(pid)), "{before:?}");
    assert!(home.run(&["history"], 0).starts_with("1 (installed)"));
    home.run(&["uninstall"], 0);
    assert!(!home.answers());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    home.run(&["status", "w-kept"], 4);
}

#[test]
fn a_supervisor_that_is_killed_takes_its_tree_of_three_with_it() {
    let home = Home::new("w-killed");
    home.manifest("", "");
    home.run(&["install", "--backend", "embedded"], 0);
    let tree = home.tree();
    let supervisor = windows::parent(tree[0]);
    windows::kill(supervisor);
    soon("nothing of the tree is left", || {
        tree.iter().all(|&pid| !windows::is_alive(pid))
    });
    let said = home.run(&["status"], 3);
    assert!(said.contains("failed"), "{said}");
    home.run(&["start"], 0);
    assert!(home.answers());
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn an_app_that_crashes_is_restarted_with_back_off_and_then_given_up() {
    let home = Home::new("w-crash");
    home.manifest(
        "",
        "[restart]\ndelay = '200ms'\nmax_delay = '2s'\nmax_attempts = 2\nwindow = '1m'\n",
    );
    home.run(&["install", "--backend", "embedded"], 0);
    for _ in 0..2 {
        home.crash();
        soon("it is back", || home.answers());
    }
    home.crash();
    soon("it is given up", || home.status() == 3);
    let log = home.run(&["logs", "-n", "100"], 0);
    assert!(
        log.contains("restart 1 in 200ms") && log.contains("restart 2 in 400ms"),
        "{log}"
    );
    assert!(log.contains("exit status 3"), "{log}");
    home.run(&["start"], 0);
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn an_app_that_never_becomes_ready_is_undone_with_its_last_words() {
    let home = Home::new("w-unready");
    home.manifest_of(
        "['cmd.exe', '/d', '/c', 'echo last words& exit 7']",
        "",
        "[restart]\npolicy = 'never'\n",
    );
    let said = home.run(&["install", "--backend", "embedded"], 1);
    assert!(said.contains("last words") && said.contains("exit status 7"), "{said}");
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn the_log_is_rotated_and_old_files_go() {
    let home = Home::new("w-log");
    home.manifest("", "[logging]\nmax_size = '1Ki'\nmax_files = 2\n");
    home.run(&["install", "--backend", "embedded"], 0);
    let word = "x".repeat(200);
    for number in 0..40 {
        home.ask(&format!("say/{number}-{word}"));
    }
    let folder = windows::records().join("log").join("w-log");
    let files = || -> Vec<_> {
        let entries = fs::read_dir(&folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    soon("the last line is written", || {
        home.run(&["logs", "-n", "1"], 0).contains("39-")
    });
    let mut found = files();
    found.sort();
    assert_eq!(found, ["w-log.log", "w-log.log.1", "w-log.log.2"]);
    for file in found {
        assert!(fs::metadata(folder.join(file)).unwrap().len() <= 1024);
    }
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn one_that_hangs_is_sick_and_started_again() {
    let home = Home::new("w-sick");
    let sick = home.path("sick");
    home.manifest(
        "",
        "[health]\ncommand = ['cmd.exe', '/d', '/c', 'if exist sick exit 1']\ninterval = '300ms'\nretries = 2\n",
    );
    home.run(&["install", "--backend", "embedded"], 0);
    let first = home.tree()[0];
    fs::write(&sick, "").unwrap();
    soon("it is ended", || !windows::is_alive(first));
    fs::remove_file(&sick).unwrap();
    soon("it is back, and well", || home.status() == 0);
    assert!(home.run(&["logs", "-n", "100"], 0).contains("it is ended"));
    home.run(&["uninstall"], 0);
}

#[test]
fn in_the_foreground_it_runs_until_it_is_told_to_end_and_its_tree_ends_with_it() {
    let home = Home::new("w-front");
    home.manifest("", "");
    let start = || {
        let mut command = home.command(&["run", "--manifest", "app.toml"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    // Killed, nothing is left of it.
    let mut child = start();
    soon("it answers", || home.answers());
    soon("its tree has grown", || home.tree().len() == 3);
    let tree = home.tree();
    child.kill().unwrap();
    child.wait().unwrap();
    soon("nothing of the tree is left", || {
        tree.iter().all(|&pid| !windows::is_alive(pid))
    });
    // Its app is killed: it starts it again.
    let mut child = start();
    soon("it answers", || home.answers());
    let first = home.tree()[0];
    windows::kill(first);
    soon("it is back", || {
        home.tree().first().is_some_and(|&pid| pid != first) && home.answers()
    });
    // It is asked to end, as by a Ctrl-Break: it ends well, and leaves nothing.
    let tree = home.tree();
    autoglm_boot::platform::send("SIGTERM", &[child.id()]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!home.answers() && tree.iter().all(|&pid| !windows::is_alive(pid)));
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn one_in_the_foreground_is_started_anew_by_the_same_process_as_often_as_it_is_asked() {
    let home = Home::new("w-anew");
    let install = |number: usize, code| {
        home.manifest(&format!("environment = {{ NUMBER = '{number}' }}"), "");
        home.run(&["install", "--backend", "embedded", "--no-start"], code)
    };
    install(0, 0);
    let mut command = home.command(&["run", "w-anew"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    soon("it answers", || home.answers());
    soon("its tree has grown", || home.tree().len() == 3);
    for number in 1..4 {
        let before = home.tree();
        install(number, 0);
        home.run(&["restart"], 0);
        assert_eq!(
            home.ask("env/NUMBER"),
            number.to_string(),
            "what is installed now is started"
        );
        assert!(before.iter().all(|&pid| !windows::is_alive(pid)), "{before:?}");
        soon("its tree has grown", || home.tree().len() == 3);
        assert_eq!(windows::parent(home.tree()[0]), child.id(), "it is kept by the same");
        assert!(home.run(&["status"], 0).starts_with("w-anew: ready"));
    }
    let tree = home.tree();
    home.run(&["stop"], 0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn a_crew_starts_a_supervisor_again_that_was_killed_and_not_one_that_was_stopped() {
    let (first, second) = (Home::new("w-crew-a"), Home::new("w-crew-b"));
    for home in [&first, &second] {
        home.manifest("", "");
        home.run(&["install", "--backend", "embedded", "--no-start"], 0);
    }
    let mut command = first.command(&["run", "--all"]);
    let mut crew = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let grown = |home: &Home| home.answers() && home.tree().len() == 3;
    soon("both answer", || grown(&first) && grown(&second));
    let other = second.tree();
    // Killed, as by the Task Manager: the exit code is one of ours.
    for _ in 0..2 {
        let (tree, supervisor) = (first.tree(), windows::parent(first.tree()[0]));
        assert_eq!(windows::parent(supervisor), crew.id());
        windows::kill(supervisor);
        soon("its tree is gone, and it is back", || {
            tree.iter().all(|&pid| !windows::is_alive(pid)) && grown(&first)
        });
    }
    let supervisor = windows::parent(first.tree()[0]);
    first.run(&["restart"], 0);
    soon("its tree has grown", || grown(&first));
    assert_eq!(windows::parent(first.tree()[0]), supervisor, "it is kept by the same");
    first.run(&["stop"], 0);
    std::thread::sleep(std::time::Duration::from_secs(3)); // longer than a crew waits
    assert!(!first.answers() && !windows::is_alive(supervisor), "it stays stopped");
    first.run(&["start"], 0);
    soon("its tree has grown", || grown(&first));
    assert_eq!(
        windows::parent(windows::parent(first.tree()[0])),
        crew.id(),
        "it is one of the crew"
    );
    assert_eq!(second.tree(), other, "the other one is left alone");
    let all = [first.tree(), second.tree()].concat();
    autoglm_boot::platform::send("SIGTERM", &[crew.id()]);
    assert_eq!(crew.wait().unwrap().code(), Some(0));
    assert!(all.iter().all(|&pid| !windows::is_alive(pid)), "{all:?}");
    for home in [&first, &second] {
        home.run(&["uninstall"], 0);
    }
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn what_was_done_in_another_boot_is_not_done_in_this_one() {
    let work = Home::new("w-work");
    work.manifest_of("['cmd.exe', '/d', '/c', 'exit 0']", "type = 'oneshot'", "");
    let app = Home::new("w-needs");
    let needs = "[dependencies]\nrequires = ['w-work']\nwait_timeout = '500ms'\n[restart]\npolicy = 'never'\n";
    app.manifest("", needs);
    work.run(&["install", "--backend", "embedded"], 0);
    assert!(work.run(&["status", "w-work"], 0).starts_with("w-work: ready"));
    let file = windows::records().join("run").join("w-work").join("w-work.json");
    let live = fs::read_to_string(&file).unwrap();
    let own = format!("\"boot\":\"{}\"", autoglm_boot::platform::boot());
    assert!(live.contains(&own), "{live}");
    fs::write(&file, live.replace(&own, "\"boot\":\"0123456789abcdef\"")).unwrap();
    assert!(work.run(&["status", "w-work"], 3).starts_with("w-work: disabled"));
    let said = app.run(&["install", "--backend", "embedded"], 1);
    assert!(said.contains("w-work: it does not run"), "{said}");
    fs::write(&file, live).unwrap();
    app.run(&["install", "--backend", "embedded"], 0);
    app.run(&["uninstall", "w-needs"], 0);
    work.run(&["uninstall", "w-work"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn what_closes_it_or_ends_its_session_ends_it_well() {
    use windows_sys::Win32::UI::WindowsAndMessaging::{WM_CLOSE, WM_ENDSESSION};

    let home = Home::new("w-close");
    home.manifest("", "");
    for (message, first) in [(WM_CLOSE, 0), (WM_ENDSESSION, 1)] {
        let mut command = home.command(&["run", "--manifest", "app.toml"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        soon("it answers", || home.answers());
        soon("its tree has grown", || home.tree().len() == 3);
        let tree = home.tree();
        windows::post(child.id(), WM_ENDSESSION, 0);
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(home.answers(), "the session does not end after all");
        windows::post(child.id(), message, first);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(!home.answers() && tree.iter().all(|&pid| !windows::is_alive(pid)));
    }
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}
