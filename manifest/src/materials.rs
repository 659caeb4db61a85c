//! What a pod takes from the objects of its bundle.
//!
//! A static pod may refer to no object of the API. So its volumes of Secrets and ConfigMaps become folders on the node,
//! which the pod mounts as `hostPath`, and its variables become literal values. What these are is the kubelet's: see
//! `pkg/volume/{secret,configmap,projected,downwardapi}`, `pkg/volume/volume_linux.go` and `makeEnvironmentVariables` of
//! Kubernetes 1.37.

mod downward;
mod env;
pub(crate) mod paths;
pub(crate) mod resolve;
pub(crate) mod uses;
pub(crate) mod volumes;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use self::{
    env::Variables,
    uses::{Uses, uses},
    volumes::{Content, Volume},
};
pub(crate) use self::{
    env::literal,
    resolve::{Context, Fault, resolve},
};
use crate::{
    Digest, DigestKey, KeyedDigest, NodeName, ObjectKey, Objects, Pod, decode::typed, field::Path,
};

/// A list of containers that variables can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    Init,
    Main,
}

impl List {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Main => "containers",
        }
    }
}

/// What a pod takes from the objects of its bundle.
#[derive(Default)]
pub struct Materials<'o> {
    /// Whether the pod refers to any object, be it there or not.
    refers: bool,
    volumes: Vec<Volume<'o>>,
    /// By the container's list and its place in that.
    variables: BTreeMap<(List, usize), Variables<'o>>,
    size: u64,
    literals: usize,
}

impl std::fmt::Debug for Materials<'_> {
    /// Without the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Materials")
            .field("refers", &self.refers)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
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
    /// Folders besides those that files are in: where containers mount other volumes into this one. Paths as of files,
    /// and no file stands in the way.
    pub folders: BTreeSet<String>,
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
            .field("folders", &self.folders)
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
        let spec = typed_spec(pod);
        if uses(&pod.key.namespace, &spec).is_empty() {
            return Ok(Self::default());
        }
        let context = Context {
            node,
            namespace: &pod.key.namespace,
            metadata: &pod.value["metadata"],
            spec: &spec,
            objects,
            faulty: &BTreeSet::new(),
            used: 0,
        };
        let mut first = None;
        let mut tell = |path: &Path<'_>, fault: Fault<'_>| {
            first.get_or_insert_with(|| Unsatisfied {
                field: path.to_string(),
                missing: fault.missing(),
            });
        };
        let materials = resolve(context, &mut tell);
        first.map_or(
            Ok(Self {
                refers: true,
                ..materials
            }),
            Err,
        )
    }

    /// The digest of the pod with all that it takes: as [`Pod::digest`] when it refers to nothing.
    ///
    /// Equal for equal files and variables, wherever they came from; the pod's uid counts as the same everywhere.
    pub fn digest(&self, pod: &Pod, key: &DigestKey) -> Digest {
        if !self.refers {
            return pod.digest();
        }
        let mut all = Encoder::default();
        all.bytes(pod.source().as_bytes());
        all.number(self.volumes.len());
        for volume in &self.volumes {
            all.bytes(volume.name.as_bytes());
            all.bytes(format!("{:?} {:o}", volume.group, volume.folder_mode).as_bytes());
            all.number(volume.folders.len());
            for folder in &volume.folders {
                all.bytes(folder.as_bytes());
            }
            all.number(volume.files.len());
            for (path, file) in &volume.files {
                all.bytes(path.as_bytes());
                all.bytes(format!("{:o}", file.mode).as_bytes());
                match &file.content {
                    Content::Bytes(bytes) => all.secret(key.digest(bytes)),
                    Content::Text(text) => all.secret(key.digest(text.as_bytes())),
                    Content::Uid => all.bytes(b"metadata.uid"),
                }
            }
        }
        all.number(self.variables.len());
        for ((list, index), variables) in &self.variables {
            all.bytes(list.field().as_bytes());
            all.number(*index);
            all.number(variables.from.len());
            for (name, value) in &variables.from {
                all.bytes(name.as_bytes());
                all.secret(key.digest(value.as_bytes()));
            }
            all.number(variables.values.len());
            for (index, value) in &variables.values {
                all.number(*index);
                all.secret(key.digest(value.as_bytes()));
            }
        }
        Digest::of(&all.0)
    }

    /// The volumes' files. `uid` is the pod's, which a `downwardAPI` source can have.
    pub fn volumes(&self, uid: &str) -> Vec<VolumeContent<'o>> {
        let content = |content: &Content<'o>| match content {
            Content::Bytes(bytes) => Cow::Borrowed(*bytes),
            Content::Text(text) => Cow::Owned(text.clone().into_bytes()),
            Content::Uid => Cow::Owned(uid.as_bytes().to_vec()),
        };
        let of = |volume: &Volume<'o>| VolumeContent {
            name: volume.name.clone(),
            group: volume.group,
            folder_mode: volume.folder_mode,
            folders: volume.folders.clone(),
            files: volume
                .files
                .iter()
                .map(|(path, file)| {
                    let file = VolumeFile {
                        mode: file.mode,
                        content: content(&file.content),
                    };
                    (path.clone(), file)
                })
                .collect(),
        };
        self.volumes.iter().map(of).collect()
    }

    /// How many bytes the volumes' files take in memory, in whole pages.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The volumes' names, each with its files and their modes.
    pub(crate) fn modes(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, u32)>)> {
        self.volumes.iter().map(|volume| {
            let files = volume.files.iter();
            let files = files.map(|(path, file)| (path.as_str(), file.mode));
            (volume.name.as_str(), files)
        })
    }

    /// How many bytes the literals add to the pod's file at most.
    pub(crate) fn literals(&self) -> usize {
        self.literals
    }

    /// The variables that a container takes by `envFrom`, by their names.
    pub(crate) fn variables_from(
        &self,
        list: List,
        container: usize,
    ) -> impl Iterator<Item = (&str, &'o str)> {
        let variables = self.variables.get(&(list, container));
        let from = variables.into_iter().flat_map(|variables| &variables.from);
        from.map(|(name, value)| (name.as_str(), *value))
    }

    /// The value of one variable in a container's `env` that names an object.
    pub(crate) fn variable(&self, list: List, container: usize, index: usize) -> Option<&'o str> {
        let variables = self.variables.get(&(list, container))?;
        variables.values.get(&index).copied()
    }
}

