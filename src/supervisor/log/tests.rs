#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use super::*;

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
    copy(text.as_bytes(), rotated(&path, 10 * 1024 * 1024, 5), FREE);
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
    copy(text.as_bytes(), rotated(&path, 1000, 2), FREE);
    let kept = read_all(&path, 2);
    assert!(kept.len() <= 3000 && kept.len() > 2000, "{}", kept.len());
    assert!(text.ends_with(&kept), "the newest, whole lines");
    copy(text.as_bytes(), rotated(&path, 1000, 0), FREE);
    assert!(fs::metadata(&path).unwrap().len() <= 1000);
    assert!(text.ends_with(&fs::read_to_string(&path).unwrap()));
}

#[test]
fn a_line_that_is_too_long_is_broken_and_nothing_of_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let long = "x".repeat(CHUNK * 2 + 7);
    let text = format!("first\n{long}\nlast without an end");
    copy(text.as_bytes(), rotated(&path, 100, 9), FREE);
    let read = read_all(&path, 9);
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
    copy(text.as_bytes(), rotated(&path, 1_000_000, 1), limit);
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
    let mut gate = Gate::new(limit, rotated(&path, 1_000_000, 1));
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
    let (kept, receiver) = listeners.listen(1);
    assert_eq!(kept, b"last\n");
    for _ in 0..1000 {
        listeners.tell(b"line\n");
    }
    assert!(receiver.iter().count() < 1000, "it was let go");
    for _ in 0..BACKLOG {
        listeners.tell(b"0123456789\n");
    }
    assert!(listeners.listen(usize::MAX).0.len() <= BACKLOG);
}
