//! What differs between what is there and what would be there.

use similar::TextDiff;

/// A unified diff, two spaces in; empty where nothing differs.
pub fn unified(there: &str, wanted: &str) -> String {
    let diff = TextDiff::from_lines(there, wanted);
    let text = diff
        .unified_diff()
        .context_radius(2)
        .header("there", "from the manifest")
        .to_string();
    text.lines().map(|line| format!("  {line}\n")).collect()
}
