//! What is due when: of many units, the next one at hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// One time for each unit.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Duration, String)>,
    by_unit: BTreeMap<String, Duration>,
}

impl Agenda {
    /// Sets when something of a unit is due next, if anything is.
    pub(super) fn set(&mut self, unit: &str, due: Option<Duration>) {
        if self.by_unit.get(unit).copied() == due {
            return;
        }
        if let Some(earlier) = self.by_unit.remove(unit) {
            self.by_time.remove(&(earlier, unit.to_owned()));
        }
        if let Some(due) = due {
            self.by_unit.insert(unit.into(), due);
            self.by_time.insert((due, unit.into()));
        }
    }

    /// When the next is due.
    pub(super) fn first(&self) -> Option<Duration> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// A unit of which something is due by now; it is not on the agenda any more.
    pub(super) fn take(&mut self, now: Duration) -> Option<String> {
        let (_, unit) = self.by_time.first().filter(|(due, _)| *due <= now)?.clone();
        self.set(&unit, None);
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_latest_time() {
        let second = Duration::from_secs(1);
        let mut agenda = Agenda::default();
        for (unit, due) in [("a", 3), ("b", 2), ("a", 1), ("c", 9)] {
            agenda.set(unit, Some(second * due));
        }
        agenda.set("c", None);
        assert_eq!(agenda.first(), Some(second));
        assert_eq!(agenda.take(second * 2).as_deref(), Some("a"));
        assert_eq!(agenda.take(second * 2).as_deref(), Some("b"));
        assert_eq!(agenda.take(second * 9), None);
    }
}
