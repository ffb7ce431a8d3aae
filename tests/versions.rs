//! Version specifiers and requirements mean what they mean to the `packaging` of Python: tests/versions/generate asked it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::{fmt::Write as _, fs, path::Path};

use autoglm_boot::requirement::{Requirement, accepts, specifiers};
use serde::Deserialize;

/// Whether each of the versions is accepted; none where it is no specifier.
type Specifier = (String, Option<Vec<bool>>);
/// The normalised name and extras; none where it is no requirement.
type Named = (String, Option<(String, Vec<String>)>);

#[derive(Deserialize)]
struct Expected {
    versions: Vec<String>,
    specifiers: Vec<Specifier>,
    requirements: Vec<Named>,
}

fn expected() -> Expected {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versions/expected.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn specifiers_mean_what_they_mean_to_packaging() {
    let Expected {
        versions,
        specifiers: asked,
        ..
    } = expected();
    let right = asked.iter().filter(|(_, theirs)| theirs.is_some()).count();
    assert!(right >= 200 && asked.len() > right, "{right} of {}", asked.len());
    let mut wrong = String::new();
    for (text, theirs) in asked {
        let ours = specifiers(&text).ok();
        let ours = ours.map(|ours| {
            versions
                .iter()
                .map(|version| accepts(&ours, version).unwrap())
                .collect::<Vec<_>>()
        });
        if ours == theirs {
            continue;
        }
        let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
            writeln!(wrong, "{text:?}: ours {}, theirs {}", ours.is_some(), theirs.is_some()).unwrap();
            continue;
        };
        for ((version, ours), theirs) in versions.iter().zip(ours).zip(theirs) {
            if ours != theirs {
                writeln!(wrong, "{text:?} with {version}: ours {ours}, theirs {theirs}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn requirements_name_what_they_name_to_packaging() {
    let asked = expected().requirements;
    assert!(asked.len() > 20, "{}", asked.len());
    for (text, theirs) in asked {
        let ours = Requirement::parse(&text).ok().map(|ours| {
            let mut extras = ours.extras;
            extras.sort();
            (ours.name, extras)
        });
        assert_eq!(ours, theirs, "{text:?}");
    }
}
