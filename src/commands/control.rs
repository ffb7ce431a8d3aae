//! `start`, `stop`, `restart`

use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, backend_of, meant, need_privilege, not_installed, tell_elevation};
use crate::{
    apply,
    backend::{Backend, Control, embedded::Embedded},
    cli,
    exit::{Exit, Failure},
    session::Session,
};

/// Of what the machine has for whoever logs on, the instance of the user who asks, who needs no administrator for that.
fn session<'a, 'c: 'a>(
    context: &mut Context<'c>,
    backend: &'a dyn Backend,
    name: &str,
    is_everybodys: bool,
) -> Result<Session<'a>, Failure> {
    if is_everybodys {
        let rooms = Embedded::new(&context.host, backend.scope()).rooms(context.system, name, None);
        return Session::of_instance(context.system, backend, rooms.folder, &mut context.report);
    }
    Session::open(context.system, &context.host, backend, &mut context.report)
}

/// Starts, stops or restarts an installed app.
pub(super) fn run(context: &mut Context, verb: Control, args: &cli::Control) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    let word = match verb {
        Control::Start => "start",
        Control::Stop => "stop",
        Control::Restart => "restart",
    };
    let store = backend.store();
    let receipt = || {
        store
            .receipt(&name, context.system)?
            .ok_or_else(|| not_installed(&name))
    };
    let is_everybodys = receipt()?.is_everybodys;
    if !is_everybodys {
        need_privilege(context, backend.scope())?;
    }
    let session = session(context, backend.as_ref(), &name, is_everybodys)?;
    let receipt = receipt()?;
    let live = backend.observe(context.system, &[backend.unit(&name)])?.remove(0);
    if is_everybodys && verb != Control::Stop {
        tell_elevation(context, &name);
    }
    let readiness = store
        .service(&name, context.system)
        .map_or(receipt.readiness.clone(), |service| service.readiness);
    let limit = args
        .timeout
        .unwrap_or(Duration::from_millis(receipt.start_timeout_ms) + readiness.settling());
    let plan = backend.control(
        verb,
        &crate::receipt::Receipt { readiness, ..receipt },
        &live,
        (!args.no_wait).then_some(limit),
    );
    apply::perform(&session, &plan, &mut context.report).map_err(|failure| Failure {
        exit: if failure.exit == Exit::Failed && verb != Control::Stop {
            Exit::NotReady
        } else {
            failure.exit
        },
        ..failure
    })?;
    session.close(&[]);
    let text = match verb {
        Control::Stop if live.is_enabled() => {
            let occasion = super::status::occasion(backend.scope(), is_everybodys);
            format!("{name}: stopped; it starts again at {occasion}")
        }
        Control::Stop => format!("{name}: stopped"),
        _ if args.no_wait => format!("{name}: {word}ed; whether it is ready was not waited for"),
        _ => format!("{name}: ready"),
    };
    context.report.success(&text);
    Ok((Exit::Ok, json!({ "name": name, "outcome": word })))
}
