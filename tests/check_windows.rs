//! Manifest → Service for Windows: on another system, where nothing can be looked up, and against a Windows in memory.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{collections::BTreeMap, path::Path, time::Duration};

use autoglm_boot::{
    check::{Checked, Wish, check},
    exit::Exit,
    manifest::{Problems, read_for},
    render,
    service::{Method, Os, Probe, RunAs, Scope, Service, StartType, Trigger},
    system::{Entry, EntryKind},
};
use support::machine::{Machine, machine};

const ELSEWHERE: Wish = Wish {
    scope: None,
    os: Os::Windows,
    is_elsewhere: true,
    method: None,
};
const HERE: Wish = Wish {
    is_elsewhere: false,
    ..ELSEWHERE
};

/// A manifest that is right elsewhere, with this in place of what it says, and more at its end.
fn text(service: &str, more: &str) -> String {
    let mut keys = BTreeMap::from([
        ("command", r"['C:\srv\run.exe', 'a']".to_owned()),
        ("working_directory", r"'C:\srv'".to_owned()),
        ("user", "'LocalService'".to_owned()),
    ]);
    for line in service.lines() {
        let (key, value) = line.split_once(" = ").unwrap();
        keys.insert(key, value.to_owned());
    }
    let keys: Vec<_> = keys
        .into_iter()
        .filter(|(_, value)| value != "-")
        .map(|(key, value)| format!("service.{key} = {value}\n"))
        .collect();
    format!("app.name = 'a'\n{}{more}", keys.concat())
}

