//! Several apps in the foreground: a supervisor for each, as children of ours. What a child leaves behind becomes ours, and is
//! waited for; a child that is killed is started again; at the end those go first that need others.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::mpsc,
    time::Duration,
};

use super::{LOOK, Rooms, client, state::Outcome};
use crate::{
    exit::{Exit, Failure},
    platform::{self, Caught, Told},
    service::Service,
    system::{Cmd, System},
};

mod control;
mod end;

use control::Names;
pub(super) use control::{VARIABLE, start, tell_ready};

/// Before a supervisor that was killed is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a supervisor may take to end beyond what its app may.
const SLACK: Duration = Duration::from_secs(5);

/// One of the apps.
#[derive(Debug, Clone)]
pub struct Member {
    /// The app.
    pub service: Service,
    /// The command that keeps it, and nothing else.
    pub keep: Cmd,
}

enum News {
    Child,
    End,
    Pass(&'static str),
    Start(String),
    Ready(String),
}

/// Keeps them all until each is over. `member`: what is installed of an app that is to be started later.
pub fn run(
    members: Vec<Member>,
    rooms: &Rooms,
    system: &dyn System,
    member: impl Fn(&str) -> Option<Member>,
) -> Result<Outcome, Failure> {
    let failed = |what: &'static str| move |error: io::Error| Failure::new(Exit::Failed, format!("{what}: {error}"));
    platform::adopt_orphans().map_err(failed("cannot adopt orphans"))?;
    let (sender, news) = mpsc::channel();
    let to_signals = sender.clone();
    platform::watch_signals(true, move |caught| {
        let _ = to_signals.send(match caught {
            Caught::Child => News::Child,
            Caught::End => News::End,
            Caught::Pass(signal) => News::Pass(signal),
        }); // at the end nobody listens
    })
    .map_err(failed("cannot watch signals"))?;
    if system.interrupted().is_some() {
        let _ = sender.send(News::End); // it came before we watched
    }
    let names = Names::default();
    let (socket, _hearing) =
        control::listen(rooms, names.clone(), sender, system).map_err(failed("cannot listen at the control socket"))?;
    let mut crew = Crew {
        system,
        rooms,
        socket: &socket,
        names,
        apps: BTreeMap::new(),
        is_ending: false,
        has_told: false,
    };
    for member in members {
        crew.begin(member)?;
    }
    crew.keep(&news, &member);
    end_the_rest();
    let _ = system.remove(&socket); // a socket that nobody serves does no harm
    Ok(if crew.apps.values().any(|app| app.has_failed) {
        Outcome::Failed
    } else {
        Outcome::Stopped
    })
}

/// Ends what a supervisor that was killed has left to us.
fn end_the_rest() {
    for _ in 0..100 {
        let left = platform::descendants();
        platform::send("SIGKILL", &left);
        platform::reap();
        if left.is_empty() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Who is kept, and how it goes.
struct Crew<'a> {
    system: &'a dyn System,
    rooms: &'a Rooms,
    socket: &'a Path,
    names: Names,
    apps: BTreeMap<String, App>,
    is_ending: bool,
    /// Whether we have said that all are ready.
    has_told: bool,
}

struct App {
    member: Member,
    life: Life,
    is_ready: bool,
    has_failed: bool,
}

/// The supervisor of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs(u32),
    /// It was told to end, and is killed at this time.
    Ends(u32, Duration),
    /// It was killed, and is started again at this time.
    Due(Duration),
    Over,
}

impl Life {
    fn pid(self) -> Option<u32> {
        match self {
            Self::Runs(pid) | Self::Ends(pid, _) => Some(pid),
            Self::Due(_) | Self::Over => None,
        }
    }
}

impl Crew<'_> {
    fn begin(&mut self, member: Member) -> Result<(), Failure> {
        let name = member.service.name.clone();
        let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{name} could not be kept: {error}"));
        // What is told of an earlier life is no longer so: others would take it for ready.
        let status = self.rooms.of_other(&name).status;
        self.system.remove(&status).map_err(failed)?;
        let mut keep = member.keep.clone();
        let socket = self.socket.to_string_lossy().into_owned();
        keep.env.push((VARIABLE.into(), socket));
        let pid = platform::start_child(&keep).map_err(failed)?;
        self.names.add(&name);
        let app = App {
            member,
            life: Life::Runs(pid),
            is_ready: false,
            has_failed: false,
        };
        self.apps.insert(name, app);
        Ok(())
    }

