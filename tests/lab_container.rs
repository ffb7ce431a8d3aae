//! The container of examples/container, for real: built by its recipe, `autoglm-boot run --all` as PID 1 of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use support::{container::Container, home::soon};

const PAGE: &str = "curl -fsS http://127.0.0.1:8765/";
/// Forks twice and leaves the session; its child ends by itself, a grandchild does not listen to SIGTERM.
const FORKS: &str = "#!/bin/sh\necho hello from forks\n\
    (setsid sh -c 'trap \"\" TERM; echo $$ >/tmp/escaped; (sleep 0.2 &); while :; do sleep 1; done' &)\nexec sleep 1000\n";
const OTHER: &str = "[app]\nname = \"forks\"\n[service]\ncommand = [\"/srv/forks/run\"]\nuser = \"app\"\n\
    stop_timeout = \"500ms\"\n[restart]\ndelay = \"100ms\"\n[dependencies]\nrequires = [\"hello\"]\n[readiness]\nsettle = \"100ms\"\n";

fn up(name: &str) -> Container {
    let mut container = Container::built(name, "examples/container/Dockerfile");
    container.start();
    soon("the page is there", || is_well(&container));
    container
}

fn is_well(container: &Container) -> bool {
    container.health() == 0 && container.run(PAGE).stdout == "hello\n"
}

/// The app's process, by its number inside.
fn pid(container: &Container, app: &str) -> u32 {
    let status = container.run(&format!("autoglm-boot status --json {app}")).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
    status["apps"][0]["pid"]
        .as_u64()
        .unwrap_or_default()
        .try_into()
        .unwrap()
}

#[test]
fn the_recipe_answers_and_its_apps_are_kept_until_it_is_told_to_end() {
    let mut container = up("container-kept");
    assert_eq!(container.run("cat /proc/1/comm").stdout, "autoglm-boot\n");
    let hello = pid(&container, "hello");
    let owner = container.run(&format!("stat -c %U /proc/{hello}")).stdout;
    assert_eq!(owner, "hello\n", "it is not root's");
    // What is installed beside it becomes one of those that PID 1 keeps.
    container.write("/srv/forks/run", FORKS);
    container.write("/srv/forks/app.toml", OTHER);
    container.run("autoglm-boot install -m /srv/forks/app.toml").expect(0);
    let keeper = |app: &str| {
        let of = |pid: u32| {
            container
                .run(&format!("ps -o ppid= -p {pid}"))
                .stdout
                .trim()
                .parse::<u32>()
        };
        let supervisor = of(pid(&container, app)).unwrap();
        (supervisor, of(supervisor).unwrap())
    };
    assert_eq!((keeper("hello").1, keeper("forks").1), (1, 1));

    container.run(&format!("kill -KILL {hello}")).expect(0);
    soon("it is started again", || {
        pid(&container, "hello") != hello && is_well(&container)
    });
    let hello = pid(&container, "hello");
    container.run(&format!("kill -KILL {}", keeper("hello").0)).expect(0);
    soon("it is kept again", || {
        ![0, hello].contains(&pid(&container, "hello")) && is_well(&container)
    });
    container.run("autoglm-boot restart hello").expect(0);
    container.run("autoglm-boot stop forks").expect(0);
    container.run("kill -0 $(cat /tmp/escaped)").expect(1);
    container.run("autoglm-boot start forks").expect(0);

    let (code, after) = container.end("-TERM");
    assert_eq!(code, Some(0), "{}", container.said());
    assert!(after < Duration::from_secs(8), "{after:?}");
    assert_eq!(
        container.said().matches("forks | hello from forks\n").count(),
        2,
        "{}",
        container.said()
    );
}

