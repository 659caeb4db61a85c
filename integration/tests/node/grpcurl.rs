//! The API as somebody without Seedpod's tools uses it: with the real grpcurl.

use std::fs;

use serde_json::Value;

use crate::programs::{Ended, end, grpcurl};
use crate::scene::Scene;

/// The arguments before the method, over the socket and over mutual TLS.
fn ways(scene: &Scene<'_>) -> [Vec<String>; 2] {
    let socket = scene.daemon.socket().display().to_string();
    let identity = scene.daemon.identity("injector");
    let text = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    [
        text(&["-plaintext", "-unix", &socket]),
        text(&[
            "-cacert",
            scene.daemon.ca_file().to_str().unwrap(),
            "-cert",
            identity.certificate.to_str().unwrap(),
            "-key",
            identity.key.to_str().unwrap(),
            &scene.daemon.tls_address(),
        ]),
    ]
}

fn call(way: &[String], before: &[&str], after: &[&str], stdin: &str) -> Ended {
    // Flags come before the address.
    let mut args: Vec<&str> = before.to_vec();
    args.extend(way.iter().map(String::as_str));
    args.extend(after);
    grpcurl(&args, stdin)
}

/// The request for a file of YAML, made as the documentation says.
fn jq_request(bundle: &str, file: &std::path::Path) -> String {
    let args = [
        "--null-input",
        "--arg",
        "bundle",
        bundle,
        "--rawfile",
        "manifest",
        file.to_str().unwrap(),
        "{bundle: $bundle, manifests: [$manifest]}",
    ];
    end(std::path::Path::new("jq"), &args, "").success()
}

#[test]
fn the_services_are_listed_and_described_with_their_comments() {
    let scene = Scene::new("reflect");
    for way in ways(&scene) {
        let list = call(&way, &[], &["list"], "").success();
        for service in [
            "grpc.health.v1.Health",
            "seedpod.v1.NodeService",
            "seedpod.v1.PodInjectionService",
        ] {
            assert!(list.lines().any(|line| line == service), "{list}");
        }
        let methods = call(&way, &[], &["list", "seedpod.v1.PodInjectionService"], "").success();
        assert!(
            methods.contains("seedpod.v1.PodInjectionService.InjectPods"),
            "{methods}"
        );

        let method = "seedpod.v1.PodInjectionService.InjectPods";
        let description = call(&way, &[], &["describe", method], "").success();
        assert!(description.contains("rpc InjectPods"), "{description}");
        assert!(
            description.contains("// Needs the role seedpod:injector or seedpod:admin."),
            "{description}"
        );
        let message = "seedpod.v1.InjectPodsRequest";
        let description = call(&way, &[], &["describe", message], "").success();
        assert!(
            description.contains("repeated string manifests = 2;"),
            "{description}"
        );
        assert!(description.contains("// YAML or JSON"), "{description}");
    }
}

