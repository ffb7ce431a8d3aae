use std::sync::mpsc;

use super::*;
use crate::service::{Health, Probe, Readiness, SickAction};

const SECOND: Duration = Duration::from_secs(1);

fn command() -> Probe {
    Probe::Command {
        argv: vec!["./check".into()],
    }
}

fn tcp() -> Probe {
    Probe::Tcp {
        address: "127.0.0.1:1".into(),
    }
}

fn wanted(probe: Option<Probe>) -> Wanted {
    let care = |probe: Probe| Care {
        readiness: Readiness {
            probe: Some(probe.clone()),
            timeout: SECOND,
            interval: SECOND,
            settle: SECOND * 3,
        },
        health: Some(Health {
            probe,
            start_period: Duration::ZERO,
            interval: SECOND,
            timeout: SECOND,
            retries: 1,
            action: SickAction::Restart,
        }),
        start_timeout: SECOND * 60,
        tells: false,
    };
    Wanted {
        stamp: (1, SECOND),
        stop_timeout: SECOND * 8,
        needs: Vec::new(),
        care: probe.map(care),
        environment: Arc::default(),
    }
}

fn pool() -> Pool {
    Pool::new(mpsc::channel().0) // it only keeps what it is asked
}

/// The service manager's word on a run.
fn live(run: &str, active: &str) -> Live {
    Live {
        unit: "a.service".into(),
        active: active.into(),
        invocation: run.into(),
        main_started: Some(SECOND),
        pid: Some(7),
        ..Live::default()
    }
}

/// An app in this run, which has answered well once.
fn begin(app: &mut App, run: &str, now: Duration) {
    assert!(app.is_unclear(Some(run.into())));
    app.see(&live(run, "active"), &Board::default(), now, &pool());
    assert_eq!(answer(app, Ok(()), now), [Action::Ready]);
}

fn answer(app: &mut App, answer: Result<(), Wrong>, now: Duration) -> Vec<Action> {
    app.answered(app.run, answer, now, &pool())
}

fn bad() -> Result<(), Wrong> {
    Err(Wrong::Answer("secret-token".into()))
}

fn sick() -> Action {
    Action::End("unhealthy, secret-token".into())
}

fn pulse(app: &App) -> Pulse {
    app.pulse().expect("it has one").1.clone()
}

#[test]
fn what_is_not_watched_any_more_has_no_pulse() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND);
    answer(&mut app, bad(), SECOND * 2);
    assert_eq!(pulse(&app).phase, Phase::Sick);
    app.take_over(wanted(None), SECOND * 3);
    assert_eq!(app.pulse(), None);
    assert!(!app.is_unclear(Some("one".into())));
    app.take_over(wanted(Some(tcp())), SECOND * 4);
    assert!(app.is_unclear(Some("one".into())), "it is looked at anew");
    assert_eq!(app.pulse(), None);
}

#[test]
fn an_answer_to_what_was_asked_before_counts_no_more() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND);
    let run = app.run;
    app.take_over(wanted(Some(tcp())), SECOND * 2);
    assert_eq!(app.run, run, "nothing is asked otherwise");
    app.take_over(wanted(Some(command())), SECOND * 2);
    assert_eq!(app.answered(run, bad(), SECOND * 2, &pool()), []);
    assert_eq!(app.due(), Some(SECOND * 2), "and it is asked anew");
}

#[test]
fn what_became_well_again_is_not_ended() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND);
    assert_eq!(answer(&mut app, bad(), SECOND * 2), [sick()]);
    assert_eq!(app.is_forced(SECOND * 2), Some(false));
    app.ends("unhealthy, secret-token", SECOND * 2);
    assert_eq!(app.is_forced(SECOND * 9), None, "it has time to end by itself");
    assert_eq!(answer(&mut app, Ok(()), SECOND * 9), [Action::Well]);
    assert!(app.tick(SECOND * 10, &pool()).iter().all(|action| *action != sick()));
    assert_eq!(answer(&mut app, bad(), SECOND * 12), [sick()]);
    assert_eq!(app.is_forced(SECOND * 12), Some(false), "that is another illness");
    app.ends("unhealthy, secret-token", SECOND * 12);
    assert!(app.tick(SECOND * 20, &pool()).contains(&sick()));
    assert_eq!(app.is_forced(SECOND * 20), Some(true));
}

