//! An app's output: whole lines, within a rate limit, into files that are rotated or to our own output.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use memchr::{memchr_iter, memrchr};

use crate::service::RateLimit;

mod listeners;
mod rotated;
mod through;

pub use listeners::{Ear, Heard, Listeners};
pub use rotated::{MOST_FILES, Rotated, paths};
pub use through::Through;

/// A line that is longer is broken.
const LONGEST_LINE: usize = 64 * 1024;
/// So much is read at once.
const CHUNK: usize = 256 * 1024;

/// Where output goes.
#[derive(Debug)]
pub enum Sink {
    /// Into files: `PATH`, `PATH.1` (the one before), … up to `max_files`.
    File(Rotated),
    /// To our own standard output, and to whoever listens.
    Through(Through),
}

/// What came of a write.
#[derive(Debug)]
struct Written {
    /// So many bytes of it.
    bytes: usize,
    /// Why no more.
    error: Option<io::Error>,
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Written {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Through(through) => through.write(bytes),
        }
    }

    /// Whether a line that is broken needs an end of its own; what is passed on alone is passed on as it is.
    fn is_of_lines(&self) -> bool {
        !matches!(self, Self::Through(through) if !through.has_name())
    }
}

/// The last so many lines of a text.
pub fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    match memchr::memrchr_iter(b'\n', body).nth(lines - 1) {
        Some(at) => &text[at + 1..],
        None => text,
    }
}

/// Copies lines until the writing end is closed everywhere. What goes beyond the rate limit is dropped and counted; what
/// cannot be written too, and `tell` is told why, and when it can be written again: the app must not stand still for it.
pub fn copy(mut input: impl Read, sink: Sink, limit: RateLimit, tell: impl FnMut(Option<&str>)) {
    let mut gate = Gate::new(limit, sink, tell);
    let mut buffer = vec![0; CHUNK];
    let mut held = 0; // of a line whose end did not come yet
    loop {
        let read = match input.read(&mut buffer[held..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let filled = held + read;
        let whole = memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
        gate.pass(&buffer[..whole], Instant::now());
        buffer.copy_within(whole..filled, 0);
        held = filled - whole;
        if held >= LONGEST_LINE {
            gate.pass_broken(&buffer[..held]);
            held = 0;
        }
    }
    if held > 0 {
        gate.pass_broken(&buffer[..held]);
    }
    gate.tell_dropped();
}

/// Lets so many lines through within an interval.
#[derive(Debug)]
struct Gate<T> {
    limit: RateLimit,
    sink: Sink,
    tell: T,
    begun: Option<Instant>,
    passed: u64,
    dropped: u64,
    /// Lines that could not be written, and why.
    lost: Option<(u64, String)>,
    /// What was written last ended a line.
    is_at_start: bool,
}

impl<T: FnMut(Option<&str>)> Gate<T> {
    fn new(limit: RateLimit, sink: Sink, tell: T) -> Self {
        Self {
            limit,
            sink,
            tell,
            begun: None,
            passed: 0,
            dropped: 0,
            lost: None,
            is_at_start: true,
        }
    }

    /// Lets whole lines pass, as many as may; one write for all of them.
    fn pass(&mut self, lines: &[u8], now: Instant) {
        if lines.is_empty() {
            return;
        }
        if self.limit.burst == 0 || self.limit.interval == Duration::ZERO {
            self.write(lines);
            return;
        }
        let is_over = |begun: Instant| now.duration_since(begun) >= self.limit.interval;
        if self.begun.is_none_or(is_over) {
            self.begun = Some(now);
            self.passed = 0;
            self.tell_dropped();
        }
        let left = u64::from(self.limit.burst).saturating_sub(self.passed);
        let skip = usize::try_from(left).unwrap_or(usize::MAX);
        let end = match skip.checked_sub(1) {
            None => 0,
            Some(last) => memchr_iter(b'\n', lines).nth(last).map_or(lines.len(), |at| at + 1),
        };
        let (open, shut) = lines.split_at(end);
        if !open.is_empty() {
            self.passed += count(open);
            self.write(open);
        }
        self.dropped += count(shut);
    }

    /// A line without an end is given one, where lines are what counts.
    fn pass_broken(&mut self, line: &[u8]) {
        let mut line = line.to_vec();
        if self.sink.is_of_lines() {
            line.push(b'\n');
        }
        self.pass(&line, Instant::now());
    }

    fn tell_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.note(&format!("{dropped} lines dropped: more than logging.rate_limit allows"));
        }
    }

    /// Writes what it can; the first line after a gap says how large it was.
    fn write(&mut self, lines: &[u8]) {
        if let Some((lost, why)) = self.lost.clone() {
            let is_told = self.note(&format!("{lost} lines could not be written: {why}"));
            if !is_told {
                self.lost = Some((lost + count(lines), why));
                return;
            }
            self.lost = None;
            (self.tell)(None);
        }
        let written = self.put(lines);
        if let Some(error) = written.error {
            let error = error.to_string();
            (self.tell)(Some(&error));
            self.lost = Some((count(&lines[written.bytes..]), error));
        }
    }

    /// A line of our own; whether it could be written.
    fn note(&mut self, text: &str) -> bool {
        let end = if self.is_at_start { "" } else { "\n" };
        let line = format!("{end}[autoglm-boot] {text}\n");
        self.put(line.as_bytes()).error.is_none()
    }

    fn put(&mut self, bytes: &[u8]) -> Written {
        let written = self.sink.write(bytes);
        if let Some(last) = written.bytes.checked_sub(1) {
            self.is_at_start = bytes[last] == b'\n';
        }
        written
    }
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(memchr_iter(b'\n', lines).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