#[test]
fn a_yaml_file_is_injected_seen_and_removed() {
    let scene = Scene::new("grpcurl");
    let file = scene.node.layout().scratch().join(scene.name("pods.yaml"));
    for (index, way) in ways(&scene).into_iter().enumerate() {
        let (pod, bundle) = (
            format!("web-{index}"),
            scene.name(&format!("bundle-{index}")),
        );
        // Two documents, with a comment, as people write them.
        let second = scene.pod(&format!("more-{index}"), "more");
        let yaml = format!(
            "# the web server\n{}\n---\n{second}\n",
            serde_saphyr::to_string(&scene.pod(&pod, "from grpcurl")).unwrap()
        );
        fs::write(&file, yaml).unwrap();
        let request = jq_request(&bundle, &file);
        let method = "seedpod.v1.PodInjectionService/InjectPods";
        let answer = call(&way, &["-d", "@"], &[method], &request).success();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["bundle"]["revision"], "1");
        assert_eq!(answer["bundle"]["pods"].as_array().unwrap().len(), 2);
        assert_eq!(answer["changes"][0]["type"], "ADDED");
        assert_eq!(scene.first_line(&pod), "from grpcurl");

        let of_bundle = format!(r#"{{"bundle": "{bundle}"}}"#);
        let list = "seedpod.v1.PodInjectionService/ListPods";
        seedpod_integration::wait_until(crate::rig::LIMIT, "ListPods says READY", || {
            let answer = call(&way, &["-d", &of_bundle], &[list], "").success();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let pods = answer["pods"].as_array().unwrap();
            pods.len() == 2 && pods.iter().all(|pod| pod["state"] == "POD_STATE_READY")
        })
        .unwrap();
        let remove = "seedpod.v1.PodInjectionService/RemoveBundle";
        let name = format!(r#"{{"name": "{bundle}"}}"#);
        call(&way, &["-d", &name], &[remove], "").success();
        scene.wait_stopped(&pod);
    }
    let node = call(
        &ways(&scene)[0],
        &[],
        &["seedpod.v1.NodeService/GetNode"],
        "",
    )
    .success();
    let node: Value = serde_json::from_str(&node).unwrap();
    assert_eq!(node["name"], scene.node.name());
    assert_eq!(node["containerRuntime"]["state"], "CONNECTED");
}

#[test]
fn an_error_shows_its_reason_and_its_fields() {
    let scene = Scene::new("grpcurl-error");
    let file = scene.node.layout().scratch().join(scene.name("bad.yaml"));
    let mut pod = scene.pod("web", "never");
    pod["spec"]["containers"][0]["imagePullPolicy"] = "Sometimes".into();
    pod["spec"]["serviceAccountName"] = "web".into();
    fs::write(&file, pod.to_string()).unwrap();
    let request = jq_request(&scene.name("bundle"), &file);
    for way in ways(&scene) {
        let method = "seedpod.v1.PodInjectionService/InjectPods";
        let error = call(&way, &["-d", "@"], &[method], &request);
        // 64 and the code: INVALID_ARGUMENT is 3.
        assert_eq!(error.code, Some(67), "{error:?}");
        for expected in [
            "InvalidArgument",
            "google.rpc.ErrorInfo",
            r#""reason": "INVALID_MANIFEST""#,
            r#""domain": "seedpod.dev""#,
            "google.rpc.BadRequest",
            "manifests[0].spec.containers[0].imagePullPolicy",
            "manifests[0].spec.serviceAccountName",
            "API_REFERENCE",
        ] {
            assert!(
                error.stderr.contains(expected),
                "{expected}: {}",
                error.stderr
            );
        }
    }
    assert!(scene.bundle("bundle").is_err());
}

/// The messages of an answer: JSON documents one after the other.
fn messages(output: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(output)
        .into_iter()
        .map(|message| message.expect("grpcurl prints JSON"))
        .collect()
}

#[test]
fn what_runs_what_it_writes_and_what_has_happened_are_shown_and_undone() {
    let scene = Scene::new("grpcurl-day");
    let file = scene.node.layout().scratch().join(scene.name("day.yaml"));
    let name = scene.name("bundle");
    let [_, way] = ways(&scene);
    let ask = |method: &str, request: &str| {
        let method = format!("seedpod.v1.PodInjectionService/{method}");
        messages(&call(&way, &["-d", request], &[&method], "").success())
    };
    let inject = |line: &str| {
        fs::write(&file, scene.pod("web", line).to_string()).unwrap();
        let mut request: Value = serde_json::from_str(&jq_request(&name, &file)).unwrap();
        request["trial"] = serde_json::json!({
            "timeout": "3600s", "confirmation": "TRIAL_CONFIRMATION_EXPLICIT",
        });
        ask("InjectPods", &request.to_string());
        scene.wait_for_line("web", line);
    };
    inject("one");
    let confirmed = ask(
        "ConfirmRevision",
        &format!(r#"{{"name": "{name}", "revision": 1}}"#),
    );
    assert_eq!(confirmed[0]["revision"]["good"], true, "{confirmed:?}");
    inject("two");

    let revisions = ask("ListRevisions", &format!(r#"{{"name": "{name}"}}"#));
    let revisions = revisions[0]["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!(revisions[0]["trial"]["state"], "PENDING");
    assert_eq!(revisions[0]["trial"]["fallbackRevision"], "1");
    let first = ask(
        "GetRevision",
        &format!(r#"{{"name": "{name}", "revision": 1}}"#),
    );
    let manifest = first[0]["manifests"][0].as_str().unwrap();
    assert!(manifest.contains("echo 'one'"), "{manifest}");

    // A watch has no end: grpcurl gives up on it, after the whole.
    let watch = "seedpod.v1.PodInjectionService/WatchPods";
    let of_bundle = format!(r#"{{"bundle": "{name}"}}"#);
    let watched = call(&way, &["-d", &of_bundle, "-max-time", "2"], &[watch], "");
    let whole = &messages(&watched.stdout)[0];
    assert_eq!(whole["whole"], true, "{watched:?}");
    assert_eq!(whole["pods"][0]["name"], scene.name("web"));

    let logs = format!(r#"{{"name": "{}", "tail_lines": 1}}"#, scene.name("web"));
    let logs = ask("GetPodLogs", &logs);
    assert_eq!(logs[0]["lines"][0]["text"], "two", "{logs:?}");

    let back = ask("RollbackBundle", &format!(r#"{{"name": "{name}"}}"#));
    assert_eq!(back[0]["sourceRevision"], "1", "{back:?}");
    scene.wait_for_line("web", "one");
    let events = ask(
        "WatchEvents",
        &format!(r#"{{"bundle": "{name}", "until_now": true}}"#),
    );
    let kinds: Vec<&str> = events
        .iter()
        .flat_map(|answer| answer["events"].as_array().unwrap())
        .filter_map(|event| event["type"].as_str())
        .collect();
    for kind in ["INJECTED", "CONFIRMED", "POD_PROJECTED", "ROLLED_BACK"] {
        assert!(
            kinds.contains(&format!("EVENT_TYPE_{kind}").as_str()),
            "{kind}: {kinds:?}"
        );
    }
    let bundle = ask("GetBundle", &format!(r#"{{"name": "{name}"}}"#));
    assert_eq!(bundle[0]["revision"], "3");
    assert_eq!(bundle[0]["status"]["pods"].as_array().unwrap().len(), 1);
    scene.remove_and_wait("bundle");
}
