//! Whether the images are there that an injection on trial needs: looked at before anything is changed, so that a trial
//! never stops a pod for one that cannot start.

use std::{collections::BTreeSet, time::Instant};

use seedpod_manifest::Pod;
use tonic::Status;

use super::super::{
    reason::Reason,
    status::{self, Fault},
};
use crate::{
    node::{Change, ChangeKind},
    runtime_cri::CriRuntime,
};

/// An image that a pod names.
struct Wanted<'a> {
    image: &'a str,
    /// The path of the field in the request.
    field: String,
    may_be_pulled: bool,
}

/// Refuses an injection whose new or changed pods need an image that is not there. Pulls what may be pulled until
/// `pull_until`; `None` only looks.
pub(super) async fn check(
    runtime: &CriRuntime,
    pods: &[Pod],
    changes: &[Change],
    pull_until: Option<Instant>,
) -> Result<(), Status> {
    let starts = |pod: &&Pod| {
        changes.iter().any(|change| {
            change.pod == *pod.key()
                && matches!(change.kind, ChangeKind::Added | ChangeKind::Replaced)
        })
    };
    let mut there = BTreeSet::new();
    let mut missing = Vec::new();
    for wanted in pods.iter().filter(starts).flat_map(images) {
        if there.contains(wanted.image) {
            continue;
        }
        let has = runtime.has_image(wanted.image).await;
        if has.map_err(|error| status::runtime_away(&error))? {
            there.insert(wanted.image);
        } else if wanted.may_be_pulled {
            missing.push(wanted);
        } else {
            let description = format!(
                "image {} is not on the node, and imagePullPolicy Never forbids to pull it; load \
                 it onto the node first",
                wanted.image
            );
            return Err(
                Fault::field(Reason::ImageMissing, &wanted.field, description)
                    .meta("image", &wanted.image)
                    .into(),
            );
        }
    }
    let Some(until) = pull_until else {
        return Ok(());
    };
    // After all are known: nothing is pulled for a request that another image fails.
    for wanted in missing {
        if !there.insert(wanted.image) {
            continue;
        }
        let left = until.saturating_duration_since(Instant::now());
        // So that the answer is still in time.
        let limit = left - left / 10;
        if let Err(error) = runtime.pull_image(wanted.image, limit).await {
            let cause = error.root_cause();
            let description = format!(
                "image {} is not on the node, and pulling it failed: {cause}; correct its name, or \
                 load it onto the node first",
                wanted.image
            );
            return Err(
                Fault::field(Reason::ImagePullFailed, &wanted.field, description)
                    .meta("image", &wanted.image)
                    .meta("cause", &cause)
                    .into(),
            );
        }
    }
    Ok(())
}

fn images(pod: &Pod) -> impl Iterator<Item = Wanted<'_>> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(move |list| {
            let containers = pod.value()["spec"][list].as_array();
            let containers = containers.into_iter().flatten().enumerate();
            containers.filter_map(move |(index, container)| {
                Some(Wanted {
                    image: container["image"].as_str()?,
                    field: format!("{}.spec.{list}[{index}].image", pod.origin()),
                    may_be_pulled: container["imagePullPolicy"] != "Never",
                })
            })
        })
}
