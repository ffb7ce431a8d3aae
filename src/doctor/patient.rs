//! Who is examined: the app as its manifest says it, what the service manager has of it, and how it ended last.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    backend::{AppState, Backend, Live, windows},
    host::Host,
    manifest::Problem,
    service::{Method, RunAs, Scope, Service},
    supervisor::environment,
    system::{Cmd, EntryKind, Output, Probe, Role, User},
};

/// Where the app is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A manifest, installed or not.
    Manifest,
    /// What was installed.
    Installed,
}

/// How a start, or the app itself, ended last.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// What the service manager said of it then.
    pub live: Live,
    /// Whether it ran, but was not ready in time; the last answer.
    pub late: Option<String>,
}

/// One app, and everything that checks look at. What costs a process is asked once, when it is needed first.
pub struct Patient<'a> {
    /// The machine.
    pub look: &'a dyn Probe,
    /// Its facts.
    pub host: &'a Host,
    /// Where the app is known from.
    pub source: Source,
    /// The app, as far as its manifest could be read.
    pub service: &'a Service,
    /// What is wrong with its manifest.
    pub problems: &'a [Problem],
    /// What keeps it.
    pub backend: &'a dyn Backend,
    /// What the service manager and our records have of it.
    pub app: &'a AppState,
    /// How it ended, where it is not well.
    pub ending: Option<Ending>,
    /// What it said last, and what the service manager said of it.
    pub lines: Vec<String>,
    role: OnceCell<Role>,
    python: OnceCell<super::python::Answer>,
    last_result: OnceCell<Option<u32>>,
}

impl<'a> Patient<'a> {
    /// An app to be examined.
    pub fn new(
        (look, host): (&'a dyn Probe, &'a Host),
        backend: &'a dyn Backend,
        (source, service, problems): (Source, &'a Service, &'a [Problem]),
        app: &'a AppState,
        (ending, lines): (Option<Ending>, Vec<String>),
    ) -> Self {
        Self {
            look,
            host,
            source,
            service,
            problems,
            backend,
            app,
            ending,
            lines,
            role: OnceCell::new(),
            python: OnceCell::new(),
            last_result: OnceCell::new(),
        }
    }

    /// The native name.
    pub(super) fn unit(&self) -> String {
        self.backend.unit(&self.service.name)
    }

    /// Whether a service manager of the machine, or of a user, keeps it.
    pub(super) fn is_of_systemd(&self) -> bool {
        self.backend.name() == crate::backend::systemd::NAME
    }

    /// Whether the machine is Windows.
    pub(super) fn is_on_windows(&self) -> bool {
        self.host.windows.is_some()
    }

    /// What begins it by itself on Windows.
    pub(super) fn method(&self) -> Option<Method> {
        windows::method(self.backend.name())
    }

    /// The last result that the Task Scheduler has of its task.
    pub(super) fn last_result(&self) -> Option<u32> {
        *self.last_result.get_or_init(|| {
            let method = self.method().filter(|method| *method == Method::Task)?;
            let anchor = windows::Anchor::new(self.host, method, self.service.scope)?;
            anchor.last_result(self.look, &self.service.name)
        })
    }

    /// Whether it was installed by us.
    pub(super) fn is_installed(&self) -> bool {
        self.app.receipt.is_some()
    }

    /// The account it runs as; none where there is no such, or a throw-away one.
    pub(super) fn account(&self) -> Option<User> {
        match &self.service.run_as {
            RunAs::User { user, .. } => self.look.user(user),
            RunAs::Invoker => self.look.user(&self.look.euid().to_string()),
            RunAs::Dynamic => None,
        }
    }

    /// The account's name, for people.
    pub(super) fn user_name(&self) -> String {
        match &self.service.run_as {
            RunAs::User { user, .. } => user.clone(),
            RunAs::Invoker => self.host.user_name(),
            RunAs::Dynamic => "a throw-away user".into(),
        }
    }

    /// Whether it runs as root, who may read everything.
    pub(super) fn is_root(&self) -> bool {
        self.account().is_some_and(|user| user.uid == 0)
    }

    /// Asks something as the app would: as its user, with its environment, in its folder. None where that cannot be asked.
    pub(super) fn ask(&self, cmd: &Cmd) -> Option<Output> {
        const LIMIT: Duration = Duration::from_secs(20);
        self.look.query_as(self.role(), cmd, LIMIT).ok()
    }

