//! What was there of that name before, and is not ours: shown and refused, or taken over and kept, to be put back by an uninstall.

use super::{Anchor, AppState, AtPath, Method, kept};
use crate::{
    backend::Install,
    diff,
    exit::{Exit, Failure},
    journal::Before,
    receipt::Original,
    service::Service,
};

impl Anchor {
    /// Refuses what is there and not ours, unless it is to be taken over and can be put back.
    pub(super) fn refuse_foreign(&self, service: &Service, app: &AppState, options: &Install) -> Result<(), Failure> {
        let name = &service.name;
        let seen = &app.anchored;
        if !seen.is_foreign(app.receipt.as_ref()) {
            return Ok(());
        }
        let there = match self.method {
            Method::Task => format!("there is a task \\{name} already, and it is not ours"),
            Method::StartupFolder => format!("there is {} already, and it is not ours", self.unit(name).display()),
        };
        let no = |why: &str, repair: String| {
            let message = format!("{name}: {there}{why}\nNothing was changed.");
            Err(Failure::new(Exit::Failed, message).repair(repair))
        };
        let away = match self.method {
            Method::Task => format!("remove it (schtasks /delete /tn {name}), or give the app another name"),
            Method::StartupFolder => "move it away, or give the app another name".to_owned(),
        };
        if seen.is_running {
            let repair = format!("end it first (schtasks /end /tn {name}), and what it has started; {away}");
            return no("; it runs, and is not taken over until it is stopped", repair);
        }
        if !options.adopt {
            let repair = "take it over with --adopt (uninstall puts it back), or give the app another name";
            return no(&self.difference(service, app)?, repair.into());
        }
        match (self.method, &seen.told) {
            (Method::Task, None) => no(
                "; the Task Scheduler does not tell the whole of it (schtasks /query /xml), so that it could not be put back",
                format!("run it as an administrator; or {away}"),
            ),
            (Method::Task, Some(told)) if needs_password(told) => no(
                "; it has a password, which Windows tells nobody, so that it could not be put back",
                away,
            ),
            (Method::StartupFolder, _) if self.original(app).is_none() => {
                no("; it cannot be read, so that it could not be put back", away)
            }
            _ => Ok(()),
        }
    }

    /// What is different of it; of a shortcut what it starts, as far as that is told.
    fn difference(&self, service: &Service, app: &AppState) -> Result<String, Failure> {
        Ok(match (self.method, &app.anchored.told) {
            (Method::Task, Some(there)) => {
                let wanted = self.artefact(service)?.text;
                format!("\n{}", diff::unified(there, &wanted).trim_end())
            }
            (Method::StartupFolder, Some(starts)) => format!(": it starts {starts}"),
            (_, None) => String::new(),
        })
    }

    /// What is kept of it.
    pub fn original(&self, app: &AppState) -> Option<Original> {
        let bytes = match (self.method, &app.at_path) {
            (Method::Task, _) => kept::bytes_of(app.anchored.told.as_deref()?),
            (Method::StartupFolder, Some(AtPath::File(bytes, _))) => bytes.clone(),
            (Method::StartupFolder, _) => return None,
        };
        Some(Original {
            unit: Before::File {
                bytes,
                mode: 0o644,
                uid: 0,
                gid: 0,
            },
            links: Vec::new(),
            active: false, // what runs is not taken over
            approval: app.anchored.approval.clone(),
        })
    }
}

fn needs_password(told: &str) -> bool {
    let Ok(task) = roxmltree::Document::parse(told) else {
        return true;
    };
    let mut logons = task.descendants().filter(|node| node.tag_name().name() == "LogonType");
    logons.any(|node| node.text().is_some_and(|kind| kind.contains("Password")))
}
