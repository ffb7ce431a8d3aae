//! Why an app does not start, or will not: a registry of checks, each a small function that looks at one thing, says what it
//! has seen, and how to put it right.
//!
//! To add one: a [`Check`] in the list of the file it belongs to, and its function there; then `UPDATE_DOCS=1 cargo test --test
//! doctor` writes docs/doctor.md. The order counts: of several findings of the same severity the first one is told after a
//! failed install, so what is the cause of others comes before them.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::service::Os;

mod account;
mod dependencies;
mod ending;
mod environment;
mod executable;
mod hardware;
mod health;
mod history;
mod machine;
mod manifest;
mod others;
mod output;
mod patient;
mod places;
mod ports;
mod program;
mod python;
mod refusals;
mod requirements;
mod secrets;
mod startup;
mod task_result;
mod unit;

pub use history::history;
pub use manifest::mistakes;
pub use patient::{Ending, Patient, Source};
pub use requirements::unmet;
pub use unit::cut_short;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not start, or does not do what it is for.
    Error,
    /// It runs, but not for long, or not for its owner alone.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is looked at.
pub struct Check {
    /// Its name.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong then.
    pub finds: &'static str,
    /// What is looked at.
    pub looks_at: &'static str,
    /// What puts it right.
    pub repair: &'static str,
    /// The only system that has what it looks at; none where all have.
    pub only: Option<Os>,
    /// When it is looked at.
    turn: Turn,
    /// Looks.
    run: fn(&Patient) -> Vec<Finding>,
}

impl Check {
    const fn error(id: &'static str, words: [&'static str; 3], run: fn(&Patient) -> Vec<Finding>) -> Self {
        let [finds, looks_at, repair] = words;
        Self {
            id,
            severity: Severity::Error,
            finds,
            looks_at,
            repair,
            only: None,
            turn: Turn::Always,
            run,
        }
    }

    const fn warning(id: &'static str, words: [&'static str; 3], run: fn(&Patient) -> Vec<Finding>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(id, words, run)
        }
    }

    const fn last(self) -> Self {
        Self {
            turn: Turn::Last,
            ..self
        }
    }

    const fn on(self, os: Os) -> Self {
        Self { only: Some(os), ..self }
    }

    /// The name of the only system that has what it looks at.
    pub fn system(&self) -> Option<&'static str> {
        self.only.map(|os| match os {
            Os::Linux => "Linux",
            Os::Windows => "Windows",
        })
    }

    /// Whether the system has what it looks at.
    fn is_due(&self, patient: &Patient) -> bool {
        self.only
            .is_none_or(|os| (os == Os::Windows) == patient.is_on_windows())
    }
}

/// When a check has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Before an install as well as after.
    Always,
    /// Only where nothing else explains why it does not run.
    Last,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The thing, and what is wrong with it.
    pub message: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What puts it right, in this order.
    pub repair: Vec<Repair>,
}

/// One step that puts something right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A command of the shell.
    Run(String),
    /// A key of the manifest.
    Edit {
        /// The manifest.
        file: PathBuf,
        /// The key, with its table: `service.user`.
        key: String,
        /// Its value as TOML.
        value: String,
    },
    /// What only a person can do.
    ByHand(String),
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => f.write_str(command),
            Self::Edit { file, key, value } => write!(f, "in {}: {key} = {value}", file.display()),
            Self::ByHand(text) => write!(f, "by hand: {text}"),
        }
    }
}

impl Serialize for Repair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Run(command) => map.serialize_entry("run", command)?,
            Self::Edit { file, key, value } => {
                map.serialize_entry("file", file)?;
                map.serialize_entry("key", key)?;
                map.serialize_entry("value", value)?;
            }
            Self::ByHand(text) => map.serialize_entry("by_hand", text)?,
        }
        map.end()
    }
}

impl Finding {
    fn new(message: impl Into<String>) -> Self {
        Self {
            id: "",
            severity: Severity::Error,
            message: message.into(),
            evidence: Vec::new(),
            repair: Vec::new(),
        }
    }

    /// What cannot be said adds nothing.
    fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence
            .extend(Some(evidence.into()).filter(|evidence| !evidence.is_empty()));
        self
    }

    fn run(mut self, command: impl Into<String>) -> Self {
        self.repair.push(Repair::Run(command.into()));
        self
    }

    fn edit(mut self, patient: &Patient, key: &str, value: impl Into<String>) -> Self {
        self.repair.push(Repair::Edit {
            file: patient.service.manifest.clone(),
            key: key.into(),
            value: value.into(),
        });
        self
    }

    fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.repair.push(Repair::ByHand(text.into()));
        self
    }

    /// As one, where a function finds at most one.
    fn only(self) -> Vec<Self> {
        vec![self]
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.message)?;
        for seen in &self.evidence {
            write!(f, "\n  evidence: {seen}")?;
        }
        for repair in &self.repair {
            write!(f, "\n  repair: {repair}")?;
        }
        Ok(())
    }
}

/// All checks, in the order they are made.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    let groups: [&[Check]; 21] = [
        manifest::CHECKS,
        account::CHECKS,
        machine::CHECKS,
        places::CHECKS,
        program::CHECKS,
        executable::CHECKS,
        environment::CHECKS,
        requirements::CHECKS,
        hardware::CHECKS,
        unit::CHECKS,
        startup::CHECKS,
        task_result::CHECKS,
        dependencies::CHECKS,
        ports::CHECKS,
        python::CHECKS,
        health::CHECKS,
        output::CHECKS,
        refusals::CHECKS,
        ending::CHECKS,
        others::CHECKS,
        secrets::CHECKS,
    ];
    groups.into_iter().flatten()
}

/// What is found, the worst first.
pub fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in checks().filter(|check| check.turn == Turn::Always) {
        findings.extend(of(check, patient));
    }
    let explains = |finding: &Finding| finding.severity == Severity::Error;
    for check in checks().filter(|check| check.turn == Turn::Last) {
        if !findings.iter().any(explains) {
            findings.extend(of(check, patient));
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What lets others in, as far as that is known before it runs.
pub fn openings(patient: &Patient) -> Vec<Finding> {
    others::CHECKS
        .iter()
        .chain(secrets::CHECKS)
        .flat_map(|check| of(check, patient))
        .collect()
}

fn of(check: &'static Check, patient: &Patient) -> impl Iterator<Item = Finding> {
    let found = if check.is_due(patient) {
        (check.run)(patient)
    } else {
        Vec::new()
    };
    found.into_iter().map(|finding| Finding {
        id: check.id,
        severity: check.severity,
        ..finding
    })
}

/// The registry as a page of the documentation.
pub fn page() -> String {
    let mut text = String::from(include_str!("page.md"));
    for severity in [Severity::Error, Severity::Warning] {
        let title = match severity {
            Severity::Error => "## Errors: it does not start, or does not do what it is for",
            Severity::Warning => "## Warnings: it runs, but not for long, or not for its owner alone",
        };
        let head = "| Id | Finds | Looks at | Repair |\n| --- | --- | --- | --- |";
        let _ = writeln!(text, "\n{title}\n\n{head}"); // writing to a string cannot fail
        for check in checks().filter(|check| check.severity == severity) {
            let Check {
                id,
                finds,
                looks_at,
                repair,
                ..
            } = check;
            let only = check.system().map_or(String::new(), |name| format!(" ({name})"));
            let _ = writeln!(text, "| `{id}`{only} | {finds} | {looks_at} | {repair} |"); // as above
        }
    }
    text
}
