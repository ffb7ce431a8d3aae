//! Images: `--root` on a machine without systemd writes into the root filesystem of another one, which then boots.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Output},
};

use support::lab::{Lab, binaries};

/// The program is in the image only.
const APP: &str =
    "[app]\nname = \"app\"\n[service]\ncommand = [\"keeper\", \"1000\"]\n[readiness]\nsettle = \"100ms\"\n";

fn binds() -> Vec<String> {
    let (host, inside) = binaries();
    vec![format!("{}:{inside}", host.display())]
}

/// The program, on this machine.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_autoglm-boot"))
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
    format!("{out}{err}")
}

/// Puts the app into an image: its manifest, its program, and where its units lie a link that is absolute.
fn furnish(root: &Path, folder: &str) -> (String, String) {
    let folder = root.join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("app.toml"), APP).unwrap();
    fs::copy(root.join("usr/bin/sleep"), root.join("usr/local/bin/keeper")).unwrap();
    fs::set_permissions(root.join("usr/local/bin/keeper"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    (text(root), text(&folder.join("app.toml")))
}

#[test]
fn an_image_boots_with_the_app_running() {
    let lab = Lab::prepared("image", &binds(), |root| {
        let (image, manifest) = furnish(root, "srv/app");
        let moved = Command::new("mv")
            .arg(root.join("etc/systemd"))
            .arg(root.join("opt/systemd"))
            .status();
        assert!(moved.unwrap().success());
        symlink("/opt/systemd", root.join("etc/systemd")).unwrap();
        let said = expect(&run(&["install", "--root", &image, "-m", &manifest, "--check"]), 6);
        assert!(said.contains("changes pending"), "{said}");
        let said = expect(&run(&["install", "--root", &image, "-m", &manifest]), 0);
        assert!(
            said.contains("app: installed in the image") && !said.contains("systemctl"),
            "{said}"
        );
        let unit = fs::read_to_string(root.join("opt/systemd/system/app.service")).unwrap();
        assert!(unit.contains("ExecStart=\"/usr/local/bin/keeper\" \"1000\""), "{unit}");
        assert!(!unit.contains(&image), "{unit}");
        let link = fs::read_link(root.join("opt/systemd/system/multi-user.target.wants/app.service")).unwrap();
        assert_eq!(link, Path::new("/etc/systemd/system/app.service"));
        let said = expect(&run(&["install", "--root", &image, "-m", &manifest]), 0);
        assert!(said.contains("unchanged"), "{said}");
    });
    for trace in [
        "/etc/systemd/system/app.service",
        "/opt/systemd",
        "/var/lib/autoglm-boot",
    ] {
        assert!(!Path::new(trace).exists(), "{trace} of this machine");
    }
    lab.run("until /opt/bin/autoglm-boot status -q app; do sleep 0.1; done; pgrep -x keeper")
        .expect(0);
    let said = lab
        .run("/opt/bin/autoglm-boot install -m /srv/app/app.toml")
        .expect(0)
        .stdout;
    assert!(said.contains("unchanged"), "{said}");
    lab.run("/opt/bin/autoglm-boot uninstall app").expect(0);
    assert!(!lab.path("/var/lib/autoglm-boot").exists());
}

#[test]
fn an_image_boots_with_an_app_of_a_user_running_without_a_login() {
    let mut lab = Lab::prepared("image-user", &binds(), |root| {
        let (image, manifest) = furnish(root, "home/web/app");
        let said = expect(&run(&["install", "--root", &image, "-m", &manifest, "--user"]), 2);
        assert!(said.contains("--user=NAME"), "{said}");
        let said = expect(
            &run(&["install", "--root", &image, "-m", &manifest, "--user=nobody-such"]),
            2,
        );
        assert!(said.contains("the image has no user nobody-such"), "{said}");
        expect(&run(&["install", "--root", &image, "-m", &manifest, "--user=web"]), 0);
        let home = fs::metadata(root.join("home/web")).unwrap();
        for path in [
            ".config",
            ".config/systemd/user/app.service",
            ".config/systemd/user/default.target.wants",
            ".config/systemd/user/default.target.wants/app.service",
            ".local/state/autoglm-boot/apps/app/receipt.json",
            ".local/state/autoglm-boot/lock",
        ] {
            let meta = fs::symlink_metadata(root.join("home/web").join(path)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (home.uid(), home.gid()), "{path}");
        }
        assert_eq!(fs::metadata(root.join("var/lib/systemd/linger/web")).unwrap().uid(), 0);
    });
    lab.run("until /opt/bin/autoglm-boot status -q --user=web app; do sleep 0.1; done")
        .expect(0);
    lab.run("ps -o user= -p $(pgrep -x keeper) | grep -x web").expect(0);
    lab.run("/opt/bin/autoglm-boot uninstall --user=web app").expect(0);
    assert!(!lab.path("/var/lib/systemd/linger/web").exists());
    assert!(!lab.path("/home/web/.local/state/autoglm-boot").exists());
    lab.reboot();
    assert_ne!(lab.run("pgrep -x keeper").code, 0);
}

#[test]
fn what_is_installed_in_an_image_is_removed_again_and_what_does_not_lie_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in [
        "usr/bin",
        "usr/local/bin",
        "usr/lib/systemd",
        "sbin",
        "etc/systemd/system",
        "var/lib",
    ] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nweb:x:4711:4711::/home/web:/bin/sh\n",
    )
    .unwrap();
    fs::copy("/usr/bin/sleep", root.join("usr/bin/sleep")).unwrap();
    fs::write(root.join("usr/lib/systemd/systemd"), "").unwrap();
    symlink("/lib/systemd/systemd", root.join("sbin/init")).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    let (image, manifest) = furnish(root, "srv/all");
    fs::write(
        root.join("srv/all/b.toml"),
        APP.replace("\"app\"", "\"b\"").replace("keeper", "sleep"),
    )
    .unwrap();
    let listing = |root: &Path| {
        let out = Command::new("find")
            .arg(root)
            .arg("-printf")
            .arg("%P %M %l\n")
            .output()
            .unwrap();
        let mut lines: Vec<_> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    let before = listing(root);
    let all = root.join("srv/all").to_str().unwrap().to_owned();
    let said = expect(&run(&["install", "--root", &image, "-m", &all, "--json"]), 0);
    assert!(said.contains("\"outcome\": \"installed\""), "{said}");
    assert!(
        root.join("etc/systemd/system/multi-user.target.wants/b.service")
            .is_symlink()
    );
    for name in ["app", "b"] {
        expect(&run(&["uninstall", "--root", &image, name]), 0);
    }
    assert_eq!(listing(root), before);

    let outside = tempfile::tempdir().unwrap();
    let other = outside.path().join("app.toml");
    fs::write(&other, APP).unwrap();
    let said = expect(&run(&["install", "--root", &image, "-m", other.to_str().unwrap()]), 2);
    assert!(said.contains("does not lie in the image"), "{said}");
    fs::write(&manifest, APP.replace("keeper", "bash")).unwrap();
    let said = expect(&run(&["check", "--root", &image, "-m", &manifest]), 1);
    assert!(
        said.contains("there is no program \"bash\""),
        "what only this machine has: {said}"
    );
    let said = expect(&run(&["install", "--root", "/no-such-image", "-m", &manifest]), 2);
    assert!(said.contains("--root /no-such-image"), "{said}");
    assert_eq!(listing(root), before);
}
