//! Templates and escaping: the only file that knows tera. One function a target.
//!
//! Every value is escaped here, by the rules of the directive it goes into, before the template sees it: the template
//! itself only lays out lines. Rules as read in systemd.syntax(7), systemd.service(5) and systemd.exec(5), and as measured
//! by the fidelity lab under a running systemd.

use std::{fmt::Write as _, path::Path, sync::OnceLock, time::Duration};

use serde::Serialize;

use crate::{
    backend::Rendered,
    exit::{Exit, Failure},
    service::{Logging, RateLimit, RestartPolicy, RunAs, Scope, Service, StartType},
};

pub mod argv;
mod back_off;
mod devices;
mod security;
mod shortcut;
mod task;
mod waits;
pub mod windows;

pub use shortcut::shortcut;
pub use task::{is_open_to_its_user, task, utf16};

const SYSTEMD: &str = include_str!("../templates/systemd.service.tera");
const WATCH: &str = include_str!("../templates/systemd.watch.service.tera");
const TASK: &str = include_str!("../templates/task.xml.tera");

/// The unit of ours that resets an app's restart budget after a stop that was asked for.
pub const RESET_UNIT: &str = "autoglm-boot-reset@.service";

/// What systemd searches where a unit says nothing (systemd.exec(5), `ExecSearchPath=`), for the folders put before it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the template of a unit lays out: lines and values, escaped.
#[derive(Serialize)]
struct Layout<'a> {
    name: &'a str,
    manifest: String,
    description: String,
    after: Vec<String>,
    requires: &'a [String],
    wants: &'a [String],
    start_limit_interval: String,
    start_limit_burst: u32,
    on_success: String,
    unit_directives: Vec<String>,
    r#type: StartType,
    identity: Vec<String>,
    working_directory: String,
    environment: Vec<String>,
    environment_files: Vec<String>,
    waits: Vec<String>,
    pre_start: Vec<String>,
    command: String,
    is_oneshot: bool,
    start_timeout: String,
    stop_timeout: String,
    stop_signal: &'a str,
    restart: &'static str,
    restart_delay: String,
    back_off: Vec<String>,
    limits: Vec<String>,
    profile: String,
    rights: Vec<String>,
    log_limit: LogLimit,
    service_directives: Vec<String>,
    wanted_by: &'static str,
}

#[derive(Serialize)]
struct LogLimit {
    interval: String,
    burst: u32,
}

/// A native artefact, as a file and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Its file name.
    pub file: String,
    /// What the file holds.
    pub bytes: Vec<u8>,
    /// What people read of it.
    pub text: String,
    /// What this target cannot express, and what it does instead: one line each.
    pub losses: Vec<String>,
}

impl From<Rendered> for Artefact {
    fn from(Rendered { file, text, losses }: Rendered) -> Self {
        Self {
            file,
            bytes: text.clone().into_bytes(),
            text,
            losses,
        }
    }
}

/// The systemd unit of an app, for a systemd of this version; one that is not known is taken for an old one. `helper` is the
/// copy of this program that units refer to.
pub fn systemd(service: &Service, version: Option<u32>, helper: &Path) -> Result<Rendered, Failure> {
    Ok(Rendered {
        file: format!("{}.service", service.name),
        text: render_template("systemd.service.tera", &unit(service, version, helper))?,
        losses: losses(service, version),
    })
}

fn render_template(name: &str, layout: &impl Serialize) -> Result<String, Failure> {
    let broken = |error: tera::Error| Failure::new(Exit::Failed, format!("the template {name} is broken: {error}"));
    let context = tera::Context::from_serialize(layout).map_err(broken)?;
    let templates = templates()
        .as_ref()
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    templates.render(name, &context).map_err(broken)
}

/// The templates, read once.
fn templates() -> &'static Result<tera::Tera, String> {
    static TEMPLATES: OnceLock<Result<tera::Tera, String>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let mut templates = tera::Tera::default();
        for (name, text) in [
            ("systemd.service.tera", SYSTEMD),
            ("systemd.watch.service.tera", WATCH),
            ("task.xml.tera", TASK),
        ] {
            let added = templates.add_raw_template(name, text);
            added.map_err(|error| format!("the template {name} is broken: {error}"))?;
        }
        Ok(templates)
    })
}

/// The unit that watches the apps of this scope.
pub fn systemd_watch(scope: Scope, helper: &Path) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Layout {
        command: String,
        is_system: bool,
        wanted_by: &'static str,
    }
    let layout = Layout {
        command: command_line(&[&*helper.to_string_lossy(), "watch", scope.flag()].map(str::to_owned)),
        is_system: scope == Scope::System,
        wanted_by: wanted_by(scope),
    };
    render_template("systemd.watch.service.tera", &layout)
}

/// The unit that resets restart budgets in this scope.
pub fn systemd_reset(scope: Scope) -> &'static str {
    match scope {
        Scope::System => include_str!("../templates/systemd.reset.service"),
        Scope::User => include_str!("../templates/systemd.reset.user.service"),
    }
}

