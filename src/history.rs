//! The last installed versions of an app: what `history` shows and `rollback` goes back to.
//!
//! Their index is in the receipt, which anybody may read. A whole version may hold secrets, and is its owner's only:
//! `installed.json` is the one that is installed, `versions/N.json` are those before it.

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

/// What an install writes down of one app; of that only what is new.
#[derive(Debug, Default)]
pub struct Records {
    /// The version, and those before it. A start need not wait for them, nor they for it.
    pub version: Vec<Step>,
    /// The receipt, once all is well.
    pub receipt: Option<Step>,
}

/// What an install of this version writes down.
pub fn record(
    store: &Store,
    version: &Version,
    app: &AppState,
    mut receipt: Receipt,
    again: Option<u32>,
) -> Result<Records, Failure> {
    let name = &version.service.name;
    let old = app.receipt.as_ref();
    let mut records = Records::default();
    let steps = &mut records.version;
    receipt.history = old.map_or_else(Vec::new, |old| old.history.clone());
    if app.service() != Some(&version.service) {
        let number = receipt.history.last().map_or(1, |entry| entry.number + 1);
        match &app.version {
            Some(earlier) => steps.extend(put_by(store, name, earlier, &receipt.history)?),
            None => drop(receipt.history.pop()), // its record is gone: it cannot be kept
        }
        receipt.history.push(Entry {
            number,
            version: receipt.version.clone(),
            installed: receipt.installed,
            by: receipt.by.clone(),
            tool: receipt.tool.clone(),
            again,
        });
        let surplus = receipt.history.len().saturating_sub(KEPT);
        let surplus = receipt.history.drain(..surplus);
        steps.extend(surplus.map(|entry| Step::Remove {
            path: store.version_path(name, entry.number),
        }));
        steps.push(receipt::write(store.installed_path(name), version, 0o600)?);
    }
    if !old.is_some_and(|old| old.is_same_install(&receipt)) {
        records.receipt = Some(receipt::write(store.receipt_path(name), &receipt, 0o644)?);
    }
    Ok(records)
}

/// Keeps the version that is installed under its number.
fn put_by(store: &Store, name: &str, version: &Version, history: &[Entry]) -> Result<Vec<Step>, Failure> {
    let Some(entry) = history.last() else {
        return Ok(Vec::new());
    };
    let mut steps = Vec::new();
    if history.len() == 1 {
        steps.push(Step::Mkdir {
            path: store.versions(name),
            mode: 0o755,
        });
    }
    steps.push(receipt::write(store.version_path(name, entry.number), version, 0o600)?);
    Ok(steps)
}

/// Folders that were made for an app to write to: an undo could not give them back to it, and what else it put there.
pub fn leave(receipt: &Receipt) -> impl Iterator<Item = Step> {
    let made = receipt.made.iter().rev();
    made.map(|path| Step::Rmdir { path: path.clone() }.finally())
}

/// The steps that forget all of it.
pub fn forget(store: &Store, receipt: &Receipt) -> Vec<Step> {
    let name = &receipt.name;
    let earlier = receipt.history.iter().rev().skip(1);
    let earlier = earlier.map(|entry| store.version_path(name, entry.number));
    let mut steps: Vec<_> = earlier.map(|path| Step::Remove { path }).collect();
    if !steps.is_empty() {
        steps.push(Step::Rmdir {
            path: store.versions(name),
        });
    }
    let records = [store.installed_path(name), store.receipt_path(name)];
    steps.extend(records.map(|path| Step::Remove { path }));
    steps.push(Step::Rmdir { path: store.app(name) });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: for<'de> Deserialize<'de>>(json: &str) -> T {
        serde_json::from_str(json).expect("it is of this format")
    }

    /// Else its number would be listed without its file, and the next update would write into a folder that is not there.
    #[test]
    fn a_version_whose_record_is_gone_is_not_listed_as_kept() {
        let version: Version = parsed(include_str!("../tests/formats/1/installed.json"));
        let mut receipt: Receipt = parsed(include_str!("../tests/formats/1/receipt.json"));
        receipt.history.truncate(1);
        let app = AppState {
            receipt: Some(receipt.clone()),
            ..AppState::default()
        };
        let store = Store::new("/state".into());
        let records = record(&store, &version, &app, receipt, None).expect("it can be written down");
        let steps: Vec<_> = records.version.into_iter().chain(records.receipt).collect();
        let lines: Vec<_> = steps.iter().filter_map(Step::path).collect();
        assert_eq!(lines, [store.installed_path("app"), store.receipt_path("app")]);
        let Some(Step::WriteFile { text, .. }) = steps.last() else {
            panic!("{steps:?}");
        };
        let written: Receipt = parsed(text);
        let numbers: Vec<_> = written.history.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [2]);
    }
}
