//! The wall clock jumps, as seen by the program: a library of our own is put before it that moves that clock, and no other one.
//! The clock of the machine is everybody's; a time namespace (`time_namespaces(7)`) does not have this one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

mod support;

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use support::home::{Home, kill, soon, soon_within};

/// Adds as many seconds as the file says to each answer about the wall clock.
const CLOCK: &str = "#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long jump(void) {
    char text[32] = {0};
    int file = open(getenv(\"JUMP\"), O_RDONLY | O_CLOEXEC);
    if (file >= 0) { if (read(file, text, 31) < 0) text[0] = 0; close(file); }
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *time, void *zone) {
    int result = syscall(SYS_gettimeofday, time, zone);
    if (!result && time) time->tv_sec += jump();
    return result;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
";
const YEAR: i64 = 365 * 24 * 3600;

/// The program, with a clock that jumps.
struct Clock(Home);

impl Clock {
    fn new() -> Self {
        let home = Home::new();
        fs::write(home.path("clock.c"), CLOCK).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o", "clock.so", "clock.c"]);
        let out = compiler
            .current_dir(home.path(""))
            .output()
            .expect("a C compiler is needed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Self(home)
    }

    fn jump(&self, seconds: i64) {
        fs::write(self.0.path("jump.new"), seconds.to_string()).unwrap();
        fs::rename(self.0.path("jump.new"), self.0.path("jump")).unwrap();
    }

    fn run(&self, args: &[&str], code: i32) -> String {
        let mut command = self.0.command(args);
        // A folder with spaces is none for LD_PRELOAD: it is found by its name from where we are.
        command
            .env("LD_LIBRARY_PATH", self.0.path(""))
            .env("LD_PRELOAD", "clock.so")
            .env("JUMP", self.0.path("jump"));
        let out = command.output().unwrap();
        let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        said
    }
}

#[test]
fn a_jump_of_the_clock_is_no_event() {
    let clock = Clock::new();
    let home = &clock.0;
    home.script(
        "app",
        "exec sleep 1000",
        "[health]\ncommand = [\"sh\", \"-c\", \"echo asked >>asked; test ! -e sick\"]\ninterval = \"500ms\"\ntimeout = \"1s\"\nretries = 2\n\
         [restart]\ndelay = \"200ms\"\nmax_attempts = 2\nwindow = \"10m\"",
    );
    clock.jump(20 * YEAR);
    clock.run(&["install"], 0);
    clock.jump(20 * YEAR + 2 * 3600);
    let said = clock.run(&["history"], 0);
    assert!(said.contains("): 2h"), "it jumps indeed: {said}");

    let asked = || {
        fs::read_to_string(home.path("asked"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    let first = home.pid("app");
    for jump in [0, 3600, -3600, -30 * YEAR, 30 * YEAR, 0] {
        clock.jump(jump);
        let (before, start) = (asked(), Instant::now());
        sleep(Duration::from_secs(2));
        let most = usize::try_from(start.elapsed().as_millis() / 500 + 2).unwrap();
        let times = asked() - before;
        assert!(
            (1..=most).contains(&times),
            "after a jump by {jump} s it was asked {times} times"
        );
        assert!(clock.run(&["status"], 0).starts_with("app: ready"));
    }
    assert_eq!(home.pid("app"), first, "it was never restarted");

    // It is found sick in time, and its budget is not forgotten.
    clock.jump(-30 * YEAR);
    fs::write(home.path("sick"), "").unwrap();
    soon_within(Duration::from_secs(5), "it is restarted", || {
        home.pid("app").is_some_and(|pid| Some(pid) != first)
    });
    fs::remove_file(home.path("sick")).unwrap();
    soon("it is ready", || home.is_ready("app"));
    clock.jump(30 * YEAR);
    let second = home.pid("app");
    kill(second.unwrap(), "-KILL");
    soon("it is started again", || {
        home.is_ready("app") && home.pid("app") != second
    });
    clock.jump(0);
    kill(home.pid("app").unwrap(), "-KILL");
    soon("its budget is used up", || {
        home.live("app")["result"] == "start-limit-hit"
    });
    clock.run(&["status"], 3);
}
