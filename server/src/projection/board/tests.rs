//! The rules one by one, on a clock that the test moves.

mod model;
mod random;

use std::time::{Duration, Instant};

use super::*;
use crate::{kubelet::Sync, node::Waits};
use model::{World, pod};

const MINUTE: Duration = Duration::from_secs(60);

fn world(sync: Sync) -> World {
    World::new(sync, false)
}

#[test]
fn a_wave_is_written_when_all_pods_of_the_lower_ones_are_ready() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 0), pod("c", 1), pod("d", 2)]);
    world.settle();
    assert_eq!(world.files(), ["a", "b"]);
    let waits = world.projection("c").waits_for.expect("it waits");
    assert_eq!((waits.key.name.as_str(), waits.wave), ("a", 0));
    world.ready("a");
    world.settle();
    assert_eq!(world.files(), ["a", "b"]);
    world.ready("b");
    world.settle();
    assert_eq!(world.files(), ["a", "b", "c"]);
    world.unready("a");
    world.ready("c");
    world.settle();
    assert_eq!(
        world.files(),
        ["a", "b", "c"],
        "the lowest wave is not ready now"
    );
    world.ready("a");
    world.settle();
    assert_eq!(world.files(), ["a", "b", "c", "d"]);
}

#[test]
fn readiness_of_an_earlier_content_does_not_count() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2), pod("b", 1).content(2)]);
    world.tick();
    assert_eq!(world.content("a"), Some(2));
    assert_eq!(world.content("b"), Some(1), "the old file stays as it is");
    world.run_all();
    assert_eq!(world.content("b"), Some(2));
}

#[test]
fn a_file_that_waits_is_put_right_to_its_old_content() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2), pod("b", 1).content(2)]);
    world.settle();
    world.vandalise("b");
    world.tick();
    assert_eq!(world.content("b"), Some(1));
    world.delete("b");
    world.tick();
    assert_eq!(world.content("b"), Some(1));
}

#[test]
fn what_was_written_is_not_held_back_again_also_after_a_restart() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1)]);
    world.run_all();
    world.restart_daemon();
    world.unready("a");
    world.vandalise("b");
    world.settle();
    assert_eq!(world.content("b"), Some(1));
}

#[test]
fn after_a_restart_the_next_wave_still_waits_and_the_old_content_stays() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2), pod("b", 1).content(2), pod("c", 2)]);
    world.settle();
    world.restart_daemon();
    world.settle();
    assert_eq!(world.content("b"), Some(1));
    world.vandalise("b");
    world.tick();
    assert_eq!(world.content("b"), Some(1), "put right from what was found");
    world.run_all();
    assert_eq!(world.content("b"), Some(2));
    assert_eq!(world.files(), ["a", "b", "c"]);
}

#[test]
fn removal_goes_from_the_highest_wave_to_the_lowest_also_after_a_restart() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1), pod("c", 2)]);
    world.run_all();
    world.demand(&[]);
    world.tick();
    assert_eq!(world.files(), ["a", "b"]);
    assert!(world.runs("c"), "it has its grace period");
    world.restart_daemon();
    world.tick();
    assert_eq!(world.files(), ["a", "b"], "c still stops");
    world.run_all();
    assert_eq!(world.files(), [""; 0]);
    assert_eq!(world.stopped_in_order(), ["c", "b", "a"]);
}

#[test]
fn a_removed_pod_does_not_wait_for_waves_of_additions() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("old", 1)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2), pod("new", 1)]);
    world.tick();
    assert_eq!(world.files(), ["a"]);
}

#[test]
fn a_wave_that_takes_too_long_is_reported_once_and_goes_on_when_it_is_ready() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0), pod("b", 1)]);
    world.settle();
    world.status("a", false, "no image");
    world.pass(4 * MINUTE);
    assert_eq!(world.happened.len(), 0);
    world.pass(2 * MINUTE);
    let [
        Happened::WaveTimedOut {
            pod,
            message,
            revision,
            ..
        },
    ] = world.happened.as_slice()
    else {
        panic!("{:?}", world.happened)
    };
    assert_eq!((pod.name.as_str(), *revision), ("a", 1));
    assert!(
        message.contains("wave 0") && message.contains("no image"),
        "{message}"
    );
    assert!(matches!(
        world.projection("b").waits_for,
        Some(Waits {
            timed_out: true,
            ..
        })
    ));
    world.pass(10 * MINUTE);
    assert_eq!(world.happened.len(), 1);
    world.ready("a");
    world.settle();
    assert_eq!(world.files(), ["a", "b"]);
}

#[test]
fn ports_that_are_swapped_across_waves_or_within_one_come_to_their_new_pods() {
    for waves in [(0, 0), (0, 1), (1, 0)] {
        let mut world = world(Sync::Synced);
        world.demand(&[pod("a", waves.0).port(80), pod("b", waves.1).port(81)]);
        world.run_all();
        world.demand(&[
            pod("a", waves.0).content(2).port(81),
            pod("b", waves.1).content(2).port(80),
        ]);
        world.run_all();
        world.assert_as_demanded();
        assert_eq!(world.rejections(), 0, "{waves:?}");
    }
}

#[test]
fn the_port_of_a_pod_that_was_removed_before_a_restart_is_waited_for() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0).port(80)]);
    world.run_all();
    world.demand(&[]);
    world.tick();
    world.restart_daemon();
    world.demand(&[pod("b", 0).port(80)]);
    world.run_all();
    world.assert_as_demanded();
    assert_eq!(world.rejections(), 0);
}

