//! The manifest itself.

use std::path::Path;

use super::{Check, Finding, Patient, patient::quoted};
use crate::manifest::{Kind, Problem};

pub(super) const CHECKS: &[Check] = &[Check::error(
    "manifest-wrong",
    [
        "the manifest has mistakes",
        "`app.toml`, as `autoglm-boot check` reads it",
        "what `check` says of each, with its line",
    ],
    wrong,
)];

fn wrong(patient: &Patient) -> Vec<Finding> {
    mistakes(&patient.service.manifest, patient.problems)
        .into_iter()
        .collect()
}

/// The mistakes of a manifest, as a finding; those of a file that cannot be read as one make no app to be examined.
pub fn mistakes(file: &Path, problems: &[Problem]) -> Option<Finding> {
    const SHOWN: usize = 5;
    let mistakes = problems.iter().filter(|problem| problem.kind == Kind::Manifest);
    let mistakes: Vec<_> = mistakes.take(SHOWN).collect();
    if mistakes.is_empty() {
        return None;
    }
    let mut finding = Finding::new(format!("{} has mistakes", file.display()));
    for problem in &mistakes {
        finding = finding.seen(&problem.message);
    }
    for help in mistakes.iter().filter_map(|problem| problem.help.as_ref()) {
        finding = finding.by_hand(help);
    }
    let check = format!(
        "autoglm-boot check --manifest {} shows each with its line",
        quoted(file)
    );
    Some(Finding {
        id: CHECKS[0].id,
        ..finding.by_hand(check)
    })
}
