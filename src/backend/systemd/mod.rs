//! systemd, the machine's or a user's: units in the folder of the administrator, links for the boot target, and
//! systemctl(1) for the rest.

use std::{path::PathBuf, time::Duration};

use super::{Answer, AtPath, Backend, Control, Install, Live, LogQuery, Rendered, State, evidence};
use crate::{
    exit::{Exit, Failure},
    host::Host,
    plan::{Condition, Plan},
    receipt::{Receipt, Store},
    render,
    service::{Scope, Service},
    session,
    system::{Cmd, EntryKind, Output, Probe},
};

mod change;
mod journal;
mod live;
mod ownership;
mod plans;
mod removal;

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

    /// The link that starts it at boot, as `systemctl enable` makes it.
    fn link(&self, app: &str) -> PathBuf {
        let target = match self.scope {
            Scope::System => "multi-user.target.wants",
            Scope::User => "default.target.wants",
        };
        self.units().join(target).join(self.unit(app))
    }

    /// systemctl(1) for this scope.
    fn systemctl<const N: usize>(&self, args: [&str; N]) -> Cmd {
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

    fn is_reachable(&self, look: &dyn Probe) -> bool {
        let socket = self.host.runtime.join("systemd/private");
        !self.is_user() || matches!(look.entry(&socket), Ok(Some(_)))
    }

    /// Links to the unit in every `*.wants` and `*.requires` of the unit folder.
    fn links_of(&self, look: &dyn Probe, unit: &str) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
        let unreadable = |error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", self.units().display()));
        let mut links = Vec::new();
        for folder in look.list(&self.units()).map_err(unreadable)? {
            if !matches!(folder.extension().and_then(|e| e.to_str()), Some("wants" | "requires")) {
                continue;
            }
            let path = folder.join(unit);
            if let Ok(Some(entry)) = look.entry(&path)
                && let EntryKind::Link(target) = entry.kind
            {
                links.push((path, target));
            }
        }
        Ok(links)
    }
}

impl Backend for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
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
        render::systemd(service)
    }

    fn observe(&self, look: &dyn Probe, units: &[String]) -> Result<Vec<Live>, Failure> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = self.systemctl(["show", live::PROPERTIES, "--"]);
        cmd.args.extend(units.iter().cloned());
        let failed = |cause: &str| {
            Failure::new(Exit::Failed, format!("systemd does not answer: `{cmd}`: {cause}"))
                .repair("is systemd running, and may this user talk to it? Try `systemctl is-system-running`")
        };
        let output = look.query(&cmd).map_err(|error| failed(&error.to_string()))?;
        if !output.is_ok() {
            return Err(failed(output.stderr.trim()));
        }
        Ok(live::parse(&output.stdout, units))
    }

    fn state(&self, look: &dyn Probe, app: &str) -> Result<State, Failure> {
        let (unit, path, store) = (self.unit(app), self.path(app), self.store());
        let unreadable = |error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()));
        let at_path = match look.entry(&path).map_err(unreadable)? {
            None => None,
            Some(entry) => Some(match entry.kind {
                EntryKind::File => AtPath::File(look.read(&path).map_err(unreadable)?, entry.mode),
                EntryKind::Link(target) => AtPath::Link(target),
                EntryKind::Folder | EntryKind::Other => AtPath::Other,
            }),
        };
        let is_reachable = self.is_reachable(look);
        let live = if !is_reachable || (!self.is_user() && live::is_unheard_of(look, &unit)) {
            Live::unknown(&unit)
        } else {
            evidence::one(self, look, &unit)?
        };
        let in_force = match &at_path {
            Some(AtPath::File(..) | AtPath::Link(_)) => Some(&path),
            Some(AtPath::Other) => None,
            None => live.fragment.as_ref(),
        };
        let text = in_force
            .and_then(|file| look.read(file).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let wants = self.link(app);
        let mut others = store.receipts(look)?;
        others.retain(|receipt| receipt.name != app);
        Ok(State {
            live,
            at_path,
            text,
            links: self.links_of(look, &unit)?,
            receipt: store.receipt(app, look)?,
            service: store.service(app, look),
            original: store.original(app, look)?,
            history: store.history(app, look)?,
            record: store.record(look)?,
            others,
            is_reachable,
            is_lingering: !self.is_user() || is_lingering(look, &self.host.user_name()),
            has_reset_unit: look
                .read(&self.units().join(render::RESET_UNIT))
                .is_ok_and(|text| text == render::systemd_reset(self.scope).as_bytes()),
            missing: wants
                .parent()
                .map(|folder| session::missing_folders(look, folder))
                .unwrap_or_default(),
            rooms: None,
        })
    }

    fn install(&self, service: &Service, state: &State, options: &Install) -> Result<Plan, Failure> {
        self.plan_install(service, state, options)
    }

    fn uninstall(&self, receipt: &Receipt, state: &State) -> Plan {
        self.plan_uninstall(receipt, state)
    }

    fn control(&self, verb: Control, receipt: &Receipt, live: &Live, wait: Option<Duration>) -> Plan {
        self.plan_control(verb, receipt, live, wait)
    }

    fn check(&self, look: &dyn Probe, condition: &Condition) -> Result<Answer, Failure> {
        let holds = |yes: bool, why: String| {
            if yes {
                Answer::Yes(String::new())
            } else {
                Answer::NotYet(why)
            }
        };
        match condition {
            Condition::Ready { .. } => evidence::is_ready(self, look, condition),
            Condition::Running { unit } => {
                let live = evidence::one(self, look, unit)?;
                Ok(holds(live.active == "active", live.active))
            }
            Condition::Loaded { unit } => {
                let live = evidence::one(self, look, unit)?;
                Ok(holds(live.is_loaded(), live.load))
            }
            Condition::Stopped { unit } => {
                let live = evidence::one(self, look, unit)?;
                Ok(holds(
                    matches!(live.active.as_str(), "inactive" | "failed"),
                    live.active,
                ))
            }
            Condition::Failed { unit } => {
                let live = evidence::one(self, look, unit)?;
                Ok(holds(live.active == "failed", live.active))
            }
            Condition::Stale { unit } => {
                let live = evidence::one(self, look, unit)?;
                Ok(holds(live.is_stale || live.load != "loaded", live.load))
            }
            Condition::Lingering { user } => Ok(holds(is_lingering(look, user), format!("{user} does not linger"))),
            Condition::Manager => Ok(holds(
                self.is_reachable(look),
                "the user's service manager is starting".into(),
            )),
        }
    }

    fn explain(&self, look: &dyn Probe, cmd: &Cmd, output: &Output) -> Failure {
        let said = output.stderr.trim();
        if cmd.program == "loginctl" {
            return Failure::new(Exit::Privilege, format!("lingering is denied: `{cmd}`: {said}")).repair(format!(
                "an administrator allows it once: sudo loginctl enable-linger {}",
                self.host.user_name()
            ));
        }
        let starts = cmd.args.iter().any(|arg| matches!(arg.as_str(), "start" | "restart"));
        if starts
            && let Some(unit) = cmd.args.last()
            && let Ok(live) = evidence::one(self, look, unit)
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

    fn logs(&self, _: &dyn Probe, unit: &str, query: &LogQuery) -> Result<Cmd, Failure> {
        Ok(self.log_command(unit, query))
    }
}

/// loginctl(1), `enable-linger`: a file of the user's name.
fn is_lingering(look: &dyn Probe, user: &str) -> bool {
    let file = PathBuf::from("/var/lib/systemd/linger").join(user);
    matches!(look.entry(&file), Ok(Some(_)))
}
