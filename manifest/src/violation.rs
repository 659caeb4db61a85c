//! What can be wrong with a manifest.

use std::{fmt, str::FromStr};

/// A place in one of the given manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which manifest, counted from 0.
    pub manifest: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// Why a manifest was refused or warned about: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It is neither YAML nor JSON.
    SyntaxError,
    /// A manifest holds no document: nothing, or nothing but comments.
    EmptyManifest,
    /// It nests too deeply, or its aliases expand to too much.
    TooComplex,
    /// One object has the same key twice.
    DuplicateKey,
    /// A key is not a string, or YAML reads it as another one than was written, or a key of a Secret or ConfigMap can not
    /// be the name of a file.
    InvalidKey,
    /// A value has another type than the field, such as a number where a string is wanted.
    WrongType,
    /// Kubernetes has no such field. A warning when the validation of fields is set to warn.
    UnknownField,
    /// The document is no Pod, Secret or ConfigMap: another `kind`, another `apiVersion`, or none.
    UnsupportedKind,
    /// A required field is missing or empty.
    MissingField,
    /// A name breaks the rules for names of its sort.
    InvalidName,
    /// The name is too long once the node's name is appended, or for the pod's log directory.
    NameTooLong,
    /// A value that the kubelet refuses: out of range, malformed or not one of those allowed.
    InvalidValue,
    /// A field that may not be set here.
    ForbiddenField,
    /// Fields that exclude each other, such as two sources of one volume.
    ConflictingFields,
    /// Two items of one list share a name, a mount path or a port.
    DuplicateName,
    /// A container uses a volume that the pod does not have.
    UnknownVolume,
    /// The pod refers to an object of the API, which a static pod must not.
    ApiReference,
    /// An annotation that only Seedpod or the kubelet sets.
    ReservedAnnotation,
    /// `spec.nodeName` names another node.
    WrongNode,
    /// The file of the pod would be larger than the kubelet reads.
    PodTooLarge,
    /// Two pods, or two containers of one pod, take the same port of the host.
    HostPortConflict,
    /// Two pods of the bundle have the same namespace and name.
    DuplicatePod,
    /// The bundle has more pods than are allowed.
    TooManyPods,
    /// The manifests together have more bytes than are allowed.
    BundleTooLarge,
    /// The bundle has no pod.
    NoPods,
    /// Two Secrets or two ConfigMaps of the bundle have the same namespace and name.
    DuplicateObject,
    /// The bundle has more Secrets and ConfigMaps than are allowed.
    TooManyObjects,
    /// The values of a Secret or ConfigMap together have more bytes than Kubernetes allows.
    ObjectTooLarge,
    /// Warning: a field that only a server or the kubelet writes was left out.
    FieldDropped,
    /// Warning: the kubelet does not resolve `priorityClassName`; without `priority` it ends the pod first at shutdown.
    PriorityNotSet,
    /// Warning: a static pod does not stay finished, whatever its restart policy is.
    RestartPolicyIgnored,
    /// Warning: the kubelet compares the pod's node selection with its own labels and may refuse the pod.
    NodeSelection,
    /// Warning: the kubelet ignores the field on a static pod.
    FieldIgnored,
    /// Warning: the kubelet takes another value than one might think.
    DefaultApplied,
    /// A reference to a Secret or ConfigMap that the bundle does not have in the pod's namespace.
    UnknownObject,
    /// A reference to a key that the Secret or ConfigMap does not have.
    UnknownKey,
    /// A variable takes its value from a Secret, and nobody has allowed it.
    SecretInEnv,
    /// A `downwardAPI` source beside Secrets or ConfigMaps wants what only the kubelet knows.
    NotStatic,
    /// The volumes of Secrets and ConfigMaps have more or larger files than are allowed.
    VolumesTooLarge,
    /// Warning: the modes of files keep the container's user from reading them.
    UnreadableFile,
    /// Warning: no pod of its namespace refers to a Secret or ConfigMap of the bundle.
    UnusedObject,
}

