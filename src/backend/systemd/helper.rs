//! The helper: a copy of this program in a place that only the scope's owner can write, which units refer to; and the watcher, a
//! service of ours that is run from it. Each version has a file of its own, and a link names the one in use: an upgrade is one
//! rename, and what runs is not touched.

use std::path::{Path, PathBuf};

use super::{Draft, Systemd};
use crate::{
    backend::{Backend as _, State},
    exit::Failure,
    plan::{Condition, Plan, Step},
    receipt::Receipt,
    render,
    service::Service,
    system::{EntryKind, Probe},
};

/// The watcher's unit.
pub const WATCH: &str = "autoglm-boot-watch.service";

/// What is there of the helper and the watcher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is seen")]
pub struct Helper {
    /// Where the link leads.
    pub target: Option<PathBuf>,
    /// Whether the version that this run would put there is there.
    pub is_there: bool,
    /// Versions that are no longer in use.
    pub stale: Vec<PathBuf>,
    /// The version that this run would put there.
    pub wanted: PathBuf,
    /// Whether the watcher's unit is there as we write it.
    pub has_unit: bool,
    /// Whether another one is there.
    pub has_other_unit: bool,
    /// Whether it starts at boot.
    pub is_enabled: bool,
    /// Whether it runs.
    pub is_running: bool,
}

impl Helper {
    /// Whether something is there that none of the apps that stay needs.
    fn is_dispensable(&self, stay: &[Receipt]) -> bool {
        let is_something_there = self.target.is_some() || self.has_unit || self.has_other_unit || self.is_enabled;
        is_something_there && !stay.iter().any(|receipt| receipt.needs_helper)
    }
}

impl Systemd {
    fn helper_folder(&self) -> PathBuf {
        self.store().root().join("bin")
    }

    /// The link that units refer to.
    pub(super) fn helper(&self) -> PathBuf {
        self.helper_folder().join("autoglm-boot")
    }

    fn watch_unit(&self) -> PathBuf {
        self.units().join(WATCH)
    }

    fn watch_link(&self) -> PathBuf {
        self.link(WATCH.trim_end_matches(".service"))
    }

    /// Whether an app needs the helper: it is watched, or waits for something.
    pub(super) fn needs_helper(service: &Service) -> bool {
        crate::health::state::Care::of(service).has_probe() || service.dependencies.has_waits()
    }

    /// A version is known by its size and its time: to read it whole would take longer than all the rest. What is run from there is
    /// what is there.
    fn wanted_helper(&self, look: &dyn Probe, target: Option<&PathBuf>) -> PathBuf {
        if target == Some(&self.host.program) {
            return self.host.program.clone();
        }
        let entry = look.program_file();
        let (len, modified) = entry.map_or((0, 0), |entry| (entry.len, entry.modified.as_nanos()));
        let name = format!("autoglm-boot-{}-{len:x}-{modified:x}", env!("CARGO_PKG_VERSION"));
        self.helper_folder().join(name)
    }

    /// What is there.
    pub(super) fn helper_state(&self, look: &dyn Probe) -> Result<Helper, Failure> {
        let target = match look.entry(&self.helper()).ok().flatten().map(|entry| entry.kind) {
            Some(EntryKind::Link(target)) => Some(self.helper_folder().join(target)),
            _ => None,
        };
        let files = look.list(&self.helper_folder()).unwrap_or_default();
        let wanted = self.wanted_helper(look, target.as_ref());
        let is_in_use = |path: &PathBuf| {
            [&self.helper(), &self.host.program, &wanted].contains(&path) || Some(path) == target.as_ref()
        };
        let unit = render::systemd_watch(self.scope, &self.helper())?;
        let text = look.read(&self.watch_unit()).ok();
        Ok(Helper {
            is_there: is_whole(look, &wanted),
            stale: files.iter().filter(|path| !is_in_use(path)).cloned().collect(),
            has_unit: text.as_deref() == Some(unit.as_bytes()),
            has_other_unit: text.as_ref().is_some_and(|text| text != unit.as_bytes()),
            is_enabled: matches!(look.entry(&self.watch_link()), Ok(Some(_))),
            is_running: self.is_watching(look),
            target,
            wanted,
        })
    }

