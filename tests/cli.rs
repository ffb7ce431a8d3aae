//! The binary itself: what it prints, what it exits with, and that it touches nothing it was not asked to touch.
//! Longer than 300 lines: most of it is tables of cases.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use assert_cmd::Command;
use autoglm_boot::{
    cli::Cli,
    doctor::checks,
    exit::Exit,
    status::Word,
    system::{Probe as _, Real},
};
use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;
use support::skipped;
use tempfile::TempDir;

const VERBS: [&str; 16] = [
    "install",
    "status",
    "list",
    "start",
    "stop",
    "restart",
    "logs",
    "history",
    "rollback",
    "uninstall",
    "doctor",
    "security",
    "check",
    "render",
    "probe",
    "run",
];

/// A manifest that is right on every machine.
const RIGHT: &str = "[app]\nname = \"sleeper\"\n[service]\ncommand = [\"/bin/sh\", \"-c\", \"sleep 99\"]\n";

/// A home, and a folder in it that commands run in.
struct Sandbox {
    root: TempDir,
    folder: PathBuf,
}

/// How a command ended.
struct Out {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Out {
    #[track_caller]
    fn of(mut command: Command) -> Self {
        let output = command.timeout(Duration::from_mins(1)).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        let out = Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!out.stderr.contains("panicked"), "{}", out.stderr);
        out
    }

    #[track_caller]
    fn expect(self, exit: Exit) -> Self {
        let Self { code, stdout, stderr } = &self;
        assert_eq!(*code, exit as i32, "stdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    /// All of standard output as one JSON value.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl Sandbox {
    /// With this `app.toml`.
    fn new(manifest: &str) -> Self {
        Self::at("app", manifest)
    }

    /// With this `app.toml` in a folder of this name.
    fn at(folder: &str, manifest: &str) -> Self {
        let root = TempDir::with_prefix("autoglm-boot-cli-").unwrap();
        open(root.path());
        let folder = root.path().join("home").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("app.toml"), manifest).unwrap();
        Self { root, folder }
    }

    /// The binary with these arguments, in the folder, with a home of its own.
    fn run(&self, args: &[&str]) -> Out {
        Out::of(self.prepared(program().as_os_str(), args))
    }

    fn prepared(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
        let home = self.root.path().join("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
        command
    }

    /// The binary as a user who is not root; `None`, told loudly, where root cannot become one.
    fn run_unprivileged(&self, args: &[&str]) -> Option<Out> {
        if Real.euid() != 0 {
            return Some(self.run(args));
        }
        // The checkout may lie where only root may look.
        let copy = self.root.path().join("autoglm-boot");
        if !copy.exists() {
            fs::copy(program(), &copy).unwrap();
        }
        let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let can_drop = std::process::Command::new("setpriv")
            .args(as_nobody)
            .arg("true")
            .status();
        if !can_drop.is_ok_and(|status| status.success()) {
            skipped(
                "cli",
                "root cannot become another user here: setpriv(1) is missing or not allowed",
            );
            return None;
        }
        let args = [&as_nobody[..], &[copy.to_str().unwrap()], args].concat();
        Some(Out::of(self.prepared("setpriv", &args)))
    }

    /// Everything in the home, and what of the app is in the folders of the machine that an install writes to.
    fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut listing = BTreeMap::new();
        for folder in [
            "/etc/systemd/system",
            "/var/lib/autoglm-boot",
            "/var/log/autoglm-boot",
            "/run/autoglm-boot",
        ] {
            list(Path::new(folder), &mut listing);
        }
        listing.retain(|path, _| path.to_string_lossy().contains("sleeper"));
        list(&self.root.path().join("home"), &mut listing);
        listing
    }

    /// Nothing has changed since this listing.
    #[track_caller]
    fn expect_same(&self, before: &BTreeMap<PathBuf, String>) {
        let after = self.listing();
        let paths = before.keys().chain(after.keys());
        let changed: Vec<_> = paths.filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "changed: {changed:?}");
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_autoglm-boot"))
}

/// For everybody to enter and read.
fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

fn list(path: &Path, listing: &mut BTreeMap<PathBuf, String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let contents = if meta.is_file() && meta.len() < 1_000_000 {
        fs::read(path).unwrap_or_default()
    } else {
        Vec::new()
    };
    let facts = format!("{:o} {} {} {contents:?}", meta.mode(), meta.uid(), meta.len());
    listing.insert(path.into(), facts);
    for entry in fs::read_dir(path).into_iter().flatten() {
        if !meta.is_symlink() {
            list(&entry.unwrap().path(), listing);
        }
    }
}

fn words(line: &str) -> Vec<String> {
    shell_words::split(line).unwrap()
}

#[test]
fn help_and_version_are_told_on_standard_output() {
    let sandbox = Sandbox::new("");
    let version = format!("autoglm-boot {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(sandbox.run(&["--version"]).expect(Exit::Ok).stdout, version);
    let help = sandbox.run(&["--help"]).expect(Exit::Ok);
    assert_eq!(help.stderr, "");
    for verb in VERBS {
        let line = format!("\n  {verb:<9}  ");
        assert!(help.stdout.contains(&line), "{verb} in {}", help.stdout);
        let own = sandbox.run(&[verb, "--help"]).expect(Exit::Ok);
        assert_eq!(own.stderr, "");
        assert_eq!(own.stdout, sandbox.run(&["help", verb]).expect(Exit::Ok).stdout);
    }
    let bare = sandbox.run(&[]).expect(Exit::Usage);
    assert!(bare.stdout.is_empty() && bare.stderr.contains("Usage: autoglm-boot"));
}

#[test]
fn every_verb_is_listed_and_every_argument_explained() {
    let mut cli = Cli::command();
    cli.build();
    let is_told = |verb: &&clap::Command| verb.get_name() != "help" && !verb.is_hide_set();
    let verbs: Vec<_> = cli.get_subcommands().filter(is_told).collect();
    assert_eq!(verbs.iter().map(|verb| verb.get_name()).collect::<Vec<_>>(), VERBS);
    for verb in verbs {
        assert!(verb.get_about().is_some(), "{}", verb.get_name());
        for argument in verb.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 5, "{} {}: {help:?}", verb.get_name(), argument.get_id());
        }
    }
}

