//! Contexts.

use std::fs;

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use tempfile::TempDir;

use crate::{
    fake::{Fake, Script, always, node},
    tool::{seedpod, stdout},
};

/// A home for one test's configuration.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        seedpod(args)
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .assert()
    }

    fn write(&self, text: &str) {
        let directory = self.0.path().join(".config/seedpod");
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join("config.yaml"), text).expect("written");
    }
}

#[test]
fn contexts_are_added_chosen_listed_and_deleted() {
    let home = Home::new();
    home.run(&[
        "config",
        "set-context",
        "a",
        "--endpoint",
        "node-a",
        "--ca-file",
        "pki/ca.crt",
    ])
    .success();
    home.run(&[
        "config",
        "set-context",
        "b",
        "--endpoint",
        "unix:///run/b.sock",
    ])
    .success();
    home.run(&["config", "current-context"])
        .success()
        .stdout("a\n");
    home.run(&["config", "use-context", "b"]).success();
    home.run(&["config", "current-context"])
        .success()
        .stdout("b\n");
    home.run(&["config", "get-contexts", "-o", "name"])
        .success()
        .stdout("a\nb\n");
    let list = stdout(&home.run(&["config", "get-contexts"]).success());
    assert!(list.contains("https://node-a:10290"), "{list}");
    assert!(
        list.lines()
            .any(|line| line.starts_with("*  ") && line.contains("unix:///run/b.sock")),
        "{list}"
    );
    let absolute = home.0.path().join("pki/ca.crt").display().to_string();
    home.run(&["config", "view"])
        .success()
        .stdout(contains(absolute).and(contains("current-context: b")));
    home.run(&["config", "delete-context", "b"])
        .success()
        .stderr(contains("now none is"));
    home.run(&["config", "get-contexts", "-o", "name"])
        .success()
        .stdout("a\n");
    home.run(&["config", "current-context"]).code(2);
    home.run(&["config", "use-context", "b"])
        .code(2)
        .stderr(contains("there are: a"));
}

#[test]
fn a_context_can_be_changed_in_parts() {
    let home = Home::new();
    home.run(&["config", "set-context", "a", "--endpoint", "node-a"])
        .success();
    home.run(&["config", "set-context", "a", "--server-name", "other"])
        .success();
    home.run(&["config", "view"])
        .success()
        .stdout(contains("https://node-a:10290").and(contains("server-name: other")));
    home.run(&["config", "set-context", "new"])
        .code(2)
        .stderr(contains("needs --endpoint"));
}

#[test]
fn the_current_context_is_used_and_arguments_win() {
    let fake = Fake::start(Script {
        get_node: always(node()),
        ..Script::default()
    });
    let home = Home::new();
    home.run(&[
        "config",
        "set-context",
        "good",
        "--endpoint",
        &fake.endpoint,
    ])
    .success();
    home.run(&[
        "config",
        "set-context",
        "bad",
        "--endpoint",
        "unix:///nonexistent/s.sock",
    ])
    .success();
    home.run(&["get", "node", "-o", "name"])
        .success()
        .stdout("node/node-1\n");
    home.run(&["get", "node", "--context", "bad"]).code(4);
    home.run(&[
        "get",
        "node",
        "--context",
        "bad",
        "--endpoint",
        &fake.endpoint,
    ])
    .success();
    seedpod(&["get", "node"])
        .env("HOME", home.0.path())
        .env("SEEDPOD_CONTEXT", "bad")
        .assert()
        .code(4);
}

#[test]
fn paths_in_the_file_start_at_its_directory() {
    let home = Home::new();
    home.write(
        "apiVersion: seedpod.dev/v1alpha1\nkind: ClientConfiguration\ncurrent-context: a\ncontexts:\n- name: a\n  \
         endpoint: https://127.0.0.1:1\n  ca-file: pki/ca.crt\n  cert-file: c.crt\n  key-file: c.key\n",
    );
    let expected = home
        .0
        .path()
        .join(".config/seedpod/pki/ca.crt")
        .display()
        .to_string();
    home.run(&["get", "node"])
        .code(2)
        .stderr(contains(expected));
}

#[test]
fn a_wrong_file_is_refused_with_the_place() {
    let head = "apiVersion: seedpod.dev/v1alpha1\nkind: ClientConfiguration\n";
    for (text, complaint) in [
        (
            format!("{head}contexts:\n- name: a\n  endpiont: x\n"),
            "endpiont",
        ),
        (format!("{head}current-contxt: a\n"), "line 3"),
        (
            format!("{head}contexts:\n- name: a\n- name: a\n"),
            "contexts[1].name",
        ),
        (
            "apiVersion: v1\nkind: Config\n".to_owned(),
            "must have apiVersion: seedpod.dev/v1alpha1",
        ),
        (
            format!("{head}current-context: gone\n"),
            "there is no context \"gone\"",
        ),
    ] {
        let home = Home::new();
        home.write(&text);
        home.run(&["get", "node"])
            .code(2)
            .stderr(contains(complaint));
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    seedpod(&["get", "node", "--config", "/nonexistent/config.yaml"])
        .assert()
        .code(2)
        .stderr(contains("/nonexistent/config.yaml"));
}
