//! Whether conditions hold: of many units with one question to the service manager, and their probes asked side by side.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Answer, Backend, Live,
    evidence::{self, Sight},
};
use crate::{
    exit::Failure,
    health::{Asker, Main},
    plan::Condition,
    service::Probe as Question,
    system::Probe,
};

/// So many probes are under way at once.
const ASKED_AT_ONCE: usize = 32;

/// One answer for each condition. An error within is final for that condition: it will not hold any more.
pub fn check(
    backend: &dyn Backend,
    look: &dyn Probe,
    conditions: &[&Condition],
) -> Result<Vec<Result<Answer, Failure>>, Failure> {
    let units: Vec<_> = conditions.iter().filter_map(|condition| condition.unit()).collect();
    let lives = lives(backend, look, units.iter().copied())?;
    let mut answers = Vec::new();
    let mut numbers = Vec::new();
    let mut asked = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        let live = condition.unit().and_then(|unit| lives.get(unit));
        answers.push(match one(backend, look, condition, live) {
            Ok(Sight::Answer(answer)) => Ok(answer),
            Ok(Sight::Ask(probe)) => {
                numbers.push(number);
                asked.push((probe, timeout(condition), live.map(Live::main).unwrap_or_default()));
                Ok(Answer::NotYet(String::new()))
            }
            Err(failure) => Err(failure),
        });
    }
    let said = ask(look, &asked);
    let well = numbers.iter().zip(&said).filter(|(_, said)| said.is_ok());
    let well = well.filter_map(|(&number, _)| conditions[number].unit());
    // Something else may have answered in its place while it died: it must still be the same process.
    let now = self::lives(backend, look, well)?;
    for ((number, (_, _, main)), said) in numbers.into_iter().zip(asked).zip(said) {
        let live = conditions[number].unit().and_then(|unit| now.get(unit));
        let is_same = live.is_some_and(|live| live.active == "active" && live.pid == main.pid);
        answers[number] = Ok(match said {
            Err(answer) => Answer::NotYet(answer),
            Ok(()) if is_same => Answer::Yes,
            Ok(()) => Answer::NotYet("it ended while it was asked".into()),
        });
    }
    Ok(answers)
}

/// Those of the units that the condition holds of.
pub fn those(
    backend: &dyn Backend,
    look: &dyn Probe,
    condition: &Condition,
    units: &[String],
) -> Result<Vec<String>, Failure> {
    let lives = backend.observe(look, units)?;
    let is_meant = |live: &Live| match condition {
        Condition::Loaded => live.is_loaded(),
        Condition::Failed => live.active == "failed",
        _ => true,
    };
    Ok(lives.into_iter().filter(is_meant).map(|live| live.unit).collect())
}

/// Whether a condition holds that is about no single unit.
pub fn holds(backend: &dyn Backend, look: &dyn Probe, condition: &Condition) -> Result<bool, Failure> {
    Ok(match condition {
        Condition::Stale { units } => {
            let lives = backend.observe(look, units)?;
            lives.iter().any(|live| live.is_stale || live.load != "loaded")
        }
        Condition::Lingering { user } => backend.is_lingering(look, user),
        Condition::Manager => backend.is_reachable(look),
        _ => true,
    })
}

fn lives<'a>(
    backend: &dyn Backend,
    look: &dyn Probe,
    units: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Live>, Failure> {
    let units: Vec<_> = units.map(str::to_owned).collect();
    let lives = if units.is_empty() {
        Vec::new()
    } else {
        backend.glance(look, &units)?
    };
    Ok(lives.into_iter().map(|live| (live.unit.clone(), live)).collect())
}

fn one<'a>(
    backend: &dyn Backend,
    look: &dyn Probe,
    condition: &'a Condition,
    live: Option<&Live>,
) -> Result<Sight<'a>, Failure> {
    let answer = |yes: bool, why: &str| {
        Ok(Sight::Answer(if yes {
            Answer::Yes
        } else {
            Answer::NotYet(why.into())
        }))
    };
    match (condition, live) {
        (
            Condition::Ready {
                readiness,
                start_type,
                restarts,
                waits,
                ..
            },
            Some(live),
        ) => evidence::sight(
            backend,
            look,
            (readiness, *start_type),
            (*restarts, waits.is_some()),
            live,
        ),
        (Condition::Running { .. }, Some(live)) => answer(live.active == "active", &live.active),
        (Condition::Stopped { .. }, Some(live)) => {
            answer(matches!(live.active.as_str(), "inactive" | "failed"), &live.active)
        }
        (Condition::Started { units }, _) => {
            let failed = backend.not_up(look, units)?;
            let Some(first) = failed.first() else {
                return Ok(Sight::Answer(Answer::Yes));
            };
            let live = evidence::one(backend, look, first)?;
            Err(evidence::failure(backend, look, &live, "it could not be started"))
        }
        _ => answer(holds(backend, look, condition)?, "not yet"),
    }
}

fn timeout(condition: &Condition) -> Duration {
    match condition {
        Condition::Ready { readiness, .. } => readiness.timeout,
        _ => Duration::ZERO,
    }
}

/// A question to an app: the probe, how long the answer may take, the app's main process.
pub type Asked<'a> = (&'a Question, Duration, Main);

/// Asks all of them, some at a time; the answers in their order.
pub fn ask(look: &dyn Probe, asked: &[Asked]) -> Vec<Result<(), String>> {
    let ask_one = |(probe, timeout, main): &Asked| look.ask(probe, *timeout, &Asker::Process(main.clone()));
    if let [only] = asked {
        return vec![ask_one(only)];
    }
    let mut answers = Vec::new();
    for some in asked.chunks(ASKED_AT_ONCE) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|asked| scope.spawn(move || ask_one(asked))).collect();
            let lost = |_| Err("the question was lost".to_owned());
            answers.extend(threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)));
        });
    }
    answers
}
