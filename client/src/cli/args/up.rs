//! The arguments of bringing a cluster up and taking it down.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use seedpod_client::cluster::Phase;

use super::{TEMPLATE, duration};

/// Bring a cluster up, from bare kubelets to a self-hosted control plane
#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    before_help = "\
Renders what the file describes into a folder, injects etcd and the control plane through the
nodes' Seedpods, has the kubelets join, and hands over to the self-hosted control plane, one node
after another. Each step looks at what is there: interrupted or failed, the same command goes on.",
    after_help = "\
Examples:
  seedpod up -f cluster.yaml
  seedpod up -f cluster.yaml --skip-phases addons,handoff
  seedpod up -f cluster.yaml --ignore-preflight-errors Mem,NumCPU
  seedpod up phase list
  seedpod up phase preflight -f cluster.yaml"
)]
pub(crate) struct UpArgs {
    #[command(subcommand)]
    pub(crate) what: Option<UpWhat>,

    #[command(flatten)]
    pub(crate) options: UpOptions,

    /// Phases to leave out; separated by commas
    #[arg(long, value_name = "PHASES", value_delimiter = ',')]
    pub(crate) skip_phases: Vec<Phase>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UpWhat {
    /// Carry one phase out alone, or list them
    #[command(after_help = "\
Examples:
  seedpod up phase list
  seedpod up phase preflight -f cluster.yaml
  seedpod up phase handoff -f cluster.yaml")]
    Phase(PhaseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PhaseArgs {
    /// The phase, or `list`
    #[arg(value_name = "NAME|list")]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) options: UpOptions,
}

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// Checks of the preflight whose faults are only warnings, or `all`; separated by commas
    #[arg(long, value_name = "CHECKS", value_delimiter = ',')]
    pub(crate) ignore_preflight_errors: Vec<String>,

    /// The most time for one thing that is waited for; a handoff has its own deadlines
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Where the API is reached from here, if not at its endpoint, as behind a tunnel
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) api_address: Option<String>,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: UpFormat,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterArgs {
    /// The cluster's configuration (kind ClusterConfiguration)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The folder to render into [default: the cluster's name, beside the file]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpFormat {
    /// For people
    Text,
    /// One JSON object a line: what happens, and the result at the end
    Json,
}

/// Take a cluster's nodes back to nothing
#[derive(Debug, Args)]
#[command(
    help_template = TEMPLATE,
    before_help = "\
Removes on each node, workers first, the bundles with their history, the kubelet's kubeconfig and
the data of etcd. It asks first. What is not Seedpod's is left and told: the rendered folder,
images, what addons have put on the machines. Failed half-way, the same command goes on.",
    after_help = "\
Examples:
  seedpod down -f cluster.yaml
  seedpod down -f cluster.yaml --keep-etcd
  seedpod down -f cluster.yaml --yes -o json"
)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// Leave etcd and its data: what the cluster knows stays
    #[arg(long)]
    pub(crate) keep_etcd: bool,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,

    /// The most time for the pods of one node to stop
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: UpFormat,
}
