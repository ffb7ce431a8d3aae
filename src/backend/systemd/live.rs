//! What `systemctl show` says, as values. Properties, not the words of `systemctl status`: they are not localised.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{backend::Live, system::Probe};

/// Where the machine's service manager looks for units (systemd.unit(5), "Unit File Load Path"; `systemd-analyze unit-paths`).
const LOAD_PATH: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// The service manager notes here what it started in this boot.
pub(super) const STARTED: &str = "/run/systemd/units";
/// By a link of this name, and the unit's, to the identity of its run; it is gone when the unit is not up any more.
pub(super) const INVOCATION: &str = "invocation:";

/// Those of the units of which the machine's service manager may have something to tell: there is a file of that name, or it
/// was started in this boot. The others need not be asked for. (What it may still hold of a file that was removed, it is
/// asked after the new one is written: [`Condition::Stale`](crate::plan::Condition::Stale).)
pub(super) fn heard_of(look: &dyn Probe, units: &[String]) -> HashSet<String> {
    /// From so many on it takes less to list the folders than to look for each unit in each of them.
    const MANY: usize = 20;
    if !matches!(look.entry(Path::new(STARTED)), Ok(Some(_))) {
        return units.iter().cloned().collect();
    }
    let folders = || LOAD_PATH.iter().map(Path::new).chain([Path::new(STARTED)]);
    if units.len() < MANY {
        let is_there = |path: PathBuf| !matches!(look.entry(&path), Ok(None));
        let is_heard_of = |unit: &&String| {
            let name = |folder: &Path| format!("{}{unit}", if folder == Path::new(STARTED) { INVOCATION } else { "" });
            folders().any(|folder| is_there(folder.join(name(folder))))
        };
        return units.iter().filter(is_heard_of).cloned().collect();
    }
    let mut names = HashSet::new();
    for folder in folders() {
        let Ok(paths) = look.list(folder) else {
            return units.iter().cloned().collect();
        };
        let files = paths.iter().filter_map(|path| path.file_name()?.to_str());
        names.extend(files.map(|name| name.strip_prefix(INVOCATION).unwrap_or(name).to_owned()));
    }
    units.iter().filter(|unit| names.contains(*unit)).cloned().collect()
}

/// Whether a unit lies where systemd looks before it looks where we install, in either scope: what was made at run time by
/// systemd-run(1) or `systemctl set-property`, or by an early generator.
pub(super) fn goes_first(fragment: &Path) -> bool {
    let folder = fragment.parent().and_then(Path::file_name).unwrap_or_default();
    ["transient", "system.control", "user.control", "generator.early"]
        .iter()
        .any(|first| folder == *first)
}

/// The properties of org.freedesktop.systemd1(5) that are asked for.
pub(super) const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,\
    NeedDaemonReload,Result,ExecMainCode,ExecMainStatus,NRestarts,MainPID,MemoryCurrent,ActiveEnterTimestampMonotonic,\
    StateChangeTimestampMonotonic,RequiredBy,BoundBy,RequisiteOf,Job,InactiveExitTimestampMonotonic,InvocationID,\
    ExecMainStartTimestampMonotonic,MemoryMax,CPUUsageNSec,CPUQuotaPerSecUSec,TasksCurrent,TasksMax,LimitNOFILESoft,TemporaryFileSystem,\
    UID,GID,User,DynamicUser,Restart,KillSignal,PrivateNetwork,NetworkNamespacePath";

/// The answer to `systemctl show UNIT…`: one block a unit, in the order of the question.
pub(super) fn parse(text: &str, units: &[String]) -> Vec<Live> {
    let mut blocks = text.split("\n\n");
    units
        .iter()
        .map(|unit| {
            let mut live = Live {
                unit: unit.clone(),
                ..Live::default()
            };
            let block = blocks.next().unwrap_or_default();
            for line in block.lines() {
                if let Some((key, value)) = line.split_once('=') {
                    set(&mut live, key, value);
                }
            }
            live.owner = owner(block);
            live
        })
        .collect()
}

/// Whom a unit runs as: the service manager's own user where it names none. In the first moment of a start the numbers of the one
/// that it names are not known yet.
fn owner(block: &str) -> Option<(u32, u32)> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key));
    let number = |key: &str| value(key).and_then(|value| value.parse().ok());
    let is_managers = value("User=").is_none_or(str::is_empty) && value("DynamicUser=") != Some("yes");
    match number("UID=") {
        Some(uid) => Some((uid, number("GID=")?)),
        None => is_managers.then(|| (0, number("GID=").unwrap_or_default())),
    }
}

/// The units of `systemctl list-units --plain`, a line each (name, load, active, sub), and whether they are up.
pub(super) fn parse_listed(text: &str) -> HashMap<&str, bool> {
    fn unit(line: &str) -> Option<(&str, bool)> {
        let mut words = line.split_whitespace();
        let (unit, _load, active, sub) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_up = matches!(active, "active" | "activating" | "reloading") && !sub.starts_with("auto-restart");
        Some((unit, is_up))
    }
    text.lines().filter_map(unit).collect()
}

