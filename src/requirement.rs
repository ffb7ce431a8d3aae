//! What a package has to be: a name, extras and version specifiers (PEP 508, as far as pip writes it for one environment),
//! compared by PEP 440.

use std::str::FromStr as _;

use pep440_rs::{Operator, Version, VersionSpecifier, VersionSpecifiers};

/// A requirement on one package, like `torch>=1.13` or `uvicorn[standard]`.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The name, normalised (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
    pub name: String,
    /// Its extras, normalised alike.
    pub extras: Vec<String>,
    /// What its version has to be.
    specifiers: VersionSpecifiers,
}

/// What is wrong, and how to write it.
type Wrong = (String, &'static str);

const SAMPLE: &str = "like \"torch>=1.13\", \"uvicorn[standard]\" or \"numpy>=1.24,<3\" (PEP 508)";

impl Requirement {
    /// Reads one. What asks for more than a name, extras and versions is refused: it would be ignored.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |what: &str| (format!("{text:?}: {what}"), SAMPLE);
        if text.contains(';') {
            let help = "take the marker (what follows the semicolon) away: this environment is the one that is meant";
            return Err((format!("{text:?} has a marker, which is not evaluated here"), help));
        }
        if text.contains('@') {
            let help = "name the package and its version only";
            return Err((
                format!("{text:?} names where to get it; here it is only asked whether it is there"),
                help,
            ));
        }
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        if !is_name(name) {
            return Err(wrong("there is no package of such a name"));
        }
        let (extras, rest) = match rest.trim_start().strip_prefix('[') {
            None => (Vec::new(), rest),
            Some(rest) => {
                let (inner, rest) = rest.split_once(']').ok_or_else(|| wrong("the bracket is not closed"))?;
                (extras(inner).ok_or_else(|| wrong("this is no list of extras"))?, rest)
            }
        };
        let rest = rest.trim();
        let bare = match rest.strip_prefix('(') {
            Some(inner) => inner
                .strip_suffix(')')
                .ok_or_else(|| wrong("the bracket is not closed"))?,
            None => rest,
        };
        Ok(Self {
            name: normalised(name),
            extras,
            specifiers: specifiers(bare).map_err(|what| (format!("{text:?}: {what}"), SAMPLE))?,
        })
    }

    /// Whether an installed version will do.
    pub fn accepts(&self, version: &str) -> Result<bool, String> {
        accepts(&self.specifiers, version)
    }
}

/// Version specifiers, like `>=3.9,<4` (PEP 440); nothing means any version.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    // A comma at the end is let pass by PyPI's `packaging` too.
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    VersionSpecifiers::from_str(text).map_err(|error| {
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default().to_owned();
        format!("{text:?} is no version specifier: {first}")
    })
}

/// Whether a version that is there will do. A pre-release does, if it is within the bounds: it is installed already, so
/// nobody is to be kept from choosing it.
pub fn accepts(specifiers: &VersionSpecifiers, version: &str) -> Result<bool, String> {
    let version = Version::from_str(version).map_err(|error| format!("{version:?} is no version: {error}"))?;
    Ok(specifiers.iter().all(|specifier| holds(specifier, &version)))
}

/// One specifier, as PEP 440 has it and `packaging` does it. The library's own judgement differs for pre-releases, for local
/// versions and for wildcards with more numbers than the version has (tests/versions).
fn holds(specifier: &VersionSpecifier, version: &Version) -> bool {
    let wanted = specifier.version();
    // What follows the + counts only where it is asked for.
    let public = version.clone().without_local();
    let is_of_same = is_same_release(version, wanted);
    match specifier.operator() {
        Operator::Equal if wanted.is_local() => version == wanted,
        Operator::Equal => public == *wanted,
        Operator::NotEqual if wanted.is_local() => version != wanted,
        Operator::NotEqual => public != *wanted,
        Operator::ExactEqual => version.to_string() == wanted.to_string(),
        Operator::EqualStar => begins_with(version, wanted, wanted.release().len()),
        Operator::NotEqualStar => !begins_with(version, wanted, wanted.release().len()),
        Operator::TildeEqual => {
            public >= *wanted && begins_with(version, wanted, wanted.release().len().saturating_sub(1))
        }
        Operator::LessThanEqual => public <= *wanted,
        Operator::GreaterThanEqual => public >= *wanted,
        // Neither a pre-release of what is excluded, nor one of its post-releases or builds.
        Operator::LessThan => version < wanted && (!is_of_same || wanted.any_prerelease() || !version.any_prerelease()),
        Operator::GreaterThan => {
            version > wanted && !(is_of_same && (version.is_local() || version.is_post() && !wanted.is_post()))
        }
    }
}

