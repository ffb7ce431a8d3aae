//! What the watcher looks at: the service manager's word on apps, and the records of what is wanted of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{App, Watcher, acting, app::Wanted};
use crate::backend::Backend as _;

impl Watcher<'_> {
    /// Which of these run, and how; the service manager is asked only for those of which that is not known.
    pub(super) fn look(&mut self, units: &BTreeSet<String>) {
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
                self.say(&live.unit, acting::ERROR, &why);
            }
            self.take_in(&live.unit, actions);
        }
    }

    /// Whether another process is the app's main one now (`MAINPID=` of `sd_notify(3)`): the service manager is asked where the one that
    /// is known does not run in the unit any more.
    pub(super) fn has_handed_over(&mut self, unit: &str) -> bool {
        let Some(pid) = self.apps.get(unit).and_then(App::pid) else {
            return false;
        };
        if self.backend.is_of(self.system, pid, unit) {
            return false;
        }
        let lives = self
            .backend
            .observe(self.system, &[unit.to_owned()])
            .unwrap_or_default();
        let (Some(live), Some(app)) = (lives.first(), self.apps.get_mut(unit)) else {
            return false;
        };
        let is_of_now = app.invocation() == Some(live.invocation.as_str());
        match live.pid.filter(|&new| is_of_now && new != pid) {
            Some(new) => app.hands_over(new),
            None => return false,
        }
        true
    }

    /// The records: what is wanted of each app. One that cannot be read is watched as before.
    pub(super) fn read(&mut self) {
        let Ok(folders) = self.system.list(&self.store.apps()) else {
            return; // what is known of them still holds
        };
        let name = |folder: PathBuf| Some((folder.file_name()?.to_str()?.to_owned(), folder));
        let folders: BTreeMap<_, _> = folders.into_iter().filter_map(name).collect();
        let is_there = |unit: &str| folders.contains_key(unit.trim_end_matches(".service"));
        let gone: Vec<_> = self.apps.keys().filter(|unit| !is_there(unit)).cloned().collect();
        for unit in gone {
            self.apps.remove(&unit);
            self.unclear.remove(&unit);
            self.agenda.set(&unit, None);
            self.is_posted &= !self.board.post(&unit, None);
        }
        let now = self.system.monotonic();
        for (name, folder) in &folders {
            self.look_after(folder);
            let Ok(Some(entry)) = self.system.target(&self.store.installed_path(name)) else {
                continue;
            };
            let stamp = (entry.len, entry.modified);
            let unit = self.backend.unit(name);
            if self.apps.get(&unit).is_some_and(|app| app.is_known_by(stamp)) {
                continue;
            }
            let Some(service) = self.store.service(name, self.system) else {
                continue;
            };
            let wanted = Wanted::new(&service, stamp);
            match self.apps.get_mut(&unit) {
                Some(app) => app.take_over(wanted, now),
                None => drop(self.apps.insert(unit.clone(), App::new(&unit, wanted))),
            }
        }
    }
}
