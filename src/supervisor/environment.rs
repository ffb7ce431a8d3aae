//! The environment of an app that no service manager starts: what systemd would give it (systemd.exec(5), "Environment
//! Variables in Spawned Processes"), then the manifest's variables, then the user's own files, read at each start.

use std::{ffi::OsString, path::Path};

use crate::{
    render::DEFAULT_PATH,
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
    let mut variables = inherited;
    let mut set = |key: &str, value: OsString| {
        variables.retain(|(name, _)| name != key);
        variables.push((key.into(), value));
    };
    if let Some(name) = &user.name {
        set("USER", name.into());
        set("LOGNAME", name.into());
    }
    set("HOME", user.home.clone().into());
    if let Some(shell) = shell {
        set("SHELL", shell.into());
    }
    // The folder for sockets is that of whoever we are.
    let kept: &[&str] = if service.run_as == RunAs::Invoker {
        &["LANG", "XDG_RUNTIME_DIR"]
    } else {
        &["LANG"]
    };
    for name in kept {
        if let Some(value) = look.env(name) {
            set(name, value);
        }
    }
    let mut path: Vec<_> = service
        .path
        .iter()
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect();
    path.push(DEFAULT_PATH.into());
    set("PATH", path.join(":").into());
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
        for (key, value) in parse(&String::from_utf8_lossy(&bytes)) {
            set(&key, value.into());
        }
    }
    Ok(variables)
}

/// `KEY=value` lines as systemd reads them (`EnvironmentFile=`, systemd.exec(5)): comments begin with `#` or `;`, a value may
/// be quoted as in a shell, without its expansions, and a backslash at its end continues a line.
pub fn parse(text: &str) -> Vec<(String, String)> {
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
        let value = value(&mut rest);
        if crate::values::is_variable(key.trim()) {
            variables.push((key.trim().to_owned(), value));
        }
    }
    variables
}

/// One value, up to and with the end of its line.
fn value(rest: &mut std::iter::Peekable<std::str::Chars>) -> String {
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
            (None | Some('"'), '\\') => match (quote, rest.next()) {
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
        let parsed = parse(text);
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(parsed, expected);
    }
}
