//! What the API server shows of a pod that has Secrets.

use seedpod_integration::wait_for;
use serde_json::json;

use super::api::{Api, node};
use super::parts::{mounting, request, secret};
use crate::pods::{self, STAY};
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

#[test]
fn a_mirror_pod_shows_folders_and_no_value_but_of_a_variable_that_was_allowed() {
    let scene = Scene::on(node(), "mirror");
    let api = Api::of(node());
    let (file, variable) = ("value-of-a-file-c97f", "value-of-a-variable-5be1");
    let objects = [
        secret("mirrored-files", &[("value", file)]),
        secret("mirrored-variables", &[("value", variable)]),
    ];
    let mut plain = mounting(pods::script(&scene.name("plain"), STAY), "mirrored-files");
    plain["spec"]["volumes"][0]["secret"]["defaultMode"] = json!(0o400);
    let mut with_variable = plain.clone();
    with_variable["metadata"]["name"] = json!(scene.name("variable"));
    with_variable["spec"]["containers"][0]["env"] = json!([
        {"name": "VALUE", "valueFrom": {"secretKeyRef": {"name": "mirrored-variables", "key": "value"}}},
    ]);
    let [files, variables] = objects;
    let documents = [files, variables, plain, with_variable];
    let refused = scene.inject("bundle", &documents).unwrap_err();
    let fields: Vec<&str> = refused
        .field_violations()
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields.len(), 1, "{refused}");
    assert!(
        fields[0].ends_with("spec.containers[0].env[0].valueFrom.secretKeyRef"),
        "{fields:?}"
    );
    assert!(refused.to_string().contains("mirror"), "{refused}");

    let allowed = request(&scene, &documents).allow_secret_env(true);
    let injected = run(scene.client.inject(&allowed)).unwrap();
    let mirror = |pod: &str| {
        let path = format!(
            "/api/v1/namespaces/default/pods/{}-{}",
            scene.name(pod),
            node().name()
        );
        wait_for(LIMIT, "the pod has a mirror", || api.get(&path)).unwrap()
    };
    for pod in ["plain", "variable"] {
        let shown = mirror(pod);
        let found = injected
            .bundle
            .pods
            .iter()
            .find(|it| it.name == scene.name(pod));
        let folder = scene.daemon.volumes_directory().join(&found.unwrap().uid);
        let volume =
            json!([{"name": "s", "hostPath": {"path": folder.join("s"), "type": "Directory"}}]);
        assert_eq!(shown["spec"]["volumes"], volume, "{shown}");
        assert_eq!(
            shown["spec"]["containers"][0]["volumeMounts"][0]["readOnly"],
            true
        );
        let text = shown.to_string();
        assert!(!text.contains(file), "{text}");
        // As the documentation says.
        assert_eq!(text.contains(variable), pod == "variable", "{text}");
    }
    let shown = mirror("variable");
    let env = &shown["spec"]["containers"][0]["env"];
    assert_eq!(env[0], json!({"name": "VALUE", "value": variable}));
    // The objects themselves are Seedpod's, not the API server's.
    let listed = api.get("/api/v1/namespaces/default/secrets").unwrap();
    assert!(!listed.to_string().contains("mirrored"), "{listed}");
    scene.wait_running(&injected.bundle);
    scene.remove_and_wait("bundle");
}
