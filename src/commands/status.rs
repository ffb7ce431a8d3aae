//! `status`

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Context, Installed, Outcome, backend_of, installed, meant, native};
use crate::{
    backend::{self, Backend, Live},
    cli,
    exit::{Exit, Failure},
    health::{Asker, state::Phase},
    journal,
    plan::Span,
    platform,
    receipt::{Receipt, Store},
    service::{Os, Probe as Question, Scope},
    session,
    status::{Answer, Seen, Status, Word, judge},
    system::Probe,
};

/// Tells how the apps are.
pub(super) fn run(context: &mut Context, args: &cli::Status) -> Outcome {
    let statuses = look(context, args)?;
    if statuses.is_empty() {
        context.report.answer("no app is installed");
        return Ok((Exit::NotInstalled, json!({ "apps": [] })));
    }
    let exit = statuses
        .iter()
        .map(|status| status.state.exit())
        .fold(Exit::Ok, Exit::worst);
    for status in &statuses {
        context.report.answer(&page(status));
    }
    Ok((exit, json!({ "apps": statuses })))
}

fn look(context: &Context, args: &cli::Status) -> Result<Vec<Status>, Failure> {
    let here = Path::new("app.toml");
    let names = if args.names.is_empty() && matches!(context.system.target(here), Ok(Some(_))) {
        vec![meant(context, None, &args.scope)?]
    } else {
        args.names.clone()
    };
    if names.is_empty() {
        return all(context, &args.scope);
    }
    let mut statuses = Vec::new();
    for name in names {
        let backend = backend_of(context, &name, &args.scope)?;
        statuses.extend(of(context.system, backend.as_ref(), &[name.as_str()])?);
    }
    Ok(statuses)
}

/// Every installed app.
pub(super) fn all(context: &Context, wish: &cli::ScopeArgs) -> Result<Vec<Status>, Failure> {
    let apps = installed(context, wish)?;
    let mut statuses = Vec::new();
    // Of one scope they are together; mostly one target has them all.
    let has_same_target =
        |one: &Installed, other: &Installed| one.scope == other.scope && one.target() == other.target();
    for some in apps.chunk_by(has_same_target) {
        let backend = match some[0].target() {
            Some(name) => backend::named(&context.host, name, some[0].scope)?,
            None => native(context, some[0].scope)?,
        };
        let names: Vec<_> = some.iter().map(|app| app.name.as_str()).collect();
        statuses.extend(of(context.system, backend.as_ref(), &names)?);
    }
    Ok(statuses)
}

/// How these apps of one scope and target are, at one moment: where a run began or ended meanwhile, they are looked at again.
fn of(look: &dyn Probe, backend: &dyn Backend, names: &[&str]) -> Result<Vec<Status>, Failure> {
    const TRIES: usize = 5;
    let store = backend.store();
    // Every run that changes something keeps a journal in this folder while it does.
    let moment = || look.target(store.root()).ok().flatten().map(|entry| entry.modified);
    let mut before = moment();
    for _ in 1..TRIES {
        let statuses = at_once(look, backend, names)?;
        let after = moment();
        if after == before {
            return Ok(statuses);
        }
        before = after;
    }
    at_once(look, backend, names)
}

/// What the records say of an app.
struct Recorded {
    receipt: Option<Receipt>,
    is_drifted: bool,
}

impl Recorded {
    fn of(look: &dyn Probe, backend: &dyn Backend, store: &Store, name: &str) -> Result<Self, Failure> {
        let receipt = store.receipt(name, look)?;
        let is_drifted = |receipt| backend.is_drifted(look, receipt);
        Ok(Self {
            is_drifted: receipt.as_ref().is_some_and(is_drifted),
            receipt,
        })
    }
}

