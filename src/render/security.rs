//! `[security]` as systemd has it (systemd.exec(5), systemd.resource-control(5)). What breaks what was measured in the labs,
//! one directive at a time.

use std::path::Path;

use super::{
    Dollar,
    devices::{devices, named_devices},
    quoted,
};
use crate::service::{Network, Profile, RunAs, Scope, Service};

/// All that ordinary apps open; what is left out needs privileges, or is none of an app's.
const FAMILIES: &str = "AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_ALG AF_BLUETOOTH AF_CAN AF_VSOCK";
/// Without `AF_UNIX` there is no multiprocessing, without `AF_NETLINK` no list of interfaces.
const FEW_FAMILIES: &str = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
/// Groups of system calls that only the machine's keeper needs, and the capability that comes with each.
const CALLS: [(&str, &str); 8] = [
    ("@clock", "CAP_SYS_TIME"),
    ("@cpu-emulation", ""),
    ("@debug", "CAP_SYS_PTRACE"),
    ("@module", "CAP_SYS_MODULE"),
    ("@obsolete", ""),
    ("@raw-io", "CAP_SYS_RAWIO"),
    ("@reboot", "CAP_SYS_BOOT"),
    ("@swap", "CAP_SYS_ADMIN"),
];
/// The directives of an app's profile, its folders, devices, capabilities and network.
pub(super) fn directives(service: &Service) -> Vec<String> {
    let mut lines = match (service.security.profile, service.scope) {
        (Profile::None, _) => Vec::new(),
        (Profile::Standard, Scope::System) => standard(service),
        (Profile::Standard, Scope::User) => standard_of_a_user(service),
        (Profile::Strict, Scope::System) => strict(service),
        (Profile::Strict, Scope::User) => strict_of_a_user(service),
    };
    lines.extend(network(service));
    lines.extend(made_folders(service));
    lines
}

/// What of it the target cannot give.
pub(super) fn losses(service: &Service) -> Vec<String> {
    let security = &service.security;
    let mut losses = Vec::new();
    if service.scope == Scope::System {
        return losses;
    }
    match security.profile {
        Profile::None => {}
        Profile::Standard => losses.push(
            "security.profile \"standard\": a user's service manager drops no capabilities and protects neither the \
             system's folders nor the kernel's settings; the system call filter and what goes with it hold"
                .to_owned(),
        ),
        Profile::Strict => losses.push(
            "security.profile \"strict\": a user's service manager drops no capabilities and hides no processes; folders and \
             devices are hidden by a user namespace of the app's own, which the kernel may deny"
                .to_owned(),
        ),
    }
    if !security.devices.is_empty() {
        losses.push("security.devices: a user's service manager cannot choose: with them all devices stay".to_owned());
    }
    if security.network == Network::Loopback {
        losses
            .push("security.network \"loopback\": a user's service manager cannot hold it: without effect".to_owned());
    }
    losses
}

/// No ordinary app misses any of these.
fn standard(service: &Service) -> Vec<String> {
    let needs = &service.security.needs;
    let mut lines = Vec::new();
    if !needs.is_root {
        lines.push("NoNewPrivileges=yes".into());
    }
    lines.extend(capabilities(service));
    if !needs.is_root {
        lines.push("ProtectSystem=full".into());
        lines.extend(writable(service));
    }
    lines.extend(kernel(service));
    lines.push("PrivateMounts=yes".into());
    lines.extend(named_devices(service));
    lines.extend(of_any_user(service, FAMILIES));
    lines.extend(calls(service));
    lines
}

/// All but what is named.
fn strict(service: &Service) -> Vec<String> {
    let mut lines = vec!["UMask=0077".into(), "NoNewPrivileges=yes".into()];
    lines.extend(capabilities(service));
    if kept(service).is_empty() {
        lines.push("PrivateUsers=yes".into()); // a capability within it would be worth nothing outside
    }
    lines.extend(hidden(service));
    lines.extend(kernel(service));
    lines.extend(devices(service));
    if service.run_as == RunAs::Dynamic {
        lines.push("RemoveIPC=yes".into()); // of a user with other apps it would remove theirs
    }
    lines.extend(of_any_user(service, FEW_FAMILIES));
    lines.extend(few_calls(service));
    lines
}

