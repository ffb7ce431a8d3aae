//! Records of every released format are read: what an older version of the tool installed stays known to a newer one.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::{fs, path::Path};

use autoglm_boot::{
    history::Version,
    receipt::{FORMAT, Receipt, ScopeRecord},
};

#[test]
fn records_of_every_format_are_read() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    for format in 1..=FORMAT {
        let folder = formats.join(format.to_string());
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{format}/{name}: {error}"));
        let receipt: Receipt = serde_json::from_slice(&read("receipt.json")).unwrap();
        assert_eq!((receipt.format, receipt.name.as_str()), (format, "app"));
        assert_eq!(
            receipt.history.iter().map(|entry| entry.number).collect::<Vec<_>>(),
            [1, 2]
        );
        let installed: Version = serde_json::from_slice(&read("installed.json")).unwrap();
        assert_eq!(installed.service.command, ["/usr/bin/sleep", "102"]);
        let record: ScopeRecord = serde_json::from_slice(&read("scope.json")).unwrap();
        assert!(!record.folders.is_empty());
        let version: Version = serde_json::from_slice(&read("version.json")).unwrap();
        assert_eq!(version.service.command, ["/usr/bin/sleep", "101"]);
    }
}