#[test]
fn doctor_lists_what_it_looks_at() {
    let sandbox = Sandbox::new("");
    let listed = sandbox.run(&["doctor", "--list"]).expect(Exit::Ok).stdout;
    let answer = sandbox.run(&["doctor", "--list", "--json"]).expect(Exit::Ok).json();
    let listed_too = answer["checks"].as_array().unwrap();
    assert_eq!(listed_too.len(), checks().count());
    for (check, json) in checks().zip(listed_too) {
        let only = check.system().map_or(String::new(), |name| format!(", {name}"));
        let line = format!("{} ({}{only}): {}\n", check.id, check.severity, check.finds);
        assert!(listed.contains(&line), "{line}");
        let only = check.system().map_or(String::new(), |name| format!(" ({name})"));
        let page = format!("| `{}`{only} | {} |", check.id, check.finds);
        assert!(autoglm_boot::doctor::page().contains(&page), "{page}");
        assert_eq!(json["id"], check.id);
    }
}

#[test]
fn every_example_of_the_help_and_of_the_readme_is_a_command_line() {
    let sandbox = Sandbox::new("");
    let mut texts = vec![sandbox.run(&["--help"]).stdout];
    for verb in [
        "install",
        "status",
        "logs",
        "rollback",
        "uninstall",
        "doctor",
        "security",
        "render",
        "run",
    ] {
        let help = sandbox.run(&[verb, "--help"]).stdout;
        assert!(help.contains("Examples:"), "{verb}");
        texts.push(help.split_once("Examples:").unwrap().1.into());
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let spans = readme.split('`').skip(1).step_by(2);
    let set_up = readme.lines().filter(|line| line.starts_with("cargo run"));
    let of_readme = spans.chain(set_up).map(|code| {
        let code = code.replace("target/release/autoglm-boot", "autoglm-boot");
        let code = code.replace("cargo run --release --", "autoglm-boot");
        match code.split(' ').next() {
            Some(verb) if VERBS.contains(&verb) => format!("autoglm-boot {code}"),
            _ => code,
        }
    });
    let of_help = texts.iter().flat_map(|text| text.lines()).map(str::to_owned);
    let mut checked = 0;
    for line in of_help.chain(of_readme) {
        let line = line.trim().trim_start_matches("sudo ");
        if !line.starts_with("autoglm-boot ") {
            continue;
        }
        let line = line.split("  ").next().unwrap();
        if let Err(error) = Cli::try_parse_from(words(line)) {
            assert!(!error.use_stderr(), "{line}\n{error}");
        }
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_help_and_the_readme_name_every_exit_code() {
    let all = [
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::NotRunning,
        Exit::NotInstalled,
        Exit::Privilege,
        Exit::Pending,
        Exit::NotReady,
        Exit::UndoIncomplete,
        Exit::Locked,
        Exit::Interrupted,
        Exit::Terminated,
    ];
    let help = Sandbox::new("").run(&["--help"]).stdout;
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for exit in all {
        let code = exit as u8;
        assert!(help.contains(&format!("\n{code:>5}  ")), "{code}");
        assert!(readme.contains(&format!("\n| {code} | ")), "{code}");
    }
    let told = help.split_once("Exit codes:\n").unwrap().1;
    assert_eq!(told.trim_end().lines().count(), all.len(), "{told}");
}

#[test]
fn the_manifest_and_the_states_of_the_readme_are_true() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, block) = readme.split_once("```toml\n").unwrap();
    let (manifest, _) = block.split_once("```").unwrap();
    if let Err(problems) = autoglm_boot::manifest::read(Path::new("/app.toml"), manifest.as_bytes()) {
        panic!("{problems}");
    }
    for word in [
        Word::NotInstalled,
        Word::Foreign,
        Word::InterruptedInstall,
        Word::Installing,
        Word::Disabled,
        Word::Stopped,
        Word::Starting,
        Word::Running,
        Word::Ready,
        Word::Unhealthy,
        Word::Restarting,
        Word::Failed,
    ] {
        let json = serde_json::to_string(&word).unwrap().replace('"', "`");
        let row = format!("\n| {word} | {json} | {} | ", word.exit() as u8);
        assert!(readme.contains(&row), "{row}");
    }
    let (_, verbs) = readme.split_once("\n| Verb | ").unwrap();
    let (verbs, _) = verbs.split_once("\n\n").unwrap();
    for verb in VERBS {
        assert!(verbs.contains(&format!("`{verb}`")), "{verb}");
    }
}

#[test]
fn a_command_line_that_is_wrong_exits_2_and_says_what_was_meant() {
    let sandbox = Sandbox::new(RIGHT);
    let before = sandbox.listing();
    for (line, told) in [
        ("instal", "'install'"),
        ("frobnicate", "unrecognized subcommand"),
        ("install --manifes x", "'--manifest'"),
        ("check --josn", "'--json'"),
        ("install --user --system", "cannot be used with"),
        ("-q -v list", "cannot be used with"),
        ("install --no-wait --timeout 5s", "cannot be used with"),
        ("install --no-start --restart", "cannot be used with"),
        ("stop --no-wait sleeper", "unexpected argument"),
        ("install --timeout 5", "write it like \"5s\""),
        ("start --timeout=-1s sleeper", "write it like \"5s\""),
        ("logs -n many", "invalid"),
        (
            "render --target nothing",
            "[possible values: systemd, task, startup-folder]",
        ),
        ("render --target task --root /", "cannot be used with"),
        ("install app.toml", "unexpected argument"),
        ("start one two", "unexpected argument"),
        ("uninstall sleeper -m app.toml", "cannot be used with"),
    ] {
        let args = words(line);
        let out = sandbox.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let out = out.expect(Exit::Usage);
        assert_eq!(out.stdout, "", "{line}");
        assert!(out.stderr.contains(told), "{line}: {told} in {}", out.stderr);
        assert!(out.stderr.contains("--help"), "{line}: {}", out.stderr);
    }
    sandbox.expect_same(&before);
}

/// `install` reads it as `check` does, and nothing happens.
#[track_caller]
fn refused(sandbox: &Sandbox, manifest: &str, told: &[&str]) -> Out {
    let before = sandbox.listing();
    let verbs: [&[&str]; 4] = [
        &["install"],
        &["install", "--user", "--force", "--adopt"],
        &["render", "--output", "out"],
        &["check"],
    ];
    let mut last = None;
    for verb in verbs {
        let out = sandbox.run(&[verb, &["-m", manifest]].concat()).expect(Exit::Usage);
        assert_eq!(out.stdout, "", "{verb:?}");
        assert!(out.stderr.starts_with("error: "), "{}", out.stderr);
        for told in told {
            assert!(out.stderr.contains(told), "{verb:?}: {told:?} in {}", out.stderr);
        }
        last = Some(out);
    }
    sandbox.expect_same(&before);
    last.unwrap()
}

#[test]
fn what_is_no_manifest_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new(RIGHT);
    let file = |name: &str, bytes: &[u8]| fs::write(sandbox.folder.join(name), bytes).unwrap();
    file("empty", b"");
    refused(&sandbox, "empty", &["it is empty", "help: the least a manifest needs"]);
    file("blank", b" \n\t\n");
    refused(&sandbox, "blank", &["it is empty"]);
    file("gbk", b"[app]\nname = \"\xd6\xd0\"\n");
    refused(&sandbox, "gbk", &["gbk:2:9", "not UTF-8", "save the file as UTF-8"]);
    let garbage: Vec<u8> = (0..10_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    file("garbage", &garbage);
    refused(&sandbox, "garbage", &["10000000 bytes are no manifest"]);
    file("noise", &garbage[..100_000]);
    let out = refused(&sandbox, "noise", &["noise"]);
    assert!(out.stderr.len() < 300_000, "{}", out.stderr.len());
    file("line", "x".repeat(1_000_000).as_bytes());
    refused(&sandbox, "line", &["this is not TOML", "line:1:"]);
    file("nest", "a=[".repeat(20_000).as_bytes());
    refused(&sandbox, "nest", &["this is not TOML", "nest:1:"]);
    fs::create_dir(sandbox.folder.join("folder")).unwrap();
    file("folder/.hidden.toml", b"");
    file("folder/read.me", b"");
    for verb in ["install", "check"] {
        let out = sandbox.run(&[verb, "-m", "folder"]).expect(Exit::Usage);
        assert!(
            out.stderr.contains("folder: there is no manifest in this folder"),
            "{}",
            out.stderr
        );
    }
    let out = sandbox.run(&["render", "-m", "folder"]).expect(Exit::Usage);
    assert!(
        out.stderr
            .contains("it is a folder\nrepair: name it with --manifest FILE"),
        "{}",
        out.stderr
    );
    refused(
        &sandbox,
        "missing",
        &["No such file", "repair: name it with --manifest FILE"],
    );
    symlink("missing", sandbox.folder.join("dangling")).unwrap();
    refused(&sandbox, "dangling", &["No such file"]);
    symlink("loop", sandbox.folder.join("loop")).unwrap();
    refused(&sandbox, "loop", &["cannot read the manifest loop"]);
    // What never ends is not waited for.
    refused(&sandbox, "/dev/zero", &["it is no file"]);
    let fifo = std::process::Command::new("mkfifo")
        .arg(sandbox.folder.join("pipe"))
        .status();
    assert!(fifo.unwrap().success());
    refused(&sandbox, "pipe", &["it is no file"]);
    // A sparse file costs nothing to make, and all memory to read.
    let sparse = fs::File::create(sandbox.folder.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    refused(&sandbox, "sparse", &["1099511627776 bytes are no manifest"]);
}

#[test]
fn a_manifest_that_may_not_be_read_is_told_as_such() {
    let sandbox = Sandbox::new(RIGHT);
    let manifest = sandbox.folder.join("app.toml");
    let before = sandbox.listing();
    if let Some(out) = sandbox.run_unprivileged(&["check"]) {
        out.expect(Exit::Ok); // so that what follows is due to the permission alone
    }
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o000)).unwrap();
    for verb in ["check", "install", "render"] {
        let Some(out) = sandbox.run_unprivileged(&[verb]) else {
            return;
        };
        let out = out.expect(Exit::Usage);
        assert!(
            out.stderr
                .contains("cannot read the manifest app.toml: Permission denied"),
            "{}",
            out.stderr
        );
    }
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.expect_same(&before);
}

