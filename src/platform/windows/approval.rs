//! What a user has decided about a shortcut in the Startup folder: in the Task Manager, or the settings, "Startup apps"
//! (community sources: the first byte of the value is odd where it is off; no value means on).

use std::{io, ptr::null_mut};

use windows_sys::Win32::{
    Foundation::{ERROR_FILE_NOT_FOUND, ERROR_SUCCESS},
    System::Registry::{
        HKEY, HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE, REG_BINARY, RRF_RT_REG_BINARY, RegDeleteKeyValueW, RegGetValueW,
        RegSetKeyValueW,
    },
};

use super::wide;

const KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\StartupFolder";

/// Whose decision it is: of the machine's own Startup folder its administrators'.
fn root(is_machines: bool) -> HKEY {
    if is_machines {
        HKEY_LOCAL_MACHINE
    } else {
        HKEY_CURRENT_USER
    }
}

fn result(code: u32) -> io::Result<()> {
    match code {
        ERROR_SUCCESS => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
    }
}

/// What is written of a shortcut of this file name.
#[allow(unsafe_code)]
pub fn approval(link: &str, is_machines: bool) -> io::Result<Option<Vec<u8>>> {
    let (key, name) = (wide(KEY)?, wide(link)?);
    let mut room = [0_u8; 256];
    let mut bytes = 256_u32;
    // SAFETY: the texts end with a zero, the room is as long as it is said to be.
    let code = unsafe {
        RegGetValueW(
            root(is_machines),
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_BINARY,
            null_mut(),
            room.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if code == ERROR_FILE_NOT_FOUND {
        return Ok(None);
    }
    result(code)?;
    Ok(Some(room[..room.len().min(bytes as usize)].to_vec()))
}

/// Writes it, or removes it.
#[allow(unsafe_code)]
pub fn set_approval(link: &str, is_machines: bool, value: Option<&[u8]>) -> io::Result<()> {
    let (root, key, name) = (root(is_machines), wide(KEY)?, wide(link)?);
    // SAFETY: the texts end with a zero, the value is as long as it is said to be.
    let code = unsafe {
        match value {
            Some(value) => RegSetKeyValueW(
                root,
                key.as_ptr(),
                name.as_ptr(),
                REG_BINARY,
                value.as_ptr().cast(),
                u32::try_from(value.len()).unwrap_or_default(),
            ),
            None => RegDeleteKeyValueW(root, key.as_ptr(), name.as_ptr()),
        }
    };
    if value.is_none() && code == ERROR_FILE_NOT_FOUND {
        return Ok(());
    }
    result(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_read_as_it_was_written() {
        let link = "w-decision 中文.lnk";
        set_approval(link, false, None).expect("it is ours");
        assert_eq!(approval(link, false).expect("as above"), None);
        let off = [3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        set_approval(link, false, Some(&off)).expect("as above");
        assert_eq!(approval(link, false).expect("as above"), Some(off.to_vec()));
        set_approval(link, false, None).expect("as above");
        assert_eq!(approval(link, false).expect("as above"), None);
    }
}
