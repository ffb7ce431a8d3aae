//! `[security]`: the rights the app keeps.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The rights an app keeps. The default is that of records that were written before there were profiles: nothing was taken
/// away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// How much is taken away.
    pub profile: Profile,
    /// Folders it may write to, absolute.
    pub writable: Vec<PathBuf>,
    /// Devices it may use: `nvidia`, paths, or the class of all devices in a folder (`char-usb_device`).
    pub devices: Vec<String>,
    /// Capabilities it keeps (capabilities(7)).
    pub capabilities: Vec<String>,
    /// How far it may talk.
    pub network: Network,
    /// What follows from the rest of the manifest, and from what lies on this machine.
    pub needs: Needs,
}

impl Security {
    /// Whether more is asked for than what an app has that asks for nothing.
    pub fn is_demanding(&self) -> bool {
        self.profile == Profile::Strict
            || self.network != Network::Any
            || !(self.writable.is_empty() && self.devices.is_empty() && self.capabilities.is_empty())
    }
}

/// How much is taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Nothing.
    #[default]
    None,
    /// What no ordinary app misses.
    Standard,
    /// All but what is named.
    Strict,
}

/// How far an app may talk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Wherever the machine may.
    #[default]
    Any,
    /// With this machine.
    Loopback,
    /// With nobody.
    None,
}

/// What a profile has to leave to this app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Needs {
    /// Something it uses lies in a home folder.
    pub home: bool,
    /// It uses a GPU.
    pub gpu: bool,
    /// It talks to USB devices, as adb does.
    pub usb: bool,
    /// It listens on a port under 1024.
    pub low_port: bool,
    /// It is machine code that is not known to compile at run time, nor to run others.
    pub is_native: bool,
    /// It runs as root.
    pub is_root: bool,
    /// Its own folder, where that is one of the system's.
    pub system_folder: Option<PathBuf>,
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        })
    }
}