/// A slip in every table: table, what is written, what was meant.
const SLIPS: [(&str, &str, &str); 12] = [
    ("app", "vresion = \"1\"", "version"),
    ("service", "enviroment = {}", "environment"),
    ("restart", "polcy = \"never\"", "policy"),
    ("dependencies", "require = []", "requires"),
    ("readiness", "htpp = \"http://127.0.0.1/\"", "http"),
    ("resources", "memroy = \"1Gi\"", "memory"),
    ("logging", "levle = \"info\"", "level"),
    ("linux", "scoop = \"user\"", "scope"),
    ("override.linux.service", "stop_timout = \"5s\"", "stop_timeout"),
    ("override.windows.restart", "dellay = \"5s\"", "delay"),
    ("raw", "sytemd = {}", "systemd"),
    ("raw.systemd", "Serivce = {}", "Service"),
];

/// The place, the line and the caret under it, as they must be told.
fn excerpt(source: &str, line: usize, column: usize, length: usize) -> [String; 3] {
    let text = source.lines().nth(line - 1).unwrap();
    let width = line.to_string().len();
    let caret = format!("{:width$} | {:2$}{3}", "", "", column - 1, "^".repeat(length));
    [
        format!("app.toml:{line}:{column}\n"),
        format!("\n{line} | {text}\n"),
        caret + "\n",
    ]
}

