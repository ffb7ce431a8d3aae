//! `install`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{Context, Outcome, checked, need_privilege};
use crate::{
    apply,
    backend::{self, Backend, Install, State},
    cli,
    exit::{Exit, Failure},
    journal,
    plan::{Condition, Plan, Step},
    service::{Probe as Question, Scope, Service, StartType},
    session::{self, Session},
};

/// Installs the app, or shows what that would do.
pub(super) fn run(context: &mut Context, args: &cli::Install) -> Outcome {
    let checked = checked(context, &args.manifest, args.scope)?;
    let service = checked.service;
    let is_shown = args.dry_run || args.check;
    if !is_shown {
        need_privilege(context, service.scope).map_err(|failure| {
            let repair = format!("{}\n        or install it for this user only: --user", failure.repair);
            failure.repair(repair)
        })?;
    }
    let backend = backend::choose(&context.host, service.scope)?;
    let backend = backend.as_ref();
    let options = Install {
        start: !args.no_start,
        restart: args.restart,
        force: args.force,
        adopt: args.adopt,
        manifest: checked.source,
        ..options(context, &service, args.timeout, args.no_wait || args.no_start)
    };
    if is_shown {
        return show(context, args, backend, &service, &options);
    }
    let title = format!(
        "{}: install ({} scope, {}){}",
        service.name,
        scope_name(service.scope),
        backend.name(),
        identity(&service)
    );
    context.report.line(&title);
    let session = Session::open(context.system, backend, &mut context.report)?;
    let outcome = install(context, &session, &service, options);
    let folders = backend.store().record(context.system).unwrap_or_default().folders;
    session.close(&folders);
    outcome
}

/// Installs a checked manifest.
pub(super) fn install(context: &mut Context, session: &Session, service: &Service, mut options: Install) -> Outcome {
    let backend = session.backend();
    options.created = session.created().to_vec();
    let state = backend.state(context.system, &service.name)?;
    tell(context, backend, service, &state, &options)?;
    let plan = backend.install(service, &state, &options)?;
    if options.start && !state.live.is_up() {
        refuse_taken_address(context, service, options.force)?;
    }
    let outcome = summary(&plan, &state);
    let waits = plan.steps.iter().any(|step| {
        matches!(
            step,
            Step::Await {
                condition: Condition::Ready { .. },
                ..
            }
        )
    });
    let starts = options.start && (!state.live.is_up() || options.restart);
    apply::apply(session, "install", &service.name, plan, &mut context.report)?;
    let name = &service.name;
    let text = match (outcome, waits, starts) {
        ("unchanged", ..) => format!("{name}: unchanged. If only its code changed: autoglm-boot restart {name}"),
        (outcome, true, _) => format!("{name}: {outcome} and ready"),
        (outcome, false, true) => format!("{name}: {outcome} and started; whether it is ready was not waited for"),
        (outcome, false, false) if state.live.is_up() => format!("{name}: {outcome}; it runs on as it did"),
        (outcome, false, false) => format!("{name}: {outcome}, not started"),
    };
    context.report.success(&text);
    if let Some(hint) = backend.boot_hint(name) {
        context.report.note(&hint);
    }
    Ok((
        Exit::Ok,
        json!({ "name": service.name, "outcome": outcome, "unit": backend.unit(&service.name), "scope": service.scope }),
    ))
}

