//! From the runtime's flat lists to sandboxes with their containers.

use std::collections::HashMap;

use jiff::Timestamp;
use seedpod_proto::cri;

use super::{Container, ContainerState, Listing, Sandbox};

// The labels that the kubelet puts on what it makes.
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

// The annotations that rendering puts on a pod; the kubelet passes them on to the sandbox.
const BUNDLE: &str = "seedpod.dev/bundle";
const REVISION: &str = "seedpod.dev/revision";
const DIGEST: &str = "seedpod.dev/digest";
// Of a pod that was replaced under its old uid: the uid that its content would have had.
const CONTENT_UID: &str = "seedpod.dev/uid";
// Of a pod that was withheld and came back.
const RETURNED: &str = "seedpod.dev/returned";

/// Joins the two lists. What has not the kubelet's labels was not made by a kubelet, and is left out.
pub(super) fn listing(pods: Vec<cri::PodSandbox>, containers: Vec<cri::Container>) -> Listing {
    let (mut of_sandbox, previous) = newest(containers);
    let sandboxes = pods
        .into_iter()
        .filter_map(|mut pod| {
            let containers = of_sandbox.remove(&pod.id).unwrap_or_default();
            let kubelet_uid = pod.labels.remove(POD_UID)?;
            Some(Sandbox {
                namespace: pod.labels.remove(POD_NAMESPACE)?,
                name: pod.labels.remove(POD_NAME)?,
                uid: pod
                    .annotations
                    .remove(CONTENT_UID)
                    .unwrap_or_else(|| kubelet_uid.clone()),
                kubelet_uid,
                ready: pod.state() == cri::PodSandboxState::SandboxReady,
                created_at: timestamp(pod.created_at),
                bundle: pod.annotations.remove(BUNDLE),
                revision: pod
                    .annotations
                    .get(REVISION)
                    .and_then(|text| text.parse().ok()),
                digest: pod.annotations.remove(DIGEST),
                returned: pod
                    .annotations
                    .get(RETURNED)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
                containers,
                ips: Vec::new(),
                id: pod.id,
            })
        })
        .collect();
    Listing {
        sandboxes,
        previous,
    }
}

/// An attempt of a container, with what it is ordered by.
struct Attempt {
    pod: String,
    sandbox: String,
    created_at: i64,
    container: Container,
}

/// The newest attempt of each container in each sandbox, ordered by name; and by its id the attempt before it.
fn newest(
    containers: Vec<cri::Container>,
) -> (HashMap<String, Vec<Container>>, HashMap<String, String>) {
    let mut attempts: Vec<Attempt> = containers.into_iter().filter_map(attempt).collect();
    attempts.sort_by(|a, b| {
        let names = (&a.container.name, &a.pod).cmp(&(&b.container.name, &b.pod));
        let newest_first =
            (b.container.attempt, b.created_at).cmp(&(a.container.attempt, a.created_at));
        names.then(newest_first)
    });
    let previous = attempts
        .windows(2)
        .filter_map(|pair| {
            let [later, earlier] = pair else { return None };
            (later.pod == earlier.pod && later.container.name == earlier.container.name)
                .then(|| (later.container.id.clone(), earlier.container.id.clone()))
        })
        .collect();
    let mut of_sandbox: HashMap<String, Vec<Container>> = HashMap::new();
    for attempt in attempts {
        let containers = of_sandbox.entry(attempt.sandbox).or_default();
        if containers
            .last()
            .is_none_or(|newest| newest.name != attempt.container.name)
        {
            containers.push(attempt.container);
        }
    }
    (of_sandbox, previous)
}

fn attempt(mut container: cri::Container) -> Option<Attempt> {
    let state = state(container.state);
    let image = container.image.unwrap_or_default();
    Some(Attempt {
        pod: container.labels.remove(POD_UID).unwrap_or_default(),
        sandbox: container.pod_sandbox_id,
        created_at: container.created_at,
        container: Container {
            id: container.id,
            name: container.labels.remove(CONTAINER_NAME)?,
            attempt: container.metadata.unwrap_or_default().attempt,
            state,
            // The kubelet creates containers by the image's id, and tells the manifest's name beside it.
            image: if image.user_specified_image.is_empty() {
                image.image
            } else {
                image.user_specified_image
            },
            details: None,
            last_termination: None,
        },
    })
}

