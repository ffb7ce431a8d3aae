//! docs/supervisor.md: its two tables are made here of the machines themselves, every state with every event. `UPDATE_DOCS=1`
//! writes what comes of it instead of comparing: then read the difference before it is committed.
//! Longer than 300 lines: two machines, and how each of their states is reached.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fs, path::Path, time::Duration};

use autoglm_boot::{
    diff,
    health::state::{self as health, Care, Course, Phase},
    service::{Health, Probe, Readiness, Restart, RestartPolicy, SickAction, StartType},
    supervisor::state::{Action, End as Exit, Event, Machine, Next, Outcome as End, State, Terms},
};
use support::table::{Outcome, rows};

const HEAD: &str = "| It is | What happens | Where | It becomes | What is done |\n| --- | --- | --- | --- | --- |\n";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_tables_in_the_docs_are_those_of_the_machines() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/supervisor.md");
    let written = fs::read_to_string(&path).unwrap();
    let made = replaced(&replaced(&written, "life", &life()), "health", &course());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let difference = diff::unified(&written, &made);
    assert!(written == made, "{difference}UPDATE_DOCS=1 writes what is so");
}

/// The text with another table between the marks of this name.
fn replaced(text: &str, name: &str, table: &str) -> String {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n")).unwrap();
    let (_, after) = rest.split_once(&format!("<!-- end of {name} -->")).unwrap();
    format!("{before}<!-- {name} -->\n{table}<!-- end of {name} -->{after}")
}

const ENDINGS: [(&str, &[Exit]); 3] = [
    ("ends with status 0", &[Exit::Exited(0)]),
    (
        "ends by SIGHUP, SIGINT, SIGTERM or SIGPIPE",
        &[Exit::Killed(1), Exit::Killed(2), Exit::Killed(15), Exit::Killed(13)],
    ),
    (
        "ends in another way",
        &[Exit::Exited(1), Exit::Exited(255), Exit::Killed(9), Exit::NotExecuted],
    ),
];

/// What a machine that is clearing goes on to.
const NEXT: [&str; 6] = [
    "then a restart",
    "then a start at once",
    "then its end: stopped",
    "then its end: failed",
    "then its end: failed: budget used up",
    "then its end: done",
];

/// What happens to an app, as far as it can happen in this state.
fn events(state: &str) -> Vec<(&'static str, Vec<Event>)> {
    let mut events = vec![("`start`", vec![Event::Start])];
    match state {
        "Awaiting" => {
            events.push(("what it waits for holds", vec![Event::Awaited]));
            events.push(("it does not come in time", vec![Event::Ended(Exit::NotStarted)]));
        }
        "Preparing" | "Running" => {
            let ended = ENDINGS.map(|(name, ends)| (name, ends.iter().map(|&end| Event::Ended(end)).collect()));
            events.extend(ended);
            events.push(("takes longer than `start_timeout`", vec![Event::Tick]));
        }
        "Clearing" => {
            events.push(("nothing of its tree is left", vec![Event::TreeEmpty]));
            events.push(("`stop_timeout` is over", vec![Event::Tick]));
        }
        "Waiting" => events.push(("the delay is over", vec![Event::Tick])),
        _ => {}
    }
    if state == "Running" {
        events.push(("is sick, or not ready in time", vec![Event::Sick]));
    }
    events.extend([("`restart`", vec![Event::Restart]), ("`stop`", vec![Event::Stop])]);
    events
}

/// The table of an app's life.
fn life() -> String {
    let mut table = String::from(HEAD);
    for state in [
        "Idle",
        "Awaiting",
        "Preparing",
        "Running",
        "Clearing",
        "Waiting",
        "Over",
    ] {
        let commands: [&str; 2] = match state {
            "Preparing" => ["another command follows", "it was the last command"],
            _ => ["`pre_start`", "no `pre_start`"],
        };
        let dimensions: [&[&str]; 6] = [
            &NEXT,
            &["type `oneshot`", "another type"],
            &["policy `always`", "`on-failure`", "`never`"],
            &["budget left", "budget used up"],
            &["waits for others", "waits for nobody"],
            &commands,
        ];
        let outcome = |events: &Vec<Event>, choice: &[usize]| {
            let outcomes: Vec<_> = events.iter().map(|&event| after(state, event, choice)).collect();
            assert!(
                outcomes.iter().all(|outcome| *outcome == outcomes[0]),
                "{state}, {events:?}: {outcomes:?}"
            );
            outcomes[0].clone()
        };
        table += &rows(state, &events(state), &dimensions, outcome);
    }
    table
}

