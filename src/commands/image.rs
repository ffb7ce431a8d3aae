//! `--root`: the image of a machine instead of the machine.

use std::path::{Path, PathBuf};

use super::Context;
use crate::{
    cli::ScopeArgs,
    exit::{Exit, Failure},
    service::Scope,
    system::{Probe as _, Rooted, System},
};

/// The image in this folder, if one is meant: for the user who is named, or for the machine.
pub(super) fn open<'a>(
    system: &'a dyn System,
    folder: Option<&Path>,
    scope: &ScopeArgs,
) -> Result<Option<Rooted<'a>>, Failure> {
    let Some(folder) = folder else { return Ok(None) };
    let wrong = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("--root {}: {why}", folder.display()));
    let image = Rooted::new(system, folder).map_err(|error| wrong(&error))?;
    if scope.scope() != Some(Scope::User) {
        return Ok(Some(image));
    }
    let Some(name) = scope.named_user() else {
        return Err(nobodys());
    };
    let Some(user) = image.user(name) else {
        return Err(wrong(&format!("the image has no user {name}")).repair("create it in the image first"));
    };
    image.for_account(user).map(Some).map_err(|error| wrong(&error))
}

/// A manifest may ask for user scope, but does not say whose.
pub(super) fn refuse_nobodys(context: &Context, scope: Scope) -> Result<(), Failure> {
    match context.image {
        Some(image) if scope == Scope::User && image.account().is_none() => Err(nobodys()),
        _ => Ok(()),
    }
}

fn nobodys() -> Failure {
    Failure::new(Exit::Usage, "user scope in an image needs to know of which user").repair("name one: --user=NAME")
}

impl Context<'_> {
    /// Where a file that the command line names lies: in the image, if one is meant.
    pub(super) fn place(&self, path: &Path) -> Result<PathBuf, Failure> {
        let Some(image) = self.image else {
            return Ok(path.into());
        };
        image.inside(path).ok_or_else(|| {
            let folder = image.folder().display();
            Failure::new(
                Exit::Usage,
                format!("{} does not lie in the image {folder}", path.display()),
            )
            .repair("put the manifest, and the app, into the image first")
        })
    }
}