/// What needs no privilege.
fn standard_of_a_user(service: &Service) -> Vec<String> {
    let mut lines = vec!["NoNewPrivileges=yes".into()];
    lines.extend(of_any_user(service, FAMILIES));
    lines.extend(calls(service));
    lines
}

/// What needs no privilege within a user namespace of its own.
fn strict_of_a_user(service: &Service) -> Vec<String> {
    let mut lines: Vec<String> = ["UMask=0077", "NoNewPrivileges=yes", "PrivateUsers=yes"]
        .map(Into::into)
        .into();
    lines.extend(hidden(service));
    let kernels = [
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelTunables=yes",
    ];
    lines.extend(kernels.map(Into::into));
    if service.security.devices.is_empty() && !service.security.needs.usb {
        lines.push("PrivateDevices=yes".into());
    }
    lines.extend(of_any_user(service, FEW_FAMILIES));
    lines.extend(few_calls(service));
    lines
}

/// Other processes' files, homes and processes.
fn hidden(service: &Service) -> Vec<String> {
    let home = if service.security.needs.home {
        "ProtectHome=read-only"
    } else {
        "ProtectHome=yes"
    };
    let mut lines: Vec<String> = ["PrivateTmp=yes", "PrivateMounts=yes", "ProtectSystem=strict"]
        .map(Into::into)
        .into();
    lines.extend(writable(service));
    lines.extend([home.to_owned(), "RestrictNamespaces=yes".into()]);
    if service.scope == Scope::System {
        // Under a user's service manager the one has no effect, and the other keeps a start with several commands from running.
        lines.extend(["ProtectProc=invisible", "PrivateIPC=yes"].map(Into::into));
    }
    lines
}

/// The kernel's own settings; but for what a capability is kept for.
fn kernel(service: &Service) -> Vec<String> {
    let protections = [
        ("ProtectClock=yes", "CAP_SYS_TIME"),
        ("ProtectControlGroups=yes", ""),
        ("ProtectHostname=yes", ""),
        ("ProtectKernelLogs=yes", "CAP_SYSLOG"),
        ("ProtectKernelModules=yes", "CAP_SYS_MODULE"),
        ("ProtectKernelTunables=yes", "CAP_NET_ADMIN"),
    ];
    let is_due = |(_, capability): &(&str, &str)| !has(service, capability);
    protections
        .into_iter()
        .filter(is_due)
        .map(|(line, _)| line.to_owned())
        .collect()
}

/// System call filters that need no privilege.
fn of_any_user(service: &Service, families: &str) -> Vec<String> {
    let needs = &service.security.needs;
    let is_packets = has(service, "CAP_NET_RAW") || has(service, "CAP_NET_ADMIN");
    let packets = if is_packets { " AF_PACKET" } else { "" };
    let mut lines = vec![
        "LockPersonality=yes".to_owned(),
        format!("RestrictAddressFamilies={families}{packets}"),
    ];
    if !has(service, "CAP_SYS_NICE") {
        lines.push("RestrictRealtime=yes".into());
    }
    if !needs.is_root || service.security.profile == Profile::Strict {
        lines.push("RestrictSUIDSGID=yes".into());
    }
    lines.push("SystemCallArchitectures=native".into());
    lines
}

fn calls(service: &Service) -> Vec<String> {
    // With it GPU processes hand memory to each other (pidfd_getfd(2)).
    let is_gpus = |group: &str| group == "@debug" && service.security.needs.gpu;
    let groups: Vec<_> = CALLS
        .iter()
        .filter(|(group, capability)| !has(service, capability) && !is_gpus(group))
        .map(|(group, _)| *group)
        .collect();
    filtered(vec![format!("SystemCallFilter=~{}", groups.join(" "))])
}

