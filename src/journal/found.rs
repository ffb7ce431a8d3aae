//! Journals that lie there: what an earlier run left, or one at work.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{FORMAT, Intent, Journal, Mark, NAMES, PREFIX, SUFFIX};
use crate::system::{Probe, System};

/// A journal that was found: what was meant and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub journal: Journal,
    /// What was meant.
    pub intent: Intent,
    /// Whether all of it was done.
    pub is_committed: bool,
    /// Whether some of its apps were undone by then.
    pub is_partly: bool,
    /// Steps that were begun.
    pub begun: usize,
}

/// The verb and an app of every journal that lies there: readable by anybody.
pub fn pending(state: &Path, look: &dyn Probe) -> io::Result<Vec<(String, String)>> {
    let mut pending = Vec::new();
    for path in look.list(state)? {
        let Some((verb, name)) = parse_name(&path) else {
            continue;
        };
        if !name.starts_with('+') {
            pending.push((verb, name));
            continue;
        }
        let names = look.read(&path.with_extension(NAMES)).unwrap_or_default();
        let names = String::from_utf8_lossy(&names).into_owned();
        pending.extend(names.lines().map(|name| (verb.clone(), name.to_owned())));
    }
    Ok(pending)
}

/// The journals that lie there, read. One whose first line is not whole was never on disk before a power cut, and nothing is
/// done before it is: it is passed over.
pub fn find(state: &Path, look: &dyn Probe) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in look.list(state)?.into_iter().filter(|path| parse_name(path).is_some()) {
        let bytes = look.read(&path)?;
        if let Some((first, marks)) = parts(&bytes) {
            let error = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            found.push(parse(first, marks, path.clone()).map_err(error)?);
        }
    }
    Ok(found)
}

/// Removes what is no journal, or never became one: once those that were found have ended, that is all that is left.
pub fn sweep(state: &Path, system: &dyn System) -> io::Result<()> {
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_list = name.starts_with(PREFIX) && path.extension().is_some_and(|extension| extension == NAMES);
        let is_half_written = name.starts_with('.') && name[1..].starts_with(PREFIX);
        is_list || is_half_written || parse_name(path).is_some()
    };
    let lists = system.list(state)?;
    lists
        .iter()
        .filter(|path| is_left(path))
        .try_for_each(|path| system.remove(path))
}

/// The first line, and what follows; none where the first line is not whole.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (first, marks) = bytes.split_at(end);
    (!first.contains(&0)).then_some((first, marks))
}

fn parse(first: &[u8], marks: &[u8], path: PathBuf) -> io::Result<Found> {
    /// What every version of the format begins with.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let Version { format } = serde_json::from_slice(first)?;
    if format != FORMAT {
        let message = format!("it was written by a newer autoglm-boot (format {format})");
        return Err(io::Error::other(message));
    }
    let lines = marks.split(|&byte| byte == b'\n').skip(1);
    let marks: Vec<Mark> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    let begun = marks.iter().filter_map(|mark| match mark {
        Mark::Begun(number) => Some(number + 1),
        _ => None,
    });
    Ok(Found {
        journal: Journal { path },
        is_committed: marks.contains(&Mark::Committed),
        is_partly: marks.contains(&Mark::Partly),
        begun: begun.max().unwrap_or_default(),
        intent: serde_json::from_slice(first)?,
    })
}

/// `intent.install.hello.jsonl` → install, hello.
fn parse_name(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (verb, app) = name.split_once('.')?;
    Some((verb.into(), app.into()))
}
