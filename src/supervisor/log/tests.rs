#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::{fs, path::Path, sync::Arc};

use super::{
    listeners::{AHEAD, BACKLOG},
    *,
};
use crate::service::Logging;

const FREE: RateLimit = RateLimit {
    burst: 0,
    interval: Duration::ZERO,
};

fn logging(max_size: u64, max_files: u32) -> Logging {
    Logging {
        level: None,
        rate_limit: FREE,
        destination: None,
        file: None,
        max_size,
        max_files,
    }
}

fn rotated(path: &Path, max_size: u64, max_files: u32) -> Sink {
    Sink::File(Rotated::open(path, &logging(max_size, max_files)).unwrap())
}

fn read_all(path: &Path, max_files: u32) -> String {
    let files = paths(path, max_files);
    let there = files.iter().rev().filter(|path| path.exists());
    there.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn no_line_is_lost_in_rotation_and_the_disk_holds_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let total = 25 * 1024 * 1024 / 100;
    let text: String = (0..total).map(|number| format!("{number:0>99}\n")).collect();
    copy(text.as_bytes(), rotated(&path, 10 * 1024 * 1024, 5), FREE, |_| {});
    for path in paths(&path, 5).iter().filter(|path| path.exists()) {
        assert!(fs::metadata(path).unwrap().len() <= 10 * 1024 * 1024);
    }
    assert!(read_all(&path, 5) == text, "every line is there, in order");
}

#[test]
fn more_than_the_files_can_hold_drops_the_oldest_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let text: String = (0..10_000).map(|number| format!("{number:0>9}\n")).collect();
    copy(text.as_bytes(), rotated(&path, 1000, 2), FREE, |_| {});
    let kept = read_all(&path, 2);
    assert!(kept.len() <= 3000 && kept.len() > 2000, "{}", kept.len());
    assert!(text.ends_with(&kept), "the newest, whole lines");
    copy(text.as_bytes(), rotated(&path, 1000, 0), FREE, |_| {});
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "there were more before"
    );
    assert!(fs::metadata(&path).unwrap().len() <= 1000);
    assert!(text.ends_with(&fs::read_to_string(&path).unwrap()));
}

#[test]
fn a_line_that_is_too_long_is_broken_and_nothing_of_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let long = "x".repeat(CHUNK * 2 + 7);
    let text = format!("first\n{long}\nlast without an end");
    copy(text.as_bytes(), rotated(&path, 4000, 200), FREE, |_| {});
    let read = read_all(&path, 200);
    for path in paths(&path, 200).iter().filter(|path| path.exists()) {
        assert!(fs::metadata(path).unwrap().len() <= 4000);
    }
    assert_eq!(read.replace('\n', ""), text.replace('\n', ""));
    assert!(read.ends_with("last without an end\n"));
}

#[test]
fn a_flood_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let limit = RateLimit {
        burst: 10,
        interval: Duration::from_mins(1),
    };
    let text = "line\n".repeat(1000);
    copy(text.as_bytes(), rotated(&path, 1_000_000, 1), limit, |_| {});
    let read = fs::read_to_string(&path).unwrap();
    assert_eq!(read.lines().filter(|line| *line == "line").count(), 10);
    assert!(read.contains("990 lines dropped"), "{read}");
}

#[test]
fn after_an_interval_lines_pass_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let limit = RateLimit {
        burst: 2,
        interval: Duration::from_secs(1),
    };
    let mut gate = Gate::new(limit, rotated(&path, 1_000_000, 1), |_: Option<&str>| {});
    let start = Instant::now();
    gate.pass(b"1\n2\n3\n", start);
    gate.pass(b"4\n", start + Duration::from_millis(900));
    gate.pass(b"5\n", start + Duration::from_millis(1100));
    let read = fs::read_to_string(&path).unwrap();
    let note = "[autoglm-boot] 2 lines dropped: more than logging.rate_limit allows\n";
    assert_eq!(read, format!("1\n2\n{note}5\n"));
}

#[test]
fn the_last_lines_are_found() {
    for (text, lines, expected) in [
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\nb\nc", 1, "c"),
        ("a\nb\n", 9, "a\nb\n"),
        ("a\n", 0, ""),
        ("", 3, ""),
    ] {
        assert_eq!(
            last_lines(text.as_bytes(), lines),
            expected.as_bytes(),
            "{text:?} {lines}"
        );
    }
}

#[test]
fn who_listens_hears_what_comes_and_who_does_not_keep_up_holds_nobody() {
    let listeners = Listeners::default();
    listeners.tell(b"before\nlast\n");
    let (kept, ear) = listeners.listen(1);
    assert_eq!(kept, b"last\n");
    assert_eq!(ear.next(Duration::from_millis(1)), Heard::Nothing);
    listeners.tell(b"one\n");
    listeners.tell(b"two\n");
    assert_eq!(ear.next(Duration::from_secs(9)), Heard::Lines(0, b"one\ntwo\n".into()));
    let lines = AHEAD / 10 * 3 / 2;
    for _ in 0..lines {
        listeners.tell(b"123456789\n");
    }
    let Heard::Lines(skipped, rest) = ear.next(Duration::from_secs(9)) else {
        panic!("there are lines")
    };
    assert!(rest.len() <= AHEAD && skipped > 0);
    assert_eq!(
        usize::try_from(skipped).unwrap() + rest.len() / 10,
        lines,
        "each is told or counted"
    );
    assert!(listeners.listen(usize::MAX).0.len() <= BACKLOG);
}

#[test]
fn at_the_end_who_listens_has_a_moment_to_pass_on_the_last_of_it() {
    let listeners = Arc::new(Listeners::default());
    let (_, ear) = listeners.listen(0);
    listeners.tell(b"last words\n");
    let told = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let last = ear.next(Duration::from_secs(9));
        (last, ear.next(Duration::from_secs(9)))
    });
    listeners.end(Duration::from_secs(20));
    assert_eq!(
        told.join().unwrap(),
        (Heard::Lines(0, b"last words\n".into()), Heard::End)
    );
    let start = Instant::now();
    let (_, late) = listeners.listen(0);
    assert_eq!(late.next(Duration::from_secs(9)), Heard::End);
    let other = Listeners::default();
    let (_, _deaf) = other.listen(0);
    other.end(Duration::from_millis(50));
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "one that does not is not waited for"
    );
}
