//! Which systemd it is, without asking it: a command would take longer than all else that a dry run does.

use std::path::Path;

use super::{Host, Init};
use crate::{
    exit::{Exit, Failure},
    system::Probe,
};

/// The oldest that can hold our units: the first with `OnSuccess=` (systemd.unit(5)).
const OLDEST: u32 = 249;

/// The systemd that is installed, by the name of the library that all its programs share (`libsystemd-shared-252.so`,
/// `libsystemd-shared-254.5-2.fc39.so`). Of several the newest: what an update has left is older.
pub fn systemd_version(look: &dyn Probe) -> Option<u32> {
    let in_folder = |folder: &Path| {
        let files = look.list(folder).ok()?;
        files.iter().filter_map(|file| version(file)).max()
    };
    // Debian's for the architecture that we run on comes first: it holds next to nothing, so it is read at once.
    let of_ours = format!("/usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH);
    let folders = [&*of_ours, "/usr/lib/systemd", "/usr/lib64/systemd", "/lib/systemd"];
    let of_any = || {
        let folders = look.list(Path::new("/usr/lib")).ok()?;
        let mut triplets = folders.iter().filter(|folder| is_triplet(folder));
        triplets.find_map(|folder| in_folder(&folder.join("systemd")))
    };
    folders.iter().map(Path::new).find_map(in_folder).or_else(of_any)
}

fn version(file: &Path) -> Option<u32> {
    let rest = file.file_name()?.to_str()?.strip_prefix("libsystemd-shared-")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

/// Whether it is one of Debian's folders for an architecture (`x86_64-linux-gnu`); to look into each other one takes time.
fn is_triplet(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.contains("-linux-"))
}

impl Host {
    /// Refuses a systemd that is known to be too old for our units: it would ignore what keeps their promises.
    pub fn check_systemd(&self) -> Result<(), Failure> {
        match self.systemd {
            Some(version) if self.init == Init::Systemd && version < OLDEST => Err(Failure::new(
                Exit::Failed,
                format!("systemd {version} is too old: the unit needs OnSuccess=, which came with systemd {OLDEST}"),
            )
            .repair(format!(
                "update systemd to {OLDEST} or newer; or let the supervisor keep it, which does not start at boot: --backend embedded"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{detect, tests::image},
        *,
    };
    use crate::system::Real;

    #[test]
    fn the_version_is_in_the_name_of_the_shared_library_wherever_it_lies() {
        for (files, expected) in [
            (&["usr/lib/systemd/libsystemd-shared-249.so"] as &[_], Some(249)),
            (&["usr/lib64/systemd/libsystemd-shared-254.5-2.fc39.so"], Some(254)),
            (&["lib/systemd/libsystemd-shared-247.so"], Some(247)),
            (
                &[
                    "usr/lib/systemd/systemd",
                    "usr/lib/aarch64-linux-gnu/systemd/libsystemd-core-252.so",
                    "usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-252.so",
                ],
                Some(252),
            ),
            (
                &[
                    "usr/lib/systemd/libsystemd-shared-99.so",
                    "usr/lib/systemd/libsystemd-shared-257~rc2.so",
                    "usr/lib/systemd/libsystemd-shared-256.so",
                ],
                Some(257),
            ),
            (&["usr/lib/other/systemd/libsystemd-shared-252.so"], None),
            (
                &[
                    "usr/lib/systemd/libsystemd-shared-x.so",
                    "usr/lib/systemd/libsystemd-shared-.so",
                ],
                None,
            ),
            (&["usr/lib/systemd/libsystemd-shared-99999999999.so"], None),
            (&["usr/lib/systemd"], None),
            (&[], None),
        ] {
            let image = image(files, &[]);
            assert_eq!(systemd_version(&image.rooted()), expected, "{files:?}");
        }
    }

    #[test]
    fn only_a_systemd_that_is_known_to_be_too_old_is_refused() {
        let mut host = detect(&Real);
        for (init, systemd, is_refused) in [
            (Init::Systemd, Some(248), true),
            (Init::Systemd, Some(249), false),
            (Init::Systemd, Some(257), false),
            (Init::Systemd, None, false),
            (Init::None, Some(248), false),
        ] {
            (host.init, host.systemd) = (init, systemd);
            assert_eq!(host.check_systemd().is_err(), is_refused, "{init:?} {systemd:?}");
        }
        (host.init, host.systemd) = (Init::Systemd, Some(247));
        let failure = host.check_systemd().expect_err("it is too old");
        assert!(
            failure.message.contains("systemd 247") && failure.repair.contains("249"),
            "{failure}"
        );
    }
}
