//! `uninstall`

use serde_json::json;

use super::{Context, Outcome, backend_of, meant, need_privilege, not_installed, read_manifest};
use crate::{
    apply::{self, Others},
    backend::{self, AppState, Backend, State},
    cli,
    exit::{Exit, Failure},
    platform,
    receipt::Receipt,
    service::Scope,
    session::{self, Session},
};

/// Removes an app's installation; the user's own files stay.
pub(super) fn run(context: &mut Context, args: &cli::Uninstall) -> Outcome {
    let name = match &args.manifest {
        Some(path) => read_manifest(context.system, &context.place(path)?, platform::OS)?
            .name()
            .to_owned(),
        None => meant(context, args.name.as_deref(), &args.scope)?,
    };
    let backend = backend_of(context, &name, &args.scope)?;
    let store = backend.store();
    if args.dry_run {
        let receipt = store
            .receipt(&name, context.system)?
            .ok_or_else(|| not_installed(&name))?;
        let (state, others) = observe(context, backend.as_ref(), &name)?;
        if !args.force {
            refuse_needed(&receipt, &state.apps[0], &others)?;
        }
        let plan = backend.uninstall(&receipt, &state, &others);
        context
            .report
            .answer(&format!("{name}: what an uninstall would do; nothing is changed"));
        let steps = plan.lines();
        for step in &steps {
            context.report.answer(&format!("  {step}"));
        }
        return Ok((Exit::Ok, json!({ "name": name, "outcome": "shown", "plan": steps })));
    }
    let is_interrupted = crate::journal::pending(store.root(), context.system).is_ok_and(|pending| !pending.is_empty());
    if store.receipt(&name, context.system)?.is_none() && !is_interrupted {
        return Err(not_installed(&name));
    }
    need_privilege(context, backend.scope())?;
    let session = Session::open(context.system, &context.host, backend.as_ref(), &mut context.report)?;
    let folders = store.record(context.system).unwrap_or_default().folders;
    let outcome = uninstall(context, &session, &name, args.force);
    session.close(&folders);
    if context.host.windows.is_some() && backend.scope() == Scope::System {
        session::remove_unused(context.system, context.host.store(Scope::User).root()); // our own instance was in it
    }
    outcome
}

fn uninstall(context: &mut Context, session: &Session, name: &str, force: bool) -> Outcome {
    let backend = session.backend();
    let receipt = session
        .store()
        .receipt(name, context.system)?
        .ok_or_else(|| not_installed(name))?;
    let (state, others) = observe(context, backend, name)?;
    if !force {
        refuse_needed(&receipt, &state.apps[0], &others)?;
    }
    context.report.line(&format!("{name}: uninstall"));
    let plan = backend.uninstall(&receipt, &state, &others);
    let names = [name.to_owned()];
    apply::apply(session, "uninstall", &names, plan, Others::Undone, &mut context.report)?;
    let drop_ins = receipt.unit.with_extension("service.d");
    for path in context.system.list(&drop_ins).unwrap_or_default() {
        context.report.note(&format!("kept, it is yours: {}", path.display()));
    }
    let user = context.host.user_name();
    if others.is_empty() && state.scope.record.lingering.is_some() && backend.is_lingering(context.system, &user) {
        context.report.warn(&format!(
            "{user} lingers still, which was enabled by an install and is not to be disabled by this user: sudo loginctl disable-linger {user}"
        ));
    }
    let restored = state.apps[0].original.is_some();
    let what = match backend.name() {
        backend::windows::TASK => "task",
        backend::windows::STARTUP_FOLDER => "shortcut",
        _ => "unit",
    };
    let text = if restored {
        format!("{name}: uninstalled; the {what} that was there before is back")
    } else {
        format!("{name}: uninstalled")
    };
    context.report.success(&text);
    Ok((
        Exit::Ok,
        json!({ "name": name, "outcome": "uninstalled", "restored": restored }),
    ))
}

/// The app, and the receipts of the others.
fn observe(context: &Context, backend: &dyn Backend, name: &str) -> Result<(State, Vec<Receipt>), Failure> {
    let state = backend.state(context.system, &[name.to_owned()])?;
    let mut others = backend.store().receipts(context.system)?;
    others.retain(|receipt| receipt.name != name);
    Ok((state, others))
}

/// What is needed by others does not go silently.
fn refuse_needed(receipt: &Receipt, app: &AppState, others: &[Receipt]) -> Result<(), Failure> {
    let unit = &app.live.unit;
    let mut dependants: Vec<_> = others
        .iter()
        .filter(|other| other.needs.contains(unit))
        .map(|other| other.name.clone())
        .collect();
    let ours: Vec<_> = dependants.iter().map(|name| format!("{name}.service")).collect();
    let native = app
        .live
        .required_by
        .iter()
        .filter(|by| !by.ends_with(".target") && !ours.contains(by));
    dependants.extend(native.cloned());
    if dependants.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{} is needed by {}.\nNothing was changed.",
            receipt.name,
            dependants.join(", ")
        ),
    )
    .repair("uninstall those first, or insist with --force"))
}
