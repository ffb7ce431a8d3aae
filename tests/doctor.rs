//! Doctor on recorded machines: what no lab has (a GPU, `SELinux`, `AppArmor`, a wrong clock), and its page of the documentation.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fs, path::Path};

use autoglm_boot::{
    backend::{AppState, Live, systemd::Systemd},
    check::{Wish, drafted},
    doctor::{Ending, Finding, Patient, Source, checks, examine, page},
    host::{Host, Init},
    manifest::read,
    service::Scope,
    system::Probe as _,
};
use support::recorded::{Recorded, recorded};

/// What is found of an app of alice in /srv/app, which has just failed.
fn found(look: &Recorded, lines: &str) -> Vec<Finding> {
    let text = format!("app.name = \"a\"\nservice.command = [\"python3\", \"main.py\"]\n{lines}");
    let manifest =
        read(Path::new("/srv/app/app.toml"), text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    let (checked, problems) = drafted(&manifest, &Wish::default(), look);
    let host = Host {
        mark: String::new(),
        windows: None,
        init: Init::Systemd,
        systemd: Some(252),
        user: look.user("0").unwrap(),
        runtime: "/run/user/0".into(),
        config: "/root/.config".into(),
        state: "/root/.local/state".into(),
        program: look.program(),
        is_image: false,
    };
    let backend = Systemd::new(&host, Scope::System);
    let app = AppState {
        live: Live::unknown("a.service"),
        ..AppState::default()
    };
    let ending = Ending {
        live: Live {
            last_exit: (1, 1),
            result: "exit-code".into(),
            ..Live::unknown("a.service")
        },
        late: None,
    };
    let source = (Source::Manifest, &checked.service, problems.as_slice());
    examine(&Patient::new(
        (look, &host),
        &backend,
        source,
        &app,
        (Some(ending), Vec::new()),
    ))
}

/// The first finding is this one, has this evidence and this repair.
#[track_caller]
fn first(look: &Recorded, lines: &str, id: &str, seen: &str, repair: &str) {
    let found = found(look, lines);
    let first = found.first().expect("something is found");
    assert_eq!(first.id, id, "{first}");
    assert!(first.evidence.iter().any(|evidence| evidence.contains(seen)), "{first}");
    assert!(
        first.repair.iter().any(|step| step.to_string().contains(repair)),
        "{first}"
    );
}

/// As NVIDIA's drivers have it: the closed one, and the open one.
const CLOSED: &str = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
const OPEN: &str = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16-I3)  Tue Mar  5 22:23:56 UTC 2024\n";
const VERSION: &str = "/proc/driver/nvidia/version";

fn with_nodes(look: Recorded) -> Recorded {
    ["/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm"]
        .into_iter()
        .fold(look, |look, node| look.device(node, 0o660))
}

#[test]
fn a_gpu_that_cannot_be_used_is_found_first() {
    let cuda = "requirements.cuda = true\n";
    first(
        &recorded(),
        cuda,
        "gpu-driver",
        "there is no /proc/driver/nvidia/version",
        "modprobe nvidia",
    );
    let nouveau = recorded().with("/proc/modules", "nouveau 2433024 1 - Live 0x0\nsnd 1 0 - Live 0x0\n");
    first(
        &nouveau,
        cuda,
        "gpu-driver",
        "nouveau",
        "by hand: install NVIDIA's driver",
    );
    first(
        &recorded(),
        "security.devices = [\"nvidia\"]\n",
        "gpu-driver",
        "no /proc",
        "modprobe nvidia",
    );

    let old = with_nodes(recorded().with(VERSION, CLOSED));
    first(
        &old,
        "requirements.cuda = \"550\"\n",
        "gpu-driver",
        "535.104.05",
        "550 or newer",
    );
    first(
        &recorded().with(VERSION, OPEN),
        cuda,
        "gpu-node-missing",
        "/dev/nvidia-uvm",
        "nvidia-modprobe -c 0 -u",
    );
    let updated = with_nodes(recorded().with(VERSION, OPEN)).with("/usr/lib/x86_64-linux-gnu/libcuda.so.560.28.03", "");
    first(&updated, cuda, "gpu-mismatch", "libcuda is 560.28.03", "reboot");

    let mut closed = with_nodes(recorded().with(VERSION, OPEN));
    closed.closed.push("/dev/nvidia0".into());
    first(&closed, cuda, "gpu-closed", "mode 0660", "usermod -aG alice alice");

    for (look, lines) in [
        (
            with_nodes(recorded().with(VERSION, OPEN)),
            "requirements.cuda = \"550\"\n",
        ),
        (old, "requirements.cuda = \"535.104.05\"\n"),
        (recorded().device("/dev/dxg", 0o666), cuda), // WSL
        (recorded(), ""),
    ] {
        let found = found(&look, lines);
        assert!(
            !found.iter().any(|finding| finding.id.starts_with("gpu-")),
            "{lines}{found:?}"
        );
    }
}

