//! The plan of an install: a pure function of what was observed.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use super::{
    Systemd,
    change::{self, Change},
    linger_file,
};
use crate::{
    backend::{AppState, AtPath, Backend, Install, Rendered, ScopeState, State, Wanted},
    exit::Failure,
    history::{self, Records, Version},
    plan::{Condition, Plan, Step},
    receipt::{self, Receipt, ScopeRecord},
    render,
    service::Service,
    system::Cmd,
};

/// How long a stop may take beyond the manifest's own limit before something is wrong.
pub(super) const SLACK: Duration = Duration::from_secs(30);

/// One app of an install.
pub(super) struct Draft<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) state: &'a AppState,
    pub(super) unit: String,
    rendered: Rendered,
    receipt: Receipt,
    /// The unit is not as it is to be.
    writes: bool,
    /// Links to be made.
    links: Vec<PathBuf>,
}

impl Draft<'_> {
    fn name(&self) -> &str {
        &self.wanted.service.name
    }

    /// systemd remembers of a unit that it has loaded whether it is enabled.
    fn needs_reload(&self) -> bool {
        self.writes || !self.links.is_empty()
    }

    /// Whether what runs was started with something else than what is written now. What the manager has not yet read of an
    /// earlier change is not known to be harmless.
    pub(super) fn needs_restart(&self) -> bool {
        match &self.state.at_path {
            _ if self.state.is_behind() => true,
            Some(AtPath::File(bytes, _)) if self.writes && !self.state.live.is_stale => {
                change::between(&String::from_utf8_lossy(bytes), &self.rendered.text) == Change::Restart
            }
            _ => self.writes,
        }
    }
}

impl Systemd {
    /// Install: the units, their links, the start; the versions, which are written while systemd starts them; the wait, the
    /// receipts. Of these only what is not so yet.
    pub(super) fn plan_install(&self, wanted: &[Wanted], state: &State, options: &Install) -> Result<Plan, Failure> {
        self.host.check_systemd()?;
        let drafts: Vec<_> = wanted
            .iter()
            .zip(&state.apps)
            .map(|(wanted, app)| self.draft(wanted, app, options))
            .collect::<Result<_, _>>()?;
        let mut plan = Plan {
            replaces: state.apps.iter().any(|app| app.receipt.is_some() || app.is_foreign()),
            requires: requires(&drafts),
            ..Plan::default()
        };
        plan.shared(self.manager_steps(&state.scope));
        plan.shared(self.scope_steps(&drafts, &state.scope, options)?);
        let helper = self.helper_steps(&drafts, state)?;
        let watch_reload = self.reload_watcher(&helper, state);
        let needs_reload = |draft: &&Draft| draft.needs_reload() && !self.host.is_image;
        let reloads: Vec<_> = drafts.iter().filter(needs_reload).collect();
        if !reloads.is_empty() || watch_reload.is_some() {
            plan.shared([self.reload_again()]);
            plan.shared(self.forgiveness(&drafts));
        }
        plan.shared(helper.iter().cloned());
        for draft in &drafts {
            plan.of(&draft.unit, self.unit_steps(draft));
        }
        let mut records = Vec::new();
        for draft in &drafts {
            records.push(self.records(draft)?);
        }
        // The watcher reads what is wanted of an app that it sees start.
        for (draft, recorded) in drafts.iter().zip(&mut records) {
            if Self::needs_helper(&draft.wanted.service) {
                plan.of(&draft.unit, self.folder_steps(draft, options)?);
                plan.of(&draft.unit, std::mem::take(&mut recorded.version));
            }
        }
        let reload = self.reload(&reloads);
        let is_sure = |reload: &Step| matches!(reload, Step::Run { only_if: None, .. });
        plan.shared(watch_reload.filter(|_| !reload.as_ref().is_some_and(is_sure)));
        plan.shared(reload);
        if drafts.iter().any(|draft| Self::needs_helper(&draft.wanted.service)) {
            self.start_watcher(&mut plan, &helper, state);
        }
        self.start(&mut plan, &drafts, options);
        for (draft, recorded) in drafts.iter().zip(&mut records) {
            if !Self::needs_helper(&draft.wanted.service) {
                plan.of(&draft.unit, self.folder_steps(draft, options)?);
                plan.of(&draft.unit, std::mem::take(&mut recorded.version));
            }
        }
        self.wait(&mut plan, &drafts, options);
        for (draft, recorded) in drafts.iter().zip(records) {
            plan.of(&draft.unit, recorded.receipt);
        }
        Ok(plan)
    }