fn state(state: i32) -> ContainerState {
    match cri::ContainerState::try_from(state) {
        Ok(cri::ContainerState::ContainerCreated) => ContainerState::Created,
        Ok(cri::ContainerState::ContainerRunning) => ContainerState::Running,
        Ok(cri::ContainerState::ContainerExited) => ContainerState::Exited,
        Ok(cri::ContainerState::ContainerUnknown) | Err(_) => ContainerState::Unknown,
    }
}

/// The runtime's nanoseconds since 1970. Every `i64` of them is a valid time.
pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn sandboxes(pods: Vec<cri::PodSandbox>, containers: Vec<cri::Container>) -> Vec<Sandbox> {
        listing(pods, containers).sandboxes
    }

    fn sandbox(id: &str) -> cri::PodSandbox {
        cri::PodSandbox {
            id: id.to_owned(),
            created_at: 1_000_000_000,
            labels: labels(&[
                (POD_NAME, "web-node1"),
                (POD_NAMESPACE, "default"),
                (POD_UID, "uid-1"),
            ]),
            annotations: labels(&[(BUNDLE, "app"), (REVISION, "7")]),
            ..cri::PodSandbox::default()
        }
    }

    fn container(sandbox: &str, name: &str, attempt: u32, state: i32) -> cri::Container {
        cri::Container {
            id: format!("{name}-{attempt}"),
            pod_sandbox_id: sandbox.to_owned(),
            metadata: Some(cri::ContainerMetadata {
                name: name.to_owned(),
                attempt,
            }),
            image: Some(cri::ImageSpec {
                image: "sha256:abc".to_owned(),
                user_specified_image: format!("example/{name}:1"),
            }),
            state,
            labels: labels(&[(CONTAINER_NAME, name)]),
            ..cri::Container::default()
        }
    }

    #[test]
    fn a_sandbox_gets_its_own_containers_and_what_the_annotations_say() {
        let joined = sandboxes(
            vec![sandbox("s1"), sandbox("s2")],
            vec![container("s2", "b", 0, 1), container("s1", "a", 0, 0)],
        );
        assert_eq!(joined.len(), 2);
        assert_eq!(joined[0].name, "web-node1");
        assert_eq!(joined[0].namespace, "default");
        assert_eq!(joined[0].uid, "uid-1");
        assert_eq!(joined[0].bundle.as_deref(), Some("app"));
        assert_eq!(joined[0].revision, Some(7));
        assert_eq!(joined[0].created_at.as_second(), 1);
        assert!(joined[0].ready);
        assert_eq!(joined[0].containers[0].id, "a-0");
        assert_eq!(joined[0].containers[0].image, "example/a:1");
        assert_eq!(joined[1].containers[0].id, "b-0");
    }

    #[test]
    fn only_the_newest_attempt_of_a_container_counts() {
        let joined = sandboxes(
            vec![sandbox("s1")],
            vec![
                container("s1", "a", 1, 2),
                container("s1", "a", 3, 1),
                container("s1", "a", 2, 2),
                container("s1", "b", 0, 2),
            ],
        );
        let seen: Vec<_> = joined[0]
            .containers
            .iter()
            .map(|c| (c.id.as_str(), c.state))
            .collect();
        assert_eq!(
            seen,
            [
                ("a-3", ContainerState::Running),
                ("b-0", ContainerState::Exited)
            ]
        );
    }

    #[test]
    fn what_no_kubelet_made_is_left_out() {
        let mut foreign = sandbox("s1");
        foreign.labels.clear();
        assert_eq!(
            sandboxes(vec![foreign], vec![container("s1", "a", 0, 1)]),
            []
        );
    }

    #[test]
    fn a_state_of_a_newer_runtime_is_unknown_and_not_created() {
        let joined = sandboxes(vec![sandbox("s1")], vec![container("s1", "a", 0, 99)]);
        assert_eq!(joined[0].containers[0].state, ContainerState::Unknown);
    }

    #[test]
    fn a_revision_that_is_no_number_is_no_revision() {
        let mut odd = sandbox("s1");
        odd.annotations
            .insert(REVISION.to_owned(), "latest".to_owned());
        assert_eq!(sandboxes(vec![odd], vec![])[0].revision, None);
    }
}
