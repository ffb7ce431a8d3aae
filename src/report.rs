//! What the user is told, as it happens: lines for people, one object for programs.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    exit::Failure,
    plan::{Span, Step},
};

/// How much is told, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Lines for people.
    Normal,
    /// Errors only.
    Quiet,
    /// One object at the end, for programs.
    Json,
}

/// Tells the user.
#[derive(Debug)]
pub struct Report {
    voice: Voice,
    steps: Vec<Value>,
    warnings: Vec<String>,
    notes: Vec<String>,
    is_terminal: bool,
    /// Of several apps, only what tells of all of them and how each ended.
    pub is_brief: bool,
    has_progress_line: bool,
    last_progress: Option<Instant>,
}

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[1;32m";
const PLAIN: &str = "\x1b[0m";
const CLEAR_LINE: &str = "\r\x1b[K";

/// Between two lines of progress where there is no terminal to redraw.
const PROGRESS: Duration = Duration::from_secs(10);

impl Report {
    /// A new report in this voice.
    pub fn new(voice: Voice) -> Self {
        Self {
            voice,
            steps: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            is_terminal: std::io::stderr().is_terminal(),
            is_brief: false,
            has_progress_line: false,
            last_progress: None,
        }
    }

    /// Whether the answer is one object for programs.
    pub fn is_json(&self) -> bool {
        self.voice == Voice::Json
    }

    /// What was asked for; not told when only errors are.
    pub fn line(&mut self, text: &str) {
        if self.voice == Voice::Normal {
            self.say(text);
        }
    }

    /// The answer itself: told also when quiet, since it was asked for.
    pub fn answer(&mut self, text: &str) {
        if self.voice != Voice::Json {
            self.say(text);
        }
    }

    /// The answer itself, byte for byte: for a file, or for another program. A file that is not whole is an error.
    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.clear_progress();
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()), // a reader that went away
            written => written,
        }
    }

    /// The end of a verb that went well.
    pub fn success(&mut self, text: &str) {
        self.line(&format!("{GREEN}{text}{PLAIN}"));
    }

    /// What else is worth knowing.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("note: {text}"));
        self.notes.push(text.into());
    }

    /// What is probably not meant.
    pub fn warn(&mut self, text: &str) {
        self.clear_progress();
        if self.voice == Voice::Normal {
            Self::complain(&format!("{YELLOW}warning:{PLAIN} {text}"));
        }
        self.warnings.push(text.into());
    }

    /// A step is about to be done.
    pub fn begin(&mut self, step: &Step) {
        tracing::debug!(%step, "begin");
        self.last_progress = Some(Instant::now());
    }

    /// A step was done; whether it is of one app, rather than of all.
    pub fn done(&mut self, step: &Step, is_of_one: bool, evidence: &str) {
        let is_told = !self.is_brief || !is_of_one || matches!(step, Step::Await { .. });
        if step.is_for_undo() || self.voice == Voice::Quiet || (self.voice == Voice::Normal && !is_told) {
            return;
        }
        let text = step.to_string();
        let suffix = if evidence.is_empty() {
            String::new()
        } else {
            format!("  {DIM}{evidence}{PLAIN}")
        };
        self.line(&format!("  {text}{suffix}"));
        self.steps.push(json!({ "step": squeeze(&text), "result": evidence }));
    }

    /// A step of the undo is about to be done.
    pub fn undo(&mut self, step: &Step) {
        self.line(&format!("  {DIM}undo{PLAIN}    {}", squeeze(&step.to_string())));
        self.steps.push(json!({ "undo": squeeze(&step.to_string()) }));
    }

    /// A step failed: the undo is about to begin.
    pub fn failed(&mut self, failure: &Failure) {
        let first = failure.message.lines().next().unwrap_or_default();
        self.line(&format!("  {RED}failed{PLAIN}  {first}"));
        self.steps.push(json!({ "failed": first }));
    }

    /// Something is waited for.
    pub fn waiting(&mut self, reason: &str, waited: Duration, limit: Duration) {
        let is_due = self.last_progress.is_none_or(|last| last.elapsed() >= PROGRESS);
        if self.voice != Voice::Normal || !(self.is_terminal || is_due) {
            return;
        }
        self.last_progress = Some(Instant::now());
        let seconds = Duration::from_secs(waited.as_secs());
        let text = format!("  waiting {} of {}: {reason}", Span(seconds), Span(limit));
        if self.is_terminal {
            let line: String = text.chars().take(100).collect();
            let _ = write!(anstream::stderr(), "{CLEAR_LINE}{line}"); // progress that cannot be shown is no error
            self.has_progress_line = true;
        } else {
            Self::complain(&text);
        }
    }

    /// An error: the thing and the cause, then the repair.
    pub fn error(&mut self, failure: &Failure) {
        if self.is_json() {
            return;
        }
        self.clear_progress();
        Self::complain(&format!("{RED}error:{PLAIN} {}", failure.message));
        if !failure.repair.is_empty() {
            Self::complain(&format!("{BOLD}repair:{PLAIN} {}", failure.repair));
        }
        if let Some(finding) = &failure.finding {
            Self::complain(&format!("{BOLD}doctor:{PLAIN} {finding}"));
        }
    }

    /// The one object for programs: `answer`, with what happened on the way.
    pub fn finish(&mut self, mut answer: Value, exit: u8, failure: Option<&Failure>) {
        if !self.is_json() {
            return;
        }
        answer["exit"] = json!(exit);
        for (key, value) in [
            ("steps", json!(self.steps)),
            ("warnings", json!(self.warnings)),
            ("notes", json!(self.notes)),
        ] {
            answer[key] = value;
        }
        if let Some(failure) = failure {
            answer["error"] = plain(failure);
        }
        let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
        self.say(&text);
    }

    fn say(&mut self, text: &str) {
        self.clear_progress();
        let _ = writeln!(anstream::stdout(), "{text}"); // a reader that went away is no error of ours
    }

    fn complain(text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}"); // as above
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.has_progress_line) {
            let _ = write!(anstream::stderr(), "{CLEAR_LINE}"); // as above
        }
    }
}

/// A failure for programs: colours are for people.
pub fn plain(failure: &Failure) -> Value {
    let message = anstream::adapter::strip_str(&failure.message).to_string();
    let mut error = json!({ "message": message, "repair": failure.repair });
    if let Some(finding) = &failure.finding {
        error["finding"] = json!(finding);
    }
    error
}

/// Columns are for people.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
