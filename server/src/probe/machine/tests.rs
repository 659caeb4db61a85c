use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Kind, Machine, Outcome, Pace, Start, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn pace(successes: u32, failures: u32) -> Pace {
    Pace {
        initial_delay: Duration::ZERO,
        period: 10 * SECOND,
        timeout: SECOND,
        successes,
        failures,
    }
}

/// Of a container that was met when it was started.
fn machine(startup: Option<Pace>, readiness: Option<Pace>, at: Instant) -> Machine {
    let start = Start {
        at,
        met: at,
        phase: 0.5,
    };
    Machine::new(startup, readiness, start)
}

/// `+` passes, `-` fails, `!` cannot be run.
fn outcome(sign: char) -> Outcome {
    match sign {
        '+' => Outcome::Passed,
        '-' => Outcome::Failed("answered 500".to_owned()),
        '!' => Outcome::NotRun("could not be run".to_owned()),
        _ => panic!("{sign}"),
    }
}

/// What the probes say after each result, as the first letters of readiness' verdicts.
fn readiness_after(pace: Pace, results: &str) -> String {
    let mut machine = machine(None, Some(pace), Instant::now());
    let mut said = String::new();
    for result in results.chars() {
        machine.record(Kind::Readiness, outcome(result));
        let probed = machine.probed();
        let verdict = probed.readiness.unwrap();
        assert_eq!(
            probed.message.is_empty(),
            verdict != Verdict::Fails,
            "there is a message when and only when it fails"
        );
        said.push(letter(verdict));
    }
    said
}

fn letter(verdict: Verdict) -> char {
    match verdict {
        Verdict::Pending => 'w',
        Verdict::Passes => 'P',
        Verdict::Fails => 'f',
    }
}

#[test]
fn readiness_changes_when_its_thresholds_are_reached() {
    for (successes, failures, results, expected) in [
        // The defaults.
        (1, 3, "+--+---+", "PPPPPPfP"),
        // The first failure tells that it is not ready.
        (1, 3, "-+", "fP"),
        (2, 3, "-++", "ffP"),
        // Nothing has been said while successes are too few.
        (2, 3, "+", "w"),
        (2, 3, "+-++", "wffP"),
        (3, 1, "+++-+++-", "wwPfffPf"),
        // A success in between begins the count of failures anew, and the other way round.
        (1, 3, "+--+--+--", "PPPPPPPPP"),
        (3, 1, "++-++-+++", "wwffffffP"),
        // What could not be run counts for neither, and does not interrupt.
        (1, 3, "!", "f"),
        (1, 3, "!+", "fP"),
        (1, 3, "+-!-!-", "PPPPPf"),
        (2, 3, "+!+", "wfP"),
        (1, 1, "+!!!!", "PPPPP"),
    ] {
        assert_eq!(
            readiness_after(pace(successes, failures), results),
            expected,
            "{successes} {failures} {results}"
        );
    }
}

#[test]
fn readiness_waits_for_the_startup_probe() {
    let begun = Instant::now();
    let mut machine = machine(Some(pace(1, 30)), Some(pace(1, 3)), begun);
    for _ in 0..3 {
        assert_eq!(machine.next().unwrap().0, Kind::Startup);
        machine.begin(Kind::Startup, machine.next().unwrap().1);
        machine.record(Kind::Startup, outcome('-'));
        let probed = machine.probed();
        assert_eq!(
            (probed.startup, probed.readiness),
            (Some(Verdict::Fails), Some(Verdict::Pending))
        );
    }
    machine.begin(Kind::Startup, begun + 30 * SECOND);
    machine.record(Kind::Startup, outcome('+'));
    assert_eq!(machine.probed().message, "");
    // At once, since its own time has come long ago.
    let (kind, due) = machine.next().unwrap();
    assert_eq!((kind, due), (Kind::Readiness, begun));
    machine.begin(kind, begun + 31 * SECOND);
    machine.record(kind, outcome('+'));
    assert_eq!(
        machine.next(),
        Some((Kind::Readiness, begun + 41 * SECOND)),
        "the beat begins with the first one"
    );
    assert_eq!(machine.probed().readiness, Some(Verdict::Passes));
}

#[test]
fn a_startup_probe_that_has_failed_or_passed_is_over() {
    let mut failed = machine(Some(pace(1, 2)), Some(pace(1, 3)), Instant::now());
    failed.record(Kind::Startup, outcome('-'));
    assert!(failed.next().is_some());
    failed.record(Kind::Startup, outcome('-'));
    // The kubelet ends the container.
    assert_eq!(failed.next(), None);
    assert_eq!(failed.probed().message, "answered 500");

    let mut passed = machine(Some(pace(1, 2)), None, Instant::now());
    passed.record(Kind::Startup, outcome('+'));
    assert_eq!(passed.next(), None);
    assert_eq!(passed.probed().startup, Some(Verdict::Passes));
}

