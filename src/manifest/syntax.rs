//! What TOML itself complains about, beside what is sure to be wrong all the same.

use std::collections::HashSet;

use super::Problem;

/// The syntax errors, and those of the other problems that no syntax error can have caused: none in a broken line, and
/// none after a broken line where something was not closed, because that swallows what follows.
pub(super) fn with_errors(source: &str, errors: &[toml::de::Error], others: Vec<Problem>) -> Vec<Problem> {
    let ends: Vec<_> = source.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| ends.partition_point(|&end| end < at);
    let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
    let broken: HashSet<_> = errors.iter().map(|error| line(place(error).start)).collect();
    let is_open = |error: &toml::de::Error| {
        ["unclosed", "missing"]
            .iter()
            .any(|word| error.message().contains(word))
    };
    let is_swallowing = errors.iter().any(is_open);
    let first = broken.iter().copied().min().unwrap_or(0);
    let is_sure = |problem: &Problem| {
        let line = problem.span.as_ref().map_or(0, |span| line(span.start));
        !broken.contains(&line) && (line < first || !is_swallowing)
    };
    let syntax = errors.iter().map(|error| {
        let message = format!("this is not TOML: {}", error.message().trim_end());
        let problem = Problem::manifest(message, &place(error));
        if error.message().contains("duplicate") {
            problem.help("keep one of the two")
        } else {
            problem
        }
    });
    syntax.chain(others.into_iter().filter(is_sure)).collect()
}
