//! Lines of logs.

use std::time::SystemTime;

use seedpod_proto::v1;

use super::mirror;

/// One line that a container has written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct LogLine {
    /// When the runtime got it.
    #[cfg_attr(
        feature = "serde",
        serde(with = "super::rfc3339", skip_serializing_if = "Option::is_none")
    )]
    pub time: Option<SystemTime>,
    /// The container's name.
    pub container: String,
    /// The container's attempt: 0 for the first.
    pub restart_count: u32,
    /// Where it was written to.
    pub stream: LogStream,
    /// The line without its end. What is not UTF-8 is shown as U+FFFD.
    pub text: String,
    /// Whether the line goes on in the next one of this container and stream, because it is longer than 1 MiB.
    pub partial: bool,
}

mirror! {
    /// Where a container writes to.
    LogStream for v1::log_line::Stream, else Unrecognized {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

impl From<v1::LogLine> for LogLine {
    fn from(wire: v1::LogLine) -> Self {
        Self {
            time: wire.time.and_then(|time| time.try_into().ok()),
            container: wire.container,
            restart_count: wire.restart_count,
            stream: LogStream::from_wire(wire.stream),
            text: wire.text,
            partial: wire.partial,
        }
    }
}
