//! What the manifest says arrives, byte for byte, or it is refused with exit 2: hostile words in every place of a manifest, and
//! 2,000 random ones a run, through a real systemd, read back from the kernel. Nothing injects a directive.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::Value;
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

/// Those that arrive as an argument and as a variable.
fn carried() -> Vec<&'static str> {
    let is_carried = |word: &&str| !word.contains(is_noncharacter);
    HOSTILE.into_iter().filter(is_carried).collect()
}

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
    is_refused_by(lab, "install -q --no-wait", app, service)
}

fn is_refused_by(lab: &Lab, verb: &str, app: &str, service: &str) -> bool {
    let text = format!("[app]\nname = \"{app}\"\n{service}");
    let manifest = format!("/srv/{app}.toml");
    lab.write(&manifest, &text, 0o644);
    let out = lab.run(&format!("autoglm-boot {verb} -m {manifest}"));
    assert!(out.code == 0 || out.code == 2, "{text}\n{}", out.stderr);
    if out.code == 0 {
        // Whatever was written, it has given systemd these commands and no other.
        let prepared = usize::from(service.contains("pre_start"));
        let properties = properties(lab, app);
        for (name, number) in [
            ("ExecCondition", 0),
            ("ExecStartPre", prepared),
            ("ExecStart", 1),
            ("ExecStartPost", 0),
            ("ExecReload", 0),
            ("ExecStop", 0),
            ("ExecStopPost", 0),
        ] {
            assert_eq!(commands(&properties, name).len(), number, "{name}: {text}");
        }
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

/// A program that waits, whatever arguments follow.
const WAIT: [&str; 3] = ["python3", "-c", "import time; time.sleep(1000)"];
/// One that notes the arguments that follow.
const PREPARE: [&str; 4] = ["sh", "-c", "printf '%s\\0' \"$@\" >/srv/prepared", "sh"];
/// An app with nothing odd about it, to go on from.
const PLAIN: &str = "[service]\ncommand = [\"sleep\", \"1000\"]\n";

fn after<'a>(program: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
    [program, words].concat()
}

/// How `check` exits.
fn check(lab: &Lab, service: &str) -> i32 {
    lab.write(
        "/srv/check.toml",
        &format!("[app]\nname = \"check\"\n{service}\n"),
        0o644,
    );
    lab.run("autoglm-boot check -m /srv/check.toml").code
}

/// Writes a file whatever its path may be.
fn place(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything systemd has of a unit but times, over D-Bus: there the words stay apart, whatever is in them.
fn properties(lab: &Lab, app: &str) -> BTreeMap<String, Value> {
    let of = |interface: &str| {
        let text = lab
            .run(&format!(
                "busctl --json=short call org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/{app}_2eservice \
                 org.freedesktop.DBus.Properties GetAll s org.freedesktop.systemd1.{interface}"
            ))
            .expect(0)
            .stdout;
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        let properties = std::mem::take(answer["data"][0].as_object_mut().unwrap());
        let lasting = properties.into_iter().filter(|(name, _)| !name.contains("Timestamp"));
        lasting.map(|(name, mut value)| {
            let mut value = value["data"].take();
            // The order of a list of units means nothing, and changes by itself.
            if let (Some(list), false) = (value.as_array_mut(), name == "Environment") {
                list.sort_by_key(Value::to_string);
            }
            (name, value)
        })
    };
    of("Unit").chain(of("Service")).collect()
}

/// The argument lists of `ExecStart` and its kin. systemd makes one `$` of two when it starts them, not before.
fn commands(properties: &BTreeMap<String, Value>, name: &str) -> Vec<Vec<String>> {
    let lists: Vec<Value> = serde_json::from_value(properties[name].clone()).unwrap();
    lists
        .into_iter()
        .map(|mut command| serde_json::from_value(command[1].take()).unwrap())
        .collect()
}

fn doubled(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.replace('$', "$$")).collect()
}

/// An app with these words prepared, and with those as arguments and as variables.
fn with_words(prepared: &[&str], words: &[&str]) -> String {
    let mut text = format!(
        "[service]\ncommand = {}\npre_start = [{}]\n[service.environment]\n",
        array(after(&WAIT, words)),
        array(after(&PREPARE, prepared))
    );
    for (number, word) in words.iter().enumerate() {
        writeln!(text, "V{number} = {}", toml(word)).unwrap();
    }
    text
}

#[test]
fn hostile_arguments_and_variables_arrive_byte_for_byte() {
    let lab = Lab::with_program("words");
    let long = "long ".repeat(20_000);
    let hostile = carried();
    let words: Vec<&str> = hostile.iter().copied().chain([long.as_str()]).collect();
    // The same app with harmless words: by nothing but its words may the other one differ.
    assert!(!is_refused_by(
        &lab,
        "install -q --no-start",
        "words",
        &with_words(&["tame"], &vec!["tame"; words.len()])
    ));
    lab.run("systemctl daemon-reload").expect(0);
    let tame = properties(&lab, "words");
    assert!(!is_refused_by(
        &lab,
        "install -q --no-start",
        "words",
        &with_words(&hostile, &words)
    ));
    let wild = properties(&lab, "words");
    assert!(tame.len() > 200, "{}", tame.len());
    let differ: Vec<_> = tame.keys().filter(|name| tame.get(*name) != wild.get(*name)).collect();
    assert_eq!(tame.len(), wild.len());
    assert_eq!(
        differ,
        [
            "Environment",
            "ExecStart",
            "ExecStartEx",
            "ExecStartPre",
            "ExecStartPreEx"
        ]
    );
    let mut expected = doubled(&after(&WAIT, &words));
    expected[0] = "/usr/bin/python3".into();
    assert_eq!(commands(&wild, "ExecStart"), [expected]);
    let mut expected = doubled(&after(&PREPARE, &hostile));
    expected[0] = "/usr/bin/sh".into();
    assert_eq!(commands(&wild, "ExecStartPre"), [expected]);
    let variables: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(number, word)| format!("V{number}={word}"))
        .collect();
    assert_eq!(wild["Environment"], serde_json::to_value(&variables).unwrap());

    lab.run("systemctl start words").expect(0);
    assert_eq!(given(&lab, "words", "cmdline")[3..], words);
    let mut environment = given(&lab, "words", "environ");
    environment.retain(|variable| variable.starts_with('V'));
    assert_eq!(environment.iter().collect::<BTreeSet<_>>(), variables.iter().collect());
    assert_eq!(environment.len(), variables.len(), "each once");
    let prepared = lab.run("cat /srv/prepared").stdout;
    assert_eq!(prepared.split_terminator('\0').collect::<Vec<_>>(), hostile);
    assert_nothing_was_injected(&lab);

    // And an injection would have been seen.
    lab.run(
        "sed -i 's|^ExecStart=|ExecStartPre=/usr/bin/touch /srv/evil\\n&|' /etc/systemd/system/words.service && \
         systemctl daemon-reload && systemctl restart words",
    )
    .expect(0);
    assert_eq!(commands(&properties(&lab, "words"), "ExecStartPre").len(), 2);
    lab.run("ls /srv/evil").expect(0);
}

