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
    backend::{
        Backend as _,
        systemd::{Systemd, WATCH},
    },
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
mod looking;

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
/// The same where nothing can be noticed.
const BLIND_ROUND: Duration = Duration::from_secs(2);

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
    // Two would end each other's apps, and overwrite each other's board.
    let path = backend.board().with_file_name("lock");
    let unmade = |error| Failure::new(Exit::Failed, format!("cannot watch: {}: {error}", path.display()));
    let lock = system
        .lock(&path)
        .map_err(|error| unmade(error).repair(format!("start {WATCH} instead")))?;
    let _lock = lock.ok_or_else(|| {
        Failure::new(Exit::Locked, "this scope is watched already").repair(format!("let {WATCH} do it"))
    })?;
    let (sender, news) = mpsc::channel();
    let to_signals = sender.clone();
    platform::watch_signals(true, move |caught| {
        if caught == Caught::End {
            let _ = to_signals.send(News::End); // at the end nobody listens
        }
    })
    .map_err(failed)?;
    platform::adopt_orphans().map_err(failed)?; // what commands leave is ours to end
    let to_notices = sender.clone();
    // Where the user has no more of them (inotify(7), max_user_instances), it looks often instead.
    let notices = Notices::new(move |path| drop(to_notices.send(News::Noticed(path)))).ok();
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
    notices: Option<Notices>,
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
            platform::end_leftovers();
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
        let pause = if self.notices.is_some() { ROUND } else { BLIND_ROUND };
        self.next_round = self.system.monotonic() + pause;
        platform::notify(Told::Alive);
        self.look_after(&self.backend.marks());
        self.look_after(&self.store.apps());
        self.read();
        let units = self.apps.keys().cloned().collect();
        self.look(&units);
    }

    /// What cannot be noticed is seen with the next round.
    fn look_after(&self, folder: &Path) {
        let _ = self.notices.as_ref().map(|notices| notices.add(folder));
    }

    fn tick(&mut self) {
        let now = self.system.monotonic();
        let due: Vec<_> = std::iter::from_fn(|| self.agenda.take(now)).collect();
        for unit in due {
            self.has_handed_over(&unit);
            let Some(app) = self.apps.get_mut(&unit) else { continue };
            let actions = app.tick(now, &self.pool);
            self.take_in(&unit, actions);
        }
    }

    fn answered(&mut self, answered: Answered) {
        let now = self.system.monotonic();
        let Answered { unit, run, answer } = answered;
        // Whose process is gone, or another one now, was perhaps not asked at all.
        let is_nobodys = answer.is_err() && self.has_handed_over(&unit);
        let Some(app) = self.apps.get_mut(&unit) else { return };
        let actions = if is_nobodys {
            app.ask_again(run, now);
            Vec::new()
        } else {
            app.answered(run, answer, now, &self.pool)
        };
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
