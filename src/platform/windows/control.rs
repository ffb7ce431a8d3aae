//! A supervisor's control pipe: one line asks, what follows answers. Only its owner and the administrators
//! can open it, and nobody from another machine.

use std::{
    cell::Cell,
    ffi::OsString,
    fs, io,
    io::{BufRead as _, BufReader, Read, Write},
    os::windows::{
        fs::OpenOptionsExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    },
    path::Path,
    ptr::null_mut,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use windows_sys::Win32::{
    Foundation::{ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE},
    Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_DUPLEX, SECURITY_IDENTIFICATION},
    System::Pipes::{
        ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
        PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, PeekNamedPipe,
    },
};

use super::{access::Access, succeeded, unsupported, wide};
use crate::platform::{Told, tell};

/// Whether a pipe is a file, by which it is found.
pub const HAS_SOCKET_FILES: bool = false;

/// The pipe of a place in the file system: a name of its own, as long as the system takes.
fn name(path: &Path) -> OsString {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let letters: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!(r"\\.\pipe\autoglm-boot-{letters}").into()
}

/// Serves the pipe on a thread of its own, and each client on another: an answer may take its time, and a client that goes
/// away is no error. A pipe of that name that is there already is somebody else's: an error.
pub fn listen(
    path: &Path,
    answer: impl Fn(&str, &mut Client) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    let name = name(path);
    let mut next = instance(&name, FILE_FLAG_FIRST_PIPE_INSTANCE)?;
    let answer = Arc::new(answer);
    std::thread::Builder::new().name("control".into()).spawn(move || {
        loop {
            let is_connected = connect(&next);
            // The next one is there before this one is let go of: the name is never free for somebody else.
            let Ok(following) = instance(&name, 0) else { return };
            let client = std::mem::replace(&mut next, following);
            if is_connected {
                let answer = Arc::clone(&answer);
                // One that says nothing must not keep the others from being heard.
                let _ = std::thread::Builder::new()
                    .name("client".into())
                    .spawn(move || serve(client, &*answer)); // without a thread there is no answer: the client sees that
            }
        }
    })?;
    Ok(())
}

#[allow(unsafe_code)]
fn instance(name: &OsString, first: u32) -> io::Result<OwnedHandle> {
    const ROOM: u32 = 4096;
    let access = Access::own(false)?;
    let attributes = access.attributes();
    let name = wide(name)?;
    // SAFETY: the name ends with a zero, the attributes live; the handle it returns is ours.
    unsafe {
        let handle = CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | first,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_UNLIMITED_INSTANCES,
            ROOM,
            ROOM,
            0,
            &raw const attributes,
        );
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}

/// Waits for a client; one that came before the wait is one too.
#[allow(unsafe_code)]
fn connect(pipe: &OwnedHandle) -> bool {
    // SAFETY: the handle is open, and nothing is done beside it.
    match succeeded(unsafe { ConnectNamedPipe(pipe.as_raw_handle(), null_mut()) }) {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == i32::try_from(ERROR_PIPE_CONNECTED).ok(),
    }
}

fn serve(client: OwnedHandle, answer: &impl Fn(&str, &mut Client) -> io::Result<()>) -> io::Result<()> {
    const LONGEST: u64 = 4096;
    let mut client = Client(fs::File::from(client));
    let mut line = String::new();
    BufReader::new(io::Read::take(&client.0, LONGEST)).read_line(&mut line)?;
    answer(line.trim(), &mut client)?;
    client.0.sync_all() // until it was read
}

/// Whoever asked.
#[derive(Debug)]
pub struct Client(fs::File);

