//! Facts of this machine, asked once.

use std::path::{Path, PathBuf};

use crate::{
    receipt::Store,
    service::Scope,
    system::{EntryKind, Folders, MOST_LINKS, Probe, User},
};

mod systemd;

pub use systemd::systemd_version;

/// What the choice of a target depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What runs as PID 1 and starts services.
    pub init: Init,
    /// The version of systemd, where that is the init system and its version is known.
    pub systemd: Option<u32>,
    /// Whom we run as.
    pub user: User,
    /// The user's folder for sockets (`XDG_RUNTIME_DIR`), set or where systemd puts it.
    pub runtime: PathBuf,
    /// `XDG_CONFIG_HOME`.
    pub config: PathBuf,
    /// `XDG_STATE_HOME`.
    pub state: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Whether it is the image of a machine, where nothing runs.
    pub is_image: bool,
    /// What tells this version of the program from others, where that matters: on Windows.
    pub mark: String,
    /// Its folders, where it is Windows.
    pub windows: Option<Folders>,
}

/// The init system that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// `sd_booted(3)`.
    Systemd,
    /// Windows, which has its own.
    Windows,
    /// One that this version has no target for, by its name.
    Other(&'static str),
    /// None: a container, a rescue shell.
    None,
}

/// Looks at the machine.
pub fn detect(look: &dyn Probe) -> Host {
    let uid = look.euid();
    let user = look.user(&uid.to_string()).unwrap_or_else(|| User {
        name: None,
        uid,
        gid: uid,
        home: look.home().unwrap_or_else(|| "/".into()),
    });
    let windows = look.folders();
    let init = if windows.is_some() {
        Init::Windows
    } else {
        running_init(look)
    };
    Host {
        mark: windows.as_ref().map(|_| mark(look)).unwrap_or_default(),
        windows,
        ..facts(look, init, user)
    }
}

/// Looks at an image, which is installed for this account of it, or else for its root: what runs here is no fact of it.
pub fn detect_image(look: &dyn Probe, account: Option<User>) -> Host {
    let user = account.or_else(|| look.user("0")).unwrap_or_else(|| User {
        name: None,
        uid: 0,
        gid: 0,
        home: "/".into(),
    });
    Host {
        is_image: true,
        ..facts(look, installed_init(look), user)
    }
}

fn facts(look: &dyn Probe, init: Init, user: User) -> Host {
    let home = look.home().unwrap_or_else(|| PathBuf::from("/"));
    let folder = |variable: &str, default: PathBuf| {
        look.env(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()) // "must be absolute", XDG Base Directory Specification
            .unwrap_or(default)
    };
    Host {
        init,
        systemd: (init == Init::Systemd).then(|| systemd_version(look)).flatten(),
        runtime: runtime(look, user.uid),
        config: folder("XDG_CONFIG_HOME", home.join(".config")),
        state: folder("XDG_STATE_HOME", home.join(".local/state")),
        program: look.program(),
        user,
        is_image: false,
        mark: String::new(),
        windows: None,
    }
}

/// A version is known by its size and its time: to read it whole would take longer than all the rest.
fn mark(look: &dyn Probe) -> String {
    let entry = look.program_file();
    let (len, modified) = entry.map_or((0, 0), |entry| (entry.len, entry.modified.as_secs()));
    format!("{}-{len:x}-{modified:x}", env!("CARGO_PKG_VERSION"))
}

fn is_there(look: &dyn Probe, path: &str) -> bool {
    matches!(look.target(Path::new(path)), Ok(Some(_)))
}

fn running_init(look: &dyn Probe) -> Init {
    let first = look.read(Path::new("/proc/1/comm")).unwrap_or_default();
    match first.trim_ascii() {
        _ if is_there(look, "/run/systemd/system") => Init::Systemd,
        _ if is_there(look, "/run/openrc") => Init::Other("OpenRC"),
        b"runit" => Init::Other("runit"),
        b"s6-svscan" => Init::Other("s6"),
        b"dinit" => Init::Other("dinit"),
        b"init" if is_there(look, "/etc/inittab") => Init::Other("SysV init"),
        _ => Init::None,
    }
}

/// What would run if the image was booted, by the program that `/sbin/init` leads to. Without one there is still what
/// systemd-nspawn(1) boots first.
fn installed_init(look: &dyn Probe) -> Init {
    let Some(program) = leads_to(look, "/sbin/init").or_else(|| leads_to(look, "/usr/lib/systemd/systemd")) else {
        return Init::None;
    };
    match program.file_name().and_then(|name| name.to_str()) {
        Some("systemd") => Init::Systemd,
        _ if is_there(look, "/sbin/openrc") => Init::Other("OpenRC"),
        Some("runit" | "runit-init") => Init::Other("runit"),
        Some("dinit" | "dinit-init") => Init::Other("dinit"),
        _ if is_there(look, "/etc/s6-linux-init") => Init::Other("s6"),
        Some("busybox") if is_there(look, "/etc/inittab") => Init::Other("BusyBox init"),
        _ if is_there(look, "/etc/inittab") => Init::Other("SysV init"),
        _ => Init::None,
    }
}

/// The file that a path's last component leads to, link by link.
fn leads_to(look: &dyn Probe, path: &str) -> Option<PathBuf> {
    let mut path = PathBuf::from(path);
    for _ in 0..=MOST_LINKS {
        match look.entry(&path).ok()??.kind {
            EntryKind::Link(target) => path = path.parent()?.join(target),
            EntryKind::File => return Some(path),
            EntryKind::Folder | EntryKind::Other => return None,
        }
    }
    None
}

