//! What the manifest says arrives, byte for byte, or it is refused with exit 2: hostile words in every place of a manifest, and
//! 2,000 random ones a run, through a real systemd, read back from the kernel. Nothing injects a directive.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::fmt::Write as _;

use support::lab::Lab;

/// Words that a quoting has to survive.
const HOSTILE: [&str; 52] = [
    "",
    " ",
    "a b",
    " lead",
    "trail ",
    "\t",
    "a\nb",
    "\r",
    "\r\n",
    "\"",
    "'",
    "\"a b\"",
    "'a b'",
    "it's \"quoted\"",
    "\\",
    "\\\\",
    "trail\\",
    "\\n",
    "\\x41",
    "\\u0041",
    "\\\n",
    "%",
    "%%",
    "%n %h %i %H",
    "$",
    "$$",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    ";",
    "a;b",
    "#",
    "# a",
    "~",
    "*?[a]",
    "|&<>",
    "-",
    "--help",
    "@/bin/true",
    "-+!:@a",
    "=",
    "a=b",
    "中文 路径",
    "😀👩‍👩‍👧",
    "e\u{301}\u{202e}rtl\u{200f}\u{feff}",
    "\u{85}\u{2028}\u{2029}\u{a0}",
    "\u{1}\u{2}\u{1b}[31m\u{1f}\u{7f}",
    "\u{fffe}\u{1ffff}\u{fdd0}",
    "x\nExecStartPre=/usr/bin/touch /srv/evil",
    "x\n[Service]\nExecStartPre=/usr/bin/touch /srv/evil",
    "\\\nExecStartPre=/usr/bin/touch /srv/evil\n",
];

/// A TOML string. JSON's escapes are TOML's as well, but for DEL.
fn toml(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

fn array<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", words.into_iter().map(toml).collect::<Vec<_>>().join(", "))
}

