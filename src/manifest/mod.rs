//! `app.toml` as written: typed, every value with its place in the file, nothing resolved yet.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

mod keys;
mod node;
mod problem;
mod types;

use node::Node;
pub use problem::{Kind, Problem, Problems};
use types::Table;

/// A larger file is no manifest.
const LARGEST: usize = 1024 * 1024;
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
    /// `[resources]`
    pub resources: ResourcesTable,
    /// `[logging]`
    pub logging: LoggingTable,
    /// `[linux]` `scope`
    pub scope: Field<String>,
    /// `[raw.systemd]`: section, directive, value.
    pub raw: Vec<(String, String, At<String>)>,
}

/// `[app]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
pub struct App {
    pub name: At<String>,
    pub description: Field<String>,
    pub version: Field<String>,
}

/// `[service]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
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
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
pub struct RestartTable {
    pub policy: Field<String>,
    pub delay: Field<Duration>,
    pub max_delay: Field<Duration>,
    pub max_attempts: Field<u64>,
    pub window: Field<Duration>,
}

/// `[dependencies]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
pub struct DependenciesTable {
    pub after: Vec<At<String>>,
    pub requires: Vec<At<String>>,
    pub wants: Vec<At<String>>,
}

/// `[readiness]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
pub struct ReadinessTable {
    pub http: Field<String>,
    pub tcp: Field<String>,
    pub command: Field<Vec<String>>,
    pub expect_status: Field<Vec<(u16, u16)>>,
    pub expect_body: Field<String>,
    pub interval: Field<Duration>,
    pub timeout: Field<Duration>,
    pub settle: Field<Duration>,
}

/// `[resources]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
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
#[expect(missing_docs, reason = "the keys of the manifest, described in docs/manifest.md")]
pub struct LoggingTable {
    pub level: Field<String>,
    pub level_variable: Field<String>,
    pub burst: Field<u64>,
    pub interval: Field<Duration>,
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

/// Reads a manifest; `path` is only for messages and for its folder.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Manifest, Problems> {
    let problems = |source: &str, list: Vec<Problem>| Problems {
        path: path.into(),
        source: source.into(),
        list,
    };
    let source = text(bytes).map_err(|problem| problems("", vec![problem]))?;
    let (table, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        let list = errors.iter().map(|error| {
            let span = error.span().unwrap_or(0..0);
            Problem::manifest(format!("this is not TOML: {}", error.message().trim_end()), &span)
        });
        return Err(problems(source, list.collect()));
    }
    let root = Node::of_table(&table);
    let mut list = keys::check(&root);
    list.extend(other_systems(&root));
    let mut here = root.clone();
    if let Some(over) = root.child("override").and_then(|systems| systems.child("linux")) {
        here.overlay(over);
    }
    let manifest = types::manifest(path, source, &here, &mut list);
    match manifest {
        Some(manifest) if list.is_empty() => Ok(manifest),
        _ => Err(problems(source, list)),
    }
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
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1;
        nowhere(format!("line {line} is not UTF-8, which TOML is written in"))
    })?;
    if text.trim().is_empty() {
        return Err(nowhere("it is empty".into())
            .help("the least a manifest needs: [app] name = \"…\" and [service] command = [\"…\"]"));
    }
    Ok(text)
}

/// What is overridden for another system is typed too, so that a mistake does not wait for that system.
fn other_systems(root: &Node) -> Vec<Problem> {
    let Some(over) = root.child("override").and_then(|systems| systems.child("windows")) else {
        return Vec::new();
    };
    let mut there = root.clone();
    there.overlay(over);
    let (mut base, mut list) = (Vec::new(), Vec::new());
    types::manifest(Path::new("/"), "", root, &mut base);
    types::manifest(Path::new("/"), "", &there, &mut list);
    list.retain(|problem| !base.contains(problem));
    list
}

impl<T> At<T> {
    fn new(value: T, span: &Range<usize>) -> Self {
        Self {
            value,
            span: span.clone(),
        }
    }
}

impl Table<'_> {
    fn at<T>(value: T, node: &Node) -> At<T> {
        At::new(value, &node.span)
    }
}
