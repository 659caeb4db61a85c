//! Two machines of the control plane, whose kubelets ask the cluster for their certificates, and an etcd on neither of
//! them: level 2-4.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use seedpod_client::{Code, Handoff, HandoffState};
use seedpod_integration::{KubeletAccess, Node, NodeOptions, wait_for, wait_until};
use serde_json::{Value, json};

use super::{PATIENCE, Site, last_line, outcome, wait_web, web};
use crate::scene::run;

/// Somebody's own Deployment of the name that the self-hosted scheduler is to have. Its selector cannot be changed.
const IN_THE_WAY: &str = r#"{
  "apiVersion": "apps/v1",
  "kind": "Deployment",
  "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
  "spec": {
    "replicas": 0,
    "selector": {"matchLabels": {"app": "somebodys"}},
    "template": {
      "metadata": {"labels": {"app": "somebodys"}},
      "spec": {"containers": [{"name": "main", "image": "rig.local/pause:1"}]}
    }
  }
}"#;

/// So short that the kubelets renew them again and again. The controller manager dates them back by five minutes; of that
/// and this, 70 to 90 % have to pass: at most 51 s.
const SIGNED_FOR: &str = "90s";

fn assert_serves_as(site: &Site<'_>, node: &Node, form: &str) {
    let file = format!("pki/{form}/{}.crt", node.name());
    let rendered = CertificateDer::from_pem_file(site.rendered().join(file)).unwrap();
    let api = site.api(node);
    let mut seen = Vec::new();
    wait_until(
        PATIENCE,
        "the API server serves by its own identity",
        || {
            seen = api.certificate().unwrap_or_default();
            seen == rendered.as_ref()
        },
    )
    .unwrap_or_else(|error| panic!("{error}: {} as {form}", node.name()));
    assert_eq!(api.get("/readyz").unwrap().status, 200);
}

fn is_labelled(site: &Site<'_>, node: &Node) -> bool {
    let object = site.get(&["node", &node.name()]);
    object["metadata"]["labels"]["seedpod.dev/self-hosted"] == "control-plane"
}

