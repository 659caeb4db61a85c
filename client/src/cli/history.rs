//! `seedpod history`.

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::{Client, ObjectKind, Origin, Revision, TrialState, TrialStatus};

use super::{
    args::{ConnectionArgs, Format, HistoryArgs},
    connection,
    output::{self, Columns, Items, state_cell},
    time::{ago, short},
};

pub(crate) async fn run(args: HistoryArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let HistoryArgs {
        bundle,
        revision,
        show_secrets,
        output,
    } = args;
    let client = connection::connect(connection).await?;
    match revision {
        Some(revision) => {
            let revision = read(&client, &bundle, revision, show_secrets).await?;
            one(&revision, output, show_secrets)
        }
        None => all(&client.list_revisions(&bundle).await?, output),
    }
}

/// One revision with its manifests.
pub(crate) async fn read(
    client: &Client,
    bundle: &str,
    revision: u64,
    show_secrets: bool,
) -> Result<Revision, seedpod_client::Error> {
    if show_secrets {
        client.get_revision_with_secrets(bundle, revision).await
    } else {
        client.get_revision(bundle, revision).await
    }
}

fn label(revision: &Revision) -> String {
    format!("revision/{}@{}", revision.bundle, revision.revision)
}

fn one(revision: &Revision, format: Format, show_secrets: bool) -> anyhow::Result<()> {
    if output::print_for_programs(format, revision, || vec![label(revision)])? {
        return Ok(());
    }
    let Revision {
        bundle,
        revision: number,
        ..
    } = revision;
    // To stderr, so that what is on stdout can be injected as it is.
    eprintln!(
        "revision {number} of bundle {bundle}: {}, {}",
        origin(revision),
        ago(revision.create_time)
    );
    if revision.manifests.is_empty() {
        eprintln!("It has no pods.");
    }
    let has_secrets = revision
        .objects
        .iter()
        .any(|object| object.kind == ObjectKind::Secret);
    if has_secrets && !show_secrets {
        eprintln!("The values of its Secrets are masked; --show-secrets shows them.");
    }
    let manifests: Vec<&str> = revision
        .manifests
        .iter()
        .chain(&revision.object_manifests)
        .map(|manifest| manifest.trim_end())
        .collect();
    let text = manifests.join("\n---\n");
    output::print(&if text.is_empty() { text } else { text + "\n" })
}

fn all(revisions: &[Revision], format: Format) -> anyhow::Result<()> {
    let names = || revisions.iter().map(label).collect();
    if output::print_for_programs(format, &Items { items: revisions }, names)? {
        return Ok(());
    }
    let wide = format == Format::Wide;
    let mut headings = vec!["REVISION", "MADE", "ORIGIN", "PODS", "GOOD", "TRIAL"];
    headings.extend(wide.then_some("DIGEST"));
    headings.push("NOTE");
    let mut table = Columns::new(&headings);
    for revision in revisions {
        let number = match revision.active {
            true => format!("{} (active)", revision.revision),
            false => revision.revision.to_string(),
        };
        let mut row = vec![
            Cell::new(number),
            Cell::new(ago(revision.create_time)),
            Cell::new(origin(revision)),
            Cell::new(revision.pods.len()),
            if revision.good {
                state_cell("yes", true, false)
            } else {
                Cell::new("no")
            },
            Cell::new(trial(revision.trial.as_ref())),
        ];
        row.extend(wide.then(|| Cell::new(&revision.digest)));
        row.push(Cell::new(&revision.reason));
        table.row(row);
    }
    if wide {
        table.print_whole()
    } else {
        table.print()
    }
}

fn origin(revision: &Revision) -> String {
    match (revision.origin, revision.source_revision) {
        (Origin::Injected, _) => "injected".to_owned(),
        (Origin::RolledBack, source) => format!("rollback to {source}"),
        (Origin::TrialFailed, 0) => "removed by the node".to_owned(),
        (Origin::TrialFailed, source) => format!("node went back to {source}"),
        (Origin::Removed, _) => "removed".to_owned(),
        (other, _) => other.to_string(),
    }
}

/// How a trial stands, in few words.
pub(crate) fn trial(trial: Option<&TrialStatus>) -> String {
    match trial {
        None => "-".to_owned(),
        Some(TrialStatus {
            state: TrialState::Pending,
            remaining: Some(left),
            ..
        }) => format!("{} left", short(*left)),
        Some(trial) => trial.state.to_string(),
    }
}
