//! Secrets and ConfigMaps, in process. `shown` is what is told of them, and refused.

mod shown;

use seedpod_proto::v1::{
    self, GetRevisionRequest, ListObjectsRequest, ListObjectsResponse, ObjectKind,
    RollbackBundleRequest,
};

use super::*;

const SECRET: &str = "correct horse battery staple";

fn object(kind: &str, name: &str, data: &[(&str, &str)]) -> String {
    let field = match kind {
        "Secret" => "stringData",
        _ => "data",
    };
    let mut text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n{field}:\n");
    for (key, value) in data {
        text.push_str(&format!("  {key}: {value:?}\n"));
    }
    text
}

fn tls(certificate: &str, unused: &str) -> String {
    object("Secret", "tls", &[("crt", certificate), ("unused", unused)])
}

/// A pod that sees one key of the Secret `tls` and the whole ConfigMap `site`.
fn web(name: &str) -> String {
    format!(
        "{}    volumeMounts:\n    - {{name: tls, mountPath: /tls}}\n  volumes:\n  - name: tls\n    \
         secret: {{secretName: tls, items: [{{key: crt, path: tls.crt}}]}}\n  - name: site\n    \
         configMap: {{name: site, optional: true}}\n",
        manifest(name)
    )
}

fn app<const N: usize>(manifests: [String; N]) -> InjectPodsRequest {
    InjectPodsRequest {
        bundle: "app".to_owned(),
        manifests: manifests.into(),
        ..InjectPodsRequest::default()
    }
}

