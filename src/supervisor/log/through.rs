//! Output that is passed on.

use std::{
    fs,
    io::{self, Write as _},
    sync::Arc,
};

use super::{Listeners, Written};
use crate::platform;

/// To our own standard output, and to whoever listens.
#[derive(Debug)]
pub struct Through {
    output: fs::File,
    /// In front of each line.
    prefix: String,
    listeners: Arc<Listeners>,
}

impl Through {
    /// `name` in front of each line, if one is given.
    pub fn new(name: Option<&str>, listeners: Arc<Listeners>) -> io::Result<Self> {
        Ok(Self {
            output: platform::own_output()?,
            prefix: name.map_or_else(String::new, |name| format!("{name} | ")),
            listeners,
        })
    }

    pub(super) fn has_name(&self) -> bool {
        !self.prefix.is_empty()
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> Written {
        self.listeners.tell(lines);
        let written = if self.has_name() {
            let mut prefixed = Vec::with_capacity(lines.len() * 2);
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                prefixed.extend_from_slice(self.prefix.as_bytes());
                prefixed.extend_from_slice(line);
            }
            // The others of the crew write there too: a line must stay one.
            platform::in_turn(&self.output, || (&self.output).write_all(&prefixed))
        } else {
            self.output.write_all(lines)
        };
        Written {
            bytes: if written.is_ok() { lines.len() } else { 0 },
            error: written.err(),
        }
    }
}
