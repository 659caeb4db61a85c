//! Which of two listeners on one port gets a new connection.
//!
//! Two API servers share a port (`--permit-port-sharing`, SO_REUSEPORT), and the kernel spreads new connections over
//! both: half of them would go to one that does not serve yet, or to one that is about to close. A program of ours on
//! the group of their sockets says who gets a connection instead (`programs.rs`), so that none is lost:
//!
//! 1. [`Phase::Split`] from before the younger listens. Clients stay with the older. The younger's own connections, which
//!    it has to make to itself before it is ready, come to it by the *newcomer's route*: [::1], or a mark on its packets
//!    where IPv6 is off (`marks.rs`). By the same route it can be asked ([`Steerer::connect`]), and [`served_by`] says
//!    that it was who answered.
//! 2. [`Phase::Younger`] once it serves: clients go to it, and the older gets no more connections that it would drop when
//!    it closes.
//! 3. [`Phase::Split`] again when the older is gone, against the next newcomer.
//!
//! [`Phase::Swapped`] is for an older one that was not ready yet when the younger came: it reaches itself then, and gets
//! ready.
//!
//! The age is that in the group: the last to join has the highest index, and the last moves into the place of one that
//! leaves. With three listeners that is no age any more, and nothing here helps.
//!
//! `group.rs` gets the program to the group, `keeper.rs` keeps it there, `trial.rs` sees whether all of it works here.

mod diag;
mod group;
mod identity;
mod keeper;
mod marks;
mod programs;
mod sockets;
mod sys;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::{TcpSocket, TcpStream};

pub(crate) use self::identity::with_descendants;
use self::{keeper::Keeper, marks::MarksError, programs::Instruction};
use crate::handoff::SteeringUsed;

/// Who gets new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Those by the newcomer's route go to the younger listener, all others to the older.
    Split,
    /// All go to the younger listener.
    Younger,
    /// Those by the newcomer's route go to the older listener, all others to the younger.
    Swapped,
}

/// A listener on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Listener {
    /// Of its socket: `/proc/PID/fd/N` of its process is a link to `socket:[INODE]`.
    pub(crate) inode: u64,
}

/// Why a port cannot be steered here, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsupported(pub(crate) String);

/// Why steering has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SteerError {
    #[error("it cannot be read who listens")]
    Listeners(#[source] io::Error),
    #[error(
        "who listens on port {port} does not share it: start kube-apiserver with --permit-port-sharing=true, and as \
         the user of seedpodd"
    )]
    NotShared { port: u16 },
    #[error(
        "who listens on port {port} does so on {address} alone: start kube-apiserver with --bind-address=0.0.0.0, its \
         default"
    )]
    Address { port: u16, address: IpAddr },
    #[error("the connections to port {port} could not be steered")]
    System {
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("the newcomer's packets to port {port} could not be marked")]
    Marks {
        port: u16,
        #[source]
        source: MarksError,
    },
}

/// How the younger listener is reached while clients stay with the older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Over [::1], as an API server reaches itself where there is IPv6.
    Loopback,
    /// Over 127.0.0.1, with our mark on the packets.
    Mark,
}

impl Route {
    fn program(self, phase: Phase) -> Vec<Instruction> {
        match (phase, self) {
            (Phase::Younger, _) => programs::younger(),
            (Phase::Split, Self::Loopback) => programs::split_by_loopback(),
            (Phase::Split, Self::Mark) => programs::split_by_mark(marks::MARK),
            (Phase::Swapped, Self::Loopback) => programs::swapped_by_loopback(),
            (Phase::Swapped, Self::Mark) => programs::swapped_by_mark(marks::MARK),
        }
    }

    /// Where a newcomer reaches itself.
    fn address(self, port: u16) -> SocketAddr {
        match self {
            Self::Loopback => (Ipv6Addr::LOCALHOST, port).into(),
            Self::Mark => (Ipv4Addr::LOCALHOST, port).into(),
        }
    }
}

/// Steers one port's new connections in the network namespace of the thread that made it. Cheap to clone.
///
/// What it attached stays when the last clone is dropped, and when the daemon ends; only nobody looks after it then.
#[derive(Debug, Clone)]
pub(crate) struct Steerer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    port: u16,
    route: Route,
    keeper: Arc<Keeper>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.close();
    }
}