    fn keep(&mut self, news: &mpsc::Receiver<News>, member: &dyn Fn(&str) -> Option<Member>) {
        while self.apps.values().any(|app| app.life != Life::Over) {
            match self.wait(news) {
                Some(News::Child) => self.reap(),
                Some(News::End) => self.end(),
                Some(News::Pass(signal)) => {
                    let pids: Vec<_> = self.apps.values().filter_map(|app| app.life.pid()).collect();
                    platform::send(signal, &pids);
                }
                Some(News::Start(name)) => self.begin_late(&name, member),
                Some(News::Ready(name)) => self.ready(&name),
                None => {}
            }
            self.tick(); // however much news there is
            if self.is_ending {
                self.end_those_nobody_needs();
            }
        }
    }

    fn wait(&self, news: &mpsc::Receiver<News>) -> Option<News> {
        let due = self.apps.values().filter_map(|app| match app.life {
            Life::Ends(_, at) | Life::Due(at) => Some(at),
            Life::Runs(_) | Life::Over => None,
        });
        match due.min() {
            Some(at) => news.recv_timeout(at.saturating_sub(self.system.monotonic())).ok(),
            None => news.recv().ok(),
        }
    }

    /// A supervisor that ends with its app is over; one that was killed is started again.
    fn reap(&mut self) {
        let now = self.system.monotonic();
        for (pid, end) in platform::reap() {
            let Some((name, app)) = self.apps.iter_mut().find(|(_, app)| app.life.pid() == Some(pid)) else {
                continue; // an orphan that was left to us
            };
            app.is_ready = false;
            let last = client::live(&self.rooms.of_other(name), self.system);
            app.life = match end::of_app(end, last.as_ref(), platform::OS) {
                Some(exit) => {
                    app.has_failed = exit != Exit::Ok as u32;
                    Life::Over
                }
                _ if self.is_ending => Life::Over,
                _ => Life::Due(now + PAUSE),
            };
        }
        self.tell_if_all_are_ready();
    }

    fn tick(&mut self) {
        let now = self.system.monotonic();
        let mut due = Vec::new();
        for app in self.apps.values_mut() {
            match app.life {
                Life::Ends(pid, at) if now >= at => platform::send("SIGKILL", &[pid]),
                Life::Due(at) if now >= at => due.push(app.member.clone()),
                _ => {}
            }
        }
        for member in due {
            let name = member.service.name.clone();
            if self.begin(member).is_err() {
                self.over(&name);
            }
        }
    }

    fn over(&mut self, name: &str) {
        if let Some(app) = self.apps.get_mut(name) {
            app.has_failed = true;
            app.life = Life::Over;
        }
    }

    /// One that was stopped, or is installed since we began.
    fn begin_late(&mut self, name: &str, member: &dyn Fn(&str) -> Option<Member>) {
        let is_over = self.apps.get(name).is_none_or(|app| app.life == Life::Over);
        if let Some(member) = member(name).filter(|_| is_over && !self.is_ending) {
            let _ = self.begin(member); // whoever asked waits for it, and tells
        }
    }

    fn ready(&mut self, name: &str) {
        if let Some(app) = self.apps.get_mut(name) {
            app.is_ready = true;
        }
        self.tell_if_all_are_ready();
    }

    /// When all of them are ready, so are we; what was stopped, or has done its work, is not waited for.
    fn tell_if_all_are_ready(&mut self) {
        let is_well = |app: &App| app.is_ready || (app.life == Life::Over && !app.has_failed);
        if !self.is_ending && !self.has_told && self.apps.values().all(is_well) {
            self.has_told = true;
            platform::notify(Told::Ready);
        }
    }

    fn end(&mut self) {
        self.is_ending = true;
        platform::notify(Told::Stopping);
        for app in self.apps.values_mut() {
            if matches!(app.life, Life::Due(_)) {
                app.life = Life::Over;
            }
        }
    }

    fn end_those_nobody_needs(&mut self) {
        let running = || self.apps.values().filter(|app| app.life != Life::Over);
        let needed: BTreeSet<_> = running()
            .flat_map(|app| app.member.service.dependencies.apps.clone())
            .collect();
        // One that was installed meanwhile may have made a circle.
        let is_circle = running().all(|app| needed.contains(&app.member.service.name));
        let now = self.system.monotonic();
        for (name, app) in &mut self.apps {
            if let Life::Runs(pid) = app.life
                && (is_circle || !needed.contains(name))
            {
                platform::send("SIGTERM", &[pid]);
                app.life = Life::Ends(pid, now + app.member.service.stop_timeout + SLACK);
            }
        }
    }
}
