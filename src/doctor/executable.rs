//! The program's file: whether the kernel makes anything of it (203/EXEC, Exec format error).

use std::path::{Path, PathBuf};

use super::{
    Check, Finding, Patient,
    patient::quoted,
    program::{text, there, with_program},
};
use crate::{
    program::{Elf, Interpreter, Kind, way},
    service::Os,
    system::Cmd,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "shebang-crlf",
        [
            "the first line of the script ends with CR LF: no interpreter has such a name",
            "its first bytes",
            "`sed` takes the CR of every line away",
        ],
        crlf,
    )
    .on(Os::Linux),
    Check::error(
        "interpreter-missing",
        [
            "the interpreter that the script's first line names is not there",
            "the `#!` line; behind env(1) the service's PATH",
            "a `#!` line with the one that is there",
        ],
        interpreter_missing,
    )
    .on(Os::Linux),
    Check::error(
        "shebang-missing",
        [
            "the file is neither machine code nor a script with an interpreter (Exec format error)",
            "its first bytes",
            "a `#!` line",
        ],
        shebang_missing,
    )
    .on(Os::Linux),
    Check::error(
        "architecture",
        [
            "the program was built for another kind of machine (Exec format error)",
            "the header of the ELF file, this machine",
            "the machine's own program of that name, if there is one",
        ],
        architecture,
    )
    .on(Os::Linux),
    Check::error(
        "library-missing",
        [
            "a shared library that the program needs is not found",
            "the program's own loader, asked with `--list` as the app's user",
            "`LD_LIBRARY_PATH`, where the app brings the library along",
        ],
        library_missing,
    )
    .on(Os::Linux),
];

fn crlf(patient: &Patient) -> Vec<Finding> {
    let is_crlf = |program: &PathBuf| {
        let start = patient.look.head(program, 256).unwrap_or_default();
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        line.starts_with(b"#!") && line.ends_with(b"\r")
    };
    there(patient)
        .filter(is_crlf)
        .map(|program| {
            Finding::new(format!("the first line of {} ends with CR LF", program.display()))
                .seen("the interpreter's name is taken with the CR, and there is no such")
                .run(format!("sed -i 's/\\r$//' {}", quoted(&program)))
        })
        .collect()
}

fn interpreter_missing(patient: &Patient) -> Vec<Finding> {
    there(patient)
        .filter_map(|program| without_interpreter(patient, &program))
        .collect()
}

fn without_interpreter(patient: &Patient, program: &Path) -> Option<Finding> {
    let Interpreter {
        program: named,
        argument,
    } = Interpreter::of(patient.look, program)?;
    if named.to_string_lossy().ends_with('\r') || argument.as_ref().is_some_and(|word| word.ends_with('\r')) {
        return None; // another check tells
    }
    let is_there = |path: &Path| matches!(patient.look.target(path), Ok(Some(_)));
    let is_env = named.file_name().is_some_and(|name| name == "env");
    let (name, seen) = if !is_there(&named) {
        let name = named.file_name()?.to_string_lossy().into_owned();
        (
            name,
            format!("its first line names {}, which is not there", named.display()),
        )
    } else if is_env {
        let words = argument.unwrap_or_default();
        let name = words
            .split_whitespace()
            .find(|word| !word.starts_with('-') && !word.contains('='))?;
        if name.contains('/') || patient.look.find_program(name, &patient.path()).is_some() {
            return None;
        }
        let path = patient.variable("PATH").unwrap_or_default();
        (
            name.to_owned(),
            format!("env finds no {name} on the service's PATH: {path}"),
        )
    } else {
        return None;
    };
    let finding = Finding::new(format!("{} has no interpreter", program.display())).seen(seen);
    Some(match interpreter_like(patient, &name) {
        Some(found) => {
            let mut script = String::from("1s|^#!.*|#!");
            for letter in found.to_string_lossy().chars() {
                if matches!(letter, '\\' | '|' | '&') {
                    script.push('\\');
                }
                script.push(letter);
            }
            script.push('|');
            finding.run(format!("sed -i {} {}", shell_words::quote(&script), quoted(program)))
        }
        None => finding.by_hand(format!("install {name}")),
    })
}

/// The interpreter of that name, or of the same language: `python` where only `python3` is there.
fn interpreter_like(patient: &Patient, name: &str) -> Option<PathBuf> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let folder = &patient.service.working_directory;
    let mut folders = vec![folder.join("venv/bin"), folder.join(".venv/bin")];
    folders.extend(patient.path());
    let names = [name.to_owned(), stem.to_owned(), format!("{stem}3")];
    names.iter().find_map(|name| patient.look.find_program(name, &folders))
}

