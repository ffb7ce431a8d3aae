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
        start_timeout: SECOND * 90,
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

#[test]
fn a_preparation_that_hangs_and_work_that_takes_too_long_have_failed() {
    let mut machine = Machine::new(Terms {
        preparations: 1,
        ..terms(policy(RestartPolicy::Always, 1))
    });
    machine.on(Event::Start, SECOND);
    assert_eq!(machine.due(), Some(SECOND * 91));
    assert_eq!(machine.on(Event::Tick, SECOND * 90), []);
    assert_eq!(machine.on(Event::Tick, SECOND * 91), [Action::Signal]);
    assert_eq!(
        machine.on(Event::Ended(End::Exited(0)), SECOND * 91),
        [],
        "late is late"
    );
    machine.on(Event::TreeEmpty, SECOND * 92);
    assert_eq!(machine.state(), State::Waiting(SECOND * 93));
    machine.on(Event::Tick, SECOND * 93);
    machine.on(Event::Ended(End::Exited(0)), SECOND * 94);
    assert_eq!((machine.state(), machine.due()), (State::Running, None));

    let mut work = Machine::new(Terms {
        start_type: StartType::Oneshot,
        ..terms(policy(RestartPolicy::Never, 1))
    });
    work.on(Event::Start, SECOND);
    assert_eq!(work.on(Event::Tick, SECOND * 91), [Action::Signal]);
    work.on(Event::TreeEmpty, SECOND * 91);
    assert_eq!(work.state(), State::Over(Outcome::Failed));
}

#[test]
fn what_fails_before_it_runs_is_backed_off_too() {
    let mut machine = Machine::new(Terms {
        preparations: 1,
        ..terms(policy(RestartPolicy::Always, 0))
    });
    let mut now = SECOND * 1000;
    machine.on(Event::Start, now);
    let delays: Vec<_> = (0..5)
        .map(|_| {
            machine.on(Event::Ended(End::Exited(1)), now);
            machine.on(Event::TreeEmpty, now);
            let due = machine.due().expect("it is started again");
            machine.on(Event::Tick, due);
            let delay = due.saturating_sub(now);
            now = due;
            delay.as_secs()
        })
        .collect();
    assert_eq!(delays, [1, 2, 4, 8, 8]);
}

/// A machine with random terms, and how many restarts it may have within which window.
struct Life {
    machine: Machine,
    now: Duration,
    seed: u64,
    budget: usize,
    /// When it was started again by itself.
    restarts: Vec<Duration>,
}

const WINDOW: Duration = Duration::from_secs(20);

impl Life {
    fn new(seed: u64) -> Self {
        let mut life = Self {
            machine: machine(policy(RestartPolicy::Always, 0)),
            now: SECOND,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            budget: 0,
            restarts: Vec::new(),
        };
        life.budget = life.random(4);
        let kinds = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
        let types = [StartType::Exec, StartType::Oneshot];
        life.machine = Machine::new(Terms {
            restart: Restart {
                policy: kinds[life.random(3)],
                delay: Duration::from_millis(u64::try_from(life.random(3)).unwrap_or(0) * 700),
                max_delay: SECOND * u32::try_from(life.random(8)).unwrap_or(0),
                max_attempts: u32::try_from(life.budget).unwrap_or(0),
                window: WINDOW,
            },
            has_waits: life.random(2) == 0,
            preparations: life.random(3),
            start_type: types[life.random(2)],
            start_timeout: SECOND * 5,
            stop_timeout: SECOND * 3,
        });
        life.on(Event::Start);
        life
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        usize::try_from(self.seed % below as u64).unwrap_or(0)
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let before = self.machine.state();
        let actions = self.machine.on(event, self.now);
        match (before, event) {
            (State::Waiting(_), Event::Tick) if !actions.is_empty() => self.restarts.push(self.now),
            (State::Over(_), _) => assert_eq!(self.machine.state(), before, "over is over"),
            // What a user starts begins a new count.
            (_, Event::Restart) if self.machine.restarts() == 0 => self.restarts.clear(),
            _ => {}
        }
        actions
    }

