//! `doctor`

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, Outcome, backend_of, diagnosis, installed, not_installed};
use crate::{
    cli,
    doctor::{self, Finding, Severity},
    exit::Exit,
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
        (None, None) => {
            let names: Vec<_> = installed(context, &args.scope)?
                .into_iter()
                .map(|app| app.name)
                .collect();
            let of = |name: &String| of_name(context, name, &args.scope);
            names.iter().map(of).collect::<Result<_, _>>()?
        }
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

/// An installed app, or one whose install was cut short.
fn of_name(context: &Context, name: &str, scope: &cli::ScopeArgs) -> Result<diagnosis::Examined, crate::exit::Failure> {
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
        context.report.answer(&format!(
            "{} ({}): {}\n  looks at: {}\n  repair: {}",
            check.id, check.severity, check.finds, check.looks_at, check.repair
        ));
        checks.push(json!({
            "id": check.id, "severity": check.severity, "finds": check.finds,
            "looks_at": check.looks_at, "repair": check.repair,
        }));
    }
    (Exit::Ok, json!({ "checks": checks }))
}
