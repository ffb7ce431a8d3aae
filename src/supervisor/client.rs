//! What the verbs, and other supervisors, ask of a supervisor.

use std::{
    io::{self, BufRead as _, ErrorKind, Read as _},
    time::Duration,
};

use super::{Rooms, control, crew};
use crate::{
    backend::{Live, windows::Anchor},
    exit::{Exit, Failure},
    health::state::Phase,
    platform::{self, Answer},
    system::{Cmd, Probe, Real, System},
};

const LOOK: Duration = Duration::from_millis(20);
/// A supervisor answers its socket at once, or something is wrong with it.
const ANSWER: Duration = Duration::from_secs(5);

/// How long one that is just beginning, or ending, may not be heard of.
const MOMENT: Duration = Duration::from_secs(1);

/// Until the next look. A signal does not shorten it: what waits here has a limit.
fn pause() {
    std::thread::sleep(LOOK);
}

/// Starts a supervisor, if none runs: one more of those that are kept together in the foreground, else one in the background.
/// Returns when it has begun.
pub fn start(system: &dyn System, serve: &Cmd, rooms: &Rooms) -> Result<(), Failure> {
    await_renewal(system, rooms);
    if system.is_locked(&rooms.lock) {
        return Ok(());
    }
    let failed = |cause: &str| Failure::new(Exit::Failed, format!("the supervisor could not begin: {cause}"));
    let asked = system.monotonic();
    if crew::start(rooms, system).is_some() {
        // What has ended again by now has told how.
        let has_begun = || live(rooms, system).is_some_and(|live| live.changed.is_some_and(|at| at > asked));
        while !has_begun() {
            if system.monotonic().saturating_sub(asked) > ANSWER {
                return Err(failed("the `run` that keeps the others does not start it"));
            }
            pause();
        }
        return Ok(());
    }
    let said = system
        .start_detached(serve)
        .map_err(|error| failed(&error.to_string()))?;
    if said.trim().is_empty() {
        return Ok(());
    }
    Err(failed(said.trim()))
}

/// Waits until the Task Scheduler has begun a supervisor. It starts none while it believes that the one before still runs: then it
/// is asked again.
pub fn begun(system: &dyn System, rooms: &Rooms, anchor: &Anchor, app: &str) -> Result<(), Failure> {
    until_begun(system, anchor, app, &|_| live(rooms, system).is_some())
}

/// The same of an app that a task starts itself.
pub fn begun_bare(system: &dyn System, anchor: &Anchor, app: &str) -> Result<(), Failure> {
    let before = anchor.last_result(system, app);
    let has_begun = |waited| anchor.has_begun_bare(system, app, before, waited);
    until_begun(system, anchor, app, &has_begun)
}

fn until_begun(
    system: &dyn System,
    anchor: &Anchor,
    app: &str,
    has_begun: &dyn Fn(Duration) -> bool,
) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(30);
    const AGAIN: Duration = Duration::from_secs(3);
    let start = system.monotonic();
    let mut asked = start;
    while !has_begun(system.monotonic().saturating_sub(start)) {
        let now = system.monotonic();
        if now.saturating_sub(start) > PATIENCE || system.interrupted().is_some() {
            let last = anchor.last_result(system, app);
            let last = last.map_or("is not known".into(), |last| format!("is {last:#x}"));
            let message = format!("the Task Scheduler did not start it within {PATIENCE:?}: its last result {last}");
            return Err(Failure::new(Exit::Failed, message)
                .repair("its log is Microsoft-Windows-TaskScheduler/Operational, in the event viewer"));
        }
        if now.saturating_sub(asked) > AGAIN {
            asked = now;
            let _ = system.run(&anchor.run(app), false); // what it says, shows
        }
        system.sleep(LOOK);
    }
    Ok(())
}

/// Stops an app and its supervisor; returns when nothing is left of either. `patience`: how long the app may take to end.
pub fn stop(system: &dyn System, rooms: &Rooms, patience: Duration) -> Result<(), Failure> {
    let failed = |cause: String| Failure::new(Exit::Failed, format!("the supervisor could not be stopped: {cause}"));
    let tell = || platform::tell(&rooms.socket, "stop", ANSWER);
    await_renewal(system, rooms);
    let begun = system.monotonic();
    while system.is_locked(&rooms.lock) {
        if system.monotonic().saturating_sub(begun) > patience * 2 {
            return Err(failed("it is started again and again".into()));
        }
        let (mut answer, start) = (tell(), system.monotonic());
        while system.is_locked(&rooms.lock) {
            let waited = system.monotonic().saturating_sub(start);
            if let Err(error) = &answer {
                let is_denied = error.kind() == ErrorKind::PermissionDenied;
                if is_denied || waited > MOMENT {
                    return Err(unheard(
                        failed(format!("{}: {error}", rooms.socket.display())),
                        rooms,
                        is_denied,
                    ));
                }
                answer = tell(); // one that begins, or ends, does not listen for a moment
            }
            if waited > patience {
                return Err(failed(format!("it still runs after {patience:?}")));
            }
            pause();
        }
        await_renewal(system, rooms);
    }
    super::end_leftovers(rooms);
    system.remove(&rooms.status).map_err(|error| failed(error.to_string()))
}