fn shebang_missing(patient: &Patient) -> Vec<Finding> {
    there(patient)
        .filter(|program| Kind::of(patient.look, program) == Some(Kind::Unknown))
        .map(|program| {
            let finding = Finding::new(format!("{} is neither machine code nor a script", program.display()));
            let finding = finding.seen("it begins with neither \\x7fELF nor #!");
            if !is_text(&patient.look.head(&program, 4096).unwrap_or_default()) {
                return finding.by_hand("it is empty, or a program of another system: put one of Linux there");
            }
            let extension = program.extension().unwrap_or_default().to_string_lossy().into_owned();
            let interpreter = match extension.as_str() {
                "py" => "/usr/bin/env python3",
                "js" | "mjs" => "/usr/bin/env node",
                "rb" => "/usr/bin/env ruby",
                "pl" => "/usr/bin/env perl",
                _ => "/bin/sh",
            };
            finding.run(format!("sed -i '1i #!{interpreter}' {}", quoted(&program)))
        })
        .collect()
}

/// Whether a file that begins so is text, which a line can be put before.
fn is_text(start: &[u8]) -> bool {
    // A character may be cut at the end.
    let is_utf8 = std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true);
    !start.is_empty() && !start.contains(&0) && is_utf8
}

fn architecture(patient: &Patient) -> Vec<Finding> {
    let ours = Elf::machine_of(std::env::consts::ARCH);
    there(patient)
        .filter_map(|program| match Kind::of(patient.look, &program) {
            Some(Kind::Elf(elf)) if ours.is_some_and(|ours| ours != elf.machine && !elf.is_cousin_of(ours)) => {
                Some((program, elf))
            }
            _ => None,
        })
        .map(|(program, elf)| {
            let finding = Finding::new(format!("{} is for another machine", program.display())).seen(format!(
                "it is built for {}, this machine is {}",
                elf.machine_name(),
                std::env::consts::ARCH
            ));
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let argv = &patient.service.command;
            match patient.look.find_program(&name, &patient.path()) {
                Some(own) if own != program && argv.first().map(Path::new) == Some(&program) => {
                    finding.edit(patient, "service.command", with_program(argv, &own))
                }
                _ => finding.by_hand(format!("get a {name} that is built for {}", std::env::consts::ARCH)),
            }
        })
        .collect()
}

fn library_missing(patient: &Patient) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for program in there(patient) {
        let program = Interpreter::of(patient.look, &program).map_or(program, |of| of.program);
        // Libraries beside a program are beside what its links lead to ($ORIGIN, ld.so(8)).
        let program = way(patient.look, &program).pop().unwrap_or(program);
        let Some(Kind::Elf(Elf {
            loader: Some(loader), ..
        })) = Kind::of(patient.look, &program)
        else {
            continue;
        };
        let cmd = Cmd::new(&loader, ["--list".to_owned(), program.to_string_lossy().into_owned()]);
        let Some(output) = patient.ask(&cmd) else { continue };
        // A library that is not found: by glibc's loader, and when it gives up ("cannot open shared object file").
        let text = format!("{}\n{}", output.stdout, output.stderr);
        let absent = text.lines().filter_map(|line| {
            let by_list = line.trim().strip_suffix("=> not found").map(str::trim);
            by_list.or_else(|| {
                let (before, _) = line.split_once(": cannot open shared object file")?;
                before.rsplit(": ").next()
            })
        });
        let absent: Vec<_> = absent.map(str::to_owned).collect();
        if let Some(first) = absent.first() {
            findings.push(without_library(patient, &program, first, &absent));
        }
    }
    findings
}

fn without_library(patient: &Patient, program: &Path, first: &str, absent: &[String]) -> Finding {
    let finding = Finding::new(format!("{} needs {first}, which is not found", program.display()))
        .seen(format!("not found: {}", absent.join(", ")));
    let folder = &patient.service.working_directory;
    let beside = program.parent().unwrap_or(Path::new("/"));
    let places = [
        folder.join("lib"),
        folder.clone(),
        beside.join("../lib"),
        beside.to_path_buf(),
    ];
    let has_it = |place: &&PathBuf| matches!(patient.look.target(&place.join(first)), Ok(Some(_)));
    match places.iter().find(has_it) {
        Some(place) => {
            let value = text(&place.to_string_lossy());
            finding.edit(patient, "service.environment.LD_LIBRARY_PATH", value)
        }
        None => finding.by_hand(format!("install the package that has {first}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_put_before_text_only() {
        assert!(is_text(b"echo hi\n") && is_text("# 中".as_bytes()) && is_text(&"# 中".as_bytes()[..4]));
        for start in [
            &b""[..],
            b"MZ\x90\0",
            b"\xcf\xfa\xed\xfe\x07",
            b"PK\x03\x04\x14\0",
            b"a\xffb",
        ] {
            assert!(!is_text(start), "{start:?}");
        }
    }
}
