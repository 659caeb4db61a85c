//! The same pods, with the same objects, from a kube-apiserver and from Seedpod, listed by themselves and held against
//! each other line by line.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use seedpod_client::BundlePod;
use seedpod_integration::wait_for;
use serde_json::{Value, json};

use super::api::{Api, node};
use super::every;
use super::listing::{END, Listing};
use crate::programs::{grpcurl, seedpod};
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

const CONTAINERS: [&str; 2] = ["init", "main"];

/// The users that the pods run as.
fn variants() -> [(&'static str, Value); 4] {
    let user = json!({"runAsUser": 1000, "runAsGroup": 3000, "runAsNonRoot": true});
    let mut user_with_group = user.clone();
    user_with_group["fsGroup"] = json!(2000);
    [
        ("root", json!(null)),
        ("root-fsgroup", json!({"fsGroup": 2000})),
        ("user", user),
        ("user-fsgroup", user_with_group),
    ]
}

/// What the containers find of each pod that the kube-apiserver has.
fn of_api_server() -> &'static BTreeMap<(&'static str, &'static str), Listing> {
    static LISTINGS: OnceLock<BTreeMap<(&str, &str), Listing>> = OnceLock::new();
    LISTINGS.get_or_init(|| {
        let api = Api::of(node());
        for object in every::objects() {
            api.create(&object);
        }
        for (name, security) in variants() {
            api.run(&every::pod(name, &security));
        }
        let mut listings = BTreeMap::new();
        for (name, _) in variants() {
            for container in CONTAINERS {
                let log = api.log(name, container, END);
                listings.insert((name, container), Listing::parse(&log));
            }
            api.delete(name);
        }
        listings
    })
}

/// All that differs, and is described in docs/secrets.md: what a pod of Seedpod's must find where the kube-apiserver's
/// pod found this.
fn documented(mut listing: Listing, pod: &BundlePod, node: &str) -> Listing {
    // The kubelet changes a volume's files at one stroke by its links; nothing is changed under a pod here.
    for mount in listing.mounts.values_mut() {
        let flags = mount.split_once(' ').expect("links and flags").1;
        *mount = format!("0 {flags}");
    }
    // A volume's own folder is open to all, though mounted read-only. So is a folder that the kubelet itself makes in it,
    // for a `subPath` that is not there.
    let folders = listing
        .roots
        .values_mut()
        .chain(listing.entries.values_mut())
        .filter(|it| it.is_folder() && it.mode & 0o777 == 0o777);
    for folder in folders {
        folder.mode = folder.mode & 0o2000 | 0o755;
    }
    // A static pod has the node's name behind its own, and the uid that it was given.
    let name = format!("{}-{node}", pod.name);
    for (file, content) in [("name", &name), ("uid", &pod.uid)] {
        let file = listing.entries.get_mut(&format!("/v/together/pod/{file}"));
        file.expect("the pod was told who it is").has(content);
    }
    listing
}

fn listing(scene: &Scene<'_>, pod: &str, container: &str) -> Listing {
    let pod = scene.name(pod);
    let what = format!("container {container} of {pod} has listed all");
    let mut seen = None;
    let log = wait_for(LIMIT, &what, || {
        seen = scene.node.container_log("default", &pod, container);
        seen.clone().filter(|log| log.trim_end().ends_with(END))
    });
    Listing::parse(&log.unwrap_or_else(|error| panic!("{error}: {seen:?}")))
}

/// Holds a pod of the scene against the kube-apiserver's one.
fn is_as_the_api_servers(scene: &Scene<'_>, pod: &str, variant: &str) {
    let bundle = scene.bundle("bundle").expect("the bundle");
    let name = scene.name(pod);
    let of_bundle = bundle.pods.iter().find(|it| it.name == name);
    let of_bundle = of_bundle.expect("the pod is in the bundle");
    for ((of, container), theirs) in of_api_server() {
        if *of != variant {
            continue;
        }
        let wanted = documented(theirs.clone(), of_bundle, &scene.node.name());
        // A listing that lists nothing would be equal, too.
        assert!(wanted.entries.len() > 50 && wanted.variables.len() > 50);
        assert!(theirs.mounts.values().any(|it| it != "0 ro"));
        let found = listing(scene, pod, container);
        let differences = wanted.differences(&found);
        assert!(
            differences.is_empty(),
            "{variant}, container {container}, - API server, + Seedpod:\n{}",
            differences.join("\n")
        );
    }
}

/// What is injected: the objects, and the variants as pods of the scene.
fn documents(scene: &Scene<'_>, variants: &[(&'static str, Value)]) -> Vec<Value> {
    let pods = variants
        .iter()
        .map(|(name, security)| every::pod(&scene.name(name), security));
    every::objects().into_iter().chain(pods).collect()
}

#[test]
fn through_the_sdk_each_user_finds_what_the_api_servers_pods_find() {
    of_api_server();
    let scene = Scene::on(node(), "sdk");
    let documents = documents(&scene, &variants());
    let refused = scene.inject("bundle", &documents).unwrap_err();
    assert_eq!(refused.reason(), Some("INVALID_MANIFEST"), "{refused}");
    let request = scene.request("bundle", &documents).allow_secret_env(true);
    let injected = run(scene.client.inject(&request)).expect("inject");
    for (name, _) in variants() {
        is_as_the_api_servers(&scene, name, name);
    }
    scene.wait_running(&injected.bundle);
    scene.remove_and_wait("bundle");
}

#[test]
fn through_grpcurl_a_pod_finds_what_the_api_servers_pod_finds() {
    of_api_server();
    let scene = Scene::on(node(), "grpcurl-secrets");
    let documents = documents(&scene, &variants()[3..]);
    let yaml: Vec<String> = documents
        .iter()
        .map(|document| serde_saphyr::to_string(document).expect("YAML"))
        .collect();
    let request = json!({
        "bundle": scene.name("bundle"),
        "manifests": [yaml.join("---\n")],
        "allow_secret_env": true,
    });
    let socket = scene.daemon.socket().display().to_string();
    let method = "seedpod.v1.PodInjectionService/InjectPods";
    let args = ["-plaintext", "-unix", "-d", "@", &socket, method];
    let answer = grpcurl(&args, &request.to_string()).success();
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let changes = answer["objectChanges"].as_array().expect("a list");
    assert_eq!(changes.len(), every::objects().len(), "{answer}");
    is_as_the_api_servers(&scene, "user-fsgroup", "user-fsgroup");
    scene.remove_and_wait("bundle");
}

#[test]
fn through_the_tools_folder_a_pod_finds_what_the_api_servers_pod_finds() {
    of_api_server();
    let scene = Scene::on(node(), "folder");
    let folder = scene.node.layout().scratch().join(scene.name("folder"));
    fs::create_dir_all(&folder).expect("make a folder");
    let pod = every::pod(&scene.name("root"), &json!(null));
    every::write_folder(&folder, &scene.name("bundle"), &pod);
    let endpoint = format!("unix://{}", scene.daemon.socket().display());
    let folder = folder.to_str().expect("text");
    let args = [
        "inject",
        folder,
        "--allow-secret-env",
        "--endpoint",
        &endpoint,
    ];
    seedpod(&args).success();
    is_as_the_api_servers(&scene, "root", "root");
    scene.remove_and_wait("bundle");
}
