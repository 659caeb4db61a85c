//! The phases from nothing to handed over.

use seedpod_client::cluster::{Outcome, Phase, ProgressKind, UpError};
use seedpod_proto::v1::HandoffState;

use super::Scene;

#[tokio::test]
async fn a_cluster_comes_up_and_a_second_run_changes_nothing() {
    let scene = Scene::new(&["a", "b", "c", "w"]);
    let outcomes = scene.up().await.expect("up");
    let Some(Outcome::Verified(verified)) = outcomes.last() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(verified.nodes.len(), 3);
    assert!(verified.nodes.iter().all(|node| node.pods.len() == 3));
    assert_eq!(verified.leases.len(), 2);
    {
        let state = scene.world.state();
        for name in ["a", "b", "c"] {
            let node = &state.nodes[name];
            assert_eq!(node.handoff_state(), HandoffState::Committed);
            assert_eq!(node.bundles.len(), 2, "{name}");
        }
        let worker = &state.nodes["w"];
        assert!(worker.bundles.is_empty() && worker.handoff.is_none());
        assert!(state.nodes.values().all(|node| node.kubelet_restarts == 1));
        let labels = |name: &str| state.registered[name]["metadata"]["labels"].clone();
        let role = "node-role.kubernetes.io/control-plane";
        assert_eq!(labels("a")[role], "");
        assert_eq!(labels("a")["zone"], "a");
        assert!(labels("w").get(role).is_none());
        let slice = state.slice.as_ref().expect("the Service leads somewhere");
        assert_eq!(slice["endpoints"].as_array().map(Vec::len), Some(3));
    }

    scene.world.state().calls.clear();
    let again = scene.up().await.expect("up again");
    assert!(scene.calls("StartHandoff").is_empty());
    let state = scene.world.state();
    let mut calls = state.calls.iter();
    let writes = |call: &&String| call.starts_with("api PATCH") && call.contains("endpoint");
    assert_eq!(calls.find(writes), None);
    for node in state.nodes.values() {
        assert!(node.bundles.values().all(|bundle| bundle.revision == 1));
        assert_eq!(node.kubelet_restarts, 1);
    }
    let unchanged = |outcome: &Outcome| match outcome {
        Outcome::Injected(bundles) => bundles.iter().all(|bundle| !bundle.changed),
        Outcome::Kubelet(nodes) => {
            nodes.applied.created == 0 && nodes.nodes.iter().all(|node| !node.restarted)
        }
        Outcome::Handoff(nodes) => nodes.iter().all(|node| node.before),
        _ => true,
    };
    assert!(again.iter().all(unchanged), "{again:?}");
}

#[tokio::test]
async fn members_of_etcd_are_injected_before_any_is_waited_for() {
    let scene = Scene::new(&["a", "b", "c"]);
    scene.installer().etcd().await.expect("etcd");
    let state = scene.world.state();
    let at = |method: &str| {
        let calls = state.calls.iter().enumerate();
        let found = calls.filter(|(_, call)| call.ends_with(method));
        found.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let (injected, watched) = (at("InjectPods"), at("WatchPods"));
    assert_eq!(injected.len(), 3);
    assert!(injected[1] < watched[2], "{:?}", state.calls);
}

#[tokio::test]
async fn a_bundle_that_does_not_get_ready_is_named_with_its_node() {
    let scene = Scene::new(&["a", "b"]);
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("b").expect("a node");
        node.pods_get_ready = false;
    }
    let installer = scene.installer().timeout(std::time::Duration::from_secs(2));
    let error = installer.etcd().await.expect_err("b is not ready");
    let UpError::NotReady { node, bundle, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((node.as_str(), bundle.as_str()), ("b", "etcd"));
    let waited = scene.told().into_iter().any(|progress| {
        progress.kind == ProgressKind::Waiting
            && progress.node.as_deref() == Some("b")
            && progress.message.contains("its probe fails")
            && progress.since.is_some()
    });
    assert!(waited, "{:?}", scene.told());
}

#[tokio::test]
async fn what_is_written_goes_through_a_node_that_can() {
    let scene = Scene::new(&["a", "b"]);
    let installer = scene.installer();
    for phase in [Phase::Etcd, Phase::ControlPlane, Phase::Api] {
        installer.run(phase).await.expect("a phase");
    }
    let refusal = crate::fake::refusal(
        tonic::Code::Unavailable,
        "API_SERVER_UNAVAILABLE",
        "the API server does not answer",
    );
    {
        let mut state = scene.world.state();
        let node = state.nodes.get_mut("a").expect("a node");
        node.refuses.insert("ApplyObjects", refusal);
        state.calls.clear();
    }
    installer.kubelet().await.expect("b applies");
    let applied = scene.calls("ApplyObjects");
    assert_eq!(applied, ["a ApplyObjects", "b ApplyObjects"]);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_node_and_is_not_waited_out() {
    let scene = Scene::new(&["a"]);
    let refusal = crate::fake::refusal(
        tonic::Code::InvalidArgument,
        "INVALID_MANIFEST",
        "the manifests are not valid",
    );
    let refuses = [("InjectPods", refusal)].into();
    scene
        .world
        .state()
        .nodes
        .get_mut("a")
        .expect("a node")
        .refuses = refuses;
    let error = scene.installer().etcd().await.expect_err("refused");
    let UpError::Node { node, source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(node, "a");
    assert_eq!(source.reason(), Some("INVALID_MANIFEST"));
    assert_eq!(scene.calls("InjectPods").len(), 1);
}

#[tokio::test]
async fn taints_are_set_beside_those_of_others() {
    let taint = "nodes:\n- {name: x, address: 192.0.2.9";
    let scene = Scene::new(&["a"]);
    let text = std::fs::read_to_string(scene.file()).expect("read");
    let text = text.replace(
        "labels: {zone: a}",
        "labels: {}, taints: ['dedicated=cp:NoSchedule']",
    );
    assert!(!text.contains(taint));
    std::fs::write(scene.file(), text).expect("written");
    let installer = scene.installer();
    for phase in [Phase::Etcd, Phase::ControlPlane, Phase::Api, Phase::Kubelet] {
        installer.run(phase).await.expect("a phase");
    }
    let other =
        serde_json::json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
    {
        let mut state = scene.world.state();
        let node = state.registered.get_mut("a").expect("registered");
        node["spec"]["taints"] = serde_json::json!([other]);
    }
    installer.nodes().await.expect("nodes");
    let state = scene.world.state();
    let taints = state.registered["a"]["spec"]["taints"].as_array();
    let taints = taints.expect("taints");
    assert_eq!(taints.len(), 2, "{taints:?}");
    assert!(taints.contains(&other));
    assert_eq!(taints[1]["key"], "dedicated");
}

#[tokio::test]
async fn two_runs_do_not_work_with_the_same_folder() {
    let scene = Scene::new(&["a"]);
    let (first, second) = (scene.installer(), scene.installer());
    let lock = first.lock().expect("nobody else works");
    assert!(matches!(second.lock(), Err(UpError::Locked(_))));
    drop(lock);
    second.lock().expect("nobody works any more");
}
