//! The profiles, as systemd scores them and as apps live in them: what is left to an app works, after a reboot too, and the rest is
//! refused. The lab has limits, so that rules of devices bite, and `PyTorch`.
//! Longer than 300 lines: most of it is what the apps do.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{
    lab::{Lab, Setup},
    skipped,
};

/// The exposure of a manifest, and every point of it, as the program tells it.
fn security(lab: &Lab, manifest: &str) -> (f64, serde_json::Value) {
    lab.write("/srv/scored/app.toml", manifest, 0o644);
    let out = lab
        .run("autoglm-boot security --json -m /srv/scored/app.toml")
        .expect(0);
    let answer: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    (answer["exposure"].as_f64().unwrap(), answer)
}

#[test]
fn each_profile_has_its_score_and_each_point_its_cost() {
    const HTTP: &str = "app.name = \"scored\"\nservice.user = \"app\"\nservice.command = [\"python3\", \"-m\", \"http.server\", \"8000\", \"--bind\", \"127.0.0.1\"]\nreadiness.http = \"http://127.0.0.1:8000/\"\n";
    let lab = Lab::with_program("score");
    let classic = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/27-classic-open-autoglm/classic.service");
    lab.write(
        "/etc/systemd/system/classic.service",
        &std::fs::read_to_string(classic).unwrap(),
        0o644,
    );
    let out = lab
        .run("systemd-analyze security --offline=true --no-pager /etc/systemd/system/classic.service")
        .expect(0);
    assert!(out.stdout.contains(": 9.2 UNSAFE"), "{}", out.stdout);
    for (lines, most) in [
        ("security.profile = \"none\"\n", 9.2),
        ("", 3.5),
        (
            "security.profile = \"strict\"\nsecurity.writable_directories = [\"data\"]\n",
            1.2,
        ),
        ("security.profile = \"strict\"\nsecurity.devices = [\"nvidia\"]\n", 1.4),
        (
            "security.profile = \"strict\"\nsecurity.network = \"none\"\nreadiness.http = \"\"\n",
            0.8,
        ),
    ] {
        let manifest = if lines.contains("readiness") {
            HTTP.lines().take(3).collect::<Vec<_>>().join("\n") + "\n"
        } else {
            HTTP.into()
        };
        let (exposure, answer) = security(
            &lab,
            &format!("{manifest}{}", lines.replace("readiness.http = \"\"\n", "")),
        );
        assert!(exposure <= most && exposure > 0.0, "{lines}: {exposure}");
        for point in answer["points"].as_array().unwrap() {
            assert!(!point["cost"].as_str().unwrap().contains("not known"), "{point}");
            let profile = format!("security.profile = {}", answer["profile"]);
            assert_ne!(point["close"].as_str().unwrap(), profile, "it is in force: {point}");
        }
    }
    let out = lab.run("autoglm-boot security -m /srv/scored/app.toml").expect(0);
    assert!(out.stdout.starts_with("scored: exposure 0."), "{}", out.stdout);
    assert!(
        out.stdout.contains("systemd holds nothing of it") && out.stdout.contains("it costs: "),
        "{}",
        out.stdout
    );
    assert_eq!(
        lab.run("ls -d /tmp/autoglm-boot-security-*").code,
        2,
        "its folder is gone"
    );

    lab.write("/srv/scored/app.toml", HTTP, 0o644);
    lab.run("autoglm-boot install -m /srv/scored/app.toml").expect(0);
    let out = lab.run("autoglm-boot security --json scored").expect(0);
    let answer: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(answer["live"]["exposure"], answer["exposure"]);
    lab.run("autoglm-boot uninstall scored").expect(0);
}

/// The layer with `PyTorch` and Java; it takes the network once.
fn runtimes() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/runtimes");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    if !output.status.success() {
        skipped(
            "PyTorch and Java under the profiles",
            "their layer could not be built (see above)",
        );
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

/// What an app in Python does, each by its name in the address; it answers ok, or how it failed.
const PYTHON: &str = include_str!("lab/apps/app.py");
const PROBES: [&str; 10] = [
    "files",
    "sqlite",
    "threads",
    "processes",
    "shared",
    "subprocesses",
    "sockets",
    "native",
    "torches",
    "refused",
];

