//! The contract's keys: which there are, and which of them this version knows. The one list for typing, for unknown keys
//! and for suggestions.

use super::{
    At,
    node::Node,
    problem::Problem,
    task::{TASK, elements_of},
};

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
        &["after", "requires", "wants", "wait_for", "wait_timeout"],
        &[],
    ),
    table(
        "readiness",
        &[
            "http",
            "tcp",
            "command",
            "file",
            "expect_status",
            "expect_body",
            "headers",
            "interval",
            "timeout",
            "settle",
        ],
        &[],
    ),
    table(
        "health",
        &[
            "http",
            "tcp",
            "command",
            "file",
            "expect_status",
            "expect_body",
            "headers",
            "start_period",
            "interval",
            "timeout",
            "retries",
            "action",
        ],
        &[],
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
        &[
            "destination",
            "file",
            "max_size",
            "max_files",
            "level",
            "level_variable",
            "rate_limit",
        ],
        &[],
    ),
    table(
        "requirements",
        &["python", "packages", "executables", "cuda", "disk", "memory"],
        &[],
    ),
    table(
        "security",
        &["profile", "writable_directories", "devices", "capabilities", "network"],
        &[],
    ),
    table("linux", &["init", "scope"], &[]),
    table(
        "windows",
        &["method", "trigger", "delay", "elevated", "supervised"],
        &[],
    ),
];

/// Tables of the contract of which this version knows nothing yet.
const LATER: &[&str] = &["instances", "rollout", "proxy", "monitoring", "kubernetes"];

/// Systems a table can be overridden for.
const SYSTEMS: &[&str] = &["linux", "windows"];

/// What stands outside any table, and the table of tables.
const SPECIAL: &[&str] = &["schema", "override"];

/// Sections of a unit whose directives can be written as they are.
pub(super) const SECTIONS: &[&str] = &["Unit", "Service"];

const fn table(name: &'static str, known: &'static [&'static str], later: &'static [&'static str]) -> Table {
    Table { name, known, later }
}

/// Every key that is not the contract's, or not yet known, and every table that is none, in the whole file.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in root.entries() {
        match key.value.as_str() {
            "schema" => {}
            "override" => check_override(value, &mut problems),
            _ => check_table(key, value, "", &mut problems),
        }
    }
    problems
}

/// The keys that a manifest cannot do without.
pub(super) fn missing(root: &Node) -> Vec<Problem> {
    let required = [
        ("app", "name", "name = \"my-app\""),
        ("service", "command", "command = [\"python3\", \"main.py\"]"),
    ];
    let lacks = |(table, key, sample): (&str, &str, &str)| {
        let node = root.child(table);
        let is_lacking = node.is_none_or(|node| node.is_table() && node.child(key).is_none());
        let problem = Problem {
            span: node.map(|node| node.span.clone()),
            ..Problem::manifest(format!("[{table}] needs {key}"), &(0..0))
        };
        is_lacking.then(|| problem.help(format!("like {sample}")))
    };
    required.into_iter().filter_map(lacks).collect()
}

fn check_table(key: &At<String>, value: &Node, prefix: &str, problems: &mut Vec<Problem>) {
    let name = key.value.as_str();
    let path = format!("{prefix}{name}");
    if name == "raw" {
        check_raw(value, &path, problems);
    } else if let Some(table) = TABLES.iter().find(|table| table.name == name) {
        check_names(value, &path, table.known, table.later, problems);
    } else if LATER.contains(&name) {
        problems.push(not_yet(&format!("[{path}]"), key));
    } else {
        let tables = TABLES.iter().map(|table| table.name).chain(LATER.iter().copied());
        let special = SPECIAL.iter().copied().filter(|_| prefix.is_empty());
        let message = format!("there is no table or key {path:?}");
        problems.push(unknown(&message, key, tables.chain(special).chain(["raw"])));
    }
}

