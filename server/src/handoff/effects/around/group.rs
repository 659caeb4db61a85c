//! The groups of API servers' processes, by which their packets are known where IPv6 is off.

use std::sync::PoisonError;

use serde_json::Value;

use super::{Around, read_objects};
use crate::{handoff::world::Who, kube::group_of_pod, runtime_cri::Runtime};

impl<R: Runtime> Around<R> {
    pub(super) fn group_of(&self, newcomer: &Who) -> Option<u32> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        match newcomer {
            Who::Hosted(_) => {
                if groups.hosted.is_none() {
                    // Before there is any pod. After the commit the manifests are not kept, and there are pods.
                    let objects = read_objects(&self.handle).ok();
                    let api_server = self.record.spec.api_server();
                    groups.hosted = objects
                        .zip(api_server)
                        .and_then(|(objects, (it, _))| objects.group_of(&it.selector));
                }
                groups.hosted
            }
            Who::Injected(pod) => {
                let state = self.handle.state();
                let bundle = state.bundles.get(&self.record.spec.bundle);
                let mut pods = bundle.iter().flat_map(|bundle| &bundle.pods);
                pods.find(|it| it.key == *pod)
                    .and_then(|it| group_in(&it.rendered))
            }
        }
    }

    /// Notes what the self-hosted API server's pod says.
    pub(super) fn hosted_has(&self, group: Option<u32>) {
        if group.is_some() {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.hosted = group;
        }
    }
}

/// The group that a pod's manifest gives to its processes, if it does.
fn group_in(rendered: &str) -> Option<u32> {
    let pod: Value = serde_json::from_str(rendered).ok()?;
    group_of_pod(pod.get("spec")?)
}

#[cfg(test)]
mod tests {
    use super::group_in;

    #[test]
    fn a_container_says_more_than_its_pod() {
        let pod = r#"{"spec":{"securityContext":{"runAsGroup":1},"containers":[{"name":"a"}]}}"#;
        assert_eq!(group_in(pod), Some(1));
        let pod = r#"{"spec":{"securityContext":{"runAsGroup":1},
            "containers":[{"securityContext":{"runAsGroup":65211}}]}}"#;
        assert_eq!(group_in(pod), Some(65211));
        assert_eq!(group_in(r#"{"spec":{"containers":[{}]}}"#), None);
    }
}
