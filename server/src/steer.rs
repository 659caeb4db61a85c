//! Which of two listeners on one port gets a new connection.
//!
//! Two API servers share a port (`--permit-port-sharing`, SO_REUSEPORT), and the kernel spreads new connections over
//! both: half of them would go to one that does not serve yet, or to one that is about to close. A program of ours on
//! the group of their sockets says which one gets a connection instead (`programs.rs`), so that none is lost.

mod programs;

use std::{collections::BTreeSet, io};

use tokio::net::TcpStream;

use crate::handoff::SteeringUsed;

/// Who gets new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Those by the newcomer's route go to the younger listener, all others to the older.
    Split,
    /// All go to the younger listener.
    Younger,
}

/// A listener on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Listener {
    /// Of its socket: `/proc/PID/fd/N` is a link to `socket:[INODE]`.
    pub(crate) inode: u64,
}

/// Why a port cannot be steered here. The text has the remedy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsupported(pub(crate) String);

/// Why steering has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SteerError {
    #[error("{what} of port {port} failed")]
    System {
        what: &'static str,
        port: u16,
        #[source]
        source: io::Error,
    },
}

/// Steers one port's new connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Steerer {
    port: u16,
}

impl Steerer {
    pub(crate) fn probe(port: u16) -> Result<Self, Unsupported> {
        Ok(Self { port })
    }

    pub(crate) fn used(&self) -> SteeringUsed {
        SteeringUsed::ByLoopback
    }

    pub(crate) fn set(&self, _phase: Phase, _newcomer_gid: Option<u32>) -> Result<(), SteerError> {
        Ok(())
    }

    pub(crate) fn clear(&self) -> Result<(), SteerError> {
        Ok(())
    }

    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(("::1", self.port)).await
    }

    pub(crate) fn listeners(&self) -> io::Result<Vec<Listener>> {
        Ok(Vec::new())
    }
}

pub(crate) fn served_by(_stream: &TcpStream, _pids: &BTreeSet<u32>) -> io::Result<bool> {
    Ok(false)
}
