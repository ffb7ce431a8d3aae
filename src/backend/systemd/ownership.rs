//! Whose unit it is: what an install does not overwrite, and what an adoption keeps.

use super::{Systemd, live};
use crate::{
    backend::{AppState, AtPath, Backend, Install, Rendered},
    diff,
    exit::{Exit, Failure},
    receipt::Original,
    service::Service,
};

impl Systemd {
    /// What must not be done silently.
    pub(super) fn refuse(
        &self,
        service: &Service,
        rendered: &Rendered,
        state: &AppState,
        options: &Install,
    ) -> Result<(), Failure> {
        let unit = self.unit(&service.name);
        let is_masked = state.live.load == "masked"
            || matches!(&state.at_path, Some(AtPath::Link(to)) if to.as_os_str() == "/dev/null");
        if state.at_path == Some(AtPath::Other) {
            let path = self.path(&service.name);
            let message = format!("{} is neither a file nor a link.\nNothing was changed.", path.display());
            return Err(Failure::new(Exit::Failed, message).repair("look at it, and move it away"));
        }
        if is_masked {
            return Err(Failure::new(
                Exit::Failed,
                format!("{unit} is masked: somebody forbade its start.\nNothing was changed."),
            )
            .repair(format!(
                "if that is no longer meant: {}",
                self.systemctl(["unmask"]).units([unit.clone()])
            )));
        }
        if let Some(first) = state.live.fragment.as_ref().filter(|path| live::goes_first(path)) {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{unit} is there already, is not ours, and goes before anything installed: {}\n{}Nothing was changed.",
                    first.display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair(format!(
                "remove it first (what systemd-run(1) started goes with `{}`), or give the app another name",
                self.systemctl(["stop"]).units([unit.clone()])
            )));
        }
        if state.is_foreign() && !options.adopt {
            let there = state.live.fragment.clone().unwrap_or_else(|| self.path(&service.name));
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{unit} is there already and is not ours: {}\n{}Nothing was changed.",
                    there.display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair("take it over with --adopt (uninstall puts it back), or give the app another name"));
        }
        if state.is_drifted() && state.at_path.is_some() && !options.force {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} was changed by hand since it was installed:\n{}Nothing was changed.",
                    self.path(&service.name).display(),
                    Self::difference(rendered, state)
                ),
            )
            .repair(format!(
                "put the change into the manifest or into {}.d/ (never touched by us), or overwrite it with --force",
                self.path(&service.name).display()
            )));
        }
        Ok(())
    }

    fn difference(rendered: &Rendered, state: &AppState) -> String {
        let there = state.text.as_deref();
        there.map_or_else(String::new, |there| diff::unified(there, &rendered.text))
    }

    pub(super) fn original(&self, state: &AppState) -> Result<Original, Failure> {
        use crate::journal::Before;
        Ok(Original {
            unit: match &state.at_path {
                None => Before::Absent,
                Some(AtPath::File(bytes, _)) if std::str::from_utf8(bytes).is_err() => {
                    return Err(Failure::new(
                        Exit::Failed,
                        "the unit that is there is not UTF-8: it cannot be kept as version 0",
                    ));
                }
                Some(AtPath::File(bytes, mode)) => Before::File {
                    bytes: bytes.clone(),
                    mode: *mode,
                    uid: self.host.user.uid,
                    gid: self.host.user.gid,
                },
                Some(AtPath::Link(target)) => Before::Link(target.clone()),
                Some(AtPath::Other) => return Err(Failure::new(Exit::Failed, "it is neither a file nor a link")),
            },
            links: state.links.clone(),
            active: state.live.is_up(),
            approval: None,
        })
    }
}
