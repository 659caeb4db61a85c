//! `seedpod render` and `seedpod config init`.

use std::{fs, path::Path};

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use serde_json::Value;
use tempfile::TempDir;

use crate::tool::{seedpod, stdout};

/// A folder with a `cluster.yaml` as `config init` prints it.
fn initialised() -> TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let text = stdout(&seedpod(&["config", "init"]).assert().success());
    fs::write(folder.path().join("cluster.yaml"), text).expect("written");
    folder
}

fn render(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    seedpod(&[&["render", "-f", "cluster.yaml", "out"], args].concat())
        .current_dir(folder)
        .assert()
}

fn report(folder: &Path) -> Value {
    let text = stdout(&render(folder, &["-o", "json"]).success());
    serde_json::from_str(&text).expect("JSON")
}

fn results(report: &Value) -> Vec<(&str, &str)> {
    let files = report["files"].as_array().expect("files");
    files
        .iter()
        .map(|file| {
            (
                file["path"].as_str().expect("a path"),
                file["result"].as_str().expect("a result"),
            )
        })
        .collect()
}

#[test]
fn what_config_init_prints_is_rendered_as_it_is() {
    let folder = initialised();
    render(folder.path(), &[])
        .success()
        .stdout(
            contains("out/pki: 34 files made: keys and certificates\n")
                .and(contains("out/kubeconfigs: 3 files made")),
        )
        .stderr(contains("keep it to yourself").and(contains("warning").not()));
    let admin = folder.path().join("out/kubeconfigs/admin.kubeconfig");
    let admin = fs::read_to_string(admin).expect("a kubeconfig");
    assert!(
        admin.contains("server: \"https://192.0.2.11:6443\""),
        "{admin}"
    );
    render(folder.path(), &[])
        .success()
        .stdout(
            contains("out/pki: 34 files kept: keys and certificates\n").and(contains("made").not()),
        )
        .stderr("Everything was there already.\n");
}

#[test]
fn programs_are_told_what_became_of_each_file() {
    let folder = initialised();
    let first = report(folder.path());
    assert_eq!(first["cluster"], "example");
    assert_eq!(first["kubernetesVersion"], "v1.37.2");
    assert_eq!(first["controlPlaneEndpoint"], "https://192.0.2.11:6443");
    let bundles = first["bundles"].as_array().expect("bundles");
    let bundles: Vec<&str> = bundles
        .iter()
        .map(|bundle| bundle["folder"].as_str().expect("a folder"))
        .collect();
    assert_eq!(
        bundles,
        [
            "out/bundles/node-1/etcd",
            "out/bundles/node-1/control-plane"
        ]
    );
    let made = results(&first);
    assert!(made.contains(&("pki/ca.key", "made")) && made.contains(&("render.yaml", "made")));
    assert!(made.iter().all(|(_, result)| *result == "made"), "{made:?}");

    let pki = folder.path().join("out/pki");
    for name in ["admin.crt", "admin.key"] {
        fs::remove_file(pki.join(name)).expect("removed");
    }
    let second = report(folder.path());
    let mut changed = results(&second);
    changed.retain(|(_, result)| *result != "kept");
    assert_eq!(
        changed,
        [
            ("kubeconfigs/admin.kubeconfig", "changed"),
            ("pki/admin.crt", "made"),
            ("pki/admin.key", "made"),
        ]
    );
    render(folder.path(), &["-o", "name"])
        .success()
        .stdout(contains("out/pki/ca.key\n"));
    render(folder.path(), &["-o", "wide"])
        .success()
        .stdout(contains("kept      out/pki/ca.key\n"));
    let everything = stdout(&render(folder.path(), &["-o", "yaml"]).success());
    assert!(!everything.contains("PRIVATE"), "no key is printed");
}

#[test]
fn faults_of_the_configuration_are_told_at_once_and_nothing_is_written() {
    let folder = initialised();
    let file = folder.path().join("cluster.yaml");
    let text = fs::read_to_string(&file).expect("read");
    let wrong = text
        .replace("level: \"1-4\"", "level: \"0-4\"")
        .replace("address: 192.0.2.11", "address: 10.96.0.11");
    fs::write(&file, wrong).expect("written");
    render(folder.path(), &[]).code(2).stdout("").stderr(
        contains("cluster.yaml: 2 faults:\n  cluster.yaml:11:8: level: 0-4, ")
            .and(contains("comes later"))
            .and(contains(
                "\n  cluster.yaml:22:12: nodes[0].address: 10.96.0.11 is within networking.serviceSubnet",
            )),
    );
    fs::write(&file, text.replace("nodes:", "node:")).expect("written");
    render(folder.path(), &[])
        .code(2)
        .stderr(contains("cluster.yaml:20:1: unknown field `node`"));
    fs::remove_file(&file).expect("removed");
    render(folder.path(), &[])
        .code(2)
        .stderr(contains("cannot read cluster.yaml: ").and(contains("seedpod config init")));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn files_that_do_not_fit_are_told_with_the_remedy() {
    let folder = initialised();
    render(folder.path(), &[]).success();
    let key = folder.path().join("out/pki/scheduler.key");
    fs::write(&key, "not a key\n").expect("written");
    fs::remove_file(folder.path().join("out/pki/sa.key")).expect("removed");
    render(folder.path(), &[]).code(1).stdout("").stderr(
        contains("2 files do not fit:\n  out/pki/sa.key: it is missing")
            .and(contains(
                "out/pki/scheduler.key: it holds no private key in PEM form; remove scheduler.crt and scheduler.key",
            ))
            .and(contains("not a key").not()),
    );
}

#[test]
fn warnings_are_told_and_do_not_hinder() {
    let folder = initialised();
    let file = folder.path().join("cluster.yaml");
    let text = fs::read_to_string(&file).expect("read");
    let text = text.replace("kubernetesVersion: v1.37.2", "kubernetesVersion: v1.99.0");
    fs::write(&file, text).expect("written");
    render(folder.path(), &[]).success().stderr(contains(
        "warning: kubernetesVersion: Seedpod is tried with",
    ));
}
