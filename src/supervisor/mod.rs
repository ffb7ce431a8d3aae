//! The supervisor, where no service manager keeps apps: one process keeps one app. It starts it, watches its health, restarts
//! it with back-off and a budget, keeps its output, ends its whole process tree, and dies only together with it. A [`crew`] keeps
//! several in the foreground, a supervisor for each.
//!
//! What it decides is [`state`] and [`crate::health::state`], two pure machines; the keeper is the loop that lets things happen to
//! them and does what they say. How the app is, it writes into a small file for whoever asks; what it is told comes by a control
//! socket.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    exit::{Exit, Failure},
    health::Wrong,
    platform::{self, Caught},
    receipt::Store,
    service::{Service, StartType},
    system::{Lock, System},
};

pub mod client;
mod control;
pub mod crew;
pub mod environment;
mod keeper;
pub mod log;
pub mod state;
pub mod tail;
mod traces;
mod vitals;

use keeper::Keeper;
use log::{Listeners, Sink};
use state::{Event, Outcome};

/// Every process of an app carries this variable, its value being the app's status file: what a killed supervisor left
/// behind is found by it.
pub(crate) const MARK: &str = "AUTOGLM_BOOT_STATUS";
/// Between two looks at a process tree that is to end.
const LOOK: Duration = Duration::from_millis(20);
/// How long the end waits for those who read the output.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the supervisors of a scope keep what they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What they need while they run.
    pub runtime: PathBuf,
    /// What their apps say.
    pub logs: PathBuf,
    /// Whether each app has folders of its own in both: on Windows those are for the account that it runs as.
    pub is_parted: bool,
    /// The machine's records, where these places are a user's own: its instances of what the machine has for whoever logs on.
    pub records: Option<Store>,
}

/// Where a supervisor keeps what it needs while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// Beside which others.
    pub site: Site,
    /// The folder of the lock and the status.
    pub folder: PathBuf,
    /// Held as long as the supervisor lives.
    pub lock: PathBuf,
    /// How the app is: a [`crate::backend::Live`] as JSON.
    pub status: PathBuf,
    /// The control socket; on Windows the name of a pipe, and no file.
    pub socket: PathBuf,
    /// The app's output.
    pub log: PathBuf,
}

impl Site {
    /// Where the supervisor of an app of this name keeps its things.
    pub fn rooms(&self, app: &str) -> Rooms {
        let (folder, logs, socket) = if self.is_parted {
            let socket = self.runtime.join(format!("{app}.control"));
            (self.runtime.join(app), self.logs.join(app), socket)
        } else {
            let socket = self.runtime.join("control").join(app);
            (self.runtime.clone(), self.logs.clone(), socket)
        };
        Rooms {
            site: self.clone(),
            lock: folder.join(format!("{app}.lock")),
            status: folder.join(format!("{app}.json")),
            log: logs.join(format!("{app}.log")),
            socket,
            folder,
        }
    }
}

impl Rooms {
    /// Those of another app of the same scope.
    pub fn of_other(&self, app: &str) -> Self {
        self.site.rooms(app)
    }
}

/// How an app's output is kept, and what it inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the background: output into files, a clean environment.
    Background,
    /// In the foreground, as in a container: output passed through, our own environment below the manifest's.
    Foreground,
    /// In the foreground, as one of several: the app's name is put in front of each line.
    Among,
}

/// What happens to a supervisor.
enum News {
    /// Children may have ended.
    Child,
    /// A signal asks us to end.
    Terminate,
    /// A signal is for the app.
    Pass(&'static str),
    /// A client asks for it.
    Asked(Event),
    /// A client asks for a new start, with what is installed now.
    Renew,
    /// The app says that it is ready (`sd_notify(3)`).
    Ready,
    /// The answer to a question of the run of this number.
    Answered(u64, Result<(), Wrong>),
    /// Its output cannot be written, and why; or it can again.
    Output(Option<String>),
    /// What the start of this number waited for holds, or not in time.
    Awaited(u64, Result<(), String>),
}

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As its app did.
    Over(Outcome),
    /// Its app was stopped, to be started anew with what is installed now.
    Renewed,
}

