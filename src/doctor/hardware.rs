//! Devices: NVIDIA's driver and its nodes, and whatever else is named.

use std::path::{Path, PathBuf};

use super::{
    Check, Finding, Patient,
    patient::{quoted, supplementary},
    places::described,
    program,
};
use crate::{
    requirement::driver,
    service::{Cuda, Os, Profile, RunAs},
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "gpu-driver",
        [
            "NVIDIA's kernel driver is not loaded, or too old for `requirements.cuda`",
            "`/proc/driver/nvidia/version`, `/proc/modules`",
            "`modprobe nvidia`, or a newer driver",
        ],
        gpu_driver,
    )
    .on(Os::Linux),
    Check::error(
        "gpu-mismatch",
        [
            "the driver's library is of another version than the driver that runs: it was updated without a reboot",
            "`/proc/driver/nvidia/version`, `libcuda.so.*`",
            "a reboot",
        ],
        gpu_mismatch,
    )
    .on(Os::Linux),
    Check::error(
        "gpu-node-missing",
        [
            "the driver runs, but its device nodes are not there yet: CUDA falls back to the CPU",
            "`/dev/nvidiactl`, `/dev/nvidia0`, `/dev/nvidia-uvm`",
            "`nvidia-modprobe`",
        ],
        gpu_nodes,
    )
    .on(Os::Linux),
    Check::error(
        "gpu-closed",
        [
            "the app's user may not use the GPU's device nodes",
            "the nodes, asked as that user",
            "the group that may, for that user",
        ],
        gpu_closed,
    )
    .on(Os::Linux),
    Check::error(
        "device-missing",
        [
            "a device that the app is to use is not there",
            "`security.devices`",
            "what makes it: a cable, a driver",
        ],
        missing,
    )
    .on(Os::Linux),
    Check::error(
        "device-closed",
        [
            "the app's user may not use a device that it is to use",
            "the node, asked as that user",
            "the group that may, for that user; for a throw-away one `SupplementaryGroups`",
        ],
        closed,
    )
    .on(Os::Linux),
];

const VERSION: &str = "/proc/driver/nvidia/version";
const NODES: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm"];

/// Whether a GPU of NVIDIA is asked for in so many words; under WSL it is behind another node.
fn wants_gpu(patient: &Patient) -> bool {
    let service = patient.service;
    let is_named =
        service.requirements.cuda.is_some() || service.security.devices.iter().any(|device| device == "nvidia");
    is_named && !is_there(patient, Path::new("/dev/dxg"))
}

fn is_there(patient: &Patient, path: &Path) -> bool {
    matches!(patient.look.target(path), Ok(Some(_)))
}

