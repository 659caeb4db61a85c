//! The same pods, with the same objects, from a kube-apiserver and from Seedpod.

use serde_json::{Value, json};

use super::api::{Api, node};
use super::every;
use super::listing::{END, Listing};

/// The users that the pods run as.
fn variants() -> [(&'static str, Value); 4] {
    [
        ("root", json!(null)),
        ("root-fsgroup", json!({"fsGroup": 2000})),
        ("user", json!({"runAsUser": 1000, "runAsGroup": 3000})),
        (
            "user-fsgroup",
            json!({"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "runAsNonRoot": true}),
        ),
    ]
}

#[test]
fn a_pod_finds_what_the_api_servers_pod_finds() {
    let node = node();
    let api = Api::of(node);
    for object in every::objects() {
        api.create(&object);
    }
    for (name, security) in variants() {
        api.run(&every::pod(name, &security));
    }
    for (name, _) in variants() {
        for container in ["init", "main"] {
            let log = api.log(name, container, END);
            std::fs::write(format!("/tmp/nt-{name}-{container}.log"), &log).unwrap();
            Listing::parse(&log);
        }
        api.delete(name);
    }
}
