//! What a task and a shortcut have in common: what they start, and what gets lost on the way.

use crate::{
    render::argv,
    service::{Destination, Network, Profile, RestartPolicy, RunAs, Service},
};

/// Where our own program lies on a machine that it was provisioned to, if nothing else is said.
pub const PROGRAM: &str = r"%ProgramFiles%\autoglm-boot\autoglm-boot.exe";

/// `Command` and `WorkingDirectory` of a task ([MS-TSCH] 2.5.4.1), and what a shortcut points to, in UTF-16 units.
pub(crate) const LONGEST_PATH: usize = 260;

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    /// The program.
    pub(super) command: String,
    /// Its arguments, one line.
    pub(super) arguments: String,
    /// The folder it starts in; our supervisor goes to the app's folder itself.
    pub(super) folder: Option<String>,
}

/// The app itself, or our supervisor (the program is where it is said to be), which reads the rest in our records.
pub(super) fn action(service: &Service, program: &str) -> Action {
    if !service.windows.is_supervised {
        return Action {
            command: service.command.first().cloned().unwrap_or_default(),
            arguments: argv::line(service.command.get(1..).unwrap_or_default()),
            folder: Some(service.working_directory.to_string_lossy().into_owned()),
        };
    }
    let scope = service.scope.flag();
    Action {
        command: program.into(),
        arguments: argv::line(&["supervisor", "serve", scope, &service.name].map(String::from)),
        folder: None,
    }
}

/// Why a text does not arrive as it is, once it stands in a task (or else a shortcut).
pub(crate) fn lost(text: &str, is_task: bool) -> Option<&'static str> {
    if text.matches('%').count() > 1 {
        return Some("what stands between two percent signs is taken for a variable, and nothing keeps it from that");
    }
    if is_task && text.contains("$(") {
        return Some("\"$(\" begins what the Task Scheduler replaces (IRegisteredTask::Run)");
    }
    if is_task && !text.chars().all(is_xml) {
        return Some("a task is XML, which has no such control character");
    }
    None
}

/// What XML can hold (XML 1.0, 2.2, `Char`).
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The description, if a task can hold it: one that begins like a resource would be looked up as one.
pub(crate) fn description(service: &Service) -> Option<&str> {
    let text = service.description.as_str();
    (text.chars().all(is_xml) && !text.starts_with("$(@")).then_some(text)
}

/// What Windows cannot express, and what is done instead: one line each. `has_bare`: whether the app itself may be what is started.
pub(crate) fn losses(service: &Service, has_bare: bool) -> Vec<String> {
    let mut losses = Vec::new();
    let mut lose = |is_written: bool, text: &str| {
        if is_written {
            losses.push(text.to_owned());
        }
    };
    lose(
        matches!(&service.run_as, RunAs::User { group: Some(_), .. }),
        "service.group: a process on Windows has no group that could be chosen",
    );
    lose(
        service.run_as == RunAs::Dynamic,
        "service.user \"dynamic\": Windows has no throw-away user; LocalService instead",
    );
    lose(
        service.stop_signal != "SIGTERM",
        "service.stop_signal: Windows has no signals; a stop asks with Ctrl-Break",
    );
    let resources = &service.resources;
    for (key, value) in [
        ("resources.cpu", resources.cpu),
        ("resources.cpu_request", resources.cpu_request),
        ("resources.memory", resources.memory),
        ("resources.memory_request", resources.memory_request),
        ("resources.tasks", resources.tasks),
        ("resources.open_files", resources.open_files),
        ("resources.shared_memory", resources.shared_memory),
    ] {
        lose(value.is_some(), &format!("{key}: without effect on Windows so far"));
    }
    let requirements = &service.requirements;
    lose(
        requirements.cuda.is_some(),
        "requirements.cuda: nobody looks at it on Windows",
    );
    lose(
        requirements.memory.is_some(),
        "requirements.memory: nobody looks at it on Windows",
    );
    let dependencies = &service.dependencies;
    lose(
        !(dependencies.after.is_empty() && dependencies.wants.is_empty()),
        "dependencies.after, dependencies.wants: without effect on Windows; use requires or wait_for",
    );
    for unit in dependencies.units() {
        lose(
            true,
            &format!("dependencies.requires: {unit} is a unit of systemd: without effect on Windows"),
        );
    }
    lose(
        service.logging.destination == Some(Destination::Journal),
        "logging.destination: there is no journal on Windows; output goes into files",
    );
    let security = &service.security;
    for (key, is_written) in [
        ("security.profile \"strict\"", security.profile == Profile::Strict),
        ("security.writable_directories", !security.writable.is_empty()),
        ("security.devices", !security.devices.is_empty()),
        ("security.capabilities", !security.capabilities.is_empty()),
        ("security.network", security.network != Network::Any),
    ] {
        lose(
            is_written,
            &format!("{key}: Windows takes no rights away; without effect"),
        );
    }
    lose(!service.raw_systemd.is_empty(), "[raw.systemd]: it is systemd's");
    if has_bare && !service.windows.is_supervised {
        losses.extend(bare(service));
    }
    losses
}

/// What only our supervisor gives.
fn bare(service: &Service) -> Vec<String> {
    let dependencies = &service.dependencies;
    let lost = [
        (
            true,
            "service.stop_timeout",
            "a stop does not end what the app has started itself",
        ),
        (!service.environment.is_empty(), "service.environment", "not set"),
        (
            !service.environment_files.is_empty(),
            "service.environment_files",
            "not read",
        ),
        (!service.path.is_empty(), "service.path", "not put before PATH"),
        (!service.pre_start.is_empty(), "service.pre_start", "not run"),
        (
            !dependencies.apps.is_empty(),
            "dependencies.requires",
            "nobody waits for other apps",
        ),
        (
            !dependencies.wait_for.is_empty(),
            "dependencies.wait_for",
            "nobody waits",
        ),
        (
            service.logging.level.is_some(),
            "logging.level",
            "not handed to the app",
        ),
        (true, "[logging]", "what the app says is not kept"),
        (
            service.restart.policy != RestartPolicy::Never,
            "restart.policy",
            "an app that ends is not started again, only one that could not be started",
        ),
        (
            service.readiness.probe.is_some(),
            "[readiness]",
            "asked by autoglm-boot only, never by Windows",
        ),
        (service.health.is_some(), "[health]", "nobody asks"),
    ];
    let lost = lost.into_iter().filter(|(is_written, ..)| *is_written);
    lost.map(|(_, key, what)| format!("{key}: {what} (windows.supervised = false)"))
        .collect()
}
