//! The contract's keys: which there are, and which of them this version knows. The one list for typing, for unknown keys
//! and for suggestions.

use super::{node::Node, problem::Problem};

/// One table of the contract.
struct Table {
    name: &'static str,
    /// Keys this version knows.
    known: &'static [&'static str],
    /// Keys of the contract that this version does not know yet.
    later: &'static [&'static str],
}

const TABLES: &[Table] = &[
    table("app", &["name", "description", "version"], &[]),
    table(
        "service",
        &[
            "command",
            "working_directory",
            "user",
            "group",
            "environment",
            "environment_files",
            "path",
            "pre_start",
            "type",
            "start_timeout",
            "stop_timeout",
            "stop_signal",
        ],
        &[],
    ),
    table(
        "restart",
        &["policy", "delay", "max_delay", "max_attempts", "window"],
        &[],
    ),
    table(
        "dependencies",
        &["after", "requires", "wants"],
        &["wait_for", "wait_timeout"],
    ),
    table(
        "readiness",
        &[
            "http",
            "tcp",
            "command",
            "expect_status",
            "expect_body",
            "interval",
            "timeout",
            "settle",
        ],
        &["start_period", "retries", "action", "headers"],
    ),
    table(
        "resources",
        &[
            "cpu",
            "memory",
            "cpu_request",
            "memory_request",
            "tasks",
            "open_files",
            "shared_memory",
        ],
        &[],
    ),
    table(
        "logging",
        &["destination", "level", "level_variable", "rate_limit"],
        &["file", "max_size", "max_files"],
    ),
    table("linux", &["init", "scope"], &[]),
];

/// Tables of the contract of which this version knows nothing yet.
const LATER: &[&str] = &[
    "requirements",
    "health",
    "security",
    "instances",
    "rollout",
    "proxy",
    "monitoring",
    "windows",
    "kubernetes",
];

/// Systems a table can be overridden for.
const SYSTEMS: &[&str] = &["linux", "windows"];

/// Keys outside any table, and tables with a shape of their own.
const SPECIAL: &[&str] = &["schema", "override", "raw"];

const fn table(name: &'static str, known: &'static [&'static str], later: &'static [&'static str]) -> Table {
    Table { name, known, later }
}

/// Every key that is not the contract's, or not yet known, in the whole file.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in root.entries() {
        match key.value.as_str() {
            "schema" => {}
            "override" => check_override(value, &mut problems),
            "raw" => check_names(value, "raw", &["systemd"], &["task", "kubernetes"], &mut problems),
            _ => check_table(key, value, "", &mut problems),
        }
    }
    problems
}

fn check_table(key: &super::At<String>, value: &Node, prefix: &str, problems: &mut Vec<Problem>) {
    let name = key.value.as_str();
    let path = format!("{prefix}{name}");
    if let Some(table) = TABLES.iter().find(|table| table.name == name) {
        check_names(value, &path, table.known, table.later, problems);
    } else if LATER.contains(&name) {
        problems.push(not_yet(&format!("[{path}]"), key));
    } else {
        let tables = TABLES
            .iter()
            .map(|table| table.name)
            .chain(LATER.iter().chain(SPECIAL).copied());
        problems.push(unknown(&format!("there is no table or key {path:?}"), key, tables));
    }
}

fn check_override(value: &Node, problems: &mut Vec<Problem>) {
    for (system, tables) in value.entries() {
        if !SYSTEMS.contains(&system.value.as_str()) {
            let message = format!("there is no system {:?} to override for", system.value);
            problems.push(unknown(&message, system, SYSTEMS.iter().copied()));
            continue;
        }
        for (key, table) in tables.entries() {
            if key.value == "app" {
                let message = "[app] is the same on every system and cannot be overridden";
                problems.push(Problem::manifest(message, &key.span));
            } else {
                check_table(key, table, &format!("override.{}.", system.value), problems);
            }
        }
    }
}

fn check_names(value: &Node, path: &str, known: &[&str], later: &[&str], problems: &mut Vec<Problem>) {
    for (key, _) in value.entries() {
        let name = key.value.as_str();
        if later.contains(&name) {
            problems.push(not_yet(&format!("{path}.{name}"), key));
        } else if !known.contains(&name) {
            let message = format!("[{path}] has no key {name:?}");
            problems.push(unknown(&message, key, known.iter().chain(later).copied()));
        }
    }
}

fn not_yet(what: &str, key: &super::At<String>) -> Problem {
    Problem::manifest(
        format!("{what} is part of the manifest's contract, but not implemented yet in this version"),
        &key.span,
    )
    .help("take it out, or use a newer autoglm-boot; nothing is ever silently ignored")
}

fn unknown<'a>(message: &str, key: &super::At<String>, known: impl Iterator<Item = &'a str>) -> Problem {
    let problem = Problem::manifest(message, &key.span);
    match nearest(&key.value, known) {
        Some(near) => problem.help(format!("did you mean {near:?}?")),
        None => problem,
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = &name.to_lowercase();
    let (near, likeness) = known
        .map(|candidate| (candidate, strsim::jaro_winkler(name, &candidate.to_lowercase())))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (likeness > 0.75).then_some(near)
}
