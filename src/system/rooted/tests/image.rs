//! What an image knows: its accounts, programs, locks and folder.

use super::*;

#[test]
fn accounts_are_those_of_the_image() {
    let lying = Lying::new();
    fs::rename(lying.host("image/etc/passwd"), lying.host("image/usr/passwd")).expect("it is writable");
    lying.link("image/etc/passwd", "/usr/passwd");
    let image = lying.image();
    let alice = image.user("alice").expect("the image has her");
    assert_eq!(
        (alice.uid, alice.gid, &*alice.home),
        (1234, 2345, Path::new("/home/alice"))
    );
    assert_eq!(image.group("2345").as_deref(), Some("users"));
    assert_eq!(image.user("daemon"), None, "the host's are not the image's");
    assert_eq!(image.home().as_deref(), Some(Path::new("/root")));
    let image = image.for_account(alice).expect("her home is a path");
    assert_eq!(image.home().as_deref(), Some(Path::new("/home/alice")));
    fs::remove_file(lying.host("image/usr/passwd")).expect("it is writable");
    assert_eq!(
        image.user("0").and_then(|user| user.name),
        None,
        "an image without accounts has numbers only"
    );
}

/// Only root can give anything away; whoever else runs this sees that nothing fails.
#[test]
fn what_is_created_in_the_home_of_the_account_is_its_own() {
    let lying = Lying::new();
    lying.link("image/home", "var/home");
    lying.link("image/var/home/alice/shared", "/tmp");
    lying.write("image/var/home/alice/old", "");
    let image = lying.image();
    let alice = image.user("alice").expect("the image has her");
    let image = image.for_account(alice).expect("her home is a path");
    let home = Path::new("/home/alice");
    image.make_folder(&home.join("units"), 0o755).expect("it is writable");
    for place in [
        "/home/alice/units/file",
        "/home/alice/old",
        "/home/alice/shared/file",
        "/var/file",
    ]
    .map(Path::new)
    {
        image.write_file(place, b"", 0o644).expect("it is writable");
    }
    let lock = image.lock(&home.join("lock")).expect("it is writable");
    for place in ["/home/alice/units/link", "/tmp/link"].map(Path::new) {
        image.link(place, Path::new("/dev/null")).expect("it is writable");
    }
    image
        .set_owner(&home.join("shared"), 1234, 2345)
        .expect("it is there, or it is not ours to give");
    let us = (
        platform::euid(),
        Real.entry(&lying.host("image"))
            .expect("it is there")
            .expect("it is there")
            .gid,
    );
    let hers = if us.0 == 0 { (1234, 2345) } else { us };
    for (place, owner) in [
        ("/home/alice/units", hers),
        ("/home/alice/units/file", hers),
        ("/home/alice/units/link", hers),
        ("/home/alice/lock", hers),
        ("/home/alice/shared", hers),
        ("/tmp", us),
        ("/home/alice/old", us),
        ("/tmp/file", us),
        ("/tmp/link", us),
        ("/var/file", us),
    ] {
        let entry = image
            .entry(Path::new(place))
            .expect("it is looked at")
            .expect("it is there");
        assert_eq!((entry.uid, entry.gid), owner, "{place}");
    }
    assert!(lock.is_some());
}

#[test]
fn the_root_folder_is_nobodys_home() {
    let lying = Lying::new();
    let image = lying.image();
    let nameless = image.user("1234567").expect("a number needs no name");
    let image = image.for_account(nameless).expect("its home is a path");
    image
        .write_file(Path::new("/etc/file"), b"", 0o644)
        .expect("it is writable");
    let entry = image
        .entry(Path::new("/etc/file"))
        .expect("it is looked at")
        .expect("it is there");
    assert_eq!(entry.uid, platform::euid());
}

#[test]
fn programs_are_found_inside_and_must_be_executable() {
    let lying = Lying::new();
    for (file, mode) in [("usr/sbin/app", 0o644), ("usr/bin/app", 0o711), ("usr/bin/tool", 0o644)] {
        lying.write(&format!("image/{file}"), "");
        platform::set_mode(&lying.host("image").join(file), mode).expect("it is ours");
    }
    fs::create_dir(lying.host("image/usr/sbin/folder")).expect("it is writable");
    lying.link("image/bin", "usr/bin");
    lying.link("image/usr/bin/python3", "/usr/bin/app");
    lying.link(
        "image/usr/bin/sh",
        fs::canonicalize("/bin/sh").expect("the host has one"),
    );
    let image = lying.image();
    let path = image.env("PATH").expect("an image has one");
    let path: Vec<_> = std::env::split_paths(&path).collect();
    for (name, found) in [
        ("app", Some("/usr/bin/app")),
        ("python3", Some("/usr/bin/python3")),
        ("tool", None),
        ("folder", None),
        ("sh", None),
        ("", None),
    ] {
        assert_eq!(
            image.find_program(name, &path).as_deref(),
            found.map(Path::new),
            "{name:?}"
        );
    }
    assert_eq!(
        image.find_program("app", &["/bin".into()]).as_deref(),
        Some(Path::new("/bin/app"))
    );
}

