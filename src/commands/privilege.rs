//! Who calls, and for whom; what takes root.

use std::path::PathBuf;

use super::Context;
use crate::{
    cli::ScopeArgs,
    exit::{Exit, Failure},
    host,
    service::Scope,
    system::Probe,
};

/// Who calls: as receipts have it.
pub(super) fn invoker(look: &dyn Probe) -> String {
    let uid = look.euid().to_string();
    let name = || look.user(&uid).and_then(|user| user.name);
    let sudo = look.env("SUDO_USER").map(|user| user.to_string_lossy().into_owned());
    sudo.or_else(name).unwrap_or(uid)
}

/// Where root has named another user, all that follows is done as that user: what lies in a home is its owner's to write.
pub(super) fn act_for(context: &mut Context, scope: &ScopeArgs) -> Result<(), Failure> {
    let Some(name) = scope.named_user().filter(|_| context.image.is_none()) else {
        return Ok(());
    };
    let user = context.system.user(name).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("--user={name}: there is no such user")).repair(format!("useradd -m {name}"))
    })?;
    if user.uid == context.system.euid() {
        return Ok(());
    }
    if context.system.euid() != 0 {
        return Err(for_root(context, "only root may act for another user."));
    }
    context
        .system
        .act_for(&user)
        .map_err(|error| Failure::new(Exit::Failed, format!("--user={name}: cannot act as this user: {error}")))?;
    context.host = host::detect(context.system);
    Ok(())
}

/// Touching the machine's own units is root's; says which command does it.
pub(super) fn need_privilege(context: &Context, scope: Scope) -> Result<(), Failure> {
    if scope == Scope::User || context.system.euid() == 0 {
        return Ok(());
    }
    Err(for_root(
        context,
        "this changes the machine's services, which only root may do.",
    ))
}

/// What is begun here, and not by a logon, has our privileges.
pub(super) fn tell_elevation(context: &mut Context, name: &str) {
    if context.system.is_raised() {
        context.report.warn(&format!(
            "{name}: started from this console it runs with an administrator's rights until it is started anew; after the next logon it does not"
        ));
    }
}

/// The same command is for root.
pub(super) fn for_root(context: &Context, why: &str) -> Failure {
    if context.host.windows.is_some() {
        return Failure::new(
            Exit::Privilege,
            format!("{}\nNothing was changed.", why.replace("root", "an administrator")),
        )
        .repair("run it in a console that was opened with \"Run as administrator\"");
    }
    let mut words = context.args.iter().map(|word| word.to_string_lossy());
    let program = for_sudo(context, &words.next().unwrap_or_default());
    let command = shell_words::join(std::iter::once(program.into()).chain(words));
    Failure::new(Exit::Privilege, format!("{why}\nNothing was changed.")).repair(format!("sudo {command}"))
}

/// This program as sudo(8) finds it: it searches folders of its own, not those of PATH (`secure_path`, sudoers(5)).
pub(super) fn for_sudo(context: &Context, program: &str) -> String {
    const SECURE: [&str; 6] = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let own = context.system.env("PATH").unwrap_or_default();
    let own: Vec<_> = std::env::split_paths(&own).collect();
    if program.contains('/')
        || context
            .system
            .find_program(program, &SECURE.map(PathBuf::from))
            .is_some()
    {
        return program.into();
    }
    let found = context.system.find_program(program, &own);
    found.map_or_else(|| program.into(), |path| path.to_string_lossy().into_owned())
}
