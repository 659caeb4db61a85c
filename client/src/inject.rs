//! The request to inject pods.

use std::fmt;

use seedpod_proto::v1;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Trial;

/// What happens to a field that Kubernetes' Pod does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// It is an error: a misspelt field would silently be ignored by the kubelet.
    #[default]
    Strict,
    /// It gives a warning and is passed on to the kubelet. For fields of a newer Kubernetes.
    Warn,
}

/// The whole wanted content of one bundle.
///
/// A pod that the request leaves out is removed, one that differs is replaced, one that is unchanged is not touched.
///
/// ```
/// let request = seedpod_client::InjectPods::new("etcd")
///     .manifest("apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\nspec: ...")
///     .expected_revision(0);
/// assert!(!format!("{request:?}").contains("kind: Pod"), "manifests are never printed");
/// ```
#[derive(Clone)]
pub struct InjectPods {
    bundle: String,
    manifests: Vec<Zeroizing<String>>,
    validate_only: bool,
    request_id: String,
    expected_revision: Option<u64>,
    field_validation: FieldValidation,
    trial: Option<Trial>,
    allow_secret_env: bool,
}

impl InjectPods {
    /// A request for the bundle of this name (a DNS-1123 label), still without manifests and with a fresh request id.
    pub fn new(bundle: impl Into<String>) -> Self {
        Self {
            bundle: bundle.into(),
            manifests: Vec::new(),
            validate_only: false,
            request_id: Uuid::new_v4().to_string(),
            expected_revision: None,
            field_validation: FieldValidation::default(),
            trial: None,
            allow_secret_env: false,
        }
    }

    /// Adds a manifest: YAML or JSON, one or several documents of kind Pod, Secret or ConfigMap, or of lists of them. The
    /// request wipes its copy when it is dropped.
    pub fn manifest(mut self, manifest: impl Into<String>) -> Self {
        self.manifests.push(Zeroizing::new(manifest.into()));
        self
    }

    /// Adds several manifests.
    pub fn manifests<S: Into<String>>(mut self, manifests: impl IntoIterator<Item = S>) -> Self {
        self.manifests.extend(
            manifests
                .into_iter()
                .map(|manifest| Zeroizing::new(manifest.into())),
        );
        self
    }

    /// Only check, and answer with the changes and their diffs.
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    /// Carry the request out only if the bundle's active revision is this one; 0: only if there is no such bundle.
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.expected_revision = Some(revision);
        self
    }

    /// The id under which the node recognises this request when it comes again, instead of the UUID that
    /// [`Self::new`] made up. An installer that must survive its own restart keeps one on its disk.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// What happens to fields that Kubernetes' Pod does not have.
    pub fn field_validation(mut self, validation: FieldValidation) -> Self {
        self.field_validation = validation;
        self
    }

    /// Puts the new revision on trial: unless it is confirmed in time, the node itself goes back to the last good one.
    /// [`Client::wait_confirmed`](crate::Client::wait_confirmed) tells how it ended.
    pub fn trial(mut self, trial: Trial) -> Self {
        self.trial = Some(trial);
        self
    }

    /// Let containers take variables from Secrets. Such a value becomes a literal in the pod, and once there is an API
    /// server, the pod's mirror shows it to everybody who may read pods; without this it is an error. Better: mount the
    /// Secret as a volume.
    pub fn allow_secret_env(mut self, allow: bool) -> Self {
        self.allow_secret_env = allow;
        self
    }

    /// The id of this request.
    pub fn id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn to_message(&self) -> v1::InjectPodsRequest {
        v1::InjectPodsRequest {
            bundle: self.bundle.clone(),
            manifests: self
                .manifests
                .iter()
                .map(|manifest| manifest.to_string())
                .collect(),
            validate_only: self.validate_only,
            request_id: self.request_id.clone(),
            expected_revision: self.expected_revision,
            field_validation: match self.field_validation {
                FieldValidation::Strict => v1::FieldValidation::Strict,
                FieldValidation::Warn => v1::FieldValidation::Warn,
            }
            .into(),
            trial: self.trial.map(Trial::to_message),
            allow_secret_env: self.allow_secret_env,
        }
    }
}

impl fmt::Debug for InjectPods {
    /// Without the manifests, which may hold what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.manifests.iter().map(|manifest| manifest.len()).sum();
        f.debug_struct("InjectPods")
            .field("bundle", &self.bundle)
            .field(
                "manifests",
                &format_args!("{} of {bytes} bytes", self.manifests.len()),
            )
            .field("validate_only", &self.validate_only)
            .field("request_id", &self.request_id)
            .field("expected_revision", &self.expected_revision)
            .field("field_validation", &self.field_validation)
            .field("trial", &self.trial)
            .field("allow_secret_env", &self.allow_secret_env)
            .finish()
    }
}
