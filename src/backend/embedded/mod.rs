//! Where no init system runs: a supervisor of our own keeps the app, one detached process an app. What systemctl(1) is to
//! systemd, the hidden verb `supervisor` is to it.

use std::path::{Path, PathBuf};

use super::{
    AppState, AtPath, Backend, Control, Install, Live, LogQuery, Rendered, ScopeState, State, Wanted, evidence,
};
use crate::{
    exit::{Exit, Failure},
    host::Host,
    plan::Plan,
    receipt::{self, Receipt, Store},
    service::{Profile, RunAs, Scope, Service, StartType},
    supervisor::{self, Rooms},
    system::{Cmd, Output, Probe},
};

mod plans;

/// As receipts and `--backend` name it.
pub const NAME: &str = "embedded";

/// The embedded supervisor in one scope.
#[derive(Debug, Clone)]
pub struct Embedded {
    scope: Scope,
    host: Host,
}

impl Embedded {
    /// The embedded supervisor of this machine in this scope.
    pub fn new(host: &Host, scope: Scope) -> Self {
        Self {
            scope,
            host: host.clone(),
        }
    }

    /// Where the supervisor of this app keeps its things. `has_runtime`: whether the user has a folder for sockets.
    pub fn rooms(&self, look: &dyn Probe, app: &str) -> Rooms {
        let store = self.store();
        let (runtime, logs) = match self.scope {
            Scope::System => (
                PathBuf::from("/run/autoglm-boot"),
                PathBuf::from("/var/log/autoglm-boot"),
            ),
            Scope::User if matches!(look.target(&self.host.runtime), Ok(Some(_))) => {
                (self.host.runtime.join("autoglm-boot"), store.root().join("log"))
            }
            Scope::User => (store.root().join("run"), store.root().join("log")),
        };
        supervisor::rooms(&runtime, &logs, app)
    }

    /// The command that makes the supervisor start, stop or restart an app.
    fn supervisor(&self, verb: &str, app: &str) -> Cmd {
        let scope = match self.scope {
            Scope::System => "--system",
            Scope::User => "--user",
        };
        Cmd::new(&self.host.program.to_string_lossy(), ["supervisor", verb, scope]).units([app.to_owned()])
    }

    fn live(&self, look: &dyn Probe, app: &str) -> Live {
        let rooms = self.rooms(look, app);
        let is_installed = matches!(look.entry(&self.store().receipt_path(app)), Ok(Some(_)));
        let written = look.read(&rooms.status).ok();
        let mut live = written
            .and_then(|bytes| serde_json::from_slice::<Live>(&bytes).ok())
            .unwrap_or_else(|| Live {
                load: if is_installed { "loaded" } else { "not-found" }.into(),
                ..Live::unknown(app)
            });
        let is_up = matches!(live.active.as_str(), "active" | "activating" | "deactivating") && live.sub != "exited";
        if is_up && !look.is_locked(&rooms.lock) {
            live.active = "failed".into();
            live.sub = "failed".into();
            live.result = "supervisor".into();
            live.pid = None;
        }
        live.memory = live.pid.and_then(|pid| resident(look, pid));
        live.enabled = "disabled".into();
        live
    }
}

