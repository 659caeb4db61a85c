//! The arguments of what is done to get started: certificates, contexts, versions.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, TEMPLATE};

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

/// Show and change the contexts of the configuration file; make other files to configure with
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
A context is a name for a node and the certificates for it. An encryption key is the daemon's: with
it, it encrypts Secrets and ConfigMaps in its state directory. A cluster's configuration is what
`seedpod render` and `seedpod up` begin with.", after_help = "\
Examples:
  seedpod config init > cluster.yaml
  seedpod config set-context node-1 --endpoint https://node-1.example:10290 \\
      --ca-file pki/ca.crt --cert-file pki/installer.crt --key-file pki/installer.key
  seedpod config use-context node-1
  seedpod config get-contexts
  seedpod config encryption-key        on the node, as root: makes a key file")]
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
    /// Print a cluster's configuration to start from, with comments
    Init,
    /// Make the key file that seedpodd encrypts Secrets with, or change its keys
    EncryptionKey(EncryptionKeyArgs),
}

/// Make the key file that seedpodd encrypts Secrets with, or change its keys
#[derive(Debug, Args)]
#[command(help_template = TEMPLATE, before_help = "\
The file holds keys of 256 random bits, readable by its owner alone. The first key encrypts, each
of them decrypts; when seedpodd starts, it encrypts with the first one all that is not. It is
written whole or not at all.", after_help = "\
Examples:
  seedpod config encryption-key              a new file with one key
  seedpod config encryption-key --rotate     a new first key; the old ones still decrypt
  seedpod config encryption-key --prune 1    once `seedpod get node` shows the new key's name

The daemon reads it when its configuration says:
  secretEncryption:
    keyFile: /etc/seedpod/encryption-keys.yaml")]
pub(crate) struct EncryptionKeyArgs {
    /// The file
    #[arg(default_value = "/etc/seedpod/encryption-keys.yaml")]
    pub(crate) file: PathBuf,

    /// Put a new key first in a file that is there
    #[arg(long)]
    pub(crate) rotate: bool,

    /// Keep only the newest so many keys
    #[arg(long, value_name = "KEYS", conflicts_with = "rotate", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) prune: Option<u16>,
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
