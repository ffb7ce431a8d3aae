//! The task of an app ([MS-TSCH] 2.5; Task Scheduler Schema, Win32 documentation). Every setting whose default would hurt a
//! service is written out.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use super::{Artefact, render_template, windows};
use crate::{
    check,
    exit::Failure,
    service::{Method, RestartPolicy, RunAs, Scope, Service, Trigger},
};

/// Everybody who has an account on the machine and logs on to it (`BUILTIN\Users`, [MS-DTYP] 2.4.2.4).
const WHOEVER_LOGS_ON: &str = "S-1-5-32-545";

/// What the template of a task lays out: elements, escaped.
#[derive(Serialize)]
struct Layout {
    registration: Vec<String>,
    trigger: &'static str,
    trigger_elements: Vec<String>,
    principal: Vec<String>,
    settings: Vec<String>,
    idle_settings: Vec<String>,
    restart_on_failure: Vec<String>,
    action: Vec<String>,
}

/// The task of an app, which starts our supervisor by this program, or the app itself.
pub fn task(service: &Service, program: &str) -> Result<Artefact, Failure> {
    let text = render_template("task.xml.tera", &layout(service, program))?.replace('\n', "\r\n");
    Ok(Artefact {
        file: format!("{}.xml", service.name),
        bytes: utf16(&text),
        text,
        losses: losses(service),
    })
}

/// UTF-16 with its mark, little end first: what schtasks(1) imports, and nothing else.
pub fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff)
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect()
}

fn layout(service: &Service, program: &str) -> Layout {
    let user = user(service);
    Layout {
        registration: registration(service),
        trigger: match service.windows.trigger {
            Trigger::Boot => "BootTrigger",
            Trigger::Logon => "LogonTrigger",
        },
        trigger_elements: trigger(service, user.as_deref()),
        principal: principal(service, user.as_deref()),
        settings: settings(service, user.is_some()),
        idle_settings: merged(
            service,
            "IdleSettings",
            &[("StopOnIdleEnd", "false"), ("RestartOnIdle", "false")],
        ),
        restart_on_failure: restart_on_failure(service),
        action: action(service, program),
    }
}

fn registration(service: &Service) -> Vec<String> {
    let uri = format!("\\{}", service.name);
    let mut elements = vec![("Source", "autoglm-boot"), ("URI", uri.as_str())];
    elements.extend(windows::description(service).map(|text| ("Description", text)));
    elements.extend(service.version.as_deref().map(|version| ("Version", version)));
    merged(service, "RegistrationInfo", &elements)
}

