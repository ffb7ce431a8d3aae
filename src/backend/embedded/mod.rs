//! Where no init system runs: a supervisor of our own keeps the app, one detached process an app. What systemctl(1) is to
//! systemd, the hidden verb `supervisor` is to it.

use std::path::PathBuf;

use super::{
    AppState, AtPath, Backend, Control, Install, Live, LogQuery, Logs, Rendered, ScopeState, State, Wanted, evidence,
    windows::{Anchor, Anchored, Place, tasks},
};
use crate::{
    exit::{Exit, Failure},
    host::Host,
    plan::Plan,
    receipt::{self, Receipt, Store},
    render,
    service::{Method, RunAs, Scope, Service, StartType},
    supervisor::{Rooms, Site, client, tail},
    system::{Cmd, Output, Probe},
};

mod losses;
mod plans;

/// As receipts and `--backend` name it.
pub const NAME: &str = "embedded";

/// What became of an app whose supervisor is not there, and told no end.
const KILLED: &str = "supervisor";

/// The embedded supervisor in one scope.
#[derive(Debug, Clone)]
pub struct Embedded {
    scope: Scope,
    host: Host,
    /// What begins the supervisors by itself; without, nothing does.
    anchor: Option<Anchor>,
}

impl Embedded {
    /// The embedded supervisor of this machine in this scope.
    pub fn new(host: &Host, scope: Scope) -> Self {
        Self {
            scope,
            host: host.clone(),
            anchor: None,
        }
    }

    /// The same, begun by Windows; none where it is another system.
    pub fn anchored(host: &Host, scope: Scope, method: Method) -> Option<Self> {
        Some(Self {
            anchor: Some(Anchor::new(host, method, scope)?),
            ..Self::new(host, scope)
        })
    }

    /// Where the supervisor of this app keeps its things. `service`: what it is kept as, where that is not what is installed.
    pub fn rooms(&self, look: &dyn Probe, app: &str, service: Option<&Service>) -> Rooms {
        let is_everybodys = service.map_or_else(|| self.is_everybodys(look, app), Service::is_everybodys);
        let rooms = self.site(look, is_everybodys).rooms(app);
        let file = self.store().service(app, look).and_then(|service| service.logging.file);
        Rooms {
            log: file.unwrap_or(rooms.log),
            ..rooms
        }
    }

    /// The same, where the manifest names no file of its own.
    fn own_rooms(&self, look: &dyn Probe, app: &str) -> Rooms {
        self.site(look, self.is_everybodys(look, app)).rooms(app)
    }

    /// Whether whoever logs on has an instance of it. The receipt is the last that is written, and may be read by all.
    fn is_everybodys(&self, look: &dyn Probe, app: &str) -> bool {
        if self.host.windows.is_none() || self.scope == Scope::User {
            return false;
        }
        let store = self.store();
        let by_receipt = || {
            store
                .receipt(app, look)
                .ok()
                .flatten()
                .is_some_and(|of| of.is_everybodys)
        };
        store
            .service(app, look)
            .map_or_else(by_receipt, |service| service.is_everybodys())
    }

    /// Of everybody's instances each lies with the user who runs it, apart from that user's own apps.
    fn site_of_windows(&self, is_everybodys: bool) -> Site {
        let store = self.store();
        let root = if is_everybodys {
            self.host.store(Scope::User).root().join("machine")
        } else {
            store.root().to_path_buf()
        };
        Site {
            runtime: root.join("run"),
            logs: root.join("log"),
            is_parted: true,
            records: is_everybodys.then_some(store),
        }
    }

    fn site(&self, look: &dyn Probe, is_everybodys: bool) -> Site {
        if self.host.windows.is_some() {
            return self.site_of_windows(is_everybodys);
        }
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
        Site {
            runtime,
            logs,
            is_parted: false,
            records: None,
        }
    }

    /// Folders of an app that are the installation's, and not there.
    fn missing(&self, look: &dyn Probe, app: &str) -> Vec<PathBuf> {
        if self.anchor.is_none() || self.is_everybodys(look, app) {
            return Vec::new();
        }
        let is_missing = |path: &PathBuf| matches!(look.entry(path), Ok(None));
        Anchor::folders(&self.site_of_windows(false).rooms(app))
            .filter(is_missing)
            .collect()
    }

    /// What the supervisor of an app has left, in our own folders. Of what is to be installed it is not known yet in which.
    fn leftovers(&self, look: &dyn Probe, app: &str, is_installed: bool) -> Vec<PathBuf> {
        let mut sites = vec![self.site(look, self.is_everybodys(look, app))];
        if !is_installed && self.host.windows.is_some() && self.scope == Scope::System {
            sites = [false, true].map(|is_everybodys| self.site(look, is_everybodys)).into();
        }
        let left = sites.iter().flat_map(|site| site.rooms(app).leftovers(look));
        left.collect()
    }

