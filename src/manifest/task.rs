//! `[raw.task]`: elements of a task as the Task Scheduler knows them ([MS-TSCH] 2.5), each with what it may hold. One that is
//! written takes the place of ours.

use super::{
    At, Problem,
    node::{Node, Value},
    scalars::{Wrong, count, expected, one_line, one_of, truth},
    table::Table,
};

/// What an element may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `true` or `false`.
    Truth,
    /// A whole number within these.
    Count(u64, u64),
    /// `PT1H30M`, as XML Schema has it ("duration").
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One line.
    Text,
}

use Kind::{Count, Duration, Text, Truth, Word};

/// The elements of one section.
type Elements = &'static [(&'static str, Kind)];

/// The sections, and their elements in version 1.2 of the schema.
pub(super) const TASK: &[(&str, Elements)] = &[
    (
        "Settings",
        &[
            ("AllowHardTerminate", Truth),
            ("AllowStartOnDemand", Truth),
            ("DeleteExpiredTaskAfter", Duration),
            ("DisallowStartIfOnBatteries", Truth),
            ("Enabled", Truth),
            ("ExecutionTimeLimit", Duration),
            ("Hidden", Truth),
            (
                "MultipleInstancesPolicy",
                Word(&["Parallel", "Queue", "IgnoreNew", "StopExisting"]),
            ),
            ("Priority", Count(0, 10)),
            ("RunOnlyIfIdle", Truth),
            ("RunOnlyIfNetworkAvailable", Truth),
            ("StartWhenAvailable", Truth),
            ("StopIfGoingOnBatteries", Truth),
            ("WakeToRun", Truth),
        ],
    ),
    (
        "IdleSettings",
        &[
            ("Duration", Duration),
            ("RestartOnIdle", Truth),
            ("StopOnIdleEnd", Truth),
            ("WaitTimeout", Duration),
        ],
    ),
    ("RestartOnFailure", &[("Count", Count(1, 255)), ("Interval", Duration)]),
    (
        "RegistrationInfo",
        &[
            ("Author", Text),
            ("Documentation", Text),
            ("Source", Text),
            ("Version", Text),
        ],
    ),
];

/// The elements of a section; `None` where there is no such section.
pub(super) fn elements_of(section: &str) -> Option<Elements> {
    TASK.iter()
        .find(|(name, _)| *name == section)
        .map(|(_, elements)| *elements)
}

/// What is written of them: section, element, value.
pub(super) fn elements(root: &Node, problems: &mut Vec<Problem>) -> Vec<(String, String, At<String>)> {
    let mut written = Vec::new();
    let sections = root.child("raw").and_then(|raw| raw.child("task"));
    for (section, elements) in sections.map(Node::entries).unwrap_or_default() {
        let known = elements_of(&section.value).unwrap_or_default();
        for (element, node) in elements.entries() {
            let Some((_, kind)) = known.iter().find(|(name, _)| *name == element.value) else {
                continue; // a matter of `keys`
            };
            let mut table = Table { node: None, problems };
            let value = table.read(node, |node| value(node, *kind));
            written.extend(value.map(|value| (section.value.clone(), element.value.clone(), value)));
        }
    }
    written
}

fn value(node: &Node, kind: Kind) -> Result<String, Wrong> {
    match (kind, &node.value) {
        (Truth, _) => truth(node).map(|truth| truth.to_string()),
        (Count(least, most), _) => count(node, least, most).map(|number| number.to_string()),
        (Word(words), _) => one_of(node, words),
        (Duration, Value::String(text)) if is_duration(text) => Ok(text.clone()),
        (Duration, Value::String(text)) => {
            let help = "write it as the Task Scheduler does: \"PT30S\", \"PT1H30M\", \"P31D\"";
            Err((format!("{text:?} is no length of time of a task"), Some(help.into())))
        }
        (Text, Value::String(text)) => one_line(text),
        (Duration | Text, _) => Err(expected("a string", node)),
    }
}

/// A length of time in days, hours, minutes and seconds. Years and months have no length of their own.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let is_right = |mut text: &str, units: &[char]| {
        let mut units = units.iter();
        while !text.is_empty() {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let unit = text[digits..].chars().next();
            if !(1..=9).contains(&digits) || !units.any(|known| Some(*known) == unit) {
                return false;
            }
            text = &text[digits + 1..];
        }
        true
    };
    let is_something = !days.is_empty() || time.is_some();
    is_something
        && is_right(days, &['D'])
        && time.is_none_or(|time| !time.is_empty() && is_right(time, &['H', 'M', 'S']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_written_as_xml_has_it() {
        for text in ["PT0S", "PT1M", "PT1H30M", "P31D", "P1DT12H", "PT90S", "P1DT1H1M1S"] {
            assert!(is_duration(text), "{text}");
        }
        for text in [
            "", "P", "PT", "1m", "PT1", "P1H", "PT1S1M", "P1DT", "PT1D", "-PT1M", "PT1.5S", "P1Y", "PT1中",
        ] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
