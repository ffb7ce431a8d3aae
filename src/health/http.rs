//! An HTTP GET and what its answer is worth.

use std::{io::Read as _, time::Duration};

use ureq::{
    Agent, Body,
    config::Config,
    http::{Response, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use super::Wrong;
use crate::service::Probe;

/// No more of a body is read: what is looked for must stand at its beginning.
const BODY_LIMIT: u64 = 1024 * 1024;
/// What a small question and its answer need; the headers of the answer must fit.
const BUFFER: usize = 16 * 1024;
/// So many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// Asks; a redirect within the same host is followed where that is meant.
pub(super) fn ask(probe: &Probe, timeout: Duration) -> Result<(), Wrong> {
    let Probe::Http { url, is_following, .. } = probe else {
        return Err(Wrong::Answer("it is no address of HTTP".into()));
    };
    let mut url = url.clone();
    let until = std::time::Instant::now() + timeout;
    for _ in 0..=MOST_REDIRECTS {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let response = get(probe, &url, left.max(Duration::from_millis(1)))?;
        match next(&url, &response).filter(|_| *is_following) {
            Some(next) => url = next,
            None => return judge(probe, &url, response).map_err(Wrong::Answer),
        }
    }
    Err(Wrong::Answer(format!("{url}: more than {MOST_REDIRECTS} redirects")))
}

fn get(probe: &Probe, url: &str, timeout: Duration) -> Result<Response<Body>, Wrong> {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_redirects(0) // another host is not the app
        .proxy(None)
        .user_agent(concat!("autoglm-boot/", env!("CARGO_PKG_VERSION")));
    let agent = Agent::with_parts(tls(config).build(), DefaultConnector::default(), LookUp);
    let mut request = agent.get(url);
    if let Probe::Http { headers, .. } = probe {
        for (name, value) in headers {
            request = request.header(name, value);
        }
    }
    request.call().map_err(|error| match error {
        ureq::Error::Io(error) => Wrong::of(url, &error),
        error => Wrong::Answer(format!("{url}: {error}")),
    })
}

type Builder = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

/// A certificate must be one that this machine trusts.
#[cfg(feature = "tls")]
fn tls(builder: Builder) -> Builder {
    use ureq::tls::{RootCerts, TlsConfig};
    let config = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    builder.tls_config(config)
}

#[cfg(not(feature = "tls"))]
fn tls(builder: Builder) -> Builder {
    builder
}

fn judge(probe: &Probe, url: &str, mut response: Response<Body>) -> Result<(), String> {
    let Probe::Http {
        expect_status,
        expect_body,
        ..
    } = probe
    else {
        return Ok(());
    };
    let status = response.status().as_u16();
    if !expect_status.iter().any(|&(low, high)| (low..=high).contains(&status)) {
        return Err(format!("{url} answered {status}"));
    }
    let Some(expected) = expect_body else { return Ok(()) };
    let mut body = Vec::new();
    let beginning = response.body_mut().as_reader().take(BODY_LIMIT).read_to_end(&mut body);
    beginning.map_err(|error| format!("{url}: {error}"))?;
    if String::from_utf8_lossy(&body).contains(expected) {
        Ok(())
    } else {
        Err(format!("{url} answered {status} without {expected:?} in its body"))
    }
}

/// Where a redirect leads, if it is one within the same host.
fn next(url: &str, response: &Response<Body>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get("location")?.to_str().ok()?;
    resolve(url, location)
}

/// A reference within the same host, as an address (RFC 3986, 5.2).
fn resolve(url: &str, location: &str) -> Option<String> {
    let base: Uri = url.parse().ok()?;
    let host = format!("{}://{}", base.scheme_str()?, base.authority()?);
    let location = location.split('#').next().unwrap_or_default();
    if location
        .split(['/', '?'])
        .next()
        .is_some_and(|start| start.contains(':'))
    {
        let there: Uri = location.parse().ok()?;
        let place = |uri: &Uri| Some((uri.scheme()?.clone(), uri.host()?.to_owned(), port(uri)));
        let is_same = place(&there)? == place(&base)?;
        return is_same.then(|| location.to_owned());
    }
    if location.starts_with("//") {
        return None;
    }
    let path = base.path();
    Some(match location.chars().next() {
        None => url.to_owned(),
        Some('/') => host + location,
        Some('?') => format!("{host}{path}{location}"),
        Some(_) => format!("{host}{}{location}", &path[..=path.rfind('/')?]),
    })
}

/// The one that is written, or that of the scheme.
fn port(uri: &Uri) -> u16 {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    uri.port_u16().unwrap_or(usual)
}

/// An address in the url needs no looking up, and no thread for it.
#[derive(Debug)]
struct LookUp;

impl Resolver for LookUp {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let literal = uri.scheme().zip(uri.authority()).and_then(|(scheme, authority)| {
            let address = DefaultResolver::host_and_port(scheme, authority)?;
            address.parse().ok()
        });
        let Some(socket) = literal else {
            return DefaultResolver::default().resolve(uri, config, timeout);
        };
        let mut found = self.empty();
        found.push(socket);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_stands_at_the_beginning_of_a_long_body_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("it has one"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it is asked");
            let _ = stream.read(&mut [0; 1024]);
            let body = "well ".repeat(1024 * 1024);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        });
        let probe = Probe::Http {
            url,
            expect_status: vec![(200, 200)],
            expect_body: Some("well well".into()),
            headers: Vec::new(),
            is_following: true,
        };
        assert_eq!(ask(&probe, Duration::from_secs(20)), Ok(()));
        server.join().expect("it answered");
    }

    #[test]
    fn a_redirect_is_followed_within_its_host_only() {
        let base = "http://127.0.0.1:80/a/b?c";
        for (location, expected) in [
            ("/x", Some("http://127.0.0.1:80/x")),
            ("x?y", Some("http://127.0.0.1:80/a/x?y")),
            ("http://127.0.0.1:80/z#part", Some("http://127.0.0.1:80/z")),
            ("http://127.0.0.1:81/z", None),
            ("https://127.0.0.1:80/z", None),
            ("//elsewhere/z", None),
            (
                "/login?next=http://elsewhere/",
                Some("http://127.0.0.1:80/login?next=http://elsewhere/"),
            ),
            ("z?next=a:b", Some("http://127.0.0.1:80/a/z?next=a:b")),
            ("?x", Some("http://127.0.0.1:80/a/b?x")),
            ("http://127.0.0.1/z", Some("http://127.0.0.1/z")),
            ("", Some("http://127.0.0.1:80/a/b?c")),
            ("mailto:somebody", None),
        ] {
            assert_eq!(resolve(base, location).as_deref(), expected, "{location}");
        }
    }
}
