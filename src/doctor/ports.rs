//! Ports: who has them, whether the app may, and who can reach it.

use std::path::{Path, PathBuf};

use super::{Check, Finding, Patient};
use crate::{
    health::state::Phase,
    service::{Os, Port, Profile, Scope},
    system::{EntryKind, Probe},
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "port-taken",
        [
            "another process listens on the app's port",
            "the port of its probe, its arguments and `PORT`; the listening sockets and whose they are",
            "`systemctl stop` of the other one, or another port",
        ],
        taken,
    )
    .on(Os::Linux),
    Check::error(
        "port-privileged",
        [
            "it is to listen on a port that only root, or a capability, may",
            "the port, `net.ipv4.ip_unprivileged_port_start`; only while it does not run",
            "the standard profile, which gives the capability; in user scope a lower limit",
        ],
        privileged,
    )
    .on(Os::Linux),
];

/// A socket that listens (proc(5), `/proc/net/tcp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    /// Whether it is reached from everywhere, rather than from one address.
    pub(super) is_open: bool,
    /// Whether it is reached by way of the loopback address.
    pub(super) is_here: bool,
    /// The port.
    pub(super) port: u16,
    inode: String,
}

/// Every TCP socket that listens, where Linux tells it. (Wine shows Linux's files, too; they are not to be opened there.)
pub(super) fn listening(patient: &Patient) -> Vec<Socket> {
    if patient.is_on_windows() {
        return Vec::new();
    }
    let files = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = files.map(|file| patient.look.read(Path::new(file)).unwrap_or_default());
    texts
        .iter()
        .flat_map(|text| sockets(&String::from_utf8_lossy(text)))
        .collect()
}

fn sockets(text: &str) -> Vec<Socket> {
    const LISTEN: &str = "0A";
    let socket = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        if *words.get(3)? != LISTEN {
            return None;
        }
        let is_open = address.chars().all(|c| c == '0');
        // 127.x.y.z and ::1, in the byte order of the machine; and IPv4 within IPv6.
        let is_loopback = match address.len() {
            8 => address.ends_with("7F"),
            _ => {
                address == "00000000000000000000000001000000"
                    || (address.contains("FFFF0000") && address.ends_with("7F"))
            }
        };
        Some(Socket {
            is_open,
            is_here: is_open || is_loopback,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: (*words.get(9)?).to_owned(),
        })
    };
    text.lines().skip(1).filter_map(socket).collect()
}

/// The process that has a socket, as far as we may see that.
#[derive(Debug, Clone)]
struct Owner {
    pid: u32,
    name: String,
    unit: Option<String>,
    /// Whether that unit is of a user's service manager.
    is_users: bool,
}

impl Owner {
    /// Whether it is a process of the app.
    fn is_of(&self, patient: &Patient) -> bool {
        self.unit.as_ref() == Some(&patient.unit()) || Some(self.pid) == patient.app.live.pid
    }
}

