//! How an install ended, app by app.

use serde_json::{Value, json};

use super::Context;
use crate::{
    apply::Dropped,
    backend::{AppState, Backend, Install},
    exit::{Exit, Failure},
    plan::{Condition, Plan, Step},
    report::plain,
};

/// How the install of one app ended, if it did.
pub(super) struct Ended {
    pub(super) name: String,
    unit: String,
    outcome: &'static str,
    waits: bool,
    starts: bool,
    runs_on: bool,
}

impl Ended {
    pub(super) fn new(name: &str, app: &AppState, plan: &Plan, options: &Install, is_only: bool) -> Self {
        let unit = &app.live.unit;
        let is_of = |step: &Step| match step {
            Step::Run { cmd, .. } | Step::Launch { cmd } => cmd.units.contains(unit),
            _ => false,
        };
        let mut tasks = plan.tasks.iter();
        let is_touched = if is_only {
            !plan.is_empty()
        } else {
            tasks.any(|task| task.of.as_ref() == Some(unit) || is_of(&task.step))
        };
        let waits = plan.steps().any(|step| {
            matches!(step, Step::Await { condition: condition @ Condition::Ready { .. }, .. } if condition.unit() == Some(unit))
        });
        Self {
            name: name.into(),
            unit: unit.clone(),
            outcome: match (is_touched, &app.receipt, app.is_foreign()) {
                (false, ..) => "unchanged",
                (_, Some(_), _) => "updated",
                (_, None, true) => "adopted",
                (_, None, false) => "installed",
            },
            waits,
            starts: options.start && (!app.live.is_up() || options.restart),
            runs_on: app.live.is_up(),
        }
    }

    /// Tells it; its answer for programs.
    pub(super) fn tell(&self, context: &mut Context, backend: &dyn Backend, failure: Option<&Failure>) -> Value {
        let name = &self.name;
        if let Some(failure) = failure {
            context.report.error(failure);
            return json!({ "name": name, "outcome": "failed", "unit": self.unit, "error": plain(failure) });
        }
        let text = match (self.outcome, self.waits, self.starts) {
            ("unchanged", ..) if context.report.is_brief => String::new(),
            ("unchanged", ..) => format!("{name}: unchanged. If only its code changed: autoglm-boot restart {name}"),
            (outcome, true, _) => format!("{name}: {outcome} and ready"),
            (outcome, false, true) => format!("{name}: {outcome} and started; whether it is ready was not waited for"),
            (outcome, false, false) if self.runs_on => format!("{name}: {outcome}; it runs on as it did"),
            (outcome, false, false) if context.image.is_some() => format!("{name}: {outcome} in the image"),
            (outcome, false, false) => format!("{name}: {outcome}, not started"),
        };
        if !text.is_empty() {
            context.report.success(&text);
        }
        if let Some(hint) = backend.boot_hint().filter(|_| !context.report.is_brief) {
            context.report.note(hint);
        }
        json!({ "name": name, "outcome": self.outcome, "unit": self.unit, "scope": backend.scope() })
    }
}

/// The last line about several apps, and the answer for programs.
pub(super) fn sum_up(context: &mut Context, ended: &[Ended], answers: &[Value], dropped: &Dropped) -> (Exit, Value) {
    let is_dropped = |ended: &&Ended| dropped.contains_key(&ended.unit);
    let count = |outcome: &str| {
        let of_it = ended
            .iter()
            .filter(|ended| !is_dropped(ended) && ended.outcome == outcome);
        of_it.count()
    };
    let mut parts: Vec<_> = ["installed", "updated", "adopted", "unchanged"]
        .into_iter()
        .filter(|outcome| count(outcome) > 0)
        .map(|outcome| format!("{} {outcome}", count(outcome)))
        .collect();
    if !dropped.is_empty() {
        parts.push(format!("{} failed, and undone", dropped.len()));
    }
    let text = format!("{} apps: {}", ended.len(), parts.join(", "));
    let exit = if dropped.is_empty() { Exit::Ok } else { Exit::Failed };
    if exit == Exit::Ok {
        context.report.success(&text);
    } else {
        context.report.line(&text);
    }
    let outcome = if exit == Exit::Ok { "installed" } else { "partly" };
    (exit, json!({ "outcome": outcome, "apps": answers }))
}
