//! Secrets and ConfigMaps through the SDK.

use futures_util::TryStreamExt as _;
use seedpod_client::{ChangeType, InjectPods, ObjectKind, RollbackBundle};
use seedpod_proto::v1::{self, ObjectKind as Wire, pod_change::Type};

use crate::fake::{Answer, Fake, Script, always, bundle, injected, node, object, object_change};

#[tokio::test]
async fn objects_are_listed_page_by_page() {
    let fake = Fake::start(Script {
        list_objects: Some(Box::new(|request| {
            assert_eq!(
                (request.bundle.as_str(), request.kind(), request.page_size),
                ("web", Wire::Secret, 1000)
            );
            let (name, next) = match request.page_token.as_str() {
                "" => ("a", "more"),
                "more" => ("b", ""),
                other => panic!("no page has the token {other:?}"),
            };
            Answer::Reply(v1::ListObjectsResponse {
                objects: vec![object(Wire::Secret, name)],
                next_page_token: next.to_owned(),
            })
        })),
        ..Script::default()
    });
    let client = fake.client().await;
    let listed = client.list_objects(Some("web"), Some(ObjectKind::Secret));
    let listed = listed.await.expect("a list");
    let names: Vec<&str> = listed.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let first = &listed[0];
    assert_eq!(
        (first.kind, first.namespace.as_str(), first.r#type.as_str()),
        (ObjectKind::Secret, "kube-system", "Opaque")
    );
    assert!(first.immutable);
    assert_eq!((first.bundle.as_str(), first.revision), ("web", 3));
    assert_eq!(
        (first.keys[1].key.as_str(), first.keys[1].size),
        ("server.key", 9)
    );
    assert!(first.keys[1].digest.starts_with("hmac-sha256:bb"));
    assert_eq!(first.used_by[0].name, "a");
    assert_eq!(fake.script().count("ListObjects"), 2);
}

#[tokio::test]
async fn without_a_kind_all_are_asked_for() {
    let fake = Fake::start(Script {
        list_objects: Some(Box::new(|request| {
            assert_eq!(
                (request.bundle.as_str(), request.kind()),
                ("", Wire::Unspecified)
            );
            let mut unknown = object(Wire::ConfigMap, "new");
            unknown.kind = 99;
            Answer::Reply(v1::ListObjectsResponse {
                objects: vec![object(Wire::ConfigMap, "dns"), unknown],
                next_page_token: String::new(),
            })
        })),
        ..Script::default()
    });
    let objects = fake.client().await.stream_objects(None, None);
    let kinds: Vec<ObjectKind> = objects
        .map_ok(|object| object.kind)
        .try_collect()
        .await
        .expect("a list");
    assert_eq!(kinds, [ObjectKind::ConfigMap, ObjectKind::Unrecognized]);
}

#[tokio::test]
async fn changes_of_objects_are_in_the_answers() {
    let changes = vec![
        object_change(Wire::ConfigMap, "dns", Type::Added, ""),
        object_change(Wire::Secret, "pki", Type::Replaced, "-ca.crt: 1\n"),
    ];
    let mut reply = injected(bundle("web", 3, &[]), &[]);
    reply.object_changes.clone_from(&changes);
    let fake = Fake::start(Script {
        inject: always(reply),
        rollback: always(v1::RollbackBundleResponse {
            bundle: Some(bundle("web", 4, &[])),
            object_changes: changes,
            ..Default::default()
        }),
        ..Script::default()
    });
    let client = fake.client().await;
    let injected = client.inject(&InjectPods::new("web")).await;
    let injected = injected.expect("an answer").object_changes;
    assert_eq!(injected.len(), 2);
    assert_eq!(
        (injected[0].kind, injected[0].r#type),
        (ObjectKind::ConfigMap, ChangeType::Added)
    );
    assert_eq!(
        (
            injected[1].name.as_str(),
            injected[1].r#type,
            injected[1].diff.as_str()
        ),
        ("pki", ChangeType::Replaced, "-ca.crt: 1\n")
    );
    let back = client.rollback_bundle(&RollbackBundle::new("web")).await;
    assert_eq!(back.expect("an answer").object_changes, injected);
}

#[tokio::test]
async fn a_revision_has_its_objects_and_prints_none_of_their_manifests() {
    let fake = Fake::start(Script {
        get_revision: always(v1::Revision {
            objects: vec![object(Wire::Secret, "pki")],
            object_manifests: vec!["stringData: {password: hunter2}".to_owned()],
            ..Default::default()
        }),
        ..Script::default()
    });
    let revision = fake.client().await.get_revision("web", 3).await;
    let revision = revision.expect("a revision");
    assert_eq!(revision.objects[0].name, "pki");
    assert_eq!(
        revision.object_manifests,
        ["stringData: {password: hunter2}"]
    );
    let debug = format!("{revision:?}");
    assert!(
        debug.contains("pki") && !debug.contains("hunter2"),
        "{debug}"
    );
}

#[tokio::test]
async fn the_node_tells_how_it_keeps_secrets() {
    let mut old = node();
    old.objects = None;
    let fake = Fake::start(Script {
        get_node: crate::fake::each(vec![node(), old]),
        ..Script::default()
    });
    let client = fake.client().await;
    let node = client.get_node().await.expect("a node").objects;
    assert_eq!(
        (node.volumes_directory.as_str(), node.encrypted),
        ("/run/seedpod/volumes", true)
    );
    assert_eq!(node.key_name, "key-2026-11-25");
    // A daemon that knows nothing of Secrets.
    let old = client.get_node().await.expect("a node").objects;
    assert_eq!((old.volumes_directory.as_str(), old.encrypted), ("", false));
}
