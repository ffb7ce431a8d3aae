//! Quantities as a manifest and the command line write them.

use std::time::Duration;

pub mod windows_path;

/// The longest span that means something: a hundred years.
const LONGEST: u64 = 100 * 366 * 86_400_000;

/// A length of time: `5s`, `1m30s`, `500ms`, `2h`, `1d`.
///
/// # Errors
/// Says what is wrong, in words for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time: write it like \"5s\", \"1m30s\", \"500ms\" or \"2h\"");
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        millis = number
            .checked_mul(unit)
            .and_then(|n| n.checked_add(millis))
            .ok_or_else(wrong)?;
    }
    if text.is_empty() || millis > LONGEST {
        return Err(wrong());
    }
    Ok(Duration::from_millis(millis))
}

/// A size in bytes: `512Mi`, `10Gi` (binary), `10M`, `1G` (decimal), or a plain number of bytes, as in Kubernetes.
///
/// # Errors
/// Says what is wrong, in words for the user.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write it like \"512Mi\", \"2Gi\" (binary) or \"500M\" (decimal)");
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - letters.len()];
    let unit: u64 = match letters {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "K" => return Err(format!("{text:?} is ambiguous: write \"Ki\" (1024) or \"k\" (1000)")),
        "m" => {
            return Err(format!(
                "{text:?} would be thousandths of a byte: write \"Mi\" or \"M\""
            ));
        }
        _ => return Err(wrong()),
    };
    exact(number, unit).ok_or_else(wrong)
}

/// A hundred thousand cores: more is a slip of the pen.
const MOST_CPU: u64 = 100_000 * 1_000;

/// Thousandths of a core: `500m`, `1.5`, `2`.
///
/// # Errors
/// Says what is wrong, in words for the user.
pub fn cpu(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of CPU: write cores, like \"1.5\", or thousandths, like \"500m\"");
    match text.strip_suffix('m') {
        Some(millis) => exact(millis, 1),
        None => exact(text, 1_000),
    }
    .filter(|millis| (1..=MOST_CPU).contains(millis))
    .ok_or_else(wrong)
}

/// Whether it can name an app: a DNS label that begins with a letter (RFC 1035, 2.3.1).
pub fn is_app(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether it can name a variable of an environment (POSIX, 8.1).
pub fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A decimal number times a unit, if that is a whole number that fits.
fn exact(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(u128::from(unit))?;
    (scaled % scale == 0)
        .then(|| u64::try_from(scaled / scale).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_they_are_written() {
        for (text, millis) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("0s", 0),
            ("2d", 172_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5x",
            "1.5s",
            "99999999999999999999s",
            "999999999d",
            "５s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_exact_bytes() {
        for (text, bytes) in [
            ("512Mi", 536_870_912),
            ("10M", 10_000_000),
            ("1.5Gi", 1_610_612_736),
            ("7", 7),
            ("2k", 2_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "Mi",
            "24K",
            "400m",
            "80%",
            "1.5",
            "1e9",
            "-1",
            "99999999Ti",
            ".5Mi",
            "1.Mi",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpu_is_thousandths_of_a_core() {
        for (text, millis) in [("500m", 500), ("1.5", 1_500), ("2", 2_000), ("0.125", 125)] {
            assert_eq!(cpu(text), Ok(millis), "{text}");
        }
        for text in ["", "0", "150%", "1.0001", "m", "-1"] {
            assert!(cpu(text).is_err(), "{text}");
        }
    }
}
