//! The watcher: one per scope, where a service manager keeps the apps. It asks every app that runs what the course of its run says
//! ([`crate::health::state`]), ends the run of one that is sick, and leaves the rest to the service manager: restart, back-off and
//! budget are those of the app's unit. At rest it asks the service manager nothing: that an app is up, and in which run, a link
//! in a folder of systemd tells, and what comes and goes there is noticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use crate::{
    backend::{Backend as _, systemd::Systemd},
    exit::{Exit, Failure},
    health::state::Action,
    platform::{self, Caught, Notices, Told},
    receipt::Store,
    system::System,
};

mod acting;
mod agenda;
mod app;
mod asking;
mod board;

use agenda::Agenda;
use app::App;
use asking::{Answered, Pool};
pub use board::{Board, is_ready};

/// Between two looks at apps of which the service manager has more to tell.
const LOOK: Duration = Duration::from_secs(1);
/// What is due within so long is done together.
const SLOT: Duration = Duration::from_millis(100);
/// Between two looks at everything, whatever was noticed or not.
const ROUND: Duration = Duration::from_secs(15);

/// What happens to the watcher.
enum News {
    /// Somebody waits for an answer that has come.
    Answered,
    /// Something changed at this path.
    Noticed(PathBuf),
    /// It is to end.
    End,
}

/// Watches the apps of a scope until it is asked to end.
pub fn run(backend: &Systemd, system: &dyn System) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot watch: {error}"));
    let (sender, news) = mpsc::channel();
    let to_signals = sender.clone();
    platform::watch_signals(true, move |caught| {
        if caught == Caught::End {
            let _ = to_signals.send(News::End); // at the end nobody listens
        }
    })
    .map_err(failed)?;
    let to_notices = sender.clone();
    let notices = Notices::new(move |path| drop(to_notices.send(News::Noticed(path)))).map_err(failed)?;
    let invocation = system.env("INVOCATION_ID").unwrap_or_default();
    let mut watcher = Watcher {
        backend,
        system,
        store: backend.store(),
        notices,
        pool: Pool::new(sender),
        apps: BTreeMap::new(),
        unclear: BTreeSet::new(),
        agenda: Agenda::default(),
        board: Board::new(&invocation.to_string_lossy()),
        is_posted: false,
        left: Board::left(backend, system),
        next_look: Duration::ZERO,
        next_round: Duration::ZERO,
    };
    watcher.round();
    watcher.post();
    platform::notify(Told::Ready);
    platform::give_back_code();
    watcher.watch(&news);
    platform::notify(Told::Stopping);
    Ok(())
}

struct Watcher<'a> {
    backend: &'a Systemd,
    system: &'a dyn System,
    store: Store,
    notices: Notices,
    pool: Pool,
    /// By unit.
    apps: BTreeMap<String, App>,
    /// Units of which the service manager has more to tell.
    unclear: BTreeSet<String>,
    /// What is due when, of which unit.
    agenda: Agenda,
    board: Board,
    is_posted: bool,
    /// What the watcher before us has seen.
    left: Board,
    next_look: Duration,
    next_round: Duration,
}

/// What was noticed at once.
#[derive(Default)]
struct Noticed {
    are_records_new: bool,
    units: BTreeSet<String>,
}

