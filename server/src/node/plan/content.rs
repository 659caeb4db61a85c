//! The next revision of a bundle, made of what is wanted.
//!
//! That is what was injected, or what a kept revision has. The latter is made anew without the objects' contents: what a
//! pod took from them stands in its rendered file already, or is in its volumes.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::{
    BundleName, Checked, Digest, Materials, ObjectKey, ObjectSummary, Objects, Pod, Stamp, render,
    restamp,
};

use super::{Place, Plan, fit};
use crate::{
    node::{Bundle, BundleObject, BundlePod, ChangeError, ChangeKind, InjectError, State},
    store::{Came, bundle_digest},
};

/// What a revision is to have.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// Ordered.
    pods: Vec<Wanted<'a>>,
    /// Ordered.
    pub(super) objects: Vec<ObjectSummary>,
}

/// A pod that a revision is to have.
#[derive(Debug)]
struct Wanted<'a> {
    pod: &'a Pod,
    /// Of all that it sees.
    digest: Digest,
    from: From<'a>,
}

/// What a pod is rendered from.
#[derive(Debug)]
enum From<'a> {
    Injected(Materials<'a>),
    Kept(&'a BundlePod),
}

impl<'a> Content<'a> {
    /// What was injected.
    pub(super) fn of_checked(checked: &'a Checked, place: &Place) -> Result<Self, InjectError> {
        let wanted = |pod: &'a Pod| {
            let materials = Materials::of(pod, &checked.objects, &place.node)
                .map_err(|error| fit::unsatisfied(pod, &error))?;
            Ok(Wanted {
                digest: materials.digest(pod, &place.digest_key),
                from: From::Injected(materials),
                pod,
            })
        };
        let objects = checked.objects.iter();
        Ok(Self {
            pods: checked
                .pods
                .iter()
                .map(wanted)
                .collect::<Result<_, InjectError>>()?,
            objects: objects
                .map(|object| object.summary(&place.digest_key))
                .collect(),
        })
    }

    /// What a kept revision has. `of` are its [`pods`].
    pub(super) fn of_kept(bundle: &'a Bundle, of: &'a [Pod]) -> Result<Self, ChangeError> {
        let wanted = |(pod, kept): (&'a Pod, &'a BundlePod)| {
            Ok(Wanted {
                digest: kept.digest.parse().map_err(|_| damaged(bundle, kept))?,
                from: From::Kept(kept),
                pod,
            })
        };
        let (pods, objects) = (of.iter().zip(&bundle.pods), bundle.objects.iter());
        Ok(Self {
            pods: pods.map(wanted).collect::<Result<_, ChangeError>>()?,
            objects: objects.map(|object| object.summary.clone()).collect(),
        })
    }
}

/// A revision's pods as they were injected, in its order.
pub(super) fn pods(bundle: &Bundle) -> Result<Vec<Pod>, ChangeError> {
    let pods = bundle.pods.iter();
    pods.map(|kept| kept.pod().ok_or_else(|| damaged(bundle, kept)))
        .collect()
}

fn damaged(bundle: &Bundle, pod: &BundlePod) -> ChangeError {
    let what = format!("pod {} of revision {} is damaged", pod.key, bundle.revision);
    ChangeError::Disk(std::io::Error::other(what))
}

/// The next revision with this content: pods that are as before are taken over as they are.
pub(super) fn assemble(
    state: &State,
    place: &Place,
    name: BundleName,
    content: Content<'_>,
    came: Came,
) -> Result<Plan, ChangeError> {
    let old = state.bundles.get(&name).cloned();
    let revision = state.next_revision(&name);
    let next = Next {
        place,
        bundle: &name,
        revision,
    };
    let (pods, changes) = next.pods(old.as_deref(), &content.pods)?;
    let (objects, object_changes) = next.objects(old.as_deref(), content.objects);
    let now = Timestamp::now();
    let new = Bundle {
        digest: bundle_digest(&pods, &objects),
        revision,
        create_time: old.as_ref().map_or(now, |bundle| bundle.create_time),
        update_time: now,
        pods,
        objects,
        name,
    };
    Ok(Plan {
        old,
        new,
        changes,
        object_changes,
        contents: Objects::default(),
        warnings: Vec::new(),
        came,
        trial: None,
    })
}

