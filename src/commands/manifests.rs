//! Several manifests: which files are meant, and in which order their apps start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{Context, absolute};
use crate::{
    check::{Checked, Wish},
    exit::{Exit, Failure},
    receipt::Receipt,
    service::Service,
    system::{EntryKind, Probe, without_parents},
};

/// What a folder of its own calls its manifest.
const ALONE: &str = "app.toml";

/// The files that are meant, each once: of a folder its `*.toml`, and the `app.toml` of each folder within.
pub(super) fn files(context: &Context, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let look = context.system;
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for path in named {
        let path = context.place(path)?;
        let found = if is_folder(look, &path) {
            of_folder(look, &path)?
        } else {
            vec![path]
        };
        for file in found {
            if seen.insert(without_parents(look, &absolute(&file)?)) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn is_folder(look: &dyn Probe, path: &Path) -> bool {
    matches!(look.target(path), Ok(Some(entry)) if entry.kind == EntryKind::Folder)
}

fn of_folder(look: &dyn Probe, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{}: {why}", folder.display()));
    let mut files = Vec::new();
    for entry in look.list(folder).map_err(|error| failed(&error))? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if is_folder(look, &entry) {
            let own = entry.join(ALONE);
            files.extend(matches!(look.target(&own), Ok(Some(_))).then_some(own));
        } else if entry.extension().is_some_and(|extension| extension == "toml") {
            files.push(entry);
        }
    }
    if files.is_empty() {
        return Err(
            failed(&"there is no manifest in this folder").repair("it may hold *.toml, and folders with an app.toml")
        );
    }
    Ok(files)
}

/// Apps that were installed from a folder that is named now, but whose manifest is no longer there.
pub(super) fn gone(context: &Context, named: &[PathBuf], receipts: &[Receipt]) -> Vec<(String, PathBuf)> {
    let look = context.system;
    let folders = named.iter().filter_map(|path| context.place(path).ok());
    let folders: Vec<_> = folders
        .filter(|path| is_folder(look, path))
        .filter_map(|folder| Some(without_parents(look, &absolute(&folder).ok()?)))
        .collect();
    let is_within = |file: &Path| {
        let parent = file.parent();
        let is_alone = file.file_name().is_some_and(|name| name == ALONE);
        let grandparent = parent.and_then(Path::parent).filter(|_| is_alone);
        [parent, grandparent]
            .iter()
            .flatten()
            .any(|place| folders.iter().any(|folder| folder == place))
    };
    receipts
        .iter()
        .filter(|receipt| is_within(&receipt.manifest) && matches!(look.target(&receipt.manifest), Ok(None)))
        .map(|receipt| (receipt.name.clone(), receipt.manifest.clone()))
        .collect()
}

/// The apps in an order in which each comes after those it waits for. One name twice, several scopes, and a circle are
/// errors.
pub(super) fn in_order<T>(apps: Vec<T>, service: impl Fn(&T) -> &Service) -> Result<Vec<T>, Failure> {
    let order = order(&apps.iter().map(service).collect::<Vec<_>>())?;
    let mut apps: Vec<_> = apps.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|number| apps[number].take()).collect())
}

fn order(apps: &[&Service]) -> Result<Vec<usize>, Failure> {
    let mut by_name = BTreeMap::new();
    for (number, app) in apps.iter().enumerate() {
        if let Some(other) = by_name.insert(app.name.clone(), number) {
            let (one, two) = (&apps[other].manifest, &app.manifest);
            let message = format!(
                "{} is the name of two apps: {} and {}",
                app.name,
                one.display(),
                two.display()
            );
            return Err(Failure::new(Exit::Usage, message).repair("give one of them another app.name"));
        }
    }
    if let Some(other) = apps.iter().find(|app| app.scope != apps[0].scope) {
        let message = format!(
            "{} is of the machine and {} of a user, or the other way round: one call is one scope",
            apps[0].name, other.name
        );
        return Err(
            Failure::new(Exit::Usage, message).repair("say --system or --user, or install them one after the other")
        );
    }
    let mut order = Vec::new();
    let mut path = Vec::new();
    for number in 0..apps.len() {
        visit(number, apps, &by_name, &mut path, &mut order)?;
    }
    Ok(order)
}

