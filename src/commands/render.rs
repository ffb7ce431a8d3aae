//! `render`

use serde_json::json;

use super::{Context, Outcome, absolute, checked};
use crate::{
    backend::{Backend, systemd::Systemd},
    cli,
    exit::{Exit, Failure},
};

/// Prints the native artefact, or writes it into a folder.
pub(super) fn run(context: &mut Context, args: &cli::Render) -> Outcome {
    let manifest = context.place(&args.manifest)?;
    let service = checked(context, &manifest, &args.scope)?.service;
    let rendered = Systemd::new(&context.host, service.scope).render(&service)?;
    for loss in &rendered.losses {
        context.report.warn(&format!("not expressed as written: {loss}"));
    }
    let Some(folder) = &args.output else {
        context.report.answer(rendered.text.trim_end());
        return Ok((Exit::Ok, json!({})));
    };
    let folder = context.place(folder)?;
    let path = folder.join(&rendered.file);
    let failed = |error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
    for missing in crate::session::missing_folders(context.system, &absolute(&folder)?) {
        context.system.make_folder(&missing, 0o755).map_err(failed)?;
    }
    context
        .system
        .write_file(&path, rendered.text.as_bytes(), 0o644)
        .map_err(failed)?;
    context.report.line(&format!("wrote {}", path.display()));
    Ok((Exit::Ok, json!({})))
}
