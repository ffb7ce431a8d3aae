//! The verbs, one a file. This one is the match, and what several verbs need.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    backend::{self, Backend},
    check::{self, Checked, Wish},
    cli::{Cli, ScopeArgs, Verb},
    exit::{Exit, Failure},
    host::{self, Host, Init},
    manifest,
    receipt::Receipt,
    report::{Report, Voice},
    service::Scope,
    system::{EntryKind, Probe, Rooted, System, without_parents},
};

mod check_manifest;
mod control;
mod history;
mod image;
mod install;
mod list;
mod logs;
mod manifests;
mod render;
mod run;
mod status;
mod uninstall;

/// What every verb is given.
pub struct Context<'a> {
    /// The machine, or the image of one.
    pub system: &'a dyn System,
    /// The image, if it is one.
    pub image: Option<&'a Rooted<'a>>,
    /// Its facts.
    pub host: Host,
    /// Where to tell.
    pub report: Report,
    /// Who calls.
    pub by: String,
    /// The command line as it was given.
    pub args: Vec<OsString>,
}

/// How a verb ended, with its answer for programs.
pub type Outcome = Result<(Exit, Value), Failure>;

/// Runs the verb and tells how it ended.
pub fn run(cli: Cli, args: Vec<OsString>, system: &dyn System) -> Exit {
    let voice = match (wants_json(&cli.verb), cli.quiet) {
        (true, _) => Voice::Json,
        (false, true) => Voice::Quiet,
        (false, false) => Voice::Normal,
    };
    let mut report = Report::new(voice);
    let outcome = match image::open(system, cli.verb.root(), cli.verb.scope()) {
        Err(failure) => Err(failure),
        Ok(image) => {
            let mut context = Context {
                by: invoker(system),
                host: image.as_ref().map_or_else(
                    || host::detect(system),
                    |image| host::detect_image(image, image.account().cloned()),
                ),
                system: image.as_ref().map_or(system, |image| image),
                image: image.as_ref(),
                report,
                args,
            };
            let outcome = act_for(&mut context, cli.verb.scope()).and_then(|()| verb(&mut context, cli.verb));
            report = context.report;
            outcome
        }
    };
    match outcome {
        Ok((exit, answer)) => {
            report.finish(answer, exit as u8, None);
            exit
        }
        Err(failure) => {
            report.error(&failure);
            report.finish(json!({}), failure.exit as u8, Some(&failure));
            failure.exit
        }
    }
}

fn verb(context: &mut Context, verb: Verb) -> Outcome {
    match verb {
        Verb::Install(args) => install::run(context, &args),
        Verb::Status(args) => status::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Start(args) => control::run(context, backend::Control::Start, &args),
        Verb::Stop(args) => control::run(context, backend::Control::Stop, &args.into()),
        Verb::Restart(args) => control::run(context, backend::Control::Restart, &args),
        Verb::Logs(args) => logs::run(context, &args),
        Verb::History(args) => history::history(context, &args),
        Verb::Rollback(args) => history::rollback(context, &args),
        Verb::Uninstall(args) => uninstall::run(context, &args),
        Verb::Check(args) => check_manifest::run(context, &args),
        Verb::Render(args) => render::run(context, &args),
        Verb::Run(args) => run::run(context, &args),
        Verb::Supervisor(args) => run::control(context, &args),
    }
}

/// Who calls: as receipts have it.
fn invoker(look: &dyn Probe) -> String {
    let uid = look.euid().to_string();
    let name = || look.user(&uid).and_then(|user| user.name);
    let sudo = look.env("SUDO_USER").map(|user| user.to_string_lossy().into_owned());
    sudo.or_else(name).unwrap_or(uid)
}

/// Where root has named another user, all that follows is done as that user: what lies in a home is its owner's to write.
fn act_for(context: &mut Context, scope: &ScopeArgs) -> Result<(), Failure> {
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

/// A command line that is none, or that asks for help: tells what clap says of it.
pub fn not_understood(error: &clap::Error, args: &[OsString]) -> Exit {
    if !error.use_stderr() {
        let _ = error.print(); // a reader that went away is no error of ours
        return Exit::Ok;
    }
    let words = args.iter().take_while(|arg| *arg != "--");
    if words.clone().any(|arg| arg == "--json") {
        let message = error.to_string();
        let failure = Failure::new(Exit::Usage, message.trim_start_matches("error: ").trim_end());
        Report::new(Voice::Json).finish(json!({}), Exit::Usage as u8, Some(&failure));
    } else {
        let _ = error.print(); // as above
    }
    Exit::Usage
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Install(args) => args.json,
        Verb::Status(args) => args.json,
        Verb::List(args) => args.json,
        Verb::Start(args) | Verb::Restart(args) => args.json,
        Verb::Stop(args) => args.json,
        Verb::History(args) => args.json,
        Verb::Rollback(args) => args.json,
        Verb::Uninstall(args) => args.json,
        Verb::Check(args) => args.json,
        Verb::Logs(_) | Verb::Render(_) | Verb::Run(_) | Verb::Supervisor(_) => false,
    }
}

