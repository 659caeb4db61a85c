//! A kubelet that has not heard from its API server, where a replaced pod keeps its uid.

use seedpod_integration::{Node, NodeOptions};

use super::parts::{printing, secret};
use crate::scene::Scene;

/// The kubelet goes on using what it has mounted under a uid and a volume's name, whatever path the pod has now.
#[test]
fn a_pod_that_keeps_its_uid_reads_what_it_was_replaced_for() {
    let node = Node::start(&NodeOptions::unsynced()).expect("start the node");
    let scene = Scene::on(&node, "unsynced-secrets");
    for value in ["one", "two", "three"] {
        let documents = [
            secret("value", &[("value", value)]),
            printing(&scene, "web", "value"),
        ];
        let injected = scene.inject("bundle", &documents).expect("inject");
        scene.wait_running(&injected.bundle);
        scene.wait_for_line("web", value);
    }
    scene.remove_and_wait("bundle");
}