/// `--dry-run` and `--check`: the same plan, printed.
fn show(
    context: &mut Context,
    args: &cli::Install,
    backend: &dyn Backend,
    service: &Service,
    options: &Install,
) -> Outcome {
    let pending = journal::pending(backend.store().root(), context.system).unwrap_or_default();
    for (verb, name) in &pending {
        context.report.warn(&format!(
            "an earlier {verb} of {name} was interrupted; the next install or uninstall undoes it first"
        ));
    }
    let state = backend.state(context.system, &service.name)?;
    tell(context, backend, service, &state, options)?;
    // What a run makes before it can take its lock, is part of what it does.
    let created = session::missing_folders(context.system, backend.store().root());
    let options = Install {
        created: created.clone(),
        ..options.clone()
    };
    let mut plan = backend.install(service, &state, &options)?;
    let mkdirs = created.into_iter().map(|path| Step::Mkdir { path, mode: 0o755 });
    plan.steps.splice(0..0, mkdirs);
    let is_pending = !plan.is_empty();
    if args.dry_run {
        context.report.answer(&format!(
            "{}: what an install would do; nothing is changed",
            service.name
        ));
        for step in plan.steps.iter().filter(|step| !matches!(step, Step::OnRollback(_))) {
            context.report.answer(&format!("  {step}"));
        }
        for step in &plan.steps {
            if let Step::WriteFile { path, text, .. } = step
                && path.extension().is_some_and(|extension| extension == "service")
            {
                context.report.answer(&format!("\n{}:\n{text}", path.display()));
            }
        }
    }
    if args.check || !is_pending {
        let text = if is_pending { "changes pending" } else { "unchanged" };
        context.report.answer(&format!("{}: {text}", service.name));
    }
    let steps: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    let exit = if args.check && is_pending {
        Exit::Pending
    } else {
        Exit::Ok
    };
    Ok((
        exit,
        json!({ "name": service.name, "outcome": "shown", "changes": is_pending, "plan": steps }),
    ))
}

/// What the target cannot express, and what the user decided by hand.
fn tell(
    context: &mut Context,
    backend: &dyn Backend,
    service: &Service,
    state: &State,
    options: &Install,
) -> Result<(), Failure> {
    for loss in backend.render(service)?.losses {
        context.report.warn(&format!("not expressed as written: {loss}"));
    }
    let was_linked = state.receipt.as_ref().is_some_and(|receipt| !receipt.links.is_empty());
    if was_linked && state.links.is_empty() && !options.force {
        context
            .report
            .warn("it was disabled by hand and stays so: it will not start at boot (--force enables it again)");
    }
    let missing: Vec<_> = service.dependencies.requires.clone();
    let known = if state.is_reachable {
        backend.observe(context.system, &missing)?
    } else {
        Vec::new()
    };
    if let Some(absent) = known.iter().find(|live| !live.is_known()) {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} requires {}, which is not there.\nNothing was changed.", service.name, absent.unit),
        )
        .repair(match service.scope {
            Scope::System => "install that one first, or take it out of dependencies.requires",
            Scope::User => "a user's service can only require services of the same user: install that one first, or install both with --system",
        }));
    }
    Ok(())
}

/// Something that answers before the app was started would be taken for the app.
fn refuse_taken_address(context: &Context, service: &Service, force: bool) -> Result<(), Failure> {
    const GLANCE: Duration = Duration::from_millis(500);
    let Some(probe @ (Question::Http { .. } | Question::Tcp { .. })) = &service.readiness.probe else {
        return Ok(());
    };
    if force || context.system.ask(probe, GLANCE, None).is_err() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{probe} already, though {} does not run: something else has its address.\nNothing was changed.",
            service.name
        ),
    )
    .repair("stop what listens there (`ss -ltnp` shows it), give the app another port, or insist with --force"))
}

/// An install as this user asks for it now.
pub(super) fn options(context: &Context, service: &Service, timeout: Option<Duration>, no_wait: bool) -> Install {
    let settle = if service.readiness.probe.is_none() {
        service.readiness.settle
    } else {
        Duration::ZERO
    };
    let limit = timeout.unwrap_or(service.start_timeout + settle);
    Install {
        start: true,
        wait: (!no_wait).then_some(limit),
        now: now(),
        by: context
            .system
            .env("SUDO_USER")
            .map_or_else(|| context.host.user_name(), |user| user.to_string_lossy().into_owned()),
        ..Install::default()
    }
}

/// Seconds since 1970, UTC.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs()
}

fn summary(plan: &Plan, state: &State) -> &'static str {
    if plan.is_empty() {
        return "unchanged";
    }
    match (&state.receipt, state.is_foreign()) {
        (Some(_), _) => "updated",
        (None, true) => "adopted",
        (None, false) => "installed",
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "system",
        Scope::User => "user",
    }
}

fn identity(service: &Service) -> String {
    use crate::service::RunAs;
    let oneshot = if service.start_type == StartType::Oneshot {
        ", oneshot"
    } else {
        ""
    };
    match &service.run_as {
        RunAs::User { user, .. } => format!(", runs as {user}{oneshot}"),
        RunAs::Dynamic => format!(", runs as a throw-away user{oneshot}"),
        RunAs::Invoker => oneshot.into(),
    }
}
