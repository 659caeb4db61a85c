//! What an injection does to the committed state: pure, but for a look at the static pod directory.
//!
//! `fit` finds what is somebody else's, `content` makes the next revision of what is wanted.

mod content;
mod fit;

use std::{path::PathBuf, sync::Arc};

use seedpod_manifest::{
    BundleName, DigestKey, NodeName, ObjectKey, ObjectSummary, Objects, PodKey, Side, diff,
    diff_object,
};

use self::content::{Content, assemble};
use super::{
    Bundle, Change, ChangeError, ChangeKind, HistoryError, Inject, InjectError, Injected,
    ObjectChange, Rollback, RollbackError, State, StoredWarning, Terms, Trial,
    clock::BootTime,
    handoff::{check_change, is_standby},
};
use crate::{
    projection::Directory,
    store::{Came, Draft, Origin, Reader, StoreId},
};

/// The field that is at fault when a pod of an old revision does not fit.
const ROLLBACK_FIELD: &str = "to_revision";

/// What does not change while the daemon runs, and goes into each pod.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) id: Arc<StoreId>,
    /// Of the digests of what is secret.
    pub(super) digest_key: DigestKey,
    pub(super) node: NodeName,
    /// Where pods' volumes are put.
    pub(super) volumes_directory: PathBuf,
}

/// What a change is held against.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) state: &'a State,
    pub(super) directory: &'a Directory,
    pub(super) place: &'a Place,
    pub(super) has_runtime: bool,
}

/// An injection that fits the node.
#[derive(Debug)]
pub(super) struct Plan {
    old: Option<Arc<Bundle>>,
    new: Bundle,
    /// Ordered by pod, with what came before.
    changes: Vec<(PodKey, ChangeKind)>,
    /// Ordered by object, with what came before.
    object_changes: Vec<(ObjectKey, ChangeKind)>,
    /// The objects that the active revision does not have, or has with other content.
    contents: Objects,
    warnings: Vec<StoredWarning>,
    came: Came,
    trial: Option<Terms>,
}

/// Holds an injection against the state and the static pod directory.
pub(super) fn plan(around: &Surroundings<'_>, inject: Inject) -> Result<Plan, InjectError> {
    let Inject {
        bundle: name,
        checked,
        expected_revision,
        request: _,
        trial,
    } = inject;
    check_revision(around.state, &name, expected_revision)?;
    check_change(around.state, &name)?;
    if trial.is_some() && is_standby(around.state, &name) {
        return Err(InjectError::TrialOfStandby { name });
    }
    if trial.is_some() && !around.has_runtime {
        let needed_for = "a trial, which looks whether the pods are ready,";
        return Err(InjectError::NoRuntime { needed_for });
    }
    fit::check(around, &name, &checked.pods)?;
    let content = Content::of_checked(&checked, around.place)?;
    let active = around.state.bundles.get(&name).map(Arc::as_ref);
    fit::check_immutable(active, &checked.objects, &content.objects)?;
    let came = Came::from(Origin::Injected);
    let plan = assemble(around.state, around.place, name, content, came)?;
    Ok(Plan {
        warnings: checked.warnings.iter().map(Into::into).collect(),
        trial,
        contents: plan.changed(&checked.objects),
        ..plan
    })
}

/// Holds a rollback against the same.
pub(super) fn rollback(
    around: &Surroundings<'_>,
    kept: &Reader,
    rollback: &Rollback,
) -> Result<Plan, RollbackError> {
    let name = &rollback.bundle;
    let newest = around
        .state
        .newest_revision(name)
        .ok_or_else(|| HistoryError::NoBundle { name: name.clone() })?;
    check_revision(around.state, name, rollback.expected_revision)?;
    check_change(around.state, name).map_err(InjectError::from)?;
    let revision = match rollback.to_revision {
        0 => before(kept, name, newest)?,
        revision => revision,
    };
    let past = (revision <= newest)
        .then(|| kept.revision(name, revision).map_err(HistoryError::from))
        .transpose()?
        .flatten()
        .ok_or(HistoryError::NotKept { revision })?;
    if past.removed {
        return Err(RollbackError::Removal { revision });
    }
    let pods = content::pods(&past.bundle)?;
    fit::check(around, name, &pods)?;
    let content = Content::of_kept(&past.bundle, &pods)?;
    let came = Came {
        source_revision: revision,
        ..Came::from(Origin::RolledBack)
    };
    let plan = assemble(around.state, around.place, name.clone(), content, came)?;
    Ok(plan)
}

/// The last good revision before the newest one, or else the one before it.
fn before(kept: &Reader, name: &BundleName, newest: u64) -> Result<u64, RollbackError> {
    let list = kept.list(name, newest).map_err(HistoryError::from)?;
    let earlier = || list.iter().rev().filter(|listed| listed.revision < newest);
    let found = earlier().find(|listed| listed.good).or(earlier().next());
    found
        .map(|listed| listed.revision)
        .ok_or(RollbackError::NothingBefore)
}

