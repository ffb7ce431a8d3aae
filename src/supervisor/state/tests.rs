use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(policy: RestartPolicy, max_attempts: u32) -> Restart {
    Restart {
        policy,
        delay: SECOND,
        max_delay: SECOND * 8,
        max_attempts,
        window: SECOND * 600,
    }
}

fn terms(restart: Restart) -> Terms {
    Terms {
        restart,
        start_type: StartType::Exec,
        has_waits: false,
        preparations: 0,
        stop_timeout: SECOND * 10,
    }
}

fn machine(restart: Restart) -> Machine {
    Machine::new(terms(restart))
}

#[test]
fn the_back_off_doubles_up_to_its_cap() {
    let policy = policy(RestartPolicy::Always, 0);
    let delays: Vec<_> = (0..6).map(|streak| backoff(&policy, streak).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 8, 8]);
    assert_eq!(backoff(&policy, 200), SECOND * 8, "it never overflows");
}

#[test]
fn it_prepares_then_runs_and_a_failed_preparation_is_a_failed_start() {
    let mut machine = Machine::new(Terms {
        preparations: 2,
        ..terms(policy(RestartPolicy::Never, 5))
    });
    assert_eq!(machine.on(Event::Start, SECOND), [Action::Prepare(0)]);
    assert_eq!(machine.on(Event::Ended(End::Exited(0)), SECOND), [Action::Prepare(1)]);
    let mut other = machine.clone();
    assert_eq!(machine.on(Event::Ended(End::Exited(0)), SECOND), [Action::Spawn]);
    assert_eq!(other.on(Event::Ended(End::Exited(3)), SECOND), [Action::Signal]);
    other.on(Event::TreeEmpty, SECOND);
    assert_eq!(other.state(), State::Over(Outcome::Failed));
}

#[test]
fn the_first_start_and_three_restarts_use_up_a_budget_of_three() {
    let mut machine = machine(policy(RestartPolicy::OnFailure, 3));
    let mut now = SECOND;
    let mut starts = machine.on(Event::Start, now).len();
    while !matches!(machine.state(), State::Over(_)) {
        machine.on(Event::Ended(End::Exited(1)), now);
        machine.on(Event::TreeEmpty, now);
        now = machine.due().unwrap_or(now);
        starts += machine.on(Event::Tick, now).len();
    }
    assert_eq!((starts, machine.state()), (4, State::Over(Outcome::Exhausted)));
}

#[test]
fn it_waits_before_each_start_and_what_does_not_come_is_a_failed_start() {
    let mut machine = Machine::new(Terms {
        has_waits: true,
        preparations: 1,
        ..terms(policy(RestartPolicy::OnFailure, 5))
    });
    assert_eq!(machine.on(Event::Start, SECOND), [Action::Await]);
    machine.on(Event::Ended(End::NotStarted), SECOND);
    machine.on(Event::TreeEmpty, SECOND);
    assert_eq!(machine.state(), State::Waiting(SECOND * 2));
    assert_eq!(machine.on(Event::Tick, SECOND * 2), [Action::Await]);
    assert_eq!(machine.on(Event::Awaited, SECOND * 3), [Action::Prepare(0)]);
    assert_eq!(machine.on(Event::Awaited, SECOND * 3), []);
}

#[test]
fn sick_is_an_unclean_end_also_where_the_process_ends_cleanly() {
    for (kind, state) in [
        (RestartPolicy::Always, State::Waiting(SECOND * 3)),
        (RestartPolicy::OnFailure, State::Waiting(SECOND * 3)),
        (RestartPolicy::Never, State::Over(Outcome::Failed)),
    ] {
        let mut machine = machine(policy(kind, 1));
        machine.on(Event::Start, SECOND);
        assert_eq!(machine.on(Event::Sick, SECOND * 2), [Action::Signal]);
        assert_eq!(machine.on(Event::Ended(End::Exited(0)), SECOND * 2), []);
        machine.on(Event::TreeEmpty, SECOND * 2);
        assert_eq!(machine.state(), state);
    }
}

#[test]
fn crashes_and_illnesses_use_up_one_budget() {
    let mut machine = machine(policy(RestartPolicy::Always, 2));
    machine.on(Event::Start, SECOND);
    for (event, number) in [(Event::Sick, 0), (Event::Ended(End::Exited(1)), 1), (Event::Sick, 2)] {
        machine.on(event, SECOND * 2);
        machine.on(Event::TreeEmpty, SECOND * 2);
        if number < 2 {
            let due = machine.due().expect("it is started again");
            assert_eq!(machine.on(Event::Tick, due), [Action::Spawn]);
        }
    }
    assert_eq!(machine.state(), State::Over(Outcome::Exhausted));
}

/// Random events: a stop always ends stopped, the budget is never exceeded within its window, no state is a dead end.
#[test]
fn no_sequence_of_events_breaks_its_promises() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..2000 {
        let kind = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]
            [usize::try_from(random(3)).unwrap_or(0)];
        let budget = u32::try_from(random(4)).unwrap_or(0);
        let mut machine = Machine::new(Terms {
            has_waits: random(2) == 0,
            preparations: usize::try_from(random(2)).unwrap_or(0),
            ..terms(policy(kind, budget))
        });
        let mut now = SECOND;
        let mut spawns_since_forgiven = 0;
        machine.on(Event::Start, now);
        for _ in 0..60 {
            now += Duration::from_millis(random(3000));
            let event = match random(10) {
                8 => Event::Sick,
                9 => Event::Awaited,
                0 => Event::Restart,
                1 | 2 => Event::Tick,
                3 | 4 => Event::TreeEmpty,
                5 => Event::Ended(End::Killed(9)),
                _ => Event::Ended(End::Exited(u32::from(random(2) == 0))),
            };
            let before = machine.state();
            if event == Event::Restart {
                spawns_since_forgiven = 0;
            }
            let actions = machine.on(event, now);
            spawns_since_forgiven +=
                u32::try_from(actions.iter().filter(|a| **a == Action::Spawn).count()).unwrap_or(0);
            assert!(
                budget == 0 || spawns_since_forgiven <= budget + 2,
                "{before:?} {event:?}"
            );
            assert!(
                !matches!(before, State::Over(_)) || machine.state() == before,
                "over is over"
            );
        }
        machine.on(Event::Stop, now);
        machine.on(Event::TreeEmpty, now);
        assert!(matches!(machine.state(), State::Over(_)), "{:?}", machine.state());
    }
}
