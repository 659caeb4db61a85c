//! What a pod takes from the objects of its bundle.
//!
//! A static pod may refer to no object of the API. So its volumes of Secrets and ConfigMaps become folders on the node,
//! which the pod mounts as `hostPath`, and its variables become literal values.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{Digest, DigestKey, NodeName, ObjectKey, Objects, Pod};

/// What a pod takes from the objects of its bundle.
#[derive(Debug, Default)]
pub struct Materials<'o> {
    pub(crate) volumes: Vec<VolumeContent<'o>>,
}

/// The files of one volume, as the kubelet would write them.
#[derive(Clone)]
pub struct VolumeContent<'o> {
    /// The volume's name, which is a DNS label.
    pub name: String,
    /// The group that all of it belongs to: the pod's `fsGroup`.
    pub group: Option<u32>,
    /// The mode of the folders in it, the volume's own one included.
    pub folder_mode: u32,
    /// By their paths below the volume: one or several names, none of them "." or "..", with "/" between.
    pub files: BTreeMap<String, VolumeFile<'o>>,
}

/// A file of a volume.
#[derive(Clone)]
pub struct VolumeFile<'o> {
    /// Its permissions, at most 0777.
    pub mode: u32,
    /// Its content.
    pub content: Cow<'o, [u8]>,
}

impl std::fmt::Debug for VolumeContent<'_> {
    /// Without the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = self.files.iter().map(|(path, file)| (path, file.mode));
        f.debug_struct("VolumeContent")
            .field("name", &self.name)
            .field("group", &self.group)
            .field("files", &files.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VolumeFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeFile")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A reference that the objects do not satisfy, though it is not optional. Never of a pod that was checked with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} refers to {missing}, which the bundle does not have")]
pub struct Unsatisfied {
    /// The path of the field below the pod.
    pub field: String,
    /// What it refers to.
    pub missing: String,
}

impl<'o> Materials<'o> {
    /// Finds what a pod refers to.
    ///
    /// # Errors
    /// When a reference that is not optional is not satisfied.
    pub fn of(pod: &Pod, objects: &'o Objects, node: &NodeName) -> Result<Self, Unsatisfied> {
        let _ = (pod, objects, node);
        Ok(Self {
            volumes: Vec::new(),
        })
    }

    /// The digest of the pod with all that it takes: as [`Pod::digest`] when that is nothing.
    pub fn digest(&self, pod: &Pod, key: &DigestKey) -> Digest {
        let _ = key;
        pod.digest()
    }

    /// The volumes' files. `uid` is the pod's, which a `downwardAPI` source can have.
    pub fn volumes(&self, uid: &str) -> Vec<VolumeContent<'o>> {
        let _ = uid;
        self.volumes.clone()
    }
}

/// The objects that a pod refers to, whether they are optional or not.
pub(crate) fn references(pod: &Pod) -> BTreeSet<ObjectKey> {
    let _ = pod;
    BTreeSet::new()
}
