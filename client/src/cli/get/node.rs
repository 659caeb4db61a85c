//! `seedpod get node`.

use comfy_table::Cell;
use seedpod_client::{Client, KubeletState, KubeletSync, Node, Runtime, RuntimeState};

use crate::cli::{
    args::Format,
    output::{self, Columns, state_cell},
    time::age,
};

pub(crate) async fn run(client: &Client, format: Format) -> anyhow::Result<()> {
    let node = client.get_node().await?;
    if output::print_for_programs(format, &node, || vec![format!("node/{}", node.name)])? {
        return Ok(());
    }
    let mut table = Columns::new(&[
        "NAME",
        "STATUS",
        "BUNDLES",
        "PODS",
        "VERSION",
        "RUNTIME",
        "KUBELET",
        "ENCRYPTION",
        "UP",
    ]);
    let well = node.problems.is_empty();
    table.row(vec![
        Cell::new(&node.name),
        state_cell(if well { "Ok" } else { "Problems" }, well, !well),
        Cell::new(node.bundle_count),
        Cell::new(node.pod_count),
        Cell::new(&node.seedpod_version),
        runtime_cell(&node.container_runtime),
        state_cell(
            node.kubelet.state.as_str(),
            node.kubelet.state == KubeletState::Seen,
            false,
        ),
        Cell::new(match (node.objects.encrypted, &*node.objects.key_name) {
            (false, _) => "none",
            (true, "") => "on",
            (true, key) => key,
        }),
        Cell::new(age(node.start_time)),
    ]);
    table.print()?;
    if !well {
        output::print("\n")?;
        let mut table = Columns::new(&["PROBLEM", "MESSAGE"]);
        for problem in &node.problems {
            table.row(vec![
                state_cell(&problem.reason, false, true),
                Cell::new(&problem.message),
            ]);
        }
        table.print_whole()?;
    }
    if format == Format::Wide {
        output::print("\n")?;
        details(&node).print_whole()?;
    }
    Ok(())
}

fn runtime_cell(runtime: &Runtime) -> Cell {
    let connected = runtime.state == RuntimeState::Connected;
    let word = if connected && !runtime.name.is_empty() {
        format!("{} {}", runtime.name, runtime.version)
    } else {
        runtime.state.to_string()
    };
    state_cell(&word, connected, runtime.state == RuntimeState::Unreachable)
}

fn details(node: &Node) -> Columns {
    let or_none = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut table = Columns::new(&["DETAIL", "VALUE"]);
    for (detail, value) in [
        ("static pod path", node.static_pod_path.clone()),
        ("state directory", node.state_directory.clone()),
        (
            "volumes directory",
            or_none(&node.objects.volumes_directory),
        ),
        ("Secrets in the state directory", encryption(node)),
        (
            "container runtime endpoint",
            or_none(&node.container_runtime.endpoint),
        ),
        (
            "kubelet root directory",
            or_none(&node.kubelet.root_directory),
        ),
        (
            "kubelet and its API server",
            sync(node.kubelet.sync).to_owned(),
        ),
        (
            "most pods in a bundle",
            node.limits.max_pods_per_bundle.to_string(),
        ),
        (
            "most bytes of manifests",
            node.limits.max_bundle_bytes.to_string(),
        ),
        ("foreign files", or_none(&node.foreign_files.join(", "))),
    ] {
        table.row(vec![Cell::new(detail), Cell::new(value)]);
    }
    table
}

fn encryption(node: &Node) -> String {
    if node.objects.encrypted {
        format!("encrypted with the key {}", node.objects.key_name)
    } else {
        "not encrypted: `seedpod config encryption-key --help` tells how".to_owned()
    }
}

fn sync(sync: KubeletSync) -> &'static str {
    match sync {
        KubeletSync::Synced => "synced, or it has none",
        KubeletSync::Unsynced => "not heard from yet: it stops and replaces no pod by itself",
        KubeletSync::Down => "the kubelet does not answer",
        _ => "not known",
    }
}
