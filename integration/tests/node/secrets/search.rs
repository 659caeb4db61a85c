//! A value is looked for everywhere after it has been through everything, and is where it belongs only.

mod memory;

use std::fs;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seedpod_client::Trial;
use seedpod_integration::wait_until;
use serde_json::{Value, json};

use self::memory::found_in;
use super::needle::{Needle, files_with};
use super::parts::{ask, folder, mounting, request, secret};
use crate::pods::{self, STAY};
use crate::programs::seedpod;
use crate::rig::LIMIT;
use crate::scene::{Scene, run};

/// A value that nothing else has.
fn marker() -> String {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("read a random number");
    format!("marker-{}", random.trim())
}

/// The pods check the value and print nothing of it.
fn documents(scene: &Scene<'_>, markers: &[String; 2]) -> Vec<Value> {
    let sum = format!("sha256sum /s/*; {STAY}");
    let mut by_group = mounting(pods::script(&scene.name("group"), &sum), "marked");
    by_group["spec"]["securityContext"] = json!({"runAsUser": 1000, "fsGroup": 2000});
    let mut projected = mounting(pods::script(&scene.name("projected"), &sum), "marked");
    projected["spec"]["volumes"][0] = json!({"name": "s", "projected": {"sources": [
        {"secret": {"name": "marked", "items": [{"key": "value", "path": "x/y"}]}},
    ]}});
    let long = markers[1].repeat(300);
    let mut marked = secret("marked", &[("value", &markers[0]), ("long", &long)]);
    marked["stringData"] = json!({"text": format!("text {}", markers[0])});
    vec![marked, by_group, projected]
}

#[test]
fn a_value_is_nowhere_but_in_the_volumes() {
    let markers = [marker(), marker()];
    let needles: Vec<Needle> = markers.iter().flat_map(|it| Needle::of(it)).collect();
    let node = crate::rig::node();
    let keys = node
        .layout()
        .scratch()
        .join(crate::rig::unique("search-keys"));
    seedpod(&["config", "encryption-key", keys.to_str().unwrap()]).success();
    let scene = Scene::configured(
        "search",
        json!({
            "secretEncryption": {"keyFile": keys},
            "log": {"format": "json", "level": "trace"},
            "trial": {"maxCrashes": 1},
        }),
    );
    let answers = everything_that_happens(&scene, &markers);
    for (what, answer) in &answers {
        assert!(!answer.is_empty(), "{what}");
        for needle in &needles {
            assert!(
                !needle.is_in(answer.as_bytes()),
                "{needle:?} is in {what}: {answer:.3000}"
            );
        }
    }
    // The search finds what is there: else it would prove nothing.
    let bundle = scene.bundle("bundle").unwrap();
    let volumes = scene.daemon.volumes_directory();
    let of_group = folder(&scene, &bundle, "group");
    assert!(!files_with(&of_group, &needles, "".as_ref()).is_empty());
    let ours: &[u8] = markers[0].as_bytes();
    assert!(Needle::of(&markers[0])[0].is_in(ours));
    let own = found_in(std::process::id(), &needles);
    assert!(
        own.iter().any(Option::is_some),
        "the test's own memory has it"
    );

    // Logs of all programs and pods, what the daemon, the kubelet, containerd keep, the static pod directory.
    let elsewhere = files_with(node.dir(), &needles, &volumes);
    assert!(elsewhere.is_empty(), "{elsewhere:?}");

    let searched = ["kubelet", "containerd"]
        .map(|name| (name, node.process(name).expect("it runs")))
        .into_iter()
        .chain([("seedpodd", scene.daemon.process().expect("it runs"))]);
    for (name, process) in searched {
        let (mut last, begun) = (Vec::new(), Instant::now());
        // Whoever frees memory of a connection may take a moment.
        let gone = wait_until(
            LIMIT,
            &format!("the memory of {name} is free of it"),
            || {
                last = found_in(process.pid, &needles);
                last.iter().all(Option::is_none)
            },
        );
        gone.unwrap_or_else(|error| panic!("{error}: {last:?}"));
        println!("searched the memory of {name} in {:?}", begun.elapsed());
    }
    no_core_is_written(&scene);
    scene.remove_and_wait("bundle");
    wait_until(LIMIT, "the volumes are free of it", || {
        files_with(node.dir(), &needles, "".as_ref()).is_empty()
    })
    .unwrap();
}