fn checked_at(path: &str, text: &str, wish: &Wish, look: &Machine) -> Result<Checked, Problems> {
    let manifest =
        read_for(Os::Windows, Path::new(path), text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    check(&manifest, wish, look)
}

#[track_caller]
fn service(service: &str, more: &str, wish: &Wish) -> Service {
    let text = text(service, more);
    checked_at("/srv/app/app.toml", &text, wish, &machine(0))
        .unwrap_or_else(|problems| panic!("{problems}"))
        .service
}

#[track_caller]
fn refused(service: &str, more: &str, wish: &Wish, told: &str) {
    let text = text(service, more);
    let problems = checked_at("/srv/app/app.toml", &text, wish, &machine(0)).expect_err(&text);
    assert!(problems.to_string().contains(told), "{text}\n{problems}");
    assert_eq!(problems.exit(), Exit::Usage, "{text}");
}

#[test]
fn elsewhere_nothing_is_looked_up_and_every_path_is_absolute() {
    let service = service(
        "environment_files = ['D:/secrets.env']\npath = ['C:\\bin\\..\\tools']\npre_start = [['C:\\x.exe']]",
        "",
        &ELSEWHERE,
    );
    assert_eq!(service.command, [r"C:\srv\run.exe", "a"]);
    assert_eq!(service.working_directory, Path::new(r"C:\srv"));
    assert_eq!(service.environment_files, [Path::new(r"D:\secrets.env")]);
    assert_eq!(service.path, [Path::new(r"C:\tools")]);
    for (key, told) in [
        (
            "command = ['run.exe']",
            "where the program \"run.exe\" lies on another machine is not known here",
        ),
        (
            "command = ['./run.exe']",
            "is relative to a folder that is not known on another machine",
        ),
        ("command = ['/usr/bin/python3']", "depends on the current drive"),
        (
            "command = ['C:\\main.py']",
            "no program that Windows executes by itself",
        ),
        ("command = ['C:\\run']", "no program that Windows executes by itself"),
        ("command = ['C:\\a?.exe']", "no name on Windows has"),
        ("command = 'C:\\srv\\run.exe a'", "write a list"),
        ("working_directory = -", "write service.working_directory, absolute"),
        ("working_directory = 'data'", "write the absolute path there"),
        ("working_directory = 'C:data'", "the drive's current folder"),
        ("environment_files = ['x.env']", "write the absolute path there"),
        ("path = ['bin']", "write the absolute path there"),
        ("user = -", "whom it runs as on another machine is not known here"),
        ("user = 'a/b'", "no account of Windows"),
    ] {
        refused(key, "", &ELSEWHERE, told);
    }
}

#[test]
fn a_unit_for_another_machine_is_checked_without_looking_too() {
    let wish = Wish {
        os: Os::Linux,
        ..ELSEWHERE
    };
    let checked = |text: &str| {
        let manifest = read_for(Os::Linux, Path::new("/m/app.toml"), text.as_bytes()).unwrap();
        check(&manifest, &wish, &machine(0))
    };
    let right = "app.name = 'a'\n[service]\ncommand = ['/opt/x']\nworking_directory = '/opt'\nuser = 'x'\n";
    let service = checked(right).unwrap().service;
    assert_eq!((service.command[0].as_str(), service.scope), ("/opt/x", Scope::System));
    for (from, to, told) in [
        ("'/opt/x'", "'x'", "write its absolute path there"),
        ("'/opt'", "'opt'", "write the absolute path there"),
        ("user = 'x'\n", "", "whose folder it is"),
    ] {
        let problems = checked(&right.replace(from, to)).unwrap_err();
        assert!(problems.to_string().contains(told), "{problems}");
    }
}

#[test]
fn what_starts_it_decides_whose_it_is() {
    let user = "user = 'alice'";
    for (more, wish, expected) in [
        ("", ELSEWHERE, (Method::Task, Trigger::Boot, Scope::System)),
        (
            "windows.trigger = 'logon'",
            ELSEWHERE,
            (Method::Task, Trigger::Logon, Scope::User),
        ),
        (
            "windows.method = 'startup-folder'",
            ELSEWHERE,
            (Method::StartupFolder, Trigger::Logon, Scope::User),
        ),
        (
            "",
            Wish {
                method: Some(Method::StartupFolder),
                ..ELSEWHERE
            },
            (Method::StartupFolder, Trigger::Logon, Scope::User),
        ),
        (
            "",
            Wish {
                scope: Some(Scope::User),
                ..ELSEWHERE
            },
            (Method::Task, Trigger::Logon, Scope::User),
        ),
        (
            "windows.method = 'startup-folder'",
            Wish {
                method: Some(Method::Task),
                ..ELSEWHERE
            },
            (Method::Task, Trigger::Boot, Scope::System),
        ),
    ] {
        let service = service(user, more, &wish);
        let windows = &service.windows;
        assert_eq!(
            (windows.method, windows.trigger, service.scope),
            expected,
            "{more} {wish:?}"
        );
    }
    let machines = Wish {
        scope: Some(Scope::System),
        ..ELSEWHERE
    };
    let anybody = service("user = -", "windows.trigger = 'logon'", &machines);
    assert_eq!(anybody.run_as, RunAs::Invoker);
    let service = service(
        user,
        "[windows]\ndelay = '90s'\nelevated = true\nsupervised = false",
        &ELSEWHERE,
    )
    .windows;
    assert_eq!(
        (service.delay, service.is_elevated, service.is_supervised),
        (Duration::from_secs(90), true, false)
    );
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let users = Wish {
        scope: Some(Scope::User),
        ..ELSEWHERE
    };
    let machines = Wish {
        scope: Some(Scope::System),
        ..ELSEWHERE
    };
    for (more, wish, told) in [
        (
            "windows.method = 'startup-folder'\nwindows.trigger = 'boot'",
            users,
            "starts nothing at boot",
        ),
        (
            "windows.method = 'startup-folder'\nwindows.elevated = true",
            users,
            "starts nothing elevated",
        ),
        ("windows.trigger = 'boot'", users, "the machine's, not a user's"),
        ("windows.trigger = 'logon'", users, "\"LocalService\" never logs on"),
        ("windows.trigger = 'logon'", machines, "it runs as whoever logs on"),
    ] {
        refused("", more, &wish, told);
    }
    // Nothing of it is of a system: it is told on Linux as well.
    let text = "app.name = 'a'\nservice.command = ['./run']\n[windows]\nmethod = 'startup-folder'\ntrigger = 'boot'\n";
    let manifest = read_for(Os::Linux, Path::new("/srv/app/app.toml"), text.as_bytes()).unwrap();
    let linux = Wish { os: Os::Linux, ..HERE };
    let problems = check(&manifest, &linux, &machine(0)).unwrap_err();
    assert!(problems.to_string().contains("starts nothing at boot"), "{problems}");
}

/// Of what the machine has for whoever logs on there is an instance for each: no two of them write one file, nor keep each other
/// from running.
#[test]
fn what_is_for_whoever_logs_on_is_nobodys_in_particular() {
    let machines = Wish {
        scope: Some(Scope::System),
        ..ELSEWHERE
    };
    let logon = "windows.trigger = 'logon'\n";
    let file = format!("{logon}logging.file = 'C:\\srv\\one.log'\n");
    refused("user = -", &file, &machines, "several users would write into one file");
    assert!(service("user = 'alice'", &file, &ELSEWHERE).logging.file.is_some());
    let boot = "logging.file = 'C:\\srv\\one.log'\n";
    assert!(service("", boot, &machines).logging.file.is_some());
    for (user, more, wish, is_everybodys) in [
        ("user = -", logon, machines, true),
        ("user = -", "windows.method = 'startup-folder'\n", machines, true),
        ("user = 'alice'", logon, ELSEWHERE, false),
        ("", "", machines, false),
    ] {
        let service = service(user, more, &wish);
        assert_eq!(service.is_everybodys(), is_everybodys, "{user} {more}");
        let task = render::task(&service, render::windows::PROGRAM).unwrap().text;
        let policy = if is_everybodys { "Parallel" } else { "IgnoreNew" };
        assert!(task.contains(&format!("<MultipleInstancesPolicy>{policy}<")), "{task}");
        assert_eq!(
            task.contains("<GroupId>S-1-5-32-545</GroupId>"),
            is_everybodys,
            "{task}"
        );
    }
}

#[test]
fn an_account_of_windows_is_known_however_it_is_written_and_system_is_announced() {
    for (user, expected) in [
        ("SYSTEM", "SYSTEM"),
        (r"NT AUTHORITY\LOCAL SERVICE", "LocalService"),
        ("S-1-5-20", "NetworkService"),
        ("alice", "alice"),
        (r"DOMAIN\alice", r"DOMAIN\alice"),
    ] {
        let run_as = service(&format!("user = '{user}'"), "", &ELSEWHERE).run_as;
        let expected = RunAs::User {
            user: expected.into(),
            group: None,
        };
        assert_eq!(run_as, expected);
    }
    let text = text("user = 'LocalSystem'", "");
    let checked = checked_at("/srv/app/app.toml", &text, &ELSEWHERE, &machine(0)).unwrap();
    assert!(checked.warnings[0].contains("runs as SYSTEM"), "{:?}", checked.warnings);
}

#[test]
fn under_our_supervisor_every_argument_arrives_and_bare_what_cannot_is_refused() {
    for word in ["100% %PATH%", "$(Arg0)", "\\u0001\\u001b", "\\uFFFE"] {
        let command = format!("command = ['C:\\srv\\run.exe', \"{word}\"]");
        service(&command, "", &ELSEWHERE);
        let bare = "windows.supervised = false";
        refused(&command, bare, &ELSEWHERE, "leave windows.supervised = false out");
    }
    let startup = Wish {
        method: Some(Method::StartupFolder),
        ..ELSEWHERE
    };
    let shortcut = |word: &str| format!("command = ['C:\\srv\\run.exe', \"{word}\"]\nuser = 'alice'");
    service(&shortcut("$(Arg0)\\u0001"), "windows.supervised = false", &startup);
    refused(
        &shortcut("%A%"),
        "windows.supervised = false",
        &startup,
        "two percent signs",
    );
    let long = "x".repeat(300);
    service(&format!("working_directory = 'C:\\{long}'"), "", &ELSEWHERE);
    refused(
        &format!("working_directory = 'C:\\{long}'"),
        "windows.supervised = false",
        &ELSEWHERE,
        "more than 260 characters",
    );
    refused(
        "command = ['\\\\server\\share\\run.exe']\nuser = 'alice'",
        "windows.supervised = false",
        &startup,
        "to another machine",
    );
    let longer = "x".repeat(33_000);
    refused(
        &format!("command = ['C:\\srv\\run.exe', '{longer}']"),
        "",
        &ELSEWHERE,
        "a command line of Windows",
    );
    refused(
        &format!("environment = {{ A = '{longer}' }}"),
        "",
        &ELSEWHERE,
        "a variable can be",
    );
    refused(
        "environment = { A = '1', a = '2' }",
        "",
        &ELSEWHERE,
        "does not tell A from a",
    );
    refused(
        "command = ['C:\\srv\\run.cmd', 'a&b']",
        "",
        &ELSEWHERE,
        "read by cmd.exe",
    );
    service("command = ['C:\\srv\\run.cmd', 'a b', 'c=d']", "", &ELSEWHERE);
}

#[test]
fn what_is_waited_for_is_named_by_the_paths_of_windows() {
    let waits = |condition: &str| format!("dependencies.wait_for = ['{condition}']");
    for (condition, expected) in [
        (
            "file:///C:/srv/../ready",
            Probe::File {
                path: r"C:\ready".into(),
            },
        ),
        (
            "exec:C:/srv/check.exe \"a b\"",
            Probe::Command {
                argv: [r"C:\srv\check.exe", "a b"].map(String::from).to_vec(),
            },
        ),
    ] {
        let service = service("", &waits(condition), &ELSEWHERE);
        assert_eq!(service.dependencies.wait_for, [expected]);
    }
    for (condition, told) in [
        ("file:///dev/nvidia0", "by its absolute path"),
        ("file://C:ready", "by its absolute path"),
        ("file:///C:/a?", "no name on Windows"),
        (
            "exec:check.exe",
            "where the program \"check.exe\" lies on another machine",
        ),
        (r"exec:C:\srv\check.exe", "write slashes"),
    ] {
        refused("", &waits(condition), &ELSEWHERE, told);
    }
    let file = service("", "logging.file = 'D:/logs/a.log'\nhealth.file = 'D:\\up'", &ELSEWHERE);
    assert_eq!(file.logging.file.as_deref(), Some(Path::new(r"D:\logs\a.log")));
    refused(
        "",
        "logging.file = 'a.log'",
        &ELSEWHERE,
        "write the absolute path there",
    );
    refused("", "health.file = 'up'", &ELSEWHERE, "write the absolute path there");
}

#[test]
fn what_nothing_tells_on_windows_is_taken_as_exec_and_told() {
    for kind in ["notify", "forking"] {
        let text = text(&format!("type = '{kind}'"), "");
        let checked = checked_at("/srv/app/app.toml", &text, &ELSEWHERE, &machine(0)).unwrap();
        assert_eq!(checked.service.start_type, StartType::Exec);
        let told = format!("an app cannot be {kind:?} on Windows");
        assert!(checked.warnings[0].contains(&told), "{:?}", checked.warnings);
    }
}

/// On Windows itself the machine is asked, by the paths of Windows.
#[test]
fn here_programs_and_folders_are_looked_up() {
    let mut look = machine(0);
    let entry = |kind| Entry {
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        len: 0,
        modified: Duration::ZERO,
    };
    look.files.insert(r"C:\app".into(), entry(EntryKind::Folder));
    for file in [r"C:\app\run.exe", r"C:\app\tool.bat", r"C:\app\main.py"] {
        look.files.insert(file.into(), entry(EntryKind::File));
    }
    let base = |command: &str| {
        let path = r"working_directory = 'C:\app'";
        text(&format!("command = ['{command}']\n{path}"), "")
    };
    for (command, expected) in [
        (r"C:\app\run", r"C:\app\run.exe"),
        ("C:/app/run.exe", r"C:\app\run.exe"),
        (r"C:\app\tool.bat", r"C:\app\tool.bat"),
    ] {
        let checked = checked_at("/srv/app/app.toml", &base(command), &HERE, &look);
        let service = checked.unwrap_or_else(|problems| panic!("{problems}")).service;
        assert_eq!(service.command, [expected]);
    }
    for (command, told) in [
        (r"C:\app\gone.exe", r"the program C:\app\gone.exe is not there"),
        ("C:\\app\\main.py", "for a script its interpreter first"),
        ("gone", "there is no program"),
    ] {
        let problems = checked_at("/srv/app/app.toml", &base(command), &HERE, &look).unwrap_err();
        assert!(problems.to_string().contains(told), "{problems}");
    }
}
