//! Manifest → [`Service`]: defaults filled in, paths made absolute, programs and accounts looked up. All problems at once.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use crate::{
    manifest::{At, Manifest, Problem, Problems},
    platform,
    service::{Method, Os, Requirements, Resources, Scope, Security, Service, StartType},
    system::{EntryKind, Probe},
};

mod account;
mod address;
mod carry;
mod carry_windows;
mod command;
mod dependencies;
mod logging;
mod place;
mod probes;
mod restart;
mod security;
mod windows;

pub use windows::SERVICE_ACCOUNTS;

/// What the command line wishes.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// `--system` or `--user`.
    pub scope: Option<Scope>,
    /// The system the app is to run on.
    pub os: Os,
    /// Whether that is another machine, on which nothing can be looked up.
    pub is_elsewhere: bool,
    /// What is to start it on Windows, whatever the manifest says.
    pub method: Option<Method>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            scope: None,
            os: platform::OS,
            is_elsewhere: false,
            method: None,
        }
    }
}

/// A service, and what is worth a warning.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The checked value.
    pub service: Service,
    /// What is probably not meant.
    pub warnings: Vec<String>,
    /// The manifest as it was written.
    pub source: String,
}

/// Checks a manifest against this machine; looks, and touches nothing.
pub fn check(manifest: &Manifest, wish: &Wish, look: &dyn Probe) -> Result<Checked, Problems> {
    let (checked, problems) = drafted(manifest, wish, look);
    if problems.is_empty() {
        return Ok(checked);
    }
    Err(manifest.problems(problems))
}

