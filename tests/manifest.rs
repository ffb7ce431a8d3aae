//! Reading a manifest: every mistake at once, each in its place, and nothing that makes it panic or slow.
//! Longer than 300 lines: most of it is tables of cases.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "tests"
)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use autoglm_boot::{
    exit::Exit,
    manifest::{Manifest, Problems, read, read_for},
    service::Os,
};

const BASE: &str = "[app]\nname = \"a\"\n[service]\ncommand = [\"x\"]\n";

/// Every key of this version, with a value that is right.
const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "app",
        &[("name", "\"a\""), ("description", "\"x\""), ("version", "\"1\"")],
    ),
    (
        "service",
        &[
            ("command", "[\"x\"]"),
            ("working_directory", "\"/\""),
            ("user", "\"x\""),
            ("group", "\"x\""),
            ("environment", "{ A = \"b\" }"),
            ("environment_files", "[\"x\"]"),
            ("path", "[\"x\"]"),
            ("pre_start", "[[\"x\"]]"),
            ("type", "\"exec\""),
            ("start_timeout", "\"1s\""),
            ("stop_timeout", "\"1s\""),
            ("stop_signal", "\"TERM\""),
        ],
    ),
    (
        "restart",
        &[
            ("policy", "\"never\""),
            ("delay", "\"1s\""),
            ("max_delay", "\"1s\""),
            ("max_attempts", "0"),
            ("window", "\"1m\""),
        ],
    ),
    (
        "dependencies",
        &[
            ("after", "[\"x\"]"),
            ("requires", "[\"x\"]"),
            ("wants", "[\"x\"]"),
            ("wait_for", "[\"tcp://h:1\"]"),
            ("wait_timeout", "\"0s\""),
        ],
    ),
    (
        "readiness",
        &[
            ("http", "\"http://h/\""),
            ("tcp", "\"h:1\""),
            ("command", "[\"x\"]"),
            ("file", "\"x\""),
            ("expect_status", "[200, \"300-399\"]"),
            ("expect_body", "\"x\""),
            ("headers", "{ X-A = \"b\" }"),
            ("interval", "\"1s\""),
            ("timeout", "\"1s\""),
            ("settle", "\"0s\""),
        ],
    ),
    (
        "health",
        &[
            ("http", "\"http://h/\""),
            ("tcp", "\"h:1\""),
            ("command", "[\"x\"]"),
            ("file", "\"x\""),
            ("expect_status", "[200, \"300-399\"]"),
            ("expect_body", "\"x\""),
            ("headers", "{ X-A = \"b\" }"),
            ("start_period", "\"0s\""),
            ("interval", "\"1s\""),
            ("timeout", "\"1s\""),
            ("retries", "3"),
            ("action", "\"none\""),
        ],
    ),
    (
        "resources",
        &[
            ("cpu", "1.5"),
            ("memory", "\"1Gi\""),
            ("cpu_request", "\"500m\""),
            ("memory_request", "1024"),
            ("tasks", "1"),
            ("open_files", "1"),
            ("shared_memory", "\"1Gi\""),
        ],
    ),
    (
        "logging",
        &[
            ("destination", "\"journal\""),
            ("file", "\"x\""),
            ("max_size", "\"10Mi\""),
            ("max_files", "5"),
            ("level", "\"x\""),
            ("level_variable", "\"X\""),
            ("rate_limit", "{ burst = 1, interval = \"1s\" }"),
        ],
    ),
    (
        "requirements",
        &[
            ("python", "\">=3.9\""),
            ("packages", "[\"torch>=1.13\", \"uvicorn[standard]\"]"),
            ("executables", "[\"adb\"]"),
            ("cuda", "\"535.104\""),
            ("disk", "\"1Gi\""),
            ("memory", "\"1Gi\""),
        ],
    ),
    (
        "security",
        &[
            ("profile", "\"strict\""),
            ("writable_directories", "[\"data\"]"),
            ("devices", "[\"nvidia\", \"/dev/ttyUSB0\"]"),
            ("capabilities", "[\"CAP_NET_ADMIN\"]"),
            ("network", "\"loopback\""),
        ],
    ),
    ("linux", &[("init", "\"systemd\""), ("scope", "\"user\"")]),
    (
        "windows",
        &[
            ("method", "\"task\""),
            ("trigger", "\"boot\""),
            ("delay", "\"1s\""),
            ("elevated", "true"),
            ("supervised", "false"),
        ],
    ),
];

