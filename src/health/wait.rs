//! What must hold before an app is started: other apps are ready, and conditions of its own. The dependant pulls: nothing is
//! held up by it but its own start.

use std::time::{Duration, Instant};

use super::{Asker, ask};
use crate::{plan::Span, service::Probe};

/// The first pause between two rounds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// Apps that must be ready.
    pub apps: Vec<String>,
    /// What else must hold.
    pub conditions: Vec<Probe>,
    /// For all of it together; zero: for ever.
    pub timeout: Duration,
}

/// Waits until all of them hold at once; tells, each time that one does not, what was seen of it. An error says what did not
/// come, and what was seen of it last.
pub fn wait(
    waits: &Waits,
    asker: &Asker,
    is_ready: &dyn Fn(&str) -> Result<(), String>,
    tell: &mut dyn FnMut(&str),
    gives_up: &dyn Fn() -> bool,
) -> Result<(), String> {
    let start = Instant::now();
    let left = || match waits.timeout {
        Duration::ZERO => Duration::MAX,
        limit => limit.saturating_sub(start.elapsed()),
    };
    let missing = || {
        let of_apps = waits.apps.iter().find_map(|app| {
            let why = is_ready(app).err()?;
            Some(format!("{app}: {why}"))
        });
        let ask = |condition| ask(condition, left().min(ANSWER).max(FIRST_PAUSE), asker);
        of_apps.or_else(|| {
            waits
                .conditions
                .iter()
                .find_map(|condition| ask(condition).err())
                .map(|wrong| wrong.to_string())
        })
    };
    let mut pause = FIRST_PAUSE;
    while let Some(missing) = missing() {
        tell(&missing);
        if left().is_zero() {
            return Err(format!("waited for {} in vain: {missing}", Span(waits.timeout)));
        }
        if gives_up() {
            return Err(format!("no longer waited for: {missing}"));
        }
        std::thread::sleep(pause.min(left()));
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// A condition as it is written: `tcp://host:port`, `http://…`, `file:///path`, `exec:command`. An error says what is wrong.
pub fn parse(text: &str) -> Result<Probe, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Probe::Http {
            url: text.into(),
            expect_status: vec![(200, 399)],
            expect_body: None,
            headers: Vec::new(),
            is_following: true,
        });
    }
    if let Some(address) = text.strip_prefix("tcp://") {
        return Ok(Probe::Tcp {
            address: address.into(),
        });
    }
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(Probe::File { path: path.into() });
    }
    let Some(command) = text.strip_prefix("exec:") else {
        return Err(format!("{text:?} is nothing to wait for"));
    };
    let argv = shell_words::split(command).map_err(|error| format!("this cannot be split into words: {error}"))?;
    if argv.first().is_none_or(String::is_empty) {
        return Err("this names no program".into());
    }
    Ok(Probe::Command { argv })
}

/// The text that [`parse`] reads back.
pub fn text(condition: &Probe) -> String {
    match condition {
        Probe::Http { url, .. } => url.clone(),
        Probe::Tcp { address } => format!("tcp://{address}"),
        Probe::File { path } => format!("file://{}", path.display()),
        Probe::Command { argv } => format!("exec:{}", shell_words::join(argv)),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::TcpListener};

    use super::*;

    #[test]
    fn a_condition_is_read_back_as_it_was() {
        for condition in [
            "http://127.0.0.1:80/a?b=c",
            "tcp://[::1]:80",
            "file:///dev/nvidia0",
            "exec:/bin/sh -c 'test -e \"$X\"'",
        ] {
            assert_eq!(text(&parse(condition).expect("it is right")), condition);
        }
        for wrong in ["", "ftp://x", "exec:", "exec:'", "/dev/x", "127.0.0.1:80"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_ends_when_all_hold_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let waits = Waits {
            apps: vec!["a".into(), "b".into()],
            conditions: vec![Probe::Tcp { address }],
            timeout: Duration::from_secs(30),
        };
        let rounds = Cell::new(0);
        let is_ready = |app: &str| {
            rounds.set(rounds.get() + u32::from(app == "a"));
            // a is ready in the first round, b in the second, both in the fourth.
            match (app, rounds.get()) {
                ("a", 1 | 4) | ("b", 2 | 4) => Ok(()),
                _ => Err("starting".to_owned()),
            }
        };
        let mut told = Vec::new();
        let mut tell = |why: &str| told.push(why.to_owned());
        assert_eq!(wait(&waits, &Asker::Ourselves, &is_ready, &mut tell, &|| false), Ok(()));
        assert_eq!(told, ["b: starting", "a: starting", "a: starting"]);
    }

    #[test]
    fn what_does_not_come_in_time_is_told_with_what_was_seen_of_it() {
        let waits = Waits {
            conditions: vec![Probe::File {
                path: "/no/such/device".into(),
            }],
            timeout: Duration::from_millis(120),
            ..Waits::default()
        };
        let late = wait(&waits, &Asker::Ourselves, &|_| Ok(()), &mut |_| {}, &|| false);
        assert_eq!(
            late,
            Err("waited for 120ms in vain: /no/such/device is not there".into())
        );
        let stopped = wait(
            &Waits {
                timeout: Duration::ZERO,
                ..waits
            },
            &Asker::Ourselves,
            &|_| Ok(()),
            &mut |_| {},
            &|| true,
        );
        assert!(stopped.is_err_and(|why| why.starts_with("no longer waited for")));
    }
}