    /// The command that makes the supervisor start, stop or restart an app.
    fn supervisor(&self, verb: &str, app: &str) -> Cmd {
        let scope = self.scope.flag();
        Cmd::new(&self.host.program.to_string_lossy(), ["supervisor", verb, scope]).units([app.to_owned()])
    }

    /// On Windows a supervisor runs an app as whoever it runs as itself.
    fn refuse_another(&self, service: &Service) -> Result<(), Failure> {
        let RunAs::User { user, .. } = &service.run_as else {
            return Ok(());
        };
        let own = self.host.user_name();
        if bare(user) == bare(&own) {
            return Ok(());
        }
        let message = format!(
            "{}: service.user is {user}, but here it would run as {own}: a supervisor on Windows runs an app as whoever started it.\nNothing was changed.",
            service.name
        );
        Err(Failure::new(Exit::Failed, message)
            .repair("leave service.user out, or let a task start it (windows.method = \"task\")"))
    }

    fn live(&self, look: &dyn Probe, app: &str) -> Live {
        if let Some(anchor) = self.bare(look, app) {
            return Live {
                enabled: "disabled".into(),
                ..anchor.live_bare(look, app)
            };
        }
        let rooms = self.own_rooms(look, app);
        let is_installed = self.store().is_installed(app, look);
        let mut live = client::live(&rooms, look).unwrap_or_else(|| Live {
            load: if is_installed { "loaded" } else { "not-found" }.into(),
            ..Live::unknown(app)
        });
        if live.is_at_work() && !look.is_locked(&rooms.lock) {
            live.active = "failed".into();
            live.sub = "failed".into();
            live.result = KILLED.into();
            live.pid = None;
            live.output = None;
        }
        live.enabled = "disabled".into();
        live
    }

    /// What starts an app itself, where it is installed so.
    fn bare(&self, look: &dyn Probe, app: &str) -> Option<&Anchor> {
        let anchor = self.anchor.as_ref().filter(|anchor| anchor.method == Method::Task)?;
        let service = self.store().service(app, look)?;
        anchor.is_bare(&service).then_some(anchor)
    }

    /// The same, with what begins it.
    fn whole(&self, look: &dyn Probe, app: &str, is_installed: bool) -> (Live, Anchored) {
        let mut live = self.live(look, app);
        live.memory = live.pid.and_then(|pid| look.resident(pid));
        let Some(anchor) = &self.anchor else {
            return (live, Anchored::default());
        };
        let seen = anchor.look(look, app);
        anchor.tell(&mut live, &seen, app, is_installed);
        (live, seen)
    }

    fn tail(&self, look: &dyn Probe, app: &str, most: usize) -> Vec<String> {
        let last = tail::last(&self.rooms(look, app, None).log, most, look);
        let text = String::from_utf8_lossy(&last);
        text.lines().map(str::to_owned).collect()
    }
}