#[test]
fn a_slip_in_any_table_is_shown_in_its_place_with_what_was_meant() {
    for (table, written, meant) in SLIPS {
        let mut source = RIGHT.to_owned();
        match table {
            "app" => source = source.replace("[service]", &format!("{written}\n[service]")),
            "service" => source += written,
            _ => source = format!("{source}[{table}]\n{written}\n"),
        }
        let sandbox = Sandbox::new(&source);
        let key = written.split(' ').next().unwrap();
        let line = source.lines().position(|line| line == written).unwrap() + 1;
        let out = refused(&sandbox, "app.toml", &[&format!("help: did you mean {meant:?}?")]);
        for part in excerpt(&source, line, 1, key.len()) {
            assert!(out.stderr.contains(&part), "{part:?} in {}", out.stderr);
        }
        assert_eq!(
            out.stderr.matches("error: ").count(),
            2,
            "no other complaint: {}",
            out.stderr
        );
    }
    let tables = "app service restart dependencies readiness resources logging linux override raw";
    for table in tables.split(' ') {
        let slip = format!("{table}s");
        let source = format!("{RIGHT}[{slip}.x]\n");
        let out = refused(
            &Sandbox::new(&source),
            "app.toml",
            &[&format!("did you mean {table:?}?")],
        );
        for part in excerpt(&source, 5, 2, slip.len()) {
            assert!(out.stderr.contains(&part), "{part:?} in {}", out.stderr);
        }
    }
}