#[test]
fn nothing_is_run_and_nothing_of_our_environment_is_the_images() {
    let lying = Lying::new();
    let image = lying.image();
    let cmd = Cmd::new("touch", [lying.host("outside/ran").to_str().expect("UTF-8")]);
    assert!(image.query(&cmd).is_err());
    assert!(image.start_detached(&cmd).is_err());
    let error = image.run(&cmd, true).expect_err("it is not run");
    assert!(
        error.to_string().starts_with("nothing is run in an image: `touch "),
        "{error}"
    );
    assert!(image.become_command(&cmd).to_string().contains("nothing is run"));
    let probe = service::Probe::Command {
        argv: vec!["/bin/true".into()],
    };
    assert!(
        image
            .ask(&probe, Duration::from_secs(1), &crate::health::Asker::Ourselves)
            .is_err()
    );
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && image.env("CARGO_MANIFEST_DIR").is_none());
    assert_eq!(image.env("SUDO_USER"), std::env::var_os("SUDO_USER"));
    lying.assert_untouched();
}

#[test]
fn a_lock_is_one_of_the_image() {
    let lying = Lying::new();
    lying.link("image/run", "var/lib");
    let image = lying.image();
    let path = Path::new("/run/lock");
    assert!(!image.is_locked(path));
    let lock = image.lock(path).expect("it is writable");
    assert!(lock.is_some() && image.is_locked(path) && Real.is_locked(&lying.host("image/var/lib/lock")));
    assert!(image.lock(path).expect("it is there").is_none(), "it is held");
    drop(lock);
    assert!(!image.is_locked(path));
}

#[test]
fn an_image_is_a_folder_and_knows_what_lies_in_it() {
    let lying = Lying::new();
    lying.link("mount", "image");
    lying.link("image/srv", "/tmp");
    lying.link("image/away", "/is/not/on/the/host");
    lying.link("image/opt", lying.host("outside"));
    for (folder, said) in [("outside/file", "not a directory"), ("gone", "No such file")] {
        let Err(error) = Rooted::new(&Real, &lying.host(folder)) else {
            panic!("{folder} is an image");
        };
        assert!(
            error.to_string().contains(said) && error.to_string().contains(folder),
            "{error}"
        );
    }
    let image = Rooted::new(&Real, &lying.host("mount")).expect("a link to a folder is one");
    assert_eq!(
        image.folder(),
        fs::canonicalize(lying.host("image")).expect("it is there")
    );
    for (path, inside) in [
        ("image/etc/passwd", Some("/etc/passwd")),
        ("mount/etc/passwd", Some("/etc/passwd")),
        ("mount/etc/new", Some("/etc/new")),
        ("outside/../image/etc/../tmp", Some("/tmp")),
        ("image/srv", Some("/srv")),
        ("image", Some("/")),
        ("mount/etc/..", Some("/")),
        ("outside/file", None),
        ("image/..", None),
        ("image/gone/file", Some("/gone/file")),
        ("mount/gone/deep/file", Some("/gone/deep/file")),
        ("image/away/file", Some("/away/file")),
        ("image/opt/file", None),
        ("image/gone/../etc", None),
        ("image/gone/..", None),
        ("gone/file", None),
        ("gone/image/file", None),
        ("", None),
    ] {
        assert_eq!(
            image.inside(&lying.host(path)).as_deref(),
            inside.map(Path::new),
            "{path}"
        );
    }
    assert_eq!(image.inside(Path::new("Cargo.toml")), None);
    let everything = Rooted::new(&Real, Path::new("/")).expect("it is a folder");
    let here = std::env::current_dir().expect("we are somewhere");
    assert_eq!(
        everything.inside(Path::new("Cargo.toml")),
        Some(here.join("Cargo.toml"))
    );
}
