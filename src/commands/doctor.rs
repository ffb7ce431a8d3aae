//! `doctor`

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, Outcome, backend_of, diagnosis, installed, native, not_installed};
use crate::{
    backend, cli,
    doctor::{self, Finding, Severity},
    exit::{Exit, Failure},
    service::Scope,
};

/// Examines the app of a manifest, an installed app, or all of them; or prints what is looked at.
pub(super) fn run(context: &mut Context, args: &cli::Doctor) -> Outcome {
    if args.list {
        return Ok(list(context));
    }
    let here = Path::new("app.toml");
    let manifest = match (&args.manifest, &args.name) {
        (Some(file), _) => Some(file.as_path()),
        (None, None) if matches!(context.system.target(here), Ok(Some(_))) => Some(here),
        _ => None,
    };
    let examined = match (manifest, &args.name) {
        (Some(file), _) => vec![diagnosis::of_manifest(context, file, &args.scope, None)?],
        (None, Some(name)) => vec![of_name(context, name, &args.scope)?],
        (None, None) => all(context, &args.scope)?,
    };
    if examined.is_empty() {
        context.report.answer("no app is installed");
        return Ok((Exit::NotInstalled, json!({ "apps": [] })));
    }
    if context.system.euid() != 0 && args.scope.scope() == Some(Scope::System) {
        context
            .report
            .note("not everything of the machine's apps can be looked at by this user; root sees all of it");
    }
    let mut answers = Vec::new();
    let mut exit = Exit::Ok;
    for (name, findings) in examined {
        tell(context, &name, &findings);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            exit = Exit::Failed;
        }
        answers.push(json!({ "name": name, "findings": findings }));
    }
    Ok((exit, json!({ "apps": answers })))
}

/// Every installed app that whoever asks may look at; the others are told.
fn all(context: &mut Context, scope: &cli::ScopeArgs) -> Result<Vec<diagnosis::Examined>, Failure> {
    let mut examined = Vec::new();
    let mut denied = None;
    for app in installed(context, scope)? {
        let backend = match app.target() {
            Some(target) => backend::named(&context.host, target, app.scope)?,
            None => native(context, app.scope)?,
        };
        match diagnosis::of_installed(context, backend.as_ref(), &app.name) {
            Ok(findings) => examined.extend(findings.map(|findings| (app.name, findings))),
            Err(failure) if failure.exit == Exit::Privilege => {
                context.report.warn(&failure.message);
                denied = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match denied.filter(|_| examined.is_empty()) {
        Some(failure) => Err(failure),
        None => Ok(examined),
    }
}

fn of_name(context: &Context, name: &str, scope: &cli::ScopeArgs) -> Result<diagnosis::Examined, Failure> {
    let backend = backend_of(context, name, scope)?;
    match diagnosis::of_installed(context, backend.as_ref(), name)? {
        Some(findings) => Ok((name.into(), findings)),
        None => Err(not_installed(name).repair(
            "nothing is registered under that name: install it; what keeps it from that is told by `autoglm-boot doctor --manifest FILE`",
        )),
    }
}

fn tell(context: &mut Context, name: &str, findings: &[Finding]) {
    let count = match findings.len() {
        0 => "nothing found".into(),
        1 => "a finding".into(),
        more => format!("{more} findings"),
    };
    context.report.answer(&format!("{name}: {count}"));
    for finding in findings {
        context.report.answer(&format!("{} {finding}", finding.severity));
    }
}

fn list(context: &mut Context) -> (Exit, Value) {
    let mut checks = Vec::new();
    for check in doctor::checks() {
        let only = check.system().map_or(String::new(), |name| format!(", {name}"));
        context.report.answer(&format!(
            "{} ({}{only}): {}\n  looks at: {}\n  repair: {}",
            check.id, check.severity, check.finds, check.looks_at, check.repair
        ));
        checks.push(json!({
            "id": check.id, "severity": check.severity, "finds": check.finds,
            "looks_at": check.looks_at, "repair": check.repair, "only": check.only,
        }));
    }
    (Exit::Ok, json!({ "checks": checks }))
}
