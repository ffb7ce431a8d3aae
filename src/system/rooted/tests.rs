//! No path leads out, whatever links an image holds.

use super::{super::Real, *};
use crate::platform;

mod image;

/// An image in `image`, and beside it what no effect may reach.
struct Lying {
    folder: tempfile::TempDir,
}

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1234:2345::/home/alice:/bin/sh\n";

impl Lying {
    fn new() -> Self {
        let lying = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        for folder in [
            "etc/systemd/system",
            "var/lib",
            "var/home/alice",
            "usr/bin",
            "usr/sbin",
            "tmp",
        ] {
            fs::create_dir_all(lying.host("image").join(folder)).expect("it is writable");
        }
        fs::create_dir_all(lying.host("outside")).expect("it is writable");
        lying.write("outside/file", "outside");
        lying.write("image/etc/passwd", PASSWD);
        lying.write("image/etc/group", "users:x:2345:\n");
        lying
    }

    fn host(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.host(path), text).expect("it is writable");
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        platform::symlink(target.as_ref(), &self.host(path)).expect("it is writable");
    }

    fn image(&self) -> Rooted<'_> {
        Rooted::new(&Real, &self.host("image")).expect("it is a folder")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.host(path)).expect("it is there")
    }

    /// Names outside of the image: there is one file, and nobody touched it.
    fn assert_untouched(&self) {
        let names = |folder| {
            let mut names = Real.list(&self.host(folder)).expect("it is a folder");
            names.retain(|name| *name != self.host("image"));
            names
        };
        assert_eq!(names(""), [self.host("outside")]);
        assert_eq!(names("outside"), [self.host("outside/file")]);
        assert_eq!(self.read("outside/file"), "outside");
    }
}

/// The links that lead out for whoever does not confine them: each to `outside` if the host follows it.
fn hostile(lying: &Lying) -> [&'static str; 3] {
    let outside = lying.host("outside");
    lying.link("image/var/lib/absolute", &outside);
    lying.link("image/var/lib/relative", "../../../outside");
    lying.link(
        "image/var/lib/steep",
        "../../../../../../../../../../..".to_owned() + outside.to_str().expect("UTF-8"),
    );
    for link in ["absolute", "relative", "steep"] {
        let leads_out = lying.host("image/var/lib").join(link).join("file");
        assert!(
            leads_out.exists(),
            "the test is none: {link} does not lead out on the host"
        );
    }
    ["/var/lib/absolute", "/var/lib/relative", "/var/lib/steep"]
}

