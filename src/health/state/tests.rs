use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn tcp(port: u16) -> Probe {
    Probe::Tcp {
        address: format!("127.0.0.1:{port}"),
    }
}

fn care(retries: u32) -> Care {
    Care {
        readiness: Readiness {
            probe: Some(tcp(1)),
            timeout: SECOND * 5,
            interval: SECOND,
            settle: SECOND * 3,
        },
        health: Some(Health {
            probe: tcp(2),
            start_period: Duration::ZERO,
            interval: SECOND * 10,
            timeout: SECOND * 5,
            retries,
            action: SickAction::Restart,
        }),
        start_timeout: SECOND * 60,
        tells: false,
    }
}

fn bad() -> Event {
    Event::Answered(Err("no".into()))
}

fn good() -> Event {
    Event::Answered(Ok(()))
}

fn sick() -> Action {
    Action::End("unhealthy, no".into())
}

/// Asked and answered at the time it is due.
fn next(course: &mut Course, answer: Event) -> (Duration, Vec<Action>) {
    let due = course.due().expect("something is due");
    let asked = course.on(Event::Tick, due);
    assert!(matches!(asked[..], [Action::Ask(..)]), "{asked:?}");
    (due, course.on(answer, due))
}

#[test]
fn it_is_ready_with_the_first_good_answer_and_sick_after_as_many_failures_in_a_row() {
    let mut course = Course::new(care(3), SECOND);
    assert_eq!(next(&mut course, bad()), (SECOND, vec![]));
    let soon = SECOND + Duration::from_millis(50);
    assert_eq!(next(&mut course, good()), (soon, vec![Action::Ready]));
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, good()).1, []);
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, bad()).1, [sick()]);
    assert_eq!(next(&mut course, bad()).1, [sick()]);
    assert_eq!(next(&mut course, good()).1, [Action::Well]);
    assert_eq!(course.phase(), Phase::Ready);
}

#[test]
fn an_illness_is_found_within_as_many_intervals_and_timeouts() {
    let mut course = Course::new(care(3), SECOND);
    let (well, _) = next(&mut course, good());
    let mut now = well;
    loop {
        now = course.due().expect("it is asked again").max(now);
        course.on(Event::Tick, now);
        now += SECOND * 5; // it hangs
        if !course.on(bad(), now).is_empty() {
            break;
        }
    }
    assert_eq!(now, well + 3 * (SECOND * 10 + SECOND * 5));
}

#[test]
fn where_nothing_is_to_be_done_it_is_told_once() {
    let mut care = care(2);
    care.health.as_mut().expect("it is there").action = SickAction::None;
    let mut course = Course::new(care, SECOND);
    next(&mut course, good());
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, bad()).1, [Action::Tell("unhealthy, no".into())]);
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, good()).1, [Action::Well]);
}

#[test]
fn a_slow_starter_is_left_alone_until_its_time_is_over_and_then_ended_with_each_bad_answer_or_told_once() {
    for action in [SickAction::Restart, SickAction::None] {
        let mut care = care(1);
        care.health.as_mut().expect("it is there").action = action;
        let mut course = Course::new(care, SECOND);
        let (mut early, mut late) = (Vec::new(), Vec::new());
        while course.due().is_some_and(|due| due < SECOND * 64) {
            let (at, found) = next(&mut course, bad());
            if at < SECOND * 61 { &mut early } else { &mut late }.extend(found);
        }
        let why = "not ready within 1m, no".to_owned();
        assert_eq!(early, []);
        match action {
            SickAction::Restart => {
                assert!(late.len() > 1, "the first may have been in vain: {late:?}");
                assert!(
                    late.iter().all(|action| *action == Action::End(why.clone())),
                    "{late:?}"
                );
            }
            SickAction::None => assert_eq!(late, [Action::Tell(why)]),
        }
        assert_eq!(next(&mut course, good()).1, [Action::Ready], "late is not never");
    }
}

#[test]
fn failures_within_the_start_period_do_not_count() {
    let mut care = care(1);
    care.health.as_mut().expect("it is there").start_period = SECOND * 30;
    let mut course = Course::new(care, SECOND);
    next(&mut course, good());
    let mut sick = None;
    while sick.is_none() {
        let (at, found) = next(&mut course, bad());
        sick = (!found.is_empty()).then_some(at);
    }
    assert_eq!(sick, Some(SECOND * 31));
}

