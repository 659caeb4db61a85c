//! How the tool is run in tests, and what holds for all of its verbs.

use std::process::{Command, Stdio};

use assert_cmd::{assert::Assert, cargo::cargo_bin};
use predicates::{prelude::PredicateBooleanExt as _, str::contains};

use crate::fake::{Answer, Fake, Script, always, node, refusal};

/// The tool with nothing of the developer's own environment or configuration.
pub(crate) fn seedpod(args: &[&str]) -> assert_cmd::Command {
    assert_cmd::Command::from_std(command(args))
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("seedpod"));
    command.env_clear().env("HOME", "/nonexistent").args(args);
    command
}

/// The tool, told where the fake is.
pub(crate) fn ask(fake: &Fake, args: &[&str]) -> Assert {
    let mut tool = seedpod(args);
    tool.env("SEEDPOD_ENDPOINT", &fake.endpoint).assert()
}

pub(crate) fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).expect("UTF-8")
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &["inject"] as &[&str],
        &["inject", "web"],
        &["inject", "web", "-f", "/nonexistent.yaml"],
        &["inject", "web", "-f", "x", "--dry-run", "--wait"],
        &["lint"],
        &["lint", "x", "-f", "y"],
        &["config", "encryption-key", "--rotate", "--prune", "1"],
        &["config", "encryption-key", "--prune", "0"],
        &["get", "services"],
        &["get", "pods", "--endpoint", "http://node-1"],
        &["get", "pods", "--endpoint", "https://node-1:10290"],
        &[
            "get",
            "pods",
            "--endpoint",
            "https://node-1:10290",
            "--cert-file",
            "c.crt",
        ],
        &["get", "pods", "--context", "none"],
        &["get", "pods", "--request-timeout", "soon"],
        &["remove"],
    ] {
        let assert = seedpod(args).assert().code(2).stdout("");
        assert!(
            stderr(&assert).starts_with("error: "),
            "{args:?}: {}",
            stderr(&assert)
        );
    }
}

#[test]
fn a_node_that_is_not_there_exits_with_4_and_a_hint() {
    seedpod(&["get", "pods", "--endpoint", "unix:///nonexistent/s.sock"])
        .assert()
        .code(4)
        .stdout("")
        .stderr(
            contains("error: cannot connect to unix:///nonexistent/s.sock")
                .and(contains("hint: is seedpodd running")),
        );
}

#[test]
fn a_call_that_is_not_answered_in_time_exits_with_3() {
    let hang = Some(Box::new(|_: &_| Answer::Hang) as Box<_>);
    let fake = Fake::start(Script {
        get_node: hang,
        ..Script::default()
    });
    ask(&fake, &["get", "node", "--request-timeout", "200ms"])
        .code(3)
        .stderr(contains("GetNode was not answered within 0.2s"));
}

#[test]
fn a_refusal_exits_with_1_and_shows_its_reason() {
    let refuse = |_: &_| {
        Answer::Refuse(refusal(
            tonic::Code::PermissionDenied,
            "PERMISSION_DENIED",
            "not for readers",
        ))
    };
    let fake = Fake::start(Script {
        get_node: Some(Box::new(refuse)),
        ..Script::default()
    });
    ask(&fake, &["get", "node"]).code(1).stderr(
        contains("error: not for readers [PERMISSION_DENIED]").and(contains("hint: the role is")),
    );
}

#[test]
fn output_into_a_closed_pipe_is_no_failure() {
    let fake = Fake::start(Script {
        get_node: always(node()),
        ..Script::default()
    });
    for args in [&["get", "node"] as &[&str], &["completion", "bash"]] {
        let mut child = command(args)
            .env("SEEDPOD_ENDPOINT", &fake.endpoint)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn colours_are_for_terminals_or_on_demand() {
    let fake = Fake::start(Script {
        get_node: always(node()),
        ..Script::default()
    });
    assert!(!stdout(&ask(&fake, &["get", "node"]).success()).contains('\u{1b}'));
    assert!(
        stdout(&ask(&fake, &["get", "node", "--color", "always"]).success()).contains('\u{1b}')
    );
}

#[test]
fn versions_of_both_sides_are_shown_and_a_missing_node_is_no_failure() {
    let fake = Fake::start(Script {
        get_node: always(node()),
        ..Script::default()
    });
    let own = env!("CARGO_PKG_VERSION");
    ask(&fake, &["version"])
        .success()
        .stdout(format!("Client: {own}\nServer: 9.8.7 (node node-1)\n"));
    ask(&fake, &["version", "-o", "json"])
        .success()
        .stdout(contains("\"version\": \"9.8.7\""));
    ask(&fake, &["version", "--client"])
        .success()
        .stdout(format!("Client: {own}\n"));
    seedpod(&["version", "--endpoint", "unix:///nonexistent/s.sock"])
        .assert()
        .success()
        .stdout(format!("Client: {own}\n"))
        .stderr(contains("not known"));
}

#[test]
fn completion_scripts_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        seedpod(&["completion", shell]).assert().success().stdout(
            contains("inject")
                .and(contains("logs"))
                .and(contains("rollback"))
                .and(contains("manual-confirm"))
                .and(contains("secrets"))
                .and(contains("encryption-key"))
                .and(contains("allow-secret-env")),
        );
    }
}

#[test]
fn every_help_text_is_there_and_fits_100_columns() {
    for args in [
        &["--help"] as &[&str],
        &["inject", "--help"],
        &["get", "--help"],
        &["get", "pods", "--help"],
        &["get", "secrets", "--help"],
        &["get", "cm", "--help"],
        &["describe", "--help"],
        &["describe", "pod", "--help"],
        &["describe", "bundle", "--help"],
        &["describe", "secret", "--help"],
        &["describe", "configmap", "--help"],
        &["logs", "--help"],
        &["events", "--help"],
        &["history", "--help"],
        &["diff", "--help"],
        &["rollback", "--help"],
        &["confirm", "--help"],
        &["remove", "--help"],
        &["lint", "--help"],
        &["pki", "--help"],
        &["pki", "init", "--help"],
        &["pki", "issue", "--help"],
        &["config", "--help"],
        &["config", "set-context", "--help"],
        &["config", "encryption-key", "--help"],
        &["up", "--help"],
        &["up", "phase", "--help"],
        &["down", "--help"],
        &["version", "--help"],
        &["completion", "--help"],
    ] {
        let help = stdout(&seedpod(args).assert().success());
        assert!(help.contains("Usage: seedpod"), "{args:?}");
        let long = help.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{args:?}");
    }
    seedpod(&["--help"])
        .assert()
        .stdout(contains("Exit codes:"));
    for verb in [
        "inject", "get", "describe", "logs", "events", "history", "diff", "rollback", "confirm",
        "remove", "up", "down",
    ] {
        seedpod(&[verb, "--help"])
            .assert()
            .stdout(contains("Examples:"));
    }
}
