//! A supervisor's control socket: one line asks, what follows answers. Its folder can be entered by its owner only.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Write},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;

use crate::platform::Told;

/// Serves the socket on a thread of its own, and each client on another: an answer may take its time, and a client that goes
/// away is no error. The lock that the caller holds says that a socket left here is nobody's.
pub fn listen(
    path: &Path,
    answer: impl Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    remove(path)?;
    let listener = UnixListener::bind(path)?;
    let answer = Arc::new(answer);
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            let _ = std::thread::Builder::new()
                .name("client".into())
                .spawn(move || serve(stream, &*answer)); // without a thread there is no answer: the client sees that
        }
    })?;
    Ok(())
}

fn serve(mut stream: UnixStream, answer: &impl Fn(&str, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const LONGEST: u64 = 4096;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
    answer(line.trim(), &mut stream)
}

/// Asks a supervisor; the first line of its answer.
pub fn tell(path: &Path, words: &str, patience: Duration) -> io::Result<String> {
    let mut answer = String::new();
    ask(path, words, Some(patience))?.read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Asks a supervisor; its answer, as it comes.
pub fn ask_control(path: &Path, words: &str) -> io::Result<BufReader<UnixStream>> {
    ask(path, words, None)
}

fn ask(path: &Path, words: &str, patience: Option<Duration>) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(patience)?;
    writeln!(stream, "{words}")?;
    Ok(BufReader::new(stream))
}

/// Listens for `READY=1` (`sd_notify(3)`). Anybody may say it: the app may run as somebody else.
pub fn listen_for_ready(path: &Path, mut ready: impl FnMut() + Send + 'static) -> io::Result<()> {
    remove(path)?;
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
    Ok(())
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

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
