//! `WatchPods`.

use seedpod_proto::v1::{WatchPodsRequest, WatchPodsResponse};
use tonic::Status;

use super::{Api, injection::Answers, reason::Reason, status::Fault};

/// Until it is there.
fn not_yet() -> Status {
    Fault::new(
        Reason::MethodUnknown,
        "this version of seedpodd does not have it yet",
    )
    .into()
}

impl Api {
    #[expect(clippy::unused_async)]
    pub(super) async fn watch_pods(
        &self,
        _: WatchPodsRequest,
    ) -> Result<Answers<WatchPodsResponse>, Status> {
        Err(not_yet())
    }
}
