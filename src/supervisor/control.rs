//! What a supervisor answers at its control socket. One line asks:
//!
//! - `status`: how the app is, as JSON;
//! - `stop`: stops the app, for good;
//! - `restart`: in the foreground, stops the app and starts it anew with what is installed now; in the background the client does
//!   that itself, and is told so;
//! - `logs N`, `logs N follow`: the last N lines, and what comes, where output is passed through.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use super::{News, Stage, log::Listeners, state::Event};
use crate::system::{Probe as _, Real};

/// It does.
pub(super) const OK: &str = "ok";
/// The client has to do it.
pub(super) const YOURS: &str = "yours";
/// The output follows.
pub(super) const STREAM: &str = "stream";

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
    pub(super) fn answer(&self, words: &str, client: &mut dyn Write) -> io::Result<()> {
        let is_background = self.stage == Stage::Background;
        match words.split_once(' ').unwrap_or((words, "")) {
            ("status", _) => client.write_all(&Real.read(&self.status)?),
            ("stop", _) => self.pass_on(News::Asked(Event::Stop), client),
            ("restart" | "logs", _) if is_background => writeln!(client, "{YOURS}"),
            ("restart", _) => self.pass_on(News::Renew, client),
            ("logs", wish) => self.stream(wish, client),
            _ => writeln!(client, "unknown: {words}"),
        }
    }

    fn pass_on(&self, news: News, client: &mut dyn Write) -> io::Result<()> {
        match self.news.send(news) {
            Ok(()) => writeln!(client, "{OK}"),
            Err(_) => writeln!(client, "it is over"),
        }
    }

    fn stream(&self, wish: &str, client: &mut dyn Write) -> io::Result<()> {
        let (lines, is_following) = match wish.strip_suffix(" follow") {
            Some(lines) => (lines, true),
            None => (wish, false),
        };
        let (kept, coming) = self.listeners.listen(lines.parse().unwrap_or(0));
        writeln!(client, "{STREAM}")?;
        client.write_all(&kept)?;
        if is_following {
            coming.iter().try_for_each(|lines| client.write_all(&lines))?;
        }
        Ok(())
    }
}
