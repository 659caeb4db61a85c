//! Logs to the standard error, as a terminal, journald or a file wants them.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to log. `RUST_LOG` overrides the level.
pub(crate) fn init_logging(log: Log) {
    let filter = EnvFilter::builder()
        .with_default_directive(level(log.level).into())
        .from_env_lossy();
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            let builder = builder.with_ansi(colour).with_target(false);
            // journald has a clock of its own.
            if goes_to_journal() {
                builder.without_time().init();
            } else {
                builder.init();
            }
        }
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