impl Reason {
    /// Every reason, in the order of the declaration.
    pub const ALL: &[Self] = &[
        Self::SyntaxError,
        Self::EmptyManifest,
        Self::TooComplex,
        Self::DuplicateKey,
        Self::InvalidKey,
        Self::WrongType,
        Self::UnknownField,
        Self::UnsupportedKind,
        Self::MissingField,
        Self::InvalidName,
        Self::NameTooLong,
        Self::InvalidValue,
        Self::ForbiddenField,
        Self::ConflictingFields,
        Self::DuplicateName,
        Self::UnknownVolume,
        Self::ApiReference,
        Self::ReservedAnnotation,
        Self::WrongNode,
        Self::PodTooLarge,
        Self::HostPortConflict,
        Self::DuplicatePod,
        Self::TooManyPods,
        Self::BundleTooLarge,
        Self::NoPods,
        Self::DuplicateObject,
        Self::TooManyObjects,
        Self::ObjectTooLarge,
        Self::FieldDropped,
        Self::PriorityNotSet,
        Self::RestartPolicyIgnored,
        Self::NodeSelection,
        Self::FieldIgnored,
        Self::DefaultApplied,
        Self::UnknownObject,
        Self::UnknownKey,
        Self::SecretInEnv,
        Self::NotStatic,
        Self::VolumesTooLarge,
        Self::UnreadableFile,
        Self::UnusedObject,
    ];

    /// The reason in UPPER_SNAKE_CASE, as it stands in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::EmptyManifest => "EMPTY_MANIFEST",
            Self::TooComplex => "TOO_COMPLEX",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::InvalidKey => "INVALID_KEY",
            Self::WrongType => "WRONG_TYPE",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::UnsupportedKind => "UNSUPPORTED_KIND",
            Self::MissingField => "MISSING_FIELD",
            Self::InvalidName => "INVALID_NAME",
            Self::NameTooLong => "NAME_TOO_LONG",
            Self::InvalidValue => "INVALID_VALUE",
            Self::ForbiddenField => "FORBIDDEN_FIELD",
            Self::ConflictingFields => "CONFLICTING_FIELDS",
            Self::DuplicateName => "DUPLICATE_NAME",
            Self::UnknownVolume => "UNKNOWN_VOLUME",
            Self::ApiReference => "API_REFERENCE",
            Self::ReservedAnnotation => "RESERVED_ANNOTATION",
            Self::WrongNode => "WRONG_NODE",
            Self::PodTooLarge => "POD_TOO_LARGE",
            Self::HostPortConflict => "HOST_PORT_CONFLICT",
            Self::DuplicatePod => "DUPLICATE_POD",
            Self::TooManyPods => "TOO_MANY_PODS",
            Self::BundleTooLarge => "BUNDLE_TOO_LARGE",
            Self::NoPods => "NO_PODS",
            Self::DuplicateObject => "DUPLICATE_OBJECT",
            Self::TooManyObjects => "TOO_MANY_OBJECTS",
            Self::ObjectTooLarge => "OBJECT_TOO_LARGE",
            Self::FieldDropped => "FIELD_DROPPED",
            Self::PriorityNotSet => "PRIORITY_NOT_SET",
            Self::RestartPolicyIgnored => "RESTART_POLICY_IGNORED",
            Self::NodeSelection => "NODE_SELECTION",
            Self::FieldIgnored => "FIELD_IGNORED",
            Self::DefaultApplied => "DEFAULT_APPLIED",
            Self::UnknownObject => "UNKNOWN_OBJECT",
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::SecretInEnv => "SECRET_IN_ENV",
            Self::NotStatic => "NOT_STATIC",
            Self::VolumesTooLarge => "VOLUMES_TOO_LARGE",
            Self::UnreadableFile => "UNREADABLE_FILE",
            Self::UnusedObject => "UNUSED_OBJECT",
        }
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(given: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == given)
            .ok_or(UnknownReason)
    }
}

/// There is no such [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such reason")]
pub struct UnknownReason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the request on, as in `manifests[0].documents[2].spec.containers[1].image`.
    pub field: String,
    /// The stable reason.
    pub reason: Reason,
    /// What is wrong and what to write instead, in a sentence. Holds no value of a Secret.
    pub description: String,
    /// Where it stands, when it stands anywhere.
    pub position: Option<Position>,
}

/// Something valid that will not work as one may think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The path of the field, as in [`Violation::field`].
    pub field: String,
    /// The stable reason.
    pub reason: Reason,
    /// What happens, in a sentence.
    pub description: String,
    /// Where it stands.
    pub position: Option<Position>,
}
