//! Against [`FakeApi`].

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    testing::{FakeApi, Reply, refusal},
    *,
};

mod kubeconfigs;
mod readings;

const PATIENCE: Duration = Duration::from_secs(30);

fn objects(texts: &[&str]) -> Objects {
    Objects::parse(texts, 1 << 20).expect("good manifests")
}

fn config_map(name: &str, namespace: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{k: {value}}}\n"
    )
}

/// Each object with its result, in the order in which they were told.
type Log = Vec<(String, AppliedResult, String)>;

async fn apply(kube: &Kube, objects: Objects) -> (Result<Vec<Applied>, ApplyError>, Log) {
    let mut log = Vec::new();
    let on = |it: &Applied| log.push((it.object.to_string(), it.result, it.message.clone()));
    let result = tokio::time::timeout(PATIENCE, kube.apply(objects, on)).await;
    (result.expect("it ends"), log)
}

fn results(log: &Log) -> Vec<(&str, AppliedResult)> {
    log.iter()
        .map(|(object, result, _)| (object.as_str(), *result))
        .collect()
}

#[test]
fn the_order_is_namespaces_definitions_what_is_used_the_rest_and_webhooks() {
    let of = |version: &str, kind: &str, name: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let texts = [
        of(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "w",
        ),
        of("apps/v1", "DaemonSet", "second"),
        of("v1", "Secret", "s"),
        of("apps/v1", "Deployment", "first"),
        of("rbac.authorization.k8s.io/v1", "ClusterRole", "r"),
        of("apiextensions.k8s.io/v1", "CustomResourceDefinition", "c"),
        of("v1", "Namespace", "one"),
    ];
    let objects = Objects::parse(&texts, 1 << 20).unwrap();
    let names: Vec<_> = objects.references().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["one", "c", "s", "r", "second", "first", "w"]);
    assert!(!format!("{objects:?}").contains("metadata"));
}

#[tokio::test]
async fn objects_are_created_left_alone_and_configured() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n";
    let (a, b) = (config_map("a", "one", "x"), config_map("b", "one", "x"));
    let all = [a.as_str(), b.as_str(), namespace];

    let absent = kube.absent(&objects(&all)).await.unwrap();
    assert_eq!(absent.len(), 3);
    let (result, log) = apply(&kube, objects(&all)).await;
    result.unwrap();
    use AppliedResult::{Configured, Created, Unchanged};
    assert_eq!(
        results(&log),
        [
            ("Namespace one", Created),
            ("ConfigMap one/a", Created),
            ("ConfigMap one/b", Created)
        ]
    );
    let changed = config_map("b", "one", "y");
    let (result, log) = apply(&kube, objects(&[&a, &changed, namespace])).await;
    assert_eq!(result.unwrap().len(), 3);
    assert_eq!(
        results(&log),
        [
            ("Namespace one", Unchanged),
            ("ConfigMap one/a", Unchanged),
            ("ConfigMap one/b", Configured)
        ]
    );
    assert!(kube.absent(&objects(&all)).await.unwrap().is_empty());

    let seen = api.seen();
    let patch = seen.iter().find(|it| it.method == Method::PATCH).unwrap();
    assert!(
        patch.path.contains("fieldManager=seedpod"),
        "{}",
        patch.path
    );
    assert!(patch.has_certificate);
    let connections: std::collections::BTreeSet<_> = seen.iter().map(|it| it.connection).collect();
    assert!(connections.len() <= 2, "a connection is used again");
}

#[tokio::test]
async fn what_may_succeed_later_is_tried_again() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let part = "/configmaps/a";
    api.reply(Method::GET, "/api/v1", 1, Reply::Cut);
    api.reply(Method::PATCH, part, 1, Reply::Later(503, 0));
    api.reply(
        Method::PATCH,
        part,
        1,
        refusal(
            500,
            "InternalError",
            "failed calling webhook \"w\": connection refused",
            &json!({}),
        ),
    );
    api.reply(
        Method::PATCH,
        part,
        1,
        refusal(
            403,
            "Forbidden",
            "configmaps \"a\" is forbidden: User \"u\" cannot patch",
            &json!({}),
        ),
    );
    api.reply(Method::PATCH, part, 1, Reply::Later(429, 1));
    let begin = Instant::now();
    let (result, log) = apply(&kube, objects(&[&config_map("a", "default", "x")])).await;
    result.unwrap();
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "Retry-After counts"
    );
    let whys: Vec<_> = log.iter().map(|it| it.2.as_str()).collect();
    assert_eq!(whys.len(), 6, "{whys:?}");
    for (why, part) in whys.iter().zip([
        "broke",
        "503",
        "failed calling webhook",
        "may not be applied",
        "429",
    ]) {
        assert!(why.contains(part), "{why}: {part}");
    }
    assert_eq!(log[5].1, AppliedResult::Created);
}

#[tokio::test]
async fn an_api_server_that_is_not_there_yet_is_waited_for() {
    let api = FakeApi::start().await;
    // A port on which nobody listens any more.
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = away.local_addr().unwrap().to_string();
    drop(away);
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let text = api.kubeconfig().replace(&api.address.to_string(), &nobody);
    let kube = Kube::from_kubeconfig(&text).unwrap();
    let set = objects(&[&config_map("a", "default", "x")]);
    let task = tokio::spawn(async move {
        kube.apply(set, |it| told.send(it.message.clone()).unwrap())
            .await
    });
    let first = tokio::time::timeout(PATIENCE, hear.recv()).await.unwrap();
    let first = first.unwrap();
    assert!(first.contains("cannot connect"), "{first}");
    assert!(first.contains(&nobody), "{first}");
    task.abort();
}

