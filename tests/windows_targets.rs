//! On Windows, or under Wine: an app is installed as a task, or into the Startup folder, and all verbs hold for it.
//!
//! Wine's own schtasks creates and deletes tasks, and starts none. Where more is needed, a double is put over it in the prefix,
//! which `tests/run` throws away (`support/schtasks.rs`); on a real Windows these tests are not run.
#![cfg(windows)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/windows.rs"]
mod windows;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use autoglm_boot::platform::{self, Known, known_folder};
use windows::{Home, Other, all_below, soon};

fn system() -> PathBuf {
    known_folder(Known::System).unwrap()
}

/// The double, in its place; none on a real Windows. Wine takes its own schtasks unless it is told otherwise.
fn double() -> Option<Double> {
    if !system().join("wineboot.exe").exists() {
        return None;
    }
    fs::copy(windows::example("schtasks.exe"), system().join("schtasks.exe")).expect("cargo build --example schtasks");
    reg(&["add", OVERRIDES, "/v", "schtasks.exe", "/d", "native", "/f"]);
    let folder = system().join("schtasks-double");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    Some(Double(folder))
}

/// The double, and the folder of its tasks; Wine takes its own again once this is dropped.
struct Double(PathBuf);

impl std::ops::Deref for Double {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        reg(&["delete", OVERRIDES, "/v", "schtasks.exe", "/f"]);
    }
}

const OVERRIDES: &str = r"HKCU\Software\Wine\DllOverrides";

fn reg(words: &[&str]) {
    Command::new("reg").args(words).output().unwrap();
}

fn is_empty(folder: &Path) -> bool {
    let mut left = all_below(folder);
    left.retain(|path| path.is_file() && !path.ends_with("calls"));
    left.is_empty()
}

/// Where the machine's records and programs lie.
fn of_machine() -> Vec<PathBuf> {
    [Known::ProgramData, Known::ProgramFiles]
        .into_iter()
        .flat_map(|known| all_below(&known_folder(known).unwrap().join("autoglm-boot")))
        .collect()
}

#[test]
fn a_task_of_the_machine_runs_is_watched_over_and_leaves_nothing() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-task").of_machine();
    home.manifest("user = 'SYSTEM'\nenvironment = { GREETING = 'grüß 中文 %PATH%' }", "");
    let said = home.run(&["install", "--dry-run"], 0);
    assert!(
        said.contains("/create /tn w-task /xml") && said.contains("<BootTrigger>"),
        "{said}"
    );
    assert!(!said.contains("installed and ready") && is_empty(&tasks));
    let said = home.run(&["install"], 0);
    assert!(said.contains("w-task: installed and ready"), "{said}");
    assert_eq!(home.ask("env/GREETING"), "grüß 中文 %PATH%");
    let calls = fs::read_to_string(tasks.join("calls")).unwrap();
    assert!(calls.lines().all(|call| call.ends_with("/HRESULT")), "{calls}");
    let xml = tasks.join("w-task.xml");
    assert_eq!(fs::read(&xml).unwrap()[..2], [0xff, 0xfe]);
    assert!(home.run(&["status"], 0).contains("w-task: ready"));
    assert!(home.run(&["install"], 0).contains("unchanged"));
    home.run(&["install", "--check"], 0);

    let tree = home.tree();
    assert_eq!(tree.len(), 3);
    windows::kill(tree[0]);
    soon("it is started again, and all of the old tree is gone", || {
        home.answers() && tree.iter().all(|&pid| !windows::is_alive(pid))
    });

    // What the Task Scheduler ends, is our supervisor: its tree goes with it.
    let tree = home.tree();
    windows::kill(windows::parent(tree[0]));
    soon("nothing of the tree is left", || {
        tree.iter().all(|&pid| !windows::is_alive(pid))
    });
    assert!(home.run(&["status"], 3).contains("failed"));
    home.run(&["start"], 0);
    assert!(home.answers());

    let tree = home.tree();
    home.run(&["stop"], 0);
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    let said = home.run(&["status"], 3);
    assert!(said.contains("stopped"), "{said}");
    home.run(&["restart"], 0);
    home.run(&["uninstall"], 0);
    assert!(!home.answers());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
    home.run(&["status", "w-task"], 4);
}

#[test]
fn an_update_is_a_transaction_and_an_earlier_version_comes_back() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-update").of_machine();
    home.manifest("user = 'SYSTEM'\nenvironment = { V = 'one' }", "");
    home.run(&["install"], 0);
    let first = fs::read(tasks.join("w-update.xml")).unwrap();
    home.manifest(
        "user = 'SYSTEM'\nenvironment = { V = 'two' }",
        "[windows]\ndelay = '30s'\n",
    );
    assert!(home.run(&["install", "--check"], 6).contains("changes pending"));
    assert!(home.run(&["install"], 0).contains("updated and ready"));
    assert_eq!(home.ask("env/V"), "two");
    let second = fs::read(tasks.join("w-update.xml")).unwrap();
    assert_ne!(first, second);
    // One that never answers is undone: the version before is back, registered and running.
    let broken = "[service]\nstart_timeout = '3s'\n[readiness]\ntcp = '127.0.0.1:9'\n";
    let text = fs::read_to_string(home.path("app.toml")).unwrap();
    let text = text.replace("'two'", "'three'").replace("'30s'", "'40s'");
    let (head, _) = text.split_once("[readiness]").unwrap();
    let broken = broken.replace("[service]\n", "");
    fs::write(
        home.path("app.toml"),
        format!("{head}{broken}[windows]\ndelay = '40s'\n"),
    )
    .unwrap();
    let said = home.run(&["install"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    assert_eq!(fs::read(tasks.join("w-update.xml")).unwrap(), second);
    assert_eq!(home.ask("env/V"), "two");
    assert!(home.run(&["history"], 0).starts_with("2 (installed)"));
    home.run(&["rollback"], 0);
    assert_eq!(home.ask("env/V"), "one");
    assert_eq!(fs::read(tasks.join("w-update.xml")).unwrap(), first);
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks));
}

