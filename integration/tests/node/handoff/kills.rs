//! The daemon is killed in the middle of handoffs, which end all the same, and no request is lost.
//!
//! `SEEDPOD_TORTURE_KILL_SEED` says from which seed, which is printed; `SEEDPOD_TORTURE_HANDOFF_KILLS` has it killed around
//! all writes of the record, and then at so many random instants. Without that there is one handoff, with some of both.

use std::fs;
use std::time::Duration;

use seedpod_integration::prober::{LIMIT, Record, Report};

use super::arena::{Arena, Ended, Strike, What, When};
use super::history::{BACK, FORWARD};
use super::probe_each;
use crate::kills::{Random, fresh_seed, number};
use crate::render_up::machine;

/// How often a daemon goes on with a handoff.
const RESUMPTIONS: usize = 3;

/// In the long form, all boundaries are gone through once for so many kills at random instants.
const KILLS_PER_PASS: u64 = 40;

#[test]
fn a_daemon_killed_in_the_middle_of_handoffs_ends_them_and_loses_no_request() {
    let long = number("SEEDPOD_TORTURE_HANDOFF_KILLS");
    let kills = long.unwrap_or_default();
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{kills} kills at random, SEEDPOD_TORTURE_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let node = machine();
    let arena = Arena::new(&node, "kills");
    let mut totals = Totals::default();
    if long.is_none() {
        totals.round(&arena, &short(arena.length(), &mut random), &mut random);
        println!("{totals:?}");
        return;
    }
    for _ in 0..kills.div_ceil(KILLS_PER_PASS) {
        for strikes in boundaries() {
            totals.round(&arena, &strikes, &mut random);
            arena.take_back();
        }
        for strikes in boundaries_of_the_way_back(&mut random) {
            totals.round(&arena, &strikes, &mut random);
        }
    }
    println!("at the boundaries: {totals:?}");
    let before = totals.kills;
    while totals.kills < before + kills {
        if totals.is_committed {
            arena.take_back();
        }
        let left = kills - (totals.kills - before);
        let strikes = at_random(left, arena.length(), &mut random);
        totals.round(&arena, &strikes, &mut random);
    }
    println!("{totals:?}");
}

/// One handoff, with kills around two writes of the record and at two instants. Does the last one come before the commit,
/// it is one too many.
fn short(length: Duration, random: &mut Random) -> Vec<Strike> {
    let mut some = boundaries();
    let index = usize::try_from(random.below(some.len() as u64)).unwrap();
    let mut strikes = some.swap_remove(index);
    strikes.truncate(2);
    let mut instants = [random.up_to(length), random.up_to(length)];
    instants.sort();
    strikes.extend(instants.map(|instant| (When::After(instant), What::Kill)));
    strikes
}

/// Kills around all writes of the record on the way to the commit: as many in one handoff as a daemon goes on after.
fn boundaries() -> Vec<Vec<Strike>> {
    // The first one is written before there is anything to be handed over.
    let mut all: Vec<When> = vec![When::Written(FORWARD[0])];
    for point in &FORWARD[1..] {
        all.extend([When::Writing(*point), When::Written(*point)]);
    }
    let rounds = all.len().div_ceil(RESUMPTIONS);
    let strikes = |round: usize| {
        let whens = all.iter().skip(round).step_by(rounds);
        whens.map(|when| (*when, What::Kill)).collect()
    };
    (0..rounds).map(strikes).collect()
}

/// Handoffs that are aborted somewhere, with kills around the writes that follow.
fn boundaries_of_the_way_back(random: &mut Random) -> Vec<Vec<Strike>> {
    let rounds = BACK.iter().map(|point| {
        let last = FORWARD.len() as u64 - 1;
        let from = FORWARD[usize::try_from(random.below(last)).unwrap()];
        vec![
            (When::Written(from), What::Abort),
            (When::Writing(*point), What::Kill),
            (When::Written(*point), What::Kill),
        ]
    });
    rounds.collect()
}

/// Some kills of one handoff, which is aborted in one of five. It is believed to take `length`.
fn at_random(kills: u64, length: Duration, random: &mut Random) -> Vec<Strike> {
    let kills = (2 + random.below(RESUMPTIONS as u64)).min(kills);
    let aborted = (random.below(5) == 0).then(|| (random.up_to(length), What::Abort));
    let kills = (0..kills).map(|_| (random.up_to(length), What::Kill));
    let mut strikes: Vec<_> = kills.chain(aborted).collect();
    strikes.sort_by_key(|(instant, _)| *instant);
    strikes
        .into_iter()
        .map(|(instant, what)| (When::After(instant), what))
        .collect()
}

/// What was met in all handoffs.
#[derive(Debug, Default)]
struct Totals {
    handoffs: u64,
    kills: u64,
    aborts: usize,
    committed: u64,
    requests: usize,
    /// Requests that were answered too late, on a machine that has too much to do.
    slow: usize,
    is_committed: bool,
}

impl Totals {
    fn round(&mut self, arena: &Arena<'_>, strikes: &[Strike], random: &mut Random) {
        println!("handoff {}: {strikes:?}", self.handoffs + 1);
        // Less often than elsewhere: it goes on for long.
        let every = Duration::from_millis(100);
        let prober = probe_each(&arena.cluster, every, 2 * every);
        let ended = arena.round(strikes, random);
        let report = prober.finish().unwrap();
        self.slow += lost_nothing(&report);
        self.handoffs += 1;
        self.requests += report.requests();
        self.kills += ended.count(What::Kill) as u64;
        self.aborts += ended.count(What::Abort);
        self.is_committed = ended.is_committed();
        self.committed += u64::from(ended.is_committed());
        has_a_reason(&ended);
        // An instant may be later than the end; a boundary has to come.
        let mut left = ended.left.iter();
        assert!(
            left.all(|(when, _)| matches!(when, When::After(_))),
            "{ended:#?}"
        );
    }
}

/// A handoff is handed back only for an abort, when the daemon has died too often, or when the machine has no time for it.
fn has_a_reason(ended: &Ended) {
    let reason = ended.record.failure.as_ref();
    let reason = reason.and_then(|failure| failure["reason"].as_str());
    let deaths = ended.struck.iter();
    let deaths = deaths
        .filter(|((_, what), record)| *what == What::Kill && record.stage != "reverting")
        .count();
    match reason {
        None => assert!(ended.is_committed(), "{ended:#?}"),
        Some("ABORTED") => assert!(ended.count(What::Abort) > 0, "{ended:#?}"),
        Some("DAEMON_RESTARTED") => assert!(deaths > RESUMPTIONS, "{ended:#?}"),
        // Two answers after more than 2 s.
        Some("API_SERVER_NOT_SERVING" | "VERIFICATION_FAILED") => assert!(is_busy(), "{ended:#?}"),
        Some(_) => panic!("{ended:#?}"),
    }
    assert_eq!(reason.is_none(), ended.is_committed(), "{ended:#?}");
}

/// Tells how many were late because the machine had too much to do.
fn lost_nothing(report: &Report) -> usize {
    let lost = report.lost();
    if lost.is_empty() {
        return 0;
    }
    println!("{report}");
    let late = |it: &Record| it.latency > LIMIT && !matches!(it.outcome, Ok(300..));
    let all_late = lost.iter().all(|it| late(it));
    assert!(all_late && is_busy(), "{report}");
    lost.len()
}

/// Whether more than twice as many want to run as can.
fn is_busy() -> bool {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get();
    load > 2.0 * f64::from(u32::try_from(processors).unwrap())
}
