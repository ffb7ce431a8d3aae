//! Health: one question to an app and its answer ([`ask`]), and what the answers of one run mean ([`state`]).

use std::{
    ffi::OsString,
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    platform::{self, Identity},
    service::Probe,
};

mod http;
pub mod pulse;
pub mod state;
pub mod wait;

/// As whom a command is asked: never as root for somebody else.
#[derive(Debug, Clone)]
pub enum Asker {
    /// As the app's main process: with its identity, folder, environment and namespaces.
    Process(Option<u32>),
    /// As an app that has not started yet.
    Being(Box<Being>),
    /// As we are: whoever keeps the app runs us as it.
    Ourselves,
}

/// Whom a process runs as, where, and in which environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Being {
    /// `None` for whom we run as.
    pub identity: Option<Identity>,
    /// The folder it starts in.
    pub folder: PathBuf,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Asks once. An error says what the answer was.
pub fn ask(probe: &Probe, timeout: Duration, asker: &Asker) -> Result<(), String> {
    if let (Asker::Process(Some(pid)), Probe::Http { .. } | Probe::Tcp { .. }) = (asker, probe) {
        return platform::in_network_of(*pid, || ask_here(probe, timeout, asker))
            .unwrap_or_else(|error| Err(format!("cannot look into the app's own network: {error}")));
    }
    ask_here(probe, timeout, asker)
}

fn ask_here(probe: &Probe, timeout: Duration, asker: &Asker) -> Result<(), String> {
    match probe {
        Probe::Http { .. } => http::ask(probe, timeout),
        Probe::Tcp { address } => tcp(address, timeout),
        Probe::Command { argv } => command(argv, timeout, asker),
        Probe::File { path } => match std::path::absolute(path).map(|path| path.exists()) {
            Ok(true) => Ok(()),
            _ => Err(format!("{} is not there", path.display())),
        },
    }
}

fn tcp(address: &str, timeout: Duration) -> Result<(), String> {
    let failed = |error: io::Error| format!("{address}: {error}");
    let mut last = format!("{address}: no such address");
    let until = Instant::now() + timeout;
    for socket in resolve(address, timeout).map_err(failed)? {
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

/// The addresses of a host and port. An address needs no looking up; a look-up that hangs (getaddrinfo(3) has no limit of its
/// own) is left to itself.
fn resolve(address: &str, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(socket) = address.parse() {
        return Ok(vec![socket]);
    }
    let (sender, receiver) = mpsc::channel();
    let asked = address.to_owned();
    std::thread::Builder::new().name("look-up".into()).spawn(move || {
        let found = asked.to_socket_addrs().map(Iterator::collect);
        let _ = sender.send(found); // nobody may wait for it any more
    })?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the name was not looked up in time");
    receiver.recv_timeout(timeout).map_err(late)?
}

fn command(argv: &[String], timeout: Duration, asker: &Asker) -> Result<(), String> {
    let (program, words) = argv.split_first().ok_or("there is no command")?;
    let mut command = platform::command(program);
    command.args(words);
    match asker {
        Asker::Process(None) => return Err("the app has no main process to ask as".into()),
        Asker::Process(Some(pid)) => {
            platform::like_process(&mut command, *pid).map_err(|error| format!("{program}: {error}"))?;
        }
        Asker::Being(being) => platform::like_being(&mut command, being),
        Asker::Ourselves => {}
    }
    let until = Instant::now() + timeout;
    match platform::wait(&mut command, &|| {
        Instant::now() >= until || platform::signal().is_some()
    }) {
        Ok(output) if output.is_ok() => Ok(()),
        Ok(output) => {
            let said = format!("{}{}", output.stdout, output.stderr);
            let last = said.lines().last().unwrap_or_default().trim();
            let colon = if last.is_empty() { "" } else { ": " };
            Err(format!("{program} exited {}{colon}{last}", output.code))
        }
        Err(_) if Instant::now() >= until => Err(format!("{program} did not answer within {timeout:?}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
