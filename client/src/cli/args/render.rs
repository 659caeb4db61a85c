//! The arguments of rendering a cluster.

use std::path::PathBuf;

use clap::Args;

use super::{Format, TEMPLATE};

/// Write everything that follows from a cluster's configuration into a folder
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Keys and certificates, kubeconfigs, the bundles with the injected control plane, and the objects of
the self-hosted one. No node is touched. What is in DIR/pki is kept, so that a second time makes no
change; all else is made anew. `seedpod up` does the same before it begins.", after_help = "\
Examples:
  seedpod config init > cluster.yaml           a file to start from
  seedpod render -f cluster.yaml demo
  seedpod inject demo/bundles/node-1/etcd      one step of `seedpod up` by hand
  kubectl --kubeconfig demo/kubeconfigs/admin.kubeconfig get nodes")]
pub(crate) struct RenderArgs {
    /// The file with the ClusterConfiguration
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: PathBuf,

    /// The folder; made when it is not there. It holds the cluster's keys: keep it to yourself
    pub(crate) dir: PathBuf,

    /// How to print what was made and kept
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}
