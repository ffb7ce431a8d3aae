//! Plans for people: a line each step.

use std::{fmt, time::Duration};

use super::{Condition, OwnFolder, Step};
use crate::{
    service::{Probe, StartType},
    system::Share,
};

impl fmt::Display for Step {
    /// One line: the imperative, then the thing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mkdir { path, mode } => write!(f, "mkdir   {} ({mode:04o})", path.display()),
            Self::Provide { folder } => {
                let OwnFolder { path, uid, .. } = folder;
                write!(f, "mkdir   {} for the app's user ({uid})", path.display())
            }
            Self::WriteFile { path, text, mode } => {
                write!(f, "write   {} ({} bytes, {mode:04o})", path.display(), text.len())
            }
            Self::WriteBytes { path, bytes, mode, .. } => {
                write!(f, "write   {} ({} bytes, {mode:04o})", path.display(), bytes.len())
            }
            Self::Share { path, share } => write!(f, "share   {} {share}", path.display()),
            Self::Approve { link, value, .. } if value.is_none() => {
                write!(f, "switch  {link} on among the startup apps")
            }
            Self::Approve { link, .. } => write!(f, "switch  {link} off among the startup apps"),
            Self::Copy { from, path, mode } => {
                write!(f, "copy    {} to {} ({mode:04o})", from.display(), path.display())
            }
            Self::Link { path, target } => write!(f, "link    {} -> {}", path.display(), target.display()),
            Self::Remove { path } => write!(f, "remove  {}", path.display()),
            Self::Discard { paths, .. } => match paths.first() {
                Some(first) => write!(f, "discard {} and its like", first.display()),
                None => f.write_str("discard nothing"),
            },
            Self::Rmdir { path } => write!(f, "rmdir   {} if empty", path.display()),
            Self::Run { cmd, only_if } => {
                write!(f, "run     {cmd}")?;
                only_if
                    .as_ref()
                    .map_or(Ok(()), |condition| write!(f, ", if {condition}"))
            }
            Self::Launch { cmd } => write!(f, "run     {cmd}"),
            Self::Await { condition, deadline } => {
                write!(f, "wait    until {condition}, at most {}", Span(*deadline))
            }
            Self::Finally(step) => write!(f, "{step}"),
            Self::OnUndo(step) | Self::OnRollback(step) => write!(f, "(undo)  {step}"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads(account) => write!(f, "with {account}, to be read"),
            Self::Writes(account) => write!(f, "with {account}, to be written"),
            Self::WritesInPublic(account) => write!(f, "with {account}, to be written, and read by all"),
            Self::Public => f.write_str("with all, to be read"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready {
                unit,
                readiness,
                start_type,
                ..
            } => {
                write!(f, "{unit} is ready: ")?;
                match (&readiness.probe, start_type) {
                    (Some(probe), _) => write!(f, "{probe}"),
                    (None, StartType::Oneshot) => f.write_str("it has done its work"),
                    (None, _) => write!(f, "it runs for {} without a restart", Span(readiness.settle)),
                }
            }
            Self::Running { unit } => write!(f, "{unit} is active"),
            Self::Stopped { unit } => write!(f, "{unit} is stopped"),
            Self::Started { units } => write!(f, "{} are active", Names(units)),
            Self::Loaded => f.write_str("it is loaded"),
            Self::Failed => f.write_str("it has failed"),
            Self::Stale { units } => write!(f, "the service manager holds an older {}", Names(units)),
            Self::Lingering { user } => write!(f, "{user} lingers"),
            Self::Manager => f.write_str("the user's service manager answers"),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => write!(f, "{url} answers"),
            Self::Tcp { address } => write!(f, "{address} accepts"),
            Self::Command { argv } => write!(f, "`{}` exits 0", shell_words::join(argv)),
            Self::File { path } => write!(f, "{} is there", path.display()),
        }
    }
}

/// Several names in a line, the first few of many.
pub struct Names<'a, S>(pub &'a [S]);

impl<S: fmt::Display> fmt::Display for Names<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        for (number, name) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A length of time as a manifest writes it: `1m30s`, `500ms`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
            (1, "ms"),
        ] {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_a_manifest_writes_it() {
        for (millis, text) in [
            (0, "0s"),
            (500, "500ms"),
            (90_000, "1m30s"),
            (1_800_000, "30m"),
            (90_061_001, "1d1h1m1s1ms"),
        ] {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
