//! systemd, the machine's or a user's: units in the folder of the administrator, links for the boot target, and
//! systemctl(1) for the rest.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    AppState, AtPath, Backend, Control, Install, Live, LogQuery, Logs, Rendered, ScopeState, State, Wanted, evidence,
};
use crate::{
    exit::{Exit, Failure},
    host::Host,
    plan::Plan,
    receipt::{Receipt, Store},
    render,
    service::{Destination, Scope, Service},
    session,
    system::{Cmd, EntryKind, Output, Probe},
    watch::Board,
};

mod ask;
mod change;
mod helper;
mod journal;
mod live;
mod losses;
mod ownership;
mod plans;
mod removal;
mod start;

pub use helper::{Helper, WATCH};
use plans::Draft;

/// As receipts and `--backend` name it.
pub const NAME: &str = "systemd";

/// systemd in one scope.
#[derive(Debug, Clone)]
pub struct Systemd {
    scope: Scope,
    host: Host,
}

impl Systemd {
    /// systemd of this machine in this scope.
    pub fn new(host: &Host, scope: Scope) -> Self {
        Self {
            scope,
            host: host.clone(),
        }
    }

    fn is_user(&self) -> bool {
        self.scope == Scope::User
    }

    /// The administrator's, or the user's own, folder of units (systemd.unit(5), "Unit File Load Path").
    fn units(&self) -> PathBuf {
        match self.scope {
            Scope::System => PathBuf::from("/etc/systemd/system"),
            Scope::User => self.host.config.join("systemd/user"),
        }
    }

    fn path(&self, app: &str) -> PathBuf {
        self.units().join(self.unit(app))
    }

    /// The folder where the service manager marks units that are up.
    pub fn marks(&self) -> PathBuf {
        match self.scope {
            Scope::System => PathBuf::from(live::STARTED),
            Scope::User => self.host.runtime.join("systemd/units"),
        }
    }

    /// The mark of a unit that is up: a link to the identity of its run.
    pub fn mark(&self, unit: &str) -> PathBuf {
        self.marks().join(format!("{}{unit}", live::INVOCATION))
    }

