use std::convert::Infallible;

use prost::Message as _;
use tower::ServiceExt as _;

use super::*;
use crate::access::TABLE;

#[test]
fn every_method_that_streams_is_listed_and_no_other() {
    let files = prost_types::FileDescriptorSet::decode(seedpod_proto::FILE_DESCRIPTOR_SET)
        .expect("the built-in descriptors are readable");
    let mut found = Vec::new();
    for file in files.file.iter().filter(|f| f.package() == "seedpod.v1") {
        for service in &file.service {
            let streaming = service.method.iter().filter(|m| m.server_streaming());
            let path = |m: &prost_types::MethodDescriptorProto| {
                format!("/seedpod.v1.{}/{}", service.name(), m.name())
            };
            found.extend(streaming.map(path));
        }
    }
    found.sort_unstable();
    assert_eq!(found, STREAMING);
    assert!(
        STREAMING
            .iter()
            .all(|path| TABLE.iter().any(|(known, _)| known == path))
    );
}

/// A body that never ends.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}

fn limits(max_streams: usize, max_streams_per_client: usize) -> Limits {
    Limits {
        max_streams,
        max_streams_per_client,
        ..Limits::default()
    }
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).expect("a request")
}

/// Opens a stream without an identity, which counts as one client.
async fn open(streams: &Streams, path: &str) -> Response<Body> {
    let endless = |_: Request<()>| at_once(Ok::<_, Infallible>(Response::new(Body::new(Endless))));
    let service = streams.layer(tower::service_fn(endless));
    service
        .oneshot(request(path))
        .await
        .unwrap_or_else(|error| match error {})
}

fn code(response: &Response<Body>) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

/// The next frame's trailers, as a status.
async fn end_of(response: Response<Body>) -> (Status, Body) {
    let mut body = response.into_body();
    let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    let frame = frame.expect("a frame").expect("no error");
    let trailers = frame.trailers_ref().expect("trailers");
    (Status::from_header_map(trailers).expect("a status"), body)
}

#[tokio::test]
async fn open_streams_are_counted_until_they_end_and_other_calls_are_not() {
    let streams = Streams::new(&limits(10, 2), CancellationToken::new());
    let first = open(&streams, STREAMING[0]).await;
    let _second = open(&streams, STREAMING[1]).await;
    let third = open(&streams, STREAMING[2]).await;
    assert_eq!(code(&third), Some(Code::ResourceExhausted));
    let status = Status::from_header_map(third.headers()).expect("a status");
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "TOO_MANY_STREAMS"
    );
    assert!(status.message().contains("maxStreamsPerClient"), "{status}");
    assert!(status.get_details_retry_info().is_some());
    let other = open(&streams, "/seedpod.v1.NodeService/GetNode").await;
    assert_eq!(code(&other), None);

    drop(first);
    assert_eq!(code(&open(&streams, STREAMING[2]).await), None);
}

#[tokio::test]
async fn all_clients_together_have_a_limit_too() {
    let streams = Streams::new(&limits(1, 5), CancellationToken::new());
    let _first = open(&streams, STREAMING[0]).await;
    let second = open(&streams, STREAMING[0]).await;
    let status = Status::from_header_map(second.headers()).expect("a status");
    assert!(status.message().contains("limits.maxStreams "), "{status}");
}

#[tokio::test]
async fn a_stream_ends_with_the_truth_when_the_daemon_stops() {
    let stop = CancellationToken::new();
    let streams = Streams::new(&limits(1, 1), stop.clone());
    let response = open(&streams, STREAMING[1]).await;
    let ended = tokio::spawn(end_of(response));
    stop.cancel();
    let (status, mut body) = tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "SHUTTING_DOWN"
    );
    let after = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    assert!(after.is_none(), "nothing comes after the status");
    assert_eq!(streams.admissions.open(), 0);
}