#[test]
fn a_device_is_opened_to_a_throw_away_user_by_its_unit() {
    let mut look = recorded().device("/dev/phone", 0o660);
    look.closed.push("/dev/phone".into());
    let device = "security.devices = [\"/dev/phone\"]\n";
    let user = format!("{device}service.user = \"bob\"\n");
    first(
        &look,
        &user,
        "device-closed",
        "its group alice may",
        "usermod -aG alice bob",
    );
    let dynamic = format!("{device}service.user = \"dynamic\"\n");
    let value = "raw.systemd.Service.SupplementaryGroups = \"alice\"";
    first(&look, &dynamic, "device-closed", "its group alice may", value);
    let others = format!("{dynamic}[raw.systemd.Service]\nSupplementaryGroups = [\"bob\", \"\", \"root\"]\n");
    first(&look, &others, "device-closed", "its group alice may", "\"root alice\"");
}

#[test]
fn what_selinux_or_apparmor_denies_is_found_first() {
    let mut look = recorded();
    look.journal = "audit: type=1400 audit(1700000000.123:45): avc:  denied  { read } for  pid=812 comm=\"python3\" name=\"main.py\" dev=\"vda1\" ino=99 scontext=system_u:system_r:init_t:s0 tcontext=unconfined_u:object_r:user_home_t:s0 tclass=file permissive=0\n".into();
    first(&look, "", "selinux-denied", "user_home_t", "restorecon -Rv /srv/app");
    look.journal = "audit: type=1400 audit(1700000000.123:45): apparmor=\"DENIED\" operation=\"open\" profile=\"/usr/bin/python3\" name=\"/srv/app/main.py\" pid=812 comm=\"python3\" requested_mask=\"r\" denied_mask=\"r\" fsuid=1000 ouid=0\n".into();
    first(
        &look,
        "",
        "apparmor-denied",
        "DENIED",
        "/etc/apparmor.d/local/usr.bin.python3",
    );
    // What another app was denied is not ours.
    look.journal = look
        .journal
        .replace("python3", "cupsd")
        .replace("/srv/app/main.py", "/etc/cups/x");
    assert!(found(&look, "").iter().all(|finding| !finding.id.ends_with("-denied")));
}

#[test]
fn a_clock_that_is_behind_is_found_first() {
    let look = recorded()
        .with("/srv/app/app.toml", "")
        .written("/srv/app/app.toml", 1_790_000_000 + 3 * 86_400);
    first(&look, "", "clock-wrong", "3d in the future", "timedatectl set-ntp true");
    let look = recorded()
        .with("/srv/app/app.toml", "")
        .written("/srv/app/app.toml", 1_790_000_000 + 3600);
    assert!(found(&look, "").iter().all(|finding| finding.id != "clock-wrong"));
}

#[test]
fn every_check_has_a_name_of_its_own_and_says_what_it_does() {
    let mut ids: Vec<_> = checks().map(|check| check.id).collect();
    assert!(ids.len() > 50, "{}", ids.len());
    for check in checks() {
        let words = [check.finds, check.looks_at, check.repair];
        assert!(
            words.iter().all(|word| !word.is_empty() && !word.contains(['|', '\n'])),
            "{}",
            check.id
        );
        assert!(
            check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
            "{}",
            check.id
        );
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), checks().count());
}

/// `UPDATE_DOCS=1` writes it.
#[test]
fn the_page_of_the_documentation_is_made_from_the_registry() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap();
    assert!(
        there == page(),
        "UPDATE_DOCS=1 writes docs/doctor.md:\n{}",
        autoglm_boot::diff::unified(&there, &page())
    );
}
