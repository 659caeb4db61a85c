//! Finding what a pod refers to: once for the check, which tells all faults, and once for what is rendered.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

use super::{List, Materials};
use crate::{NodeName, Object, ObjectKey, ObjectKind, Objects, field::Path};

/// The most that the files of a bundle's volumes may take, in bytes. Each takes whole pages of memory.
pub(crate) const MAX_VOLUMES: u64 = 64 << 20;
/// A page of memory, which is the least that a file takes on a tmpfs.
const PAGE: u64 = 4096;
/// The most bytes that literals may add to a pod's file. More the kubelet would not read.
const MAX_LITERALS: usize = 10 << 20;

/// After so many faults the rest is not looked at: a hostile pod could have any number of them.
const MAX_FAULTS: usize = 1000;

/// The pod, and where its references lead.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a, 'o> {
    pub(crate) node: &'a NodeName,
    pub(crate) namespace: &'a str,
    /// The pod's `metadata`.
    pub(crate) metadata: &'a Value,
    pub(crate) spec: &'a PodSpec,
    pub(crate) objects: &'o Objects,
    /// Objects of which only the existence is known.
    pub(crate) faulty: &'a BTreeSet<ObjectKey>,
    /// What the volumes of the bundle's other pods take, in bytes.
    pub(crate) used: u64,
}

/// Why something can not be resolved. No value stands in it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault<'f> {
    /// There is no such object, and it is not optional.
    NoObject(&'f ObjectKey),
    /// The object has no such key.
    NoKey {
        object: &'f Object,
        key: &'f str,
        /// Whether it is there, but in `binaryData`.
        binary: bool,
    },
    /// A variable can not have the value: it is not UTF-8, or has a NUL byte.
    NoText { object: &'f ObjectKey, key: &'f str },
    /// A file would have to be a folder for another.
    Clash { file: &'f str, other: &'f str },
    /// A rule of the API is broken, which the check of the fields tells.
    Invalid,
    /// The kubelet alone knows the value.
    NotStatic(&'static str),
    /// There is no container of this name.
    NoContainer(&'f str),
    /// The volumes have too many or too large files.
    VolumesTooLarge,
    /// The pod's file would become too large.
    LiteralsTooLarge,
}

/// What a reference leads to.
pub(super) enum Found<'o> {
    Object(&'o Object),
    /// Nothing, and the reference is optional, or the fault was told.
    Nothing,
    /// An object whose keys are not known.
    Unknown,
}

pub(super) struct Resolver<'r, 'o> {
    pub(super) context: Context<'r, 'o>,
    /// By their names; of those that share one, which is refused, the kubelet would find the first.
    pub(super) containers: HashMap<&'r str, &'r Container>,
    tell: &'r mut dyn FnMut(&Path<'_>, Fault<'_>),
    size: u64,
    literals: usize,
    faults: usize,
}

/// Finds all that the pod refers to; what can not be found is told and left out.
pub(crate) fn resolve<'o>(
    context: Context<'_, 'o>,
    tell: &mut dyn FnMut(&Path<'_>, Fault<'_>),
) -> Materials<'o> {
    let spec = context.spec;
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let containers = spec.containers.iter().chain(init).rev();
    let mut resolver = Resolver {
        context,
        containers: containers.map(|it| (it.name.as_str(), it)).collect(),
        tell,
        size: 0,
        literals: 0,
        faults: 0,
    };
    let root = Path::ROOT;
    let path = root.key("spec");
    let mut materials = Materials {
        volumes: resolver.volumes(&path),
        ..Materials::default()
    };
    for (list, containers) in [(List::Init, init), (List::Main, &spec.containers)] {
        let list_path = path.key(list.field());
        for (index, container) in containers.iter().enumerate() {
            let variables = resolver.variables(&list_path.index(index), container);
            if !variables.is_empty() {
                materials.variables.insert((list, index), variables);
            }
        }
    }
    materials.size = resolver.size;
    materials.literals = resolver.literals;
    materials
}

impl<'o> Resolver<'_, 'o> {
    pub(super) fn tell(&mut self, path: &Path<'_>, fault: Fault<'_>) {
        self.faults += 1;
        (self.tell)(path, fault);
    }

    /// Finds an object; `path` is that of its name.
    pub(super) fn find(
        &mut self,
        path: &Path<'_>,
        kind: ObjectKind,
        name: &str,
        optional: Option<bool>,
    ) -> Found<'o> {
        if name.is_empty() {
            self.tell(path, Fault::Invalid);
            return Found::Nothing;
        }
        let key = ObjectKey {
            kind,
            namespace: self.context.namespace.to_owned(),
            name: name.to_owned(),
        };
        if let Some(object) = self.context.objects.get(&key) {
            return Found::Object(object);
        }
        if self.context.faulty.contains(&key) {
            return Found::Unknown;
        }
        if optional != Some(true) {
            self.tell(path, Fault::NoObject(&key));
        }
        Found::Nothing
    }

    /// Tells that a key is not there, unless it is optional.
    pub(super) fn no_key(
        &mut self,
        path: &Path<'_>,
        object: &Object,
        key: &str,
        optional: Option<bool>,
        binary: bool,
    ) {
        if key.is_empty() {
            self.tell(path, Fault::Invalid);
        } else if optional != Some(true) {
            let fault = Fault::NoKey {
                object,
                key,
                binary,
            };
            self.tell(path, fault);
        }
    }

    /// Whether there is room for no more files.
    pub(super) fn is_full(&self) -> bool {
        self.context.used.saturating_add(self.size) > MAX_VOLUMES || self.faults > MAX_FAULTS
    }

    /// Counts a file; `false` when there is no room for it.
    pub(super) fn file(&mut self, path: &Path<'_>, size: usize) -> bool {
        if self.is_full() {
            return false;
        }
        let pages = u64::try_from(size).unwrap_or(u64::MAX).div_ceil(PAGE);
        self.size = self.size.saturating_add(pages.max(1).saturating_mul(PAGE));
        let is_full = self.is_full();
        if is_full {
            self.tell(path, Fault::VolumesTooLarge);
        }
        !is_full
    }

    /// Whether there is room for no more literals.
    pub(super) fn is_full_of_literals(&self) -> bool {
        self.literals > MAX_LITERALS || self.faults > MAX_FAULTS
    }

    /// Counts a literal; `false` when there is no room for it.
    pub(super) fn literal(&mut self, path: &Path<'_>, size: usize) -> bool {
        if self.is_full_of_literals() {
            return false;
        }
        self.literals = self.literals.saturating_add(size);
        let is_full = self.is_full_of_literals();
        if is_full {
            self.tell(path, Fault::LiteralsTooLarge);
        }
        !is_full
    }
}
