//! Logs on a disk that is as large as they may become, and on one that is full: a small one of its own, which takes root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{fs, path::PathBuf, process::Command, thread::sleep, time::Duration};

use support::home::{Home, is_there, soon};

/// Installs `app.toml` where the folder of its log is a disk of this size; only the app and its supervisor see that.
fn install(home: &Home, size: &str) {
    fs::create_dir(home.path("logs")).unwrap();
    let install = home.command(&["install"]);
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=$1 disk logs; shift; exec \"$@\"";
    command.args(["--mount", "sh", "-ec", script, "sh", size]);
    command.arg(install.get_program()).args(install.get_args());
    command.envs(install.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let out = command.current_dir(home.path("")).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

/// The log's folder, as the app sees it.
fn logs(home: &Home) -> PathBuf {
    let folder = home.path("logs");
    let folder = folder.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{}/root", home.pid("app").unwrap())).join(folder)
}

fn text(home: &Home, names: &[&str]) -> String {
    let read = |name: &&str| fs::read_to_string(logs(home).join(name)).unwrap_or_default();
    names.iter().map(read).collect()
}

const LOGGING: &str = "[restart]\ndelay = \"100ms\"\n[readiness]\nsettle = \"10ms\"\n[logging]\nfile = \"logs/app.log\"\n\
                       rate_limit = { burst = 0, interval = \"0s\" }\n";

#[test]
fn a_disk_as_large_as_the_limit_is_never_full() {
    const LAST: &str = "40000000"; // a third of a gigabyte
    let home = Home::new();
    home.script(
        "app",
        &format!("seq {LAST}; touch said; exec sleep 1000"),
        &format!("{LOGGING}max_size = \"1Mi\"\nmax_files = 3"),
    );
    install(&home, "4M");
    soon("all is said", || home.path("said").exists());
    let names = ["app.log.3", "app.log.2", "app.log.1", "app.log"];
    soon("it is written", || {
        text(&home, &names).ends_with(&format!("\n{LAST}\n"))
    });
    let text = text(&home, &names);
    assert!(!text.contains("could not be written"), "the disk was full");
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "the newest, without a gap"
    );
    assert!(text.len() > 3 << 20);
    assert!(home.live("app")["output"].is_null());
}

#[test]
fn a_full_disk_is_told_and_holds_nobody_up() {
    let home = Home::new();
    // It says a line after the other, and counts them elsewhere.
    let script = "i=0; while [ ! -e last ]; do i=$((i+1)); printf '%0100d\\n' $i; echo $i >count; sleep 0.001; done; exec sleep 1000";
    home.script("app", script, &format!("{LOGGING}max_size = \"1Mi\"\nmax_files = 1"));
    install(&home, "64k");
    let pid = home.pid("app").unwrap();
    soon("the disk is full", || !home.live("app")["output"].is_null());
    let said = home.run(&["status"], 0);
    assert!(
        said.contains("cannot be written, and is lost: No space left on device"),
        "{said}"
    );
    let count = || {
        fs::read_to_string(home.path("count"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap_or(0)
    };
    let before = count();
    soon("it goes on", || count() > before + 300);
    assert!(home.pid("app") == Some(pid) && is_there(pid));
    // There is room again: it is written, with the count of what is missing.
    let log = logs(&home).join("app.log");
    let first = fs::read_to_string(&log).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(0)
        .unwrap();
    soon("it is written again", || home.live("app")["output"].is_null());
    fs::write(home.path("last"), "").unwrap();
    sleep(Duration::from_millis(300));
    let second = fs::read_to_string(&log).unwrap();
    let numbers = |text: &str| {
        text.lines()
            .filter(|line| line.len() == 100) // the last one on the full disk was cut
            .filter_map(|line| line.parse::<u64>().ok())
            .collect::<Vec<_>>()
    };
    let (first, kept) = (numbers(&first), numbers(&second));
    let lost: u64 = second
        .lines()
        .filter_map(|line| {
            line.strip_prefix("[autoglm-boot] ")?
                .split_once(" lines could not be written: ")?
                .0
                .parse::<u64>()
                .ok()
        })
        .sum();
    let kept = u64::try_from(first.len() + kept.len()).unwrap();
    assert_eq!(
        kept + lost,
        count(),
        "each line is written or counted: {lost} lost, {second}"
    );
    let said = home.run(&["status"], 0);
    assert!(!said.contains("cannot be written"), "{said}");
}
