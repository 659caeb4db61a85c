//! From the bytes of a manifest to a checked static pod.
//!
//! [`check`] reads YAML or JSON strictly, checks each pod as the kubelet would and then the pods against each other;
//! [`render`] gives the file for the kubelet. Everything here is pure: no I/O, no clock, no randomness, and no input can
//! make it panic.

#![warn(missing_docs)]

mod check;
mod decode;
mod diff;
mod digest;
mod encoding;
mod field;
mod foreign;
mod materials;
mod name;
mod object;
mod pod;
mod quantity;
mod render;
mod stamp;
mod violation;

pub use check::{HOST_PATH_TYPES, is_label_value, is_qualified_name as is_label_key};
pub use decode::Places;
pub use digest::{DigestKey, KeyedDigest, NoDigest};
pub use materials::{Materials, Unsatisfied, VolumeContent, VolumeFile};
pub use name::{BundleName, NameError, NodeName, is_dns_label, is_dns_subdomain};
pub use object::{KeySummary, Object, ObjectKey, ObjectKind, ObjectSummary, Objects};
pub use pod::{Digest, HostPort, Pod, PodKey, Protocol};
pub use violation::{Position, Reason, UnknownReason, Violation, Warning};

/// How a manifest is checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node whose kubelet is to run the pods: its name is a suffix of theirs.
    pub node: NodeName,
    /// The most pods in one bundle.
    pub max_pods: usize,
    /// The most bytes of all manifests together.
    pub max_bytes: usize,
    /// Whether a field that Kubernetes does not have is an error.
    pub field_validation: FieldValidation,
    /// Whether variables may take their values from Secrets, though these become literals in the pod.
    pub allow_secret_env: bool,
}

/// Whether a field that Kubernetes does not have is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// It is an error.
    #[default]
    Strict,
    /// It gives a warning and is kept.
    Warn,
}

/// The checked content of one bundle.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Ordered by namespace and name.
    pub pods: Vec<Pod>,
    /// The Secrets and ConfigMaps. All references of the pods that are not optional are satisfied by them.
    pub objects: Objects,
    /// What the kubelet would ignore or change.
    pub warnings: Vec<Warning>,
}

/// Decodes and checks the manifests of one bundle.
///
/// # Errors
/// All violations that were found, in the order of the input.
pub fn check<S: AsRef<str>>(manifests: &[S], options: &Options) -> Result<Checked, Vec<Violation>> {
    check::check(manifests, options)
}

/// An object of any kind as it stands in a manifest. Its texts are wiped when it is dropped: they may be what is secret.
#[derive(Clone)]
pub struct ClusterObject {
    /// Where it stands, as `manifests[0].documents[2]`.
    pub field: String,
    /// Where it begins.
    pub position: Option<Position>,
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `DaemonSet`.
    pub kind: String,
    /// Empty when it names none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it.
    pub value: serde_json::Map<String, serde_json::Value>,
}

impl std::fmt::Debug for ClusterObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterObject")
            .field("field", &self.field)
            .field("api_version", &self.api_version)
            .field("kind", &self.kind)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for ClusterObject {
    fn drop(&mut self) {
        check::cluster::wipe(&mut self.value);
    }
}

/// Reads objects of any kind for an API server: YAML or JSON, one or several documents, lists flattened. Only what it
/// takes to send them is checked: `apiVersion`, `kind`, `metadata.name`, and that no object stands there twice.
///
/// # Errors
/// All violations that were found, in the order of the input.
pub fn read_cluster_objects<S: AsRef<str>>(
    manifests: &[S],
    max_bytes: usize,
) -> Result<Vec<ClusterObject>, Vec<Violation>> {
    check::cluster::read(manifests, max_bytes)
}

/// Reads a text that is one document of YAML or JSON, as strictly as a manifest: a kubeconfig for example. The field of a
/// violation is the path in the document.
///
/// # Errors
/// The first violation.
pub fn read_document(text: &str) -> Result<serde_json::Value, Violation> {
    check::cluster::read_document(text)
}

/// What rendering adds to a pod.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The bundle that the pod belongs to.
    pub bundle: &'a BundleName,
    /// The revision of the bundle that brought the pod's content.
    pub revision: u64,
    /// The pod's `metadata.uid`.
    pub uid: &'a str,
    /// The digest of its content: [`Materials::digest`].
    pub digest: Digest,
    /// The folder on the node under which its volumes of Secrets and ConfigMaps are, each in a folder of its name.
    pub volumes: &'a str,
}