#[test]
fn one_that_says_itself_when_it_is_ready_is_not_asked_before() {
    let mut told = care(1);
    told.tells = true;
    let mut course = Course::new(told.clone(), SECOND);
    assert_eq!(course.due(), Some(SECOND * 61));
    assert_eq!(course.on(Event::Tick, SECOND * 5), []);
    let asked = course.on(Event::Told, SECOND * 6);
    assert!(matches!(asked[..], [Action::Ask(..)]), "then its own probe decides");
    told.readiness.probe = None;
    let mut course = Course::new(told, SECOND);
    assert_eq!(course.on(Event::Told, SECOND * 2), [Action::Ready]);
    assert_eq!(course.due(), Some(SECOND * 12), "and its health is watched");
    let mut silent = Course::new(Care { tells: true, ..care(1) }, SECOND);
    let late = silent.on(Event::Tick, SECOND * 61);
    let why = "not ready within 1m, it has not said that it is ready";
    assert_eq!(late, [Action::End(why.into())]);
    assert_eq!(silent.due(), Some(SECOND * 71), "that may have been in vain");
    assert_eq!(silent.on(Event::Tick, SECOND * 71), [Action::End(why.into())]);
}

#[test]
fn what_runs_already_is_not_ended_for_one_bad_answer() {
    let mut course = Course::resumed(care(2), SECOND, None, SECOND * 1000);
    assert_eq!(next(&mut course, bad()).1, []);
    assert_eq!(next(&mut course, bad()).1, [sick()]);
    let young = Course::resumed(care(2), SECOND, None, SECOND * 30);
    assert_eq!(young.phase(), Phase::Starting);
    let mut seen = Course::resumed(care(2), SECOND, Some(Phase::Sick), SECOND * 1000);
    assert_eq!(next(&mut seen, good()).1, [Action::Well]);
}

#[test]
fn without_a_probe_it_settles() {
    let mut care = care(1);
    care.readiness.probe = None;
    care.health = None;
    let mut course = Course::new(care, SECOND);
    assert_eq!(course.due(), Some(SECOND * 4));
    assert_eq!(course.on(Event::Tick, SECOND * 3), []);
    assert_eq!(course.on(Event::Tick, SECOND * 4), [Action::Ready]);
    assert_eq!(course.due(), None, "nothing more to ask");
}

#[test]
fn without_health_it_is_asked_all_the_same_whether_it_is_ready_still() {
    let mut care = care(1);
    care.health = None;
    let mut course = Course::new(care, SECOND);
    next(&mut course, good());
    assert_eq!(
        next(&mut course, bad()),
        (SECOND * 11, vec![]),
        "and nothing is done about it"
    );
    assert_eq!(course.phase(), Phase::Sick);
    assert_eq!(next(&mut course, good()).1, []);
    assert_eq!(course.phase(), Phase::Ready);
}

#[test]
fn what_is_wanted_otherwise_is_asked_at_once_where_there_is_something_to_ask() {
    let mut course = Course::new(care(2), SECOND);
    next(&mut course, good());
    course.take_over(care(2), SECOND * 3);
    assert_ne!(course.due(), Some(SECOND * 3), "it is not wanted otherwise");
    course.take_over(care(1), SECOND * 3);
    assert_eq!(course.due(), Some(SECOND * 3));
    let mut settles = Course::new(care(2), SECOND);
    let mut quiet = care(2);
    quiet.readiness.probe = None;
    settles.take_over(quiet, SECOND * 2);
    assert_eq!(
        settles.due(),
        Some(SECOND * 4),
        "when it has settled: it is not asked before"
    );
}

#[test]
fn what_could_not_be_asked_counts_nothing_and_is_asked_again() {
    let mut course = Course::new(care(1), SECOND);
    next(&mut course, good());
    for _ in 0..20 {
        let due = course.due().expect("it is asked");
        assert!(matches!(course.on(Event::Tick, due)[..], [Action::Ask(..)]));
        assert_eq!(course.on(Event::NotAsked, due), []);
        assert_eq!((course.phase(), course.failures()), (Phase::Ready, 0));
    }
    assert!(matches!(next(&mut course, bad()).1[..], [Action::End(_)]));
}

