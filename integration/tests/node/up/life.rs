//! The life of a cluster of one machine: from nothing, working, taken down and brought up with what it knew, and back to
//! nothing.

use seedpod_integration::{Node, NodeOptions};
use serde_json::{Value, json};

use crate::conformant;

use super::{Site, outcome, wait_web, web};

fn uids(site: &Site<'_>) -> Vec<String> {
    let pods = site.get(&["pods", "-A"]);
    let items = pods["items"].as_array().unwrap().iter();
    let mut uids: Vec<String> = items
        .map(|pod| pod["metadata"]["uid"].to_string())
        .collect();
    uids.sort();
    uids
}

/// Only etcd is still Seedpod's.
fn assert_handed_over(site: &Site<'_>, up: &Value) {
    assert_eq!(up["type"], "result", "{up}");
    let handed = &outcome(up, "handoff")[0];
    assert_eq!(handed["handoff"]["state"], "Committed", "{handed}");
    assert_eq!(handed["before"], false, "{handed}");
    let verified = outcome(up, "verify");
    assert_eq!(verified["nodes"][0]["pods"].as_array().unwrap().len(), 3);
    assert_eq!(site.files(0), ["seedpod_kube-system_etcd.json"]);
    site.assert_ready();
}

#[test]
fn one_command_makes_a_bare_node_a_cluster_that_serves_and_another_takes_it_back() {
    let node = Node::start(&NodeOptions::machine()).unwrap();
    let site = Site::new(&[&node]);
    let up = site.seedpod(&["up"]);
    assert_handed_over(&site, &up);

    // The cluster works: what it schedules serves, and is replaced when it is deleted.
    web(&site, 1);
    let first = wait_web(&site, 1, &[]);
    site.kubectl(&["delete", "pod", "--wait=false", &first[0]]);
    let second = wait_web(&site, 1, &first);
    site.kubectl(&["wait", "--for=delete", "--timeout=120s", "pod", &first[0]]);

    // It is as one of kubeadm's.
    let address = node.address().to_string();
    conformant::check(&site.folder, &address, &|arguments| site.kubectl(arguments));

    // A second time there is nothing to do, and nothing is done.
    let before = uids(&site);
    site.assert_nothing_to_do(outcome(&up, "handoff"));
    assert_eq!(before, uids(&site));

    // Without its control plane, and again with it: what it knew it knows.
    let note = ["create", "configmap", "note", "--from-literal=word=kept"];
    site.kubectl(&note);
    let down = site.seedpod(&["down", "--yes", "--keep-etcd"]);
    let reset = &down["nodes"][0];
    assert_eq!(reset["bundles"], json!(["control-plane"]), "{reset}");
    assert_eq!(reset["kubeletRestarted"], true, "{reset}");
    site.assert_down(true);
    let up = site.seedpod(&["up"]);
    assert_handed_over(&site, &up);
    let etcd = outcome(&up, "etcd");
    assert_eq!(etcd[0]["changed"], false, "{etcd}");
    let note = site.get(&["configmap", "note"]);
    assert_eq!(note["data"]["word"], "kept");
    assert_eq!(wait_web(&site, 1, &[]).len(), second.len());

    let down = site.seedpod(&["down", "--yes"]);
    let reset = &down["nodes"][0];
    assert_eq!(
        reset["bundles"],
        json!(["control-plane", "etcd"]),
        "{reset}"
    );
    assert_eq!(reset["kubeletRestarted"], true, "{reset}");
    site.assert_down(false);
    let nothing = site.seedpod(&["down", "--yes"]);
    assert_eq!(nothing["nodes"][0]["bundles"], json!([]), "{nothing}");
}
