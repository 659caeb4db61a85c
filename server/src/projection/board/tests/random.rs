//! Any sequence of demands, faults and restarts: the model checks what must never be done, and the end is as demanded.
//!
//! On a kubelet with the Pods API; the rules for one without it are tested one by one.

use proptest::prelude::*;

use super::{model::Wanted, *};

#[derive(Debug, Clone)]
enum Step {
    Demand(Vec<Wanted>),
    Pass(u64),
    RestartDaemon,
    KillKubelet,
    StartKubelet { synced: bool },
    Sync,
    Vandalise(usize),
    Delete(usize),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    // For each name: whether it is wanted, its wave, its content, and its port.
    let one = (any::<bool>(), 0..3_u32, 1..4_u32, 0..6_u16);
    proptest::collection::vec(one, NAMES.len()).prop_map(|all| {
        let mut ports = BTreeSet::new();
        let pods = NAMES
            .iter()
            .zip(all)
            .filter(|(_, (is_wanted, ..))| *is_wanted);
        pods.map(|(name, (_, wave, content, port))| {
            // The content stands for all of it.
            let pod = pod(name, wave).content(content + 10 * wave + 100 * u32::from(port));
            // No two have one: that is refused before it comes here.
            if port < 3 && ports.insert(port) {
                pod.port(8000 + port)
            } else {
                pod.content(content + 10 * wave + 900)
            }
        })
        .collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => wanted().prop_map(Step::Demand),
        4 => (1..4000_u64).prop_map(Step::Pass),
        1 => Just(Step::RestartDaemon),
        1 => Just(Step::KillKubelet),
        1 => any::<bool>().prop_map(|synced| Step::StartKubelet { synced }),
        1 => Just(Step::Sync),
        1 => (0..NAMES.len()).prop_map(Step::Vandalise),
        1 => (0..NAMES.len()).prop_map(Step::Delete),
    ]
}

/// Gives each content that was not there just before a number that no other had: no uid comes twice.
fn renumber(
    before: &[(Wanted, Wanted)],
    wanted: Vec<Wanted>,
    made: &mut u32,
) -> Vec<(Wanted, Wanted)> {
    let renumber = |pod: Wanted| match before.iter().find(|(drawn, _)| *drawn == pod) {
        Some(same) => same.clone(),
        None => {
            *made += 1;
            (pod.clone(), pod.content(1000 + *made))
        }
    };
    wanted.into_iter().map(renumber).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_nothing_forbidden_is_done_and_it_ends_as_demanded(
        steps in proptest::collection::vec(step(), 1..12),
        synced in any::<bool>(),
        can_restart in any::<bool>(),
        restart_works in any::<bool>(),
    ) {
        let sync = |synced| if synced { Sync::Synced } else { Sync::Unsynced };
        let mut world = World::new(sync(synced), can_restart);
        world.restart_works = restart_works;
        let (mut demanded, mut made) = (Vec::new(), 0);
        let mut is_up = true;
        for step in steps {
            match step {
                Step::Demand(wanted) => {
                    demanded = renumber(&demanded, wanted, &mut made);
                    let pods: Vec<Wanted> = demanded.iter().map(|(_, pod)| pod.clone()).collect();
                    world.demand(&pods);
                }
                Step::Pass(ms) => world.run_for(Duration::from_millis(ms)),
                Step::RestartDaemon => {
                    // The limit that the board's docs tell of.
                    if !world.only_the_kubelet_knows_a_uid() {
                        world.restart_daemon();
                    }
                }
                Step::KillKubelet => {
                    is_up = false;
                    world.kill_kubelet();
                    world.tick();
                }
                Step::StartKubelet { synced } => {
                    is_up = true;
                    world.kill_kubelet();
                    world.tick();
                    world.start_kubelet(sync(synced));
                }
                Step::Sync => world.sync(),
                Step::Vandalise(which) => world.vandalise(NAMES[which]),
                Step::Delete(which) => world.delete(NAMES[which]),
            }
        }
        if !is_up {
            world.start_kubelet(sync(synced));
        }
        world.run_all();
        world.assert_as_demanded();
    }
}
