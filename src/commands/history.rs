//! `history`, `rollback`

use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, backend_of, install, meant, need_privilege, not_installed};
use crate::{
    apply::Others,
    backend::{Backend, Wanted},
    cli,
    exit::{Exit, Failure},
    history::{Entry, KEPT},
    plan::Span,
    receipt::Receipt,
    session::Session,
};

/// Lists the versions that are kept, the newest first.
pub(super) fn history(context: &mut Context, args: &cli::History) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    let entries = receipt(context, backend.as_ref(), &name)?.history;
    let newest = entries.last().map(|entry| entry.number);
    for entry in entries.iter().rev() {
        context.report.answer(&line(entry, newest, install::now()));
    }
    Ok((Exit::Ok, json!({ "name": name, "versions": entries })))
}

/// Installs an earlier version again: a transaction like any install, which waits until it is ready.
pub(super) fn rollback(context: &mut Context, args: &cli::Rollback) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    need_privilege(context, backend.scope())?;
    receipt(context, backend.as_ref(), &name)?;
    let session = Session::open(context.system, &context.host, backend.as_ref(), &mut context.report)?;
    let outcome = go_back(context, &session, &name, args);
    session.close(&[]);
    outcome
}

fn go_back(context: &mut Context, session: &Session, name: &str, args: &cli::Rollback) -> Outcome {
    let receipt = receipt(context, session.backend(), name)?;
    let number = target(&receipt.history, args.to)?;
    let version = session.store().version(&receipt, number, context.system)?;
    context.report.line(&format!("{name}: rollback to version {number}"));
    let mut options = install::options(context, args.timeout, args.no_wait);
    options.force = args.force;
    let manifest = version.service.manifest.clone();
    let wanted = [Wanted::new(
        context.system,
        version.service,
        version.manifest,
        Some(number),
    )];
    let done = install::install(context, session, &wanted, options, Others::Undone)?;
    context.report.note(&format!(
        "{} was not changed: the next install of it brings its version back",
        manifest.display()
    ));
    Ok(done)
}

fn receipt(context: &Context, backend: &dyn Backend, name: &str) -> Result<Receipt, Failure> {
    let receipt = backend.store().receipt(name, context.system)?;
    receipt.ok_or_else(|| not_installed(name))
}

/// The version that is meant: the one before the installed one, if none is named.
fn target(entries: &[Entry], wish: Option<u32>) -> Result<u32, Failure> {
    let kept = || {
        entries
            .iter()
            .map(|entry| entry.number.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match wish {
        Some(number) => entries.iter().find(|entry| entry.number == number),
        None => entries.len().checked_sub(2).map(|at| &entries[at]),
    };
    found.map(|entry| entry.number).ok_or_else(|| {
        let message = wish.map_or_else(
            || "there is no earlier version".to_owned(),
            |number| format!("version {number} is not kept"),
        );
        Failure::new(Exit::Usage, message).repair(format!("kept are the last {KEPT}: {}", kept()))
    })
}

fn line(entry: &Entry, newest: Option<u32>, now: u64) -> String {
    let ago = Span(Duration::from_secs(now.saturating_sub(entry.installed)));
    let version = entry
        .version
        .as_ref()
        .map_or(String::new(), |version| format!(", app version {version}"));
    let again = entry.again.map_or(String::new(), |number| format!(", {number} again"));
    let mark = if newest == Some(entry.number) {
        " (installed)"
    } else {
        ""
    };
    format!("{}{mark}: {ago} ago by {}{version}{again}", entry.number, entry.by)
}
