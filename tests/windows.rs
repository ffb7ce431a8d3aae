//! On Windows, or under Wine: what is rendered is taken by schtasks, by the shell and by `CommandLineToArgvW` as it is meant.
//! `tests/run` runs it under Wine 8, whose schtasks creates and deletes, but starts nothing.
#![cfg(windows)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

#[path = "support/hostile.rs"]
mod hostile;

use std::{
    fs,
    os::windows::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use autoglm_boot::{
    check::{Wish, check},
    exit::Exit,
    manifest::{Problems, read_for},
    platform::{self, Known, known_folder, read_shortcut},
    render::{self, Artefact, windows::PROGRAM},
    service::{Method, Os},
    system::{Cmd, Output, Real},
};
use hostile::{HOSTILE, random_words};

fn rendered(words: &[String], method: Method, program: &Path, folder: &Path) -> Result<Artefact, Problems> {
    let command = hostile::list(
        [program.to_str().unwrap()]
            .into_iter()
            .chain(words.iter().map(String::as_str)),
    );
    let folder = folder.to_str().unwrap();
    let text = format!(
        "[app]\nname = 'w-argv'\n[service]\ncommand = {command}\nworking_directory = '{folder}'\nuser = 'alice'\n[windows]\nsupervised = false\ntrigger = 'logon'\n"
    );
    let manifest = read_for(Os::Windows, &folder_of_tests().join("app.toml"), text.as_bytes())?;
    let wish = Wish {
        method: Some(method),
        is_elsewhere: true, // so that a thousand manifests look up nothing
        ..Wish::default()
    };
    let service = check(&manifest, &wish, &Real)?.service;
    Ok(match method {
        Method::Task => render::task(&service, PROGRAM).unwrap(),
        Method::StartupFolder => render::shortcut(&service, PROGRAM),
    })
}

fn folder_of_tests() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().to_path_buf()
}

/// The program that tells its words, in a folder of this name.
fn teller(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let program = folder.join("argv.exe");
    fs::copy(folder_of_tests().join("examples").join("argv.exe"), &program).expect("cargo build --example argv");
    program
}

