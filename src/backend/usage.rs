//! What an app uses of what it may.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::system::Probe;

/// What the processes of an app use, and the limits in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Bytes of memory that end it.
    pub memory_limit: Option<u64>,
    /// Time on processors since its start, of all of them together.
    pub cpu: Option<Duration>,
    /// Such time within a second, at most.
    pub cpu_limit: Option<Duration>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Of these at most.
    pub tasks_limit: Option<u64>,
    /// Files and sockets that the main process has open.
    pub open_files: Option<u64>,
    /// Of these each process may have so many.
    pub open_files_limit: Option<u64>,
    /// Bytes in its own `/dev/shm`.
    pub shared_memory: Option<u64>,
    /// Bytes that have room there.
    pub shared_memory_limit: Option<u64>,
}

impl Usage {
    /// Asks the main process for what the service manager does not tell; what we may not see stays unknown.
    pub fn measure(&mut self, look: &dyn Probe, main: u32) {
        let of_main = |what: &str| format!("/proc/{main}/{what}");
        if self.open_files_limit.is_some() {
            let open = look.list(Path::new(&of_main("fd"))).ok();
            self.open_files = open.and_then(|open| u64::try_from(open.len()).ok());
        }
        if let Some(limit) = self.shared_memory_limit {
            let left = look.space(Path::new(&of_main("root/dev/shm"))).ok();
            self.shared_memory = left.map(|left| limit.saturating_sub(left.bytes));
        }
    }
}