/// The same for Node.
const NODE: &str = include_str!("lab/apps/app.js");
/// The same for Java.
const JAVA: &str = include_str!("lab/apps/App.java");

fn strict(name: &str, command: &str, port: u16, rest: &str) -> String {
    format!(
        "app.name = \"{name}\"\nservice.user = \"app\"\nservice.command = {command}\nreadiness.http = \"http://127.0.0.1:{port}/\"\n\
         security.profile = \"strict\"\nsecurity.writable_directories = [\"data\"]\n{rest}"
    )
}

/// What an app answers.
fn get(lab: &Lab, port: u16, path: &str) -> String {
    lab.run(&format!("curl -s --max-time 120 http://127.0.0.1:{port}/{path}"))
        .expect(0)
        .stdout
}

/// A character device that opens well and is none of those that everybody may: a misc device of this kernel.
fn misc(lab: &Lab) -> String {
    let misc = lab.run("cat /proc/misc").stdout;
    let known = [
        "fuse",
        "cpu_dma_latency",
        "loop-control",
        "userfaultfd",
        "device-mapper",
        "udmabuf",
        "hwrng",
    ];
    for name in known {
        let number = misc
            .lines()
            .find_map(|line| line.trim().split_once(' ').filter(|(_, found)| *found == name));
        let Some((number, _)) = number else { continue };
        let made = format!(
            "rm -f /dev/try && mknod /dev/try c 10 {number} && chmod 666 /dev/try && runuser -u app -- python3 -c 'import os; os.open(\"/dev/try\", os.O_RDWR)'"
        );
        if lab.run(&made).code == 0 {
            return number.to_owned();
        }
    }
    panic!("no misc device opens: {misc}")
}

/// What Python is asked for.
fn probes(has_layer: bool, is_kept: bool) -> impl Iterator<Item = &'static str> {
    let is_asked = move |probe: &&str| (has_layer || *probe != "torches") && (is_kept || *probe != "refused");
    PROBES.into_iter().filter(is_asked)
}

fn works(lab: &Lab, has_layer: bool) {
    for probe in probes(has_layer, true) {
        assert_eq!(get(lab, 8401, probe), "ok", "{probe}");
    }
    assert_eq!(get(lab, 8402, "all"), "ok");
    if has_layer {
        assert_eq!(get(lab, 8406, "all"), "ok");
    }
    for port in [8403, 8404] {
        assert_eq!(get(lab, port, "device"), "ok", "with its device, {port}");
    }
    assert!(get(lab, 8401, "device").contains("Error: [Errno"), "without");
}

/// Another app sees the nodes, and is refused by the rule.
fn others_are_refused(lab: &Lab) {
    lab.run("mknod /dev/scanner c 1 3 && chmod 666 /dev/scanner").expect(0);
    for node in ["/dev/nvidia0", "/dev/bus/usb/001/002"] {
        let refused = strict(
            "refused",
            &format!("[\"python3\", \"app.py\", \"8405\", \"/srv/refused/data\", \"{node}\"]"),
            8405,
            "security.devices = [\"/dev/scanner\"]\n",
        );
        lab.write("/srv/refused/app.py", PYTHON, 0o644);
        lab.write("/srv/refused/app.toml", &refused, 0o644);
        lab.run("autoglm-boot install -m /srv/refused").expect(0);
        let told = get(lab, 8405, "device");
        assert!(told.contains(&format!("Operation not permitted: '{node}'")), "{told}");
        lab.run("autoglm-boot uninstall refused").expect(0);
    }
}

