#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]
mod support;
use support::lab::Lab;
/// Runs the script /tmp/zz.sh inside, waits.
#[test]
fn zz() {
    let lab = Lab::with_program("zz");
    lab.write("/srv/zz.sh", &std::fs::read_to_string("/tmp/zz.sh").unwrap(), 0o755);
    let out = lab.run("bash /srv/zz.sh 2>&1");
    println!("{}\nexit {}", out.stdout, out.code);
}