/// The refused set. Every other word of [`HOSTILE`] arrives in that place.
#[test]
fn what_cannot_arrive_is_refused_and_everything_else_arrives() {
    let lab = Lab::with_program("places");
    let mut refused: Vec<(&str, &str)> = Vec::new();
    for word in HOSTILE {
        let is_name = !word.is_empty(); // one with a slash is a path of several
        if is_name {
            // A program in a folder, both of that name; and the folder it starts in.
            let folder = lab.path("/srv/places").join(word);
            place(
                &folder.join(word),
                &fs::read(lab.path("/usr/bin/sleep")).unwrap(),
                0o755,
            );
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
            let service = format!("{PLAIN}working_directory = {}\n", toml(&path));
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
        let service = format!("description = {}\n{PLAIN}", toml(word));
        if is_refused(&lab, "about", &service) {
            refused.push(("description", word));
        } else {
            let said = lab.run("systemctl show -P Description about").stdout;
            assert_eq!(said.strip_suffix('\n'), Some(word), "description");
            remove(&lab, "about");
        }
        // That these arrive is told by the tests of all words at once.
        let command = array(["sleep", "1000", word]);
        if check(&lab, &format!("[service]\ncommand = {command}\n")) == 2 {
            refused.push(("argument", word));
        }
        if check(&lab, &format!("{PLAIN}[service.environment]\nV = {}\n", toml(word))) == 2 {
            refused.push(("value", word));
        }
    }
    for place in [
        "description = \"\\u0000\"\n[service]\ncommand = [\"sleep\"]",
        "[service]\ncommand = [\"sleep\", \"1000\", \"\\u0000\"]",
        "[service]\ncommand = [\"sleep\"]\nenvironment = { V = \"\\u0000\" }",
        "[service]\ncommand = [\"sleep\"]\nenvironment = { \"A=B\" = \"\" }",
        "[service]\ncommand = [\"sleep\"]\nenvironment = { \"\" = \"\" }",
    ] {
        assert_eq!(check(&lab, place), 2, "{place}");
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
        let is_name = !word.is_empty();
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

/// A user's own manager reads the same lines, with other specifiers.
#[test]
fn hostile_words_arrive_in_user_scope_as_well() {
    let lab = Lab::with_program("own");
    let words = carried();
    let text = format!("[app]\nname = \"words\"\n{}", with_words(&words, &words));
    lab.write("/home/app/words.toml", &text, 0o644);
    lab.run("loginctl enable-linger app && chmod 1777 /srv").expect(0);
    lab.as_user("app", "autoglm-boot install -q --no-wait -m /home/app/words.toml")
        .expect(0);
    let read = |file: &str| {
        let text = lab.run(&format!("cat {file}")).expect(0).stdout;
        text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    let pid = lab.run("pgrep -u app python3").expect(0).stdout;
    let pid = pid.trim();
    assert_eq!(read(&format!("/proc/{pid}/cmdline"))[3..], words);
    assert_eq!(read("/srv/prepared"), words);
    let environment = read(&format!("/proc/{pid}/environ"));
    for (number, word) in words.iter().enumerate() {
        assert!(environment.contains(&format!("V{number}={word}")), "{word:?}");
    }
    assert_nothing_was_injected(&lab);
}

/// A manifest in a folder of that name, an environment file of that name, and a folder of that name on the PATH.
#[test]
fn hostile_files_and_folders_arrive_or_are_refused() {
    let lab = Lab::with_program("files");
    let install = |folder: &str, service: &str| {
        let manifest = format!("{folder}/app.toml");
        let text = format!("[app]\nname = \"files\"\n{PLAIN}{service}");
        place(&lab.path(&manifest), text.as_bytes(), 0o644);
        let out = lab.run_argv(&["autoglm-boot", "install", "-q", "--no-wait", "-m", &manifest]);
        assert!(out.code == 0 || out.code == 2, "{manifest:?}\n{text}\n{}", out.stderr);
        out.code == 0
    };
    let cwd = || {
        lab.run("readlink -n /proc/$(systemctl show -P MainPID files)/cwd")
            .stdout
    };
    for word in HOSTILE.into_iter().filter(|word| !word.is_empty()) {
        let is_lost = word.contains(|c: char| c.is_control() || is_noncharacter(c))
            || word.ends_with('\\')
            || word.trim_end() != word;
        let (own, file, folder) = (
            format!("/srv/manifests/{word}"),
            format!("/srv/files/{word}"),
            format!("/srv/path/{word}"),
        );
        place(&lab.path(&file), b"FILE=arrived\n", 0o600);
        let [file, on_path] = [("environment_files", &file), ("path", &folder)]
            .map(|(key, value)| format!("{key} = [{}]\n", toml(value)));
        if is_lost {
            for (folder, service) in [(own.as_str(), ""), ("/srv/plain", &file), ("/srv/plain", &on_path)] {
                assert!(!install(folder, service), "{word:?} {service}");
            }
            // The manifest itself may lie there: its path is in a comment only.
            assert!(install(&own, "working_directory = \"/srv\"\n"), "{word:?}");
            assert_eq!(cwd(), "/srv");
        } else {
            let has_colon = word.contains(':');
            assert!(!has_colon || !install(&own, &on_path), "{word:?}");
            let on_path = if has_colon { "" } else { &on_path };
            assert!(install(&own, &format!("{file}{on_path}")), "{word:?}");
            assert_eq!(cwd(), own);
            let environment = given(&lab, "files", "environ");
            let default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
            let first = if has_colon { String::new() } else { format!("{folder}:") };
            let path = format!("PATH={first}{default}");
            assert!(environment.contains(&path), "{path:?} in {environment:?}");
            assert!(environment.contains(&"FILE=arrived".to_owned()), "{word:?}");
        }
        let properties = properties(&lab, "files");
        assert_eq!(
            commands(&properties, "ExecStart"),
            [["/usr/bin/sleep", "1000"]],
            "{word:?}"
        );
        assert_eq!(commands(&properties, "ExecStartPre").len(), 0, "{word:?}");
        remove(&lab, "files");
    }
    assert_nothing_was_injected(&lab);
}

/// Also those that systemd sets itself, or gives a meaning to.
#[test]
fn every_name_of_a_variable_arrives_with_its_value() {
    let lab = Lab::with_program("names");
    let long = "Z".repeat(250);
    let names = [
        "_",
        "a",
        "_0",
        "aB_9",
        "A",
        &long,
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PATH",
        "LANG",
        "LC_ALL",
        "TERM",
        "PWD",
        "IFS",
        "LD_LIBRARY_PATH",
        "PYTHONUTF8",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "MAINPID",
        "MANAGERPID",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "SYSTEMD_EXEC_PID",
        "SYSTEMD_LOG_LEVEL",
        "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "SERVICE_RESULT",
        "EXIT_CODE",
        "REMOTE_ADDR",
        "PIDFILE",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
    ];
    let value = |number: usize| format!("{number} 'x' \"y\"\\ %h $HOME\n=");
    for user in ["app", "root", "dynamic"] {
        let mut service = format!("{PLAIN}user = \"{user}\"\n[service.environment]\n");
        for (number, name) in names.iter().enumerate() {
            writeln!(service, "{name} = {}", toml(&value(number))).unwrap();
        }
        assert!(!is_refused(&lab, "names", &service));
        let environment = given(&lab, "names", "environ");
        for (number, name) in names.iter().enumerate() {
            let begin = format!("{name}=");
            let got: Vec<_> = environment
                .iter()
                .filter(|variable| variable.starts_with(&begin))
                .collect();
            assert_eq!(got, [&format!("{name}={}", value(number))], "{user}");
        }
        remove(&lab, "names");
    }
}

/// The limits are the kernel's for a word and systemd's for a line; what is one byte longer is refused, not cut.
#[test]
fn the_longest_words_arrive_and_longer_ones_are_refused() {
    const LONGEST: usize = 131_071;
    let lab = Lab::with_program("long");
    for c in ["\u{1}", "%", "$"] {
        let arguments = [c.repeat(LONGEST), c.repeat(100_000)];
        let command = array(WAIT.into_iter().chain(arguments.iter().map(String::as_str)));
        let value = c.repeat(LONGEST - 2);
        let service = format!("[service]\ncommand = {command}\n");
        // Not both in one: a manifest has 1 MiB, and \u0001 takes six bytes of it.
        if c == "\u{1}" {
            let command = array(WAIT.into_iter().chain([arguments[0].as_str()]));
            assert!(!is_refused(&lab, "long", &format!("[service]\ncommand = {command}\n")));
            assert_eq!(given(&lab, "long", "cmdline")[3..], arguments[..1]);
        } else {
            assert!(!is_refused(&lab, "long", &service));
            assert_eq!(given(&lab, "long", "cmdline")[3..], arguments);
        }
        remove(&lab, "long");
        assert!(!is_refused(
            &lab,
            "long",
            &format!("{PLAIN}environment.V = {}\n", toml(&value))
        ));
        assert!(given(&lab, "long", "environ").contains(&format!("V={value}")), "{c:?}");
        remove(&lab, "long");
        let command = array(WAIT.into_iter().chain([format!("{}{c}", arguments[0]).as_str()]));
        for service in [
            format!("[service]\ncommand = {command}\n"),
            format!("{PLAIN}environment.V = {}\n", toml(&format!("{value}{c}"))),
            format!("{PLAIN}pre_start = [{command}]\n"),
        ] {
            assert_eq!(check(&lab, &service), 2, "{c:?}");
        }
    }
    // Many short words: the kernel counts a pointer for each.
    let many = |number| {
        let words = ", \"\"".repeat(number);
        format!("[service]\ncommand = [\"sh\", \"-c\", \"sleep 1000; :\"{words}]\n")
    };
    assert!(!is_refused(&lab, "many", &many(170_000)));
    assert_eq!(given(&lab, "many", "cmdline").len(), 170_003);
    assert_eq!(check(&lab, &many(180_000)), 2);
    // The longest description that a line holds, and one that none does.
    let about = |length| format!("description = \"{}\"\n{PLAIN}", "%".repeat(length));
    assert!(!is_refused(&lab, "about", &about(520_000)));
    assert_eq!(
        lab.run("systemctl show -P Description about").stdout.trim_end(),
        "%".repeat(520_000)
    );
    assert_eq!(check(&lab, &about(530_000)), 2);
}

/// systemd expands specifiers there too, and a directory service may have such names.
#[test]
fn accounts_with_odd_names_arrive() {
    let lab = Lab::with_program("accounts");
    for (number, name) in [
        "EXAMPLE\\alice",
        "a%n",
        "50%%",
        "o'neil",
        "white space",
        "dot.name@example",
        "$HOME",
    ]
    .into_iter()
    .enumerate()
    {
        let id = 3000 + number;
        for (file, line) in [
            ("passwd", format!("{name}:x:{id}:{id}::/:/bin/sh")),
            ("group", format!("{name}:x:{id}:")),
        ] {
            let mut text = fs::read_to_string(lab.path("/etc").join(file)).unwrap();
            writeln!(text, "{line}").unwrap();
            fs::write(lab.path("/etc").join(file), text).unwrap();
        }
        let account = toml(name);
        let service = format!("{PLAIN}working_directory = \"/\"\nuser = {account}\ngroup = {account}\n");
        assert!(!is_refused(&lab, "account", &service), "{name}");
        let status = lab.run("cat /proc/$(systemctl show -P MainPID account)/status").stdout;
        for line in [format!("Uid:\t{id}\t"), format!("Gid:\t{id}\t")] {
            assert!(status.contains(&line), "{name}: {status}");
        }
        remove(&lab, "account");
    }
}

/// systemd refuses a path with `..` in it; and the parent of a link is not where its name says.
#[test]
fn places_named_by_way_of_their_parents_are_found() {
    let lab = Lab::with_program("parents");
    lab.run("mkdir -p /srv/real/app /srv/other && ln -s real/app /srv/link && cp /bin/sleep /srv/real/run && echo X=1 >/srv/real/x.env")
        .expect(0);
    let service =
        "[app]\nname = \"app\"\n[service]\ncommand = [\"../run\", \"1000\"]\nenvironment_files = [\"../x.env\"]\n";
    for (folder, told) in [("", "/srv/real/app"), ("working_directory = \"..\"\n", "/srv/real")] {
        lab.write("/srv/real/app/app.toml", &format!("{service}{folder}"), 0o644);
        lab.run("cd /srv/other && autoglm-boot install -q --no-wait -m ../link/../app/app.toml")
            .expect(0);
        assert_eq!(
            lab.run("readlink -n /proc/$(systemctl show -P MainPID app)/cwd").stdout,
            told
        );
        assert_eq!(given(&lab, "app", "cmdline"), ["/srv/real/run", "1000"]);
        assert!(given(&lab, "app", "environ").contains(&"X=1".to_owned()));
        remove(&lab, "app");
    }
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
        let command = array(WAIT.into_iter().chain(words.iter().map(String::as_str)));
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