/// Puts values behind each other so that no two lists of them look alike.
#[derive(Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn number(&mut self, number: usize) {
        self.0.extend((number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend(bytes);
    }

    fn secret(&mut self, digest: KeyedDigest) {
        self.bytes(digest.as_bytes());
    }
}

impl Fault<'_> {
    /// What is missing, for a pod that was right once.
    fn missing(self) -> String {
        match self {
            Self::NoObject(key) => key.to_string(),
            Self::NoKey { object, key, .. } => format!("the key {key} of {}", object.key),
            Self::NoText { object, key } => format!("a text in the key {key} of {object}"),
            Self::Clash { file, other } => format!("{file} beside {other}"),
            Self::Invalid => "what is no valid reference".to_owned(),
            Self::NotStatic(_) => "what only the kubelet knows".to_owned(),
            Self::NoContainer(name) => format!("the container {name}"),
            Self::VolumesTooLarge => "larger volumes than are allowed".to_owned(),
            Self::LiteralsTooLarge => "larger variables than are allowed".to_owned(),
        }
    }
}

/// What a pod refers to.
pub(crate) fn uses_of(pod: &Pod) -> Uses {
    uses(&pod.key.namespace, &typed_spec(pod))
}

/// The spec of a pod that may refer to objects; an empty one for others, which need no types.
fn typed_spec(pod: &Pod) -> PodSpec {
    let typed = mentions_objects(&pod.value).then(|| typed::decode(&pod.value).pod);
    // A checked pod always has the types.
    let spec = typed.flatten().and_then(|pod| pod.spec);
    spec.unwrap_or_default()
}

/// Whether any field could be a reference to a Secret or a ConfigMap.
fn mentions_objects(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| {
            key.starts_with("secret") || key.starts_with("configMap") || mentions_objects(value)
        }),
        Value::Array(list) => list.iter().any(mentions_objects),
        _ => false,
    }
}

/// The objects that a pod refers to, whether they are optional or not.
pub(crate) fn references(pod: &Pod) -> BTreeSet<ObjectKey> {
    uses_of(pod).into_keys().collect()
}

#[cfg(test)]
mod tests;
