//! The serving end of a supervisor's control pipe: one line asks, what follows answers. Only its owner and the administrators can
//! open it, and nobody from another machine. Its name cannot be told before it is there, so that nobody takes it first: it is
//! written into a file, by which those who ask find it. Longer than 300 lines: a third of them are its tests.

use std::{
    ffi::OsString,
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufRead as _, BufReader, Write},
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    path::{Path, PathBuf},
    ptr::null_mut,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{ERROR_NO_DATA, ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE},
    Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_DUPLEX},
    System::Pipes::{
        ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
        PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
    },
};

use super::{
    access::Access,
    control::{open_pipe, pipe_of, waiting},
    open_private, succeeded, wide,
};

/// Between two looks whether there is still something to wait for.
const LOOK: Duration = Duration::from_millis(20);

/// A pipe that is served until this is dropped: then nobody is heard any more, and its name is free.
#[derive(Debug)]
pub struct Listening {
    is_over: Arc<AtomicBool>,
    pipe: Pipe,
    thread: Option<JoinHandle<()>>,
}

/// The name under which it is served at the moment.
type Pipe = Arc<Mutex<Option<OsString>>>;

/// Serves a pipe on a thread of its own, and each client on another: an answer may take its time, and a client that goes away is
/// no error. What cannot be served for now is tried again and again, and told (`None`: it is served again).
pub fn listen(
    path: &Path,
    answer: impl Fn(&str, &mut Client) -> io::Result<()> + Send + Sync + 'static,
    trouble: impl Fn(Option<&io::Error>) + Send + 'static,
) -> io::Result<Listening> {
    let (is_over, pipe) = (Arc::new(AtomicBool::new(false)), Pipe::default());
    let server = Server {
        path: path.into(),
        is_over: Arc::clone(&is_over),
        pipe: Arc::clone(&pipe),
        answer: Arc::new(answer),
    };
    let first = server.begin(); // by the time that we return it is there
    let thread = std::thread::Builder::new().name("control".into());
    let thread = thread.spawn(move || server.serve(first, trouble))?;
    Ok(Listening {
        is_over,
        pipe,
        thread: Some(thread),
    })
}

impl Drop for Listening {
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        self.is_over.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && start.elapsed() < PATIENCE {
            // It waits for a client: then we are one.
            let pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).clone(); // a name is whole whoever panicked
            let _caller = pipe.map(|pipe| open_pipe(&pipe));
            std::thread::sleep(LOOK / 10);
        }
    }
}

struct Server<A> {
    path: PathBuf,
    is_over: Arc<AtomicBool>,
    pipe: Pipe,
    answer: Arc<A>,
}

impl<A: Fn(&str, &mut Client) -> io::Result<()> + Send + Sync + 'static> Server<A> {
    fn serve(&self, first: io::Result<OwnedHandle>, trouble: impl Fn(Option<&io::Error>)) {
        const FIRST_PAUSE: Duration = Duration::from_millis(100);
        const LONGEST_PAUSE: Duration = Duration::from_secs(30);
        let (mut next, mut pause, mut has_told) = (first, FIRST_PAUSE, false);
        while !self.is_over() {
            next = match next {
                Ok(pipe) => {
                    if std::mem::take(&mut has_told) {
                        trouble(None);
                    }
                    self.client(pipe).inspect(|_| pause = FIRST_PAUSE)
                }
                Err(error) => {
                    if !std::mem::replace(&mut has_told, true) {
                        trouble(Some(&error));
                    }
                    self.wait(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.begin()
                }
            };
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn wait(&self, pause: Duration) {
        let start = Instant::now();
        while start.elapsed() < pause && !self.is_over() {
            std::thread::sleep(LOOK);
        }
    }

    /// A pipe of a new name, which is told in the file. Whatever is there of an earlier one does not matter.
    fn begin(&self) -> io::Result<OwnedHandle> {
        // It is keyed by random numbers of the system's: nobody guesses what it makes even of nothing.
        let word = || RandomState::new().hash_one(());
        let letters = format!("{:016x}{:016x}", word(), word());
        let name = pipe_of(&letters);
        let first = instance(&name, FILE_FLAG_FIRST_PIPE_INSTANCE)?;
        let mut file = open_private(&self.path)?;
        file.set_len(0)?;
        file.write_all(letters.as_bytes())?;
        *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
        Ok(first)
    }

    /// Waits for a client and has it served; returns where the next one is waited for.
    fn client(&self, pipe: OwnedHandle) -> io::Result<OwnedHandle> {
        let is_connected = connect(&pipe)?;
        // The next one is there before this one is let go of: the name is never free for somebody else.
        let name = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let following = instance(&name.unwrap_or_default(), 0);
        if is_connected && !self.is_over() {
            let answer = Arc::clone(&self.answer);
            // One that says nothing must not keep the others from being heard.
            let _ = std::thread::Builder::new()
                .name("client".into())
                .spawn(move || converse(pipe, &*answer)); // without a thread there is no answer: the client sees that
        }
        following
    }
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

/// Waits for a client; one that came before the wait is one too. Whether it is still there.
#[allow(unsafe_code)]
fn connect(pipe: &OwnedHandle) -> io::Result<bool> {
    // SAFETY: the handle is open, and nothing is done beside it.
    match succeeded(unsafe { ConnectNamedPipe(pipe.as_raw_handle(), null_mut()) }) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_PIPE_CONNECTED) => Ok(true),
            Some(ERROR_NO_DATA) => Ok(false),
            _ => Err(error),
        },
    }
}

