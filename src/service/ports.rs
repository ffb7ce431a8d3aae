//! Which ports an app is said to listen on.

use super::{Probe, Service};

/// A port that an app is said to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where; empty where that is not said.
    pub host: String,
    /// The number.
    pub number: u16,
    /// What says so.
    pub source: String,
}

impl Service {
    /// The ports it is said to listen on: those of its probe, and those that its arguments and `PORT` name.
    pub fn ports(&self) -> Vec<Port> {
        let mut ports = Vec::new();
        let mut add = |host: &str, number: &str, source: &str| {
            if let Ok(number) = number.parse::<u16>()
                && number > 0
                && !ports
                    .iter()
                    .any(|port: &Port| port.number == number && port.host == host)
            {
                let (host, source) = (host.to_owned(), source.to_owned());
                ports.push(Port { host, number, source });
            }
        };
        match &self.readiness.probe {
            Some(Probe::Http { url, .. }) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let (host, port) = host_and_port(authority).unwrap_or((authority, "80"));
                if is_here(host) {
                    add(host, port, "readiness.http");
                }
            }
            Some(Probe::Tcp { address }) => {
                if let Some((host, port)) = host_and_port(address).filter(|(host, _)| is_here(host)) {
                    add(host, port, "readiness.tcp");
                }
            }
            _ => {}
        }
        for (at, word) in self.command.iter().enumerate() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), self.command.get(at + 1).map(String::as_str)),
            };
            let Some(value) = value else { continue };
            match name {
                "--port" | "--http-port" => add("", value, name),
                "--bind" | "--listen" | "--address" | "-b" => {
                    if let Some((host, port)) = host_and_port(value) {
                        add(host, port, name);
                    }
                }
                _ => {}
            }
        }
        if let [_, .., module, port] = self.command.as_slice()
            && module == "http.server"
        {
            add("", port, "http.server");
        }
        if let Some((_, value)) = self.environment.iter().find(|(key, _)| key == "PORT") {
            add("", value, "PORT");
        }
        ports
    }
}

/// Whether a probe is answered by this machine.
fn is_here(host: &str) -> bool {
    matches!(
        host,
        "localhost" | "::1" | "[::1]" | "0.0.0.0" | "::" | "[::]" | "*" | ""
    ) || host.starts_with("127.")
}

fn host_and_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some((host, port))
}
