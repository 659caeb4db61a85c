//! What is checked of a `StartHandoffRequest`.

mod component;
mod times;

use std::collections::{BTreeMap, BTreeSet};

use seedpod_manifest::{BundleName, Digest, is_label_key, is_label_value};
use seedpod_proto::v1::StartHandoffRequest;
use tonic::Status;
use zeroize::Zeroizing;

use crate::{
    grpc::{
        injection::request::has_id,
        reason::Reason,
        status::{Fault, bundle_name, kubeconfig_fault, violations},
    },
    handoff::{Component, Kind, Material, Spec},
    kube::{Kube, Objects},
    node::RequestId,
};

/// More are no labels but a mistake.
const MAX_LABELS: usize = 16;

/// A request whose fields are right.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) spec: Spec,
    pub(super) material: Material,
    /// `None` without an id, and for a request that starts nothing.
    pub(super) request: Option<RequestId>,
}

/// The faults of a request, in the order of its fields.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    fn field(&mut self, field: &str, description: impl Into<String>) {
        self.add(Fault::field(Reason::InvalidHandoff, field, description));
    }
}

impl Start {
    /// # Errors
    /// All that is wrong in the request; the reason is that of the first fault in the order of the fields.
    pub(super) fn parse(request: StartHandoffRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let bundle = bundle_name("bundle", &request.bundle);
        let bundle = bundle.map_err(|fault| faults.add(fault)).ok();
        if request.manifests.is_empty() {
            faults.add(Fault::field(
                Reason::NoManifests,
                "manifests",
                "the objects of the self-hosted control plane are required",
            ));
        }
        if request.kubeconfig.is_empty() {
            faults.add(Fault::field(
                Reason::InvalidKubeconfig,
                "kubeconfig",
                "is required: the credentials that the node uses for the handoff",
            ));
        }
        let components = components(&request, &mut faults);
        check_labels("node_labels", &request.node_labels, &mut faults);
        let deadlines = times::deadlines(request.deadlines.as_ref(), &mut faults);
        let stable_for = times::stable_for(request.stable_for, deadlines.ready, &mut faults);
        let has_id = has_id(request.validate_only, &request.request_id);
        let has_id = has_id.map_err(|fault| faults.add(fault)).unwrap_or(false);
        let mut found = faults.0.into_iter();
        if let Some(first) = found.next() {
            return Err(first.and(found).into());
        }
        let bundle: BundleName = bundle.ok_or_else(|| {
            Fault::new(Reason::Internal, "the request was refused without a fault")
        })?;
        let fingerprint = has_id.then(|| fingerprint(&request));
        let StartHandoffRequest {
            manifests,
            kubeconfig,
            node_labels,
            request_id,
            ..
        } = request;
        Ok(Self {
            spec: Spec {
                bundle,
                components,
                node_labels: node_labels.into_iter().collect(),
                deadlines,
                stable_for,
            },
            material: Material {
                manifests: manifests.into_iter().map(Zeroizing::new).collect(),
                kubeconfig: Zeroizing::new(kubeconfig),
            },
            request: fingerprint.map(|fingerprint| RequestId {
                id: request_id,
                fingerprint,
            }),
        })
    }
}

impl Start {
    /// Reads the manifests and the kubeconfig, so that what is wrong with them is told at once and not by a handoff that
    /// has begun.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(&self, max_bytes: usize) -> Result<(), Status> {
        let Material {
            manifests,
            kubeconfig,
        } = &self.material;
        Objects::parse(manifests, max_bytes).map_err(|error| violations(&error.0))?;
        Kube::from_kubeconfig(kubeconfig)
            .map_err(|error| kubeconfig_fault("kubeconfig", &error))?;
        Ok(())
    }
}

fn components(request: &StartHandoffRequest, faults: &mut Faults) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    for (index, given) in request.components.iter().enumerate() {
        let field = format!("components[{index}]");
        let Some(component) = component::parse(&field, given, faults) else {
            continue;
        };
        let mut others = components.iter();
        if others.any(|other| other.injected == component.injected) {
            let description = format!("pod {} is named twice", component.injected);
            faults.field(&format!("{field}.injected_pod"), description);
        }
        components.push(component);
    }
    let is_api_server = |it: &&Component| matches!(it.kind, Kind::ApiServer { .. });
    let servers = components.iter().filter(is_api_server).count();
    // A component with faults may have been meant as one.
    if servers != 1 && components.len() == request.components.len() {
        faults.field(
            "components",
            format!("exactly one API_SERVER is required, and there are {servers}"),
        );
    }
    components
}

fn check_labels<'a>(
    field: &str,
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    faults: &mut Faults,
) {
    // In a stable order, which a map of protobuf does not have.
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    if labels.len() > MAX_LABELS {
        faults.field(field, format!("at most {MAX_LABELS} labels are allowed"));
    }
    let mut told = BTreeSet::new();
    for (key, value) in labels {
        if !is_label_key(key) && told.insert("key") {
            faults.field(
                field,
                "a key must be a name of at most 63 letters, digits, \"-\", \"_\" or \".\", with or \
                 without a domain and \"/\" before it",
            );
        }
        if !is_label_value(value) && told.insert("value") {
            faults.field(
                field,
                "a value must have at most 63 letters, digits, \"-\", \"_\" or \".\", and begin and \
                 end with a letter or digit",
            );
        }
    }
}

/// A digest over all of a request that matters, which is all but its id. Kept on disk: it must never change.
fn fingerprint(request: &StartHandoffRequest) -> Digest {
    let mut content = Vec::new();
    // Each part has its length before it, so that no two requests give the same bytes.
    let mut part = |bytes: &[u8]| {
        content.extend((bytes.len() as u64).to_be_bytes());
        content.extend(bytes);
    };
    // No injection or rollback begins with this.
    part(b"seedpod.v1.StartHandoff");
    part(request.bundle.as_bytes());
    part(&(request.manifests.len() as u64).to_be_bytes());
    for manifest in &request.manifests {
        part(Digest::of(manifest.as_bytes()).as_bytes());
    }
    part(Digest::of(request.kubeconfig.as_bytes()).as_bytes());
    part(&(request.components.len() as u64).to_be_bytes());
    for component in &request.components {
        part(&component.kind.to_be_bytes());
        part(component.injected_pod.as_bytes());
        part(component.injected_namespace.as_bytes());
        part(component.namespace.as_bytes());
        labels(&component.selector, &mut part);
        part(&component.port.to_be_bytes());
        part(component.lease.as_bytes());
    }
    labels(&request.node_labels, &mut part);
    let deadlines = request.deadlines.as_ref();
    for time in deadlines
        .map(times::all)
        .unwrap_or_default()
        .into_iter()
        .chain([request.stable_for])
    {
        let time = time.map(|time| format!("{}.{:09}", time.seconds, time.nanos));
        part(time.unwrap_or_default().as_bytes());
    }
    Digest::of(&content)
}

fn labels<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    part: &mut impl FnMut(&[u8]),
) {
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    part(&(labels.len() as u64).to_be_bytes());
    for (key, value) in labels {
        part(key.as_bytes());
        part(value.as_bytes());
    }
}

#[cfg(test)]
mod tests;