/// The daemon has no core to write, and is none that another user may look into.
fn no_core_is_written(scene: &Scene<'_>) {
    let pid = scene.daemon.process().expect("it runs").pid;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("read the limits");
    let core = limits
        .lines()
        .find(|it| it.starts_with("Max core file size"));
    let words: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    let filter = fs::read_to_string(format!("/proc/{pid}/coredump_filter")).unwrap_or_default();
    println!("core limit {words:?}, coredump_filter {}", filter.trim());
    assert_eq!(
        &words[4..6],
        ["0", "0"],
        "a core would hold what is in memory"
    );
}

/// Injections, changes, refusals, dry runs, a failed trial, a rollback, a restart; and all that was answered.
fn everything_that_happens(scene: &Scene<'_>, markers: &[String; 2]) -> Vec<(String, String)> {
    let mut answers: Vec<(String, String)> = Vec::new();
    let name = scene.name("bundle");
    let injection = |documents: &[Value], more: Value| {
        let manifests: Vec<String> = documents.iter().map(Value::to_string).collect();
        let mut request = json!({"bundle": name, "manifests": manifests});
        for (key, value) in more.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        request
    };
    let inject = "PodInjectionService/InjectPods";
    let first = documents(scene, markers);
    let injected = run(scene.client.inject(&request(scene, &first))).expect("inject");
    scene.wait_running(&injected.bundle);
    answers.push(("the SDK's answer".to_owned(), format!("{injected:?}")));

    let mut changed = first.clone();
    changed[0]["stringData"]["text"] = json!(format!("other {}", markers[1]));
    changed[0]["data"]["more"] = json!(STANDARD.encode(&markers[1]));
    let dry = ask(
        scene,
        inject,
        &injection(&changed, json!({"validate_only": true})),
    );
    assert!(dry.contains("hmac-sha256:"), "{dry}");
    answers.push(("a dry run".to_owned(), dry));
    answers.push((
        "an injection".to_owned(),
        ask(scene, inject, &injection(&changed, json!({}))),
    ));

    for (what, broken) in refused(&changed, markers) {
        let answer = ask(scene, inject, &injection(&broken, json!({})));
        assert!(answer.contains("InvalidArgument"), "{what}: {answer}");
        answers.push((format!("the refusal of {what}"), answer));
        let error = run(scene.client.inject(&request(scene, &broken))).expect_err(&what);
        answers.push((
            format!("the SDK's error for {what}"),
            format!("{error:?} {error}"),
        ));
    }
    for (what, text) in torn(markers) {
        let broken = json!({"bundle": name, "manifests": [text]});
        let answer = ask(scene, inject, &broken);
        assert!(answer.contains("InvalidArgument"), "{what}: {answer}");
        answers.push((format!("the refusal of {what}"), answer));
    }

    // A trial that fails.
    let mut crashing = changed.clone();
    crashing[0]["data"]["value"] = json!(STANDARD.encode(format!("broken {}", markers[0])));
    crashing[1] = mounting(
        pods::crashing(&scene.name("group"), "about to fail", 3),
        "marked",
    );
    let trial = Trial::new(std::time::Duration::from_secs(600));
    let digest = scene.bundle("bundle").expect("the bundle").digest;
    run(scene.client.inject(&request(scene, &crashing).trial(trial))).expect("inject");
    wait_until(LIMIT * 2, "the trial fails", || {
        scene.bundle("bundle").is_ok_and(|it| it.digest == digest)
    })
    .expect("the trial fails");
    let to_first = json!({"name": name, "to_revision": 1});
    let back = ask(scene, "PodInjectionService/RollbackBundle", &to_first);
    assert!(back.contains("sourceRevision"), "{back}");
    answers.push(("a rollback".to_owned(), back));
    scene.daemon.restart().expect("restart the daemon");
    scene.wait_running(&scene.bundle("bundle").expect("the bundle"));

    for (method, request) in [
        ("NodeService/GetNode", json!({})),
        ("PodInjectionService/GetBundle", json!({"name": name})),
        ("PodInjectionService/ListObjects", json!({"bundle": name})),
        ("PodInjectionService/ListRevisions", json!({"name": name})),
        (
            "PodInjectionService/GetRevision",
            json!({"name": name, "revision": 1}),
        ),
        (
            "PodInjectionService/GetRevision",
            json!({"name": name, "revision": 2}),
        ),
        ("PodInjectionService/ListPods", json!({"bundle": name})),
        (
            "PodInjectionService/WatchEvents",
            json!({"until_now": true}),
        ),
        (
            "PodInjectionService/GetPodLogs",
            json!({"name": scene.name("group")}),
        ),
    ] {
        let answer = ask(scene, method, &request);
        assert!(!answer.contains("ERROR:"), "{method}: {answer}");
        answers.push((format!("{method} {request}"), answer));
    }
    let listed = ask(
        scene,
        "PodInjectionService/ListObjects",
        &json!({"bundle": name}),
    );
    assert!(
        listed.contains("\"marked\"") && listed.contains("hmac-sha256:"),
        "{listed}"
    );
    let metrics = scene
        .daemon
        .metrics()
        .get("/metrics")
        .expect("metrics")
        .body;
    answers.push(("the metrics".to_owned(), metrics));
    answers.push(("the log".to_owned(), scene.log()));
    answers
}

