//! The program: whether it is there, and whether it may be executed (203/EXEC).

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{
    Check, Finding, Patient,
    patient::quoted,
    places::{described, mount_of, mounts, options},
};
use crate::{
    program::{Interpreter, way},
    service::Os,
    system::{EntryKind, MOST_LINKS, Probe},
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "program-missing",
        [
            "the program of a command is not there",
            "the first word of `service.command` and `pre_start`, the folders of PATH",
            "the program of nearly that name, if there is one",
        ],
        missing,
    ),
    Check::error(
        "script-missing",
        [
            "the script that the interpreter is given is not there, in the folder it is started in",
            "the first argument of an interpreter, from `service.working_directory`",
            "the folder that has it",
        ],
        script_missing,
    ),
    Check::error(
        "program-not-executable",
        ["the program has no execute bit", "its mode", "`chmod a+x`"],
        not_executable,
    )
    .on(Os::Linux),
    Check::error(
        "mount-noexec",
        [
            "the program lies on a file system whose programs are not executed",
            "`/proc/self/mounts`",
            "`mount -o remount,exec`",
        ],
        noexec,
    )
    .on(Os::Linux),
    Check::error(
        "program-closed",
        [
            "the app's user may not execute the program, or not read the script",
            "the program and its script, asked as that user",
            "`chmod a+rx`, `chmod a+r`",
        ],
        closed,
    )
    .on(Os::Linux),
];

/// The programs of a start that are there.
pub(super) fn there<'a>(patient: &'a Patient) -> impl Iterator<Item = PathBuf> + 'a {
    let commands = patient.service.pre_start.iter().chain([&patient.service.command]);
    let programs = commands.filter_map(|argv| argv.first()).map(PathBuf::from);
    programs.filter(|program| matches!(patient.look.target(program), Ok(Some(entry)) if entry.kind == EntryKind::File))
}

fn missing(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    let commands = service.pre_start.iter().chain([&service.command]);
    let absent = commands.filter(|argv| {
        let program = argv.first().map(Path::new);
        program.is_some_and(|program| !program.is_absolute() || matches!(patient.look.target(program), Ok(None)))
    });
    absent
        .map(|argv| {
            let (program, is_command) = (&argv[0], *argv == service.command);
            let finding = Finding::new(format!("there is no program {program}"));
            let finding = if program.contains('/') {
                finding.seen("nothing is there")
            } else {
                finding.seen(format!("searched: {}", patient.variable("PATH").unwrap_or_default()))
            };
            match instead(patient, program) {
                Some(other) if is_command => finding.edit(patient, "service.command", with_program(argv, &other)),
                Some(other) => finding.by_hand(format!("there is {}", other.display())),
                None => finding.by_hand("install it, or write the path of one that is there"),
            }
        })
        .collect()
}

/// The command with another program, as TOML.
pub(super) fn with_program(argv: &[String], program: &Path) -> String {
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend_from_slice(&argv[1..]);
    list(&words)
}

