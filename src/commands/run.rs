//! `run`, and what the embedded supervisor does in the background.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{Context, Outcome, manifests, meant, not_installed};
use crate::{
    backend::{Backend as _, embedded::Embedded, windows::Anchor},
    cli,
    exit::{Exit, Failure},
    service::{Method, Scope, Service},
    session,
    supervisor::{
        self, Ended, Rooms, Stage, client,
        crew::{self, Member},
        state,
    },
    system::Cmd,
};

/// How long a stop may take beyond the manifest's own limit.
const SLACK: Duration = Duration::from_secs(5);

/// What is to be kept: the service, and the words of the command line that name it alone.
type Kept = (Service, Vec<String>);

/// Keeps apps in the foreground, until they are over.
pub(super) fn run(context: &mut Context, args: &cli::Run) -> Outcome {
    let mut is_first = true;
    loop {
        let mut kept = manifests::in_order(kept(context, args)?, |(service, _)| service)?;
        if args.all || kept.len() > 1 {
            return together(context, kept);
        }
        let Some((service, _)) = kept.pop() else {
            return Err(Failure::new(Exit::NotInstalled, "no app is installed"));
        };
        if let Ended::Over(outcome) = alone(context, args, &service, is_first)? {
            return Ok(ended(outcome));
        }
        if context.system.interrupted().is_some() {
            return Ok(ended(state::Outcome::Stopped)); // it came at the last moment
        }
        become_anew(context)?;
        is_first = false;
    }
}

fn alone(context: &mut Context, args: &cli::Run, service: &Service, is_first: bool) -> Result<Ended, Failure> {
    let scope = ours(context, service)?;
    let backend = Embedded::new(&context.host, scope);
    if !args.among && is_first {
        for loss in backend.render(service)?.losses {
            context.report.warn(&format!("not expressed as written: {loss}"));
        }
    }
    let rooms = backend.rooms(context.system, &service.name, Some(service));
    let stage = if args.among { Stage::Among } else { Stage::Foreground };
    serve(context, service, &rooms, stage)
}

/// What was installed meanwhile is kept by the program as it is now: we become it. Where no process becomes another, as on Windows,
/// we are it already, for a program that runs is not replaced.
fn become_anew(context: &Context) -> Result<(), Failure> {
    let words = context.args.iter().skip(1).map(|word| word.to_string_lossy());
    let again = Cmd::new(&context.host.program.to_string_lossy(), words);
    let error = context.system.become_command(&again);
    if error.kind() == std::io::ErrorKind::Unsupported {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("cannot run `{again}`: {error}")))
}

/// In which scope's folders that has its own which is kept in the foreground. On Windows anybody can make a folder of the machine's
/// records; only an administrator shall. What is for whoever logs on has its rooms with the user anyway.
fn ours(context: &Context, service: &Service) -> Result<Scope, Failure> {
    let scope = service.scope;
    if context.host.windows.is_none() || service.is_everybodys() {
        return Ok(scope);
    }
    if scope == Scope::User || context.system.euid() != 0 {
        return Ok(Scope::User);
    }
    let store = context.host.store(scope);
    let failed = |error| Failure::new(Exit::Failed, format!("cannot use {}: {error}", store.root().display()));
    session::make_root(context.system, store.root(), scope).map_err(failed)?;
    Ok(scope)
}

fn kept(context: &mut Context, args: &cli::Run) -> Result<Vec<Kept>, Failure> {
    if !args.manifest.is_empty() {
        let files = manifests::files(context, &args.manifest)?;
        let (checked, _) = manifests::checked(context, &files, &args.scope.wish(), false)?;
        let services = checked.into_iter().map(|checked| checked.service);
        let named = |service: Service| {
            let words = vec!["--manifest".into(), service.manifest.display().to_string()];
            (service, words)
        };
        return Ok(services.map(named).collect());
    }
    let names = if args.all {
        let scope = args.scope.scope().unwrap_or(context.host.default_scope());
        let receipts = context.host.store(scope).receipts(context.system)?;
        receipts.into_iter().map(|receipt| receipt.name).collect()
    } else if args.names.is_empty() {
        vec![meant(context, None, &args.scope)?]
    } else {
        args.names.clone()
    };
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone())) // one that is named twice is one
        .map(|name| Ok((installed(context, &name, &args.scope)?, vec![name])))
        .collect()
}

