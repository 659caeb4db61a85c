//! The arguments of what is done with bundles and manifests.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{TEMPLATE, duration};

/// Make a bundle consist of exactly the given pods
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
The request is the whole bundle: a pod that it leaves out is removed, one that differs is
replaced, and one that is unchanged is not touched. When the command returns, the pods are
durable on the node; with --wait, they are ready. With --trial the node itself goes back to the
last good revision unless they become ready in time, whether or not anybody waits.", after_help = "\
Examples:
  seedpod inject etcd -f etcd.yaml                 inject one pod
  seedpod inject control-plane -f pods/ --wait     a whole directory, until all is ready
  seedpod inject control-plane/ --wait             a folder with a seedpod.yaml, which names the
                                                   bundle, and plain files that become Secrets
  seedpod inject control-plane/ --dry-run          only check, and show what would change
  seedpod inject web -f web.yaml --trial 60s       undone by the node unless ready in time
  kustomize build . | seedpod inject web -f -      from another program")]
pub(crate) struct InjectArgs {
    /// The bundle: lower-case letters, digits and "-"; without -f, a folder with a seedpod.yaml
    #[arg(value_name = "BUNDLE|DIR")]
    pub(crate) target: PathBuf,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Only check on the node, and show what would change
    #[arg(long, conflicts_with_all = ["wait", "request_id"])]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) waiting: WaitArgs,

    /// Undo it on the node unless all pods are ready within this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) trial: Option<Duration>,

    /// Undo it unless `seedpod confirm` is given in time: ready pods are not enough
    #[arg(long, requires = "trial")]
    pub(crate) manual_confirm: bool,

    /// Only if the bundle is at this revision; 0: if there is none
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,

    /// The id by which the node knows this request again [default: a UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    #[command(flatten)]
    pub(crate) checks: CheckArgs,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// Whether and how to wait for what was done.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until all pods of the bundle are ready; on trial, until that is over
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long --wait waits [default: 2m, or 30s longer than the trial]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// For how long --wait bears a pod that has failed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) patience: Duration,

    /// How long --wait sees the pods stay ready before it ends [default: not at all]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) stable_for: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// A file, a directory (what its seedpod.yaml names, or its *.yaml, *.yml, *.json) or stdin; repeatable
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    pub(crate) filename: Vec<PathBuf>,

    /// Read directories with all below them
    #[arg(short = 'R', long, requires = "filename")]
    pub(crate) recursive: bool,
}

/// What is let pass.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CheckArgs {
    /// What an unknown field is: an error or a warning
    #[arg(long, value_name = "HOW", default_value = "strict")]
    pub(crate) validation: Validation,

    /// Let variables take values from Secrets, though the pods then show them to all who see pods
    #[arg(long)]
    pub(crate) allow_secret_env: bool,
}

/// Show bundles, pods, Secrets, ConfigMaps or the node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedpod get pods                      all pods
  seedpod get pods -w                   and a line for each change
  seedpod get pods --bundle etcd -o wide
  seedpod get bundle etcd -o yaml
  seedpod get secrets                   names and keys, never values
  seedpod get cm kube-system/dns -o wide  each key with its size and digest
  seedpod get node                      the node, and what is wrong with it")]
pub(crate) struct GetArgs {
    #[command(subcommand)]
    pub(crate) what: GetWhat,

    /// How to print
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "table",
        global = true
    )]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GetWhat {
    /// The bundles of the node
    #[command(visible_alias = "bundle")]
    Bundles {
        /// Only the bundle of this name
        name: Option<String>,
    },
    /// The pods, with what the container runtime runs for them
    #[command(visible_alias = "pod")]
    Pods {
        /// Only the pods of this name, or NAMESPACE/NAME
        name: Option<String>,
        /// Only the pods of this bundle
        #[arg(long, value_name = "BUNDLE")]
        bundle: Option<String>,
        /// Go on, with a line for each change; with -o json, one object per line
        #[arg(short, long)]
        watch: bool,
    },
    /// The Secrets: names, keys, sizes and digests, never values
    #[command(visible_alias = "secret")]
    Secrets(ObjectArgs),
    /// The ConfigMaps: names, keys, sizes and digests
    #[command(name = "configmaps", visible_aliases = ["configmap", "cm"])]
    ConfigMaps(ObjectArgs),
    /// The node: versions, runtime, kubelet, how Secrets are kept, and what is wrong
    Node,
}

/// Which Secrets or ConfigMaps.
#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    /// Only those of this name, or NAMESPACE/NAME
    pub(crate) name: Option<String>,
    /// Only those of this bundle
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) bundle: Option<String>,
}

/// Remove a bundle and its pods
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
When the command returns, the removal is durable; the pods stop within their grace periods. With
--wait, they are gone.", after_help = "\
Examples:
  seedpod remove etcd --wait
  seedpod remove etcd --ignore-not-found   for scripts that may run twice
  seedpod remove etcd --forget-history     with all revisions and their Secrets")]
pub(crate) struct RemoveArgs {
    /// The bundle
    pub(crate) bundle: String,

    /// Wait until none of the pods is left
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long --wait waits
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// No error when there is no such bundle
    #[arg(long)]
    pub(crate) ignore_not_found: bool,

    /// Also forget its revisions with their Secrets: it can't be rolled back to
    #[arg(long)]
    pub(crate) forget_history: bool,

    /// Only if the bundle is at this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// Check manifests here, without a node
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Finds what the node would refuse, except for clashes with what is on it already. All files
together are checked as one bundle. `seedpod inject --dry-run` asks a real node.", after_help = "\
Examples:
  seedpod lint -f pods/
  seedpod lint control-plane/                       a folder with a seedpod.yaml
  seedpod lint -f etcd.yaml --node node-1.example   the node's name counts in the pods' names")]
pub(crate) struct LintArgs {
    /// A folder with a seedpod.yaml
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// The node whose name the kubelet would append to the pods' names
    #[arg(long, value_name = "NAME", default_value = "node")]
    pub(crate) node: String,

    #[command(flatten)]
    pub(crate) checks: CheckArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For people with wide screens
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
    /// Only names, as in pod/NAMESPACE/NAME
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Validation {
    /// It is an error: the kubelet would silently ignore a misspelt field
    Strict,
    /// It is a warning: for fields of a newer Kubernetes
    Warn,
}
