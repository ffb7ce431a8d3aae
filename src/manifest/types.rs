//! Typing: what each key of the contract may hold. A value of the wrong type is a problem; the rest is still read.

use std::path::Path;

use super::{
    App, At, DependenciesTable, Field, LoggingTable, Manifest, Problem, ReadinessTable, ResourcesTable, RestartTable,
    SCHEMA, ServiceTable,
    keys::nearest,
    node::{Node, Value},
};
use crate::values;

/// One table being read.
pub(super) struct Table<'a> {
    node: Option<&'a Node>,
    problems: &'a mut Vec<Problem>,
}

type Wrong = (String, Option<String>);

/// Types the whole tree. `None` where what is required is missing or wrong: the problems say so.
pub(super) fn manifest(path: &Path, source: &str, root: &Node, problems: &mut Vec<Problem>) -> Option<Manifest> {
    Table::of(root, None, problems).take("schema", |node| match node.value {
        Value::Integer(SCHEMA) => Ok(()),
        _ => Err((format!("this version knows schema {SCHEMA} only"), None)),
    });
    let app = app(&mut Table::of(root, Some("app"), problems));
    let service = service(&mut Table::of(root, Some("service"), problems));
    let restart = restart(&mut Table::of(root, Some("restart"), problems));
    let dependencies = dependencies(&mut Table::of(root, Some("dependencies"), problems));
    let readiness = readiness(&mut Table::of(root, Some("readiness"), problems));
    let resources = resources(&mut Table::of(root, Some("resources"), problems));
    let logging = logging(&mut Table::of(root, Some("logging"), problems));
    let mut linux = Table::of(root, Some("linux"), problems);
    linux.take("init", |node| {
        match word(node, &["systemd", "openrc", "sysv"])?.as_str() {
            "systemd" => Ok(()),
            other => Err((format!("init {other:?} is not implemented yet in this version"), None)),
        }
    });
    let scope = linux.take("scope", |node| word(node, &["system", "user"]));
    let raw = raw(root, problems);
    Some(Manifest {
        path: path.into(),
        source: source.into(),
        app: app?,
        service: service?,
        restart,
        dependencies,
        readiness,
        resources,
        logging,
        scope,
        raw,
    })
}

impl<'a> Table<'a> {
    fn of(root: &'a Node, name: Option<&str>, problems: &'a mut Vec<Problem>) -> Self {
        let node = name.map_or(Some(root), |name| root.child(name));
        if let (Some(node), Some(name)) = (node, name)
            && !matches!(node.value, Value::Table(_))
        {
            problems.push(Problem::manifest(
                format!("[{name}] must be a table, and is {}", node.kind()),
                &node.span,
            ));
        }
        Self { node, problems }
    }

