//! What the tool takes. These types are also its help texts.

mod bundles;
mod handoff;
mod pods;
mod render;
mod revisions;
mod setup;
mod up;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use bundles::{
    CheckArgs, FileArgs, Format, GetArgs, GetWhat, InjectArgs, LintArgs, ObjectArgs, RemoveArgs,
    Validation, WaitArgs,
};
pub(crate) use handoff::{AbortArgs, HandoffArgs, HandoffWhat, StartArgs, StatusArgs};
pub(crate) use pods::{
    DescribeArgs, DescribeWhat, EventsArgs, LogsArgs, NamedArgs, PodArgs, StreamFormat,
};
pub(crate) use render::RenderArgs;
pub(crate) use revisions::{ConfirmArgs, DiffArgs, HistoryArgs, RollbackArgs};
pub(crate) use setup::{
    ConfigArgs, ConfigWhat, EncryptionKeyArgs, PkiArgs, PkiInitArgs, PkiIssueArgs, PkiWhat, Role,
    VersionArgs,
};
pub(crate) use up::{ClusterArgs, DownArgs, UpArgs, UpFormat, UpOptions, UpWhat};

/// As clap's own, with the explanation between the first line and the usage, where one looks for it.
const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for --dry-run also when there are changes)
  1  the node refused the request, or the manifests are wrong
  2  wrong usage: arguments, environment, configuration file or certificate files
  3  waited in vain: --timeout or --request-timeout is over
  4  the node cannot be reached, or the TLS handshake failed
  and of --wait:
  5  a pod failed, or a wave did not get ready in its time
  6  the kubelet refuses a pod
  7  the trial failed, and the node went back by itself
  8  somebody else injected or removed the bundle meanwhile
  9  what runs is not known: the node cannot ask its container runtime
and of up, down and handoff, which wait too:
  7  a node could not hand over, and has its injected control plane back
  130  interrupted; the same command goes on

Environment:
  SEEDPOD_CONFIG, SEEDPOD_CONTEXT, SEEDPOD_ENDPOINT, SEEDPOD_CA_FILE, SEEDPOD_CERT_FILE,
  SEEDPOD_KEY_FILE, SEEDPOD_SERVER_NAME, SEEDPOD_REQUEST_TIMEOUT stand for the options of these
  names, which win over them. NO_COLOR turns colours off.";

/// Put pods on a kubelet that has no API server
#[derive(Debug, Parser)]
#[command(
    name = "seedpod",
    version,
    before_help = "\
Talks to seedpodd on a node: over mutual TLS from anywhere, or over its Unix socket on the node
itself. Where to is told by --endpoint and its companions, or by a context of the configuration
file; with neither, it is unix:///run/seedpod/seedpod.sock.",
    after_help = EXIT_CODES,
    help_template = TEMPLATE,
    max_term_width = 100,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub(crate) color: Color,

    // One compact form for -h and --help: the long one is a page per option.
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort, help_heading = "Global options")]
    pub(crate) help: Option<bool>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the node is. All of it wins over the context.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection options")]
pub(crate) struct ConnectionArgs {
    /// The configuration file, instead of ~/.config/seedpod/config.yaml
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_CONFIG",
        hide_env = true,
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,

    /// The context to use, instead of the current one
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_CONTEXT",
        hide_env = true,
        value_name = "NAME"
    )]
    pub(crate) context: Option<String>,

    /// https://HOST:10290 or unix:///run/seedpod/seedpod.sock
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_ENDPOINT",
        hide_env = true,
        value_name = "URL"
    )]
    pub(crate) endpoint: Option<String>,

    /// The CA that the node's certificate comes from
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_CA_FILE",
        hide_env = true,
        value_name = "FILE"
    )]
    pub(crate) ca_file: Option<PathBuf>,

    /// The client's certificate
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_CERT_FILE",
        hide_env = true,
        value_name = "FILE"
    )]
    pub(crate) cert_file: Option<PathBuf>,

    /// The key of the client's certificate
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_KEY_FILE",
        hide_env = true,
        value_name = "FILE"
    )]
    pub(crate) key_file: Option<PathBuf>,

    /// The name in the node's certificate, if not the endpoint's
    #[arg(
        long,
        global = true,
        env = "SEEDPOD_SERVER_NAME",
        hide_env = true,
        value_name = "NAME"
    )]
    pub(crate) server_name: Option<String>,

    /// The most time for one call, with its retries
    #[arg(long, global = true, env = "SEEDPOD_REQUEST_TIMEOUT", hide_env = true, value_name = "DURATION",
        default_value = "30s", value_parser = duration)]
    pub(crate) request_timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a bundle consist of exactly the given pods
    Inject(InjectArgs),
    /// Show bundles, pods, Secrets, ConfigMaps or the node
    Get(GetArgs),
    /// Show all that is known about one pod, bundle, Secret or ConfigMap
    Describe(DescribeArgs),
    /// Print what the containers of a pod have written
    Logs(LogsArgs),
    /// Show what has happened on the node
    Events(EventsArgs),
    /// Show the revisions of a bundle
    History(HistoryArgs),
    /// Show what differs between two revisions
    Diff(DiffArgs),
    /// Make an earlier revision's content active again
    Rollback(RollbackArgs),
    /// End the trial of a revision well: it stays
    Confirm(ConfirmArgs),
    /// Remove a bundle and its pods
    Remove(RemoveArgs),
    /// Bring a cluster up, from bare kubelets to a self-hosted control plane
    Up(UpArgs),
    /// Take a cluster's nodes back to nothing
    Down(DownArgs),
    /// Hand the node's control plane over to the cluster's own one, by hand
    Handoff(HandoffArgs),
    /// Check manifests here, without a node
    Lint(LintArgs),
    /// Write everything that follows from a cluster's configuration into a folder
    Render(RenderArgs),
    /// Make a CA and certificates
    Pki(PkiArgs),
    /// Show and change the contexts of the configuration file; make other files to configure with
    Config(ConfigArgs),
    /// Show the versions of this tool and of the node's daemon
    Version(VersionArgs),
    /// Print a completion script
    #[command(after_help = "\
Examples:
  seedpod completion bash > /etc/bash_completion.d/seedpod
  source <(seedpod completion zsh)")]
    Completion {
        /// The shell that is to complete
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Makes it hold for all of anstream's streams.
    pub(crate) fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// `90s`, `2m`, `1h30m`, or bare seconds.
fn duration(given: &str) -> Result<Duration, String> {
    let form = || format!("{given:?} is no duration; write it as in 90s, 2m or 1h30m");
    let duration = match given.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => given
            .parse::<jiff::SignedDuration>()
            .map_err(|_| form())?
            .try_into()
            .map_err(|_| form())?,
    };
    // Beyond this, adding it to the clock could overflow, and nobody means it.
    if duration.is_zero() || duration > Duration::from_secs(365 * 86_400) {
        return Err("must be more than zero and at most a year".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (given, seconds) in [
            ("90s", 90),
            ("2m", 120),
            ("1h30m", 5400),
            ("45", 45),
            ("1m 5s", 65),
        ] {
            assert_eq!(duration(given), Ok(Duration::from_secs(seconds)), "{given}");
        }
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        for given in ["", "0", "-5s", "soon", "2y", "99999999999999999999"] {
            assert!(duration(given).is_err(), "{given:?} was taken");
        }
    }
}