    fn records(&self, draft: &Draft) -> Result<Records, Failure> {
        let version = Version {
            manifest: draft.wanted.manifest.clone(),
            service: draft.wanted.service.clone(),
            rendered: draft.rendered.text.clone(),
        };
        let (receipt, again) = (draft.receipt.clone(), draft.wanted.again);
        history::record(&self.store(), &version, draft.state, receipt, again)
    }

    fn draft<'a>(&self, wanted: &'a Wanted, app: &'a AppState, options: &Install) -> Result<Draft<'a>, Failure> {
        let service = &wanted.service;
        let rendered = self.render(service)?;
        self.refuse(service, &rendered, app, options)?;
        let links = self.links_to_make(service, app, options);
        let mut draft = Draft {
            unit: self.unit(&service.name),
            writes: !matches!(&app.at_path, Some(AtPath::File(bytes, 0o644)) if *bytes == rendered.text.as_bytes()),
            receipt: Receipt {
                made: wanted.made(app.receipt.as_ref()),
                ..self.receipt(service, &rendered, app, options, &links)
            },
            links: links
                .into_iter()
                .filter(|link| !app.links.iter().any(|(at, _)| at == link))
                .collect(),
            wanted,
            state: app,
            rendered,
        };
        if !options.start && app.live.is_up() && draft.needs_restart() {
            draft.receipt.restart_due = app.live.active_since;
        }
        Ok(draft)
    }

    /// Once the files are back. A user's service manager that does not run has nothing to forget.
    pub(super) fn reload_again(&self) -> Step {
        let cmd = self.systemctl(["daemon-reload"]);
        let step = if self.is_user() {
            Step::run_if(cmd, Condition::Manager)
        } else {
            Step::run(cmd)
        };
        step.on_rollback()
    }