fn owner(look: &dyn Probe, socket: &Socket) -> Option<Owner> {
    let target = PathBuf::from(format!("socket:[{}]", socket.inode));
    let processes = look.list(Path::new("/proc")).unwrap_or_default();
    let pids = processes
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let files = look.list(Path::new(&format!("/proc/{pid}/fd"))).unwrap_or_default();
        files
            .iter()
            .any(|file| matches!(look.entry(file), Ok(Some(entry)) if entry.kind == EntryKind::Link(target.clone())))
    };
    let pid = pids.into_iter().find(has_it)?;
    let text = |file: &str| {
        let bytes = look.read(Path::new(&format!("/proc/{pid}/{file}"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    let groups = text("cgroup");
    Some(Owner {
        pid,
        name: text("comm"),
        unit: unit_of(&groups),
        is_users: groups.contains("/user@"),
    })
}

/// The unit in the path of a control group.
fn unit_of(groups: &str) -> Option<String> {
    let mut parts = groups.lines().flat_map(|line| line.rsplit('/'));
    parts
        .find(|part| part.ends_with(".service") && !part.starts_with("user@"))
        .map(str::to_owned)
}

/// Whether a socket is the app's own; none where that cannot be seen.
pub(super) fn is_own(patient: &Patient, socket: &Socket) -> Option<bool> {
    let owner = owner(patient.look, socket)?;
    Some(owner.is_of(patient))
}

fn taken(patient: &Patient) -> Vec<Finding> {
    // What its arguments name may be the port of somebody else, whom it asks: then only its own words tell.
    let in_use = ["ddress already in use", "EADDRINUSE", "ddress in use"];
    let says_so = patient.ending.is_some()
        && patient
            .lines
            .iter()
            .any(|line| in_use.iter().any(|sign| line.contains(sign)));
    let is_meant = |port: &Port| says_so || port.source.ends_with(" probe");
    let ports: Vec<_> = patient.service.ports().into_iter().filter(is_meant).collect();
    // Another process may have the port for it: that of a container, or of a socket unit.
    let pulse = patient.app.live.pulse.as_ref();
    let is_well =
        patient.app.live.is_up() && patient.ending.is_none() && pulse.is_none_or(|pulse| pulse.phase == Phase::Ready);
    if ports.is_empty() || is_well {
        return Vec::new();
    }
    let sockets = listening(patient);
    let mut findings = Vec::new();
    for Port { number, source, .. } in ports {
        let Some(socket) = sockets.iter().find(|socket| socket.port == number && socket.is_here) else {
            continue;
        };
        let Some(owner) = owner(patient.look, socket) else {
            // Whose it is, is only root's to see: of an app that runs it is mostly its own.
            if !patient.app.live.is_up() {
                let finding = Finding::new(format!("something listens on port {number} already"))
                    .seen(format!("the port is from {source}"));
                findings.push(
                    finding
                        .run("sudo ss -ltnp")
                        .by_hand("end what it shows, or give the app another port"),
                );
            }
            continue;
        };
        if owner.is_of(patient) {
            continue;
        }
        let finding = Finding::new(format!("port {number} is taken by {} ({})", owner.name, owner.pid))
            .seen(format!("the port is from {source}"));
        findings.push(match &owner.unit {
            _ if owner.pid <= 1 => {
                finding.by_hand("`systemctl list-sockets` shows for whom; or give the app another port")
            }
            Some(unit) if is_of_containers(unit) => finding.by_hand(format!(
                "a container of {unit} has it: end that one, or give the app another port"
            )),
            Some(unit) if owner.is_users == (patient.service.scope == Scope::User) => finding
                .seen(format!("that process is of {unit}"))
                .run(patient.manager(&format!("stop {}", shell_words::quote(unit))))
                .by_hand("or give the app another port"),
            _ => finding
                .run(format!("kill {}", owner.pid))
                .by_hand("or give the app another port"),
        });
    }
    findings
}

/// Whether it is a container engine, all of whose containers would end with it.
fn is_of_containers(unit: &str) -> bool {
    ["docker", "containerd", "podman", "crio"]
        .iter()
        .any(|engine| unit.starts_with(engine))
}

fn privileged(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    let is_given =
        service.scope == Scope::System && service.security.profile != Profile::None && patient.is_of_systemd();
    if patient.app.live.is_up() && patient.ending.is_none() || is_given || patient.is_root() {
        return Vec::new();
    }
    let limit = patient
        .look
        .read(Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
        .unwrap_or_default();
    let limit = String::from_utf8_lossy(&limit).trim().parse().unwrap_or(1024);
    let Some(port) = service.ports().into_iter().find(|port| port.number < limit) else {
        return Vec::new();
    };
    let Port { number, source, .. } = port;
    let finding = Finding::new(format!("{} may not listen on port {number}", patient.user_name())).seen(format!(
        "the port is from {source}; ports from {limit} on are everybody's"
    ));
    if service.scope == Scope::System && patient.is_of_systemd() {
        finding.edit(patient, "security.profile", "\"standard\"")
    } else {
        finding
            .run(format!("sudo sysctl -w net.ipv4.ip_unprivileged_port_start={number}"))
            .by_hand("to keep it: a line in /etc/sysctl.d; or give the app a port from 1024 on")
    }
    .only()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_others() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100\n\
            1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100\n\
            2: 0500A8C0:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100\n\
            3: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 444 1 0 100\n";
        let found: Vec<_> = sockets(text)
            .into_iter()
            .map(|s| (s.port, s.is_open, s.is_here, s.inode))
            .collect();
        let expected = [
            (8080, false, true, "111"),
            (22, true, true, "222"),
            (80, false, false, "333"),
        ];
        assert_eq!(found, expected.map(|(a, b, c, d)| (a, b, c, d.to_owned())));
    }

    #[test]
    fn the_unit_is_in_the_path_of_the_group() {
        for (groups, unit) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("1:name=systemd:/system.slice/a.service/sub\n", Some("a.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                Some("x.service"),
            ),
            ("0::/user.slice/user-0.slice/session-1.scope", None),
            ("0::/user.slice/user-1.slice/user@1.service/init.scope", None),
        ] {
            assert_eq!(unit_of(groups).as_deref(), unit, "{groups}");
        }
    }
}