/// What an event does to a machine in this state.
fn after(state: &str, event: Event, choice: &[usize]) -> Outcome {
    let Some(mut machine) = reached(state, choice) else {
        return Outcome::Impossible;
    };
    let now = machine.due().unwrap_or(SECOND * 1000);
    let before = machine.state();
    let actions = machine.on(event, now);
    if actions.is_empty() && machine.state() == before {
        return Outcome::Nothing;
    }
    let done = match actions[..] {
        [] => "",
        [Action::Await] => "waits for others",
        [Action::Prepare(_)] => "runs the command",
        [Action::Spawn] => "starts the app",
        [Action::Signal] => "sends the stop signal to its tree",
        [Action::Kill] => "kills what is left of its tree",
        _ => panic!("{actions:?}"),
    };
    let end = |end| match end {
        End::Stopped => "stopped",
        End::Done => "done",
        End::Failed => "failed",
        End::Exhausted => "failed: budget used up",
    };
    let becomes = match machine.state() {
        state if state == before => "the same".into(),
        State::Clearing { next, .. } => match next {
            Next::Restart(Duration::ZERO) => "Clearing, then a start at once".into(),
            Next::Restart(_) => "Clearing, then a restart".into(),
            Next::Over(next) => format!("Clearing, then its end: {}", end(next)),
        },
        State::Over(over) => format!("Over: {}", end(over)),
        State::Idle => "Idle".into(),
        State::Awaiting => "Awaiting".into(),
        State::Preparing(_) => "Preparing".into(),
        State::Running => "Running".into(),
        State::Waiting(_) => "Waiting".into(),
    };
    Outcome::Is(becomes, done.into())
}

/// A machine in this state; `None` where there is none with this choice.
fn reached(state: &str, choice: &[usize]) -> Option<Machine> {
    let [next, mut kind, mut policy, mut budget, waits, commands] = *choice else {
        panic!("{choice:?}")
    };
    if state == "Clearing" {
        // What comes next says it all.
        kind = usize::from(next != 5);
        policy = if next == 3 { 2 } else { 0 };
        budget = usize::from(next == 4);
    }
    let policy = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never][policy];
    let mut machine = Machine::new(Terms {
        restart: Restart {
            policy,
            delay: SECOND,
            max_delay: SECOND,
            max_attempts: if budget == 1 { 1 } else { 9 },
            window: SECOND * 10_000,
        },
        start_type: [StartType::Oneshot, StartType::Exec][kind],
        has_waits: state == "Awaiting" || waits == 0,
        preparations: usize::from(state == "Preparing") + usize::from(commands == 0),
        start_timeout: SECOND * 90,
        stop_timeout: SECOND * 30,
    });
    if state == "Idle" {
        return Some(machine);
    }
    machine.on(Event::Start, SECOND);
    if budget == 1 && policy != RestartPolicy::Never {
        run(&mut machine);
        machine.on(Event::Ended(Exit::Exited(1)), SECOND);
        machine.on(Event::TreeEmpty, SECOND);
        machine.on(Event::Tick, machine.due().unwrap());
    }
    match state {
        "Awaiting" => {}
        "Preparing" => drop(machine.on(Event::Awaited, SECOND)),
        _ => run(&mut machine),
    }
    if matches!(state, "Clearing" | "Waiting" | "Over") {
        let end = match (state, next) {
            ("Waiting", _) => Event::Ended(Exit::Exited(1)),
            (_, 1) => Event::Restart,
            (_, 2) => Event::Stop,
            (_, 5) => Event::Ended(Exit::Exited(0)),
            _ => Event::Ended(Exit::Exited(1)),
        };
        machine.on(end, SECOND);
    }
    if matches!(state, "Waiting" | "Over") {
        machine.on(Event::TreeEmpty, SECOND);
    }
    let is_there = match machine.state() {
        State::Awaiting => state == "Awaiting",
        State::Preparing(number) => state == "Preparing" && number == 0,
        State::Running => state == "Running",
        State::Waiting(_) => state == "Waiting",
        State::Over(_) => state == "Over",
        State::Clearing { next: to, .. } => state == "Clearing" && next == number(to),
        State::Idle => false,
    };
    is_there.then_some(machine)
}

fn number(next: Next) -> usize {
    match next {
        Next::Restart(Duration::ZERO) => 1,
        Next::Restart(_) => 0,
        Next::Over(End::Stopped) => 2,
        Next::Over(End::Failed) => 3,
        Next::Over(End::Exhausted) => 4,
        Next::Over(End::Done) => 5,
    }
}

fn run(machine: &mut Machine) {
    machine.on(Event::Awaited, SECOND);
    while let State::Preparing(_) = machine.state() {
        machine.on(Event::Ended(Exit::Exited(0)), SECOND);
    }
}