fn text(patient: &Patient, path: &str) -> String {
    let bytes = patient.look.read(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The version in `NVRM version: NVIDIA UNIX … Kernel Module for x86_64  550.54.15  Release Build …`.
fn running(patient: &Patient) -> Option<String> {
    let text = text(patient, VERSION);
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && driver(word).is_some();
    line.split_whitespace().find(is_version).map(str::to_owned)
}

fn gpu_driver(patient: &Patient) -> Vec<Finding> {
    if !wants_gpu(patient) {
        return Vec::new();
    }
    let Some(version) = running(patient) else {
        let modules = text(patient, "/proc/modules");
        let has = |module: &str| modules.lines().any(|line| line.split(' ').next() == Some(module));
        let finding = Finding::new("NVIDIA's driver is not loaded").seen(format!("there is no {VERSION}"));
        return if has("nouveau") {
            finding
                .seen("nouveau is loaded, which knows no CUDA and keeps the other one away")
                .by_hand("install NVIDIA's driver, which blacklists nouveau, and reboot")
        } else {
            finding
                .run("modprobe nvidia")
                .by_hand("if that fails: install NVIDIA's driver for this kernel")
        }
        .only();
    };
    let Some(Cuda::AtLeast(wish)) = &patient.service.requirements.cuda else {
        return Vec::new();
    };
    if driver(&version) >= driver(wish) {
        return Vec::new();
    }
    Finding::new(format!("NVIDIA's driver {wish} is required"))
        .seen(format!("{VERSION}: {version}"))
        .by_hand(format!("install a driver of version {wish} or newer, and reboot"))
        .only()
}

fn gpu_mismatch(patient: &Patient) -> Vec<Finding> {
    let Some(version) = running(patient).filter(|_| wants_gpu(patient)) else {
        return Vec::new();
    };
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"].map(Path::new);
    let files = folders
        .iter()
        .flat_map(|folder| patient.look.list(folder).unwrap_or_default());
    let versions: Vec<_> = files
        .filter_map(|file| {
            let name = file.file_name()?.to_str()?.strip_prefix("libcuda.so.")?.to_owned();
            name.contains('.').then_some(name)
        })
        .collect();
    if versions.is_empty() || versions.contains(&version) {
        return Vec::new();
    }
    Finding::new("NVIDIA's library does not fit the driver that runs")
        .seen(format!("the driver is {version}, libcuda is {}", versions.join(", ")))
        .run("reboot")
        .only()
}

fn gpu_nodes(patient: &Patient) -> Vec<Finding> {
    if !wants_gpu(patient) || running(patient).is_none() {
        return Vec::new();
    }
    let absent: Vec<_> = NODES
        .into_iter()
        .filter(|node| !is_there(patient, Path::new(node)))
        .collect();
    if absent.is_empty() {
        return Vec::new();
    }
    Finding::new("the driver's device nodes are not there")
        .seen(format!("missing: {}", absent.join(", ")))
        .run("nvidia-modprobe -c 0 -u")
        .edit(patient, "dependencies.wait_for", "[\"file:///dev/nvidia0\"]")
        .only()
}

fn gpu_closed(patient: &Patient) -> Vec<Finding> {
    if !wants_gpu(patient) {
        return Vec::new();
    }
    NODES
        .iter()
        .filter_map(|node| closed_node(patient, Path::new(node)))
        .collect()
}

/// The nodes that are named by their paths.
fn nodes<'a>(patient: &'a Patient) -> impl Iterator<Item = PathBuf> + 'a {
    let devices = patient.service.security.devices.iter();
    devices.filter(|device| device.starts_with("/dev/")).map(PathBuf::from)
}

fn missing(patient: &Patient) -> Vec<Finding> {
    if patient.service.security.profile == Profile::None {
        return Vec::new();
    }
    nodes(patient)
        .filter(|node| !is_there(patient, node))
        .map(|node| {
            Finding::new(format!("there is no device {}", node.display()))
                .seen("security.devices names it")
                .by_hand("plug it in, or load its driver; udevadm monitor shows what comes")
        })
        .collect()
}

fn closed(patient: &Patient) -> Vec<Finding> {
    nodes(patient).filter_map(|node| closed_node(patient, &node)).collect()
}

fn closed_node(patient: &Patient, node: &Path) -> Option<Finding> {
    if patient.is_root() || !is_there(patient, node) || (patient.may("-r", node) && patient.may("-w", node)) {
        return None;
    }
    let entry = patient.look.target(node).ok()??;
    let user = patient.user_name();
    let finding = Finding::new(format!("{user} may not use {}", node.display())).seen(described(patient, node, &entry));
    let group = patient
        .look
        .group(&entry.gid.to_string())
        .filter(|_| entry.mode & 0o060 == 0o060 && entry.gid != 0);
    let mut groups = supplementary(patient.service);
    // Only root can ask with groups that the unit adds.
    let is_added =
        group.as_ref().is_some_and(|group| groups.contains(group)) || groups.contains(&entry.gid.to_string());
    if is_added && patient.look.euid() != 0 {
        return None;
    }
    Some(match group {
        // Nobody can put a throw-away user into a group.
        Some(group) if patient.service.run_as == RunAs::Dynamic => {
            let finding = finding.seen(format!("its group {group} may"));
            groups.push(group);
            let value = program::text(&groups.join(" "));
            finding.edit(patient, "raw.systemd.Service.SupplementaryGroups", value)
        }
        Some(group) => finding
            .seen(format!("its group {group} may"))
            .run(format!("usermod -aG {group} {}", shell_words::quote(&user))),
        None => finding.run(format!("chmod a+rw {}", quoted(node))),
    })
}
