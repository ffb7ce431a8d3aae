//! The environment of an app that no service manager starts: what the system gives to whoever it runs as, then the manifest's
//! variables, then the user's own files, read at each start.

use std::{ffi::OsString, path::Path};

use crate::{
    platform,
    service::{RunAs, Service},
    system::{Probe, User},
};

/// The whole environment, the later of two equal names winning.
pub fn of(
    service: &Service,
    user: &User,
    shell: Option<&Path>,
    inherited: Vec<(OsString, OsString)>,
    look: &dyn Probe,
) -> Result<Vec<(OsString, OsString)>, String> {
    let is_ours = service.run_as == RunAs::Invoker;
    let mut variables = platform::base_environment(user, shell, inherited, is_ours, &|name| look.env(name))
        .map_err(|error| format!("the environment of its account is not known: {error}"))?;
    let mut path: Vec<OsString> = service.path.iter().map(|folder| folder.clone().into()).collect();
    path.extend(
        variables
            .iter()
            .find_map(|(name, value)| is_same(name, "PATH").then(|| value.clone())),
    );
    let mut set = |key: &str, value: OsString| {
        variables.retain(|(name, _)| !is_same(name, key));
        variables.push((key.into(), value));
    };
    set("PATH", path.join(platform::PATH_SEPARATOR.as_ref()));
    for (key, value) in &service.environment {
        set(key, value.into());
    }
    if let Some((level, variable)) = &service.logging.level {
        set(variable, level.into());
    }
    for file in &service.environment_files {
        let bytes = look
            .read(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        for (key, value) in parse(&String::from_utf8_lossy(&bytes), platform::HAS_SHELL_ESCAPES) {
            set(&key, value.into());
        }
    }
    Ok(variables)
}

fn is_same(name: &std::ffi::OsStr, other: &str) -> bool {
    if platform::TELLS_CASES_APART {
        name == other
    } else {
        name.eq_ignore_ascii_case(other)
    }
}

/// `KEY=value` lines as systemd reads them (`EnvironmentFile=`, systemd.exec(5)): comments begin with `#` or `;`, a value may
/// be quoted as in a shell, without its expansions, and a backslash at its end continues a line. Without `has_escapes` a
/// backslash is a character like any other, as in a path of Windows.
pub fn parse(text: &str, has_escapes: bool) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&first) = rest.peek() {
        if matches!(first, '#' | ';') {
            while rest.next_if(|&c| c != '\n').is_some() {}
            continue;
        }
        let key: String = std::iter::from_fn(|| rest.next_if(|&c| c != '=' && c != '\n')).collect();
        if rest.next() != Some('=') {
            continue; // the end of a line without a value, or of the file
        }
        let value = value(&mut rest, has_escapes);
        if crate::values::is_variable(key.trim()) {
            variables.push((key.trim().to_owned(), value));
        }
    }
    variables
}

/// One value, up to and with the end of its line.
fn value(rest: &mut std::iter::Peekable<std::str::Chars>, has_escapes: bool) -> String {
    let mut value = String::new();
    let mut quote = None;
    let mut kept = 0; // blanks at the end are not kept, unless they were quoted or escaped
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '\n') => break,
            (None, '"' | '\'') => {
                quote = Some(c);
                kept = value.len();
            }
            (Some(open), c) if c == open => {
                quote = None;
                kept = value.len();
            }
            (None | Some('"'), '\\') if has_escapes => match (quote, rest.next()) {
                (_, Some('\n')) => {}
                (None, Some(c)) => {
                    value.push(c);
                    kept = value.len();
                }
                // Within double quotes only these are escaped (POSIX shell, 2.2.3).
                (Some(_), Some(c)) => {
                    if !matches!(c, '"' | '\\' | '`' | '$') {
                        value.push('\\');
                    }
                    value.push(c);
                    kept = value.len();
                }
                (_, None) => break,
            },
            (None, c) if c.is_ascii_whitespace() => {
                if !value.is_empty() {
                    value.push(c);
                }
            }
            (_, c) => {
                value.push(c);
                kept = value.len();
            }
        }
    }
    value.truncate(kept);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        let text = "# comment that isn't = no\n; neither = this\nA=1\n B = two words  \nC=\"quoted  \"\nD='single $HOME \\n'\n\
                    E=one\\\ntwo\nF=a\\ b\nnot a variable=x\nG=\nH=\"a\\\"b\\n\"\nI=x # no comment\nJ='a'\"b\"c\nlast";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "quoted  "),
            ("D", "single $HOME \\n"),
            ("E", "onetwo"),
            ("F", "a b"),
            ("G", ""),
            ("H", "a\"b\\n"),
            ("I", "x # no comment"),
            ("J", "abc"),
        ];
        let parsed = parse(text, true);
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(parsed, expected);
    }
    #[test]
    fn on_windows_a_backslash_is_a_character_and_a_line_ends_as_it_ends_there() {
        let text = "A=C:\\models\\new\r\nB=\"C:\\Program Files\\x\\\"\r\nC='a\\'\r\n";
        let expected = [("A", r"C:\models\new"), ("B", r"C:\Program Files\x\"), ("C", r"a\")];
        let parsed = parse(text, false);
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(parsed, expected);
    }
}
