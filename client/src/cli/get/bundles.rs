//! `seedpod get bundles`.

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::{Bundle, BundleState, Client};

use crate::cli::{
    args::Format,
    history::trial,
    output::{self, Columns, Items, state_cell},
    time::{age, ago},
};

pub(crate) async fn run(
    client: &Client,
    name: Option<String>,
    format: Format,
) -> anyhow::Result<()> {
    let label = |bundle: &Bundle| format!("bundle/{}", bundle.name);
    let bundles = match name {
        Some(name) => {
            let bundle = client.get_bundle(name).await?;
            if output::print_for_programs(format, &bundle, || vec![label(&bundle)])? {
                return Ok(());
            }
            vec![bundle]
        }
        None => client.list_bundles().await?,
    };
    let names = || bundles.iter().map(label).collect();
    if output::print_for_programs(format, &Items { items: &bundles }, names)? {
        return Ok(());
    }
    if bundles.is_empty() {
        eprintln!("There are no bundles.");
        return Ok(());
    }
    let wide = format == Format::Wide;
    let mut headings = vec![
        "NAME", "STATE", "READY", "REVISION", "TRIAL", "UPDATED", "AGE",
    ];
    headings.extend(
        wide.then_some(["LAST GOOD", "DIGEST", "MESSAGE"])
            .into_iter()
            .flatten(),
    );
    let mut table = Columns::new(&headings);
    for bundle in &bundles {
        table.row(row(bundle, wide));
    }
    if wide {
        return table.print_whole();
    }
    table.print()?;
    // As for pods: no column, and for people.
    for bundle in &bundles {
        if let Some(status) = &bundle.status
            && status.state != BundleState::Ready
            && !status.message.is_empty()
        {
            eprintln!("{} is {}: {}", bundle.name, status.state, status.message);
        }
    }
    Ok(())
}

fn row(bundle: &Bundle, wide: bool) -> Vec<Cell> {
    let status = bundle.status.as_ref();
    let state = status.map_or(BundleState::Unknown, |status| status.state);
    let ready = status.map_or_else(|| "-".to_owned(), |status| status.ready_pods.to_string());
    let mut row = vec![
        Cell::new(&bundle.name),
        state_cell(
            state.as_str(),
            state == BundleState::Ready,
            state == BundleState::Failed,
        ),
        Cell::new(format!("{ready}/{}", bundle.pods.len())),
        Cell::new(bundle.revision),
        Cell::new(trial(bundle.trial.as_ref())),
        Cell::new(ago(bundle.update_time)),
        Cell::new(age(bundle.create_time)),
    ];
    if wide {
        let last_good = match bundle.last_good_revision {
            0 => "-".to_owned(),
            revision => revision.to_string(),
        };
        row.push(Cell::new(last_good));
        row.push(Cell::new(&bundle.digest));
        row.push(Cell::new(status.map_or("", |status| &status.message)));
    }
    row
}
