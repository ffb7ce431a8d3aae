//! An app's output: lines into files that are rotated, within a rate limit; or passed through.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{platform, service::RateLimit};

/// A file of a log is not longer than this.
pub const MAX_SIZE: u64 = 10 * 1024 * 1024;
/// So many earlier files are kept beside the one that is written.
pub const MAX_FILES: u32 = 5;
/// A line that is longer is broken.
const LONGEST_LINE: u64 = 64 * 1024;

/// Where output goes.
#[derive(Debug)]
pub enum Sink {
    /// Into files: `PATH`, `PATH.1` (the one before), … `PATH.5`.
    File(Rotated),
    /// To our own standard output.
    Through,
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(line),
            Self::Through => io::stdout().write_all(line),
        }
    }
}

/// A log file and its earlier ones.
#[derive(Debug)]
pub struct Rotated {
    path: PathBuf,
    file: fs::File,
    size: u64,
}

impl Rotated {
    /// Opens the log to append to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = platform::append(path, 0o640)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.into(),
            file,
            size,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.size > 0 && self.size.saturating_add(length) > MAX_SIZE {
            self.rotate()?;
        }
        self.size += length;
        self.file.write_all(line)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut files = paths(&self.path);
        files.reverse();
        for pair in files.windows(2) {
            match platform::rename(&pair[1], &pair[0]) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

/// Every file that a log can have, the newest first.
pub fn paths(path: &Path) -> Vec<PathBuf> {
    let earlier = (1..=MAX_FILES).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_path_buf()).chain(earlier).collect()
}

/// Copies lines until the writing end is closed everywhere. What goes beyond the rate limit is dropped and counted; what
/// cannot be written is dropped too: the app must not stand still for it.
pub fn copy(input: impl Read, mut sink: Sink, limit: RateLimit) {
    let mut input = BufReader::with_capacity(32 * 1024, input);
    let mut gate = Gate::new(limit);
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let (is_open, dropped) = gate.pass(Instant::now());
        if dropped > 0 {
            let _ = sink.write(note_of(dropped).as_bytes()); // as said above
        }
        if is_open {
            let _ = sink.write(&line); // as said above
        }
    }
    if gate.dropped > 0 {
        let _ = sink.write(note_of(gate.dropped).as_bytes()); // as said above
    }
}

fn note_of(dropped: u64) -> String {
    format!("[autoglm-boot] {dropped} lines dropped: more than logging.rate_limit allows\n")
}

/// Lets so many lines through within an interval.
#[derive(Debug)]
struct Gate {
    limit: RateLimit,
    begun: Option<Instant>,
    passed: u32,
    dropped: u64,
}

impl Gate {
    fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            begun: None,
            passed: 0,
            dropped: 0,
        }
    }

    /// Whether a line may pass, and how many were dropped in the interval that is over.
    fn pass(&mut self, now: Instant) -> (bool, u64) {
        if self.limit.burst == 0 || self.limit.interval == Duration::ZERO {
            return (true, 0);
        }
        let is_over = self
            .begun
            .is_none_or(|begun| now.duration_since(begun) >= self.limit.interval);
        let mut dropped = 0;
        if is_over {
            self.begun = Some(now);
            self.passed = 0;
            dropped = std::mem::take(&mut self.dropped);
        }
        let is_open = self.passed < self.limit.burst;
        if is_open {
            self.passed += 1;
        } else {
            self.dropped += 1;
        }
        (is_open, dropped)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    const FREE: RateLimit = RateLimit {
        burst: 0,
        interval: Duration::ZERO,
    };

    #[test]
    fn no_line_is_lost_in_rotation_and_the_disk_holds_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let total = 25 * 1024 * 1024 / 100;
        let text: String = (0..total).map(|number| format!("{number:0>99}\n")).collect();
        copy(text.as_bytes(), Sink::File(Rotated::open(&path).unwrap()), FREE);
        let mut read = String::new();
        for path in paths(&path).iter().rev().filter(|path| path.exists()) {
            assert!(fs::metadata(path).unwrap().len() <= MAX_SIZE);
            read += &fs::read_to_string(path).unwrap();
        }
        assert!(read == text, "every line is there, in order");
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
        copy(text.as_bytes(), Sink::File(Rotated::open(&path).unwrap()), limit);
        let read = fs::read_to_string(&path).unwrap();
        assert_eq!(read.lines().filter(|line| *line == "line").count(), 10);
        assert!(read.contains("990 lines dropped"), "{read}");
    }
}
