//! Python: which interpreter the command really uses, and what that one has.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Check, Finding, Patient};
use crate::{program::Interpreter, system::Cmd};

pub(super) const CHECKS: &[Check] = &[Check::error(
    "python-module",
    [
        "a Python module is not found by the interpreter that the command uses (ModuleNotFoundError)",
        "the app's last lines, that interpreter",
        "`pip install` into that interpreter's environment",
    ],
    module,
)];

/// What the interpreter says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Said {
    /// Its version.
    pub(super) version: String,
    /// Its own path.
    pub(super) executable: String,
    /// Whether it is one of an environment of its own.
    pub(super) is_environment: bool,
    /// Each package that was asked for, in order: none for what is not there.
    pub(super) packages: Vec<Option<Package>>,
}

/// A package that is there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    /// Its version.
    pub(super) version: String,
    /// The extras it has.
    pub(super) extras: Vec<String>,
}

/// What became of the question.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The command uses no Python that is known.
    NoPython,
    /// It does not answer: the command, and why.
    Silent(String, String),
    /// What it says.
    Said(Said),
}

/// Asked without any package: one that is broken must not break the question. As much of it as every Python since 2.7 knows.
const QUESTION: &str = include_str!("question.py");

/// Asks the interpreter of the command, as the app's user, in its environment.
pub(super) fn ask(patient: &Patient) -> Answer {
    let Some(argv) = interpreter(patient) else {
        return Answer::NoPython;
    };
    ask_one(patient, &argv, &wanted(patient))
}

/// The names of the packages that are required.
fn wanted(patient: &Patient) -> Vec<String> {
    let packages = patient.service.requirements.packages.iter();
    let parsed = packages.filter_map(|text| crate::requirement::Requirement::parse(text).ok());
    parsed.map(|requirement| requirement.name).collect()
}

fn ask_one(patient: &Patient, argv: &[String], names: &[String]) -> Answer {
    let (program, words) = argv.split_at(1);
    let code = ["-c".to_owned(), QUESTION.to_owned()];
    let words = words.iter().cloned().chain(code).chain(names.iter().cloned());
    let cmd = Cmd::new(&program[0], words);
    let shown = shell_words::join(argv);
    let Some(output) = patient.ask(&cmd) else {
        return Answer::Silent(shown, "it could not be asked".into());
    };
    let last = output.stdout.lines().last().unwrap_or_default();
    if let Ok(said) = serde_json::from_str(last) {
        Answer::Said(said)
    } else {
        let said = output
            .stderr
            .trim()
            .lines()
            .last()
            .unwrap_or("it said nothing")
            .to_owned();
        Answer::Silent(shown, said)
    }
}

/// The command that runs code in the interpreter that the app uses.
pub(super) fn interpreter(patient: &Patient) -> Option<Vec<String>> {
    let argv = &patient.service.command;
    let program = PathBuf::from(argv.first()?);
    let name = program.file_name()?.to_string_lossy().into_owned();
    let word = |index: usize| argv.get(index).map_or("", String::as_str);
    let found = |name: &str| {
        let found = patient.look.find_program(name, &patient.path())?;
        Some(vec![found.to_string_lossy().into_owned()])
    };
    match (name.as_str(), word(1)) {
        (name, _) if is_python(name) => Some(vec![argv[0].clone()]),
        ("uv", "run") => Some(up_to_program(argv, &UV_VALUES, &["--no-sync", "python"])),
        ("conda" | "mamba" | "micromamba", "run") => Some(up_to_program(argv, &CONDA_VALUES, &["python"])),
        ("poetry" | "pipenv" | "pdm" | "hatch", "run") => Some(up_to_program(argv, &[], &["python"])),
        ("env", _) => {
            let named = argv[1..]
                .iter()
                .find(|word| !word.starts_with('-') && !word.contains('='))?;
            is_python(named.rsplit('/').next()?).then(|| found(named)).flatten()
        }
        _ => of_script(patient, &program, &found),
    }
}

