//! Manifests that the kubelet runs are accepted, and what comes out of them.

use seedpod_manifest::{
    Checked, FieldValidation, Materials, Options, Pod, Protocol, Reason, Secrets, Side, Stamp,
    check, diff, is_rendering_of, nudge, read_foreign, render, to_yaml, unrender,
};

const GOOD: [&str; 4] = [
    include_str!("../testdata/good/etcd.yaml"),
    include_str!("../testdata/good/kube-apiserver.yaml"),
    include_str!("../testdata/good/control-plane.yaml"),
    include_str!("../testdata/good/everything.yaml"),
];

fn options() -> Options {
    Options {
        allow_secret_env: false,
        node: "Node-1".parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: FieldValidation::Strict,
    }
}

fn accept<S: AsRef<str>>(manifests: &[S]) -> Checked {
    check(manifests, &options()).unwrap_or_else(|violations| panic!("{violations:#?}"))
}

fn only(manifest: &str) -> Pod {
    let mut pods = accept(&[manifest]).pods;
    assert_eq!(pods.len(), 1);
    pods.remove(0)
}

fn pod(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: main\n    image: a\n{spec}"
    )
}

fn differ(old: Option<&Pod>, new: Option<&Pod>) -> String {
    let side = |pod| Side { pod, objects: &[] };
    diff(old.map(side), new.map(side))
}

fn rendered(pod: &Pod) -> String {
    let bundle = "control-plane".parse().unwrap();
    render(
        pod,
        &Stamp {
            bundle: &bundle,
            revision: 7,
            uid: "0b1e55ed",
            digest: pod.digest(),
            volumes: "",
        },
        &Materials::default(),
    )
}

#[test]
fn a_whole_control_plane_is_accepted_without_a_warning() {
    let checked = accept(&GOOD[..3]);
    assert_eq!(checked.warnings, []);
    let names: Vec<_> = checked
        .pods
        .iter()
        .map(|pod| pod.key().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "kube-system/etcd",
            "kube-system/kube-apiserver",
            "kube-system/kube-controller-manager",
            "kube-system/kube-scheduler"
        ]
    );
    let origins: Vec<_> = checked.pods.iter().map(Pod::origin).collect();
    let of_lists = ["manifests[2].items[0]", "manifests[2].items[1].items[0]"];
    assert_eq!(
        origins,
        ["manifests[0]", "manifests[1]", of_lists[0], of_lists[1]]
    );
    assert_eq!(
        checked.pods[2]
            .position()
            .map(|place| (place.manifest, place.line)),
        Some((2, 7))
    );
}

#[test]
fn every_sort_of_field_is_accepted_and_read_as_the_kubelet_reads_it() {
    let pod = only(GOOD[3]);
    assert_eq!(pod.key().to_string(), "default/web.of-many-fields");
    assert_eq!(
        pod.key().file_name(),
        "seedpod_default_web.of-many-fields.json"
    );
    let value = pod.value();
    assert_eq!(value["metadata"]["namespace"], "default");
    assert_eq!(value["metadata"]["labels"]["8080"], "port");
    assert_eq!(value["spec"]["terminationGracePeriodSeconds"], 100);
    assert_eq!(
        value["spec"]["volumes"][1]["downwardAPI"]["defaultMode"],
        0o440
    );
    assert_eq!(
        value["spec"]["volumes"][2]["projected"]["defaultMode"],
        0x124
    );
    assert_eq!(
        value["spec"]["containers"][0]["ports"][2]["containerPort"],
        443
    );
    assert_eq!(value["spec"]["containers"][0]["env"][1]["value"], "0644");
}

