//! What the verbs ask of a supervisor: to begin, and to end.

use std::time::Duration;

use super::Rooms;
use crate::{
    exit::{Exit, Failure},
    platform,
    system::{Cmd, System},
};

const LOOK: Duration = Duration::from_millis(20);
/// A supervisor answers its socket at once, or something is wrong with it.
const ANSWER: Duration = Duration::from_secs(5);

/// Starts a supervisor in the background, if none runs; returns when it has begun.
pub fn start(system: &dyn System, serve: &Cmd, rooms: &Rooms) -> Result<(), Failure> {
    if system.is_locked(&rooms.lock) {
        return Ok(());
    }
    let failed = |cause: &str| Failure::new(Exit::Failed, format!("the supervisor could not begin: {cause}"));
    let said = system
        .start_detached(serve)
        .map_err(|error| failed(&error.to_string()))?;
    if said.trim().is_empty() {
        return Ok(());
    }
    Err(failed(said.trim()))
}

/// Stops an app and its supervisor; returns when nothing is left of either. `patience`: how long the app may take to end.
pub fn stop(system: &dyn System, rooms: &Rooms, patience: Duration) -> Result<(), Failure> {
    let failed = |cause: String| Failure::new(Exit::Failed, format!("the supervisor could not be stopped: {cause}"));
    if system.is_locked(&rooms.lock) {
        let answer = platform::tell(&rooms.socket, "stop", ANSWER);
        let start = system.monotonic();
        while system.is_locked(&rooms.lock) {
            if let Err(error) = &answer {
                return Err(failed(format!("{}: {error}", rooms.socket.display())));
            }
            if system.monotonic().saturating_sub(start) > patience {
                return Err(failed(format!("it still runs after {patience:?}")));
            }
            system.sleep(LOOK);
        }
    }
    super::end_leftovers(rooms);
    system.remove(&rooms.status).map_err(|error| failed(error.to_string()))
}
