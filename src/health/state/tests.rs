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
fn a_slow_starter_is_left_alone_until_its_time_is_over_and_told_once() {
    let mut course = Course::new(care(1), SECOND);
    let mut actions = Vec::new();
    while course.due().is_some_and(|due| due < SECOND * 100) {
        let (_, found) = next(&mut course, bad());
        actions.extend(found);
    }
    assert_eq!(actions, [Action::End("not ready within 1m, no".into())]);
    assert_eq!(next(&mut course, good()).1, [Action::Ready], "late is not never");
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
    assert_eq!(silent.due(), None, "that is said once");
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

/// Random events: never two questions at once, ready once and never starting again, late once, never ill without as many failures
/// in a row, always something to wait for.
#[test]
fn no_sequence_of_answers_breaks_its_promises() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..2000 {
        let retries = u32::try_from(random(4) + 1).unwrap_or(1);
        let mut care = care(retries);
        care.tells = random(3) == 0;
        if random(3) == 0 {
            care.health = None;
        }
        let mut course = Course::new(care, SECOND);
        let (mut now, mut is_asked, mut failures) = (SECOND, false, 0);
        let (mut times_ready, mut times_late) = (0, 0);
        for _ in 0..60 {
            now += Duration::from_millis(random(8000));
            let was_ready = course.phase() != Phase::Starting;
            let was_late = now >= SECOND * 61;
            let actions = if is_asked && random(2) == 0 {
                is_asked = false;
                let is_well = random(2) == 0;
                failures = if is_well || !was_ready { 0 } else { failures + 1 };
                course.on(if is_well { good() } else { bad() }, now)
            } else if random(8) == 0 {
                course.on(Event::Told, now)
            } else {
                course.on(Event::Tick, now)
            };
            for action in actions {
                match action {
                    Action::Ask(..) => {
                        assert!(!is_asked, "one question at a time");
                        is_asked = true;
                    }
                    Action::End(why) if why.starts_with("unhealthy") => {
                        let enough = course.care().health.as_ref().map_or(1, |health| health.retries);
                        assert!(failures >= enough, "{failures} of {enough}");
                    }
                    Action::Ready => times_ready += 1,
                    Action::End(why) => {
                        assert!(why.starts_with("not ready within") && was_late && !was_ready, "{why}");
                        times_late += 1;
                    }
                    Action::Well | Action::Tell(_) => {}
                }
            }
            let is_ready = course.phase() != Phase::Starting;
            assert!(is_ready || !was_ready, "what was ready once is not starting");
            assert!(
                times_ready == u32::from(is_ready) && times_late <= 1,
                "{times_ready} {times_late}"
            );
            assert!(
                is_asked || course.due().is_some() || (course.is_late && !course.has_told),
                "no dead end: {course:?}"
            );
        }
    }
}
