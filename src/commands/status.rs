//! `status`

use std::path::Path;

use serde_json::json;

use super::{Context, Outcome, backend_of, installed, meant};
use crate::{
    backend::{self, Backend, Live},
    cli,
    exit::{Exit, Failure},
    journal,
    plan::Span,
    receipt::{self, Receipt},
    service::Readiness,
    session,
    status::{Seen, Status, Word, judge},
    system::Probe,
};

/// Tells how the apps are.
pub(super) fn run(context: &mut Context, args: &cli::Status) -> Outcome {
    let statuses = look(context, args)?;
    if statuses.is_empty() {
        context.report.answer("no app is installed");
        return Ok((Exit::NotInstalled, json!({ "apps": [] })));
    }
    let exit = statuses
        .iter()
        .map(|status| status.state.exit())
        .fold(Exit::Ok, Exit::worst);
    for status in &statuses {
        context.report.answer(&page(status));
    }
    Ok((exit, json!({ "apps": statuses })))
}

fn look(context: &Context, args: &cli::Status) -> Result<Vec<Status>, Failure> {
    let here = Path::new("app.toml");
    let names = if args.names.is_empty() && matches!(context.system.target(here), Ok(Some(_))) {
        vec![meant(context, None, args.scope)?]
    } else {
        args.names.clone()
    };
    if names.is_empty() {
        return all(context, args.scope);
    }
    let mut statuses = Vec::new();
    for name in names {
        let backend = backend_of(context, &name, args.scope)?;
        statuses.extend(of(context.system, backend.as_ref(), &[name])?);
    }
    Ok(statuses)
}

/// Every installed app.
pub(super) fn all(context: &Context, wish: cli::ScopeArgs) -> Result<Vec<Status>, Failure> {
    let apps = installed(context, wish)?;
    let mut statuses = Vec::new();
    for scope in super::scopes(context, wish) {
        let names: Vec<_> = apps
            .iter()
            .filter(|(of, _)| *of == scope)
            .map(|(_, name)| name.clone())
            .collect();
        let backend = backend::choose(&context.host, scope)?;
        statuses.extend(of(context.system, backend.as_ref(), &names)?);
    }
    Ok(statuses)
}

/// How these apps of one scope are: one question to the service manager for all of them.
fn of(look: &dyn Probe, backend: &dyn Backend, names: &[String]) -> Result<Vec<Status>, Failure> {
    let units: Vec<_> = names.iter().map(|name| backend.unit(name)).collect();
    let lives = backend.observe(look, &units)?;
    names
        .iter()
        .zip(&lives)
        .map(|(name, live)| one(look, backend, name, live))
        .collect()
}

fn one(look: &dyn Probe, backend: &dyn Backend, name: &str, live: &Live) -> Result<Status, Failure> {
    let store = backend.store();
    let receipt = store.receipt(name, look)?;
    let intents = journal::pending(store.root(), look).unwrap_or_default();
    let intent = intents
        .iter()
        .any(|(_, app)| app == name)
        .then(|| look.is_locked(&session::lock_path(store.root())));
    let readiness = store
        .service(name, look)
        .map(|service| service.readiness)
        .or_else(|| receipt.as_ref().map(|receipt| receipt.readiness.clone()));
    Ok(judge(
        name,
        &Seen {
            receipt: receipt.as_ref(),
            live,
            answer: readiness.and_then(|readiness| ask(look, &readiness, live)),
            is_drifted: receipt.as_ref().is_some_and(|receipt| is_drifted(look, receipt)),
            intent,
            now: look.monotonic(),
        },
    ))
}

fn ask(look: &dyn Probe, readiness: &Readiness, live: &Live) -> Option<Result<(), String>> {
    let probe = readiness.probe.as_ref().filter(|_| live.active == "active")?;
    Some(look.ask(probe, readiness.timeout, live.pid))
}

fn is_drifted(look: &dyn Probe, receipt: &Receipt) -> bool {
    match look.read(&receipt.unit) {
        Ok(bytes) => receipt::digest(&bytes) != receipt.digest,
        // What only its owner may read is only known to its owner.
        Err(error) => error.kind() != std::io::ErrorKind::PermissionDenied,
    }
}

/// One app, for people.
fn page(status: &Status) -> String {
    let mut lines = vec![headline(status)];
    if matches!(status.state, Word::NotInstalled) {
        return lines.remove(0);
    }
    let mut line = |label: &str, value: String| lines.push(format!("  {label:<10}{value}"));
    if let (Some(scope), Some(manifest)) = (status.scope, &status.manifest) {
        let scope = match scope {
            crate::service::Scope::System => "system",
            crate::service::Scope::User => "user",
        };
        line("unit", format!("{} ({scope} scope)", status.unit));
        line("manifest", manifest.display().to_string());
        line(
            "at boot",
            if status.enabled_at_boot {
                "enabled".into()
            } else {
                "not enabled".into()
            },
        );
    }
    if let Some(version) = &status.version {
        line("version", version.clone());
    }
    if let Some(pid) = status.pid {
        let memory = status
            .memory_bytes
            .map_or(String::new(), |bytes| format!(", {} MiB", bytes.div_ceil(1024 * 1024)));
        let restarts = match status.restarts {
            0 => "no automatic restart".into(),
            1 => "1 automatic restart".into(),
            more => format!("{more} automatic restarts"),
        };
        line("process", format!("{pid}{memory}, {restarts}"));
    }
    if let Some(end) = &status.last_exit
        && status.pid.is_none()
    {
        line("last end", end.clone());
    }
    for path in &status.drop_ins {
        line("drop-in", format!("{} (yours)", path.display()));
    }
    if status.drifted {
        line("drifted", "the unit is not as it was installed; `autoglm-boot install --dry-run --force` shows what an install would write".into());
    }
    lines.join("\n")
}

/// `hello: ready (drifted), for 3h12m`
pub(super) fn headline(status: &Status) -> String {
    let drifted = if status.drifted { " (drifted)" } else { "" };
    let since = status
        .since_seconds
        .filter(|_| status.scope.is_some())
        .map_or(String::new(), |seconds| {
            format!(", for {}", Span(std::time::Duration::from_secs(seconds)))
        });
    let detail = if status.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", status.detail)
    };
    format!("{}: {}{drifted}{since}{detail}", status.name, status.state)
}
