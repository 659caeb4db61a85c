//! The command line of `seedpodd`.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{
    config::{Configuration, DEFAULT_PATH},
    daemon, hardening,
};

/// Takes pods over gRPC and gives them to the kubelet of this node as static pods
#[derive(Debug, Parser)]
#[command(name = "seedpodd", version)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "SEEDPODD_CONFIG", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Only check the configuration file and the TLS files that it names
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Does what the command line says, until it is done or a signal ends it. Returns what is to be printed.
    ///
    /// # Errors
    /// When the configuration is wrong, or the daemon cannot start or fails.
    pub fn run(self) -> anyhow::Result<Option<String>> {
        let Self { config, check } = self;
        let failures = hardening::harden();
        let configuration = Configuration::load(&config)?;
        if check {
            daemon::check(&configuration)?;
            return Ok(Some(format!("{}: OK", config.display())));
        }
        daemon::init_logging(configuration.log);
        hardening::report(&failures);
        // Two threads: nothing here is bound by the processor, and each more costs memory.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let served =
            runtime.block_on(async { daemon::run(configuration, daemon::termination()?).await });
        // A thread that hangs in a disk's system call must not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        served.map(|()| None)
    }
}