fn set(live: &mut Live, key: &str, value: &str) {
    let text = || value.to_owned();
    match key {
        "LoadState" => live.load = text(),
        "ActiveState" => live.active = text(),
        "SubState" => live.sub = text(),
        "UnitFileState" => live.enabled = text(),
        "FragmentPath" => live.fragment = Some(value).filter(|v| !v.is_empty()).map(PathBuf::from),
        "DropInPaths" => live.drop_ins = value.split_whitespace().map(PathBuf::from).collect(),
        "NeedDaemonReload" => live.is_stale = value == "yes",
        "Result" => live.result = text(),
        "ExecMainCode" => live.last_exit.0 = value.parse().unwrap_or_default(),
        "ExecMainStatus" => live.last_exit.1 = value.parse().unwrap_or_default(),
        "NRestarts" => live.restarts = value.parse().unwrap_or_default(),
        "MainPID" => live.pid = value.parse().ok().filter(|&pid| pid != 0),
        "MemoryCurrent" => live.memory = number(value),
        "MemoryMax" => live.usage.memory_limit = number(value),
        "CPUUsageNSec" => live.usage.cpu = number(value).map(Duration::from_nanos),
        "CPUQuotaPerSecUSec" => live.usage.cpu_limit = span(value),
        "TasksCurrent" => live.usage.tasks = number(value),
        "TasksMax" => live.usage.tasks_limit = number(value),
        "LimitNOFILESoft" => live.usage.open_files_limit = number(value),
        "TemporaryFileSystem" => live.usage.shared_memory_limit = shared_memory(value),
        "ActiveEnterTimestampMonotonic" => live.active_since = micros(value),
        "StateChangeTimestampMonotonic" => live.changed = micros(value),
        "RequiredBy" | "BoundBy" | "RequisiteOf" => {
            live.required_by.extend(value.split_whitespace().map(str::to_owned));
            live.required_by.sort();
            live.required_by.dedup();
        }
        "Job" => live.has_job = !value.is_empty() && value != "0",
        "InactiveExitTimestampMonotonic" => live.started = micros(value),
        "Restart" => live.restart = text(),
        "PrivateNetwork" => live.has_own_network |= value == "yes",
        "NetworkNamespacePath" => live.has_own_network |= !value.is_empty(),
        "KillSignal" => live.stop_signal = value.parse().ok(),
        "InvocationID" => live.invocation = text(),
        "ExecMainStartTimestampMonotonic" => live.main_started = micros(value),
        _ => {}
    }
}

/// A number; not what stands for none (`infinity`, `[not set]`, the largest one).
fn number(value: &str) -> Option<u64> {
    value.parse().ok().filter(|&number| number != u64::MAX)
}

/// A length of time, as systemd.time(7) writes it: `1.500000s`, `500ms`, `1min 30s`; none for `infinity`.
fn span(value: &str) -> Option<Duration> {
    let part = |word: &str| {
        let end = word.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = word.split_at(end);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
    };
    value.split_whitespace().map(part).sum()
}

/// The size of the `/dev/shm` among the unit's own file systems (`PATH:OPTIONS`, as many as there are).
fn shared_memory(value: &str) -> Option<u64> {
    let mut mounts = value.split_whitespace();
    let options = mounts.find_map(|mount| mount.strip_prefix("/dev/shm:"))?;
    options
        .split(',')
        .find_map(|option| option.strip_prefix("size="))?
        .parse()
        .ok()
}

fn micros(value: &str) -> Option<Duration> {
    value.parse().ok().filter(|&n| n != 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Usage;

    #[test]
    fn a_list_tells_what_is_up() {
        let text = "a.service loaded active running A thing\nb.service not-found inactive dead b.service\n\
                    c.service loaded activating auto-restart C\nd.service loaded failed failed D\n";
        let mut listed: Vec<_> = parse_listed(text).into_iter().collect();
        listed.sort_unstable();
        let expected = [
            ("a.service", true),
            ("b.service", false),
            ("c.service", false),
            ("d.service", false),
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn what_is_used_of_what_may_be_is_read() {
        let text = "MemoryMax=infinity\nCPUUsageNSec=1500000000\nCPUQuotaPerSecUSec=1.500000s\nTasksCurrent=[not set]\nTasksMax=64\nLimitNOFILESoft=1024\nTemporaryFileSystem=/a:ro /dev/shm:size=65536,mode=1777\n";
        let usage = parse(text, &["a.service".into()]).remove(0).usage;
        let expected = Usage {
            memory_limit: None,
            cpu: Some(Duration::from_millis(1500)),
            cpu_limit: Some(Duration::from_millis(1500)),
            tasks: None,
            tasks_limit: Some(64),
            open_files_limit: Some(1024),
            shared_memory_limit: Some(65536),
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        for (text, millis) in [
            ("125ms", Some(125)),
            ("1min 30s", Some(90_000)),
            ("infinity", None),
            ("", Some(0)),
        ] {
            assert_eq!(span(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn what_a_clean_end_means_the_unit_says() {
        for (restart, comes_back) in [
            ("always", true),
            ("on-success", true),
            ("on-failure", false),
            ("no", false),
            ("", false),
        ] {
            let text = format!("Restart={restart}\nKillSignal=2\n");
            let live = parse(&text, &["a.service".into()]).remove(0);
            assert_eq!(live.comes_back_when_asked_to_end(), comes_back, "{restart}");
            assert_eq!(live.stop_signal, Some(2));
        }
    }

    #[test]
    fn every_unit_gets_its_own_block() {
        let text = "Id=a.service\nLoadState=loaded\nActiveState=active\nMainPID=12\nMemoryCurrent=[not set]\n\nLoadState=not-found\nMainPID=0\n";
        let lives = parse(text, &["a.service".into(), "b.service".into()]);
        assert_eq!(
            (lives[0].load.as_str(), lives[0].pid, lives[0].memory),
            ("loaded", Some(12), None)
        );
        assert_eq!(
            (lives[1].unit.as_str(), lives[1].load.as_str(), lives[1].pid),
            ("b.service", "not-found", None)
        );
    }
}
