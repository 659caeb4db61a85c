//! The listeners on a port, asked of the kernel by `sock_diag` (sock_diag(7)).
//!
//! `/proc/net/tcp` says the same, but the kernel goes through the table of all connections of the machine for it: 4 ms
//! instead of 40 us, which is too much for what is asked a hundred times in a second.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

use super::sockets::{Family, Socket, State};

// From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST | NLM_F_DUMP
const DUMP: u16 = 0x301;
const TCP: u8 = 6;
/// The bit of TCP_LISTEN, and the state itself.
const LISTEN: u8 = 10;
/// `struct nlmsghdr`
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`
const REQUEST: usize = 56;

/// The kernel has the answer at once; should it not, that is an error.
const LIMIT: Duration = Duration::from_secs(1);

/// Those of both families in this network namespace.
pub(super) fn listeners(port: u16) -> io::Result<Vec<Socket>> {
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(LIMIT))?;
    let mut found = Vec::new();
    for family in [Family::V6, Family::V4] {
        send(&socket, &request(family, port), SendFlags::empty())?;
        read_answer(&socket, port, &mut found)?;
    }
    Ok(found)
}

fn request(family: Family, port: u16) -> Vec<u8> {
    let length = u32::try_from(HEADER + REQUEST).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // A number of ours and one of the sender's, neither of which is needed.
    bytes.extend([0; 8]);
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    bytes.extend([family.as_raw().to_le_bytes()[0], TCP, 0, 0]);
    bytes.extend((1_u32 << LISTEN).to_ne_bytes());
    bytes.extend(port.to_be_bytes());
    // The peer's port, the addresses, the interface and the cookie: any.
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

fn read_answer(socket: &OwnedFd, port: u16, found: &mut Vec<Socket>) -> io::Result<()> {
    // What the kernel fills at most at once.
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (length, _) = recv(socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let message = Message::take(&mut rest).ok_or(io::ErrorKind::InvalidData)?;
            match message.kind {
                DONE => return Ok(()),
                ERROR => return Err(message.error()),
                _ => found.extend(message.listener().filter(|it| it.local.port() == port)),
            }
        }
    }
}

/// One message of an answer, which may have several.
struct Message<'a> {
    kind: u16,
    content: &'a [u8],
}

impl<'a> Message<'a> {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_ne_bytes(part(bytes, 0)?)).ok()?;
        let content = bytes.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(part(bytes, 4)?);
        // The next one begins at a multiple of 4.
        *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Self { kind, content })
    }

    fn error(&self) -> io::Error {
        match part(self.content, 0).map(i32::from_ne_bytes) {
            Some(number) => io::Error::from_raw_os_error(number.wrapping_neg()),
            None => io::ErrorKind::InvalidData.into(),
        }
    }

    /// As `struct inet_diag_msg` has it.
    fn listener(&self) -> Option<Socket> {
        let [family, state] = part(self.content, 0)?;
        if state != LISTEN {
            return None;
        }
        let port = u16::from_be_bytes(part(self.content, 4)?);
        let (family, address) = if u16::from(family) == AddressFamily::INET.as_raw() {
            let address = Ipv4Addr::from(part::<4>(self.content, 8)?);
            (Family::V4, IpAddr::V4(address))
        } else {
            let address = Ipv6Addr::from(part::<16>(self.content, 8)?);
            (Family::V6, IpAddr::V6(address).to_canonical())
        };
        // After the addresses, the interface, the cookie, the timer, two queues and the uid.
        let inode = u32::from_ne_bytes(part(self.content, 68)?);
        let peer = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Some(Socket {
            family,
            local: SocketAddr::new(address, port),
            remote: SocketAddr::new(peer, 0),
            state: State::Listens,
            inode: inode.into(),
        })
    }
}

fn part<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::sockets, *};

    #[test]
    fn both_ways_to_ask_have_the_same_answer() {
        let some = [
            "127.0.0.1:0",
            "0.0.0.0:0",
            "[::1]:0",
            "[::]:0",
            "[::ffff:127.0.0.1]:0",
        ];
        let some = some.map(|it| std::net::TcpListener::bind(it).unwrap());
        // Not a listener.
        let address = some[0].local_addr().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        for listener in &some {
            let port = listener.local_addr().unwrap().port();
            let listeners = listeners(port).unwrap();
            assert_eq!(listeners, sockets::listeners_of_tables(port).unwrap());
            assert_eq!(listeners.len(), 1, "{listeners:?}");
        }
        assert_eq!(listeners(1).unwrap(), []);
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        for length in [0, 4, 15, 16] {
            assert!(Message::take(&mut &vec![0xff; length][..]).is_none());
        }
        let content = &[2, LISTEN, 0, 0];
        assert!(Message { kind: 20, content }.listener().is_none());
    }
}
