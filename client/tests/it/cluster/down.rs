//! Taking a cluster down.

use seedpod_client::cluster::{Down, UpError};

use super::Scene;

#[tokio::test]
async fn workers_go_first_and_a_second_time_there_is_nothing_to_do() {
    let scene = Scene::new(&["a", "b", "w"]);
    scene.up().await.expect("up");
    scene.world.state().calls.clear();
    let done = scene.installer().down(Down::new()).await.expect("down");
    assert_eq!(
        scene.calls("ResetNode"),
        ["w ResetNode", "a ResetNode", "b ResetNode"]
    );
    assert_eq!(done[1].bundles, ["control-plane", "etcd"]);
    assert_eq!(done[1].removed, ["/var/lib/etcd"]);
    assert!(done.iter().all(|node| node.kubelet_restarted));
    {
        let state = scene.world.state();
        for node in state.nodes.values() {
            assert!(node.bundles.is_empty() && node.handoff.is_none() && node.kubeconfig.is_none());
        }
        let worker = &state.nodes["w"].resets[0];
        assert!(worker.bundles.is_empty() && worker.directories.is_empty() && worker.kubelet);
    }
    let again = scene.installer().down(Down::new()).await.expect("down");
    let nothing = |node: &seedpod_client::cluster::ResetDoneNode| {
        node.bundles.is_empty() && node.removed.is_empty()
    };
    assert!(again.iter().all(nothing));
}

#[tokio::test]
async fn etcd_stays_where_that_is_asked_for() {
    let scene = Scene::new(&["a"]);
    scene.up().await.expect("up");
    let down = Down::new().keep_etcd(true);
    let done = scene.installer().down(down).await.expect("down");
    assert!(done[0].left[0].contains("bundle etcd and its data in /var/lib/etcd"));
    let state = scene.world.state();
    let bundles: Vec<&String> = state.nodes["a"].bundles.keys().collect();
    assert_eq!(bundles, ["etcd"]);
}

#[tokio::test]
async fn a_node_that_fails_keeps_no_other_from_it() {
    let scene = Scene::new(&["a", "b"]);
    scene.up().await.expect("up");
    let refusal = crate::fake::refusal(
        tonic::Code::DeadlineExceeded,
        "POD_NOT_STOPPED",
        "pod etcd does not stop",
    );
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("a").expect("a node");
        node.refuses.insert("ResetNode", refusal);
    }
    let error = scene
        .installer()
        .down(Down::new())
        .await
        .expect_err("a fails");
    assert!(
        matches!(&error, UpError::Node { node, .. } if node == "a"),
        "{error:?}"
    );
    {
        let mut state = scene.world.state();
        assert!(state.nodes["b"].bundles.is_empty());
        state.nodes.get_mut("a").expect("a node").refuses.clear();
    }
    scene.installer().down(Down::new()).await.expect("down");
    assert!(scene.world.state().nodes["a"].bundles.is_empty());
}

#[tokio::test]
async fn after_it_was_taken_down_it_comes_up_again() {
    let scene = Scene::new(&["a"]);
    scene.up().await.expect("up");
    scene.installer().down(Down::new()).await.expect("down");
    {
        let mut state = scene.world.state();
        state.registered.clear();
        state.applied.clear();
    }
    scene.up().await.expect("up again");
}