fn parse(text: &str) -> Result<Manifest, Problems> {
    read(Path::new("/srv/app/app.toml"), text.as_bytes())
}

#[track_caller]
fn problems(text: &str) -> String {
    let problems = parse(text).expect_err(text);
    assert_eq!(problems.exit(), Exit::Usage);
    problems.to_string()
}

/// The base with one table; what the base has already is replaced.
fn with(table: &str, key: &str, value: &str) -> String {
    let mut text = String::new();
    for (name, base_key, base_value) in [("app", "name", "\"a\""), ("service", "command", "[\"x\"]")] {
        text += &format!("[{name}]\n");
        if (name, base_key) != (table, key) {
            text += &format!("{base_key} = {base_value}\n");
        }
        if name == table {
            text += &format!("{key} = {value}\n");
        }
    }
    if !["app", "service"].contains(&table) {
        text += &format!("[{table}]\n{key} = {value}\n");
    }
    text
}

#[test]
fn every_key_is_read_and_refuses_what_is_of_another_type() {
    for (table, keys) in KEYS {
        for (key, value) in *keys {
            let text = with(table, key, value);
            assert!(parse(&text).is_ok(), "{text}\n{}", parse(&text).unwrap_err());
            let wrong = ["2024-01-01", "[[[1]]]", "{ x = 1 }", "true", "99999999999999999999"];
            let takes_a_switch = *key == "cuda" || ["true", "false"].contains(value);
            for wrong in wrong.into_iter().filter(|wrong| !(takes_a_switch && *wrong == "true")) {
                let told = problems(&with(table, key, wrong));
                assert!(told.contains("error: "), "{told}");
            }
        }
    }
}

#[test]
fn a_slip_in_any_key_is_told_with_the_key_that_was_meant() {
    for (table, keys) in KEYS {
        for (key, value) in keys.iter().filter(|(key, _)| key.len() > 3) {
            let slip = format!(
                "{}{}",
                &key[..key.len() - 2],
                key[key.len() - 2..].chars().rev().collect::<String>()
            );
            let slip = if slip == *key { format!("{key}x") } else { slip };
            let told = problems(&with(table, &slip, value));
            assert!(told.contains(&format!("did you mean \"{key}\"?")), "{told}");
        }
        let slip = format!("[{table}s]\n");
        assert!(
            problems(&format!("{BASE}{slip}")).contains(&format!("did you mean \"{table}\"?")),
            "{table}"
        );
    }
}

#[test]
fn what_the_contract_has_and_this_version_has_not_is_told_as_such() {
    let tables = "instances rollout proxy monitoring kubernetes raw.kubernetes";
    for key in tables.split(' ').map(|table| format!("{table}.x")) {
        let told = problems(&format!("{key} = 1\n{BASE}"));
        assert!(
            told.contains("is part of the manifest's contract but not implemented yet in this version"),
            "{told}"
        );
    }
    for text in [
        "[linux]\ninit = \"openrc\"",
        "[linux]\ninit = \"sysv\"",
        "[windows]\nmethod = \"service\"",
    ] {
        assert!(
            problems(&format!("{BASE}{text}\n")).contains("is not implemented yet"),
            "{text}"
        );
    }
}

