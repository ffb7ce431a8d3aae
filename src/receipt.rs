//! What was installed: one folder an app in the scope's state folder. `receipt.json` can be read by anybody and holds no
//! values of the environment; `installed.json` (the whole version) and `original.json` (what `--adopt` replaced)
//! only by the owner.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    exit::{Exit, Failure},
    health::state::Care,
    history::{Entry, Version},
    journal::Before,
    plan::{Condition, Step},
    service::{Probe as Question, Readiness, Scope, Service, StartType},
    system::Probe,
};

/// The version of the format written here.
pub const FORMAT: u32 = 1;

/// What was installed, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the format")]
pub struct Receipt {
    /// Version of this format.
    pub format: u32,
    /// The version of the tool that wrote it.
    pub tool: String,
    /// The app.
    pub name: String,
    /// Its own version.
    pub version: Option<String>,
    /// The manifest it came from.
    pub manifest: PathBuf,
    /// Whose service manager keeps it.
    pub scope: Scope,
    /// The target that renders it (`systemd`).
    pub backend: String,
    /// When: seconds since 1970, UTC.
    pub installed: u64,
    /// The account that installed it.
    pub by: String,
    /// The native artefact.
    pub unit: PathBuf,
    /// SHA-256 of what was written there, in hexadecimal.
    pub digest: String,
    /// The links that start it at boot.
    pub links: Vec<PathBuf>,
    /// Units it requires or wants.
    pub needs: Vec<String>,
    /// How to tell that it is ready. A probe that may hold secrets is left out: `installed.json` has it.
    pub readiness: Readiness,
    /// Whether a probe was left out of `readiness`.
    pub is_probe_private: bool,
    /// What active means for it.
    pub start_type: StartType,
    /// From the start until ready, in milliseconds.
    pub start_timeout_ms: u64,
    /// Whether a unit that was not ours was there before, kept as version 0.
    pub adopted: bool,
    /// How long it may wait for others before its start, where it does; zero: for ever.
    #[serde(default)]
    pub waits: Option<Duration>,
    /// Whether it needs the helper: it is watched, or waits for something before its start.
    #[serde(default)]
    pub needs_helper: bool,
    /// Whether its health or its readiness is asked for while it runs.
    #[serde(default)]
    pub is_watched: bool,
    /// The versions that are kept, the oldest first; the last one is installed.
    pub history: Vec<Entry>,
    /// Our own program, as a task or a shortcut starts it.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Where something earlier was left running (`--no-start`): when that became active, on the monotonic clock.
    #[serde(default)]
    pub restart_due: Option<Duration>,
    /// Whether whoever logs on to Windows has an instance of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_everybodys: bool,
    /// Folders that were made for it to write to, outermost first: removed with it where they are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<PathBuf>,
}

/// The unit that `--adopt` replaced: version 0, which `uninstall` puts back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// What lay at the unit's path.
    pub unit: Before,
    /// The links that started it at boot, with their targets.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Whether it was active.
    pub active: bool,
    /// What somebody had decided about its shortcut, as Windows writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Vec<u8>>,
}

/// What one scope holds beyond its apps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRecord {
    /// Folders we created, to be removed when they are empty again.
    pub folders: Vec<PathBuf>,
    /// Who enabled lingering by an install of ours, to be reverted after the last app.
    pub lingering: Option<String>,
}

impl Receipt {
    /// The receipt of what is about to be installed: `text` is what is written at `unit`.
    pub fn new(service: &Service, backend: &str, unit: PathBuf, text: &str, now: u64, by: &str) -> Self {
        let mut needs = service.dependencies.requires.clone();
        needs.extend(service.dependencies.wants.iter().cloned());
        let (readiness, is_probe_private) = Self::public(&service.readiness);
        Self {
            format: FORMAT,
            tool: env!("CARGO_PKG_VERSION").into(),
            name: service.name.clone(),
            version: service.version.clone(),
            manifest: service.manifest.clone(),
            scope: service.scope,
            backend: backend.into(),
            installed: now,
            by: by.into(),
            unit,
            digest: digest(text.as_bytes()),
            links: Vec::new(),
            needs,
            readiness,
            is_probe_private,
            start_type: service.start_type,
            start_timeout_ms: u64::try_from(service.start_timeout.as_millis()).unwrap_or(u64::MAX),
            adopted: false,
            waits: service.dependencies.waits(),
            needs_helper: false,
            is_watched: Care::of(service).has_probe(),
            history: Vec::new(),
            program: None,
            restart_due: None,
            is_everybodys: service.is_everybodys(),
            made: Vec::new(),
        }
    }

    /// Equal but for when, by whom and with which version of the tool.
    pub fn is_same_install(&self, new: &Self) -> bool {
        let mut new = new.clone();
        new.installed = self.installed;
        new.by.clone_from(&self.by);
        new.tool.clone_from(&self.tool);
        *self == new
    }

