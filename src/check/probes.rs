//! `[readiness]`, `[health]` and `dependencies.wait_for`: what is asked, and what the answers mean.

use std::{ops::Range, path::PathBuf, time::Duration};

use super::{
    Checker,
    address::{check_address, check_url},
    or,
};
use crate::{
    health::wait,
    manifest::{At, ProbeTable},
    service::{Health, Os, Probe, Readiness, SickAction, StartType},
    values::windows_path,
};

/// How long one answer may take, where nothing is written.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Checker<'_> {
    /// When it is ready. What `[health]` asks is asked here too, if nothing else is written.
    pub(super) fn readiness(&mut self, path: &[PathBuf], health: Option<&Health>) -> Readiness {
        let written = &self.manifest.readiness;
        let own = self.probe("readiness", &written.probe, path);
        let probe = own.clone().or_else(|| health.map(|health| health.probe.clone()));
        if let Some(settle) = written.settle.as_ref().filter(|_| probe.is_some()) {
            let help = "leave it out: the probe decides";
            self.wrong("settle means nothing beside a probe", &settle.span, help);
        }
        let shared = health
            .filter(|_| own.is_none())
            .map_or(TIMEOUT, |health| health.timeout);
        Readiness {
            timeout: written.timeout.as_ref().map_or(shared, |at| at.value),
            interval: or(written.interval.as_ref(), 1),
            settle: or(written.settle.as_ref(), 3),
            probe,
        }
    }

    /// When it is sick.
    pub(super) fn health(&mut self, path: &[PathBuf], start_type: StartType) -> Option<Health> {
        let at = self.manifest.health.as_ref()?;
        let written = &at.value;
        let probe = self.probe("health", &written.probe, path);
        if probe.is_none() {
            let help = "like http = \"http://127.0.0.1:8080/health\"; or take the table out";
            self.wrong("[health] needs one of http, tcp, command and file", &at.span, help);
        }
        if start_type == StartType::Oneshot {
            let help = "take [health] out, or use another service.type";
            self.wrong("what does its work once has no health to watch", &at.span, help);
        }
        let start_period = or(written.start_period.as_ref(), 0);
        let start_timeout = or(self.manifest.service.start_timeout.as_ref(), 90);
        if let Some(at) = written.start_period.as_ref().filter(|_| start_period > start_timeout) {
            let message = "health.start_period is longer than service.start_timeout, by which it must be ready";
            self.wrong(message, &at.span, "raise service.start_timeout, or shorten this");
        }
        let action = written.action.as_ref().map(|action| action.value.as_str());
        Some(Health {
            probe: probe?,
            start_period,
            interval: or(written.interval.as_ref(), 10),
            timeout: written.timeout.as_ref().map_or(TIMEOUT, |at| at.value),
            retries: written
                .retries
                .as_ref()
                .map_or(3, |at| u32::try_from(at.value).unwrap_or(u32::MAX)),
            action: if action == Some("none") {
                SickAction::None
            } else {
                SickAction::Restart
            },
        })
    }

    fn probe(&mut self, table: &str, written: &ProbeTable, path: &[PathBuf]) -> Option<Probe> {
        self.check_one(written);
        self.check_of_http(table, written);
        if let Some(url) = &written.http {
            self.url(&url.value, &url.span);
            return Some(Probe::Http {
                url: url.value.clone(),
                expect_status: written
                    .expect_status
                    .as_ref()
                    .map_or(vec![(200, 399)], |at| at.value.clone()),
                expect_body: written.expect_body.as_ref().map(|at| at.value.clone()),
                headers: written.headers.as_ref().map_or_else(Vec::new, |at| at.value.clone()),
                is_following: written.expect_status.is_none(),
            });
        }
        if let Some(address) = &written.tcp {
            self.address(&address.value, &address.span);
            return Some(Probe::Tcp {
                address: address.value.clone(),
            });
        }
        if let Some(file) = &written.file {
            return Some(Probe::File { path: self.place(file) });
        }
        let argv = written.command.as_ref()?;
        Some(Probe::Command {
            argv: self.command(argv, path),
        })
    }

    fn check_one(&mut self, written: &ProbeTable) {
        let spans: Vec<_> = [
            written.http.as_ref().map(|at| &at.span),
            written.tcp.as_ref().map(|at| &at.span),
            written.command.as_ref().map(|at| &at.span),
            written.file.as_ref().map(|at| &at.span),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [_, second, ..] = spans[..] {
            let help = "keep one of http, tcp, command and file";
            self.wrong("there can be one probe only", second, help);
        }
    }

    fn check_of_http(&mut self, table: &str, written: &ProbeTable) {
        let spans = [
            written.expect_status.as_ref().map(|at| &at.span),
            written.expect_body.as_ref().map(|at| &at.span),
            written.headers.as_ref().map(|at| &at.span),
        ];
        for span in spans.into_iter().flatten().filter(|_| written.http.is_none()) {
            let help = format!("leave it out, or use {table}.http");
            self.wrong("only an http probe has headers, a status and a body", span, &help);
        }
    }

    fn url(&mut self, url: &str, span: &Range<usize>) {
        if let Err((message, help)) = check_url(url) {
            self.wrong(message, span, help);
        }
    }

    fn address(&mut self, address: &str, span: &Range<usize>) {
        if let Err((message, help)) = check_address(address) {
            self.wrong(message, span, &help);
        }
    }

    /// A condition before the start.
    pub(super) fn condition(&mut self, written: &At<String>, path: &[PathBuf]) -> Option<Probe> {
        let span = &written.span;
        let help = "it is one of tcp://HOST:PORT, http://…, file:///PATH and exec:COMMAND";
        match wait::parse(&written.value) {
            Ok(Probe::Command { .. }) if self.os == Os::Windows && written.value.contains('\\') => {
                let message = "a backslash is lost here: the command is read by the rules of a POSIX shell";
                self.wrong(message, span, "write slashes: \"exec:C:/srv/app/check.exe\"");
                None
            }
            Ok(Probe::Command { argv }) => {
                let argv = At {
                    value: argv,
                    span: span.clone(),
                };
                Some(Probe::Command {
                    argv: self.command(&argv, path),
                })
            }
            Ok(Probe::File { path }) => self.awaited_file(&path.to_string_lossy(), span),
            Ok(condition) => {
                match &condition {
                    Probe::Http { url, .. } => self.url(url, span),
                    Probe::Tcp { address } => self.address(address, span),
                    _ => {}
                }
                Some(condition)
            }
            Err(message) => {
                self.wrong(message, span, help);
                None
            }
        }
    }

    /// On Windows `file:///C:/ready` names `C:\ready` (RFC 8089, appendix E.2).
    fn awaited_file(&mut self, written: &str, span: &Range<usize>) -> Option<Probe> {
        let (path, is_absolute, help) = match self.os {
            Os::Linux => (written, written.starts_with('/'), "like \"file:///dev/nvidia0\""),
            Os::Windows => {
                let path = written.strip_prefix('/').unwrap_or(written);
                (path, windows_path::is_absolute(path), "like \"file:///C:/srv/ready\"")
            }
        };
        if !is_absolute {
            self.wrong("a file is named by its absolute path", span, help);
            return None;
        }
        let path = At {
            value: path.to_owned(),
            span: span.clone(),
        };
        Some(Probe::File {
            path: self.place(&path),
        })
    }
}