#[test]
fn what_nobody_waits_for_is_waited_for_by_it() {
    let container = up("container-orphans");
    container.write("/srv/forks/run", FORKS);
    container.write("/srv/forks/app.toml", OTHER);
    container.run("autoglm-boot install -m /srv/forks/app.toml").expect(0);
    // Orphans of another command inside; a hundred of them.
    container
        .run("for i in $(seq 100); do (sleep 1 >/dev/null 2>&1 &); done")
        .expect(0);
    let orphans = || {
        container
            .run("ps --ppid 1 -o comm= | grep -c sleep")
            .stdout
            .trim()
            .to_owned()
    };
    assert_ne!(orphans(), "0", "they are its children");
    // And those of an app whose supervisor is killed.
    let forks = pid(&container, "forks");
    container
        .run(&format!("kill -KILL $(ps -o ppid= -p {forks})"))
        .expect(0);
    soon("it is kept again", || ![0, forks].contains(&pid(&container, "forks")));
    soon("orphans have ended", || orphans() == "0");
    soon("nothing is left of those that have ended", || {
        container
            .run("ps -e -o stat= -o comm=")
            .expect(0)
            .stdout
            .lines()
            .all(|line| !line.starts_with('Z'))
    });
    assert_eq!(
        pid(&container, "hello"),
        container
            .run("pgrep -f '^[^ ]*python3'")
            .stdout
            .trim()
            .parse::<u32>()
            .unwrap(),
        "it runs once"
    );
}

#[test]
fn one_that_was_killed_starts_again_over_what_it_left() {
    let mut container = up("container-killed");
    let stale = [
        "/run/autoglm-boot/control/hello",
        "/run/autoglm-boot/hello.json",
        "/run/autoglm-boot/hello.lock",
    ];
    for _ in 0..2 {
        container.end("-KILL");
        assert!(
            stale.iter().all(|path| container.path(path).exists()),
            "sockets and state are left"
        );
        container.start();
        soon("the page is there", || is_well(&container));
        assert_eq!(container.run("pgrep -fc '^[^ ]*python3'").stdout, "1\n");
    }
    container.run("autoglm-boot restart hello").expect(0);
    container.run("autoglm-boot status hello").expect(0);
    // Ended in good order, it starts again as well; and with its last app it ends itself.
    assert_eq!(container.end("-TERM").0, Some(0), "{}", container.said());
    container.start();
    soon("the page is there", || is_well(&container));
    container.run("autoglm-boot stop hello"); // which may end with it
    assert_eq!(container.ended(), Some(0));
}

#[test]
fn status_answers_at_once_whatever_does_not_answer() {
    let container = up("container-mute");
    // A name server, and a server of pages, that take every question and answer none.
    container.write(
        "/srv/mute.py",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 53))\n\
         t = socket.create_server(('127.0.0.1', 8000))\nwhile True: s.recv(9000)\n",
    );
    container
        .run(
            "echo nameserver 127.0.0.1 >/etc/resolv.conf; echo 127.0.0.1 localhost >/etc/hosts; \
                   python3 /srv/mute.py </dev/null >/dev/null 2>&1 &",
        )
        .expect(0);
    let apps = [
        ("page", "http = \"http://127.0.0.1:8000/\""),
        ("name", "http = \"http://nowhere.example/\""),
        ("command", "command = [\"sleep\", \"1000\"]"),
    ];
    for (name, probe) in apps {
        let manifest = format!(
            "[app]\nname = \"{name}\"\n[service]\ncommand = [\"sleep\", \"1000\"]\nuser = \"hello\"\n\
             [health]\n{probe}\ntimeout = \"60s\"\ninterval = \"1s\"\n"
        );
        container.write(&format!("/srv/{name}/app.toml"), &manifest);
        container
            .run(&format!("autoglm-boot install --no-wait -m /srv/{name}/app.toml"))
            .expect(0);
    }
    std::thread::sleep(Duration::from_secs(2));
    for args in ["page", "name", "command", ""] {
        let script = format!(
            "import subprocess, time\ndef once():\n    t = time.perf_counter()\n    \
             code = subprocess.run('autoglm-boot status {args}'.split(), capture_output=True).returncode\n    \
             assert code == 7, code\n    return time.perf_counter() - t\nprint(min(once() for _ in range(9)))"
        );
        container.write("/srv/time.py", &script);
        let least: f64 = container
            .run("python3 /srv/time.py")
            .expect(0)
            .stdout
            .trim()
            .parse()
            .unwrap();
        assert!(least < 0.1, "{args}: {least} s");
    }
    // Nor does a stop wait for an answer.
    let (mut container, start) = (container, std::time::Instant::now());
    assert_eq!(container.end("-TERM").0, Some(0), "{}", container.said());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
