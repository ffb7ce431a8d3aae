//! What an app could still do: the points of `systemd-analyze security`, and what closing each would cost the app. What breaks what
//! was measured in the labs, or is systemd.exec(5)'s own word.

use serde::{Deserialize, Serialize};

use crate::service::Profile;

/// A point of the assessment that is open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The directive, as systemd names it.
    pub directive: String,
    /// How much it counts, of 10 for all of them.
    pub exposure: f64,
    /// What the app can do.
    pub what: String,
    /// What would close it.
    pub close: &'static str,
    /// What that would cost the app.
    pub cost: &'static str,
}

/// The assessment of one unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// From 0 (closed) to 10 (open).
    pub exposure: f64,
    /// What is open, the widest first.
    pub points: Vec<Point>,
}

/// As `systemd-analyze security --json=short` has it.
#[derive(Deserialize)]
struct Row {
    name: String,
    json_field: String,
    description: String,
    exposure: Option<String>,
}

/// Reads both outputs: the rows, and the text that has their sum.
pub fn assessment(json: &str, text: &str, profile: Profile) -> Option<Assessment> {
    let rows: Vec<Row> = serde_json::from_str(json).ok()?;
    let (_, sum) = text.split_once("verall exposure level for ")?;
    let (_, sum) = sum.split_once(": ")?;
    let exposure = sum.split_whitespace().next()?.parse().ok()?;
    let mut points: Vec<_> = rows.into_iter().filter_map(|row| point(row, profile)).collect();
    points.sort_by(|a, b| {
        b.exposure
            .total_cmp(&a.exposure)
            .then_with(|| a.directive.cmp(&b.directive))
    });
    Some(Assessment { exposure, points })
}

fn point(row: Row, profile: Profile) -> Option<Point> {
    let exposure = row.exposure?.parse().ok().filter(|exposure| *exposure > 0.0)?;
    let known = COSTS.iter().find(|(field, ..)| match field.strip_suffix('*') {
        Some(start) => row.json_field.starts_with(start),
        None => row.json_field == *field,
    });
    let (close, cost) = known.map_or((BY_RAW, "not known here: see systemd.exec(5)"), |(_, close, cost)| {
        (*close, *cost)
    });
    // What the profile that is in force would close, and does not, it leaves to the app for what the manifest shows.
    let is_left = match profile {
        Profile::None => false,
        Profile::Standard => close == STANDARD,
        Profile::Strict => matches!(close, STANDARD | STRICT),
    };
    Some(Point {
        directive: row.name,
        exposure,
        what: row.description,
        close: if is_left { LEFT } else { close },
        cost,
    })
}

const STANDARD: &str = "security.profile = \"standard\"";
const STRICT: &str = "security.profile = \"strict\"";
const LEFT: &str = "another manifest, or system scope: the profile leaves it to this one";
const BY_RAW: &str = "[raw.systemd.Service], by hand";