/// The interpreter of a script, as pip writes them (`uvicorn`, `gunicorn`).
fn of_script(patient: &Patient, script: &Path, found: &dyn Fn(&str) -> Option<Vec<String>>) -> Option<Vec<String>> {
    let Interpreter { program, argument } = Interpreter::of(patient.look, script)?;
    let name = program.file_name()?.to_string_lossy().into_owned();
    let argument = argument.unwrap_or_default();
    match name.as_str() {
        name if is_python(name) => Some(vec![program.to_string_lossy().into_owned()]),
        "env" => {
            let named = argument.split_whitespace().find(|word| !word.starts_with('-'))?;
            is_python(named).then(|| found(named)).flatten()
        }
        // What is too long for a first line is in the second one: '''exec' "/long path/python" "$0" "$@".
        "sh" => {
            let start = patient.look.head(script, 1024).ok()?;
            let text = String::from_utf8_lossy(&start).into_owned();
            let line = text.lines().nth(1)?.strip_prefix("'''exec' ")?;
            let words = shell_words::split(line).ok()?;
            Some(vec![words.first()?.clone()])
        }
        _ => None,
    }
}

fn is_python(name: &str) -> bool {
    ["python", "pypy"].iter().any(|known| {
        let rest = name.strip_prefix(known);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    })
}

/// Options of `uv run` that have a value.
const UV_VALUES: [&str; 10] = [
    "--project",
    "--directory",
    "--python",
    "-p",
    "--env-file",
    "--with",
    "--extra",
    "--group",
    "--package",
    "--only-group",
];
/// Options of `conda run` that have a value.
const CONDA_VALUES: [&str; 6] = ["-n", "--name", "-p", "--prefix", "--cwd", "-r"];

/// The runner with its own options, but with Python instead of what it is to run.
fn up_to_program(argv: &[String], with_value: &[&str], instead: &[&str]) -> Vec<String> {
    let mut words = argv[..2].to_vec();
    let mut rest = argv[2..].iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') || word == "--" {
            break;
        }
        words.push(word.clone());
        if with_value.contains(&word.as_str()) {
            words.extend(rest.next().cloned());
        }
    }
    words.extend(instead.iter().map(|word| (*word).to_owned()));
    words
}

/// What brings packages into the interpreter's environment; where that is the system's own, an environment is made first.
pub(super) fn with_packages(patient: &Patient, finding: Finding, said: &Said, packages: &[String]) -> Finding {
    let packages = shell_words::join(packages);
    let argv = &patient.service.command;
    let runner = argv
        .first()
        .and_then(|program| Path::new(program).file_name())
        .unwrap_or_default();
    match runner.to_string_lossy().as_ref() {
        "uv" => {
            let folder = &patient.service.working_directory;
            let add = format!("uv add --directory {} {packages}", super::patient::quoted(folder));
            return finding.run(patient.as_owner_of(folder, &add));
        }
        "poetry" | "pdm" | "pipenv" => return finding.by_hand(format!("add {packages} to the project")),
        _ => {}
    }
    let pip = |python: &str| format!("{} -m pip install {packages}", shell_words::quote(python));
    if said.is_environment {
        // What it says itself of where it lies, counts only where it is not known otherwise.
        let asked = interpreter(patient).and_then(|own| own.into_iter().next());
        let python = asked
            .filter(|own| own.starts_with('/'))
            .unwrap_or_else(|| said.executable.clone());
        let folder = Path::new(&python).parent().unwrap_or(Path::new("/"));
        return finding.run(patient.as_owner_of(folder, &pip(&python)));
    }
    let folder = patient.service.working_directory.join("venv");
    let python = folder.join("bin/python3").to_string_lossy().into_owned();
    let make = format!(
        "{} -m venv {}",
        shell_words::quote(&said.executable),
        super::patient::quoted(&folder)
    );
    let own = &patient.service.working_directory;
    let finding = finding
        .run(patient.as_owner_of(own, &make))
        .run(patient.as_owner_of(own, &pip(&python)));
    let is_python = interpreter(patient).is_some_and(|own| own.len() == 1 && argv.first() == own.first());
    if is_python {
        let mut words = vec![python];
        words.extend_from_slice(&argv[1..]);
        finding.edit(patient, "service.command", super::program::list(&words))
    } else {
        finding.by_hand(format!("let the command use {python}"))
    }
}

