//! systemd, the machine's or a user's: units in the folder of the administrator, links for the boot target, and
//! systemctl(1) for the rest.

use std::{path::PathBuf, time::Duration};

use super::{Answer, AtPath, Backend, Control, Install, Live, LogQuery, Rendered, State};
use crate::{
    exit::{Exit, Failure},
    host::Host,
    plan::{Condition, Plan, Span},
    receipt::{Receipt, Store},
    render,
    service::{Scope, Service, StartType},
    session,
    system::{Cmd, EntryKind, Output, Probe},
};

mod evidence;
mod live;
mod plans;

pub use evidence::ending;

/// Restarts that an app with a probe may need before it is ready: it may have to wait for another one.
const CRASHES_BEFORE_READY: u32 = 2;

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

    fn one(&self, look: &dyn Probe, unit: &str) -> Result<Live, Failure> {
        Ok(self.observe(look, &[unit.to_owned()])?.remove(0))
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

    /// Whether an app that was told to start is ready by now.
    fn is_ready(&self, look: &dyn Probe, condition: &Condition) -> Result<Answer, Failure> {
        let Condition::Ready {
            unit,
            readiness,
            start_type,
            restarts,
        } = condition
        else {
            return Ok(Answer::NotYet(String::new()));
        };
        let live = self.one(look, unit)?;
        let crashes = live.restarts.saturating_sub(*restarts) + u32::from(live.is_between_restarts());
        let allowed = if readiness.probe.is_some() {
            CRASHES_BEFORE_READY
        } else {
            0
        };
        if crashes > allowed {
            let times = if crashes == 1 {
                "once".into()
            } else {
                format!("{crashes} times")
            };
            return Err(self.failure(look, &live, &format!("it ended {times} before it was ready")));
        }
        match live.active.as_str() {
            "active" => {}
            "failed" => return Err(self.failure(look, &live, "it failed before it was ready")),
            "inactive" if !live.has_job => {
                let what = if live.last_exit.0 == 0 {
                    "it was not started: something it requires failed, or a condition of the unit does not hold"
                } else {
                    "it ended by itself before it was ready"
                };
                return Err(self.failure(look, &live, what));
            }
            _ if live.is_between_restarts() => {
                return Ok(Answer::NotYet(format!(
                    "ended ({}), waiting for its restart",
                    ending(&live)
                )));
            }
            state => return Ok(Answer::NotYet(format!("{state} ({})", live.sub))),
        }
        let Some(probe) = &readiness.probe else {
            let age = look.monotonic().saturating_sub(live.active_since.unwrap_or_default());
            let is_settled = age >= readiness.settle || *start_type == StartType::Oneshot;
            return Ok(if is_settled {
                Answer::Yes(String::new())
            } else {
                Answer::NotYet(format!("running for {}", Span(age)))
            });
        };
        if let Err(answer) = look.ask(probe, readiness.timeout, live.pid) {
            return Ok(Answer::NotYet(answer));
        }
        // Something else may have answered in its place while it died: it must still be the same process.
        let now = self.one(look, unit)?;
        Ok(if now.active == "active" && now.pid == live.pid {
            Answer::Yes(String::new())
        } else {
            Answer::NotYet("it ended while it was asked".into())
        })
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
        Store::new(match self.scope {
            Scope::System => PathBuf::from("/var/lib/autoglm-boot"),
            Scope::User => self.host.state.join("autoglm-boot"),
        })
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
            self.one(look, &unit)?
        };
        let wants = self.link(app);
        let mut others = store.receipts(look)?;
        others.retain(|receipt| receipt.name != app);
        Ok(State {
            live,
            at_path,
            links: self.links_of(look, &unit)?,
            receipt: store.receipt(app, look)?,
            service: store.service(app, look),
            original: store.original(app, look)?,
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
            Condition::Ready { .. } => self.is_ready(look, condition),
            Condition::Running { unit } => {
                let live = self.one(look, unit)?;
                Ok(holds(live.active == "active", live.active))
            }
            Condition::Stopped { unit } => {
                let live = self.one(look, unit)?;
                Ok(holds(
                    matches!(live.active.as_str(), "inactive" | "failed"),
                    live.active,
                ))
            }
            Condition::Failed { unit } => {
                let live = self.one(look, unit)?;
                Ok(holds(live.active == "failed", live.active))
            }
            Condition::Stale { unit } => {
                let live = self.one(look, unit)?;
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
            && let Ok(live) = self.one(look, unit)
        {
            let what = match live.load.as_str() {
                "loaded" if live.last_exit.0 == 0 => format!("it could not be started: {said}"),
                "loaded" => "it could not be started".into(),
                load => format!("systemd cannot load it ({load}): {said}"),
            };
            return self.failure(look, &live, &what);
        }
        Failure::new(Exit::Failed, format!("`{cmd}` exited {}: {said}", output.code))
    }

    fn too_late(&self, look: &dyn Probe, condition: &Condition, deadline: Duration, reason: &str) -> Failure {
        let Condition::Ready { unit, .. } = condition else {
            return Failure::new(
                Exit::Failed,
                format!("{condition} did not come true within {}: {reason}", Span(deadline)),
            );
        };
        let what = format!("it was not ready within {}: {reason}", Span(deadline));
        match self.one(look, unit) {
            Ok(live) => self
                .failure(look, &live, &what)
                .repair("if it only needs longer, raise service.start_timeout (model servers need \"30m\") or --timeout; else look at its output: journalctl --unit NAME"),
            Err(failure) => failure,
        }
    }

    fn logs(&self, unit: &str, query: &LogQuery) -> Cmd {
        self.log_command(unit, query)
    }
}

/// loginctl(1), `enable-linger`: a file of the user's name.
fn is_lingering(look: &dyn Probe, user: &str) -> bool {
    let file = PathBuf::from("/var/lib/systemd/linger").join(user);
    matches!(look.entry(&file), Ok(Some(_)))
}
