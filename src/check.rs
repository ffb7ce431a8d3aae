//! Manifest → [`Service`]: defaults filled in, paths made absolute, programs and accounts looked up. All problems at once.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    manifest::{At, Manifest, Problem, Problems},
    service::{Dependencies, Logging, RateLimit, Resources, Restart, RestartPolicy, RunAs, Scope, Service, StartType},
    system::{EntryKind, Probe, User},
};

mod carry;
mod readiness;

/// What the command line wishes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// `--system` or `--user`.
    pub scope: Option<Scope>,
}

/// A service, and what is worth a warning.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The checked value.
    pub service: Service,
    /// What is probably not meant.
    pub warnings: Vec<String>,
}

/// Checks a manifest against this machine; looks, and touches nothing.
pub fn check(manifest: &Manifest, wish: &Wish, look: &dyn Probe) -> Result<Checked, Problems> {
    let mut checker = Checker {
        manifest,
        look,
        scope: scope(manifest, wish, look),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let service = checker.service();
    if checker.problems.is_empty() {
        return Ok(Checked {
            service,
            warnings: checker.warnings,
        });
    }
    Err(manifest.problems(checker.problems))
}

fn scope(manifest: &Manifest, wish: &Wish, look: &dyn Probe) -> Scope {
    let written = manifest.scope.as_ref().map(|scope| match scope.value.as_str() {
        "system" => Scope::System,
        _ => Scope::User,
    });
    let default = if look.euid() == 0 { Scope::System } else { Scope::User };
    wish.scope.or(written).unwrap_or(default)
}

struct Checker<'a> {
    manifest: &'a Manifest,
    look: &'a dyn Probe,
    scope: Scope,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Checker<'_> {
    fn service(&mut self) -> Service {
        let m = self.manifest;
        let working_directory = self.working_directory();
        let run_as = self.run_as(&working_directory);
        let path: Vec<_> = m
            .service
            .path
            .iter()
            .map(|folder| self.absolute(&folder.value))
            .collect();
        let start_type = start_type(m);
        let service = Service {
            name: m.app.name.value.clone(),
            description: m.app.description.as_ref().unwrap_or(&m.app.name).value.clone(),
            version: m.app.version.as_ref().map(|version| version.value.clone()),
            manifest: m.path.clone(),
            scope: self.scope,
            command: self.command(&m.service.command, &path),
            working_directory,
            run_as,
            environment: self.environment(),
            environment_files: self.environment_files(),
            pre_start: m
                .service
                .pre_start
                .iter()
                .map(|argv| self.command(argv, &path))
                .collect(),
            start_type,
            start_timeout: or(m.service.start_timeout.as_ref(), 90),
            stop_timeout: or(m.service.stop_timeout.as_ref(), 30),
            stop_signal: m
                .service
                .stop_signal
                .as_ref()
                .map_or("SIGTERM", |signal| &signal.value)
                .into(),
            restart: self.restart(start_type),
            dependencies: self.dependencies(),
            readiness: self.readiness(&path),
            resources: self.resources(),
            logging: self.logging(),
            raw_systemd: raw(m),
            path,
        };
        self.check_carried(&service);
        service
    }

    fn wrong(&mut self, message: impl Into<String>, span: &Range<usize>, help: &str) {
        let problem = Problem::manifest(message, span);
        self.problems
            .push(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn lacking(&mut self, message: impl Into<String>, span: &Range<usize>, help: &str) {
        self.problems.push(Problem::machine(message, span).help(help));
    }

    /// Relative to the manifest's folder. Links stay as they are: the python of a virtual environment is one.
    fn absolute(&self, text: &str) -> PathBuf {
        self.manifest.folder().join(text).components().collect()
    }

    fn working_directory(&mut self) -> PathBuf {
        let Some(written) = &self.manifest.service.working_directory else {
            return self.manifest.folder().into();
        };
        let path = self.absolute(&written.value);
        match self.look.target(&path) {
            Ok(Some(entry)) if entry.kind == EntryKind::Folder => {}
            Ok(Some(_)) => self.lacking(
                format!("{} is no folder", path.display()),
                &written.span,
                "name a folder",
            ),
            Ok(None) => self.lacking(
                format!("the folder {} is not there", path.display()),
                &written.span,
                "create it first",
            ),
            Err(error) => self.lacking(
                format!("{}: {error}", path.display()),
                &written.span,
                "check its permissions",
            ),
        }
        path
    }

    fn run_as(&mut self, working_directory: &Path) -> RunAs {
        let service = &self.manifest.service;
        if self.scope == Scope::User {
            return self.invoker();
        }
        let group = service.group.as_ref().map(|group| self.group(group));
        let Some(written) = &service.user else {
            let owner = self
                .look
                .target(working_directory)
                .ok()
                .flatten()
                .map_or(0, |entry| entry.uid);
            let user = self
                .look
                .user(&owner.to_string())
                .and_then(|user| user.name)
                .unwrap_or_else(|| owner.to_string());
            self.announce_root(owner, &format!("the owner of {}", working_directory.display()));
            return RunAs::User { user, group };
        };
        if written.value == "dynamic" {
            return RunAs::Dynamic;
        }
        let Some(user) = self.look.user(&written.value) else {
            let help = format!("create it first: useradd --system {}", written.value);
            self.lacking(format!("there is no user {:?}", written.value), &written.span, &help);
            return RunAs::Dynamic;
        };
        self.announce_root(user.uid, "service.user");
        RunAs::User {
            user: user.name.unwrap_or_else(|| user.uid.to_string()),
            group,
        }
    }

    fn announce_root(&mut self, uid: u32, source: &str) {
        if uid == 0 {
            self.warnings.push(format!(
                "it runs as root ({source}); better: service.user = \"NAME\" of an account of its own, or \"dynamic\" for a throw-away one"
            ));
        }
    }

    fn group(&mut self, written: &At<String>) -> String {
        self.look.group(&written.value).unwrap_or_else(|| {
            self.lacking(
                format!("there is no group {:?}", written.value),
                &written.span,
                "create it first: groupadd --system",
            );
            written.value.clone()
        })
    }

    /// A user's service manager runs everything as that user.
    fn invoker(&mut self) -> RunAs {
        let service = &self.manifest.service;
        let invoker = self.look.user(&self.look.euid().to_string());
        let is_invoker = |user: &User| invoker.as_ref().is_some_and(|invoker| invoker.uid == user.uid);
        if let Some(user) = &service.user
            && !self.look.user(&user.value).is_some_and(|user| is_invoker(&user))
        {
            let message = format!("in user scope it can run as its invoker only, not as {:?}", user.value);
            self.wrong(
                message,
                &user.span,
                "leave service.user out, or install it with --system",
            );
        }
        if let Some(group) = &service.group {
            self.wrong(
                "in user scope the group cannot be chosen",
                &group.span,
                "leave service.group out, or install it with --system",
            );
        }
        RunAs::Invoker
    }

    /// The first word becomes the absolute path of a program that is there and can be executed.
    fn command(&mut self, argv: &At<Vec<String>>, path: &[PathBuf]) -> Vec<String> {
        let mut words = argv.value.clone();
        let name = words[0].clone();
        let found = if name.contains('/') {
            self.absolute(&name)
        } else {
            let own = self.look.env("PATH").unwrap_or_default();
            let folders: Vec<_> = path.iter().cloned().chain(std::env::split_paths(&own)).collect();
            let Some(found) = self.look.find_program(&name, &folders) else {
                let searched = folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect::<Vec<_>>()
                    .join(":");
                self.lacking(
                    format!("there is no program {name:?} in {searched}"),
                    &argv.span,
                    "install it, or write its absolute path",
                );
                return words;
            };
            found
        };
        match self.look.target(&found) {
            Ok(Some(entry)) if entry.kind == EntryKind::File && entry.mode & 0o111 != 0 => {}
            Ok(Some(entry)) if entry.kind == EntryKind::File => {
                let help = format!("chmod +x {}, or put its interpreter first", found.display());
                self.lacking(format!("{} is not executable", found.display()), &argv.span, &help);
            }
            Ok(Some(_)) => self.lacking(format!("{} is no program", found.display()), &argv.span, "name a file"),
            Ok(None) => self.lacking(
                format!("the program {} is not there", found.display()),
                &argv.span,
                "install it first",
            ),
            Err(error) => self.lacking(
                format!("{}: {error}", found.display()),
                &argv.span,
                "check its permissions",
            ),
        }
        words[0] = found.to_string_lossy().into_owned();
        words
    }

    fn environment(&mut self) -> Vec<(String, String)> {
        let m = self.manifest;
        let named = |name: &str| m.service.environment.iter().find(|(key, _)| key.value == name);
        if let Some((key, _)) = named("PATH")
            && !m.service.path.is_empty()
        {
            self.wrong("PATH is set here and by service.path", &key.span, "keep one of the two");
        }
        if m.logging.level.is_some()
            && let Some((key, _)) = named(level_variable(m))
        {
            self.wrong(
                "this variable is set here and by logging.level",
                &key.span,
                "keep one of the two",
            );
        }
        m.service
            .environment
            .iter()
            .map(|(key, value)| (key.value.clone(), value.value.clone()))
            .collect()
    }

    fn environment_files(&mut self) -> Vec<PathBuf> {
        let files = &self.manifest.service.environment_files;
        let mut paths = Vec::new();
        for file in files {
            let path = self.absolute(&file.value);
            if !matches!(self.look.target(&path), Ok(Some(entry)) if entry.kind == EntryKind::File) {
                let help = "create it; it is yours: read at each start, never written by us";
                self.lacking(format!("the file {} is not there", path.display()), &file.span, help);
            }
            paths.push(path);
        }
        paths
    }

    fn restart(&mut self, start_type: StartType) -> Restart {
        let written = &self.manifest.restart;
        let policy = match written.policy.as_ref().map(|policy| policy.value.as_str()) {
            None if start_type == StartType::Oneshot => RestartPolicy::Never,
            None | Some("always") => RestartPolicy::Always,
            Some("on-failure") => RestartPolicy::OnFailure,
            Some(_) => RestartPolicy::Never,
        };
        if let Some(at) = &written.policy
            && start_type == StartType::Oneshot
            && policy == RestartPolicy::Always
        {
            self.wrong(
                "what does its work once cannot be restarted always",
                &at.span,
                "use \"on-failure\" or \"never\"",
            );
        }
        let delay = or(written.delay.as_ref(), 5);
        let max_delay = written.max_delay.as_ref().map_or(delay, |max| max.value);
        if let Some(at) = &written.max_delay
            && max_delay < delay
        {
            self.wrong("restart.max_delay is shorter than restart.delay", &at.span, "");
        }
        let max_attempts = written
            .max_attempts
            .as_ref()
            .map_or(5, |max| u32::try_from(max.value).unwrap_or(u32::MAX));
        let window = or(written.window.as_ref(), 600);
        if policy != RestartPolicy::Never && max_attempts > 0 && delay.saturating_mul(max_attempts) >= window {
            self.warnings.push(format!(
                "restart.window is too short for {max_attempts} failures, {} apart, to fit in: it will never give up",
                crate::plan::Span(delay)
            ));
        }
        Restart {
            policy,
            delay,
            max_delay,
            max_attempts,
            window,
        }
    }

    fn dependencies(&mut self) -> Dependencies {
        let written = &self.manifest.dependencies;
        Dependencies {
            after: self.units(&written.after),
            requires: self.units(&written.requires),
            wants: self.units(&written.wants),
        }
    }

    /// An app's name becomes its unit; anything else must be a unit's name already.
    fn units(&mut self, names: &[At<String>]) -> Vec<String> {
        const KINDS: [&str; 10] = [
            "service",
            "target",
            "socket",
            "mount",
            "automount",
            "timer",
            "path",
            "device",
            "slice",
            "swap",
        ];
        let mut units = Vec::new();
        for name in names {
            let text = name.value.as_str();
            let is_unit = text.rsplit_once('.').is_some_and(|(stem, kind)| {
                let is_legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c); // systemd.unit(5)
                !stem.is_empty() && stem.chars().all(is_legal) && KINDS.contains(&kind)
            });
            let is_app = text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if !is_unit && !is_app {
                self.wrong(
                    format!("{text:?} is neither an app nor a unit"),
                    &name.span,
                    "like \"model-server\" or \"postgresql.service\"",
                );
                continue;
            }
            let unit = if is_unit {
                text.to_owned()
            } else {
                format!("{text}.service")
            };
            if unit == format!("{}.service", self.manifest.name()) {
                self.wrong("it cannot depend on itself", &name.span, "");
            } else if !units.contains(&unit) {
                units.push(unit);
            }
        }
        units
    }

    fn resources(&mut self) -> Resources {
        let written = &self.manifest.resources;
        if let Some(at) = &written.shared_memory
            && self.scope == Scope::User
        {
            self.wrong(
                "a private /dev/shm needs privilege, which user scope has not",
                &at.span,
                "install it with --system, or leave it out",
            );
        }
        let value = |field: &Option<At<u64>>| field.as_ref().map(|at| at.value);
        Resources {
            cpu: value(&written.cpu),
            memory: value(&written.memory),
            cpu_request: value(&written.cpu_request),
            memory_request: value(&written.memory_request),
            tasks: value(&written.tasks),
            open_files: value(&written.open_files),
            shared_memory: value(&written.shared_memory),
        }
    }

    fn logging(&mut self) -> Logging {
        let written = &self.manifest.logging;
        let variable = level_variable(self.manifest);
        let is_name = !variable.starts_with(|c: char| c.is_ascii_digit())
            && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some(at) = &written.level_variable
            && !is_name
        {
            self.wrong(format!("{variable:?} is no name of a variable"), &at.span, "");
        }
        Logging {
            level: written
                .level
                .as_ref()
                .map(|level| (level.value.clone(), variable.to_owned())),
            rate_limit: RateLimit {
                burst: written
                    .burst
                    .as_ref()
                    .map_or(10_000, |burst| u32::try_from(burst.value).unwrap_or(u32::MAX)),
                interval: or(written.interval.as_ref(), 30),
            },
        }
    }
}

fn start_type(manifest: &Manifest) -> StartType {
    match manifest.service.start_type.as_ref().map(|at| at.value.as_str()) {
        Some("notify") => StartType::Notify,
        Some("forking") => StartType::Forking,
        Some("oneshot") => StartType::Oneshot,
        _ => StartType::Exec,
    }
}

fn level_variable(manifest: &Manifest) -> &str {
    manifest
        .logging
        .level_variable
        .as_ref()
        .map_or("LOG_LEVEL", |at| &at.value)
}

fn raw(manifest: &Manifest) -> std::collections::BTreeMap<String, Vec<(String, String)>> {
    let mut sections = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (section, directive, value) in &manifest.raw {
        sections
            .entry(section.clone())
            .or_default()
            .push((directive.clone(), value.value.clone()));
    }
    sections
}

/// What is written, or so many seconds.
fn or(written: Option<&At<Duration>>, seconds: u64) -> Duration {
    written.map_or(Duration::from_secs(seconds), |at| at.value)
}
