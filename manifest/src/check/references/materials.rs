//! What pods take from the bundle's Secrets and ConfigMaps. No value of one stands in any sentence.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

use super::Scope;
use crate::{
    Materials, Object, ObjectKey, Reason,
    check::{MAX_FILE, MAX_STAMP, report::Report},
    decode::{suggest::nearest_name, tree::Node},
    field::{OwnedSegment, Path, Segment, shorten},
    materials::{Context, Fault, resolve, resolve::MAX_VOLUMES, volumes::is_materialised},
    render,
};

/// How many keys of an object are listed at most.
const MAX_LISTED: usize = 8;
/// For how many faults of a pod a similar name is looked for, and among how many keys.
const MAX_HINTS: usize = 16;
const MAX_COMPARED: usize = 1000;
/// What a volume's folder takes in the pod's file, and what a mount of it does, with room to spare.
const VOLUME: usize = 512;
const MOUNT: usize = 64;

/// Checks all references to Secrets and ConfigMaps.
pub(crate) fn check(report: &mut Report<'_>, spec: &PodSpec, scope: &Scope<'_>) {
    check_secret_variables(report, spec, scope);
    let metadata = report.tree.get("metadata");
    let metadata = metadata.map_or(Value::Null, Node::to_value);
    let context = Context {
        node: scope.node,
        namespace: scope.namespace,
        metadata: &metadata,
        spec,
        objects: scope.objects,
        faulty: scope.faulty,
        used: scope.used.get(),
    };
    let mut invalid = None;
    let mut told = 0;
    let materials = resolve(context, &mut |path, fault| {
        if let Fault::Invalid = fault {
            invalid.get_or_insert_with(|| owned(path));
        } else {
            told += 1;
            tell(report, path, scope, fault, told);
        }
    });
    // The checks of the fields tell it, and with better words; but by no means is the pod taken.
    if let Some(path) = invalid
        && !report.findings.has_violations()
    {
        let description = "it is no valid reference".to_owned();
        report.refuse_owned(&path, Reason::InvalidValue, description);
    }
    scope
        .used
        .set(scope.used.get().saturating_add(materials.size()));
    check_size(report, spec, &materials);
    warn_of_unreadable(report, spec, &materials);
}

fn owned(path: &Path<'_>) -> Vec<OwnedSegment> {
    let segments = path.segments().into_iter();
    let own = segments.map(|segment| match segment {
        Segment::Key(key) => OwnedSegment::Key(key.to_owned()),
        Segment::Index(index) => OwnedSegment::Index(index),
    });
    own.collect()
}

/// Tells a fault; `number` counts them.
fn tell(
    report: &mut Report<'_>,
    path: &Path<'_>,
    scope: &Scope<'_>,
    fault: Fault<'_>,
    number: usize,
) {
    // Looking for similar names takes a while.
    let with_hint = number <= MAX_HINTS;
    let (reason, description) = match fault {
        Fault::Invalid => return,
        Fault::NoObject(key) => (Reason::UnknownObject, no_object(key, scope, with_hint)),
        Fault::NoKey {
            object,
            key,
            binary,
        } => (Reason::UnknownKey, no_key(object, key, binary, with_hint)),
        Fault::NoText { object, key } => (
            Reason::InvalidValue,
            format!(
                "the value of \"{}\" in {} \"{}\" is not UTF-8 or has a NUL byte, and so no variable can have it: mount it \
                 as a file",
                shorten(key),
                object.kind,
                shorten(&object.name)
            ),
        ),
        Fault::Clash { file, other } => (
            Reason::ConflictingFields,
            format!(
                "\"{}\" and \"{}\" can not both be files of the volume, since one of them is a folder for the other",
                shorten(file),
                shorten(other)
            ),
        ),
        Fault::NotStatic(why) => (
            Reason::NotStatic,
            format!("{why}: put it into a downwardAPI volume of its own"),
        ),
        Fault::NoContainer(name) => (
            Reason::InvalidValue,
            format!("the pod has no container \"{}\"", shorten(name)),
        ),
        Fault::VolumesTooLarge => (
            Reason::VolumesTooLarge,
            format!(
                "the files of the bundle's volumes of Secrets and ConfigMaps take more than the {} MiB that are allowed, each \
                 of them in whole pages of 4 KiB: mount less, or name the keys in items",
                MAX_VOLUMES >> 20
            ),
        ),
        Fault::LiteralsTooLarge => (Reason::PodTooLarge, too_large()),
    };
    report.refuse(path, reason, description);
}

fn too_large() -> String {
    format!(
        "with its variables the pod's file would have more than the {MAX_FILE} bytes that the kubelet reads: mount the \
         object as a volume"
    )
}

fn no_object(key: &ObjectKey, scope: &Scope<'_>, with_hint: bool) -> String {
    let others = || {
        let keys = scope.objects.iter().map(Object::key);
        keys.chain(scope.faulty)
            .filter(|other| with_hint && other.kind == key.kind)
    };
    let elsewhere = others().find(|other| other.name == key.name);
    let here = others().filter(|other| other.namespace == key.namespace);
    let hint = match elsewhere {
        Some(other) => format!(
            "; the one in namespace \"{}\" is not for this pod",
            shorten(&other.namespace)
        ),
        None => nearest_name(&key.name, here.map(|other| other.name.as_str()))
            .map(|near| format!("; did you mean \"{}\"?", shorten(near)))
            .unwrap_or_default(),
    };
    format!(
        "the bundle has no {} \"{}\" in namespace \"{}\": add the document, or set optional: true{hint}",
        key.kind,
        shorten(&key.name),
        shorten(&key.namespace)
    )
}

