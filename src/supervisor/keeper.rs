//! The loop that lets things happen to the machine and does what it says.

use std::{ffi::OsString, sync::mpsc};

use super::{
    LOOK, MARK, News, Rooms, Stage, environment,
    state::{Action, End, Event, Machine, Next, Outcome, State},
};
use crate::{
    backend::{Live, evidence},
    plan::Span,
    platform::{self, Identity, Launch, Pipe},
    service::{RunAs, Service, StartType},
    system::System,
};

/// The loop's hands.
pub(super) struct Keeper<'a> {
    service: &'a Service,
    rooms: &'a Rooms,
    stage: Stage,
    system: &'a dyn System,
    machine: Machine,
    live: Live,
    output: Pipe,
}

/// Whom a process runs as, and its environment.
type Being = (Option<Identity>, Vec<(OsString, OsString)>);

impl<'a> Keeper<'a> {
    /// A keeper of an app that has not started yet; `output` is where its output goes.
    pub(super) fn new(
        service: &'a Service,
        rooms: &'a Rooms,
        stage: Stage,
        system: &'a dyn System,
        output: Pipe,
    ) -> Self {
        Self {
            service,
            rooms,
            stage,
            system,
            machine: Machine::new(
                service.restart.clone(),
                service.start_type,
                service.pre_start.len(),
                service.stop_timeout,
            ),
            live: Live {
                unit: service.name.clone(),
                load: "loaded".into(),
                ..Live::default()
            },
            output,
        }
    }

    /// Keeps the app until it is over.
    pub(super) fn keep(&mut self, news: &mpsc::Receiver<News>) -> Outcome {
        self.happen(Event::Start);
        if self.stage == Stage::Background {
            let _ = platform::let_go(); // then whoever started us waits for us: nothing worse
        }
        loop {
            if let State::Over(outcome) = self.machine.state() {
                return outcome;
            }
            match self.wait(news) {
                Some(News::Child) => self.reap(),
                Some(News::Terminate) => self.happen(Event::Stop),
                Some(News::Asked(event)) => self.happen(event),
                Some(News::Ready) => self.ready(),
                None => self.happen(Event::Tick),
            }
            if matches!(self.machine.state(), State::Clearing { .. }) && platform::descendants().is_empty() {
                self.reap();
                self.happen(Event::TreeEmpty);
            }
        }
    }

    /// The next news; `None` when it is time for a tick.
    fn wait(&self, news: &mpsc::Receiver<News>) -> Option<News> {
        let limit = match self.machine.state() {
            State::Clearing { .. } => Some(LOOK),
            _ => self.machine.due().map(|at| at.saturating_sub(self.system.monotonic())),
        };
        match limit {
            Some(limit) => news.recv_timeout(limit).ok(),
            None => news.recv().ok(),
        }
    }

    fn happen(&mut self, event: Event) {
        let before = self.machine.state();
        let mut actions = self.machine.on(event, self.system.monotonic());
        while !actions.is_empty() {
            let ends: Vec<_> = actions.drain(..).filter_map(|action| self.act(action)).collect();
            // What could not even be started has ended.
            for end in ends {
                self.live.last_exit = exit_of(end);
                actions.extend(self.machine.on(Event::Ended(end), self.system.monotonic()));
            }
        }
        if self.machine.state() != before || self.live.active.is_empty() {
            self.publish();
        }
    }

    fn act(&mut self, action: Action) -> Option<End> {
        let service = self.service;
        match action {
            Action::Prepare(number) => self.launch(&service.pre_start[number]),
            Action::Spawn => self.launch(&service.command),
            Action::Signal => {
                platform::send(&service.stop_signal, &platform::descendants());
                None
            }
            Action::Kill => {
                platform::send("SIGKILL", &platform::descendants());
                None
            }
        }
    }

    fn launch(&mut self, argv: &[String]) -> Option<End> {
        let launched = self.being().and_then(|(identity, environment)| {
            platform::launch(&Launch {
                argv,
                folder: &self.service.working_directory,
                environment: &environment,
                identity: identity.as_ref(),
                open_files: self.service.resources.open_files,
                output: &self.output,
            })
            .map_err(|error| format!("cannot run {}: {error}", argv[0]))
        });
        match launched {
            Ok(pid) => {
                self.live.pid = Some(pid);
                None
            }
            Err(error) => {
                self.note(&error);
                Some(End::NotExecuted)
            }
        }
    }