/// Keeps the app until it is over. The end is the app's; an error is the supervisor's own.
pub fn run(service: &Service, rooms: &Rooms, stage: Stage, system: &dyn System) -> Result<Ended, Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Failure::new(Exit::Failed, format!("{what}: {error}"))
    };
    if stage == Stage::Background {
        platform::stand_alone();
    }
    let lock = take_lock(&service.name, rooms, system)?;
    platform::adopt_orphans().map_err(failed("cannot adopt orphans"))?;
    end_leftovers(rooms);
    let (sender, news) = mpsc::channel();
    let to_signals = sender.clone();
    platform::watch_signals(stage == Stage::Foreground, move |caught| {
        let news = match caught {
            Caught::Child => News::Child,
            Caught::End => News::Terminate,
            Caught::Pass(signal) => News::Pass(signal),
        };
        let _ = to_signals.send(news); // at the end nobody listens
    })
    .map_err(failed("cannot watch signals"))?;
    if system.interrupted().is_some() {
        let _ = sender.send(News::Terminate); // it came before we watched
    }
    let listeners = Arc::new(Listeners::default());
    let control = control::Control::new(stage, &rooms.status, Arc::clone(&listeners), sender.clone());
    platform::listen(&rooms.socket, move |words, client| control.answer(words, client))
        .map_err(failed(&format!("cannot listen at {}", rooms.socket.display())))?;
    let notify = rooms.status.with_extension("notify");
    if service.start_type == StartType::Notify {
        let sender = sender.clone();
        platform::listen_for_ready(&notify, move || drop(sender.send(News::Ready)))
            .map_err(failed(&format!("cannot listen at {}", notify.display())))?;
    }
    if let Some(record) = rooms.record(&service.name).filter(|_| stage == Stage::Background) {
        traces::end_without(record, sender.clone()).map_err(failed("cannot watch its record"))?;
    }
    let (reader, writer) = std::io::pipe().map_err(failed("cannot make a pipe"))?;
    let sink = sink(service, rooms, stage, Arc::clone(&listeners))?;
    let limit = service.logging.rate_limit;
    let to_output = sender.clone();
    let tell = move |trouble: Option<&str>| drop(to_output.send(News::Output(trouble.map(str::to_owned))));
    let copier = std::thread::spawn(move || log::copy(reader, sink, limit, tell));
    let mut keeper = Keeper::new(service, rooms, stage, system, writer.into(), sender);
    let ended = keeper.keep(&news);
    drop(keeper); // and with it the writing end of the output
    await_end(&copier);
    listeners.end(FAREWELL);
    let _ = system.remove(&notify); // a socket that nobody serves does no harm
    let record = rooms.record(&service.name).filter(|_| stage == Stage::Background);
    let is_uninstalled = record.is_some_and(|record| traces::is_gone(system, &record));
    leave(rooms, ended, stage, system, lock);
    if is_uninstalled {
        rooms.clear(&service.name, system);
    }
    Ok(ended)
}

/// Gives what the app said last a moment to be written: where nobody reads it, nobody waits for it.
fn await_end(copier: &JoinHandle<()>) {
    let start = Instant::now();
    while !copier.is_finished() && start.elapsed() < FAREWELL {
        std::thread::sleep(LOOK / 10);
    }
}

fn sink(service: &Service, rooms: &Rooms, stage: Stage, listeners: Arc<Listeners>) -> Result<Sink, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::new(Exit::Failed, format!("cannot open {what}: {error}"));
    let name = match stage {
        Stage::Background => {
            let file = log::Rotated::open(&rooms.log, &service.logging);
            return file
                .map(Sink::File)
                .map_err(|error| failed(&rooms.log.display().to_string(), error));
        }
        Stage::Foreground => None,
        Stage::Among => Some(service.name.as_str()),
    };
    let through = log::Through::new(name, listeners);
    through
        .map(Sink::Through)
        .map_err(|error| failed("standard output", error))
}

/// Removes what was only needed while it ran; how it ended stays told. What cannot be removed does no harm.
fn leave(rooms: &Rooms, ended: Ended, stage: Stage, system: &dyn System, lock: Lock) {
    let _ = system.remove(&rooms.socket);
    if ended != Ended::Over(Outcome::Stopped) {
        return;
    }
    let _ = system.remove(&rooms.status);
    let _ = system.remove(&rooms.lock);
    drop(lock); // on Windows a file is there as long as somebody holds it
    let mut folders: Vec<_> = rooms.socket.parent().into_iter().collect();
    folders.push(&rooms.folder);
    if rooms.site.is_parted {
        folders = vec![&rooms.folder, &rooms.site.runtime];
        folders.splice(..0, rooms.log.parent().into_iter().chain([rooms.site.logs.as_path()]));
        folders.extend(rooms.site.runtime.parent());
    }
    if rooms.site.is_parted && stage == Stage::Background {
        return; // they are the installation's: whoever it runs as may not make them again
    }
    for folder in folders {
        let _ = system.remove_folder(folder);
    }
}

/// The supervisor's lock; whoever looks whether it is held, holds it for a moment.
fn take_lock(name: &str, rooms: &Rooms, system: &dyn System) -> Result<Lock, Failure> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        match system.lock(&rooms.lock) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) => system.sleep(LOOK),
            Err(error) => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("cannot lock {}: {error}", rooms.lock.display()),
                ));
            }
        }
    }
    Err(runs_already(name))
}

/// An app is kept once.
pub fn runs_already(name: &str) -> Failure {
    Failure::new(Exit::Locked, format!("{name} runs already, under another supervisor"))
        .repair(format!("autoglm-boot stop {name}"))
}

/// Ends what a killed supervisor of this app left behind.
fn end_leftovers(rooms: &Rooms) {
    let mark = rooms.status.to_string_lossy();
    for _ in 0..100 {
        let left = platform::marked(MARK, &mark);
        if left.is_empty() {
            return;
        }
        platform::send("SIGKILL", &left);
        std::thread::sleep(LOOK);
    }
}

/// Makes the folders that a supervisor needs; only their owner can enter that of the control sockets, also where it is there.
pub fn make_folders(rooms: &Rooms, stage: Stage, system: &dyn System) -> Result<(), Failure> {
    let failed = |folder: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot make {}: {error}", folder.display()))
    };
    let log = rooms.log.parent().filter(|_| stage == Stage::Background);
    let sockets = rooms.socket.parent().filter(|_| !rooms.site.is_parted);
    let folders = [
        Some((rooms.folder.as_path(), 0o755)),
        sockets.map(|path| (path, 0o700)),
        log.map(|path| (path, 0o755)),
    ];
    for (folder, mode) in folders.into_iter().flatten() {
        for missing in crate::session::missing_folders(system, folder) {
            match system.make_folder(&missing, mode) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(&missing, error));
                }
                _ => {}
            }
        }
    }
    let Some(control) = sockets else {
        return Ok(()); // pipes have no folder
    };
    platform::set_mode(control, 0o700).map_err(|error| failed(control, error))
}
