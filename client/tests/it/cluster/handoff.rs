//! One node hands over after another, and failures.

use seedpod_client::cluster::{Phase, ProgressKind, UpError};
use seedpod_proto::v1::HandoffState;

use super::Scene;

async fn before_handoff(scene: &Scene) {
    let installer = scene.installer();
    for phase in [Phase::Etcd, Phase::ControlPlane, Phase::Api, Phase::Kubelet] {
        installer.run(phase).await.expect("a phase");
    }
}

#[tokio::test]
async fn never_do_two_nodes_hand_over_at_once() {
    let scene = Scene::new(&["a", "b", "c"]);
    before_handoff(&scene).await;
    scene.world.state().calls.clear();
    scene.installer().handoff().await.expect("handed over");
    let mut order: Vec<String> = scene.calls("StartHandoff");
    order.extend(scene.calls("(handoff"));
    let state = scene.world.state();
    let nodes: Vec<&str> = state
        .calls
        .iter()
        .filter(|call| !call.starts_with("api "))
        .filter_map(|call| call.split(' ').next())
        .collect();
    let mut changes = nodes.clone();
    changes.dedup();
    assert_eq!(changes, ["a", "b", "c"], "{:?}", state.calls);
}

#[tokio::test]
async fn the_first_failure_leaves_the_rest_untouched_and_says_where_it_stands() {
    let scene = Scene::new(&["a", "b", "c"]);
    before_handoff(&scene).await;
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("b").expect("a node");
        node.fails_in = Some(HandoffState::Draining);
    }
    let error = scene.installer().handoff().await.expect_err("b fails");
    let UpError::HandedBack {
        node,
        state,
        reason,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (node.as_str(), state.as_str(), reason.as_str()),
        ("b", "Draining", "HANDOFF_TIMED_OUT")
    );
    let text = error.to_string();
    for part in [
        "has handed back by itself",
        "the lease has no new holder",
        "handed over: a",
        "untouched: c",
    ] {
        assert!(text.contains(part), "{text}");
    }
    {
        let mut state = scene.world.state();
        assert_eq!(state.nodes["a"].handoff_state(), HandoffState::Committed);
        assert_eq!(state.nodes["b"].handoff_state(), HandoffState::Reverted);
        assert!(state.nodes["c"].handoff.is_none());
        state.nodes.get_mut("b").expect("a node").fails_in = None;
    }

    scene
        .installer()
        .handoff()
        .await
        .expect("the cause is gone");
    let state = scene.world.state();
    let begun = |name: &str| state.nodes[name].begun.clone();
    assert_eq!(
        (begun("a").len(), begun("b").len(), begun("c").len()),
        (1, 2, 1)
    );
    let ids = begun("b");
    assert_ne!(ids[0].0, ids[1].0, "a new handoff has a new request id");
}

#[tokio::test]
async fn a_handoff_that_is_under_way_is_watched_and_not_begun_again() {
    let scene = Scene::new(&["a"]);
    before_handoff(&scene).await;
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("a").expect("a node");
        node.stays_in = Some(HandoffState::WaitingForReady);
    }
    let installer = scene.installer();
    let waiting = async {
        loop {
            let waits = scene.told().into_iter().any(|progress| {
                progress.phase == Phase::Handoff
                    && progress.kind == ProgressKind::Waiting
                    && progress.message.starts_with("WaitingForReady")
            });
            if waits {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = installer.handoff() => panic!("{result:?}"),
        () = waiting => {}
    }
    scene
        .world
        .state()
        .nodes
        .get_mut("a")
        .expect("a node")
        .stays_in = None;
    let handed = scene.installer().handoff().await.expect("handed over");
    assert!(!handed[0].before);
    assert_eq!(scene.world.state().nodes["a"].begun.len(), 1);
}

#[tokio::test]
async fn a_standby_that_stands_in_is_waited_for() {
    let scene = Scene::new(&["a"]);
    scene.up().await.expect("up");
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("a").expect("a node");
        let handoff = node.handoff.as_mut().expect("handed over");
        handoff.set_state(HandoffState::StandingIn);
    }
    let handed = scene.installer().handoff().await.expect("it stands down");
    assert_eq!(handed[0].node, "a");
    let state = scene.world.state();
    assert_eq!(state.nodes["a"].handoff_state(), HandoffState::Committed);
    assert_eq!(state.nodes["a"].begun.len(), 1);
}

#[tokio::test]
async fn one_that_goes_back_is_waited_for_and_then_begun_anew() {
    let scene = Scene::new(&["a"]);
    before_handoff(&scene).await;
    scene.installer().handoff().await.expect("handed over");
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("a").expect("a node");
        let handoff = node.handoff.as_mut().expect("handed over");
        handoff.set_state(HandoffState::Reverting);
    }
    scene.installer().handoff().await.expect("handed over");
    let state = scene.world.state();
    assert_eq!(state.nodes["a"].begun.len(), 2);
    assert_eq!(state.nodes["a"].handoff_state(), HandoffState::Committed);
}