    /// Ready, as the receipt tells it; a command probe is in the version only. `restarts`: those that there were before, which are
    /// forgiven.
    pub fn ready(&self, service: Option<&Service>, unit: &str, restarts: u32) -> Condition {
        Condition::Ready {
            unit: unit.into(),
            readiness: service.map_or(&self.readiness, |service| &service.readiness).clone(),
            start_type: self.start_type,
            restarts,
            waits: self.waits,
        }
    }

    /// The readiness that anybody may read, and whether something was left out.
    pub fn public(readiness: &Readiness) -> (Readiness, bool) {
        let is_private = readiness.probe.as_ref().is_some_and(Question::is_private);
        let public = Readiness {
            probe: readiness.probe.clone().filter(|_| !is_private),
            ..readiness.clone()
        };
        (public, is_private)
    }
}

impl ScopeRecord {
    /// Remembers folders we created.
    pub fn add<'a>(&mut self, folders: impl IntoIterator<Item = &'a PathBuf>) {
        for folder in folders {
            if !self.folders.contains(folder) {
                self.folders.push(folder.clone());
            }
        }
    }
}

/// Where the scope's state lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in this folder, which may not exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The state folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all apps.
    pub fn apps(&self) -> PathBuf {
        self.root.join("apps")
    }

    /// One app's folder.
    pub fn app(&self, name: &str) -> PathBuf {
        self.apps().join(name)
    }

    /// One app's receipt.
    pub fn receipt_path(&self, name: &str) -> PathBuf {
        self.app(name).join("receipt.json")
    }

    /// Whether one app is installed: its receipt is the last that is written.
    pub fn is_installed(&self, name: &str, look: &dyn Probe) -> bool {
        matches!(look.entry(&self.receipt_path(name)), Ok(Some(_)))
    }

    /// The version of one app that is installed.
    pub fn installed_path(&self, name: &str) -> PathBuf {
        self.app(name).join("installed.json")
    }

    /// What `--adopt` replaced.
    pub fn original_path(&self, name: &str) -> PathBuf {
        self.app(name).join("original.json")
    }

    /// The folder of one app's earlier versions.
    pub fn versions(&self, name: &str) -> PathBuf {
        self.app(name).join("versions")
    }

    /// An earlier version of one app.
    pub fn version_path(&self, name: &str, number: u32) -> PathBuf {
        self.versions(name).join(format!("{number}.json"))
    }

    /// The scope's own record.
    pub fn record_path(&self) -> PathBuf {
        self.root.join("scope.json")
    }

    /// One app's receipt, if it is installed.
    pub fn receipt(&self, name: &str, look: &dyn Probe) -> Result<Option<Receipt>, Failure> {
        let receipt: Option<Receipt> = read(&self.receipt_path(name), look)?;
        match receipt {
            Some(receipt) if receipt.format > FORMAT => Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} has format {}, written by autoglm-boot {}; this one reads up to {FORMAT}",
                    self.receipt_path(name).display(),
                    receipt.format,
                    receipt.tool
                ),
            )
            .repair("use that version of autoglm-boot, or a newer one")),
            receipt => Ok(receipt),
        }
    }

    /// Every installed app's receipt, by name.
    pub fn receipts(&self, look: &dyn Probe) -> Result<Vec<Receipt>, Failure> {
        let folders = look
            .list(&self.apps())
            .map_err(|error| unreadable(&self.apps(), &error))?;
        let names = folders.iter().filter_map(|path| path.file_name()?.to_str());
        names.filter_map(|name| self.receipt(name, look).transpose()).collect()
    }

    /// The version of an app that is installed. `None` also where we may not read it.
    pub fn installed(&self, name: &str, look: &dyn Probe) -> Option<Version> {
        read(&self.installed_path(name), look).ok().flatten()
    }

    /// The checked manifest of an installed app. `None` also where we may not read it.
    pub fn service(&self, name: &str, look: &dyn Probe) -> Option<Service> {
        self.installed(name, look).map(|version| version.service)
    }

    /// What `--adopt` replaced.
    pub fn original(&self, name: &str, look: &dyn Probe) -> Result<Option<Original>, Failure> {
        read(&self.original_path(name), look)
    }

    /// One version of one app, which its receipt lists.
    pub fn version(&self, receipt: &Receipt, number: u32, look: &dyn Probe) -> Result<Version, Failure> {
        let is_installed = receipt.history.last().is_some_and(|entry| entry.number == number);
        let path = if is_installed {
            self.installed_path(&receipt.name)
        } else {
            self.version_path(&receipt.name, number)
        };
        read(&path, look)?.ok_or_else(|| unreadable(&path, &"it is not there"))
    }

    /// The scope's own record.
    pub fn record(&self, look: &dyn Probe) -> Result<ScopeRecord, Failure> {
        Ok(read(&self.record_path(), look)?.unwrap_or_default())
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The step that writes a record.
pub fn write<T: Serialize>(path: PathBuf, value: &T, mode: u32) -> Result<Step, Failure> {
    Ok(Step::WriteFile {
        path,
        text: to_json(value)?,
        mode,
    })
}

/// As it is written to disk.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write a record: {error}")))
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path, look: &dyn Probe) -> Result<Option<T>, Failure> {
    let bytes = match look.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
        .repair("move it away and install the app again with --adopt")
}
