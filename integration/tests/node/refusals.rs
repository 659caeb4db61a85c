//! Bad manifests: each is refused with its reason at its field, and nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use seedpod_client::{Code, InjectPods};
use serde::Deserialize;
use serde_json::json;

use crate::scene::{Scene, run};

/// The table that the checks' own tests use too.
const TABLE: &str = include_str!("../../../manifest/testdata/bad-manifests.yaml");
/// The node's name in the table. Some of the manifests are wrong because of it.
const NODE: &str = "node-1";

#[derive(Deserialize)]
struct Case {
    name: String,
    manifest: String,
    reason: String,
    field: String,
}

/// All files below a folder, with their content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn each_bad_manifest_is_refused_with_its_reason_at_its_field_and_changes_nothing() {
    // A directory of its own, in which whatever changes is this daemon's doing.
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    let config = json!({
        "nodeName": NODE,
        "staticPodPath": manifests,
        "containerRuntimeEndpoint": null,
    });
    let scene = Scene::configured("refusals", config);
    // What is there already must stay, also when the bad request is one to change it.
    let bundle = scene
        .inject("bundle", &[scene.pod("good", "good")])
        .unwrap();
    let file = manifests.join(&bundle.bundle.pods[0].file);
    seedpod_integration::wait_until(crate::rig::LIMIT, "the good pod's file is there", || {
        file.exists()
    })
    .unwrap();
    // The last that there is to be told of it.
    seedpod_integration::wait_until(crate::rig::LIMIT, "the event is on disk", || {
        content(&scene.daemon.state_directory())
            .values()
            .any(|bytes| String::from_utf8_lossy(bytes).contains("POD_PROJECTED"))
    })
    .unwrap();
    let everything = || {
        (
            content(&manifests),
            content(&scene.daemon.state_directory()),
        )
    };
    let before = everything();

    let cases: Vec<Case> = serde_saphyr::from_str(TABLE).unwrap();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        for validate_only in [false, true] {
            let request = InjectPods::new(scene.name("bundle"))
                .manifest(&case.manifest)
                .validate_only(validate_only);
            let error = match run(scene.client.inject(&request)) {
                Ok(answer) => {
                    failures.push(format!("{}: accepted as {answer:?}", case.name));
                    continue;
                }
                Err(error) => error,
            };
            let violations = error.field_violations();
            let as_expected = error.code() == Some(Code::InvalidArgument)
                && error.reason() == Some("INVALID_MANIFEST")
                && violations.len() == 1
                && violations[0].field == case.field
                && violations[0].reason.as_deref() == Some(&case.reason);
            if !as_expected {
                failures.push(format!("{}: {error:#?}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(everything(), before);
    assert_eq!(scene.bundle("bundle").unwrap(), bundle.bundle);
}
