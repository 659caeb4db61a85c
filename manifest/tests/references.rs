//! What pods take from the Secrets and ConfigMaps of their bundle, from the manifest to the file.

use std::sync::LazyLock;

use seedpod_manifest::{
    BundleName, Checked, DigestKey, FieldValidation, Materials, NodeName, Objects, Options, Pod,
    Reason, Secrets, Side, Stamp, Violation, check, diff, diff_object, object_to_yaml, render,
    restamp,
};
use serde_json::{Value, json};

const GOOD: &str = include_str!("../testdata/good/references.yaml");

static KEY: LazyLock<DigestKey> = LazyLock::new(|| DigestKey::new([7; 32].into()));

fn node() -> NodeName {
    "node-1".parse().unwrap()
}

fn options() -> Options {
    Options {
        allow_secret_env: true,
        node: node(),
        max_pods: 64,
        max_bytes: 64 << 20,
        field_validation: FieldValidation::Strict,
    }
}

fn accept(manifest: &str) -> Checked {
    check(&[manifest], &options()).unwrap_or_else(|violations| panic!("{violations:#?}"))
}

fn refuse_with(manifest: &str, options: &Options) -> Vec<Violation> {
    let violations = check(&[manifest], options).map(|checked| checked.pods);
    violations.expect_err(manifest)
}

fn refuse(manifest: &str) -> Violation {
    let mut violations = refuse_with(manifest, &options());
    assert_eq!(violations.len(), 1, "{violations:#?}");
    violations.remove(0)
}

fn object(kind: &str, name: &str, data: &Value) -> String {
    let meta = json!({"name": name});
    format!(
        "---\n{}\n",
        json!({"apiVersion": "v1", "kind": kind, "metadata": meta, "data": data})
    )
}

/// A pod with one container and one volume that it mounts.
fn pod(spec: &Value, container: &Value, volume: &Value) -> String {
    let mut spec = spec.clone();
    let mut container = container.clone();
    container["name"] = Value::from("main");
    container["image"] = Value::from("a");
    if !volume.is_null() {
        container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let mut volume = volume.clone();
        volume["name"] = Value::from("v");
        spec["volumes"] = json!([volume]);
    }
    spec["containers"] = json!([container]);
    let meta = json!({"name": "web"});
    format!(
        "---\n{}\n",
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    )
}

fn with_volume(volume: &Value) -> String {
    pod(&json!({}), &json!({}), volume)
}

fn with_env(env: &Value) -> String {
    pod(&json!({}), &json!({"env": env}), &Value::Null)
}

fn rendered(pod: &Pod, objects: &Objects, uid: &str) -> String {
    let bundle: BundleName = "b".parse().unwrap();
    let materials = Materials::of(pod, objects, &node()).unwrap();
    let stamp = Stamp {
        bundle: &bundle,
        revision: 1,
        uid,
        digest: materials.digest(pod, &KEY),
        volumes: &format!("/volumes/{uid}"),
    };
    render(pod, &stamp, &materials)
}

#[test]
fn every_kind_of_reference_is_rendered() {
    let checked = accept(GOOD);
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let pod = &checked.pods[0];
    let text = rendered(pod, &checked.objects, "u");
    let value: Value = serde_json::from_str(&text).unwrap();
    let literal = |name: &str, value: &str| json!({"name": name, "value": value});
    let spec = &value["spec"];
    assert_eq!(
        spec["containers"][0]["env"],
        json!([
            literal("CONF_LEVEL", "debug"),
            literal("CONF_server.conf", "listen = 80\n"),
            literal("USERNAME", "admin"),
            literal("PASSWORD", "pa$$$$word"),
            literal("BOTH", "$(USERNAME)-$(CONF_LEVEL)"),
        ])
    );
    assert!(spec["containers"][0].get("envFrom").is_none());
    assert_eq!(
        spec["initContainers"][0]["env"],
        json!([
            literal("LEVEL", "debug"),
            literal("server.conf", "listen = 80\n")
        ])
    );
    let folder = |name: &str| {
        let path = format!("/volumes/u/{name}");
        json!({"name": name, "hostPath": {"path": path, "type": "Directory"}})
    };
    assert_eq!(
        spec["volumes"],
        json!([folder("pki"), folder("settings"), folder("all"), {"name": "scratch", "emptyDir": {}}])
    );
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let read_only: Vec<_> = mounts
        .iter()
        .map(|mount| mount["readOnly"] == true)
        .collect();
    assert_eq!(read_only, [true, true, true, true, false]);
    assert_eq!(mounts[1]["subPath"], "tls.key");
    assert_eq!(
        spec["initContainers"][0]["volumeMounts"][0]["readOnly"],
        true
    );
}

