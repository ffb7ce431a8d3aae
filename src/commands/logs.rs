//! `logs`

use serde_json::json;

use super::{Context, Outcome, backend_of, meant, not_installed};
use crate::{
    backend::{LogQuery, Logs},
    cli,
    exit::{Exit, Failure},
    supervisor::{Rooms, client, tail},
    system::Cmd,
};

/// So many lines where nothing says how many.
const LINES: u32 = 100;

/// Shows the app's output: by the system's own tool, or as our supervisor has it.
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
    match backend.logs(context.system, &backend.unit(&name), &query)? {
        Logs::Command(cmd) => Err(become_command(context, &cmd)),
        Logs::Supervisor(rooms) => {
            show(context, &rooms, &query).map_err(|error| {
                Failure::new(Exit::Failed, format!("the output of {name} cannot be shown: {error}"))
            })?;
            Ok((Exit::Ok, json!({})))
        }
    }
}

fn show(context: &Context, rooms: &Rooms, query: &LogQuery) -> std::io::Result<()> {
    let lines = query.lines.unwrap_or(LINES);
    if let Some(streamed) = client::stream(rooms, lines, query.follow, context.system) {
        return streamed;
    }
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    tail::show(&rooms.log, lines, query.follow, context.system)
}

fn become_command(context: &Context, cmd: &Cmd) -> Failure {
    let path = context.system.env("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    if context.system.find_program(&cmd.program, &folders).is_none() {
        return Failure::new(Exit::Failed, format!("{} is not on PATH", cmd.program));
    }
    let error = context.system.become_command(cmd);
    Failure::new(Exit::Failed, format!("cannot run `{cmd}`: {error}"))
}
