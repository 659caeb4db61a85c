//! `seedpod diff`.

use std::collections::BTreeMap;

use anstream::eprintln;
use seedpod_client::Revision;
use similar::TextDiff;

use super::{
    args::{ConnectionArgs, DiffArgs},
    changes, connection, history, output,
};

/// A pod of a revision.
struct Side<'a> {
    digest: &'a str,
    manifest: &'a str,
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
    let Difference { text, masked } = diff(&old, &new);
    for name in &masked {
        eprintln!("{name} differs only in what is masked; --show-secrets shows it.");
    }
    if text.is_empty() && masked.is_empty() {
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
    /// The pods that differ without its being seen.
    masked: Vec<String>,
}

fn diff(old: &Revision, new: &Revision) -> Difference {
    let (old_pods, new_pods) = (sides(old), sides(new));
    let mut names: Vec<_> = old_pods.keys().chain(new_pods.keys()).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    let mut masked = Vec::new();
    for name in names {
        let (old_pod, new_pod) = (old_pods.get(name), new_pods.get(name));
        let manifest = |side: Option<&Side<'_>>| side.map_or("", |side| side.manifest).to_owned();
        let (before, after) = (manifest(old_pod), manifest(new_pod));
        if before == after {
            if old_pod.map(|side| side.digest) != new_pod.map(|side| side.digest) {
                masked.push(name.clone());
            }
            continue;
        }
        let header = |revision: &Revision, side: Option<&Side<'_>>| match side {
            Some(_) => format!("{name} (revision {})", revision.revision),
            None => "/dev/null".to_owned(),
        };
        let unified = TextDiff::from_lines(&before, &after)
            .unified_diff()
            .context_radius(3)
            .header(&header(old, old_pod), &header(new, new_pod))
            .to_string();
        changes::push_diff(&mut text, &unified, "");
    }
    Difference { text, masked }
}

fn sides(revision: &Revision) -> BTreeMap<String, Side<'_>> {
    revision
        .pods
        .iter()
        .zip(&revision.manifests)
        .map(|(pod, manifest)| {
            let side = Side {
                digest: &pod.digest,
                manifest,
            };
            (format!("{}/{}", pod.namespace, pod.name), side)
        })
        .collect()
}
