//! What a supervisor answers at its control socket. One line asks:
//!
//! - `status`: how the app is, as JSON;
//! - `stop`: stops the app, for good;
//! - `restart`: in the foreground, stops the app and starts it anew with what is installed now; in the background the client does
//!   that itself, and is told so;
//! - `logs N`, `logs N follow`: the last N lines, and what comes, where output is passed through.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{
    News, Stage,
    log::{Heard, Listeners},
    state::Event,
};
use crate::{
    platform::Client,
    system::{Probe as _, Real},
};

/// It does.
pub(super) const OK: &str = "ok";
/// The client has to do it.
pub(super) const YOURS: &str = "yours";
/// The output follows.
pub(super) const STREAM: &str = "stream";

const OVER: &str = "it is over";
/// Between two looks whether a client that is told nothing is there still.
const LOOK: Duration = Duration::from_secs(1);

/// Who answers.
pub(super) struct Control {
    stage: Stage,
    status: PathBuf,
    listeners: Arc<Listeners>,
    news: mpsc::Sender<News>,
}

impl Control {
    pub(super) fn new(stage: Stage, status: &Path, listeners: Arc<Listeners>, news: mpsc::Sender<News>) -> Self {
        Self {
            stage,
            status: status.into(),
            listeners,
            news,
        }
    }

    /// Answers one client.
    pub(super) fn answer(&self, words: &str, client: &mut Client) -> io::Result<()> {
        let is_background = self.stage == Stage::Background;
        match words.split_once(' ').unwrap_or((words, "")) {
            ("status", _) => client.write_all(&Real.read(&self.status)?),
            ("stop", _) => self.pass_on(News::Asked(Event::Stop), client),
            ("restart" | "logs", _) if is_background => writeln!(client, "{YOURS}"),
            ("restart", _) => self.pass_on(News::Renew, client),
            ("logs", _) if self.listeners.is_over() => writeln!(client, "{OVER}"),
            ("logs", wish) => self.stream(wish, client),
            _ => writeln!(client, "unknown: {words}"),
        }
    }

    fn pass_on(&self, news: News, client: &mut Client) -> io::Result<()> {
        match self.news.send(news) {
            Ok(()) => writeln!(client, "{OK}"),
            Err(_) => writeln!(client, "{OVER}"),
        }
    }

    fn stream(&self, wish: &str, client: &mut Client) -> io::Result<()> {
        let (lines, is_following) = match wish.strip_suffix(" follow") {
            Some(lines) => (lines, true),
            None => (wish, false),
        };
        let (kept, ear) = self.listeners.listen(lines.parse().unwrap_or(0));
        writeln!(client, "{STREAM}")?;
        client.write_all(&kept)?;
        if !is_following {
            return Ok(());
        }
        loop {
            match ear.next(LOOK) {
                Heard::Lines(0, lines) => client.write_all(&lines)?,
                Heard::Lines(skipped, lines) => {
                    writeln!(
                        client,
                        "[autoglm-boot] {skipped} lines skipped: this reader did not keep up"
                    )?;
                    client.write_all(&lines)?;
                }
                Heard::Nothing if client.has_gone() => return Ok(()),
                Heard::Nothing => {}
                Heard::End => return Ok(()),
            }
        }
    }
}