/// A failure on the first machine leaves the second one alone, and says so.
fn assert_stops_at_the_first_failure(site: &mut Site<'_>) {
    let [first, second] = [site.nodes[0], site.nodes[1]];
    let addons = site.folder.join("addons");
    fs::create_dir_all(&addons).unwrap();
    let in_the_way = addons.join("10-scheduler.json");
    fs::write(&in_the_way, IN_THE_WAY).unwrap();
    site.configuration["addons"] = "addons".into();
    site.write();

    let output = site.run(&["up"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let told = last_line(&stdout);
    assert!(!output.status.success(), "{told}");
    assert_eq!(told["type"], "error", "{told}");
    let message = told["message"].as_str().unwrap();
    for words in [
        &format!("node {} could not hand over", first.name()),
        "has handed back by itself",
        "in Applying",
        "[OBJECT_REFUSED]",
        &format!("handed over: none; untouched: {}", second.name()),
    ] {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
    println!("{message}");

    let handoff = run(site.client(0).get_handoff()).unwrap();
    assert_eq!(handoff.state, HandoffState::Reverted, "{handoff:?}");
    let none = run(site.client(1).get_handoff()).unwrap_err();
    assert_eq!(none.code(), Some(Code::NotFound), "{none}");
    for (index, node) in [first, second].into_iter().enumerate() {
        assert_eq!(site.files(index).len(), 3, "{:?}", site.files(index));
        assert_serves_as(site, node, "apiserver");
        assert!(!is_labelled(site, node), "{}", node.name());
    }
    let daemon_set = ["get", "daemonset", "-n", "kube-system", "kube-apiserver"];
    assert!(!site.try_kubectl(&daemon_set).status.success());
    // What was there before is not ours to delete.
    site.kubectl(&[
        "delete",
        "deployment",
        "-n",
        "kube-system",
        "kube-scheduler",
    ]);
    fs::remove_file(in_the_way).unwrap();
}

fn assert_one_after_another(handoffs: &[Handoff; 2]) {
    for handoff in handoffs {
        assert_eq!(handoff.state, HandoffState::Committed, "{handoff:?}");
        assert_eq!(handoff.withheld.len(), 3, "{handoff:?}");
    }
    let committed = handoffs[0].steps.last().unwrap().start_time.unwrap();
    let begun = handoffs[1].steps[0].start_time.unwrap();
    assert!(committed <= begun, "{handoffs:?}");
}

fn requests(site: &Site<'_>) -> Vec<Value> {
    let list = site.get(&["certificatesigningrequests"]);
    list["items"].as_array().unwrap().clone()
}

fn name(request: &Value) -> String {
    let name = request["metadata"]["name"].as_str();
    name.unwrap().to_owned()
}

/// What the request's answer is, once it is signed.
fn signed(request: &Value) -> Option<String> {
    let conditions = request["status"]["conditions"].as_array()?;
    let approved = conditions.iter().any(|it| it["type"] == "Approved");
    let bytes = STANDARD.decode(request["status"]["certificate"].as_str()?);
    String::from_utf8(bytes.ok()?).ok().filter(|_| approved)
}

/// Each kubelet has come in with the token, and now has a certificate that the self-hosted controller manager signed.
fn assert_certificates_are_renewed(site: &Site<'_>) {
    let before = requests(site);
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    for node in &site.nodes {
        let user = format!("system:node:{}", node.name());
        let current = node.kubelet_root().join("pki/kubelet-client-current.pem");
        let mut last = Vec::new();
        wait_for(PATIENCE, "the kubelet has another certificate", || {
            last = requests(site);
            let mut new = last.iter().filter(|request| {
                let known = before.iter().any(|it| name(it) == name(request));
                request["spec"]["username"] == user.as_str() && !known
            });
            let held = fs::read_to_string(&current).ok()?;
            new.find(|request| {
                assert_eq!(request["spec"]["signerName"], signer);
                signed(request).is_some_and(|signed| held.contains(signed.trim()))
            })
            .map(name)
        })
        .unwrap_or_else(|error| panic!("{error}: {last:?}"));

        // And with it, the node goes on.
        let path = ["lease", "-n", "kube-node-lease", &node.name()];
        let renewed = || site.get(&path)["spec"]["renewTime"].clone();
        let then = renewed();
        wait_until(PATIENCE, "the node renews its lease", || renewed() != then).unwrap();
    }
    let with_token = before.iter().filter(|it| {
        let user = it["spec"]["username"].as_str().unwrap_or_default();
        user.starts_with("system:bootstrap:") && signed(it).is_some()
    });
    assert_eq!(with_token.count(), site.nodes.len(), "{before:?}");
    site.assert_ready();
}

#[test]
fn two_nodes_of_the_control_plane_hand_over_one_after_another() {
    let nodes = [0, 1].map(|_| {
        let options = NodeOptions {
            kubelet_access: KubeletAccess::Cluster,
            ..NodeOptions::machine()
        };
        Node::start(&options).unwrap()
    });
    let etcd = nodes[0].start_external_etcd().unwrap();
    let mut site = Site::new(&nodes.each_ref());
    site.configuration["level"] = "2-4".into();
    site.configuration["etcd"] = json!({"external": {
        "endpoints": [etcd.endpoint],
        "caFile": etcd.ca,
        "certFile": etcd.client.certificate,
        "keyFile": etcd.client.key,
    }});
    site.configuration["kubelet"] = json!({"admission": "bootstrapToken"});
    site.configuration["controllerManager"] =
        json!({"extraArgs": {"cluster-signing-duration": SIGNED_FOR}});
    site.write();

    assert_stops_at_the_first_failure(&mut site);
    let up = site.seedpod(&["up"]);
    assert_eq!(outcome(&up, "etcd"), &json!([]));
    let handoffs = [0, 1].map(|index| run(site.client(index).get_handoff()).unwrap());
    assert_one_after_another(&handoffs);
    for (index, node) in site.nodes.iter().enumerate() {
        assert_serves_as(&site, node, "apiserver-self-hosted");
        assert!(site.files(index).is_empty(), "{:?}", site.files(index));
        assert!(is_labelled(&site, node));
        let verified = &outcome(&up, "verify")["nodes"][index];
        assert_eq!(verified["pods"].as_array().unwrap().len(), 3, "{verified}");
    }
    site.assert_ready();

    // A pod on each of them serves, and the API server gets at each kubelet.
    web(&site, 2);
    for pod in wait_web(&site, 2, &[]) {
        site.kubectl(&["logs", &pod]);
    }
    assert_certificates_are_renewed(&site);
    site.assert_nothing_to_do(outcome(&up, "handoff"));

    site.seedpod(&["down", "--yes"]);
    site.assert_down(false);
    for node in &site.nodes {
        let current = node.kubelet_root().join("pki/kubelet-client-current.pem");
        assert!(!current.exists());
    }
}
