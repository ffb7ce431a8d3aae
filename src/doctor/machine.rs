//! The machine: its clock, and what denies beside the permissions of files.

use std::{path::Path, time::Duration};

use super::{Check, Finding, Patient};
use crate::{
    plan::Span,
    service::{Os, Scope},
    system::Cmd,
};

pub(super) const CHECKS: &[Check] = &[
    Check::error(
        "clock-wrong",
        [
            "the machine's clock is behind: certificates are not valid yet, tokens and timers fail",
            "the clock, when the manifest and this program were written",
            "`timedatectl set-ntp true`",
        ],
        clock,
    ),
    Check::error(
        "selinux-denied",
        [
            "SELinux denies what the permissions of files allow",
            "`avc: denied` in the kernel's log of the last ten minutes, with the app's program",
            "`restorecon`, or a rule of one's own (audit2allow)",
        ],
        selinux,
    )
    .on(Os::Linux),
    Check::error(
        "apparmor-denied",
        [
            "AppArmor denies what the permissions of files allow",
            "`apparmor=\"DENIED\"` in the kernel's log of the last ten minutes, with the app's program",
            "the profile's local additions",
        ],
        apparmor,
    )
    .on(Os::Linux),
];

/// Longer than any difference between time zones and slow clocks.
const MUCH: Duration = Duration::from_hours(24);

fn clock(patient: &Patient) -> Vec<Finding> {
    let now = patient.look.now();
    let files = [patient.service.manifest.clone(), patient.host.program.clone()];
    let latest = files
        .iter()
        .filter_map(|file| Some((patient.look.target(file).ok()??.modified, file)))
        .max();
    let Some((written, file)) = latest.filter(|(written, _)| now + MUCH < *written) else {
        return Vec::new();
    };
    let finding = Finding::new("the machine's clock is behind").seen(format!(
        "{} was written {} in the future",
        file.display(),
        Span(Duration::from_secs(written.saturating_sub(now).as_secs()))
    ));
    if patient.is_on_windows() {
        return finding
            .run("w32tm /resync")
            .by_hand("or set it: Settings, Time & language")
            .only();
    }
    finding
        .run("timedatectl set-ntp true")
        .by_hand("or set it: timedatectl set-time 'YYYY-MM-DD hh:mm:ss'")
        .only()
}

/// What the kernel said in the last minutes, where it denied something; empty where it cannot be read.
fn denials(patient: &Patient) -> Vec<String> {
    if patient.ending.is_none() || patient.service.scope == Scope::User && patient.look.euid() != 0 {
        return Vec::new();
    }
    let words = [
        "--quiet",
        "--no-pager",
        "--output=cat",
        "--since=-10min",
        "--lines=5000",
    ];
    // The kernel's own, and what auditd passed on.
    let words = words.into_iter().chain(["_TRANSPORT=kernel", "+", "_TRANSPORT=audit"]);
    let output = patient.look.query(&Cmd::new("journalctl", words)).unwrap_or_default();
    output.stdout.lines().map(str::to_owned).collect()
}

/// A value of a denial: `comm="python3"`, `scontext=…`.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {key}="))?;
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => rest.split_whitespace().next(),
    }
}

/// Whether a denial is of the app: its program's name, or what it was kept from is the app's.
fn is_apps(patient: &Patient, line: &str, of_path: &str) -> bool {
    /// As much of a program's name the kernel keeps (`TASK_COMM_LEN`, without its end).
    const KEPT: usize = 15;
    let service = patient.service;
    let program = Path::new(service.command.first().map_or("", String::as_str));
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kept: String = name.chars().take(KEPT).collect();
    // While systemd sets the process up it has the name of the program in brackets.
    let is_program = field(line, "comm").is_some_and(|comm| comm.trim_matches(['(', ')']) == kept);
    let is_path = field(line, of_path).is_some_and(|path| {
        let path = Path::new(path);
        path.starts_with(&service.working_directory) || path == program
    });
    is_program || is_path
}

fn selinux(patient: &Patient) -> Vec<Finding> {
    let lines = denials(patient);
    let own = lines
        .iter()
        .rev()
        .find(|line| line.contains("avc:  denied") && is_apps(patient, line, "path"));
    let Some(line) = own else { return Vec::new() };
    let folder = super::patient::quoted(&patient.service.working_directory);
    let target = field(line, "tcontext").unwrap_or_default();
    Finding::new("SELinux denies the app something")
        .seen(line.trim())
        .seen(format!("what it was kept from is labelled {target}"))
        .run(format!("restorecon -Rv {folder}"))
        .by_hand("if it is denied again: ausearch -m avc -ts recent | audit2allow -M local, then semodule -i local.pp")
        .only()
}

fn apparmor(patient: &Patient) -> Vec<Finding> {
    let lines = denials(patient);
    let own = lines
        .iter()
        .rev()
        .find(|line| line.contains("apparmor=\"DENIED\"") && is_apps(patient, line, "name"));
    let Some(line) = own else { return Vec::new() };
    let (profile, name) = (
        field(line, "profile").unwrap_or_default(),
        field(line, "name").unwrap_or_default(),
    );
    let mask = field(line, "requested_mask").unwrap_or("r");
    let file = profile.trim_start_matches('/').replace('/', ".");
    let finding = Finding::new(format!("AppArmor's profile {profile} denies the app {name}")).seen(line.trim());
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._@+-".contains(c));
    if ![name, profile, mask].into_iter().all(is_plain) {
        return finding
            .by_hand(format!("allow it in /etc/apparmor.d/local/{file}"))
            .only();
    }
    finding
        .run(format!(
            "echo '{name} {mask},' >>/etc/apparmor.d/local/{file} && apparmor_parser -r /etc/apparmor.d/{file}"
        ))
        .only()
}
