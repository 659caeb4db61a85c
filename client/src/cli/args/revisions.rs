//! The arguments of what is done with revisions.

use clap::Args;

use super::{Format, TEMPLATE, WaitArgs};

/// Show the revisions of a bundle
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Newest first, also those of a bundle that was removed. A revision is good once all its pods were
ready at the same time, or it was confirmed. The node keeps the last 10, unless it is told
otherwise, and always the active and the last good one.", after_help = "\
Examples:
  seedpod history web
  seedpod history web --revision 3     the manifests of one revision")]
pub(crate) struct HistoryArgs {
    /// The bundle
    pub(crate) bundle: String,

    /// Print the manifests of this revision; 0 is the active one
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<u64>,

    /// Do not mask what may be secret; only for admins, and audited
    #[arg(long, requires = "revision")]
    pub(crate) show_secrets: bool,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// Make an earlier revision's content active again
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
The content becomes a new revision; pods that are equal in both are not touched. Without --to it
is that of the last good revision before the active one, or of the one before it if none was.", after_help = "\
Examples:
  seedpod rollback web                 to the last good revision
  seedpod rollback web --to 3 --wait   to revision 3, until all pods are ready
  seedpod rollback web --dry-run       only show what would change")]
pub(crate) struct RollbackArgs {
    /// The bundle
    pub(crate) bundle: String,

    /// The revision to go back to
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,

    /// Only check on the node, and show what would change
    #[arg(long, conflicts_with_all = ["wait", "request_id"])]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) waiting: WaitArgs,

    /// Only if the bundle is at this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,

    /// The id by which the node knows this request again [default: a UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// End the trial of a revision well: it stays
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
A revision that was injected with --trial is undone by the node unless it becomes ready, or with
--manual-confirm unless this command is given, in time.", after_help = "\
Examples:
  seedpod confirm web
  seedpod confirm web --revision 4     for scripts: fails if another one is active by now")]
pub(crate) struct ConfirmArgs {
    /// The bundle
    pub(crate) bundle: String,

    /// The revision that is on trial [default: the active one]
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<u64>,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// Show what differs between two revisions
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
A unified diff of the manifests, pod by pod. It exits with 0 whether or not they differ.", after_help = "\
Examples:
  seedpod diff web                     what the active revision has changed
  seedpod diff web --from 2 --to 4")]
pub(crate) struct DiffArgs {
    /// The bundle
    pub(crate) bundle: String,

    /// The old revision [default: the one before the new one]
    #[arg(long, value_name = "REVISION")]
    pub(crate) from: Option<u64>,

    /// The new revision [default: the active one]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,

    /// Do not mask what may be secret; only for admins, and audited
    #[arg(long)]
    pub(crate) show_secrets: bool,
}
