//! The command line tool, from making certificates to removing pods.

use std::fs;
use std::path::{Path, PathBuf};

use seedpod_integration::ContainerKind;
use serde_json::{Value, json};

use crate::programs::{Ended, seedpod};
use crate::rig::node;
use crate::scene::{Scene, files_of};

/// A daemon whose certificates the tool has made.
struct Tool {
    scene: Scene<'static>,
    pki: PathBuf,
}

impl Tool {
    fn new(theme: &str) -> Self {
        let pki = node()
            .layout()
            .scratch()
            .join(crate::rig::unique("cli-pki"));
        let folder = pki.to_str().unwrap();
        seedpod(&["pki", "init", folder]).success();
        let issue = |name, role, more: &[&str]| {
            let args = ["pki", "issue", folder, "--name", name, "--role", role];
            seedpod(&[&args, more].concat()).success();
        };
        issue(
            "node",
            "server",
            &["--san", "localhost", "--san", "127.0.0.1"],
        );
        issue("installer", "injector", &[]);
        issue("guest", "reader", &[]);
        let config = json!({"tls": {
            "certFile": pki.join("node.crt"),
            "keyFile": pki.join("node.key"),
            "clientCAFile": pki.join("ca.crt"),
        }});
        let scene = Scene::configured(theme, config);
        Self { scene, pki }
    }

    /// Runs the tool with a client's certificate.
    fn run_as(&self, client: &str, args: &[&str]) -> Ended {
        let endpoint = format!("https://{}", self.scene.daemon.tls_address());
        let file = |name: &str| self.pki.join(name).display().to_string();
        let (ca, certificate) = (file("ca.crt"), file(&format!("{client}.crt")));
        let key = file(&format!("{client}.key"));
        let connection = [
            "--endpoint",
            &endpoint,
            "--ca-file",
            &ca,
            "--cert-file",
            &certificate,
            "--key-file",
            &key,
        ];
        seedpod(&[args, &connection].concat())
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.run_as("installer", args)
    }

    fn write(&self, name: &str, pod: &Value) -> PathBuf {
        let folder = self
            .scene
            .node
            .layout()
            .scratch()
            .join(self.scene.name("pods"));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, serde_saphyr::to_string(pod).unwrap()).unwrap();
        file
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn pods_are_injected_shown_changed_and_removed() {
    let tool = Tool::new("cli");
    let scene = &tool.scene;
    let bundle = scene.name("bundle");
    let web = tool.write("web.yaml", &scene.pod("web", "one"));
    tool.write("more.yaml", &scene.pod("more", "more"));
    let folder = web.parent().unwrap();

    let ended = tool.run(&["inject", &bundle, "-f", text(folder), "--wait"]);
    let output = ended.success();
    assert!(output.contains("revision 1"), "{output}");
    // It waited: what follows needs no waiting.
    assert!(scene.running("web", ContainerKind::Container).is_some());
    let pods = tool.run(&["get", "pods", "--bundle", &bundle]).success();
    for pod in ["web", "more"] {
        let name = scene.name(pod);
        let line = pods.lines().find(|line| line.contains(&name)).unwrap();
        assert!(line.contains("Ready") && line.contains("1/1"), "{pods}");
    }
    let pods = tool
        .run(&["get", "pods", "--bundle", &bundle, "-o", "json"])
        .success();
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!(pods["items"].as_array().unwrap().len(), 2);
    let name = tool.run(&["get", "bundles", "-o", "name"]).success();
    assert_eq!(name, format!("bundle/{bundle}\n"));

    tool.write("web.yaml", &scene.pod("web", "two"));
    let diff = tool
        .run(&["inject", &bundle, "-f", text(folder), "--dry-run"])
        .success();
    let changed = |sign: char, line: &str| {
        let mut lines = diff.lines().map(str::trim_start);
        lines.any(|it| it.starts_with(sign) && it.contains(&format!("echo '{line}'")))
    };
    assert!(changed('-', "one") && changed('+', "two"), "{diff}");
    let bundles = tool
        .run(&["get", "bundle", &bundle, "-o", "json"])
        .success();
    let bundles: Value = serde_json::from_str(&bundles).unwrap();
    assert_eq!(bundles["revision"], 1);

    let stale = [
        "inject",
        &bundle,
        "-f",
        text(folder),
        "--expected-revision",
        "7",
    ];
    let refused = tool.run(&stale);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("STALE_REVISION"), "{refused:?}");
    tool.run(&["inject", &bundle, "-f", text(folder), "--wait"])
        .success();
    scene.wait_for_line("web", "two");