    /// Whether its user may: `-r`, `-w` or `-x` of test(1). True where it cannot be asked.
    pub(super) fn may(&self, flag: &str, path: &Path) -> bool {
        let cmd = Cmd::new("/usr/bin/test", [flag.to_owned(), path.to_string_lossy().into_owned()]);
        self.ask(&cmd).is_none_or(|output| output.is_ok())
    }

    /// A variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let variables = &self.role().environment;
        let found = variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    }

    /// The folders of its PATH.
    pub(super) fn path(&self) -> Vec<PathBuf> {
        let path = self.variable("PATH").unwrap_or_default();
        std::env::split_paths(&path).collect()
    }

    /// A word of its command as a path, where it looks like one.
    pub(super) fn place(&self, word: &str) -> PathBuf {
        self.service.working_directory.join(word)
    }

    /// What its Python says.
    pub(super) fn python(&self) -> &super::python::Answer {
        self.python.get_or_init(|| super::python::ask(self))
    }

    /// The command that asks, or tells, the service manager, for what follows it.
    pub(super) fn manager(&self, words: &str) -> String {
        let scope = if self.service.scope == Scope::User {
            " --user"
        } else {
            ""
        };
        format!("systemctl{scope} {words}")
    }

    /// The same for the app.
    pub(super) fn systemctl(&self, words: &str) -> String {
        format!("{} {}", self.manager(words), self.unit())
    }

    /// A command as whoever has a folder that it writes to: root would leave files of its own there.
    pub(super) fn as_owner_of(&self, folder: &Path, command: &str) -> String {
        let entry = self.look.target(folder).ok().flatten();
        let owner = entry.filter(|entry| self.look.euid() == 0 && entry.uid != 0);
        let owner = owner.and_then(|entry| self.look.user(&entry.uid.to_string())?.name);
        owner.map_or_else(
            || command.to_owned(),
            |name| {
                format!(
                    "runuser -s /bin/sh -c {} {}",
                    shell_words::quote(command),
                    shell_words::quote(&name)
                )
            },
        )
    }

    /// The command that installs it.
    pub(super) fn install(&self, flags: &str) -> String {
        let scope = self.service.scope.flag();
        let manifest = shell_words::quote(&self.service.manifest.to_string_lossy()).into_owned();
        format!("autoglm-boot install {scope}{flags} --manifest {manifest}")
    }

    fn role(&self) -> &Role {
        self.role.get_or_init(|| {
            let user = match &self.service.run_as {
                RunAs::User { user, group } => Some((user.clone(), group.clone())),
                RunAs::Invoker => None,
                RunAs::Dynamic => Some(("nobody".into(), None)),
            };
            let account = self.account().unwrap_or_else(|| self.host.user.clone());
            // Files that cannot be read are a finding of their own.
            let is_readable = |file: &PathBuf| small_file(self.look, file).is_some();
            let files = &self.service.environment_files;
            let known = Service {
                environment_files: files.iter().filter(|file| is_readable(file)).cloned().collect(),
                ..self.service.clone()
            };
            Role {
                user,
                groups: supplementary(self.service),
                environment: environment::of(&known, &account, None, Vec::new(), self.look).unwrap_or_default(),
                folder: self.service.working_directory.clone(),
            }
        })
    }
}

/// What is in a file, where it is one, and no larger than a file of settings is: the app's user may have made anything of it.
pub(super) fn small_file(look: &dyn Probe, file: &Path) -> Option<Vec<u8>> {
    const MOST: u64 = 1024 * 1024;
    let entry = look.target(file).ok()??;
    let is_small = entry.kind == EntryKind::File && entry.len <= MOST;
    is_small.then(|| look.read(file).ok()).flatten()
}

/// A path as a shell reads it.
pub(super) fn quoted(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}

/// The groups that the manifest adds; an empty line drops those before it (systemd.exec(5), `SupplementaryGroups=`).
pub(super) fn supplementary(service: &Service) -> Vec<String> {
    let lines = service
        .raw_systemd
        .get("Service")
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut groups = Vec::new();
    for (_, value) in lines.iter().filter(|(directive, _)| directive == "SupplementaryGroups") {
        if value.trim().is_empty() {
            groups.clear();
        }
        groups.extend(value.split_whitespace().map(str::to_owned));
    }
    groups
}
