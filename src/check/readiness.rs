//! `[readiness]`: one probe, or the settle window.

use std::path::PathBuf;

use super::{Checker, or};
use crate::service::{Probe, Readiness};

impl Checker<'_> {
    pub(super) fn readiness(&mut self, path: &[PathBuf]) -> Readiness {
        let written = &self.manifest.readiness;
        let spans: Vec<_> = [
            written.http.as_ref().map(|at| &at.span),
            written.tcp.as_ref().map(|at| &at.span),
            written.command.as_ref().map(|at| &at.span),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [_, second, ..] = spans[..] {
            self.wrong(
                "there can be one probe only",
                second,
                "keep one of http, tcp and command",
            );
        }
        if let (Some(settle), false) = (&written.settle, spans.is_empty()) {
            self.wrong(
                "settle means nothing beside a probe",
                &settle.span,
                "leave it out: the probe decides",
            );
        }
        let expects = [
            written.expect_status.as_ref().map(|at| &at.span),
            written.expect_body.as_ref().map(|at| &at.span),
        ];
        for span in expects.into_iter().flatten().filter(|_| written.http.is_none()) {
            self.wrong("only an http probe has a status and a body", span, "");
        }
        Readiness {
            probe: self.probe(path),
            timeout: or(written.timeout.as_ref(), 5),
            interval: or(written.interval.as_ref(), 1),
            settle: or(written.settle.as_ref(), 3),
        }
    }

    fn probe(&mut self, path: &[PathBuf]) -> Option<Probe> {
        let written = &self.manifest.readiness;
        if let Some(url) = &written.http {
            if let Err((message, help)) = check_url(&url.value) {
                self.wrong(message, &url.span, help);
            }
            return Some(Probe::Http {
                url: url.value.clone(),
                expect_status: written
                    .expect_status
                    .as_ref()
                    .map_or(vec![(200, 399)], |at| at.value.clone()),
                expect_body: written.expect_body.as_ref().map(|at| at.value.clone()),
            });
        }
        if let Some(address) = &written.tcp {
            let is_address = address.value.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !is_address {
                self.wrong(
                    format!("{:?} is no address", address.value),
                    &address.span,
                    "write it like \"127.0.0.1:8080\"",
                );
            }
            return Some(Probe::Tcp {
                address: address.value.clone(),
            });
        }
        let argv = written.command.as_ref()?;
        Some(Probe::Command {
            argv: self.command(argv, path),
        })
    }
}

fn check_url(url: &str) -> Result<(), (String, &'static str)> {
    if url.starts_with("https://") {
        return Err((
            "this build asks http only, no https".into(),
            "ask the app itself: http://127.0.0.1:PORT/…",
        ));
    }
    let help = "write it like \"http://127.0.0.1:8080/health\"";
    let wrong = || (format!("{url:?} is no http address"), help);
    let parsed: ureq::http::Uri = url.parse().map_err(|_| wrong())?;
    if parsed.scheme_str() != Some("http") || parsed.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if parsed
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(("a name and password in the address are not sent".into(), help));
    }
    Ok(())
}