#[test]
fn a_task_that_is_denied_is_told_with_the_step_and_the_two_ways_out() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-denied").of_machine();
    home.manifest("user = 'SYSTEM'", "");
    fs::write(tasks.join("deny"), "").unwrap();
    let said = home.run(&["install"], 5);
    for part in [
        "/create /tn w-denied",
        "0x80070005",
        "Run as administrator",
        "trigger = \"logon\"",
        "nothing is left of it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    fs::remove_file(tasks.join("deny")).unwrap();
    assert!(is_empty(&tasks));
}

#[test]
fn a_task_that_is_not_ours_or_was_changed_by_hand_is_not_overwritten() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-hand").of_machine();
    home.manifest("user = 'SYSTEM'", "");
    let bytes = foreign(r"C:\other.exe");
    fs::write(tasks.join("w-hand.xml"), &bytes).unwrap();
    assert!(home.run(&["install"], 1).contains("not ours"));
    assert!(home.run(&["status", "w-hand"], 4).contains("foreign"));
    assert_eq!(fs::read(tasks.join("w-hand.xml")).unwrap(), bytes);
    fs::remove_file(tasks.join("w-hand.xml")).unwrap();
    assert_eq!(of_machine(), Vec::<PathBuf>::new());

    home.run(&["install"], 0);
    let ours = fs::read(tasks.join("w-hand.xml")).unwrap();
    fs::write(tasks.join("w-hand.xml"), &bytes).unwrap();
    assert!(home.run(&["status"], 0).contains("drifted"));
    assert!(home.run(&["install"], 1).contains("changed by hand"));
    home.run(&["install", "--force"], 0);
    assert_eq!(fs::read(tasks.join("w-hand.xml")).unwrap(), ours);

    // Disabled by hand, it stays so: what is changed otherwise is installed all the same.
    let change = |how: &str| {
        windows::ended(Command::new(system().join("schtasks.exe")).args(["/change", "/tn", "w-hand", how, "/HRESULT"]))
    };
    assert_eq!(change("/disable").0, 0);
    let said = home.run(&["status"], 0);
    assert!(said.contains("not enabled"), "{said}");
    home.manifest("user = 'SYSTEM'", "[windows]\ndelay = '30s'\n");
    assert!(home.run(&["install"], 0).contains("stays so"));
    assert!(home.run(&["status"], 0).contains("not enabled"));
    home.run(&["stop"], 0);
    let said = home.run(&["start"], 7);
    assert!(said.contains("disabled"), "{said}");
    home.run(&["install", "--force"], 0);
    assert!(!home.run(&["status"], 0).contains("not enabled"));
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks));
}