/// A list of strings as TOML.
pub(super) fn list(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| text(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A string as TOML (a basic string, in one line).
pub(super) fn text(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c)); // writing to a string cannot fail
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A program that is there under that name, or nearly that name: where a virtual environment of the app has one, that.
fn instead(patient: &Patient, program: &str) -> Option<PathBuf> {
    const NEAR: f64 = 0.9;
    let name = Path::new(program).file_name()?.to_string_lossy().into_owned();
    let folder = &patient.service.working_directory;
    let environments = ["venv/bin", ".venv/bin", "env/bin", "bin"].map(|place| folder.join(place));
    let folders: Vec<_> = environments.into_iter().chain(patient.path()).collect();
    if let Some(found) = patient.look.find_program(&name, &folders) {
        return Some(found);
    }
    let mut best: Option<(f64, PathBuf)> = None;
    for path in folders
        .iter()
        .flat_map(|folder| patient.look.list(folder).unwrap_or_default())
    {
        let likeness = strsim::jaro_winkler(&name, &path.file_name()?.to_string_lossy());
        if likeness > NEAR && best.as_ref().is_none_or(|(most, _)| likeness > *most) {
            best = Some((likeness, path));
        }
    }
    best.map(|(_, path)| path)
}

/// The script that an interpreter is given, where that is certain.
pub(super) fn script(patient: &Patient, argv: &[String]) -> Option<PathBuf> {
    const INTERPRETERS: [&str; 9] = ["python", "pypy", "node", "ruby", "perl", "php", "sh", "bash", "dash"];
    let (program, words) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy().into_owned();
    let known = INTERPRETERS.iter().find(|known| {
        let rest = name.strip_prefix(**known);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    })?;
    script_word(known, words).map(|word| patient.place(word))
}

/// The first word that is no option; none where it may be something else than a script: what an option before it takes, code,
/// or a module.
fn script_word<'a>(interpreter: &str, words: &'a [String]) -> Option<&'a str> {
    // The letters that take no value, and leave the next word the script.
    let letters = match interpreter {
        "python" | "pypy" => "bBdEiIOPqRsSuvx",
        "sh" | "bash" | "dash" => "aefhilmnpuvx",
        "perl" => "tTwWX",
        "ruby" => "w",
        "php" => "nq",
        _ => "",
    };
    let is_harmless = |word: &str| match word.strip_prefix("--") {
        Some(long) => long.contains('=') && !long.starts_with("eval=") && !long.starts_with("print="),
        None => word.len() > 1 && word[1..].chars().all(|letter| letters.contains(letter)),
    };
    let is_option = |word: &str| word.starts_with('-') || (interpreter.ends_with("sh") && word.starts_with('+'));
    let index = words.iter().position(|word| !is_option(word))?;
    let word = words[index].as_str();
    // node also takes the name without its extension, a folder, and words of its own (`inspect`).
    let is_script = interpreter != "node" || [".js", ".mjs", ".cjs"].iter().any(|end| word.ends_with(end));
    (is_script && words[..index].iter().all(|option| is_harmless(option))).then_some(word)
}

fn script_missing(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    if !matches!(patient.look.target(&service.working_directory), Ok(Some(_))) {
        return Vec::new(); // then that is what is missing
    }
    let Some(script) = script(patient, &service.command) else {
        return Vec::new();
    };
    if !matches!(patient.look.target(&script), Ok(None)) {
        return Vec::new();
    }
    let finding = Finding::new(format!("there is no {}", script.display()))
        .seen(format!("it is started in {}", service.working_directory.display()));
    let name = script.strip_prefix(&service.working_directory).unwrap_or(&script);
    match folder_with(patient, name) {
        Some(folder) => finding.edit(patient, "service.working_directory", text(&folder.to_string_lossy())),
        None => finding.by_hand("put it there, or correct service.command or service.working_directory"),
    }
    .only()
}

/// The manifest's folder, or one within that or the working directory, that has the script.
fn folder_with(patient: &Patient, name: &Path) -> Option<PathBuf> {
    let bases = [
        patient.service.manifest.parent(),
        Some(patient.service.working_directory.as_path()),
    ];
    let mut places: Vec<PathBuf> = bases.into_iter().flatten().map(Path::to_path_buf).collect();
    for base in places.clone() {
        places.extend(patient.look.list(&base).unwrap_or_default());
    }
    let has_it = |folder: &PathBuf| matches!(patient.look.target(&folder.join(name)), Ok(Some(_)));
    places.into_iter().find(has_it)
}

fn not_executable(patient: &Patient) -> Vec<Finding> {
    there(patient)
        .filter_map(|program| {
            let entry = patient.look.target(&program).ok().flatten()?;
            (entry.mode & 0o111 == 0).then(|| {
                Finding::new(format!("{} is not executable", program.display()))
                    .seen(described(patient, &program, &entry))
                    .run(format!("chmod a+x {}", quoted(&program)))
            })
        })
        .collect()
}

fn closed(patient: &Patient) -> Vec<Finding> {
    if patient.is_root() {
        return Vec::new();
    }
    let user = patient.user_name();
    let mut findings = Vec::new();
    for program in there(patient) {
        let Ok(Some(entry)) = patient.look.target(&program) else {
            continue;
        };
        // Who cannot even come near it, is told so by another check.
        if entry.mode & 0o111 != 0 && patient.may("-e", &program) && !patient.may("-x", &program) {
            let finding = Finding::new(format!("{user} may not execute {}", program.display()));
            let finding = finding.seen(described(patient, &program, &entry));
            findings.push(finding.run(format!("chmod a+rx {}", quoted(&program))));
        } else if Interpreter::of(patient.look, &program).is_some()
            && patient.may("-x", &program)
            && !patient.may("-r", &program)
        {
            let finding = Finding::new(format!(
                "{user} may execute {}, but its interpreter may not read it",
                program.display()
            ));
            let finding = finding.seen(described(patient, &program, &entry));
            findings.push(finding.run(format!("chmod a+r {}", quoted(&program))));
        }
    }
    if let Some(script) = script(patient, &patient.service.command)
        && let Ok(Some(entry)) = patient.look.target(&script)
        && patient.may("-e", &script)
        && !patient.may("-r", &script)
    {
        let finding = Finding::new(format!("{user} may not read {}", script.display()));
        let finding = finding.seen(described(patient, &script, &entry));
        findings.push(finding.run(format!("chmod a+r {}", quoted(&script))));
    }
    findings
}

