//! The loop that lets things happen to the machines and does what they say.

use std::{
    ffi::OsString,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{
    Ended, LOOK, News, Rooms, Stage,
    state::{Action, End, Event, Machine, State, Terms},
    vitals::Vitals,
};
use crate::{
    backend::Live,
    health::{
        Asker, Main, pulse,
        state::{self as health, Action as Finding},
        wait::Waits,
    },
    plan::Span,
    platform::{self, Launch, Pipe, Told},
    service::Service,
    system::System,
};

mod being;
mod telling;

/// The loop's hands.
pub(super) struct Keeper<'a> {
    service: &'a Service,
    rooms: &'a Rooms,
    stage: Stage,
    system: &'a dyn System,
    machine: Machine,
    vitals: Vitals,
    live: Live,
    /// Why the run is ended, if for its health: as everybody may read it.
    sick: Option<String>,
    /// Whether its start is ended for taking too long.
    is_late: bool,
    is_renewed: bool,
    /// The variables of what was started last.
    environment: Arc<[(OsString, OsString)]>,
    notes: Option<mpsc::SyncSender<String>>,
    output: Pipe,
}

impl<'a> Keeper<'a> {
    /// A keeper of an app that has not started yet; `output` is where its output goes.
    pub(super) fn new(
        service: &'a Service,
        rooms: &'a Rooms,
        stage: Stage,
        system: &'a dyn System,
        output: Pipe,
        news: mpsc::Sender<News>,
    ) -> Self {
        Self {
            service,
            rooms,
            stage,
            system,
            machine: Machine::new(Terms::of(service)),
            vitals: Vitals::new(news),
            live: Live {
                unit: service.name.clone(),
                load: "loaded".into(),
                boot: system.boot(),
                ..Live::default()
            },
            sick: None,
            is_late: false,
            is_renewed: false,
            environment: Arc::default(),
            notes: telling::notes(&output),
            output,
        }
    }

    /// Keeps the app until it is over.
    pub(super) fn keep(&mut self, news: &mpsc::Receiver<News>) -> Ended {
        self.happen(Event::Start);
        if self.stage == Stage::Background {
            let _ = platform::let_go(); // then whoever started us waits for us: nothing worse
        }
        platform::give_back_code();
        loop {
            if let State::Over(outcome) = self.machine.state() {
                return if self.is_renewed {
                    Ended::Renewed
                } else {
                    Ended::Over(outcome)
                };
            }
            if let Some(news) = self.wait(news) {
                self.take(news);
            }
            let now = self.system.monotonic();
            if self.due().is_some_and(|due| now >= due) {
                self.tick(); // however much news there is
            }
            if matches!(self.machine.state(), State::Clearing { .. }) && platform::descendants().is_empty() {
                self.reap();
                self.happen(Event::TreeEmpty);
            }
        }
    }

    fn take(&mut self, news: News) {
        let now = self.system.monotonic();
        match news {
            News::Child => self.reap(),
            News::Terminate => self.take(News::Asked(Event::Stop)),
            News::Pass(signal) => platform::send(signal, &self.live.pid.into_iter().collect::<Vec<_>>()),
            News::Asked(event) => {
                self.is_renewed = false; // what is said last counts
                self.stop(event);
            }
            News::Renew => {
                self.is_renewed = true;
                self.stop(Event::Stop);
            }
            News::Ready => self.told(),
            News::Answered(run, answer) => {
                let found = self.vitals.answered(run, answer, &self.main(), now);
                self.find(found);
            }
            News::Output(trouble) => {
                self.live.output = trouble;
                self.write();
            }
            News::Hearing(Some(why)) => self.note(&format!(
                "{why}: until that is put right, nobody can stop it but by its end"
            )),
            News::Hearing(None) => self.note("it listens again"),
            News::Awaited(run, Ok(())) if self.vitals.is_of_now(run) => self.happen(Event::Awaited),
            News::Awaited(run, Err(why)) if self.vitals.is_of_now(run) => {
                self.note(&why);
                self.live.last_exit = (0, 0);
                self.happen(Event::Ended(End::NotStarted));
            }
            News::Awaited(..) => {}
        }
    }

    /// The next news; `None` when it is time for a tick.
    fn wait(&self, news: &mpsc::Receiver<News>) -> Option<News> {
        let due = self.due().map(|at| at.saturating_sub(self.system.monotonic()));
        let is_clearing = matches!(self.machine.state(), State::Clearing { .. });
        let limit = if is_clearing { Some(LOOK) } else { due };
        match limit {
            Some(limit) => news.recv_timeout(limit).ok(),
            None => news.recv().ok(),
        }
    }