/// What the program told, once it has.
fn told(file: &Path) -> Vec<String> {
    let begun = Instant::now();
    loop {
        if let Ok(bytes) = fs::read(file) {
            fs::remove_file(file).unwrap();
            return serde_json::from_slice(&bytes).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was told");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts what the task starts, as the Task Scheduler does: the command, and behind it the arguments as they are.
fn run_task(task: &Artefact) {
    let units: Vec<_> = task.bytes[2..]
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let text = String::from_utf16(&units).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let element = |name: &str| {
        let node = document
            .descendants()
            .find(|node| node.has_tag_name(("http://schemas.microsoft.com/windows/2004/02/mit/task", name)));
        node.and_then(|node| node.text()).unwrap_or_default().to_owned()
    };
    let status = Command::new(element("Command"))
        .raw_arg(element("Arguments"))
        .current_dir(element("WorkingDirectory"))
        .status()
        .unwrap();
    assert!(status.success(), "{text}");
}

/// Opens the shortcut, as a double click does.
fn run_shortcut(file: &Path) {
    let status = Command::new("cmd")
        .args(["/d", "/c", "start", "/wait", ""])
        .arg(file)
        .status()
        .unwrap();
    assert!(status.success());
}

/// What must be refused, said a second time: everything else must arrive.
fn cannot_be_carried(word: &str, method: Method) -> bool {
    let is_expanded = word.split('%').count() > 2;
    let is_task_only = word.contains("$(") || word.contains(['\u{1}', '\u{fffe}']);
    is_expanded || (method == Method::Task && is_task_only)
}

/// Renders, starts, and compares, many words at a time; two that have a percent sign would make a pair.
fn every_word_arrives(method: Method, folder: &Path) {
    let program = teller(folder);
    let answer = folder.join("told.json");
    let words: Vec<_> = HOSTILE
        .iter()
        .map(|word| (*word).to_owned())
        .chain(random_words())
        .collect();
    let (mut refused, mut lines) = (0, vec![Vec::new()]);
    for word in &words {
        let alone = rendered(std::slice::from_ref(word), method, &program, folder);
        assert_eq!(alone.is_err(), cannot_be_carried(word, method), "{word:?}");
        if let Err(problems) = alone {
            assert_eq!(problems.exit(), Exit::Usage, "{word:?}");
            refused += 1;
            continue;
        }
        let has_percent = |line: &Vec<String>| line.iter().any(|word: &String| word.contains('%'));
        let last = lines.last().unwrap();
        // What ends one word and begins the next must not make what is refused, either.
        let is_full = last.len() >= 50
            || (word.contains('%') && has_percent(last))
            || last.last().is_some_and(|word: &String| word.ends_with('$'));
        if is_full {
            lines.push(Vec::new());
        }
        lines.last_mut().unwrap().push(word.clone());
    }
    for line in &lines {
        let all: Vec<_> = [answer.to_str().unwrap().to_owned()]
            .into_iter()
            .chain(line.iter().cloned())
            .collect();
        let artefact = rendered(&all, method, &program, folder).unwrap_or_else(|problems| panic!("{problems}"));
        match method {
            Method::Task => run_task(&artefact),
            Method::StartupFolder => {
                let file = folder.join(&artefact.file);
                fs::write(&file, &artefact.bytes).unwrap();
                run_shortcut(&file);
            }
        }
        assert_eq!(told(&answer), *line);
    }
    assert!(refused > 5 && refused < 300, "{refused} of {}", words.len());
}

#[test]
fn every_word_arrives_through_a_tasks_command_line_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    every_word_arrives(Method::Task, &folder.path().join("日本 & Söhne (x86)"));
}

#[test]
fn every_word_arrives_through_a_shortcut_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    every_word_arrives(Method::StartupFolder, &folder.path().join("A & B (x86)"));
}

/// By its own path, and with our own way of running commands.
fn schtasks(args: &[&str], file: Option<&Path>) -> Output {
    let program = known_folder(Known::System).unwrap().join("schtasks.exe");
    let mut cmd = Cmd::new(program.to_str().unwrap(), args.iter().copied());
    if let Some(file) = file {
        cmd.args.extend(["/xml".to_owned(), file.to_str().unwrap().to_owned()]);
    }
    platform::run(&cmd, &|| false).unwrap()
}

/// A task for another machine: nothing of it has to be here.
fn task(keys: &str, scope: Option<autoglm_boot::service::Scope>) -> Artefact {
    let text = format!(
        "[app]\nname = 'w-task'\ndescription = 'A & B <中文>'\n[service]\ncommand = ['C:\\srv\\run.exe']\nworking_directory = 'C:\\srv'\n{keys}\n"
    );
    let manifest = read_for(Os::Windows, Path::new(r"C:\app.toml"), text.as_bytes()).unwrap();
    let wish = Wish {
        scope,
        is_elsewhere: true,
        ..Wish::default()
    };
    let service = check(&manifest, &wish, &Real)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .service;
    render::task(&service, PROGRAM).unwrap()
}

#[test]
fn schtasks_takes_our_tasks_and_removes_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("A task.xml");
    let stored = known_folder(Known::System).unwrap().join("Tasks").join("w-task");
    let is_made = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let out = schtasks(&["/create", "/tn", "w-task", "/f"], Some(&file));
        (out.is_ok(), out)
    };
    let machines = Some(autoglm_boot::service::Scope::System);
    for (keys, scope) in [
        ("user = 'SYSTEM'", None),
        ("user = 'LocalService'\n[windows]\ndelay = '30s'", None),
        ("user = 'NetworkService'\n[windows]\nelevated = true", None),
        ("[windows]\ntrigger = 'logon'\ndelay = '30s'", machines),
        (
            "user = 'SYSTEM'\n[windows]\nsupervised = false\n[raw.task.Settings]\nWakeToRun = true",
            None,
        ),
    ] {
        let task = task(keys, scope);
        let (is_made, out) = is_made(&task.bytes);
        assert!(is_made, "{keys}\n{out:?}\n{}", task.text);
        assert!(stored.exists(), "{keys}");
        let out = schtasks(&["/delete", "/tn", "w-task", "/f"], None);
        assert!(out.is_ok(), "{out:?}");
        assert!(!stored.exists(), "{keys}");
    }
    // The same text in another coding is refused: the bytes are what matters.
    let task = task("user = 'SYSTEM'", None);
    let utf8 = task.text.replace("UTF-16", "UTF-8");
    assert!(!is_made(format!("\u{feff}{utf8}").as_bytes()).0, "UTF-8 with its mark");
    assert!(!is_made(&task.bytes[2..]).0, "UTF-16 without its mark");
    assert!(!is_made(&task.bytes[..task.bytes.len() - 40]).0, "a part of it");
    assert!(!stored.exists());
    assert!(
        !schtasks(&["/delete", "/tn", "w-task", "/f"], None).is_ok(),
        "it is gone"
    );
}

