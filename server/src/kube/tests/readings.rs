//! Pods, leases, labels, and requests over a given connection.

use serde_json::Value;
use tokio::net::TcpStream;

use super::*;

async fn connect(api: &FakeApi) -> TcpStream {
    TcpStream::connect(api.address).await.unwrap()
}

#[tokio::test]
async fn a_given_connection_is_asked_and_a_hanging_server_is_given_up() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let status = kube.ask(connect(&api).await, "/readyz", None).await;
    assert_eq!(status.unwrap(), 200);
    let user = Some("system:kube-scheduler");
    let status = kube
        .ask(connect(&api).await, "/api/v1/nodes?limit=1", user)
        .await;
    assert_eq!(status.unwrap(), 404, "any status is an answer");
    let seen = api.seen();
    assert_eq!(seen[1].headers["impersonate-user"], "system:kube-scheduler");

    api.reply(Method::GET, "/livez", 9, Reply::Hang);
    let begin = Instant::now();
    let error = kube.ask(connect(&api).await, "/livez", None).await;
    assert!(matches!(error, Err(KubeError::TimedOut { .. })));
    assert!(begin.elapsed() < Duration::from_secs(5));

    // A listener that never says a word, and one of another authority.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(mute.local_addr().unwrap())
        .await
        .unwrap();
    let error = kube.ask(stream, "/readyz", None).await.unwrap_err();
    assert!(matches!(error, KubeError::TimedOut { .. }), "{error:?}");
    let other = FakeApi::start().await;
    let error = kube.ask(connect(&other).await, "/readyz", None).await;
    assert!(error.unwrap_err().is_untrusted());
}

#[tokio::test]
async fn a_token_is_sent_where_there_is_no_certificate() {
    let api = FakeApi::start().await;
    let text = api.kubeconfig_with(&json!({"token": "t0ken"}));
    let kube = Kube::from_kubeconfig(&text).unwrap();
    kube.ask(connect(&api).await, "/readyz", None)
        .await
        .unwrap();
    let seen = api.seen();
    assert_eq!(seen[0].headers["authorization"], "Bearer t0ken");
    assert!(!seen[0].has_certificate);
}

#[tokio::test]
async fn what_is_written_is_read_back_over_the_same_connection() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    kube.write_and_read(connect(&api).await, "n1")
        .await
        .unwrap();
    kube.write_and_read(connect(&api).await, "n1")
        .await
        .unwrap();
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/seedpod-handoff-n1";
    assert!(api.object(path).is_some());
    let seen = api.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].connection, seen[1].connection);
    assert_ne!(seen[0].body, seen[2].body, "each value is new");

    api.reply(
        Method::GET,
        path,
        1,
        Reply::Status(
            200,
            json!({"metadata": {}, "spec": {"holderIdentity": "old"}}),
        ),
    );
    let error = kube.write_and_read(connect(&api).await, "n1").await;
    assert!(matches!(error, Err(KubeError::NotKept)));
}

#[tokio::test]
async fn leases_tell_their_holder() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    assert_eq!(kube.lease("kube-system", "l").await.unwrap(), None);
    let put = |spec: Value| {
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l";
        api.put(path, json!({"metadata": {"name": "l"}, "spec": spec}));
    };
    put(json!({"holderIdentity": "", "leaseTransitions": 3}));
    let lease = kube.lease("kube-system", "l").await.unwrap().unwrap();
    assert_eq!((lease.holder, lease.transitions), (None, 3));
    put(json!({"holderIdentity": "a_b", "renewTime": "2026-11-23T10:00:00.123456Z"}));
    let lease = kube.lease("kube-system", "l").await.unwrap().unwrap();
    assert_eq!(lease.holder.as_deref(), Some("a_b"));
    assert_eq!(
        lease.renew_time,
        Some("2026-11-23T10:00:00.123456Z".parse().unwrap())
    );
}