/// With the loopback only, an app reaches its own machine by 127.0.0.1, and no other address.
fn loopback_is_all(lab: &Lab) {
    let address = "[Match]\nName=lo\n[Network]\nAddress=10.9.9.9/32\nAddress=127.0.0.1/8\n";
    lab.write("/etc/systemd/network/lo.network", address, 0o644);
    lab.run("systemctl start systemd-networkd && systemd-run -q --unit=far python3 -m http.server 8409 && until curl -s -o /dev/null http://10.9.9.9:8409/; do sleep 0.1; done").expect(0);
    let ask = "import sys, time, urllib.request\nurllib.request.urlopen('http://127.0.0.1:8409/', timeout=5)\n\
        try: urllib.request.urlopen('http://10.9.9.9:8409/', timeout=2)\nexcept OSError: time.sleep(1000)\n";
    lab.write("/srv/near/ask.py", ask, 0o644);
    for (network, exit) in [("loopback", 0), ("any", 1)] {
        let manifest = format!(
            "app.name = \"near\"\nservice.user = \"app\"\nservice.command = [\"python3\", \"ask.py\"]\nreadiness.settle = \"4s\"\nsecurity.network = \"{network}\"\n"
        );
        lab.write("/srv/near/app.toml", &manifest, 0o644);
        lab.run("autoglm-boot install -m /srv/near").expect(exit);
        lab.run("autoglm-boot uninstall near");
    }
    lab.run("systemctl stop far systemd-networkd").expect(0);
}

#[test]
fn under_the_strict_profile_apps_work_write_their_folder_and_are_refused_elsewhere_after_a_reboot_too() {
    let layer = runtimes();
    let has_layer = layer.is_some();
    let setup = Setup {
        layers: layer.into_iter().collect(),
        has_limits: true,
        ..Setup::default()
    };
    let mut lab = Lab::with_program_and("strict", setup);
    let number = misc(&lab);
    // As udev would: a GPU's node and a USB device's, at each boot.
    let nodes = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'mkdir -p /dev/bus/usb/001 && mknod /dev/nvidia0 c 10 {number} && mknod /dev/bus/usb/001/002 c 10 {number}; chmod 666 /dev/nvidia0 /dev/bus/usb/001/002'\n[Install]\nWantedBy=sysinit.target\n"
    );
    lab.write("/etc/systemd/system/nodes.service", &nodes, 0o644);
    lab.run("systemctl enable --now nodes").expect(0);
    for folder in ["strict", "gpu", "usb"] {
        lab.write(&format!("/srv/{folder}/app.py"), PYTHON, 0o644);
    }
    lab.write("/srv/node/app.js", NODE, 0o644);
    lab.write("/srv/java/App.java", JAVA, 0o644);
    let python = |port: u16, folder: &str, device: &str| {
        format!("[\"python3\", \"app.py\", \"{port}\", \"/srv/{folder}/data\", \"{device}\"]")
    };
    let apps = [
        (
            "strict",
            strict("strict", &python(8401, "strict", "/dev/nvidia0"), 8401, ""),
        ),
        (
            "node",
            strict("node", "[\"node\", \"app.js\", \"8402\", \"data\", \"kept\"]", 8402, ""),
        ),
        (
            "java",
            strict(
                "java",
                "[\"java\", \"App.java\", \"8406\", \"data\", \"kept\"]",
                8406,
                "",
            ),
        ),
        (
            "gpu",
            strict(
                "gpu",
                &python(8403, "gpu", "/dev/nvidia0"),
                8403,
                "security.devices = [\"nvidia\"]\n",
            ),
        ),
        (
            "usb",
            strict(
                "usb",
                &python(8404, "usb", "/dev/bus/usb/001/002"),
                8404,
                "security.devices = [\"/dev/bus/usb/001/002\"]\n",
            ),
        ),
    ];
    for (folder, manifest) in &apps {
        lab.write(&format!("/srv/{folder}/app.toml"), manifest, 0o644);
    }
    let java = if has_layer { "-m /srv/java" } else { "" };
    lab.run(&format!(
        "autoglm-boot install -m /srv/strict -m /srv/node -m /srv/gpu -m /srv/usb {java}"
    ))
    .expect(0);
    works(&lab, has_layer);
    others_are_refused(&lab);
    loopback_is_all(&lab);

    lab.reboot();
    lab.run("until autoglm-boot status -q; do sleep 0.2; done").expect(0);
    works(&lab, has_layer);
    lab.run("until autoglm-boot status -q; do sleep 0.2; done").expect(0); // it may have answered late
    lab.run("systemctl show -P NRestarts strict node gpu usb java | grep -vx '' | sort -u | grep -x 0")
        .expect(0);
    for app in ["strict", "node", "usb", "java"]
        .iter()
        .filter(|app| has_layer || **app != "java")
    {
        let told = lab.run(&format!("autoglm-boot doctor {app}")).expect(0).stdout;
        assert_eq!(told, format!("{app}: nothing found\n"));
    }
    let told = lab.run("autoglm-boot doctor gpu").expect(1).stdout;
    assert!(told.contains("gpu-driver"), "a node alone is no driver: {told}");
    for (app, _) in apps.iter().filter(|(app, _)| has_layer || *app != "java") {
        lab.run(&format!("autoglm-boot uninstall {app}")).expect(0);
    }
}

