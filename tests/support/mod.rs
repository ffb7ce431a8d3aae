//! What several tests need.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "support of tests, not an interface")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests"
)]

pub mod cases;
pub mod container;
pub mod faulty;
pub mod home;
pub mod lab;
pub mod machine;
pub mod recorded;
pub mod repair;
pub mod scenarios;
pub mod table;

/// What could not be tested here, and why: told loudly, and counted by tests/run.
pub fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    let line = format!("SKIPPED {what}: {why}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("AUTOGLM_BOOT_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
