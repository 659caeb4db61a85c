//! Folders with a `seedpod.yaml`, and what is never printed of the Secrets in them.

use std::{fs, path::PathBuf};

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use tempfile::TempDir;

use crate::{
    fake::{Answer, Fake, Script, always, bad_request, bundle, injected},
    tool::{ask, seedpod, stderr, stdout},
};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: x\n";

/// Planted in Secrets; nothing that is printed has it, in clear or as base64.
const MARKERS: [&str; 2] = ["hunter2", "aHVudGVyMg"];

struct Scene(TempDir);

impl Scene {
    /// A folder of bundle `web` with a pod, a Secret and a ConfigMap.
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().expect("a scratch folder"));
        scene.write(
            "seedpod.yaml",
            "apiVersion: seedpod.dev/v1alpha1\nkind: BundleFolder\nbundle: web\nresources: [pod.yaml]\n\
             secretGenerator:\n- name: login\n  files: [password]\n\
             configMapGenerator:\n- name: greeting\n  literals: [greeting=hello]\n",
        );
        scene.write("pod.yaml", POD);
        scene.write("password", "hunter2");
        scene
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn path(&self) -> String {
        self.0.path().display().to_string()
    }
}

fn fake() -> Fake {
    Fake::start(Script {
        inject: always(injected(bundle("web", 3, &[]), &[])),
        ..Script::default()
    })
}