#[test]
fn every_kind_of_reference_gives_its_files() {
    let checked = accept(GOOD);
    let materials = Materials::of(&checked.pods[0], &checked.objects, &node()).unwrap();
    let mut lines = Vec::new();
    for volume in materials.volumes("u") {
        assert_eq!((volume.group, volume.folder_mode), (Some(2000), 0o2755));
        for folder in &volume.folders {
            lines.push(format!("{}/{folder}/", volume.name));
        }
        for (path, file) in &volume.files {
            let content = String::from_utf8_lossy(&file.content);
            let name = &volume.name;
            lines.push(format!("{name}/{path} {:o} {content:?}", file.mode));
        }
    }
    assert_eq!(
        lines,
        [
            "pki/tls.crt 440 \"---cert---\\n\"",
            "pki/tls.key 440 \"---key---\\n\"",
            "settings/conf.d/server.conf 644 \"listen = 80\\n\"",
            "settings/logo.png 444 \"\u{fffd}PNG\"",
            "all/scratch/",
            "all/LEVEL 440 \"debug\"",
            "all/labels 440 \"app=\\\"web\\\"\"",
            "all/logo 440 \"\u{fffd}PNG\"",
            "all/name 440 \"web-node-1\"",
            "all/server.conf 440 \"listen = 80\\n\"",
            "all/tls/cert 440 \"---cert---\\n\"",
        ]
    );
}

#[test]
fn a_stored_pod_gives_the_same_again() {
    let checked = accept(GOOD);
    let pod = &checked.pods[0];
    let again = Pod::from_source(&pod.source()).unwrap();
    assert_eq!(again.references(), pod.references());
    let text = rendered(pod, &checked.objects, "one");
    assert_eq!(rendered(&again, &checked.objects, "one"), text);
    let bundle: BundleName = "b".parse().unwrap();
    let materials = Materials::of(pod, &checked.objects, &node()).unwrap();
    let stamp = Stamp {
        bundle: &bundle,
        revision: 1,
        uid: "two",
        digest: materials.digest(pod, &KEY),
        volumes: "/volumes/two",
    };
    let two = rendered(pod, &checked.objects, "two");
    assert_eq!(restamp(&text, &again, &stamp), Some(two));
    // What is no rendering of the pod is not taken for one.
    for (part, other) in [
        ("web:1", "web:2"),
        ("\"/etc/pki\"", "\"/etc\""),
        ("$(USERNAME)-$(CONF_LEVEL)", "other"),
        ("\"readOnly\": true", "\"readOnly\": false"),
        ("\"Directory\"", "\"File\""),
        ("seedpod.dev/revision", "revision"),
    ] {
        let changed = text.replacen(part, other, 1);
        assert_ne!(changed, text, "{part}");
        assert_eq!(restamp(&changed, &again, &stamp), None, "{part}");
    }
}

#[test]
fn secrets_in_variables_must_be_allowed() {
    let secret = object("Secret", "s", &json!({"k": "aHVudGVyMg=="}));
    let key = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let from = json!({"envFrom": [{"secretRef": {"name": "s"}}]});
    let strict = Options {
        allow_secret_env: false,
        ..options()
    };
    for (pod, field) in [
        (with_env(&key), "env[0].valueFrom.secretKeyRef"),
        (pod(&json!({}), &from, &Value::Null), "envFrom[0].secretRef"),
    ] {
        let manifest = format!("{secret}{pod}");
        accept(&manifest);
        let violations = refuse_with(&manifest, &strict);
        assert_eq!(violations.len(), 1);
        let violation = &violations[0];
        assert_eq!(violation.reason, Reason::SecretInEnv);
        let path = format!("manifests[0].documents[1].spec.containers[0].{field}");
        assert_eq!(violation.field, path);
        for word in [
            "mirror pod",
            "volume",
            "allow_secret_env",
            "--allow-secret-env",
        ] {
            assert!(violation.description.contains(word), "{violation:?}");
        }
    }
    let of_map =
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
    let map = object("ConfigMap", "m", &json!({"k": "v"}));
    assert!(check(&[format!("{map}{}", with_env(&of_map))], &strict).is_ok());
}

