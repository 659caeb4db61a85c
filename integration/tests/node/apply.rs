//! Objects applied by a node's daemon to a real kube-apiserver.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use seedpod_client::{AppliedObject, AppliedResult, ApplyObjects, Client, Code, Error};
use seedpod_integration::{ApiServer, Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use crate::programs::grpcurl;
use crate::rig::{LIMIT, place};
use crate::scene::{Scene, run, spawn};

use AppliedResult::{Configured, Created, Unchanged, Waiting};

/// What must show up nowhere.
const NEEDLE: &str = "hunter2hunter2hunter2";

/// A kubeconfig with everything inline, of a user whose certificate the rig has.
fn kubeconfig(server: &ApiServer, user: &str) -> String {
    let folder = server.kubeconfig.parent().expect("a folder");
    let data = |file: String| STANDARD.encode(fs::read(folder.join(file)).expect("the rig's PKI"));
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "rig",
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user}}],
        "clusters": [{"name": "rig", "cluster": {
            "server": server.url, "certificate-authority-data": data("ca.crt".to_owned()),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": data(format!("{user}.crt")),
            "client-key-data": data(format!("{user}.key")),
        }}],
    })
    .to_string()
}

async fn apply(client: Client, request: ApplyObjects) -> (Vec<AppliedObject>, Result<(), Error>) {
    let mut told = Vec::new();
    let mut stream = client.apply_objects(&request);
    loop {
        match stream.try_next().await {
            Ok(Some(it)) => told.push(it),
            Ok(None) => return (told, Ok(())),
            Err(error) => return (told, Err(error)),
        }
    }
}

/// The results without those that wait, by name.
fn results(told: &[AppliedObject]) -> Vec<(&str, AppliedResult)> {
    told.iter()
        .filter(|it| it.result != Waiting)
        .map(|it| (it.object.name.as_str(), it.result))
        .collect()
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "apply"},
           "data": {"k": value}})
}

/// A set in the wrong order: what is needed comes last.
fn set(value: &str) -> Vec<String> {
    let daemon_set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "apply"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"nodeSelector": {"none": "none"}, "containers": [{"name": "main", "image": "none"}]},
            },
        },
    });
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"size": {"type": "integer"}}}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.apply.example.com"},
        "spec": {
            "group": "apply.example.com", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        config_map("settings", value),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "apply"},
         "stringData": {"k": NEEDLE}},
    ]});
    let thing = json!({"apiVersion": "apply.example.com/v1", "kind": "Thing",
        "metadata": {"name": "one", "namespace": "apply"}, "spec": {"size": 3}});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "apply:role"}, "rules": []});
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: apply\n";
    vec![
        daemon_set.to_string(),
        format!("{thing}\n---\n{list}\n"),
        definition.to_string(),
        format!("{role}\n---\n{namespace}"),
    ]
}