impl Watcher<'_> {
    fn watch(&mut self, news: &mpsc::Receiver<News>) {
        loop {
            let were_waiting = self.pool.waiting();
            let mut noticed = Noticed::default();
            let mut heard = news.recv_timeout(self.pause()).ok();
            while let Some(news_now) = heard {
                match news_now {
                    News::End => return,
                    News::Answered => {}
                    News::Noticed(path) => self.notice(&path, &mut noticed),
                }
                heard = news.try_recv().ok();
            }
            for answered in self.pool.answers() {
                self.answered(answered);
            }
            self.tick();
            self.see(noticed);
            self.pool.begin(were_waiting);
            self.post();
        }
    }

    /// Until something is due. What is due soon one after the other is done together.
    fn pause(&self) -> Duration {
        let now = self.system.monotonic();
        let look = (!self.unclear.is_empty()).then_some(self.next_look);
        let answers = self.pool.is_asking().then_some(now);
        let next = [self.agenda.first(), look, answers].into_iter().flatten();
        let next = next.fold(self.next_round, Duration::min).max(now).as_millis();
        let slot = next / SLOT.as_millis() + 1;
        let at = Duration::from_millis(u64::try_from(slot * SLOT.as_millis()).unwrap_or(u64::MAX));
        at.saturating_sub(now)
    }

    fn notice(&self, path: &Path, noticed: &mut Noticed) {
        match self.backend.marked(path) {
            Some(unit) if self.apps.contains_key(unit) => drop(noticed.units.insert(unit.into())),
            Some(_) => {}
            None => noticed.are_records_new = true,
        }
    }

    /// What was noticed, and what is due anyway.
    fn see(&mut self, noticed: Noticed) {
        let now = self.system.monotonic();
        if noticed.are_records_new || now >= self.next_round {
            return self.round();
        }
        let mut units = noticed.units;
        if now >= self.next_look {
            self.next_look = now + LOOK;
            units.extend(self.unclear.iter().cloned());
        }
        self.look(&units);
    }

    /// Everything: which apps there are, and which of them run.
    fn round(&mut self) {
        self.next_round = self.system.monotonic() + ROUND;
        platform::notify(Told::Alive);
        // What cannot be noticed is seen with the next round.
        let _ = self.notices.add(&self.backend.marks());
        let _ = self.notices.add(&self.store.apps());
        self.read();
        let units = self.apps.keys().cloned().collect();
        self.look(&units);
    }

    fn tick(&mut self) {
        let now = self.system.monotonic();
        let due: Vec<_> = std::iter::from_fn(|| self.agenda.take(now)).collect();
        for unit in due {
            let Some(app) = self.apps.get_mut(&unit) else { continue };
            let actions = app.tick(now, &self.pool);
            self.take_in(&unit, actions);
        }
    }

    fn answered(&mut self, answered: Answered) {
        let now = self.system.monotonic();
        let Answered { unit, run, answer } = answered;
        let Some(app) = self.apps.get_mut(&unit) else { return };
        let actions = app.answered(run, answer, now, &self.pool);
        self.take_in(&unit, actions);
    }

    /// What became of an app: what is due of it next, what is written down of it, and what is to be done.
    fn take_in(&mut self, unit: &str, actions: Vec<Action>) {
        for action in actions {
            self.act(unit, action);
        }
        let Some(app) = self.apps.get(unit) else { return };
        self.agenda.set(unit, app.due());
        self.is_posted &= !self.board.post(unit, app.pulse());
    }

    /// Which of these run, and how; the service manager is asked only for those of which that is not known.
    fn look(&mut self, units: &BTreeSet<String>) {
        for unit in units {
            let Some(app) = self.apps.get_mut(unit) else { continue };
            if app.is_unclear(self.backend.invocation(self.system, unit)) {
                self.unclear.insert(unit.clone());
            } else {
                self.unclear.remove(unit);
            }
            self.take_in(unit, Vec::new());
        }
        let asked: Vec<_> = self.unclear.intersection(units).cloned().collect();
        let now = self.system.monotonic();
        // A service manager that does not answer now is asked again.
        for live in self.backend.observe(self.system, &asked).unwrap_or_default() {
            let Some(app) = self.apps.get_mut(&live.unit) else {
                continue;
            };
            let actions = app.see(&live, &self.left, now, &self.pool);
            let given_up = app.is_given_up(&live);
            let invocation = self.backend.invocation(self.system, &live.unit);
            if !app.is_unclear(invocation) {
                self.unclear.remove(&live.unit);
            }
            if let Some(why) = given_up {
                let text = format!("{why}; it was restarted too often and is given up");
                self.say(&live.unit, acting::ERROR, &text);
            }
            self.take_in(&live.unit, actions);
        }
    }

    /// The records: what is wanted of each app. One that cannot be read is watched as before.
    fn read(&mut self) {
        let folders = self.system.list(&self.store.apps()).unwrap_or_default();
        let name = |folder: &PathBuf| folder.file_name()?.to_str().map(str::to_owned);
        let names: BTreeSet<_> = folders.iter().filter_map(name).collect();
        let is_there = |unit: &str| names.contains(unit.trim_end_matches(".service"));
        let gone: Vec<_> = self.apps.keys().filter(|unit| !is_there(unit)).cloned().collect();
        for unit in gone {
            self.apps.remove(&unit);
            self.unclear.remove(&unit);
            self.agenda.set(&unit, None);
            self.is_posted &= !self.board.post(&unit, None);
        }
        let now = self.system.monotonic();
        for (name, folder) in names.iter().zip(&folders) {
            let _ = self.notices.add(folder); // as above
            let Ok(Some(entry)) = self.system.target(&self.store.installed_path(name)) else {
                continue;
            };
            let stamp = (entry.len, entry.modified);
            let unit = self.backend.unit(name);
            if self.apps.get(&unit).is_some_and(|app| app.stamp == stamp) {
                continue;
            }
            let Some(service) = self.store.service(name, self.system) else {
                continue;
            };
            match self.apps.get_mut(&unit) {
                Some(app) => app.take_over(&service, stamp, now),
                None => drop(self.apps.insert(unit.clone(), App::new(&unit, &service, stamp))),
            }
        }
    }

    /// Writes down what changed.
    fn post(&mut self) {
        if self.is_posted {
            return;
        }
        let text = serde_json::to_vec(&self.board).unwrap_or_default();
        // What cannot be written now is tried again with the next news.
        self.is_posted = self.system.write_file(&self.backend.board(), &text, 0o644).is_ok();
    }

    fn act(&mut self, unit: &str, action: Action) {
        match action {
            Action::Ask(..) => {}
            Action::Ready => self.revive_dependants(unit),
            Action::Well => self.say(unit, acting::NOTICE, "well again"),
            Action::Tell(why) => {
                let text = format!("{why}; nothing is done about it (health.action)");
                self.say(unit, acting::WARNING, &text);
            }
            Action::End(why) => self.end(unit, &why),
        }
    }
}