#[test]
fn what_is_missing_comes_with_what_may_have_been_meant() {
    let objects = object("Secret", "etcd-pki", &json!({"tls.crt": "", "tls.key": ""}))
        + &object("ConfigMap", "empty", &json!({}))
        + &object("Secret", "elsewhere", &json!({})).replace(
            "\"name\":\"elsewhere\"",
            "\"name\":\"elsewhere\",\"namespace\":\"other\"",
        );
    for (volume, expected) in [
        (
            json!({"secret": {"secretName": "etdc-pki"}}),
            "the bundle has no Secret \"etdc-pki\" in namespace \"default\": add the document, or set optional: true; did \
             you mean \"etcd-pki\"?",
        ),
        (
            json!({"secret": {"secretName": "elsewhere"}}),
            "the bundle has no Secret \"elsewhere\" in namespace \"default\": add the document, or set optional: true; the \
             one in namespace \"other\" is not for this pod",
        ),
        (
            json!({"configMap": {"name": "etcd-pki"}}),
            "the bundle has no ConfigMap \"etcd-pki\" in namespace \"default\": add the document, or set optional: true",
        ),
        (
            json!({"secret": {"secretName": "etcd-pki", "items": [{"key": "tls.ctr", "path": "a"}]}}),
            "Secret \"etcd-pki\" has no key \"tls.ctr\", only tls.crt, tls.key: correct it, or set optional: true; did you \
             mean \"tls.crt\"?",
        ),
        (
            json!({"configMap": {"name": "empty", "items": [{"key": "a", "path": "a"}]}}),
            "ConfigMap \"empty\" has no key \"a\", and no other: correct it, or set optional: true",
        ),
    ] {
        let violation = refuse(&format!("{objects}{}", with_volume(&volume)));
        assert_eq!(violation.description, expected);
    }
}

#[test]
fn an_object_with_faults_is_not_missing() {
    let faulty = object("Secret", "s", &json!({"k": "no base64"}));
    let volume = json!({"secret": {"secretName": "s", "items": [{"key": "k", "path": "a"}]}});
    let violation = refuse(&format!("{faulty}{}", with_volume(&volume)));
    assert!(
        violation.field.starts_with("manifests[0].documents[0]"),
        "{violation:?}"
    );
}

#[test]
fn an_item_of_env_from_has_one_source() {
    let map = object("ConfigMap", "m", &json!({})) + &object("Secret", "m", &json!({}));
    let both = json!({"envFrom": [{"configMapRef": {"name": "m"}, "secretRef": {"name": "m"}}]});
    let violation = refuse(&format!("{map}{}", pod(&json!({}), &both, &Value::Null)));
    assert_eq!(violation.reason, Reason::ConflictingFields);
}

#[test]
fn the_volumes_of_all_pods_together_are_bounded() {
    let map = object("ConfigMap", "m", &json!({"k": "a".repeat((1 << 20) - 10)}));
    let volumes: Vec<_> = (0..33)
        .map(|index| json!({"name": format!("v{index}"), "configMap": {"name": "m"}}))
        .collect();
    let pod = |name: &str| {
        pod(&json!({"volumes": volumes}), &json!({}), &Value::Null)
            .replace("\"web\"", &format!("{name:?}"))
    };
    accept(&format!("{map}{}", pod("one")));
    let violation = refuse(&format!("{map}{}{}", pod("one"), pod("two")));
    assert_eq!(violation.reason, Reason::VolumesTooLarge);
    assert_eq!(
        violation.field,
        "manifests[0].documents[2].spec.volumes[31].configMap.name"
    );
}

