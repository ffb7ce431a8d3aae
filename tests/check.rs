//! Manifest → Service against a machine in memory: defaults, what is refused, what the machine lacks.
//! Longer than 300 lines: most of it is tables of cases.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "tests"
)]

mod support;

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use autoglm_boot::{
    check::{Checked, Wish, check},
    exit::Exit,
    manifest::{Problems, read},
    service::{self, RestartPolicy, RunAs, Scope},
};
use support::machine::machine;

/// Checks as root in system scope (0), or as somebody in user scope, unless the manifest says otherwise.
fn checked_as(euid: u32, scope: Option<Scope>, text: &str) -> Result<Checked, Problems> {
    let text = if text.contains("app.name") || text.contains("[app]") {
        text.to_owned()
    } else {
        format!("app.name = \"a\"\n{text}")
    };
    let text = if text.contains("command = [\"/") || text.contains("service.command =") || text.contains("command = \"")
    {
        text
    } else {
        format!("service.command = [\"./run\"]\n{text}")
    };
    let manifest =
        read(Path::new("/srv/app/app.toml"), text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    check(
        &manifest,
        &Wish {
            scope,
            ..Wish::default()
        },
        &machine(euid),
    )
}

#[track_caller]
fn checked(text: &str) -> Checked {
    checked_as(0, None, text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(euid: u32, text: &str, exit: Exit, told: &str) {
    let problems = checked_as(euid, None, text).expect_err(text);
    assert!(problems.to_string().contains(told), "{text}\n{problems}");
    assert_eq!(problems.exit(), exit, "{text}");
}

#[test]
fn the_complete_example_is_equal_to_the_defaults() {
    let check = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let bytes = std::fs::read(path).unwrap();
        let manifest = read(Path::new("/srv/app/app.toml"), &bytes).unwrap();
        check(&manifest, &Wish::default(), &machine(0)).unwrap().service
    };
    assert_eq!(check("complete.toml"), check("minimal.toml"));
}

#[test]
fn the_scope_is_the_wish_else_the_manifests_else_by_privilege() {
    let scope = |euid, wish, text| checked_as(euid, wish, text).unwrap().service.scope;
    assert_eq!(scope(0, None, ""), Scope::System);
    assert_eq!(scope(1000, None, ""), Scope::User);
    assert_eq!(scope(1000, None, "linux.scope = \"system\"\n"), Scope::System);
    assert_eq!(
        scope(1000, Some(Scope::User), "linux.scope = \"system\"\n"),
        Scope::User
    );
}

#[test]
fn programs_become_absolute_and_are_never_followed_through_links() {
    for (text, expected) in [
        ("service.command = [\"./run\"]\n", "/srv/app/run"),
        ("service.command = [\"python3\"]\n", "/usr/bin/python3"),
        (
            "service.command = [\"python3\"]\nservice.path = [\"venv/bin\"]\n",
            "/srv/app/venv/bin/python3",
        ),
        ("service.command = [\"/srv/app/././run\"]\n", "/srv/app/run"),
    ] {
        assert_eq!(checked(text).service.command[0], expected, "{text}");
    }
    let service = checked("service.pre_start = [[\"python3\", \"\"]]\nreadiness.command = [\"./run\"]\n").service;
    assert_eq!(service.pre_start, [["/usr/bin/python3", ""]]);
    assert_eq!(
        service.readiness.probe,
        Some(service::Probe::Command {
            argv: vec!["/srv/app/run".into()]
        })
    );
}

/// systemd refuses a folder or a file whose path has `..` in it.
#[test]
fn a_place_is_told_without_the_way_through_its_parents() {
    let service = checked(
        "service.working_directory = \"../root/../nobody\"\nservice.environment_files = [\"../app/secrets.env\"]\n\
         service.path = [\"../bin\"]\nservice.pre_start = [[\"../app/run\"]]\n",
    )
    .service;
    assert_eq!(service.working_directory, Path::new("/srv/nobody"));
    assert_eq!(service.environment_files, [Path::new("/srv/app/secrets.env")]);
    assert_eq!(service.path, [Path::new("/srv/bin")]);
    assert_eq!(service.pre_start, [["/srv/app/run"]]);
    let manifest = read(
        Path::new("/srv/root/../app/app.toml"),
        b"app.name = \"a\"\nservice.command = [\"./run\"]\n",
    )
    .unwrap();
    let service = check(&manifest, &Wish::default(), &machine(0)).unwrap().service;
    assert_eq!(service.working_directory, Path::new("/srv/app"));
    assert_eq!(service.command, ["/srv/app/run"]);
}

#[test]
fn what_the_machine_lacks_is_no_mistake_of_the_manifest() {
    for (text, told) in [
        (
            "service.command = [\"pyhton3\"]\n",
            "no program \"pyhton3\" in /usr/local/bin:/usr/bin\n",
        ),
        (
            "service.command = [\"./gone\"]\n",
            "the program /srv/app/gone is not there",
        ),
        ("service.command = [\"../other/gone\"]\n", "program /srv/other/gone"),
        ("service.command = [\"./main.py\"]\n", "is not executable"),
        ("service.command = [\"/srv/app\"]\n", "is no program"),
        ("service.pre_start = [[\"nope\"]]\n", "no program \"nope\""),
        ("readiness.command = [\"nope\"]\n", "no program \"nope\""),
        (
            "service.working_directory = \"gone\"\n",
            "the folder /srv/app/gone is not there",
        ),
        ("service.working_directory = \"run\"\n", "is no folder"),
        (
            "service.environment_files = [\"gone.env\"]\n",
            "the file /srv/app/gone.env is not there",
        ),
        ("service.user = \"carol\"\n", "there is no user \"carol\""),
        ("service.group = \"carol\"\n", "groupadd --system carol"),
    ] {
        refused(0, text, Exit::Failed, told);
    }
    refused(
        0,
        "service.user = \"carol\"\nreadiness.tcp = \"x\"\n",
        Exit::Usage,
        "2 problems",
    );
}

#[test]
fn it_runs_as_the_owner_of_its_folder_and_root_is_announced() {
    let run_as = |user: &str| RunAs::User {
        user: user.into(),
        group: None,
    };
    for (text, expected, warned) in [
        ("", run_as("alice"), false),
        ("service.working_directory = \"/srv/root\"\n", run_as("root"), true),
        ("service.working_directory = \"/srv/nobody\"\n", run_as("4242"), false),
        ("service.user = \"1001\"\n", run_as("bob"), false),
        ("service.user = \"root\"\n", run_as("root"), true),
        ("service.user = \"dynamic\"\n", RunAs::Dynamic, false),
    ] {
        let checked = checked(text);
        assert_eq!(checked.service.run_as, expected, "{text}");
        assert_eq!(
            checked.warnings.iter().any(|warning| warning.contains("runs as root")),
            warned,
            "{text}"
        );
    }
    refused(
        0,
        "service.user = \"dynamic\"\nservice.group = \"bob\"\n",
        Exit::Usage,
        "a group of its own",
    );
}

#[test]
fn in_user_scope_it_runs_as_its_invoker_only() {
    for text in [
        "",
        "service.user = \"alice\"\n",
        "service.user = \"1000\"\nservice.group = \"alice\"\n",
    ] {
        assert_eq!(
            checked_as(1000, None, text).unwrap().service.run_as,
            RunAs::Invoker,
            "{text}"
        );
    }
    for (text, told) in [
        ("service.user = \"bob\"\n", "as its invoker only"),
        ("service.user = \"nobody-there\"\n", "as its invoker only"),
        ("service.user = \"dynamic\"\n", "as its invoker only"),
        ("service.group = \"bob\"\n", "its invoker's group only"),
        ("resources.shared_memory = \"1Gi\"\n", "needs privilege"),
    ] {
        refused(1000, text, Exit::Usage, told);
    }
}

#[test]
fn a_profile_is_refused_what_it_cannot_hold() {
    for (text, told) in [
        (
            "security = { profile = \"none\", devices = [\"nvidia\"] }\n",
            "means nothing with the profile",
        ),
        (
            "security = { profile = \"none\", capabilities = [\"CAP_NET_ADMIN\"] }\n",
            "means nothing with the profile",
        ),
        ("security.writable_directories = [\"/\"]\n", "not the app's to write to"),
        (
            "security.writable_directories = [\"/proc/x\"]\n",
            "not the app's to write to",
        ),
        (
            "security.writable_directories = [\"x\"]\nservice.user = \"dynamic\"\n",
            "can own no folder /srv/app/x",
        ),
        (
            "security.writable_directories = [\"/var/lib\"]\nservice.user = \"dynamic\"\n",
            "can own no folder /var/lib",
        ),
        ("security.devices = [\"/dev/mapper\"]\n", "is a folder"),
        (
            "security.network = \"none\"\ndependencies.wait_for = [\"tcp://127.0.0.1:1\"]\n",
            "can never hold",
        ),
    ] {
        refused(0, text, Exit::Usage, told);
    }
    refused(
        0,
        "security.writable_directories = [\"run\"]\n",
        Exit::Failed,
        "/srv/app/run is no folder",
    );
    for (text, told) in [
        (
            "security.capabilities = [\"CAP_NET_ADMIN\"]\n",
            "no capabilities to give",
        ),
        (
            "security.network = \"none\"\nservice.pre_start = [[\"./run\"]]\n",
            "without pre_start",
        ),
        (
            "security.network = \"none\"\ndependencies.requires = [\"db\"]\n",
            "waits for nothing",
        ),
        (
            "security.network = \"none\"\nreadiness.tcp = \"127.0.0.1:1\"\n",
            "cannot be asked over one",
        ),
    ] {
        refused(1000, text, Exit::Usage, told);
    }
    checked("security.network = \"none\"\nreadiness.tcp = \"127.0.0.1:1\"\nservice.pre_start = [[\"./run\"]]\n");
}

/// What follows from the rest of the manifest.
#[test]
fn a_profile_leaves_what_the_manifest_shows_is_needed() {
    let needs = |text: &str| checked(text).service.security.needs;
    assert!(!needs("").home && needs("service.environment.PYTHONPATH = \"/opt/a:/home/alice/lib\"\n").home);
    assert!(needs("service.command = [\"./run\", \"/root/model\"]\n").home);
    assert!(needs("requirements.cuda = true\n").gpu && needs("service.environment.CUDA_VISIBLE_DEVICES = \"0\"\n").gpu);
    assert!(needs("dependencies.wait_for = [\"file:///dev/nvidia0\"]\n").gpu);
    assert!(!needs("service.environment.CUDA_VISIBLE_DEVICES = \"-1\"\n").gpu);
    assert!(
        needs("requirements.executables = [\"adb\"]\n").usb && needs("security.devices = [\"/dev/bus/usb\"]\n").usb
    );
    assert!(needs("service.path = [\"/opt/platform-tools\"]\n").usb && !needs("").usb);
    assert!(needs("readiness.tcp = \"127.0.0.1:443\"\n").low_port && !needs("readiness.tcp = \"db:443\"\n").low_port);
    assert!(needs("service.command = [\"./native\"]\n").is_native && !needs("").is_native);
    assert!(!needs("service.command = [\"./native\"]\nservice.pre_start = [[\"./run\"]]\n").is_native);
    assert!(needs("service.user = \"root\"\n").is_root && !needs("").is_root);
    let waiting = checked_as(1000, None, "dependencies.requires = [\"db\"]\n")
        .unwrap()
        .service;
    assert!(waiting.security.needs.home, "the helper lies in the user's home");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (text, told) in [
        (
            "service.path = [\"x\"]\nservice.environment.PATH = \"/bin\"\n",
            "PATH is set here and by service.path",
        ),
        (
            "service.path = [\"x\"]\nlogging = { level = \"x\", level_variable = \"PATH\" }\n",
            "PATH is set here",
        ),
        (
            "logging.level = \"x\"\nservice.environment.LOG_LEVEL = \"y\"\n",
            "LOG_LEVEL is set here and by logging.level",
        ),
        ("logging.level_variable = \"A-B\"\n", "no name of a variable"),
        (
            "service.type = \"oneshot\"\nrestart.policy = \"always\"\n",
            "cannot be restarted always",
        ),
        ("restart = { delay = \"5s\", max_delay = \"4s\" }\n", "is shorter than"),
        ("restart.max_delay = \"4s\"\n", "is shorter than"),
        (
            "readiness = { http = \"http://h/\", tcp = \"h:1\" }\n",
            "one probe only",
        ),
        (
            "readiness = { tcp = \"h:1\", settle = \"3s\" }\n",
            "settle means nothing beside a probe",
        ),
        ("readiness.expect_body = \"x\"\n", "only an http probe"),
        (
            "readiness = { tcp = \"h:1\", expect_status = [200] }\n",
            "only an http probe",
        ),
        (
            "health = { interval = \"1s\" }\n",
            "needs one of http, tcp, command and file",
        ),
        ("health = { http = \"http://h/\", file = \"x\" }\n", "one probe only"),
        (
            "health = { file = \"x\", headers = { A = \"b\" } }\n",
            "only an http probe",
        ),
        (
            "health.file = \"x\"\nreadiness.settle = \"3s\"\n",
            "settle means nothing beside a probe",
        ),
        (
            "health = { file = \"x\", start_period = \"91s\" }\n",
            "longer than service.start_timeout",
        ),
        (
            "service.type = \"oneshot\"\nhealth.file = \"x\"\n",
            "has no health to watch",
        ),
        ("dependencies.wait_for = [\"tcp://h\"]\n", "no address"),
        ("dependencies.wait_for = [\"http://h:0/\"]\n", "no http address"),
        ("dependencies.wait_for = [\"file://x\"]\n", "by its absolute path"),
        ("dependencies.wait_for = [\"exec:\"]\n", "names no program"),
        ("dependencies.wait_for = [\"/dev/x\"]\n", "nothing to wait for"),
        (
            "logging = { destination = \"journal\", file = \"x\" }\n",
            "the journal has no file",
        ),
        ("readiness.tcp = \"tcp://h:1\"\n", "write \"h:1\""),
        ("dependencies.after = [\"a\"]\n", "cannot depend on itself"),
        ("dependencies.wants = [\"a.service\"]\n", "cannot depend on itself"),
        ("dependencies.requires = [\"A b\"]\n", "neither an app nor a unit"),
    ] {
        refused(0, text, Exit::Usage, told);
    }
}

#[test]
fn defaults_follow_from_what_is_written() {
    let service =
        checked("dependencies.requires = [\"db\", \"db.service\", \"x.target\"]\nrestart.delay = \"7s\"\n").service;
    assert_eq!(service.dependencies.requires, ["db.service", "x.target"]);
    assert_eq!(service.restart.max_delay, Duration::from_secs(7));
    let service = checked("service.type = \"oneshot\"\nservice.environment_files = [\"secrets.env\"]\n").service;
    assert_eq!(service.restart.policy, RestartPolicy::Never);
    assert_eq!(service.environment_files, [Path::new("/srv/app/secrets.env")]);
    assert_eq!(service.working_directory, Path::new("/srv/app"));
    let service = checked("readiness.http = \"http://h/\"\n").service;
    let Some(service::Probe::Http { expect_status, .. }) = service.readiness.probe else {
        panic!("an http probe")
    };
    assert_eq!(expect_status, [(200, 399)]);
    let text = "health = { http = \"http://h/\", timeout = \"2s\", expect_status = [302] }\nlogging.file = \"x.log\"\n";
    let service = checked(text).service;
    let health = service.health.unwrap();
    assert_eq!(service.readiness.probe.as_ref(), Some(&health.probe), "asked for both");
    assert_eq!(service.readiness.timeout, Duration::from_secs(2));
    assert_eq!((health.retries, health.interval), (3, Duration::from_secs(10)));
    assert!(
        matches!(
            health.probe,
            service::Probe::Http {
                is_following: false,
                ..
            }
        ),
        "a status that is listed is an answer"
    );
    assert_eq!(service.logging.file.unwrap(), Path::new("/srv/app/x.log"));
    let text =
        "dependencies = { requires = [\"db\", \"pg.service\"], wait_for = [\"exec:./run -q\", \"file:///dev/x\"] }\n";
    let dependencies = checked(text).service.dependencies;
    assert_eq!(dependencies.apps, ["db"], "only apps have a readiness");
    let argv = ["/srv/app/run".to_owned(), "-q".into()].into();
    assert_eq!(dependencies.wait_for[0], service::Probe::Command { argv });
    assert_eq!(dependencies.waits(), Some(Duration::from_mins(2)));
}

#[test]
fn https_is_refused_by_a_build_without_tls() {
    let text = "readiness.http = \"https://h/\"\n";
    if cfg!(feature = "tls") {
        checked(text);
    } else {
        refused(0, text, Exit::Usage, "TLS is not in it");
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    for (text, told) in [
        (
            "service.command = \"./run && echo $HOME\"\n",
            Some("no shell runs the command: \"&&\""),
        ),
        ("service.command = \"./run $HOME\"\n", Some("\"$HOME\"")),
        ("service.command = \"./run a b\"\n", None),
        ("service.command = [\"./run\", \"&&\", \"$HOME\"]\n", None),
        ("restart = { delay = \"2m\", window = \"10m\" }\n", Some("too short")),
        ("health = { file = \"x\", interval = \"1m\" }\n", Some("never given up")),
        (
            "health = { file = \"x\", interval = \"1m\", action = \"none\" }\n",
            None,
        ),
        ("health.file = \"x\"\n", None),
        ("restart = { delay = \"119s\", window = \"10m\" }\n", None),
        (
            "restart = { delay = \"5s\", max_delay = \"5m\", max_attempts = 10 }\n",
            Some("which take 25m15s at least"),
        ),
        (
            "restart = { delay = \"2m\", window = \"10m\", max_attempts = 0 }\n",
            None,
        ),
        (
            "restart = { policy = \"never\", delay = \"2m\", window = \"10m\" }\n",
            None,
        ),
    ] {
        let warnings = checked(text).warnings;
        match told {
            Some(told) => assert!(
                warnings.iter().any(|warning| warning.contains(told)),
                "{text}{warnings:?}"
            ),
            None => assert!(warnings.is_empty(), "{text}{warnings:?}"),
        }
    }
}

#[test]
fn what_cannot_be_carried_unchanged_is_refused() {
    let long = "x".repeat(131_072);
    let lines = format!(
        "[\"./run\", {}]",
        vec![format!("\"{}\"", "x".repeat(60_000)); 5].join(", ")
    );
    for (text, told) in [
        (
            "service.command = [\"./run\", \"\", \"a\\uFFFE\"]\n",
            "noncharacter in an argument",
        ),
        (
            "service.pre_start = [[\"./run\"], [\"./run\", \"\\uFDD0\"]]\n",
            "noncharacter in an argument",
        ),
        ("service.environment.A = \"\\uFFFE\"\n", "noncharacter"),
        ("service.environment.A = \"\\uFDD0\"\n", "noncharacter"),
        ("service.environment.A = \"\\U0010FFFF\"\n", "noncharacter"),
        ("service.command = [\"./a\\\"b\"]\n", "a program's path is refused"),
        ("service.path = [\"a:b\"]\n", "colon"),
        (
            &format!("service.command = [\"./run\"{}]\n", ",\"\"".repeat(200_000)),
            "more words",
        ),
        (
            &format!("app.description = \"{}\"\n", "%".repeat(600_000)),
            "longer than a line",
        ),
        (&format!("logging.level = \"{}\"\n", &long[10..]), "131072 bytes"),
        (&format!("service.environment.A = \"{}\"\n", &long[2..]), "131072 bytes"),
        (&format!("service.command = [\"./run\", \"{long}\"]\n"), "131072 bytes"),
        (&format!("service.command = {lines}\n"), "longer than a line"),
        (
            &format!("readiness.command = [\"./run\", \"{long}\"]\n"),
            "131072 bytes",
        ),
    ] {
        let problems = checked_as(0, None, text).expect_err(told);
        assert_eq!(problems.exit(), Exit::Usage, "{told}");
        assert!(
            problems.list[0].message.contains(told),
            "{told}: {}",
            problems.list[0].message
        );
    }
    checked(&format!("service.environment.A = \"{}\"\n", &long[3..]));
    checked(&format!("service.command = [\"./run\", \"{}\"]\n", &long[1..]));
    // All 66 of them, in each place.
    let planes = (0..=0x10_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    for code in planes.chain(0xfdd0..=0xfdef) {
        let c = format!("\\U{code:08X}");
        for text in [
            format!("service.environment.A = \"a{c}b\"\n"),
            format!("service.command = [\"./run\", \"a{c}b\"]\n"),
            format!("service.pre_start = [[\"./run\", \"a{c}b\"]]\n"),
        ] {
            let problems = checked_as(0, None, &text).expect_err(&text);
            assert_eq!(problems.exit(), Exit::Usage, "{text}");
        }
    }
    let carried = checked("service.environment = { A = \"\\u0001\\n\\t\\u007f é😀 \" }\nservice.command = [\"./run\", \"\\n\\uFFFD\", \"\"]\n").service;
    assert_eq!(carried.environment, [("A".into(), "\u{1}\n\t\u{7f} é😀 ".into())]);
    assert_eq!(carried.command[1..], ["\n\u{fffd}", ""]);
}

#[test]
fn a_manifest_whose_own_path_cannot_be_written_down_is_refused() {
    let folder = PathBuf::from(OsString::from_vec(b"/srv/a\xff".to_vec()));
    let manifest = read(
        &folder.join("app.toml"),
        b"app.name = \"a\"\nservice.command = [\"python3\"]\n",
    )
    .unwrap();
    let problems = check(&manifest, &Wish::default(), &machine(0)).unwrap_err();
    assert!(problems.to_string().contains("is not UTF-8"), "{problems}");
    assert_eq!(problems.exit(), Exit::Usage);
    for folder in ["/srv/a\nb", "/srv/a\\"] {
        let manifest = read(
            &Path::new(folder).join("app.toml"),
            b"app.name = \"a\"\nservice.command = [\"python3\"]\n",
        )
        .unwrap();
        let problems = check(&manifest, &Wish::default(), &machine(0)).unwrap_err();
        assert!(problems.to_string().contains("lost by systemd"), "{problems}");
    }
}
