//! Typing: what each key of the contract may hold. A value of the wrong type is a problem; the rest is still read.

use std::path::Path;

use super::{
    App, At, DependenciesTable, Field, HealthTable, LoggingTable, Manifest, ProbeTable, Problem, ReadinessTable,
    ResourcesTable, RestartTable, SCHEMA, ServiceTable, WindowsTable,
    keys::{SECTIONS, nearest},
    needs::{requirements, security},
    node::{Node, Value},
    scalars::{
        count, cpu, directive_value, duration, expected, headers, line, name, one_of, positive_duration, signal, size,
        truth, variable,
    },
    table::Table,
    task,
};
use crate::values;

/// Types the whole tree. `None` where what is required is missing or wrong: the problems say so.
pub(super) fn manifest(path: &Path, source: &str, root: &Node, problems: &mut Vec<Problem>) -> Option<Manifest> {
    Table::of(root, None, problems).take("schema", |node| match node.value {
        Value::Integer(SCHEMA) => Ok(()),
        _ => Err((
            format!("the newest schema this version knows is {SCHEMA}"),
            Some(format!("write schema = {SCHEMA}, or use a newer autoglm-boot")),
        )),
    });
    let app = app(&mut Table::of(root, Some("app"), problems));
    let service = service(&mut Table::of(root, Some("service"), problems));
    let restart = restart(&mut Table::of(root, Some("restart"), problems));
    let dependencies = dependencies(&mut Table::of(root, Some("dependencies"), problems));
    let readiness = readiness(&mut Table::of(root, Some("readiness"), problems));
    let health = health(&mut Table::of(root, Some("health"), problems));
    let resources = resources(&mut Table::of(root, Some("resources"), problems));
    let logging = logging(&mut Table::of(root, Some("logging"), problems));
    let requirements = requirements(&mut Table::of(root, Some("requirements"), problems));
    let security = security(&mut Table::of(root, Some("security"), problems));
    let mut linux = Table::of(root, Some("linux"), problems);
    linux.take("init", |node| {
        match one_of(node, &["systemd", "openrc", "sysv"])?.as_str() {
            "systemd" => Ok(()),
            other => Err((format!("init {other:?} is not implemented yet in this version"), None)),
        }
    });
    let scope = linux.take("scope", |node| one_of(node, &["system", "user"]));
    let windows = windows(&mut Table::of(root, Some("windows"), problems));
    let raw = raw(root, problems);
    let raw_task = task::elements(root, problems);
    Some(Manifest {
        path: path.into(),
        source: source.into(),
        app: app?,
        service: service?,
        restart,
        dependencies,
        readiness,
        health,
        resources,
        logging,
        requirements,
        security,
        scope,
        windows,
        raw,
        raw_task,
    })
}

fn app(table: &mut Table) -> Option<App> {
    let name = table.take("name", name);
    let description = table.take("description", line);
    let version = table.take("version", line);
    Some(App {
        name: name?,
        description,
        version,
    })
}

fn service(table: &mut Table) -> Option<ServiceTable> {
    let command = table.command("command");
    let environment = environment(table);
    let rest = ServiceTable {
        command: At::new(Vec::new(), &(0..0)),
        working_directory: table.take("working_directory", line),
        user: table.take("user", line),
        group: table.take("group", line),
        environment,
        environment_files: table.list("environment_files", line),
        path: table.list("path", line),
        pre_start: table.commands("pre_start"),
        start_type: table.take("type", |node| one_of(node, &["exec", "notify", "forking", "oneshot"])),
        start_timeout: table.take("start_timeout", positive_duration),
        stop_timeout: table.take("stop_timeout", positive_duration),
        stop_signal: table.take("stop_signal", signal),
    };
    Some(ServiceTable {
        command: command?,
        ..rest
    })
}

fn environment(table: &mut Table) -> Vec<(At<String>, At<String>)> {
    let Some(node) = table.node.and_then(|node| node.child("environment")) else {
        return Vec::new();
    };
    if !node.is_table() {
        table.read(node, |node| Err::<(), _>(expected("a table", node)));
    }
    let mut variables = Vec::new();
    for (key, node) in node.entries() {
        if !values::is_variable(&key.value) {
            let message = format!("{:?} is no name of a variable", key.value);
            table
                .problems
                .push(Problem::manifest(message, &key.span).help("letters, digits and _, not beginning with a digit"));
        }
        let value = table.read(node, variable);
        variables.extend(value.map(|value| (key.clone(), value)));
    }
    variables
}

fn restart(table: &mut Table) -> RestartTable {
    RestartTable {
        policy: table.take("policy", |node| one_of(node, &["always", "on-failure", "never"])),
        delay: table.take("delay", duration),
        max_delay: table.take("max_delay", duration),
        max_attempts: table.take("max_attempts", |node| count(node, 0, 1_000_000)),
        window: table.take("window", positive_duration),
    }
}

fn dependencies(table: &mut Table) -> DependenciesTable {
    DependenciesTable {
        after: table.list("after", line),
        requires: table.list("requires", line),
        wants: table.list("wants", line),
        wait_for: table.list("wait_for", line),
        wait_timeout: table.take("wait_timeout", duration),
    }
}