fn unit<'a>(service: &'a Service, version: Option<u32>, helper: &Path) -> Layout<'a> {
    let restart = &service.restart;
    let has_budget = restart.policy != RestartPolicy::Never && restart.max_attempts > 0;
    Layout {
        name: &service.name,
        manifest: comment(&service.manifest.to_string_lossy()),
        description: specifiers(&service.description),
        after: after(service),
        requires: &service.dependencies.requires,
        wants: &service.dependencies.wants,
        start_limit_interval: seconds(if has_budget { restart.window } else { Duration::ZERO }),
        start_limit_burst: restart.max_attempts.saturating_add(1),
        on_success: RESET_UNIT.replace('@', &format!("@{}", service.name)),
        unit_directives: raw(service, "Unit"),
        r#type: service.start_type,
        identity: identity(service),
        working_directory: path(&service.working_directory),
        environment: environment(service),
        environment_files: service.environment_files.iter().map(|file| glob_free(file)).collect(),
        waits: waits::command(service, helper)
            .iter()
            .map(|argv| command_line(argv))
            .collect(),
        pre_start: service.pre_start.iter().map(|argv| command_line(argv)).collect(),
        command: command_line(&service.command),
        is_oneshot: service.start_type == StartType::Oneshot,
        start_timeout: waits::start_timeout(service).map_or_else(|| "infinity".into(), seconds),
        stop_timeout: seconds(service.stop_timeout),
        stop_signal: &service.stop_signal,
        restart: match restart.policy {
            RestartPolicy::Always => "always",
            RestartPolicy::OnFailure => "on-failure",
            RestartPolicy::Never => "no",
        },
        restart_delay: seconds(restart.delay),
        back_off: back_off::directives(restart, version),
        limits: limits(service),
        profile: service.security.profile.to_string(),
        rights: security::directives(service),
        log_limit: log_limit(service.logging.rate_limit),
        service_directives: raw(service, "Service"),
        wanted_by: wanted_by(service.scope),
    }
}

/// What starts it at boot.
fn wanted_by(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "multi-user.target",
        Scope::User => "default.target",
    }
}

/// `requires` means ordering too: systemd's `Requires=` alone starts both at once.
fn after(service: &Service) -> Vec<String> {
    let dependencies = &service.dependencies;
    let mut after = dependencies.after.clone();
    for unit in dependencies.requires.iter().chain(&dependencies.wants) {
        if !after.contains(unit) {
            after.push(unit.clone());
        }
    }
    after
}

fn identity(service: &Service) -> Vec<String> {
    match &service.run_as {
        RunAs::Invoker => Vec::new(),
        RunAs::Dynamic => vec!["DynamicUser=yes".into()],
        RunAs::User { user, group } => {
            let group = group.as_ref().map(|group| format!("Group={}", specifiers(group)));
            std::iter::once(format!("User={}", specifiers(user)))
                .chain(group)
                .collect()
        }
    }
}

fn environment(service: &Service) -> Vec<String> {
    let assignment = |(key, value): (&str, &str)| quoted(&format!("{key}={value}"), Dollar::Plain);
    let mut lines: Vec<_> = service
        .environment
        .iter()
        .map(|(key, value)| assignment((key, value)))
        .collect();
    if let Some((variable, level)) = service
        .logging
        .level
        .as_ref()
        .map(|(level, variable)| (variable, level))
    {
        lines.push(assignment((variable, level)));
    }
    if !service.path.is_empty() {
        let mut folders: Vec<_> = service.path.iter().map(|folder| folder.to_string_lossy()).collect();
        folders.push(DEFAULT_PATH.into());
        lines.push(assignment(("PATH", &folders.join(":"))));
    }
    lines
}

