//! A checked pod.

use std::fmt;

use serde_json::Value;

/// What identifies a pod on a node.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct PodKey {
    /// The namespace.
    pub namespace: String,
    /// The name as in the manifest, without the node's suffix.
    pub name: String,
}

impl PodKey {
    /// The name of the pod's file in the static pod directory.
    ///
    /// A namespace has no `_` and no `.`, so no two pods share a file name.
    pub fn file_name(&self) -> String {
        format!("seedpod_{}_{}.json", self.namespace, self.name)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Digest {
    type Err = crate::NoDigest;

    fn from_str(text: &str) -> Result<Self, crate::NoDigest> {
        let hex = text.strip_prefix("sha256:").ok_or(crate::NoDigest)?;
        crate::digest::from_hex(hex).map(Self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the host that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The address it is taken on; `None` for all of them.
    pub host_ip: Option<String>,
    /// The path of the field below the pod, as in `spec.containers[0].ports[1].hostPort`.
    pub field: String,
}

impl HostPort {
    /// Whether the kubelet would refuse to have both on one node.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && match (&self.host_ip, &other.host_ip) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
    }
}

/// A checked pod, as the user wrote it: with its namespace, and without what only a server writes.
#[derive(Clone)]
pub struct Pod {
    pub(crate) key: PodKey,
    pub(crate) digest: Digest,
    pub(crate) value: Value,
    pub(crate) host_ports: Vec<HostPort>,
    pub(crate) origin: String,
    pub(crate) position: Option<crate::Position>,
}

impl Pod {
    /// The namespace and name.
    pub fn key(&self) -> &PodKey {
        &self.key
    }

    /// The digest of the content: equal pods have equal ones, however they were written.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The pod's object.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The host's ports that it takes.
    pub fn host_ports(&self) -> &[HostPort] {
        &self.host_ports
    }

    /// The objects of its bundle that it refers to, whether they have to be there or not.
    pub fn references(&self) -> std::collections::BTreeSet<crate::ObjectKey> {
        crate::materials::references(self)
    }

    /// The pod as text for [`Pod::from_source`]: its object as canonical JSON.
    pub fn source(&self) -> String {
        self.value.to_string()
    }

    /// The inverse of [`Pod::source`]. `None` when it is no such text.
    pub fn from_source(source: &str) -> Option<Self> {
        Self::from_canonical(serde_json::from_str(source).ok()?, String::new(), None)
    }

    /// Its wave: the number in the annotation `seedpod.dev/wave`; 0 without one.
    pub fn wave(&self) -> u32 {
        let wave = &self.value["metadata"]["annotations"][crate::stamp::WAVE];
        wave.as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// The field path of the document that it came from, as in `manifests[0].documents[1]`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the document begins.
    pub fn position(&self) -> Option<crate::Position> {
        self.position
    }
}

impl fmt::Debug for Pod {
    /// Without the content, which may hold what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pod")
            .field("key", &self.key)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
