//! What an app said, from its log files: the last lines, and what comes.

use std::{
    fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use super::log::{MOST_FILES, last_lines, paths};
use crate::{
    platform,
    system::{Probe, System},
};

/// Between two looks at a log that is followed.
const LOOK: Duration = Duration::from_millis(100);
/// The last so many lines of a log and its earlier files.
pub fn last(path: &Path, lines: usize, look: &dyn Probe) -> Vec<u8> {
    let mut text = Vec::new();
    for file in paths(path, MOST_FILES) {
        let Ok(mut earlier) = look.read(&file) else { break };
        earlier.append(&mut text);
        text = last_lines(&earlier, lines).to_vec();
        if text.len() < earlier.len() {
            break;
        }
    }
    text
}

/// Copies the last lines to our own output; and what comes, until we are asked to end.
pub fn show(path: &Path, lines: usize, is_following: bool, system: &dyn System) -> io::Result<()> {
    let mut output = platform::own_output()?;
    // Opened before the last lines are read: what comes meanwhile is shown, not lost.
    let mut file = platform::open_at_end(path).ok();
    output.write_all(&last(path, lines, system))?;
    while is_following && system.interrupted().is_none() {
        if let Some(open) = &mut file {
            for newer in newer(open, path) {
                copy(open, &mut output)?; // what came right before it was put aside
                *open = newer;
            }
            copy(open, &mut output)?;
        } else {
            file = platform::open_read(path).ok();
        }
        system.sleep(LOOK);
    }
    Ok(())
}

/// What was begun since this file was the newest, the oldest first.
fn newer(open: &fs::File, path: &Path) -> Vec<fs::File> {
    let mut newer: Vec<fs::File> = Vec::new();
    if platform::is_same_file(open, path) {
        return newer;
    }
    for path in paths(path, MOST_FILES) {
        let is_known = newer.last().is_some_and(|last| platform::is_same_file(last, &path)); // it was put aside just now
        match platform::open_read(&path) {
            _ if is_known => {}
            Ok(file) if !platform::is_same_file(open, &path) => newer.push(file),
            _ => break,
        }
    }
    newer.reverse();
    newer
}

fn copy(file: &mut fs::File, output: &mut fs::File) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    if file.stream_position()? > file.metadata()?.len() {
        file.rewind()?; // where no earlier file is kept, it is begun anew itself
    }
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => output.write_all(&buffer[..read])?,
        }
    }
}
