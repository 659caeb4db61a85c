//! A small real installer: connect, validate, inject, wait until everything is ready, print.
//!
//! ```sh
//! cargo run --example installer -- https://node-1:10290 control-plane etcd.yaml kube-apiserver.yaml
//! ```
//!
//! The certificates come from `SEEDPOD_CA_FILE`, `SEEDPOD_CERT_FILE` and `SEEDPOD_KEY_FILE`; an endpoint
//! `unix:///run/seedpod/seedpod.sock` needs none.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to people"
)]

use std::{env, fs, process::ExitCode, time::Duration};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use seedpod_client::{Client, Error, InjectPods, LogOptions, Options, Pod, Wait, WaitError};

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
    let mut args = env::args().skip(1);
    let (Some(endpoint), Some(bundle)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: installer ENDPOINT BUNDLE MANIFEST...");
    };
    let manifests = args
        .map(|path| fs::read_to_string(&path).with_context(|| format!("cannot read {path}")))
        .collect::<anyhow::Result<Vec<_>>>()?;

    // A node that was just switched on needs a while.
    let mut options = Options::new(&endpoint)?.connect_wait(Duration::from_secs(60));
    if let Ok(ca) = env::var("SEEDPOD_CA_FILE") {
        options = options.ca_file(ca);
    }
    if let (Ok(certificate), Ok(key)) =
        (env::var("SEEDPOD_CERT_FILE"), env::var("SEEDPOD_KEY_FILE"))
    {
        options = options.client_certificate_files(certificate, key);
    }
    let client = Client::connect(options).await?;
    let node = client.get_node().await?;
    println!("node {} runs seedpodd {}", node.name, node.seedpod_version);
    for problem in &node.problems {
        println!("  problem: {} [{}]", problem.message, problem.reason);
    }

    // One request for both steps: a dry run leaves no trace, so the request id is still fresh after it.
    let request = InjectPods::new(&bundle).manifests(manifests);
    let planned = client
        .inject(&request.clone().validate_only(true))
        .await
        .map_err(explain)?;
    for change in &planned.changes {
        println!(
            "  {:<9} {}/{}",
            change.r#type, change.namespace, change.name
        );
    }

    let injected = client.inject(&request).await.map_err(explain)?;
    println!(
        "bundle {bundle} is at revision {}",
        injected.bundle.revision
    );

    let wait = Wait::new(Duration::from_secs(120)).on_progress(|pods| {
        for pod in pods {
            println!(
                "  {:<9} {}/{} {}",
                pod.state, pod.namespace, pod.name, pod.message
            );
        }
    });
    match client
        .wait_ready(&bundle, injected.bundle.revision, wait)
        .await
    {
        Ok(pods) => println!("{} pods are ready", pods.len()),
        Err(error) => {
            if let WaitError::Failed {
                pod,
                container: Some(container),
                ..
            } = &error
            {
                last_lines(&client, pod, container).await?;
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Prints what a container has written last. No API server is needed for that.
async fn last_lines(client: &Client, pod: &Pod, container: &str) -> anyhow::Result<()> {
    let options = LogOptions::new(&pod.name)
        .namespace(&pod.namespace)
        .container(container)
        .tail_lines(10);
    let mut lines = client.get_pod_logs(options);
    while let Some(line) = lines.try_next().await? {
        eprintln!("  {container} | {}", line.text);
    }
    Ok(())
}

/// Prints what is wrong in the manifests, field by field.
fn explain(error: Error) -> Error {
    for violation in error.field_violations() {
        eprintln!("  {}: {}", violation.field, violation.description);
    }
    error
}