/// Another task of that name, in the bytes that Windows imports.
fn foreign(command: &str) -> Vec<u8> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<Task xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\"><Triggers><BootTrigger/></Triggers><Settings><Enabled>true</Enabled></Settings><Actions><Exec><Command>{command}</Command></Exec></Actions></Task>"
    );
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// A task of the double's.
fn text_of(task: &Path) -> String {
    let bytes = fs::read(task).unwrap();
    assert_eq!(bytes[..2], [0xff, 0xfe], "it was imported with its mark");
    let units: Vec<_> = bytes
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

fn schtasks(words: &[&str]) {
    let (code, said) = windows::ended(Command::new(system().join("schtasks.exe")).args(words).arg("/HRESULT"));
    assert_eq!(code, 0, "{said}");
}

/// Nobody else may remove it for as long as this is held.
fn held(path: &Path) -> fs::File {
    use std::os::windows::fs::OpenOptionsExt as _;
    const READ: u32 = 1;
    fs::OpenOptions::new().read(true).share_mode(READ).open(path).unwrap()
}

#[test]
fn an_undo_brings_back_what_the_task_scheduler_had() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-undo").of_machine();
    let stored = tasks.join("w-undo.xml");
    let version = |value: &str| home.manifest(&format!("user = 'SYSTEM'\nenvironment = {{ A = '{value}' }}"), "");
    let broken = |flags: &[&str], back: &str| {
        home.manifest_of(
            &format!("['./tree', '{}', 'pids']", home.port()),
            "user = 'SYSTEM'\nstart_timeout = '1s'",
            "[readiness]\ntcp = '127.0.0.1:9'\n[windows]\ndelay = '77s'\n",
        );
        let said = home.run(&[&["install"], flags].concat(), 1);
        assert!(said.contains(back), "{said}");
        assert!(!stored.exists() || !text_of(&stored).contains("PT77S"), "{said}");
    };
    let uninstall = || {
        let records = known_folder(Known::ProgramData).unwrap().join("autoglm-boot");
        let said_before = fs::read_to_string(records.join(r"log\w-undo\w-undo.log")).unwrap();
        let held = held(&records.join(r"apps\w-undo\versions\1.json"));
        let said = home.run(&["uninstall"], 1);
        assert!(
            said.contains("1.json") && said.contains("the earlier version is back"),
            "{said}"
        );
        drop(held);
        // What could not be brought back goes last: the log, whom its folder is for, and our program.
        let says = fs::read_to_string(records.join(r"log\w-undo\w-undo.log")).unwrap();
        assert!(!said_before.is_empty() && says.starts_with(&said_before), "{says}");
        assert!(of_machine().iter().any(|path| path.ends_with("autoglm-boot.exe")));
    };
    let is_off = || {
        let (_, settings) = text_of(&stored)
            .split_once("<Settings>")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        settings.contains("<Enabled>false<")
    };
    for value in ["1", "2"] {
        version(value);
        home.run(&["install"], 0);
    }
    uninstall();
    assert!(!is_off() && home.answers());

    // Disabled by hand.
    schtasks(&["/change", "/tn", "w-undo", "/disable"]);
    broken(&[], "the earlier version is back");
    assert!(is_off() && home.ask("env/A") == "2");
    uninstall();
    assert!(is_off() && home.answers());
    assert!(home.run(&["status"], 0).contains("not enabled"));

    // Changed by hand.
    home.run(&["stop"], 0);
    fs::write(&stored, foreign(r"C:\日本\other.exe")).unwrap();
    broken(&["--force"], "the earlier version is back");
    assert!(text_of(&stored).contains(r"<Command>C:\日本\other.exe</Command>"));
    uninstall();
    assert!(text_of(&stored).contains(r"<Command>C:\日本\other.exe</Command>"));

    // Removed by hand.
    fs::remove_file(&stored).unwrap();
    broken(&[], "the earlier version is back");
    assert!(!stored.exists());
    uninstall();
    assert!(!stored.exists());
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

#[test]
fn a_task_that_is_not_ours_is_taken_over_and_put_back() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-adopt").of_machine();
    let stored = tasks.join("w-adopt.xml");
    let command = r"<Command>C:\日本\other.exe</Command>";
    let is_back = || {
        let text = text_of(&stored);
        assert!(text.contains(command) && text.contains("<Enabled>false<"), "{text}");
    };
    fs::write(&stored, foreign(r"C:\日本\other.exe")).unwrap();
    schtasks(&["/change", "/tn", "w-adopt", "/disable"]);
    home.manifest("user = 'SYSTEM'", "");
    let said = home.run(&["install"], 1);
    for part in [
        "a task \\w-adopt already",
        "not ours",
        "--adopt",
        "other.exe",
        "+++ from the manifest",
        "Nothing was changed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = home.run(&["install", "--adopt", "--dry-run"], 0);
    assert!(said.contains("original.json") && said.contains("other.exe"), "{said}");
    is_back();

    // One that is never ready is undone: what was there is there again.
    home.manifest_of(
        &format!("['./tree', '{}', 'pids']", home.port()),
        "user = 'SYSTEM'\nstart_timeout = '1s'",
        "[readiness]\ntcp = '127.0.0.1:9'\n",
    );
    let said = home.run(&["install", "--adopt"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    is_back();
    assert_eq!(of_machine(), Vec::<PathBuf>::new());

    home.manifest("user = 'SYSTEM'", "");
    let said = home.run(&["install", "--adopt", "--json"], 0);
    assert!(
        said.contains("\"outcome\": \"adopted\"") || said.contains("\"outcome\":\"adopted\""),
        "{said}"
    );
    assert!(home.answers() && !text_of(&stored).contains("other.exe"));
    assert!(home.run(&["install", "--force"], 0).contains("w-adopt"));
    // An update keeps what was there, and an uninstall that fails keeps ours.
    home.manifest("user = 'SYSTEM'\nenvironment = { A = '2' }", "");
    home.run(&["install"], 0);
    let apps = known_folder(Known::ProgramData)
        .unwrap()
        .join(r"autoglm-boot\apps\w-adopt");
    let kept = held(&apps.join(r"versions\1.json"));
    assert!(home.run(&["uninstall"], 1).contains("the earlier version is back"));
    drop(kept);
    assert!(home.answers() && !text_of(&stored).contains("other.exe") && apps.join("original.json").exists());
    let said = home.run(&["uninstall"], 0);
    assert!(said.contains("the task that was there before is back"), "{said}");
    is_back();
    assert!(!home.answers());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());

    // What could not be put back, or runs, is not taken over.
    fs::write(&stored, foreign(r"C:\a?b.exe")).unwrap();
    let said = home.run(&["install", "--adopt"], 1);
    assert!(said.contains("does not tell the whole of it"), "{said}");
    let password = "C:\\b.exe</Command></Exec></Actions><Principals><Principal><LogonType>Password</LogonType></Principal></Principals><Actions><Exec><Command>";
    fs::write(&stored, foreign(password)).unwrap();
    assert!(home.run(&["install", "--adopt"], 1).contains("it has a password"));
    fs::write(&stored, foreign(r"C:\b.exe")).unwrap();
    fs::write(tasks.join("w-adopt.running"), "4").unwrap();
    let said = home.run(&["install", "--adopt"], 1);
    assert!(said.contains("until it is stopped") && said.contains("/end"), "{said}");
    fs::remove_file(tasks.join("w-adopt.running")).unwrap();
    assert!(text_of(&stored).contains(r"C:\b.exe"));
    schtasks(&["/delete", "/tn", "w-adopt", "/f"]);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

#[test]
fn doctor_finds_nothing_of_an_app_that_is_well_and_then_what_keeps_its_task() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-doctor").of_machine();
    home.manifest("user = 'SYSTEM'", "");
    home.run(&["install"], 0);
    let doctor = |code| home.run(&["doctor", "w-doctor"], code);
    let manifest = home.run(&["doctor", "--manifest", "app.toml"], 0);
    assert!(
        doctor(0).contains("w-doctor: nothing found") && manifest.contains("nothing found"),
        "{manifest}"
    );

    let stored = tasks.join("w-doctor.xml");
    let installed = fs::read(&stored).unwrap();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let change = |from: &str, to: &str| {
        let (from, to) = (wide(from), wide(to));
        let bytes = fs::read(&stored).unwrap();
        let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
        fs::write(
            &stored,
            [&bytes[..at], to.as_slice(), &bytes[at + from.len()..]].concat(),
        )
        .unwrap();
    };
    change("<DisallowStartIfOnBatteries>false", "<DisallowStartIfOnBatteries>true");
    change("<ExecutionTimeLimit>PT0S", "<ExecutionTimeLimit>PT72H");
    let said = doctor(0);
    for part in [
        "warning task-on-batteries",
        "warning task-time-limit",
        "PT72H",
        "install --system --force",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    home.run(&["install", "--force"], 0);
    assert_eq!(fs::read(&stored).unwrap(), installed, "the repair repairs");
    assert!(doctor(0).contains("nothing found"));

    change(
        "<Enabled>true</Enabled>\r\n    <Hidden>",
        "<Enabled>false</Enabled>\r\n    <Hidden>",
    );
    assert!(doctor(1).contains("error task-disabled"));
    fs::remove_file(&stored).unwrap();
    assert!(doctor(1).contains("error startup-gone"));
    home.run(&["install"], 0);
    assert!(doctor(0).contains("nothing found"));

    // Nothing of ours runs any more, and the Task Scheduler has no program to start.
    home.run(&["stop"], 0);
    fs::write(tasks.join("w-doctor.result"), 0x8007_0002_u32.to_string()).unwrap();
    let said = doctor(1);
    assert!(
        said.contains("error task-not-started") && said.contains("0x80070002"),
        "{said}"
    );
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks));
}

#[test]
fn a_task_of_another_account_shares_what_it_needs_and_nothing_else() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-service").of_machine();
    home.manifest("user = 'LocalService'", "");
    let said = home.run(&["install", "--dry-run"], 0);
    for part in [
        r"share   C:\ProgramData\autoglm-boot\apps\w-service\installed.json with LocalService, to be read",
        r"share   C:\ProgramData\autoglm-boot\run\w-service with LocalService, to be written, and read by all",
        r"share   C:\ProgramData\autoglm-boot\log\w-service with LocalService, to be written",
        "<UserId>S-1-5-19</UserId>",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    home.run(&["install"], 0);
    assert!(home.answers());
    // What an undo puts back is private, and the account's again.
    home.manifest_of(
        &format!("['./tree', '{}', 'pids']", home.port()),
        "user = 'LocalService'\nstart_timeout = '1s'",
        "[readiness]\ntcp = '127.0.0.1:9'\n",
    );
    let said = home.run(&["install"], 1);
    let (_, undone) = said.split_once("  undo    ").unwrap_or_else(|| panic!("{said}"));
    assert!(
        undone.contains("installed.json with LocalService, to be read"),
        "{said}"
    );
    assert!(home.answers());
    // A folder that somebody has removed is made again, and keeps nothing from being undone.
    let log = Path::new(r"C:\ProgramData\autoglm-boot\log\w-service");
    home.run(&["stop"], 0);
    fs::remove_dir_all(log).unwrap();
    home.manifest_of(
        "['./tree', 'no port']",
        "user = 'LocalService'\nstart_timeout = '1s'",
        "[restart]\npolicy = 'never'\n",
    );
    let said = home.run(&["install"], 1);
    assert!(said.contains("Undone: the earlier version is back"), "{said}");
    home.manifest("user = 'LocalService'\nenvironment = { A = '2' }", "");
    home.run(&["install"], 0);
    assert!(log.is_dir() && home.answers());
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks));

    // Of SYSTEM's, neither log nor version is for everybody either, nor for whoever they were for before.
    home.manifest("user = 'SYSTEM'", "");
    let said = home.run(&["install", "--dry-run"], 0);
    let shares: Vec<_> = said.lines().filter(|line| line.contains("share ")).collect();
    assert!(
        shares.len() == 3 && shares.iter().all(|line| line.contains(" with SYSTEM, to be ")),
        "{said}"
    );
}

