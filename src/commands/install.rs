//! `install`

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{Context, Outcome, diagnosis, image, manifests, need_privilege, tell_elevation};
use crate::{
    apply::{self, Others},
    backend::{self, Backend, Install, Patience, State, Wanted},
    check::{Checked, Wish},
    cli,
    exit::{Exit, Failure},
    health::state::Care,
    journal,
    plan::{Plan, Step},
    report::plain,
    service::Scope,
    session::{self, Session},
};

mod ended;
mod refuse;

use ended::{Ended, sum_up};

/// Installs the apps, or shows what that would do. A failure ends with doctor's first finding.
pub(super) fn run(context: &mut Context, args: &cli::Install) -> Outcome {
    let files = manifests::files(context, &args.manifest)?;
    let outcome = of_files(context, args, &files);
    outcome.map_err(|failure| diagnosis::with_finding(context, &files, &args.scope, failure))
}

fn of_files(context: &mut Context, args: &cli::Install, files: &[PathBuf]) -> Outcome {
    context.report.is_brief = files.len() > 1;
    let wish = Wish {
        method: args.backend.as_deref().and_then(backend::windows::method),
        ..args.scope.wish()
    };
    let (checked, wrong) = manifests::checked(context, files, &wish, args.keep_going)?;
    let checked = manifests::in_order(checked, |checked| &checked.service)?;
    let scope = checked[0].service.scope;
    image::refuse_nobodys(context, scope)?;
    let is_shown = args.dry_run || args.check;
    if !is_shown {
        need_privilege(context, scope).map_err(|failure| {
            if checked[0].service.is_everybodys() {
                let message =
                    "what starts for whoever logs on is the machine's: only an administrator installs it.\nNothing was changed.";
                let repair = format!("{}\n        or install it for this user only: --user", failure.repair);
                return Failure::new(Exit::Privilege, message).repair(repair);
            }
            if context.host.windows.is_some() {
                let message = "a task that starts at boot is the machine's: `schtasks /create` of it is denied to anybody but an administrator.\nNothing was changed.";
                return Failure::new(Exit::Privilege, message).repair(backend::windows::tasks::WAYS_OUT);
            }
            let repair = format!("{}\n        or install it for this user only: --user", failure.repair);
            failure.repair(repair)
        })?;
    }
    let written = by_method(context, &checked)?;
    let backend = backend::choose(&context.host, scope, args.backend.as_deref().or(written))?;
    let backend = backend.as_ref();
    let wanted: Vec<_> = checked
        .into_iter()
        .map(|checked| Wanted::new(context.system, checked.service, checked.source, None))
        .collect();
    diagnosis::check_requirements(context, backend, &wanted, args.skip_requirements)?;
    let receipts = backend.store().receipts(context.system)?;
    for (name, manifest) in manifests::gone(context, &args.manifest, &receipts) {
        context.report.note(&format!(
            "{name} was installed from {}, which is gone; it stays installed. To remove it: autoglm-boot uninstall {name}",
            manifest.display()
        ));
    }
    let options = Install {
        start: !args.no_start && context.image.is_none(),
        restart: args.restart,
        force: args.force,
        adopt: args.adopt,
        ..options(
            context,
            args.timeout,
            args.no_wait || args.no_start || context.image.is_some(),
        )
    };
    if is_shown {
        return show(context, args, backend, &wanted, &options);
    }
    context.report.line(&title(backend, &wanted));
    let session = Session::open(context.system, &context.host, backend, &mut context.report)?;
    let others = if args.keep_going { Others::Kept } else { Others::Undone };
    let outcome = install(context, &session, &wanted, options, others);
    let folders = backend.store().record(context.system).unwrap_or_default().folders;
    session.close(&folders);
    let (exit, answer) = outcome.inspect_err(|_| {
        for (_, failure) in &wrong {
            context.report.error(failure);
        }
    })?;
    if wrong.is_empty() {
        return Ok((exit, answer));
    }
    Ok((Exit::Failed, with_refused(context, answer, wrong)))
}

