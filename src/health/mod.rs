//! Probes: one question to the app, one answer.

use std::{
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use crate::{platform, service::Probe};

/// No more of a body is read: what is looked for must stand at its beginning.
const BODY_LIMIT: u64 = 1024 * 1024;

/// Asks once. An error says what the answer was.
///
/// `pid` is the app's main process: a command probe borrows its identity, folder and environment.
pub fn ask(probe: &Probe, timeout: Duration, pid: Option<u32>) -> Result<(), String> {
    match probe {
        Probe::Http {
            url,
            expect_status,
            expect_body,
        } => http(url, expect_status, expect_body.as_deref(), timeout),
        Probe::Tcp { address } => tcp(address, timeout),
        Probe::Command { argv } => command(argv, timeout, pid),
    }
}

fn http(url: &str, expect_status: &[(u16, u16)], expect_body: Option<&str>, timeout: Duration) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0) // 3xx is an answer; following one would ask something else
        .proxy(None)
        .user_agent(concat!("autoglm-boot/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| format!("{url}: {error}"))?;
    let status = response.status().as_u16();
    if !expect_status.iter().any(|&(low, high)| (low..=high).contains(&status)) {
        return Err(format!("{url} answered {status}"));
    }
    let Some(expected) = expect_body else { return Ok(()) };
    let body = response
        .body_mut()
        .with_config()
        .limit(BODY_LIMIT)
        .lossy_utf8(true)
        .read_to_string()
        .map_err(|error| format!("{url}: {error}"))?;
    if body.contains(expected) {
        Ok(())
    } else {
        Err(format!("{url} answered {status} without {expected:?} in its body"))
    }
}

fn tcp(address: &str, timeout: Duration) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut last = format!("{address}: no such address");
    let until = Instant::now() + timeout;
    for socket in address.to_socket_addrs().map_err(failed)? {
        let left = until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&socket, left) {
            Ok(_) => return Ok(()),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

/// Runs as the app: never as root for it.
fn command(argv: &[String], timeout: Duration, pid: Option<u32>) -> Result<(), String> {
    let (Some((program, words)), Some(pid)) = (argv.split_first(), pid) else {
        return Err("the app has no main process to ask as".into());
    };
    let mut asked = platform::command(program);
    asked.args(words);
    platform::like_process(&mut asked, pid).map_err(|error| format!("{program}: {error}"))?;
    let until = Instant::now() + timeout;
    match platform::wait(&mut asked, &|| Instant::now() >= until || platform::signal().is_some()) {
        Ok(output) if output.is_ok() => Ok(()),
        Ok(output) => {
            let said = format!("{}{}", output.stdout, output.stderr);
            let last = said.lines().last().unwrap_or_default().trim();
            Err(format!(
                "{program} exited {}{}{last}",
                output.code,
                if last.is_empty() { "" } else { ": " }
            ))
        }
        Err(_) if Instant::now() >= until => Err(format!("{program} did not answer within {timeout:?}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
