//! Secrets that others can read.

use super::{
    Check, Finding, Patient,
    patient::{quoted, small_file},
    places::described,
    program::list,
};
use crate::{platform, service::Os, supervisor::environment};

pub(super) const CHECKS: &[Check] = &[
    Check::warning(
        "secret-in-manifest",
        [
            "a secret stands in the manifest, and so in the unit, which everybody can read",
            "the names of variables and arguments (`…_TOKEN`, `--api-key`), passwords in addresses",
            "`service.environment_files`, or systemd's credentials",
        ],
        secrets,
    ),
    Check::warning(
        "secret-readable",
        [
            "an environment file with secrets can be read by everybody",
            "its mode, the names of its variables",
            "`chmod o-r`",
        ],
        readable,
    )
    .on(Os::Linux),
];

/// Whether a variable or an option is named like a secret.
fn is_secret(name: &str) -> bool {
    let upper = name.trim_start_matches('-').to_uppercase().replace('-', "_");
    let parts: Vec<_> = upper.split('_').collect();
    let has = |word: &str| parts.contains(&word);
    let is_named = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "APIKEY",
        "CREDENTIALS",
    ]
    .iter()
    .any(|word| has(word));
    let is_key = has("KEY")
        && ["API", "ACCESS", "PRIVATE", "SECRET", "ENCRYPTION", "SIGNING", "AUTH"]
            .iter()
            .any(|word| has(word));
    let is_file = matches!(parts.last(), Some(&("FILE" | "PATH" | "DIR" | "NAME" | "ID" | "URL")));
    (is_named || is_key) && !is_file
}

/// Whether a value can be a secret: no path, no switch, no number, nothing to be filled in.
fn is_value(value: &str) -> bool {
    let is_plain = value.parse::<f64>().is_ok()
        || matches!(
            value.to_lowercase().as_str(),
            "" | "true" | "false" | "none" | "null" | "yes" | "no"
        );
    !is_plain && !value.starts_with(['/', '$', '<', '%'])
}

/// A password in an address: `scheme://user:password@host`.
fn has_password(text: &str) -> bool {
    let authority = text
        .split_once("://")
        .map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    authority
        .and_then(|authority| authority.rsplit_once('@'))
        .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, password)| is_value(password)))
}

fn secrets(patient: &Patient) -> Vec<Finding> {
    let service = patient.service;
    let mut seen = Vec::new();
    for (key, value) in &service.environment {
        if (is_secret(key) && is_value(value)) || has_password(value) {
            seen.push(format!("service.environment.{key}"));
        }
    }
    for argv in service.pre_start.iter().chain([&service.command]) {
        for (at, word) in argv.iter().enumerate().skip(1) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), argv.get(at + 1).map(String::as_str)),
            };
            let is_option = name.starts_with('-')
                && is_secret(name)
                && value.is_some_and(|value| is_value(value) && !value.starts_with('-'));
            if is_option || has_password(word) {
                seen.push(format!(
                    "an argument of the command: {}",
                    if is_option { name } else { "an address with a password" }
                ));
            }
        }
    }
    if seen.is_empty() {
        return Vec::new();
    }
    let is_on_windows = patient.is_on_windows();
    let mut finding = Finding::new(match is_on_windows {
        false => "a secret stands in the manifest, and with it in the unit, which everybody can read",
        true if service.is_everybodys() => {
            "a secret stands in the manifest, and with it in what is installed, which whoever logs on can read"
        }
        true => "a secret stands in the manifest, which is as open as the folder it lies in",
    });
    for place in &seen {
        finding = finding.seen(place);
    }
    let file = service.manifest.with_file_name("secrets.env");
    if !is_on_windows && matches!(patient.look.entry(&file), Ok(None)) {
        finding = finding.run(format!("install -m 600 /dev/null {}", quoted(&file)));
    }
    if !service.environment_files.contains(&file) {
        let files = service.environment_files.iter().chain([&file]);
        let files: Vec<_> = files.map(|file| file.to_string_lossy().into_owned()).collect();
        finding = finding.edit(patient, "service.environment_files", list(&files));
    }
    let finding = finding.by_hand("write it into that file as KEY=value, and take it out of the manifest");
    if is_on_windows {
        let whose = if service.is_everybodys() {
            "whoever runs it can read what it reads"
        } else {
            "its account needs (R)"
        };
        return finding
            .by_hand(format!(
                "keep others from it: icacls \"{}\" /inheritance:r /grant:r \"*S-1-5-32-544:(F)\" \"*S-1-5-18:(F)\" \"ACCOUNT:(R)\"; {whose}",
                file.display()
            ))
            .only();
    }
    finding
        .by_hand("or let systemd hand it over: [raw.systemd.Service] LoadCredential = \"NAME:/etc/credstore/NAME\", read from $CREDENTIALS_DIRECTORY/NAME")
        .only()
}

fn readable(patient: &Patient) -> Vec<Finding> {
    let files = patient.service.environment_files.iter();
    files
        .filter_map(|file| {
            let entry = patient.look.target(file).ok()??;
            if entry.mode & 0o004 == 0 {
                return None;
            }
            let text = small_file(patient.look, file)?;
            let variables = environment::parse(&String::from_utf8_lossy(&text), platform::HAS_SHELL_ESCAPES);
            let named: Vec<_> = variables
                .into_iter()
                .filter(|(key, value)| (is_secret(key) && is_value(value)) || has_password(value))
                .map(|(key, _)| key)
                .collect();
            if named.is_empty() {
                return None;
            }
            let finding = Finding::new(format!("everybody can read the secrets in {}", file.display()));
            let finding = finding.seen(described(patient, file, &entry)).seen(named.join(", "));
            Some(finding.run(format!("chmod o-r {}", quoted(file))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names_and_values() {
        for name in [
            "HF_TOKEN",
            "OPENAI_API_KEY",
            "DB_PASSWORD",
            "--api-key",
            "--token",
            "SECRET_KEY",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "MAX_TOKENS",
            "TOKENIZERS_PARALLELISM",
            "KEY",
            "PATH",
            "DB_PASSWORD_FILE",
            "--port",
            "MONKEY",
            "TOKEN_ID",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        for value in ["hf_abc", "x y"] {
            assert!(is_value(value), "{value}");
        }
        for value in ["", "4", "true", "/run/secrets/x", "$TOKEN", "<your key>"] {
            assert!(!is_value(value), "{value}");
        }
        assert!(has_password("postgres://app:hidden@db/x") && !has_password("http://user@host/a:b@c"));
        assert!(!has_password("postgres://app:$PASS@db/x"));
    }
}