/// Equal but for what follows the numbers.
fn is_same_release(one: &Version, other: &Version) -> bool {
    let most = one.release().len().max(other.release().len());
    begins_with(one, other, most)
}

/// Whether the first numbers of both are the same; those that are missing are zeros.
fn begins_with(version: &Version, wanted: &Version, numbers: usize) -> bool {
    let number = |of: &Version, at: usize| of.release().get(at).copied().unwrap_or_default();
    version.epoch() == wanted.epoch() && (0..numbers).all(|at| number(version, at) == number(wanted, at))
}

/// The numbers of a driver's version.
pub fn driver(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

fn extras(inner: &str) -> Option<Vec<String>> {
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    inner
        .split(',')
        .map(|extra| Some(extra.trim()).filter(|extra| is_name(extra)).map(normalised))
        .collect()
}

/// A name of a package (PEP 508, "Names").
fn is_name(name: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    is_end(name.chars().next())
        && is_end(name.chars().next_back())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A name as it is compared (PEP 503).
pub fn normalised(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_a_name_extras_and_versions() {
        for (text, name, extras, well, ill) in [
            ("torch", "torch", &[] as &[&str], "0.1", None),
            ("torch>=1.13", "torch", &[], "1.13.1+cu117", Some("1.12")),
            (
                "Flask_Login [a, B_c] (>=1, <2)",
                "flask-login",
                &["a", "b-c"],
                "1.9",
                Some("2"),
            ),
            ("a.b==1.*", "a-b", &[], "1.5", Some("2.0")),
            ("x~=2.2", "x", &[], "2.9", Some("3.0")),
            ("x[]", "x", &[], "1", None),
            ("x>=1,", "x", &[], "1", Some("0")),
        ] {
            let requirement = Requirement::parse(text).expect(text);
            assert_eq!(
                (requirement.name.as_str(), requirement.extras.as_slice()),
                (name, &extras.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
            assert_eq!(requirement.accepts(well), Ok(true), "{text}");
            if let Some(ill) = ill {
                assert_eq!(requirement.accepts(ill), Ok(false), "{text}");
            }
        }
        assert!(
            Requirement::parse("x")
                .expect("a name")
                .accepts("not a version")
                .is_err()
        );
    }

    #[test]
    fn what_asks_for_more_is_refused_and_says_why() {
        for (text, told) in [
            ("x; python_version < \"3\"", "marker"),
            ("x @ https://example.org/x.whl", "where to get it"),
            ("git+https://example.org/x", "no version specifier"),
            ("", "no package"),
            (">=1", "no package"),
            ("-x", "no package"),
            ("x[a", "not closed"),
            ("x[a b]", "no list of extras"),
            ("x(>=1", "not closed"),
            ("x>1 y", "no version specifier"),
            ("x=1", "no version specifier"),
            ("x y", "no version specifier"),
        ] {
            let (message, help) = Requirement::parse(text).expect_err(text);
            assert!(message.contains(told) && !help.is_empty(), "{text}: {message}");
        }
    }

    #[test]
    fn a_driver_has_numbers() {
        assert_eq!(driver("535.104.05"), Some(vec![535, 104, 5]));
        for text in ["", "a", "535.", "v535"] {
            assert_eq!(driver(text), None, "{text}");
        }
    }
}
