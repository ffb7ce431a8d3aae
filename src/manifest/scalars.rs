//! Single values: what a string, a number, a quantity may say.

use super::{
    keys::nearest,
    node::{Node, Value},
};
use crate::{render::is_noncharacter, values};

/// What is wrong with a value, and its repair where there is one.
pub(super) type Wrong = (String, Option<String>);

pub(super) fn expected(what: &str, node: &Node) -> Wrong {
    let help = match &node.value {
        Value::Integer(_) | Value::Bool(_) | Value::Float(_) | Value::Other(_) if what == "a string" => {
            Some("put it into quotes")
        }
        Value::String(_) if what.starts_with("a list") => Some("put it into brackets: [\"…\"]"),
        Value::String(text) if what == "an integer" && text.parse::<i64>().is_ok() => Some("take the quotes away"),
        _ => None,
    };
    let message = format!("this must be {what}, and is {}", node.kind());
    (message, help.map(Into::into))
}

fn string(node: &Node) -> Result<&str, Wrong> {
    match &node.value {
        Value::String(text) => Ok(text),
        _ => Err(expected("a string", node)),
    }
}

/// One line that says something.
pub(super) fn line(node: &Node) -> Result<String, Wrong> {
    match string(node)? {
        "" => Err(("this cannot be empty".into(), Some("leave the key out".into()))),
        text => one_line(text),
    }
}

/// Nothing that would leave its line, join it with the next, or get lost in it.
pub(super) fn one_line(text: &str) -> Result<String, Wrong> {
    let at = |(place, c): (usize, char)| format!("U+{:04X}, character {}", u32::from(c), place + 1);
    if let Some(control) = text.chars().enumerate().find(|(_, c)| c.is_control()) {
        let message = format!("a control character cannot stand here ({})", at(control));
        return Err((message, Some("take it out: this goes into one line of a file".into())));
    }
    if let Some(strange) = text.chars().enumerate().find(|(_, c)| is_noncharacter(*c)) {
        return Err((format!("a noncharacter cannot stand here ({})", at(strange)), None));
    }
    if text.ends_with('\\') {
        return Err(("a backslash at the end would join this with the next line".into(), None));
    }
    if text.trim() != text {
        return Err(("spaces at the beginning or the end get lost here".into(), None));
    }
    Ok(text.into())
}

/// A word of a command: it arrives byte for byte, so everything goes but the NUL, which no argument can hold.
pub(super) fn word(node: &Node) -> Result<String, Wrong> {
    no_nul(string(node)?)
}

/// The value of a variable, byte for byte.
pub(super) fn variable(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::String(text) => no_nul(text),
        _ => Err((expected("a string", node).0, Some("put the value into quotes".into()))),
    }
}

fn no_nul(text: &str) -> Result<String, Wrong> {
    if text.contains('\0') {
        let message = "a NUL character ends every argument and variable: it cannot be passed on";
        return Err((message.into(), None));
    }
    Ok(text.into())
}

/// Words of a string, by the rules of a POSIX shell; no shell ever runs.
pub(super) fn split_words(node: &Node) -> Result<Vec<String>, Wrong> {
    let Value::String(text) = &node.value else {
        let (message, _) = expected("a list of words, or a string", node);
        return Err((message, Some("like [\"python3\", \"main.py\"]".into())));
    };
    let words = shell_words::split(&no_nul(text)?);
    with_program(&words.map_err(|error| (format!("this cannot be split into words: {error}"), None))?)
}

pub(super) fn with_program(words: &[String]) -> Result<Vec<String>, Wrong> {
    if words.first().is_none_or(String::is_empty) {
        let help = "the first word is the program";
        return Err(("this names no program".into(), Some(help.into())));
    }
    Ok(words.to_vec())
}

/// Directives go into the unit as they are; an empty one resets what was set before (systemd.syntax(7)).
pub(super) fn directive_value(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Integer(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(if *truth { "yes" } else { "no" }.into()),
        Value::String(text) => one_line(text),
        _ => Err(expected("a string, an integer, a boolean or a list of these", node)),
    }
}

pub(super) fn name(node: &Node) -> Result<String, Wrong> {
    let name = string(node)?;
    if !values::is_app(name) {
        let help = "1 to 63 of a-z, 0-9 and -, beginning with a letter: legal as unit, task and Kubernetes name";
        return Err((format!("{name:?} cannot be the name of an app"), Some(help.into())));
    }
    if name == "autoglm-boot" || name.starts_with("autoglm-boot-") {
        return Err((format!("{name:?} is kept for units of autoglm-boot itself"), None));
    }
    Ok(name.into())
}

pub(super) fn one_of(node: &Node, words: &[&str]) -> Result<String, Wrong> {
    let text = string(node)?;
    if words.contains(&text) {
        return Ok(text.into());
    }
    let help = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("it is one of: {}", words.join(", ")),
    };
    Err((format!("{text:?} is not known here"), Some(help)))
}