/// The same, and what would come of it in spite of its problems: for whoever looks for their cause.
pub fn drafted(manifest: &Manifest, wish: &Wish, look: &dyn Probe) -> (Checked, Vec<Problem>) {
    let mut checker = Checker {
        manifest,
        look,
        os: wish.os,
        is_elsewhere: wish.is_elsewhere,
        method: wish.method,
        scope: scope(manifest, wish, look),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let service = checker.service();
    let draft = Checked {
        service,
        warnings: checker.warnings,
        source: manifest.source.clone(),
    };
    (draft, checker.problems)
}

fn scope(manifest: &Manifest, wish: &Wish, look: &dyn Probe) -> Scope {
    if wish.os == Os::Windows {
        return wish
            .scope
            .unwrap_or_else(|| windows::default_scope(manifest, wish.method));
    }
    let written = manifest.scope.as_ref().map(|scope| match scope.value.as_str() {
        "system" => Scope::System,
        _ => Scope::User,
    });
    let default = if wish.is_elsewhere || look.euid() == 0 {
        Scope::System
    } else {
        Scope::User
    };
    wish.scope.or(written).unwrap_or(default)
}

struct Checker<'a> {
    manifest: &'a Manifest,
    look: &'a dyn Probe,
    os: Os,
    is_elsewhere: bool,
    method: Option<Method>,
    scope: Scope,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Checker<'_> {
    fn service(&mut self) -> Service {
        let m = self.manifest;
        self.check_own_path();
        let working_directory = self.working_directory();
        let run_as = self.run_as(&working_directory);
        let path: Vec<_> = m.service.path.iter().map(|folder| self.place(folder)).collect();
        let start_type = self.start_type();
        let health = self.health(&path, start_type);
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
            dependencies: self.dependencies(&path),
            readiness: self.readiness(&path, health.as_ref()),
            health,
            resources: self.resources(),
            logging: self.logging(),
            requirements: self.requirements(),
            security: Security::default(),
            raw_systemd: raw(&m.raw),
            windows: self.windows(),
            raw_task: raw(&m.raw_task),
            path,
        };
        match self.os {
            Os::Linux => self.check_carried(&service),
            Os::Windows => self.check_carried_to_windows(&service),
        }
        self.check_illness(&service.restart, service.health.as_ref());
        Service {
            security: match self.os {
                Os::Linux => self.security(&service),
                Os::Windows => self.security_written(),
            },
            ..service
        }
    }

    fn wrong(&mut self, message: impl Into<String>, span: &Range<usize>, help: &str) {
        let mut problem = Problem::manifest(message, span);
        problem.span = problem.span.filter(|span| !span.is_empty()); // what is not written has no place
        self.problems
            .push(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn lacking(&mut self, message: impl Into<String>, span: &Range<usize>, help: &str) {
        self.problems.push(Problem::machine(message, span).help(help));
    }

    /// What is kept and rendered is text: another name of the folder could not be written down.
    fn check_own_path(&mut self) {
        if self.manifest.path.to_str().is_none() {
            let message = format!(
                "the path of the manifest is not UTF-8: {}",
                self.manifest.path.display()
            );
            let nowhere = Problem {
                span: None,
                ..Problem::manifest(message, &(0..0))
            };
            self.problems
                .push(nowhere.help("move it to a folder whose name is UTF-8"));
        }
    }

    fn working_directory(&mut self) -> PathBuf {
        let Some(written) = &self.manifest.service.working_directory else {
            return self.own_folder();
        };
        let path = self.place(written);
        if self.is_elsewhere {
            return path;
        }
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

    fn start_type(&mut self) -> StartType {
        let written = self.manifest.service.start_type.as_ref();
        let written = written.map_or("exec", |at| at.value.as_str());
        if self.os == Os::Windows && matches!(written, "notify" | "forking") {
            self.warnings.push(format!(
                "service.type: an app cannot be {written:?} on Windows; taken as \"exec\": it has started when its process has"
            ));
            return StartType::Exec;
        }
        match written {
            "notify" => StartType::Notify,
            "forking" => StartType::Forking,
            "oneshot" => StartType::Oneshot,
            _ => StartType::Exec,
        }
    }

    fn environment(&mut self) -> Vec<(String, String)> {
        let m = self.manifest;
        let named = |name: &str| m.service.environment.iter().find(|(key, _)| key.value == name);
        let level = m.logging.level.as_ref().map(|level| (level, level_variable(m)));
        if let Some((key, _)) = named("PATH")
            && !m.service.path.is_empty()
        {
            self.wrong("PATH is set here and by service.path", &key.span, "keep one of the two");
        }
        if let Some((level, variable)) = level {
            if let Some((key, _)) = named(variable) {
                let message = format!("{variable} is set here and by logging.level");
                self.wrong(message, &key.span, "keep one of the two");
            } else if variable == "PATH" && !m.service.path.is_empty() {
                self.wrong(
                    "PATH is set here and by service.path",
                    &level.span,
                    "name another variable",
                );
            }
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
            let path = self.place(file);
            if !self.is_elsewhere
                && !matches!(self.look.target(&path), Ok(Some(entry)) if entry.kind == EntryKind::File)
            {
                let help = "create it; it is yours: read at each start, never written by us";
                self.lacking(format!("the file {} is not there", path.display()), &file.span, help);
            }
            paths.push(path);
        }
        paths
    }

    fn resources(&mut self) -> Resources {
        let written = &self.manifest.resources;
        if let Some(at) = &written.shared_memory
            && self.scope == Scope::User
            && self.os == Os::Linux
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

    fn requirements(&self) -> Requirements {
        let written = &self.manifest.requirements;
        let texts = |list: &[At<String>]| list.iter().map(|at| at.value.clone()).collect();
        Requirements {
            python: written.python.as_ref().map(|at| at.value.clone()),
            packages: texts(&written.packages),
            executables: texts(&written.executables),
            cuda: written.cuda.as_ref().and_then(|at| at.value.clone()),
            disk: written.disk.as_ref().map(|at| at.value),
            memory: written.memory.as_ref().map(|at| at.value),
        }
    }
}

fn level_variable(manifest: &Manifest) -> &str {
    manifest
        .logging
        .level_variable
        .as_ref()
        .map_or("LOG_LEVEL", |at| &at.value)
}

fn raw(written: &[(String, String, At<String>)]) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections = BTreeMap::<_, Vec<_>>::new();
    for (section, directive, value) in written {
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
