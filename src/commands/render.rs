//! `render`

use std::io::IsTerminal as _;

use serde_json::json;

use super::{Context, Outcome, absolute, checked};
use crate::{
    backend::{Backend, systemd::Systemd},
    cli,
    exit::{Exit, Failure},
    render::{self, Artefact},
    service::{Method, Os, Service},
    values::windows_path,
};

/// Prints the native artefact, or writes it into a folder.
pub(super) fn run(context: &mut Context, args: &cli::Render) -> Outcome {
    let manifest = context.place(&args.manifest)?;
    let wish = args.target.wish(&args.scope);
    let program = program(args, wish.os)?;
    let service = checked(context, &manifest, &wish)?.service;
    let artefact = match wish.os {
        Os::Linux => Systemd::new(&context.host, service.scope).render(&service)?.into(),
        Os::Windows => for_windows(&service, program)?,
    };
    for loss in &artefact.losses {
        context.report.warn(&format!("not expressed as written: {loss}"));
    }
    let Some(folder) = &args.output else {
        if std::io::stdout().is_terminal() {
            context.report.answer(artefact.text.trim_end());
        } else {
            let failed = |error| Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"));
            context.report.raw(&artefact.bytes).map_err(failed)?;
        }
        return Ok((Exit::Ok, json!({})));
    };
    let folder = context.place(folder)?;
    let path = folder.join(&artefact.file);
    let failed = |error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
    for missing in crate::session::missing_folders(context.system, &absolute(&folder)?) {
        context.system.make_folder(&missing, 0o755).map_err(failed)?;
    }
    context
        .system
        .write_file(&path, &artefact.bytes, 0o644)
        .map_err(failed)?;
    context.report.line(&format!("wrote {}", path.display()));
    Ok((Exit::Ok, json!({})))
}

fn for_windows(service: &Service, program: &str) -> Result<Artefact, Failure> {
    match service.windows.method {
        Method::Task => render::task(service, program),
        Method::StartupFolder => Ok(render::shortcut(service, program)),
    }
}

/// Where our own program lies on the machine it is rendered for.
fn program(args: &cli::Render, os: Os) -> Result<&str, Failure> {
    let Some(program) = args.program.as_deref() else {
        return Ok(render::windows::PROGRAM);
    };
    let wrong = |why: &str| Failure::new(Exit::Usage, format!("--program {program:?}: {why}"));
    if os != Os::Windows {
        return Err(wrong("a unit does not start autoglm-boot").repair("leave it out, or say --target task"));
    }
    let why = match windows_path::fault(program) {
        None if !windows_path::is_absolute(program) => Some("it must be absolute"),
        None if windows_path::length(program) > render::windows::LONGEST_PATH => Some("it is too long for a task"),
        None if windows_path::is_network(program) => Some("it must lie on a drive of that machine"),
        None => render::windows::lost(program, true),
        fault => fault,
    };
    match why {
        Some(why) => Err(wrong(why).repair("like 'C:\\Program Files\\autoglm-boot\\autoglm-boot.exe'")),
        None => Ok(program),
    }
}