/// What closes a point, and what that costs the app: by the field's name, or its beginning.
const COSTS: &[(&str, &str, &str)] = &[
    (
        "UserOrDynamicUser",
        "service.user = \"NAME\", or \"dynamic\"",
        "it can no longer do what only root may",
    ),
    (
        "SupplementaryGroups",
        "take its user out of the group",
        "what the group may: devices, others' files",
    ),
    (
        "CapabilityBoundingSet_*",
        "security.profile = \"standard\", as another user than root",
        "a right of root; keep one with security.capabilities",
    ),
    (
        "AmbientCapabilities",
        "take it out of security.capabilities, or a port from 1024 on",
        "what the capability is for",
    ),
    (
        "NoNewPrivileges",
        STANDARD,
        "sudo, ping and other programs that are somebody else's when it runs them",
    ),
    (
        "PrivateDevices",
        STRICT,
        "GPUs, USB (adb), cameras, serial ports; but those of security.devices",
    ),
    ("DeviceAllow", STRICT, "devices that are not named in security.devices"),
    ("ProtectClock", STANDARD, "setting the clock"),
    (
        "ProtectControlGroups",
        STANDARD,
        "managing control groups, as container engines do",
    ),
    (
        "ProtectHostname",
        STANDARD,
        "setting the host's name, and seeing it change",
    ),
    ("ProtectKernelLogs", STANDARD, "reading the kernel's log (dmesg)"),
    ("ProtectKernelModules", STANDARD, "loading kernel modules"),
    ("ProtectKernelTunables", STANDARD, "sysctl"),
    (
        "ProtectSystem",
        STRICT,
        "writing anywhere but in security.writable_directories and its own /tmp",
    ),
    (
        "ProtectHome",
        STRICT,
        "virtual environments, model caches and keys in homes: what the manifest names there stays readable",
    ),
    ("ProtectProc", STRICT, "seeing others' processes (psutil, monitoring)"),
    (
        "ProcSubset",
        BY_RAW,
        "/proc/cpuinfo and meminfo: PyTorch's data loaders and Java's sizing fail; no profile does it",
    ),
    (
        "PrivateTmp",
        STRICT,
        "files and sockets in /tmp that others find (X11, some databases)",
    ),
    (
        "PrivateUsers",
        STRICT,
        "a capability in it is worth nothing outside: so not with a port under 1024",
    ),
    ("PrivateMounts", STANDARD, "mounts that others see"),
    (
        "PrivateNetwork",
        "security.network = \"none\"",
        "all of the network; local sockets in files stay",
    ),
    (
        "IPAddressDeny",
        "security.network = \"loopback\"",
        "every other machine: no downloads, no clients from outside",
    ),
    (
        "RestrictAddressFamilies_AF_INET_INET6",
        "security.network = \"none\"",
        "the network",
    ),
    (
        "RestrictAddressFamilies_AF_UNIX",
        BY_RAW,
        "Python's multiprocessing, databases' sockets, the journal; no profile does it",
    ),
    (
        "RestrictAddressFamilies_AF_NETLINK",
        BY_RAW,
        "listing network interfaces, which many servers do at their start; no profile does it",
    ),
    (
        "RestrictAddressFamilies_AF_PACKET",
        STANDARD,
        "capturing packets; CAP_NET_RAW in security.capabilities keeps it",
    ),
    (
        "RestrictAddressFamilies_OTHER",
        STRICT,
        "Bluetooth, CAN and other exotic sockets",
    ),
    (
        "RestrictNamespaces_*",
        STRICT,
        "sandboxes of browsers (Chromium), bubblewrap, rootless containers",
    ),
    (
        "RestrictRealtime",
        STANDARD,
        "real-time scheduling, as audio has it; CAP_SYS_NICE keeps it",
    ),
    (
        "RestrictSUIDSGID",
        STANDARD,
        "making programs that are somebody else's when others run them",
    ),
    ("LockPersonality", STANDARD, "emulating other kernels' conventions"),
    ("SystemCallArchitectures", STANDARD, "programs of 32 bits"),
    (
        "MemoryDenyWriteExecute",
        "strict, for machine code that runs no interpreter; else by [raw.systemd.Service]",
        "what compiles at run time: PyTorch, numba, Node, Java",
    ),
    (
        "SystemCallFilter_resources",
        BY_RAW,
        "nice, affinity and limits of its own: PyTorch and Java set them; no profile does it",
    ),
    ("SystemCallFilter_privileged", STRICT, "chown, setuid and their like"),
    ("SystemCallFilter_mount", STRICT, "mounting, and sandboxes that chroot"),
    (
        "SystemCallFilter_debug",
        STANDARD,
        "debuggers and profilers on itself; GPU processes that share memory (kept where the manifest shows a GPU)",
    ),
    ("SystemCallFilter_*", STANDARD, "what only the machine's keeper calls"),
    (
        "RootDirectoryOrRootImage",
        BY_RAW,
        "an image with everything that it uses would be needed",
    ),
    (
        "RemoveIPC",
        "service.user = \"dynamic\"",
        "of a user with several apps it would remove the others' shared memory",
    ),
    ("KeyringMode", BY_RAW, "keys shared with other services"),
    ("Delegate", BY_RAW, "control groups of its own"),
    ("NotifyAccess", BY_RAW, "children that tell that it is ready"),
    (
        "UMask",
        STRICT,
        "files that others can read, as a web server might have to",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_points_with_their_cost_the_widest_first() {
        let json = r#"[{"set":false,"name":"UMask=","json_field":"UMask","description":"Files …","exposure":"0.1"},
            {"set":true,"name":"Delegate=","json_field":"Delegate","description":"…","exposure":null},
            {"set":false,"name":"PrivateNetwork=","json_field":"PrivateNetwork","description":"Network","exposure":"0.5"},
            {"set":false,"name":"New=","json_field":"New","description":"x","exposure":"0.2"}]"#;
        let text = "  NAME …\n\n→ Overall exposure level for a.service: 9.2 UNSAFE 😨\n";
        let assessment = assessment(json, text, Profile::Strict).expect("it is one");
        assert!((assessment.exposure - 9.2).abs() < 1e-9);
        let names: Vec<_> = assessment.points.iter().map(|point| point.directive.as_str()).collect();
        assert_eq!(names, ["PrivateNetwork=", "New=", "UMask="]);
        assert_eq!(assessment.points[2].close, LEFT);
        assert!(assessment.points[0].close.contains("none") && assessment.points[1].cost.contains("not known"));
        assert_eq!(super::assessment("[]", "nothing", Profile::None), None);
    }
}
