//! The arguments of what is asked about pods: their details, logs and events.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};

use super::{TEMPLATE, duration};

/// Show all that is known about one pod, bundle, Secret or ConfigMap
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedpod describe pod etcd
  seedpod describe pod kube-system/etcd
  seedpod describe bundle control-plane       its pods, Secrets and ConfigMaps
  seedpod describe secret kube-system/etcd-pki  each key with its size and digest, no value")]
pub(crate) struct DescribeArgs {
    #[command(subcommand)]
    pub(crate) what: DescribeWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DescribeWhat {
    /// A pod: its state, containers, probes, restarts and last events
    Pod(PodArgs),
    /// A bundle: its state, pods, Secrets, ConfigMaps and last events
    Bundle {
        /// The bundle
        bundle: String,
    },
    /// A Secret: its keys with their sizes and digests, and the pods that use it
    Secret(NamedArgs),
    /// A ConfigMap: its keys with their sizes and digests, and the pods that use it
    #[command(name = "configmap", visible_alias = "cm")]
    ConfigMap(NamedArgs),
}

/// Which Secret or ConfigMap.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// NAME or NAMESPACE/NAME
    pub(crate) name: String,
}

/// Which pod.
#[derive(Debug, Args)]
pub(crate) struct PodArgs {
    /// The pod: NAME or NAMESPACE/NAME, as in the manifest or as the kubelet calls it
    #[arg(value_name = "POD")]
    pub(crate) pod: String,

    /// The pod's namespace; not needed while only one pod has the name
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
}

/// Print what the containers of a pod have written
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Read from the log files on the node, with no API server: also what ended containers have written,
as long as the kubelet keeps it. With several containers each line begins with [CONTAINER].", after_help = "\
Examples:
  seedpod logs etcd                    all that is there
  seedpod logs -f kube-apiserver       and what it writes from now on
  seedpod logs etcd --previous         of the container before the last restart
  seedpod logs web -c app --tail 20 --timestamps
  seedpod logs kube-system/etcd --since 5m")]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) pod: PodArgs,

    /// Only this container; init containers are containers too
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,

    /// Go on with what is written from now on
    #[arg(short, long, conflicts_with = "previous")]
    pub(crate) follow: bool,

    /// Of the attempt before the current one
    #[arg(short, long)]
    pub(crate) previous: bool,

    /// Only the last so many lines of each container
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,

    /// Only what was written within this time before now
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "since_time")]
    pub(crate) since: Option<Duration>,

    /// Only what was written at or after this time, as in 2026-11-24T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since_time: Option<SystemTime>,

    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
}

/// Show what has happened on the node
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Oldest first. Events are numbered without gaps and kept over restarts; the node keeps a bounded
number of them.", after_help = "\
Examples:
  seedpod events                       all that the node still knows
  seedpod events -f --bundle etcd      and what happens next, of one bundle
  seedpod events --after 120 -o json   what came after number 120, one JSON object per line")]
pub(crate) struct EventsArgs {
    /// Go on with what happens next
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Only events after this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,

    /// Only events of this bundle
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) bundle: Option<String>,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: StreamFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamFormat {
    /// For people
    Table,
    /// For programs: one JSON object per line
    Json,
}

fn time(given: &str) -> Result<SystemTime, String> {
    given
        .parse::<jiff::Timestamp>()
        .map(SystemTime::from)
        .map_err(|_| format!("{given:?} is no time; write it as in 2026-11-24T12:00:00Z"))
}