#[test]
fn host_ports_are_those_that_the_kubelet_counts() {
    let checked = accept(&GOOD);
    let of = |name: &str| -> Vec<_> {
        let pod = checked
            .pods
            .iter()
            .find(|pod| pod.key().name == name)
            .unwrap();
        pod.host_ports()
            .iter()
            .map(|port| {
                (
                    port.port,
                    port.protocol,
                    port.host_ip.as_deref(),
                    port.field.as_str(),
                )
            })
            .collect()
    };
    assert_eq!(
        of("etcd"),
        [(
            2382,
            Protocol::Tcp,
            None,
            "spec.initContainers[1].ports[0].containerPort"
        )]
    );
    assert_eq!(
        of("kube-apiserver"),
        [(
            6443,
            Protocol::Tcp,
            None,
            "spec.containers[0].ports[0].hostPort"
        )]
    );
    assert_eq!(
        of("web.of-many-fields"),
        [
            (
                8080,
                Protocol::Tcp,
                Some("127.0.0.1"),
                "spec.containers[0].ports[0].hostPort"
            ),
            (
                8080,
                Protocol::Udp,
                None,
                "spec.containers[0].ports[1].hostPort"
            )
        ]
    );
    assert_eq!(of("kube-scheduler"), []);
}

#[test]
fn the_digest_is_of_the_content_and_not_of_its_writing() {
    let yaml = only(&pod("    args: [a, \"1\"]\n"));
    let other_order = only(
        "kind: Pod\nspec:\n  containers:\n  - {image: a, args: [a, '1'], name: main}\nmetadata: {namespace: default, name: web}\napiVersion: v1\n",
    );
    let json = only(
        r#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "annotations": {}, "creationTimestamp": null},
            "spec": {"containers": [{"name": "m\u0061in", "image": "a", "args": ["a", "1"]}]}, "status": {}}"#,
    );
    assert_eq!(yaml.digest(), other_order.digest());
    assert_eq!(yaml.digest(), json.digest());
    assert_ne!(yaml.digest(), only(&pod("    args: [a, \"2\"]\n")).digest());
    assert_ne!(
        yaml.digest(),
        only(&pod("    args: [a, \"1\"]\n").replace("web", "other")).digest()
    );
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let text = pod("    args: [a]\n");
    let odd = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(only(&text).digest(), only(&odd).digest());
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"main","image":"a","args":["a"]}]}}"#;
    assert_eq!(
        only(&text).digest(),
        only(&format!("\u{feff}\r\n\t{json}")).digest()
    );
}

#[test]
fn several_json_documents_follow_each_other_with_or_without_a_separator() {
    let json = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"containers":[{{"name":"main","image":"a"}}]}}}}"#
        )
    };
    for separator in ["", "\n", "\n---\n"] {
        let pods = accept(&[format!("{}{separator}{}", json("a"), json("b"))]).pods;
        assert_eq!(
            pods.iter()
                .map(|pod| pod.key().name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(pods[1].origin(), "manifests[0].documents[1]");
    }
}

#[test]
fn what_a_server_writes_is_left_out_with_a_warning() {
    let from_server = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  uid: abc\n  resourceVersion: \"7\"\n  \
                       ownerReferences: [{kind: Node}]\n  annotations: {kubernetes.io/config.hash: abc}\nspec:\n  \
                       containers:\n  - name: main\n    image: a\nstatus: {phase: Running}\n";
    let checked = accept(&[from_server]);
    let warned: Vec<_> = checked
        .warnings
        .iter()
        .map(|w| (w.reason, w.field.as_str()))
        .collect();
    assert_eq!(
        warned,
        [
            (Reason::FieldDropped, "manifests[0].status"),
            (
                Reason::FieldDropped,
                "manifests[0].metadata.ownerReferences"
            ),
            (
                Reason::FieldDropped,
                "manifests[0].metadata.resourceVersion"
            ),
            (Reason::FieldDropped, "manifests[0].metadata.uid"),
            (
                Reason::FieldDropped,
                "manifests[0].metadata.annotations[kubernetes.io/config.hash]"
            ),
        ]
    );
    assert_eq!(
        checked.warnings[3]
            .position
            .map(|place| (place.line, place.column)),
        Some((5, 3))
    );
    assert_eq!(checked.pods[0].digest(), only(&pod("")).digest());
}

#[test]
fn what_the_kubelet_does_otherwise_than_hoped_gives_a_warning() {
    for (spec, reason, field) in [
        (
            "  priorityClassName: system-node-critical\n",
            Reason::PriorityNotSet,
            "priorityClassName",
        ),
        (
            "  restartPolicy: Never\n",
            Reason::RestartPolicyIgnored,
            "restartPolicy",
        ),
        (
            "  nodeSelector: {disk: ssd}\n",
            Reason::NodeSelection,
            "nodeSelector",
        ),
        (
            "  runtimeClassName: kata\n",
            Reason::FieldIgnored,
            "runtimeClassName",
        ),
        (
            "  volumes: [{name: a}]\n",
            Reason::DefaultApplied,
            "volumes[0]",
        ),
        (
            "  terminationGracePeriodSeconds: -1\n",
            Reason::DefaultApplied,
            "terminationGracePeriodSeconds",
        ),
        (
            "  affinity: {podAffinity: {}}\n",
            Reason::FieldIgnored,
            "affinity.podAffinity",
        ),
    ] {
        let warnings = accept(&[pod(spec)]).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].reason, reason);
        assert_eq!(warnings[0].field, format!("manifests[0].spec.{field}"));
        assert!(warnings[0].position.is_some());
    }
}