#[test]
fn a_set_is_applied_once_the_api_server_is_there_and_then_left_as_it_is() {
    let node = Node::start(&NodeOptions::unsynced()).expect("start the node");
    let scene = Scene::on(&node, "apply");
    let server = node.api_server().expect("its address is settled");
    let admin = kubeconfig(&server, "admin");
    let request = |manifests: Vec<String>| ApplyObjects::new(&admin).manifests(manifests);

    // Nobody listens there yet.
    let (hear, told) = std::sync::mpsc::channel();
    let mut stream = scene.client.apply_objects(&request(set("x")));
    let applying = spawn(async move {
        let mut all = Vec::new();
        while let Some(it) = stream.try_next().await? {
            let _ = hear.send(it.clone());
            all.push(it);
        }
        Ok::<_, Error>(all)
    });
    let first = told.recv_timeout(LIMIT).expect("it waits");
    assert_eq!(first.result, Waiting);
    assert!(first.message.contains("cannot connect"), "{first:?}");
    node.start_api_server().expect("start the API server");
    let all = run(applying).expect("no panic").expect("all applied");
    let order = [
        "apply",
        "things.apply.example.com",
        "settings",
        "key",
        "apply:role",
        "agent",
        "one",
    ];
    assert_eq!(results(&all), order.map(|name| (name, Created)));

    // Again; and with one of them changed.
    let (told, result) = run(apply(scene.client.clone(), request(set("x"))));
    result.expect("all applied");
    assert_eq!(results(&told), order.map(|name| (name, Unchanged)));
    let (told, result) = run(apply(scene.client.clone(), request(set("y"))));
    result.expect("all applied");
    assert_eq!(results(&told)[2], ("settings", Configured));
    let get = |path: &str| -> Value {
        let answer = server.client.get(path).expect("it answers");
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let settings = "/api/v1/namespaces/apply/configmaps/settings";
    assert_eq!(get(settings)["data"]["k"], "y");
    assert_eq!(
        get(settings)["metadata"]["managedFields"][0]["manager"],
        "seedpod"
    );

    fields_of_others_stay_theirs(&scene, &server, &admin);
    faults_are_told_as_the_api_server_tells_them(&scene, &admin);
    a_dry_run_changes_nothing(&scene, &server, &admin);
    grpcurl_does_it_too(&scene, &admin);
    nothing_secret_is_left(&scene, &admin);
}

fn fields_of_others_stay_theirs(scene: &Scene<'_>, server: &ApiServer, admin: &str) {
    let theirs = config_map("theirs", "theirs").to_string();
    let path = "/api/v1/namespaces/apply/configmaps?fieldManager=somebody";
    assert_eq!(server.client.post(path, &theirs).unwrap().status, 201);
    let ours = ApplyObjects::new(admin).manifest(config_map("theirs", "ours").to_string());
    let error = run(apply(scene.client.clone(), ours)).1.unwrap_err();
    assert_eq!(error.code(), Some(Code::Aborted));
    assert_eq!(error.reason(), Some("FIELD_MANAGER_CONFLICT"));
    let refusal = error.server().unwrap();
    assert_eq!(refusal.metadata["manager"], "somebody");
    assert_eq!(refusal.metadata["field"], "data.k");
    // What is the same is no conflict.
    let same = ApplyObjects::new(admin).manifest(theirs);
    run(apply(scene.client.clone(), same))
        .1
        .expect("it is as theirs");
}

fn faults_are_told_as_the_api_server_tells_them(scene: &Scene<'_>, admin: &str) {
    let rows: [(Value, &str); 5] = [
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A", "namespace": "apply"}}),
            "metadata.name",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "apply"},
                   "dato": {}}),
            "dato",
        ),
        (
            json!({"apiVersion": "apply.example.com/v1", "kind": "Thing",
                   "metadata": {"name": "a", "namespace": "apply"}, "spec": {"size": "many"}}),
            "spec.size",
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "a", "namespace": "apply"},
                   "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                       "metadata": {"labels": {"a": "c"}},
                       "spec": {"containers": [{"name": "main", "image": "none"}]}}}}),
            "spec.template.metadata.labels",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "apply"},
                   "data": {"k": NEEDLE}}),
            "",
        ),
    ];
    for (object, part) in rows {
        let request = ApplyObjects::new(admin)
            .manifest(object.to_string())
            .timeout(Duration::from_secs(20));
        let error = run(apply(scene.client.clone(), request)).1.unwrap_err();
        assert_eq!(error.reason(), Some("OBJECT_REFUSED"), "{object}: {error}");
        let text = error.to_string();
        println!("{text}");
        assert!(text.contains(part), "{part}: {text}");
        assert_eq!(error.field_violations()[0].field, "manifests[0]");
        assert!(!text.contains(NEEDLE), "{text}");
    }
    let unknown = json!({"apiVersion": "apps/v1", "kind": "DaemonSett", "metadata": {"name": "a"}});
    let request = ApplyObjects::new(admin).manifest(unknown.to_string());
    let error = run(apply(scene.client.clone(), request)).1.unwrap_err();
    assert_eq!(error.reason(), Some("UNKNOWN_KIND"));
    let later =
        json!({"apiVersion": "later.example.com/v1", "kind": "Later", "metadata": {"name": "a"}});
    let request = ApplyObjects::new(admin)
        .manifest(later.to_string())
        .timeout(Duration::from_secs(2));
    let (told, result) = run(apply(scene.client.clone(), request));
    assert_eq!(result.unwrap_err().reason(), Some("OBJECTS_NOT_APPLIED"));
    assert_eq!(told.len(), 1, "{told:?}");
}