    /// Whom it runs as, and in which environment: looked up at each start.
    fn being(&self) -> Result<Being, String> {
        let service = self.service;
        let own = self.system.euid().to_string();
        let (name, group) = match &service.run_as {
            RunAs::User { user, group } => (user.as_str(), group.as_deref()),
            RunAs::Invoker => (own.as_str(), None),
            RunAs::Dynamic => return Err("a throw-away user needs systemd".into()),
        };
        let user = self
            .system
            .user(name)
            .ok_or_else(|| format!("there is no user {name}"))?;
        let (identity, shell) =
            platform::identity(user.name.as_deref().unwrap_or(name), group).map_err(|e| e.to_string())?;
        let inherited = match self.stage {
            Stage::Foreground => std::env::vars_os().collect(),
            Stage::Background => Vec::new(),
        };
        let mut environment = environment::of(service, &user, shell.as_deref(), inherited, self.system)?;
        environment.push((MARK.into(), self.rooms.status.clone().into()));
        if service.start_type == StartType::Notify {
            environment.push((
                "NOTIFY_SOCKET".into(),
                self.rooms.status.with_extension("notify").into(),
            ));
        }
        let identity = matches!(service.run_as, RunAs::User { .. }).then_some(identity);
        Ok((identity, environment))
    }

    fn reap(&mut self) {
        for (pid, end) in platform::reap() {
            if self.live.pid == Some(pid) {
                self.live.pid = None;
                self.live.last_exit = exit_of(end);
                self.happen(Event::Ended(end));
            }
        }
    }

    fn ready(&mut self) {
        if self.machine.state() == State::Running && self.live.active == "activating" {
            self.live.active = "active".into();
            self.live.sub = "running".into();
            self.live.active_since = Some(self.system.monotonic());
            self.write();
        }
    }

    /// Says in its log what a supervisor does.
    fn note(&self, text: &str) {
        use std::io::Write as _;
        if let Ok(fd) = self.output.try_clone() {
            let _ = writeln!(std::io::PipeWriter::from(fd), "[autoglm-boot] {text}"); // the log says what it can
        }
    }

    /// Writes down how the app is, in systemd's words.
    fn publish(&mut self) {
        let (now, state) = (self.system.monotonic(), self.machine.state());
        let (active, sub) = words(state, self.service.start_type);
        if self.live.active != active {
            self.live.changed = Some(now);
            self.live.active_since = (active == "active").then_some(now).or(self.live.active_since);
        }
        if matches!(state, State::Preparing(0) | State::Running) {
            self.live.started = Some(now);
        }
        let is_exhausted = state == State::Over(Outcome::Exhausted);
        self.live.result = if is_exhausted { "start-limit-hit" } else { "" }.into();
        let is_due = matches!(
            state,
            State::Waiting(_)
                | State::Clearing {
                    next: Next::Restart(_),
                    ..
                }
        );
        self.live.restarts = self.machine.restarts().saturating_sub(u32::from(is_due)); // one that is due is none yet
        (self.live.active, self.live.sub) = (active.into(), sub.into());
        self.tell(state);
        self.write();
    }

    /// Tells in the log what is not the app's own doing.
    fn tell(&self, state: State) {
        let (name, end) = (&self.service.name, evidence::ending(&self.live));
        match state {
            State::Clearing {
                next: Next::Restart(delay),
                ..
            } if !delay.is_zero() => self.note(&format!(
                "{name} ended ({end}): restart {} in {}",
                self.machine.restarts(),
                Span(delay)
            )),
            State::Over(Outcome::Failed | Outcome::Exhausted) => self.note(&format!("{name} failed: {end}")),
            _ => {}
        }
    }

    fn write(&self) {
        let text = serde_json::to_vec(&self.live).unwrap_or_default();
        if let Err(error) = self.system.write_file(&self.rooms.status, &text, 0o644) {
            self.note(&format!("cannot write {}: {error}", self.rooms.status.display()));
        }
    }
}

/// `ActiveState` and `SubState` of systemd that mean the same (org.freedesktop.systemd1(5)).
fn words(state: State, start_type: StartType) -> (&'static str, &'static str) {
    let is_told = matches!(start_type, StartType::Notify | StartType::Oneshot);
    match state {
        State::Preparing(_) => ("activating", "start-pre"),
        State::Running if is_told => ("activating", "start"),
        State::Running => ("active", "running"),
        State::Clearing { .. } => ("deactivating", "stop-sigterm"),
        State::Waiting(_) => ("activating", "auto-restart"),
        State::Idle | State::Over(Outcome::Stopped) => ("inactive", "dead"),
        State::Over(Outcome::Done) => ("active", "exited"),
        State::Over(Outcome::Failed | Outcome::Exhausted) => ("failed", "failed"),
    }
}

/// As systemd tells it: `CLD_EXITED` 1 or `CLD_KILLED` 2, and the status or signal; 203 is EXEC.
fn exit_of(end: End) -> (u32, u32) {
    match end {
        End::Exited(status) => (1, status),
        End::Killed(signal) => (2, signal),
        End::NotExecuted => (1, 203),
    }
}
