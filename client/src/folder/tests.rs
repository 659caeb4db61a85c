#![allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const HEAD: &str = "apiVersion: seedpod.dev/v1alpha1\nkind: BundleFolder\n";

/// Planted wherever a value of a Secret may stand: nothing that is printed has it.
const MARKER: &str = "hunter2";

struct Scene(TempDir);

impl Scene {
    fn new(seedpod: &str) -> Self {
        let scene = Self(tempfile::tempdir().expect("a scratch folder"));
        scene.with("seedpod.yaml", format!("{HEAD}{seedpod}"))
    }

    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
        self
    }

    fn read(&self) -> Result<Folder, FolderError> {
        Folder::read(self.0.path())
    }

    fn documents(&self) -> Vec<Value> {
        let folder = self.read().expect("a good folder");
        let generated = folder
            .manifests()
            .iter()
            .filter(|manifest| manifest.is_generated());
        generated
            .map(|manifest| serde_json::from_str(manifest.text()).expect("JSON"))
            .collect()
    }

    /// The error, without the scratch folder's name.
    fn error(&self) -> String {
        let error = self.read().expect_err("a bad folder");
        let debug = format!("{error:?}");
        assert!(!debug.contains(MARKER), "{debug}");
        let text = anyhow::Error::from(error);
        let text = format!("{text:#}").replace(&format!("{}/", self.0.path().display()), "");
        assert!(!text.contains(MARKER), "{text}");
        text
    }
}

#[test]
fn plain_files_and_literals_become_manifests() {
    let scene = Scene::new(
        "\
bundle: control-plane
namespace: kube-system
resources: [pods/, extra.json]
secretGenerator:
- name: etcd-pki
  files: [pki/ca.crt, server.key=pki/etcd/key.pem]
  literals: [user=admin, 'quoted=\"a=b\"', \"single='x'\", 'odd=\"x', empty=]
  envs: [db.env]
  options:
    immutable: true
    labels: {app: etcd}
    annotations: {why: test}
- name: tls
  namespace: web
  type: kubernetes.io/tls
  files: [tls.crt=pki/ca.crt, tls.key=pki/etcd/key.pem]
configMapGenerator:
- name: greeting
  files: [logo.bin, motd=pki/ca.crt]
  literals: ['greeting=Hello \"you\"']
",
    )
    .with("pods/b.yaml", "kind: Pod # b")
    .with("pods/a.yml", "kind: Pod # a")
    .with("pods/.hidden.yaml", "kind: Pod # hidden")
    .with("pods/deep/c.yaml", "kind: Pod # deep")
    .with("extra.json", "{}")
    .with("not-named.yaml", "kind: Pod")
    .with("pki/ca.crt", "CA\n")
    .with("pki/etcd/key.pem", MARKER)
    .with("logo.bin", b"\xff\x00")
    .with(
        "db.env",
        "\u{feff}# comment\n\n  HOST=db\nPASSWORD= \"kept=as it is\" \r\n",
    );
    let folder = scene.read().expect("a good folder");
    assert_eq!(folder.bundle(), Some("control-plane"));
    let labels: Vec<String> = folder
        .manifests()
        .iter()
        .map(|manifest| {
            manifest
                .label()
                .replace(&format!("{}/", scene.0.path().display()), "")
        })
        .collect();
    assert_eq!(
        labels,
        [
            "pods/a.yml",
            "pods/b.yaml",
            "extra.json",
            "seedpod.yaml:7: secretGenerator[0] (etcd-pki)",
            "seedpod.yaml:15: secretGenerator[1] (tls)",
            "seedpod.yaml:20: configMapGenerator[0] (greeting)",
        ]
    );
    assert_eq!(
        scene.documents(),
        [
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
                "metadata": {
                    "name": "etcd-pki", "namespace": "kube-system",
                    "labels": {"app": "etcd"}, "annotations": {"why": "test"},
                },
                "data": {
                    "ca.crt": "Q0EK", "server.key": "aHVudGVyMg==", "user": "YWRtaW4=",
                    "quoted": "YT1i", "single": "eA==", "odd": "Ing=", "empty": "",
                    "HOST": "ZGI=", "PASSWORD": "ICJrZXB0PWFzIGl0IGlzIiA=",
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": "tls", "namespace": "web"},
                "data": {"tls.crt": "Q0EK", "tls.key": "aHVudGVyMg=="},
            }),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "greeting", "namespace": "kube-system"},
                "data": {"greeting": "Hello \"you\"", "motd": "CA\n"},
                "binaryData": {"logo.bin": "/wA="},
            }),
        ]
    );
    let request = folder.request().expect("it names a bundle").to_message();
    assert_eq!(
        (request.bundle.as_str(), request.manifests.len()),
        ("control-plane", 6)
    );
    assert!(!format!("{folder:?}").contains("aHVudGVyMg"));
}