/// How these apps of one scope and target are: one question to the service manager for all of them, while their records are
/// read, then their probes side by side.
fn at_once(look: &dyn Probe, backend: &dyn Backend, names: &[&str]) -> Result<Vec<Status>, Failure> {
    let units: Vec<_> = names.iter().map(|name| backend.unit(name)).collect();
    let store = backend.store();
    let (lives, recorded) = std::thread::scope(|scope| {
        let lives = scope.spawn(|| backend.observe(look, &units));
        let recorded = names.iter().map(|name| Recorded::of(look, backend, &store, name));
        let recorded: Result<Vec<_>, _> = recorded.collect();
        let lost = |_| {
            Err(Failure::new(
                Exit::Failed,
                "the question to the service manager was lost",
            ))
        };
        (lives.join().unwrap_or_else(lost), recorded)
    });
    let (mut lives, recorded) = (lives?, recorded?);
    for live in &mut lives {
        if let Some(main) = live.pid {
            live.usage.measure(look, main);
        }
    }
    let is_at_work = OnceCell::new();
    let pending = journal::pending(store.root(), look).unwrap_or_default();
    let intents: BTreeMap<_, _> = pending
        .iter()
        .map(|(_, app)| {
            let is_at_work = is_at_work.get_or_init(|| look.is_locked(&session::lock_path(store.root())));
            (app.as_str(), *is_at_work)
        })
        .collect();
    let is_watching = backend.is_watching(look);
    let answers = glance(look, &lives, &recorded);
    let judged = names.iter().zip(&lives).zip(&recorded).zip(answers);
    let judged = judged.map(|(((name, live), recorded), answer)| Status {
        instance_of: instance_of(look, recorded),
        ..judge(
            name,
            &Seen {
                receipt: recorded.receipt.as_ref(),
                live,
                answer,
                is_watching,
                is_drifted: recorded.is_drifted,
                intent: intents.get(name).copied(),
                now: look.monotonic(),
            },
        )
    });
    Ok(judged.collect())
}

/// Whose instance is seen, of what whoever logs on has one of: our own.
fn instance_of(look: &dyn Probe, recorded: &Recorded) -> Option<String> {
    let own = || look.user(&look.euid().to_string())?.name;
    recorded
        .receipt
        .as_ref()
        .filter(|receipt| receipt.is_everybodys)
        .and_then(|_| own())
}

/// Asks what nobody watches, all at once: an answer that does not come at once is not waited for.
fn glance(look: &dyn Probe, lives: &[Live], recorded: &[Recorded]) -> Vec<Answer> {
    const GLANCE: Duration = Duration::from_millis(50);
    let ask = |probe: &Question, live: &Live| {
        let start = Instant::now();
        match look.ask(probe, GLANCE, &Asker::Process(live.main())) {
            Ok(()) => Answer::Well,
            Err(_) if start.elapsed() >= GLANCE => Answer::Silent,
            Err(why) => Answer::Bad(why),
        }
    };
    let ask = &ask;
    std::thread::scope(|scope| {
        let asked: Vec<_> = lives
            .iter()
            .zip(recorded)
            .map(|(live, recorded)| {
                let probe = probe(live, recorded).filter(|_| !is_out_of_reach(look, live))?;
                Some(scope.spawn(move || ask(probe, live)))
            })
            .collect();
        let answer = |thread: std::thread::ScopedJoinHandle<Answer>| thread.join().unwrap_or_default();
        asked
            .into_iter()
            .map(|thread| thread.map_or(Answer::Unasked, answer))
            .collect()
    })
}

/// What there is to ask of an app that runs.
fn probe<'a>(live: &Live, recorded: &'a Recorded) -> Option<&'a Question> {
    let readiness = &recorded.receipt.as_ref()?.readiness;
    let is_seen = live.pulse.as_ref().is_some_and(|pulse| pulse.phase != Phase::Starting);
    let is_open = live.active == "active" && !is_seen;
    readiness.probe.as_ref().filter(|_| is_open)
}

/// Whether it has a network of its own, which only root may enter (setns(2)): asked in ours, it would answer badly.
fn is_out_of_reach(look: &dyn Probe, live: &Live) -> bool {
    live.has_own_network && look.euid() != 0
}

/// When it is started by itself: on Windows what is a user's, or everybody's, starts with a logon.
pub(super) fn occasion(scope: Scope, is_everybodys: bool) -> &'static str {
    match (platform::OS, scope) {
        (Os::Windows, Scope::User) => "logon",
        _ if is_everybodys => "logon",
        _ => "boot",
    }
}