impl Client {
    /// Whether it went away.
    pub fn has_gone(&mut self) -> bool {
        waiting(&self.0).is_err()
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

/// Whether somebody listens at a pipe.
pub fn is_served(path: &Path) -> bool {
    open(&name(path), Duration::ZERO).is_ok()
}

/// What a supervisor says, as it comes.
pub type Answer = BufReader<Stream>;

/// Asks a supervisor; its answer, as it comes.
pub fn ask_control(path: &Path, words: &str, patience: Option<Duration>) -> io::Result<Answer> {
    const BUSY: Duration = Duration::from_secs(5);
    let mut pipe = open(&name(path), patience.unwrap_or(BUSY))?;
    writeln!(pipe, "{words}")?;
    Ok(BufReader::new(Stream {
        pipe,
        patience: Cell::new(patience),
    }))
}

/// A pipe that is read with a time limit, which it does not have of its own.
#[derive(Debug)]
pub struct Stream {
    pipe: fs::File,
    patience: Cell<Option<Duration>>,
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        const LOOK: Duration = Duration::from_millis(5);
        let until = self.patience.get().map(|patience| Instant::now() + patience);
        loop {
            match waiting(&self.pipe) {
                Ok(0) => {}
                Ok(_) => return self.pipe.read(room),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
                Err(error) => return Err(error),
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// How many bytes can be read at once; an error once the other end is gone.
#[allow(unsafe_code)]
fn waiting(pipe: &fs::File) -> io::Result<u32> {
    let mut bytes = 0;
    // SAFETY: the handle is open; nothing is read, and the number is ours.
    succeeded(unsafe {
        PeekNamedPipe(
            pipe.as_raw_handle(),
            null_mut(),
            0,
            null_mut(),
            &raw mut bytes,
            null_mut(),
        )
    })?;
    Ok(bytes)
}

/// How long a supervisor may say nothing.
pub fn be_patient(answer: &Answer, patience: Duration) -> io::Result<()> {
    answer.get_ref().patience.set(Some(patience));
    Ok(())
}

/// Opens it; whoever serves it may learn who we are, but not act as us.
fn open(name: &OsString, patience: Duration) -> io::Result<fs::File> {
    let until = Instant::now() + patience;
    loop {
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .security_qos_flags(SECURITY_IDENTIFICATION)
            .open(name);
        match opened {
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_PIPE_BUSY).ok() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// What `sd_notify(3)` says, and where: here a pipe, which only our own processes know of.
const READY: &str = "READY=1";
const NOTIFY: &str = "NOTIFY_SOCKET";

/// Listens for one of ours that says it is ready.
pub fn listen_for_ready(path: &Path, ready: impl FnMut() + Send + 'static) -> io::Result<()> {
    let ready = Mutex::new(ready);
    listen(path, move |words, _| {
        if words == READY {
            (ready.lock().unwrap_or_else(PoisonError::into_inner))(); // it sends a word: nothing can be half done
        }
        Ok(())
    })
}

/// Tells whoever keeps us, if anybody does and wants to know: that is one of ours, and it asks for nothing more than this.
pub fn notify(told: Told) {
    const SOON: Duration = Duration::from_secs(1);
    if let Some(path) = std::env::var_os(NOTIFY).filter(|_| told == Told::Ready) {
        let _ = tell(Path::new(&path), READY, SOON); // who does not listen needs not know
    }
}

/// The journal is systemd's.
pub fn to_journal(_: &[(&str, &str)]) -> io::Result<()> {
    Err(unsupported("the journal of systemd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_word_is_asked_and_answered_and_a_silent_client_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        assert!(tell(&path, "stop", PATIENCE).is_err(), "nobody is there");
        listen(&path, |word, client| writeln!(client, "heard {word}")).expect("nobody else is there");
        assert_eq!(tell(&path, "stop", PATIENCE).expect("it answers"), "heard stop");
        let silent = open(&name(&path), PATIENCE).expect("it is open to us");
        for _ in 0..3 {
            assert_eq!(tell(&path, "中文", PATIENCE).expect("it answers"), "heard 中文");
        }
        drop(silent);
        assert!(
            tell(&folder.path().join("other"), "stop", PATIENCE).is_err(),
            "it is another's name"
        );
    }

    #[test]
    #[ignore = "Wine 8 lets a second one in; on Windows it is run"]
    fn a_name_that_is_taken_is_not_shared() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        listen(&path, |_, _| Ok(())).expect("nobody else is there");
        let second = listen(&path, |_, _| Ok(())).expect_err("somebody is there");
        assert_eq!(second.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn who_does_not_answer_in_time_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow");
        listen(&path, |_, _| {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        })
        .expect("nobody else is there");
        let gave_up = tell(&path, "stop", Duration::from_millis(200)).expect_err("it is slow");
        assert_eq!(gave_up.kind(), io::ErrorKind::TimedOut);
    }
}
