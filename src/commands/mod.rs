//! The verbs, one a file. This one is the match, and what several verbs need.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    backend,
    check::{self, Checked, Wish},
    cli::{Cli, Verb},
    exit::{Exit, Failure},
    host::{self, Host},
    manifest,
    report::{Report, Voice},
    service::Os,
    system::{EntryKind, Probe, Rooted, System, without_parents},
};

mod apps;
mod check_manifest;
mod control;
mod diagnosis;
mod doctor;
mod history;
mod image;
mod install;
mod list;
mod logs;
mod manifests;
mod privilege;
mod probe;
mod render;
mod run;
mod security;
mod status;
mod uninstall;
mod watch;

use apps::{Installed, backend_of, installed, meant, native, not_installed, scopes};
use privilege::{act_for, invoker, need_privilege, tell_elevation};

/// What every verb is given.
pub struct Context<'a> {
    /// The machine, or the image of one.
    pub system: &'a dyn System,
    /// The image, if it is one.
    pub image: Option<&'a Rooted<'a>>,
    /// Its facts.
    pub host: Host,
    /// Where to tell.
    pub report: Report,
    /// Who calls.
    pub by: String,
    /// The command line as it was given.
    pub args: Vec<OsString>,
}

/// How a verb ended, with its answer for programs.
pub type Outcome = Result<(Exit, Value), Failure>;

/// Runs the verb and tells how it ended.
pub fn run(cli: Cli, args: Vec<OsString>, system: &dyn System) -> Exit {
    let voice = match (wants_json(&cli.verb), cli.quiet) {
        (true, _) => Voice::Json,
        (false, true) => Voice::Quiet,
        (false, false) => Voice::Normal,
    };
    let mut report = Report::new(voice);
    let outcome = match image::open(system, cli.verb.root(), cli.verb.scope()) {
        Err(failure) => Err(failure),
        Ok(image) => {
            let mut context = Context {
                by: invoker(system),
                host: image.as_ref().map_or_else(
                    || host::detect(system),
                    |image| host::detect_image(image, image.account().cloned()),
                ),
                system: image.as_ref().map_or(system, |image| image),
                image: image.as_ref(),
                report,
                args,
            };
            let outcome = act_for(&mut context, cli.verb.scope()).and_then(|()| verb(&mut context, cli.verb));
            report = context.report;
            outcome
        }
    };
    match outcome {
        Ok((exit, answer)) => {
            report.finish(answer, exit as u8, None);
            exit
        }
        Err(failure) => {
            report.error(&failure);
            report.finish(json!({}), failure.exit as u8, Some(&failure));
            failure.exit
        }
    }
}

fn verb(context: &mut Context, verb: Verb) -> Outcome {
    match verb {
        Verb::Install(args) => install::run(context, &args),
        Verb::Status(args) => status::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Start(args) => control::run(context, backend::Control::Start, &args),
        Verb::Stop(args) => control::run(context, backend::Control::Stop, &args.into()),
        Verb::Restart(args) => control::run(context, backend::Control::Restart, &args),
        Verb::Logs(args) => logs::run(context, &args),
        Verb::History(args) => history::history(context, &args),
        Verb::Rollback(args) => history::rollback(context, &args),
        Verb::Uninstall(args) => uninstall::run(context, &args),
        Verb::Doctor(args) => doctor::run(context, &args),
        Verb::Security(args) => security::run(context, &args),
        Verb::Check(args) => check_manifest::run(context, &args),
        Verb::Render(args) => render::run(context, &args),
        Verb::Probe(args) => probe::run(context, &args),
        Verb::Watch(args) => watch::watch(context, &args),
        Verb::Wait(args) => watch::wait(context, &args),
        Verb::Run(args) => run::run(context, &args),
        Verb::Supervisor(args) => run::control(context, &args),
    }
}

/// A command line that is none, or that asks for help: tells what clap says of it.
pub fn not_understood(error: &clap::Error, args: &[OsString]) -> Exit {
    if !error.use_stderr() {
        let _ = error.print(); // a reader that went away is no error of ours
        return Exit::Ok;
    }
    let words = args.iter().take_while(|arg| *arg != "--");
    if words.clone().any(|arg| arg == "--json") {
        let message = error.to_string();
        let failure = Failure::new(Exit::Usage, message.trim_start_matches("error: ").trim_end());
        Report::new(Voice::Json).finish(json!({}), Exit::Usage as u8, Some(&failure));
    } else {
        let _ = error.print(); // as above
    }
    Exit::Usage
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Install(args) => args.json,
        Verb::Status(args) => args.json,
        Verb::List(args) => args.json,
        Verb::Start(args) | Verb::Restart(args) => args.json,
        Verb::Stop(args) => args.json,
        Verb::History(args) => args.json,
        Verb::Rollback(args) => args.json,
        Verb::Uninstall(args) => args.json,
        Verb::Doctor(args) => args.json,
        Verb::Security(args) => args.json,
        Verb::Check(args) => args.json,
        Verb::Probe(args) => args.json,
        Verb::Logs(_) | Verb::Render(_) | Verb::Run(_) | Verb::Supervisor(_) | Verb::Watch(_) | Verb::Wait(_) => false,
    }
}

/// The manifest as written: read, and right in itself.
fn read_manifest(look: &dyn Probe, path: &Path, os: Os) -> Result<manifest::Manifest, Failure> {
    try_manifest(look, path, os)?.map_err(|problems| Failure::new(problems.exit(), problems.render(is_colourful())))
}

/// The manifest as written, or its mistakes; an error where it cannot be read at all.
fn try_manifest(
    look: &dyn Probe,
    path: &Path,
    os: Os,
) -> Result<Result<manifest::Manifest, manifest::Problems>, Failure> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let message = format!("cannot read the manifest {}: {why}", path.display());
        Failure::new(Exit::Usage, message).repair("name it with --manifest FILE")
    };
    // A device or a pipe may never end, and a file may be larger than the memory.
    match look.target(path).map_err(|error| unreadable(&error))? {
        Some(entry) if entry.kind == EntryKind::Folder => return Err(unreadable(&"it is a folder")),
        Some(entry) if entry.kind != EntryKind::File => return Err(unreadable(&"it is no file")),
        Some(entry) if entry.len > manifest::LARGEST as u64 => {
            let message = format!("{} bytes are no manifest; the largest is 1 MiB", entry.len);
            return Err(unreadable(&message));
        }
        _ => {}
    }
    let bytes = look.read(path).map_err(|error| unreadable(&error))?;
    let path = without_parents(look, &absolute(path)?);
    Ok(manifest::read_for(os, &path, &bytes))
}

/// The manifest, checked for the target that is wished for, on this machine or another; its warnings are told.
fn checked(context: &mut Context, path: &Path, wish: &Wish) -> Result<Checked, Failure> {
    let manifest = read_manifest(context.system, path, wish.os)?;
    let checked = check::check(&manifest, wish, context.system)
        .map_err(|problems| Failure::new(problems.exit(), problems.render(is_colourful())))?;
    let openings = diagnosis::openings(context, &checked.service);
    for warning in checked.warnings.iter().chain(&openings) {
        if context.report.is_brief {
            context.report.warn(&format!("{}: {warning}", checked.service.name));
        } else {
            context.report.warn(warning);
        }
    }
    Ok(checked)
}

/// Colour is decided by where errors go; anstream strips it again where it must not be.
fn is_colourful() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}
