//! An installer of whole clusters, which calls the phases one by one and does something of its own in between.
//!
//! ```sh
//! cargo run --example cluster -- cluster.yaml
//! ```
//!
//! Stopped at any point and started again, it goes on.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to people"
)]

use std::{env, process::ExitCode};

use seedpod_client::cluster::{ClusterConfiguration, Installer, ProgressKind, UpError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match install().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn install() -> anyhow::Result<()> {
    let Some(file) = env::args().nth(1) else {
        anyhow::bail!("usage: cluster CLUSTER.YAML");
    };
    let loaded = ClusterConfiguration::load(&file)?;
    let folder = loaded.folder.join(&loaded.configuration.name);
    let installer = Installer::new(loaded, folder).on_progress(|progress| {
        let node = progress.node.as_deref().unwrap_or("all");
        match progress.kind {
            ProgressKind::Waiting => eprintln!("  {node}: waiting: {}", progress.message),
            ProgressKind::Started => eprintln!("{}: {}", progress.phase, progress.message),
            _ => eprintln!("  {node}: {}", progress.message),
        }
    });
    let _lock = installer.lock()?;

    if let Err(error) = installer.preflight().await {
        // All that is wrong comes at once, so that it can be put right at once.
        if let UpError::Preflight(preflight) = &error {
            for fault in preflight.faults() {
                println!("to do: {fault}");
            }
        }
        return Err(error.into());
    }
    installer.render()?;
    installer.etcd().await?;
    installer.control_plane().await?;
    let api = installer.api().await?;
    println!("{} answers at {}", api.version, api.endpoint);

    installer.kubelet().await?;
    for node in installer.nodes().await? {
        println!("{} has joined with {}", node.node, node.kubelet_version);
    }
    // Here an installer may apply what its own cluster needs before anything is scheduled.
    installer.addons().await?;

    // Should a node fail here, it has its injected control plane back and the cluster works on: this can be tried again at
    // any time.
    for node in installer.handoff().await? {
        println!("{} has handed over", node.node);
    }
    let verified = installer.verify().await?;
    for lease in verified.leases {
        println!("{} is held by {}", lease.lease, lease.holder);
    }
    println!("KUBECONFIG={}", installer.admin_kubeconfig().display());
    Ok(())
}
