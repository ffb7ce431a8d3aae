//! `app.toml` as written: typed, every value with its place in the file, nothing resolved yet.

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

use crate::service::Os;

mod keys;
mod needs;
mod node;
mod problem;
mod scalars;
mod syntax;
mod table;
mod task;
mod types;

pub use needs::{RequirementsTable, SecurityTable};
use node::Node;
pub use problem::{Kind, Problem, Problems};

/// A larger file is no manifest.
pub(crate) const LARGEST: usize = 1024 * 1024;
/// The version of the format this program knows.
const SCHEMA: i64 = 1;

/// A value and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

/// What may or may not be written.
pub type Field<T> = Option<At<T>>;

/// A manifest that is right in itself.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Its text.
    pub source: String,
    /// `[app]`
    pub app: App,
    /// `[service]`
    pub service: ServiceTable,
    /// `[restart]`
    pub restart: RestartTable,
    /// `[dependencies]`
    pub dependencies: DependenciesTable,
    /// `[readiness]`
    pub readiness: ReadinessTable,
    /// `[health]`
    pub health: Field<HealthTable>,
    /// `[resources]`
    pub resources: ResourcesTable,
    /// `[logging]`
    pub logging: LoggingTable,
    /// `[requirements]`
    pub requirements: RequirementsTable,
    /// `[security]`
    pub security: SecurityTable,
    /// `[linux]` `scope`
    pub scope: Field<String>,
    /// `[windows]`
    pub windows: WindowsTable,
    /// `[raw.systemd]`: section, directive, value.
    pub raw: Vec<(String, String, At<String>)>,
    /// `[raw.task]`: section, element, value.
    pub raw_task: Vec<(String, String, At<String>)>,
}

/// `[app]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct App {
    pub name: At<String>,
    pub description: Field<String>,
    pub version: Field<String>,
}

/// `[service]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct ServiceTable {
    pub command: At<Vec<String>>,
    pub working_directory: Field<String>,
    pub user: Field<String>,
    pub group: Field<String>,
    pub environment: Vec<(At<String>, At<String>)>,
    pub environment_files: Vec<At<String>>,
    pub path: Vec<At<String>>,
    pub pre_start: Vec<At<Vec<String>>>,
    pub start_type: Field<String>,
    pub start_timeout: Field<Duration>,
    pub stop_timeout: Field<Duration>,
    pub stop_signal: Field<String>,
}

/// `[restart]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct RestartTable {
    pub policy: Field<String>,
    pub delay: Field<Duration>,
    pub max_delay: Field<Duration>,
    pub max_attempts: Field<u64>,
    pub window: Field<Duration>,
}

/// `[dependencies]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct DependenciesTable {
    pub after: Vec<At<String>>,
    pub requires: Vec<At<String>>,
    pub wants: Vec<At<String>>,
    pub wait_for: Vec<At<String>>,
    pub wait_timeout: Field<Duration>,
}

/// What `[readiness]` and `[health]` say of a probe.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct ProbeTable {
    pub http: Field<String>,
    pub tcp: Field<String>,
    pub command: Field<Vec<String>>,
    pub file: Field<String>,
    pub expect_status: Field<Vec<(u16, u16)>>,
    pub expect_body: Field<String>,
    pub headers: Field<Vec<(String, String)>>,
}

/// `[readiness]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct ReadinessTable {
    pub probe: ProbeTable,
    pub interval: Field<Duration>,
    pub timeout: Field<Duration>,
    pub settle: Field<Duration>,
}

/// `[health]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct HealthTable {
    pub probe: ProbeTable,
    pub start_period: Field<Duration>,
    pub interval: Field<Duration>,
    pub timeout: Field<Duration>,
    pub retries: Field<u64>,
    pub action: Field<String>,
}

/// `[resources]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct ResourcesTable {
    pub cpu: Field<u64>,
    pub memory: Field<u64>,
    pub cpu_request: Field<u64>,
    pub memory_request: Field<u64>,
    pub tasks: Field<u64>,
    pub open_files: Field<u64>,
    pub shared_memory: Field<u64>,
}

/// `[logging]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct LoggingTable {
    pub destination: Field<String>,
    pub file: Field<String>,
    pub max_size: Field<u64>,
    pub max_files: Field<u64>,
    pub level: Field<String>,
    pub level_variable: Field<String>,
    pub burst: Field<u64>,
    pub interval: Field<Duration>,
}

/// `[windows]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct WindowsTable {
    pub method: Field<String>,
    pub trigger: Field<String>,
    pub delay: Field<Duration>,
    pub elevated: Field<bool>,
    pub supervised: Field<bool>,
}

impl Manifest {
    /// The app's name.
    pub fn name(&self) -> &str {
        &self.app.name.value
    }

    /// The folder it lies in, which its relative paths start from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Problems found later than here.
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems {
            path: self.path.clone(),
            source: self.source.clone(),
            list,
        }
    }
}

/// Reads a manifest as it holds on this system; `path` is only for messages and for its folder.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Manifest, Problems> {
    read_for(crate::platform::OS, path, bytes)
}

/// Reads a manifest as it holds on a system.
pub fn read_for(os: Os, path: &Path, bytes: &[u8]) -> Result<Manifest, Problems> {
    let problems = |source: &str, list: Vec<Problem>| Problems {
        path: path.into(),
        source: source.into(),
        list,
    };
    let source = text(bytes).map_err(|problem| {
        let shown = &bytes[..bytes.len().min(LARGEST)];
        problems(&String::from_utf8_lossy(shown), vec![problem])
    })?;
    let (table, errors) = DeTable::parse_recoverable(source);
    let root = Node::of_table(&table);
    let (system, other) = match os {
        Os::Linux => ("linux", "windows"),
        Os::Windows => ("windows", "linux"),
    };
    let here = on(&root, system);
    let mut list = keys::check(&root);
    let manifest = types::manifest(path, source, &here, &mut list);
    // What is replaced here, and what holds elsewhere, is typed too: a mistake does not wait for another system.
    for tree in [&root, &on(&root, other)] {
        types::manifest(path, "", tree, &mut list);
    }
    let mut seen = HashSet::new();
    list.retain(|problem| seen.insert(problem.clone()));
    if errors.is_empty() {
        list.extend(keys::missing(&here));
    } else {
        list = syntax::with_errors(source, &errors, list);
    }
    match manifest {
        Some(manifest) if list.is_empty() => Ok(manifest),
        _ => Err(problems(source, list)),
    }
}

/// The tree as it holds on one system.
fn on(root: &Node, system: &str) -> Node {
    let mut tree = root.clone();
    let over = root.child("override").and_then(|systems| systems.child(system));
    if let Some(over) = over.filter(|over| over.is_table()) {
        tree.overlay(over);
    }
    tree
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let nowhere = |message: String| Problem {
        span: None,
        ..Problem::manifest(message, &(0..0))
    };
    if bytes.len() > LARGEST {
        return Err(nowhere(format!(
            "{} bytes are no manifest; the largest is 1 MiB",
            bytes.len()
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Problem::manifest("this is not UTF-8, which TOML is written in", &(at..at + 1))
            .help("save the file as UTF-8 (not as GBK or UTF-16)")
    })?;
    if text.trim().is_empty() {
        return Err(nowhere("it is empty".into())
            .help("the least a manifest needs: [app] name = \"…\" and [service] command = [\"…\"]"));
    }
    Ok(text)
}

impl<T> At<T> {
    fn new(value: T, span: &Range<usize>) -> Self {
        Self {
            value,
            span: span.clone(),
        }
    }
}
