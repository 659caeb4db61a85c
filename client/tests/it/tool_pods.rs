//! `seedpod describe`, `seedpod logs` and `seedpod events`.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use seedpod_proto::v1::{self, PodState as State};

use crate::{
    fake::{Answer, Fake, Gone, Script, Step, always, gate, pod, pods, refusal},
    tool::{ask, command, stderr, stdout},
};

fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn container(name: &str) -> v1::Container {
    v1::Container {
        name: name.to_owned(),
        id: format!("containerd://{name}"),
        image: "registry.example/app:1".to_owned(),
        state: v1::container::State::Running.into(),
        start_time: seconds(1_790_000_000),
        ready: true,
        ..Default::default()
    }
}

/// The pod `kube-system/web` with two containers, one of which crash-loops.
fn web() -> v1::Pod {
    let mut web = pod(
        "web",
        "uid-web",
        State::Failed,
        "container app exited with code 3",
    );
    web.wave = 2;
    web.running_revision = 2;
    web.sandbox_id = "sandbox".to_owned();
    web.pod_ips = vec!["10.0.0.7".to_owned()];
    let mut app = container("app");
    app.state = v1::container::State::Exited.into();
    app.exit_code = 3;
    app.reason = "Error".to_owned();
    app.restart_count = 4;
    app.ready = false;
    app.last_termination = Some(v1::container::Termination {
        exit_code: 137,
        reason: "OOMKilled".to_owned(),
        finish_time: None,
    });
    let mut proxy = container("proxy");
    proxy.probe_message = "readiness: connection refused".to_owned();
    proxy.ready = false;
    web.containers = vec![app, proxy];
    web
}

fn event(sequence: u64, name: &str, r#type: v1::EventType) -> v1::Event {
    v1::Event {
        sequence,
        time: seconds(1_790_000_000),
        r#type: r#type.into(),
        bundle: "web".to_owned(),
        revision: 3,
        namespace: if name.is_empty() { "" } else { "kube-system" }.to_owned(),
        name: name.to_owned(),
        message: format!("message {sequence}"),
        client: if name.is_empty() { "installer" } else { "" }.to_owned(),
    }
}

fn script() -> Script {
    Script {
        list_pods: always(pods(&[web(), pod("db", "uid-db", State::Ready, "")])),
        events: Some(Box::new(|request| {
            let mut steps = vec![Step::Send(v1::WatchEventsResponse {
                events: vec![
                    event(11, "", v1::EventType::Injected),
                    event(12, "db", v1::EventType::PodReady),
                    event(13, "web", v1::EventType::PodFailed),
                ],
            })];
            if !request.until_now {
                steps.push(Step::Stay(None));
            }
            Answer::Reply(steps)
        })),
        ..Script::default()
    }
}

