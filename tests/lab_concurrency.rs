//! Fifty runs at once, of overlapping names: each ends well, one after the other, and what is there afterwards is whole; also
//! when some are killed while they hold the lock.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::{collections::BTreeSet, fs, time::Instant};

use serde_json::Value;
use support::lab::Lab;

const FOLDERS: [&str; 3] = ["/etc", "/usr", "/var/lib"];
const STATE: &str = "/var/lib/autoglm-boot";
const UNITS: &str = "/etc/systemd/system";

/// How one of the runs ended.
#[derive(Debug)]
struct Ended {
    args: String,
    code: Option<i64>,
    stdout: String,
    stderr: String,
}

/// A round of them all at once (`tests/lab/crowd.py`); so many of those at work are killed.
fn round(lab: &Lab, name: &str, kills: usize) -> Vec<Ended> {
    let start = Instant::now();
    let said = lab
        .run(&format!("python3 /srv/crowd.py {name} {kills}"))
        .expect(0)
        .stdout;
    let runs: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(runs.len(), 50);
    let slowest = runs
        .iter()
        .filter_map(|run| run["seconds"].as_f64())
        .fold(0.0, f64::max);
    println!("{name}: {:?}, the slowest run {slowest:.1} s", start.elapsed());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ended = |run: &Value| Ended {
        args: run["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect::<Vec<_>>()
            .join(" "),
        code: run["code"].as_i64(),
        stdout: text(&run["stdout"]),
        stderr: text(&run["stderr"]),
    };
    runs.iter().map(ended).collect()
}

/// Whether a run ended as its verb may.
fn judge(run: &Ended, kills: usize) {
    let verb = run.args.split(' ').next().unwrap();
    let allowed: &[i64] = match verb {
        "install" | "list" | "check" => &[0],
        "uninstall" | "restart" => &[0, 4],
        "status" => &[0, 3, 4, 7],
        other => panic!("{other}"),
    };
    let code = run.code.unwrap_or_else(|| panic!("it hangs: {run:#?}"));
    let was_killed = kills > 0 && code == -9;
    assert!(was_killed || allowed.contains(&code), "{run:#?}");
    if verb == "status" && !was_killed {
        status(run, code, kills);
    }
}

/// The answer is whole, and says what can be.
fn status(run: &Ended, code: i64, kills: usize) {
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:#?}"));
    assert_eq!(answer["exit"], code);
    let apps = answer["apps"].as_array().unwrap();
    // Of several the worst counts.
    let rank = |code: i64| [0, 7, 3, 4].iter().position(|&known| known == code).unwrap();
    let mut worst = if apps.is_empty() { 4 } else { 0 };
    for app in apps {
        let code = match app["state"].as_str().unwrap() {
            "ready" | "running" => 0,
            "starting" | "installing" => 7,
            "interrupted-install" if kills > 0 => 7,
            "stopped" => 3, // for a moment, by a restart
            "not-installed" => 4,
            other => panic!("{other}: {run:#?}"),
        };
        worst = std::cmp::max_by_key(worst, code, |&code| rank(code));
        assert_eq!(app["drifted"], false, "{run:#?}");
    }
    assert_eq!(worst, code, "{run:#?}");
}

/// What is installed, after a look at everything that has to agree: receipts, units, links, systemd, processes.
fn installed(lab: &Lab) -> BTreeSet<String> {
    let left = lab
        .run(&format!(
            "find / -xdev -name '.*.autoglm-boot-new'; ls {STATE}/intent.*"
        ))
        .stdout;
    assert_eq!(left, "", "nothing is under way");
    let apps = names(lab, &format!("{STATE}/apps"), "");
    assert_eq!(
        names(lab, UNITS, ".service"),
        apps.iter().cloned().chain(reset_unit(&apps)).collect()
    );
    assert_eq!(
        names(lab, &format!("{UNITS}/multi-user.target.wants"), ".service"),
        apps
    );
    for app in &apps {
        agrees(lab, app);
    }
    let processes = lab.run("pgrep -cx sleep").stdout;
    assert_eq!(processes.trim(), apps.len().to_string(), "processes");
    if !apps.is_empty() {
        lab.run(&format!("flock --nonblock {STATE}/lock true")).expect(0);
    }
    apps
}

/// The names in a folder that end so, without that end.
fn names(lab: &Lab, folder: &str, end: &str) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(lab.path(folder)) else {
        return BTreeSet::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| Some(name.strip_suffix(end)?.to_owned()))
        .filter(|name| name.starts_with("app") || name.starts_with("autoglm"))
        .collect()
}

fn reset_unit(apps: &BTreeSet<String>) -> Option<String> {
    (!apps.is_empty()).then(|| "autoglm-boot-reset@".to_owned())
}

/// The records of an app, its unit, and what runs are of the same install.
fn agrees(lab: &Lab, app: &str) {
    let record = |file: &str| -> Value {
        let path = lab.path(&format!("{STATE}/apps/{app}/{file}"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&bytes).unwrap()
    };
    let unit = fs::read(lab.path(&format!("{UNITS}/{app}.service"))).unwrap();
    let (receipt, installed) = (record("receipt.json"), record("installed.json"));
    assert_eq!(receipt["digest"], autoglm_boot::receipt::digest(&unit), "{app}");
    assert_eq!(installed["rendered"].as_str().unwrap().as_bytes(), unit, "{app}");
    let value = receipt["version"].as_str().unwrap();
    let said = lab
        .run(&format!(
            "systemctl show -P ActiveState -P NeedDaemonReload {app}; systemctl is-enabled {app}; \
             tr '\\0' '\\n' </proc/$(systemctl show -P MainPID {app})/environ | grep ^VALUE="
        ))
        .stdout;
    assert_eq!(said, format!("active\nno\nenabled\nVALUE={value}\n"), "{app}");
    let environment = installed["service"]["environment"].to_string();
    assert!(environment.contains(value), "{environment}");
}

#[test]
fn fifty_runs_at_once_all_get_their_turn_and_leave_nothing_half_done() {
    let lab = Lab::with_program("crowd");
    lab.write("/srv/crowd.py", include_str!("lab/crowd.py"), 0o644);
    let before = lab.listing(&FOLDERS);
    for (name, kills) in [("first", 0), ("second", 0), ("killed", 8), ("last", 0)] {
        let runs = round(&lab, name, kills);
        for run in &runs {
            judge(run, kills);
        }
        if kills > 0 {
            let killed = runs.iter().filter(|run| run.code == Some(-9)).count();
            assert_eq!(killed, kills);
            let repaired =
                |run: &&Ended| format!("{}{}", run.stdout, run.stderr).contains("was interrupted: undoing it");
            assert!(runs.iter().any(|run| repaired(&run)));
            lab.run("autoglm-boot uninstall no-such-app").expect(4);
        }
        let apps = installed(&lab);
        println!("{name}: {apps:?}");
    }
    for app in installed(&lab) {
        lab.run(&format!("autoglm-boot uninstall {app}")).expect(0);
    }
    assert_eq!(installed(&lab), BTreeSet::new());
    assert_eq!(lab.listing(&FOLDERS), before);
    assert_eq!(lab.run("systemctl list-units --failed --quiet --no-pager").stdout, "");
}
