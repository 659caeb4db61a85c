//! Lists, revisions, and refusals with their fields.

use seedpod_proto::v1::ListRevisionsRequest;

use super::{super::revisions::of, *};

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
    assert_eq!(page.objects, std::slice::from_ref(secret));
    let of_other = ListObjectsRequest {
        bundle: "other".to_owned(),
        ..ListObjectsRequest::default()
    };
    let of_other = bench.objects(of_other).await.objects;
    assert_eq!(of_other, std::slice::from_ref(fixed));

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