/// In the order of the schema: a sequence.
fn trigger(service: &Service, user: Option<&str>) -> Vec<String> {
    let whose = user.filter(|_| service.windows.trigger == Trigger::Logon);
    let delay = seconds(service.windows.delay);
    [
        whose.map(|user| element("UserId", user)),
        (delay > 0).then(|| element("Delay", &format!("PT{delay}S"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whole seconds: a fraction becomes one more, never one less.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Whom it runs as: a SID where the account has the same one everywhere; nobody in particular is whoever logs on.
fn user(service: &Service) -> Option<String> {
    let name = match &service.run_as {
        RunAs::Invoker => return None,
        RunAs::Dynamic => "LocalService",
        RunAs::User { user, .. } => user,
    };
    let known = check::SERVICE_ACCOUNTS.iter().find(|(known, _)| *known == name);
    Some(known.map_or(name, |(_, sid)| sid).to_owned())
}

/// A service account has no `LogonType` (`ServiceAccount` is refused in XML). A named user at boot needs no password, and has
/// no credentials on the network (`S4U`).
fn principal(service: &Service, user: Option<&str>) -> Vec<String> {
    let is_service = |user: &str| check::SERVICE_ACCOUNTS.iter().any(|(_, sid)| *sid == user);
    let logon = match service.windows.trigger {
        Trigger::Boot => "S4U",
        Trigger::Logon => "InteractiveToken",
    };
    let level = if service.windows.is_elevated {
        "HighestAvailable"
    } else {
        "LeastPrivilege"
    };
    let mut elements = match user {
        None => vec![element("GroupId", WHOEVER_LOGS_ON)],
        Some(user) if is_service(user) => vec![element("UserId", user)],
        Some(user) => vec![element("UserId", user), element("LogonType", logon)],
    };
    elements.push(element("RunLevel", level));
    elements
}

/// One instance of it, or of a task that is a group's one for each user who logs on: a second of the same user our supervisor
/// refuses itself.
fn settings(service: &Service, is_ones: bool) -> Vec<String> {
    let instances = if is_ones { "IgnoreNew" } else { "Parallel" };
    merged(
        service,
        "Settings",
        &[
            ("MultipleInstancesPolicy", instances),
            ("DisallowStartIfOnBatteries", "false"),
            ("StopIfGoingOnBatteries", "false"),
            ("AllowHardTerminate", "true"),
            ("StartWhenAvailable", "true"),
            ("RunOnlyIfNetworkAvailable", "false"),
            ("AllowStartOnDemand", "true"),
            ("Enabled", "true"),
            ("Hidden", "false"), // it hides no window, and keeps people from finding the task
            ("RunOnlyIfIdle", "false"),
            ("WakeToRun", "false"),
            ("ExecutionTimeLimit", "PT0S"), // else it is killed after three days
            ("Priority", "4"),              // else it gets less of the processor and of the disk than others
        ],
    )
}

/// It fires only where the action could not be started: then a minute is the least there is.
fn restart_on_failure(service: &Service) -> Vec<String> {
    let restart = &service.restart;
    if restart.policy == RestartPolicy::Never && !service.raw_task.contains_key("RestartOnFailure") {
        return Vec::new();
    }
    let interval = format!("PT{}S", seconds(restart.delay).clamp(60, 31 * 86_400));
    let count = match restart.max_attempts {
        0 => 255, // the most there is
        count => count.min(255),
    };
    merged(
        service,
        "RestartOnFailure",
        &[("Interval", &interval), ("Count", &count.to_string())],
    )
}

fn action(service: &Service, program: &str) -> Vec<String> {
    let action = windows::action(service, program);
    let mut elements = vec![element("Command", &action.command)];
    if !action.arguments.is_empty() {
        elements.push(element("Arguments", &action.arguments));
    }
    elements.extend(action.folder.map(|folder| element("WorkingDirectory", &folder)));
    elements
}

/// Our elements of a section, the user's own in their places, and the rest of the user's behind them.
fn merged(service: &Service, section: &str, ours: &[(&str, &str)]) -> Vec<String> {
    let theirs = service.raw_task.get(section).map(Vec::as_slice).unwrap_or_default();
    let own = |name: &str| theirs.iter().find(|(element, _)| element == name);
    let rest = theirs
        .iter()
        .filter(|(element, _)| !ours.iter().any(|(name, _)| name == element));
    let ours = ours
        .iter()
        .map(|(name, value)| element(name, own(name).map_or(value, |(_, value)| value)));
    ours.chain(rest.map(|(name, value)| element(name, value))).collect()
}

fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

/// Text within an element (XML 1.0, 2.4). A line break, a tab and a return are written as numbers, or they would be made equal.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| matches!(c, '<' | '>' | '&' | '\t' | '\n' | '\r');
    if !text.contains(is_special) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            c => escaped.push(c),
        }
    }
    escaped.into()
}

/// Whether it would run, with all privileges, what its unelevated user can change: our program and the records of a user.
pub fn is_open_to_its_user(service: &Service) -> bool {
    let windows = &service.windows;
    windows.is_elevated && windows.is_supervised && windows.method == Method::Task && service.scope == Scope::User
}

fn losses(service: &Service) -> Vec<String> {
    let mut losses = windows::losses(service, true);
    if is_open_to_its_user(service) {
        losses.push("windows.elevated with --user: everything that runs as this user can change what the task starts with all privileges; `install` refuses it".into());
    }
    if service.windows.delay.subsec_nanos() > 0 {
        losses.push("windows.delay: the Task Scheduler counts whole seconds; a second more".into());
    }
    if service.windows.is_elevated && user(service).is_some_and(|user| user.starts_with("S-1-5-")) {
        losses.push("windows.elevated: an account of Windows itself has its privileges always, and no more".into());
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_within_its_element() {
        assert_eq!(
            escaped("</Arguments>&\r\n\t\"'"),
            "&lt;/Arguments&gt;&amp;&#13;&#10;&#9;\"'"
        );
        assert_eq!(escaped("中文 ]]> 😀"), "中文 ]]&gt; 😀");
    }

    #[test]
    fn the_bytes_begin_with_their_mark_little_end_first() {
        assert_eq!(
            utf16("<\u{4e2d}😀"),
            [0xff, 0xfe, 0x3c, 0, 0x2d, 0x4e, 0x3d, 0xd8, 0x00, 0xde]
        );
    }

    #[test]
    fn a_fraction_of_a_second_is_a_second_more() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
        assert_eq!(seconds(Duration::ZERO), 0);
    }
}
