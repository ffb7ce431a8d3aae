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
            self.wrong(
                "only an http probe has a status and a body",
                span,
                "leave it out, or use readiness.http",
            );
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
            if let Err((message, help)) = check_address(&address.value) {
                self.wrong(message, &address.span, &help);
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
    let help = "write it like \"http://127.0.0.1:8080/health\"";
    let wrong = || (format!("{url:?} is no http address"), help);
    let parsed: ureq::http::Uri = url.parse().map_err(|_| wrong())?;
    let authority = parsed.authority().ok_or_else(wrong)?;
    if parsed.scheme_str() == Some("https") {
        let message = "this build asks http only: TLS is not in it".into();
        return Err((message, "ask the app itself: http://127.0.0.1:PORT/…"));
    }
    if authority.as_str().contains('@') {
        return Err(("a name and password in the address are not sent".into(), help));
    }
    let is_port_right = match authority.port() {
        Some(_) => authority.port_u16().is_some_and(|port| port > 0),
        None => authority.as_str() == authority.host(),
    };
    if parsed.scheme_str() != Some("http") || authority.host().is_empty() || !is_port_right {
        return Err(wrong());
    }
    Ok(())
}

fn check_address(address: &str) -> Result<(), (String, String)> {
    if let Some((_, plain)) = address.split_once("://") {
        let message = "this is an address without a scheme".into();
        return Err((message, format!("write {plain:?}")));
    }
    let is_host = |host: &str| match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    match address.rsplit_once(':') {
        Some((host, port)) if is_host(host) && is_port(port) => Ok(()),
        _ => Err((
            format!("{address:?} is no address"),
            "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_with_a_host_is_asked() {
        for url in [
            "http://127.0.0.1:8000/health",
            "http://localhost",
            "http://[::1]:80/a?b=c",
            "http://my-host/a%20b",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
            "https://h/",
            "HTTPS://h/",
            "http://u:p@h/",
            "http://u@h/",
            "ftp://h/",
            "h:80",
            "/a",
            "http://",
            "http:///a",
            "http://h:/",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "http://a b/",
            "http://h/ü b",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in ["127.0.0.1:80", "localhost:65535", "[::1]:80", "my_host.local:1"] {
            assert_eq!(check_address(address), Ok(()), "{address}");
        }
        for address in [
            "",
            ":80",
            "h",
            "h:",
            "h:0",
            "h:65536",
            "h:+80",
            "h:80/a",
            "::1:80",
            "[x]:80",
            "tcp://h:80",
            "a b:80",
            "u@h:80",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }
}
