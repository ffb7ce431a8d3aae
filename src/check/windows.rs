//! `[windows]`: what starts it there, when, and whom it runs as.

use std::path::{Path, PathBuf};

use super::{Checker, or};
use crate::{
    manifest::{At, Manifest},
    service::{Method, RunAs, Scope, Trigger, Windows},
    values::windows_path,
};

/// Accounts of Windows itself that no password belongs to ([MS-DTYP] 2.4.2.4), as they are written, and their SIDs.
pub const SERVICE_ACCOUNTS: [(&str, &str); 3] = [
    ("SYSTEM", "S-1-5-18"),
    ("LocalService", "S-1-5-19"),
    ("NetworkService", "S-1-5-20"),
];

/// The name of a service account, however it is written.
pub(super) fn service_account(name: &str) -> Option<&'static str> {
    let bare = name.rsplit('\\').next().unwrap_or_default().replace(' ', "");
    let bare = if bare.eq_ignore_ascii_case("LocalSystem") {
        "SYSTEM"
    } else {
        &bare
    };
    let known = SERVICE_ACCOUNTS
        .iter()
        .find(|(known, sid)| known.eq_ignore_ascii_case(bare) || sid.eq_ignore_ascii_case(bare))?;
    Some(known.0)
}

/// What starts with the machine is the machine's; what starts with a logon is the user's.
pub(super) fn default_scope(manifest: &Manifest, wish: Option<Method>) -> Scope {
    match trigger(manifest, method(manifest, wish), None) {
        Trigger::Boot => Scope::System,
        Trigger::Logon => Scope::User,
    }
}

fn method(manifest: &Manifest, wish: Option<Method>) -> Method {
    let written = manifest.windows.method.as_ref().map(|at| at.value.as_str());
    wish.unwrap_or(match written {
        Some("startup-folder") => Method::StartupFolder,
        _ => Method::Task,
    })
}

fn trigger(manifest: &Manifest, method: Method, scope: Option<Scope>) -> Trigger {
    match manifest.windows.trigger.as_ref().map(|at| at.value.as_str()) {
        Some("boot") => Trigger::Boot,
        Some(_) => Trigger::Logon,
        None if method == Method::StartupFolder || scope == Some(Scope::User) => Trigger::Logon,
        None => Trigger::Boot,
    }
}

