//! The last installed versions of an app: what `history` shows and `rollback` goes back to.
//!
//! `history.json` is the index, which anybody may read; `versions/N.json` holds a whole version, which may hold secrets, and is
//! its owner's only.

use serde::{Deserialize, Serialize};

use crate::{
    backend::AppState,
    exit::Failure,
    plan::Step,
    receipt::{self, Receipt, Store},
    service::Service,
};

/// So many versions are kept, the installed one among them.
pub const KEPT: usize = 3;

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1, never used again.
    pub number: u32,
    /// The app's own version.
    pub version: Option<String>,
    /// When: seconds since 1970, UTC.
    pub installed: u64,
    /// The account that installed it.
    pub by: String,
    /// The version of the tool that wrote it.
    pub tool: String,
    /// The version that it is again, where it came by a rollback.
    pub again: Option<u32>,
}

/// A whole version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The manifest as it was written.
    pub manifest: String,
    /// The manifest as it was checked: this is what a rollback installs.
    pub service: Service,
    /// The native artefact as it was rendered.
    pub rendered: String,
}

/// The last steps of an install: a version more, the checked manifest, the receipt; of these only what is new. The version is
/// the manifest as it was written, and the number of the one that it is again.
pub fn record(
    store: &Store,
    service: &Service,
    rendered: &str,
    state: &AppState,
    receipt: &Receipt,
    (manifest, again): (&str, Option<u32>),
) -> Result<Vec<Step>, Failure> {
    let name = &service.name;
    let mut steps = Vec::new();
    if state.service.as_ref() != Some(service) {
        let version = Version {
            manifest: manifest.into(),
            service: service.clone(),
            rendered: rendered.into(),
        };
        steps.extend(add(store, &state.history, receipt, &version, again)?);
        steps.push(receipt::write(store.service_path(name), service, 0o600)?);
    }
    if !state.receipt.as_ref().is_some_and(|old| old.is_same_install(receipt)) {
        steps.push(receipt::write(store.receipt_path(name), receipt, 0o644)?);
    }
    Ok(steps)
}

/// Adds a version; the oldest beyond [`KEPT`] go.
fn add(
    store: &Store,
    history: &[Entry],
    receipt: &Receipt,
    version: &Version,
    again: Option<u32>,
) -> Result<Vec<Step>, Failure> {
    let name = &receipt.name;
    let number = history.last().map_or(1, |entry| entry.number + 1);
    let mut entries = history.to_vec();
    entries.push(Entry {
        number,
        version: receipt.version.clone(),
        installed: receipt.installed,
        by: receipt.by.clone(),
        tool: receipt.tool.clone(),
        again,
    });
    let kept = entries.split_off(entries.len().saturating_sub(KEPT));
    let mut steps = Vec::new();
    if history.is_empty() {
        steps.push(Step::Mkdir {
            path: store.versions(name),
            mode: 0o755,
        });
    }
    steps.push(receipt::write(store.version_path(name, number), version, 0o600)?);
    steps.push(receipt::write(store.history_path(name), &kept, 0o644)?);
    steps.extend(entries.iter().map(|entry| Step::Remove {
        path: store.version_path(name, entry.number),
    }));
    Ok(steps)
}

/// The steps that forget all of it.
pub fn forget(store: &Store, name: &str, history: &[Entry]) -> Vec<Step> {
    if history.is_empty() {
        return Vec::new();
    }
    let versions = history.iter().map(|entry| store.version_path(name, entry.number));
    let mut steps: Vec<_> = versions
        .chain([store.history_path(name)])
        .map(|path| Step::Remove { path })
        .collect();
    steps.push(Step::Rmdir {
        path: store.versions(name),
    });
    steps
}