/// What one app may want.
fn any_care(random: &mut impl FnMut(u64) -> u64) -> Care {
    let mut care = care(u32::try_from(random(4) + 1).unwrap_or(1));
    care.tells = random(3) == 0;
    match random(4) {
        0 => care.health = None,
        1 => care.readiness.probe = None,
        _ => {}
    }
    if let (Some(health), 0) = (&mut care.health, random(3)) {
        health.action = SickAction::None;
    }
    care
}

/// Random events: never two questions at once, ready once and never starting again, never late in time, never ill without as many
/// failures in a row, never told and ended, always something to wait for, and never at once what is not asked.
#[test]
fn no_sequence_of_answers_breaks_its_promises() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..4000 {
        let mut now = SECOND;
        let mut course = match random(3) {
            0 => {
                now += SECOND * u32::try_from(random(100)).unwrap_or(0);
                let phase = [None, Some(Phase::Ready), Some(Phase::Sick)][usize::try_from(random(3)).unwrap_or(0)];
                Course::resumed(any_care(&mut random), SECOND, phase, now)
            }
            _ => Course::new(any_care(&mut random), SECOND),
        };
        let (mut is_asked, mut failures, mut times_ready) = (false, 0, 0);
        let began_ready = course.phase() != Phase::Starting;
        for _ in 0..60 {
            now += Duration::from_millis(random(8000));
            let was_ready = course.phase() != Phase::Starting;
            let was_late = now >= SECOND * 61;
            let actions = if is_asked && random(8) == 0 {
                is_asked = false;
                course.on(Event::NotAsked, now)
            } else if is_asked && random(2) == 0 {
                is_asked = false;
                let is_well = random(2) == 0;
                failures = if is_well || !was_ready { 0 } else { failures + 1 };
                course.on(if is_well { good() } else { bad() }, now)
            } else {
                match random(16) {
                    0 | 1 => course.on(Event::Told, now),
                    2 => {
                        let wanted = any_care(&mut random);
                        if wanted != *course.care() {
                            (is_asked, failures) = (false, 0); // whoever asks drops that answer
                        }
                        course.take_over(wanted, now);
                        Vec::new()
                    }
                    3 if is_asked => {
                        is_asked = false;
                        course.ask_again(now);
                        Vec::new()
                    }
                    4 => {
                        course.spread(0.5, now);
                        Vec::new()
                    }
                    _ => course.on(Event::Tick, now),
                }
            };
            let action = course.care().action();
            for found in actions {
                match found {
                    Action::Ask(..) => {
                        assert!(!is_asked, "one question at a time");
                        is_asked = true;
                    }
                    Action::End(why) if why.starts_with("unhealthy") => {
                        assert_eq!(action, SickAction::Restart, "{why}");
                        let enough = course.care().health.as_ref().map_or(1, |health| health.retries);
                        assert!(failures >= enough, "{failures} of {enough}");
                    }
                    Action::End(why) => {
                        assert_eq!(action, SickAction::Restart, "{why}");
                        assert!(why.starts_with("not ready within") && was_late && !was_ready, "{why}");
                    }
                    Action::Tell(why) => assert_eq!(action, SickAction::None, "{why}"),
                    Action::Ready => times_ready += 1,
                    Action::Well => {}
                }
            }
            let is_ready = course.phase() != Phase::Starting;
            assert!(is_ready || !was_ready, "what was ready once is not starting");
            assert_eq!(times_ready, u32::from(is_ready && !began_ready));
            let is_told = action == SickAction::None && course.late.is_some() && !course.has_told;
            let has_nothing_to_ask = course.care().question(course.phase()).is_none();
            assert!(
                is_asked || course.due().is_some() || is_told || has_nothing_to_ask,
                "no dead end: {course:?}"
            );
            // What is due has an effect: whoever waits for it does not turn in a circle.
            let mut then = course.clone();
            let due = then.due();
            if let Some(due) = due.filter(|_| !is_asked) {
                let done = then.on(Event::Tick, due);
                assert!(!done.is_empty() || then.due() != Some(due), "{course:?}");
            }
        }
    }
}
