//! Which objects, and which of their keys, a pod names.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec};

use crate::{ObjectKey, ObjectKind};

/// What a pod takes of one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// All keys.
    pub(crate) all: bool,
    /// All keys that are not in `binaryData`.
    pub(crate) all_text: bool,
    /// These keys.
    pub(crate) keys: BTreeSet<String>,
}

pub(crate) type Uses = BTreeMap<ObjectKey, Use>;

/// All references of a pod to Secrets and ConfigMaps, whether they are optional or not.
pub(crate) fn uses(namespace: &str, spec: &PodSpec) -> Uses {
    let mut uses = Uses::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            files(
                &mut uses,
                namespace,
                ObjectKind::Secret,
                name,
                secret.items.as_deref(),
            );
        }
        if let Some(map) = &volume.config_map {
            let items = map.items.as_deref();
            files(
                &mut uses,
                namespace,
                ObjectKind::ConfigMap,
                &map.name,
                items,
            );
        }
        let sources = volume.projected.as_ref().and_then(|v| v.sources.as_ref());
        for source in sources.into_iter().flatten() {
            if let Some(secret) = &source.secret {
                let items = secret.items.as_deref();
                files(
                    &mut uses,
                    namespace,
                    ObjectKind::Secret,
                    &secret.name,
                    items,
                );
            }
            if let Some(map) = &source.config_map {
                let items = map.items.as_deref();
                files(
                    &mut uses,
                    namespace,
                    ObjectKind::ConfigMap,
                    &map.name,
                    items,
                );
            }
        }
    }
    let init = spec.init_containers.iter().flatten();
    for container in init.chain(&spec.containers) {
        variables(&mut uses, namespace, container);
    }
    uses.retain(|key, _| !key.name.is_empty());
    uses
}

fn entry<'u>(uses: &'u mut Uses, namespace: &str, kind: ObjectKind, name: &str) -> &'u mut Use {
    let key = ObjectKey {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    uses.entry(key).or_default()
}

fn files(
    uses: &mut Uses,
    namespace: &str,
    kind: ObjectKind,
    name: &str,
    items: Option<&[KeyToPath]>,
) {
    let taken = entry(uses, namespace, kind, name);
    let items = items.unwrap_or_default();
    taken.all |= items.is_empty();
    taken.keys.extend(items.iter().map(|item| item.key.clone()));
}

fn variables(uses: &mut Uses, namespace: &str, container: &Container) {
    for source in container.env_from.iter().flatten() {
        let map = source.config_map_ref.as_ref();
        let secret = source.secret_ref.as_ref();
        for (kind, name) in [
            (ObjectKind::ConfigMap, map.map(|source| &source.name)),
            (ObjectKind::Secret, secret.map(|source| &source.name)),
        ] {
            if let Some(name) = name {
                entry(uses, namespace, kind, name).all_text = true;
            }
        }
    }
    for source in container.env.iter().flatten() {
        let Some(source) = &source.value_from else {
            continue;
        };
        let map = source.config_map_key_ref.as_ref();
        let secret = source.secret_key_ref.as_ref();
        for (kind, reference) in [
            (ObjectKind::ConfigMap, map.map(|it| (&it.name, &it.key))),
            (ObjectKind::Secret, secret.map(|it| (&it.name, &it.key))),
        ] {
            if let Some((name, key)) = reference {
                let taken = entry(uses, namespace, kind, name);
                taken.keys.insert(key.clone());
            }
        }
    }
}
