//! The scenarios of health under the embedded supervisor: in user scope, in folders of their own.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
};

use support::scenarios::{Hand, run_all};

struct Home(tempfile::TempDir);

impl Hand for Home {
    fn run(&self, args: &[&str]) -> (i32, String) {
        if let ["kill", pid] = args {
            Command::new("kill").args(["-KILL", pid]).status().unwrap();
            return (0, String::new());
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoglm-boot"));
        command
            .args(args)
            .arg("--user")
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_RUNTIME_DIR", self.0.path().join("run"))
            .env("XDG_STATE_HOME", self.0.path().join("state"))
            .stdin(Stdio::null());
        if args[0] == "install" && std::path::Path::new("/run/systemd/system").exists() {
            command.args(["--backend", "embedded"]);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn folder(&self, name: &str) -> (PathBuf, PathBuf) {
        let folder = self.0.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        (folder.clone(), folder)
    }

    fn port(&self) -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn log(&self, name: &str) -> String {
        self.run(&["logs", name, "-n", "200"]).1
    }
}

#[test]
fn every_scenario_holds_under_the_supervisor() {
    let home = Home(tempfile::Builder::new().prefix("a b 中文").tempdir().unwrap());
    std::fs::create_dir(home.0.path().join("run")).unwrap();
    run_all(&home);
}