/// What the manifests say of how they are begun, on Windows.
fn by_method(context: &Context, checked: &[Checked]) -> Result<Option<&'static str>, Failure> {
    if context.host.windows.is_none() {
        return Ok(None);
    }
    let mut methods = checked.iter().map(|checked| checked.service.windows.method);
    let first = methods.next();
    if methods.any(|method| Some(method) != first) {
        let message = "some of these apps are begun by a task, and some by the Startup folder: one call is one of them";
        return Err(Failure::new(Exit::Usage, message).repair("install them one after the other, or say --backend"));
    }
    Ok(first.map(backend::windows::name))
}

/// The answer, and the manifests that were left out because they are wrong.
fn with_refused(context: &mut Context, answer: Value, wrong: Vec<manifests::Wrong>) -> Value {
    let mut apps = match answer.get("apps") {
        Some(Value::Array(apps)) => apps.clone(),
        _ => vec![answer],
    };
    for (file, failure) in wrong {
        context.report.error(&failure);
        apps.push(json!({ "manifest": file, "outcome": "refused", "error": plain(&failure) }));
    }
    json!({ "outcome": "partly", "apps": apps })
}

/// Installs checked manifests.
pub(super) fn install(
    context: &mut Context,
    session: &Session,
    wanted: &[Wanted],
    mut options: Install,
    others: Others,
) -> Outcome {
    let backend = session.backend();
    options.created = session.created().to_vec();
    // Only now nobody else is at work, and what was left half done is whole.
    let wanted: Vec<_> = wanted.iter().map(|wanted| wanted.anew(context.system)).collect();
    let wanted = wanted.as_slice();
    let (names, state) = observe(context, backend, wanted)?;
    refuse::tell(context, backend, wanted, &state, &options)?;
    let plan = backend.install(wanted, &state, &options)?;
    if options.start {
        refuse::taken_addresses(context, wanted, &state, options.force)?;
    }
    let outcomes: Vec<_> = names
        .iter()
        .zip(&state.apps)
        .map(|(name, app)| Ended::new(name, app, &plan, &options, names.len() == 1))
        .collect();
    let mut dropped = apply::apply(session, "install", &names, plan, others, &mut context.report)?;
    for wanted in wanted {
        if let Some(failure) = dropped.get_mut(&backend.unit(&wanted.service.name)) {
            failure.finding = diagnosis::finding_of(context, backend, &wanted.service, failure.trouble.as_deref());
        }
    }
    let answers: Vec<_> = outcomes
        .iter()
        .map(|ended| ended.tell(context, backend, dropped.get(&backend.unit(&ended.name))))
        .collect();
    unwatched(context, backend, wanted);
    if let [only] = answers.as_slice() {
        return Ok((Exit::Ok, only.clone()));
    }
    if let Some(hint) = backend.boot_hint() {
        context.report.note(hint);
    }
    Ok(sum_up(context, &outcomes, &answers, &dropped))
}

/// Apps run without a watcher too: that is told, and no failure.
fn unwatched(context: &mut Context, backend: &dyn Backend, wanted: &[Wanted]) {
    let is_to_be_watched = wanted.iter().any(|wanted| Care::of(&wanted.service).has_probe());
    if is_to_be_watched && context.image.is_none() && !backend.is_watching(context.system) {
        context.report.warn(
            "their health is not watched: autoglm-boot-watch.service does not run (systemctl status autoglm-boot-watch)",
        );
    }
}

fn observe(context: &Context, backend: &dyn Backend, wanted: &[Wanted]) -> Result<(Vec<String>, State), Failure> {
    let names: Vec<_> = wanted.iter().map(|wanted| wanted.service.name.clone()).collect();
    let state = backend.state(context.system, &names)?;
    Ok((names, state))
}

