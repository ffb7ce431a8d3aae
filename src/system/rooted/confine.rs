//! Where a path inside an image lies on the host: path resolution as under chroot(2), with the image's folder as the root.

use std::{
    ffi::OsString,
    io,
    path::{Component, Path, PathBuf},
};

use super::super::{Entry, EntryKind, MOST_LINKS, Probe};
use crate::platform;

/// What is done with a link that is the last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It is followed, as by stat(2).
    Followed,
    /// It is what is meant, as by lstat(2).
    Kept,
}

/// The place on the host that a path inside the image leads to. No component of it is a link, but for one that is kept:
/// so whoever uses it next stays inside. What is not there is no error here, the next call says so; but nothing is the
/// parent of what is not there.
///
/// It holds for an image at rest: a link that somebody puts there between the look and the use is followed.
pub(super) fn resolve(look: &dyn Probe, root: &Path, path: &Path, last: Last) -> io::Result<PathBuf> {
    let mut place = root.to_path_buf();
    let mut rest: Vec<_> = words(path).rev().collect();
    let mut links = 0;
    while let Some(word) = rest.pop() {
        if word == ".." {
            check_folder(look, &place)?;
            if place != root {
                place.pop();
            }
            continue;
        }
        place.push(word);
        if rest.is_empty() && last == Last::Kept {
            break;
        }
        if let Some(Entry { kind, .. }) = look.entry(&place)?
            && let EntryKind::Link(target) = kind
        {
            links += 1;
            if links > MOST_LINKS {
                return Err(platform::too_many_links());
            }
            place.pop();
            if target.is_absolute() {
                place = root.to_path_buf();
            }
            rest.extend(words(&target).rev());
        }
    }
    Ok(place)
}

/// Names and `..`; a path inside an image begins at its root, with or without a `/`.
fn words(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(word) => Some(word.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// `gone/..` and `file/..` are nowhere.
fn check_folder(look: &dyn Probe, place: &Path) -> io::Result<()> {
    match look.entry(place)?.map(|entry| entry.kind) {
        Some(EntryKind::Folder) => Ok(()),
        Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::super::Real, *};

    /// A root with links of every kind, and something beside it that no path may reach.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("it is there").join("root");
        for inside in ["a/b", "c"] {
            fs::create_dir_all(root.join(inside)).expect("it is writable");
        }
        for file in ["f", "a/f", "c/f", "../f"] {
            fs::write(root.join(file), file).expect("it is writable");
        }
        for folder in ["", "a", "a/b", "c"] {
            for (link, target) in [
                ("up", ".."),
                ("steep", "../../../../../../c"),
                ("slash", "/"),
                ("abs", "/a/./up/a/b/"),
                ("rel", "../c/../a"),
                ("out", "../../f"),
                ("dangling", "/a/gone"),
                ("dots", "gone/../f"),
                ("self", "self"),
                ("round", "/c/round/x"),
            ] {
                platform::symlink(Path::new(target), &root.join(folder).join(link)).expect("it is writable");
            }
        }
        (folder, root)
    }

    /// Every path of up to four words, some 20 000: what the kernel makes of the same path is the judge.
    #[test]
    fn every_path_leads_to_where_the_kernel_ends_up_with_the_same_root() {
        const WORDS: [&str; 12] = [
            "..", "a", "b", "c", "f", "steep", "slash", "abs", "rel", "out", "dangling", "round",
        ];
        let (_folder, root) = tree();
        let mut paths = vec![PathBuf::from("/")];
        let mut found = 0;
        for length in 0..=4 {
            for path in &paths {
                found += u32::from(is_as_the_kernel_has_it(&root, path));
            }
            if length < 4 {
                let longer = |path: &PathBuf| WORDS.map(|word| path.join(word));
                paths = paths.iter().flat_map(longer).collect();
            }
        }
        assert!(found > 2_000, "only {found} of the paths lead anywhere");
        for path in [".", "/a/self", "/a/self/x", "/dots", "c/./dots/.."] {
            is_as_the_kernel_has_it(&root, Path::new(path));
        }
    }

    /// Whether the path leads anywhere.
    fn is_as_the_kernel_has_it(root: &Path, path: &Path) -> bool {
        let shown = path.display();
        let ours = resolve(&Real, root, path, Last::Followed);
        match platform::resolve_in_root(root, path) {
            Ok(place) => {
                assert!(place.starts_with(root), "{shown}");
                assert_eq!(ours.expect("it leads somewhere"), place, "{shown}");
                true
            }
            Err(error) => {
                // Where the place is named but nothing is there, the next call says so.
                let ours = ours.and_then(fs::symlink_metadata).expect_err("it leads nowhere");
                assert_eq!(is_missing(&ours), is_missing(&error), "{shown}");
                assert!(is_missing(&ours) || ours.kind() == error.kind(), "{shown}: {ours}");
                false
            }
        }
    }

    fn is_missing(error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    #[test]
    fn forty_links_are_followed_and_no_more() {
        let (_folder, root) = tree();
        platform::symlink(Path::new("a/f"), &root.join("link1")).expect("it is writable");
        for number in 2..=41 {
            let target = format!("link{}", number - 1);
            platform::symlink(Path::new(&target), &root.join(format!("link{number}"))).expect("it is writable");
        }
        for (link, is_followed) in [("link40", true), ("link41", false)] {
            assert_eq!(is_as_the_kernel_has_it(&root, Path::new(link)), is_followed, "{link}");
        }
        let error = resolve(&Real, &root, Path::new("/a/round"), Last::Followed).expect_err("it is a loop");
        assert_eq!(error.kind(), platform::too_many_links().kind());
    }

    #[test]
    fn a_link_that_is_meant_itself_is_not_followed_but_those_before_it_are() {
        let (_folder, root) = tree();
        for (path, place) in [
            ("/dangling", "dangling"),
            ("/c/rel/b/abs", "a/b/abs"),
            ("/a/self", "a/self"),
            ("/up/../slash/a/up", "a/up"),
            ("/dangling/x/y", "a/gone/x/y"),
        ] {
            let resolved = resolve(&Real, &root, Path::new(path), Last::Kept).expect("it is a place");
            assert_eq!(resolved, root.join(place), "{path}");
        }
    }
}
