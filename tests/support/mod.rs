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
pub mod scenarios;
pub mod table;