#[test]
fn literals_must_leave_the_pods_file_small_enough() {
    let map = object("ConfigMap", "m", &json!({"k": "\u{1}".repeat(1 << 19)}));
    let with = |count: usize| {
        let variable = |index| json!({"name": format!("A{index}"), "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}});
        let env: Vec<_> = (0..count).map(variable).collect();
        format!("{map}{}", with_env(&json!(env)))
    };
    let checked = accept(&with(3));
    let file = rendered(&checked.pods[0], &checked.objects, "u");
    assert!(file.len() > 9 << 20 && file.len() < 10 << 20);
    let violation = refuse(&with(4));
    assert_eq!(violation.reason, Reason::PodTooLarge);
}

#[test]
fn files_that_their_readers_can_not_read_give_a_warning() {
    let secret = object("Secret", "s", &json!({"k": ""}));
    let secret_of = |mode: u32| json!({"secret": {"secretName": "s", "defaultMode": mode}});
    let user = |context: Value| json!({"securityContext": context});
    for (spec, container, mode, warns) in [
        (user(json!({"runAsUser": 1})), json!({}), 0o600, true),
        (
            user(json!({"runAsUser": 1, "runAsGroup": 1})),
            json!({}),
            0o640,
            true,
        ),
        (
            user(json!({"runAsUser": 1})),
            user(json!({"runAsGroup": 1})),
            0o640,
            true,
        ),
        (json!({}), user(json!({"runAsUser": 1})), 0o600, true),
        // The group may be that of root.
        (user(json!({"runAsUser": 1})), json!({}), 0o640, false),
        (
            user(json!({"runAsUser": 1, "runAsGroup": 1, "supplementalGroups": [0]})),
            json!({}),
            0o640,
            false,
        ),
        (
            user(json!({"runAsUser": 1, "runAsGroup": 1})),
            json!({}),
            0o644,
            false,
        ),
        (
            user(json!({"runAsUser": 1, "fsGroup": 1})),
            json!({}),
            0o600,
            false,
        ),
        (
            user(json!({"runAsUser": 1})),
            user(json!({"runAsUser": 0})),
            0o600,
            false,
        ),
        (json!({}), json!({}), 0o600, false),
    ] {
        let manifest = format!("{secret}{}", pod(&spec, &container, &secret_of(mode)));
        let warnings = accept(&manifest).warnings;
        let found: Vec<_> = warnings
            .iter()
            .map(|it| (it.reason, it.field.as_str()))
            .collect();
        let expected = (
            Reason::UnreadableFile,
            "manifests[0].documents[1].spec.volumes[0]",
        );
        let expected: &[_] = if warns { &[expected] } else { &[] };
        assert_eq!(found, expected, "{manifest}");
    }
}

#[test]
fn a_user_of_files_that_is_not_heeded_gives_a_warning() {
    let secret = object("Secret", "s", &json!({"k": ""}));
    let volume = json!({"secret": {"secretName": "s", "defaultUser": 5, "items": [{"key": "k", "path": "k", "user": 6}]}});
    let warnings = accept(&format!("{secret}{}", with_volume(&volume))).warnings;
    let fields: Vec<_> = warnings.iter().map(|it| it.field.as_str()).collect();
    let prefix = "manifests[0].documents[1].spec.volumes[0].secret";
    assert_eq!(
        fields,
        [
            format!("{prefix}.defaultUser"),
            format!("{prefix}.items[0].user")
        ]
    );
}

fn summaries(objects: &Objects) -> Vec<seedpod_manifest::ObjectSummary> {
    objects.iter().map(|object| object.summary(&KEY)).collect()
}

#[test]
fn a_changed_secret_shows_in_the_diff_of_the_pods_that_see_it() {
    let old = accept(GOOD);
    let new = accept(&GOOD.replace("LS0ta2V5LS0tCg==", "aHVudGVyMg=="));
    let (old_objects, new_objects) = (summaries(&old.objects), summaries(&new.objects));
    let side = |checked: &'static Checked, objects: &'static [_]| Side {
        pod: &checked.pods[0],
        objects,
    };
    let (old, new) = (&*Box::leak(Box::new(old)), &*Box::leak(Box::new(new)));
    let (old_objects, new_objects) = (&*old_objects.leak(), &*new_objects.leak());
    let text = diff(Some(side(old, old_objects)), Some(side(new, new_objects)));
    let changed: Vec<_> = text
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['-', '+']))
        .collect();
    assert_eq!(changed.len(), 2, "{text}");
    assert!(
        changed[0].starts_with("-#   tls.key  10 bytes, hmac-sha256:"),
        "{text}"
    );
    assert!(
        changed[1].starts_with("+#   tls.key  7 bytes, hmac-sha256:"),
        "{text}"
    );
    assert!(text.contains(" # Secret kube-system/pki\n"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"));
    assert_eq!(
        diff(Some(side(old, old_objects)), Some(side(old, old_objects))),
        ""
    );
    // All of it, with the source and not with the values.
    let all = diff(None, Some(side(new, new_objects)));
    for line in [
        "+# Secret kube-system/none: not in the bundle\n",
        "secretKeyRef:\n",
        "+#   NONE  not there\n",
    ] {
        assert!(all.contains(line), "{line}\n{all}");
    }
    assert!(!all.contains("admin") && !all.contains("pa$$"), "{all}");
}

#[test]
fn a_diff_of_objects_shows_keys_and_digests_only() {
    let secret = |data: &Value, rest: &str| {
        let object = object("Secret", "s", data).replace("\"kind\"", &format!("{rest}\"kind\""));
        let pod = with_volume(&json!({"secret": {"secretName": "s"}}));
        summaries(&accept(&format!("{object}{pod}")).objects).remove(0)
    };
    let old = secret(&json!({"a": "aHVudGVyMg==", "b": ""}), "");
    let new = secret(
        &json!({"a": "aHVudGVyMw==", "c": ""}),
        "\"immutable\":true,",
    );
    assert_eq!(diff_object(Some(&old), Some(&old)), "");
    let text = diff_object(Some(&old), Some(&new));
    for part in [
        "--- a/Secret/default/s\n",
        "-  a: 7 bytes, hmac-sha256:",
        "+  c: 0 bytes",
        "+immutable: true",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("hunter") && !text.contains("aHVu"), "{text}");
    assert!(diff_object(None, Some(&new)).starts_with("--- /dev/null\n"));
    // Labels are in no summary, but their change is one.
    let labelled = {
        let pod = with_volume(&json!({"secret": {"secretName": "s"}}));
        let object = object("Secret", "s", &json!({"a": "aHVudGVyMg==", "b": ""}))
            .replace("\"name\":\"s\"", "\"name\":\"s\",\"labels\":{\"a\":\"b\"}");
        summaries(&accept(&format!("{object}{pod}")).objects).remove(0)
    };
    let text = diff_object(Some(&old), Some(&labelled));
    assert!(text.contains("+# metadata, hmac-sha256:"), "{text}");
}

#[test]
fn an_object_as_yaml_shows_a_secret_only_when_asked() {
    for object in accept(GOOD).objects.iter() {
        let masked = object_to_yaml(object, Secrets::Masked);
        let shown = object_to_yaml(object, Secrets::Shown);
        for value in ["LS0ta2V5", "YWRtaW4", "admin", "---key"] {
            assert!(!masked.contains(value), "{masked}");
        }
        let again = accept(&format!(
            "{shown}\n{}",
            with_volume(&json!({"emptyDir": {}}))
        ));
        let digest = |objects: &Objects| summaries(objects)[0].digest;
        assert_eq!(digest(&again.objects), object.summary(&KEY).digest);
    }
}

#[test]
fn hostile_references_get_an_answer_soon() {
    let keys: serde_json::Map<_, _> = (0..20_000).map(|n| (format!("k{n}"), json!(""))).collect();
    let many = object("ConfigMap", "m", &Value::from(keys));
    let binary: serde_json::Map<_, _> = (0..10_000)
        .map(|n| (format!("k{n}"), json!("/w==")))
        .collect();
    let binary = object("Secret", "b", &Value::from(binary));
    let volumes = |count: usize, name: &str| -> Vec<_> {
        (0..count)
            .map(|n| json!({"name": format!("v{n}"), "configMap": {"name": name}}))
            .collect()
    };
    let mounts: Vec<_> = (0..20_000)
        .map(|n| json!({"name": format!("v{}", n % 7), "mountPath": format!("/{}", "a/".repeat(n % 300) + &n.to_string())}))
        .collect();
    let from = |kind: &str, name: &str| {
        let sources: Vec<_> = (0..5_000).map(|_| json!({kind: {"name": name}})).collect();
        pod(&json!({}), &json!({"envFrom": sources}), &Value::Null)
    };
    for manifest in [
        format!(
            "{many}{}",
            pod(
                &json!({"volumes": volumes(20_000, "m")}),
                &json!({}),
                &Value::Null
            )
        ),
        format!(
            "{many}{}",
            pod(
                &json!({"volumes": volumes(20_000, "n")}),
                &json!({}),
                &Value::Null
            )
        ),
        format!(
            "{many}{}",
            pod(
                &json!({"volumes": volumes(7, "m")}),
                &json!({"volumeMounts": mounts}),
                &Value::Null
            )
        ),
        format!("{many}{}", from("configMapRef", "m")),
        format!("{binary}{}", from("secretRef", "b")),
    ] {
        let start = std::time::Instant::now();
        let answer = check(&[manifest], &options());
        // In a debug build, on a busy machine: it is the quadratic that is to be caught.
        let took = start.elapsed();
        assert!(
            took.as_secs() < 30,
            "{took:?} {:?}",
            answer.map(|it| it.pods.len())
        );
    }
}