fn a_dry_run_changes_nothing(scene: &Scene<'_>, server: &ApiServer, admin: &str) {
    let of_new = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "new"}});
    let mut manifests = set("z");
    manifests.push(format!(
        "{of_new}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: new}}\n"
    ));
    let request = ApplyObjects::new(admin)
        .manifests(manifests)
        .validate_only(true);
    let (told, result) = run(apply(scene.client.clone(), request));
    result.expect("all good");
    let of = |name: &str| told.iter().find(|it| it.object.name == name).unwrap();
    assert_eq!(of("settings").result, Configured);
    assert_eq!(of("agent").result, Unchanged);
    assert_eq!(of("new").result, Created);
    assert!(
        of("a")
            .message
            .contains("namespace new comes with the same set")
    );
    let settings = server
        .client
        .get("/api/v1/namespaces/apply/configmaps/settings");
    assert!(settings.unwrap().body.contains(r#""k":"y""#));
    let new = server.client.get("/api/v1/namespaces/new").unwrap();
    assert_eq!(new.status, 404);
}

fn grpcurl_does_it_too(scene: &Scene<'_>, admin: &str) {
    let socket = scene.daemon.socket().display().to_string();
    let request = json!({"manifests": set("y"), "kubeconfig": admin, "timeout": "30s"});
    let method = "seedpod.v1.HandoffService/ApplyObjects";
    let args = ["-d", "@", "-plaintext", "-unix", &socket, method];
    let output = grpcurl(&args, &request.to_string()).success();
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&output)
        .into_iter()
        .map(|it| it.expect("grpcurl prints JSON"))
        .collect();
    assert_eq!(answers.len(), 7, "{output}");
    assert!(answers.iter().all(|it| it["result"] == "UNCHANGED"));
    assert_eq!(answers[5]["object"]["apiVersion"], "apps/v1");
}

fn nothing_secret_is_left(scene: &Scene<'_>, admin: &str) {
    let key = admin.split("client-key-data\":\"").nth(1).unwrap();
    let log = scene.log();
    assert!(log.contains("ApplyObjects applied"), "{log}");
    assert!(!log.contains(NEEDLE) && !log.contains(&key[..40]));
    assert!(!log.contains(&STANDARD.encode(NEEDLE)));
    assert!(!is_below(&scene.daemon.state_directory(), NEEDLE));
}

/// Whether a file of the folder has the text.
fn is_below(folder: &Path, text: &str) -> bool {
    let entries = fs::read_dir(folder).expect("list the folder").flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return is_below(&path, text);
        }
        fs::read(&path).is_ok_and(|it| memchr::memmem::find(&it, text.as_bytes()).is_some())
    })
}

#[test]
fn credentials_that_do_not_suffice_are_refused_after_a_short_time() {
    let node = Node::start(&NodeOptions::unsynced()).expect("start the node");
    let plane = node.control_plane().expect("its pods");
    for pod in [&plane.etcd, &plane.kube_apiserver] {
        place(&node, pod);
    }
    wait_until(LIMIT, "the API server is ready", || plane.is_ready()).unwrap();
    let scene = Scene::on(&node, "weak");
    let server = node.api_server().unwrap();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weak"}});
    let request =
        |user: &str| ApplyObjects::new(kubeconfig(&server, user)).manifest(map.to_string());
    let (told, result) = run(apply(scene.client.clone(), request("kube-scheduler")));
    let error = result.unwrap_err();
    assert_eq!(error.code(), Some(Code::PermissionDenied), "{error}");
    assert_eq!(error.reason(), Some("CREDENTIALS_REFUSED"));
    assert!(
        error.to_string().contains("system:kube-scheduler"),
        "{error}"
    );
    assert_eq!(told[0].result, Waiting);

    let mut nobody: Value = serde_json::from_str(&kubeconfig(&server, "admin")).unwrap();
    nobody["users"][0]["user"] = json!({"token": NEEDLE});
    let stranger = ApplyObjects::new(nobody.to_string()).manifest(map.to_string());
    let error = run(apply(scene.client.clone(), stranger)).1.unwrap_err();
    assert_eq!(error.reason(), Some("CREDENTIALS_REFUSED"));
    let (told, result) = run(apply(scene.client.clone(), request("admin")));
    result.expect("the administrator may");
    assert_eq!(results(&told), [("weak", Created)]);
    assert!(!scene.log().contains(NEEDLE));
}