/// Documents with mistakes beside a value, and in one.
fn refused(documents: &[Value], markers: &[String; 2]) -> Vec<(String, Vec<Value>)> {
    let with = |what: &str, change: &dyn Fn(&mut Vec<Value>)| {
        let mut broken = documents.to_vec();
        change(&mut broken);
        (what.to_owned(), broken)
    };
    let [one, other] = markers;
    vec![
        with("a misspelt field", &|it| it[0]["dta"] = json!({"x": one})),
        with("a value that is no base64", &|it| {
            it[0]["data"]["value"] = json!(one);
        }),
        with("base64 with a stray sign", &|it| {
            it[0]["data"]["value"] = json!(format!("{}!", STANDARD.encode(one)));
        }),
        with("a value in place of the data", &|it| {
            it[0]["data"] = json!(one);
        }),
        with("a list of values", &|it| {
            it[0]["stringData"] = json!([one, other]);
        }),
        with("a value below a value", &|it| {
            it[0]["stringData"]["text"] = json!({"x": one});
        }),
        with("a value as a key", &|it| {
            it[0]["stringData"] = json!({format!("{one}/"): "x"});
        }),
        with("the type of a TLS pair", &|it| {
            it[0]["type"] = json!("kubernetes.io/tls");
        }),
        with("a pod with a mistake beside", &|it| {
            it[1]["spec"]["restartPolicy"] = json!("Sometimes");
        }),
        with("a reference to what is not there", &|it| {
            it[1]["spec"]["volumes"][0]["secret"]["secretName"] = json!("missing");
        }),
        with("a variable that was not allowed", &|it| {
            it[1]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "marked"}}]);
        }),
        with("two Secrets of one name", &|it| it.push(it[0].clone())),
    ]
}

/// Texts that do not parse, with a value near the place.
fn torn(markers: &[String; 2]) -> Vec<(&'static str, String)> {
    let [one, _] = markers;
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: marked}\n";
    vec![
        (
            "a torn YAML",
            format!("{head}stringData:\n  value: \"{one}\n"),
        ),
        (
            "a YAML with a tab",
            format!("{head}stringData:\n\tvalue: {one}\n"),
        ),
        (
            "a key given twice",
            format!("{head}stringData:\n  value: {one}\n  value: {one}\n"),
        ),
        (
            "an unknown alias",
            format!("{head}stringData:\n  value: *{one}\n"),
        ),
        (
            "a torn JSON",
            format!(r#"{{"kind": "Secret", "stringData": {{"value": "{one}" "#),
        ),
        (
            "a number",
            format!("{head}stringData:\n  value: 0x12\n  other: {one}\n"),
        ),
    ]
}