    /// Whose mark it is, if it is one.
    pub fn marked<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let name = path.file_name()?.to_str()?;
        let unit = name.strip_prefix(live::INVOCATION).unwrap_or("");
        (path.parent() == Some(&self.marks())).then_some(unit)
    }

    /// The run of a unit that is up.
    pub fn invocation(&self, look: &dyn Probe, unit: &str) -> Option<String> {
        match look.entry(&self.mark(unit)).ok()??.kind {
            EntryKind::Link(target) => Some(target.to_string_lossy().into_owned()),
            _ => None,
        }
    }

    /// Whether a process runs in a unit (cgroups(7)): its control group is named after it, behind a `_` where the name means something
    /// there.
    pub fn is_of(&self, look: &dyn Probe, pid: u32, unit: &str) -> bool {
        let groups = look.read(Path::new(&format!("/proc/{pid}/cgroup"))).unwrap_or_default();
        let groups = String::from_utf8_lossy(&groups);
        groups
            .lines()
            .flat_map(|line| line.split('/').skip(1))
            .any(|group| group == unit || group.strip_prefix('_') == Some(unit))
    }

    /// Where the watcher writes down what it sees.
    pub fn board(&self) -> PathBuf {
        let runtime = match self.scope {
            Scope::System => PathBuf::from("/run"),
            Scope::User => self.host.runtime.clone(),
        };
        runtime.join("autoglm-boot-watch/board.json")
    }

    /// The link that starts it at boot, as `systemctl enable` makes it.
    fn link(&self, app: &str) -> PathBuf {
        let target = match self.scope {
            Scope::System => "multi-user.target.wants",
            Scope::User => "default.target.wants",
        };
        self.units().join(target).join(self.unit(app))
    }

    /// systemctl(1) for this scope.
    pub(crate) fn systemctl<const N: usize>(&self, args: [&str; N]) -> Cmd {
        let scope = self.is_user().then_some("--user");
        self.in_scope(Cmd::new("systemctl", scope.into_iter().chain(args)))
    }

    /// A user's service manager is found through `XDG_RUNTIME_DIR`, which a `su` or a cron job lacks.
    fn in_scope(&self, mut cmd: Cmd) -> Cmd {
        if self.is_user() {
            cmd.env = vec![("XDG_RUNTIME_DIR".into(), self.host.runtime.display().to_string())];
        }
        cmd
    }

    /// Every link in a `*.wants` or `*.requires` of the unit folder: link, target, by the unit's name.
    fn links(&self, look: &dyn Probe) -> Result<HashMap<String, Vec<(PathBuf, PathBuf)>>, Failure> {
        let unreadable = |error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", self.units().display()));
        let mut links = HashMap::<_, Vec<_>>::new();
        for folder in look.list(&self.units()).map_err(unreadable)? {
            if !matches!(folder.extension().and_then(|e| e.to_str()), Some("wants" | "requires")) {
                continue;
            }
            for path in look.list(&folder).map_err(unreadable)? {
                let unit = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if let Ok(Some(entry)) = look.entry(&path)
                    && let EntryKind::Link(target) = entry.kind
                {
                    links.entry(unit).or_default().push((path, target));
                }
            }
        }
        Ok(links)
    }

    /// What the service manager says of apps; what it cannot know, it is not asked.
    fn lives(&self, look: &dyn Probe, apps: &[String], is_reachable: bool) -> Result<Vec<Live>, Failure> {
        let mut lives: Vec<_> = apps.iter().map(|app| Live::unknown(&self.unit(app))).collect();
        let units: Vec<_> = lives.iter().map(|live| live.unit.clone()).collect();
        let heard_of = if self.is_user() {
            units.into_iter().collect()
        } else {
            live::heard_of(look, &units)
        };
        let (mut known, unheard): (Vec<_>, Vec<_>) = lives
            .iter_mut()
            .filter(|_| is_reachable)
            .partition(|live| heard_of.contains(&live.unit));
        // For one alone that question costs more than it saves.
        if unheard.len() > 1 {
            let listed = self.listed(look)?;
            let in_memory = live::parse_listed(&listed);
            for live in unheard {
                live.is_nowhere = !in_memory.contains_key(live.unit.as_str());
                known.extend((!live.is_nowhere).then_some(live));
            }
        }
        let units: Vec<_> = known.iter().map(|live| live.unit.clone()).collect();
        for (live, seen) in known.into_iter().zip(self.observe(look, &units)?) {
            *live = seen;
        }
        Ok(lives)
    }

    fn app_state(&self, look: &dyn Probe, app: &str, live: Live) -> Result<AppState, Failure> {
        let (path, store) = (self.path(app), self.store());
        let unreadable = |error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()));
        let at_path = match look.entry(&path).map_err(unreadable)? {
            None => None,
            Some(entry) => Some(match entry.kind {
                EntryKind::File => AtPath::File(look.read(&path).map_err(unreadable)?, entry.mode),
                EntryKind::Link(target) => AtPath::Link(target),
                EntryKind::Folder | EntryKind::Other => AtPath::Other,
            }),
        };
        let in_force = match &at_path {
            Some(AtPath::File(..) | AtPath::Link(_)) => Some(&path),
            Some(AtPath::Other) => None,
            None => live.fragment.as_ref(),
        };
        let text = in_force
            .and_then(|file| look.read(file).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(AppState {
            at_path,
            text,
            receipt: store.receipt(app, look)?,
            version: store.installed(app, look),
            original: store.original(app, look)?,
            live,
            ..AppState::default()
        })
    }
}