/// What the node does by itself when a trial has failed: not held against anything, since the fallback's place was kept
/// for it.
pub(super) fn fall_back(
    state: &State,
    place: &Place,
    name: &BundleName,
    fallback: Option<&Bundle>,
    reason: String,
) -> Result<Plan, ChangeError> {
    let pods = fallback.map_or(Ok(Vec::new()), content::pods)?;
    let content = match fallback {
        Some(fallback) => Content::of_kept(fallback, &pods)?,
        None => Content::default(),
    };
    let came = Came {
        source_revision: fallback.map_or(0, |bundle| bundle.revision),
        reason,
        ..Came::from(Origin::TrialFailed)
    };
    assemble(state, place, name.clone(), content, came)
}

fn check_revision(
    state: &State,
    name: &BundleName,
    expected: Option<u64>,
) -> Result<(), InjectError> {
    let actual = state.bundles.get(name).map_or(0, |bundle| bundle.revision);
    match expected.filter(|expected| *expected != actual) {
        Some(expected) => Err(InjectError::StaleRevision { expected, actual }),
        None => Ok(()),
    }
}

impl Plan {
    /// Those of these objects that the active revision does not have as they are.
    fn changed(&self, objects: &Objects) -> Objects {
        let is_new = |key: &ObjectKey| {
            let mut changes = self.object_changes.iter();
            changes.any(|(object, kind)| object == key && *kind != ChangeKind::Unchanged)
        };
        let new = objects.iter().filter(|object| is_new(object.key()));
        new.cloned().collect()
    }

    /// The bundle as it is already, when nothing changes.
    pub(super) fn unchanged(&self) -> Option<&Arc<Bundle>> {
        let pods = self.changes.iter().map(|(_, kind)| kind);
        let objects = self.object_changes.iter().map(|(_, kind)| kind);
        let all = pods.chain(objects).all(|it| *it == ChangeKind::Unchanged);
        self.old.as_ref().filter(|_| all)
    }

    pub(super) fn warnings(&self) -> &[StoredWarning] {
        &self.warnings
    }

    pub(super) fn source_revision(&self) -> u64 {
        self.came.source_revision
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let change = |(pod, kind): &(PodKey, ChangeKind)| Change {
            pod: pod.clone(),
            kind: *kind,
            diff: String::new(),
        };
        self.changes.iter().map(change).collect()
    }

    pub(super) fn object_changes(&self) -> Vec<ObjectChange> {
        let change = |(object, kind): &(ObjectKey, ChangeKind)| ObjectChange {
            object: object.clone(),
            kind: *kind,
            diff: String::new(),
        };
        self.object_changes.iter().map(change).collect()
    }

    /// What carrying it out would answer, with diffs.
    pub(super) fn preview(self) -> Injected {
        let (changes, object_changes) = self.with_diffs();
        let bundle = self
            .unchanged()
            .map_or_else(|| Arc::new(self.new.clone()), Arc::clone);
        Injected {
            bundle,
            changes,
            object_changes,
            warnings: self.warnings,
            source_revision: self.came.source_revision,
            replayed: false,
        }
    }

    fn with_diffs(&self) -> (Vec<Change>, Vec<ObjectChange>) {
        let summaries = |bundle: &Bundle| -> Vec<ObjectSummary> {
            let objects = bundle.objects.iter();
            objects.map(|object| object.summary.clone()).collect()
        };
        let old_objects = self.old.as_deref().map(summaries).unwrap_or_default();
        let new_objects = summaries(&self.new);
        let (mut changes, mut object_changes) = (self.changes(), self.object_changes());
        for change in &mut changes {
            if change.kind == ChangeKind::Unchanged {
                continue;
            }
            let find = |bundle: &Bundle| {
                let pod = bundle.pods.iter().find(|pod| pod.key == change.pod)?;
                pod.pod()
            };
            let old = self.old.as_deref().and_then(find);
            let new = find(&self.new);
            let side = |pod, objects| Side { pod, objects };
            change.diff = diff(
                old.as_ref().map(|pod| side(pod, &old_objects)),
                new.as_ref().map(|pod| side(pod, &new_objects)),
            );
        }
        for change in &mut object_changes {
            let find = |objects: &'_ [ObjectSummary]| {
                let mut objects = objects.iter();
                objects.find(|object| object.key == change.object).cloned()
            };
            let (old, new) = (find(&old_objects), find(&new_objects));
            change.diff = diff_object(old.as_ref(), new.as_ref());
        }
        (changes, object_changes)
    }

    /// For the store. A trial begins now.
    pub(super) fn draft(self, request: Option<super::RequestId>, now: BootTime) -> Draft {
        let (changes, object_changes) = (self.changes(), self.object_changes());
        Draft {
            removed: self.new.pods.is_empty(),
            forgets: false,
            bundle: self.new,
            request,
            changes,
            object_changes,
            contents: self.contents,
            warnings: self.warnings,
            came: self.came,
            trial: self.trial.map(|terms| Trial { terms, begun: now }),
        }
    }
}
