//! From power on until the API answers, where the only API server is in the cluster.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use seedpod_client::HandoffState;
use seedpod_integration::{HttpClient, free_ports, wait_until};

use crate::bench::Bench;
use crate::bootkube::another_api_server;
use crate::ours;
use crate::report::{Goal, Row, Unit};
use crate::site::{LIMIT, Site, machine};
use crate::stats::Samples;

/// How long the node has run when seedpodd starts.
const UPTIME: Duration = Duration::from_secs(5);

pub(super) fn measure(bench: &Bench) -> Result<Row> {
    let (mut ours, mut alternative) = (Samples::default(), Samples::default());
    let node = machine()?;
    let site = Site::new(&node)?;
    ours::all(&site)?;
    for _ in 0..bench.rounds(5, 2) {
        node.cut_power()?;
        site.daemon.play_reboot(UPTIME)?;
        ours.push_ms(power_on(&site)?);
        // What is measured next is not to run beside the self-hosted one's start.
        settle(&site)?;
        alternative.push_ms(own_start(&site)?);
    }
    Ok(Row {
        name: "power on -> the API answers",
        alternative_name: "kube-apiserver's own start",
        unit: Unit::Milliseconds,
        ours,
        alternative,
        // The time after which nobody else is expected to serve, and the start of a node.
        goal: Goal::Above(20_000.0),
        how: "all is killed after a handoff; then containerd, the kubelet and seedpodd are started, as a machine's start \
              does; etcd's pod starts by itself, and after `handoff.standbyAfterStart` (10 s) the standby bundle is \
              projected; against kube-apiserver with the same flags at another port, started beside it on the same etcd when \
              all is at rest, until its /readyz. Without Seedpod it does not answer at all"
            .to_owned(),
    })
}

/// From the start of the machine's programs until the API answers.
fn power_on(site: &Site<'_>) -> Result<Duration> {
    let begun = Instant::now();
    thread::scope(|scope| {
        let machine = scope.spawn(|| site.node.power_on());
        // None waits for another: the kubelet serves late when its API server is away.
        wait_until(LIMIT, "the kubelet is started", || {
            site.node.process("kubelet").is_some() || machine.is_finished()
        })?;
        site.daemon.start_again()?;
        wait_until(LIMIT, "the API answers", || site.answers())?;
        let took = begun.elapsed();
        match machine.join() {
            Ok(on) => on.map(|()| took),
            Err(_) => bail!("turning the power on has panicked"),
        }
    })
}

/// Waits until the self-hosted control plane is alone again.
fn settle(site: &Site<'_>) -> Result<()> {
    let mut stood_in = false;
    wait_until(LIMIT, "the standby has given way", || {
        let state = ours::handoff(site).map(|it| it.state);
        stood_in |= matches!(
            state,
            Ok(HandoffState::StandingIn | HandoffState::StandingDown)
        );
        stood_in && matches!(state, Ok(HandoffState::Committed))
    })
}

/// From the start of another API server until it is ready.
fn own_start(site: &Site<'_>) -> Result<Duration> {
    let [port] = free_ports()?;
    let pki = site.rendered().join("pki");
    let [ca, certificate, key] = ["ca.crt", "admin.crt", "admin.key"].map(|it| pki.join(it));
    let client = HttpClient::mutual_tls(port, &ca, &certificate, &key)?.at(site.node.address());
    let begun = Instant::now();
    let process = another_api_server(site, port)?;
    let ready = wait_until(LIMIT, "another API server is ready", || {
        client.get("/readyz").is_ok_and(|it| it.status == 200)
    });
    let took = begun.elapsed();
    process.kill().context("end the other API server")?;
    match ready {
        Ok(()) => Ok(took),
        Err(error) => bail!("{error}"),
    }
}
