//! Addresses that are asked: of an http probe, and of a tcp probe.

/// What is wrong with the address of an http probe, and the repair.
pub(super) fn check_url(url: &str) -> Result<(), (String, &'static str)> {
    let help = "write it like \"http://127.0.0.1:8080/health\"";
    let wrong = || (format!("{url:?} is no http address"), help);
    let parsed: ureq::http::Uri = url.parse().map_err(|_| wrong())?;
    let authority = parsed.authority().ok_or_else(wrong)?;
    let is_https = parsed.scheme_str() == Some("https");
    if is_https && !cfg!(feature = "tls") {
        let message = "this build asks http only: TLS is not in it".into();
        let help = "ask the app itself: http://127.0.0.1:PORT/…; or use a build with the cargo feature \"tls\"";
        return Err((message, help));
    }
    if authority.as_str().contains('@') {
        return Err(("a name and password in the address are not sent".into(), help));
    }
    let is_port_right = match authority.port() {
        Some(_) => authority.port_u16().is_some_and(|port| port > 0),
        None => authority.as_str() == authority.host(),
    };
    if !(is_https || parsed.scheme_str() == Some("http")) || authority.host().is_empty() || !is_port_right {
        return Err(wrong());
    }
    Ok(())
}

/// What is wrong with a host and a port, and the repair.
pub(super) fn check_address(address: &str) -> Result<(), (String, String)> {
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
    fn only_http_with_a_host_is_asked() {
        for url in [
            "http://127.0.0.1:8000/health",
            "http://localhost",
            "http://[::1]:80/a?b=c",
            "http://my-host/a%20b",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
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
    fn https_is_asked_by_a_build_that_has_it() {
        for url in ["https://h/", "HTTPS://h:443/"] {
            assert_eq!(check_url(url).is_ok(), cfg!(feature = "tls"), "{url}");
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
