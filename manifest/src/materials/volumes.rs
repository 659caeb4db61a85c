//! The files of volumes, as the kubelet's plugins for `secret`, `configMap` and `projected` volumes write them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use k8s_openapi::api::core::v1::{KeyToPath, Volume as VolumeDefinition, VolumeProjection};

use super::{
    Fault,
    paths::{clash, clean, clean_mount},
    resolve::{Found, Resolver},
};
use crate::{ObjectKind, field::Path};

/// The API's default for the modes of files.
const DEFAULT_MODE: i32 = 0o644;
/// The mode of the kubelet's folders.
const FOLDER_MODE: u32 = 0o755;
/// With an `fsGroup` folders also hand their group on.
const GROUP_FOLDER_MODE: u32 = 0o2755;
/// What an `fsGroup` adds to the mode of a file in a volume that is not written to.
const GROUP_FILE_MODE: u32 = 0o440;

pub(super) struct Volume<'o> {
    pub(super) name: String,
    pub(super) group: Option<u32>,
    pub(super) folder_mode: u32,
    pub(super) folders: BTreeSet<String>,
    pub(super) files: BTreeMap<String, File<'o>>,
}

pub(super) struct File<'o> {
    pub(super) mode: u32,
    pub(super) content: Content<'o>,
}

pub(super) enum Content<'o> {
    Bytes(&'o [u8]),
    Text(String),
    /// The pod's `metadata.uid`, which is given when the volumes are wanted.
    Uid,
}

impl Content<'_> {
    /// Its size. That of a uid is as of a UUID, which all of Seedpod's are.
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::Uid => 36,
        }
    }
}

/// What one source takes from one object.
struct Source<'s> {
    kind: ObjectKind,
    name: &'s str,
    name_field: &'static str,
    items: &'s [KeyToPath],
    optional: Option<bool>,
    mode: i32,
}

type Files<'o> = BTreeMap<String, File<'o>>;

/// Whether a projected volume's source takes from an object of the bundle.
pub(crate) fn takes_object(source: &VolumeProjection) -> bool {
    source.secret.is_some() || source.config_map.is_some()
}

/// Whether the volume becomes a folder on the node: it takes from objects of the bundle.
pub(crate) fn is_materialised(volume: &VolumeDefinition) -> bool {
    let sources = volume.projected.as_ref().and_then(|v| v.sources.as_ref());
    volume.secret.is_some()
        || volume.config_map.is_some()
        || sources.is_some_and(|sources| sources.iter().any(takes_object))
}

