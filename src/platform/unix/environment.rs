//! What a process is given by whoever starts it: the environment that systemd would give it (systemd.exec(5), "Environment
//! Variables in Spawned Processes").

use std::{ffi::OsString, io, path::Path};

use crate::{render::DEFAULT_PATH, system::User};

/// Between the folders of PATH.
pub const PATH_SEPARATOR: &str = ":";
/// Whether `a` and `A` are two variables.
pub const TELLS_CASES_APART: bool = true;
/// Whether a backslash in a file of variables means what it means to a shell.
pub const HAS_SHELL_ESCAPES: bool = true;

/// What a user's process is given, over what is inherited. `own`: a variable of ours; the folder for sockets (`is_ours`) is
/// that of whoever we are.
pub fn base_environment(
    user: &User,
    shell: Option<&Path>,
    inherited: Vec<(OsString, OsString)>,
    is_ours: bool,
    own: &dyn Fn(&str) -> Option<OsString>,
) -> io::Result<Vec<(OsString, OsString)>> {
    let mut variables = inherited;
    let mut set = |key: &str, value: OsString| {
        variables.retain(|(name, _)| name != key);
        variables.push((key.into(), value));
    };
    if let Some(name) = &user.name {
        set("USER", name.into());
        set("LOGNAME", name.into());
    }
    set("HOME", user.home.clone().into());
    if let Some(shell) = shell {
        set("SHELL", shell.into());
    }
    let kept: &[&str] = if is_ours {
        &["LANG", "XDG_RUNTIME_DIR"]
    } else {
        &["LANG"]
    };
    for name in kept {
        if let Some(value) = own(name) {
            set(name, value);
        }
    }
    set("PATH", DEFAULT_PATH.into());
    Ok(variables)
}