/// The name of an account without its domain, which is not told in one way everywhere.
fn bare(name: &str) -> String {
    name.rsplit('\\').next().unwrap_or_default().to_lowercase()
}

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        self.anchor.as_ref().map_or(NAME, Anchor::name)
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
        if let Some(anchor) = &self.anchor {
            let artefact = anchor.artefact(service)?;
            return Ok(Rendered {
                file: artefact.file,
                text: artefact.text,
                losses: artefact.losses,
            });
        }
        if self.host.windows.is_some() {
            self.refuse_another(service)?;
        }
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
            losses: if self.host.windows.is_some() {
                render::windows::losses(service, false)
            } else {
                losses::losses(service)
            },
        })
    }

    fn decided(&self, app: &AppState) -> Option<&'static str> {
        self.anchor.as_ref()?.decided(&app.anchored)
    }

    /// Only apps of ours: units of systemd are told as lost.
    fn needed(&self, service: &Service) -> Vec<String> {
        service.dependencies.apps.clone()
    }

    fn observe(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        let whole = |app: &String| self.whole(look, app, self.store().is_installed(app, look)).0;
        Ok(units.iter().map(whole).collect())
    }

    fn glance(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        Ok(units.iter().map(|app| self.live(look, app)).collect())
    }

    fn is_drifted(&self, look: &dyn Probe, receipt: &Receipt) -> bool {
        let is_other = |anchor: &Anchor| {
            let seen = anchor.look(look, &receipt.name);
            !seen.is_there || seen.is_other
        };
        super::is_file_drifted(look, receipt) || self.anchor.as_ref().is_some_and(is_other)
    }

    fn has_done(&self, cmd: &Cmd, output: &Output) -> bool {
        output.is_ok() || tasks::is_gone(cmd, output.code)
    }

    fn is_start(&self, cmd: &Cmd) -> bool {
        !cmd.units.is_empty() || tasks::is_start(cmd)
    }

    fn instead(&self, cmd: &Cmd, output: &Output) -> Option<Cmd> {
        self.anchor.as_ref()?;
        Anchor::instead(cmd, output.code)
    }

    fn state(&self, look: &dyn Probe, apps: &[String]) -> Result<State, Failure> {
        let store = self.store();
        let app_state = |app: &String| {
            let receipt = store.receipt(app, look)?;
            let is_installed = receipt.is_some();
            let written = look.read(&store.installed_path(app)).ok().filter(|_| is_installed);
            let (live, anchored) = self.whole(look, app, is_installed);
            let at_path = match &self.anchor {
                // What lies there of a name that is not installed may be somebody else's shortcut.
                Some(anchor) => anchor
                    .at_path(look, app)
                    .filter(|_| is_installed || anchor.method == Method::StartupFolder),
                None => written.map(|bytes| AtPath::File(bytes, 0o600)),
            };
            let is_foreign_task = anchored.is_foreign(receipt.as_ref()) && self.name() == super::windows::TASK;
            Ok(AppState {
                live,
                text: anchored.told.clone().filter(|_| is_foreign_task),
                original: store.original(app, look)?,
                anchored,
                at_path,
                receipt,
                version: store.installed(app, look),
                missing: self.missing(look, app),
                leftovers: self.leftovers(look, app, is_installed),
                ..AppState::default()
            })
        };
        let site = self.site(look, false);
        let mut missing = crate::session::missing_folders(look, &site.logs);
        if site.is_parted {
            let more = crate::session::missing_folders(look, &site.runtime);
            missing.extend(more);
            missing.retain(|folder| !store.root().starts_with(folder)); // that is made first of all
        }
        let mut place = Place::default();
        if let Some(anchor) = &self.anchor {
            let more = anchor.missing(look).into_iter();
            missing.extend(more.filter(|folder| !store.root().starts_with(folder)));
            place = anchor.place(look, &store.receipts(look)?);
        }
        let own = self.host.user_name();
        let session = look.session_user();
        let session = session.filter(|session| self.anchor.is_some() && bare(session) != bare(&own));
        Ok(State {
            scope: ScopeState {
                place,
                session: session.map(|session| (own, session)),
                record: store.record(look)?,
                is_reachable: true,
                is_lingering: true,
                missing,
                ..ScopeState::default()
            },
            apps: apps.iter().map(app_state).collect::<Result<_, Failure>>()?,
        })
    }

    fn boot_hint(&self) -> Option<&'static str> {
        if self.anchor.is_some() {
            return None;
        }
        if self.host.windows.is_some() {
            return Some("enabled at boot: no (it was asked for the supervisor alone, which nothing starts)");
        }
        Some(
            "enabled at boot: no (no init system runs here). In a container, make this its command: autoglm-boot run --all",
        )
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

    /// Each by its own supervisor.
    fn is_watching(&self, _: &dyn Probe) -> bool {
        true
    }

    fn is_lingering(&self, _: &dyn Probe, _: &str) -> bool {
        true
    }

    fn explain(&self, look: &dyn Probe, cmd: &Cmd, output: &Output) -> Failure {
        let said = output.stderr.trim();
        if let Some(failure) = Anchor::explain(cmd, output.code, said) {
            return failure;
        }
        match cmd.units.first() {
            Some(app) if said.is_empty() => {
                evidence::failure(self, look, &self.live(look, app), "it could not be started")
            }
            app => {
                let mut failure = Failure::said(Exit::Failed, said);
                let whose = app.map_or_else(|| format!("`{cmd}` exited {}", output.code), Clone::clone);
                failure.message = format!("{whose}: {}", failure.message);
                failure
            }
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

    fn logs(&self, look: &dyn Probe, unit: &str, query: &LogQuery) -> Result<Logs, Failure> {
        if query.since.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "--since needs the journal of systemd, which does not run here",
            )
            .repair("use -n N"));
        }
        if self.bare(look, unit).is_some() {
            let message = format!(
                "{unit}: what it says is not kept: a task starts it without our supervisor (windows.supervised = false)"
            );
            return Err(Failure::new(Exit::Failed, message)
                .repair("leave windows.supervised out and install it again, or let the app write a log of its own"));
        }
        Ok(Logs::Supervisor(self.rooms(look, unit, None)))
    }
}