/// The revision that is made.
#[derive(Debug, Clone, Copy)]
struct Next<'a> {
    place: &'a Place,
    bundle: &'a BundleName,
    revision: u64,
}

/// What becomes of each of `K`, ordered.
type Changes<K> = Vec<(K, ChangeKind)>;

impl Next<'_> {
    fn pods(
        &self,
        old: Option<&Bundle>,
        wanted: &[Wanted<'_>],
    ) -> Result<(Vec<BundlePod>, Changes<seedpod_manifest::PodKey>), ChangeError> {
        let before = old.iter().flat_map(|bundle| &bundle.pods);
        let before: BTreeMap<_, _> = before.map(|pod| (&pod.key, pod)).collect();
        let mut changes: BTreeMap<_, _> = before
            .keys()
            .map(|key| ((*key).clone(), ChangeKind::Removed))
            .collect();
        let mut pods = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let key = wanted.pod.key();
            let (kind, pod) = match before.get(key) {
                Some(same) if same.digest == wanted.digest.to_string() => {
                    (ChangeKind::Unchanged, (*same).clone())
                }
                Some(_) => (ChangeKind::Replaced, self.pod(wanted)?),
                None => (ChangeKind::Added, self.pod(wanted)?),
            };
            changes.insert(key.clone(), kind);
            pods.push(pod);
        }
        Ok((pods, changes.into_iter().collect()))
    }

    /// A pod with a new uid.
    fn pod(&self, wanted: &Wanted<'_>) -> Result<BundlePod, ChangeError> {
        let Wanted { pod, digest, from } = wanted;
        let key = pod.key();
        let id = &self.place.id;
        let uid = id.pod_uid(
            self.bundle.as_str(),
            self.revision,
            key,
            &digest.to_string(),
        );
        let volumes = self.place.volumes_directory.join(&uid);
        let stamp = Stamp {
            bundle: self.bundle,
            revision: self.revision,
            uid: &uid,
            digest: *digest,
            volumes: &volumes.to_string_lossy(),
        };
        let (rendered, source, has_volumes) = match from {
            From::Injected(materials) => {
                let takes = !pod.references().is_empty();
                (
                    render(pod, &stamp, materials),
                    takes.then(|| pod.source().into()),
                    !materials.volumes(&uid).is_empty(),
                )
            }
            From::Kept(kept) if kept.source.is_some() => {
                let what = || {
                    let what = format!("the kept rendering of pod {key} is damaged");
                    ChangeError::Disk(std::io::Error::other(what))
                };
                (
                    restamp(&kept.rendered, pod, &stamp).ok_or_else(what)?,
                    kept.source.clone(),
                    kept.volumes.is_some(),
                )
            }
            From::Kept(_) => (render(pod, &stamp, &Materials::default()), None, false),
        };
        Ok(BundlePod {
            file: key.file_name(),
            key: key.clone(),
            host_ports: pod.host_ports().to_vec(),
            wave: pod.wave(),
            rendered: rendered.into(),
            source,
            volumes: has_volumes.then(|| Arc::<Path>::from(volumes.as_path())),
            digest: digest.to_string(),
            revision: self.revision,
            uid,
        })
    }

    fn objects(
        &self,
        old: Option<&Bundle>,
        wanted: Vec<ObjectSummary>,
    ) -> (Vec<BundleObject>, Changes<ObjectKey>) {
        let before = old.iter().flat_map(|bundle| &bundle.objects);
        let before: BTreeMap<_, _> = before.map(|object| (&object.summary.key, object)).collect();
        let mut changes: BTreeMap<_, _> = before
            .keys()
            .map(|key| ((*key).clone(), ChangeKind::Removed))
            .collect();
        let mut objects = Vec::with_capacity(wanted.len());
        for summary in wanted {
            let (kind, revision) = match before.get(&summary.key) {
                Some(same) if same.summary.digest == summary.digest => {
                    (ChangeKind::Unchanged, same.revision)
                }
                Some(_) => (ChangeKind::Replaced, self.revision),
                None => (ChangeKind::Added, self.revision),
            };
            changes.insert(summary.key.clone(), kind);
            objects.push(BundleObject { summary, revision });
        }
        (objects, changes.into_iter().collect())
    }
}