impl Steerer {
    /// Tries on a port of its own whether connections can be steered, and by which route. Attaches nothing to `port`.
    ///
    /// Takes milliseconds, or seconds if something hangs; blocks the thread.
    ///
    /// # Errors
    /// Says what the kernel or the rights do not allow.
    pub(crate) fn probe(port: u16) -> Result<Self, Unsupported> {
        Ok(Self::by(trial::choose()?, port))
    }

    fn by(route: Route, port: u16) -> Self {
        let keeper = Arc::new(Keeper::new(port, route));
        Self {
            inner: Arc::new(Inner {
                port,
                route,
                keeper,
            }),
        }
    }

    pub(crate) fn used(&self) -> SteeringUsed {
        match self.inner.route {
            Route::Loopback => SteeringUsed::ByLoopback,
            Route::Mark => SteeringUsed::ByMark,
        }
    }

    /// Has a phase hold, whatever held before, and go on to hold: when nobody listens yet, or when all listeners go and
    /// others come, it is attached as soon as there is one. Idempotent.
    ///
    /// [`Phase::Younger`] is said of a younger one that serves. It falls back to [`Phase::Split`] by itself as soon as
    /// there is a listener that was not there when it was set, and so does [`Phase::Swapped`]; [`Self::phase`] tells.
    ///
    /// `newcomer_gid` is the group of the newcomer's processes, which the route by marks needs to know them by; `None`
    /// leaves the one that was last given. Where the route is another it does nothing.
    ///
    /// Takes a millisecond, with a group tens of them; blocks the thread.
    ///
    /// # Errors
    /// When what is there now could not be steered.
    pub(crate) fn set(&self, phase: Phase, newcomer_gid: Option<u32>) -> Result<(), SteerError> {
        let Inner { port, route, .. } = *self.inner;
        if let (Route::Mark, Some(gid)) = (route, newcomer_gid) {
            marks::mark_group(port, gid).map_err(|source| SteerError::Marks { port, source })?;
        }
        self.inner.keeper.set(phase)
    }

    /// The phase that holds; `None` after [`Self::clear`] and before the first [`Self::set`].
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.inner.keeper.phase()
    }

    /// Leaves the port to the kernel, and no rules behind. Idempotent. Blocks the thread as [`Self::set`] does.
    ///
    /// # Errors
    /// When something of it could not be done. What comes first is done all the same.
    pub(crate) fn clear(&self) -> Result<(), SteerError> {
        let Inner { port, route, .. } = *self.inner;
        self.inner.keeper.clear()?;
        if route == Route::Mark {
            marks::clear(port).map_err(|source| SteerError::Marks { port, source })?;
        }
        Ok(())
    }

    /// A connection by the newcomer's route: under [`Phase::Split`] to the younger listener if there are two, under
    /// [`Phase::Swapped`] to the older.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let Inner { port, route, .. } = *self.inner;
        let address = route.address(port);
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if route == Route::Mark {
            sys::mark(&socket, marks::MARK)?;
        }
        socket.connect(address).await
    }

    /// Who listens on the port.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(crate) fn listeners(&self) -> io::Result<Vec<Listener>> {
        let listeners = self.inner.keeper.listeners()?;
        let inode = |it: sockets::Socket| Listener { inode: it.inode };
        Ok(listeners.into_iter().map(inode).collect())
    }
}

/// The listeners on a port in the network namespace of the calling thread.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn listeners_on(port: u16) -> io::Result<Vec<Listener>> {
    let inode = |it: sockets::Socket| Listener { inode: it.inode };
    Ok(sockets::listeners(port)?.into_iter().map(inode).collect())
}

/// Whether one of these processes has accepted the connection, the other end of which is on this machine and in this
/// network namespace. Waits for its acceptance for half a second at most; a server that runs accepts at once.
///
/// # Errors
/// When the connection is not there any more, nobody has accepted it, or `/proc` cannot be read.
pub(crate) fn served_by(stream: &TcpStream, pids: &BTreeSet<u32>) -> io::Result<bool> {
    identity::served_by(stream.local_addr()?, stream.peer_addr()?, pids)
}
