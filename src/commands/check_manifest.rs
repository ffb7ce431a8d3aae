//! `check`

use serde_json::json;

use super::{Context, Outcome, manifests};
use crate::{cli, exit::Exit};

/// Shows every mistake in the manifests.
pub(super) fn run(context: &mut Context, args: &cli::Check) -> Outcome {
    let files = manifests::files(context, &args.manifest)?;
    context.report.is_brief = files.len() > 1;
    let (checked, _) = manifests::checked(context, &files, &args.target.wish(&args.scope), false)?;
    let mut names = Vec::new();
    for (file, checked) in files.iter().zip(&checked) {
        let name = &checked.service.name;
        context.report.success(&format!("{}: {name} is right", file.display()));
        names.push(name.clone());
    }
    manifests::in_order(checked, |checked| &checked.service)?;
    let mut answer = json!({ "outcome": "right" });
    match names.as_slice() {
        [only] => answer["name"] = json!(only),
        several => answer["names"] = json!(several),
    }
    Ok((Exit::Ok, answer))
}
