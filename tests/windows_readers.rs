//! What is rendered for Windows, read by others: every task by xmllint with the schema of `tests/schema`, every shortcut by
//! `LnkParse3` and by lnkinfo. `tests/run` has them installed; `eval "$(tests/lab/windows)"` does so by hand.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use autoglm_boot::service::{Method, Service};
use support::cases::cases;

fn schema() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/task.xsd")
}

/// What xmllint says against it; nothing, where it is valid.
fn refused_by_schema(file: &Path) -> Option<String> {
    let out = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .args([&schema(), file])
        .output()
        .expect("xmllint is there: see tests/lab/windows");
    (!out.status.success()).then(|| String::from_utf8_lossy(&out.stderr).into_owned())
}

/// The text of UTF-16 LE with its mark.
fn decoded(bytes: &[u8]) -> String {
    let (mark, rest) = bytes.split_at(2);
    assert_eq!(mark, [0xff, 0xfe], "schtasks imports nothing else");
    let units: Vec<_> = rest
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

/// What each element of the task holds, its last one where there are several.
fn elements(text: &str) -> BTreeMap<String, String> {
    let document = roxmltree::Document::parse(text).unwrap();
    let leaves = document
        .descendants()
        .filter(|node| node.is_element() && !node.children().any(|child| child.is_element()));
    leaves
        .map(|node| {
            (
                node.tag_name().name().to_owned(),
                node.text().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// What the action must be, said a second time.
fn expected_action(service: &Service) -> (String, Option<String>) {
    if service.windows.is_supervised {
        let program = r"%ProgramFiles%\autoglm-boot\autoglm-boot.exe".to_owned();
        return (program, None);
    }
    let folder = service.working_directory.to_str().unwrap().to_owned();
    (service.command[0].clone(), Some(folder))
}

#[test]
fn every_task_is_valid_and_says_what_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for case in cases() {
        let Some((service, task)) = case
            .windows
            .as_ref()
            .filter(|(service, _)| service.windows.method == Method::Task)
        else {
            continue;
        };
        count += 1;
        let file = folder.path().join(&task.file);
        fs::write(&file, &task.bytes).unwrap();
        assert_eq!(refused_by_schema(&file), None, "{}", case.name());
        let text = decoded(&task.bytes);
        assert!(
            text.contains("\r\n") && !text.replace("\r\n", "").contains('\n'),
            "{}",
            case.name()
        );
        let elements = elements(&text);
        let (command, folder) = expected_action(service);
        assert_eq!(elements["Command"], command, "{}", case.name());
        assert_eq!(elements.get("WorkingDirectory").cloned(), folder, "{}", case.name());
        assert_eq!(elements["URI"], format!("\\{}", service.name));
        assert_eq!(elements["Description"], service.description, "{}", case.name());
        for (setting, value) in [
            ("ExecutionTimeLimit", "PT0S"),
            ("DisallowStartIfOnBatteries", "false"),
            ("StopIfGoingOnBatteries", "false"),
            ("StopOnIdleEnd", "false"),
            ("MultipleInstancesPolicy", "IgnoreNew"),
            ("StartWhenAvailable", "true"),
            ("Hidden", "false"),
        ] {
            assert_eq!(elements[setting], value, "{}: {setting}", case.name());
        }
        let is_ours = !service.raw_task.contains_key("Settings");
        assert!(!is_ours || elements["Priority"] == "4", "{}", case.name());
    }
    assert!(count >= 28, "{count}");
}

/// A schema that refuses nothing would prove nothing.
#[test]
fn the_schema_refuses_what_the_task_scheduler_would() {
    let case = support::cases::case("43-windows-logon");
    let (_, task) = case.windows.unwrap();
    let text = decoded(&task.bytes).replace("UTF-16", "UTF-8");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("task.xml");
    fs::write(&file, &text).unwrap();
    assert_eq!(refused_by_schema(&file), None);
    for (from, to) in [
        ("<Enabled>true</Enabled>\r\n      <UserId>", "<UserId>"),
        ("<Hidden>false</Hidden>", "<Hidden>no</Hidden>"),
        ("<Priority>4", "<Priority>11"),
        ("PT0S", "0"),
        ("PT0S", "PT1.5S"),
        ("InteractiveToken", "ServiceAccount"),
        ("<LogonType>", "<GroupId>S-1-5-32-545</GroupId><LogonType>"),
        ("IgnoreNew", "Ignore"),
        ("<Command>", "<Comand>"),
        ("mit/task", "mit/tusk"),
        ("Context=\"Author\"", "Context=\"Nobody\""),
        ("<WakeToRun>false</WakeToRun>", ""),
        ("<Delay>PT2S</Delay>", "<Delay></Delay>"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = if to == "<UserId>" {
            text.replace(
                "<Enabled>true</Enabled>\r\n      <UserId>DOMAIN\\alice</UserId>",
                "<UserId>a</UserId><Enabled>true</Enabled>",
            )
        } else if from == "<Command>" {
            text.replace("Command>", "Comand>")
        } else {
            text.replacen(from, to, 1)
        };
        assert_ne!(changed, text, "{from}");
        fs::write(&file, changed).unwrap();
        assert!(refused_by_schema(&file).is_some(), "{from} -> {to}");
    }
}

const LNKPARSE: &str = "
import json, sys, LnkParse3
with open(sys.argv[1], 'rb') as file:
    print(json.dumps(LnkParse3.lnk_file(file).get_json(), default=str))
";

#[test]
fn every_shortcut_is_read_by_others_as_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let python = std::env::var("AUTOGLM_BOOT_LAB_PYTHON").expect("see tests/lab/windows");
    let mut count = 0;
    for case in cases() {
        let Some((service, link)) = case
            .windows
            .as_ref()
            .filter(|(service, _)| service.windows.method == Method::StartupFolder)
        else {
            continue;
        };
        count += 1;
        let file = folder.path().join(&link.file);
        fs::write(&file, &link.bytes).unwrap();
        let (command, working_directory) = expected_action(service);
        let arguments = if service.windows.is_supervised {
            format!("supervisor serve --user {}", service.name)
        } else {
            autoglm_boot::render::argv::line(&service.command[1..])
        };
        let target = command.replace("%ProgramFiles%", r"C:\Program Files");

        let out = Command::new(&python)
            .args(["-c", LNKPARSE])
            .arg(&file)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(
            read["link_info"]["local_base_path_unicode"],
            target.as_str(),
            "{read:#}"
        );
        assert_eq!(read["data"]["command_line_arguments"], arguments.as_str(), "{read:#}");
        assert_eq!(
            read["data"]["working_directory"].as_str(),
            working_directory.as_deref(),
            "{read:#}"
        );
        assert_eq!(read["data"]["description"], service.description.as_str(), "{read:#}");
        assert_eq!(read["header"]["windowstyle"], "SW_SHOWMINNOACTIVE", "{read:#}");
        let expanded = &read["extra"]["ENVIRONMENTAL_VARIABLES_LOCATION_BLOCK"]["target_unicode"];
        assert_eq!(
            expanded.as_str(),
            command.contains('%').then_some(command.as_str()),
            "{read:#}"
        );

        let out = Command::new("lnkinfo")
            .arg(&file)
            .output()
            .expect("see tests/lab/windows");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && !said.contains("orrupted"), "{said}");
        assert!(said.contains(&format!("Local path\t\t\t: {target}\n")), "{said}");
        assert!(
            said.contains(&format!("Description\t\t\t: {}\n", service.description)),
            "{said}"
        );
    }
    assert!(count >= 2, "{count}");
}
