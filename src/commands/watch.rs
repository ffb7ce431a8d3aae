//! What units of ours call: `watch`, the service that asks apps for their health, and `wait`, before the start of an app that
//! needs others.

use std::io::Write as _;

use serde_json::json;

use super::{Context, Outcome};
use crate::{
    backend::systemd::Systemd,
    cli,
    exit::{Exit, Failure},
    health::{
        Asker,
        wait::{self, Waits},
    },
    service::Scope,
    watch,
};

/// Watches the apps of a scope.
pub(super) fn watch(context: &mut Context, args: &cli::Watch) -> Outcome {
    watch::run(&of(context, &args.scope), context.system)?;
    Ok((Exit::Ok, json!({})))
}

/// Waits for what an app needs. Exits 7 if it does not come in time: only that keeps the app from starting.
pub(super) fn wait(context: &mut Context, args: &cli::Wait) -> Outcome {
    let backend = of(context, &args.scope);
    let conditions = args.conditions.iter().map(|text| wait::parse(text));
    let waits = Waits {
        apps: args.apps.clone(),
        conditions: conditions
            .collect::<Result<_, _>>()
            .map_err(|why| Failure::new(Exit::Usage, why))?,
        timeout: args.timeout,
    };
    let look = context.system;
    let is_ready = |app: &str| watch::is_ready(&backend, look, app);
    let mut has_said = false;
    let mut tell = |why: &str| {
        if !std::mem::replace(&mut has_said, true) {
            context
                .report
                .line(&format!("autoglm-boot: waits for what it needs: {why}"));
            let _ = std::io::stdout().flush(); // a reader that went away is no error of ours
        }
    };
    let waited = wait::wait(&waits, &Asker::Ourselves, &is_ready, &mut tell, &|| {
        look.interrupted().is_some()
    });
    waited.map_err(|why| Failure::new(Exit::NotReady, why))?;
    Ok((Exit::Ok, json!({})))
}

fn of(context: &Context, scope: &cli::ScopeArgs) -> Systemd {
    Systemd::new(&context.host, scope.scope().unwrap_or(Scope::System))
}
