//! `check`

use serde_json::json;

use super::{Context, Outcome, checked};
use crate::{cli, exit::Exit};

/// Shows every mistake in the manifest.
pub(super) fn run(context: &mut Context, args: &cli::Check) -> Outcome {
    let checked = checked(context, &args.manifest, args.scope)?;
    let name = &checked.service.name;
    context
        .report
        .success(&format!("{}: {name} is right", args.manifest.display()));
    Ok((Exit::Ok, json!({ "name": name, "outcome": "right" })))
}