#[test]
fn a_generated_manifest_is_the_same_each_time() {
    let scene = Scene::new("secretGenerator:\n- name: a\n  literals: [z=1, b=2]\n");
    let text = |scene: &Scene| {
        let folder = scene.read().expect("a good folder");
        folder.manifests()[0].text().to_owned()
    };
    assert_eq!(
        text(&scene),
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"type":"Opaque","data":{"b":"Mg==","z":"MQ=="}}"#
    );
    assert_eq!(text(&scene), text(&scene));
}

#[test]
fn without_resources_it_is_all_manifests_but_what_generators_take() {
    let scene = Scene::new(
        "configMapGenerator:\n- name: a\n  files: [config.yaml, x=./other.json]\n  envs: [b.yml]\n",
    )
    .with("config.yaml", "a: 1")
    .with("other.json", "{}")
    .with("b.yml", "A=1")
    .with("pod.yaml", "kind: Pod")
    .with("readme.md", "")
    .with("deep/pod.yaml", "kind: Pod");
    let folder = scene.read().expect("a good folder");
    let texts: Vec<&str> = folder
        .manifests()
        .iter()
        .map(FolderManifest::text)
        .collect();
    assert_eq!((texts.len(), texts[0]), (2, "kind: Pod"));
    assert_eq!((folder.bundle(), folder.request().is_none()), (None, true));
}

#[test]
fn absolute_paths_and_those_above_the_folder_are_taken() {
    let outside = tempfile::tempdir().expect("a scratch folder");
    let key = outside.path().join("key");
    fs::write(&key, "x").expect("written");
    let scene = Scene::new(&format!(
        "secretGenerator:\n- name: a\n  files: [{}, sub/../other]\n",
        key.display()
    ))
    .with("other", "y")
    .with("sub/z", "");
    assert_eq!(
        scene.documents()[0]["data"],
        json!({"key": "eA==", "other": "eQ=="})
    );
}

#[test]
fn a_fault_names_its_place_and_the_remedy() {
    for (seedpod, expected) in [
        (
            "secretGenerators: []",
            "seedpod.yaml:3:1: unknown field `secretGenerators`, expected one of apiVersion, kind, bundle, namespace, \
             resources, secretGenerator, configMapGenerator",
        ),
        (
            "bundle: ''",
            "seedpod.yaml: bundle: must not be empty; give a name",
        ),
        (
            "",
            "seedpod.yaml: there is nothing to inject: name manifests in resources",
        ),
        ("resources: []", "seedpod.yaml: there is nothing to inject"),
        (
            "resources:\n- a.yaml",
            "seedpod.yaml:4:3: resources[0]: cannot read a.yaml: No such file or directory (os error 2); paths start at \
             the folder of this file",
        ),
        (
            "resources: [deep]",
            "seedpod.yaml:3:13: resources[0]: there is no *.yaml, *.yml or *.json in deep; folders below it are to be \
             named themselves",
        ),
        (
            "resources: [nested]",
            "seedpod.yaml:3:13: resources[0]: nested has a seedpod.yaml of its own",
        ),
        (
            "secretGenerator: [{name: a}]",
            "seedpod.yaml:3:19: secretGenerator[0]: it takes nothing; give files, literals or envs",
        ),
        (
            "secretGenerator: [{name: '', literals: [a=hunter2]}]",
            "secretGenerator[0].name: must not be empty",
        ),
        (
            "secretGenerator: [{literals: [a=hunter2]}]",
            "missing field `name`",
        ),
        (
            "configMapGenerator: [{name: a, type: Opaque, literals: [a=b]}]",
            "configMapGenerator[0].type: only Secrets have a type; leave it out",
        ),
        (
            "secretGenerator:\n- name: a\n  files:\n  - missing.key\n",
            "seedpod.yaml:6:5: secretGenerator[0].files[0]: cannot read missing.key: No such file or directory (os error \
             2); paths start at the folder of this file",
        ),
        (
            "secretGenerator: [{name: a, files: [deep]}]",
            "secretGenerator[0].files[0]: deep is a folder; name each file in it",
        ),
        (
            "secretGenerator: [{name: a, files: [big]}]",
            "secretGenerator[0].files[0]: big has 1048577 bytes, and a Secret or ConfigMap holds at most 1048576; ",
        ),
        (
            "secretGenerator: [{name: a, files: [half, other=half, third=half]}]",
            "secretGenerator[0].files[2]: with this it has more than the 1048576 bytes",
        ),
        (
            "secretGenerator: [{name: a, files: [a=b=c]}]",
            "secretGenerator[0].files[0]: has more than one \"=\"",
        ),
        (
            "secretGenerator: [{name: a, files: [=x]}]",
            "is neither PATH nor KEY=PATH",
        ),
        (
            "secretGenerator: [{name: a, files: [x=]}]",
            "is neither PATH nor KEY=PATH",
        ),
        (
            "secretGenerator: [{name: a, files: [..]}]",
            "secretGenerator[0].files[0]: .. names no file; write KEY=PATH",
        ),
        (
            "secretGenerator: [{name: a, files: [a b]}]",
            "secretGenerator[0].files[0]: its key has ' ' in it, and only letters, digits",
        ),
        (
            "secretGenerator: [{name: a, files: [..x=half]}]",
            "its key is \".\" or begins with \"..\"",
        ),
        (
            "secretGenerator: [{name: a, files: [half], literals: [half=hunter2]}]",
            "secretGenerator[0].literals[0]: the key \"half\" is there already; give one of the two another key",
        ),
        (
            "secretGenerator: [{name: a, literals: [hunter2]}]",
            "seedpod.yaml:3:40: secretGenerator[0].literals[0]: is not KEY=VALUE; write it as in user=admin",
        ),
        (
            "secretGenerator: [{name: a, literals: [=hunter2]}]",
            "literals[0]: is not KEY=VALUE",
        ),
        (
            "secretGenerator: [{name: a, literals: ['pass word hunter2=x']}]",
            "literals[0]: its key has ' ' in it",
        ),
        (
            "secretGenerator: [{name: a, envs: [bad.env]}]",
            "secretGenerator[0].envs[0]: line 2 of bad.env is not KEY=VALUE; write KEY= for an empty value",
        ),
        (
            "secretGenerator: [{name: a, envs: [binary]}]",
            "secretGenerator[0].envs[0]: cannot read binary: line 2 is not UTF-8 text",
        ),
    ] {
        let scene = Scene::new(seedpod)
            .with("deep/deeper/pod.yaml", "")
            .with("nested/seedpod.yaml", "")
            .with("half", vec![b'x'; 1 << 19])
            .with("big", vec![b'x'; (1 << 20) + 1])
            .with("a b", MARKER)
            .with("x", "x")
            .with("bad.env", format!("A=1\n{MARKER}\n"))
            .with("binary", b"A=1\nhunter2=\xff\n");
        let text = scene.error();
        assert!(text.contains(expected), "{seedpod}: {text}");
    }
}