/// Several at once, or all there are.
fn together(context: &mut Context, kept: Vec<Kept>) -> Outcome {
    let Some((first, _)) = kept.first() else {
        return Err(Failure::new(Exit::NotInstalled, "no app is installed")
            .repair("install one first, or name a manifest: --manifest FILE"));
    };
    let scope = first.scope;
    let backend = Embedded::new(&context.host, ours(context, first)?);
    let rooms = backend.rooms(context.system, &first.name, Some(first));
    if kept
        .iter()
        .any(|(service, _)| service.is_everybodys() != first.is_everybodys())
    {
        let message =
            "some of these apps are for whoever logs on, and some run once for the machine: one call keeps one of them";
        return Err(Failure::new(Exit::Usage, message).repair("run them one by one"));
    }
    let runs = |(service, _): &&Kept| context.system.is_locked(&rooms.of_other(&service.name).lock);
    if let Some((service, _)) = kept.iter().find(runs) {
        return Err(supervisor::runs_already(&service.name));
    }
    for (service, _) in &kept {
        for loss in backend.render(service)?.losses {
            let text = format!("{}: not expressed as written: {loss}", service.name);
            context.report.warn(&text);
        }
    }
    let context = &*context;
    supervisor::make_folders(&rooms, Stage::Among, context.system)?;
    let member = |service: Service, mut words: Vec<String>| {
        words.extend([scope.flag().into(), "--among".into()]);
        Member {
            keep: Cmd::new(
                &context.host.program.to_string_lossy(),
                std::iter::once("run".into()).chain(words),
            ),
            service,
        }
    };
    let members = kept
        .into_iter()
        .map(|(service, words)| member(service, words))
        .collect();
    let later = |name: &str| {
        let service = context.host.store(scope).service(name, context.system)?;
        Some(member(service, vec![name.into()]))
    };
    Ok(ended(crew::run(members, &rooms, context.system, later)?))
}

/// The hidden verb: what systemctl(1) is to systemd.
pub(super) fn control(context: &mut Context, args: &cli::Supervisor) -> Outcome {
    let name = &args.name;
    let scope = args.scope.scope().unwrap_or(Scope::System);
    let backend = Embedded::new(&context.host, scope);
    let service = backend.store().service(name, context.system); // not there while it comes or goes
    let rooms = backend.rooms(context.system, name, service.as_ref());
    let patience = service
        .as_ref()
        .map_or(Duration::from_secs(90), |service| service.stop_timeout)
        + SLACK;
    let program = context.host.program.to_string_lossy();
    let in_background = Cmd::new(&program, ["supervisor", "serve", scope.flag(), name]);
    match args.verb {
        cli::SupervisorVerb::Start => client::start(context.system, &in_background, &rooms)?,
        cli::SupervisorVerb::Stop => client::stop(context.system, &rooms, patience)?,
        cli::SupervisorVerb::Restart => client::restart(context.system, &in_background, &rooms, patience)?,
        cli::SupervisorVerb::Await => {
            if let Some(anchor) = Anchor::new(&context.host, Method::Task, scope) {
                if service.is_some_and(|service| anchor.is_bare(&service)) {
                    client::begun_bare(context.system, &anchor, name)?;
                } else {
                    client::begun(context.system, &rooms, &anchor, name)?;
                }
            }
        }
        cli::SupervisorVerb::Serve => {
            let service = service.ok_or_else(|| not_installed(name))?;
            // In the background the client renews it (`supervisor::control`).
            if let Ended::Over(outcome) = serve(context, &service, &rooms, Stage::Background)? {
                return Ok(ended(outcome));
            }
        }
    }
    Ok((Exit::Ok, json!({})))
}

fn serve(context: &Context, service: &Service, rooms: &Rooms, stage: Stage) -> Result<Ended, Failure> {
    supervisor::make_folders(rooms, stage, context.system)?;
    supervisor::run(service, rooms, stage, context.system)
}

fn ended(outcome: state::Outcome) -> (Exit, Value) {
    let exit = match outcome {
        state::Outcome::Stopped | state::Outcome::Done => Exit::Ok,
        state::Outcome::Failed | state::Outcome::Exhausted => Exit::Failed,
    };
    (exit, json!({}))
}

fn installed(context: &Context, name: &str, wish: &cli::ScopeArgs) -> Result<Service, Failure> {
    let stores = super::scopes(context, wish)
        .into_iter()
        .map(|scope| context.host.store(scope));
    let found = stores.into_iter().find_map(|store| store.service(name, context.system));
    found.ok_or_else(|| not_installed(name))
}