/// From the manifest to `CommandLineToArgvW` of the app: under our supervisor nothing is refused but what Windows cannot hold.
fn every_word_arrives(home: &Home) {
    let answer = home.path("told.json");
    fs::copy(windows::example("argv.exe"), home.path("argv.exe")).unwrap();
    let words: Vec<_> = hostile::HOSTILE
        .iter()
        .map(|word| (*word).to_owned())
        .chain(hostile::random_words())
        .collect();
    let all = ["./argv", answer.to_str().unwrap()]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    let service = "type = 'oneshot'";
    home.manifest_of(
        &hostile::list(all),
        service,
        "[restart]\npolicy = 'never'\n[windows]\ntrigger = 'logon'\n",
    );
    home.run(&["install"], 0);
    soon("it has told its words", || answer.exists());
    let told: Vec<String> = serde_json::from_slice(&fs::read(answer).unwrap()).unwrap();
    assert_eq!(told, words);
    home.run(&["uninstall"], 0);
}

#[test]
fn every_word_arrives_through_a_task() {
    if let Some(tasks) = double() {
        every_word_arrives(&Home::new("w-words"));
        assert!(is_empty(&tasks));
    }
}

#[test]
fn every_word_arrives_from_the_startup_folder() {
    every_word_arrives(&Home::new("w-words").with_backend("startup-folder"));
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn a_task_at_the_logon_is_the_users_own() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-logon");
    home.manifest("", "[windows]\ntrigger = 'logon'\ndelay = '5s'\n");
    let said = home.run(&["install"], 0);
    assert!(said.contains("(user scope, task)"), "{said}");
    assert!(said.contains(r"AppData\Local\autoglm-boot\program"), "{said}");
    assert!(home.run(&["status"], 0).starts_with("w-logon: ready"));
    let tree = home.tree();
    home.run(&["stop"], 0);
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks));
}

/// One process, which a task starts itself: it answers with the pid that it wrote down.
fn bare(home: &Home, port: &str, more: &str) {
    let command = format!("['./tree', '{}', 'pids', 'alone']", home.port());
    let readiness = format!("[readiness]\nhttp = 'http://127.0.0.1:{port}/'\n");
    let limit = if port == "9" { "start_timeout = '1s'" } else { "" };
    let service = &format!("user = 'SYSTEM'\n{limit}");
    home.manifest_of(&command, service, &format!("{readiness}{more}"));
}

#[test]
fn what_a_task_starts_itself_is_run_ended_and_told_as_it_is() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-bare").of_machine();
    let port = home.port().to_string();
    bare(&home, &port, "[windows]\nsupervised = false\n");
    let said = home.run(&["install"], 0);
    assert!(said.contains("w-bare: installed and ready"), "{said}");
    assert!(said.contains("[logging]: what the app says is not kept"), "{said}");
    let calls = || fs::read_to_string(tasks.join("calls")).unwrap();
    assert!(calls().contains("/run /tn w-bare"), "{}", calls());
    assert!(
        of_machine()
            .iter()
            .all(|path| path.extension().is_none_or(|end| end != "exe"))
    );
    assert!(home.run(&["install"], 0).contains("unchanged"));
    let said = home.run(&["status"], 0);
    assert!(said.starts_with("w-bare: ready") && !said.contains("process"), "{said}");
    assert!(home.run(&["logs"], 1).contains("what it says is not kept"));
    let other = Home::new("w-needs").of_machine();
    other.manifest("user = 'SYSTEM'", "[dependencies]\nrequires = ['w-bare']\n");
    let said = other.run(&["install"], 1);
    assert!(said.contains("nothing would tell it when w-bare is ready"), "{said}");

    let [first] = home.tree()[..] else {
        panic!("one process")
    };
    assert!(home.run(&["stop"], 0).contains("stopped"));
    assert!(calls().contains("/end /tn w-bare") && !windows::is_alive(first));
    assert!(home.run(&["status"], 3).contains("stopped"));
    home.run(&["start"], 0);

    // One that is never ready is undone: the one before is back, and runs.
    let installed = fs::read(tasks.join("w-bare.xml")).unwrap();
    bare(&home, "9", "[windows]\nsupervised = false\ndelay = '9s'\n");
    let said = home.run(&["install"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    assert_eq!(fs::read(tasks.join("w-bare.xml")).unwrap(), installed);
    assert!(home.answers());
    home.crash();
    soon("its end is told", || home.status() == 3);
    let said = home.run(&["status"], 3);
    assert!(said.contains("failed") && said.contains("exit status 3"), "{said}");
    home.run(&["uninstall"], 0);
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));

    // Of a first install that fails, nothing is left, and nothing runs.
    let said = home.run(&["install"], 1);
    assert!(said.contains("nothing is left of it"), "{said}");
    assert!(!home.answers() && home.tree().is_empty());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

