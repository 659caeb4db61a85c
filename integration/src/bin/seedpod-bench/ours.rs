//! The way with Seedpod, on a bare machine.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use seedpod_client::{Client, Endpoint, Handoff, HandoffState, Options};
use seedpod_integration::wait_for;

use crate::site::{LIMIT, Site, run};

/// When a part of it had come, since the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// `/readyz` says yes.
    pub(crate) api: Duration,
    pub(crate) node: Duration,
    /// The self-hosted control plane is alone.
    pub(crate) alone: Duration,
}

/// What comes before the handoff.
const BEFORE: &[&str] = &["--skip-phases", "handoff,verify"];

/// From nothing to the end, by one command.
pub(crate) fn all(site: &Site<'_>) -> Result<Came> {
    up(site, &[])
}

/// From nothing to an injected control plane whose kubelet has joined.
pub(crate) fn until_handoff(site: &Site<'_>) -> Result<()> {
    up(site, BEFORE).map(|_| ())
}

/// The handoff, and how it went.
pub(crate) fn hand_over(site: &Site<'_>) -> Result<Handoff> {
    run(&mut site.up(&["phase", "handoff"]))?;
    let handoff = handoff(site)?;
    if handoff.state != HandoffState::Committed {
        bail!(
            "the handoff has ended as {:?}: {}",
            handoff.state,
            handoff.message
        );
    }
    Ok(handoff)
}

fn up(site: &Site<'_>, arguments: &[&str]) -> Result<Came> {
    // Not a pipe, which nobody would empty.
    let log = site.node.layout().scratch().join("up.log");
    let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
    let mut command = site.up(arguments);
    command.stdout(file.try_clone()?).stderr(Stdio::from(file));
    let begun = Instant::now();
    let mut child = command.spawn().context("start seedpod up")?;
    let (mut api, mut node, mut ended) = (None, None, None);
    let came = wait_for(LIMIT, "seedpod up is through", || {
        if api.is_none() && site.answers() {
            api = Some(begun.elapsed());
        }
        if api.is_some() && node.is_none() && site.is_node_ready() {
            node = Some(begun.elapsed());
        }
        if let (None, Ok(Some(status))) = (&ended, child.try_wait()) {
            ended = Some((status, begun.elapsed()));
        }
        match ended {
            Some((status, _)) if !status.success() => Some(Err(status)),
            Some((_, alone)) => Some(Ok(Came {
                api: api?,
                node: node?,
                alone,
            })),
            None => None,
        }
    });
    let _ = child.kill();
    let _ = child.wait();
    match came {
        Ok(Ok(came)) => Ok(came),
        Ok(Err(status)) => {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("seedpod up: {status}: {log}")
        }
        Err(error) => Err(error),
    }
}

/// What the node says of its handoff.
pub(crate) fn handoff(site: &Site<'_>) -> Result<Handoff> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let socket = Options::for_endpoint(Endpoint::Unix(site.daemon.socket())).deadline(LIMIT);
    runtime
        .block_on(async { Client::connect(socket).await?.get_handoff().await })
        .context("ask for the handoff")
}