#[test]
fn values_that_are_wrong_are_refused_with_their_repair() {
    for (table, key, value, told) in [
        ("app", "name", "\"Big\"", "cannot be the name"),
        ("app", "name", "\"a-\"", "cannot be the name"),
        ("app", "name", "\"autoglm-boot-x\"", "is kept for"),
        ("app", "description", "\"a\\nb\"", "(U+000A, character 2)"),
        ("app", "description", "\"a\\\\\"", "backslash at the end"),
        ("app", "description", "\"\"", "cannot be empty"),
        ("app", "version", "1", "must be a string"),
        ("service", "command", "[]", "names no program"),
        ("service", "command", "[\"\"]", "names no program"),
        ("service", "command", "\"a 'b\"", "cannot be split"),
        ("service", "command", "[\"a\", \"\\u0000\"]", "a NUL character"),
        ("service", "environment", "{ A = 1 }", "put the value into quotes"),
        ("service", "environment", "{ 1A = \"\" }", "no name of a variable"),
        ("service", "environment", "{ \"A=B\" = \"\" }", "no name of a variable"),
        ("service", "environment", "{ A = \"\\u0000\" }", "a NUL character"),
        ("service", "working_directory", "\"/a \"", "get lost"),
        ("service", "start_timeout", "90", "write \"90s\""),
        ("service", "start_timeout", "\"0s\"", "longer than zero"),
        ("service", "stop_signal", "\"SIGTREM\"", "did you mean \"SIGTERM\"?"),
        ("service", "type", "\"forkin\"", "did you mean \"forking\"?"),
        ("restart", "policy", "\"onfailure\"", "did you mean \"on-failure\"?"),
        ("restart", "max_attempts", "-1", "from 0 to"),
        ("readiness", "retries", "3", "it belongs into [health]"),
        ("readiness", "headers", "{ \"A b\" = \"c\" }", "no name of a header"),
        (
            "health",
            "headers",
            "{ A = \"b\\nc\" }",
            "cannot be the value of the header",
        ),
        (
            "health",
            "headers",
            "{ A = \"é\" }",
            "cannot be the value of the header",
        ),
        ("health", "retries", "0", "from 1 to"),
        ("health", "action", "\"reboot\"", "it is one of: restart, none"),
        ("health", "interval", "\"0s\"", "longer than zero"),
        ("logging", "max_size", "\"0\"", "more than zero"),
        ("readiness", "expect_status", "[99]", "no HTTP status"),
        ("readiness", "expect_status", "[\"300-200\"]", "no HTTP status"),
        ("readiness", "expect_status", "[]", "no status would"),
        ("resources", "memory", "\"24K\"", "ambiguous"),
        ("resources", "memory", "\"400m\"", "thousandths"),
        ("resources", "memory", "0", "more than zero"),
        ("resources", "cpu", "0", "no amount of CPU"),
        ("resources", "tasks", "0", "from 1 to"),
        ("linux", "scope", "\"sytem\"", "did you mean \"system\"?"),
        ("logging", "rate_limit", "{ brust = 1 }", "did you mean \"burst\"?"),
        ("raw.systemd.Service", "Nice", "\"1\\nX=y\"", "control character"),
        ("raw.systemd.Service", "Nice", "\"a\\\\\"", "backslash at the end"),
        ("raw.systemd.Service", "Nice", "[]", "has no value"),
        ("raw.systemd.Service", "\"A B\"", "1", "no directive"),
        ("raw.systemd.Service", "1A", "1", "no directive"),
        ("raw.systemd.Install", "Alias", "\"x\"", "is ours"),
    ] {
        let text = problems(&with(table, key, value));
        assert!(text.contains(told), "{table}.{key} = {value}\n{text}");
    }
    for (line, told) in [
        ("schema = 2", "newest schema this version knows is 1"),
        ("override.linus.service.user = \"x\"", "did you mean \"linux\"?"),
        ("override.linux.app.name = \"b\"", "cannot be overridden"),
        ("override.windows.service.typ = \"x\"", "did you mean \"type\"?"),
        ("override.windows.service.start_timeout = 5", "write \"5s\""),
        ("raw = 1", "[raw] must be a table"),
        ("raw.systemd.Unit = 1", "must be a table"),
        ("override = 1", "[override] must be a table"),
        ("override.linux = 1", "must be a table"),
        ("restart = 1", "[restart] must be a table"),
        ("app.timeout = 1", "it belongs into [readiness]"),
    ] {
        let text = problems(&format!("{line}\n{}", BASE.replace("[app]\n", "app.")));
        assert!(text.contains(told), "{line}\n{text}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text =
        "[app]\nnam = \"a\"\n[service]\ncommand = [1, \"x\", 2]\ntype = \"exce\"\n[restart]\ndelay = 5\n[helth]\n";
    let found = parse(text).unwrap_err();
    let told = found.render(false);
    let places: Vec<_> = told
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--> /srv/app/app.toml:"))
        .collect();
    assert_eq!(places, ["1:1", "2:1", "4:12", "4:20", "5:8", "7:9", "8:2"], "{told}");
    assert!(told.contains("5 | type = \"exce\"\n  |        ^^^^^^"), "{told}");
    assert!(found.render(true).contains("\u{1b}["));
    assert!(!told.contains('\u{1b}'));
}

#[test]
fn a_syntax_error_hides_no_other_mistake_and_invents_none() {
    let told = problems(&format!("{BASE}x = = 3\n[restart]\npolcy = 1\n"));
    assert!(
        told.contains("this is not TOML") && told.contains("did you mean \"policy\"?"),
        "{told}"
    );
    let told = problems("[app]\nname = \"a\"\nname = \"b\"\n[service]\ncommand = [\"x\"]\n");
    assert!(
        told.contains("duplicate key") && told.contains(":3:1") && told.contains("a problem"),
        "{told}"
    );
    // The array swallows the rest: of that nothing can be said.
    let told = problems("[service]\ncommand = [\"x\"\n[restart]\npolicy = \"never\"\n[app]\nname = \"a\"\n");
    assert!(
        told.lines()
            .filter(|line| line.starts_with("error"))
            .all(|line| line.contains("this is not TOML")),
        "{told}"
    );
}

#[test]
fn what_is_no_manifest_at_all_is_told_clearly_and_soon() {
    let start = Instant::now();
    for (bytes, told) in [
        (Vec::new(), "it is empty"),
        (b" \n\t\n".to_vec(), "it is empty"),
        (b"# nothing\n".to_vec(), "[app] needs name"),
        (b"[app]\nname = \"\xff\xfe\"\n".to_vec(), "not UTF-8"),
        (b"\x7fELF\x01\x00\x00".to_vec(), "this is not TOML"),
        (vec![b'['; 1024 * 1024], "this is not TOML"),
        (vec![0; 1024 * 1024], "this is not TOML"),
        (vec![b'x'; 10_000_000], "the largest is 1 MiB"),
    ] {
        let problems = read(Path::new("app.toml"), &bytes).unwrap_err();
        let text = problems.render(true);
        assert!(text.contains(told), "{text}");
        assert!(text.len() < 100_000);
        assert_eq!(problems.exit(), Exit::Usage);
    }
    let many: String = (0..1000).map(|n| format!("k{n} = 1\n")).collect();
    assert!(problems(&format!("{many}{BASE}")).ends_with("and 960 more"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_large_manifest_takes_no_longer_than_its_size() {
    let keys =
        |letter: &str, value: &str| -> String { (0..30_000).map(|n| format!("{letter}{n} = {value}\n")).collect() };
    let start = Instant::now();
    let table = "service.environment]\n";
    let right = format!(
        "{BASE}[{table}{}[override.linux.{table}{}",
        keys("A", "\"\""),
        keys("B", "\"\"")
    );
    assert_eq!(parse(&right).unwrap().service.environment.len(), 60_000);
    let wrong = format!("{BASE}[{table}{}[override.windows.{table}B = 1\n", keys("A", "1"));
    assert_eq!(parse(&wrong).unwrap_err().list.len(), 30_001);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn an_override_merges_tables_and_replaces_the_rest() {
    let text = "app.name = \"a\"
        service = { command = [\"x\"], environment = { A = \"1\", B = \"2\" }, path = [\"p\"] }
        override.linux = { service = { environment = { B = \"3\" }, path = [\"q\"] }, raw.systemd.Service.Nice = 5 }
        override.windows.service.path = [\"w\"]\n";
    let manifest = parse(text).unwrap();
    let pairs: Vec<_> = manifest
        .service
        .environment
        .iter()
        .map(|(key, value)| (&*key.value, &*value.value))
        .collect();
    assert_eq!(pairs, [("A", "1"), ("B", "3")]);
    assert_eq!(
        manifest.service.path.iter().map(|at| &*at.value).collect::<Vec<_>>(),
        ["q"]
    );
    assert_eq!(&text[manifest.service.path[0].span.clone()], "\"q\"");
    assert_eq!(manifest.raw[0].2.value, "5");
}

#[test]
fn commands_and_directives_are_read_as_written() {
    let manifest = parse(&with("service", "command", r#""python3 -c 'print(1)' \"a b\"""#))
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(manifest.service.command.value, ["python3", "-c", "print(1)", "a b"]);
    let manifest = parse(&with(
        "service",
        "command",
        "[\"x\", \"\", \"{\\\"a\\\": \\\"%n$\\\\n\\\"}\\n\"]",
    ))
    .unwrap();
    assert_eq!(manifest.service.command.value, ["x", "", "{\"a\": \"%n$\\n\"}\n"]);
    let text =
        format!("{BASE}[raw.systemd.Service]\nNice = 5\nPrivateTmp = true\nReadWritePaths = [\"\", \"/a\", \"/b\"]\n");
    let lines: Vec<_> = parse(&text)
        .unwrap()
        .raw
        .into_iter()
        .map(|(_, key, value)| format!("{key}={}", value.value))
        .collect();
    assert_eq!(
        lines,
        [
            "Nice=5",
            "PrivateTmp=yes",
            "ReadWritePaths=",
            "ReadWritePaths=/a",
            "ReadWritePaths=/b"
        ]
    );
    for (written, name) in [("TERM", "SIGTERM"), ("SIGINT", "SIGINT"), ("SIGRTMIN+3", "SIGRTMIN+3")] {
        let manifest = parse(&with("service", "stop_signal", &format!("{written:?}"))).unwrap();
        assert_eq!(manifest.service.stop_signal.unwrap().value, name);
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[test]
fn the_examples_are_right() {
    for name in [
        "minimal.toml",
        "complete.toml",
        "hello/app.toml",
        "open-autoglm/model-server.toml",
        "open-autoglm/agent.toml",
    ] {
        let path = examples().join(name);
        if let Err(problems) = read(&path, &std::fs::read(&path).unwrap()) {
            panic!("{problems}");
        }
    }
}

#[test]
fn the_complete_example_has_every_key_and_its_samples_are_right() {
    let text = std::fs::read_to_string(examples().join("complete.toml")).unwrap();
    let uncomment = |line: &str| {
        line.strip_prefix("# ")
            .filter(|rest| rest.starts_with('[') || rest.contains(" = "))
            .unwrap_or(line)
            .to_owned()
    };
    let whole: String = text.lines().map(|line| uncomment(line) + "\n").collect();
    parse(&whole).unwrap_or_else(|problems| panic!("{problems}"));
    let table: toml::Table = whole.parse().unwrap();
    for (name, keys) in KEYS {
        let found = table[*name].as_table().unwrap();
        let missing: Vec<_> = keys.iter().filter(|(key, _)| !found.contains_key(*key)).collect();
        assert!(missing.is_empty(), "[{name}] lacks {missing:?}");
    }
}

/// Bytes that look random, the same ones in every run (xorshift64, Marsaglia 2003).
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn no_bytes_make_it_panic() {
    let complete = std::fs::read(examples().join("complete.toml")).unwrap();
    let pieces: [&[u8]; 12] = [
        b"[",
        b"]",
        b"\"",
        b"'''",
        b"=",
        b"\n",
        b".",
        b"{",
        b"}",
        b"\\u0000",
        "\u{fffe}é😀".as_bytes(),
        b"\r\n[override.linux]\nservice = 1\n",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15;
    for round in 0..3_000 {
        let mut bytes = complete.clone();
        for _ in 0..=random(&mut state) % 8 {
            let at = random(&mut state) % bytes.len();
            match random(&mut state) % 4 {
                0 => bytes[at] = u8::try_from(random(&mut state) % 256).unwrap(),
                1 => drop(bytes.drain(at..(at + random(&mut state) % 40).min(bytes.len() - 1).max(at))),
                2 => drop(bytes.splice(at..at, pieces[random(&mut state) % pieces.len()].iter().copied())),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if round % 10 == 0 {
            bytes = (0..random(&mut state) % 300)
                .map(|_| u8::try_from(random(&mut state) % 256).unwrap())
                .collect();
        }
        if let Err(problems) = read(Path::new("app.toml"), &bytes) {
            assert!(!problems.list.is_empty());
            let _ = (problems.render(true), problems.render(false));
        }
    }
}

#[test]
fn an_element_of_a_task_is_known_and_holds_what_it_may() {
    let raw = |line: &str| format!("{BASE}[raw.task.{line}\n");
    for line in [
        "Settings]\nWakeToRun = true\nPriority = 7\nExecutionTimeLimit = \"PT1H\"\nMultipleInstancesPolicy = \"Queue\"",
        "IdleSettings]\nStopOnIdleEnd = true\nWaitTimeout = \"PT1H\"",
        "RestartOnFailure]\nInterval = \"P1D\"\nCount = 255",
        "RegistrationInfo]\nAuthor = \"A & B\"",
    ] {
        assert!(parse(&raw(line)).is_ok(), "{line}\n{}", parse(&raw(line)).unwrap_err());
    }
    for (line, told) in [
        ("Setings]\nWakeToRun = true", "did you mean \"Settings\"?"),
        (
            "Triggers]\nEnabled = true",
            "its sections are Settings, IdleSettings, RestartOnFailure, RegistrationInfo",
        ),
        ("Settings]\nWakeToRum = true", "did you mean \"WakeToRun\"?"),
        ("Settings]\nWakeToRun = \"yes\"", "must be true or false"),
        ("Settings]\nWakeToRun = \"true\"", "take the quotes away"),
        ("Settings]\nPriority = 11", "from 0 to 10"),
        ("Settings]\nExecutionTimeLimit = \"1h\"", "\"PT1H30M\""),
        ("Settings]\nExecutionTimeLimit = 1", "must be a string"),
        (
            "Settings]\nMultipleInstancesPolicy = \"ignorenew\"",
            "did you mean \"IgnoreNew\"?",
        ),
        ("RestartOnFailure]\nCount = 0", "from 1 to 255"),
        ("RegistrationInfo]\nAuthor = \"a\\nb\"", "control character"),
    ] {
        let told_in_fact = problems(&raw(line));
        assert!(told_in_fact.contains(told), "{line}\n{told_in_fact}");
    }
    assert!(problems(&format!("{BASE}[raw]\ntask = 1\n")).contains("[raw.task] must be a table"));
}

#[test]
fn a_manifest_holds_as_it_is_overridden_for_its_system() {
    let text = format!("{BASE}[override.windows.service]\nuser = \"w\"\n[override.linux.service]\nuser = \"l\"\n");
    for (os, expected) in [(Os::Linux, "l"), (Os::Windows, "w")] {
        let manifest = read_for(os, Path::new("/srv/app/app.toml"), text.as_bytes()).unwrap();
        assert_eq!(manifest.service.user.unwrap().value, expected);
    }
}
