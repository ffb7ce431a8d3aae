//! An HTTP GET and what its answer is worth.

use std::time::Duration;

use ureq::{
    Agent, Body,
    config::Config,
    http::{Response, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use crate::service::Probe;

/// No more of a body is read: what is looked for must stand at its beginning.
const BODY_LIMIT: u64 = 1024 * 1024;
/// What a small question and its answer need; the headers of the answer must fit.
const BUFFER: usize = 16 * 1024;
/// So many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// Asks; a redirect within the same host is followed where that is meant.
pub(super) fn ask(probe: &Probe, timeout: Duration) -> Result<(), String> {
    let Probe::Http { url, is_following, .. } = probe else {
        return Err("it is no address of HTTP".into());
    };
    let mut url = url.clone();
    let until = std::time::Instant::now() + timeout;
    for _ in 0..=MOST_REDIRECTS {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let response = get(probe, &url, left.max(Duration::from_millis(1)))?;
        match next(&url, &response).filter(|_| *is_following) {
            Some(next) => url = next,
            None => return judge(probe, &url, response),
        }
    }
    Err(format!("{url}: more than {MOST_REDIRECTS} redirects"))
}

fn get(probe: &Probe, url: &str, timeout: Duration) -> Result<Response<Body>, String> {
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
    request.call().map_err(|error| format!("{url}: {error}"))
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
    let body = response
        .body_mut()
        .with_config()
        .limit(BODY_LIMIT)
        .lossy_utf8(true)
        .read_to_string()
        .map_err(|error| format!("{url}: {error}"))?;
    if body.contains(expected) {
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
    if location.contains("://") {
        let there: Uri = location.parse().ok()?;
        let is_same = there.scheme() == base.scheme() && there.authority() == base.authority();
        return is_same.then(|| location.to_owned());
    }
    if location.starts_with("//") {
        return None;
    }
    if location.starts_with('/') {
        return Some(host + location);
    }
    let path = base.path();
    let folder = &path[..=path.rfind('/')?];
    Some(format!("{host}{folder}{location}"))
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
    use super::*;

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
        ] {
            assert_eq!(resolve(base, location).as_deref(), expected, "{location}");
        }
    }
}
