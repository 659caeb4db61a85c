//! Logs to the standard error, as a terminal, journald or a file wants them.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to log. `RUST_LOG` overrides the level.
pub(crate) fn init_logging(log: Log) {
    let given = env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    // Levels by target are all that is needed. EnvFilter's matching of fields costs two regex crates of memory.
    let parsed = given.as_deref().map(str::parse::<Targets>);
    let filter = match &parsed {
        Some(Ok(targets)) => targets.clone(),
        Some(Err(_)) | None => Targets::new().with_default(level(log.level)),
    };
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = match log.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            let layer = layer.with_ansi(colour).with_target(false);
            // journald has a clock of its own.
            if goes_to_journal() {
                layer.without_time().boxed()
            } else {
                layer.boxed()
            }
        }
    };
    Registry::default().with(layer.with_filter(filter)).init();
    if let Some(Err(error)) = parsed {
        tracing::warn!(%error, "RUST_LOG is not understood; the configured level holds");
    }
}

/// systemd sets JOURNAL_STREAM to the device and inode of the stream that it gives; a redirection has others.
fn goes_to_journal() -> bool {
    let Ok(journal) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    journal == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