fn kinds(changes: &[v1::ObjectChange]) -> Vec<(ObjectKind, &str, Type)> {
    changes
        .iter()
        .map(|change| (change.kind(), change.name.as_str(), change.r#type()))
        .collect()
}

/// Code, reason and the first violation's field and reason.
fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String, String, String) {
    let status = result.expect_err("a refusal");
    let bad = status.get_details_bad_request().expect("a field");
    let first = &bad.field_violations[0];
    let (field, why) = (first.field.clone(), first.reason.clone());
    (status.code(), reason(&status), field, why)
}

impl Bench {
    async fn take(&self, request: InjectPodsRequest) -> v1::InjectPodsResponse {
        let injected = self.pods().inject_pods(request).await;
        injected.expect("a good bundle").into_inner()
    }

    async fn objects(&self, request: ListObjectsRequest) -> ListObjectsResponse {
        let list = self.pods().list_objects(request).await;
        list.expect("a good request").into_inner()
    }

    async fn revision(&self, revision: u64) -> v1::Revision {
        let get = GetRevisionRequest {
            name: "app".to_owned(),
            revision,
            show_secrets: false,
        };
        let shown = self.pods().get_revision(get).await;
        shown.expect("it is kept").into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_with_their_bundle_and_a_repeated_request_is_answered_the_same() {
    let bench = Bench::new();
    let mut request = app([
        web("a"),
        tls(SECRET, "x"),
        object("ConfigMap", "site", &[("index.html", "hello")]),
    ]);
    request.request_id = "one".to_owned();
    let first = bench.take(request.clone()).await;
    let expected = [
        (ObjectKind::ConfigMap, "site", Type::Added),
        (ObjectKind::Secret, "tls", Type::Added),
    ];
    assert_eq!(kinds(&first.object_changes), expected);
    assert_eq!(bench.take(request.clone()).await, first);
    // What finds all as it is remembers that.
    request.request_id = "two".to_owned();
    let second = bench.take(request.clone()).await;
    let unchanged = expected.map(|(kind, name, _)| (kind, name, Type::Unchanged));
    assert_eq!(kinds(&second.object_changes), unchanged);
    assert_eq!(second.bundle, first.bundle);
    assert_eq!(bench.take(request).await, second);

    let removal = RemoveBundleRequest {
        name: "app".to_owned(),
        ..RemoveBundleRequest::default()
    };
    bench.pods().remove_bundle(removal).await.expect("remove");
    let left = bench.objects(ListObjectsRequest::default()).await;
    assert_eq!(left, ListObjectsResponse::default());
    assert_eq!(bench.revision(1).await.objects.len(), 2);
    assert_eq!(bench.revision(2).await.objects.len(), 0);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_replaced_by_what_it_sees_and_by_nothing_else() {
    let bench = Bench::new();
    let first = bench.take(app([web("a"), tls(SECRET, "x")])).await;
    let first = first.bundle.unwrap();

    let mut changed = app([web("a"), tls("other", "x")]);
    changed.validate_only = true;
    let preview = bench.take(changed).await;
    assert_eq!(preview.changes[0].r#type(), Type::Replaced);
    let expected = [(ObjectKind::Secret, "tls", Type::Replaced)];
    assert_eq!(kinds(&preview.object_changes), expected);
    for diff in [&preview.changes[0].diff, &preview.object_changes[0].diff] {
        assert!(diff.contains("hmac-sha256:"), "{diff}");
        assert!(!diff.contains(SECRET) && !diff.contains("other"), "{diff}");
    }
    assert!(preview.object_changes[0].diff.contains("crt"));

    let second = bench.take(app([web("a"), tls(SECRET, "y")])).await;
    assert_eq!(second.changes[0].r#type(), Type::Unchanged);
    assert_eq!(kinds(&second.object_changes), expected);
    let second = second.bundle.unwrap();
    assert_eq!((second.revision, &second.pods), (2, &first.pods));
    assert_ne!(second.digest, first.digest);

    // A ConfigMap that was missing, and may be.
    let site = object("ConfigMap", "site", &[("index.html", "hello")]);
    let third = bench.take(app([web("a"), tls(SECRET, "y"), site])).await;
    assert_eq!(third.changes[0].r#type(), Type::Replaced);
    let revisions: Vec<_> = bench
        .objects(ListObjectsRequest::default())
        .await
        .objects
        .into_iter()
        .map(|object| (object.name, object.revision))
        .collect();
    assert_eq!(revisions, [("site".to_owned(), 3), ("tls".to_owned(), 2)]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_immutable_is_not_changed_but_rolled_back_to() {
    let bench = Bench::new();
    let fixed = |value, more: &str| format!("{}immutable: true\n{more}", tls(value, "x"));
    bench.take(app([web("a"), fixed(SECRET, "")])).await;
    let refused = (
        Code::FailedPrecondition,
        "IMMUTABLE_OBJECT".to_owned(),
        "manifests[1]".to_owned(),
        "IMMUTABLE_OBJECT".to_owned(),
    );
    for tls in [
        fixed("other", ""),
        tls(SECRET, "x"),
        fixed(SECRET, "type: example.com/other\n"),
    ] {
        for validate_only in [true, false] {
            let request = InjectPodsRequest {
                validate_only,
                ..app([web("a"), tls.clone()])
            };
            let result = bench.pods().inject_pods(request).await;
            let status = result.as_ref().expect_err("a refusal");
            assert!(status.message().contains("another name"), "{status:?}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(info.metadata["object"], "Secret default/tls");
            assert_eq!(refusal(result), refused);
        }
    }
    // Its labels may change, and it may go.
    let labelled = fixed(SECRET, "").replace("{name: tls}", "{name: tls, labels: {a: b}}");
    let labelled = bench.take(app([web("a"), labelled])).await;
    assert_eq!(labelled.changes[0].r#type(), Type::Unchanged);
    assert_eq!(labelled.bundle.unwrap().revision, 2);
    bench.take(app([manifest("a")])).await;
    bench.take(app([web("a"), fixed("other", "")])).await;
    let back = RollbackBundleRequest {
        name: "app".to_owned(),
        to_revision: 1,
        ..RollbackBundleRequest::default()
    };
    let back = bench.pods().rollback_bundle(back).await.expect("roll back");
    let expected = [(ObjectKind::Secret, "tls", Type::Replaced)];
    assert_eq!(kinds(&back.into_inner().object_changes), expected);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_has_the_objects_that_were_there_then() {
    let bench = Bench::new();
    bench
        .take(app([web("a"), web("b"), tls(SECRET, "x")]))
        .await;
    let plain = manifest("b");
    bench.take(app([web("a"), plain, tls("other", "x")])).await;
    let mut back = RollbackBundleRequest {
        name: "app".to_owned(),
        validate_only: true,
        ..RollbackBundleRequest::default()
    };
    let preview = bench.pods().rollback_bundle(back.clone()).await.unwrap();
    let diff = &preview.get_ref().object_changes[0].diff;
    assert!(
        diff.contains("hmac-sha256:") && !diff.contains(SECRET),
        "{diff}"
    );
    back.validate_only = false;
    let back = bench
        .pods()
        .rollback_bundle(back)
        .await
        .unwrap()
        .into_inner();
    let expected = [(ObjectKind::Secret, "tls", Type::Replaced)];
    assert_eq!(kinds(&back.object_changes), expected);

    let (first, third) = (bench.revision(1).await, bench.revision(3).await);
    let of_keys = |revision: &v1::Revision| revision.objects[0].keys.clone();
    assert_eq!(of_keys(&third), of_keys(&first));
    assert_eq!(third.objects[0].revision, 3);
    assert_eq!(third.digest, first.digest);
    assert_eq!(third.manifests, first.manifests);
    assert_eq!(third.object_manifests, first.object_manifests);

    // Made anew from what was kept, each with a folder of its own.
    let state = bench.handle.state();
    let bundle = state.bundles.values().next().expect("a bundle");
    for (pod, before) in bundle.pods.iter().zip(&first.pods) {
        assert_ne!(pod.uid, before.uid);
        assert_eq!(pod.digest, before.digest);
        let folder = bench.folder.path().join("volumes").join(&pod.uid);
        assert_eq!(pod.volumes.as_deref(), Some(folder.as_path()));
        let mounted = folder.join("tls").display().to_string();
        assert!(pod.rendered.contains(&mounted), "{}", pod.rendered);
        assert!(!pod.rendered.contains(&before.uid), "{}", pod.rendered);
        assert!(pod.rendered.contains("\"seedpod.dev/revision\": \"3\""));
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_forgets_the_history_with_its_contents_when_that_is_asked_for() {
    let bench = Bench::new();
    let site = || object("ConfigMap", "site", &[("index.html", "hello")]);
    bench
        .take(app([web("web"), tls("one", "old"), site()]))
        .await;
    bench
        .take(app([web("web"), tls("two", "old"), site()]))
        .await;
    let contents = || {
        let names = std::fs::read_dir(bench.folder.path().join("state/objects")).expect("readable");
        names.count() - 1 // The digests' key.
    };
    let remove = |forget_history| RemoveBundleRequest {
        name: "app".to_owned(),
        forget_history,
        ..RemoveBundleRequest::default()
    };
    bench
        .pods()
        .remove_bundle(remove(false))
        .await
        .expect("remove");
    assert_eq!(contents(), 3, "it can be rolled back to");
    let gone = bench.pods().remove_bundle(remove(false)).await;
    assert_eq!(
        reason(&gone.expect_err("it is removed")),
        "BUNDLE_NOT_FOUND"
    );

    let forgotten = bench.pods().remove_bundle(remove(true)).await;
    let bundle = forgotten.expect("it has a history").into_inner().bundle;
    let bundle = bundle.expect("as it was");
    assert_eq!((bundle.revision, bundle.pods.len()), (3, 0));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while contents() > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "contents are still there"
        );
        tokio::task::yield_now().await;
    }
    let list = v1::ListRevisionsRequest {
        name: "app".to_owned(),
    };
    let kept = bench.pods().list_revisions(list).await.expect("known");
    let kept = kept.into_inner().revisions;
    assert_eq!(
        kept.iter().map(|it| it.revision).collect::<Vec<_>>(),
        [4],
        "the number goes on"
    );
    bench.end().await;
}