#[test]
fn a_wrong_value_is_shown_in_its_place_with_its_repair() {
    for (table, line, value, told) in [
        ("app", "version = 1", "1", "put it into quotes"),
        ("service", "start_timeout = 90", "90", "write \"90s\""),
        ("service", "start_timeout = true", "true", "like \"1m30s\""),
        ("service", "environment = { A = 1 }", "1", "put the value into quotes"),
        ("service", "environment_files = \"x\"", "\"x\"", "put it into brackets"),
        ("service", "type = \"notfiy\"", "\"notfiy\"", "did you mean \"notify\"?"),
        ("restart", "max_attempts = \"3\"", "\"3\"", "take the quotes away"),
        (
            "restart",
            "policy = \"allways\"",
            "\"allways\"",
            "did you mean \"always\"?",
        ),
        (
            "dependencies",
            "after = [\"中文\", \"A B\"]",
            "\"A B\"",
            "like \"model-server\"",
        ),
        (
            "readiness",
            "expect_status = [\"ok\"]",
            "\"ok\"",
            "statuses from 100 to 599",
        ),
        ("readiness", "http = \"ftp://h/\"", "\"ftp://h/\"", "write it like"),
        ("resources", "memory = true", "true", "like \"512Mi\""),
        (
            "logging",
            "destination = \"jounral\"",
            "\"jounral\"",
            "did you mean \"journal\"?",
        ),
        ("linux", "scope = \"usr\"", "\"usr\"", "did you mean \"user\"?"),
    ] {
        let source = match table {
            "app" => RIGHT.replace("[service]", &format!("{line}\n[service]")),
            "service" => format!("{RIGHT}{line}\n"),
            _ => format!("{RIGHT}[{table}]\n{line}\n"),
        };
        let at = source.lines().position(|other| other == line).unwrap() + 1;
        let column = line[..line.rfind(value).unwrap()].chars().count() + 1;
        let place = format!("app.toml:{at}:{column}\n");
        let shown = format!("\n{at} | {line}\n");
        let out = refused(&Sandbox::new(&source), "app.toml", &[&place, &shown, told]);
        assert!(out.stderr.contains(&"^".repeat(value.len())), "{}", out.stderr);
    }
    let twice = "[app]\nname = \"a\"\nname = \"b\"\n[service]\ncommand = [\"/bin/sh\"]\n";
    let told = [
        "app.toml:3:1\n",
        "3 | name = \"b\"\n  | ^^^^\n",
        "duplicate key",
        "keep one of the two",
    ];
    refused(&Sandbox::new(twice), "app.toml", &told);
    let all_at_once = "[app]\nnam = \"a\"\n[service]\ncommand = 5\n";
    let out = refused(&Sandbox::new(all_at_once), "app.toml", &["3 problems"]);
    assert!(
        out.stderr.contains(":2:1\n") && out.stderr.contains(":4:11\n"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_right_manifest_is_said_to_be_right_and_what_the_machine_lacks_is_no_mistake_of_it() {
    let sandbox = Sandbox::new(RIGHT);
    let before = sandbox.listing();
    assert_eq!(
        sandbox.run(&["check"]).expect(Exit::Ok).stdout,
        "app.toml: sleeper is right\n"
    );
    for (line, told) in [
        ("command = [\"/no/such/program\"]", "/no/such/program is not there"),
        (
            "command = [\"no-such-program-anywhere\"]",
            "install it, or write its absolute path",
        ),
        ("command = [\"./app.toml\"]", "is not executable"),
        (
            "command = [\"/bin/sh\"]\nworking_directory = \"nowhere\"",
            "create it first",
        ),
    ] {
        let source = format!("[app]\nname = \"sleeper\"\n[service]\n{line}\n");
        fs::write(sandbox.folder.join("lacking.toml"), &source).unwrap();
        for verb in ["check", "install"] {
            let out = sandbox.run(&[verb, "-m", "lacking.toml"]).expect(Exit::Failed);
            assert!(
                out.stderr.contains(told) && out.stderr.contains("lacking.toml:"),
                "{}",
                out.stderr
            );
        }
    }
    fs::remove_file(sandbox.folder.join("lacking.toml")).unwrap();
    sandbox.expect_same(&before);
}

/// The names of an object's fields.
fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn json_is_one_object_on_success_and_on_error() {
    let sandbox = Sandbox::new(RIGHT);
    let out = sandbox.run(&["check", "--json"]).expect(Exit::Ok);
    let answer = out.json();
    assert_eq!(
        fields(&answer),
        ["exit", "name", "notes", "outcome", "steps", "warnings"]
    );
    assert_eq!((&answer["exit"], &answer["name"]), (&0.into(), &"sleeper".into()));
    assert_eq!(answer["outcome"], "right");
    assert_eq!(out.stderr, "", "warnings are in the object");

    fs::write(sandbox.folder.join("bad.toml"), "[app]\nnam = \"a\"\n").unwrap();
    fs::write(
        sandbox.folder.join("lacking.toml"),
        RIGHT.replace("/bin/sh", "/no/such"),
    )
    .unwrap();
    let verbs = "status start stop restart uninstall install list";
    let mut cases = vec![
        ("check -m bad.toml".to_owned(), Exit::Usage, "did you mean \"name\"?"),
        ("install -m bad.toml".into(), Exit::Usage, "bad.toml:2:1"),
        ("uninstall -m bad.toml".into(), Exit::Usage, "bad.toml:2:1"),
        ("install -m missing.toml".into(), Exit::Usage, "No such file"),
        ("install -m lacking.toml".into(), Exit::Failed, "/no/such is not there"),
    ];
    cases.extend(
        verbs
            .split(' ')
            .map(|verb| (format!("{verb} --frob"), Exit::Usage, "unexpected argument '--frob'")),
    );
    for (line, exit, told) in cases {
        let mut args: Vec<_> = line.split(' ').collect();
        args.push("--json");
        let out = sandbox.run(&args).expect(exit);
        let answer = out.json();
        assert_eq!(
            fields(&answer),
            ["error", "exit", "notes", "steps", "warnings"],
            "{line}"
        );
        // What doctor could examine, it has a finding of.
        let mut expected = vec!["message", "repair"];
        if ["install -m bad.toml", "install -m lacking.toml"].contains(&line.as_str()) {
            expected.insert(0, "finding");
            assert!(answer["error"]["finding"]["id"].is_string(), "{line}");
        }
        assert_eq!(fields(&answer["error"]), expected, "{line}");
        assert_eq!(answer["exit"], exit as u8, "{line}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{line}: {told:?} in {message}");
        assert!(!message.starts_with("error"), "{message}");
        assert_eq!(out.stderr, "", "{line}: it is all in the object");
    }
}

#[test]
fn quiet_says_errors_and_what_was_asked_for() {
    let sandbox = Sandbox::new(RIGHT);
    let out = sandbox.run(&["-q", "check"]).expect(Exit::Ok);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
    let loud = sandbox.run(&["render"]).expect(Exit::Ok).stdout;
    assert_eq!(sandbox.run(&["render", "--quiet"]).expect(Exit::Ok).stdout, loud);
    let out = sandbox.run(&["-q", "check", "-m", "missing"]).expect(Exit::Usage);
    assert!(out.stderr.contains("No such file"), "{}", out.stderr);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let sandbox = Sandbox::new("[app]\nnam = \"a\"\n");
    let lines: [&[&str]; 4] = [&["check"], &["check", "--json"], &["check", "--frob"], &["--help"]];
    for args in lines {
        let out = sandbox.run(args);
        assert!(
            !out.stdout.contains('\u{1b}') && !out.stderr.contains('\u{1b}'),
            "{args:?}"
        );
        let mut forced = sandbox.prepared(program().as_os_str(), args);
        forced.env("CLICOLOR_FORCE", "1");
        let forced = Out::of(forced);
        let text = format!("{}{}", forced.stdout, forced.stderr);
        if args.contains(&"--json") {
            let message = forced.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(!message.contains('\u{1b}') && !text.contains('\u{1b}'), "{message}");
        } else {
            assert!(text.contains("\u{1b}["), "so that this test can see colours: {text}");
        }
    }
    // A terminal of its own, by script(1).
    let on_terminal = |variable: Option<(&str, &str)>| {
        let line = format!("{} check", program().display());
        let mut command = sandbox.prepared("script", &["-qec", &line, "/dev/null"]);
        command.env("TERM", "xterm").envs(variable);
        Out::of(command)
    };
    if !std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        skipped("cli", "script(1) is not there: no terminal to colour");
        return;
    }
    assert!(on_terminal(None).expect(Exit::Usage).stdout.contains("\u{1b}["));
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let out = on_terminal(Some(variable)).expect(Exit::Usage);
        assert!(!out.stdout.contains('\u{1b}'), "{variable:?}: {}", out.stdout);
        assert!(out.stdout.contains("did you mean"), "{}", out.stdout);
    }
}

/// For another system nothing of this one matters, and a file gets its own bytes.
#[test]
fn a_task_and_a_shortcut_are_rendered_here_for_windows() {
    let sandbox = Sandbox::new(
        "[app]\nname = \"notes\"\n[service]\ncommand = ['C:\\gone\\run.exe', '100% %PATH%']\n\
         working_directory = 'C:\\gone'\nuser = 'LocalService'\nstop_signal = \"INT\"\n",
    );
    let out = sandbox
        .run(&["render", "--target", "task", "--output", "out"])
        .expect(Exit::Ok);
    assert!(
        out.stderr.contains("not expressed as written: service.stop_signal"),
        "{}",
        out.stderr
    );
    let bytes = fs::read(sandbox.folder.join("out/notes.xml")).unwrap();
    assert_eq!(bytes[..4], [0xff, 0xfe, b'<', 0]);
    let boot = r"D:\boot & up\autoglm-boot.exe";
    let link = [
        "render",
        "--target",
        "startup-folder",
        "--system",
        "-o",
        "out",
        "--program",
        boot,
    ];
    let users = sandbox.run(&link).expect(Exit::Usage);
    assert!(
        users.stderr.contains("\"LocalService\" never logs on"),
        "{}",
        users.stderr
    );
    for (args, told) in [
        (&["render", "--program", boot][..], "a unit does not start autoglm-boot"),
        (
            &["render", "--target", "task", "--program", "boot.exe"],
            "it must be absolute",
        ),
        (
            &["render", "--target", "task", "--program", "C:\\%A%\\%B%.exe"],
            "two percent signs",
        ),
        (
            &["render", "--target", "task", "--program", "C:\\a\u{1}.exe"],
            "control character",
        ),
        (
            &["render", "--target", "task", "--program", r"\\server\share\boot.exe"],
            "on a drive",
        ),
        (&["render", "--target", "task", "--user"], "never logs on"),
        (&["check"], "there is no program"),
    ] {
        let out = sandbox.run(args).expect(Exit::Usage);
        assert!(out.stderr.contains(told), "{args:?}: {}", out.stderr);
    }
    let out = sandbox.run(&["check", "--target", "task"]).expect(Exit::Ok);
    assert!(out.stdout.contains("notes is right"), "{}", out.stdout);
    // A redirection gets the file's own bytes, or an error.
    let mut command = std::process::Command::new(program());
    let to_file = command
        .args(["render", "--quiet", "--target", "task"])
        .current_dir(&sandbox.folder);
    assert_eq!(to_file.output().unwrap().stdout, bytes);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(to_file.stdout(full).status().unwrap().code(), Some(1));
    let json = sandbox.run(&["check", "--target", "task", "--json"]).expect(Exit::Ok);
    assert!(json.stdout.contains("\"outcome\": \"right\""), "{}", json.stdout);
}

#[test]
fn render_prints_the_unit_or_writes_it_and_nothing_else() {
    let sandbox = Sandbox::new(RIGHT);
    let before = sandbox.listing();
    let unit = sandbox.run(&["render"]).expect(Exit::Ok).stdout;
    for line in ["[Unit]", "Description=sleeper", "[Service]", "[Install]"] {
        assert!(unit.lines().any(|other| other == line), "{line} in {unit}");
    }
    let command = "ExecStart=\"/bin/sh\" \"-c\" \"sleep 99\"";
    assert!(unit.lines().any(|line| line == command), "{unit}");
    sandbox.expect_same(&before);

    let out = sandbox.run(&["render", "--output", "units/new"]).expect(Exit::Ok);
    assert_eq!(out.stdout, "wrote units/new/sleeper.service\n");
    let mut after = sandbox.listing();
    for made in ["units", "units/new", "units/new/sleeper.service"] {
        assert!(after.remove(&sandbox.folder.join(made)).is_some(), "{made}");
    }
    assert_eq!(after.len(), before.len(), "{:?}", after.keys());
    let written = fs::read_to_string(sandbox.folder.join("units/new/sleeper.service")).unwrap();
    assert_eq!(written, unit);

    let absolute = sandbox.root.path().join("home/else where");
    sandbox
        .run(&["render", "-o", absolute.to_str().unwrap()])
        .expect(Exit::Ok);
    assert_eq!(fs::read_to_string(absolute.join("sleeper.service")).unwrap(), unit);
    let out = sandbox.run(&["render", "-o", "app.toml"]).expect(Exit::Failed);
    assert!(
        out.stderr.contains("cannot write app.toml/sleeper.service"),
        "{}",
        out.stderr
    );
    assert_eq!(fs::read_to_string(sandbox.folder.join("app.toml")).unwrap(), RIGHT);
}

#[test]
fn the_scope_is_the_one_that_was_asked_for() {
    let sandbox = Sandbox::new(RIGHT);
    let unit = |args: &[&str]| sandbox.run(&[&["render"], args].concat()).expect(Exit::Ok).stdout;
    let is_system = |unit: &str| {
        let has = |line: &str| unit.lines().any(|other| other.starts_with(line));
        assert_ne!(
            has("WantedBy=multi-user.target"),
            has("WantedBy=default.target"),
            "{unit}"
        );
        assert_eq!(has("User="), has("WantedBy=multi-user.target"), "{unit}");
        has("WantedBy=multi-user.target")
    };
    assert!(is_system(&unit(&["--system"])));
    assert!(!is_system(&unit(&["--user"])));
    assert_eq!(is_system(&unit(&[])), Real.euid() == 0);
    for (scope, flag) in [("user", "--system"), ("system", "--user")] {
        let text = format!("{RIGHT}[linux]\nscope = {scope:?}\n");
        fs::write(sandbox.folder.join("app.toml"), text).unwrap();
        assert_eq!(is_system(&unit(&[])), scope == "system");
        assert_eq!(
            is_system(&unit(&[flag])),
            scope != "system",
            "the flag has the last word"
        );
    }
}

/// But a file that is not whole is one, where what is printed is a file.
#[test]
fn a_reader_that_went_away_is_no_error() {
    let sandbox = Sandbox::new(RIGHT);
    fs::write(sandbox.folder.join("bad.toml"), "[app]\nnam = \"a\"\n").unwrap();
    for (line, exit) in [
        ("--help", Exit::Ok),
        ("--version", Exit::Ok),
        ("check", Exit::Ok),
        ("check --json", Exit::Ok),
        ("render", Exit::Ok),
        ("check -m bad.toml", Exit::Usage),
        ("check -m bad.toml --json", Exit::Usage),
        ("frobnicate", Exit::Usage),
    ] {
        for full in [false, true] {
            let gone = || {
                if full {
                    let device = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
                    return std::process::Stdio::from(device);
                }
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer.into()
            };
            let exit = if full && line == "render" { Exit::Failed } else { exit };
            let mut command = std::process::Command::new(program());
            command.args(line.split(' ')).current_dir(&sandbox.folder);
            let both = command.stdout(gone()).stderr(gone()).status().unwrap();
            assert_eq!(both.code(), Some(exit as i32), "{line}");
            let output = command
                .stdout(gone())
                .stderr(std::process::Stdio::piped())
                .output()
                .unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(exit as i32), "{line}: {told}");
            assert!(!told.contains("panicked"), "{line}: {told}");
        }
    }
}