fn probe(table: &mut Table) -> ProbeTable {
    ProbeTable {
        http: table.take("http", line),
        tcp: table.take("tcp", line),
        command: table.command("command"),
        file: table.take("file", line),
        expect_status: table.statuses("expect_status"),
        expect_body: table.take("expect_body", line),
        headers: table.take("headers", headers),
    }
}

fn health(table: &mut Table) -> Field<HealthTable> {
    let span = table.node?.span.clone();
    let written = HealthTable {
        probe: probe(table),
        start_period: table.take("start_period", duration),
        interval: table.take("interval", positive_duration),
        timeout: table.take("timeout", positive_duration),
        retries: table.take("retries", |node| count(node, 1, 1_000)),
        action: table.take("action", |node| one_of(node, &["restart", "none"])),
    };
    Some(At::new(written, &span))
}

fn readiness(table: &mut Table) -> ReadinessTable {
    ReadinessTable {
        probe: probe(table),
        interval: table.take("interval", positive_duration),
        timeout: table.take("timeout", positive_duration),
        settle: table.take("settle", duration),
    }
}

fn resources(table: &mut Table) -> ResourcesTable {
    ResourcesTable {
        cpu: table.take("cpu", cpu),
        memory: table.take("memory", size),
        cpu_request: table.take("cpu_request", cpu),
        memory_request: table.take("memory_request", size),
        tasks: table.take("tasks", |node| count(node, 1, u64::from(u32::MAX))),
        open_files: table.take("open_files", |node| count(node, 1, u64::from(u32::MAX))),
        shared_memory: table.take("shared_memory", size),
    }
}

fn logging(table: &mut Table) -> LoggingTable {
    let destination = table.take("destination", |node| one_of(node, &["journal", "file"]));
    let file = table.take("file", line);
    let max_size = table.take("max_size", size);
    let max_files = table.take("max_files", |node| count(node, 0, 1_000));
    let level = table.take("level", line);
    let level_variable = table.take("level_variable", line);
    let limit = table.node.and_then(|node| node.child("rate_limit"));
    let mut limit = Table {
        node: limit,
        problems: &mut *table.problems,
    };
    if let Some(node) = limit.node {
        if !node.is_table() {
            limit.read(node, |node| {
                Err::<(), _>(expected("a table like { burst = 10000, interval = \"30s\" }", node))
            });
        }
        for (key, _) in node
            .entries()
            .iter()
            .filter(|(key, _)| !["burst", "interval"].contains(&key.value.as_str()))
        {
            let message = format!("logging.rate_limit has no key {:?}", key.value);
            let problem = Problem::manifest(message, &key.span);
            let near = nearest(&key.value, ["burst", "interval"].into_iter());
            let help = near.map_or("its keys are burst and interval".into(), |near| {
                format!("did you mean {near:?}?")
            });
            limit.problems.push(problem.help(help));
        }
    }
    LoggingTable {
        destination,
        file,
        max_size,
        max_files,
        level,
        level_variable,
        burst: limit.take("burst", |node| count(node, 0, u64::from(u32::MAX))),
        interval: limit.take("interval", duration),
    }
}

fn windows(table: &mut Table) -> WindowsTable {
    WindowsTable {
        method: table.take("method", |node| {
            match one_of(node, &["task", "startup-folder", "service"])?.as_str() {
                "service" => Err(("method \"service\" is not implemented yet in this version".into(), None)),
                method => Ok(method.to_owned()),
            }
        }),
        trigger: table.take("trigger", |node| one_of(node, &["boot", "logon"])),
        delay: table.take("delay", duration),
        elevated: table.take("elevated", truth),
        supervised: table.take("supervised", truth),
    }
}

/// Native directives of the sections `keys` knows. What is written goes into the unit as it is: only what would leave its line is refused.
fn raw(root: &Node, problems: &mut Vec<Problem>) -> Vec<(String, String, At<String>)> {
    let mut lines = Vec::new();
    let Some(systemd) = root.child("raw").and_then(|raw| raw.child("systemd")) else {
        return lines;
    };
    let sections = systemd.entries().iter();
    for (section, directives) in sections.filter(|(section, _)| SECTIONS.contains(&section.value.as_str())) {
        for (directive, value) in directives.entries() {
            let name = directive.value.as_str();
            let items = match &value.value {
                Value::List(items) => items.as_slice(),
                _ => std::slice::from_ref(value),
            };
            let refused = if !name.starts_with(|c: char| c.is_ascii_alphabetic())
                || !name.chars().all(|c| c.is_ascii_alphanumeric())
            {
                Some((
                    format!("{name:?} is no directive of systemd"),
                    "a letter, then letters and digits",
                ))
            } else if items.is_empty() {
                Some((
                    format!("{name} has no value"),
                    "\"\" resets what systemd or we have set",
                ))
            } else {
                None
            };
            if let Some((message, help)) = refused {
                problems.push(Problem::manifest(message, &directive.span).help(help));
                continue;
            }
            let mut table = Table { node: None, problems };
            for item in items {
                let value = table.read(item, directive_value);
                lines.extend(value.map(|value| (section.value.clone(), name.to_owned(), value)));
            }
        }
    }
    lines
}