#[test]
fn a_newer_field_is_kept_when_validation_only_warns() {
    let manifest = pod("    hostPots: {deep: [1, {deeper: true}]}\n");
    let options = Options {
        field_validation: FieldValidation::Warn,
        ..options()
    };
    let checked = check(&[&manifest], &options).unwrap();
    assert_eq!(checked.warnings.len(), 1);
    assert_eq!(checked.warnings[0].reason, Reason::UnknownField);
    assert_eq!(
        checked.warnings[0].field,
        "manifests[0].spec.containers[0].hostPots"
    );
    let file = rendered(&checked.pods[0]);
    let value: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(
        value["spec"]["containers"][0]["hostPots"]["deep"][1]["deeper"],
        true
    );
    assert_eq!(unrender(&file).unwrap().digest(), checked.pods[0].digest());
}

#[test]
fn an_unknown_field_comes_with_the_field_that_may_have_been_meant() {
    let violations = check(&[pod("  hostNetwrok: true\n")], &options()).unwrap_err();
    assert_eq!(
        violations[0].description,
        "Kubernetes has no such field; did you mean hostNetwork?"
    );
}

#[test]
fn all_faults_are_reported_in_the_order_of_the_input() {
    let bad = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  hostNetwrok: true\n  priority: high\n  \
               containers:\n  - name: main\n    args: [1, a, true]\n    image: a\n    ports: [{containerPort: x}]\n";
    let worse =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: UP}\nspec: {containers: [{name: main}]}\n";
    let violations = check(
        &[format!("{bad}---\n{worse}"), "kind: {".to_owned()],
        &options(),
    )
    .unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| (v.reason.as_str(), v.field.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "UNKNOWN_FIELD",
                "manifests[0].documents[0].spec.hostNetwrok"
            ),
            ("WRONG_TYPE", "manifests[0].documents[0].spec.priority"),
            (
                "WRONG_TYPE",
                "manifests[0].documents[0].spec.containers[0].args[0]"
            ),
            (
                "WRONG_TYPE",
                "manifests[0].documents[0].spec.containers[0].args[2]"
            ),
            (
                "WRONG_TYPE",
                "manifests[0].documents[0].spec.containers[0].ports[0].containerPort"
            ),
            ("INVALID_NAME", "manifests[0].documents[1].metadata.name"),
            (
                "MISSING_FIELD",
                "manifests[0].documents[1].spec.containers[0].image"
            ),
            ("SYNTAX_ERROR", "manifests[1]"),
        ]
    );
}

#[test]
fn the_limits_of_a_bundle_hold() {
    let manifests = [pod(""), pod("").replace("web", "other")];
    let two = Options {
        max_pods: 2,
        ..options()
    };
    assert!(check(&manifests, &two).is_ok());
    let one = Options {
        max_pods: 1,
        ..options()
    };
    let violations = check(&manifests, &one).unwrap_err();
    assert_eq!(
        (violations[0].reason, violations[0].field.as_str()),
        (Reason::TooManyPods, "manifests")
    );
    let bytes = manifests.iter().map(String::len).sum::<usize>();
    assert!(
        check(
            &manifests,
            &Options {
                max_bytes: bytes,
                ..options()
            }
        )
        .is_ok()
    );
    let violations = check(
        &manifests,
        &Options {
            max_bytes: bytes - 1,
            ..options()
        },
    )
    .unwrap_err();
    assert_eq!(
        (violations[0].reason, violations[0].field.as_str()),
        (Reason::BundleTooLarge, "manifests")
    );
    let violations = check::<&str>(&[], &options()).unwrap_err();
    assert_eq!(
        (violations[0].reason, violations[0].field.as_str()),
        (Reason::NoPods, "manifests")
    );
}