#[test]
fn a_file_of_another_sort_is_refused() {
    for (text, expected) in [
        (
            "",
            "the file is empty; begin it with \"apiVersion: seedpod.dev/v1alpha1\"",
        ),
        ("# nothing\n", "the file is empty"),
        ("kind: BundleFolder\n", "missing field `apiVersion`"),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            "seedpod.yaml:1:13: apiVersion: it is not known; write seedpod.dev/v1alpha1",
        ),
        (
            "apiVersion: seedpod.dev/v1alpha1\nkind: Bundle\n",
            "seedpod.yaml:2:7: kind: it is not known; write BundleFolder",
        ),
    ] {
        let scene = Scene::new("").with("seedpod.yaml", text);
        assert!(
            scene.error().contains(expected),
            "{text}: {}",
            scene.error()
        );
    }
    let none = tempfile::tempdir().expect("a scratch folder");
    let error = Folder::read(none.path()).expect_err("no folder of this kind");
    assert!(error.to_string().ends_with("seedpod.yaml"), "{error}");
}

#[test]
fn no_value_is_in_an_error_about_the_yaml() {
    for seedpod in [
        "secretGenerator: hunter2",
        "secretGenerator: [hunter2]",
        "secretGenerator:\n- name: a\n  literals: hunter2",
        "secretGenerator:\n- name: a\n  literals: 'x, expected hunter2'",
        "secretGenerator:\n- name: a\n  literals: [{password: hunter2}]",
        "secretGenerator:\n- name: a\n  literals: {password: hunter2}",
        "secretGenerator:\n- name: a\n  literals: [[hunter2]]",
        "secretGenerator:\n- name: a\n  literals: [\"password=hunter2]",
        "secretGenerator:\n- name: a\n  literals:\n  - password=hunter2\n   - b: c",
        "secretGenerator:\n- name: a\n  literals: [!hunter2 x=y]",
        "secretGenerator:\n- name: a\n  literals: [*hunter2]",
        "secretGenerator:\n- name: a\n  literals: ['a=\\hunter2\"]",
        "secretGenerator:\n- name: a\n  options: {immutable: hunter2}",
        "secretGenerator:\n- name: a\n  options: hunter2",
        "secretGenerator:\n- name: a\n  literals: [a=hunter2]\n  literals: [b=hunter2]",
    ] {
        let text = Scene::new(seedpod).error();
        assert!(text.starts_with("seedpod.yaml:"), "{seedpod}: {text}");
    }
}
