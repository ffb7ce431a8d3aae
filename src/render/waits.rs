//! What an app waits for before its start, as a command of its unit: the helper pulls, as the app's own user. The unit of what is
//! waited for knows nothing of it.

use std::{path::Path, time::Duration};

use crate::{
    exit::Exit,
    health::{state::Care, wait},
    plan::Span,
    service::{Service, StartType},
};

/// Between the end of the wait and that of systemd's patience with it.
const SLACK: Duration = Duration::from_secs(10);

/// The command, if there is something to wait for. Only the helper's own "not in time" keeps the app from starting: one that is
/// missing or broken keeps none.
pub(super) fn command(service: &Service, helper: &Path) -> Option<Vec<String>> {
    let dependencies = &service.dependencies;
    if !dependencies.has_waits() {
        return None;
    }
    let script = format!("\"$0\" \"$@\"; [ $? -ne {} ]", Exit::NotReady as u8);
    let scope = service.scope.flag();
    let timeout = Span(dependencies.wait_timeout).to_string();
    let helper = helper.to_string_lossy();
    let mut argv = ["/bin/sh", "-c", &script, &helper, "wait", scope, "--timeout", &timeout]
        .map(str::to_owned)
        .to_vec();
    for app in &dependencies.apps {
        argv.extend(["--app".into(), app.clone()]);
    }
    for condition in &dependencies.wait_for {
        argv.extend(["--for".into(), wait::text(condition)]);
    }
    Some(argv)
}

/// `TimeoutStartSec=` holds for each command before the start too: it must not be shorter than the wait. `None`: no limit.
pub(super) fn start_timeout(service: &Service) -> Option<Duration> {
    let dependencies = &service.dependencies;
    match dependencies.wait_timeout {
        _ if !dependencies.has_waits() => Some(service.start_timeout),
        Duration::ZERO => None,
        wait => Some(service.start_timeout.max(wait + SLACK)),
    }
}

/// What is lost by that: where the watcher does not see to it, a start may take longer than the manifest says.
pub(super) fn loss(service: &Service) -> Option<String> {
    let limit = start_timeout(service);
    let is_watched = Care::of(service).has_probe() && service.start_type != StartType::Oneshot;
    let is_over_at_once = service.start_type == StartType::Exec;
    let is_kept = service.pre_start.is_empty() && (is_watched || is_over_at_once);
    if is_kept || limit == Some(service.start_timeout) {
        return None;
    }
    let limit = limit.map_or_else(|| "none".to_owned(), |limit| Span(limit).to_string());
    Some(format!(
        "service.start_timeout: systemd has one limit for each command of a start, and this app waits for others \
         (dependencies.wait_timeout): {limit}"
    ))
}
