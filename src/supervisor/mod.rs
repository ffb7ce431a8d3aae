//! The supervisor, where no service manager keeps apps: one process keeps one app. It starts it, watches its health, restarts
//! it with back-off and a budget, keeps its output, ends its whole process tree, and dies only together with it. A [`crew`] keeps
//! several in the foreground, a supervisor for each.
//!
//! What it decides is [`state`] and [`crate::health::state`], two pure machines; the keeper is the loop that lets things happen to
//! them and does what they say. How the app is, it writes into a small file for whoever asks; what it is told comes by a control
//! socket.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    exit::{Exit, Failure},
    health::Wrong,
    platform::{self, Caught, Client, Listening},
    service::{Service, StartType},
    system::{Lock, System},
};

pub mod client;
mod control;
pub mod crew;
pub mod environment;
mod keeper;
pub mod log;
mod rooms;
pub mod state;
pub mod tail;
mod traces;
mod vitals;

use keeper::Keeper;
use log::{Listeners, Sink};
pub use rooms::{Rooms, Site, make_folders};
use state::{Event, Outcome};

/// Every process of an app carries this variable, its value being the app's status file: what a killed supervisor left
/// behind is found by it.
pub(crate) const MARK: &str = "AUTOGLM_BOOT_STATUS";
/// Between two looks at a process tree that is to end.
const LOOK: Duration = Duration::from_millis(20);
/// How long the end waits for those who read the output.
const FAREWELL: Duration = Duration::from_secs(1);

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
    /// Nobody can tell us anything for now, and why; or somebody can again.
    Hearing(Option<String>),
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
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::new(Exit::Failed, format!("{what}: {error}"));
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
    let kept = keep(service, rooms, stage, system, (sender, &news));
    let mut ended = match kept {
        Ok(ended) => ended,
        Err(failure) => {
            leave(rooms, Ended::Over(Outcome::Stopped), stage, system, lock);
            return Err(failure);
        }
    };
    let is_stop = |news| matches!(news, News::Terminate | News::Asked(Event::Stop));
    if ended == Ended::Renewed && (system.interrupted().is_some() || news.try_iter().any(is_stop)) {
        ended = Ended::Over(Outcome::Stopped); // it came a moment too late for the loop
    }
    let _ = system.remove(&rooms.notify()); // a socket that nobody serves does no harm
    leave(rooms, ended, stage, system, lock);
    if let Some(record) = rooms.record().filter(|_| stage == Stage::Background) {
        traces::clear_without(&record, rooms, system);
    }
    Ok(ended)
}

/// The same, from the time when it is known that nobody else keeps it.
fn keep(
    service: &Service,
    rooms: &Rooms,
    stage: Stage,
    system: &dyn System,
    (sender, news): (mpsc::Sender<News>, &mpsc::Receiver<News>),
) -> Result<Ended, Failure> {
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::new(Exit::Failed, format!("{what}: {error}"));
    let listeners = Arc::new(Listeners::default());
    let _hearing = listen(service, rooms, stage, &listeners, &sender)?;
    if let Some(record) = rooms.record().filter(|_| stage == Stage::Background) {
        traces::end_without(record, sender.clone()).map_err(failed("cannot watch its record"))?;
    }
    let (reader, writer) = std::io::pipe().map_err(failed("cannot make a pipe"))?;
    let sink = sink(service, rooms, stage, Arc::clone(&listeners))?;
    let limit = service.logging.rate_limit;
    let to_output = sender.clone();
    let tell = move |trouble: Option<&str>| drop(to_output.send(News::Output(trouble.map(str::to_owned))));
    let copier = std::thread::spawn(move || log::copy(reader, sink, limit, tell));
    let mut keeper = Keeper::new(service, rooms, stage, system, writer.into(), sender);
    let ended = keeper.keep(news);
    drop(keeper); // and with it the writing end of the output
    await_end(&copier);
    listeners.end(FAREWELL);
    Ok(ended)
}

/// Where we are told what to do, and where the app says that it is ready: as long as both are kept. A failure is final; what
/// may come right is noted in the log.
fn listen(
    service: &Service,
    rooms: &Rooms,
    stage: Stage,
    listeners: &Arc<Listeners>,
    sender: &mpsc::Sender<News>,
) -> Result<[Option<Listening>; 2], Failure> {
    let failed = |at: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot listen at {}: {error}", at.display()))
    };
    let trouble = |at: &Path| {
        let (at, sender) = (at.display().to_string(), sender.clone());
        move |error: Option<&std::io::Error>| {
            let _ = sender.send(News::Hearing(
                error.map(|error| format!("cannot listen at {at}: {error}")),
            )); // at the end nobody does
        }
    };
    let control = control::Control::new(stage, &rooms.status, Arc::clone(listeners), sender.clone());
    let answer = move |words: &str, client: &mut Client| control.answer(words, client);
    let told = platform::listen(&rooms.socket, answer, trouble(&rooms.socket))
        .map_err(|error| failed(&rooms.socket, error))?;
    if service.start_type != StartType::Notify {
        return Ok([Some(told), None]);
    }
    let (notify, sender) = (rooms.notify(), sender.clone());
    let ready = move || drop(sender.send(News::Ready));
    let heard = platform::listen_for_ready(&notify, ready, trouble(&notify)).map_err(|error| failed(&notify, error))?;
    Ok([Some(told), Some(heard)])
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
        let own = 1 + usize::from(rooms.site.records.is_some()); // a user's own lies deeper
        folders.extend(rooms.site.runtime.ancestors().skip(1).take(own));
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
            Ok(None) => std::thread::sleep(LOOK), // a signal ends no look at it
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