/// `--dry-run` and `--check`: the same plan, printed.
fn show(
    context: &mut Context,
    args: &cli::Install,
    backend: &dyn Backend,
    wanted: &[Wanted],
    options: &Install,
) -> Outcome {
    let pending = journal::pending(backend.store().root(), context.system).unwrap_or_default();
    for (verb, name) in &pending {
        context.report.warn(&format!(
            "an earlier {verb} of {name} was interrupted; the next install or uninstall undoes it first"
        ));
    }
    let (names, state) = observe(context, backend, wanted)?;
    refuse::tell(context, backend, wanted, &state, options)?;
    // What a run makes before it can take its lock, is part of what it does.
    let created = session::missing_folders(context.system, backend.store().root());
    let options = Install {
        created: created.clone(),
        ..options.clone()
    };
    let plan = backend.install(wanted, &state, &options)?;
    let mkdirs = created.into_iter().map(|path| Step::Mkdir { path, mode: 0o755 });
    let lines: Vec<_> = mkdirs.map(|step| step.to_string()).chain(plan.lines()).collect();
    let is_pending = !lines.is_empty();
    let title = match names.as_slice() {
        [only] => only.clone(),
        several => format!("{} apps", several.len()),
    };
    if args.dry_run {
        context
            .report
            .answer(&format!("{title}: what an install would do; nothing is changed"));
        for line in &lines {
            context.report.answer(&format!("  {line}"));
        }
        show_units(context, &plan, &state);
    }
    if args.check || !is_pending {
        let text = if is_pending { "changes pending" } else { "unchanged" };
        context.report.answer(&format!("{title}: {text}"));
    }
    let exit = if args.check && is_pending {
        Exit::Pending
    } else {
        Exit::Ok
    };
    let mut answer = json!({ "outcome": "shown", "changes": is_pending, "plan": lines });
    match names.as_slice() {
        [only] => answer["name"] = json!(only),
        several => answer["names"] = json!(several),
    }
    Ok((exit, answer))
}

/// The units that would be written: a new one whole, a changed one as what is different.
fn show_units(context: &mut Context, plan: &Plan, state: &State) {
    for task in &plan.tasks {
        let (path, text) = match &task.step {
            Step::WriteFile { path, text, .. } if path.extension().is_some_and(|extension| extension == "service") => {
                (path, text)
            }
            Step::WriteBytes { path, shown, .. } => (path, shown),
            _ => continue,
        };
        let app = state.apps.iter().find(|app| Some(&app.live.unit) == task.of.as_ref());
        match app.and_then(|app| app.text.as_deref()) {
            Some(there) => {
                let difference = crate::diff::unified(there, text);
                context
                    .report
                    .answer(&format!("\n{}, changed:\n{difference}", path.display()));
            }
            None => context.report.answer(&format!("\n{}:\n{text}", path.display())),
        }
    }
}

/// An install as this user asks for it now.
pub(super) fn options(context: &Context, timeout: Option<std::time::Duration>, no_wait: bool) -> Install {
    Install {
        start: true,
        patience: match timeout {
            _ if no_wait => Patience::None,
            Some(limit) => Patience::AtMost(limit),
            None => Patience::Manifest,
        },
        now: now(),
        by: context.by.clone(),
        ..Install::default()
    }
}

/// Seconds since 1970, UTC.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs()
}

fn title(backend: &dyn Backend, wanted: &[Wanted]) -> String {
    let scope = match backend.scope() {
        Scope::System => "system",
        Scope::User => "user",
    };
    let kept = format!("({scope} scope, {})", backend.name());
    match wanted {
        [only] => format!("{}: install {kept}{}", only.service.name, identity(&only.service)),
        several => format!("{} apps: install {kept}", several.len()),
    }
}

fn identity(service: &crate::service::Service) -> String {
    use crate::service::{RunAs, StartType};
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