#[test]
fn an_app_comes_under_our_supervisor_and_leaves_it_again() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-turn").of_machine();
    let port = home.port().to_string();
    bare(&home, &port, "[windows]\nsupervised = false\n");
    home.run(&["install"], 0);
    let alone = home.tree()[0];
    bare(&home, &port, "");
    let said = home.run(&["install", "--no-start"], 1);
    assert!(said.contains("changes while it runs"), "{said}");
    assert!(home.run(&["install"], 0).contains("updated and ready"));
    assert!(!windows::is_alive(alone) && home.answers());
    assert!(home.run(&["status"], 0).contains("process"), "its supervisor knows it");
    let kept = home.tree()[0];
    // One that would be bare and is never ready: back under its supervisor.
    bare(&home, "9", "[windows]\nsupervised = false\n");
    let said = home.run(&["install"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    assert!(!windows::is_alive(kept), "{said}");
    assert!(home.answers(), "{said}");
    assert!(home.run(&["status"], 0).contains("process"));
    bare(&home, &port, "[windows]\nsupervised = false\n");
    assert!(home.run(&["install"], 0).contains("updated and ready"));
    assert!(!home.run(&["status"], 0).contains("process"));
    assert!(
        of_machine()
            .iter()
            .all(|path| path.extension().is_none_or(|end| end != "exe"))
    );
    home.run(&["uninstall"], 0);
    assert!(!home.answers());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

/// What the user has of everybody's instances.
fn instances() -> PathBuf {
    windows::records().join("machine")
}

/// All three processes of the app: each writes its number once it runs.
#[track_caller]
fn whole_tree(home: &Home) -> Vec<u32> {
    soon("all three have written their numbers", || home.tree().len() == 3);
    home.tree()
}

fn everybodys(home: &Home, method: &str, more: &str) {
    home.manifest(more, &format!("[windows]\nmethod = '{method}'\ntrigger = 'logon'\n"));
}

#[test]
fn what_is_for_whoever_logs_on_runs_as_each_users_own_and_leaves_nothing() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-all").of_machine();
    everybodys(&home, "task", "environment = { V = 'one' }");
    let said = home.run(&["install", "--dry-run"], 0);
    for part in [
        r"share   C:\ProgramData\autoglm-boot\apps\w-all\installed.json with all, to be read",
        "<GroupId>S-1-5-32-545</GroupId>",
        "<MultipleInstancesPolicy>Parallel<",
        "supervisor start --system w-all",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(is_empty(&tasks) && of_machine().is_empty() && windows::left().is_empty());
    let said = home.run(&["install"], 0);
    assert!(
        said.contains("(system scope, task)") && said.contains("w-all: installed and ready"),
        "{said}"
    );
    // Wine's administrator has been raised, as by "Run as administrator".
    assert_eq!(
        said.contains("with an administrator's rights until"),
        platform::is_raised(),
        "{said}"
    );
    assert_eq!(home.ask("env/V"), "one");
    assert!(instances().join(r"run\w-all\w-all.json").is_file());
    assert!(instances().join(r"log\w-all\w-all.log").is_file());
    assert!(home.run(&["install"], 0).contains("unchanged"));
    home.run(&["install", "--check"], 0);

    let said = home.run(&["status"], 0);
    for part in [
        "w-all: ready",
        "(system scope)",
        "at logon",
        "instance  of ",
        "those of others are not seen",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json: serde_json::Value = serde_json::from_str(&home.run(&["status", "--json"], 0)).unwrap();
    let own = platform::own_account().unwrap().name;
    assert_eq!(json["apps"][0]["instance_of"], own);
    assert!(home.run(&["list"], 0).contains("w-all: ready"));
    assert!(home.run(&["doctor", "w-all"], 0).contains("nothing found"));

    // Crashes, stops and starts are of this instance; the Task Scheduler is not asked to run a group's task.
    let tree = whole_tree(&home);
    windows::kill(tree[0]);
    soon("it is started again", || {
        home.answers() && tree.iter().all(|&pid| !windows::is_alive(pid))
    });
    soon("it is ready", || home.status() == 0);
    let said = home.run(&["stop"], 0);
    assert!(said.contains("it starts again at logon") && !home.answers(), "{said}");
    assert!(home.run(&["status"], 3).contains("stopped"));
    home.run(&["start"], 0);
    home.run(&["restart"], 0);
    assert!(home.run(&["logs"], 0).contains("restart"), "{}", home.run(&["logs"], 0));
    let calls = fs::read_to_string(tasks.join("calls")).unwrap();
    assert!(!calls.contains("/run"), "{calls}");

    // An update is a transaction, and an earlier version comes back.
    everybodys(&home, "task", "environment = { V = 'two' }");
    assert!(home.run(&["install"], 0).contains("updated and ready"));
    assert_eq!(home.ask("env/V"), "two");
    home.manifest_of(
        &format!("['./tree', '{}', 'pids']", home.port()),
        "environment = { V = 'three' }\nstart_timeout = '3s'",
        "[readiness]\ntcp = '127.0.0.1:9'\n[windows]\ntrigger = 'logon'\n",
    );
    let said = home.run(&["install"], 1);
    assert!(said.contains("the earlier version is back"), "{said}");
    assert_eq!(home.ask("env/V"), "two");
    home.run(&["rollback"], 0);
    assert_eq!(home.ask("env/V"), "one");
    assert!(home.run(&["history"], 0).starts_with("3 (installed)"));
    let said = home.run(&["uninstall"], 0);
    assert!(!said.contains("in use"), "{said}");
    assert!(!home.answers());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

/// Wine tells users by their profiles; what a plain user may not do, it does not show.
#[test]
fn each_user_has_an_instance_which_ends_by_itself_once_the_app_is_uninstalled() {
    let Some(alice) = Other::new("w-alice") else { return };
    let home = Home::new("w-users").of_machine();
    everybodys(&home, "startup-folder", "");
    home.run(&["install"], 0);
    let ours = whole_tree(&home);
    let of_alice = |verb: &str, code| alice.run(&[verb, "w-users", "--system"], code);
    let said = of_alice("status", 3);
    assert!(
        said.contains("w-users: stopped") && said.contains("w-alice; whoever"),
        "{said}"
    );
    of_alice("stop", 0);
    assert_eq!(home.tree(), ours, "it is another's");
    assert!(!alice.records().exists(), "{:?}", all_below(&alice.records()));
    home.run(&["stop"], 0);

    of_alice("start", 0);
    let said = of_alice("status", 0);
    assert!(said.contains("w-users: ready"), "{said}");
    assert!(home.run(&["status"], 3).contains("stopped"));
    home.run(&["stop"], 0);
    assert!(home.answers(), "it is hers");
    of_alice("restart", 0);
    let tree = whole_tree(&home);
    assert!(alice.records().join(r"machine\log\w-users\w-users.log").is_file());

    // Her instance holds our program for a moment.
    let said = home.run(&["uninstall"], 0);
    assert!(!said.contains("it is in use"), "{said}");
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    soon("her rooms are gone", || !alice.records().exists());
    of_alice("status", 4);
}

#[test]
fn from_the_common_startup_folder_it_is_begun_for_whoever_logs_on() {
    let home = Home::new("w-common").of_machine();
    everybodys(&home, "startup-folder", "");
    let link = known_folder(Known::CommonStartup).unwrap().join("w-common.lnk");
    let said = home.run(&["install", "--no-start"], 0);
    assert!(said.contains("installed, not started") && link.exists(), "{said}");
    assert_eq!(windows::left(), Vec::<PathBuf>::new(), "nobody has an instance yet");
    assert!(home.run(&["status"], 3).contains("stopped"));
    let before = Command::new("cmd")
        .args(["/d", "/c", "start", "/wait", ""])
        .arg(&link)
        .status()
        .unwrap();
    assert!(before.success());
    soon("it answers", || home.answers());
    soon("it is ready", || home.status() == 0);

    // A second of the same user is refused by our supervisor itself.
    assert!(home.run(&["install"], 0).contains("unchanged"));
    let tree = whole_tree(&home);
    Command::new("cmd")
        .args(["/d", "/c", "start", "/wait", ""])
        .arg(&link)
        .status()
        .unwrap();
    assert_eq!(home.tree(), tree);

    // Beside it an app of the user's own, of the same name.
    let own = Home::new("w-common");
    own.manifest("", "[windows]\nmethod = 'startup-folder'\n");
    own.run(&["install"], 0);
    assert!(own.answers() && home.answers());
    let said = own.run(&["status"], 0);
    assert!(said.contains("(user scope)") && !said.contains("instance"), "{said}");
    assert!(home.run(&["status"], 0).contains("(system scope)"));
    own.run(&["uninstall"], 0);
    assert!(!own.answers() && home.answers());
    assert_eq!(home.status(), 0);

    platform::set_approval("w-common.lnk", true, Some(&[3, 0, 0, 0])).unwrap();
    assert!(home.run(&["status"], 0).contains("not enabled"));
    assert!(home.run(&["install"], 0).contains("stays so"));
    home.run(&["install", "--force"], 0);
    assert_eq!(platform::approval("w-common.lnk", true).unwrap(), None);
    home.run(&["uninstall"], 0);
    assert!(!link.exists() && !home.answers());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_for_whoever_logs_on_stays_apart_from_what_runs_once() {
    let Some(tasks) = double() else { return };
    let home = Home::new("w-apart").of_machine();
    home.manifest("user = 'SYSTEM'", "");
    home.run(&["install"], 0);
    everybodys(&home, "task", "");
    let said = home.run(&["install"], 1);
    assert!(
        said.contains("installed the other way") && said.contains("uninstall it first"),
        "{said}"
    );
    let other = Home::new("w-needs").of_machine();
    other.manifest(
        "",
        "[dependencies]\nrequires = ['w-apart']\n[windows]\ntrigger = 'logon'\n",
    );
    let said = other.run(&["install"], 1);
    assert!(said.contains("neither would see the other"), "{said}");
    other.manifest("", "[windows]\ntrigger = 'logon'\n[logging]\nfile = 'one.log'\n");
    let said = other.run(&["install"], 2);
    assert!(said.contains("several users would write into one file"), "{said}");
    let bare = "[windows]\ntrigger = 'logon'\nsupervised = false\n";
    other.manifest("", bare);
    let said = other.run(&["install"], 1);
    assert!(said.contains("does not tell whose runs"), "{said}");
    other.manifest("", "[windows]\ntrigger = 'logon'\nelevated = true\n");
    assert!(
        other
            .run(&["install"], 1)
            .contains("windows.elevated for whoever logs on")
    );
    assert!(home.answers());
    home.run(&["uninstall"], 0);

    // One that fails at once leaves nothing, here or there.
    other.manifest_of(
        &format!("['./tree', '{}', 'pids']", other.port()),
        "start_timeout = '2s'",
        "[readiness]\ntcp = '127.0.0.1:9'\n[windows]\ntrigger = 'logon'\n",
    );
    let said = other.run(&["install"], 1);
    assert!(said.contains("nothing is left of it"), "{said}");
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    assert!(is_empty(&tasks), "{:?}", all_below(&tasks));
}

#[test]
fn what_cannot_be_installed_is_told_and_nothing_is_changed() {
    let home = Home::new("w-refused");
    home.manifest("", "[windows]\nmethod = 'startup-folder'\nsupervised = false\n");
    let said = home.run(&["install"], 1);
    assert!(said.contains("nothing would tell whether the app runs"), "{said}");
    let bare = "[windows]\ntrigger = 'logon'\nsupervised = false\n";
    home.manifest("type = 'oneshot'", bare);
    assert!(home.run(&["install"], 1).contains("whether it has done its work"));
    home.manifest_of("['./tree', '9', 'pids']", "", bare);
    assert!(home.run(&["install"], 1).contains("without a probe"));
    home.manifest("", "[windows]\ntrigger = 'logon'\nelevated = true\n");
    let said = home.run(&["install"], 1);
    for part in [
        "windows.elevated with --user",
        "with all privileges",
        "--system",
        "Nothing was changed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = home.run(&["render"], 0);
    assert!(said.contains("`install` refuses it"), "{said}");
    home.manifest("user = 'nobody-of-this-name'", "");
    let said = home.run(&["install", "--backend", "embedded"], 1);
    assert!(said.contains("nobody-of-this-name"), "{said}");
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
}

/// To read a shortcut, Wine starts its desktop, which holds a pipe open that its starter writes to.
#[track_caller]
fn to_file(home: &Home, args: &[&str], code: i32) -> String {
    let path = home.path("said");
    let file = fs::File::create(&path).unwrap();
    let mut command = home.command(args);
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let status = command.status().unwrap();
    let said = fs::read_to_string(path).unwrap();
    assert_eq!(status.code(), Some(code), "{args:?}: {said}");
    said
}

#[test]
fn a_shortcut_that_is_not_ours_is_taken_over_and_put_back() {
    let home = Home::new("w-other").with_backend("startup-folder");
    let link = known_folder(Known::Startup).unwrap().join("w-other.lnk");
    // A shortcut of another app's name is what anybody could have put there.
    let first = Home::new("w-first").with_backend("startup-folder");
    first.manifest("", "");
    first.run(&["install"], 0);
    let theirs = fs::read(known_folder(Known::Startup).unwrap().join("w-first.lnk")).unwrap();
    first.run(&["uninstall"], 0);
    fs::write(&link, &theirs).unwrap();
    let off = [3_u8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    platform::set_approval("w-other.lnk", false, Some(&off)).unwrap();

    home.manifest("", "");
    let said = to_file(&home, &["install"], 1);
    for part in [
        "w-other.lnk already",
        "not ours",
        "--adopt",
        "it starts",
        "supervisor serve --user w-first",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = to_file(&home, &["install", "--adopt", "--force"], 0);
    assert!(said.contains("adopted"), "{said}");
    assert_ne!(fs::read(&link).unwrap(), theirs);
    assert_eq!(platform::approval("w-other.lnk", false).unwrap(), None);
    let said = home.run(&["uninstall"], 0);
    assert!(said.contains("the shortcut that was there before is back"), "{said}");
    assert_eq!(fs::read(&link).unwrap(), theirs);
    assert_eq!(platform::approval("w-other.lnk", false).unwrap(), Some(off.to_vec()));
    platform::set_approval("w-other.lnk", false, None).unwrap();

    // An adoption that fails is undone.
    home.manifest_of(
        &format!("['./tree', '{}', 'pids']", home.port()),
        "start_timeout = '1s'",
        "[readiness]\ntcp = '127.0.0.1:9'\n",
    );
    to_file(&home, &["install", "--adopt"], 1);
    assert_eq!(fs::read(&link).unwrap(), theirs);
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    assert!(to_file(&home, &["install", "--adopt"], 1).contains("cannot be read"));
    fs::remove_dir(&link).unwrap();
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

/// Wine's own schtasks: it registers, and removes; it starts nothing.
#[test]
fn a_task_is_registered_and_removed_by_the_systems_own_schtasks() {
    let home = Home::new("w-own").of_machine();
    let stored = system().join("Tasks").join("w-own");
    home.manifest("user = 'SYSTEM'", "");
    let said = home.run(&["install", "--no-start"], 0);
    assert!(said.contains("installed, not started"), "{said}");
    assert!(stored.exists());
    let said = home.run(&["install", "--no-start"], 0);
    assert!(said.contains("unchanged"), "{said}");
    assert!(home.run(&["status"], 3).contains("stopped"));
    home.run(&["uninstall"], 0);
    assert!(!stored.exists());
    // It tells nothing of a task: one that is not ours could not be put back.
    fs::write(&stored, foreign(r"C:\other.exe")).unwrap();
    let said = home.run(&["install", "--no-start", "--adopt"], 1);
    assert!(said.contains("does not tell the whole of it"), "{said}");
    fs::remove_file(&stored).unwrap();
    assert_eq!(of_machine(), Vec::<PathBuf>::new());
}

/// Wine shows whose a file is as far as to tell ours from others'; to give it away is Linux's.
#[test]
fn a_squatted_folder_of_records_is_refused() {
    let Some(prefix) = std::env::var_os("WINECONFIGDIR") else {
        return;
    };
    let prefix = prefix.to_str().unwrap().replace(r"\??\Z:", "").replace('\\', "/");
    let give_to = |owner: &str| {
        let folder = format!("{prefix}/drive_c/ProgramData/autoglm-boot");
        let words = ["/d", "/c", "start", "/wait", "/unix", "/bin/chown", owner, &folder];
        assert!(Command::new("cmd").args(words).status().unwrap().success());
    };
    let folder = known_folder(Known::ProgramData).unwrap().join("autoglm-boot");
    fs::create_dir(&folder).unwrap();
    give_to("12345");
    let home = Home::new("w-squat").of_machine();
    home.manifest("user = 'SYSTEM'", "");
    let said = home.run(&["install", "--no-start"], 1);
    assert!(
        said.contains("is not an administrator's") && said.contains("Nothing was changed"),
        "{said}"
    );
    assert_eq!(of_machine(), std::slice::from_ref(&folder), "nothing was written there");
    give_to("0");
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn from_the_startup_folder_it_runs_answers_and_leaves_nothing() {
    let home = Home::new("w-start");
    home.manifest("", "[windows]\nmethod = 'startup-folder'\n");
    let link = known_folder(Known::Startup).unwrap().join("w-start.lnk");
    let said = home.run(&["install"], 0);
    assert!(said.contains("w-start: installed and ready"), "{said}");
    assert!(link.exists());
    assert!(home.run(&["status"], 0).starts_with("w-start: ready"));
    assert!(home.run(&["install"], 0).contains("unchanged"));

    // At the next logon it is begun by the shortcut.
    let wineboot = system().join("wineboot.exe");
    if wineboot.exists() {
        home.run(&["stop"], 0);
        let cmd = autoglm_boot::system::Cmd::new(wineboot.to_str().unwrap(), [""; 0]);
        assert!(platform::run(&cmd, &|| false).unwrap().is_ok());
        soon("it answers", || home.answers());
        soon("it is ready", || home.status() == 0);
        soon("all three have written their numbers", || home.tree().len() == 3);
        let tree = home.tree();
        windows::kill(tree[0]);
        soon("it is started again", || home.answers() && !windows::is_alive(tree[1]));
    }
    let tree = home.tree();
    home.run(&["stop"], 0);
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    home.run(&["start"], 0);
    home.run(&["uninstall"], 0);
    assert!(!link.exists() && !home.answers());
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn an_install_that_is_killed_is_undone_by_the_next_run() {
    let home = Home::new("w-cut");
    // It never becomes ready: the install waits.
    home.manifest_of(
        "['./tree', '9', 'pids', '2']",
        "",
        "[readiness]\ntcp = '127.0.0.1:9'\n[windows]\nmethod = 'startup-folder'\n",
    );
    let mut install = home.command(&["install", "-q"]).spawn().unwrap();
    soon("the app runs", || home.tree().len() == 2);
    install.kill().unwrap();
    install.wait().unwrap();
    assert!(home.run(&["status", "w-cut"], 7).contains("interrupted"));
    let tree = home.tree();
    home.manifest("", "[windows]\nmethod = 'startup-folder'\n");
    let said = home.run(&["install"], 0);
    assert!(
        said.contains("an earlier install of w-cut was interrupted: undoing it"),
        "{said}"
    );
    assert!(tree.iter().all(|&pid| !windows::is_alive(pid)), "{tree:?}");
    assert!(home.answers());
    home.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn what_a_user_switched_off_stays_off() {
    let home = Home::new("w-off");
    home.manifest("", "[windows]\nmethod = 'startup-folder'\n");
    home.run(&["install"], 0);
    let off = [3_u8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    platform::set_approval("w-off.lnk", false, Some(&off)).unwrap();
    assert!(home.run(&["status"], 0).contains("not enabled"));
    assert!(home.run(&["doctor", "w-off"], 1).contains("error startup-app-off"));
    home.manifest("environment = { A = 'b' }", "[windows]\nmethod = 'startup-folder'\n");
    assert!(home.run(&["install"], 0).contains("stays so"));
    assert_eq!(platform::approval("w-off.lnk", false).unwrap(), Some(off.to_vec()));
    home.run(&["install", "--force"], 0);
    assert_eq!(platform::approval("w-off.lnk", false).unwrap(), None);
    assert!(!home.run(&["status"], 0).contains("not enabled"));
    assert!(home.run(&["doctor", "w-off"], 0).contains("nothing found"));
    platform::set_approval("w-off.lnk", false, Some(&off)).unwrap();
    home.run(&["uninstall"], 0);
    assert_eq!(platform::approval("w-off.lnk", false).unwrap(), None, "nothing is left");
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}

#[test]
fn the_placed_program_removes_itself_with_the_last_app() {
    let user = Home::new("w-self").with_backend("startup-folder");
    user.manifest("", "");
    user.run(&["install"], 0);
    let placed = |folder: PathBuf| {
        let all = all_below(&folder).into_iter();
        all.filter(|path| path.extension().is_some_and(|end| end == "exe"))
            .collect::<Vec<_>>()
    };
    let programs = placed(windows::records());
    let said = user.clone_with(&programs[0]).run(&["uninstall", "w-self"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new(), "{said}");
    let (_, aside) = said
        .split_once("our own program runs: ")
        .unwrap_or_else(|| panic!("{said}"));
    let aside = aside.lines().next().unwrap();
    let aside = PathBuf::from(&aside[aside.rfind(r"C:\").unwrap()..]);
    assert!(aside.exists() && aside.to_str().unwrap().contains("Temp"), "{said}");
    fs::remove_file(aside).unwrap();

    let Some(tasks) = double() else { return };
    let machine = Home::new("w-self").of_machine();
    machine.manifest("user = 'SYSTEM'", "");
    machine.run(&["install"], 0);
    let programs = placed(known_folder(Known::ProgramFiles).unwrap().join("autoglm-boot"));
    let said = machine.clone_with(&programs[0]).run(&["uninstall", "w-self"], 0);
    assert!(
        said.contains("it goes with the next start") && said.contains(r"\Temp\autoglm-boot-"),
        "{said}"
    );
    assert_eq!(of_machine(), Vec::<PathBuf>::new(), "{said}");
    assert!(is_empty(&tasks));
}

#[test]
fn a_new_version_of_ours_goes_beside_the_one_that_runs() {
    let home = Home::new("w-upgrade");
    home.manifest("", "[windows]\nmethod = 'startup-folder'\n");
    home.run(&["install"], 0);
    let programs = windows::records().join("program");
    let versions = || fs::read_dir(&programs).unwrap().count();
    assert_eq!(versions(), 1);
    let first = home.tree()[0];
    // The same program with a byte more is another version.
    let newer = home.path("newer.exe");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_autoglm-boot")).unwrap();
    bytes.push(0);
    fs::write(&newer, bytes).unwrap();
    let upgraded = home.clone_with(&newer);
    let said = upgraded.run(&["install"], 0);
    assert!(said.contains("updated"), "{said}");
    assert!(windows::is_alive(first), "the app runs on");
    assert_eq!(versions(), 2, "the one that runs is locked, and stays: {said}");
    assert!(said.contains("left, it is in use"), "{said}");
    upgraded.run(&["restart"], 0);
    // The next run that changes something takes it away.
    home.manifest("environment = { A = 'b' }", "[windows]\nmethod = 'startup-folder'\n");
    upgraded.run(&["install"], 0);
    assert_eq!(versions(), 1);
    upgraded.run(&["uninstall"], 0);
    assert_eq!(windows::left(), Vec::<PathBuf>::new());
}
