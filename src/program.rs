//! What the file of a program says of itself: machine code of which kind of machine, or a script of which interpreter.

use std::path::{Path, PathBuf};

use crate::system::{EntryKind, MOST_LINKS, Probe, without_parents};

/// A program, and all that its links lead to, one after the other: the last is the file that is executed.
pub fn way(look: &dyn Probe, program: &Path) -> Vec<PathBuf> {
    let mut place = program.to_path_buf();
    let mut found = Vec::new();
    for _ in 0..MOST_LINKS {
        found.push(place.clone());
        let Ok(Some(entry)) = look.entry(&place) else { break };
        let EntryKind::Link(target) = entry.kind else { break };
        place = without_parents(look, &place.parent().unwrap_or(Path::new("/")).join(target));
    }
    found
}

/// What the kernel makes of a file that is executed (execve(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Machine code.
    Elf(Elf),
    /// A script.
    Script(Interpreter),
    /// Nothing.
    Unknown,
}

impl Kind {
    /// The kind of a file; none of what is no file, or cannot be read.
    pub fn of(look: &dyn Probe, file: &Path) -> Option<Self> {
        const HEADERS: usize = 64 * 1024; // the program headers come right after the file header, and name the loader
        let is_file = matches!(look.target(file), Ok(Some(entry)) if entry.kind == EntryKind::File);
        let start = is_file.then(|| look.head(file, HEADERS).ok()).flatten()?;
        Some(match Elf::parse(&start) {
            Some(elf) => Self::Elf(elf),
            None => Interpreter::parse(&start).map_or(Self::Unknown, Self::Script),
        })
    }
}

/// The interpreter of a script, from its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// What follows it: one argument (execve(2)).
    pub argument: Option<String>,
}

impl Interpreter {
    /// The interpreter of a script (execve(2), "Interpreter scripts"); none of what is no script.
    pub fn of(look: &dyn Probe, script: &Path) -> Option<Self> {
        match Kind::of(look, script)? {
            Kind::Script(interpreter) => Some(interpreter),
            _ => None,
        }
    }

    fn parse(start: &[u8]) -> Option<Self> {
        const LONGEST_LINE: usize = 256; // BINPRM_BUF_SIZE
        let start = &start[..start.len().min(LONGEST_LINE)];
        let line = start.strip_prefix(b"#!")?;
        let line = line.split(|&byte| byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line).trim_matches([' ', '\t']).to_owned();
        let (program, argument) = match line.split_once([' ', '\t']) {
            Some((program, rest)) => (program, Some(rest.trim_matches([' ', '\t']).to_owned())),
            None => (line.as_str(), None),
        };
        (!program.is_empty()).then(|| Self {
            program: program.into(),
            argument,
        })
    }
}

/// The header of machine code (elf(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// The dynamic loader; none of what needs none.
    pub loader: Option<String>,
}

/// Kinds of machines: `e_machine`, as Rust names them.
const MACHINES: [(u16, &str); 8] = [
    (3, "x86"),
    (8, "mips"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

impl Elf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const LOADER: u32 = 3; // PT_INTERP
        let is_wide = match bytes.get(..6)? {
            [0x7f, b'E', b'L', b'F', class, _] => *class == 2,
            _ => return None,
        };
        let is_big = bytes[5] == 2;
        let number = |at: usize, len: usize| -> Option<u64> {
            let bytes = bytes.get(at..at.checked_add(len)?)?;
            let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            Some(if is_big {
                bytes.iter().fold(0, fold)
            } else {
                bytes.iter().rev().fold(0, fold)
            })
        };
        let index = |at: usize, len: usize| usize::try_from(number(at, len)?).ok();
        let (table, size, count) = if is_wide {
            (index(32, 8), index(54, 2), index(56, 2))
        } else {
            (index(28, 4), index(42, 2), index(44, 2))
        };
        let loader = || {
            let (table, size, count) = (table?, size?, count?);
            let headers = (0..count).map(|n| table.saturating_add(n.saturating_mul(size)));
            let header = headers
                .into_iter()
                .find(|&at| number(at, 4) == Some(u64::from(LOADER)))?;
            let (at, len) = if is_wide {
                (index(header + 8, 8)?, index(header + 32, 8)?)
            } else {
                (index(header + 4, 4)?, index(header + 16, 4)?)
            };
            let text = bytes.get(at..at.checked_add(len)?)?;
            let text = text.split(|&byte| byte == 0).next()?;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        Some(Self {
            machine: u16::try_from(number(18, 2)?).ok()?,
            loader: loader(),
        })
    }

    /// The number of a kind of machine.
    pub fn machine_of(name: &str) -> Option<u16> {
        MACHINES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }

    /// The name of its kind of machine.
    pub fn machine_name(&self) -> String {
        let known = MACHINES.iter().find(|(number, _)| *number == self.machine);
        known.map_or_else(|| format!("machine {}", self.machine), |(_, name)| (*name).to_owned())
    }

    /// Whether a machine of this kind may execute it all the same: as its own 32 bits.
    pub fn is_cousin_of(&self, machine: u16) -> bool {
        const OF_32_BITS: [(u16, u16); 2] = [(62, 3), (183, 40)];
        OF_32_BITS.contains(&(machine, self.machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Real;

    #[test]
    fn machine_code_says_which_machine_it_is_for_and_what_loads_it() {
        let own = std::env::current_exe().expect("it runs");
        let Some(Kind::Elf(elf)) = Kind::of(&Real, &own) else {
            panic!("it is machine code")
        };
        assert_eq!(Some(elf.machine), Elf::machine_of(std::env::consts::ARCH));
        assert_eq!(elf.machine_name(), std::env::consts::ARCH);
        assert!(elf.loader.is_some_and(|loader| Path::new(&loader).exists()));
        let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
        foreign.resize(64, 0);
        foreign[18] = 183;
        let foreign = Elf::parse(&foreign).expect("it is a header");
        assert_eq!((foreign.machine_name().as_str(), foreign.loader), ("aarch64", None));
    }

    #[test]
    fn a_cut_or_senseless_header_is_no_harm() {
        for bytes in [
            &b""[..],
            b"\x7fELF",
            b"\x7fELF\x02\x01",
            b"MZ\x90\x00",
            &[0xff; 64],
            &[&b"\x7fELF\x02\x01"[..], &[0xff; 200]].concat(),
        ] {
            let _ = Elf::parse(bytes);
        }
    }

    #[test]
    fn a_script_names_its_interpreter() {
        for (text, program, argument) in [
            ("#!/bin/sh\n", "/bin/sh", None),
            ("#! /usr/bin/env python3 -u \nx", "/usr/bin/env", Some("python3 -u")),
            ("#!/bin/sh\r\n", "/bin/sh\r", None),
        ] {
            let found = Interpreter::parse(text.as_bytes()).expect(text);
            assert_eq!(
                (found.program.as_path(), found.argument.as_deref()),
                (Path::new(program), argument),
                "{text:?}"
            );
        }
        for text in ["", "#!", "#!\n", "# !/bin/sh", "\u{feff}#!/bin/sh"] {
            assert_eq!(Interpreter::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