/// The manifest as written: read, and right in itself.
fn read_manifest(look: &dyn Probe, path: &Path) -> Result<manifest::Manifest, Failure> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let message = format!("cannot read the manifest {}: {why}", path.display());
        Failure::new(Exit::Usage, message).repair("name it with --manifest FILE")
    };
    // A device or a pipe may never end, and a file may be larger than the memory.
    match look.target(path).map_err(|error| unreadable(&error))? {
        Some(entry) if entry.kind == EntryKind::Folder => return Err(unreadable(&"it is a folder")),
        Some(entry) if entry.kind != EntryKind::File => return Err(unreadable(&"it is no file")),
        Some(entry) if entry.len > manifest::LARGEST as u64 => {
            let message = format!("{} bytes are no manifest; the largest is 1 MiB", entry.len);
            return Err(unreadable(&message));
        }
        _ => {}
    }
    let bytes = look.read(path).map_err(|error| unreadable(&error))?;
    let path = without_parents(look, &absolute(path)?);
    manifest::read(&path, &bytes).map_err(|problems| Failure::new(problems.exit(), problems.render(is_colourful())))
}

/// The manifest, checked against this machine; its warnings are told.
fn checked(context: &mut Context, path: &Path, scope: &ScopeArgs) -> Result<Checked, Failure> {
    let manifest = read_manifest(context.system, path)?;
    let wish = Wish { scope: scope.scope() };
    let checked = check::check(&manifest, &wish, context.system)
        .map_err(|problems| Failure::new(problems.exit(), problems.render(is_colourful())))?;
    for warning in &checked.warnings {
        context.report.warn(warning);
    }
    Ok(checked)
}

/// Colour is decided by where errors go; anstream strips it again where it must not be.
fn is_colourful() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

/// Touching the machine's own units is root's; says which command does it.
fn need_privilege(context: &Context, scope: Scope) -> Result<(), Failure> {
    if scope == Scope::User || context.system.euid() == 0 {
        return Ok(());
    }
    Err(for_root(
        context,
        "this changes the machine's services, which only root may do.",
    ))
}

/// The same command is for root.
fn for_root(context: &Context, why: &str) -> Failure {
    let mut words = context.args.iter().map(|word| word.to_string_lossy());
    let program = for_sudo(context, &words.next().unwrap_or_default());
    let command = shell_words::join(std::iter::once(program.into()).chain(words));
    Failure::new(Exit::Privilege, format!("{why}\nNothing was changed.")).repair(format!("sudo {command}"))
}

/// This program as sudo(8) finds it: it searches folders of its own, not those of PATH (`secure_path`, sudoers(5)).
fn for_sudo(context: &Context, program: &str) -> String {
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

/// The scopes to look in when none was chosen: one's own first.
fn scopes(context: &Context, wish: &ScopeArgs) -> Vec<Scope> {
    match wish.scope() {
        Some(scope) => vec![scope],
        None if context.host.default_scope() == Scope::System => vec![Scope::System, Scope::User],
        None => vec![Scope::User, Scope::System],
    }
}

/// The target that has this app, or the one of the default scope.
fn backend_of(context: &Context, name: &str, wish: &ScopeArgs) -> Result<Box<dyn Backend>, Failure> {
    let scopes = scopes(context, wish);
    for &scope in &scopes {
        let store = context.host.store(scope);
        if let Some(receipt) = store.receipt(name, context.system)? {
            return backend::named(&context.host, &receipt.backend, scope);
        }
        let is_meant = |(_, app): &(String, String)| app == name;
        if crate::journal::pending(store.root(), context.system).is_ok_and(|intents| intents.iter().any(is_meant)) {
            return native(context, scope);
        }
    }
    native(context, scopes[0])
}

/// The target of this machine; where it has none, the embedded supervisor is the only one that can have been chosen.
fn native(context: &Context, scope: Scope) -> Result<Box<dyn Backend>, Failure> {
    let wish = matches!(context.host.init, Init::Other(_)).then_some(backend::embedded::NAME);
    backend::choose(&context.host, scope, wish)
}

/// The app that is meant where none is named: that of ./app.toml, else the only one there is.
fn meant(context: &Context, name: Option<&str>, wish: &ScopeArgs) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.into());
    }
    let here = Path::new("app.toml");
    if matches!(context.system.target(here), Ok(Some(_))) {
        return Ok(read_manifest(context.system, here)?.name().into());
    }
    let installed = installed(context, wish)?;
    match installed.as_slice() {
        [only] => Ok(only.name.clone()),
        [] => Err(Failure::new(
            Exit::NotInstalled,
            "no app is installed, and there is no ./app.toml",
        )),
        several => Err(Failure::new(
            Exit::Usage,
            format!(
                "which app? Installed are: {}",
                several
                    .iter()
                    .map(|app| app.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )
        .repair("name one")),
    }
}

/// An app that is installed, or that an interrupted run speaks of.
struct Installed {
    scope: Scope,
    name: String,
    receipt: Option<Receipt>,
}

impl Installed {
    /// The target that has it, as far as it is installed.
    fn target(&self) -> Option<&str> {
        self.receipt.as_ref().map(|receipt| receipt.backend.as_str())
    }
}

/// Every installed app, and every one that an interrupted run speaks of.
fn installed(context: &Context, wish: &ScopeArgs) -> Result<Vec<Installed>, Failure> {
    let mut apps = Vec::new();
    for scope in scopes(context, wish) {
        let store = context.host.store(scope);
        let mut receipts = BTreeMap::new();
        for (_, name) in crate::journal::pending(store.root(), context.system).unwrap_or_default() {
            receipts.insert(name, None);
        }
        for receipt in store.receipts(context.system)? {
            receipts.insert(receipt.name.clone(), Some(receipt));
        }
        apps.extend(
            receipts
                .into_iter()
                .map(|(name, receipt)| Installed { scope, name, receipt }),
        );
    }
    Ok(apps)
}

/// No such app.
fn not_installed(name: &str) -> Failure {
    Failure::new(Exit::NotInstalled, format!("{name} is not installed")).repair("`autoglm-boot list` shows what is")
}
