//! `GetPodLogs`.

use seedpod_proto::v1::{GetPodLogsRequest, GetPodLogsResponse};
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
    pub(super) async fn pod_logs(
        &self,
        _: GetPodLogsRequest,
    ) -> Result<Answers<GetPodLogsResponse>, Status> {
        Err(not_yet())
    }
}
