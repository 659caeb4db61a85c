//! The arguments of handing over to a self-hosted control plane.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{FileArgs, StreamFormat, TEMPLATE, duration};

/// Hand the node's control plane over to the cluster's own one, by hand
#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    before_help = "\
`seedpod up` does this for a whole cluster. A handoff lives on the node: it goes on without this
tool, and whatever goes wrong before it is committed brings the injected pods back by itself.",
    after_help = "\
Examples:
  seedpod handoff start -f self-hosted/ --kubeconfig handoff.conf
  seedpod handoff status
  seedpod handoff abort"
)]
pub(crate) struct HandoffArgs {
    #[command(subcommand)]
    pub(crate) what: HandoffWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HandoffWhat {
    /// Begin a handoff, and see how it goes
    Start(StartArgs),
    /// Show the node's handoff
    Status(StatusArgs),
    /// Have the handoff that is under way take its way back
    Abort(AbortArgs),
}

#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    before_help = "\
Applies the manifests, waits until the self-hosted pods serve, and has the injected ones give way.
It ends when the handoff is committed, or the injected pods are back.",
    after_help = "\
Examples:
  seedpod handoff start -f self-hosted/ --kubeconfig handoff.conf --dry-run
  seedpod handoff start -f self-hosted/ --kubeconfig handoff.conf
  seedpod handoff start -f self-hosted/ --kubeconfig handoff.conf --deadline ready=15m --no-wait"
)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// A kubeconfig with the credentials that the node uses, everything inline; its server is best
    /// https://127.0.0.1:6443
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,

    /// The bundle with the injected control plane
    #[arg(long, value_name = "BUNDLE", default_value = "control-plane")]
    pub(crate) bundle: String,

    /// The injected pod that is the API server, in kube-system; the self-hosted one has its name in the label
    /// `component`
    #[arg(long, value_name = "POD", default_value = "kube-apiserver")]
    pub(crate) api_server: String,

    /// The port of both API servers
    #[arg(long, value_name = "PORT", default_value = "6443", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Another injected pod to hand over, and its Lease if that has another name; repeatable
    #[arg(
        long = "component",
        value_name = "POD[=LEASE]",
        default_values = ["kube-controller-manager", "kube-scheduler"]
    )]
    pub(crate) components: Vec<String>,

    /// A label that the Node object gets, and loses on the way back; repeatable
    #[arg(
        long = "node-label",
        value_name = "KEY=VALUE",
        default_value = "seedpod.dev/self-hosted=control-plane",
        value_parser = label
    )]
    pub(crate) node_labels: Vec<(String, String)>,

    /// How long a state may take (apply, ready, kubelet, drain, hand-over, verify); repeatable
    #[arg(long = "deadline", value_name = "STATE=DURATION", value_parser = deadline)]
    pub(crate) deadlines: Vec<(String, Duration)>,

    /// How long the self-hosted API server has to have served before the injected one gives way [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) stable_for: Option<Duration>,

    /// Only check the request and the node
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// End when the handoff has begun
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// The id by which the node knows this request again [default: a UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: StreamFormat,
}

#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    after_help = "\
Examples:
  seedpod handoff status
  seedpod handoff status -w
  seedpod handoff status -o json | jq -r .state"
)]
pub(crate) struct StatusArgs {
    /// Go on, and show each change
    #[arg(short, long)]
    pub(crate) watch: bool,

    /// How to print; with -w, json is one object per line
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: StreamFormat,
}

#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    before_help = "\
It ends when the injected pods are back. A handoff that is committed cannot be aborted.",
    after_help = "\
Examples:
  seedpod handoff abort
  seedpod handoff abort --no-wait"
)]
pub(crate) struct AbortArgs {
    /// Only this handoff
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// End when the way back has begun
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: StreamFormat,
}

/// `KEY=VALUE`.
fn label(given: &str) -> Result<(String, String), String> {
    let (key, value) = given
        .split_once('=')
        .ok_or_else(|| "write it as in KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The states that a handoff has deadlines for.
const STATES: [&str; 6] = ["apply", "ready", "kubelet", "drain", "hand-over", "verify"];

/// `ready=10m`.
fn deadline(given: &str) -> Result<(String, Duration), String> {
    let (state, time) = given
        .split_once('=')
        .filter(|(state, _)| STATES.contains(state))
        .ok_or_else(|| {
            format!(
                "write it as in ready=10m; the states are {}",
                STATES.join(", ")
            )
        })?;
    Ok((state.to_owned(), duration(time)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_and_labels_are_read() {
        let ready = ("ready".to_owned(), Duration::from_secs(600));
        assert_eq!(deadline("ready=10m"), Ok(ready));
        for wrong in ["ready", "steady=10m", "ready=soon", "=10m"] {
            assert!(deadline(wrong).is_err(), "{wrong}");
        }
        assert_eq!(label("a/b="), Ok(("a/b".to_owned(), String::new())));
        assert!(label("a").is_err());
    }
}
