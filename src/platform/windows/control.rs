//! How a supervisor is asked by its control pipe, and what is said by such a pipe else.

use std::{
    cell::Cell,
    ffi::{OsStr, OsString},
    fs,
    io::{self, BufReader, Read, Write as _},
    os::windows::{fs::OpenOptionsExt as _, io::AsRawHandle as _},
    path::Path,
    ptr::null_mut,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::ERROR_PIPE_BUSY, Storage::FileSystem::SECURITY_IDENTIFICATION, System::Pipes::PeekNamedPipe,
};

use super::{Listening, listen, succeeded, unsupported};
use crate::platform::{Told, open_read, tell};

/// As many letters has what is told of a pipe's name.
const LETTERS: usize = 32;

/// The pipe that is called so.
pub(super) fn pipe_of(letters: &str) -> OsString {
    format!(r"\\.\pipe\autoglm-boot-{letters}").into()
}

/// The pipe of a place in the file system. Whoever may write there must not send us anywhere else: only letters are taken.
pub(super) fn pipe_at(path: &Path) -> io::Result<OsString> {
    let mut letters = String::new();
    let most = LETTERS as u64 + 1;
    open_read(path)?.take(most).read_to_string(&mut letters)?;
    let is_name = letters.len() == LETTERS && letters.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unfit = || io::Error::new(io::ErrorKind::InvalidData, "it does not name a control pipe");
    if is_name { Ok(pipe_of(&letters)) } else { Err(unfit()) }
}

/// Whether somebody listens at a pipe.
pub fn is_served(path: &Path) -> bool {
    const MOMENT: Duration = Duration::from_millis(200);
    match open(path, MOMENT) {
        Err(error) => error.raw_os_error() == i32::try_from(ERROR_PIPE_BUSY).ok(),
        Ok(_) => true,
    }
}

/// What a supervisor says, as it comes.
pub type Answer = BufReader<Stream>;

/// Asks a supervisor; its answer, as it comes.
pub fn ask_control(path: &Path, words: &str, patience: Option<Duration>) -> io::Result<Answer> {
    const BUSY: Duration = Duration::from_secs(5);
    let mut pipe = open(path, patience.unwrap_or(BUSY))?;
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
pub(super) fn waiting(pipe: &fs::File) -> io::Result<u32> {
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

/// Opens it as soon as somebody listens for us; what names it may be written at this moment.
fn open(path: &Path, patience: Duration) -> io::Result<fs::File> {
    const AGAIN: Duration = Duration::from_millis(10);
    let until = Instant::now() + patience;
    let is_passing = |error: &io::Error| {
        error.raw_os_error() == i32::try_from(ERROR_PIPE_BUSY).ok() || error.kind() == io::ErrorKind::InvalidData
    };
    loop {
        match pipe_at(path).and_then(|pipe| open_pipe(&pipe)) {
            Err(error) if is_passing(&error) && Instant::now() < until => std::thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

/// Whoever serves it may learn who we are, but not act as us.
pub(super) fn open_pipe(pipe: &OsStr) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .security_qos_flags(SECURITY_IDENTIFICATION)
        .open(pipe)
}

/// What `sd_notify(3)` says, and where: here a pipe, which only our own processes know of.
const READY: &str = "READY=1";
const NOTIFY: &str = "NOTIFY_SOCKET";

/// Listens for one of ours that says it is ready.
pub fn listen_for_ready(
    path: &Path,
    ready: impl FnMut() + Send + 'static,
    trouble: impl Fn(Option<&io::Error>) + Send + 'static,
) -> io::Result<Listening> {
    let ready = Mutex::new(ready);
    let answer = move |words: &str, _: &mut _| {
        if words == READY {
            (ready.lock().unwrap_or_else(PoisonError::into_inner))(); // it sends a word: nothing can be half done
        }
        Ok(())
    };
    listen(path, answer, trouble)
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
