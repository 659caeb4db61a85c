//! A group of sockets on a port, and the way into it.
//!
//! A program is attached through a member of the group. Ours is a *helper*: a socket that joins, attaches and leaves,
//! within microseconds. It is deaf: a connection that the kernel gives to it meanwhile is not reset when it leaves, but
//! tried again by its client's kernel one second later, when it is gone. (A helper that only binds is no member, and
//! what it attaches never counts. A descriptor of the server's own socket would need rights to trace the server, and
//! Go's MPTCP sockets do not have the option.)

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use super::{
    SteerError,
    programs::{self, Instruction},
    sockets::{Family, Socket},
    sys,
};

/// What is done to a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    Attach(&'a [Instruction]),
    Detach,
}

/// Changes the groups of these listeners of a port. There has to be one that listens on all addresses.
pub(super) fn change(
    port: u16,
    listeners: &[Socket],
    change: Change<'_>,
) -> Result<(), SteerError> {
    let mut families: Vec<Family> = listeners
        .iter()
        .filter(|it| it.local.ip().is_unspecified())
        .map(|it| it.family)
        .collect();
    families.sort_unstable();
    families.dedup();
    if let (true, Some(first)) = (families.is_empty(), listeners.first()) {
        return Err(SteerError::Address {
            port,
            address: first.local.ip(),
        });
    }
    families.into_iter().try_for_each(|family| {
        let error = |source: io::Error| {
            if source.kind() == io::ErrorKind::AddrInUse {
                return SteerError::NotShared { port };
            }
            SteerError::System { port, source }
        };
        let helper = shared_socket(family, port).map_err(error)?;
        sys::filter(&helper, &programs::deaf()).map_err(error)?;
        listen(&helper, 1).map_err(|it| error(it.into()))?;
        match change {
            Change::Attach(program) => sys::steer_group(&helper, program),
            Change::Detach => sys::leave_group_to_the_kernel(&helper),
        }
        .map_err(error)
    })
}

/// A socket that is bound to all addresses, as Go's servers are, and shares the port (0: any). It does not listen yet.
pub(super) fn shared_socket(family: Family, port: u16) -> io::Result<OwnedFd> {
    let domain = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let socket = socket_with(domain, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    match family {
        Family::V4 => bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?,
        Family::V6 => {
            // Only sockets with the same setting are of one group.
            sockopt::set_ipv6_v6only(&socket, false)?;
            bind(
                &socket,
                &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0),
            )?;
        }
    }
    Ok(socket)
}
