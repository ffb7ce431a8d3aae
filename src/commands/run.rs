//! `run`, and what the embedded supervisor does in the background.

use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, checked, meant, not_installed};
use crate::{
    backend::{Backend as _, embedded::Embedded},
    cli,
    exit::{Exit, Failure},
    service::{Scope, Service},
    supervisor::{self, Rooms, Stage, client, state},
    system::Cmd,
};

/// How long a stop may take beyond the manifest's own limit.
const SLACK: Duration = Duration::from_secs(5);

/// Keeps an app in the foreground.
pub(super) fn run(context: &mut Context, args: &cli::Run) -> Outcome {
    let (backend, service) = if let Some(manifest) = &args.manifest {
        let service = checked(context, manifest, &args.scope)?.service;
        (Embedded::new(&context.host, service.scope), service)
    } else {
        let name = meant(context, args.name.as_deref(), &args.scope)?;
        installed(context, &name, &args.scope)?
    };
    for loss in backend.render(&service)?.losses {
        context.report.warn(&format!("not expressed as written: {loss}"));
    }
    let rooms = backend.rooms(context.system, &service.name);
    serve(context, &service, &rooms, Stage::Foreground)
}

/// The hidden verb: what systemctl(1) is to systemd.
pub(super) fn control(context: &mut Context, args: &cli::Supervisor) -> Outcome {
    let name = &args.name;
    let backend = Embedded::new(&context.host, args.scope.scope().unwrap_or(Scope::System));
    let service = backend.store().service(name, context.system); // not there while it comes or goes
    let rooms = backend.rooms(context.system, name);
    let patience = service
        .as_ref()
        .map_or(Duration::from_secs(90), |service| service.stop_timeout)
        + SLACK;
    let start = |context: &Context| {
        let scope = if args.scope.scope() == Some(Scope::User) {
            "--user"
        } else {
            "--system"
        };
        let program = context.host.program.to_string_lossy();
        let serve = Cmd::new(&program, ["supervisor", "serve", scope, name]);
        client::start(context.system, &serve, &rooms)
    };
    match args.verb {
        cli::SupervisorVerb::Start => start(context)?,
        cli::SupervisorVerb::Stop => client::stop(context.system, &rooms, patience)?,
        cli::SupervisorVerb::Restart => {
            client::stop(context.system, &rooms, patience)?;
            start(context)?;
        }
        cli::SupervisorVerb::Serve => {
            let service = service.ok_or_else(|| not_installed(name))?;
            return serve(context, &service, &rooms, Stage::Background);
        }
    }
    Ok((Exit::Ok, json!({})))
}

fn serve(context: &Context, service: &Service, rooms: &Rooms, stage: Stage) -> Outcome {
    supervisor::make_folders(rooms, context.system)?;
    let outcome = supervisor::run(service, rooms, stage, context.system)?;
    let exit = match outcome {
        state::Outcome::Stopped | state::Outcome::Done => Exit::Ok,
        state::Outcome::Failed | state::Outcome::Exhausted => Exit::Failed,
    };
    Ok((exit, json!({})))
}

fn installed(context: &Context, name: &str, wish: &cli::ScopeArgs) -> Result<(Embedded, Service), Failure> {
    for scope in super::scopes(context, wish) {
        let backend = Embedded::new(&context.host, scope);
        if let Some(service) = backend.store().service(name, context.system) {
            return Ok((backend, service));
        }
    }
    Err(not_installed(name))
}