/// Puts what an app waits for before it.
fn visit(
    number: usize,
    apps: &[&Service],
    by_name: &BTreeMap<String, usize>,
    path: &mut Vec<usize>,
    order: &mut Vec<usize>,
) -> Result<(), Failure> {
    if order.contains(&number) {
        return Ok(());
    }
    if let Some(at) = path.iter().position(|on| *on == number) {
        let names = path[at..].iter().chain([&number]);
        let names: Vec<_> = names.map(|&number| apps[number].name.as_str()).collect();
        let message = format!(
            "these wait for each other, so that none could start: {}",
            names.join(" -> ")
        );
        return Err(
            Failure::new(Exit::Usage, message).repair("take one out of dependencies.requires or dependencies.after")
        );
    }
    path.push(number);
    for before in before(apps[number]) {
        if let Some(&other) = by_name.get(before) {
            visit(other, apps, by_name, path, order)?;
        }
    }
    path.pop();
    order.push(number);
    Ok(())
}

/// The names of the apps that are started before this one.
fn before(service: &Service) -> impl Iterator<Item = &str> {
    let dependencies = &service.dependencies;
    let units = dependencies.requires.iter().chain(&dependencies.after);
    units.filter_map(|unit| unit.strip_suffix(".service"))
}

/// A manifest that is wrong, and why.
pub(super) type Wrong = (PathBuf, Failure);

/// Every manifest, checked; the mistakes of all of them at once. Where others are kept, those that are right, and the
/// mistakes of the rest.
pub(super) fn checked(
    context: &mut Context,
    files: &[PathBuf],
    wish: &Wish,
    keeps_going: bool,
) -> Result<(Vec<Checked>, Vec<Wrong>), Failure> {
    let mut right = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        match super::checked(context, file, wish) {
            Ok(checked) => right.push(checked),
            Err(failure) => wrong.push((file.clone(), failure)),
        }
    }
    if wrong.is_empty() || (keeps_going && !right.is_empty()) {
        return Ok((right, wrong));
    }
    let exit = wrong.iter().map(|(_, failure)| failure.exit);
    let exit = exit.fold(Exit::Ok, |worst, exit| if worst == Exit::Usage { worst } else { exit });
    let repair = wrong
        .last()
        .map(|(_, failure)| failure.repair.clone())
        .unwrap_or_default();
    let messages: Vec<_> = wrong.into_iter().map(|(_, failure)| failure.message).collect();
    Err(Failure::new(exit, messages.join("\n")).repair(repair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, requires: &[&str]) -> Checked {
        let text = format!(
            "[app]\nname = \"{name}\"\n[service]\ncommand = [\"true\"]\n[dependencies]\nrequires = {requires:?}\n"
        );
        let manifest = crate::manifest::read(Path::new("/a/app.toml"), text.as_bytes()).expect("it is right");
        crate::check::check(&manifest, &crate::check::Wish::default(), &crate::system::Real).expect("true is there")
    }

    fn names(apps: Vec<Checked>) -> Vec<String> {
        let apps = in_order(apps, |app| &app.service).expect("they have an order");
        apps.into_iter().map(|app| app.service.name).collect()
    }

    #[test]
    fn what_is_required_comes_first_and_the_rest_stays_as_it_was_named() {
        let apps = vec![
            app("c", &["a", "b"]),
            app("x", &[]),
            app("b", &["a", "outside"]),
            app("a", &[]),
        ];
        assert_eq!(names(apps), ["a", "b", "c", "x"]);
        assert_eq!(names(vec![app("b", &[]), app("a", &[])]), ["b", "a"]);
    }

    #[test]
    fn a_circle_is_told_with_its_names() {
        let circle = in_order(vec![app("z", &["a"]), app("a", &["b"]), app("b", &["a"])], |app| {
            &app.service
        })
        .expect_err("it is one");
        assert_eq!(circle.exit, Exit::Usage);
        assert!(circle.message.ends_with("a -> b -> a"), "{}", circle.message);
    }
}