#[test]
fn under_the_standard_profile_ordinary_apps_miss_nothing_in_either_scope() {
    let layer = runtimes();
    let has_layer = layer.is_some();
    let setup = Setup {
        layers: layer.into_iter().collect(),
        ..Setup::default()
    };
    let lab = Lab::with_program_and("standard", setup);
    for (scope, user, folder, base) in [
        ("--system", "app", "/srv/apps", 8430),
        ("--user=web", "web", "/home/web/apps", 8440),
    ] {
        let mut apps = vec![
            ("python", "[\"python3\", \"app.py\""),
            ("node", "[\"node\", \"app.js\""),
        ];
        if has_layer {
            apps.push(("java", "[\"java\", \"App.java\""));
        }
        for (port, (name, command)) in (base..).zip(&apps) {
            let manifest = format!(
                "app.name = \"{name}\"\nservice.command = {command}, \"{port}\", \"data\"]\nreadiness.http = \"http://127.0.0.1:{port}/\"\n"
            );
            lab.write(&format!("{folder}/{name}/app.toml"), &manifest, 0o644);
            for (file, text) in [("app.py", PYTHON), ("app.js", NODE), ("App.java", JAVA)] {
                lab.write(&format!("{folder}/{name}/{file}"), text, 0o644);
            }
            lab.write(&format!("{folder}/{name}/data/x"), "", 0o644);
        }
        lab.run(&format!(
            "chown -R {user} {folder} && autoglm-boot install {scope} -m {folder}"
        ))
        .expect(0);
        for probe in probes(has_layer, false) {
            assert_eq!(get(&lab, base, probe), "ok", "{scope} {probe}");
        }
        for (port, (name, _)) in (base..).zip(&apps).skip(1) {
            assert_eq!(get(&lab, port, "all"), "ok", "{scope} {name}");
        }
        // What was as busy as that may have answered late, until it is asked again.
        lab.run(&format!("until autoglm-boot status -q {scope}; do sleep 0.2; done"))
            .expect(0);
        let told = lab.run(&format!("autoglm-boot doctor {scope}")).expect(0).stdout;
        assert!(told.lines().all(|line| line.ends_with(": nothing found")), "{told}");
    }
}

