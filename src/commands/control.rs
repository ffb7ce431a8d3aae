//! `start`, `stop`, `restart`

use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome, backend_of, meant, need_privilege, not_installed};
use crate::{
    apply,
    backend::Control,
    cli,
    exit::{Exit, Failure},
    session::Session,
};

/// Starts, stops or restarts an installed app.
pub(super) fn run(context: &mut Context, verb: Control, args: &cli::Control) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    let word = match verb {
        Control::Start => "start",
        Control::Stop => "stop",
        Control::Restart => "restart",
    };
    if backend.store().receipt(&name, context.system)?.is_none() {
        return Err(not_installed(&name));
    }
    need_privilege(context, backend.scope())?;
    let session = Session::open(context.system, &context.host, backend.as_ref(), &mut context.report)?;
    let store = session.store();
    let receipt = store
        .receipt(&name, context.system)?
        .ok_or_else(|| not_installed(&name))?;
    let live = backend.observe(context.system, &[backend.unit(&name)])?.remove(0);
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
            let occasion = super::status::occasion(backend.scope());
            format!("{name}: stopped; it starts again at {occasion}")
        }
        Control::Stop => format!("{name}: stopped"),
        _ if args.no_wait => format!("{name}: {word}ed; whether it is ready was not waited for"),
        _ => format!("{name}: ready"),
    };
    context.report.success(&text);
    Ok((Exit::Ok, json!({ "name": name, "outcome": word })))
}
