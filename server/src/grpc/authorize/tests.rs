use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr};

use prost::Message;
use prost_types::FileDescriptorSet;
use tower::ServiceExt;

use super::*;
use crate::access::{TABLE, testing::Authority};

fn identity(organization: &str) -> Identity {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let issued = Authority::new().client("somebody", organization);
    let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    Identity::for_tests(&der, SocketAddr::from(([192, 0, 2, 1], 4000)))
}

/// What the layer answers: `Ok` when the request gets to the service behind it.
async fn call(path: &str, identity: Option<Identity>) -> Result<(), Status> {
    let behind = tower::service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Status::new(Code::Ok, "").into_http::<Body>())
    });
    let mut request = Request::builder().uri(path).body(()).unwrap();
    if let Some(identity) = identity {
        request.extensions_mut().insert(identity);
    }
    let response = Authorize.layer(behind).oneshot(request).await.unwrap();
    match Status::from_header_map(response.headers()).unwrap() {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

/// Which of the identities (without role, reader, injector, admin) may call `path`.
async fn who_may(path: &str) -> [bool; 4] {
    let mut may = [false; 4];
    for (may, organization) in may.iter_mut().zip([
        "none",
        "seedpod:reader",
        "seedpod:injector",
        "seedpod:admin",
    ]) {
        *may = match call(path, Some(identity(organization))).await {
            Ok(()) => true,
            Err(status) => {
                assert_eq!(
                    status.code(),
                    Code::PermissionDenied,
                    "{path} {organization}"
                );
                false
            }
        };
    }
    may
}

const EVERYBODY: [bool; 4] = [true, true, true, true];
const READERS: [bool; 4] = [false, true, true, true];
const INJECTORS: [bool; 4] = [false, false, true, true];
const ADMINS: [bool; 4] = [false, false, false, true];

macro_rules! who_may {
    ($($name:ident: $path:literal, $expected:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            assert_eq!(who_may($path).await, $expected);
        })*

        /// The methods that have a test above.
        const TESTED: &[&str] = &[$($path),*];
    };
}

who_may! {
    health_may_be_asked_for_by_everybody_known: "/grpc.health.v1.Health/Check", EVERYBODY;
    health_may_be_watched_by_everybody_known: "/grpc.health.v1.Health/Watch", EVERYBODY;
    reflection_is_for_everybody_known:
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", EVERYBODY;
    old_reflection_is_for_everybody_known:
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", EVERYBODY;
    get_node_is_for_readers: "/seedpod.v1.NodeService/GetNode", READERS;
    get_bundle_is_for_readers: "/seedpod.v1.PodInjectionService/GetBundle", READERS;
    list_bundles_is_for_readers: "/seedpod.v1.PodInjectionService/ListBundles", READERS;
    list_pods_is_for_readers: "/seedpod.v1.PodInjectionService/ListPods", READERS;
    list_objects_is_for_readers: "/seedpod.v1.PodInjectionService/ListObjects", READERS;
    inject_pods_is_for_injectors: "/seedpod.v1.PodInjectionService/InjectPods", INJECTORS;
    remove_bundle_is_for_injectors: "/seedpod.v1.PodInjectionService/RemoveBundle", INJECTORS;
    watch_pods_is_for_readers: "/seedpod.v1.PodInjectionService/WatchPods", READERS;
    watch_events_is_for_readers: "/seedpod.v1.PodInjectionService/WatchEvents", READERS;
    get_pod_logs_is_for_readers: "/seedpod.v1.PodInjectionService/GetPodLogs", READERS;
    list_revisions_is_for_readers: "/seedpod.v1.PodInjectionService/ListRevisions", READERS;
    get_revision_is_for_readers: "/seedpod.v1.PodInjectionService/GetRevision", READERS;
    rollback_bundle_is_for_injectors: "/seedpod.v1.PodInjectionService/RollbackBundle", INJECTORS;
    confirm_revision_is_for_injectors: "/seedpod.v1.PodInjectionService/ConfirmRevision", INJECTORS;
    check_node_is_for_readers: "/seedpod.v1.NodeService/CheckNode", READERS;
    configure_kubelet_is_for_admins: "/seedpod.v1.NodeService/ConfigureKubelet", ADMINS;
    reset_node_is_for_admins: "/seedpod.v1.NodeService/ResetNode", ADMINS;
    apply_objects_is_for_injectors: "/seedpod.v1.HandoffService/ApplyObjects", INJECTORS;
    start_handoff_is_for_injectors: "/seedpod.v1.HandoffService/StartHandoff", INJECTORS;
    abort_handoff_is_for_injectors: "/seedpod.v1.HandoffService/AbortHandoff", INJECTORS;
    get_handoff_is_for_readers: "/seedpod.v1.HandoffService/GetHandoff", READERS;
    watch_handoff_is_for_readers: "/seedpod.v1.HandoffService/WatchHandoff", READERS;
}

#[test]
fn every_method_of_the_table_has_its_test() {
    let table: BTreeSet<_> = TABLE.iter().map(|(method, _)| *method).collect();
    assert_eq!(table.len(), TABLE.len(), "no method is there twice");
    assert_eq!(table, TESTED.iter().copied().collect());
}

#[test]
fn every_method_that_is_described_is_in_the_table() {
    let set = FileDescriptorSet::decode(seedpod_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut methods = 0;
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                assert!(rule_for(&path).is_some(), "{path}");
                methods += 1;
            }
        }
    }
    assert_eq!(
        methods,
        TABLE
            .iter()
            .filter(|(path, _)| path.starts_with("/seedpod."))
            .count()
    );
}

#[tokio::test]
async fn what_is_not_in_the_table_does_not_exist_even_for_admins() {
    for path in [
        "/",
        "/seedpod.v1.PodInjectionService/Nope",
        "/seedpod.v1.PodInjectionService/",
        "/x",
    ] {
        let status = call(path, Some(identity("seedpod:admin")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn without_an_identity_nothing_may_be_called() {
    for (path, _) in TABLE {
        assert_eq!(
            call(path, None).await.unwrap_err().code(),
            Code::Unauthenticated,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_local_user_who_is_not_root_may_not_even_ask_for_health() {
    for (path, _) in TABLE {
        let status = call(path, Some(Identity::stranger_for_tests()))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{path}");
        assert!(status.message().contains("as root"), "{}", status.message());
    }
}

#[tokio::test]
async fn a_refusal_tells_who_was_refused_what_and_which_role_is_needed() {
    let path = "/seedpod.v1.PodInjectionService/InjectPods";
    let status = call(path, Some(identity("seedpod:reader")))
        .await
        .unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("ROLE_REQUIRED", ERROR_DOMAIN)
    );
    assert_eq!(info.metadata["method"], path);
    assert_eq!(info.metadata["role"], "seedpod:injector");
    assert_eq!(info.metadata["client"], "somebody");
    assert!(
        status.message().contains("seedpod:injector"),
        "{}",
        status.message()
    );
}
