//! Limits, in a lab whose limits bite.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use support::{
    lab::{Lab, Setup},
    repair::{carry_out, first_finding},
};

/// A server that does what the address says: takes memory, forks for ever, computes for two seconds.
const HUNGRY: &str = r#"
import http.server, os, sys, time
held = []
def memory(): held.append(bytearray(300 << 20))
def fork():
    children = 0
    try:
        while children < 500:
            if os.fork() == 0: time.sleep(1000); os._exit(0)
            children += 1
    except OSError: pass
    return children
def burn():
    end = time.monotonic() + 2
    while time.monotonic() < end: pass
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = globals().get(self.path[1:], lambda: "well")()
        self.send_response(200); self.end_headers(); self.wfile.write(str(found).encode())
    def log_message(self, *words): pass
if len(sys.argv) > 2: globals()[sys.argv[2]]()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"#;

fn lab(name: &str) -> Lab {
    let setup = Setup {
        has_limits: true,
        ..Setup::default()
    };
    let lab = Lab::with_program_and(name, setup);
    lab.write("/srv/hungry.py", HUNGRY, 0o644);
    lab
}

fn app(lab: &Lab, name: &str, port: u16, rest: &str) -> String {
    let manifest = format!(
        "app.name = \"{name}\"\nservice.user = \"app\"\nservice.working_directory = \"/srv\"\nservice.command = [\"python3\", \"/srv/hungry.py\", \"{port}\"]\n\
         readiness.http = \"http://127.0.0.1:{port}/\"\nrestart.delay = \"1s\"\n{rest}"
    );
    let file = format!("/srv/{name}.toml");
    lab.write(&file, &manifest, 0o644);
    file
}

/// That they do not bite would make every test below pass.
#[track_caller]
fn limits_bite(lab: &Lab) {
    let eat = "python3 -c 'x = bytearray(200 << 20)'";
    lab.run(&format!("systemd-run -q --wait -p MemoryMax=1G {eat}"))
        .expect(0);
    assert_ne!(
        lab.run(&format!("systemd-run -q --wait -p MemoryMax=64M {eat}")).code,
        0,
        "MemoryMax has no effect here"
    );
    let fork = "sh -c 'for n in 1 2 3 4 5 6 7 8; do sleep 5 & done'";
    lab.run(&format!("systemd-run -q --wait -p TasksMax=64 {fork}"))
        .expect(0);
    assert_ne!(
        lab.run(&format!("systemd-run -q --wait -p TasksMax=4 {fork}")).code,
        0,
        "TasksMax has no effect here"
    );
}

#[test]
fn a_memory_hog_is_stopped_at_its_limit_a_fork_bomb_at_its_tasks_and_the_others_live() {
    let lab = lab("limits");
    limits_bite(&lab);
    let hog = app(
        &lab,
        "hog",
        8501,
        "resources.memory = \"128Mi\"\nresources.cpu = \"250m\"\n",
    );
    let bomb = app(&lab, "bomb", 8502, "resources.tasks = 24\n");
    let other = app(
        &lab,
        "other",
        8503,
        "resources.open_files = 300\nresources.shared_memory = \"64Mi\"\n",
    );
    lab.run(&format!("autoglm-boot install -m {hog} -m {bomb} -m {other}"))
        .expect(0);
    let other_pid = lab.run("systemctl show -P MainPID other").stdout;

    let status = lab.run("autoglm-boot status hog").expect(0).stdout;
    assert!(
        status.contains(" of 128 MiB") && status.contains("0.25 cores at most"),
        "{status}"
    );
    let status = lab.run("autoglm-boot status bomb --json").expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["apps"][0]["tasks_limit"], 24, "{status}");
    assert!(status["apps"][0]["tasks"].as_u64().unwrap() >= 1, "{status}");

    lab.run("nsenter -m -t $(systemctl show -P MainPID other) sh -c 'head -c 20M /dev/zero >/dev/shm/x'")
        .expect(0);
    let status = lab.run("autoglm-boot status other").expect(0).stdout;
    assert!(
        status.contains(" of 300 open files, 20 of 64 MiB of shared memory"),
        "{status}"
    );
    // Who may not look into the process is told nothing of these.
    let status = lab
        .run("runuser -u nobody -- autoglm-boot status --system other")
        .expect(0)
        .stdout;
    assert!(status.contains(" tasks") && !status.contains("open files"), "{status}");

    // A quarter of a core: two seconds of work take half a second of it. (Where the control groups are those of old, as in
    // this lab, systemd does not tell the time: it is the process's own.)
    let cpu = || {
        let ticks = lab
            .run("awk '{print $14 + $15}' /proc/$(systemctl show -P MainPID hog)/stat")
            .stdout;
        ticks.trim().parse::<u64>().unwrap() * 10
    };
    let before = cpu();
    lab.run("curl -s --max-time 20 http://127.0.0.1:8501/burn").expect(0);
    let used = cpu() - before;
    assert!((200..1200).contains(&used), "{used} ms of CPU in 2 s");

    assert_ne!(
        lab.run("curl -s --max-time 20 http://127.0.0.1:8501/memory").code,
        0,
        "it is ended while it answers"
    );
    lab.run("until journalctl -u hog | grep -q 'status=9/KILL'; do sleep 0.1; done")
        .expect(0);
    let forked = lab
        .run("curl -s --max-time 20 http://127.0.0.1:8502/fork")
        .expect(0)
        .stdout;
    let forked: u32 = forked.parse().unwrap();
    assert!((5..24).contains(&forked), "{forked}");
    assert!(
        lab.run("systemctl show -P TasksCurrent bomb")
            .stdout
            .trim()
            .parse::<u32>()
            .unwrap()
            <= 24
    );

    lab.run("curl -s http://127.0.0.1:8503/ | grep -x well").expect(0);
    assert_eq!(lab.run("systemctl show -P MainPID other").stdout, other_pid);
    assert_eq!(lab.run("systemctl show -P NRestarts other").stdout, "0\n");
    lab.run("until curl -s http://127.0.0.1:8501/; do sleep 0.2; done")
        .expect(0); // it was started again
}

#[test]
fn doctor_names_the_limit_that_was_too_low_and_repairs_it() {
    let lab = lab("limits-doctor");
    limits_bite(&lab);
    for (name, port, what, rest, id) in [
        ("hog", 8511, "memory", "resources.memory = \"128Mi\"\n", "out-of-memory"),
        ("bomb", 8512, "threads", "resources.tasks = 8\n", "too-many-tasks"),
    ] {
        let file = app(&lab, name, port, rest);
        let threads = HUNGRY.replace("held = []", "held = []\nimport threading\ndef threads():\n    for n in range(16): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()");
        lab.write("/srv/hungry.py", &threads, 0o644);
        lab.run(&format!("sed -i 's/\"{port}\"]/\"{port}\", \"{what}\"]/' {file}"))
            .expect(0);
        let failed = lab.run(&format!("autoglm-boot install -m {file}")).expect(1);
        let (found, repairs) = first_finding(&failed.stderr).unwrap();
        assert_eq!(found, id, "{}", failed.stderr);
        let told = lab.run(&format!("autoglm-boot doctor -m {file}")).expect(1).stdout;
        assert_eq!(first_finding(&told).unwrap().0, id, "{told}");
        assert!(repairs.iter().any(|repair| carry_out(&lab, repair)), "{repairs:?}");
        lab.run(&format!("autoglm-boot install -m {file}")).expect(0);
        assert_eq!(
            lab.run(&format!("autoglm-boot doctor {name}")).expect(0).stdout,
            format!("{name}: nothing found\n")
        );
    }
}
