//! What Seedpod writes into a pod's metadata.

/// The domain of Seedpod's annotations.
pub(crate) const ANNOTATION_DOMAIN: &str = "seedpod.dev";
/// The bundle that a pod belongs to.
pub(crate) const BUNDLE: &str = "seedpod.dev/bundle";
/// The revision that brought the pod's content.
pub(crate) const REVISION: &str = "seedpod.dev/revision";
/// The digest of the pod's content.
pub(crate) const DIGEST: &str = "seedpod.dev/digest";
/// A counter that makes the kubelet look at the file again.
pub(crate) const NUDGE: &str = "seedpod.dev/nudge";
/// The uid of the content, in a file whose `metadata.uid` is that of the pod before it.
pub(crate) const CONTENT_UID: &str = "seedpod.dev/uid";
/// The volumes' own names, in a file whose `metadata.uid` is that of the pod before it.
pub(crate) const VOLUMES: &str = "seedpod.dev/volumes";
/// The number of its return, on a pod that was withheld and came back.
pub(crate) const RETURNED: &str = "seedpod.dev/returned";
/// The user's own: the pod's place in the order of the bundle.
pub(crate) const WAVE: &str = "seedpod.dev/wave";

/// The namespace of a pod that names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
