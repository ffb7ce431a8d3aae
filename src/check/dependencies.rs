//! `[dependencies]`: an app's name becomes its unit; anything else must be a unit's name already. And what is waited for.

use std::{path::PathBuf, time::Duration};

use super::Checker;
use crate::{manifest::At, service::Dependencies, values};

/// What a unit's name can end with (systemd.unit(5)).
const KINDS: [&str; 11] = [
    "service",
    "target",
    "socket",
    "mount",
    "automount",
    "timer",
    "path",
    "device",
    "slice",
    "scope",
    "swap",
];

/// How long is waited before the start, where nothing is written.
const WAIT: Duration = Duration::from_mins(2);

impl Checker<'_> {
    pub(super) fn dependencies(&mut self, path: &[PathBuf]) -> Dependencies {
        let written = &self.manifest.dependencies;
        Dependencies {
            after: self.units(&written.after),
            requires: self.units(&written.requires),
            wants: self.units(&written.wants),
            apps: apps(&written.requires),
            wait_for: written
                .wait_for
                .iter()
                .filter_map(|condition| self.condition(condition, path))
                .collect(),
            wait_timeout: written.wait_timeout.as_ref().map_or(WAIT, |at| at.value),
        }
    }

    fn units(&mut self, names: &[At<String>]) -> Vec<String> {
        let mut units = Vec::new();
        for name in names {
            let Some(unit) = unit(&name.value) else {
                let message = format!("{:?} is neither an app nor a unit", name.value);
                self.wrong(message, &name.span, "like \"model-server\" or \"postgresql.service\"");
                continue;
            };
            if unit == format!("{}.service", self.manifest.name()) {
                self.wrong("it cannot depend on itself", &name.span, "take it out");
            } else if !units.contains(&unit) {
                units.push(unit);
            }
        }
        units
    }
}

/// Those that are named as apps, not as units.
fn apps(names: &[At<String>]) -> Vec<String> {
    let names = names.iter().map(|name| &name.value);
    names.filter(|name| values::is_app(name)).cloned().collect()
}

fn unit(name: &str) -> Option<String> {
    if values::is_app(name) {
        return Some(format!("{name}.service"));
    }
    let (stem, kind) = name.rsplit_once('.')?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c); // systemd.unit(5)
    let is_instance = !stem.starts_with('@') && !stem.ends_with('@'); // systemd drops the one, and guesses at the other
    let is_unit = !stem.is_empty() && stem.chars().all(is_legal) && KINDS.contains(&kind) && name.len() <= 255;
    (is_unit && is_instance).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_becomes_its_unit_and_a_unit_stays_one() {
        for (name, expected) in [
            ("model-server", Some("model-server.service")),
            ("postgresql.service", Some("postgresql.service")),
            ("getty@tty1.service", Some("getty@tty1.service")),
            ("dev-disk\\x2dby.device", Some("dev-disk\\x2dby.device")),
            ("user.scope", Some("user.scope")),
            ("Model", None),
            ("-a", None),
            ("9a", None),
            (".service", None),
            ("@a.service", None),
            ("getty@.service", None),
            ("a b.service", None),
            ("a.conf", None),
            ("a/b.mount", None),
        ] {
            assert_eq!(unit(name).as_deref(), expected, "{name}");
        }
    }
}
