//! `list`

use serde_json::json;

use super::{Context, Outcome, status};
use crate::{cli, exit::Exit};

/// Lists the installed apps, a line each.
pub(super) fn run(context: &mut Context, args: &cli::List) -> Outcome {
    let statuses = status::all(context, &args.scope)?;
    for status in &statuses {
        context.report.answer(&status::headline(status));
    }
    if statuses.is_empty() {
        context.report.answer("no app is installed");
    }
    Ok((Exit::Ok, json!({ "apps": statuses })))
}
