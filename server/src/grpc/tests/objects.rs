//! Secrets and ConfigMaps, in process.

use seedpod_proto::v1::{
    self, GetRevisionRequest, ListObjectsRequest, ListObjectsResponse, ListRevisionsRequest,
    ObjectKind, RollbackBundleRequest,
};

use super::{revisions::of, *};

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
async fn objects_are_listed_in_pages_by_bundle_and_kind_and_with_their_pods() {
    let bench = Bench::new();
    let site = object("ConfigMap", "site", &[("b", "two"), ("a", "")]);
    bench
        .take(app([web("b"), web("a"), tls(SECRET, "x"), site]))
        .await;
    let other = InjectPodsRequest {
        bundle: "other".to_owned(),
        ..app([web("c"), format!("{}immutable: true\n", tls(SECRET, "y"))])
    };
    bench.take(other).await;

    let (mut objects, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListObjectsRequest {
            page_size: 2,
            page_token,
            ..ListObjectsRequest::default()
        };
        let page = bench.objects(request).await;
        objects.extend(page.objects);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let brief: Vec<_> = objects
        .iter()
        .map(|object| (object.bundle.as_str(), object.kind(), object.name.as_str()))
        .collect();
    let expected = [
        ("app", ObjectKind::ConfigMap, "site"),
        ("app", ObjectKind::Secret, "tls"),
        ("other", ObjectKind::Secret, "tls"),
    ];
    assert_eq!(brief, expected);
    let [site, secret, fixed] = &objects[..] else {
        panic!("{objects:?}")
    };
    let keys: Vec<_> = site
        .keys
        .iter()
        .map(|it| (it.key.as_str(), it.size))
        .collect();
    assert_eq!(keys, [("a", 0), ("b", 3)]);
    assert_eq!(
        (site.r#type.as_str(), secret.r#type.as_str()),
        ("", "Opaque")
    );
    assert_eq!((secret.immutable, fixed.immutable), (false, true));
    // The same value has the same digest, in each bundle.
    assert_eq!(secret.keys[0], fixed.keys[0]);
    assert_ne!(secret.keys[1], fixed.keys[1]);
    let users = |object: &v1::Object| {
        let users = object.used_by.iter();
        users.map(|pod| pod.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(users(site), ["a", "b"]);
    assert_eq!(users(fixed), ["c"]);

    let secrets = ListObjectsRequest {
        kind: ObjectKind::Secret.into(),
        page_size: 1,
        ..ListObjectsRequest::default()
    };
    let page = bench.objects(secrets.clone()).await;
    assert_eq!(page.objects, [secret.clone()]);
    let of_other = ListObjectsRequest {
        bundle: "other".to_owned(),
        ..ListObjectsRequest::default()
    };
    assert_eq!(bench.objects(of_other).await.objects, [fixed.clone()]);

    type Spoil = fn(&mut ListObjectsRequest);
    let rows: [(Spoil, &str, &str); 5] = [
        (
            |it| it.bundle = "No".into(),
            "bundle",
            "INVALID_BUNDLE_NAME",
        ),
        (|it| it.kind = 9, "kind", "INVALID_OBJECT_KIND"),
        (|it| it.page_size = -1, "page_size", "INVALID_PAGE_SIZE"),
        // Tokens of other filters.
        (|it| it.kind = 0, "page_token", "INVALID_PAGE_TOKEN"),
        (
            |it| it.bundle = "app".into(),
            "page_token",
            "INVALID_PAGE_TOKEN",
        ),
    ];
    for (spoil, field, reason) in rows {
        let mut request = ListObjectsRequest {
            page_token: page.next_page_token.clone(),
            ..secrets.clone()
        };
        spoil(&mut request);
        let (code, told, at, _) = refusal(bench.pods().list_objects(request).await);
        assert_eq!(
            (code, told.as_str(), at.as_str()),
            (Code::InvalidArgument, reason, field)
        );
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_shows_what_configmaps_hold_and_secrets_to_admins_only() {
    let bench = Bench::new();
    let site = object("ConfigMap", "site", &[("index.html", "hello")]);
    let request = app([web("a"), tls(SECRET, "x"), site]);
    let injected = bench.take(request).await.bundle.unwrap();
    let masked = bench.revision(1).await;
    let names: Vec<_> = masked.objects.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["site", "tls"]);
    assert_eq!(masked.objects[1].used_by[0].name, "a");
    assert!(masked.object_manifests[0].contains("hello"), "{masked:?}");
    let secret = &masked.object_manifests[1];
    assert!(
        secret.contains("crt: ") && secret.contains("masked"),
        "{secret}"
    );
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SECRET);
    assert!(
        !secret.contains(SECRET) && !secret.contains(&encoded),
        "{secret}"
    );
    let pod = &masked.manifests[0];
    assert!(
        pod.contains("secretName: tls") && !pod.contains("hostPath"),
        "{pod}"
    );

    let show = GetRevisionRequest {
        name: "app".to_owned(),
        revision: 0,
        show_secrets: true,
    };
    let refused = bench
        .pods()
        .get_revision(of("seedpod:injector", show.clone()))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "ROLE_REQUIRED");
    let shown = bench.pods().get_revision(of("seedpod:admin", show)).await;
    let shown = shown.unwrap().into_inner();
    let secret = &shown.object_manifests[1];
    assert!(
        secret.contains(SECRET) || secret.contains(&encoded),
        "not shown"
    );
    // What is shown is what was injected.
    let mut again = app([]);
    again.manifests = [shown.manifests, shown.object_manifests].concat();
    let again = bench.take(again).await.bundle.unwrap();
    assert_eq!(again, injected);

    let list = ListRevisionsRequest { name: "app".into() };
    let list = bench
        .pods()
        .list_revisions(list)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.revisions[0].objects, masked.objects);
    assert!(list.revisions[0].object_manifests.is_empty());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_takes_a_secret_only_when_that_is_allowed() {
    let bench = Bench::new();
    let variable = format!(
        "{}    env:\n    - name: PASSWORD\n      valueFrom: {{secretKeyRef: {{name: tls, key: crt}}}}\n",
        manifest("a")
    );
    let mut request = app([variable, tls(SECRET, "x")]);
    request.request_id = "one".to_owned();
    let (code, told, field, why) = refusal(bench.pods().inject_pods(request.clone()).await);
    assert_eq!(
        (code, told.as_str()),
        (Code::InvalidArgument, "INVALID_MANIFEST")
    );
    assert_eq!(why, "SECRET_IN_ENV");
    assert!(
        field.starts_with("manifests[0].spec.containers[0].env[0].valueFrom.secretKeyRef"),
        "{field}"
    );

    request.allow_secret_env = true;
    bench.take(request.clone()).await;
    let literal = || {
        let state = bench.handle.state();
        let bundle = state.bundles.values().next().expect("a bundle");
        assert_eq!(bundle.pods[0].volumes, None);
        bundle.pods[0].rendered.contains(SECRET)
    };
    assert!(literal());
    let shown = &bench.revision(1).await.manifests[0];
    assert!(
        shown.contains("secretKeyRef") && !shown.contains(SECRET),
        "{shown}"
    );

    // That it is allowed is a part of the request.
    request.manifests.remove(1);
    request.manifests[0] = manifest("a");
    request.request_id = "two".to_owned();
    bench.take(request.clone()).await;
    request.allow_secret_env = false;
    let error = bench.pods().inject_pods(request).await.unwrap_err();
    assert_eq!(reason(&error), "REQUEST_ID_REUSED");
    // Nobody has to allow it again to go back, and no content is read for it.
    let back = RollbackBundleRequest {
        name: "app".to_owned(),
        ..RollbackBundleRequest::default()
    };
    bench.pods().rollback_bundle(back).await.expect("roll back");
    assert!(literal());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_takes_and_the_bundle_does_not_have_is_told_with_its_field() {
    let bench = Bench::new();
    let rows = [
        (
            app([web("a")]),
            "manifests[0].spec.volumes[0].secret",
            "UNKNOWN_OBJECT",
        ),
        (
            app([web("a"), object("Secret", "tls", &[("key", SECRET)])]),
            "manifests[0].spec.volumes[0].secret.items[0].key",
            "UNKNOWN_KEY",
        ),
        (
            app([web("a"), tls(SECRET, "x").replace("stringData", "data")]),
            "manifests[1].data",
            "INVALID_VALUE",
        ),
    ];
    for (request, expected, expected_reason) in rows {
        let result = bench.pods().inject_pods(request).await;
        let text = format!("{result:?}");
        assert!(!text.contains(SECRET), "{text}");
        let (code, _, field, why) = refusal(result);
        assert_eq!(
            (code, why.as_str()),
            (Code::InvalidArgument, expected_reason),
            "{text}"
        );
        assert!(field.starts_with(expected), "{field}");
    }
    bench.end().await;
}
