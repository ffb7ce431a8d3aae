#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::fs;

use super::*;
use crate::system::Real;

/// A state folder with a journal of these bytes.
fn state(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("intent.install.app.jsonl");
    fs::write(&journal, bytes).unwrap();
    (folder, journal)
}

fn left(folder: &tempfile::TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

/// ext4 and XFS may leave a file without its bytes, or zeros in their place, where the power fails before a sync.
#[test]
fn what_was_never_whole_on_disk_is_passed_over_and_swept() {
    for bytes in [&b""[..], b"{\"format\":1,\"boot\":", &[0; 4096], b"\0\0\0\0}\n"] {
        let (folder, _) = state(bytes);
        fs::write(folder.path().join("intent.install.+2.names"), "a\nb").unwrap();
        fs::write(folder.path().join(".intent.install.b.jsonl.autoglm-boot-new"), "{").unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        assert_eq!(find(folder.path(), &Real).unwrap(), [], "{bytes:?}");
        sweep(folder.path(), &Real).unwrap();
        assert_eq!(left(&folder), 1, "{bytes:?}: only the lock");
    }
}

#[test]
fn what_is_whole_and_cannot_be_read_is_an_error_that_names_it() {
    for (bytes, why) in [
        (
            &b"{\"format\":2,\"what\":\"else\"}\n"[..],
            "newer autoglm-boot (format 2)",
        ),
        (b"{\"format\":1}\n", "missing field"),
        (b"not JSON\n", "expected"),
    ] {
        let (_folder, journal) = state(bytes);
        let error = find(journal.parent().unwrap(), &Real).unwrap_err().to_string();
        assert!(error.starts_with(journal.to_str().unwrap()), "{error}");
        assert!(error.contains(why), "{why} in {error}");
    }
}

#[test]
fn marks_count_up_to_one_that_is_not_whole() {
    let intent = Intent {
        format: FORMAT,
        boot: String::new(),
        verb: "install".into(),
        names: vec!["app".into()],
        backend: "systemd".into(),
        plan: Plan::default(),
        before: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let system = Real;
    let journal = Journal::write(folder.path(), &intent, &system).unwrap();
    journal.mark(&[Mark::Begun(0), Mark::Begun(1)], &system).unwrap();
    let only = || find(folder.path(), &system).unwrap().remove(0);
    assert_eq!((only().begun, only().is_committed, only().intent), (2, false, intent));
    system.append(journal.path(), b"{\"Begun\":7\n\"Committed\"\n").unwrap();
    assert_eq!((only().begun, only().is_committed), (2, false));
    journal.remove(&system).unwrap();
    assert_eq!(left(&folder), 0);
}