    fn due(&self) -> Option<Duration> {
        [self.machine.due(), self.vitals.due()].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let before = self.machine.state();
        let is_late = matches!(before, State::Preparing(_) | State::Running)
            && self.machine.due().is_some_and(|due| self.system.monotonic() >= due);
        if is_late {
            let what = match before {
                State::Preparing(number) => self.service.pre_start[number].join(" "),
                _ => self.service.command.join(" "),
            };
            self.note(&format!(
                "`{what}` did not end within {}: it is ended",
                Span(self.service.start_timeout)
            ));
            self.is_late = true;
        }
        self.happen(Event::Tick);
        let found = self
            .vitals
            .on(health::Event::Tick, &self.main(), self.system.monotonic());
        self.find(found);
    }

    /// Somebody asks for it: what it was ended for before is forgotten.
    fn stop(&mut self, event: Event) {
        if event == Event::Stop {
            self.notify(Told::Stopping);
        }
        self.sick = None;
        self.is_late = false;
        self.happen(event);
    }

    fn happen(&mut self, event: Event) {
        let before = self.machine.state();
        let mut actions = self.machine.on(event, self.system.monotonic());
        while !actions.is_empty() {
            let ends: Vec<_> = actions.drain(..).filter_map(|action| self.act(action)).collect();
            // What could not even be started has ended.
            for end in ends {
                self.live.last_exit = telling::exit_of(end);
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
            Action::Await => self.wait_for_others(),
            Action::Prepare(number) => {
                self.is_late = false;
                self.launch(&service.pre_start[number])
            }
            Action::Spawn => {
                let ended = self.launch(&service.command);
                self.sick = None;
                self.is_late = false;
                self.vitals.begin(service, self.system.monotonic());
                ended
            }
            Action::Signal => {
                self.vitals.end();
                // What cannot be asked to end needs no time for it.
                if !platform::send_to_tree(&service.stop_signal) {
                    platform::send_to_tree("SIGKILL");
                }
                None
            }
            Action::Kill => {
                platform::send_to_tree("SIGKILL");
                None
            }
        }
    }

    fn wait_for_others(&mut self) -> Option<End> {
        let dependencies = &self.service.dependencies;
        let being = match self.being() {
            Ok(being) => being,
            Err(error) => {
                self.note(&error);
                return Some(End::NotExecuted);
            }
        };
        let waits = Waits {
            apps: dependencies.apps.clone(),
            conditions: dependencies.wait_for.clone(),
            timeout: dependencies.wait_timeout,
        };
        let rooms = self.rooms.clone();
        let is_ready = move |app: &str| super::client::is_ready(&rooms.of_other(app));
        self.vitals.wait(waits, Asker::Being(Box::new(being)), is_ready);
        None
    }

    /// Whom its probes are asked as.
    fn main(&self) -> Main {
        Main {
            environment: Arc::clone(&self.environment),
            ..self.live.main()
        }
    }

    fn launch(&mut self, argv: &[String]) -> Option<End> {
        let launched = self.being().and_then(|being| {
            let own = || (self.system.euid() == 0).then_some((0, 0));
            self.live.owner = being.identity.as_ref().map_or_else(own, |of| Some(of.numbers()));
            self.environment = being.environment.clone().into();
            platform::launch(&Launch {
                argv,
                being: &being,
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

    fn reap(&mut self) {
        for (pid, end) in platform::reap() {
            if self.live.pid == Some(pid) {
                self.live.pid = None;
                self.live.last_exit = telling::exit_of(end);
                self.happen(Event::Ended(end));
            }
        }
    }

    fn told(&mut self) {
        if self.machine.state() == State::Running {
            let now = self.system.monotonic();
            let found = self.vitals.on(health::Event::Told, &self.main(), now);
            self.find(found);
            self.publish();
        }
    }

    /// What the answers mean.
    fn find(&mut self, found: Vec<Finding>) {
        for finding in found {
            match finding {
                Finding::Ask(..) => {}
                Finding::Ready => self.notify(Told::Ready),
                Finding::Well => self.note("well again"),
                Finding::Tell(why) => self.note(&format!("{why}; nothing is done about it (health.action)")),
                Finding::End(why) => {
                    self.note(&format!("{why}: it is ended"));
                    let told = self.vitals.course().map(|course| pulse::public(course, &why));
                    self.sick = Some(told.unwrap_or(why));
                    self.happen(Event::Sick);
                }
            }
        }
        self.beat();
    }
}