#[test]
fn a_folder_is_injected_into_the_bundle_that_it_names() {
    let (fake, scene) = (fake(), Scene::new());
    for more in [&["--dry-run"] as &[&str], &["-o", "json"], &[]] {
        let path = scene.path();
        let args = [&["inject", &path], more].concat();
        let assert = ask(&fake, &args).success();
        let printed = stdout(&assert) + &stderr(&assert);
        assert!(
            MARKERS.iter().all(|marker| !printed.contains(marker)),
            "{printed}"
        );
    }
    let sent = fake.script().injected.pop().expect("a request");
    assert_eq!(sent.bundle, "web");
    assert!(!sent.allow_secret_env);
    assert_eq!(sent.manifests.len(), 3);
    assert_eq!(sent.manifests[0], POD);
    let secret: serde_json::Value = serde_json::from_str(&sent.manifests[1]).expect("JSON");
    assert_eq!(
        (&secret["kind"], &secret["data"]["password"]),
        (&"Secret".into(), &"aHVudGVyMg==".into())
    );
    assert!(sent.manifests[2].contains(r#""data":{"greeting":"hello"}"#));
}

#[test]
fn the_folder_and_its_file_mean_the_same_also_behind_f() {
    let (fake, scene) = (fake(), Scene::new());
    let (path, file) = (scene.path(), format!("{}/seedpod.yaml", scene.path()));
    for args in [
        &["inject", &file] as &[&str],
        &["inject", "other", "-f", &path],
        &["inject", "other", "-f", &file, "--allow-secret-env"],
        &["inject", "other", "-R", "-f", &path],
    ] {
        ask(&fake, args).success();
        let sent = fake.script().injected.pop().expect("a request");
        assert_eq!(sent.manifests.len(), 3, "{args:?}");
        let bundle = if args.contains(&"-f") { "other" } else { "web" };
        assert_eq!(sent.bundle, bundle, "the one that is given wins");
        assert_eq!(sent.allow_secret_env, args.contains(&"--allow-secret-env"));
    }
    // From within it.
    let mut tool = seedpod(&["inject", "."]);
    tool.env("SEEDPOD_ENDPOINT", &fake.endpoint)
        .current_dir(scene.0.path())
        .assert()
        .success();
}

#[test]
fn what_is_no_such_folder_is_refused_with_the_way_out() {
    let (fake, scene) = (fake(), Scene::new());
    scene.write("plain/pod.yaml", POD);
    scene.write(
        "nameless/seedpod.yaml",
        "apiVersion: seedpod.dev/v1alpha1\nkind: BundleFolder\n",
    );
    scene.write("nameless/pod.yaml", POD);
    scene.write("outer/inner/seedpod.yaml", "");
    let path = |below: &str| format!("{}/{below}", scene.path());
    for (args, expected) in [
        (
            vec!["inject".to_owned(), path("none")],
            format!(
                "there is no folder {}; name one that has a seedpod.yaml",
                path("none")
            ),
        ),
        (
            vec!["inject".to_owned(), path("plain")],
            format!(
                "has no seedpod.yaml; write one, or name the bundle: seedpod inject NAME -f {}",
                path("plain")
            ),
        ),
        (
            vec!["inject".to_owned(), path("pod.yaml")],
            format!(
                "is no folder; name the bundle: seedpod inject NAME -f {}",
                path("pod.yaml")
            ),
        ),
        (
            vec!["inject".to_owned(), path("nameless")],
            "names no bundle; add \"bundle: NAME\" to it".to_owned(),
        ),
        (
            vec![
                "inject".to_owned(),
                path("plain"),
                "-f".to_owned(),
                path("pod.yaml"),
            ],
            "with -f, the bundle's name comes first".to_owned(),
        ),
        (
            vec![
                "inject".to_owned(),
                "x".to_owned(),
                "-R".to_owned(),
                "-f".to_owned(),
                path("outer"),
            ],
            format!(
                "{0} has a seedpod.yaml of its own, which -R does not read; give it as -f {0}",
                path("outer/inner")
            ),
        ),
        (
            vec!["lint".to_owned(), path("plain")],
            format!(
                "no folder with a seedpod.yaml; for manifests alone write: seedpod lint -f {}",
                path("plain")
            ),
        ),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        ask(&fake, &args)
            .code(2)
            .stdout("")
            .stderr(contains(expected));
    }
    assert!(fake.script().injected.is_empty());
}

#[test]
fn a_fault_in_the_file_is_shown_with_its_place() {
    let scene = Scene::new();
    fs::remove_file(scene.0.path().join("password")).expect("removed");
    for verb in ["inject", "lint"] {
        seedpod(&[verb, &scene.path()]).assert().code(2).stdout("").stderr(contains(format!(
            "error: {}/seedpod.yaml:7:11: secretGenerator[0].files[0]: cannot read password: No such file",
            scene.path()
        )));
    }
}

#[test]
fn what_the_node_says_of_a_generated_object_names_its_entry() {
    let refuse = |_: &_| {
        Answer::Refuse(bad_request(&[
            (
                "manifests[1].metadata.name",
                "is no name (line 1, column 55)",
                "INVALID_NAME",
            ),
            (
                "manifests[0].spec",
                "is wrong (line 5, column 1)",
                "INVALID_VALUE",
            ),
        ]))
    };
    let fake = Fake::start(Script {
        inject: Some(Box::new(refuse)),
        ..Script::default()
    });
    let scene = Scene::new();
    let text = stderr(&ask(&fake, &["inject", &scene.path()]).code(1).stdout(""));
    let expected = format!(
        "error: {0}/seedpod.yaml:6: secretGenerator[0] (login): metadata.name: is no name [INVALID_NAME]\nerror: \
         {0}/pod.yaml:5:1: spec: is wrong [INVALID_VALUE]\n  5 | spec:\n",
        scene.path()
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(
        MARKERS.iter().all(|marker| !text.contains(marker)),
        "{text}"
    );
}

#[test]
fn no_line_of_a_secret_is_printed() {
    let scene = Scene::new();
    for (index, manifest) in [
        "kind: Secret\napiVersion: v1\nmetadata: {name: a}\nstringData:\n  a: [hunter2]\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: a}\nstringData:\n  a: \"hunter2\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata:\n  a: hunter2!\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata:\n  a: aHVudGVyMg\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: a}\nstringDate:\n  a: hunter2\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: A}\nstringData: {a: hunter2, a: hunter2}\n",
        "kind: Secrte\napiVersion: v1\nstringData: {a: hunter2}\n",
        "kind: Secret\nstringData: {a: |\n---\nhunter2}\n",
        "kind: Secret\nstringData:\n  a: |\n    x\n   hunter2\n",
        r#"{"kind":"Secret","apiVersion":"v1","stringData":{"a":"hunter2"},"x":1}"#,
        r#"{"kind":"Secret","apiVersion":"v1","stringData":{"a":"hunter2}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("bad/{index}.yaml");
        scene.write(&file, manifest);
        let path = format!("{}/{file}", scene.path());
        let assert = seedpod(&["lint", "-f", &path, "--color", "always"])
            .assert()
            .code(1);
        let text = stderr(&assert);
        assert!(text.contains(&path), "{text}");
        let source: Vec<&str> = text.lines().filter(|line| line.contains(" |")).collect();
        assert!(source.is_empty(), "{manifest}: {text}");
    }
}

/// The folder that the README and the quickstart show.
fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../hack/examples/secret")
}

#[test]
fn the_example_is_right() {
    let path = example().display().to_string();
    seedpod(&["lint", &path])
        .assert()
        .success()
        .stdout(contains("ok: 1 pod, 1 Secret, 1 ConfigMap, 0 warnings"))
        .stderr("");
    let fake = fake();
    ask(&fake, &["inject", &path]).success();
    let sent = fake.script().injected.pop().expect("a request");
    assert_eq!((sent.bundle.as_str(), sent.manifests.len()), ("greeter", 3));
}

#[test]
fn variables_from_secrets_are_let_pass_on_demand() {
    let scene = Scene::new();
    let pod = format!(
        "{POD}    env:\n    - name: A\n      valueFrom: {{secretKeyRef: {{name: login, key: password}}}}\n"
    );
    scene.write("pod.yaml", &pod);
    seedpod(&["lint", &scene.path()])
        .assert()
        .code(1)
        .stderr(contains("pod.yaml:11:").and(contains("hunter2").not()));
    seedpod(&["lint", &scene.path(), "--allow-secret-env"])
        .assert()
        .success();
}
