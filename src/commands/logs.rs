//! `logs`

use serde_json::Value;

use super::{Context, Outcome, backend_of, meant, not_installed};
use crate::{
    backend::LogQuery,
    cli,
    exit::{Exit, Failure},
};

/// So many lines where nothing says how many.
const LINES: u32 = 100;

/// Shows the app's output: hands over to the system's own tool.
pub(super) fn run(context: &mut Context, args: &cli::Logs) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    if backend.store().receipt(&name, context.system)?.is_none() {
        return Err(not_installed(&name));
    }
    let query = LogQuery {
        follow: args.follow,
        lines: args.lines.or(args.since.is_none().then_some(LINES)),
        since: args.since.clone(),
    };
    let cmd = backend.logs(context.system, &backend.unit(&name), &query)?;
    if context.system.find_program(&cmd.program, &path(context)).is_none() {
        return Err(Failure::new(Exit::Failed, format!("{} is not on PATH", cmd.program)));
    }
    let error = context.system.become_command(&cmd);
    Err::<(Exit, Value), _>(Failure::new(Exit::Failed, format!("cannot run `{cmd}`: {error}")))
}

fn path(context: &Context) -> Vec<std::path::PathBuf> {
    let path = context.system.env("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}
