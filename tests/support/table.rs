//! A table of a machine: for each state and event what comes of it, and where that depends on something, on what.

use std::fmt::Write as _;

/// What an outcome may depend on: the names of its values.
pub type Dimension<'a> = &'a [&'a str];

/// What comes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It cannot be so.
    Impossible,
    /// Nothing.
    Nothing,
    /// What it becomes, and what is done.
    Is(String, String),
}

/// Where it is so, and what comes of it then.
type Leaf = (Vec<String>, Outcome);

/// The rows of one state: of its events those with the same outcomes are together. `outcome`: of an event, for a value of each
/// dimension, by their numbers.
pub fn rows<E>(
    state: &str,
    events: &[(&str, E)],
    dimensions: &[Dimension],
    outcome: impl Fn(&E, &[usize]) -> Outcome,
) -> String {
    let mut groups: Vec<(Vec<&str>, Vec<Leaf>)> = Vec::new();
    for (name, event) in events {
        let mut outcomes = Vec::new();
        let mut choice = vec![0; dimensions.len()];
        all(dimensions, 0, &mut choice, &mut |choice| {
            outcomes.push(outcome(event, choice));
        });
        let leaves = split(dimensions, &outcomes);
        match groups.iter_mut().find(|(_, known)| *known == leaves) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], leaves)),
        }
    }
    let mut text = String::new();
    for (names, leaves) in groups {
        for (conditions, outcome) in leaves {
            if let Outcome::Is(becomes, done) = outcome {
                let (names, conditions) = (names.join("; "), conditions.join(", "));
                writeln!(text, "| {state} | {names} | {conditions} | {becomes} | {done} |").unwrap();
            }
        }
    }
    text
}

fn all(dimensions: &[Dimension], at: usize, choice: &mut Vec<usize>, tell: &mut dyn FnMut(&[usize])) {
    let Some(dimension) = dimensions.get(at) else {
        return tell(choice);
    };
    for value in 0..dimension.len() {
        choice[at] = value;
        all(dimensions, at + 1, choice, tell);
    }
}

/// The outcomes, by as few conditions as their order allows.
fn split(dimensions: &[Dimension], outcomes: &[Outcome]) -> Vec<Leaf> {
    let Some((dimension, rest)) = dimensions.split_first() else {
        return vec![(Vec::new(), outcomes[0].clone())];
    };
    // Values with the same outcomes are one.
    let mut groups: Vec<(Vec<&str>, Vec<Outcome>)> = Vec::new();
    for (value, part) in dimension.iter().zip(outcomes.chunks(outcomes.len() / dimension.len())) {
        if part.iter().all(|outcome| *outcome == Outcome::Impossible) {
            continue;
        }
        match groups
            .iter_mut()
            .find_map(|(values, known)| Some((values, merged(known, part)?, known)))
        {
            Some((values, both, known)) => {
                values.push(value);
                *known = both;
            }
            None => groups.push((vec![value], part.to_vec())),
        }
    }
    let is_one = groups.len() == 1;
    let mut leaves = Vec::new();
    for (values, part) in groups {
        for (mut conditions, outcome) in split(rest, &part) {
            if !is_one {
                conditions.insert(0, named(dimension, &values));
            }
            leaves.push((conditions, outcome));
        }
    }
    leaves
}

/// These values; where that is shorter, the others.
fn named(dimension: Dimension, values: &[&str]) -> String {
    let others: Vec<_> = dimension
        .iter()
        .copied()
        .filter(|value| !values.contains(value))
        .collect();
    if others.len() * 2 < values.len() {
        return format!("not {}", others.join(", nor "));
    }
    values.join(" or ")
}

/// Both, if they do not contradict each other.
fn merged(one: &[Outcome], other: &[Outcome]) -> Option<Vec<Outcome>> {
    let pairs = one.iter().zip(other);
    pairs
        .map(|(one, other)| match (one, other) {
            (Outcome::Impossible, any) | (any, Outcome::Impossible) => Some(any.clone()),
            (one, other) => (one == other).then(|| one.clone()),
        })
        .collect()
}
