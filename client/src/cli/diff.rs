//! `seedpod diff`.

use std::collections::{BTreeMap, BTreeSet};

use anstream::eprintln;
use seedpod_client::{BundlePod, Object, ObjectKind, PodReference, Revision};
use similar::TextDiff;

use super::{
    args::{ConnectionArgs, DiffArgs},
    changes, connection, history, objects, output,
};

/// A pod, Secret or ConfigMap of a revision.
struct Side<'a> {
    manifest: &'a str,
    /// What changes with the content, also with what of it is masked: of a pod as a whole, of an object by key.
    digests: BTreeMap<&'a str, &'a str>,
    /// Whether values of it are masked.
    is_masked: bool,
    /// The objects that a pod takes something from.
    takes: Vec<String>,
}

pub(crate) async fn run(args: DiffArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let DiffArgs {
        bundle,
        from,
        to,
        show_secrets,
    } = args;
    let client = connection::connect(connection).await?;
    let new = history::read(&client, &bundle, to.unwrap_or(0), show_secrets).await?;
    let from = match from {
        Some(revision) => revision,
        None => before(&client.list_revisions(&bundle).await?, &new)?,
    };
    let old = history::read(&client, &bundle, from, show_secrets).await?;
    let Difference { text, notes } = diff(&old, &new, show_secrets);
    for note in &notes {
        eprintln!("{note}");
    }
    if text.is_empty() && notes.is_empty() {
        eprintln!(
            "Revisions {} and {} of bundle {bundle} do not differ.",
            old.revision, new.revision
        );
    }
    output::print(&text)
}

/// The newest kept revision before `new`.
fn before(kept: &[Revision], new: &Revision) -> anyhow::Result<u64> {
    kept.iter()
        .map(|revision| revision.revision)
        .filter(|revision| *revision < new.revision)
        .max()
        .ok_or_else(|| {
            anyhow::anyhow!(
                "the node keeps no revision of bundle {} before {}, so there is nothing to compare it with",
                new.bundle,
                new.revision
            )
        })
}

struct Difference {
    text: String,
    /// What differs without its being seen.
    notes: Vec<String>,
}

fn diff(old: &Revision, new: &Revision, show_secrets: bool) -> Difference {
    let (old_sides, new_sides) = (sides(old, show_secrets), sides(new, show_secrets));
    let names: BTreeSet<_> = old_sides.keys().chain(new_sides.keys()).collect();
    let differs = |name: &String| match (old_sides.get(name), new_sides.get(name)) {
        (Some(old), Some(new)) => old.manifest != new.manifest || old.digests != new.digests,
        _ => true,
    };
    let mut text = String::new();
    let mut notes = Vec::new();
    for name in names {
        let (old_side, new_side) = (old_sides.get(name), new_sides.get(name));
        let manifest = |side: Option<&Side<'_>>| side.map_or("", |side| side.manifest).to_owned();
        let (before, after) = (manifest(old_side), manifest(new_side));
        if let (Some(old), Some(new)) = (old_side, new_side) {
            notes.extend(unseen(name, old, new, &differs));
        }
        if before == after {
            continue;
        }
        let header = |revision: &Revision, side: Option<&Side<'_>>| match side {
            Some(_) => format!("{name} (revision {})", revision.revision),
            None => "/dev/null".to_owned(),
        };
        let unified = TextDiff::from_lines(&before, &after)
            .unified_diff()
            .context_radius(3)
            .header(&header(old, old_side), &header(new, new_side))
            .to_string();
        changes::push_diff(&mut text, &unified, "");
    }
    Difference { text, notes }
}

/// What of one thing differs without being in its diff.
fn unseen(
    name: &str,
    old: &Side<'_>,
    new: &Side<'_>,
    differs: &impl Fn(&String) -> bool,
) -> Option<String> {
    let only = if old.manifest == new.manifest {
        "only"
    } else {
        "also"
    };
    let is_object = !old.digests.contains_key("") && !new.digests.contains_key("");
    if is_object {
        let keys: Vec<&str> = new
            .digests
            .iter()
            .filter(|(key, digest)| old.digests.get(*key).is_some_and(|old| old != *digest))
            .map(|(key, _)| *key)
            .collect();
        return (new.is_masked && !keys.is_empty()).then(|| {
            let keys = keys.join(", ");
            format!("{name} differs {only} in what is masked ({keys}); --show-secrets shows it.")
        });
    }
    let mut takes: Vec<String> = [old, new]
        .into_iter()
        .flat_map(|side| &side.takes)
        .filter(|object| differs(object))
        .cloned()
        .collect();
    takes.sort();
    takes.dedup();
    if !takes.is_empty() {
        let takes = takes.join(", ");
        return Some(format!(
            "{name} differs {only} in what it takes from {takes}."
        ));
    }
    (old.manifest == new.manifest && old.digests != new.digests)
        .then(|| format!("{name} differs only in what is masked; --show-secrets shows it."))
}

fn sides(revision: &Revision, show_secrets: bool) -> BTreeMap<String, Side<'_>> {
    let takes = |pod: &BundlePod| {
        let is_it = |user: &PodReference| user.namespace == pod.namespace && user.name == pod.name;
        let taken = revision
            .objects
            .iter()
            .filter(|object| object.used_by.iter().any(is_it));
        taken.map(object_name).collect()
    };
    let pods = revision.pods.iter().zip(&revision.manifests);
    let pods = pods.map(|(pod, manifest)| {
        let side = Side {
            manifest,
            digests: BTreeMap::from([("", &*pod.digest)]),
            is_masked: !show_secrets,
            takes: takes(pod),
        };
        (format!("{}/{}", pod.namespace, pod.name), side)
    });
    let objects = revision.objects.iter().zip(&revision.object_manifests);
    let objects = objects.map(|(object, manifest)| {
        let keys = object.keys.iter();
        let side = Side {
            manifest,
            digests: keys.map(|key| (&*key.key, &*key.digest)).collect(),
            is_masked: object.kind == ObjectKind::Secret && !show_secrets,
            takes: Vec::new(),
        };
        (object_name(object), side)
    });
    pods.chain(objects).collect()
}

fn object_name(object: &Object) -> String {
    format!(
        "{} {}",
        objects::word(object.kind),
        objects::full_name(object)
    )
}
