//! `seedpod lint`.

use std::fs;

use predicates::str::contains;

use crate::tool::{seedpod, stderr};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: x\n";

#[test]
fn a_good_pod_is_ok() {
    seedpod(&["lint", "-f", "-"])
        .write_stdin(POD)
        .assert()
        .success()
        .stdout(contains("ok: 1 pod"));
}

#[test]
fn a_fault_is_shown_with_file_line_column_field_and_caret() {
    let directory = tempfile::tempdir().expect("a scratch folder");
    let file = directory.path().join("web.yaml");
    fs::write(&file, POD.replace("image:", "imag:")).expect("written");
    let assert = seedpod(&["lint", "-f", &file.display().to_string()])
        .assert()
        .code(1)
        .stdout("");
    let text = stderr(&assert);
    // The field that is there, not the one that is missing for it.
    let at = format!("error: {}:8:5: spec.containers[0].imag: ", file.display());
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with(&at))
        .collect();
    assert!(lines[0].ends_with("[UNKNOWN_FIELD]"), "{text}");
    assert_eq!(lines[1..3], ["  8 |     imag: x", "    |     ^"]);
    assert!(text.ends_with("in 1 file\n"), "{text}");
}

#[test]
fn unknown_fields_can_be_only_warned_about() {
    let pod = format!("{POD}  fromTheFuture: true\n");
    seedpod(&["lint", "-f", "-"])
        .write_stdin(pod.clone())
        .assert()
        .code(1);
    seedpod(&["lint", "-f", "-", "--validation", "warn"])
        .write_stdin(pod)
        .assert()
        .success()
        .stderr(contains("warning: <stdin>:9:"));
}

#[test]
fn a_node_name_that_is_none_is_wrong_usage() {
    seedpod(&["lint", "-f", "-", "--node", "-x-"])
        .write_stdin(POD)
        .assert()
        .code(2);
    seedpod(&["lint", "-f", "-", "--node=_"])
        .write_stdin(POD)
        .assert()
        .code(2)
        .stderr(contains("--node"));
}
