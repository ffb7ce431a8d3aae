//! `security`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Context, Outcome, backend_of, checked, meant, native, not_installed};
use crate::{
    backend::{
        self, Backend as _, Rendered,
        systemd::{self, Systemd},
    },
    cli,
    exit::{Exit, Failure},
    exposure::{Assessment, Point, assessment},
    service::{Profile, Scope, Service},
    system::{Cmd, Probe},
};

/// Shows what an app could still do, as it would be installed, and as it runs.
pub(super) fn run(context: &mut Context, args: &cli::Security) -> Outcome {
    let service = match &args.manifest {
        Some(file) => checked(context, file, &args.scope.wish())?.service,
        None => installed(context, args)?,
    };
    let systemd = Systemd::new(&context.host, service.scope);
    let rendered = systemd.render(&service)?;
    for loss in losses(context, &service)? {
        context.report.warn(&format!("not expressed as written: {loss}"));
    }
    let offline = of_text(context, &rendered, service.security.profile)?;
    let unit = systemd.unit(&service.name);
    let live = systemd.observe(context.system, std::slice::from_ref(&unit));
    let is_live = live.is_ok_and(|live| live[0].load == "loaded");
    let live = is_live.then(|| of_unit(context.system, &service, &unit)).flatten();
    tell(context, &service, &offline, live.as_ref());
    let answer = json!({
        "name": service.name,
        "profile": service.security.profile,
        "exposure": offline.exposure,
        "points": offline.points,
        "live": live.map_or(Value::Null, |live| json!({ "exposure": live.exposure, "points": live.points })),
    });
    Ok((Exit::Ok, answer))
}

/// What of it whoever keeps the app, or would, cannot give.
fn losses(context: &Context, service: &Service) -> Result<Vec<String>, Failure> {
    let scope = service.scope;
    let receipt = context.host.store(scope).receipt(&service.name, context.system)?;
    let keeper = match receipt {
        Some(receipt) => backend::named(&context.host, &receipt.backend, scope)?,
        None => native(context, scope)?,
    };
    if keeper.name() != systemd::NAME {
        let all = "[security]: needs systemd, which does not keep this app: nothing of it is in force, and the exposure is what it would be";
        return Ok(vec![all.into()]);
    }
    let mut losses = keeper.render(service)?.losses;
    losses.retain(|loss| loss.starts_with("security."));
    Ok(losses)
}

/// The installed app that is meant.
fn installed(context: &Context, args: &cli::Security) -> Result<Service, Failure> {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    if backend.store().receipt(&name, context.system)?.is_none() {
        return Err(not_installed(&name));
    }
    backend.store().service(&name, context.system).ok_or_else(|| {
        let message = format!("{name}: what is installed of it is its owner's only to read");
        Failure::new(Exit::Privilege, message).repair(format!("sudo autoglm-boot security {name}"))
    })
}

/// The assessment of a unit that is nowhere yet: systemd-analyze(1) reads it from a folder of ours, which is gone afterwards.
fn of_text(context: &Context, rendered: &Rendered, profile: Profile) -> Result<Assessment, Failure> {
    let system = context.system;
    let folder = PathBuf::from(format!("/tmp/autoglm-boot-security-{}", std::process::id()));
    let file = folder.join(&rendered.file);
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", file.display()));
    system.make_folder(&folder, 0o700).map_err(failed)?; // an error where something is there
    let written = system
        .write_file(&file, rendered.text.as_bytes(), 0o600)
        .map_err(failed);
    let found = written.map(|()| {
        ask(
            system,
            &["security", "--offline=true"],
            &file.to_string_lossy(),
            profile,
        )
    });
    let removed = system
        .remove(&file)
        .and_then(|()| system.remove_folder(&folder))
        .map_err(failed);
    let found = found?.ok_or_else(|| {
        Failure::new(Exit::Failed, "systemd-analyze does not tell how exposed the unit is")
            .repair("it takes systemd 250 or newer, and its systemd-analyze on PATH")
    })?;
    removed?;
    Ok(found)
}

/// The assessment of what the service manager holds.
fn of_unit(look: &dyn Probe, service: &Service, unit: &str) -> Option<Assessment> {
    let profile = service.security.profile;
    match service.scope {
        Scope::System => ask(look, &["security"], unit, profile),
        Scope::User => ask(look, &["--user", "security"], unit, profile),
    }
}

fn ask(look: &dyn Probe, words: &[&str], unit: &str, profile: Profile) -> Option<Assessment> {
    let output = |flag: &str| {
        let words = words.iter().copied().chain(["--no-pager", flag, unit]);
        look.query(&Cmd::new("systemd-analyze", words))
            .ok()
            .map(|output| output.stdout)
    };
    assessment(&output("--json=short")?, &output("--json=off")?, profile)
}

fn tell(context: &mut Context, service: &Service, offline: &Assessment, live: Option<&Assessment>) {
    let profile = service.security.profile;
    let name = &service.name;
    context.report.answer(&format!(
        "{name}: exposure {:.1} of 10, profile {profile}",
        offline.exposure
    ));
    match live {
        Some(live) => context
            .report
            .answer(&format!("  as systemd holds it: {:.1}", live.exposure)),
        None => context.report.answer("  systemd holds nothing of it"),
    }
    if let Some(home) = note(service) {
        context.report.answer(&format!("  left to it: {home}"));
    }
    // What is closed alike, costs alike: one line.
    let mut points: Vec<(f64, Vec<&Point>)> = Vec::new();
    for point in &offline.points {
        let alike = points
            .iter_mut()
            .find(|(_, others)| others[0].close == point.close && others[0].cost == point.cost);
        match alike {
            Some((sum, others)) => {
                *sum += point.exposure;
                others.push(point);
            }
            None => points.push((point.exposure, vec![point])),
        }
    }
    points.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (sum, alike) in points {
        let more = match alike.len() {
            1 => format!(" {}", alike[0].what),
            more => format!(" and {} like it", more - 1),
        };
        context
            .report
            .answer(&format!("  {sum:.1}  {}{more}", alike[0].directive));
        context
            .report
            .answer(&format!("       to close it: {}", alike[0].close));
        context.report.answer(&format!("       it costs: {}", alike[0].cost));
    }
}

/// What the profile leaves to this app, and why.
fn note(service: &Service) -> Option<String> {
    let needs = &service.security.needs;
    let left = [
        (needs.home, "homes to read: something it uses lies in one"),
        (needs.gpu, "GPUs"),
        (needs.usb, "USB devices, for adb"),
        (needs.low_port, "a port under 1024"),
        (needs.is_root, "root's own rights"),
    ];
    let left: Vec<_> = left
        .into_iter()
        .filter(|(is_left, _)| *is_left)
        .map(|(_, what)| what)
        .collect();
    let folder = |path: &Path| path.display().to_string();
    let writable: Vec<_> = service.security.writable.iter().map(|path| folder(path)).collect();
    let all = [left.join(", "), writable.join(", ")];
    let all: Vec<_> = all.into_iter().filter(|part| !part.is_empty()).collect();
    (!all.is_empty()).then(|| all.join("; writing to "))
}
