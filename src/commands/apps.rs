//! Which app is meant, and what keeps it.

use std::{collections::BTreeMap, path::Path};

use super::{Context, read_manifest};
use crate::{
    backend::{self, Backend},
    cli::ScopeArgs,
    exit::{Exit, Failure},
    host::Init,
    journal, platform,
    receipt::Receipt,
    service::Scope,
};

/// The scopes to look in when none was chosen: one's own first.
pub(super) fn scopes(context: &Context, wish: &ScopeArgs) -> Vec<Scope> {
    match wish.scope() {
        Some(scope) => vec![scope],
        None if context.host.default_scope() == Scope::System => vec![Scope::System, Scope::User],
        None => vec![Scope::User, Scope::System],
    }
}

/// The target that has this app, or the one of the default scope.
pub(super) fn backend_of(context: &Context, name: &str, wish: &ScopeArgs) -> Result<Box<dyn Backend>, Failure> {
    let scopes = scopes(context, wish);
    for &scope in &scopes {
        let store = context.host.store(scope);
        if let Some(receipt) = store.receipt(name, context.system)? {
            return backend::named(&context.host, &receipt.backend, scope);
        }
        let is_meant = |(_, app): &(String, String)| app == name;
        if journal::pending(store.root(), context.system).is_ok_and(|intents| intents.iter().any(is_meant)) {
            return native(context, scope);
        }
    }
    native(context, scopes[0])
}

/// The target of this machine; where it has none, the embedded supervisor is the only one that can have been chosen.
pub(super) fn native(context: &Context, scope: Scope) -> Result<Box<dyn Backend>, Failure> {
    let wish = matches!(context.host.init, Init::Other(_)).then_some(backend::embedded::NAME);
    backend::choose(&context.host, scope, wish)
}

/// The app that is meant where none is named: that of ./app.toml, else the only one there is.
pub(super) fn meant(context: &Context, name: Option<&str>, wish: &ScopeArgs) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.into());
    }
    let here = Path::new("app.toml");
    if matches!(context.system.target(here), Ok(Some(_))) {
        return Ok(read_manifest(context.system, here, platform::OS)?.name().into());
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
pub(super) struct Installed {
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) receipt: Option<Receipt>,
}

impl Installed {
    /// The target that has it, as far as it is installed.
    pub(super) fn target(&self) -> Option<&str> {
        self.receipt.as_ref().map(|receipt| receipt.backend.as_str())
    }
}

/// Every installed app, and every one that an interrupted run speaks of.
pub(super) fn installed(context: &Context, wish: &ScopeArgs) -> Result<Vec<Installed>, Failure> {
    let mut apps = Vec::new();
    for scope in scopes(context, wish) {
        let store = context.host.store(scope);
        let mut receipts = BTreeMap::new();
        for (_, name) in journal::pending(store.root(), context.system).unwrap_or_default() {
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
pub(super) fn not_installed(name: &str) -> Failure {
    Failure::new(Exit::NotInstalled, format!("{name} is not installed")).repair("`autoglm-boot list` shows what is")
}
