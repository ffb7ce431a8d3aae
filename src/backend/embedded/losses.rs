//! What the embedded supervisor cannot give, and does instead.

use crate::service::{Destination, Service};

/// What the embedded supervisor cannot give.
pub(super) fn losses(service: &Service) -> Vec<String> {
    let resources = &service.resources;
    let mut losses = Vec::new();
    for (key, is_set) in [
        ("resources.cpu", resources.cpu.is_some()),
        ("resources.cpu_request", resources.cpu_request.is_some()),
        ("resources.memory", resources.memory.is_some()),
        ("resources.memory_request", resources.memory_request.is_some()),
        ("resources.tasks", resources.tasks.is_some()),
        ("resources.shared_memory", resources.shared_memory.is_some()),
        ("[security]", service.security.is_demanding()),
        ("[raw.systemd]", !service.raw_systemd.is_empty()),
    ] {
        if is_set {
            losses.push(format!(
                "{key}: needs systemd; without effect under the embedded supervisor"
            ));
        }
    }
    let dependencies = &service.dependencies;
    for unit in dependencies.units() {
        losses.push(format!(
            "dependencies.requires: {unit} is a unit of systemd, which does not run here: without effect"
        ));
    }
    if !(dependencies.after.is_empty() && dependencies.wants.is_empty()) {
        losses.push("dependencies.after, dependencies.wants: without effect under the embedded supervisor; use requires or wait_for".into());
    }
    if service.logging.destination == Some(Destination::Journal) {
        losses.push("logging.destination: there is no journal here; output goes into files".into());
    }
    if service.stop_signal.starts_with("SIGRT") {
        losses.push(format!(
            "service.stop_signal: {} is sent as SIGTERM by the embedded supervisor",
            service.stop_signal
        ));
    }
    losses
}
