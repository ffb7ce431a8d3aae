//! A program for tests: writes the words it was given into the file that the first of them names, as JSON. On Windows they are
//! what `CommandLineToArgvW` makes of its command line.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, unsafe_code, reason = "tests")]

fn main() {
    let words = words();
    let (file, rest) = words[1..].split_first().expect("a file, then words");
    let new = format!("{file}.new");
    std::fs::write(&new, serde_json::to_string(rest).unwrap()).unwrap();
    std::fs::rename(new, file).unwrap(); // whoever waits for it sees all of it
}

#[cfg(not(windows))]
fn words() -> Vec<String> {
    std::env::args().collect()
}

#[cfg(windows)]
fn words() -> Vec<String> {
    use windows_sys::Win32::{System::Environment::GetCommandLineW, UI::Shell::CommandLineToArgvW};

    let mut count = 0;
    // SAFETY: the words are as many as is said, and each ends with a zero.
    unsafe {
        let words = CommandLineToArgvW(GetCommandLineW(), &raw mut count);
        let word = |start: *const u16| {
            let length = (0..0x8000).take_while(|&at| *start.add(at) != 0).count();
            String::from_utf16(std::slice::from_raw_parts(start, length)).unwrap()
        };
        (0..usize::try_from(count).unwrap())
            .map(|at| word(*words.add(at)))
            .collect()
    }
}
