//! `security.devices` as systemd has it (`DevicePolicy=`, systemd.resource-control(5)).

use super::specifiers;
use crate::service::Service;

/// What NVIDIA's driver and CUDA open; a node that is not there is passed over.
const NVIDIA: [&str; 12] = [
    "/dev/nvidiactl",
    "/dev/nvidia-modeset",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia0",
    "/dev/nvidia1",
    "/dev/nvidia2",
    "/dev/nvidia3",
    "/dev/nvidia4",
    "/dev/nvidia5",
    "/dev/nvidia6",
    "/dev/nvidia7",
];
/// All devices of the driver, as `/proc/devices` names them.
const NVIDIA_CLASS: &str = "char-nvidia*";

/// Under the standard profile what names its devices has these, and what names none has all.
pub(super) fn named_devices(service: &Service) -> Vec<String> {
    if service.security.devices.is_empty() {
        return Vec::new();
    }
    devices(service)
}

pub(super) fn devices(service: &Service) -> Vec<String> {
    let security = &service.security;
    let mut allowed = Vec::new();
    for device in &security.devices {
        match device.as_str() {
            "nvidia" => {
                allowed.push(NVIDIA_CLASS.to_owned());
                allowed.extend(NVIDIA.map(str::to_owned));
            }
            other => allowed.push(specifiers(other)),
        }
    }
    let usb = "char-usb_device";
    if security.needs.usb && !allowed.iter().any(|device| device == usb) {
        allowed.push(usb.into());
    }
    if allowed.is_empty() {
        return vec!["PrivateDevices=yes".into()];
    }
    let mut lines = vec!["DevicePolicy=closed".to_owned()];
    lines.extend(allowed.iter().map(|device| format!("DeviceAllow={device} rw")));
    if security.needs.gpu {
        lines.push("LimitMEMLOCK=infinity".into()); // CUDA pins memory
    }
    lines
}
