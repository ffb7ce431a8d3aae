//! Known folders: asked of the system, never guessed (`KNOWNFOLDERID`, Windows Shell documentation).

use std::{io, path::PathBuf, ptr::null_mut};

use windows_sys::{
    Win32::{
        System::Com::CoTaskMemFree,
        UI::Shell::{
            FOLDERID_CommonStartup, FOLDERID_LocalAppData, FOLDERID_Profile, FOLDERID_ProgramData,
            FOLDERID_ProgramFiles, FOLDERID_Startup, FOLDERID_System, SHGetKnownFolderPath,
        },
    },
    core::GUID,
};

use super::path_at;

/// A folder that is elsewhere on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Where only administrators write programs: `C:\Program Files`.
    ProgramFiles,
    /// The machine's data: `C:\ProgramData`.
    ProgramData,
    /// The user's data that stays on this machine: `…\AppData\Local`.
    LocalAppData,
    /// The user's home.
    Profile,
    /// What is started when the user logs on.
    Startup,
    /// What is started when anybody logs on.
    CommonStartup,
    /// The system's own programs: `C:\Windows\System32`.
    System,
}

/// Where it is.
#[allow(unsafe_code)]
pub fn known_folder(known: Known) -> io::Result<PathBuf> {
    let id: GUID = match known {
        Known::ProgramFiles => FOLDERID_ProgramFiles,
        Known::ProgramData => FOLDERID_ProgramData,
        Known::LocalAppData => FOLDERID_LocalAppData,
        Known::Profile => FOLDERID_Profile,
        Known::Startup => FOLDERID_Startup,
        Known::CommonStartup => FOLDERID_CommonStartup,
        Known::System => FOLDERID_System,
    };
    let mut text = null_mut();
    // SAFETY: the system allocates the text and ends it with a zero; it is freed also after a failure, as is asked for.
    let (result, path) = unsafe {
        let result = SHGetKnownFolderPath(&raw const id, 0, null_mut(), &raw mut text);
        let path = path_at(text);
        CoTaskMemFree(text.cast());
        (result, path)
    };
    if result < 0 {
        return Err(io::Error::other(format!(
            "the folder {known:?} is not known: {result:#010x}"
        )));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_folder_is_absolute_and_another() {
        let all = [
            Known::ProgramFiles,
            Known::ProgramData,
            Known::LocalAppData,
            Known::Profile,
            Known::Startup,
            Known::CommonStartup,
            Known::System,
        ];
        let folders: std::collections::BTreeSet<_> = all
            .iter()
            .map(|&known| known_folder(known).expect("the system knows it"))
            .collect();
        assert_eq!(folders.len(), all.len());
        assert!(folders.iter().all(|folder| folder.is_absolute()), "{folders:?}");
        assert!(known_folder(Known::System).expect("as above").join("cmd.exe").is_file());
    }
}
