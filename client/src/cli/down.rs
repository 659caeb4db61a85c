//! `seedpod down`.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{Arc, Mutex},
};

use anstream::eprint;
use seedpod_client::cluster::{Down, Installer, ResetDoneNode};
use serde::Serialize;

use super::{
    args::{ConnectionArgs, DownArgs, UpFormat},
    exit::{Interrupted, Usage},
    output, up,
};

/// The end of `-o json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum End<'a> {
    Result {
        cluster: &'a str,
        nodes: &'a [ResetDoneNode],
    },
}

pub(crate) async fn run(args: DownArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let DownArgs {
        cluster,
        keep_etcd,
        yes,
        timeout,
        output,
    } = args;
    let show = Arc::new(Mutex::new(up::Show::new(output)));
    let installer = up::installer(&cluster, connection, &show)?.timeout(timeout);
    if !yes {
        ask(&installer, keep_etcd)?;
    }
    let _lock = installer.lock()?;
    let result = tokio::select! {
        result = installer.down(Down::new().keep_etcd(keep_etcd)) => result.map_err(anyhow::Error::from),
        () = up::interrupted() => Err(Interrupted(
            "interrupted: what a node was told to take back it takes back; the same command does the rest"
                .to_owned(),
        )
        .into()),
    };
    up::finish(&show);
    let nodes = match result {
        Ok(nodes) => nodes,
        Err(error) => {
            if output == UpFormat::Json {
                up::print_error(&error)?;
            }
            return Err(error);
        }
    };
    let name = &installer.loaded().configuration.name;
    if output == UpFormat::Json {
        let end = End::Result {
            cluster: name,
            nodes: &nodes,
        };
        return output::print(&(serde_json::to_string(&end)? + "\n"));
    }
    output::print(&summary(name, &installer, &nodes))
}

fn ask(installer: &Installer, keep_etcd: bool) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage(
            "there is nobody to ask: give --yes to take the cluster down unasked".to_owned(),
        )
        .into());
    }
    let configuration = &installer.loaded().configuration;
    let nodes: Vec<&str> = configuration
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let what = if keep_etcd {
        "What the cluster knows stays in etcd"
    } else {
        "Everything that the cluster knows is lost"
    };
    eprint!(
        "Cluster {} is taken down on {}. {what}.\nWrite the cluster's name to go on: ",
        configuration.name,
        nodes.join(", ")
    );
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() != configuration.name {
        anyhow::bail!("that is not the cluster's name: nothing was changed");
    }
    Ok(())
}

fn summary(name: &str, installer: &Installer, nodes: &[ResetDoneNode]) -> String {
    let mut text = format!("cluster {name} is down\n");
    for node in nodes {
        let removed: Vec<String> = node
            .bundles
            .iter()
            .map(|bundle| format!("bundle {bundle}"))
            .chain(node.removed.iter().cloned())
            .collect();
        let removed = if removed.is_empty() {
            "nothing was left to remove".to_owned()
        } else {
            format!("removed {}", removed.join(", "))
        };
        let _ = writeln!(text, "  {}: {removed}", node.node);
        let _ = writeln!(text, "    left: {}", node.left.join("; "));
    }
    let _ = writeln!(
        text,
        "  here: left: {}, with the cluster's keys",
        installer.directory().display()
    );
    text
}
