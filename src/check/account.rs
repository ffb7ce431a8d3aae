//! `service.user` and `service.group`: whom it runs as.

use std::path::Path;

use super::Checker;
use crate::{
    manifest::At,
    service::{Os, RunAs, Scope},
};

impl Checker<'_> {
    pub(super) fn run_as(&mut self, working_directory: &Path) -> RunAs {
        if self.os == Os::Windows {
            return self.windows_account();
        }
        if self.scope == Scope::User {
            return self.invoker();
        }
        let service = &self.manifest.service;
        if service.user.as_ref().is_some_and(|user| user.value == "dynamic") {
            if let Some(group) = &service.group {
                let help = "leave it out, or name a user";
                self.wrong("a throw-away user has a group of its own", &group.span, help);
            }
            return RunAs::Dynamic;
        }
        if self.is_elsewhere {
            return self.unseen();
        }
        let group = service.group.as_ref().map(|group| self.group(group));
        let user = match &service.user {
            Some(written) => self.named(written),
            None => self.owner(working_directory),
        };
        RunAs::User { user, group }
    }

    /// Whom it runs as on another machine, whose accounts are not known.
    fn unseen(&mut self) -> RunAs {
        let service = &self.manifest.service;
        let Some(user) = &service.user else {
            let help = "write service.user = \"NAME\", or \"dynamic\" for a throw-away one";
            self.wrong("whose folder it is on another machine is not known here", &(0..0), help);
            return RunAs::Dynamic;
        };
        RunAs::User {
            user: user.value.clone(),
            group: service.group.as_ref().map(|group| group.value.clone()),
        }
    }

    fn named(&mut self, written: &At<String>) -> String {
        let Some(user) = self.look.user(&written.value) else {
            let help = format!("create it first: useradd --system {}", written.value);
            self.lacking(format!("there is no user {:?}", written.value), &written.span, &help);
            return written.value.clone();
        };
        self.announce_root(user.uid, "service.user");
        user.name.unwrap_or_else(|| user.uid.to_string())
    }

    fn owner(&mut self, folder: &Path) -> String {
        let uid = self.look.target(folder).ok().flatten().map_or(0, |entry| entry.uid);
        self.announce_root(uid, &format!("the owner of {}", folder.display()));
        let user = self.look.user(&uid.to_string()).and_then(|user| user.name);
        user.unwrap_or_else(|| uid.to_string())
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
            let help = format!("create it first: groupadd --system {}", written.value);
            self.lacking(format!("there is no group {:?}", written.value), &written.span, &help);
            written.value.clone()
        })
    }

    /// A user's service manager runs everything as that user.
    fn invoker(&mut self) -> RunAs {
        if self.is_elsewhere {
            return RunAs::Invoker;
        }
        let service = &self.manifest.service;
        let invoker = self.look.user(&self.look.euid().to_string());
        if let Some(user) = &service.user
            && self.look.user(&user.value).map(|user| user.uid) != Some(self.look.euid())
        {
            let message = format!("in user scope it can run as its invoker only, not as {:?}", user.value);
            let help = "leave service.user out, or install it with --system";
            self.wrong(message, &user.span, help);
        }
        let own = invoker.and_then(|invoker| self.look.group(&invoker.gid.to_string()));
        if let Some(group) = &service.group
            && (own.is_none() || self.look.group(&group.value) != own)
        {
            let message = format!("in user scope it has its invoker's group only, not {:?}", group.value);
            let help = "leave service.group out, or install it with --system";
            self.wrong(message, &group.span, help);
        }
        RunAs::Invoker
    }
}
