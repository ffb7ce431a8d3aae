//! `[requirements]`: asked as the app's user, in its environment, with its interpreter. `install` looks at these before it
//! writes anything.

use std::path::Path;

use super::{Check, Finding, Patient, of, python::Answer};
use crate::requirement::{Requirement, accepts, normalised, specifiers};
use crate::service::Os;

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "requirement-python",
        [
            "the interpreter of the command is none, or of another version than `requirements.python`",
            "that interpreter: of the virtual environment, conda or uv, where the command uses one",
            "an interpreter that is there and will do",
        ],
        python,
    ),
    Check::error(
        "requirement-package",
        [
            "a package of `requirements.packages` is missing, or of another version",
            "the metadata of that interpreter's environment (PEP 440)",
            "`pip install` into it",
        ],
        packages,
    ),
    Check::error(
        "requirement-executable",
        [
            "a program of `requirements.executables` is not on the service's PATH",
            "the service's PATH, which is not that of a shell",
            "`service.path` with the folder that has it",
        ],
        executables,
    ),
    Check::error(
        "requirement-disk",
        [
            "less space is free than `requirements.disk`",
            "what is left (statvfs(3)) where the app writes",
            "what takes the space",
        ],
        disk,
    ),
    Check::error(
        "requirement-memory",
        [
            "less memory is available than `requirements.memory`",
            "`MemAvailable` of `/proc/meminfo`",
            "what takes the memory",
        ],
        memory,
    )
    .on(Os::Linux),
];

/// The requirements that are not met.
pub fn unmet(patient: &Patient) -> Vec<Finding> {
    let hardware = super::hardware::CHECKS
        .iter()
        .filter(|check| check.id.starts_with("gpu-"));
    let is_wanted = |check: &&Check| patient.service.requirements.cuda.is_some() || !check.id.starts_with("gpu-");
    let checks = CHECKS.iter().chain(hardware).filter(is_wanted);
    checks.flat_map(|check| of(check, patient)).collect()
}

fn python(patient: &Patient) -> Vec<Finding> {
    let requirements = &patient.service.requirements;
    let wish = requirements.python.as_deref();
    if wish.is_none() && requirements.packages.is_empty() {
        return Vec::new();
    }
    let wish = wish.unwrap_or_default();
    let program = patient.service.command.first().cloned().unwrap_or_default();
    if matches!(patient.look.target(Path::new(&program)), Ok(None)) {
        return Vec::new(); // that it is missing is another check's
    }
    match patient.python() {
        Answer::NoPython => Finding::new("the command uses no Python that is known")
            .seen(format!(
                "{program} is neither an interpreter, nor a script of one, nor uv, conda or poetry"
            ))
            .by_hand("take requirements.python and requirements.packages out, or name the interpreter in the command")
            .only(),
        Answer::Silent(command, why) => Finding::new(format!("the Python of the command does not answer: {command}"))
            .seen(why)
            .by_hand(format!("try it: {command} --version"))
            .only(),
        Answer::Said(said) => {
            let is_met = specifiers(wish).and_then(|specifiers| accepts(&specifiers, &said.version));
            if is_met != Ok(false) {
                return Vec::new();
            }
            let finding = Finding::new(format!(
                "Python {wish} is required, and the command uses {}",
                said.version
            ))
            .seen(format!("{} is of version {}", said.executable, said.version));
            match other_python(patient, wish) {
                Some(other) => {
                    let mut words = vec![other];
                    words.extend_from_slice(&patient.service.command[1..]);
                    finding.edit(patient, "service.command", super::program::list(&words))
                }
                None => finding.by_hand(format!("install a Python {wish}, and let the command use it")),
            }
            .only()
        }
    }
}

/// Another Python of this machine that will do, by its name; only where the command begins with one.
fn other_python(patient: &Patient, wish: &str) -> Option<String> {
    let own = super::python::interpreter(patient)?;
    if own.len() != 1 || patient.service.command.first() != own.first() {
        return None;
    }
    let specifiers = specifiers(wish).ok()?;
    let mut folders = patient.path();
    folders.push("/opt/python/bin".into());
    // Newest first.
    let names = (7..=20).rev().map(|minor| (minor, format!("python3.{minor}")));
    let found = names.filter_map(|(minor, name)| Some((minor, patient.look.find_program(&name, &folders)?)));
    found
        .filter(|(minor, _)| accepts(&specifiers, &format!("3.{minor}.99")) == Ok(true))
        .map(|(_, path)| path.to_string_lossy().into_owned())
        .find(|path| Some(path) != own.first())
}

