//! Facts of this machine, asked once.

use std::path::{Path, PathBuf};

use crate::{
    receipt::Store,
    service::Scope,
    system::{Probe, User},
};

/// What the choice of a target depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What runs as PID 1 and starts services.
    pub init: Init,
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
}

/// The init system that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// `sd_booted(3)`.
    Systemd,
    /// One that this version has no target for, by its name.
    Other(&'static str),
    /// None: a container, a rescue shell.
    None,
}

/// Looks at the machine.
pub fn detect(look: &dyn Probe) -> Host {
    let is_there = |path: &str| matches!(look.target(Path::new(path)), Ok(Some(_)));
    let first = look.read(Path::new("/proc/1/comm")).unwrap_or_default();
    let init = match first.trim_ascii() {
        _ if is_there("/run/systemd/system") => Init::Systemd,
        _ if is_there("/run/openrc") => Init::Other("OpenRC"),
        b"runit" => Init::Other("runit"),
        b"s6-svscan" => Init::Other("s6"),
        b"dinit" => Init::Other("dinit"),
        b"init" if is_there("/etc/inittab") => Init::Other("SysV init"),
        _ => Init::None,
    };
    let uid = look.euid();
    let home = look.home().unwrap_or_else(|| PathBuf::from("/"));
    let folder = |variable: &str, default: PathBuf| {
        look.env(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()) // "must be absolute", XDG Base Directory Specification
            .unwrap_or(default)
    };
    Host {
        init,
        user: look.user(&uid.to_string()).unwrap_or(User {
            name: None,
            uid,
            gid: uid,
            home: home.clone(),
        }),
        runtime: folder("XDG_RUNTIME_DIR", PathBuf::from(format!("/run/user/{uid}"))),
        config: folder("XDG_CONFIG_HOME", home.join(".config")),
        state: folder("XDG_STATE_HOME", home.join(".local/state")),
        program: look.program(),
        is_image: false,
    }
}

impl Host {
    /// Where a scope's records lie.
    pub fn store(&self, scope: Scope) -> Store {
        Store::new(match scope {
            Scope::System => PathBuf::from("/var/lib/autoglm-boot"),
            Scope::User => self.state.join("autoglm-boot"),
        })
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
