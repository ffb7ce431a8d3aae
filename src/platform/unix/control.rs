//! A supervisor's control socket: one line asks, one line answers. Its folder can be entered by its owner only.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::Path,
    time::Duration,
};

/// Serves the socket on a thread of its own. `answer` may take its time; a client that goes away is no error. The lock that
/// the caller holds says that a socket left here is nobody's.
pub fn listen(path: &Path, answer: impl Fn(&str) -> String + Send + 'static) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = serve(&stream, &answer); // as above
        }
    })?;
    Ok(())
}

fn serve(mut stream: &UnixStream, answer: &impl Fn(&str) -> String) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(1);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    writeln!(stream, "{}", answer(line.trim()))
}

/// Asks a supervisor; its answer.
pub fn tell(path: &Path, word: &str, patience: Duration) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    writeln!(stream, "{word}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Listens for `READY=1` (`sd_notify(3)`). Anybody may say it: the app may run as somebody else.
pub fn listen_for_ready(path: &Path, mut ready: impl FnMut() + Send + 'static) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
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
