//! Paths: absolute, by the rules of the system the app is to run on. What another machine's folders are is not known here,
//! so that a path to them must be absolute as it is written.

use std::path::PathBuf;

use super::Checker;
use crate::{manifest::At, service::Os, system::without_parents, values::windows_path};

impl Checker<'_> {
    /// Relative to the manifest's folder. Links stay as they are: the python of a virtual environment is one.
    pub(super) fn place(&mut self, written: &At<String>) -> PathBuf {
        let text = written.value.as_str();
        let sample = match self.os {
            Os::Windows => {
                if let Some(why) = windows_path::fault(text) {
                    self.wrong(format!("{text:?}: {why}"), &written.span, "like 'C:\\srv\\app'");
                    return PathBuf::new();
                }
                if windows_path::is_absolute(text) {
                    return windows_path::normal(text).into();
                }
                "C:\\srv\\app"
            }
            Os::Linux if self.is_elsewhere && text.starts_with('/') => return text.into(),
            Os::Linux => "/srv/app",
        };
        if self.is_elsewhere {
            let message = format!("{text:?} is relative to a folder that is not known on another machine");
            let help = format!("write the absolute path there, like '{sample}'");
            self.wrong(message, &written.span, &help);
            return PathBuf::new();
        }
        let folder = self.manifest.folder();
        match self.os {
            Os::Windows => windows_path::join(&folder.to_string_lossy(), text).into(),
            Os::Linux => without_parents(self.look, &folder.join(text)),
        }
    }

    /// The folder that the manifest lies in: the working directory where none is written.
    pub(super) fn own_folder(&mut self) -> PathBuf {
        if self.is_elsewhere {
            let help = "write service.working_directory, absolute";
            self.wrong("the app's folder on another machine is not known here", &(0..0), help);
            return PathBuf::new();
        }
        let folder = self.manifest.folder();
        match self.os {
            Os::Windows => windows_path::normal(&folder.to_string_lossy()).into(),
            Os::Linux => without_parents(self.look, folder),
        }
    }
}
