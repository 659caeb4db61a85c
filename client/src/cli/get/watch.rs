//! `seedpod get pods --watch`.

use std::fmt::Write as _;

use comfy_table::Cell;
use futures_util::StreamExt as _;
use seedpod_client::{Client, Pod, PodReference, PodState, PodsUpdate};
use serde::Serialize;

use super::pods::{self, Wanted};
use crate::cli::{
    args::Format,
    output::{self, Columns},
};

/// One change, as programs get it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
enum Change<'a> {
    Changed { pod: &'a Pod },
    Removed { pod: &'a PodReference },
}

pub(crate) async fn run(client: &Client, wanted: &Wanted, format: Format) -> anyhow::Result<()> {
    wanted.check_bundle(client).await?;
    let mut updates = client.watch_pods(wanted.bundle.as_deref());
    let mut rows = Rows {
        widths: None,
        wide: format == Format::Wide,
    };
    while let Some(update) = updates.next().await {
        let PodsUpdate {
            mut changed,
            mut removed,
            ..
        } = update?;
        changed.retain(|pod| wanted.has(pod));
        removed.retain(|pod| {
            wanted
                .name
                .as_ref()
                .is_none_or(|name| pod.name == *name || full_name(pod) == *name)
        });
        match format {
            Format::Table | Format::Wide => rows.print(&changed, &removed)?,
            Format::Json | Format::Yaml => {
                let changed = changed.iter().map(|pod| Change::Changed { pod });
                let removed = removed.iter().map(|pod| Change::Removed { pod });
                let changes: Vec<_> = changed.chain(removed).collect();
                output::print(&for_programs(&changes, format)?)?;
            }
            Format::Name => {
                let changed = changed.iter().map(crate::cli::pods::full_name);
                let names = changed.chain(removed.iter().map(full_name));
                output::print(
                    &names
                        .map(|name| format!("pod/{name}\n"))
                        .collect::<String>(),
                )?;
            }
        }
    }
    Ok(())
}

fn full_name(pod: &PodReference) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn for_programs(changes: &[Change<'_>], format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return output::json_lines(changes);
    }
    let mut text = String::new();
    for change in changes {
        let _ = write!(text, "---\n{}", serde_saphyr::to_string(change)?);
    }
    Ok(text)
}

/// How wide the columns are at least: what is likely to come later must not move them.
const LEAST_WIDTHS: [u16; 7] = [8, 11, 16, 9, 5, 5, 11];

/// The growing table. Its columns stay as wide as they were at first, unless a later entry needs more.
struct Rows {
    widths: Option<Vec<u16>>,
    wide: bool,
}

impl Rows {
    fn print(&mut self, changed: &[Pod], removed: &[PodReference]) -> anyhow::Result<()> {
        // Here the message is a column: it is often all that has changed.
        let mut table = pods::table(if self.wide { &pods::WIDE } else { &["MESSAGE"] });
        for pod in changed {
            let mut row = pods::row(pod, self.wide);
            if !self.wide && pod.state != PodState::Ready {
                row.push(Cell::new(&pod.message));
            }
            table.row(row);
        }
        for pod in removed {
            table.row(vec![
                Cell::new(&pod.bundle),
                Cell::new(&pod.namespace),
                Cell::new(&pod.name),
                Cell::new("Gone"),
            ]);
        }
        if table.is_empty() {
            return Ok(());
        }
        let least = self.widths.as_deref().unwrap_or(&LEAST_WIDTHS);
        let widths = table.align(least);
        let result = self.print_rows(&table);
        self.widths = Some(widths);
        result
    }

    fn print_rows(&self, table: &Columns) -> anyhow::Result<()> {
        match (self.wide, self.widths.is_some()) {
            (true, true) => table.print_rows_whole(),
            (true, false) => table.print_whole(),
            (false, true) => table.print_rows(),
            (false, false) => table.print(),
        }
    }
}