/// The table of the health of one run.
fn course() -> String {
    let mut table = String::from(HEAD);
    let events = [
        ("a question, `settle` or `start_timeout` is due", health::Event::Tick),
        ("says that it is ready", health::Event::Told),
        ("answers well", health::Event::Answered(Ok(()))),
        (
            "answers badly, or not in time",
            health::Event::Answered(Err("no".into())),
        ),
    ];
    let dimensions: [&[&str]; 6] = [
        &[
            "type `notify`, and it has not said so",
            "another type, or it has said so",
        ],
        &["`[readiness]` asks", "`settle`"],
        &["within `start_timeout`", "later"],
        &["`action = \"restart\"`", "`action = \"none\"`", "no `[health]`"],
        &["within `start_period`", "after it"],
        &["fewer than `retries` in a row", "as many as `retries`"],
    ];
    for (state, phase) in [
        ("Starting", Phase::Starting),
        ("Ready", Phase::Ready),
        ("Sick", Phase::Sick),
    ] {
        table += &rows(state, &events, &dimensions, |event, choice| found(phase, event, choice));
    }
    table
}

/// What an event does to a run in this phase.
fn found(phase: Phase, event: &health::Event, choice: &[usize]) -> Outcome {
    let Some((mut course, now)) = met(phase, event, choice) else {
        return Outcome::Impossible;
    };
    let actions = course.on(event.clone(), now);
    let becomes = match course.phase() {
        same if same == phase => "the same",
        Phase::Ready => "Ready",
        Phase::Sick => "Sick",
        Phase::Starting => "Starting",
    };
    let done = match &actions[..] {
        [] => "",
        [health::Action::Ask(..)] => "asks",
        [health::Action::Ready] => "tells that it is ready",
        [health::Action::Well] => "tells that it is well again",
        [health::Action::Tell(_)] => "tells it, once",
        [health::Action::End(_)] => "ends its run, which has failed",
        _ => panic!("{actions:?}"),
    };
    if done.is_empty() && becomes == "the same" {
        return Outcome::Nothing;
    }
    Outcome::Is(becomes.into(), done.into())
}

/// A run in this phase, and when the event happens to it; `None` where there is none with this choice.
fn met(phase: Phase, event: &health::Event, choice: &[usize]) -> Option<(Course, Duration)> {
    let [notify, asks, time, action, period, failures] = *choice else {
        panic!("{choice:?}")
    };
    let (is_untold, is_asked, is_late) = (notify == 0, asks == 0, time == 1);
    let has_health = action < 2;
    let is_starting = phase == Phase::Starting;
    let is_answer = matches!(event, health::Event::Answered(_));
    // What is not ready has no health yet, and what is ready has had its time.
    if (!is_starting && (is_untold || is_late)) || (!has_health && period == 0) {
        return None;
    }
    let retries = if has_health { 2 } else { 1 };
    let probe = || Probe::Tcp {
        address: "127.0.0.1:1".into(),
    };
    let care = Care {
        readiness: Readiness {
            probe: is_asked.then(probe),
            timeout: SECOND,
            interval: SECOND,
            settle: SECOND * 3,
        },
        health: has_health.then(|| Health {
            probe: probe(),
            start_period: if period == 0 { SECOND * 1000 } else { Duration::ZERO },
            interval: SECOND,
            timeout: SECOND,
            retries,
            action: [SickAction::Restart, SickAction::None][action],
        }),
        start_timeout: SECOND * 60,
        tells: is_untold || matches!(event, health::Event::Told),
    };
    let mut course = Course::new(care, Duration::ZERO);
    let good = || health::Event::Answered(Ok(()));
    let bad = || health::Event::Answered(Err("no".into()));
    if !is_starting {
        course.on(health::Event::Told, SECOND);
        course.on(health::Event::Tick, SECOND * 3);
        course.on(good(), SECOND * 3);
    }
    // So many bad answers came before: each within its own time.
    let before = match phase {
        Phase::Starting => 0,
        Phase::Ready => failures * usize::from(has_health),
        Phase::Sick => usize::try_from(retries).unwrap(),
    };
    for _ in 0..before {
        course.on(health::Event::Tick, SECOND * 9);
        course.on(bad(), SECOND * 9);
    }
    if !is_untold && is_starting && matches!(event, health::Event::Told) {
        course.on(health::Event::Told, SECOND);
    }
    if is_answer
        && !matches!(
            course.on(health::Event::Tick, SECOND * 20)[..],
            [health::Action::Ask(..)]
        )
    {
        return None;
    }
    let counts = matches!(event, health::Event::Answered(Err(_))) && !is_starting;
    let is_right = course.phase() == phase && (failures == 1 || (counts && has_health));
    let now = match (event, course.due()) {
        _ if is_late => SECOND * 61,
        (health::Event::Told, Some(due)) if !is_starting => due / 2,
        _ => SECOND * 20,
    };
    is_right.then_some((course, now))
}