#[tokio::test]
async fn labels_are_set_and_objects_deleted_whether_they_are_there_or_not() {
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    let labels = [
        ("a".to_owned(), Some("b".to_owned())),
        ("c".to_owned(), None),
    ];
    let labels = labels.into_iter().collect();
    kube.set_labels("n1", &labels).await.unwrap();
    let patch = &api.seen()[0];
    assert_eq!(patch.path, "/api/v1/nodes/n1");
    assert_eq!(
        patch.headers["content-type"],
        "application/merge-patch+json"
    );
    assert_eq!(patch.body, r#"{"metadata":{"labels":{"a":"b","c":null}}}"#);

    let path = "/apis/apps/v1/namespaces/kube-system/daemonsets/d";
    api.put(path, json!({}));
    let mut object = ObjectReference {
        api_version: "apps/v1".to_owned(),
        kind: "DaemonSet".to_owned(),
        namespace: "kube-system".to_owned(),
        name: "d".to_owned(),
    };
    kube.delete(&object).await.unwrap();
    assert_eq!(api.object(path), None);
    assert!(api.seen().last().unwrap().body.contains("Background"));
    kube.delete(&object).await.expect("absent is fine");
    object.api_version = "example.com/v1".to_owned();
    kube.delete(&object).await.expect("no such kind is fine");
}

#[tokio::test]
async fn pods_tell_why_they_are_not_ready() {
    let pod = |name: &str, annotations: Value, spec: Value, status: Value| {
        json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "annotations": annotations},
               "spec": spec, "status": status})
    };
    let container = |state: Value, last: Value, restarts: i32| {
        json!({"name": "main", "image": "example/main:1", "imageID": "", "ready": false,
               "restartCount": restarts, "state": state, "lastState": last})
    };
    let api_pod = json!({"kubernetes.io/config.source": "api"});
    let one = json!({"containers": [{"name": "main", "securityContext": {"runAsGroup": 65210}}]});
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let mut deleting = pod("gone", json!({}), json!({"containers": []}), ready.clone());
    deleting["metadata"]["deletionTimestamp"] = json!("2026-11-23T10:00:00Z");
    let items = [
        pod("ready", api_pod.clone(), one.clone(), ready),
        deleting,
        pod(
            "mirror",
            json!({"kubernetes.io/config.mirror": "x"}),
            json!({"containers": [],
            "securityContext": {"runAsGroup": 7}}),
            json!({"phase": "Pending"}),
        ),
        pod(
            "image",
            api_pod.clone(),
            one.clone(),
            json!({"phase": "Pending", "containerStatuses": [
            container(json!({"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}}), json!({}), 0)]}),
        ),
        pod(
            "crash",
            api_pod.clone(),
            one.clone(),
            json!({"phase": "Running", "containerStatuses": [
            container(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}),
                      json!({"terminated": {"exitCode": 137}}), 4)]}),
        ),
        pod(
            "unscheduled",
            api_pod.clone(),
            one.clone(),
            json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
        ),
        pod(
            "refused",
            api_pod,
            one,
            json!({"phase": "Failed", "reason": "NodePorts", "message": "port taken"}),
        ),
    ];
    let api = FakeApi::start().await;
    let kube = Kube::from_kubeconfig(&api.kubeconfig()).unwrap();
    api.reply(
        Method::GET,
        "/pods?",
        1,
        Reply::Status(
            200,
            json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}),
        ),
    );
    let selector = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    let pods = kube.pods("kube-system", &selector, "n1").await.unwrap();
    let query = &api.seen()[0].path;
    assert!(
        query.contains("spec%2EnodeName%3Dn1") && query.contains("a%3Db"),
        "{query}"
    );
    let seen: Vec<_> = pods
        .iter()
        .map(|it| (it.name.as_str(), it.message.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "crash",
                "container main: CrashLoopBackOff: back-off 10s; it ended with exit code 137"
            ),
            ("gone", "it is being deleted"),
            (
                "image",
                "container main: ErrImageNeverPull: not present (image example/main:1)"
            ),
            ("mirror", "the kubelet has not started it yet"),
            ("ready", ""),
            ("refused", "NodePorts: port taken"),
            ("unscheduled", "Unschedulable: 0/1 nodes"),
        ]
    );
    let of = |name: &str| pods.iter().find(|it| it.name == name).unwrap();
    assert!(of("ready").ready && !of("gone").ready && of("gone").deleting);
    assert_eq!((of("ready").gid, of("mirror").gid), (Some(65210), Some(7)));
    assert!(of("mirror").is_mirror && !of("ready").is_mirror);
    assert_eq!(of("crash").restarts, 4);
    assert_eq!(of("ready").uid, "uid-ready");
}