fn converse(client: OwnedHandle, answer: &impl Fn(&str, &mut Client) -> io::Result<()>) -> io::Result<()> {
    const LONGEST: u64 = 4096;
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut client = Client(fs::File::from(client));
    let start = Instant::now();
    while waiting(&client.0)? == 0 {
        if start.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into()); // it asks for nothing
        }
        std::thread::sleep(LOOK / 10);
    }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{
        super::control::{ask_control, is_served, pipe_at},
        *,
    };
    use crate::platform::tell;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn quiet(_: Option<&io::Error>) {}

    #[test]
    fn a_word_is_asked_and_answered_and_a_silent_client_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        assert!(tell(&path, "stop", PATIENCE).is_err(), "nobody is there");
        let heard = |word: &str, client: &mut Client| writeln!(client, "heard {word}");
        let _listening = listen(&path, heard, quiet).expect("there is a thread");
        assert_eq!(tell(&path, "stop", PATIENCE).expect("it answers"), "heard stop");
        let silent = open_pipe(&pipe_at(&path).expect("it is named")).expect("it is open to us");
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
        let name = pipe_of("0123456789abcdef0123456789abcdef");
        let _first = instance(&name, FILE_FLAG_FIRST_PIPE_INSTANCE).expect("nobody else is there");
        let second = instance(&name, FILE_FLAG_FIRST_PIPE_INSTANCE).expect_err("somebody is there");
        assert_eq!(second.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_is_given_back_can_be_served_anew_and_its_name_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        let mut names = Vec::new();
        for number in 0..3 {
            let answer = move |_: &str, client: &mut Client| writeln!(client, "{number}");
            let listening = listen(&path, answer, quiet).expect("there is a thread");
            assert_eq!(tell(&path, "who", PATIENCE).expect("it answers"), number.to_string());
            let name = pipe_at(&path).expect("it is named");
            drop(listening);
            assert!(!is_served(&path), "nobody is heard any more");
            drop(instance(&name, FILE_FLAG_FIRST_PIPE_INSTANCE).expect("nobody has it"));
            assert!(!names.contains(&name), "nobody could have told it: {name:?}");
            names.push(name);
        }
    }

    #[test]
    fn what_cannot_be_served_is_told_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("later").join("notes"); // there is no such folder
        let (sender, told) = mpsc::channel();
        let trouble = move |error: Option<&io::Error>| {
            let _ = sender.send(error.map(io::Error::kind));
        };
        let heard = |word: &str, client: &mut Client| writeln!(client, "heard {word}");
        let _listening = listen(&path, heard, trouble).expect("there is a thread");
        let first = told.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(first, Some(io::ErrorKind::NotFound));
        assert!(tell(&path, "stop", PATIENCE).is_err(), "nobody can be heard");
        fs::create_dir(folder.path().join("later")).expect("it is writable");
        assert_eq!(told.recv_timeout(PATIENCE).expect("it is told"), None);
        assert_eq!(tell(&path, "stop", PATIENCE).expect("it answers"), "heard stop");
    }

    #[test]
    fn who_does_not_answer_in_time_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow");
        let slow = |_: &str, _: &mut Client| {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        };
        let _listening = listen(&path, slow, quiet).expect("there is a thread");
        let gave_up = tell(&path, "stop", Duration::from_millis(200)).expect_err("it is slow");
        assert_eq!(gave_up.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_names_no_pipe_leads_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        for text in ["", r"..\\elsewhere\pipe\x", "0123", &"0".repeat(33), &"/".repeat(32)] {
            fs::write(&path, text).expect("it is writable");
            let error = ask_control(&path, "stop", Some(Duration::from_millis(50))).expect_err("it is no name");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }
}