    /// What makes the user's service manager outlive a logout.
    fn manager_steps(&self, scope: &ScopeState) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.host.is_image {
            return steps;
        }
        if !scope.is_lingering {
            let user = self.host.user_name();
            let disable = Cmd::new("loginctl", ["disable-linger", &user]).privileged();
            let enable = Cmd::new("loginctl", ["enable-linger", &user]).privileged();
            steps.push(Step::run_if(disable, Condition::Lingering { user }).on_undo());
            steps.push(Step::run(enable));
        }
        if !scope.is_reachable {
            steps.push(Step::Await {
                condition: Condition::Manager,
                deadline: SLACK,
            });
        }
        steps
    }

    /// What all apps of the scope need.
    fn scope_steps(&self, drafts: &[Draft], scope: &ScopeState, options: &Install) -> Result<Vec<Step>, Failure> {
        let mkdir = |path: PathBuf| Step::Mkdir { path, mode: 0o755 };
        let mut steps = Vec::new();
        if drafts.iter().any(|draft| draft.state.receipt.is_none()) {
            steps.push(mkdir(self.store().apps()));
        }
        let record = Self::record(scope, options);
        if record != scope.record {
            steps.push(receipt::write(self.store().record_path(), &record, 0o644)?);
        }
        steps.extend(scope.missing.iter().cloned().map(mkdir));
        if self.host.is_image && !scope.is_lingering {
            let file = linger_file(&self.host.user_name());
            steps.extend(file.parent().map(|folder| mkdir(folder.into())));
            steps.push(Step::WriteFile {
                path: file, // what enable-linger leaves on disk
                text: String::new(),
                mode: 0o644,
            });
        }
        if !scope.has_reset_unit {
            steps.push(Step::WriteFile {
                path: self.units().join(render::RESET_UNIT),
                text: render::systemd_reset(self.scope).into(),
                mode: 0o644,
            });
        }
        Ok(steps)
    }

    fn folder_steps(&self, draft: &Draft, options: &Install) -> Result<Vec<Step>, Failure> {
        let mut steps = Vec::new();
        if draft.state.receipt.is_none() {
            steps.push(Step::Mkdir {
                path: self.store().app(draft.name()),
                mode: 0o755,
            });
        }
        if options.adopt && draft.state.is_foreign() {
            let original = self.original(draft.state)?;
            steps.push(receipt::write(
                self.store().original_path(draft.name()),
                &original,
                0o600,
            )?);
        }
        Ok(steps)
    }

    /// The unit itself, and what starts it at boot.
    fn unit_steps(&self, draft: &Draft) -> Vec<Step> {
        let path = self.path(draft.name());
        let mut steps: Vec<_> = draft.wanted.folder_steps().collect();
        if draft.writes {
            steps.push(Step::WriteFile {
                path: path.clone(),
                text: draft.rendered.text.clone(),
                mode: 0o644,
            });
        }
        steps.extend(draft.links.iter().map(|link| Step::Link {
            path: link.clone(),
            target: path.clone(),
        }));
        steps
    }

    /// A start that failed is forgotten with its unit.
    fn forgiveness(&self, drafts: &[Draft]) -> Option<Step> {
        let is_new = |draft: &&Draft| draft.writes && draft.state.live.active != "failed";
        let units: Vec<_> = drafts.iter().filter(is_new).map(|draft| draft.unit.clone()).collect();
        let reset = self.systemctl(["reset-failed"]).units(units);
        (!reset.units.is_empty()).then(|| Step::run_if(reset, Condition::Failed).on_rollback())
    }

    /// A unit that systemd holds nothing of needs no reload; where that is not known before, systemd is asked afterwards.
    /// Units that are changed need exactly one.
    fn reload(&self, drafts: &[&Draft]) -> Option<Step> {
        let cmd = self.systemctl(["daemon-reload"]);
        match drafts {
            [] => None,
            _ if drafts.iter().all(|draft| draft.state.live.is_nowhere) => None,
            [only] if only.state.live.load == "not-found" => {
                let units = vec![only.unit.clone()];
                Some(Step::run_if(cmd, Condition::Stale { units }))
            }
            _ => Some(Step::run(cmd)),
        }
    }

    /// The boot link, unless the user took it away after we had made it.
    fn links_to_make(&self, service: &Service, state: &AppState, options: &Install) -> Vec<PathBuf> {
        let is_disabled_by_hand = state.receipt.is_some() && state.links.is_empty();
        if is_disabled_by_hand && !options.force {
            return Vec::new();
        }
        vec![self.link(&service.name)]
    }

    fn receipt(
        &self,
        service: &Service,
        rendered: &Rendered,
        state: &AppState,
        options: &Install,
        links: &[PathBuf],
    ) -> Receipt {
        let unit = self.path(&service.name);
        Receipt {
            // What was disabled by hand stays ours to remember: it may be enabled again.
            links: match &state.receipt {
                Some(old) if links.is_empty() => old.links.clone(),
                _ => links.to_vec(),
            },
            needs_helper: Self::needs_helper(service),
            adopted: state.original.is_some() || (options.adopt && state.is_foreign()),
            ..Receipt::new(service, self.name(), unit, &rendered.text, options.now, &options.by)
        }
    }

    fn record(scope: &ScopeState, options: &Install) -> ScopeRecord {
        let mut record = scope.record.clone();
        record.add(options.created.iter().chain(&scope.missing));
        if !scope.is_lingering {
            record.lingering = Some(options.by.clone());
        }
        record
    }
}

/// Which of these apps require which others of them.
fn requires(drafts: &[Draft]) -> Vec<(String, String)> {
    let units: HashSet<_> = drafts.iter().map(|draft| &draft.unit).collect();
    let of = |draft: &Draft| {
        let needed = draft.wanted.service.dependencies.requires.clone();
        let unit = draft.unit.clone();
        needed.into_iter().map(move |needed| (unit.clone(), needed))
    };
    let all = drafts.iter().flat_map(of);
    all.filter(|(_, needed)| units.contains(needed)).collect()
}