#[tokio::test]
async fn a_namespace_and_a_definition_that_come_later_are_waited_for() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    api.reply(
        Method::GET,
        definition,
        1,
        refusal(404, "NotFound", "", &json!({})),
    );
    let established = json!({"metadata": {"name": "things.example.com"},
        "status": {"conditions": [{"type": "Established", "status": "True"}]}});
    api.reply(
        Method::GET,
        definition,
        1,
        Reply::Status(200, json!({"status": {}})),
    );
    api.reply(Method::GET, definition, 9, Reply::Status(200, established));
    api.reply(
        Method::GET,
        "/apis/example.com/v1",
        1,
        refusal(404, "NotFound", "", &json!({})),
    );
    let list = json!({"groupVersion": "example.com/v1", "resources": [
        {"name": "things", "singularName": "", "kind": "Thing", "namespaced": true, "verbs": ["patch"]}]});
    let thing = "/apis/example.com/v1/namespaces/late/things/t";
    api.reply(
        Method::GET,
        thing,
        9,
        refusal(404, "NotFound", "", &json!({})),
    );
    api.reply(
        Method::GET,
        "/apis/example.com/v1",
        9,
        Reply::Status(200, list),
    );
    let texts = [
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t, namespace: late}",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n\
         spec: {group: example.com, names: {kind: Thing}}",
    ];
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let set = objects(&texts);
    let task =
        tokio::spawn(async move { kube.apply(set, |it| told.send(it.clone()).unwrap()).await });
    let mut log = Vec::new();
    while let Ok(Some(it)) = tokio::time::timeout(PATIENCE, hear.recv()).await {
        if it.message.contains("namespace late") {
            api.put("/api/v1/namespaces/late", json!({}));
        }
        log.push(format!("{} {:?} {}", it.object, it.result, it.message));
    }
    task.await.unwrap().unwrap();
    assert_eq!(
        log,
        [
            "CustomResourceDefinition things.example.com Waiting it is applied, but not served yet",
            "CustomResourceDefinition things.example.com Created ",
            "Thing late/t Waiting the API server does not know Thing of example.com/v1 yet",
            "Thing late/t Waiting the namespace late is not there yet",
            "Thing late/t Created ",
        ]
    );
}

#[tokio::test]
async fn conflicts_and_faults_are_final_and_say_what_the_api_server_said() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let set = || objects(&[&config_map("a", "default", "x")]);
    let conflict = json!({"causes": [
        {"reason": "FieldManagerConflict", "field": ".data.k", "message": "conflict with \"kubectl\" using v1"}]});
    api.reply(
        Method::PATCH,
        "/configmaps/a",
        1,
        refusal(409, "Conflict", "Apply failed", &conflict),
    );
    let error = apply(&kube, set()).await.0.unwrap_err();
    assert!(matches!(error, ApplyError::Conflict { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("ConfigMap default/a") && text.contains("data.k of kubectl"),
        "{text}"
    );

    let invalid = json!({"causes": [{"reason": "FieldValueInvalid", "field": "data.k", "message": "too odd"}]});
    let message = "ConfigMap \"a\" is invalid: data.k: Invalid value: too odd";
    api.reply(
        Method::PATCH,
        "/configmaps/a",
        1,
        refusal(422, "Invalid", message, &invalid),
    );
    let error = apply(&kube, set()).await.0.unwrap_err();
    assert!(matches!(error, ApplyError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("manifests[0]") && error.to_string().contains("too odd"));

    let kind = objects(&["apiVersion: apps/v1\nkind: DaemonSett\nmetadata: {name: d}"]);
    let error = apply(&kube, kind).await.0.unwrap_err();
    assert!(matches!(error, ApplyError::UnknownKind { .. }), "{error}");
}

#[tokio::test]
async fn what_is_said_of_a_secret_is_not_repeated() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: 7}";
    let causes = json!({"causes": [{"reason": "FieldValueInvalid", "field": "data.k", "message": "hunter2"}]});
    for (code, details) in [(422, causes), (400, json!({}))] {
        api.reply(
            Method::PATCH,
            "/secrets/s",
            1,
            refusal(code, "Invalid", "bad hunter2", &details),
        );
        let error = apply(&kube, objects(&[secret])).await.0.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("Invalid") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_it_could_not_check() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let (a, b) = (config_map("a", "new", "x"), config_map("b", "default", "x"));
    let set = [
        a.as_str(),
        b.as_str(),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: new}",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n\
         spec: {group: example.com, names: {kind: Thing}}",
    ];
    let done = kube.dry_run(objects(&set), |_| ()).await.unwrap();
    let messages: Vec<_> = done
        .iter()
        .map(|it| (it.object.name.as_str(), it.message.as_str()))
        .collect();
    assert_eq!(
        messages,
        [
            ("new", ""),
            ("x", ""),
            (
                "a",
                "not checked: the namespace new comes with the same set"
            ),
            ("b", ""),
            (
                "t",
                "not checked: its CustomResourceDefinition comes with the same set"
            ),
        ]
    );
    assert_eq!(api.object("/api/v1/namespaces/new"), None);
    let nowhere = config_map("a", "nowhere", "x");
    let error = kube
        .dry_run(objects(&[&nowhere]), |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, ApplyError::NoNamespace { .. }), "{error}");
    let other = "apiVersion: example.com/v1\nkind: Other\nmetadata: {name: t}";
    let error = kube.dry_run(objects(&[other]), |_| ()).await.unwrap_err();
    assert!(matches!(error, ApplyError::UnknownKind { .. }), "{error}");
}
