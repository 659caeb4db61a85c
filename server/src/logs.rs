//! The log files that the container runtime writes, read line by line.
//!
//! [`PodLogs`] finds out whose files there are and waits for more; it alone is asynchronous. Below it, `merge` puts the
//! lines of several `source`s in order, one for each container; a source reads attempt after attempt; an attempt is a
//! `chain` of files, of which `listing` knows the names and `reader` takes out the entries; `line` makes lines of them.
//! `tail` finds the last lines without reading all.
//!
//! Nothing here waits for a slow client: it asks for a batch when it has room, and only then is anything read.

mod chain;
mod entry;
mod error;
mod file;
mod line;
mod listing;
mod merge;
mod pod;
mod reader;
mod source;
mod tail;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    entry::Output,
    error::LogError,
    merge::ContainerLine,
    pod::{Demanded, PodLogs, Target, Wanted},
};