/// What an app in user scope may, under each profile.
#[test]
fn in_user_scope_the_profiles_hold_as_far_as_they_can_and_the_rest_is_told() {
    let lab = Lab::with_program("strict-user");
    for (profile, port) in [("standard", 8411), ("strict", 8412)] {
        let folder = format!("/home/web/{profile}");
        lab.write(&format!("{folder}/app.py"), PYTHON, 0o644);
        let command = format!("[\"python3\", \"app.py\", \"{port}\", \"{folder}/data\", \"/dev/null\"]");
        let manifest = strict(profile, &command, port, "")
            .replace("service.user = \"app\"\n", "")
            .replace("\"strict\"\nsecurity.w", &format!("\"{profile}\"\nsecurity.w"));
        lab.write(&format!("{folder}/app.toml"), &manifest, 0o644);
        lab.run(&format!("chown -R web {folder}")).expect(0);
        let out = lab
            .run(&format!("autoglm-boot install --user=web -m {folder}/app.toml"))
            .expect(0);
        assert!(
            out.stderr
                .contains(&format!("security.profile \"{profile}\": a user's service manager")),
            "{}",
            out.stderr
        );
        for probe in probes(false, false) {
            assert_eq!(get(&lab, port, probe), "ok", "{profile} {probe}");
        }
    }
    lab.run("runuser -u web -- touch /home/web/x").expect(0);
    let elsewhere = "curl -s http://127.0.0.1:8412/refused";
    let told = lab.run(elsewhere).stdout;
    assert!(!told.contains("it could write"), "{told}");
    assert!(lab.path("/home/web/strict/data/x").exists());

    // Without a network: not even that of the machine itself.
    for (scope, user) in [("--system", "service.user = \"web\"\n"), ("--user=web", "")] {
        let ask = "import time, urllib.request\ntry: urllib.request.urlopen('http://127.0.0.1:8411/')\nexcept OSError: time.sleep(1000)\n";
        lab.write("/home/web/alone/ask.py", ask, 0o644);
        let manifest = format!(
            "app.name = \"alone\"\n{user}service.command = [\"python3\", \"ask.py\"]\nreadiness.settle = \"1s\"\nsecurity.network = \"none\"\n"
        );
        lab.write("/home/web/alone/app.toml", &manifest, 0o644);
        lab.run("chown -R web /home/web/alone && curl -s http://127.0.0.1:8411/")
            .expect(0);
        lab.run(&format!("autoglm-boot install {scope} -m /home/web/alone"))
            .expect(0);
        lab.run(&format!("autoglm-boot uninstall {scope} alone")).expect(0);
        let any = manifest.replace("\"none\"", "\"any\"");
        lab.write("/home/web/alone/app.toml", &any, 0o644);
        lab.run(&format!("autoglm-boot install {scope} -m /home/web/alone"))
            .expect(1);
    }
    // A machine's app is asked inside of it.
    let inside = strict(
        "inside",
        "[\"python3\", \"app.py\", \"8413\", \"data\", \"\"]",
        8413,
        "security.network = \"none\"\n",
    );
    lab.write("/srv/inside/app.toml", &inside, 0o644);
    lab.write("/srv/inside/app.py", PYTHON, 0o644);
    lab.run("chown -R app /srv/inside && autoglm-boot install -m /srv/inside && autoglm-boot status inside")
        .expect(0);
    assert_ne!(
        lab.run("curl -s http://127.0.0.1:8413/").code,
        0,
        "it is reached from outside"
    );
    lab.run("autoglm-boot uninstall inside").expect(0);
}

/// The helper that waits for others runs within the profile: what it could not reach there, it would not wait for.
#[test]
fn under_the_strict_profile_what_is_required_is_waited_for_as_well() {
    let mut lab = Lab::with_program("strict-waits");
    for (scope, user, folder, port) in [
        ("--system", "app", "/srv", 8421),
        ("--user=web", "web", "/home/web", 8422),
    ] {
        let run_as = if scope == "--system" {
            "service.user = \"app\"\n"
        } else {
            ""
        };
        let slow = format!(
            "app.name = \"slow\"\n{run_as}service.command = [\"/bin/sh\", \"-c\", \"sleep 2; exec python3 -m http.server {port} --bind 127.0.0.1\"]\nreadiness.http = \"http://127.0.0.1:{port}/\"\n"
        );
        let eager = format!(
            "app.name = \"eager\"\n{run_as}service.command = [\"python3\", \"-c\", \"import time, urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/'); time.sleep(1000)\"]\n\
             dependencies.requires = [\"slow\"]\nsecurity.profile = \"strict\"\nreadiness.settle = \"500ms\"\n"
        );
        lab.write(&format!("{folder}/apps/slow.toml"), &slow, 0o644);
        lab.write(&format!("{folder}/apps/eager.toml"), &eager, 0o644);
        lab.run(&format!(
            "chown -R {user} {folder}/apps && autoglm-boot install {scope} -m {folder}/apps"
        ))
        .expect(0);
    }
    lab.reboot();
    for (scope, systemctl) in [
        ("--system", "systemctl"),
        (
            "--user=web",
            "runuser -u web -- env XDG_RUNTIME_DIR=/run/user/1001 systemctl --user",
        ),
    ] {
        lab.run(&format!("until autoglm-boot status -q {scope}; do sleep 0.2; done"))
            .expect(0);
        assert_eq!(
            lab.run(&format!("{systemctl} show -P NRestarts eager")).stdout,
            "0\n",
            "{scope}"
        );
    }
}
