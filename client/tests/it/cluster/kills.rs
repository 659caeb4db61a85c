//! A run is killed at each call that it makes, and run again.

use seedpod_proto::v1::HandoffState;

use super::Scene;

/// Where a cluster has come to.
#[derive(Debug, PartialEq, Eq)]
struct End {
    handoffs: Vec<(String, HandoffState, usize)>,
    bundles: Vec<(String, String, u64)>,
    kubeconfigs: Vec<bool>,
    registered: Vec<String>,
    applied: usize,
}

fn end(scene: &Scene) -> End {
    let state = scene.world.state();
    let nodes = state.nodes.iter();
    End {
        handoffs: nodes
            .clone()
            .map(|(name, node)| (name.clone(), node.handoff_state(), node.begun.len()))
            .collect(),
        bundles: nodes
            .clone()
            .flat_map(|(name, node)| {
                let bundles = node.bundles.iter();
                bundles.map(|(bundle, it)| (name.clone(), bundle.clone(), it.revision))
            })
            .collect(),
        kubeconfigs: nodes.map(|(_, node)| node.kubeconfig.is_some()).collect(),
        registered: state.registered.keys().cloned().collect(),
        // What was written to verify is another each time.
        applied: state
            .applied
            .iter()
            .filter(|object| !object.contains("seedpod-up"))
            .count(),
    }
}

/// Kills a run at its `call`-th call. False when it has made fewer.
async fn killed_at(scene: &Scene, call: usize, after: bool) -> bool {
    scene.world.kill_at(call, after);
    tokio::select! {
        result = scene.up() => {
            result.expect("a run that is not killed comes to its end");
            false
        }
        () = scene.world.killed() => true,
    }
}

/// At every second call; with `SEEDPOD_EVERY_CALL` in the environment at each, which takes its time.
async fn at_each_call(nodes: &[&str], after: bool) {
    let step = match std::env::var_os("SEEDPOD_EVERY_CALL") {
        Some(_) => 1,
        None => 2,
    };
    let whole = Scene::new(nodes);
    whole.up().await.expect("up");
    let wanted = end(&whole);
    let mut call = usize::from(!after) + 1;
    loop {
        let scene = Scene::new(nodes);
        let killed = killed_at(&scene, call, after).await;
        let at = scene.world.state().calls.last().cloned();
        scene.world.spare();
        scene
            .up()
            .await
            .unwrap_or_else(|error| panic!("after {at:?}: {error}"));
        assert_eq!(end(&scene), wanted, "killed at call {call}, {at:?}");
        if !killed {
            break;
        }
        call += step;
    }
    assert!(call > 30, "only {call} calls were made");
}

#[tokio::test]
async fn a_run_that_is_killed_before_any_call_ends_in_the_same_place_when_run_again() {
    at_each_call(&["a"], false).await;
}

#[tokio::test]
async fn a_run_that_is_killed_after_any_call_ends_in_the_same_place_when_run_again() {
    at_each_call(&["a", "w"], true).await;
}

/// One and the same cluster, killed at a later call of each run.
#[tokio::test]
async fn a_run_that_is_killed_again_and_again_gets_there() {
    let scene = Scene::new(&["a", "b"]);
    let mut call = 7;
    while killed_at(&scene, call, call.is_multiple_of(2)).await {
        call += 5;
    }
    let whole = Scene::new(&["a", "b"]);
    whole.up().await.expect("up");
    assert_eq!(end(&scene), end(&whole));
}