/// Limits in exact units: bytes, and percent of one core (systemd.resource-control(5)).
fn limits(service: &Service) -> Vec<String> {
    let resources = &service.resources;
    let line = |directive: &str, value: Option<u64>| value.map(|value| format!("{directive}={value}"));
    [
        resources
            .cpu
            .map(|millis| format!("CPUQuota={}.{}%", millis / 10, millis % 10).replace(".0%", "%")),
        line("MemoryMax", resources.memory),
        resources
            .cpu_request
            .map(|millis| format!("CPUWeight={}", cpu_weight(millis))),
        line("MemoryLow", resources.memory_request),
        line("TasksMax", resources.tasks),
        line("LimitNOFILE", resources.open_files),
        resources
            .shared_memory
            .map(|bytes| format!("TemporaryFileSystem=/dev/shm:size={bytes},mode=1777")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One core's request is the default weight, 100; the range is 1 to 10000 (systemd.resource-control(5)).
fn cpu_weight(millis: u64) -> u64 {
    (millis / 10).clamp(1, 10_000)
}

/// No limit is one that is never reached: systemd takes 0 for "not set", and then journald's own limit holds.
fn log_limit(limit: RateLimit) -> LogLimit {
    if limit.burst == 0 || limit.interval.is_zero() {
        return LogLimit {
            interval: "1us".into(),
            burst: 1_000_000,
        };
    }
    LogLimit {
        interval: seconds(limit.interval),
        burst: limit.burst,
    }
}

fn raw(service: &Service, section: &str) -> Vec<String> {
    let lines = service.raw_systemd.get(section).map(Vec::as_slice).unwrap_or_default();
    lines
        .iter()
        .map(|(directive, value)| format!("{directive}={value}"))
        .collect()
}

fn losses(service: &Service, version: Option<u32>) -> Vec<String> {
    let mut losses = Vec::new();
    if back_off::is_wanted(&service.restart) && back_off::directives(&service.restart, version).is_empty() {
        losses.push(
            "restart.max_delay: no back-off under this target so far; every restart comes after restart.delay"
                .to_owned(),
        );
    }
    let logging = &service.logging;
    for (key, is_written) in [
        ("file", logging.file.is_some()),
        ("max_size", logging.max_size != Logging::default_max_size()),
        ("max_files", logging.max_files != Logging::default_max_files()),
    ] {
        if is_written {
            losses.push(format!(
                "logging.{key}: output goes into the journal, which has limits of its own (journald.conf(5))"
            ));
        }
    }
    if let Some(millis) = service.resources.cpu_request {
        losses.push(format!(
            "resources.cpu_request: systemd knows weights, no guaranteed cores; CPUWeight={} instead (100 for one core)",
            cpu_weight(millis)
        ));
    }
    losses.extend(waits::loss(service));
    losses.extend(security::losses(service));
    losses
}

/// A program and its arguments. systemd expands variables in the arguments, and in what the process is told as its own
/// name, but not in the path that is executed: a program with a `$` needs both (`@`, systemd.service(5), "Command lines").
fn command_line(argv: &[String]) -> String {
    let (program, words) = argv.split_at(argv.len().min(1));
    let path = program.iter().map(|path| {
        if path.contains('$') {
            let path = format!("@{path}");
            format!(
                "{} {}",
                quoted(&path, Dollar::Plain),
                quoted(&path[1..], Dollar::Doubled)
            )
        } else {
            quoted(path, Dollar::Plain)
        }
    });
    let words = words.iter().map(|word| quoted(word, Dollar::Doubled));
    path.chain(words).collect::<Vec<_>>().join(" ")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dollar {
    Plain,
    Doubled,
}

/// One word in double quotes, which systemd reads back as it was: quotes, backslashes and control characters escaped
/// ("Quoting", systemd.syntax(7)), specifiers doubled.
fn quoted(word: &str, dollar: Dollar) -> String {
    let mut line = String::with_capacity(word.len() + 2);
    line.push('"');
    for c in word.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            '\r' => line.push_str("\\r"),
            '%' => line.push_str("%%"),
            '$' if dollar == Dollar::Doubled => line.push_str("$$"),
            c if c.is_ascii_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(c)); // writing to a string cannot fail
            }
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

/// Code points that are no characters (Unicode, "Noncharacters").
pub fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// A value that is one line, raw, with specifiers.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A path as systemd takes it: raw, never quoted.
fn path(path: &Path) -> String {
    specifiers(&path.to_string_lossy())
}

/// A path where systemd takes a pattern (`EnvironmentFile=`).
fn glob_free(file: &Path) -> String {
    let mut text = String::new();
    for c in file.to_string_lossy().chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    specifiers(&text)
}

/// A comment is one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A time span in seconds, with its fraction where there is one.
fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}", time.as_secs()),
        millis => format!("{}.{millis:03}", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_nothing_leaves_its_line() {
        for (word, line) in [
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("x\nExecStartPre=/evil", "\"x\\nExecStartPre=/evil\""),
            ("\"\\%$", "\"\\\"\\\\%%$$\""),
            ("\u{1}\u{7f}", "\"\\x01\\x7f\""),
            ("中文 😀", "\"中文 😀\""),
        ] {
            assert_eq!(quoted(word, Dollar::Doubled), line);
        }
        assert_eq!(command_line(&["/a".into(), "$b".into()]), "\"/a\" \"$$b\"");
        assert_eq!(command_line(&["/a$b".into(), "c".into()]), "\"@/a$b\" \"/a$$b\" \"c\"");
    }

    /// `{% if typo %}` is silently false: every variable the template names must be one it is given.
    #[test]
    fn the_templates_name_only_what_they_are_given() {
        for (template, source) in [
            (SYSTEMD, include_str!("render.rs")),
            (TASK, include_str!("render/task.rs")),
        ] {
            let mut templates = tera::Tera::default();
            templates.add_raw_template("t", template).expect("the template parses");
            let given = &source[source.find("struct Layout").expect("it is there")..];
            let given = &given[..given.find("\n}").expect("it ends")];
            for name in templates.get_template_variables("t").expect("it is there") {
                assert!(
                    given.contains(&format!("\n    {name}: ").replace("type:", "r#type:")),
                    "{name} is not given"
                );
            }
        }
    }
}
