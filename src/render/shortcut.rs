//! The shortcut of an app, byte by byte ([MS-SHLLINK]): what the Startup folder holds. Strings are UTF-16 throughout; the place
//! of the program is told once more in the code page that every Windows has, as far as it goes.

use std::fmt::Write as _;

use super::{Artefact, windows};
use crate::{
    service::{RestartPolicy, Service},
    values::windows_path,
};

/// `HasLinkInfo`, `HasName`, `HasWorkingDir`, `HasArguments`, `IsUnicode`, `HasExpString` (2.1.1).
const HAS_LINK_INFO: u32 = 1 << 1;
const HAS_NAME: u32 = 1 << 2;
const HAS_WORKING_DIRECTORY: u32 = 1 << 4;
const HAS_ARGUMENTS: u32 = 1 << 5;
const IS_UNICODE: u32 = 1 << 7;
const HAS_EXPANDED: u32 = 1 << 9;

/// `FILE_ATTRIBUTE_ARCHIVE`: an ordinary file (2.1.2).
const ORDINARY: u32 = 0x20;
/// `SW_SHOWMINNOACTIVE`: minimised, and nobody's focus is taken (2.1).
const MINIMISED: u32 = 7;
/// What is shown of a shortcut: more gets lost (`INFOTIPSIZE`).
const LONGEST_NAME: usize = 1_023;
/// A path in a block of variables, with its end (2.5.4).
const EXPANDED: usize = 260;

/// Where a variable leads on a machine that was set up as most are; what the variable says there comes first.
const PROGRAM_FILES: (&str, &str) = ("%ProgramFiles%", r"C:\Program Files");

/// The shortcut of an app, which starts our supervisor by this program, or the app itself.
pub fn shortcut(service: &Service, program: &str) -> Artefact {
    let action = windows::action(service, program);
    let (variable, folder) = PROGRAM_FILES;
    let target = action.command.replacen(variable, folder, 1);
    let expanded = (target != action.command).then_some(action.command.as_str());
    let name = Some(service.description.as_str()).filter(|text| windows_path::length(text) <= LONGEST_NAME);
    let strings = [
        (HAS_NAME, name),
        (HAS_WORKING_DIRECTORY, action.folder.as_deref()),
        (
            HAS_ARGUMENTS,
            Some(action.arguments.as_str()).filter(|text| !text.is_empty()),
        ),
    ];
    let mut flags = HAS_LINK_INFO | IS_UNICODE;
    flags |= if expanded.is_some() { HAS_EXPANDED } else { 0 };
    let written = strings.iter().filter_map(|(flag, text)| Some((flag, (*text)?)));
    let mut bytes = header(written.clone().fold(flags, |flags, (flag, _)| flags | flag));
    bytes.extend(link_info(&target));
    for (_, text) in written {
        bytes.extend(
            u16::try_from(windows_path::length(text))
                .unwrap_or(u16::MAX)
                .to_le_bytes(),
        );
        bytes.extend(wide(text));
    }
    bytes.extend(expanded.into_iter().flat_map(expanded_block));
    bytes.extend(0_u32.to_le_bytes()); // the end of the blocks (2.5)
    Artefact {
        file: format!("{}.lnk", service.name),
        bytes,
        text: shown(&action, name),
        losses: losses(service, name.is_none()),
    }
}

/// 2.1: 76 bytes. What is told of the program's file itself (times, size) is not known here.
fn header(flags: u32) -> Vec<u8> {
    const CLASS: [u8; 16] = [0x01, 0x14, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    let mut bytes = 0x4c_u32.to_le_bytes().to_vec();
    bytes.extend(CLASS);
    bytes.extend(flags.to_le_bytes());
    bytes.extend(ORDINARY.to_le_bytes());
    bytes.extend([0; 24]); // created, accessed, written
    bytes.extend([0; 8]); // size, number of the icon
    bytes.extend(MINIMISED.to_le_bytes());
    bytes.extend([0; 12]); // hotkey, reserved
    bytes
}

/// 2.3: the program lies on a drive of this machine, at this path.
fn link_info(target: &str) -> Vec<u8> {
    const HEADER: u32 = 0x24; // with the offsets of the Unicode paths
    const LOCAL: u32 = 1; // VolumeIDAndLocalBasePath
    let volume = volume();
    let path = code_page(target);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let volume_at = HEADER;
    let path_at = volume_at + length(&volume);
    let suffix_at = path_at + length(&path);
    let wide_at = (suffix_at + 1).next_multiple_of(2);
    let mut wide_path = wide(target);
    wide_path.extend([0; 2]);
    let wide_suffix_at = wide_at + length(&wide_path);
    let size = wide_suffix_at + 2;
    let mut bytes = Vec::new();
    for number in [
        size,
        HEADER,
        LOCAL,
        volume_at,
        path_at,
        0,
        suffix_at,
        wide_at,
        wide_suffix_at,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(volume);
    bytes.extend(path);
    bytes.resize(wide_at as usize, 0); // nothing follows the path
    bytes.extend(wide_path);
    bytes.extend([0; 2]);
    bytes
}

/// 2.3.1: a fixed disk, with no serial number and no label that could be known here.
fn volume() -> Vec<u8> {
    const FIXED: u32 = 3;
    let mut bytes = Vec::new();
    for number in [0x11_u32, FIXED, 0, 0x10] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    bytes
}

/// What has no letter in ASCII is a question mark: whoever reads it finds the whole path behind it.
fn code_page(text: &str) -> Vec<u8> {
    let letters = text.chars().map(|c| if c.is_ascii() { c } else { '?' });
    letters.chain(['\0']).map(|c| c as u8).collect()
}

/// 2.5.4: the path with its variable, which comes before every other.
fn expanded_block(text: &str) -> Vec<u8> {
    const SIZE: u32 = 0x314;
    const SIGNATURE: u32 = 0xa000_0001;
    let mut bytes = SIZE.to_le_bytes().to_vec();
    bytes.extend(SIGNATURE.to_le_bytes());
    let mut path = code_page(text);
    path.resize(EXPANDED, 0);
    bytes.extend(path);
    let mut path = wide(text);
    path.resize(EXPANDED * 2, 0);
    bytes.extend(path);
    bytes
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The same for people: one line each, and nothing that would move their cursor.
fn shown(action: &windows::Action, name: Option<&str>) -> String {
    let mut text = String::new();
    let lines = [
        ("program", Some(action.command.as_str())),
        ("arguments", Some(action.arguments.as_str())),
        ("folder", action.folder.as_deref()),
        ("comment", name),
        ("window", Some("minimised")),
    ];
    for (what, value) in lines {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = super::comment(value);
            let _ = writeln!(text, "{what:<10} {value}"); // writing to a string cannot fail
        }
    }
    text
}

fn losses(service: &Service, is_nameless: bool) -> Vec<String> {
    let mut losses = windows::losses(service);
    if !service.windows.delay.is_zero() {
        losses.push("windows.delay: the Startup folder waits for nothing".into());
    }
    if !service.raw_task.is_empty() {
        losses.push("[raw.task]: a shortcut has none of it".into());
    }
    if is_nameless {
        losses.push("app.description: longer than a shortcut shows; left out".into());
    }
    if service.restart.policy != RestartPolicy::Never && service.windows.is_supervised {
        losses.push(
            "restart: our supervisor restarts the app; nothing restarts our supervisor before the next logon".into(),
        );
    }
    losses
}
