//! `seedpod get`.

use std::time::SystemTime;

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::{
    Bundle, Client, Container, ContainerState, KubeletState, Node, Pod, PodState, Runtime,
    RuntimeState,
};

use super::{
    args::{ConnectionArgs, Format, GetArgs, GetWhat},
    connection,
    output::{self, Columns, Items, state_cell},
    time::age,
};

pub(crate) async fn run(args: GetArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let GetArgs { what, output } = args;
    let client = connection::connect(connection).await?;
    match what {
        GetWhat::Bundles { name } => bundles(&client, name, output).await,
        GetWhat::Pods { name, bundle } => {
            pods(&client, name.as_deref(), bundle.as_deref(), output).await
        }
        GetWhat::Node => node(&client, output).await,
    }
}

async fn bundles(client: &Client, name: Option<String>, format: Format) -> anyhow::Result<()> {
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
    let mut headings = vec!["NAME", "REVISION", "PODS", "UPDATED", "AGE"];
    headings.extend(wide.then_some("DIGEST"));
    let mut table = Columns::new(&headings);
    for bundle in &bundles {
        let mut row = vec![
            Cell::new(&bundle.name),
            Cell::new(bundle.revision),
            Cell::new(bundle.pods.len()),
            Cell::new(
                bundle
                    .update_time
                    .map_or_else(|| "-".to_owned(), |time| age(Some(time)) + " ago"),
            ),
            Cell::new(age(bundle.create_time)),
        ];
        row.extend(wide.then(|| Cell::new(&bundle.digest)));
        table.row(row);
    }
    if wide {
        table.print_whole()
    } else {
        table.print()
    }
}

async fn pods(
    client: &Client,
    name: Option<&str>,
    bundle: Option<&str>,
    format: Format,
) -> anyhow::Result<()> {
    if let Some(bundle) = bundle {
        // A bundle that there is not has no pods, but whoever asks for its pods wants to be told.
        let known = client.get_bundle(bundle).await;
        if let Err(error) = known
            && (error.code() != Some(seedpod_client::Code::NotFound)
                || client.list_pods(Some(bundle)).await?.is_empty())
        {
            return Err(error.into());
        }
    }
    let mut pods = client.list_pods(bundle).await?;
    if let Some(name) = name {
        pods.retain(|pod| pod.name == name || full_name(pod) == name);
        if pods.is_empty() {
            anyhow::bail!("there is no pod {name:?}; `seedpod get pods` lists all of them");
        }
    }
    let names = || {
        pods.iter()
            .map(|pod| format!("pod/{}", full_name(pod)))
            .collect()
    };
    if output::print_for_programs(format, &Items { items: &pods }, names)? {
        return Ok(());
    }
    if pods.is_empty() {
        eprintln!("There are no pods.");
        return Ok(());
    }
    let wide = format == Format::Wide;
    let mut headings = vec![
        "BUNDLE",
        "NAMESPACE",
        "NAME",
        "READY",
        "STATE",
        "RESTARTS",
        "REVISION",
    ];
    headings.extend(
        wide.then_some(["IP", "UID", "MESSAGE"])
            .into_iter()
            .flatten(),
    );
    let mut table = Columns::new(&headings);
    for pod in &pods {
        let (good, bad) = (pod.state == PodState::Ready, pod.state == PodState::Failed);
        let mut row = vec![
            Cell::new(&pod.bundle),
            Cell::new(&pod.namespace),
            Cell::new(&pod.name),
            Cell::new(ready(pod)),
            state_cell(pod.state.as_str(), good, bad),
            Cell::new(restarts(&pod.containers)),
            Cell::new(revision(pod)),
        ];
        if wide {
            row.push(Cell::new(if pod.pod_ips.is_empty() {
                "-".to_owned()
            } else {
                pod.pod_ips.join(",")
            }));
            row.push(Cell::new(&pod.uid));
            row.push(Cell::new(&pod.message));
        }
        table.row(row);
    }
    if wide {
        return table.print_whole();
    }
    table.print()?;
    // No column, as it is long and the columns are to be the same each time; and for people, hence not on stdout.
    for pod in pods
        .iter()
        .filter(|pod| pod.state != PodState::Ready && !pod.message.is_empty())
    {
        eprintln!("{} is {}: {}", full_name(pod), pod.state, pod.message);
    }
    Ok(())
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// How many of the containers that the runtime has are running.
fn ready(pod: &Pod) -> String {
    let running = pod
        .containers
        .iter()
        .filter(|container| container.state == ContainerState::Running)
        .count();
    format!("{running}/{}", pod.containers.len())
}

/// As kubectl prints it: how often, and when last.
fn restarts(containers: &[Container]) -> String {
    let count: u32 = containers
        .iter()
        .map(|container| container.restart_count)
        .sum();
    let last: Option<SystemTime> = containers
        .iter()
        .filter(|container| container.restart_count > 0)
        .filter_map(|container| container.start_time)
        .max();
    match last {
        Some(last) => format!("{count} ({} ago)", age(Some(last))),
        None => count.to_string(),
    }
}

/// The demanded revision, and the one that runs where that is another.
fn revision(pod: &Pod) -> String {
    match pod.running_revision {
        0 => pod.revision.to_string(),
        running if running == pod.revision => running.to_string(),
        running => format!("{} (runs {running})", pod.revision),
    }
}

async fn node(client: &Client, format: Format) -> anyhow::Result<()> {
    let node = client.get_node().await?;
    if output::print_for_programs(format, &node, || vec![format!("node/{}", node.name)])? {
        return Ok(());
    }
    let mut table = Columns::new(&[
        "NAME", "STATUS", "BUNDLES", "PODS", "VERSION", "RUNTIME", "KUBELET", "UP",
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
            "container runtime endpoint",
            or_none(&node.container_runtime.endpoint),
        ),
        (
            "kubelet root directory",
            or_none(&node.kubelet.root_directory),
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