#[test]
fn spaces_and_characters_of_any_script_arrive() {
    let sandbox = Sandbox::at("my apps/中文 😀", RIGHT);
    let folder = sandbox.folder.to_str().unwrap().to_owned();
    sandbox.run(&["check"]).expect(Exit::Ok);
    let unit = sandbox.run(&["render"]).expect(Exit::Ok).stdout;
    assert!(unit.contains(&format!("\nWorkingDirectory={folder}\n")), "{unit}");
    let elsewhere = Sandbox::new("");
    let manifest = format!("{folder}/app.toml");
    assert_eq!(
        elsewhere.run(&["render", "-m", &manifest]).expect(Exit::Ok).stdout,
        unit
    );
    let out = sandbox.run(&["render", "-o", "有 空格"]).expect(Exit::Ok);
    assert_eq!(out.stdout, "wrote 有 空格/sleeper.service\n");
    assert_eq!(
        fs::read_to_string(sandbox.folder.join("有 空格/sleeper.service")).unwrap(),
        unit
    );
    fs::write(sandbox.folder.join("坏 了.toml"), "[app]\n名 = \"a\"\n").unwrap();
    refused(&sandbox, "坏 了.toml", &["坏 了.toml:2:1\n", "\n2 | 名 = \"a\"\n"]);
}

#[test]
fn an_install_for_the_machine_by_anybody_but_root_exits_5_with_the_command_that_does_it() {
    let sandbox = Sandbox::at("my apps/中文", RIGHT);
    let before = sandbox.listing();
    let manifest = sandbox.folder.join("app.toml");
    let given = ["install", "--system", "--no-start", "-m", manifest.to_str().unwrap()];
    let Some(out) = sandbox.run_unprivileged(&given) else {
        return;
    };
    let out = out.expect(Exit::Privilege);
    assert!(out.stderr.contains("Nothing was changed."), "{}", out.stderr);
    let line = out.stderr.lines().find_map(|line| line.strip_prefix("repair: sudo "));
    let command = words(line.unwrap_or_else(|| panic!("{}", out.stderr)));
    assert!(Path::new(&command[0]).is_file(), "sudo finds it: {}", command[0]);
    assert_eq!(command[1..], given);
    sandbox.expect_same(&before);
    let answer = sandbox
        .run_unprivileged(&["install", "--system", "--json"])
        .unwrap()
        .expect(Exit::Privilege)
        .json();
    assert!(
        answer["error"]["repair"].as_str().unwrap().starts_with("sudo "),
        "{answer}"
    );
}
