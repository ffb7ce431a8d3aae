//! The cases of `tests/cases`: each folder has a manifest, and the unit that must come of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use autoglm_boot::{
    backend::Rendered,
    check::{Wish, check},
    manifest::{read, read_for},
    render::{self, Artefact},
    service::{Method, Os, Service},
};

use super::machine::machine;

/// The helper that units refer to.
pub const HELPER: &str = "/var/lib/autoglm-boot/bin/autoglm-boot";
/// Where every case's manifest lies on the machine in memory.
const MANIFEST: &str = "/srv/app/app.toml";

pub struct Case {
    pub folder: PathBuf,
    pub service: Service,
    pub unit: Rendered,
    /// The same for Windows, if the manifest says what is different there.
    pub windows: Option<(Service, Artefact)>,
}

/// The task or the shortcut, rendered on this system for another machine.
fn on_windows(bytes: &[u8]) -> Option<(Service, Artefact)> {
    if !String::from_utf8_lossy(bytes).contains("[override.windows.service]") {
        return None;
    }
    let manifest = read_for(Os::Windows, Path::new(MANIFEST), bytes).unwrap_or_else(|problems| panic!("{problems}"));
    let wish = Wish {
        os: Os::Windows,
        is_elsewhere: true,
        ..Wish::default()
    };
    let service = check(&manifest, &wish, &machine(0))
        .unwrap_or_else(|problems| panic!("{problems}"))
        .service;
    let program = render::windows::PROGRAM;
    let artefact = match service.windows.method {
        Method::Task => render::task(&service, program).unwrap(),
        Method::StartupFolder => render::shortcut(&service, program),
    };
    Some((service, artefact))
}

impl Case {
    /// The case of a folder: read, checked and rendered; by alice where it is one of user scope, else by root.
    fn of(folder: PathBuf) -> Self {
        let bytes = fs::read(folder.join("app.toml")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let manifest = read(Path::new(MANIFEST), &bytes).unwrap_or_else(|problems| panic!("{problems}"));
        let is_user = manifest.scope.as_ref().is_some_and(|scope| scope.value == "user");
        let look = machine(if is_user { 1000 } else { 0 });
        let checked = check(&manifest, &Wish::default(), &look)
            .unwrap_or_else(|problems| panic!("{}: {problems}", folder.display()));
        Self {
            unit: render::systemd(&checked.service, None, Path::new(HELPER)).unwrap(),
            service: checked.service,
            windows: on_windows(&bytes),
            folder,
        }
    }

    /// A file of the case; `None` where there is none.
    pub fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    /// Its `NN-name`.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }
}

/// All of them, in order.
pub fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Case::of).collect()
}

/// One of them.
pub fn case(name: &str) -> Case {
    Case::of(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name))
}