#[test]
fn a_pod_is_described() {
    let fake = Fake::start(script());
    let text = stdout(&ask(&fake, &["describe", "pod", "web"]).success().stderr(""));
    let start = "\
Pod:          kube-system/web
Node's name:  web-node-1
Bundle:       web, wave 2
Revision:     3, and 2 runs
State:        Failed
Message:      container app exited with code 3
UID:          uid-web
Sandbox:      sandbox
IP:           10.0.0.7
Containers:
  app:
    State:      Exited: exit code 3, Error
    Ready:      no
    Restarts:   4
    Last end:   exit code 137, OOMKilled
    Image:      registry.example/app:1
    Image ID:   none
    ID:         containerd://app
  proxy:
    State:      Running since 2026-09-21T14:13:20Z (";
    assert!(text.starts_with(start), "{text}");
    assert!(
        text.contains("    Probe:      readiness: connection refused\n"),
        "{text}"
    );
    assert!(
        text.ends_with(
            "Events:\n   13  2026-09-21T14:13:20Z  PodFailed          web@3 kube-system/web  message 13\n"
        ),
        "{text}"
    );
    let request = fake.script().events_watched[0].clone();
    assert!(request.until_now);
    assert_eq!(request.bundle, "web");
}

#[test]
fn a_pod_is_found_by_each_of_its_names_and_must_be_the_only_one() {
    let mut other = pod("web", "uid-other", State::Ready, "");
    other.namespace = "apps".to_owned();
    let mut script = script();
    script.list_pods = always(pods(&[other, web()]));
    let fake = Fake::start(script);
    for args in [
        &["describe", "pod", "kube-system/web"] as &[&str],
        &["describe", "pod", "web", "-n", "kube-system"],
        &["describe", "pod", "kube-system/web-node-1"],
    ] {
        ask(&fake, args)
            .success()
            .stdout(contains("Pod:          kube-system/web\n"));
    }
    ask(&fake, &["describe", "pod", "web"])
        .code(2)
        .stderr(contains("may be apps/web or kube-system/web"));
    ask(&fake, &["describe", "pod", "apps/web", "-n", "kube-system"]).code(2);
    ask(&fake, &["describe", "pod", "none"])
        .code(1)
        .stderr(contains("there is no pod \"none\""));
}

fn line(seconds_: i64, container: &str, text: &str) -> v1::LogLine {
    v1::LogLine {
        time: seconds(seconds_),
        container: container.to_owned(),
        stream: v1::log_line::Stream::Stdout.into(),
        text: text.to_owned(),
        ..Default::default()
    }
}

fn logs(lines: Vec<v1::LogLine>) -> Vec<Step<v1::GetPodLogsResponse>> {
    vec![Step::Send(v1::GetPodLogsResponse { lines })]
}

#[test]
fn lines_say_whose_they_are_when_there_are_several_containers() {
    let mut script = script();
    script.logs = always(logs(vec![
        line(1, "app", "one"),
        line(2, "proxy", "\u{1b}[31mtwo\u{1b}[0m"),
    ]));
    let fake = Fake::start(script);
    ask(&fake, &["logs", "web"])
        .success()
        .stderr("")
        .stdout("[app] one\n[proxy] \u{1b}[31mtwo\u{1b}[0m\n");
    let asked = fake.script().logs_asked[0].clone();
    assert_eq!(
        (asked.namespace.as_str(), asked.name.as_str()),
        ("kube-system", "web")
    );
    // A pod with one container, until there is a second one.
    ask(&fake, &["logs", "db"])
        .success()
        .stdout("one\n[proxy] \u{1b}[31mtwo\u{1b}[0m\n");
}

#[test]
fn the_pieces_of_a_long_line_are_one_line() {
    let mut script = script();
    let piece = |container, text| v1::LogLine {
        partial: true,
        ..line(1, container, text)
    };
    script.logs = always(logs(vec![
        piece("app", "a"),
        line(1, "app", "b"),
        piece("app", "c"),
        line(1, "proxy", "d"),
        line(1, "app", "e"),
    ]));
    ask(&Fake::start(script), &["logs", "web"])
        .success()
        .stdout("[app] ab\n[app] c\n[proxy] d\n[app] e\n");
}

#[test]
fn the_options_of_logs_reach_the_node() {
    let mut script = script();
    script.logs = always(logs(vec![line(1_790_000_000, "app", "one")]));
    let fake = Fake::start(script);
    ask(
        &fake,
        &[
            "logs",
            "web",
            "-c",
            "app",
            "--tail",
            "5",
            "--since-time",
            "2026-09-21T14:13:20Z",
            "--previous",
            "--timestamps",
        ],
    )
    .success()
    .stdout("2026-09-21T14:13:20.000000000Z one\n");
    ask(
        &fake,
        &["logs", "gone", "-n", "apps", "-f", "--since", "5m"],
    )
    .success();
    let script = fake.script();
    let [first, second] = script.logs_asked.as_slice() else {
        panic!("{:?}", script.logs_asked);
    };
    assert_eq!(
        (first.container.as_str(), first.tail_lines, first.previous),
        ("app", Some(5), true)
    );
    assert_eq!(first.since_time, seconds(1_790_000_000));
    assert_eq!(
        (second.namespace.as_str(), second.follow),
        ("apps", true),
        "a pod that is gone may have left its logs"
    );
    assert_eq!(second.since.map(|since| since.seconds), Some(300));
}

#[test]
fn what_cannot_be_asked_of_logs_is_wrong_usage() {
    for args in [
        &["logs"] as &[&str],
        &["logs", "web", "-f", "--previous"],
        &[
            "logs",
            "web",
            "--since",
            "5m",
            "--since-time",
            "2026-09-21T14:13:20Z",
        ],
        &["logs", "web", "--since-time", "yesterday"],
        &["events", "--after", "x"],
    ] {
        crate::tool::seedpod(args).assert().code(2).stdout("");
    }
}

#[test]
fn a_log_that_breaks_off_prints_what_came_and_fails() {
    let mut script = script();
    let mut steps = logs(vec![line(1, "app", "one")]);
    steps.push(Step::Fail(refusal(
        tonic::Code::Internal,
        "INTERNAL",
        "cannot read the log",
    )));
    script.logs = always(steps);
    ask(&Fake::start(script), &["logs", "web", "-c", "app"])
        .code(1)
        .stdout("one\n")
        .stderr(contains("cannot read the log [INTERNAL]"));
}

#[test]
fn events_are_lines_for_people_and_objects_for_programs() {
    let fake = Fake::start(script());
    ask(&fake, &["events", "--bundle", "web", "--after", "10"])
        .success()
        .stderr("")
        .stdout(
            "   11  2026-09-21T14:13:20Z  Injected           web@3                  message 11 (by installer)\n   \
             12  2026-09-21T14:13:20Z  PodReady           web@3 kube-system/db   message 12\n   \
             13  2026-09-21T14:13:20Z  PodFailed          web@3 kube-system/web  message 13\n",
        );
    let request = fake.script().events_watched[0].clone();
    assert_eq!(
        (
            request.bundle.as_str(),
            request.after_sequence,
            request.until_now
        ),
        ("web", Some(10), true)
    );
    let json = stdout(&ask(&fake, &["events", "-o", "json"]).success());
    let last: serde_json::Value =
        serde_json::from_str(json.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["sequence"], 13);
    assert_eq!(last["type"], "PodFailed");
    let script = Script {
        events: always(Vec::new()),
        ..Script::default()
    };
    let assert = ask(&Fake::start(script), &["events"]).success().stdout("");
    assert_eq!(stderr(&assert), "There are no events.\n");
}

#[test]
fn events_that_are_gone_already_are_an_error_with_a_way_out() {
    use tonic_types::{ErrorDetails, StatusExt as _};
    let gone = |_: &_| {
        let oldest = [("oldest_sequence".to_owned(), "40".to_owned())];
        let details = ErrorDetails::with_error_info("EVENTS_GONE", "seedpod.dev", oldest);
        Answer::Refuse(tonic::Status::with_error_details(
            tonic::Code::OutOfRange,
            "the events up to 39 are gone",
            details,
        ))
    };
    let script = Script {
        events: Some(Box::new(gone)),
        ..Script::default()
    };
    ask(&Fake::start(script), &["events", "--after", "3"])
        .code(1)
        .stderr(contains("up to 39 are gone [EVENTS_GONE]").and(contains("hint: leave --after")));
}

/// Ctrl-C: the tool does not handle the signal, so that it ends as every other program does.
#[test]
fn an_interrupt_ends_a_stream_at_once_and_at_the_node_too() {
    let gone = gate();
    let mut script = script();
    let mut steps = logs(vec![line(1, "app", "one")]);
    steps.push(Step::Stay(Some(Gone(gone.clone()))));
    script.logs = always(steps);
    let fake = Fake::start(script);
    let mut child = command(&["logs", "-f", "web"])
        .env("SEEDPOD_ENDPOINT", &fake.endpoint)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut first)
        .expect("a line");
    assert_eq!(first, "[app] one\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    let status = child.wait().expect("ended");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2),
        "{status:?}"
    );
    let heard = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(async {
            tokio::time::timeout(std::time::Duration::from_secs(10), gone.acquire())
                .await
                .map(|permit| permit.expect("open").forget())
        });
    heard.expect("the node hears of it");
}

#[test]
fn a_stream_into_a_closed_pipe_ends_without_a_word() {
    let mut script = script();
    // Two chunks: the second one is written when the reader has gone.
    let read = gate();
    let mut steps = logs(vec![line(1, "app", "one")]);
    steps.push(Step::Gate(read.clone()));
    steps.extend(logs(vec![line(2, "app", "two")]));
    steps.push(Step::Stay(None));
    script.logs = always(steps);
    let fake = Fake::start(script);
    let mut child = command(&["logs", "-f", "web"])
        .env("SEEDPOD_ENDPOINT", &fake.endpoint)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a line");
    drop(stdout);
    read.add_permits(1);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