#[test]
fn a_pod_whose_file_the_kubelet_would_not_read_is_refused() {
    let long = "x".repeat(6 << 20);
    let manifest = format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "a"}},
            "spec": {{"containers": [{{"name": "a", "image": "a", "args": ["{long}", "{long}"]}}]}}}}"#
    );
    let options = Options {
        max_bytes: 64 << 20,
        ..options()
    };
    let violations = check(&[manifest], &options).unwrap_err();
    assert_eq!(
        (violations[0].reason, violations[0].field.as_str()),
        (Reason::PodTooLarge, "manifests[0]")
    );
}

#[test]
fn rendering_is_stable_and_stamped() {
    let pod = only(&pod(""));
    let file = rendered(&pod);
    let expected = format!(
        r#"{{
  "apiVersion": "v1",
  "kind": "Pod",
  "metadata": {{
    "annotations": {{
      "seedpod.dev/bundle": "control-plane",
      "seedpod.dev/digest": "{}",
      "seedpod.dev/revision": "7"
    }},
    "name": "web",
    "namespace": "default",
    "uid": "0b1e55ed"
  }},
  "spec": {{
    "containers": [
      {{
        "image": "a",
        "name": "main"
      }}
    ]
  }}
}}
"#,
        pod.digest()
    );
    assert_eq!(file, expected);
    assert_eq!(rendered(&pod), file);
}

#[test]
fn a_rendering_is_read_back_as_the_same_pod() {
    for pod in accept(&GOOD).pods {
        let file = rendered(&pod);
        let back = unrender(&file).unwrap();
        assert_eq!(back.key(), pod.key());
        assert_eq!(back.digest(), pod.digest());
        assert_eq!(back.value(), pod.value());
        assert_eq!(back.host_ports(), pod.host_ports());
        let again = accept(&[back.value().to_string()]).pods.remove(0);
        assert_eq!(again.digest(), pod.digest());
        let foreign = read_foreign(file.as_bytes()).unwrap();
        assert_eq!(&foreign.key, pod.key());
        assert_eq!(foreign.uid.as_deref(), Some("0b1e55ed"));
        assert_eq!(foreign.bundle.as_deref(), Some("control-plane"));
        assert_eq!(foreign.host_ports, pod.host_ports());
    }
}

#[test]
fn a_file_that_was_tampered_with_is_no_rendering() {
    let file = rendered(&only(&pod("")));
    assert!(unrender(&file.replace("\"image\": \"a\"", "\"image\": \"b\"")).is_none());
    assert!(unrender(&file.replace("seedpod.dev/revision", "seedpod.dev/other")).is_none());
    assert!(unrender("").is_none());
    assert!(unrender("{}").is_none());
    assert!(unrender(&file[..file.len() / 2]).is_none());
}

#[test]
fn a_nudge_changes_one_annotation_and_nothing_else() {
    let file = rendered(&only(&pod("")));
    let nudged = nudge(&file, 3);
    assert_ne!(nudged, file);
    assert!(nudged.contains("\"seedpod.dev/nudge\": \"3\""));
    assert_eq!(nudge(&nudged, 4), nudge(&file, 4));
    assert_eq!(
        unrender(&nudged).unwrap().digest(),
        unrender(&file).unwrap().digest()
    );
    assert!(is_rendering_of(file.as_bytes(), &file));
    assert!(is_rendering_of(nudged.as_bytes(), &file));
    assert!(!is_rendering_of(
        nudged.replace("\"a\"", "\"b\"").as_bytes(),
        &file
    ));
    assert!(!is_rendering_of(b"", &file));
    assert!(!is_rendering_of(b"\xff{", &file));
}

