use super::*;
use crate::health::pulse::Pulse;

const SECOND: Duration = Duration::from_secs(1);

/// What is installed: ready within ten seconds, and watched.
fn receipt() -> Receipt {
    let text = include_str!("../../tests/formats/1/receipt.json");
    let receipt: Receipt = serde_json::from_str(text).expect("it is one");
    Receipt {
        start_timeout_ms: 10_000,
        is_watched: true,
        start_type: StartType::Exec,
        ..receipt
    }
}

fn at(now: u32, live: &Live) -> (Word, String, Option<u64>) {
    let receipt = receipt();
    let seen = Seen {
        receipt: Some(&receipt),
        live,
        answer: Answer::Unasked,
        is_watching: true,
        is_drifted: false,
        intent: None,
        now: SECOND * now,
    };
    let status = judge("a", &seen);
    (status.state, status.detail, status.since_seconds)
}

fn live(phase: Phase, since: u32) -> Live {
    Live {
        active: "active".into(),
        active_since: Some(SECOND),
        main_started: Some(SECOND),
        pulse: Some(Pulse {
            phase,
            since: SECOND * since,
            answer: Some("no".into()),
            ended: None,
        }),
        ..Live::default()
    }
}

#[test]
fn what_was_not_ready_in_time_is_unhealthy_and_not_starting_for_ever() {
    let live = live(Phase::Starting, 1);
    assert_eq!(at(10, &live), (Word::Starting, "no".into(), Some(9)));
    assert_eq!(at(11, &live), (Word::Unhealthy, "no".into(), Some(10)));
}

#[test]
fn a_state_is_as_old_as_itself_and_not_as_the_run() {
    assert_eq!(
        at(133, &live(Phase::Sick, 121)),
        (Word::Unhealthy, "no".into(), Some(12))
    );
    assert_eq!(at(133, &live(Phase::Ready, 3)), (Word::Ready, String::new(), Some(130)));
}

#[test]
fn what_may_not_be_asked_is_running_and_why_is_told() {
    let mut live = Live {
        pulse: None,
        has_own_network: true,
        ..live(Phase::Ready, 1)
    };
    let (state, detail, _) = at(60, &live);
    assert_eq!(state, Word::Running);
    assert!(detail.contains("network of its own"), "{detail}");
    live.has_own_network = false;
    assert!(at(60, &live).1.contains("may hold secrets"));
}
