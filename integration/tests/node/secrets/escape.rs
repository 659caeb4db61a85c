//! Names that lead elsewhere: what they lead to stays as it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use seedpod_client::Code;
use seedpod_integration::wait_until;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::parts::{mounting, names, printing, secret, tree};
use crate::pods::{self, STAY};
use crate::rig::LIMIT;
use crate::scene::Scene;

/// A daemon whose directory of volumes has neighbours.
struct Place {
    scene: Scene<'static>,
    volumes: PathBuf,
    /// Nothing in it may change.
    neighbour: PathBuf,
    folder: TempDir,
}

impl Place {
    fn new(theme: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("seedpod-escape-")
            .tempdir()
            .expect("make a folder");
        let volumes = folder.path().join("volumes");
        let neighbour = folder.path().join("neighbour");
        for name in ["s", "x", "deep/er"] {
            fs::create_dir_all(neighbour.join(name)).expect("make a folder");
        }
        fs::write(neighbour.join("s/value"), "of somebody else").expect("write a file");
        fs::write(neighbour.join("value"), "of somebody else").expect("write a file");
        let config = json!({"volumesDirectory": volumes});
        Self {
            scene: Scene::configured(theme, config),
            volumes,
            neighbour,
            folder,
        }
    }

    /// All that is outside of the directory of volumes.
    fn outside(&self) -> (Vec<String>, Vec<String>) {
        let mut names = names(self.folder.path());
        names.retain(|name| name != "volumes");
        (names, tree(&self.neighbour))
    }
}

/// Paths that name nothing below a volume.
fn hostile_paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "..",
        "../x",
        "../../../../neighbour/x",
        "a/../../x",
        "a/..",
        "/abs",
        "/",
        "",
        "..data",
        "..2026/x",
        "..x",
        "a\0b",
        "a/b/../../../x",
        "./../x",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push("n".repeat(5000));
    paths.push(format!("{}x", "d/".repeat(3000)));
    paths.push(format!("{}x", "../".repeat(100)));
    paths
}

