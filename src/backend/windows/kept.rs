//! What the Task Scheduler has of a task, kept to be put back as it is: an undo, and the end of an adoption.

use std::path::Path;

use roxmltree::{Document, Node};

use super::{Anchor, AppState, AtPath, tasks::Facts};
use crate::{plan::Step, render, service::Method, system::Probe};

/// The XML of a task: as Windows keeps it, where we may read that (it is a file of the system, so far in all versions); else as
/// schtasks said it, which is in the code page of a console. What that lacks has become a question mark: such a text is not whole.
pub(super) fn whole(look: &dyn Probe, kept: &Path, said: &str) -> Option<String> {
    let own = look.read(kept).ok().and_then(|bytes| text_of(&bytes));
    let own = own.filter(|text| Facts::of(text).is_some());
    let is_whole = || !without_declaration(said).contains(['?', '\u{fffd}']);
    let text = own.or_else(|| is_whole().then(|| said.to_owned()))?;
    Some(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// The text of a file as we write it: UTF-16 with its mark.
pub(super) fn text_of(bytes: &[u8]) -> Option<String> {
    let units: Vec<_> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

/// The bytes that schtasks imports again: UTF-16, little end first, with its mark, and a declaration that says so.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let text = without_declaration(text);
    render::utf16(&format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n{text}"))
}

fn without_declaration(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let rest = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    rest.map_or(text, |(_, rest)| rest.trim_start())
}

/// Whether a task is as it was written, but for what Windows notes about its registration.
fn is_as_written(told: &str, written: &str) -> bool {
    let parsed = |text| Document::parse(without_declaration(text));
    match (parsed(told), parsed(written)) {
        (Ok(told), Ok(written)) => is_same(told.root_element(), written.root_element()),
        _ => false,
    }
}

fn is_same(told: Node, written: Node) -> bool {
    let name = written.tag_name().name();
    if told.tag_name().name() != name || name == "RegistrationInfo" {
        return told.tag_name().name() == name;
    }
    let text = |node: Node| node.text().unwrap_or_default().trim().to_owned();
    let within = |node: Node<'_, '_>| node.children().filter(Node::is_element).count();
    let pairs = told.children().filter(Node::is_element);
    let pairs = pairs.zip(written.children().filter(Node::is_element));
    text(told) == text(written) && within(told) == within(written) && pairs.into_iter().all(|(a, b)| is_same(a, b))
}

impl Anchor {
    /// What was there before, for the case that the rest fails, once its file is back: as it was, also where somebody had disabled
    /// or changed it. What was not there does not come back.
    pub fn bring_back(&self, app: &AppState, name: &str) -> Vec<Step> {
        if self.method != Method::Task || !app.anchored.is_there {
            return Vec::new();
        }
        let written = match &app.at_path {
            Some(AtPath::File(bytes, _)) if app.receipt.is_some() => text_of(bytes),
            _ => None,
        };
        let told = app.anchored.told.as_deref();
        let is_other = |told: &&str| written.as_ref().is_none_or(|written| !is_as_written(told, written));
        let mut steps = Vec::new();
        if let Some(told) = told.filter(is_other) {
            steps = self.put_back(name, &bytes_of(told));
        } else if written.is_some() {
            steps.push(Step::run(self.task(name).create(&self.unit(name))));
            steps.extend(app.anchored.is_off.then(|| Step::run(self.task(name).disable())));
        }
        steps.into_iter().map(Step::on_rollback).collect()
    }

    /// The start of the version before, after an undo: the Task Scheduler starts no task that is disabled, which this one is to be
    /// again.
    pub fn through(&self, revival: Vec<Step>, app: &AppState, name: &str) -> Vec<Step> {
        if self.method != Method::Task || !app.anchored.is_off {
            return revival;
        }
        let task = self.task(name);
        let [enable, disable] = [task.enable(), task.disable()].map(|cmd| Step::run(cmd).on_rollback());
        [enable].into_iter().chain(revival).chain([disable]).collect()
    }

    /// Registers what was kept, from a file that is there for no longer.
    pub(super) fn put_back(&self, name: &str, bytes: &[u8]) -> Vec<Step> {
        let path = self.records.join(format!("{name}.before.xml"));
        vec![
            Step::WriteBytes {
                path: path.clone(),
                bytes: bytes.to_vec(),
                mode: 0o600, // words of a command may be secrets
                shown: "the task as it was".into(),
            },
            Step::run(self.task(name).create(&path)),
            Step::Remove { path },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "<Task><RegistrationInfo><Author>a</Author></RegistrationInfo><Triggers><BootTrigger/></Triggers><Settings><Enabled>true</Enabled></Settings><Actions><Exec><Command>a b.exe</Command></Exec></Actions></Task>";

    #[test]
    fn what_windows_notes_about_a_registration_is_no_change_and_everything_else_is() {
        let told = format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n{OURS}\r\n")
            .replace("<RegistrationInfo>", "\n <RegistrationInfo>\n<Date>2026</Date>");
        assert!(is_as_written(&told, OURS));
        for (from, to) in [
            ("a b.exe", "a c.exe"),
            (">true<", ">false<"),
            ("<BootTrigger/>", "<BootTrigger/><LogonTrigger/>"),
            ("<BootTrigger/>", ""),
            ("<Enabled>", "<WakeToRun>true</WakeToRun><Enabled>"),
        ] {
            assert!(!is_as_written(&told.replacen(from, to, 1), OURS), "{from} -> {to}");
        }
        assert!(!is_as_written("ERROR: no", OURS));
    }

    #[test]
    fn what_is_imported_again_is_in_utf16_with_its_mark_and_says_so() {
        for text in [
            "<Task>中</Task>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Task>中</Task>\n",
        ] {
            let bytes = bytes_of(text);
            assert_eq!(bytes[..4], [0xff, 0xfe, b'<', 0]);
            let expected = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<Task>中</Task>";
            assert_eq!(text_of(&bytes).as_deref(), Some(expected));
        }
    }

    /// A console of another language says `?` for what it cannot.
    #[test]
    fn a_text_that_lost_something_is_not_whole() {
        let look = crate::system::Real;
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("app");
        let said = |word: &str| format!("<?xml version=\"1.0\"?><Task>{word}</Task>");
        assert_eq!(whole(&look, &kept, &said("a")), Some(said("a")));
        assert_eq!(whole(&look, &kept, &said("??")), None);
        assert_eq!(whole(&look, &kept, &said("\u{fffd}")), None);
        let of_system = OURS.replace("a b", "日本");
        let bytes = bytes_of(&of_system);
        crate::system::System::write_file(&look, &kept, &bytes, 0o600).expect("it is writable");
        let text = whole(&look, &kept, &said("??")).expect("Windows has it whole");
        assert!(text.contains("日本"), "{text}");
    }
}
