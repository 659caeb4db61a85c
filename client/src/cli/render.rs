//! `seedpod render`.

use std::{collections::BTreeMap, error::Error as _, path::Path};

use anstream::eprintln;
use seedpod_client::cluster::{
    self, ClusterConfiguration, ConfigurationError, Loaded, Rendered, Written,
};
use serde::Serialize;

use super::{
    args::{Format, RenderArgs},
    exit::Usage,
    lint::count,
    output::{
        self,
        style::{RESET, WARNING},
    },
};

/// What the folder is divided into, and what is in it.
const PARTS: [(&str, &str); 6] = [
    ("pki", "keys and certificates"),
    ("kubeconfigs", "kubeconfigs"),
    ("bundles", "what is injected into each node"),
    ("bootstrap", "what is applied first"),
    ("self-hosted", "what the handoff applies"),
    ("addons", "your own manifests"),
];

pub(crate) fn run(args: RenderArgs) -> anyhow::Result<()> {
    let RenderArgs {
        filename,
        dir,
        output,
    } = args;
    let loaded = load(&filename)?;
    let rendered = cluster::render(&loaded, &dir)?;
    for warning in &rendered.warnings {
        eprintln!("{WARNING}warning:{RESET} {warning}");
    }
    let files = rendered.written.iter();
    let names = || {
        let paths = files
            .clone()
            .filter(|(_, written)| **written != Written::Removed);
        paths
            .map(|(path, _)| dir.join(path).display().to_string())
            .collect()
    };
    if output::print_for_programs(output, &report(&loaded, &rendered), names)? {
        return Ok(());
    }
    output::print(&table(&rendered, output == Format::Wide))?;
    let anything = files.clone().any(|(_, written)| *written != Written::Kept);
    if anything {
        eprintln!(
            "{} holds the cluster's keys: keep it, and keep it to yourself.",
            dir.display()
        );
    } else {
        eprintln!("Everything was there already.");
    }
    Ok(())
}

/// # Errors
/// [`Usage`] with everything that is wrong in the file.
pub(crate) fn load(path: &Path) -> anyhow::Result<Loaded> {
    ClusterConfiguration::load(path).map_err(|error| {
        let hint = match (&error, error.source()) {
            (ConfigurationError::Read { .. }, Some(source)) => {
                format!(": {source}; `seedpod config init` prints one to start from")
            }
            _ => String::new(),
        };
        Usage(format!("{error}{hint}")).into()
    })
}

/// A line for each part of the folder; a wide one for each file.
fn table(rendered: &Rendered, every_file: bool) -> String {
    if every_file {
        let lines = rendered.written.iter();
        return lines
            .map(|(path, written)| {
                let path = rendered.directory.join(path);
                format!("{:<8}  {}\n", word(*written), path.display())
            })
            .collect();
    }
    let mut text = String::new();
    for (part, what) in PARTS {
        let prefix = format!("{part}/");
        let mut counts: BTreeMap<Written, usize> = BTreeMap::new();
        let files = rendered.written.iter();
        for (_, written) in files.filter(|(path, _)| path.starts_with(&prefix)) {
            *counts.entry(*written).or_default() += 1;
        }
        if counts.is_empty() {
            continue;
        }
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(written, number)| format!("{} {}", count(number, "file"), word(written)))
            .collect();
        let folder = rendered.directory.join(part).display().to_string();
        text += &format!("{folder}: {}: {what}\n", counts.join(", "));
    }
    text
}

fn word(written: Written) -> &'static str {
    match written {
        Written::Made => "made",
        Written::Kept => "kept",
        Written::Changed => "changed",
        Written::Removed => "removed",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    directory: &'a Path,
    cluster: &'a str,
    kubernetes_version: String,
    control_plane_endpoint: String,
    files: Vec<File<'a>>,
    bundles: Vec<Bundle<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    result: &'static str,
}

#[derive(Serialize)]
struct Bundle<'a> {
    node: &'a str,
    bundle: &'a str,
    folder: &'a Path,
}

fn report<'a>(loaded: &'a Loaded, rendered: &'a Rendered) -> Report<'a> {
    let bundles = rendered.bundles.iter();
    let files = rendered.written.iter();
    Report {
        directory: &rendered.directory,
        cluster: &loaded.configuration.name,
        kubernetes_version: loaded.version.to_string(),
        control_plane_endpoint: loaded.endpoint.to_string(),
        files: files
            .map(|(path, written)| File {
                path,
                result: word(*written),
            })
            .collect(),
        bundles: bundles
            .map(|bundle| Bundle {
                node: &bundle.node,
                bundle: &bundle.bundle,
                folder: &bundle.folder,
            })
            .collect(),
        warnings: &rendered.warnings,
    }
}