#[test]
fn a_foreign_file_is_read_as_leniently_as_the_kubelet_does() {
    let foreign = read_foreign(
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: a, name: b, strange: 1}\nspec:\n  hostNetwork: true\n  containers:\n  - ports: [{containerPort: 80, protocol: UDP}]\n---\n]",
    )
    .unwrap();
    assert_eq!(foreign.key.to_string(), "default/b");
    assert_eq!((foreign.uid, foreign.bundle), (None, None));
    assert_eq!(
        (foreign.host_ports[0].port, foreign.host_ports[0].protocol),
        (80, Protocol::Udp)
    );
    for not_a_pod in [
        &b""[..],
        b"\xff\xfe",
        b"apiVersion: v1\nkind: PodList\nitems: []\n",
        b"apiVersion: v2\nkind: Pod\nmetadata: {name: a}\n",
        b"apiVersion: v1\nkind: Pod\nmetadata: {}\n",
        b"---\n# nothing\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
    ] {
        assert_eq!(
            read_foreign(not_a_pod),
            None,
            "{}",
            String::from_utf8_lossy(not_a_pod)
        );
    }
}

#[test]
fn a_diff_shows_what_changes() {
    let old = only(&pod("    args: [a]\n"));
    let new = only(&pod("    args: [\"on\", \"0644\", \"1e3\"]\n"));
    let text = differ(Some(&old), Some(&new));
    assert!(
        text.starts_with("--- a/default/web\n+++ b/default/web\n@@"),
        "{text}"
    );
    for line in [
        "-    - a\n",
        "+    - \"on\"\n",
        "+    - \"0644\"\n",
        "+    - \"1e3\"\n",
    ] {
        assert!(
            text.contains(line) || text.contains(&line.replace('"', "'")),
            "{line}{text}"
        );
    }
    assert_eq!(differ(Some(&old), Some(&old)), "");
    assert_eq!(differ(None, None), "");
    assert!(differ(None, Some(&new)).starts_with("--- /dev/null\n+++ b/default/web\n"));
    assert!(differ(Some(&old), None).starts_with("--- a/default/web\n+++ /dev/null\n"));
}

#[test]
fn what_is_shown_of_a_pod_masks_what_may_be_secret_unless_it_is_asked_for() {
    let manifest = pod("    env: [{name: API_TOKEN, value: s3cret}]");
    let pod = only(&manifest);
    let masked = to_yaml(&pod, Secrets::Masked);
    assert!(
        masked.contains("<masked>") && !masked.contains("s3cret"),
        "{masked}"
    );
    let shown = to_yaml(&pod, Secrets::Shown);
    assert_eq!(only(&shown).digest(), pod.digest(), "{shown}");
    // Also without what the rendering adds.
    let kept = unrender(&rendered(&pod)).unwrap();
    assert_eq!(to_yaml(&kept, Secrets::Shown), shown);
}

#[test]
fn a_diff_masks_what_may_be_secret_but_shows_that_it_changed() {
    let with = |password: &str, token: &str| {
        only(&pod(&format!(
            "    env:\n    - {{name: DB_PASSWORD, value: {password}}}\n    - {{name: apiToken, value: {token}}}\n    \
             - {{name: PLAIN, value: visible-{token}}}\n"
        )))
    };
    let text = differ(
        Some(&with("hunter2", "same")),
        Some(&with("hunter3", "same")),
    );
    assert!(!text.contains("hunter"), "{text}");
    assert!(text.contains("<masked, changed>"), "{text}");
    let text = differ(None, Some(&with("hunter2", "letmein")));
    assert!(!text.contains("hunter"), "{text}");
    assert!(!text.contains("value: letmein"), "{text}");
    assert!(text.contains("visible-letmein"), "{text}");
    let twice = |second: &str| {
        only(&pod(&format!(
            "    env: [{{name: TOKEN, value: a}}, {{name: TOKEN, value: {second}}}]\n"
        )))
    };
    assert!(differ(Some(&twice("b")), Some(&twice("a"))).contains("<masked, changed>"));
}
