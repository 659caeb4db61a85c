//! The TCP sockets of this network namespace, from `/proc/net/tcp` and `/proc/net/tcp6`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::diag;

/// Of the calling thread: `/proc/net` is the main thread's namespace.
const TABLES: [(&str, Family); 2] = [
    ("/proc/thread-self/net/tcp6", Family::V6),
    ("/proc/thread-self/net/tcp", Family::V4),
];

/// Of a socket. An IPv6 socket may have IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Listens,
    Established,
    /// On its way to a connection, or away from one.
    Other,
}

/// What `/proc` says of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) family: Family,
    /// IPv4-mapped addresses as IPv4.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    /// 0: nobody has it open. So it is with a connection that was not accepted yet.
    pub(super) inode: u64,
}

/// The listeners on a port.
pub(super) fn listeners(port: u16) -> io::Result<Vec<Socket>> {
    match diag::listeners(port) {
        Ok(listeners) => Ok(listeners),
        // A kernel may be without it (CONFIG_INET_DIAG).
        Err(_) => listeners_of_tables(port),
    }
}

/// As [`listeners`], by way of the tables.
pub(super) fn listeners_of_tables(port: u16) -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    each(|socket| {
        // The kernel tells of the listeners before all others, of which there may be many.
        if socket.state != State::Listens {
            return Next::Skip;
        }
        if socket.local.port() == port {
            found.push(socket);
        }
        Next::Go
    })?;
    Ok(found)
}

/// The end of a TCP connection that is at `local`.
pub(super) fn connection(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Socket>> {
    let (local, remote) = (canonical(local), canonical(remote));
    let mut found = None;
    each(|socket| {
        if socket.state != State::Listens && socket.local == local && socket.remote == remote {
            found = Some(socket);
            return Next::Stop;
        }
        Next::Go
    })?;
    Ok(found)
}

/// What comes after a socket.
enum Next {
    Go,
    /// The next table.
    Skip,
    Stop,
}

fn each(mut on: impl FnMut(Socket) -> Next) -> io::Result<()> {
    for (path, family) in TABLES {
        let file = match File::open(path) {
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && family == Family::V6 => {
                continue;
            }
            file => file?,
        };
        for line in BufReader::new(file).lines().skip(1) {
            let line = line?;
            let socket = parse(&line, family).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{path} has {line:?}"))
            })?;
            match on(socket) {
                Next::Go => {}
                Next::Skip => break,
                Next::Stop => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Reads a line such as `0: 0100007F:192B 0100007F:C350 01 00000000:00000000 00:00000000 00000000  0  0 4711 …`.
fn parse(line: &str, family: Family) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?, family)?;
    let remote = address(fields.next()?, family)?;
    let state = match fields.next()? {
        "0A" => State::Listens,
        "01" => State::Established,
        _ => State::Other,
    };
    // After the queues, the timer, how often was sent again, the uid, and how often was probed.
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Socket {
        family,
        local,
        remote,
        state,
        inode,
    })
}

/// An address is words of 32 bits, each printed as a number of this machine's byte order; the port is a plain number.
fn address(text: &str, family: Family) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0_u8; 16];
    let length = match family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    if address.len() != 2 * length {
        return None;
    }
    for (index, word) in bytes[..length].chunks_exact_mut(4).enumerate() {
        let digits = address.get(8 * index..8 * (index + 1))?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(bytes)),
    };
    Some(canonical(SocketAddr::new(address, port)))
}

/// Without the mapping, the scope and the flow label.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As a little-endian machine prints them.
    #[cfg(target_endian = "little")]
    #[test]
    fn both_tables_are_read() {
        let line = "   0: 0100007F:192B 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 00000000ef 20 4 30 10 -1";
        let socket = parse(line, Family::V4).unwrap();
        assert_eq!(socket.local, "127.0.0.1:6443".parse().unwrap());
        assert_eq!(socket.remote, "127.0.0.1:50000".parse().unwrap());
        assert_eq!((socket.inode, socket.state), (4711, State::Established));

        let line = "  12: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 96512 1 0000000000000000 100 0 0 10 0";
        let socket = parse(line, Family::V6).unwrap();
        assert_eq!(socket.local, "[::]:6443".parse().unwrap());
        assert_eq!((socket.inode, socket.state), (96512, State::Listens));

        let line = "  12: 0000000000000000FFFF00000100007F:192B 00000000000000000000000001000000:C350 01 0:0 00:0 0 0 0 0 1";
        let socket = parse(line, Family::V6).unwrap();
        assert_eq!(socket.local, "127.0.0.1:6443".parse().unwrap());
        assert_eq!(socket.remote, "[::1]:50000".parse().unwrap());
        assert_eq!(socket.inode, 0);
    }

    #[test]
    fn what_is_no_line_of_a_table_is_refused() {
        for line in [
            "",
            "0: 0100007F:192B",
            "0: 0100007F 0 0A a b c 0 0 1",
            "0: é00007F:192B 0:0 0A",
        ] {
            assert_eq!(parse(line, Family::V4), None, "{line:?}");
        }
        let v4_line = "0: 0100007F:192B 0100007F:C350 01 0:0 00:0 0 0 0 1 1";
        assert!(parse(v4_line, Family::V4).is_some());
        assert_eq!(parse(v4_line, Family::V6), None);
    }

    #[test]
    fn the_ends_of_a_connection_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let near = client.local_addr().unwrap();

        assert_eq!(listeners(address.port()).unwrap().len(), 1);
        assert_eq!(connection(address, near).unwrap().unwrap().inode, 0);
        let (_server, _) = listener.accept().unwrap();
        assert_ne!(connection(address, near).unwrap().unwrap().inode, 0);
        assert!(connection(near, address).unwrap().is_some());
    }
}
