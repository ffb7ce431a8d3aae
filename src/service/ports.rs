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
        let health = self.health.as_ref().map(|health| &health.probe);
        let probes = self.readiness.probe.iter().chain(health).filter_map(of_probe);
        let variable = self.environment.iter().find(|(key, _)| key == "PORT");
        let variable = variable.and_then(|(_, value)| port("", value, "PORT"));
        let mut ports: Vec<Port> = Vec::new();
        for port in probes.chain(of_words(&self.command)).chain(variable) {
            let is_known = ports
                .iter()
                .any(|known| known.number == port.number && known.host == port.host);
            ports.extend((!is_known).then_some(port));
        }
        ports
    }
}

fn port(host: &str, number: &str, source: &str) -> Option<Port> {
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let (host, source) = (host.to_owned(), source.to_owned());
    Some(Port { host, number, source })
}

/// The port that a probe asks, where this machine answers.
fn of_probe(probe: &Probe) -> Option<Port> {
    let (host, number, source) = match probe {
        Probe::Http { url, .. } => {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let (host, port) = host_and_port(authority).unwrap_or((authority, "80"));
            (host, port, "its http probe")
        }
        Probe::Tcp { address } => {
            let (host, port) = host_and_port(address)?;
            (host, port, "its tcp probe")
        }
        Probe::Command { .. } | Probe::File { .. } => return None,
    };
    port(host, number, source).filter(|_| is_here(host))
}

/// The ports that arguments name: `--port 80`, `--bind 0.0.0.0:80`, `http.server 80`.
fn of_words(words: &[String]) -> impl Iterator<Item = Port> {
    let is_bound = words.iter().any(|word| matches!(word.as_str(), "--bind" | "-b"));
    words.iter().enumerate().filter_map(move |(at, word)| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value),
            None => (word.as_str(), words.get(at + 1)?.as_str()),
        };
        match name {
            "--port" | "--http-port" => port("", value, name),
            "--bind" | "--listen" | "--address" | "-b" => {
                let (host, number) = host_and_port(value)?;
                port(host, number, name)
            }
            // Python's own: on every address, unless it is told one.
            "http.server" => port(if is_bound { "" } else { "0.0.0.0" }, value, name),
            _ => None,
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_where_servers_are_told_them() {
        for (command, expected) in [
            (
                "uvicorn app --host 0.0.0.0 --port 8000",
                &[("", 8000_u16, "--port")] as &[_],
            ),
            ("gunicorn -b 127.0.0.1:80 app", &[("127.0.0.1", 80, "-b")]),
            ("x --bind=[::]:9", &[("[::]", 9, "--bind")]),
            ("python3 -m http.server 8080", &[("0.0.0.0", 8080, "http.server")]),
            (
                "python3 -m http.server 8080 --bind 127.0.0.1",
                &[("", 8080, "http.server")],
            ),
            ("x --port eighty --bind unix:/run/x --port=0 --port", &[]),
        ] {
            let words: Vec<_> = command.split(' ').map(str::to_owned).collect();
            let found: Vec<_> = of_words(&words)
                .map(|port| (port.host, port.number, port.source))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(a, b, c)| ((*a).to_owned(), *b, (*c).to_owned()))
                .collect();
            assert_eq!(found, expected, "{command}");
        }
        for (address, expected) in [
            ("127.0.0.1:80", Some(80)),
            ("[::1]:443", Some(443)),
            ("db.example:5432", None),
        ] {
            let probe = Probe::Tcp {
                address: address.into(),
            };
            assert_eq!(of_probe(&probe).map(|port| port.number), expected, "{address}");
        }
    }
}
