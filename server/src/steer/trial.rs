//! Whether this kernel steers, and whether we may: tried on a port of our own.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept, connect, getsockname, listen, socket_with,
    sockopt,
};

use super::{
    Phase, Route, Unsupported,
    group::shared_socket,
    marks::{self, MARK, MarksError},
    sockets::Family,
    sys,
};

/// How long a connection on the loopback interface may take.
const LIMIT: Duration = Duration::from_secs(1);

/// How many connections by each way have to come to the right listener. Chance would send half of them astray.
const CONNECTIONS: usize = 8;

/// The better route of those that work.
pub(super) fn choose() -> Result<Route, Unsupported> {
    let route = if has_ipv6_loopback() {
        Route::Loopback
    } else {
        Route::Mark
    };
    match try_out(route) {
        Ok(()) => Ok(route),
        Err(trouble) => Err(Unsupported(trouble.to_string())),
    }
}

/// Bound and reached: with `disable_ipv6` a socket can still be bound to all addresses of IPv6.
fn has_ipv6_loopback() -> bool {
    let reach = || -> io::Result<()> {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?;
        TcpStream::connect_timeout(&listener.local_addr()?, LIMIT)?;
        Ok(())
    };
    reach().is_ok()
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "two sockets cannot share a port ({0}): seedpodd has to run in the node's network namespace, with its \
         loopback interface up"
    )]
    Open(io::Error),
    #[error(
        "the kernel refuses a program that chooses among listeners ({0}): Linux 4.6 or newer takes it, unless a \
         seccomp filter keeps it from seedpodd"
    )]
    Attach(io::Error),
    #[error(
        "the kernel does not keep to the program that chooses among listeners; Linux 4.6 or newer does"
    )]
    Ignored,
    #[error(
        "no connection can be made on the loopback interface ({0}): set it up, and let its packets through"
    )]
    Connect(io::Error),
    #[error(
        "IPv6 is off, and packets cannot be marked ({0}): turn IPv6 on, or give seedpodd CAP_NET_ADMIN"
    )]
    Mark(io::Error),
    #[error("IPv6 is off, and packets cannot be marked: {error}{}", cause(.error))]
    Rule { error: MarksError },
    #[error(
        "IPv6 is off, and the mark of the newcomer's packets does not arrive: see whether another rule of nftables or \
         iptables changes marks on the loopback interface"
    )]
    Lost,
}

fn cause(error: &MarksError) -> String {
    std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"))
}

/// Has connections go to the older and to the younger of two listeners.
fn try_out(route: Route) -> Result<(), Trouble> {
    let (older, port) = listener(0).map_err(Trouble::Open)?;
    let (younger, _) = listener(port).map_err(Trouble::Open)?;
    sys::steer_group(&older, &route.program(Phase::Split)).map_err(Trouble::Attach)?;

    for _ in 0..CONNECTIONS {
        let _newcomer = open(route, port, true)?;
        let by_newcomers_route = accept(&younger).is_ok();
        let _client = open(route, port, false)?;
        if !by_newcomers_route || accept(&older).is_err() {
            return Err(Trouble::Ignored);
        }
    }
    if route == Route::Loopback {
        return Ok(());
    }
    // Our own group is given for the newcomer's.
    let rule = Rule::add(port).map_err(|error| Trouble::Rule { error })?;
    let _newcomer = open(route, port, false)?;
    let arrived = accept(&younger).is_ok();
    rule.remove().map_err(|error| Trouble::Rule { error })?;
    if arrived { Ok(()) } else { Err(Trouble::Lost) }
}

/// A listener that shares the port, as a server's is.
fn listener(port: u16) -> io::Result<(OwnedFd, u16)> {
    let socket = match shared_socket(Family::V6, port) {
        // The kernel has no IPv6 at all.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            shared_socket(Family::V4, port)?
        }
        socket => socket?,
    };
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(LIMIT))?;
    listen(&socket, 16)?;
    let address = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, address.port()))
}

/// A connection as the newcomer makes it to itself, or as a client makes it.
fn open(route: Route, port: u16, is_newcomer: bool) -> Result<OwnedFd, Trouble> {
    let address = if is_newcomer {
        route.address(port)
    } else {
        (Ipv4Addr::LOCALHOST, port).into()
    };
    let socket = client_socket(&address).map_err(Trouble::Connect)?;
    if is_newcomer && route == Route::Mark {
        sys::mark(&socket, MARK).map_err(Trouble::Mark)?;
    }
    // For connecting too.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(LIMIT))
        .map_err(|error| Trouble::Connect(error.into()))?;
    connect(&socket, &address).map_err(|error| Trouble::Connect(error.into()))?;
    Ok(socket)
}

fn client_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let domain = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(domain, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    Ok(socket)
}

/// The trial's rule, which goes with this.
struct Rule {
    port: Option<u16>,
}

impl Rule {
    fn add(port: u16) -> Result<Self, MarksError> {
        marks::mark_group(port, rustix::process::getegid().as_raw())?;
        Ok(Self { port: Some(port) })
    }

    fn remove(mut self) -> Result<(), MarksError> {
        self.port.take().map_or(Ok(()), marks::clear)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        if let Some(port) = self.port.take() {
            // On the way of another error, which says more.
            let _ = marks::clear(port);
        }
    }
}
