//! Health: one question to an app and its answer ([`ask`]), and what the answers of one run mean ([`state`]).

use std::{
    ffi::OsString,
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use crate::{
    platform::{self, Identity},
    service::{Probe, Service},
};

mod http;
pub mod pulse;
pub mod state;
pub mod wait;

/// As whom a command is asked: never as root for somebody else.
#[derive(Debug, Clone)]
pub enum Asker {
    /// As the app's main process: with its identity, folder, environment and namespaces.
    Process(Main),
    /// As an app that has not started yet.
    Being(Box<Being>),
    /// As we are: whoever keeps the app runs us as it.
    Ourselves,
}

/// An app's main process, and what it was made as, whatever it has made of itself since.
#[derive(Debug, Clone, Default)]
pub struct Main {
    /// Its number.
    pub pid: Option<u32>,
    /// The numbers of the user and the group it was started as, where that is known.
    pub owner: Option<(u32, u32)>,
    /// Variables it was given, as far as they are known.
    pub environment: Arc<[(OsString, OsString)]>,
}

/// Why an app is not taken for well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// What it answered, or that it did not.
    Answer(String),
    /// It could not be asked, which says nothing about it.
    NotAsked(String),
}

impl Wrong {
    /// The error of a question: nothing is said about the app where what lacks is ours, or where its process has gone.
    fn of(what: &str, error: &io::Error) -> Self {
        let why = format!("{what}: {error}");
        if platform::is_want(error) {
            Self::NotAsked(why)
        } else {
            Self::Answer(why)
        }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(why) => f.write_str(why),
            Self::NotAsked(why) => write!(f, "it could not be asked: {why}"),
        }
    }
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
pub fn ask(probe: &Probe, timeout: Duration, asker: &Asker) -> Result<(), Wrong> {
    let main = match asker {
        Asker::Process(main) => main.pid.map(|pid| (pid, main)),
        Asker::Being(_) | Asker::Ourselves => None,
    };
    match (probe, main) {
        (Probe::Http { .. } | Probe::Tcp { .. }, Some((pid, _))) => {
            platform::in_network_of(pid, || over_network(probe, timeout))
                .unwrap_or_else(|error| Err(Wrong::NotAsked(format!("its own network cannot be entered: {error}"))))
        }
        (Probe::Http { .. } | Probe::Tcp { .. }, None) => over_network(probe, timeout),
        (Probe::Command { argv }, _) => command(argv, timeout, asker),
        (Probe::File { path }, Some((pid, main))) => file(path, || platform::is_there_for(pid, main, path)),
        (Probe::File { path }, None) => file(path, || Ok(path.exists())),
    }
}

/// The variables that the manifest gives, where a command may need them.
pub fn given(service: &Service) -> Arc<[(OsString, OsString)]> {
    let is_command = |probe: &Probe| matches!(probe, Probe::Command { .. });
    let health = service.health.as_ref().map(|health| &health.probe);
    if !service.readiness.probe.iter().chain(health).any(is_command) {
        return Arc::default();
    }
    let level = service.logging.level.iter().map(|(level, variable)| (variable, level));
    let variables = service.environment.iter().map(|(name, value)| (name, value));
    variables
        .chain(level)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn over_network(probe: &Probe, timeout: Duration) -> Result<(), Wrong> {
    match probe {
        Probe::Tcp { address } => tcp(address, timeout),
        _ => http::ask(probe, timeout),
    }
}

fn file(path: &Path, is_there: impl FnOnce() -> io::Result<bool>) -> Result<(), Wrong> {
    match is_there() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Wrong::Answer(format!("{} is not there", path.display()))),
        Err(error) => Err(Wrong::of(&path.display().to_string(), &error)),
    }
}

fn tcp(address: &str, timeout: Duration) -> Result<(), Wrong> {
    let failed = |error: io::Error| Wrong::of(address, &error);
    let mut last = Wrong::Answer(format!("{address}: no such address"));
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

fn command(argv: &[String], timeout: Duration, asker: &Asker) -> Result<(), Wrong> {
    let no = |why: &str| Wrong::Answer(why.to_owned());
    let (program, words) = argv.split_first().ok_or_else(|| no("there is no command"))?;
    let mut command = platform::command(program);
    command.args(words);
    match asker {
        Asker::Process(main) => {
            let pid = main.pid.ok_or_else(|| no("the app has no main process to ask as"))?;
            platform::like_process(&mut command, pid, main).map_err(|error| Wrong::of(program, &error))?;
        }
        Asker::Being(being) => platform::like_being(&mut command, being),
        Asker::Ourselves => {}
    }
    let until = Instant::now() + timeout;
    match platform::answer(&mut command, &|| {
        Instant::now() >= until || platform::signal().is_some()
    }) {
        Ok((0, _)) => Ok(()),
        Ok((code, said)) => {
            let last = said.lines().last().unwrap_or_default().trim();
            let colon = if last.is_empty() { "" } else { ": " };
            Err(Wrong::Answer(format!("{program} exited {code}{colon}{last}")))
        }
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(Wrong::of(program, &error)),
        Err(_) if Instant::now() >= until => Err(Wrong::Answer(format!("{program} did not answer within {timeout:?}"))),
        Err(error) => Err(Wrong::NotAsked(format!("{program}: {error}"))),
    }
}