/// Only the user's own is meant: `su` without `-` leaves that of whoever called it ("must be owned by the user", XDG Base
/// Directory Specification).
fn runtime(look: &dyn Probe, uid: u32) -> PathBuf {
    let is_own = |path: &PathBuf| matches!(look.target(path), Ok(Some(entry)) if entry.uid == uid);
    let written = look.env("XDG_RUNTIME_DIR").map(PathBuf::from);
    written
        .filter(|path| path.is_absolute() && is_own(path))
        .unwrap_or_else(|| PathBuf::from(format!("/run/user/{uid}")))
}

impl Host {
    /// Where a scope's records lie.
    pub fn store(&self, scope: Scope) -> Store {
        let state = match (scope, &self.windows) {
            (Scope::System, None) => Path::new("/var/lib"),
            (Scope::System, Some(folders)) => &folders.machine,
            (Scope::User, None) => &self.state,
            (Scope::User, Some(folders)) => &folders.user,
        };
        Store::new(state.join("autoglm-boot"))
    }

    /// The user's name, or number where it has none.
    pub fn user_name(&self) -> String {
        self.user.name.clone().unwrap_or_else(|| self.user.uid.to_string())
    }

    /// The scope that nobody chose: the machine's for root, one's own for anybody else.
    pub fn default_scope(&self) -> Scope {
        if self.user.uid == 0 { Scope::System } else { Scope::User }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        platform,
        system::{Real, Rooted},
    };

    /// An image that holds these.
    pub(super) struct Image(tempfile::TempDir);

    impl Image {
        pub(super) fn rooted(&self) -> Rooted<'_> {
            Rooted::new(&Real, self.0.path()).expect("it is a folder")
        }
    }

    /// An image of empty files, with their folders, and links.
    #[allow(clippy::disallowed_methods, reason = "a test makes what it looks at")]
    pub(super) fn image(files: &[&str], links: &[(&str, &str)]) -> Image {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |path: &str| {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().expect("it has one")).expect("it is writable");
            place
        };
        for (link, target) in links {
            platform::symlink(Path::new(target), &place(link)).expect("it is writable");
        }
        for file in files {
            fs::write(place(file), "").expect("it is writable");
        }
        Image(folder)
    }

    #[test]
    fn the_init_of_an_image_is_what_would_be_booted() {
        const MERGED: (&str, &str) = ("sbin", "usr/sbin");
        let systemd = "usr/lib/systemd/systemd";
        let inittab = "etc/inittab";
        for (files, links, expected) in [
            // Debian, its relative and its absolute link, and one that has no files to lead to
            (
                &[systemd] as &[_],
                &[("usr/sbin/init", "../lib/systemd/systemd"), MERGED] as &[_],
                Init::Systemd,
            ),
            (
                &[systemd],
                &[("sbin/init", "/lib/systemd/systemd"), ("lib", "usr/lib")],
                Init::Systemd,
            ),
            (&[inittab], &[("sbin/init", "/lib/systemd/systemd")], Init::None),
            // without a /sbin/init; with systemd beside another init
            (&[systemd], &[], Init::Systemd),
            (&[systemd, inittab, "sbin/init"], &[], Init::Other("SysV init")),
            // Alpine, Void, Chimera, and a container of Alpine
            (
                &["bin/busybox", "sbin/openrc", inittab],
                &[("sbin/init", "/bin/busybox")],
                Init::Other("OpenRC"),
            ),
            (
                &["usr/sbin/runit-init"],
                &[("usr/sbin/init", "runit-init"), MERGED],
                Init::Other("runit"),
            ),
            (&["sbin/dinit"], &[("sbin/init", "dinit")], Init::Other("dinit")),
            (
                &["bin/busybox", inittab],
                &[("sbin/init", "/bin/busybox")],
                Init::Other("BusyBox init"),
            ),
            (&["sbin/init", "etc/s6-linux-init/current/x"], &[], Init::Other("s6")),
            // a container: none, one of its own, a loop
            (&["bin/sh"], &[], Init::None),
            (&["sbin/init"], &[], Init::None),
            (&[inittab], &[("sbin/init", "init")], Init::None),
        ] {
            let image = image(files, links);
            assert_eq!(
                detect_image(&image.rooted(), None).init,
                expected,
                "{files:?} {links:?}"
            );
        }
    }

    #[test]
    fn the_facts_of_an_image_are_its_own_and_of_the_account_it_is_for() {
        let library = "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so";
        let lying = image(&["usr/lib/systemd/systemd", library], &[]);
        let host = detect_image(&lying.rooted(), None);
        assert_eq!((host.init, host.systemd, host.user.uid), (Init::Systemd, Some(257), 0));
        assert_eq!(host.default_scope(), Scope::System);
        let alice = User {
            name: Some("alice".into()),
            uid: 1000,
            gid: 1000,
            home: "/home/alice".into(),
        };
        let image = lying.rooted().for_account(alice.clone()).expect("her home is a path");
        let host = detect_image(&image, Some(alice));
        assert_eq!(host.config, Path::new("/home/alice/.config"));
        assert_eq!(host.state, Path::new("/home/alice/.local/state"));
        assert_eq!(host.runtime, Path::new("/run/user/1000"));
        assert_eq!((host.user_name(), host.default_scope()), ("alice".into(), Scope::User));
    }
}