/// Paths of a strange look that name something below a volume, or nothing.
fn odd_paths() -> Vec<String> {
    [
        "a//b", "./a", "a/./b", "a/", ".", "a\\b", "a b", "ä", "\n", "-rf", "*", "$(X)", "a/..b",
        "...", ".a",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The Secret, and the pod with an item at a path.
fn with_path(scene: &Scene<'_>, path: &str) -> Vec<Value> {
    let mut pod = mounting(pods::script(&scene.name("web"), STAY), "value");
    pod["spec"]["volumes"][0]["secret"]["items"] = json!([{"key": "value", "path": path}]);
    vec![secret("value", &[("value", "escaped")]), pod]
}

#[test]
fn no_manifest_leads_out_of_the_directory() {
    let place = Place::new("escape");
    let scene = &place.scene;
    let before = place.outside();
    let mut hostile: Vec<(String, Vec<Value>)> = Vec::new();
    for path in hostile_paths() {
        let what = format!("path {path:.40?}");
        let mut projected = with_path(scene, "x");
        projected[1]["spec"]["volumes"][0] = json!({"name": "s", "projected": {"sources": [
            {"secret": {"name": "value", "items": [{"key": "value", "path": path}]}},
        ]}});
        let mut downward = with_path(scene, "x");
        downward[1]["spec"]["volumes"][0] = json!({"name": "s", "projected": {"sources": [
            {"secret": {"name": "value"}},
            {"downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]}});
        hostile.push((what.clone(), with_path(scene, &path)));
        hostile.push((format!("projected {what}"), projected));
        hostile.push((format!("downward {what}"), downward));
    }
    let long = "k".repeat(254);
    for key in [
        "..", ".", "../x", "/abs", "a/b", "..x", "", "a\0b", "ä", "a b", &long,
    ] {
        for kind in ["Secret", "ConfigMap"] {
            let mut documents = with_path(scene, "x");
            documents[0]["kind"] = json!(kind);
            documents[0]["data"] = json!({key: "eA=="});
            documents[1]["spec"]["volumes"][0] = match kind {
                "Secret" => json!({"name": "s", "secret": {"secretName": "value"}}),
                _ => json!({"name": "s", "configMap": {"name": "value"}}),
            };
            hostile.push((format!("key {key:.40?} of a {kind}"), documents));
        }
    }
    for name in [
        "..",
        "../neighbour",
        "a/b",
        "/abs",
        "",
        "A",
        "a\0b",
        &"v".repeat(64),
    ] {
        let mut documents = with_path(scene, "x");
        documents[1]["spec"]["volumes"][0]["name"] = json!(name);
        documents[1]["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!(name);
        hostile.push((format!("volume {name:.40?}"), documents));
    }
    for name in ["..", "../neighbour", "a/b", "", "a\0b"] {
        let mut documents = with_path(scene, "x");
        documents[0]["metadata"]["name"] = json!(name);
        documents[1]["spec"]["volumes"][0]["secret"]["secretName"] = json!(name);
        hostile.push((format!("object {name:?}"), documents));
    }
    for mode in [json!(0o4755), json!(0o1000), json!(-1), json!(1_u64 << 40)] {
        let mut documents = with_path(scene, "x");
        documents[1]["spec"]["volumes"][0]["secret"]["defaultMode"] = mode.clone();
        hostile.push((format!("mode {mode}"), documents));
    }
    let mut clash = with_path(scene, "a");
    clash[1]["spec"]["volumes"][0]["secret"]["items"] =
        json!([{"key": "value", "path": "a"}, {"key": "value", "path": "a/b"}]);
    hostile.push(("a file that is a folder, too".to_owned(), clash));
    let mut sub_path = with_path(scene, "x");
    sub_path[1]["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = json!("../../neighbour");
    hostile.push(("subPath".to_owned(), sub_path));

    for (what, documents) in &hostile {
        let error = scene.inject("bundle", documents).map(|it| it.bundle);
        let error = error.expect_err(what);
        assert_eq!(error.code(), Some(Code::InvalidArgument), "{what}: {error}");
        assert!(!error.to_string().contains("escaped"), "{what}: {error}");
        assert_eq!(place.outside(), before, "{what}");
        assert_eq!(names(&place.volumes), [""; 0], "{what}");
    }
    println!("{} manifests were refused", hostile.len());
}

#[test]
fn odd_paths_are_refused_or_stay_below_their_volume() {
    let place = Place::new("odd");
    let scene = &place.scene;
    let before = place.outside();
    let mut refused = Vec::new();
    for path in odd_paths() {
        match scene.inject("bundle", &with_path(scene, &path)) {
            Err(error) => {
                assert_eq!(
                    error.code(),
                    Some(Code::InvalidArgument),
                    "{path:?}: {error}"
                );
                refused.push(path.clone());
            }
            Ok(injected) => {
                let folder = folder_of(&place, &injected.bundle.pods[0].uid);
                wait_until(LIMIT, "the volume is there", || folder.exists()).unwrap();
                let tree = tree(&folder);
                let links = tree.iter().filter(|line| line.contains(" 120"));
                assert_eq!(links.count(), 0, "{tree:#?}");
                let files = tree.iter().filter(|line| line.ends_with("\"escaped\""));
                assert_eq!(files.count(), 1, "{tree:#?}");
            }
        }
        assert_eq!(place.outside(), before, "{path:?}");
    }
    println!("refused: {refused:?}");
}

fn folder_of(place: &Place, uid: &str) -> PathBuf {
    place.volumes.join(uid).join("s")
}

#[test]
fn links_that_wait_in_the_directory_are_not_followed() {
    let place = Place::new("links");
    let scene = &place.scene;
    let before = place.outside();
    let documents = [
        secret("value", &[("value", "in its own place")]),
        printing(scene, "web", "value"),
    ];
    let (injected, _) = scene.inject_and_wait("bundle", &documents);
    let of_pod = place.volumes.join(&injected.bundle.pods[0].uid);

    // As if somebody had prepared the place: instead of the pod's folder.
    scene.daemon.stop().unwrap();
    fs::rename(&of_pod, place.volumes.join("aside")).unwrap();
    symlink(&place.neighbour, &of_pod).unwrap();
    scene.daemon.start_again().unwrap();
    wait_until(LIMIT, "the link is a folder again", || {
        fs::symlink_metadata(&of_pod).is_ok_and(|it| it.is_dir())
            && fs::read_to_string(of_pod.join("s/value")).is_ok_and(|it| it == "in its own place")
    })
    .unwrap();
    assert_eq!(place.outside(), before);

    // Instead of a volume in it, beside a stray link: removal takes the links, and not what they lead to.
    fs::rename(of_pod.join("s"), of_pod.join("old")).unwrap();
    symlink(place.neighbour.join("s"), of_pod.join("s")).unwrap();
    symlink(&place.neighbour, place.volumes.join("stray")).unwrap();
    scene.daemon.kill9().unwrap();
    scene.daemon.start_again().unwrap();
    scene.remove_and_wait("bundle");
    wait_until(LIMIT, "the pod's folder is gone", || {
        fs::symlink_metadata(&of_pod).is_err()
    })
    .unwrap();
    assert_eq!(place.outside(), before);
}