#[test]
fn a_removed_pod_is_stopped_over_cri_only_where_the_kubelet_does_not() {
    for (sync, over_cri) in [(Sync::Synced, 0), (Sync::Unsynced, 1)] {
        for has_socket in [true, false] {
            let mut world = World::new(sync, false);
            world.has_socket = has_socket;
            world.demand(&[pod("a", 0)]);
            world.run_all();
            world.demand(&[]);
            world.run_all();
            assert!(!world.runs("a"));
            assert_eq!(world.stops_over_cri(), over_cri, "{sync:?} {has_socket}");
            assert_eq!(world.double_signals(), 0);
        }
    }
}

#[test]
fn a_removed_pod_that_an_unsynced_kubelet_starts_once_more_is_looked_for() {
    let mut world = world(Sync::Unsynced);
    world.demand(&[pod("a", 0)]);
    world.run_all();
    assert_eq!(world.board.waits_since(world.now), None);
    world.demand(&[]);
    world.run_all();
    assert!(world.board.waits_since(world.now).is_some());
    world.pass(2 * MINUTE);
    assert_eq!(world.board.waits_since(world.now), None);
    world.board.look_again();
    assert!(world.board.waits_since(world.now).is_some());
}

#[test]
fn a_removed_pod_of_a_kubelet_that_is_down_waits_for_it() {
    let mut world = world(Sync::Synced);
    world.demand(&[pod("a", 0)]);
    world.run_all();
    world.kill_kubelet();
    world.demand(&[]);
    world.pass(MINUTE);
    assert!(world.runs("a"));
    world.start_kubelet(Sync::Unsynced);
    world.run_all();
    assert!(!world.runs("a"));
}

#[test]
fn on_an_unsynced_kubelet_a_replaced_pod_keeps_its_uid() {
    for has_socket in [true, false] {
        let mut world = world(Sync::Unsynced);
        world.has_socket = has_socket;
        world.demand(&[pod("a", 0)]);
        world.run_all();
        for content in 2..5 {
            world.demand(&[pod("a", 0).content(content)]);
            world.run_all();
            world.assert_as_demanded();
            assert_eq!(world.kubelet_uid("a"), Some("default/a-1"));
            assert!(!world.has_remains("a"), "the kubelet would wait");
        }
        world.demand(&[]);
        world.run_all();
        world.demand(&[pod("a", 0).content(7)]);
        world.run_all();
        world.assert_as_demanded();
    }
}

#[test]
fn a_pod_whose_file_is_gone_when_the_daemon_starts_again_keeps_the_uid_that_the_kubelet_has() {
    let mut tried = 0;
    // Before, while and after the old content is stopped.
    for ms in (0..4000).step_by(100) {
        let mut world = world(Sync::Unsynced);
        world.demand(&[pod("a", 0).port(8000)]);
        world.run_for(Duration::from_millis(1));
        world.demand(&[pod("a", 0).content(2).port(8001)]);
        world.run_for(Duration::from_millis(ms));
        world.delete("a");
        if world.only_the_kubelet_knows_a_uid() {
            continue;
        }
        tried += 1;
        world.restart_daemon();
        world.run_all();
        world.assert_as_demanded();
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn where_the_kubelet_can_be_restarted_it_is_once_for_all_that_is_replaced() {
    let mut world = World::new(Sync::Unsynced, true);
    world.demand(&[pod("a", 0), pod("b", 0)]);
    world.run_all();
    assert_eq!(world.restarts(), 0);
    world.demand(&[pod("a", 0).content(2), pod("b", 0).content(2), pod("c", 0)]);
    world.run_all();
    world.assert_as_demanded();
    assert_eq!(world.restarts(), 1);
    assert_eq!(world.kubelet_uid("a"), Some("default/a-2"));
}

#[test]
fn when_the_restart_fails_the_uid_is_kept() {
    let mut world = World::new(Sync::Unsynced, true);
    world.restart_works = false;
    world.demand(&[pod("a", 0)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2)]);
    world.run_all();
    world.assert_as_demanded();
    assert_eq!(world.kubelet_uid("a"), Some("default/a-1"));
    let problem = world.board.kubelet_problem(world.now).expect("a problem");
    assert_eq!(problem.reason, "KUBELET_RESTART_FAILED");
    assert!(problem.message.contains("no such unit"));
}

#[test]
fn a_pod_of_which_the_kubelet_goes_on_with_the_old_uid_comes_up_all_the_same() {
    for can_restart in [false, true] {
        let mut world = World::new(Sync::Synced, can_restart);
        world.demand(&[pod("a", 0)]);
        world.run_all();
        // Restarted, and nobody has noticed yet.
        world.restart_kubelet_unseen(Sync::Unsynced);
        world.demand(&[pod("a", 0).content(2)]);
        world.tick_unseen();
        world.run_all();
        world.assert_as_demanded();
    }
}

#[test]
fn a_replaced_pod_on_a_kubelet_that_nobody_has_asked_yet_waits_for_the_answer() {
    let mut world = world(Sync::Unsynced);
    world.demand(&[pod("a", 0)]);
    world.run_all();
    world.demand(&[pod("a", 0).content(2)]);
    world.restart_daemon();
    world.board.advance(world.now);
    assert!(world.board.work(world.now).write.is_empty());
    world.run_all();
    world.assert_as_demanded();
}

#[test]
fn an_unsynced_kubelet_for_which_something_waits_is_a_problem() {
    let mut world = world(Sync::Unsynced);
    world.demand(&[pod("a", 0)]);
    world.run_all();
    world.pass(MINUTE);
    assert!(world.board.kubelet_problem(world.now).is_none());
    world.cri_works = false;
    world.demand(&[pod("a", 0).content(2)]);
    world.pass(MINUTE);
    let problem = world.board.kubelet_problem(world.now).expect("a problem");
    assert_eq!(problem.reason, "KUBELET_UNSYNCED");
    world.cri_works = true;
    world.run_all();
    assert!(world.board.kubelet_problem(world.now).is_none());
}
