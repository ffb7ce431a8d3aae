//! Speed and memory beside the floor, in one run: a real systemd, the release build, and `speed.py` inside that measures;
//! `supervisor.py` measures the supervisor on this machine, beside the peers that are on PATH. `cargo bench` prints (`cargo bench
//! -- many` only that part: `start_up`, `install`, `many`, `watched`, `supervisor`) the tables of README's last section. It asserts nothing: what is fast is read, not tested.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

use support::lab::{Lab, binaries};

fn main() {
    let (host, inside) = binaries();
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    assert!(
        Path::new("/usr/bin/time").exists(),
        "GNU time is needed: apt-get install time"
    );
    let part = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    if matches!(part.as_str(), "" | "supervisor") {
        let script = benches.join("supervisor.py");
        let program = host.join("autoglm-boot");
        let status = std::process::Command::new("python3")
            .arg(script)
            .arg(program)
            .status()
            .unwrap();
        assert!(status.success());
    }
    if part == "supervisor" {
        return;
    }
    let lab = Lab::up(
        "speed",
        &[
            format!("{}:{inside}", host.display()),
            format!("{}:/opt/benches", benches.display()),
            "/usr/bin/time:/opt/time".into(),
        ],
    );
    lab.run("ln -s /opt/bin/autoglm-boot /usr/local/bin/").expect(0);
    let out = lab.run(&format!("python3 /opt/benches/speed.py {part}")).expect(0);
    println!("{}", out.stdout);
}
