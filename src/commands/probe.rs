//! `probe`

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Context, Outcome, backend_of, meant, not_installed, privilege::for_root};
use crate::{
    backend::{Answer, Backend, Live, conditions, evidence},
    cli,
    exit::{Exit, Failure},
    health::{self, Asker, Main},
    plan::Span,
    receipt::Receipt,
    service::{Probe as Question, Service},
};

/// Between two questions of a wait.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks an app what its manifest says, once, or until it is ready.
pub(super) fn run(context: &mut Context, args: &cli::Probe) -> Outcome {
    let name = meant(context, args.name.as_deref(), &args.scope)?;
    let backend = backend_of(context, &name, &args.scope)?;
    let store = backend.store();
    let receipt = store
        .receipt(&name, context.system)?
        .ok_or_else(|| not_installed(&name))?;
    let service = store.service(&name, context.system).ok_or_else(|| {
        for_root(
            context,
            "what is asked may hold secrets: only the owner of the installation may ask.",
        )
    })?;
    if args.wait {
        wait(context, backend.as_ref(), &receipt, &service, args.timeout)?;
    }
    let live = evidence::one(backend.as_ref(), context.system, &backend.unit(&name))?;
    if live.active != "active" {
        let message = format!("{name} does not run: it is {} ({})", live.active, live.sub);
        return Err(Failure::new(Exit::NotRunning, message).repair(format!("autoglm-boot start {name}")));
    }
    Ok(ask(context, &name, &service, &live))
}

fn ask(context: &mut Context, name: &str, service: &Service, live: &Live) -> (Exit, Value) {
    let readiness = &service.readiness;
    let health = service.health.as_ref();
    let is_one = health.is_some_and(|health| readiness.probe.as_ref() == Some(&health.probe));
    let probes = [
        (
            "readiness",
            readiness.probe.as_ref().filter(|_| !is_one),
            readiness.timeout,
        ),
        (
            "health",
            health.map(|health| &health.probe),
            health.map_or(readiness.timeout, |health| health.timeout),
        ),
    ];
    let mut answers = Vec::new();
    let mut exit = Exit::Ok;
    for (kind, probe, timeout) in probes {
        let Some(probe) = probe else { continue };
        let main = Main {
            environment: health::given(service),
            ..live.main()
        };
        let (answer, took) = timed(context, probe, timeout, main);
        let shown = match &answer {
            Ok(()) => format!("{name}: {kind}: {probe}: well, after {} ms", took.as_millis()),
            Err(why) => format!("{name}: {kind}: not well: {why}"),
        };
        context.report.answer(&shown);
        exit = if answer.is_ok() { exit } else { Exit::NotReady };
        answers.push(json!({
            "probe": kind, "asked": probe.to_string(), "well": answer.is_ok(),
            "answer": answer.err(), "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }));
    }
    if answers.is_empty() {
        let age = context
            .system
            .monotonic()
            .saturating_sub(live.active_since.unwrap_or_default());
        let is_settled = age >= readiness.settle;
        exit = if is_settled { Exit::Ok } else { Exit::NotReady };
        let settled = if is_settled { "ready" } else { "not settled yet" };
        context.report.answer(&format!(
            "{name}: {settled}: it has no probe, and runs for {}",
            Span(Duration::from_secs(age.as_secs()))
        ));
    }
    (exit, json!({ "name": name, "answers": answers }))
}

fn timed(context: &Context, probe: &Question, timeout: Duration, main: Main) -> (Result<(), String>, Duration) {
    let start = Instant::now();
    let answer = context.system.ask(probe, timeout, &Asker::Process(main));
    (answer, start.elapsed())
}

/// Waits until it is ready, as `start` does, but starts nothing and keeps nobody out.
fn wait(
    context: &mut Context,
    backend: &dyn Backend,
    receipt: &Receipt,
    service: &Service,
    limit: Option<Duration>,
) -> Result<Value, Failure> {
    let unit = backend.unit(&receipt.name);
    let restarts = evidence::one(backend, context.system, &unit)?.restarts;
    let condition = receipt.ready(Some(service), &unit, restarts);
    let limit = limit.unwrap_or(service.start_timeout + service.readiness.settling());
    let start = context.system.monotonic();
    loop {
        let answers = conditions::check(backend, context.system, &[&condition])?;
        let waited = context.system.monotonic().saturating_sub(start);
        let reason = match answers.into_iter().next() {
            Some(Ok(Answer::Yes)) => return Ok(json!({})),
            Some(Ok(Answer::NotYet(reason))) => reason,
            Some(Ok(Answer::Queued)) | None => "waits for what it requires".into(),
            Some(Err(failure)) => return Err(not_ready(failure)),
        };
        if waited >= limit {
            let late = evidence::too_late(backend, context.system, &condition, limit, &reason);
            return Err(not_ready(late));
        }
        if context.system.interrupted().is_some() {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        context.report.waiting(&reason, waited, limit);
        context.system.sleep(PAUSE.min(limit.saturating_sub(waited)));
    }
}

fn not_ready(failure: Failure) -> Failure {
    let exit = if failure.exit == Exit::Failed {
        Exit::NotReady
    } else {
        failure.exit
    };
    Failure { exit, ..failure }
}