impl Checker<'_> {
    /// What does not fit together is told on every system: the mistake is in the manifest.
    pub(super) fn windows(&mut self) -> Windows {
        let written = &self.manifest.windows;
        let method = method(self.manifest, self.method);
        let is_here = self.os == crate::service::Os::Windows;
        let windows = Windows {
            method,
            trigger: trigger(self.manifest, method, Some(self.scope).filter(|_| is_here)),
            delay: or(written.delay.as_ref(), 0),
            is_elevated: written.elevated.as_ref().is_some_and(|at| at.value),
            is_supervised: written.supervised.as_ref().is_none_or(|at| at.value),
        };
        if method == Method::StartupFolder {
            if let Some(at) = written.trigger.as_ref().filter(|at| at.value == "boot") {
                let help = "leave it out, or use method = \"task\"";
                self.wrong(
                    "the Startup folder starts nothing at boot: it waits for a logon",
                    &at.span,
                    help,
                );
            }
            if let Some(at) = written.elevated.as_ref().filter(|at| at.value) {
                let help = "leave it out, or use method = \"task\"";
                self.wrong("the Startup folder starts nothing elevated", &at.span, help);
            }
        }
        if let Some(at) = &written.trigger
            && is_here
            && windows.trigger == Trigger::Boot
            && self.scope == Scope::User
            && method == Method::Task
        {
            let help = "leave --user out, or use trigger = \"logon\"";
            self.wrong("what starts at boot is the machine's, not a user's", &at.span, help);
        }
        windows
    }

    /// Whether whoever logs on to Windows has an instance of it.
    pub(super) fn is_everybodys(&self) -> bool {
        let method = method(self.manifest, self.method);
        let is_windows = self.os == crate::service::Os::Windows;
        is_windows && self.scope == Scope::System && trigger(self.manifest, method, Some(self.scope)) == Trigger::Logon
    }

    /// Whom it runs as on Windows. The task says it; a shortcut is started by whoever logs on.
    pub(super) fn windows_account(&mut self) -> RunAs {
        let service = &self.manifest.service;
        let method = method(self.manifest, self.method);
        let trigger = trigger(self.manifest, method, Some(self.scope));
        let group = service.group.as_ref().map(|group| group.value.clone());
        let Some(written) = &service.user else {
            return self.windows_default(trigger, group);
        };
        let known = service_account(&written.value);
        if trigger == Trigger::Logon && (known.is_some() || written.value == "dynamic") {
            let message = format!("{:?} never logs on", written.value);
            self.wrong(message, &written.span, "leave it out, or use trigger = \"boot\"");
        }
        if self.is_everybodys() {
            let message = "installed for the machine, it runs as whoever logs on";
            self.wrong(message, &written.span, "leave it out, or install it with --user");
        }
        if written.value == "dynamic" {
            return RunAs::Dynamic;
        }
        if known == Some("SYSTEM") {
            self.warnings.push(
                "it runs as SYSTEM (service.user), which may do everything; better: \"LocalService\", or the name of an account of its own"
                    .into(),
            );
        }
        if known.is_none() && written.value.chars().any(|c| "\"/[]:;|=,+*?<>".contains(c)) {
            let help = "like \"alice\", 'DOMAIN\\alice' or \"LocalService\"";
            self.wrong(
                format!("{:?} is no account of Windows", written.value),
                &written.span,
                help,
            );
        }
        if !self.is_elsewhere && known.is_none() && self.look.sid(&written.value).is_none() {
            let help = "create it first (net user NAME /add), or name one that is there";
            self.lacking(format!("there is no account {:?}", written.value), &written.span, help);
        }
        RunAs::User {
            user: known.unwrap_or(&written.value).into(),
            group,
        }
    }

    fn windows_default(&mut self, trigger: Trigger, group: Option<String>) -> RunAs {
        if self.is_everybodys() {
            return RunAs::Invoker; // whoever logs on
        }
        let own = self
            .look
            .user(&self.look.euid().to_string())
            .filter(|_| !self.is_elsewhere);
        let own = own
            .and_then(|user| user.name)
            .map(|name| service_account(&name).map_or(name, Into::into));
        // An account of Windows itself never logs on.
        match own.filter(|user| trigger == Trigger::Boot || service_account(user).is_none()) {
            Some(user) => RunAs::User { user, group },
            None if trigger == Trigger::Logon && method(self.manifest, self.method) == Method::StartupFolder => {
                RunAs::Invoker // whoever's folder it is put into
            }
            None => {
                let help = match trigger {
                    Trigger::Boot => "write service.user = \"LocalService\", \"NetworkService\", \"SYSTEM\", or a name",
                    Trigger::Logon => "write service.user = \"NAME\", or render it with --system for whoever logs on",
                };
                self.wrong("whom it runs as on another machine is not known here", &(0..0), help);
                RunAs::Invoker
            }
        }
    }

    /// The program of a command on Windows, as it is there.
    pub(super) fn windows_program(&mut self, argv: &At<Vec<String>>, path: &[PathBuf]) -> String {
        let written = self.manifest.source.get(argv.span.clone()).unwrap_or_default();
        if !written.starts_with('[') && written.contains('\\') {
            let message = "a backslash is lost where a command is one string: it is read by the rules of a POSIX shell";
            self.wrong(
                message,
                &argv.span,
                "write a list: ['C:\\Python\\python.exe', 'main.py']",
            );
            return String::new();
        }
        let word = &argv.value[0];
        let is_bare = !word.contains(['/', '\\']);
        let found = if is_bare && windows_path::fault(word).is_none() {
            self.search(word, argv, path)
        } else {
            let place = self.place(&At {
                value: word.clone(),
                span: argv.span.clone(),
            });
            (!place.as_os_str().is_empty()).then_some(place)
        };
        let Some(found) = found else { return word.clone() };
        let found = found.to_string_lossy().into_owned();
        let found = self.with_extension(found);
        if !matches!(windows_path::extension(&found).as_str(), "exe" | "com" | "bat" | "cmd") {
            let message = format!("{found:?} is no program that Windows executes by itself");
            let help = "name a .exe, .com, .bat or .cmd: for a script its interpreter first";
            self.wrong(message, &argv.span, help);
            return found;
        }
        self.check_program(Path::new(&found), argv);
        found
    }

    /// Windows finds `run.exe` where `run` is written (`CreateProcess`); what is rendered has its whole name.
    fn with_extension(&self, program: String) -> String {
        let is_there = |path: &str| matches!(self.look.target(Path::new(path)), Ok(Some(_)));
        if self.is_elsewhere || is_there(&program) {
            return program;
        }
        let whole = format!("{program}.exe");
        if is_there(&whole) { whole } else { program }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_known_in_every_writing() {
        for (name, expected) in [
            ("SYSTEM", Some("SYSTEM")),
            ("system", Some("SYSTEM")),
            ("LocalSystem", Some("SYSTEM")),
            (r"NT AUTHORITY\SYSTEM", Some("SYSTEM")),
            ("S-1-5-18", Some("SYSTEM")),
            (r"NT AUTHORITY\LOCAL SERVICE", Some("LocalService")),
            ("Local Service", Some("LocalService")),
            ("networkservice", Some("NetworkService")),
            ("S-1-5-20", Some("NetworkService")),
            ("alice", None),
            (r"DOMAIN\alice", None),
            ("", None),
        ] {
            assert_eq!(service_account(name), expected, "{name}");
        }
    }
}