fn check_raw(value: &Node, path: &str, problems: &mut Vec<Problem>) {
    check_names(value, path, &["systemd", "task"], &["kubernetes"], problems);
    if let Some(task) = value.child("task") {
        check_task(task, &format!("{path}.task"), problems);
    }
    if let Some(systemd) = value.child("systemd") {
        let path = format!("{path}.systemd");
        is_table(systemd, &path, problems);
        for (section, directives) in systemd.entries() {
            if section.value == "Install" {
                let message = format!("[{path}.Install] is ours: it says what starts the app at boot");
                problems.push(Problem::manifest(message, &section.span).help("take it out"));
            } else if !SECTIONS.contains(&section.value.as_str()) {
                let message = format!("[{path}] has no section {:?}", section.value);
                problems.push(
                    unknown(&message, section, SECTIONS.iter().copied()).or_help("its sections are Unit and Service"),
                );
            } else {
                is_table(directives, &format!("{path}.{}", section.value), problems);
            }
        }
    }
}

fn check_task(task: &Node, path: &str, problems: &mut Vec<Problem>) {
    is_table(task, path, problems);
    for (section, elements) in task.entries() {
        let path = format!("{path}.{}", section.value);
        let Some(known) = elements_of(&section.value) else {
            let message = format!("[raw.task] has no section {:?}", section.value);
            let sections = TASK.iter().map(|(name, _)| *name);
            let names: Vec<_> = sections.clone().collect();
            let help = format!("its sections are {}", names.join(", "));
            problems.push(unknown(&message, section, sections).or_help(&help));
            continue;
        };
        is_table(elements, &path, problems);
        for (element, _) in elements.entries() {
            let name = element.value.as_str();
            if !known.iter().any(|(known, _)| *known == name) {
                let message = format!("[{path}] has no element {name:?}");
                let names = known.iter().map(|(name, _)| *name);
                problems.push(unknown(&message, element, names).or_help("its elements are those of [MS-TSCH] 2.5"));
            }
        }
    }
}

fn check_override(value: &Node, problems: &mut Vec<Problem>) {
    is_table(value, "override", problems);
    for (system, tables) in value.entries() {
        if !SYSTEMS.contains(&system.value.as_str()) {
            let message = format!("there is no system {:?} to override for", system.value);
            problems.push(unknown(&message, system, SYSTEMS.iter().copied()).or_help("there are linux and windows"));
            continue;
        }
        let path = format!("override.{}", system.value);
        is_table(tables, &path, problems);
        for (key, table) in tables.entries() {
            if ["app", "schema", "override"].contains(&key.value.as_str()) {
                let message = format!("{} is the same on every system and cannot be overridden", key.value);
                problems.push(Problem::manifest(message, &key.span).help("take it out"));
            } else {
                check_table(key, table, &format!("{path}."), problems);
            }
        }
    }
}

fn check_names(value: &Node, path: &str, known: &[&str], later: &[&str], problems: &mut Vec<Problem>) {
    is_table(value, path, problems);
    for (key, _) in value.entries() {
        let name = key.value.as_str();
        if later.contains(&name) {
            problems.push(not_yet(&format!("{path}.{name}"), key));
        } else if !known.contains(&name) {
            let message = format!("[{path}] has no key {name:?}");
            problems.push(match TABLES.iter().find(|table| table.known.contains(&name)) {
                Some(table) => Problem::manifest(message, &key.span).help(format!("it belongs into [{}]", table.name)),
                None => unknown(&message, key, known.iter().chain(later).copied()),
            });
        }
    }
}

fn is_table(value: &Node, path: &str, problems: &mut Vec<Problem>) {
    if !value.is_table() {
        let message = format!("[{path}] must be a table, and is {}", value.kind());
        problems.push(Problem::manifest(message, &value.span));
    }
}

fn not_yet(what: &str, key: &At<String>) -> Problem {
    Problem::manifest(
        format!("{what} is part of the manifest's contract but not implemented yet in this version"),
        &key.span,
    )
    .help("take it out, or use a newer autoglm-boot; nothing is ever silently ignored")
}

fn unknown<'a>(message: &str, key: &At<String>, known: impl Iterator<Item = &'a str>) -> Problem {
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