/// One app, for people.
fn page(status: &Status) -> String {
    let mut lines = vec![headline(status)];
    if matches!(status.state, Word::NotInstalled) {
        return lines.remove(0);
    }
    let mut line = |label: &str, value: String| lines.push(format!("  {label:<10}{value}"));
    if let (Some(scope), Some(manifest)) = (status.scope, &status.manifest) {
        let occasion = occasion(scope, status.instance_of.is_some());
        let scope = match scope {
            Scope::System => "system",
            Scope::User => "user",
        };
        line("unit", format!("{} ({scope} scope)", status.unit));
        line("manifest", manifest.display().to_string());
        line(
            &format!("at {occasion}"),
            if status.enabled_at_boot {
                "enabled".into()
            } else {
                "not enabled".into()
            },
        );
    }
    if let Some(user) = &status.instance_of {
        line(
            "instance",
            format!("of {user}; whoever logs on has one, and those of others are not seen"),
        );
    }
    if let Some(version) = &status.version {
        line("version", version.clone());
    }
    if let Some(pid) = status.pid {
        let restarts = match status.restarts {
            0 => "no automatic restart".into(),
            1 => "1 automatic restart".into(),
            more => format!("{more} automatic restarts"),
        };
        line("process", format!("{pid}, {restarts}"));
        let used = usage(status);
        if !used.is_empty() {
            line("uses", used);
        }
    }
    if let Some(end) = &status.last_exit
        && status.pid.is_none()
    {
        line("last end", end.clone());
    }
    if let Some(why) = &status.ended_for {
        line("ended for", format!("its health: {why}"));
    }
    if status.watched == Some(false) {
        line(
            "unwatched",
            "its health is not asked for: autoglm-boot-watch.service does not run".into(),
        );
    }
    if let Some(why) = &status.output {
        line("output", format!("cannot be written, and is lost: {why}"));
    }
    for path in &status.drop_ins {
        line("drop-in", format!("{} (yours)", path.display()));
    }
    if status.drifted {
        line("drifted", "the unit is not as it was installed; `autoglm-boot install --dry-run --force` shows what an install would write".into());
    }
    lines.join("\n")
}

/// `12 of 256 MiB, 3.2 s of CPU on 1.5 cores at most, 5 of 64 tasks, 9 of 1024 open files`
fn usage(status: &Status) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let memory = status.memory_bytes.map(|bytes| match status.memory_limit_bytes {
        Some(limit) => format!("{} of {} MiB", mib(bytes), mib(limit)),
        None => format!("{} MiB", mib(bytes)),
    });
    let limit = status.cpu_limit_millis.map(|millis| {
        let cores = format!("{}.{:03}", millis / 1000, millis % 1000);
        format!("{} cores at most", cores.trim_end_matches('0').trim_end_matches('.'))
    });
    let time = status
        .cpu_ms
        .map(|ms| format!("{}.{} s of CPU", ms / 1000, ms % 1000 / 100));
    let cpu = match (time, limit) {
        (Some(time), Some(limit)) => Some(format!("{time} on {limit}")),
        (time, limit) => time.or(limit),
    };
    let tasks = status.tasks.map(|tasks| match status.tasks_limit {
        Some(limit) => format!("{tasks} of {limit} tasks"),
        None => format!("{tasks} tasks"),
    });
    let files = status.open_files.zip(status.open_files_limit);
    let files = files.map(|(open, limit)| format!("{open} of {limit} open files"));
    let shared = status.shared_memory_bytes.zip(status.shared_memory_limit_bytes);
    let shared = shared.map(|(bytes, limit)| format!("{} of {} MiB of shared memory", mib(bytes), mib(limit)));
    let parts: Vec<_> = [memory, cpu, tasks, files, shared].into_iter().flatten().collect();
    parts.join(", ")
}

/// `hello: ready (drifted), for 3h12m`
pub(super) fn headline(status: &Status) -> String {
    let drifted = if status.drifted { " (drifted)" } else { "" };
    let since = status
        .since_seconds
        .filter(|_| status.scope.is_some())
        .map_or(String::new(), |seconds| {
            format!(", for {}", Span(std::time::Duration::from_secs(seconds)))
        });
    let detail = if status.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", status.detail)
    };
    format!("{}: {}{drifted}{since}{detail}", status.name, status.state)
}
