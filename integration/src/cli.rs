//! The command line of `seedpod-rig`.

mod status;

use std::fs::{self, File};
use std::io::{Read, stdin};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::packages::{self, Package};
use seedpod_integration::{Node, NodeNetwork, NodeOptions, Seedpodd, run_guard};

/// Runs a real node (containerd, runc and a kubelet) from nothing under one folder.
///
/// Programs are taken from SEEDPOD_RIG_KUBELET, SEEDPOD_RIG_CONTAINERD and so on, from PATH when they
/// have the pinned version, or from the cache (SEEDPOD_RIG_CACHE), into which they are built once with
/// Go. Missing Debian packages are installed. Needs root.
///
/// Exit status: 0 done; 1 failed; 2 wrong use; 3 (status) the node does not run, or only in part.
#[derive(Debug, Parser)]
#[command(name = "seedpod-rig", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node, or go on with one that was started in part
    Up(Up),
    /// Stop a node and remove everything that `up` made
    Down {
        /// The node's folder
        dir: PathBuf,
    },
    /// Start, stop or restart the kubelet of a node that was started
    Kubelet {
        /// What to do
        #[arg(value_enum)]
        verb: Verb,
        /// The node's folder
        dir: PathBuf,
    },
    /// Start or stop etcd and kube-apiserver of a node that was started
    ApiServer {
        /// What to do
        #[arg(value_enum)]
        verb: Verb,
        /// The node's folder
        dir: PathBuf,
    },
    /// Pack images that only some nodes need, such as rig.local/etcd:1, and import them into a node that was started
    Image {
        /// The node's folder
        dir: PathBuf,
        /// The images
        #[arg(required = true)]
        references: Vec<String>,
    },
    /// Print what runs, with process ids, ports and paths
    Status {
        /// The node's folder
        dir: PathBuf,
    },
    /// Print the path of each program, after building those that are missing
    Tools {
        /// Programs such as kubelet or grpcurl; without any, those that a node needs
        names: Vec<String>,
    },
    /// Install the Debian packages that a node and the tests need, if they are missing
    Packages,
    /// Stop the node of a folder when stdin closes
    #[command(hide = true)]
    Guard {
        /// The node's folder
        dir: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verb {
    /// Starts it
    Start,
    /// Kills it with SIGKILL
    Stop,
    /// Kills it with SIGKILL and starts it again
    Restart,
}

#[derive(Debug, Args)]
struct Up {
    /// The node's folder, of at most 72 bytes
    dir: PathBuf,
    /// The node's name
    #[arg(long)]
    name: Option<String>,
    /// Start etcd and kube-apiserver too, and bind the kubelet to them
    #[arg(long)]
    api_server: bool,
    /// Bind the kubelet to an API server that is not there, until `seedpod-rig api-server start`
    #[arg(long, conflicts_with = "api_server")]
    unsynced: bool,
    /// Start the kubelet without a cluster: it joins one when it is given a kubeconfig
    #[arg(long, conflicts_with_all = ["api_server", "unsynced"])]
    bare: bool,
    /// Give the node a network of its own, with an address that the host reaches
    #[arg(long, conflicts_with_all = ["api_server", "unsynced"])]
    own_network: bool,
    /// Switch IPv6 off in the node's own network
    #[arg(long, requires = "own_network")]
    no_ipv6: bool,
    /// Start seedpodd too, with certificates in DIR/seedpodd/seedpodd/pki; one that was started before keeps its own, and its
    /// ports
    #[arg(long)]
    daemon: bool,
    /// Stay in the foreground, and stop the node when stdin closes
    #[arg(long)]
    until_stdin_closes: bool,
}

pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the program's own error")]
            {
                eprintln!("seedpod-rig: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up(up) => up.run()?,
            Self::Down { dir } => {
                if dir.exists() {
                    Node::destroy(&dir)?;
                }
            }
            Self::Kubelet { verb, dir } => {
                leave_played_boot()?;
                verb.on_kubelet(&Node::open(&dir)?)?;
            }
            Self::ApiServer { verb, dir } => verb.on_api_server(&Node::open(&dir)?)?,
            Self::Image { dir, references } => {
                let node = Node::open(&dir)?;
                for reference in references {
                    node.ensure_image(&reference)?;
                }
            }
            Self::Status { dir } => return status::print(&dir),
            Self::Tools { names } => print_tools(&names)?,
            Self::Packages => {
                packages::ensure(&Package::NODE)?;
                packages::ensure(&[Package::Jq])?;
            }
            Self::Guard { dir } => run_guard(&dir)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A daemon that was shown another boot has children with its clock, by which processes have begun at other times.
fn leave_played_boot() -> Result<()> {
    let (own, host) = ("/proc/self/ns/time", "/proc/1/ns/time");
    // A kernel without such namespaces has none to leave.
    let (Ok(here), Ok(there)) = (fs::read_link(own), fs::read_link(host)) else {
        return Ok(());
    };
    if here == there {
        return Ok(());
    }
    let namespace = File::open(host).with_context(|| format!("open {host}"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Time))
        .context("return to the host's clocks")
}

impl Verb {
    fn on_kubelet(self, node: &Node) -> Result<()> {
        match self {
            Self::Start => node.start_kubelet(),
            Self::Stop => node.kill_kubelet(),
            Self::Restart => node.restart_kubelet(),
        }
    }

    fn on_api_server(self, node: &Node) -> Result<()> {
        if !matches!(self, Self::Start) {
            node.stop_api_server()?;
        }
        if !matches!(self, Self::Stop) {
            node.start_api_server()?;
        }
        Ok(())
    }
}

impl Up {
    fn run(self) -> Result<()> {
        let Self {
            dir,
            name,
            api_server,
            unsynced,
            bare,
            own_network,
            no_ipv6,
            daemon,
            until_stdin_closes,
        } = self;
        let options = NodeOptions {
            dir: Some(dir.clone()),
            name,
            api_server,
            unsynced,
            bare,
            network: if own_network {
                NodeNetwork::Own { ipv6: !no_ipv6 }
            } else {
                NodeNetwork::Host
            },
            ..NodeOptions::default()
        };
        let node = if until_stdin_closes {
            Node::start(&options)?
        } else {
            Node::start_detached(&options)?
        };
        if daemon {
            Seedpodd::start_or_resume(&node)?.keep();
        }
        status::print(&dir)?;
        if until_stdin_closes {
            let mut buffer = [0; 64];
            while stdin()
                .read(&mut buffer)
                .context("wait for the end of stdin")?
                > 0
            {}
            node.stop()?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print_tools(names: &[String]) -> Result<()> {
    let mut tools = Vec::new();
    for name in names {
        match Tool::from_name(name) {
            Some(tool) => tools.push(tool),
            None => {
                let known = Tool::ALL.map(Tool::name).join(", ");
                bail!("no such tool: {name}; there are {known}");
            }
        }
    }
    if tools.is_empty() {
        tools.extend(Tool::NODE);
    }
    for tool in tools {
        println!("{}\t{}", tool.name(), binaries::find(tool)?.display());
    }
    Ok(())
}