    fn take<T>(&mut self, key: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Field<T> {
        let node = self.node?.child(key)?;
        self.read(node, parse)
    }

    fn read<T>(&mut self, node: &Node, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Field<T> {
        match parse(node) {
            Ok(value) => Some(Self::at(value, node)),
            Err((message, help)) => {
                let mut problem = Problem::manifest(message, &node.span);
                problem.help = help;
                self.problems.push(problem);
                None
            }
        }
    }

    fn require<T>(&mut self, table: &str, key: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Field<T> {
        if self.node.and_then(|node| node.child(key)).is_none() {
            let span = self.node.map_or(0..0, |node| node.span.clone());
            self.problems
                .push(Problem::manifest(format!("[{table}] needs {key}"), &span));
        }
        self.take(key, parse)
    }

    /// A list, item by item, so that every wrong item is told.
    fn list<T>(&mut self, key: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Vec<At<T>> {
        let Some(node) = self.node.and_then(|node| node.child(key)) else {
            return Vec::new();
        };
        if let Value::List(items) = &node.value {
            return items.iter().filter_map(|item| self.read(item, &parse)).collect();
        }
        self.read(node, |node| Err::<T, _>(expected("a list", node)));
        Vec::new()
    }
}

fn app(table: &mut Table) -> Option<App> {
    let name = table.require("app", "name", name);
    let description = table.take("description", line);
    let version = table.take("version", line);
    Some(App {
        name: name?,
        description,
        version,
    })
}

fn service(table: &mut Table) -> Option<ServiceTable> {
    let command = table.require("service", "command", command);
    let environment = environment(table);
    let rest = ServiceTable {
        command: At::new(Vec::new(), &(0..0)),
        working_directory: table.take("working_directory", line),
        user: table.take("user", line),
        group: table.take("group", line),
        environment,
        environment_files: table.list("environment_files", line),
        path: table.list("path", line),
        pre_start: table.list("pre_start", command_list),
        start_type: table.take("type", |node| word(node, &["exec", "notify", "forking", "oneshot"])),
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
    if !matches!(node.value, Value::Table(_)) {
        table.read(node, |node| Err::<(), _>(expected("a table", node)));
    }
    let mut variables = Vec::new();
    for (key, node) in node.entries() {
        let is_name = !key.value.is_empty()
            && !key.value.starts_with(|c: char| c.is_ascii_digit())
            && key.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            let message = format!("{:?} is no name of a variable", key.value);
            table
                .problems
                .push(Problem::manifest(message, &key.span).help("letters, digits and _, not beginning with a digit"));
        }
        let value = table.read(node, |node| match &node.value {
            Value::String(text) => no_nul(text).map(|()| text.clone()),
            _ => Err((expected("a string", node).0, Some("put the value into quotes".into()))),
        });
        variables.extend(value.map(|value| (key.clone(), value)));
    }
    variables
}

fn restart(table: &mut Table) -> RestartTable {
    RestartTable {
        policy: table.take("policy", |node| word(node, &["always", "on-failure", "never"])),
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
    }
}

fn readiness(table: &mut Table) -> ReadinessTable {
    ReadinessTable {
        http: table.take("http", line),
        tcp: table.take("tcp", line),
        command: table.take("command", command),
        expect_status: table.take("expect_status", statuses),
        expect_body: table.take("expect_body", line),
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
    table.take("destination", |node| match word(node, &["journal", "file"])?.as_str() {
        "journal" => Ok(()),
        other => Err((
            format!("destination {other:?} is not implemented yet in this version"),
            None,
        )),
    });
    let level = table.take("level", line);
    let level_variable = table.take("level_variable", line);
    let limit = table.node.and_then(|node| node.child("rate_limit"));
    let mut limit = Table {
        node: limit,
        problems: &mut *table.problems,
    };
    if let Some(node) = limit.node {
        if !matches!(node.value, Value::Table(_)) {
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
            limit
                .problems
                .push(Problem::manifest(message, &key.span).help("its keys are burst and interval"));
        }
    }
    LoggingTable {
        level,
        level_variable,
        burst: limit.take("burst", |node| count(node, 0, u64::from(u32::MAX))),
        interval: limit.take("interval", duration),
    }
}

/// Native directives. What is written goes into the unit as it is: only what would leave its line is refused.
fn raw(root: &Node, problems: &mut Vec<Problem>) -> Vec<(String, String, At<String>)> {
    let mut lines = Vec::new();
    let Some(systemd) = root.child("raw").and_then(|raw| raw.child("systemd")) else {
        return lines;
    };
    for (section, directives) in systemd.entries() {
        if !["Unit", "Service"].contains(&section.value.as_str()) {
            let message = format!("[raw.systemd] has no section {:?}", section.value);
            problems.push(
                Problem::manifest(message, &section.span)
                    .help("its sections are Unit and Service; what starts it at boot is ours"),
            );
            continue;
        }
        for (directive, value) in directives.entries() {
            if directive.value.is_empty() || !directive.value.chars().all(|c| c.is_ascii_alphanumeric()) {
                let message = format!("{:?} is no directive of systemd", directive.value);
                problems.push(Problem::manifest(message, &directive.span));
                continue;
            }
            let items = match &value.value {
                Value::List(items) => items.as_slice(),
                _ => std::slice::from_ref(value),
            };
            let mut table = Table { node: None, problems };
            let values = items.iter().filter_map(|item| table.read(item, directive_value));
            let named = |value| (section.value.clone(), directive.value.clone(), value);
            lines.extend(values.map(named).collect::<Vec<_>>());
        }
    }
    lines
}

fn directive_value(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Integer(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(if *truth { "yes" } else { "no" }.into()),
        Value::String(_) => line(node),
        _ => Err(expected("a string, an integer, a boolean or a list of these", node)),
    }
}

fn expected(what: &str, node: &Node) -> Wrong {
    (format!("this must be {what}, and is {}", node.kind()), None)
}

fn string(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(expected("a string", node)),
    }
}

/// One line: no control characters, and nothing that would join it with the next one.
fn line(node: &Node) -> Result<String, Wrong> {
    let text = string(node)?;
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err((
            format!("a control character (U+{:04X}) cannot stand here", u32::from(control)),
            None,
        ));
    }
    if text.ends_with('\\') {
        return Err(("a backslash at the end would join this with the next line".into(), None));
    }
    if text.trim() != text {
        return Err(("spaces at the beginning or the end get lost here".into(), None));
    }
    if text.is_empty() {
        return Err(("this cannot be empty".into(), None));
    }
    if let Some(strange) = text.chars().find(|&c| crate::render::is_noncharacter(c)) {
        return Err((
            format!("a noncharacter (U+{:04X}) cannot stand here", u32::from(strange)),
            None,
        ));
    }
    Ok(text)
}

fn no_nul(text: &str) -> Result<(), Wrong> {
    if text.contains('\0') {
        return Err((
            "a NUL character ends every argument and variable: it cannot be passed on".into(),
            None,
        ));
    }
    Ok(())
}

fn name(node: &Node) -> Result<String, Wrong> {
    let name = string(node)?;
    let is_label = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !is_label {
        let help = "1 to 63 of a-z, 0-9 and -, beginning with a letter: legal as unit, task and Kubernetes name";
        return Err((format!("{name:?} cannot be the name of an app"), Some(help.into())));
    }
    if name == "autoglm-boot" || name.starts_with("autoglm-boot-") {
        return Err((format!("{name:?} is kept for units of autoglm-boot itself"), None));
    }
    Ok(name)
}

fn word(node: &Node, words: &[&str]) -> Result<String, Wrong> {
    let text = string(node)?;
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    let help = match nearest(&text, words.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("it is one of: {}", words.join(", ")),
    };
    Err((format!("{text:?} is not known here"), Some(help)))
}

/// A list of words, or a string split by the rules of a POSIX shell; no shell ever runs.
fn command(node: &Node) -> Result<Vec<String>, Wrong> {
    match &node.value {
        Value::String(text) => {
            let words = shell_words::split(text)
                .map_err(|error| (format!("this cannot be split into words: {error}"), None))?;
            words_of_command(words)
        }
        Value::List(_) => command_list(node),
        _ => Err(expected("a list of words, or a string", node)),
    }
}

fn command_list(node: &Node) -> Result<Vec<String>, Wrong> {
    let Value::List(items) = &node.value else {
        return Err(expected("a list of words", node));
    };
    let words = items.iter().map(string).collect::<Result<_, _>>()?;
    words_of_command(words)
}

fn words_of_command(words: Vec<String>) -> Result<Vec<String>, Wrong> {
    if words.first().is_none_or(String::is_empty) {
        return Err((
            "this names no program".into(),
            Some("the first word is the program".into()),
        ));
    }
    words.iter().try_for_each(|word| no_nul(word))?;
    Ok(words)
}

fn quantity<T>(node: &Node, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Wrong> {
    parse(&string(node)?).map_err(|message| (message, None))
}

fn duration(node: &Node) -> Result<std::time::Duration, Wrong> {
    match &node.value {
        Value::Integer(number) => Err((
            "a length of time needs its unit".into(),
            Some(format!("write \"{number}s\"")),
        )),
        _ => quantity(node, values::duration),
    }
}

fn positive_duration(node: &Node) -> Result<std::time::Duration, Wrong> {
    let time = duration(node)?;
    if time.is_zero() {
        return Err(("this must be longer than zero".into(), None));
    }
    Ok(time)
}

fn size(node: &Node) -> Result<u64, Wrong> {
    let bytes = match &node.value {
        Value::Integer(bytes) => u64::try_from(*bytes).map_err(|_| ("a size cannot be negative".into(), None))?,
        _ => quantity(node, values::size)?,
    };
    if bytes == 0 {
        return Err(("this must be more than zero".into(), None));
    }
    Ok(bytes)
}

fn cpu(node: &Node) -> Result<u64, Wrong> {
    match &node.value {
        Value::Integer(cores) => values::cpu(&cores.to_string()).map_err(|message| (message, None)),
        Value::Float(cores) => values::cpu(cores).map_err(|message| (message, None)),
        _ => quantity(node, values::cpu),
    }
}

fn count(node: &Node, least: u64, most: u64) -> Result<u64, Wrong> {
    match node.value {
        Value::Integer(number) => u64::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| (format!("this must be from {least} to {most}"), None)),
        _ => Err(expected("an integer", node)),
    }
}

fn statuses(node: &Node) -> Result<Vec<(u16, u16)>, Wrong> {
    let wrong = |node: &Node| {
        let help = "a list of statuses and ranges: [200, \"300-399\"]";
        (format!("this is no HTTP status: {}", node.kind()), Some(help.into()))
    };
    let Value::List(items) = &node.value else {
        return Err(wrong(node));
    };
    let one = |item: &Node| -> Option<(u16, u16)> {
        let range = match &item.value {
            Value::Integer(status) => (u16::try_from(*status).ok()?, u16::try_from(*status).ok()?),
            Value::String(text) => {
                let (low, high) = text.split_once(['-', '–'])?;
                (low.trim().parse().ok()?, high.trim().parse().ok()?)
            }
            _ => return None,
        };
        (100 <= range.0 && range.0 <= range.1 && range.1 <= 599).then_some(range)
    };
    if items.is_empty() {
        return Err(wrong(node));
    }
    items.iter().map(|item| one(item).ok_or_else(|| wrong(item))).collect()
}

/// `SIGTERM`, or `TERM`.
fn signal(node: &Node) -> Result<String, Wrong> {
    const NAMES: [&str; 18] = [
        "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGABRT", "SIGALRM", "SIGCONT",
        "SIGPIPE", "SIGPWR", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGXCPU",
    ];
    let text = string(node)?;
    let name = if text.starts_with("SIG") {
        text
    } else {
        format!("SIG{text}")
    };
    let is_realtime = name
        .strip_prefix("SIGRTMIN+")
        .is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 30));
    if is_realtime || NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    let help = nearest(&name, NAMES.into_iter()).map(|near| format!("did you mean {near:?}?"));
    Err((format!("{name:?} is no signal"), help))
}