fn few_calls(service: &Service) -> Vec<String> {
    let mut lines = Vec::new();
    if service.security.needs.is_native {
        lines.push("MemoryDenyWriteExecute=yes".to_owned());
    }
    lines.push("SystemCallFilter=@system-service".into());
    if service.security.capabilities.is_empty() {
        lines.push("SystemCallFilter=~@privileged".into());
    }
    filtered(lines)
}

/// A call that is refused is an error to the app, not its end: Node and `PyTorch` try and go on.
fn filtered(mut lines: Vec<String>) -> Vec<String> {
    lines.push("SystemCallErrorNumber=EPERM".into());
    lines
}

/// What is kept: what is named, and what a port under 1024 needs.
fn kept(service: &Service) -> Vec<&str> {
    let mut kept: Vec<_> = service.security.capabilities.iter().map(String::as_str).collect();
    let port = "CAP_NET_BIND_SERVICE";
    if service.security.needs.low_port && service.scope == Scope::System && !kept.contains(&port) {
        kept.push(port);
    }
    kept
}

fn has(service: &Service, capability: &str) -> bool {
    service.security.capabilities.iter().any(|kept| kept == capability)
}

/// Root keeps its own under the standard profile: it is what it runs as root for.
fn capabilities(service: &Service) -> Vec<String> {
    let security = &service.security;
    let kept = kept(service).join(" ");
    let is_roots = security.needs.is_root && security.profile == Profile::Standard;
    if is_roots && security.capabilities.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("CapabilityBoundingSet={kept}")];
    if !security.needs.is_root && !kept.is_empty() {
        lines.push(format!("AmbientCapabilities={kept}"));
    }
    lines
}

/// Folders that would be read-only.
fn writable(service: &Service) -> Vec<String> {
    let security = &service.security;
    let is_strict = security.profile == Profile::Strict;
    let own = security.needs.system_folder.iter().filter(|_| !is_strict);
    let is_protected = |folder: &&std::path::PathBuf| {
        is_strict
            || ["/usr", "/boot", "/efi", "/etc"]
                .iter()
                .any(|of| folder.starts_with(of))
    };
    let named = security.writable.iter().filter(is_protected);
    let folders = own.chain(named).filter(|_| service.run_as != RunAs::Dynamic);
    folders
        .map(|folder| format!("ReadWritePaths={}", word(folder)))
        .collect()
}

/// Folders of a throw-away user, which only systemd can give to it.
fn made_folders(service: &Service) -> Vec<String> {
    if service.run_as != RunAs::Dynamic {
        return Vec::new();
    }
    let directive = |folder: &Path| {
        let kinds = [
            ("/var/lib", "StateDirectory"),
            ("/var/cache", "CacheDirectory"),
            ("/var/log", "LogsDirectory"),
        ];
        let mut kinds = kinds.iter();
        kinds.find_map(|(of, name)| Some(format!("{name}={}", word(folder.strip_prefix(of).ok()?))))
    };
    service
        .security
        .writable
        .iter()
        .filter_map(|folder| directive(folder))
        .collect()
}

fn network(service: &Service) -> Vec<String> {
    let lines: &[&str] = match service.security.network {
        Network::Any => &[],
        Network::Loopback if service.scope == Scope::User => &[],
        Network::Loopback => &["IPAddressAllow=localhost", "IPAddressDeny=any"],
        // Without a user namespace a user's service manager would leave the network, without a word.
        Network::None if service.scope == Scope::User && service.security.profile != Profile::Strict => {
            &["PrivateUsers=yes", "PrivateNetwork=yes"]
        }
        Network::None => &["PrivateNetwork=yes"],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// A path as a word of a list.
fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy(), Dollar::Plain)
}