#[test]
fn a_probe_is_due_after_its_delay_and_then_each_period() {
    let begun = Instant::now();
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    let delayed = Pace {
        initial_delay: 5 * SECOND,
        ..pace(1, 3)
    };
    let mut machine = machine(None, Some(delayed), begun);
    let mut due = Vec::new();
    // When it begins. It takes as long as it takes: the next one does not begin before it has ended.
    for begin in [5, 15, 40, 47, 55] {
        assert!(machine.next().unwrap().1 <= at(begin));
        machine.begin(Kind::Readiness, at(begin));
        machine.record(Kind::Readiness, outcome('+'));
        due.push(machine.next().unwrap().1);
    }
    // Of 25 and 35, which passed before 40, one is made up for; and the beat stays.
    assert_eq!(due, [15, 25, 45, 55, 65].map(at));
}

#[test]
fn probes_of_containers_that_ran_before_are_spread() {
    let met = Instant::now();
    let at = met.checked_sub(3600 * SECOND).unwrap();
    let times = |phase| {
        let start = Start { at, met, phase };
        let mut machine = Machine::new(None, Some(pace(1, 3)), start);
        [(); 3].map(|()| {
            let due = machine.next().unwrap().1;
            machine.begin(Kind::Readiness, due);
            machine.record(Kind::Readiness, outcome('+'));
            (due - met).as_millis()
        })
    };
    // Soon, since somebody may wait for them, and then all over the period.
    assert_eq!(times(0.0), [0, 0, 10_000]);
    assert_eq!(times(0.5), [1000, 6000, 16_000]);
    assert_eq!(times(1.0), [2000, 12_000, 22_000]);
}

/// The rules of the kubelet's `worker.doProbe`, line by line.
#[derive(Debug)]
struct Worker {
    is_startup: bool,
    success_threshold: u32,
    failure_threshold: u32,
    last_result: Result,
    result_run: u32,
    on_hold: bool,
    /// What is in the results manager.
    set: Result,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Result {
    Unknown,
    Success,
    Failure,
}

impl Worker {
    fn new(is_startup: bool, pace: Pace) -> Self {
        Self {
            is_startup,
            success_threshold: pace.successes,
            failure_threshold: pace.failures,
            // The zero value of results.Result.
            last_result: Result::Success,
            result_run: 0,
            on_hold: false,
            set: if is_startup {
                Result::Unknown
            } else {
                Result::Failure
            },
        }
    }

    /// Whether it would run the prober now.
    fn runs(&self, started: bool) -> bool {
        if self.on_hold {
            return false;
        }
        if started {
            !self.is_startup
        } else {
            self.is_startup
        }
    }

    fn take(&mut self, sign: char) {
        let result = match sign {
            '+' => Result::Success,
            '-' => Result::Failure,
            // Prober error, throw away the result.
            _ => return,
        };
        if self.last_result == result {
            self.result_run += 1;
        } else {
            self.last_result = result;
            self.result_run = 1;
        }
        if (result == Result::Failure && self.result_run < self.failure_threshold)
            || (result == Result::Success && self.result_run < self.success_threshold)
        {
            return;
        }
        self.set = result;
        if self.is_startup {
            self.on_hold = true;
            self.result_run = 0;
        }
    }
}

proptest! {
    #[test]
    fn readiness_is_that_of_the_kubelet(
        startup in prop::option::of(1..5_u32),
        readiness in prop::option::of((1..5_u32, 1..5_u32)),
        results in "[+!-]{0,60}",
    ) {
        let startup = startup.map(|failures| pace(1, failures));
        let readiness = readiness.map(|(successes, failures)| pace(successes, failures));
        let mut machine = machine(startup, readiness, Instant::now());
        let mut of_startup = startup.map(|pace| Worker::new(true, pace));
        let mut of_readiness = readiness.map(|pace| Worker::new(false, pace));
        for sign in results.chars() {
            // isContainerStarted of the manager.
            let started = |startup: &Option<Worker>| startup.as_ref().is_none_or(|it| it.set == Result::Success);
            let runs = |worker: &Option<Worker>| worker.as_ref().is_some_and(|it| it.runs(started(&of_startup)));
            let (startup_runs, readiness_runs) = (runs(&of_startup), runs(&of_readiness));
            prop_assert_eq!(
                machine.next().map(|(kind, _)| kind),
                match (startup_runs, readiness_runs) {
                    (true, false) => Some(Kind::Startup),
                    (false, true) => Some(Kind::Readiness),
                    (false, false) => None,
                    (true, true) => panic!("both"),
                }
            );
            let Some((kind, due)) = machine.next() else { break };
            machine.begin(kind, due);
            machine.record(kind, outcome(sign));
            let worker = if startup_runs { &mut of_startup } else { &mut of_readiness };
            worker.as_mut().unwrap().take(sign);

            // UpdatePodStatus of the manager.
            let ready = started(&of_startup)
                && of_readiness.as_ref().is_none_or(|it| it.set == Result::Success);
            let probed = machine.probed();
            let passes = |verdict: Option<Verdict>| verdict.is_none_or(|it| it == Verdict::Passes);
            prop_assert_eq!(passes(probed.startup) && passes(probed.readiness), ready);
            prop_assert_eq!(passes(probed.startup), started(&of_startup));
        }
    }
}
