//! A command line of Windows: one string, which each program takes apart again. By the rules that `CommandLineToArgvW` and the
//! C runtime share (Win32 documentation, "Parsing C++ command-line arguments"): a word that is empty, or has a blank or a
//! quote, stands in quotes; backslashes count only before a quote.

/// The words of a program, without the program itself, as one line.
pub fn line(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// One word, which is read back as it was.
pub fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty() && !word.contains([' ', '\t', '\n', '\u{b}', '"']);
    if is_plain {
        return word.into();
    }
    let mut line = String::with_capacity(word.len() + 2);
    line.push('"');
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                line.push_str(&"\\".repeat(backslashes * 2 + 1));
                line.push('"');
                backslashes = 0;
                continue;
            }
            _ => {
                line.push_str(&"\\".repeat(backslashes));
                backslashes = 0;
            }
        }
        if c != '\\' {
            line.push(c);
        }
    }
    line.push_str(&"\\".repeat(backslashes * 2));
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a line apart as the documentation says it is done, after the program: written down a second time, so that a
    /// mistake in one of the two shows.
    fn split(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut rest = line.chars().peekable();
        loop {
            while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
            if rest.peek().is_none() {
                return words;
            }
            let (mut word, mut is_quoted) = (String::new(), false);
            while let Some(&c) = rest.peek() {
                if !is_quoted && matches!(c, ' ' | '\t') {
                    break;
                }
                rest.next();
                match c {
                    '\\' => {
                        let mut count = 1;
                        while rest.next_if_eq(&'\\').is_some() {
                            count += 1;
                        }
                        if rest.peek() == Some(&'"') {
                            word.push_str(&"\\".repeat(count / 2));
                            if count % 2 == 1 {
                                rest.next();
                                word.push('"');
                            }
                        } else {
                            word.push_str(&"\\".repeat(count));
                        }
                    }
                    '"' => is_quoted = !is_quoted,
                    c => word.push(c),
                }
            }
            words.push(word);
        }
    }

    #[test]
    fn words_are_quoted_where_they_must_be() {
        for (word, expected) in [
            ("", "\"\""),
            ("a", "a"),
            ("a b", "\"a b\""),
            (r"C:\a\", r"C:\a\"),
            (r"C:\a b\", r#""C:\a b\\""#),
            ("\"", r#""\"""#),
            (r#"\""#, r#""\\\"""#),
            ("%PATH% & ^", "\"%PATH% & ^\""),
            ("中文", "中文"),
        ] {
            assert_eq!(quoted(word), expected, "{word}");
        }
    }

    /// Every word of up to seven of the characters that matter.
    #[test]
    fn every_short_word_is_read_back_as_it_was() {
        const LETTERS: [char; 5] = ['\\', '"', ' ', '\t', 'a'];
        let mut words = vec![String::new()];
        for _ in 0..7 {
            let longer = words.iter().flat_map(|word| LETTERS.map(|c| format!("{word}{c}")));
            words = words.iter().cloned().chain(longer).collect();
            words.sort();
            words.dedup();
        }
        assert!(words.len() > 90_000, "{}", words.len());
        for word in &words {
            let pair = [word.clone(), "end".to_owned()];
            assert_eq!(split(&line(&pair)), pair, "{word:?}");
        }
    }

    #[test]
    fn words_together_are_read_back_as_they_were() {
        let words = ["", "\\", "\\\\\"", " ", "a\\ b\"c\\", "\n", "", "-x=\"1\""].map(String::from);
        for length in 0..=words.len() {
            for start in 0..words.len() - length {
                let some = &words[start..start + length];
                assert_eq!(split(&line(some)), some);
            }
        }
    }
}
