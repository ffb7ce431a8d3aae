//! What an app says, however much it is: what is kept of it, what is counted, and how much of the disk it takes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{fs, path::PathBuf};

use support::home::{Home, soon};

/// The files of its log, the oldest first: one that is put aside meanwhile is met once at the most.
fn files(home: &Home) -> Vec<PathBuf> {
    let path = |number: u32| match number {
        0 => home.path("logs/app.log"),
        number => home.path(&format!("logs/app.log.{number}")),
    };
    (0..60).rev().map(path).filter(|path| path.exists()).collect()
}

/// Everything that is kept, without what the supervisor says itself.
fn kept(home: &Home) -> Vec<String> {
    let texts = files(home).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let text: String = texts.collect();
    assert!(text.ends_with('\n'), "whole lines");
    let is_of_app = |line: &&str| !line.starts_with("[autoglm-boot] ");
    text.lines().filter(is_of_app).map(str::to_owned).collect()
}

/// What the supervisor has said of lines that are missing.
fn dropped(home: &Home) -> usize {
    let texts = files(home).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let text: String = texts.collect();
    let notes = text.lines().filter_map(|line| {
        line.strip_prefix("[autoglm-boot] ")?
            .strip_suffix(" lines dropped: more than logging.rate_limit allows")
    });
    notes.map(|number| number.parse::<usize>().unwrap()).sum()
}

/// An app that says this, and then that it is done.
fn install(home: &Home, says: &str, logging: &str) {
    home.script(
        "app",
        &format!("{says}; touch said; exec sleep 1000"),
        &format!("[readiness]\nsettle = \"10ms\"\n[logging]\nfile = \"logs/app.log\"\n{logging}"),
    );
    home.run(&["install"], 0);
}

#[test]
fn a_flood_never_takes_more_of_the_disk_than_it_may() {
    const LAST: &str = "20000000";
    let home = Home::new();
    install(
        &home,
        &format!("seq {LAST}"),
        "max_size = \"1Mi\"\nmax_files = 2\nrate_limit = { burst = 0, interval = \"0s\" }",
    );
    let mut looks = 0;
    let look = || {
        let sizes: Vec<_> = files(&home)
            .iter()
            .filter_map(|path| Some(fs::metadata(path).ok()?.len()))
            .collect();
        assert!(
            sizes.len() <= 3 && sizes.iter().all(|size| *size <= 1 << 20),
            "{sizes:?}"
        );
        looks += 1;
        home.path("said").exists()
    };
    soon("all is said", look);
    soon("the last of it is written", || {
        kept(&home).last().is_some_and(|line| line == LAST)
    });
    let kept: Vec<u64> = kept(&home).iter().map(|line| line.parse().unwrap()).collect();
    assert!(
        kept.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "the newest, without a gap"
    );
    assert!(kept.len() > 2 * (1 << 20) / 9, "{}", kept.len());
    assert!(looks > 20, "{looks}");
}

#[test]
fn below_the_rate_limit_no_line_is_lost_in_rotation() {
    let home = Home::new();
    // Just below the default limit, in as many files as there may be.
    install(
        &home,
        "while ! test -e go; do sleep 0.05; done; seq -f %0100g 9999",
        "max_size = \"32Ki\"\nmax_files = 50",
    );
    let follower = home.begin(&["logs", "-f", "app"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write(home.path("go"), "").unwrap();
    follower.says("9999\n");
    let numbers: Vec<_> = kept(&home).iter().map(|line| line.parse::<u32>().unwrap()).collect();
    assert_eq!(numbers, (1..=9999).collect::<Vec<_>>());
    assert!(files(&home).len() > 30, "it was rotated often");
    let heard: Vec<_> = follower
        .text()
        .lines()
        .map(|line| line.parse::<u32>().unwrap())
        .collect();
    assert_eq!(heard, numbers, "whoever follows misses none either");
}

#[test]
fn what_is_beyond_the_rate_limit_is_counted_to_the_line() {
    let home = Home::new();
    install(
        &home,
        "seq 3000000",
        "max_size = \"1Mi\"\nmax_files = 50\nrate_limit = { burst = 1000, interval = \"100ms\" }",
    );
    soon("all is said", || home.path("said").exists());
    home.run(&["stop"], 0);
    let kept = kept(&home);
    assert_eq!(kept.len() + dropped(&home), 3_000_000);
    assert!(kept.len() >= 1000 && kept.len() < 1_000_000, "{}", kept.len());
}
