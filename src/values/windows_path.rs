//! Paths of Windows as text, on any system: what another machine's paths mean cannot be asked here. By the rules of Naming
//! Files, Paths, and Namespaces (Win32 documentation).

/// Whether it names one place whatever the current folder is: `C:\…`, or `\\server\share\…`. A slash counts as a backslash.
pub fn is_absolute(text: &str) -> bool {
    root(&text.replace('/', "\\")).is_some()
}

/// Whether it leads to another machine.
pub fn is_network(text: &str) -> bool {
    text.starts_with(r"\\")
}

/// The same place, written as Windows does: backslashes, no `.` and no `..`. Windows takes these out by the letters, before
/// it looks at anything (`GetFullPathName`).
pub fn normal(text: &str) -> String {
    let text = text.replace('/', "\\");
    let root = root(&text).unwrap_or_default();
    let mut parts = Vec::new();
    for part in text[root.len()..].split('\\') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let root = root.trim_end_matches('\\');
    if parts.is_empty() {
        return format!("{root}\\");
    }
    format!("{root}\\{}", parts.join("\\"))
}

/// A place within a folder, or the place itself where it is absolute.
pub fn join(folder: &str, text: &str) -> String {
    if is_absolute(text) {
        normal(text)
    } else {
        normal(&format!("{folder}\\{text}"))
    }
}

/// What a path begins with: the drive, or the server and its share.
fn root(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    if let [letter, b':', b'\\', ..] = bytes
        && letter.is_ascii_alphabetic()
    {
        return Some(&text[..3]);
    }
    let rest = text.strip_prefix(r"\\")?;
    let (server, rest) = rest.split_once('\\')?;
    let share = rest.split('\\').next().unwrap_or_default();
    let is_there = !server.is_empty() && !share.is_empty();
    is_there.then(|| &text[..2 + server.len() + 1 + share.len()])
}

/// Why no file can have this path, or why it would be another's.
pub fn fault(text: &str) -> Option<&'static str> {
    let text = text.replace('/', "\\");
    if text.starts_with(r"\\?\") || text.starts_with(r"\\.\") {
        return Some("a path of a device, or one that is passed on unread, is no plain path");
    }
    let is_rooted = text.starts_with('\\') && !text.starts_with(r"\\");
    let has_drive = text.as_bytes().get(1) == Some(&b':');
    if is_rooted || (has_drive && root(&text).is_none()) {
        return Some("which place it is depends on the current drive, or on the drive's current folder");
    }
    let rest = if has_drive { &text[2..] } else { text.as_str() };
    if rest.chars().any(|c| c.is_control() || "<>\"|?*:".contains(c)) {
        return Some("no name on Windows has a control character or one of < > \" | ? * :");
    }
    let is_lost = |part: &str| !matches!(part, "" | "." | "..") && part.ends_with([' ', '.']);
    if rest.split('\\').any(is_lost) {
        return Some("a space or a dot at the end of a name gets lost on Windows");
    }
    if rest.split('\\').any(is_device) {
        return Some("a name like CON, NUL or COM1 is a device's on Windows, with any extension");
    }
    None
}

fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let is_numbered = |stem: &str| stem.chars().count() == 4 && stem.ends_with(|c: char| "123456789¹²³".contains(c));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (is_numbered(&stem) && (stem.starts_with("COM") || stem.starts_with("LPT")))
}

/// What kind of file it is, by its name: `exe`, in small letters; nothing where the name says nothing.
pub fn extension(text: &str) -> String {
    let name = text.rsplit(['\\', '/']).next().unwrap_or_default();
    name.rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
        .unwrap_or_default()
}

/// Its length as Windows counts: UTF-16 code units.
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_with_its_drive_or_its_share() {
        for path in [
            r"C:\",
            r"c:\a",
            "C:/a",
            r"\\server\share",
            r"\\server\share\a",
            "//server/share",
        ] {
            assert!(is_absolute(path), "{path}");
        }
        for path in [
            "",
            "a",
            r"a\b",
            r"\a",
            "/srv/a",
            "C:",
            "C:a",
            r"1:\a",
            r"\\",
            r"\\server",
            r"\\server\",
            r"\\\a",
        ] {
            assert!(!is_absolute(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_written_in_one_way() {
        for (path, expected) in [
            ("C:/app//./main.py", r"C:\app\main.py"),
            (r"C:\a\..\..\b\", r"C:\b"),
            (r"C:\", r"C:\"),
            (r"C:\..", r"C:\"),
            (r"\\server\share\a\..\..\b", r"\\server\share\b"),
            (r"\\server\share", r"\\server\share\"),
            (r"C:\中文 & %TEMP%\x", r"C:\中文 & %TEMP%\x"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
            assert_eq!(normal(expected), expected);
        }
        assert_eq!(join(r"C:\app", r"..\bin\run.exe"), r"C:\bin\run.exe");
        assert_eq!(join(r"C:\app", r"D:\run.exe"), r"D:\run.exe");
        assert_eq!(join(r"C:\app", ""), r"C:\app");
    }

    #[test]
    fn what_no_file_can_have_is_told() {
        for path in [
            r"C:\Program Files (x86)\a & b\100%\中文.exe",
            r"\\server\share\a.b",
            "run.exe",
            "../com",
            r"C:\console",
        ] {
            assert_eq!(fault(path), None, "{path}");
        }
        for path in [
            r"C:\a?b",
            "C:\\a\nb",
            r"C:\a|b",
            "a\"b",
            r"C:\a:b",
            r"C:\a \b",
            r"C:\a.",
            r"\a",
            "/srv/app",
            "C:a",
            r"\\?\C:\a",
            r"\\.\pipe\a",
            r"C:\nul",
            r"C:\CON.txt",
            r"C:\com1",
            "lpt9.log",
        ] {
            assert!(fault(path).is_some(), "{path}");
        }
    }

    #[test]
    fn an_extension_is_that_of_the_last_name() {
        for (path, expected) in [
            (r"C:\a.b\run.EXE", "exe"),
            (r"C:\a.b\run", ""),
            ("x.bat", "bat"),
            ("", ""),
        ] {
            assert_eq!(extension(path), expected, "{path}");
        }
    }
}
