//! Carries out what doctor prints, as it is printed.

use super::lab::Lab;

/// The first finding of doctor's output, or of a failed install's: its id, and its repairs.
pub fn first_finding(output: &str) -> Option<(String, Vec<String>)> {
    let mut lines = output.lines();
    let id = lines.find_map(|line| {
        let rest = ["doctor: ", "error ", "warning "]
            .iter()
            .find_map(|start| line.strip_prefix(start))?;
        Some(rest.split_once(": ")?.0.to_owned())
    })?;
    let repairs = lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  repair: "))
        .map(str::to_owned)
        .collect();
    Some((id, repairs))
}

/// Does what a repair says; what is by hand is a person's, and says nothing that could be done here. Whether it did something.
pub fn carry_out(lab: &Lab, repair: &str) -> bool {
    if repair.starts_with("by hand: ") {
        return false;
    }
    let edit = repair.strip_prefix("in ").and_then(|rest| rest.split_once(": "));
    match edit.and_then(|(file, line)| Some((file, line.split_once(" = ")?))) {
        Some((file, (key, value))) => set(lab, file, key, value),
        None => {
            lab.run(repair).expect(0);
        }
    }
    true
}

/// Sets a key of a manifest that is written in dotted keys, a line each.
fn set(lab: &Lab, file: &str, key: &str, value: &str) {
    let text = std::fs::read_to_string(lab.path(file)).unwrap();
    let start = format!("{key} = ");
    let kept: String = text
        .lines()
        .filter(|line| !line.starts_with(&start))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(lab.path(file), format!("{start}{value}\n{kept}")).unwrap();
}