fn quantity<T>(node: &Node, sample: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Wrong> {
    match &node.value {
        Value::String(text) => parse(text).map_err(|message| (message, None)),
        _ => Err((expected("a string", node).0, Some(format!("like {sample:?}")))),
    }
}

pub(super) fn duration(node: &Node) -> Result<std::time::Duration, Wrong> {
    match &node.value {
        Value::Integer(number) => {
            let help = format!("write \"{number}s\"");
            Err(("a length of time needs its unit".into(), Some(help)))
        }
        _ => quantity(node, "1m30s", values::duration),
    }
}

pub(super) fn positive_duration(node: &Node) -> Result<std::time::Duration, Wrong> {
    let time = duration(node)?;
    if time.is_zero() {
        return Err(("this must be longer than zero".into(), None));
    }
    Ok(time)
}

pub(super) fn size(node: &Node) -> Result<u64, Wrong> {
    let bytes = match &node.value {
        Value::Integer(bytes) => u64::try_from(*bytes).map_err(|_| ("a size cannot be negative".into(), None))?,
        _ => quantity(node, "512Mi", values::size)?,
    };
    if bytes == 0 {
        return Err(("this must be more than zero".into(), None));
    }
    Ok(bytes)
}

pub(super) fn cpu(node: &Node) -> Result<u64, Wrong> {
    match &node.value {
        Value::Integer(cores) => values::cpu(&cores.to_string()).map_err(|message| (message, None)),
        Value::Float(cores) => values::cpu(cores).map_err(|message| (message, None)),
        _ => quantity(node, "1.5", values::cpu),
    }
}

pub(super) fn count(node: &Node, least: u64, most: u64) -> Result<u64, Wrong> {
    match node.value {
        Value::Integer(number) => u64::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| (format!("this must be from {least} to {most}"), None)),
        _ => Err(expected("an integer", node)),
    }
}

pub(super) fn truth(node: &Node) -> Result<bool, Wrong> {
    match &node.value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if matches!(text.as_str(), "true" | "false") => {
            let (message, _) = expected("true or false", node);
            Err((message, Some("take the quotes away".into())))
        }
        _ => Err(expected("true or false", node)),
    }
}

/// A status, or an inclusive range of them.
pub(super) fn status(node: &Node) -> Result<(u16, u16), Wrong> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let range = match &node.value {
        Value::Integer(status) => u16::try_from(*status).ok().map(|status| (status, status)),
        Value::String(text) => text
            .split_once(['-', '–'])
            .and_then(|(low, high)| Some((number(low)?, number(high)?))),
        _ => None,
    };
    range
        .filter(|(low, high)| 100 <= *low && low <= high && *high <= 599)
        .ok_or_else(|| {
            let help = "statuses from 100 to 599, and ranges of them: [204, \"300-399\"]";
            ("this is no HTTP status".into(), Some(help.into()))
        })
}

/// Fields of an HTTP request, by name (RFC 9110, 5.1 and 5.5).
pub(super) fn headers(node: &Node) -> Result<Vec<(String, String)>, Wrong> {
    if !node.is_table() {
        return Err(expected("a table like { Authorization = \"Bearer …\" }", node));
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut fields = Vec::new();
    for (name, value) in node.entries() {
        let name = &name.value;
        if name.is_empty() || !name.chars().all(is_token) {
            return Err((format!("{name:?} is no name of a header"), None));
        }
        let text = string(value)?;
        if text.trim() != text || !text.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic()) {
            let help = "visible characters of ASCII, and spaces within";
            return Err((
                format!("this cannot be the value of the header {name:?}"),
                Some(help.into()),
            ));
        }
        fields.push((name.clone(), text.to_owned()));
    }
    Ok(fields)
}

/// `SIGTERM` or `TERM`, and real-time signals as `SIGRTMIN+3` (signal(7)).
pub(super) fn signal(node: &Node) -> Result<String, Wrong> {
    const NAMES: [&str; 29] = [
        "SIGTERM",
        "SIGINT",
        "SIGQUIT",
        "SIGHUP",
        "SIGKILL",
        "SIGUSR1",
        "SIGUSR2",
        "SIGABRT",
        "SIGALRM",
        "SIGBUS",
        "SIGCHLD",
        "SIGCONT",
        "SIGFPE",
        "SIGILL",
        "SIGIO",
        "SIGPIPE",
        "SIGPROF",
        "SIGPWR",
        "SIGSEGV",
        "SIGSYS",
        "SIGTRAP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGVTALRM",
        "SIGWINCH",
        "SIGXCPU",
        "SIGXFSZ",
    ];
    let text = string(node)?;
    let name = format!("SIG{}", text.strip_prefix("SIG").unwrap_or(text));
    let is_realtime = name.strip_prefix("SIGRTMIN+").is_some_and(|n| {
        n.parse::<u8>()
            .is_ok_and(|number| number <= 30 && number.to_string() == n)
    });
    if is_realtime || NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    let help = nearest(&name, NAMES.into_iter()).map(|near| format!("did you mean {near:?}?"));
    Err((format!("{text:?} is no signal that stops an app"), help))
}