    /// Before the units that refer to it. Of versions that an earlier upgrade has left, none is in use any more.
    pub(super) fn helper_steps(&self, drafts: &[Draft], state: &State) -> Result<Vec<Step>, Failure> {
        let helper = &state.scope.helper;
        if !drafts.iter().any(|draft| Self::needs_helper(&draft.wanted.service)) {
            return Ok(Vec::new());
        }
        let mut steps = Vec::new();
        if helper.target.as_ref() != Some(&helper.wanted) || !helper.is_there {
            if helper.target.is_none() && !helper.is_there {
                steps.push(Step::Mkdir {
                    path: self.helper_folder(),
                    mode: 0o755,
                });
            }
            if !helper.stale.is_empty() {
                steps.push(Step::discard(helper.stale.clone()));
            }
            if !helper.is_there {
                steps.push(Step::Copy {
                    from: self.host.program.clone(),
                    path: helper.wanted.clone(),
                    mode: 0o755,
                });
            }
            steps.push(Step::Link {
                path: self.helper(),
                target: helper.wanted.file_name().unwrap_or_default().into(),
            });
        }
        if !helper.has_unit {
            steps.push(Step::WriteFile {
                path: self.watch_unit(),
                text: render::systemd_watch(self.scope, &self.helper())?,
                mode: 0o644,
            });
        }
        if !helper.is_enabled {
            steps.push(Step::Link {
                path: self.watch_link(),
                target: self.watch_unit(),
            });
        }
        Ok(steps)
    }

    /// What makes systemd read the watcher's unit, where it has to and nothing else does. A new name needs none, unless something
    /// of it is remembered.
    pub(super) fn reload_watcher(&self, changes: &[Step], state: &State) -> Option<Step> {
        let unit = self.watch_unit();
        let is_written = |step: &Step| step.path() == Some(&unit);
        if self.host.is_image || !changes.iter().any(is_written) {
            return None;
        }
        let cmd = self.systemctl(["daemon-reload"]);
        Some(if state.scope.helper.has_other_unit {
            Step::run(cmd)
        } else {
            let units = vec![WATCH.to_owned()];
            Step::run_if(cmd, Condition::Stale { units })
        })
    }

    /// After the units are read: the watcher runs, from the version that is there now. Where it does not come up, the apps do all the
    /// same, and `status` says that they are unwatched.
    pub(super) fn start_watcher(&self, plan: &mut Plan, changes: &[Step], state: &State) {
        let helper = &state.scope.helper;
        let is_new = !changes.is_empty();
        if self.host.is_image || (!is_new && helper.is_running) {
            return;
        }
        let launch = |words: [&str; 2]| Step::Launch {
            cmd: self.systemctl(words),
        };
        if helper.is_running {
            plan.shared([launch(["try-restart", WATCH]).on_rollback(), launch(["restart", WATCH])]);
        } else {
            plan.shared([launch(["stop", WATCH]).on_undo(), launch(["start", WATCH])]);
        }
    }

    /// With the last app that needs it: the watcher ends, and its unit goes.
    pub(super) fn end_watcher(&self, others: &[Receipt], state: &State) -> Vec<Step> {
        let helper = &state.scope.helper;
        if !helper.is_dispensable(others) {
            return Vec::new();
        }
        let launch = |word: &str| Step::Launch {
            cmd: self.systemctl([word, WATCH]),
        };
        let mut steps = Vec::new();
        if state.scope.is_reachable {
            steps.extend([launch("start").on_rollback(), launch("stop")]);
        }
        if state.scope.is_reachable && !helper.is_running {
            // Between two tries to start it, it leaves what systemd does not take away by itself.
            steps.push(launch("reset-failed"));
            let board = self.board();
            let folder = board.parent().map(Path::to_path_buf);
            let paths = [board.with_file_name("lock"), board]
                .into_iter()
                .chain(folder)
                .collect();
            steps.push(Step::discard(paths));
        }
        let paths = [self.watch_link(), self.watch_unit()];
        steps.extend(paths.map(|path| Step::Remove { path }));
        steps
    }

    /// The last of all: nothing refers to it any more.
    pub(super) fn discard_helper(&self, others: &[Receipt], state: &State) -> Option<Step> {
        let helper = &state.scope.helper;
        if !helper.is_dispensable(others) {
            return None;
        }
        let mut paths = vec![self.helper()];
        paths.extend(helper.target.iter().chain(&helper.stale).cloned());
        paths.push(self.helper_folder());
        Some(Step::discard(paths).finally())
    }
}

/// Whether a version is there, and as long as its name says.
fn is_whole(look: &dyn Probe, version: &Path) -> bool {
    let Ok(Some(entry)) = look.target(version) else {
        return false;
    };
    let length = format!("-{:x}-", entry.len);
    let name = version.file_name().unwrap_or_default();
    name.to_string_lossy().contains(&length)
}