    tool.run(&["remove", &bundle, "--wait"]).success();
    assert!(scene.running("web", ContainerKind::Container).is_none());
    assert!(files_of(&scene.node.manifests(), &scene.name("")).is_empty());
    let again = tool.run(&["remove", &bundle]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("BUNDLE_NOT_FOUND"), "{again:?}");
    tool.run(&["remove", &bundle, "--ignore-not-found"])
        .success();
}

#[test]
fn errors_name_the_field_and_the_remedy_and_have_exit_codes_of_their_own() {
    let tool = Tool::new("cli-errors");
    let scene = &tool.scene;
    let bundle = scene.name("bundle");
    let mut bad = scene.pod("web", "never");
    bad["spec"]["serviceAccountName"] = json!("web");
    let bad = tool.write("bad.yaml", &bad);
    let good = tool.write("good.yaml", &scene.pod("web", "never"));

    let refused = tool.run(&["inject", &bundle, "-f", text(&bad)]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("spec.serviceAccountName"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("bad.yaml"), "{refused:?}");

    let denied = tool.run_as("guest", &["inject", &bundle, "-f", text(&good)]);
    assert_eq!(denied.code, Some(1), "{denied:?}");
    assert!(denied.stderr.contains("--role injector"), "{denied:?}");

    let usage = tool.run(&["inject", &bundle]);
    assert_eq!(usage.code, Some(2), "{usage:?}");

    let mut never = scene.pod("never", "x");
    never["spec"]["containers"][0]["image"] = json!("rig.local/no-such-image:1");
    let never = tool.write("never.yaml", &never);
    let args = [
        "inject",
        &bundle,
        "-f",
        text(&never),
        "--wait",
        "--timeout",
        "2s",
    ];
    let late = tool.run(&args);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.contains(&scene.name("never")), "{late:?}");

    scene.daemon.stop().unwrap();
    let away = tool.run(&["get", "node"]);
    assert_eq!(away.code, Some(4), "{away:?}");
    assert!(away.stderr.contains("hint:"), "{away:?}");
}

#[test]
fn what_runs_is_described_read_and_undone() {
    let tool = Tool::new("cli-day");
    let scene = &tool.scene;
    let (bundle, name) = (scene.name("bundle"), scene.name("web"));
    let inject = |line: &str, more: &[&str]| {
        let file = tool.write("web.yaml", &scene.pod("web", line));
        let args = ["inject", &bundle, "-f", text(&file)];
        tool.run(&[&args, more].concat())
    };
    inject("one", &["--wait"]).success();

    let described = tool.run(&["describe", "pod", &name]).success();
    for expected in [
        &name,
        &bundle,
        "Ready",
        "main",
        seedpod_integration::images::BUSYBOX,
    ] {
        assert!(described.contains(expected), "{expected}: {described}");
    }
    let logs = tool.run(&["logs", &name, "--tail", "1"]).success();
    assert_eq!(logs, "one\n");

    // Nobody confirms it, and the wait tells the truth.
    let trial = inject("two", &["--trial", "3s", "--manual-confirm", "--wait"]);
    assert_eq!(trial.code, Some(7), "{trial:?}");
    assert!(trial.stderr.contains("went back"), "{trial:?}");
    scene.wait_for_line("web", "one");
    inject("three", &["--trial", "1h", "--manual-confirm"]).success();
    tool.run(&["confirm", &bundle]).success();

    let history = tool.run(&["history", &bundle]).success();
    assert!(history.lines().count() >= 5, "{history}");
    assert!(history.contains("node went back to 1"), "{history}");
    let diff = tool
        .run(&["diff", &bundle, "--from", "1", "--to", "4"])
        .success();
    assert!(
        diff.contains("echo 'one'") && diff.contains("echo 'three'"),
        "{diff}"
    );
    tool.run(&["rollback", &bundle, "--to", "1", "--wait"])
        .success();
    scene.wait_for_line("web", "one");
    let events = tool.run(&["events", "--bundle", &bundle]).success();
    for expected in ["TrialFailed", "RolledBack", "Confirmed", "(by installer)"] {
        assert!(events.contains(expected), "{expected}: {events}");
    }
    tool.run(&["remove", &bundle, "--wait"]).success();
}