impl Backend for Systemd {
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
        format!("{app}.service")
    }

    fn render(&self, service: &Service) -> Result<Rendered, Failure> {
        if service.logging.destination == Some(Destination::File) {
            let message = format!(
                "{}: logging.destination = \"file\": systemd keeps output in its journal.\nNothing was changed.",
                service.name
            );
            return Err(Failure::new(Exit::Failed, message).repair(
                "leave it out; `autoglm-boot logs` shows the journal, which rotates by itself (journald.conf(5))",
            ));
        }
        render::systemd(service, self.host.systemd, &self.helper())
    }

    fn losses(&self, look: &dyn Probe, service: &Service, others: &[&str]) -> Vec<String> {
        self.lost_here(look, service, others)
    }

    fn observe(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_user() && !self.is_reachable(look) {
            return Ok(units.iter().map(|unit| self.at_rest(look, unit)).collect());
        }
        let cmd = self
            .systemctl(["show", live::PROPERTIES, "--"])
            .units(units.iter().cloned());
        let mut lives = live::parse(&self.answer(look, &cmd)?, units);
        if let Some(board) = Board::read(self, look) {
            for live in &mut lives {
                live.pulse = board.pulse(&live.unit, &live.invocation);
            }
        }
        Ok(lives)
    }

    fn not_up(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<String>, Failure> {
        let listed = self.listed(look)?;
        let services = live::parse_listed(&listed);
        let is_down = |unit: &&String| !services.get(unit.as_str()).is_some_and(|is_up| *is_up);
        Ok(units.iter().filter(is_down).cloned().collect())
    }

    fn state(&self, look: &dyn Probe, apps: &[String]) -> Result<State, Failure> {
        let is_reachable = self.is_reachable(look);
        let mut links = self.links(look)?;
        let mut states = Vec::new();
        for (app, live) in apps.iter().zip(self.lives(look, apps, is_reachable)?) {
            states.push(AppState {
                links: links.remove(&live.unit).unwrap_or_default(),
                dependants: self.dependants(look, &live)?,
                ..self.app_state(look, app, live)?
            });
        }
        let wants = self.link("any");
        Ok(State {
            scope: ScopeState {
                record: self.store().record(look)?,
                is_reachable,
                is_lingering: !self.is_user() || self.is_lingering(look, &self.host.user_name()),
                has_reset_unit: look
                    .read(&self.units().join(render::RESET_UNIT))
                    .is_ok_and(|text| text == render::systemd_reset(self.scope).as_bytes()),
                helper: self.helper_state(look)?,
                missing: wants
                    .parent()
                    .map(|folder| session::missing_folders(look, folder))
                    .unwrap_or_default(),
                ..ScopeState::default()
            },
            apps: states,
        })
    }

    fn install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure> {
        self.plan_install(wanted, state, options)
    }

    fn uninstall(&self, receipt: &Receipt, state: &State, others: &[Receipt]) -> Plan {
        self.plan_uninstall(receipt, state, others)
    }

    fn control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        self.plan_control(verb, receipt, live, wait)
    }

    fn is_reachable(&self, look: &dyn Probe) -> bool {
        let socket = self.host.runtime.join("systemd/private");
        !self.host.is_image && (!self.is_user() || matches!(look.entry(&socket), Ok(Some(_))))
    }

    fn is_watching(&self, look: &dyn Probe) -> bool {
        self.invocation(look, helper::WATCH).is_some()
    }

    fn is_lingering(&self, look: &dyn Probe, user: &str) -> bool {
        matches!(look.entry(&linger_file(user)), Ok(Some(_)))
    }

    fn explain(&self, look: &dyn Probe, cmd: &Cmd, output: &Output) -> Failure {
        let said = output.stderr.trim();
        if cmd.program == "loginctl" {
            return Failure::new(Exit::Privilege, format!("lingering is denied: `{cmd}`: {said}")).repair(format!(
                "an administrator allows it once: sudo loginctl enable-linger {}",
                self.host.user_name()
            ));
        }
        if self.is_user() && !self.is_reachable(look) {
            let message = format!("`{cmd}`: the user's service manager does not run");
            return Failure::new(Exit::Failed, message).repair(format!(
                "it runs while {0} is logged in, or always: sudo loginctl enable-linger {0}",
                self.host.user_name()
            ));
        }
        let starts = cmd.args.iter().any(|arg| matches!(arg.as_str(), "start" | "restart"));
        if starts
            && let Ok(lives) = self.observe(look, &cmd.units)
            && let Some(live) = lives
                .into_iter()
                .find(|live| cmd.units.len() == 1 || !live.is_up() || live.is_between_restarts())
        {
            let what = match live.load.as_str() {
                "loaded" if live.last_exit.0 == 0 => format!("it could not be started: {said}"),
                "loaded" => "it could not be started".into(),
                load => format!("systemd cannot load it ({load}): {said}"),
            };
            return evidence::failure(self, look, &live, &what);
        }
        Failure::new(Exit::Failed, format!("`{cmd}` exited {}: {said}", output.code))
    }

    fn last_lines(&self, look: &dyn Probe, live: &Live) -> Vec<String> {
        self.journal_tail(look, live)
    }

    fn said(&self, look: &dyn Probe, unit: &str, since: Duration) -> Vec<String> {
        self.journal_since(look, unit, since)
    }

    fn logs(&self, _: &dyn Probe, unit: &str, query: &LogQuery) -> Result<Logs, Failure> {
        Ok(Logs::Command(self.log_command(unit, query)))
    }
}

/// loginctl(1), `enable-linger`: a file of the user's name.
fn linger_file(user: &str) -> PathBuf {
    PathBuf::from("/var/lib/systemd/linger").join(user)
}