#[test]
fn a_pulse_tells_why_the_run_just_before_was_ended_and_no_other() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND);
    answer(&mut app, bad(), SECOND * 2);
    app.ends("unhealthy, no", SECOND * 2);
    assert_eq!(pulse(&app).ended, None, "it is not yet");
    // Between the two runs.
    assert!(app.is_unclear(None));
    assert_eq!(app.is_given_up(&live("one", "activating")), None);
    let (run, told) = app.pulse().expect("that is told now");
    assert_eq!((run, told.ended.as_deref()), ("one", Some("unhealthy, no")));
    begin(&mut app, "two", SECOND * 3);
    assert_eq!(pulse(&app).ended.as_deref(), Some("unhealthy, no"));
    // It crashes.
    app.is_unclear(None);
    assert_eq!(app.pulse(), None);
    begin(&mut app, "three", SECOND * 4);
    assert_eq!(pulse(&app).ended, None);
}

#[test]
fn what_is_not_started_again_tells_why_and_whether_it_was_restarted_too_often() {
    for (result, end) in [
        (
            "start-limit-hit",
            "unhealthy, no; it was restarted too often and is given up",
        ),
        ("signal", "unhealthy, no; it is not started again"),
    ] {
        let mut app = App::new("a.service", wanted(Some(tcp())));
        begin(&mut app, "one", SECOND);
        answer(&mut app, bad(), SECOND * 2);
        app.ends("unhealthy, no", SECOND * 2);
        app.is_unclear(None);
        let failed = Live {
            result: result.into(),
            ..live("one", "failed")
        };
        assert_eq!(app.is_given_up(&failed).as_deref(), Some(end));
        assert!(!app.is_unclear(None), "that is all there is to say");
        assert_eq!(
            pulse(&app).ended.as_deref(),
            Some("unhealthy, no"),
            "status tells it still"
        );
    }
}

#[test]
fn what_a_private_probe_has_said_is_on_no_board() {
    let mut app = App::new("a.service", wanted(Some(command())));
    begin(&mut app, "one", SECOND);
    assert_eq!(
        answer(&mut app, bad(), SECOND * 2),
        [sick()],
        "the app's own log has it"
    );
    app.ends("unhealthy, secret-token", SECOND * 2);
    let mut boards = vec![pulse(&app)];
    app.is_unclear(None);
    boards.push(pulse(&app));
    begin(&mut app, "two", SECOND * 3);
    boards.push(pulse(&app));
    assert!(boards.iter().skip(1).all(|pulse| pulse.ended.is_some()));
    assert!(!format!("{boards:?}").contains("secret"), "{boards:?}");
}

#[test]
fn the_watcher_after_this_one_goes_on_where_it_was() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND * 5);
    answer(&mut app, bad(), SECOND * 6);
    let mut board = Board::new("watcher");
    board.post("a.service", app.pulse());
    let mut next = App::new("a.service", wanted(Some(tcp())));
    next.is_unclear(Some("one".into()));
    next.see(&live("one", "active"), &board, SECOND * 100, &pool());
    assert_eq!((pulse(&next).phase, pulse(&next).since), (Phase::Sick, SECOND * 6));
    // Where none has left anything, it is as old as its process.
    let mut anew = App::new("a.service", wanted(Some(tcp())));
    anew.is_unclear(Some("one".into()));
    anew.see(&live("one", "active"), &Board::default(), SECOND * 100, &pool());
    assert_eq!((pulse(&anew).phase, pulse(&anew).since), (Phase::Ready, SECOND));
}

#[test]
fn an_answer_of_what_was_not_the_app_any_more_is_asked_for_again() {
    let mut app = App::new("a.service", wanted(Some(tcp())));
    begin(&mut app, "one", SECOND);
    app.tick(SECOND * 2, &pool());
    assert_eq!(app.pid(), Some(7));
    app.hands_over(8);
    app.ask_again(app.run, SECOND * 3);
    assert_eq!(
        (app.pid(), app.due(), pulse(&app).phase),
        (Some(8), Some(SECOND * 3), Phase::Ready)
    );
}
