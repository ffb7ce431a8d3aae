//! HTTPS probes, for real: a server with a certificate of our own making, by a build that has the feature `tls`.
#![cfg(feature = "tls")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{fs, process::Command};

use support::home::{Home, free_port, soon};

/// Answers at a port, with a certificate and its key.
const SERVER: &str = "import http.server, ssl, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if __import__('os').path.exists('sick') else 200)
        self.end_headers()
        self.wfile.write(b'well')
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + '.pem', 'key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// An authority, and certificates of it: for this machine, for another one, and one whose time is over.
const CERTIFICATES: &str = "\
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=an authority'
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request -subj '/CN=an app'
certify() { echo \"subjectAltName=$2\" >names; openssl x509 -req -in request -CA ca.pem -CAkey ca.key -days $3 -extfile names -out $1.pem; }
certify here IP:127.0.0.1 1
certify other DNS:other.example 1
certify over IP:127.0.0.1 0
";

fn home() -> Home {
    let home = Home::new();
    fs::write(home.path("server.py"), SERVER).unwrap();
    let out = Command::new("sh")
        .args(["-ec", CERTIFICATES])
        .current_dir(home.path(""))
        .output();
    let out = out.expect("openssl is needed");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    home
}

/// Installs an app with this certificate; what is trusted is only our authority, or what this machine trusts.
fn install(home: &Home, certificate: &str, is_trusted: bool) -> (i32, String) {
    let port = free_port();
    let limit = if certificate == "here" && is_trusted { 30 } else { 2 };
    home.app(
        "app",
        &format!(
            "command = [\"python3\", \"server.py\", \"{port}\", \"{certificate}\"]\nstart_timeout = \"{limit}s\"\n\
             [health]\nhttp = \"https://127.0.0.1:{port}/\"\nexpect_body = \"well\"\ninterval = \"200ms\"\nretries = 1\n\
             [restart]\npolicy = \"never\""
        ),
    );
    let mut command = home.command(&["install"]);
    if is_trusted {
        command.env("SSL_CERT_FILE", home.path("ca.pem"));
    }
    let out = command.output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn a_certificate_counts_if_it_is_trusted_and_for_this_name_and_time() {
    let home = home();
    for (certificate, is_trusted, why) in [
        ("here", false, "UnknownIssuer"),
        ("other", true, "not valid for name"),
        ("over", true, "expired"),
    ] {
        let (code, said) = install(&home, certificate, is_trusted);
        assert!(code == 1 && said.contains(why), "{certificate}: {code} {said}");
    }
    let (code, said) = install(&home, "here", true);
    assert!(code == 0 && said.contains("installed and ready"), "{said}");
    let probe = || {
        let mut command = home.command(&["probe", "app"]);
        command
            .env("SSL_CERT_FILE", home.path("ca.pem"))
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(probe(), Some(0));
    // The same question is that of its health.
    fs::write(home.path("sick"), "").unwrap();
    soon("it has failed", || home.ask(&["status"]).0 == 3);
    let said = home.run(&["logs"], 0);
    assert!(
        said.contains("https://127.0.0.1") && said.contains("answered 500"),
        "{said}"
    );
    assert_ne!(probe(), Some(0));
}
