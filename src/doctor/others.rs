//! What lets others in: who else can change what runs, or reach it.

use std::path::{Path, PathBuf};

use super::{
    Check, Finding, Patient,
    patient::quoted,
    places::described,
    ports::{is_own, listening},
    program::{list, script, text},
};
use crate::{
    program::Interpreter,
    service::{Os, RunAs},
    system::{Entry, EntryKind},
};

pub(super) const CHECKS: &[Check] = &[
    Check::warning(
        "open-to-others",
        [
            "others can change what it runs: of root anybody else, of a user everybody",
            "owner and mode of its program, script and folder, and of all folders above",
            "`chmod`, `chown`, or another `service.user`",
        ],
        open,
    )
    .on(Os::Linux),
    Check::warning(
        "listens-on-all",
        [
            "it, or what its probe asks, is reached from every network that the machine is in",
            "its arguments, its probe; of an app that runs its sockets (Linux)",
            "`127.0.0.1` and a proxy, `security.network = \"loopback\"`, or a firewall",
        ],
        listens,
    ),
];

/// What a change of would change what runs.
fn executed(patient: &Patient) -> Vec<PathBuf> {
    let service = patient.service;
    let mut places = vec![service.working_directory.clone()];
    for argv in service.pre_start.iter().chain([&service.command]) {
        let Some(program) = argv.first().map(PathBuf::from) else {
            continue;
        };
        places.extend(Interpreter::of(patient.look, &program).map(|of| of.program));
        places.push(program);
        places.extend(script(patient, argv));
    }
    places.extend(service.path.iter().cloned());
    places.extend(service.environment_files.iter().cloned());
    places
}

fn open(patient: &Patient) -> Vec<Finding> {
    let is_root = patient.is_root();
    let can = |entry: &Entry| {
        let is_everybodys = entry.mode & 0o002 != 0;
        let is_anothers = entry.uid != 0 || (entry.mode & 0o020 != 0 && entry.gid != 0);
        is_everybodys || (is_root && is_anothers)
    };
    let mut findings: Vec<Finding> = Vec::new();
    for place in executed(patient) {
        for (depth, part) in place.ancestors().enumerate() {
            let Ok(Some(entry)) = patient.look.target(part) else {
                continue;
            };
            // In a sticky folder (/tmp) nobody changes what is another's.
            let is_sticky = depth > 0 && entry.mode & 0o1000 != 0;
            if entry.kind == EntryKind::Other || is_sticky || !can(&entry) {
                continue;
            }
            let message = if is_root {
                format!("it runs as root, and others can change {}", part.display())
            } else {
                format!("everybody can change {}", part.display())
            };
            if findings.iter().any(|finding| finding.message == message) {
                continue;
            }
            let finding = Finding::new(message).seen(described(patient, part, &entry));
            let owner = patient.look.user(&entry.uid.to_string());
            // In a home the person it belongs to changes what they like, whosever a file is; and the home stays theirs.
            let home = owner.as_ref().map(|user| user.home.clone());
            let is_in_home = home.is_some_and(|home| home != Path::new("/") && part.starts_with(home));
            findings.push(match owner.and_then(|user| user.name) {
                _ if entry.mode & 0o002 != 0 => finding.run(format!("chmod o-w {}", quoted(part))),
                Some(owner) if entry.uid != 0 && part == patient.service.working_directory => {
                    finding.edit(patient, "service.user", text(&owner))
                }
                _ if entry.uid != 0 && is_in_home => {
                    finding.by_hand("put the app where only root writes, such as /opt, or run it as that user")
                }
                _ if entry.uid != 0 => finding.run(format!("chown root {}", quoted(part))),
                _ => finding.run(format!("chmod g-w {}", quoted(part))),
            });
        }
    }
    findings
}

/// The address of everywhere.
fn is_everywhere(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "[::]" | "*")
}

/// Whether a word of a command, after another one, names the address of everywhere.
fn is_open(before: &str, word: &str) -> bool {
    let (option, host) = word.rsplit_once('=').unwrap_or((before, word));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.is_empty() => (host, port),
        _ => (host, ""),
    };
    // A star has other meanings too: origins, proxies that are believed, files.
    let last = option.rsplit(['-', '_', '.']).next().unwrap_or_default().to_lowercase();
    let is_of_address = matches!(last.as_str(), "host" | "bind" | "listen" | "address");
    let is_port = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    match host {
        "*" => is_port || (port.is_empty() && is_of_address),
        "::" => is_of_address,
        host => is_everywhere(host),
    }
}

fn listens(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    if service.security.network != crate::service::Network::Any
        || service.run_as == RunAs::Dynamic && service.ports().is_empty()
    {
        return Vec::new();
    }
    let mut seen = Vec::new();
    for port in service.ports().iter().filter(|port| is_everywhere(&port.host)) {
        seen.push(format!("{}: port {} of {}", port.source, port.number, port.host));
    }
    let words = service.command.windows(2);
    let named = words
        .map(|two| (&two[0], &two[1]))
        .find(|(before, word)| is_open(before, word));
    seen.extend(named.map(|(_, word)| format!("the command names {word}")));
    if seen.is_empty() && patient.app.live.is_up() {
        let own = listening(patient)
            .into_iter()
            .filter(|socket| socket.is_open && is_own(patient, socket) == Some(true));
        seen.extend(
            own.map(|socket| format!("its port {} is open to every address", socket.port))
                .next(),
        );
    }
    if seen.is_empty() {
        return Vec::new();
    }
    let mut finding = Finding::new("it is reached from every network that the machine is in");
    for place in seen {
        finding = finding.seen(place);
    }
    let words: Vec<_> = service
        .command
        .iter()
        .map(|word| word.replace("0.0.0.0", "127.0.0.1"))
        .collect();
    let finding = if words == service.command {
        finding
    } else {
        finding.edit(patient, "service.command", list(&words))
    };
    finding
        .by_hand(
            "if others are meant to reach it: a proxy that knows them, or a firewall; else let it listen on 127.0.0.1",
        )
        .only()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_an_address_only_where_one_is_expected() {
        for command in [
            "--bind 0.0.0.0",
            "--bind 0.0.0.0:80",
            "serve 0.0.0.0:80",
            "--host=0.0.0.0",
            "--host *",
            "--http-host=*",
            "--bind=*:80",
            "-b *:80",
            "-b [::]:80",
            "--host ::",
            "--server.address=*",
            "HOST=*",
        ] {
            let (before, word) = command.split_once(' ').unwrap_or(("app", command));
            assert!(is_open(before, word), "{command}");
        }
        for command in [
            "--forwarded-allow-ips=*",
            "--forwarded-allow-ips *",
            "--cors=*",
            "--allowed-hosts=*",
            "--log *:debug",
            "-b :80",
            "--host 127.0.0.1:80",
            "--host ::1",
            "std::fs",
            "=",
            "",
        ] {
            let (before, word) = command.split_once(' ').unwrap_or(("app", command));
            assert!(!is_open(before, word), "{command}");
        }
    }
}