#[test]
fn nothing_is_seen_through_a_link_that_leads_out() {
    let lying = Lying::new();
    for link in hostile(&lying).map(Path::new) {
        let image = lying.image();
        assert_eq!(image.target(link).expect("it is looked at"), None, "{}", link.display());
        assert_eq!(image.target(&link.join("file")).expect("it is looked at"), None);
        assert_eq!(image.list(link).expect("it is looked at"), Vec::<PathBuf>::new());
        let error = image.read(&link.join("file")).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(matches!(
            image.entry(link).expect("it is there").map(|entry| entry.kind),
            Some(EntryKind::Link(_))
        ));
    }
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out() {
    let lying = Lying::new();
    for link in hostile(&lying).map(Path::new) {
        let image = lying.image();
        let file = link.join("file");
        let shown = link.display();
        assert!(image.write_file(&file, b"x", 0o644).is_err(), "{shown}");
        assert!(image.append(&file, b"x").is_err(), "{shown}");
        assert!(image.link(&file, Path::new("/x")).is_err(), "{shown}");
        assert!(image.make_folder(&link.join("new"), 0o755).is_err(), "{shown}");
        assert!(image.lock(&link.join("lock")).is_err(), "{shown}");
        assert!(image.remove(&file).is_ok(), "{shown}: nothing there is well");
        assert!(
            image.remove_folder(&link.join("x")).is_ok(),
            "{shown}: nothing there is well"
        );
        lying.assert_untouched();
        image.write_file(link, b"instead", 0o644).expect("the link is replaced");
        assert_eq!(image.read(link).expect("it is there"), b"instead");
        lying.assert_untouched();
    }
}

#[test]
fn an_absolute_link_leads_to_the_same_path_of_the_image() {
    let lying = Lying::new();
    fs::create_dir_all(lying.host("image/private/etc")).expect("it is writable");
    fs::remove_dir_all(lying.host("image/etc")).expect("it is writable");
    lying.link("image/etc", "/private/etc");
    let image = lying.image();
    let unit = Path::new("/etc/app.service");
    image.write_file(unit, b"unit", 0o640).expect("it is writable");
    assert_eq!(lying.read("image/private/etc/app.service"), "unit");
    assert_eq!(image.read(unit).expect("it is there"), b"unit");
    let entry = image.entry(unit).expect("it is looked at").expect("it is there");
    assert_eq!((entry.kind, entry.mode), (EntryKind::File, 0o640));
    assert_eq!(image.list(Path::new("/etc")).expect("it is a folder"), [unit]);
    image.append(unit, b" and more").expect("it is writable");
    image.link(Path::new("/etc/link"), unit).expect("it is writable");
    assert_eq!(
        fs::read_link(lying.host("image/private/etc/link")).expect("it is a link"),
        unit,
        "the target is the image's"
    );
    assert_eq!(
        image.read(Path::new("/etc/link")).expect("it is followed"),
        b"unit and more"
    );
    image
        .sync(&[unit, Path::new("/etc/link"), Path::new("/gone/file")])
        .expect("it is synced");
    image.remove(unit).expect("it is removed");
    assert_eq!(
        image.target(Path::new("/etc/link")).expect("it is looked at"),
        None,
        "it dangles"
    );
}

#[test]
fn more_parents_than_there_are_end_at_the_root_of_the_image() {
    let lying = Lying::new();
    lying.link("image/var/lib/x", "../../../../tmp/y");
    let image = lying.image();
    let beyond = Path::new("/../../../tmp/z");
    image.write_file(beyond, b"z", 0o644).expect("it is writable");
    assert_eq!(lying.read("image/tmp/z"), "z");
    assert!(matches!(image.lock(Path::new("/var/lib/x")), Ok(Some(_))));
    assert!(
        lying.host("image/tmp/y").is_file(),
        "it is created where the link leads"
    );
    image
        .write_file(Path::new("/var/lib/x"), b"x", 0o644)
        .expect("it is writable");
    assert_eq!(
        (lying.read("image/var/lib/x"), lying.read("image/tmp/y")),
        ("x".into(), String::new())
    );
    lying.assert_untouched();
}

#[test]
fn a_loop_is_an_error_that_says_where_it_is() {
    let lying = Lying::new();
    lying.link("image/etc/a", "b");
    lying.link("image/etc/b", "/etc/a");
    let image = lying.image();
    for error in [
        image.read(Path::new("/etc/a")).expect_err("it is a loop"),
        image.target(Path::new("/etc/a")).expect_err("it is a loop"),
        image
            .write_file(Path::new("/etc/a/x"), b"", 0o644)
            .expect_err("it is a loop"),
        image.sync(&[Path::new("/etc/a/x")]).expect_err("it is a loop"),
    ] {
        assert_eq!(error.kind(), platform::too_many_links().kind());
        assert!(error.to_string().contains("image/etc/a"), "{error}");
    }
    assert!(image.entry(Path::new("/etc/a")).is_ok_and(|entry| entry.is_some()));
    image.remove(Path::new("/etc/a")).expect("the link itself is removed");
    assert_eq!(
        image.target(Path::new("/etc/b")).expect("it is looked at"),
        None,
        "it dangles"
    );
}

/// What replaces a path is prepared beside it, which for the root would be outside.
#[test]
fn the_root_of_an_image_is_neither_replaced_nor_removed() {
    let lying = Lying::new();
    fs::remove_dir_all(lying.host("image")).expect("it is writable");
    fs::create_dir(lying.host("image")).expect("it is writable");
    let image = lying.image();
    for path in ["/", "", "/..", "."].map(Path::new) {
        let error = image.write_file(path, b"x", 0o644).expect_err("it is the root");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(image.link(path, Path::new("/x")).is_err());
        assert!(image.remove(path).is_err());
        assert!(image.remove_folder(path).is_err());
        assert!(image.make_folder(path, 0o700).is_err());
        assert!(
            image
                .entry(path)
                .expect("it is looked at")
                .is_some_and(|entry| entry.kind == EntryKind::Folder)
        );
    }
    assert!(lying.host("image").is_dir());
    lying.assert_untouched();
}
