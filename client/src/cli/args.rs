//! What the tool takes. These types are also its help texts.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// As clap's own, with the explanation between the first line and the usage, where one looks for it.
const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for --dry-run also when there are changes)
  1  the node refused, a pod failed, or the manifests are wrong
  2  wrong usage: arguments, environment, configuration file or certificate files
  3  waited in vain: --timeout or --request-timeout is over
  4  the node cannot be reached, or the TLS handshake failed

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
    /// Show bundles, pods or the node
    Get(GetArgs),
    /// Remove a bundle and its pods
    Remove(RemoveArgs),
    /// Check manifests here, without a node
    Lint(LintArgs),
    /// Make a CA and certificates
    Pki(PkiArgs),
    /// Show and change the contexts of the configuration file
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

/// Make a bundle consist of exactly the given pods
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
The request is the whole bundle: a pod that it leaves out is removed, one that differs is
replaced, and one that is unchanged is not touched. When the command returns, the pods are
durable on the node; with --wait, they run.", after_help = "\
Examples:
  seedpod inject etcd -f etcd.yaml                 inject one pod
  seedpod inject control-plane -f pods/ --wait     a whole directory, until all runs
  seedpod inject control-plane -f pods/ --dry-run  only check, and show what would change
  kustomize build . | seedpod inject web -f -      from another program")]
pub(crate) struct InjectArgs {
    /// The bundle: lower-case letters, digits and "-"
    pub(crate) bundle: String,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Only check on the node, and show what would change
    #[arg(long, conflicts_with_all = ["wait", "request_id"])]
    pub(crate) dry_run: bool,

    /// Wait until all pods of the bundle run
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long --wait waits
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Only if the bundle is at this revision; 0: if there is none
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,

    /// The id by which the node knows this request again [default: a UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    /// What an unknown field is: an error or a warning
    #[arg(long, value_name = "HOW", default_value = "strict")]
    pub(crate) validation: Validation,

    /// How to print the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// A file, a directory (its *.yaml, *.yml, *.json) or stdin; repeatable
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        required = true
    )]
    pub(crate) filename: Vec<PathBuf>,

    /// Read directories with all below them
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// Show bundles, pods or the node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedpod get pods                      all pods
  seedpod get pods --bundle etcd -o wide
  seedpod get bundle etcd -o yaml
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
    },
    /// The node: versions, runtime, kubelet, and what is wrong
    Node,
}

/// Remove a bundle and its pods
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
When the command returns, the removal is durable; the pods stop within their grace periods. With
--wait, they are gone.", after_help = "\
Examples:
  seedpod remove etcd --wait
  seedpod remove etcd --ignore-not-found   for scripts that may run twice")]
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
  seedpod lint -f etcd.yaml --node node-1.example   the node's name counts in the pods' names")]
pub(crate) struct LintArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// The node whose name the kubelet would append to the pods' names
    #[arg(long, value_name = "NAME", default_value = "node")]
    pub(crate) node: String,

    /// What an unknown field is: an error or a warning
    #[arg(long, value_name = "HOW", default_value = "strict")]
    pub(crate) validation: Validation,
}

/// Make a CA and certificates
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
Enough for a start; any other CA will do as well. What a client may do stands in its certificate
as Organization (seedpod:admin, seedpod:injector or seedpod:reader), who it is as Common Name.", after_help = "\
Examples:
  seedpod pki init pki
  seedpod pki issue pki --name node-1 --role server --san node-1.example --san 10.0.0.7
  seedpod pki issue pki --name installer --role injector --days 30")]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    pub(crate) what: PkiWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiWhat {
    /// Make a CA: ca.crt and ca.key
    Init(PkiInitArgs),
    /// Make a certificate and its key from the CA: NAME.crt and NAME.key
    Issue(PkiIssueArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PkiInitArgs {
    /// The directory for the files; made when it is not there
    pub(crate) dir: PathBuf,

    /// The CA's name
    #[arg(long, value_name = "NAME", default_value = "Seedpod CA")]
    pub(crate) ca_name: String,

    /// How long it is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,

    /// Overwrite the files, so that nothing that the old CA issued is worth anything
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PkiIssueArgs {
    /// The directory with ca.crt and ca.key, which gets the new files too
    pub(crate) dir: PathBuf,

    /// The Common Name, and the files' name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// What it is for
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,

    /// A name or address it is valid for; repeatable [a server's default: NAME]
    #[arg(long, value_name = "DNS|IP")]
    pub(crate) san: Vec<String>,

    /// How long it is valid, within the CA's own time
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,

    /// Overwrite the files
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// A client that may do everything
    Admin,
    /// A client that may inject and remove bundles
    Injector,
    /// A client that may look
    Reader,
    /// The daemon on a node
    Server,
}

/// Show and change the contexts of the configuration file
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
A context is a name for a node and the certificates for it.", after_help = "\
Examples:
  seedpod config set-context node-1 --endpoint https://node-1.example:10290 \\
      --ca-file pki/ca.crt --cert-file pki/installer.crt --key-file pki/installer.key
  seedpod config use-context node-1
  seedpod config get-contexts")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) what: ConfigWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigWhat {
    /// Print the configuration file
    View,
    /// List the contexts; the current one is marked
    GetContexts {
        /// How to print
        #[arg(short, long, value_name = "FORMAT", default_value = "table")]
        output: Format,
    },
    /// Print the name of the current context
    CurrentContext,
    /// Make a context the current one
    UseContext {
        /// The context
        name: String,
    },
    /// Add a context, or change what the connection options say of it
    SetContext {
        /// The context; the first one becomes the current one
        name: String,
    },
    /// Remove a context
    DeleteContext {
        /// The context
        name: String,
    },
}

/// Show the versions of this tool and of the node's daemon
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Only of this tool
    #[arg(long)]
    pub(crate) client: bool,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
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
