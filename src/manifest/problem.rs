//! What is wrong with a manifest: every problem with its place in the file.

use std::{fmt, fmt::Write as _, ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::exit::Exit;

/// So many problems are shown; what is garbage has thousands.
const SHOWN: usize = 40;

/// Where the repair lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The manifest is wrong: exit 2.
    Manifest,
    /// The manifest is right, but this machine lacks what it names: exit 1.
    Machine,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Where the repair lies.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// Bytes of the file it is about.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A mistake in the manifest.
    pub fn manifest(message: impl Into<String>, span: &Range<usize>) -> Self {
        Self {
            kind: Kind::Manifest,
            message: message.into(),
            span: Some(span.clone()),
            help: None,
        }
    }

    /// Something this machine lacks.
    pub fn machine(message: impl Into<String>, span: &Range<usize>) -> Self {
        Self {
            kind: Kind::Machine,
            ..Self::manifest(message, span)
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, where nothing better was found.
    pub(super) fn or_help(mut self, help: &str) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }
}

/// Every problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub source: String,
    /// The problems.
    pub list: Vec<Problem>,
}

impl Problems {
    /// 2 where the manifest is wrong, 1 where only this machine lacks something.
    pub fn exit(&self) -> Exit {
        if self.list.iter().any(|problem| problem.kind == Kind::Manifest) {
            Exit::Usage
        } else {
            Exit::Failed
        }
    }

    /// Every problem with its line and a caret, in the order of the file.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let count = if list.len() == 1 {
            "a problem".into()
        } else {
            format!("{} problems", list.len())
        };
        let mut text = format!("{}: {count}", self.path.display());
        for problem in list.iter().take(SHOWN) {
            text.push('\n');
            text.push_str(&renderer.render(&[self.group(problem)]));
        }
        if list.len() > SHOWN {
            let _ = write!(text, "\nand {} more", list.len() - SHOWN); // writing to a string cannot fail
        }
        text
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let path = self.path.to_string_lossy().into_owned();
        let mut group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()));
        if let Some(span) = &problem.span {
            let (text, line, span) = self.excerpt(span);
            let snippet = Snippet::source(text).line_start(line).path(path);
            group = group.element(snippet.annotation(AnnotationKind::Primary.span(span)));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// The line of the problem, its number, and the place within it.
    fn excerpt(&self, span: &Range<usize>) -> (&str, usize, Range<usize>) {
        let source = self.source.as_str();
        let clamp = |at: usize| source.floor_char_boundary(at.min(source.len()));
        let (at, end) = (clamp(span.start), clamp(span.end));
        let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[at..].find('\n').map_or(source.len(), |newline| at + newline);
        let number = source[..at].bytes().filter(|&byte| byte == b'\n').count() + 1;
        (
            &source[line_start..line_end],
            number,
            at - line_start..end.clamp(at, line_end) - line_start,
        )
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