    /// It ends, and is started again at the first moment.
    fn crash(&mut self) {
        self.on(Event::Ended(End::Exited(1)));
        self.on(Event::TreeEmpty);
        if let State::Waiting(at) = self.machine.state() {
            self.now = self.now.max(at);
            self.on(Event::Tick);
        }
    }

    /// Something happens, some time later.
    fn live(&mut self) {
        if self.random(4) == 0 {
            return self.crash();
        }
        let later = u64::try_from(self.random(4000)).unwrap_or(0);
        self.now += Duration::from_millis(later);
        let ends = [
            End::Exited(0),
            End::Exited(1),
            End::Killed(9),
            End::Killed(15),
            End::NotExecuted,
            End::NotStarted,
        ];
        let event = match self.random(12) {
            0 if self.random(3) == 0 => Event::Restart,
            1 => Event::Sick,
            2 | 3 => Event::Awaited,
            4 | 5 => Event::TreeEmpty,
            6..=8 => Event::Ended(ends[self.random(ends.len())]),
            _ => Event::Tick,
        };
        self.on(event);
    }

    /// Lets the world do its part until it runs, or is over; so many steps that took.
    fn settle(&mut self) -> u32 {
        for step in 0..100 {
            let event = match self.machine.state() {
                State::Running | State::Over(_) => return step,
                State::Idle => Event::Start,
                State::Awaiting => Event::Awaited,
                State::Preparing(_) => Event::Ended(End::Exited(0)),
                State::Clearing { .. } => Event::TreeEmpty,
                State::Waiting(at) => {
                    self.now = self.now.max(at);
                    Event::Tick
                }
            };
            self.on(event);
        }
        panic!("a dead end: {:?}", self.machine)
    }
}

#[test]
fn restarts_never_exceed_the_budget_within_any_window() {
    let mut most = 0;
    for seed in 0..3000 {
        let mut life = Life::new(seed);
        for _ in 0..200 {
            life.live();
            let within = life
                .restarts
                .iter()
                .filter(|&&at| life.now.saturating_sub(at) < WINDOW)
                .count();
            assert!(
                life.budget == 0 || within <= life.budget,
                "{within} of {}: {:?}",
                life.budget,
                life.machine
            );
            most = most.max(if life.budget == 3 { within } else { 0 });
        }
    }
    assert_eq!(most, 3, "and it is used up at times");
}

#[test]
fn a_stop_always_ends_stopped_and_nothing_starts_after_it() {
    for seed in 0..3000 {
        let mut life = Life::new(seed);
        for _ in 0..life.random(60) {
            life.live();
        }
        let before = life.machine.state();
        life.on(Event::Stop);
        for _ in 0..life.random(20) {
            life.now += SECOND;
            let event = [
                Event::Tick,
                Event::Restart,
                Event::Sick,
                Event::Awaited,
                Event::Ended(End::Exited(0)),
            ][life.random(5)];
            let actions = life.on(event);
            assert!(
                actions.iter().all(|action| *action == Action::Kill),
                "{before:?}, stopped, {event:?}: {actions:?}"
            );
        }
        life.on(Event::TreeEmpty);
        let expected = match before {
            State::Over(_) => before,
            _ => State::Over(Outcome::Stopped),
        };
        assert_eq!(life.machine.state(), expected, "from {before:?}");
    }
}

#[test]
fn no_state_is_a_dead_end() {
    for seed in 0..3000 {
        let mut life = Life::new(seed);
        for _ in 0..life.random(60) {
            life.live();
            // Where the world does nothing, time does: what hangs before it runs is ended, what does not end is killed.
            let hangs = matches!(
                life.machine.state(),
                State::Preparing(_) | State::Clearing { .. } | State::Waiting(_)
            );
            if hangs {
                let mut later = life.machine.clone();
                let due = later.due().expect("something is due");
                assert_ne!(later.on(Event::Tick, due.max(life.now)), [], "{later:?}");
            }
        }
        assert!(life.settle() < 10, "{:?}", life.machine);
    }
}
