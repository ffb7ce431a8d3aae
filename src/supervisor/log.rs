//! An app's output: whole lines, within a rate limit, into files that are rotated or to our own output.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use memchr::{memchr_iter, memrchr};

use crate::{
    platform,
    service::{Logging, RateLimit},
};

/// A line that is longer is broken.
const LONGEST_LINE: usize = 64 * 1024;
/// So much is read at once.
const CHUNK: usize = 256 * 1024;
/// So many bytes of what was passed through are kept for whoever asks.
const BACKLOG: usize = 64 * 1024;

/// Where output goes.
#[derive(Debug)]
pub enum Sink {
    /// Into files: `PATH`, `PATH.1` (the one before), … up to `max_files`.
    File(Rotated),
    /// To our own standard output, and to whoever listens.
    Through(Through),
}

impl Sink {
    /// Whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(lines),
            Self::Through(through) => through.write(lines),
        }
    }
}

/// Output that is passed on.
#[derive(Debug)]
pub struct Through {
    output: fs::File,
    /// In front of each line.
    prefix: String,
    listeners: Arc<Listeners>,
}

impl Through {
    /// To our own standard output; `name` in front of each line, if one is given.
    pub fn new(name: Option<&str>, listeners: Arc<Listeners>) -> io::Result<Self> {
        Ok(Self {
            output: platform::own_output()?,
            prefix: name.map_or_else(String::new, |name| format!("{name} | ")),
            listeners,
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.listeners.tell(lines);
        if self.prefix.is_empty() {
            return self.output.write_all(lines);
        }
        let mut prefixed = Vec::with_capacity(lines.len() * 2);
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            prefixed.extend_from_slice(self.prefix.as_bytes());
            prefixed.extend_from_slice(line);
        }
        self.output.write_all(&prefixed)
    }
}

/// Who listens to what is passed through, and the last of it.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    last: VecDeque<u8>,
    listeners: Vec<mpsc::SyncSender<Vec<u8>>>,
}

impl Listeners {
    /// The last so many lines that are kept, and what comes.
    pub fn listen(&self, lines: usize) -> (Vec<u8>, mpsc::Receiver<Vec<u8>>) {
        const AHEAD: usize = 64;
        let (sender, receiver) = mpsc::sync_channel(AHEAD);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner); // bytes are bytes
        state.listeners.push(sender);
        let kept: Vec<u8> = state.last.iter().copied().collect();
        (last_lines(&kept, lines).to_vec(), receiver)
    }

    /// One that does not keep up, or went away, is told nothing more: the app must not stand still for it.
    fn tell(&self, lines: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner); // as above
        let Heard { last, listeners } = &mut *state;
        listeners.retain(|listener| listener.try_send(lines.to_vec()).is_ok());
        let end = &lines[lines.len().saturating_sub(BACKLOG)..];
        let surplus = (last.len() + end.len()).saturating_sub(BACKLOG).min(last.len());
        last.drain(..surplus);
        last.extend(end);
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

/// A log file and its earlier ones.
#[derive(Debug)]
pub struct Rotated {
    path: PathBuf,
    file: fs::File,
    size: u64,
    max_size: u64,
    max_files: u32,
}

impl Rotated {
    /// Opens the log to append to it.
    pub fn open(path: &Path, logging: &Logging) -> io::Result<Self> {
        let file = platform::append(path, 0o640)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.into(),
            file,
            size,
            max_size: logging.max_size,
            max_files: logging.max_files,
        })
    }

    /// As many whole lines as the file may hold, then the rest into the next one.
    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let room = usize::try_from(self.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let mut end = lines.len();
            if end > room {
                end = memrchr(b'\n', &lines[..room]).map_or(0, |at| at + 1);
            }
            if end == 0 && self.size > 0 {
                self.rotate()?;
                continue;
            }
            if end == 0 {
                // A line that is longer than a file may be, has one of its own.
                end = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
            }
            self.file.write_all(&lines[..end])?;
            self.size += u64::try_from(end).unwrap_or_default();
            lines = &lines[end..];
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut files = paths(&self.path, self.max_files);
        files.reverse();
        if self.max_files == 0 {
            self.file.set_len(0)?;
        }
        for pair in files.windows(2) {
            match platform::rename(&pair[1], &pair[0]) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = platform::append(&self.path, 0o640)?;
        self.size = 0;
        Ok(())
    }
}

/// Every file that a log can have, the newest first.
pub fn paths(path: &Path, max_files: u32) -> Vec<PathBuf> {
    let earlier = (1..=max_files).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_path_buf()).chain(earlier).collect()
}

/// Copies lines until the writing end is closed everywhere. What goes beyond the rate limit is dropped and counted; what
/// cannot be written is dropped too: the app must not stand still for it.
pub fn copy(mut input: impl Read, sink: Sink, limit: RateLimit) {
    let mut gate = Gate::new(limit, sink);
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
struct Gate {
    limit: RateLimit,
    sink: Sink,
    begun: Option<Instant>,
    passed: u64,
    dropped: u64,
}

impl Gate {
    fn new(limit: RateLimit, sink: Sink) -> Self {
        Self {
            limit,
            sink,
            begun: None,
            passed: 0,
            dropped: 0,
        }
    }

    /// Lets whole lines pass, as many as may; one write for all of them.
    fn pass(&mut self, lines: &[u8], now: Instant) {
        if lines.is_empty() {
            return;
        }
        if self.limit.burst == 0 || self.limit.interval == Duration::ZERO {
            let _ = self.sink.write(lines); // as said above
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
            let _ = self.sink.write(open); // as said above
        }
        self.dropped += count(shut);
    }

    /// A line without an end is given one.
    fn pass_broken(&mut self, line: &[u8]) {
        let mut line = line.to_vec();
        line.push(b'\n');
        self.pass(&line, Instant::now());
    }

    fn tell_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let note = format!("[autoglm-boot] {dropped} lines dropped: more than logging.rate_limit allows\n");
            let _ = self.sink.write(note.as_bytes()); // as said above
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(memchr_iter(b'\n', lines).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