/// The static pod file for the kubelet: one JSON object, the same bytes for the same input. It refers to no object any
/// more.
pub fn render(pod: &Pod, stamp: &Stamp<'_>, materials: &Materials<'_>) -> String {
    render::render(pod, stamp, materials)
}

/// The rendered file of a pod under another stamp, with the same content. `source` is what it was rendered from.
/// `None` when it is no rendering of that.
pub fn restamp(rendered: &str, source: &Pod, stamp: &Stamp<'_>) -> Option<String> {
    render::restamp(rendered, source, stamp)
}

/// As [`restamp`], for a pod that was withheld and comes back: with the number of its return in the annotation
/// `seedpod.dev/returned`.
pub fn returned(rendered: &str, source: &Pod, stamp: &Stamp<'_>, count: u64) -> Option<String> {
    render::returned(rendered, source, stamp, count)
}

/// The rendered file with the annotation `seedpod.dev/nudge` set to `count`: an update that changes nothing else.
pub fn nudge(rendered: &str, count: u64) -> String {
    render::nudge(rendered, count)
}

/// The rendered file under another `metadata.uid`, with its own one in the annotation `seedpod.dev/uid`: for a kubelet
/// that takes a pod of another uid for a second one and does not start it. Its volumes get other names, since that
/// kubelet would go on with what it has set up under the same ones.
pub fn keep_uid(rendered: &str, uid: &str) -> String {
    render::keep_uid(rendered, uid)
}

/// The rendered file that a file in the static pod directory was made from: without a nudge, and under its own uid.
/// `None` when it is no pod's.
pub fn as_rendered(file: &[u8]) -> Option<String> {
    render::as_rendered(file)
}

/// How long the pod of a rendered file may take to stop.
pub fn grace_period(rendered: &str) -> std::time::Duration {
    render::grace_period(rendered)
}

/// Whether a file in the static pod directory is `rendered`, but for a nudge and a kept uid.
pub fn is_rendering_of(file: &[u8], rendered: &str) -> bool {
    render::is_rendering_of(file, rendered)
}

/// Reads a rendered file back: the pod as it was before the stamp. `None` when it is not a rendering, and for a pod that
/// takes something from objects: of that one the source is to be kept.
pub fn unrender(rendered: &str) -> Option<Pod> {
    render::unrender(rendered)
}

/// What a file of unknown origin in the static pod directory claims, read as leniently as the kubelet does.
/// `None` when the kubelet would not take it as a pod.
pub fn read_foreign(bytes: &[u8]) -> Option<ForeignPod> {
    foreign::read(bytes)
}

/// A pod in a file that Seedpod does not own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPod {
    /// Its namespace and name.
    pub key: PodKey,
    /// Its uid, when it has an explicit one.
    pub uid: Option<String>,
    /// The bundle, when it bears Seedpod's annotation.
    pub bundle: Option<String>,
    /// The host's ports that it takes.
    pub host_ports: Vec<HostPort>,
}

/// The pod as YAML. The values of literal environment variables whose name suggests a secret are masked as in [`diff`],
/// unless they are asked for.
pub fn to_yaml(pod: &Pod, secrets: Secrets) -> String {
    diff::pod_to_yaml(pod, secrets)
}

/// Whether what may be secret is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// It is not.
    Masked,
    /// It is.
    Shown,
}

/// A pod with the objects of its bundle, for a diff.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The objects of its bundle.
    pub objects: &'a [ObjectSummary],
}

/// A unified diff of two pods as YAML, with what may be secret masked, followed by the digests of what they take from
/// Secrets and ConfigMaps. Empty when they are equal.
pub fn diff(old: Option<Side<'_>>, new: Option<Side<'_>>) -> String {
    diff::diff(old, new)
}

/// A unified diff of two objects: their keys with sizes and digests, never values. Empty when they are equal.
pub fn diff_object(old: Option<&ObjectSummary>, new: Option<&ObjectSummary>) -> String {
    diff::diff_object(old, new)
}

/// The object as YAML. The values of a Secret are masked unless they are asked for.
pub fn object_to_yaml(object: &Object, secrets: Secrets) -> String {
    diff::object_to_yaml(object, secrets)
}