#[test]
fn the_shell_reads_our_shortcut_as_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let program = teller(&folder.path().join("A & B"));
    let words = ["a b".to_owned(), "\"".to_owned(), "中文".to_owned()];
    let link = rendered(&words, Method::StartupFolder, &program, program.parent().unwrap()).unwrap();
    let file = folder.path().join(&link.file);
    fs::write(&file, &link.bytes).unwrap();
    let read = read_shortcut(&file).unwrap();
    assert_eq!(Path::new(&read.target), program);
    assert_eq!(read.arguments, r#""a b" "\"" 中文"#);
    assert_eq!(Path::new(&read.folder), program.parent().unwrap());
    assert_eq!(read.description, "w-argv");
    assert!(
        matches!(read.show, 7 | 1),
        "minimised; Wine 8 does not read it, and says 1: {}",
        read.show
    );
    fs::write(&file, b"no shortcut").unwrap();
    assert!(read_shortcut(&file).is_err());
}

/// The program itself.
#[test]
fn the_program_checks_and_renders_here() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("应用 app");
    teller(&app);
    let manifest = app.join("app.toml");
    fs::write(
        &manifest,
        "[app]\nname = 'w-app'\n[service]\ncommand = ['./argv', 'x']\n[windows]\ntrigger = 'logon'\n",
    )
    .unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoglm-boot"));
        let out = command.args(args).current_dir(&app).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
    };
    assert_eq!(run(&["check"]).0, 0, "{:?}", run(&["check"]));
    let (code, said, error) = run(&["render", "--output", "out"]);
    assert_eq!(code, 0, "{said}{error}");
    let bytes = fs::read(app.join("out").join("w-app.xml")).unwrap();
    assert_eq!(bytes[..2], [0xff, 0xfe]);
    let (code, said, error) = run(&["render", "--target", "startup-folder", "--output", "out"]);
    assert_eq!(code, 0, "{said}{error}");
    assert!(app.join("out").join("w-app.lnk").exists());
    let (code, _, error) = run(&["render", "--target", "systemd"]);
    assert_eq!(code, 2, "its paths are not of that system: {error}");
    assert!(error.contains("on another machine"), "{error}");
    fs::write(&manifest, "[app]\nname = 'w-app'\n[service]\ncommand = 'C:\\x.exe'\n").unwrap();
    let (code, _, error) = run(&["check"]);
    assert_eq!(code, 2);
    assert!(error.contains("write a list"), "{error}");
}

/// Wine's `wineboot` does what a logon does. On a real Windows nobody logs on during a test: there is nothing to run there.
#[test]
fn a_logon_starts_what_lies_in_the_startup_folder() {
    let wineboot = known_folder(Known::System).unwrap().join("wineboot.exe");
    if !wineboot.exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = teller(&folder.path().join("A & B"));
    let answer = folder.path().join("told.json");
    let words = [answer.to_str().unwrap(), "at a logon", "\"", "中文"].map(String::from);
    let link = rendered(&words, Method::StartupFolder, &program, folder.path()).unwrap();
    let place = known_folder(Known::Startup).unwrap().join(&link.file);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, &link.bytes).unwrap();
    let out = platform::run(&Cmd::new(wineboot.to_str().unwrap(), [""; 0]), &|| false).unwrap();
    assert!(out.is_ok(), "{out:?}");
    assert_eq!(told(&answer), words[1..]);
    fs::remove_file(place).unwrap();
}