/// Where a program really lies: itself no link, and none among the folders above.
fn without_links(look: &dyn Probe, program: &Path) -> PathBuf {
    let mut place = program.to_path_buf();
    for _ in 0..MOST_LINKS {
        let next = place.components().fold(PathBuf::new(), |folder, name| {
            let inner = folder.join(name);
            way(look, &inner).pop().unwrap_or(inner)
        });
        if next == place {
            break;
        }
        place = next;
    }
    place
}

fn noexec(patient: &Patient) -> Vec<Finding> {
    let mounts = mounts(patient);
    there(patient)
        .filter_map(|program| {
            let program = without_links(patient.look, &program);
            let (place, _) = mount_of(&mounts, &program);
            let is_noexec = options(&mounts, &place).iter().any(|option| option == "noexec");
            is_noexec.then(|| {
                Finding::new(format!("nothing on {} is executed", place.display()))
                    .seen(format!(
                        "it is mounted with noexec, and {} lies there",
                        program.display()
                    ))
                    .run(format!("mount -o remount,exec {}", quoted(&place)))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests")]
    fn a_program_lies_where_its_links_and_those_of_its_folders_lead() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = std::fs::canonicalize(folder.path()).expect("it is there");
        std::fs::create_dir_all(root.join("real/bin")).expect("it is writable");
        std::fs::write(root.join("real/bin/python3.11"), "").expect("it is writable");
        for (link, target) in [
            ("real/bin/python3", "python3.11"),
            ("venv", "over/real"),
            ("over", "."),
            ("loop", "loop/x"),
        ] {
            crate::platform::symlink(Path::new(target), &root.join(link)).expect("it is writable");
        }
        let place = without_links(&crate::system::Real, &root.join("venv/bin/python3"));
        assert_eq!(place, root.join("real/bin/python3.11"));
        let _ = without_links(&crate::system::Real, &root.join("loop/y")); // it ends
    }

    #[test]
    fn a_script_is_told_only_where_nothing_else_can_be_meant() {
        for (command, script) in [
            ("python main.py", Some("main.py")),
            ("python -uB -OO main.py --port=1", Some("main.py")),
            ("python -W ignore main.py", None),
            ("python -X dev main.py", None),
            ("python -m http.server", None),
            ("python -um http.server", None),
            ("python -c x", None),
            ("python -", None),
            ("sh run", Some("run")),
            ("bash -eu run.sh", Some("run.sh")),
            ("bash -ec exit", None),
            ("bash -lc exit", None),
            ("bash -o pipefail run.sh", None),
            ("bash +x run.sh", Some("run.sh")),
            ("node server.js", Some("server.js")),
            ("node --max-old-space-size=4096 a.mjs", Some("a.mjs")),
            ("node server", None),
            ("node -r dotenv/config x.js", None),
            ("node --import ./a.mjs x.js", None),
            ("node --eval=1 x.js", None),
            ("perl -w a.pl", Some("a.pl")),
            ("perl -I lib a.pl", None),
            ("php -d a=b x.php", None),
            ("php -S 127.0.0.1:80 x.php", None),
            ("php artisan serve", Some("artisan")),
            ("ruby -e 1", None),
            ("ruby", None),
        ] {
            let mut words = command.split(' ').map(str::to_owned);
            let (name, words) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
            assert_eq!(script_word(&name, &words), script, "{command}");
        }
    }

    #[test]
    fn a_string_is_written_so_that_toml_reads_it_again() {
        for word in ["", "a b", "\"\\", "a\nb\t\u{1b}\u{7f}\u{85}", "中文 '$x' #"] {
            let read: toml::Table = toml::from_str(&format!("x = {}", text(word))).expect("it is TOML");
            assert_eq!(read["x"].as_str(), Some(word));
        }
    }
}
