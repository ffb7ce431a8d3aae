//! A log file and its earlier ones.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use memchr::memrchr;

use super::Written;
use crate::{platform, service::Logging};

/// No log has more earlier files than this.
pub const MOST_FILES: u32 = 1000;

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
        if logging.file.is_none() {
            remove_surplus(path, logging.max_files)?;
        }
        Ok(Self {
            path: path.into(),
            file,
            size,
            max_size: logging.max_size,
            max_files: logging.max_files,
        })
    }

    /// As many whole lines as the file may hold, then the rest into the next one.
    pub(super) fn write(&mut self, lines: &[u8]) -> Written {
        let mut bytes = 0;
        while bytes < lines.len() {
            match self.write_some(&lines[bytes..]) {
                Ok(some) => bytes += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Written {
                        bytes,
                        error: Some(error),
                    };
                }
            }
        }
        Written { bytes, error: None }
    }

    /// What one write takes; nothing, where a new file was begun.
    fn write_some(&mut self, lines: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let mut end = lines.len();
        if end > room {
            end = memrchr(b'\n', &lines[..room]).map_or(0, |at| at + 1);
        }
        if end == 0 && self.size > 0 {
            self.rotate()?;
            return Ok(0);
        }
        if end == 0 {
            end = lines.len().min(room); // a line that is longer than a file may be
        }
        let written = self.file.write(&lines[..end])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.size += u64::try_from(written).unwrap_or_default();
        Ok(written)
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
        self.size = self.file.metadata()?.len(); // somebody may have made one
        Ok(())
    }
}

/// Removes earlier files that a larger limit has kept. In a folder of the user's own they are the user's.
fn remove_surplus(path: &Path, max_files: u32) -> io::Result<()> {
    let kept = paths(path, max_files).len();
    for surplus in paths(path, MOST_FILES).iter().skip(kept) {
        if !platform::remove(surplus)? {
            break;
        }
    }
    Ok(())
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
