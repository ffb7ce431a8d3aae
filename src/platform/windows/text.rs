//! What a program says, as text: Windows' own programs say it in the code page of the console, or in UTF-16.

use windows_sys::Win32::Globalization::{GetOEMCP, MultiByteToWideChar};

/// The text of these bytes: by their mark; UTF-16 without one, if every other byte is such; UTF-8, if they are; else the code
/// page of consoles.
pub(super) fn decoded(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [first, 0, ..] if *first != 0 => utf16(bytes),
        _ => std::str::from_utf8(bytes).map_or_else(|_| of_code_page(bytes), str::to_owned),
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<_> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}

#[allow(unsafe_code)]
fn of_code_page(bytes: &[u8]) -> String {
    let Ok(length) = i32::try_from(bytes.len()) else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    let mut units = vec![0_u16; bytes.len()]; // no code page has characters that become more units than they have bytes
    // SAFETY: both are as long as they are said to be.
    let written = unsafe { MultiByteToWideChar(GetOEMCP(), 0, bytes.as_ptr(), length, units.as_mut_ptr(), length) };
    match usize::try_from(written) {
        Ok(written @ 1..) => String::from_utf16_lossy(&units[..written]),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_whatever_it_is_written_in() {
        let utf16: Vec<u8> = "<é中>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let with_mark = [&[0xff, 0xfe][..], &utf16].concat();
        for bytes in [&with_mark[..], &utf16, "\u{feff}<é中>".as_bytes(), "<é中>".as_bytes()] {
            assert_eq!(decoded(bytes), "<é中>");
        }
        assert_eq!(decoded(b""), "");
        assert_eq!(decoded(b"a\r\n"), "a\r\n");
        let broken = decoded(b"<Command>\xc4\xe3</Command>");
        assert!(
            broken.starts_with("<Command>") && broken.ends_with("</Command>"),
            "{broken}"
        );
    }
}