impl Embedded {
    fn tail(&self, look: &dyn Probe, app: &str, most: usize) -> Vec<String> {
        let bytes = look.read(&self.rooms(look, app).log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

/// The resident size of a process, in bytes.
fn resident(look: &dyn Probe, pid: u32) -> Option<u64> {
    let status = look.read(Path::new(&format!("/proc/{pid}/status"))).ok()?;
    let text = String::from_utf8_lossy(&status);
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn store(&self) -> Store {
        self.host.store(self.scope)
    }

    fn unit(&self, app: &str) -> String {
        app.into()
    }

    fn render(&self, service: &Service) -> Result<Rendered, Failure> {
        let unsupported = |what: &str, help: &str| {
            let message = format!(
                "{}: {what} needs systemd, which does not run here.\nNothing was changed.",
                service.name
            );
            Err(Failure::new(Exit::Failed, message).repair(help))
        };
        if service.run_as == RunAs::Dynamic {
            return unsupported("service.user = \"dynamic\"", "name a user of its own");
        }
        if service.start_type == StartType::Forking {
            return unsupported(
                "service.type = \"forking\"",
                "let the app stay in the foreground, with type = \"exec\"",
            );
        }
        Ok(Rendered {
            file: "installed.json".into(),
            text: receipt::to_json(service)?,
            losses: losses(service),
        })
    }

    fn observe(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        Ok(units.iter().map(|app| self.live(look, app)).collect())
    }

    fn state(&self, look: &dyn Probe, apps: &[String]) -> Result<State, Failure> {
        let store = self.store();
        let app_state = |app: &String| {
            let receipt = store.receipt(app, look)?;
            let is_installed = receipt.is_some();
            let written = look.read(&store.installed_path(app)).ok().filter(|_| is_installed);
            Ok(AppState {
                live: self.live(look, app),
                at_path: written.map(|bytes| AtPath::File(bytes, 0o600)),
                receipt,
                version: store.installed(app, look),
                rooms: Some(self.rooms(look, app)),
                ..AppState::default()
            })
        };
        let logs = self.rooms(look, "any").log;
        let folder = logs.parent().unwrap_or(Path::new("/"));
        Ok(State {
            scope: ScopeState {
                record: store.record(look)?,
                is_reachable: true,
                is_lingering: true,
                missing: crate::session::missing_folders(look, folder),
                ..ScopeState::default()
            },
            apps: apps.iter().map(app_state).collect::<Result<_, Failure>>()?,
        })
    }

    fn boot_hint(&self, app: &str) -> Option<String> {
        Some(format!(
            "not enabled at boot: no init system runs here. In a container, make this its command: autoglm-boot run {app}"
        ))
    }

    fn install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure> {
        self.plan_install(wanted, state, options)
    }

    fn uninstall(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Plan {
        self.plan_uninstall(receipt, state, others)
    }

    fn control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<std::time::Duration>) -> Plan {
        self.plan_control(verb, receipt, live, wait)
    }

    fn is_reachable(&self, _: &dyn Probe) -> bool {
        true
    }

    fn is_lingering(&self, _: &dyn Probe, _: &str) -> bool {
        true
    }

    fn explain(&self, look: &dyn Probe, cmd: &Cmd, output: &Output) -> Failure {
        let said = output.stderr.trim();
        match cmd.units.first() {
            Some(app) if said.is_empty() => {
                evidence::failure(self, look, &self.live(look, app), "it could not be started")
            }
            _ => Failure::new(Exit::Failed, format!("`{cmd}` exited {}: {said}", output.code)),
        }
    }

    fn last_lines(&self, look: &dyn Probe, live: &Live) -> Vec<String> {
        const LINES: usize = 12;
        self.tail(look, &live.unit, LINES)
    }

    /// Its log has no times.
    fn said(&self, look: &dyn Probe, unit: &str, _: std::time::Duration) -> Vec<String> {
        const MANY: usize = 300;
        self.tail(look, unit, MANY)
    }

    /// tail(1): the log is a file.
    fn logs(&self, look: &dyn Probe, unit: &str, query: &LogQuery) -> Result<Cmd, Failure> {
        if query.since.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "--since needs the journal of systemd, which does not run here",
            )
            .repair("use -n N"));
        }
        let mut cmd = Cmd::new("tail", [format!("--lines={}", query.lines.unwrap_or(100))]);
        if query.follow {
            cmd.args.push("--follow=name".into());
            cmd.args.push("--retry".into());
        }
        cmd.args.push(self.rooms(look, unit).log.display().to_string());
        Ok(cmd)
    }
}

/// What the embedded supervisor cannot give.
fn losses(service: &Service) -> Vec<String> {
    let resources = &service.resources;
    let mut losses = Vec::new();
    for (key, is_set) in [
        ("resources.cpu", resources.cpu.is_some()),
        ("resources.cpu_request", resources.cpu_request.is_some()),
        ("resources.memory", resources.memory.is_some()),
        ("resources.memory_request", resources.memory_request.is_some()),
        ("resources.tasks", resources.tasks.is_some()),
        ("resources.shared_memory", resources.shared_memory.is_some()),
        ("[security]", service.security.profile != Profile::None),
        ("[raw.systemd]", !service.raw_systemd.is_empty()),
    ] {
        if is_set {
            losses.push(format!(
                "{key}: needs systemd; without effect under the embedded supervisor"
            ));
        }
    }
    let dependencies = &service.dependencies;
    if !dependencies.requires.is_empty() {
        losses.push("dependencies.requires: looked at by install only, under the embedded supervisor so far".into());
    }
    if !(dependencies.after.is_empty() && dependencies.wants.is_empty()) {
        losses
            .push("dependencies.after, dependencies.wants: without effect under the embedded supervisor so far".into());
    }
    losses
}
