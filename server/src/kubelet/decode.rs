//! From the kubelet's encoded pods to what is wanted of them.

use prost::{DecodeError, Message as _};
use seedpod_proto::kubelet as api;

use super::{KubeletPod, Waiting};

/// A pod's uid, and what is wanted of it.
pub(super) fn pod(bytes: &[u8]) -> Result<(String, KubeletPod), DecodeError> {
    let pod = api::Pod::decode(bytes)?;
    let status = pod.status.unwrap_or_default();
    let init = status.init_container_statuses.into_iter();
    let waiting = init
        .chain(status.container_statuses)
        .filter_map(|container| {
            let waiting = container.state?.waiting?;
            Some(Waiting {
                container: container.name,
                reason: waiting.reason,
                message: waiting.message,
            })
        });
    let seen = KubeletPod {
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        ip: if status.pod_ip.is_empty() {
            status.host_ip
        } else {
            status.pod_ip
        },
        waiting: waiting.collect(),
    };
    Ok((pod.metadata.unwrap_or_default().uid, seen))
}
