//! A supervisor's control socket: one line asks, what follows answers. Its folder can be entered by its owner only.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Write},
    os::{
        fd::AsRawFd as _,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;

use crate::platform::Told;

/// A socket that is served until we end, or become another program.
#[derive(Debug)]
pub struct Listening;

/// Serves the socket on a thread of its own, and each client on another: an answer may take its time, and a client that goes
/// away is no error. The lock that the caller holds says that a socket left here is nobody's. Once it is there, it is there.
pub fn listen(
    path: &Path,
    answer: impl Fn(&str, &mut Client) -> io::Result<()> + Send + Sync + 'static,
    _trouble: impl Fn(Option<&io::Error>) + Send + 'static,
) -> io::Result<Listening> {
    /// Where nobody can be let in for now, as without a free descriptor.
    const PAUSE: Duration = Duration::from_millis(100);
    super::remove(path)?;
    let listener = by_folder(path, |path| UnixListener::bind(path))?;
    let answer = Arc::new(answer);
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let answer = Arc::clone(&answer);
            let _ = std::thread::Builder::new()
                .name("client".into())
                .spawn(move || serve(stream, &*answer)); // without a thread there is no answer: the client sees that
        }
    })?;
    Ok(Listening)
}

fn serve(stream: UnixStream, answer: &impl Fn(&str, &mut Client) -> io::Result<()>) -> io::Result<()> {
    const QUESTION: Duration = Duration::from_secs(1);
    const LONGEST: u64 = 4096;
    stream.set_read_timeout(Some(QUESTION))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
    answer(line.trim(), &mut Client(stream))
}

/// Whoever asked.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Whether it went away: it has nothing more to say, and so it is only quiet otherwise.
    pub fn has_gone(&mut self) -> bool {
        let moment = Some(Duration::from_millis(1));
        self.0.set_read_timeout(moment).is_err() || matches!(self.0.read(&mut [0]), Ok(0))
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether somebody listens at a socket.
pub fn is_served(path: &Path) -> bool {
    by_folder(path, |path| UnixStream::connect(path)).is_ok()
}

/// A path of more than 107 bytes is none to a socket (unix(7)): by way of its open folder it is short.
fn by_folder<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return act(path);
    };
    let folder = fs::File::open(folder)?;
    let open = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    act(&open.join(name))
}

/// What a supervisor says, as it comes.
pub type Answer = BufReader<UnixStream>;

/// Asks a supervisor; its answer, as it comes.
pub fn ask_control(path: &Path, words: &str, patience: Option<Duration>) -> io::Result<Answer> {
    let mut stream = by_folder(path, |path| UnixStream::connect(path))?;
    stream.set_read_timeout(patience)?;
    writeln!(stream, "{words}")?;
    Ok(BufReader::new(stream))
}

/// How long a supervisor may say nothing, before that is an error.
pub fn be_patient(answer: &Answer, patience: Duration) -> io::Result<()> {
    answer.get_ref().set_read_timeout(Some(patience))
}

/// Listens for `READY=1` (`sd_notify(3)`). Anybody may say it: the app may run as somebody else.
pub fn listen_for_ready(
    path: &Path,
    mut ready: impl FnMut() + Send + 'static,
    _trouble: impl Fn(Option<&io::Error>) + Send + 'static,
) -> io::Result<Listening> {
    super::remove(path)?;
    let socket = UnixDatagram::bind(path)?;
    super::set_mode(path, 0o666)?;
    std::thread::Builder::new().name("notify".into()).spawn(move || {
        let mut message = [0; 4096];
        while let Ok(length) = socket.recv(&mut message) {
            if message[..length]
                .split(|&byte| byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                ready();
            }
        }
    })?;
    Ok(Listening)
}

/// Tells whoever keeps us as a service, if anybody does and wants to know.
pub fn notify(told: Told) {
    let state = match told {
        Told::Ready => NotifyState::Ready,
        Told::Stopping => NotifyState::Stopping,
        Told::Alive => NotifyState::Watchdog,
    };
    let _ = sd_notify::notify(&[state]); // who does not listen needs not know
}

/// Sends an entry to the journal, field by field (systemd's "Native Journal Protocol").
pub fn to_journal(fields: &[(&str, &str)]) -> io::Result<()> {
    const SOCKET: &str = "/run/systemd/journal/socket";
    let mut entry = Vec::new();
    for (name, value) in fields {
        entry.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    }
    UnixDatagram::unbound()?.send_to(&entry, SOCKET).map(drop)
}
