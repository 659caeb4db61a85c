//! `seedpodd`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use seedpod_server::{Configuration, DEFAULT_PATH};

/// Takes pods over gRPC and gives them to the kubelet of this node as static pods
#[derive(Parser)]
#[command(name = "seedpodd", version)]
struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "SEEDPODD_CONFIG", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Only check the configuration file and the TLS files that it names
    #[arg(long)]
    check: bool,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program's own output"
)]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(Some(said)) => println!("{said}"),
        Ok(None) => {}
        Err(error) => {
            eprintln!("seedpodd: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(Args { config, check }: &Args) -> anyhow::Result<Option<String>> {
    let configuration = Configuration::load(config)?;
    if *check {
        seedpod_server::check(&configuration)?;
        return Ok(Some(format!("{}: OK", config.display())));
    }
    seedpod_server::init_logging(configuration.log);
    // Two threads: nothing here is bound by the processor, and each more costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        seedpod_server::run(configuration, seedpod_server::termination()?).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    served.map(|()| None)
}
