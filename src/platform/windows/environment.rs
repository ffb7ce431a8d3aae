//! What a process is given by whoever starts it: the environment that its account has at a logon.

use std::{
    ffi::{OsStr, OsString, c_void},
    io,
    os::windows::{
        ffi::OsStrExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    },
    path::Path,
    ptr::null_mut,
};

use windows_sys::Win32::{
    Security::{TOKEN_DUPLICATE, TOKEN_QUERY},
    System::{
        Environment::{CreateEnvironmentBlock, DestroyEnvironmentBlock},
        Threading::{GetCurrentProcess, OpenProcessToken},
    },
};

use super::{succeeded, text_at};
use crate::system::User;

/// Between the folders of PATH.
pub const PATH_SEPARATOR: &str = ";";
/// Whether `a` and `A` are two variables.
pub const TELLS_CASES_APART: bool = false;
/// Whether a backslash in a file of variables means what it means to a shell: it is part of most paths.
pub const HAS_SHELL_ESCAPES: bool = false;

/// What is inherited; where that is nothing, what our account is given at a logon (`CreateEnvironmentBlock`).
pub fn base_environment(
    _: &User,
    _: Option<&Path>,
    inherited: Vec<(OsString, OsString)>,
    _: bool,
    _: &dyn Fn(&str) -> Option<OsString>,
) -> io::Result<Vec<(OsString, OsString)>> {
    if inherited.is_empty() {
        of_account()
    } else {
        Ok(inherited)
    }
}

#[allow(unsafe_code)]
fn of_account() -> io::Result<Vec<(OsString, OsString)>> {
    let (mut token, mut block) = (null_mut(), null_mut());
    // SAFETY: the handle of our own process needs no closing; the token's is ours.
    let token = unsafe {
        succeeded(OpenProcessToken(
            GetCurrentProcess(),
            TOKEN_QUERY | TOKEN_DUPLICATE,
            &raw mut token,
        ))?;
        OwnedHandle::from_raw_handle(token)
    };
    // SAFETY: the block is freed after it was read, and not used any more.
    unsafe {
        succeeded(CreateEnvironmentBlock(&raw mut block, token.as_raw_handle(), 0))?;
        let variables = variables(block);
        DestroyEnvironmentBlock(block);
        Ok(variables)
    }
}

/// Texts that follow each other, up to an empty one.
#[allow(unsafe_code)]
fn variables(block: *const c_void) -> Vec<(OsString, OsString)> {
    let mut at = block.cast::<u16>();
    let mut variables = Vec::new();
    loop {
        let text = text_at(at);
        if text.is_empty() {
            return variables;
        }
        // SAFETY: the text ends with a zero, and another one begins behind it.
        at = unsafe { at.add(text.encode_wide().count() + 1) };
        variables.extend(parted(&text));
    }
}

/// Name and value; names that begin with `=` are the command line's own.
fn parted(text: &OsStr) -> Option<(OsString, OsString)> {
    let text = text.to_str()?;
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
    Some((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_what_every_program_needs() {
        let variables = of_account().expect("we are somebody");
        for needed in ["SystemRoot", "PATH", "TEMP", "USERPROFILE"] {
            let is_there = variables
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case(needed) && !value.is_empty());
            assert!(is_there, "{needed} in {variables:?}");
        }
        assert!(variables.iter().all(|(name, _)| !name.is_empty()));
    }
}
