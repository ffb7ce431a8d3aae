//! The scenarios of health under the embedded supervisor: in user scope, in folders of their own.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::path::PathBuf;

use support::{
    home::{Home, free_port, kill},
    scenarios::{Hand, run_all},
};

impl Hand for Home {
    fn run(&self, args: &[&str]) -> (i32, String) {
        if let ["kill", pid] = args {
            kill(pid.parse().unwrap(), "-KILL");
            return (0, String::new());
        }
        self.ask(args)
    }

    fn folder(&self, name: &str) -> (PathBuf, PathBuf) {
        let folder = self.path(name);
        std::fs::create_dir(&folder).unwrap();
        (folder.clone(), folder)
    }

    fn port(&self) -> u16 {
        free_port()
    }

    fn log(&self, name: &str) -> String {
        self.ask(&["logs", name, "-n", "200"]).1
    }
}

#[test]
fn every_scenario_holds_under_the_supervisor() {
    run_all(&Home::new());
}
