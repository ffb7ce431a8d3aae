//! What doctor is given: an app from a manifest or from our records, with all that is known of it.

use std::{path::Path, time::Duration};

use super::{Context, try_manifest};
use crate::{
    backend::{self, Backend, Wanted},
    check,
    cli::ScopeArgs,
    doctor::{self, Finding, Patient, Repair, Severity, Source},
    exit::{Exit, Failure, Trouble},
    manifest::Problem,
    platform,
    service::Service,
};

/// An app, and what was found.
pub(super) type Examined = (String, Vec<Finding>);

/// Examines the app of a manifest, installed or not.
pub(super) fn of_manifest(
    context: &Context,
    file: &Path,
    scope: &ScopeArgs,
    trouble: Option<&Trouble>,
) -> Result<Examined, Failure> {
    let look = context.system;
    let manifest = match try_manifest(look, file, platform::OS)? {
        Ok(manifest) => manifest,
        Err(problems) => {
            let name = file.display().to_string();
            return Ok((
                name,
                doctor::mistakes(&problems.path, &problems.list).into_iter().collect(),
            ));
        }
    };
    let (checked, problems) = check::drafted(&manifest, &scope.wish(), look);
    let service = checked.service;
    let store = context.host.store(service.scope);
    let backend = match (trouble, store.receipt(&service.name, look)?) {
        (Some(trouble), _) => backend::named(&context.host, trouble.backend, service.scope)?,
        (None, Some(receipt)) => backend::named(&context.host, &receipt.backend, service.scope)?,
        (None, None) => super::native(context, service.scope)?,
    };
    let source = (Source::Manifest, &service, problems.as_slice());
    let findings = examined(context, backend.as_ref(), source, trouble)?;
    Ok((service.name, findings))
}

/// Examines an installed app: the version that is installed; or tells that its first install was cut short. None where nothing
/// is known of it.
pub(super) fn of_installed(
    context: &Context,
    backend: &dyn Backend,
    name: &str,
) -> Result<Option<Vec<Finding>>, Failure> {
    let store = backend.store();
    if store.receipt(name, context.system)?.is_none() {
        let cut_short = doctor::cut_short(context.system, store.root(), name);
        return Ok(cut_short.map(|finding| vec![finding]));
    }
    let Some(service) = store.service(name, context.system) else {
        let message = format!("{name}: what is installed of it is its owner's only to read");
        return Err(Failure::new(Exit::Privilege, message).repair(format!("sudo autoglm-boot doctor {name}")));
    };
    examined(context, backend, (Source::Installed, &service, &[]), None).map(Some)
}

fn examined(
    context: &Context,
    backend: &dyn Backend,
    source: (Source, &Service, &[Problem]),
    trouble: Option<&Trouble>,
) -> Result<Vec<Finding>, Failure> {
    let names = [source.1.name.clone()];
    // A user's service manager that comes or goes at this moment does not answer, and soon does, or is known to be gone.
    let app = backend.state(context.system, &names).or_else(|_| {
        context.system.sleep(Duration::from_secs(1));
        backend.state(context.system, &names)
    });
    let app = app?.apps.remove(0);
    let history = doctor::history(context.system, backend, &app, trouble);
    let patient = Patient::new((context.system, &context.host), backend, source, &app, history);
    Ok(doctor::examine(&patient))
}

/// The failure of an install, with what doctor finds first: of the app that it is about, else of the first one that has an
/// error. What cannot be examined adds nothing.
pub(super) fn with_finding(
    context: &Context,
    files: &[std::path::PathBuf],
    scope: &ScopeArgs,
    mut failure: Failure,
) -> Failure {
    let is_examined = matches!(
        failure.exit,
        Exit::Failed | Exit::Usage | Exit::UndoIncomplete | Exit::NotReady
    );
    if !is_examined || failure.finding.is_some() {
        return failure;
    }
    let unit = failure
        .trouble
        .as_ref()
        .map(|trouble| trouble.live.unit.trim_end_matches(".service"));
    for file in files {
        let is_meant = || {
            let named = try_manifest(context.system, file, platform::OS)
                .ok()
                .and_then(Result::ok);
            unit.is_none() || named.is_some_and(|manifest| Some(manifest.name()) == unit)
        };
        if !is_meant() {
            continue;
        }
        let findings = of_manifest(context, file, scope, failure.trouble.as_deref());
        let findings = findings.map(|(_, findings)| findings).unwrap_or_default();
        let first = findings.into_iter().find(|finding| finding.severity == Severity::Error);
        if first.is_some() {
            failure.finding = first.map(Box::new);
            break;
        }
    }
    failure
}

/// The same for one of several apps, which was undone while the others stay.
pub(super) fn finding_of(
    context: &Context,
    backend: &dyn Backend,
    service: &Service,
    trouble: Option<&Trouble>,
) -> Option<Box<Finding>> {
    let findings = examined(context, backend, (Source::Manifest, service, &[]), trouble).ok()?;
    findings
        .into_iter()
        .find(|finding| finding.severity == Severity::Error)
        .map(Box::new)
}

/// What of an app lets others in, a line each.
pub(super) fn openings(context: &Context, service: &Service) -> Vec<String> {
    let backend = backend::systemd::Systemd::new(&context.host, service.scope);
    let app = backend::AppState::default();
    let source = (Source::Manifest, service, &[][..]);
    let patient = Patient::new(
        (context.system, &context.host),
        &backend,
        source,
        &app,
        (None, Vec::new()),
    );
    let line = |finding: Finding| {
        let repair = finding.repair.first().map_or(String::new(), |repair| match repair {
            Repair::ByHand(text) => format!("; {text}"),
            other => format!("; better: {other}"),
        });
        format!("{} ({}){repair}", finding.message, finding.evidence.join(", "))
    };
    doctor::openings(&patient).into_iter().map(line).collect()
}

/// Refuses apps whose requirements are not met, before anything is written; or says aloud that nobody looked.
pub(super) fn check_requirements(
    context: &mut Context,
    backend: &dyn Backend,
    wanted: &[Wanted],
    is_skipped: bool,
) -> Result<(), Failure> {
    let has_some = |wanted: &&Wanted| wanted.service.requirements != crate::service::Requirements::default();
    for Wanted { service, .. } in wanted.iter().filter(has_some) {
        if is_skipped || context.image.is_some() {
            let why = if is_skipped {
                "--skip-requirements"
            } else {
                "nothing runs in an image"
            };
            context
                .report
                .warn(&format!("{}: its requirements were NOT checked ({why})", service.name));
            continue;
        }
        let names = [service.name.clone()];
        let app = backend.state(context.system, &names)?.apps.remove(0);
        let source = (Source::Manifest, service, &[][..]);
        let patient = Patient::new(
            (context.system, &context.host),
            backend,
            source,
            &app,
            (None, Vec::new()),
        );
        let findings = doctor::unmet(&patient);
        if findings.is_empty() {
            continue;
        }
        let unmet: Vec<_> = findings
            .iter()
            .map(|finding| format!("\n  {}", finding.message))
            .collect();
        let message = format!(
            "{}: the machine lacks what it requires:{}\nNothing was changed.",
            service.name,
            unmet.concat()
        );
        let mut failure = Failure::new(Exit::Failed, message)
            .repair("what doctor says below; or install it all the same: --skip-requirements");
        failure.finding = findings.into_iter().next().map(Box::new);
        return Err(failure);
    }
    Ok(())
}
