//! `[requirements]`: what has to be there before the app can run.

use serde::{Deserialize, Serialize};

/// What has to be there. It is checked as the service's user, in its environment, with its interpreter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// Version specifiers of Python (PEP 440).
    pub python: Option<String>,
    /// Packages of that Python's environment (PEP 508).
    pub packages: Vec<String>,
    /// Programs on the service's PATH.
    pub executables: Vec<String>,
    /// NVIDIA's driver, its device nodes, and the permission to use them.
    pub cuda: Option<Cuda>,
    /// Bytes that must be free where the app writes.
    pub disk: Option<u64>,
    /// Bytes of memory that must be available.
    pub memory: Option<u64>,
}

/// Which driver of NVIDIA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cuda {
    /// Whichever.
    Any,
    /// At least this version, like `535.104`.
    AtLeast(String),
}