fn no_key(object: &Object, key: &str, binary: bool, with_hint: bool) -> String {
    let (kind, name) = (object.key.kind, shorten(&object.key.name));
    let key_text = shorten(key);
    if binary {
        return format!(
            "\"{key_text}\" stands in the binaryData of {kind} \"{name}\", which no variable can be taken from: mount it as \
             a file, or set optional: true"
        );
    }
    let keys: Vec<_> = object
        .data
        .keys()
        .take(MAX_LISTED)
        .map(|key| shorten(key))
        .collect();
    let more = object.data.len() - keys.len();
    let there = match (keys.as_slice(), more) {
        ([], _) => "and no other".to_owned(),
        (keys, 0) => format!("only {}", keys.join(", ")),
        (keys, more) => format!("only {} and {more} more", keys.join(", ")),
    };
    let near = object.data.keys().filter(|_| with_hint).take(MAX_COMPARED);
    let hint = nearest_name(key, near.map(String::as_str))
        .map(|near| format!("; did you mean \"{}\"?", shorten(near)))
        .unwrap_or_default();
    format!(
        "{kind} \"{name}\" has no key \"{key_text}\", {there}: correct it, or set optional: true{hint}"
    )
}

fn each_container(spec: &PodSpec) -> impl Iterator<Item = (&'static str, usize, &Container)> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.map(|(index, one)| ("initContainers", index, one));
    let main = spec.containers.iter().enumerate();
    init.chain(main.map(|(index, one)| ("containers", index, one)))
}

fn check_secret_variables(report: &mut Report<'_>, spec: &PodSpec, scope: &Scope<'_>) {
    if scope.allow_secret_env {
        return;
    }
    let description = "the kubelet would show the value in the mirror pod to everybody who may read pods: mount the Secret \
                       as a volume, or allow this with allow_secret_env in the request (seedpod: --allow-secret-env)";
    let root = Path::ROOT;
    let path = root.key("spec");
    for (list, index, container) in each_container(spec) {
        let list = path.key(list);
        let path = list.index(index);
        let env = path.key("env");
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let source = variable.value_from.as_ref();
            if source.is_some_and(|source| source.secret_key_ref.is_some()) {
                let item = env.index(index);
                let source = item.key("valueFrom");
                let path = source.key("secretKeyRef");
                report.refuse_key(&path, Reason::SecretInEnv, description);
            }
        }
        let env = path.key("envFrom");
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            if source.secret_ref.is_some() {
                let item = env.index(index);
                report.refuse_key(&item.key("secretRef"), Reason::SecretInEnv, description);
            }
        }
    }
}

/// Checks that the pod's file stays small enough once literals and folders stand in it.
fn check_size(report: &mut Report<'_>, spec: &PodSpec, materials: &Materials<'_>) {
    let names: BTreeSet<&str> = materials.modes().map(|(name, _)| name).collect();
    let mounts = each_container(spec)
        .flat_map(|(_, _, container)| container.volume_mounts.iter().flatten())
        .filter(|mount| names.contains(mount.name.as_str()))
        .count();
    let added = materials.literals() + names.len() * VOLUME + mounts * MOUNT;
    // More than that was told already.
    if (1..=MAX_FILE).contains(&added)
        && render::pretty(&report.tree.to_value()).len() + added > MAX_FILE - MAX_STAMP
    {
        let path = Path::ROOT;
        report.refuse(&path.key("spec"), Reason::PodTooLarge, too_large());
    }
}

/// Warns of files that nobody can read: they belong to root, and others have no right to them.
fn warn_of_unreadable(report: &mut Report<'_>, spec: &PodSpec, materials: &Materials<'_>) {
    let of_pod = spec.security_context.as_ref();
    if of_pod.is_some_and(|context| context.fs_group.is_some()) {
        return;
    }
    let in_root_group = of_pod
        .and_then(|context| context.supplemental_groups.as_ref())
        .is_some_and(|groups| groups.contains(&0));
    // Whether a container's user is surely another than root, and whether its group surely is.
    let stranger = |container: &Container| {
        let own = container.security_context.as_ref();
        let user = own.and_then(|context| context.run_as_user);
        let user = user.or_else(|| of_pod.and_then(|context| context.run_as_user));
        let group = own.and_then(|context| context.run_as_group);
        let group = group.or_else(|| of_pod.and_then(|context| context.run_as_group));
        let out_of_group = !in_root_group && group.is_some_and(|group| group != 0);
        user.is_some_and(|user| user != 0).then_some(out_of_group)
    };
    // For each volume, what the containers that mount it can read at the least.
    let mut readers: HashMap<&str, u32> = HashMap::new();
    for (_, _, container) in each_container(spec) {
        let readable = match stranger(container) {
            Some(true) => 0o004,
            // The image may give it the group of root.
            Some(false) => 0o044,
            None => u32::MAX,
        };
        for mount in container.volume_mounts.iter().flatten() {
            *readers.entry(&mount.name).or_default() |= readable;
        }
    }
    let root = Path::ROOT;
    let spec_path = root.key("spec");
    let list = spec_path.key("volumes");
    let volumes = spec.volumes.iter().flatten().enumerate();
    let taken = volumes.filter(|(_, volume)| is_materialised(volume));
    for ((index, _), (name, mut files)) in taken.zip(materials.modes()) {
        let Some(&readable) = readers.get(name) else {
            continue;
        };
        if readable == u32::MAX {
            continue;
        }
        if let Some((file, mode)) = files.find(|(_, mode)| mode & readable == 0) {
            let description = format!(
                "the file \"{}\" belongs to root and has the mode {mode:04o}, which keeps the users of all containers that \
                 mount it from reading it: set securityContext.fsGroup of the pod, or another mode",
                shorten(file)
            );
            report.warn(&list.index(index), Reason::UnreadableFile, description);
        }
    }
}
