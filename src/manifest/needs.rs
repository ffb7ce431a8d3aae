//! `[requirements]` and `[security]`: what the app needs of the machine, and what it does not need.

use super::{
    Field,
    node::{Node, Value},
    scalars::{Wrong, expected, line, one_of, size},
    table::Table,
};
use crate::{
    manifest::At,
    requirement::{Requirement, driver, specifiers},
    service::Cuda,
};

/// `[requirements]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct RequirementsTable {
    pub python: Field<String>,
    pub packages: Vec<At<String>>,
    pub executables: Vec<At<String>>,
    pub cuda: Field<Option<Cuda>>,
    pub disk: Field<u64>,
    pub memory: Field<u64>,
}

/// `[security]`
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the keys of the manifest, shown in examples/complete.toml")]
pub struct SecurityTable {
    pub profile: Field<String>,
    pub writable_directories: Vec<At<String>>,
    pub devices: Vec<At<String>>,
    pub capabilities: Vec<At<String>>,
    pub network: Field<String>,
}

pub(super) fn requirements(table: &mut Table) -> RequirementsTable {
    RequirementsTable {
        python: table.take("python", python),
        packages: table.list("packages", package),
        executables: table.list("executables", executable),
        cuda: table.take("cuda", cuda),
        disk: table.take("disk", size),
        memory: table.take("memory", size),
    }
}

pub(super) fn security(table: &mut Table) -> SecurityTable {
    SecurityTable {
        profile: table.take("profile", |node| one_of(node, &["none", "standard", "strict"])),
        writable_directories: table.list("writable_directories", line),
        devices: table.list("devices", device),
        capabilities: table.list("capabilities", capability),
        network: table.take("network", |node| one_of(node, &["any", "loopback", "none"])),
    }
}

fn python(node: &Node) -> Result<String, Wrong> {
    let text = line(node)?;
    specifiers(&text).map_err(|message| (message, Some("like \">=3.9\" or \">=3.9,<3.13\" (PEP 440)".into())))?;
    Ok(text)
}

fn package(node: &Node) -> Result<String, Wrong> {
    let text = line(node)?;
    Requirement::parse(&text).map_err(|(message, help)| (message, Some(help.into())))?;
    Ok(text)
}

/// A bare name: where it lies is what is to be found out.
fn executable(node: &Node) -> Result<String, Wrong> {
    let name = line(node)?;
    if name.contains('/') {
        let help = "name the program only: it is found on the service's PATH (service.path puts folders before it)";
        return Err((format!("{name:?} is a path"), Some(help.into())));
    }
    Ok(name)
}

fn cuda(node: &Node) -> Result<Option<Cuda>, Wrong> {
    match &node.value {
        Value::Bool(true) => Ok(Some(Cuda::Any)),
        Value::Bool(false) => Ok(None),
        Value::String(text) if driver(text).is_some() => Ok(Some(Cuda::AtLeast(text.clone()))),
        Value::String(text) => {
            let help = "the least version of NVIDIA's driver, like \"535\" or \"535.104.05\"";
            Err((format!("{text:?} is no version of a driver"), Some(help.into())))
        }
        _ => Err(expected("true, false or the least version of the driver", node)),
    }
}

fn device(node: &Node) -> Result<String, Wrong> {
    let text = line(node)?;
    let is_path = text.strip_prefix("/dev/").is_some_and(|rest| {
        !rest.is_empty()
            && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !text.contains(char::is_whitespace)
    });
    if text == "nvidia" || is_path {
        return Ok(text);
    }
    let help = "\"nvidia\", or a path like \"/dev/ttyUSB0\"";
    Err((format!("{text:?} is no device"), Some(help.into())))
}

/// The capabilities of capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

fn capability(node: &Node) -> Result<String, Wrong> {
    one_of(node, &CAPABILITIES)
}