fn unheard(failure: Failure, rooms: &Rooms, is_denied: bool) -> Failure {
    failure.repair(if is_denied {
        "do it as whoever it runs as, or as an administrator".into()
    } else {
        format!("its log says why: autoglm-boot logs {}", rooms.app)
    })
}

/// One that is just starting anew in the foreground does not hear us, and holds nothing for a moment: what it wrote down last is no
/// end. One that was killed comes no more.
fn await_renewal(system: &dyn System, rooms: &Rooms) {
    let start = system.monotonic();
    let is_coming = || live(rooms, system).is_some_and(|live| live.is_at_work());
    while is_coming() && !system.is_locked(&rooms.lock) && system.monotonic().saturating_sub(start) < MOMENT {
        pause();
    }
}

/// Stops an app and starts it anew with what is installed now. In the foreground its supervisor does that itself: the
/// container it is the command of goes on.
pub fn restart(system: &dyn System, serve: &Cmd, rooms: &Rooms, patience: Duration) -> Result<(), Failure> {
    let asked = system.monotonic();
    let is_done_there = system.is_locked(&rooms.lock)
        && platform::tell(&rooms.socket, "restart", ANSWER).is_ok_and(|answer| answer == control::OK);
    if !is_done_there {
        stop(system, rooms, patience)?;
        return start(system, serve, rooms);
    }
    let is_anew = || live(rooms, system).is_some_and(|live| live.started.is_some_and(|started| started > asked));
    while !is_anew() {
        if system.monotonic().saturating_sub(asked) > patience + ANSWER {
            let message = format!("the supervisor did not start it anew within {:?}", patience + ANSWER);
            return Err(Failure::new(Exit::Failed, message));
        }
        pause();
    }
    Ok(())
}

/// How an app is, as its supervisor has written it down. What was written in another boot is no word about this one.
pub fn live(rooms: &Rooms, look: &dyn Probe) -> Option<Live> {
    let written = look.read(&rooms.status).ok()?;
    let live: Live = serde_json::from_slice(&written).ok()?;
    let boot = look.boot();
    let is_of_now = live.boot.is_empty() || boot.is_empty() || live.boot == boot;
    is_of_now.then_some(live)
}

/// Whether an app that is kept by another supervisor is ready; an error says why not.
pub fn is_ready(rooms: &Rooms) -> Result<(), String> {
    let live = live(rooms, &Real).ok_or("it does not run")?;
    let phase = live.pulse.as_ref().map(|pulse| pulse.phase);
    match (live.active.as_str(), phase) {
        ("active", _) if live.sub == "exited" => Ok(()), // it has done its work
        _ if !Real.is_locked(&rooms.lock) => Err("it does not run".into()),
        ("active", Some(Phase::Ready)) => Ok(()),
        ("active", Some(Phase::Sick)) => Err("it is unhealthy".into()),
        ("active", _) => Err("it is not ready yet".into()),
        (state, _) => Err(format!("it is {state}")),
    }
}

/// Copies what an app says to our own output, where its supervisor passes it through, until we are asked to end; `None` where
/// it does not. Where it is followed and started anew, it is followed further.
pub fn stream(rooms: &Rooms, lines: u32, is_following: bool, system: &dyn System) -> Option<io::Result<()>> {
    let mut stream = open_stream(rooms, lines, is_following)?;
    let copied = platform::own_output().and_then(|mut output| {
        loop {
            copy(&mut stream, &mut output, system)?;
            match reopened(rooms, system).filter(|_| is_following) {
                Some(again) => stream = again,
                None => return Ok(()),
            }
        }
    });
    Some(copied)
}

fn open_stream(rooms: &Rooms, lines: u32, is_following: bool) -> Option<Answer> {
    let follow = if is_following { " follow" } else { "" };
    let words = format!("logs {lines}{follow}");
    let mut answer = platform::ask_control(&rooms.socket, &words, Some(ANSWER)).ok()?;
    let mut first = String::new();
    answer.read_line(&mut first).ok()?;
    (first.trim() == control::STREAM).then_some(answer)
}

/// What a supervisor says that has followed the one that ended: all of it. None follows one that has ended for good.
fn reopened(rooms: &Rooms, system: &dyn System) -> Option<Answer> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let ended = system.monotonic();
    let is_coming = || live(rooms, system).is_some_and(|live| !matches!(live.active.as_str(), "inactive" | "failed"));
    while system.monotonic().saturating_sub(ended) < PATIENCE && system.interrupted().is_none() && is_coming() {
        if let Some(again) = open_stream(rooms, u32::MAX, true) {
            return Some(again);
        }
        system.sleep(LOOK);
    }
    None
}

fn copy(from: &mut Answer, to: &mut impl io::Write, system: &dyn System) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    platform::be_patient(from, LOOK * 5)?;
    while system.interrupted().is_none() {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read])?,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
