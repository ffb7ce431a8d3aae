//! Health on a real systemd: the scenarios, with the watcher.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

use support::{
    lab::Lab,
    scenarios::{Hand, run_all},
};

struct Machine(Lab, AtomicU16);

impl Hand for Machine {
    fn run(&self, args: &[&str]) -> (i32, String) {
        let words: Vec<_> = match args {
            ["kill", pid] => vec!["kill", "-KILL", pid],
            args => [&["autoglm-boot"], args].concat(),
        };
        let out = self.0.run_argv(&words);
        (out.code, out.stdout + &out.stderr)
    }

    fn folder(&self, name: &str) -> (PathBuf, PathBuf) {
        let inside = PathBuf::from("/srv").join(name);
        self.0
            .run(&format!("mkdir -p {0} && chown app:app {0}", inside.display()))
            .expect(0);
        (self.0.path(inside.to_str().unwrap()), inside)
    }

    fn port(&self) -> u16 {
        self.1.fetch_add(1, Ordering::Relaxed)
    }

    fn log(&self, name: &str) -> String {
        self.0
            .run(&format!("journalctl --sync; journalctl -u {name} --no-pager"))
            .stdout
    }
}

#[test]
fn every_scenario_holds_under_systemd() {
    let machine = Machine(Lab::with_program("health"), AtomicU16::new(9000));
    run_all(&machine);
    assert_eq!(
        machine.0.run("ls /var/lib/autoglm-boot /run/autoglm-boot-watch").stdout,
        ""
    );
}