impl<'o> Resolver<'_, 'o> {
    pub(super) fn volumes(&mut self, path: &Path<'_>) -> Vec<Volume<'o>> {
        let spec = self.context.spec;
        let group = spec.security_context.as_ref().and_then(|it| it.fs_group);
        let group = group.and_then(|group| u32::try_from(group).ok());
        let list = path.key("volumes");
        let mut volumes = Vec::new();
        let mut nested = self.nested_mounts();
        for (index, definition) in spec.volumes.iter().flatten().enumerate() {
            if !is_materialised(definition) {
                continue;
            }
            let mut files = self.files(&list.index(index), definition);
            let folders = nested.remove(&definition.name).unwrap_or_default();
            // The kubelet makes these folders first, and then leaves out what would stand in the same place.
            let tops: HashSet<&str> = folders.iter().map(|folder| top(folder)).collect();
            files.retain(|path, _| !tops.contains(top(path)));
            if group.is_some() {
                for file in files.values_mut() {
                    file.mode |= GROUP_FILE_MODE;
                }
            }
            volumes.push(Volume {
                name: definition.name.clone(),
                group,
                folder_mode: group.map_or(FOLDER_MODE, |_| GROUP_FOLDER_MODE),
                folders,
                files,
            });
        }
        volumes
    }

    fn files(&mut self, path: &Path<'_>, volume: &VolumeDefinition) -> Files<'o> {
        let mut files = Files::new();
        if let Some(secret) = &volume.secret {
            let source = Source {
                kind: ObjectKind::Secret,
                name: secret.secret_name.as_deref().unwrap_or_default(),
                name_field: "secretName",
                items: secret.items.as_deref().unwrap_or_default(),
                optional: secret.optional,
                mode: secret.default_mode.unwrap_or(DEFAULT_MODE),
            };
            self.take(&path.key("secret"), &source, &mut files);
        } else if let Some(config_map) = &volume.config_map {
            let source = Source {
                kind: ObjectKind::ConfigMap,
                name: &config_map.name,
                name_field: "name",
                items: config_map.items.as_deref().unwrap_or_default(),
                optional: config_map.optional,
                mode: config_map.default_mode.unwrap_or(DEFAULT_MODE),
            };
            self.take(&path.key("configMap"), &source, &mut files);
        } else if let Some(projected) = &volume.projected {
            let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
            let path = path.key("projected");
            let list = path.key("sources");
            for (index, source) in projected.sources.iter().flatten().enumerate() {
                self.project(&list.index(index), source, mode, &mut files);
            }
        }
        files
    }

    fn project(
        &mut self,
        path: &Path<'_>,
        source: &VolumeProjection,
        mode: i32,
        files: &mut Files<'o>,
    ) {
        if let Some(secret) = &source.secret {
            let source = Source {
                kind: ObjectKind::Secret,
                name: &secret.name,
                name_field: "name",
                items: secret.items.as_deref().unwrap_or_default(),
                optional: secret.optional,
                mode,
            };
            self.take(&path.key("secret"), &source, files);
        } else if let Some(config_map) = &source.config_map {
            let source = Source {
                kind: ObjectKind::ConfigMap,
                name: &config_map.name,
                name_field: "name",
                items: config_map.items.as_deref().unwrap_or_default(),
                optional: config_map.optional,
                mode,
            };
            self.take(&path.key("configMap"), &source, files);
        } else if let Some(downward) = &source.downward_api {
            let path = path.key("downwardAPI");
            let list = path.key("items");
            for (index, item) in downward.items.iter().flatten().enumerate() {
                let item_path = list.index(index);
                if let Some(content) = self.downward(&item_path, item) {
                    let path = item_path.key("path");
                    let mode = item.mode.unwrap_or(mode);
                    self.add(&path, &item.path, mode, content, files);
                }
            }
        }
    }

    fn take(&mut self, path: &Path<'_>, source: &Source<'_>, files: &mut Files<'o>) {
        let name = path.key(source.name_field);
        let found = self.find(&name, source.kind, source.name, source.optional);
        let Found::Object(object) = found else {
            return;
        };
        if self.is_full() {
            return;
        }
        if source.items.is_empty() {
            for (key, datum) in &object.data {
                self.add(&name, key, source.mode, Content::Bytes(&datum.bytes), files);
            }
            return;
        }
        let list = path.key("items");
        for (index, item) in source.items.iter().enumerate() {
            let item_path = list.index(index);
            let Some(datum) = object.data.get(&item.key) else {
                let path = item_path.key("key");
                self.no_key(&path, object, &item.key, source.optional, false);
                continue;
            };
            let mode = item.mode.unwrap_or(source.mode);
            let content = Content::Bytes(&datum.bytes);
            self.add(&item_path.key("path"), &item.path, mode, content, files);
        }
    }

    /// Puts a file into the volume, in the place of an earlier one of the same path.
    fn add(
        &mut self,
        path: &Path<'_>,
        file: &str,
        mode: i32,
        content: Content<'o>,
        files: &mut Files<'o>,
    ) {
        let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777);
        let (Ok(file), Some(mode)) = (clean(file), mode) else {
            self.tell(path, Fault::Invalid);
            return;
        };
        if let Some(other) = clash(files, &file) {
            self.tell(path, Fault::Clash { file: &file, other });
            return;
        }
        if self.file(path, content.len()) {
            files.insert(file, File { mode, content });
        }
    }

    /// The folders at which containers mount other volumes into this one, by the volumes' names: see
    /// `getNestedMountpoints` of the kubelet. The runtime could not make them, since the volume is mounted read-only.
    fn nested_mounts(&self) -> BTreeMap<String, BTreeSet<String>> {
        let spec = self.context.spec;
        let init = spec.init_containers.iter().flatten();
        let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for container in init.chain(&spec.containers) {
            let mounts = container.volume_mounts.iter().flatten();
            let mounts: BTreeSet<(String, &str)> = mounts
                .map(|mount| (clean_mount(&mount.mount_path), mount.name.as_str()))
                .collect();
            for (own, volume) in &mounts {
                let prefix = format!("{own}/");
                let mut outer = HashSet::new();
                // All that begin with the prefix stand together.
                for (other, _) in mounts.range((prefix.clone(), "")..) {
                    let Some(below) = other.strip_prefix(&prefix) else {
                        break;
                    };
                    // What is mounted into one of these is not mounted into this volume.
                    let mut ends = below.match_indices('/').map(|(end, _)| end);
                    if ends.any(|end| below.get(..end).is_some_and(|it| outer.contains(it))) {
                        continue;
                    }
                    outer.insert(below);
                    let folders = folders.entry((*volume).to_owned()).or_default();
                    folders.extend(clean(below));
                }
            }
        }
        folders
    }
}

fn top(path: &str) -> &str {
    path.split_once('/').map_or(path, |(top, _)| top)
}