/// Another Python of this machine that has what is missing: mostly the one it was tried with.
pub(super) fn elsewhere(patient: &Patient, said: &Said, name: &str) -> Option<String> {
    let folders = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let other = patient
        .look
        .find_program("python3", &folders)?
        .to_string_lossy()
        .into_owned();
    if other == said.executable {
        return None;
    }
    match ask_one(patient, &[other], &[name.to_owned()]) {
        Answer::Said(there) if there.executable != said.executable => {
            let package = there.packages.into_iter().next().flatten()?;
            Some(format!(
                "{} has {name} {}, but the command does not use it",
                there.executable, package.version
            ))
        }
        _ => None,
    }
}

/// Packages whose module has another name.
const NAMED_OTHERWISE: [(&str, &str); 10] = [
    ("PIL", "Pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("dotenv", "python-dotenv"),
    ("serial", "pyserial"),
    ("sklearn", "scikit-learn"),
    ("usb", "pyusb"),
    ("yaml", "PyYAML"),
];

fn module(patient: &Patient) -> Vec<Finding> {
    if patient.ending.is_none() {
        return Vec::new();
    }
    let named = patient.lines.iter().rev().find_map(|line| {
        let (_, rest) = line.split_once("No module named ")?;
        let name = rest.trim().trim_matches(['\'', '"']).split(['.', '\'', ';']).next()?;
        Some((line.clone(), name.to_owned()))
    });
    let Some((line, module)) = named.filter(|(_, module)| !module.is_empty()) else {
        return Vec::new();
    };
    let finding = Finding::new(format!("the Python of the command has no module {module}")).seen(line.trim());
    let Answer::Said(said) = patient.python() else {
        return finding
            .by_hand("install it into the environment of the interpreter that the command uses")
            .only();
    };
    let other = NAMED_OTHERWISE.iter().find(|(name, _)| *name == module);
    let package = other.map_or(module, |(_, package)| (*package).to_owned());
    let finding = finding.seen(format!("the command uses {}", said.executable));
    let finding = match elsewhere(patient, said, &package) {
        Some(elsewhere) => finding.seen(elsewhere),
        None => finding,
    };
    with_packages(patient, finding, said, &[package]).only()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_keeps_its_options_and_runs_python() {
        for (argv, expected) in [
            ("uv run main.py --port 1", "uv run --no-sync python"),
            (
                "uv run --project /a --frozen -- main.py",
                "uv run --project /a --frozen --no-sync python",
            ),
        ] {
            let argv: Vec<_> = argv.split(' ').map(str::to_owned).collect();
            assert_eq!(
                up_to_program(&argv, &UV_VALUES, &["--no-sync", "python"]).join(" "),
                expected
            );
        }
        let argv: Vec<_> = "conda run -n env --no-capture-output uvicorn app"
            .split(' ')
            .map(str::to_owned)
            .collect();
        let expected = "conda run -n env --no-capture-output python";
        assert_eq!(up_to_program(&argv, &CONDA_VALUES, &["python"]).join(" "), expected);
    }

    #[test]
    fn a_python_is_known_by_its_name() {
        for name in ["python", "python3", "python3.12", "pypy3"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["pythonw.sh", "ipython", "python-config", ""] {
            assert!(!is_python(name), "{name}");
        }
    }
}
