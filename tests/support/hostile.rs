//! Words that are hard to carry.
#![allow(unreachable_pub)]

use std::fmt::Write as _;

/// Words that something on the way may read as something else.
pub const HOSTILE: &[&str] = &[
    "",
    " ",
    "a b",
    "\"",
    "\\",
    "\\\\",
    "a\\\"b",
    "a\\\\\"b\\",
    "C:\\x y\\",
    "\"quoted\"",
    "'single'",
    "100%",
    "%",
    "^",
    "&",
    "|",
    "<in",
    ">out",
    "a&b",
    "(a)",
    "!",
    ";",
    ",",
    "=",
    "--x={\"a\": [1]}",
    "tab\there",
    "line\nbreak",
    "return\r\nbreak",
    "中文",
    "日本語 テスト",
    "é ü ß",
    "😀",
    "$HOME",
    "`x`",
    "~",
    "*",
    "?",
    "-",
    "/x",
    "@file",
    "#",
    "]]>",
    "&amp;",
    "<!-- -->",
    "\u{a0}",
    "\u{200b}",
    "\u{7f}",
    "{{ x }}",
    "\\\\server\\share\\",
    "a\\\\ \\\\\"\\",
];

/// A thousand words of characters that matter, always the same. What is refused in a task is in every fourth, and a percent sign,
/// of which a line holds one, in every tenth.
pub fn random_words() -> Vec<String> {
    const LETTERS: &[char] = &[
        '%', '%', '\u{1}', '\u{fffe}', '\\', '\\', '"', '"', ' ', ' ', '\t', 'a', 'b', '$', '(', '\'', '<', '>', '&',
        '^', '|', '\n', '\r', '中', 'é', '😀', '=', '/', '-', '{', '.',
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % limit
    };
    let mut word = |number: usize| {
        let letters = match number {
            number if number.is_multiple_of(10) => LETTERS,
            number if number.is_multiple_of(4) => &LETTERS[2..],
            _ => &LETTERS[4..],
        };
        (0..next(14)).map(|_| letters[next(letters.len())]).collect()
    };
    (0..1000).map(&mut word).collect()
}

/// The list of a manifest that holds these words.
pub fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::from("[");
    for word in words {
        let escaped: String = word.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
        write!(list, "\"{escaped}\", ").unwrap();
    }
    list + "]"
}