fn packages(patient: &Patient) -> Vec<Finding> {
    let wished = &patient.service.requirements.packages;
    let Answer::Said(said) = (if wished.is_empty() {
        &Answer::NoPython
    } else {
        patient.python()
    }) else {
        return Vec::new();
    };
    let mut finding = Finding::new(String::new());
    let mut lacking = Vec::new();
    let mut named = Vec::new();
    for (text, there) in wished.iter().zip(&said.packages) {
        let Ok(requirement) = Requirement::parse(text) else {
            continue;
        };
        let seen = match there {
            None => {
                let elsewhere = super::python::elsewhere(patient, said, &requirement.name);
                elsewhere.unwrap_or_else(|| format!("{} is not there", requirement.name))
            }
            Some(package) => {
                let without = requirement
                    .extras
                    .iter()
                    .find(|extra| !package.extras.iter().any(|has| normalised(has) == **extra));
                match (requirement.accepts(&package.version), without) {
                    (Ok(true), None) => continue,
                    (Ok(true), Some(extra)) => format!("{} {} has no extra {extra}", requirement.name, package.version),
                    (Ok(false), _) => format!("{} is of version {}", requirement.name, package.version),
                    (Err(why), _) => format!("{}: {why}", requirement.name),
                }
            }
        };
        finding = finding.seen(seen);
        named.push(requirement.name);
        lacking.push(text.clone());
    }
    if lacking.is_empty() {
        return Vec::new();
    }
    finding.message = format!("the Python of the command lacks {}", named.join(", "));
    let finding = finding.seen(format!("the command uses {}", said.executable));
    super::python::with_packages(patient, finding, said, &lacking).only()
}

fn executables(patient: &Patient) -> Vec<Finding> {
    let wished = patient.service.requirements.executables.iter();
    let absent = wished.filter(|name| patient.look.find_program(name, &patient.path()).is_none());
    absent
        .map(|name| {
            let path = patient.variable("PATH").unwrap_or_default();
            let finding =
                Finding::new(format!("there is no {name} on the service's PATH")).seen(format!("searched: {path}"));
            match folder_of(patient, name) {
                Some(folder) => {
                    let mut folders: Vec<_> = patient
                        .service
                        .path
                        .iter()
                        .map(|path| path.to_string_lossy().into_owned())
                        .collect();
                    folders.push(folder);
                    finding.edit(patient, "service.path", super::program::list(&folders))
                }
                None => finding.by_hand(format!("install {name}")),
            }
        })
        .collect()
}

/// Where a program lies that a shell finds: beside the app, in the home of whoever asks, in folders that installers use.
fn folder_of(patient: &Patient, name: &str) -> Option<String> {
    let folder = &patient.service.working_directory;
    let mut folders: Vec<_> = [
        "bin",
        "platform-tools",
        "venv/bin",
        ".venv/bin",
        "node_modules/.bin",
        ".",
    ]
    .map(|place| folder.join(place))
    .into();
    let own = patient.look.env("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&own).filter(|folder| folder.is_absolute()));
    if let Some(user) = patient.account() {
        folders.extend([".local/bin", "bin", ".cargo/bin"].map(|place| user.home.join(place)));
    }
    folders.extend(["/snap/bin", "/opt/bin", "/usr/games"].map(Into::into));
    let found = patient.look.find_program(name, &folders)?;
    Some(found.parent()?.to_string_lossy().into_owned())
}

fn disk(patient: &Patient) -> Vec<Finding> {
    let Some(wish) = patient.service.requirements.disk else {
        return Vec::new();
    };
    let service = patient.service;
    let folders = std::iter::once(&service.working_directory).chain(&service.security.writable);
    let least = folders
        .filter_map(|folder| {
            // One that is yet to be made lies where its parent does.
            let there = folder
                .ancestors()
                .find(|path| matches!(patient.look.target(path), Ok(Some(_))))?;
            Some((patient.look.space(there).ok()?.bytes, folder))
        })
        .min_by_key(|(bytes, _)| *bytes);
    let Some((bytes, folder)) = least.filter(|(bytes, _)| *bytes < wish) else {
        return Vec::new();
    };
    let finding = Finding::new(format!("{} are to be free at {}", size(wish), folder.display()))
        .seen(format!("{} are free", size(bytes)));
    super::places::make_room(patient, finding, folder).only()
}

fn memory(patient: &Patient) -> Vec<Finding> {
    let Some(wish) = patient.service.requirements.memory else {
        return Vec::new();
    };
    let text = patient.look.read(Path::new("/proc/meminfo")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // While it runs, what it uses is its own.
    let own = patient.app.live.memory.unwrap_or_default();
    let Some(available) = kib.map(|kib| kib * 1024 + own).filter(|available| *available < wish) else {
        return Vec::new();
    };
    Finding::new(format!("{} of memory are required", size(wish)))
        .seen(format!("{} are available", size(available)))
        .by_hand("end what takes it (`ps -eo rss,comm --sort=-rss | head` shows it), or lower requirements.memory")
        .only()
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} bytes")
}
