//! What is told or refused before an install does anything.

use std::time::Duration;

use super::{Context, tell_elevation};
use crate::{
    backend::{Backend, Install, State, Wanted, conditions},
    exit::{Exit, Failure},
    health::Main,
    service::{Probe as Question, Scope},
};

/// What the target cannot express, what the user decided by hand, and what is required but not there.
pub(super) fn tell(
    context: &mut Context,
    backend: &dyn Backend,
    wanted: &[Wanted],
    state: &State,
    options: &Install,
) -> Result<(), Failure> {
    let units: Vec<_> = state.apps.iter().map(|app| app.live.unit.as_str()).collect();
    for (wanted, app) in wanted.iter().zip(&state.apps) {
        let name = &wanted.service.name;
        let of = if context.report.is_brief {
            format!("{name}: ")
        } else {
            String::new()
        };
        let mut losses = backend.render(&wanted.service)?.losses;
        losses.extend(backend.losses(context.system, &wanted.service, &units));
        for loss in losses {
            context.report.warn(&format!("{of}not expressed as written: {loss}"));
        }
        let was_linked = app.receipt.as_ref().is_some_and(|receipt| !receipt.links.is_empty());
        if was_linked && app.links.is_empty() && !options.force {
            context.report.warn(&format!(
                "{of}it was disabled by hand and stays so: it will not start at boot (--force enables it again)"
            ));
        }
        let is_as_before = app.live.is_up() && app.service() == Some(&wanted.service) && !options.restart;
        if wanted.service.is_everybodys() && options.start && !is_as_before {
            tell_elevation(context, name);
        }
        if let Some(decided) = backend.decided(app).filter(|_| !options.force) {
            context.report.warn(&format!(
                "{of}{decided} and stays so: nothing starts it by itself (--force switches it on again)"
            ));
        }
        if let Some(receipt) = app.receipt.as_ref().filter(|receipt| receipt.backend != backend.name()) {
            let message = format!(
                "{name} is installed with the backend {}, and this would be {}.\nNothing was changed.",
                receipt.backend,
                backend.name()
            );
            return Err(Failure::new(Exit::Failed, message).repair(format!(
                "uninstall it first (autoglm-boot uninstall {name}), or say --backend {}",
                receipt.backend
            )));
        }
    }
    if state.scope.is_reachable {
        missing_requirement(context, backend, wanted)?;
    }
    Ok(())
}

fn missing_requirement(context: &Context, backend: &dyn Backend, wanted: &[Wanted]) -> Result<(), Failure> {
    let is_wanted = |unit: &String| wanted.iter().any(|other| backend.unit(&other.service.name) == *unit);
    let mut required: Vec<(&str, String)> = Vec::new();
    for wanted in wanted {
        let units = backend
            .needed(&wanted.service)
            .into_iter()
            .filter(|unit| !is_wanted(unit));
        required.extend(units.map(|unit| (wanted.service.name.as_str(), unit)));
    }
    let units: Vec<_> = required.iter().map(|(_, unit)| unit.clone()).collect();
    let lives = backend.observe(context.system, &units)?;
    let absent = required.iter().zip(&lives).find(|(_, live)| !live.is_known());
    let Some(((name, unit), _)) = absent else { return Ok(()) };
    Err(Failure::new(
        Exit::Failed,
        format!("{name} requires {unit}, which is not there.\nNothing was changed."),
    )
    .repair(match backend.scope() {
        Scope::System => "install that one first or together with it, or take it out of dependencies.requires",
        Scope::User => "a user's service can only require services of the same user: install that one first or together with it, or install both with --system",
    }))
}

/// Something that answers before the app was started would be taken for the app.
pub(super) fn taken_addresses(context: &Context, wanted: &[Wanted], state: &State, force: bool) -> Result<(), Failure> {
    const GLANCE: Duration = Duration::from_millis(500);
    let is_asked = |probe: &&Question| matches!(probe, Question::Http { .. } | Question::Tcp { .. });
    let apps = wanted
        .iter()
        .zip(&state.apps)
        .filter(|(_, app)| !force && !app.live.is_up());
    let probes: Vec<_> = apps
        .filter_map(|(wanted, _)| {
            let probe = wanted.service.readiness.probe.as_ref().filter(is_asked)?;
            Some((&wanted.service.name, probe))
        })
        .collect();
    let asked: Vec<_> = probes
        .iter()
        .map(|(_, probe)| (*probe, GLANCE, Main::default()))
        .collect();
    let answers = conditions::ask(context.system, &asked);
    let taken = probes.iter().zip(answers).find(|(_, answer)| answer.is_ok());
    let Some(((name, probe), _)) = taken else { return Ok(()) };
    Err(Failure::new(
        Exit::Failed,
        format!("{probe} already, though {name} does not run: something else has its address.\nNothing was changed."),
    )
    .repair("stop what listens there (`ss -ltnp` shows it), give the app another port, or insist with --force"))
}