/// What the kernel was given, from `/proc/PID`: the parts of a file that are ended by a NUL.
fn given(lab: &Lab, app: &str, file: &str) -> Vec<String> {
    let text = lab
        .run(&format!("cat /proc/$(systemctl show -P MainPID {app})/{file}"))
        .expect(0)
        .stdout;
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Installs it, starts it, and says whether it was refused with exit 2 instead.
fn is_refused(lab: &Lab, app: &str, service: &str) -> bool {
    let text = format!("[app]\nname = \"{app}\"\n{service}");
    let manifest = format!("/srv/{app}.toml");
    lab.write(&manifest, &text, 0o644);
    let out = lab.run(&format!("autoglm-boot install -q --no-wait -m {manifest}"));
    assert!(out.code == 0 || out.code == 2, "{text}\n{}", out.stderr);
    if out.code == 0 {
        // Whatever was written, it has given systemd one command and nothing else.
        let show = "systemctl show -p ExecStartPre -p ExecStartPost -p ExecStop -p ExecCondition";
        assert_eq!(lab.run(&format!("{show} {app}")).stdout, "", "{text}");
    }
    out.code == 2
}

fn remove(lab: &Lab, app: &str) {
    lab.run(&format!("autoglm-boot uninstall -q {app}")).expect(0);
}

#[track_caller]
fn assert_nothing_was_injected(lab: &Lab) {
    assert_eq!(lab.run("ls /srv/evil").code, 2, "an injected directive was run");
}

const SLEEP: &str = "import time; time.sleep(1000)";

#[test]
fn hostile_arguments_and_variables_arrive_byte_for_byte() {
    let lab = Lab::with_program("words");
    let long = "long ".repeat(20_000);
    let hostile: Vec<&str> = HOSTILE
        .into_iter()
        .filter(|word| !word.contains(is_noncharacter))
        .collect();
    let words: Vec<&str> = hostile.iter().copied().chain([long.as_str()]).collect();
    let variables = words.iter().enumerate();
    let mut service = format!(
        "[service]\ncommand = {}\npre_start = [{}]\n[service.environment]\n",
        array(["python3", "-c", SLEEP].into_iter().chain(words.iter().copied())),
        array(
            ["sh", "-c", "printf '%s\\0' \"$@\" >/srv/prepared", "sh"]
                .into_iter()
                .chain(hostile.iter().copied())
        )
    );
    for (number, word) in variables.clone() {
        writeln!(service, "V{number} = {}", toml(word)).unwrap();
    }
    lab.write("/srv/words.toml", &format!("[app]\nname = \"words\"\n{service}"), 0o644);
    lab.run("autoglm-boot install --no-wait -m /srv/words.toml").expect(0);
    assert_eq!(given(&lab, "words", "cmdline")[3..], words);
    let environment = given(&lab, "words", "environ");
    for (number, word) in variables {
        let expected = format!("V{number}={word}");
        assert!(environment.contains(&expected), "{expected:?}");
    }
    let prepared = lab.run("cat /srv/prepared").stdout;
    assert_eq!(prepared.split_terminator('\0').collect::<Vec<_>>(), hostile);
    assert_nothing_was_injected(&lab);
}

/// The refused set. Every other word of [`HOSTILE`] arrives in that place.
#[test]
fn what_cannot_arrive_is_refused_and_everything_else_arrives() {
    let lab = Lab::with_program("places");
    let mut refused: Vec<(&str, &str)> = Vec::new();
    for word in HOSTILE {
        let is_name = !word.is_empty() && !word.contains('/');
        if is_name {
            // A program in a folder, both of that name; and the folder it starts in.
            let folder = lab.path("/srv/places").join(word);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(lab.path("/usr/bin/sleep"), folder.join(word)).unwrap();
            let path = format!("/srv/places/{word}");
            let program = format!("{path}/{word}");
            if is_refused(
                &lab,
                "program",
                &format!("[service]\ncommand = {}\n", array([program.as_str(), "1000"])),
            ) {
                refused.push(("program", word));
            } else {
                assert_eq!(given(&lab, "program", "cmdline"), [program.as_str(), "1000"]);
                remove(&lab, "program");
            }
            let service = format!(
                "[service]\ncommand = [\"sleep\", \"1000\"]\nworking_directory = {}\n",
                toml(&path)
            );
            if is_refused(&lab, "folder", &service) {
                refused.push(("folder", word));
            } else {
                let now = lab
                    .run("readlink -n /proc/$(systemctl show -P MainPID folder)/cwd")
                    .stdout;
                assert_eq!(now, path);
                remove(&lab, "folder");
            }
        }
        let service = format!(
            "description = {}\n[service]\ncommand = [\"sleep\", \"1000\"]\n",
            toml(word)
        );
        if is_refused(&lab, "about", &service) {
            refused.push(("description", word));
        } else {
            let said = lab.run("systemctl show -P Description about").stdout;
            assert_eq!(said.strip_suffix('\n'), Some(word), "description");
            remove(&lab, "about");
        }
        let command = array(["python3", "-c", SLEEP, word]);
        if is_refused(&lab, "argument", &format!("[service]\ncommand = {command}\n")) {
            refused.push(("argument", word));
        } else {
            remove(&lab, "argument");
        }
        let service = format!(
            "[service]\ncommand = [\"sleep\", \"1000\"]\n[service.environment]\nV = {}\n",
            toml(word)
        );
        if is_refused(&lab, "value", &service) {
            refused.push(("value", word));
        } else {
            remove(&lab, "value");
        }
    }
    for place in [
        "command = [\"sleep\", \"1000\", \"\\u0000\"]",
        "command = [\"sleep\"]\nenvironment = { V = \"\\u0000\" }",
    ] {
        assert!(is_refused(&lab, "nul", &format!("[service]\n{place}\n")), "{place}");
    }
    assert_nothing_was_injected(&lab);
    assert_eq!(lab.run("ls /etc/systemd/system/*.service").code, 2, "nothing is left");
    refused.sort_unstable();
    let mut expected = refused_set();
    expected.sort_unstable();
    assert_eq!(refused, expected);
}

/// Which of [`HOSTILE`] is refused where.
fn refused_set() -> Vec<(&'static str, &'static str)> {
    let is_control = |word: &str| word.chars().any(char::is_control);
    let is_noncharacter = |word: &str| word.contains(is_noncharacter);
    let mut set = Vec::new();
    for word in HOSTILE {
        let is_name = !word.is_empty() && !word.contains('/');
        let is_bare = word.trim() == word && !word.is_empty();
        let is_quoting = word.contains(['"', '\'', '\\']);
        if is_name && (is_control(word) || is_noncharacter(word) || is_quoting) {
            set.push(("program", word));
        }
        if is_name && (is_control(word) || is_noncharacter(word) || word.trim_end() != word || word.ends_with('\\')) {
            set.push(("folder", word));
        }
        if is_control(word) || is_noncharacter(word) || !is_bare || word.ends_with('\\') {
            set.push(("description", word));
        }
        if is_noncharacter(word) {
            set.push(("value", word));
            set.push(("argument", word));
        }
    }
    set
}

/// xorshift64: a run is told by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn character(&mut self) -> char {
        const NASTY: &str = " \t\n\r\"'\\%$;#=*?[]{}|&<>~`!@:-+,.()/^\u{1}\u{1b}\u{7f}";
        let code = match self.below(8) {
            0..4 => return NASTY.chars().nth(self.below(NASTY.chars().count())).unwrap(),
            4 | 5 => 0x20 + self.below(0x5f),
            6 => 1 + self.below(0xffff),
            _ => 0x1_0000 + self.below(0x10_0000),
        };
        char::from_u32(u32::try_from(code).unwrap()).unwrap_or('x')
    }

    fn word(&mut self) -> String {
        let length = self.below(40);
        (0..length)
            .map(|_| self.character())
            .filter(|c| !is_noncharacter(*c))
            .collect()
    }
}

/// Code points that are no characters (Unicode): refused everywhere, systemd cannot hold them.
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

#[test]
fn two_thousand_random_words_arrive_byte_for_byte() {
    const APPS: usize = 20;
    const WORDS: usize = 100;
    let lab = Lab::with_program("random");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed: u64 = std::env::var("FIDELITY_SEED").map_or(now.subsec_nanos().into(), |seed| seed.parse().unwrap());
    let mut random = Random(seed | 1);
    for app in 0..APPS {
        let words: Vec<String> = (0..WORDS).map(|_| random.word()).collect();
        let command = array(
            ["python3", "-c", SLEEP]
                .into_iter()
                .chain(words.iter().map(String::as_str)),
        );
        let mut service = format!("[service]\ncommand = {command}\n[service.environment]\n");
        for (number, value) in words.iter().enumerate() {
            writeln!(service, "V{number} = {}", toml(value)).unwrap();
        }
        let name = format!("random{app}");
        assert!(!is_refused(&lab, &name, &service), "FIDELITY_SEED={seed}");
        assert_eq!(given(&lab, &name, "cmdline")[3..], words, "FIDELITY_SEED={seed}");
        let environment = given(&lab, &name, "environ");
        for (number, value) in words.iter().enumerate() {
            let expected = format!("V{number}={value}");
            assert!(environment.contains(&expected), "FIDELITY_SEED={seed} {expected:?}");
        }
        remove(&lab, &name);
    }
}
