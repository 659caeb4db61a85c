//! Whose end of a connection is it?

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::sockets::{self, State};

/// How long a server may take to accept a connection that is complete. One that runs does so at once.
const ACCEPTED: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Whether one of the processes has accepted the connection from `client` to `server`, which must be in this network
/// namespace.
///
/// # Errors
/// When there is no such connection (any more), when nobody has accepted it in time, and when `/proc` cannot be read.
pub(super) fn served_by(
    client: SocketAddr,
    server: SocketAddr,
    pids: &BTreeSet<u32>,
) -> io::Result<bool> {
    let deadline = Instant::now() + ACCEPTED;
    loop {
        let socket = sockets::connection(server, client)?.ok_or(io::ErrorKind::NotConnected)?;
        if socket.inode != 0 {
            return anyone_has(pids, socket.inode);
        }
        if socket.state != State::Established {
            // Its server has closed it.
            return Err(io::ErrorKind::NotConnected.into());
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn anyone_has(pids: &BTreeSet<u32>, inode: u64) -> io::Result<bool> {
    let wanted = format!("socket:[{inode}]");
    for pid in pids {
        match has(*pid, wanted.as_bytes()) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // It has ended.
            Err(error) if is_gone(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(io::Error::new(
                    error.kind(),
                    format!(
                        "process {pid} does not show its connections: give seedpodd CAP_SYS_PTRACE"
                    ),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn has(pid: u32, wanted: &[u8]) -> io::Result<bool> {
    let folder = Path::new("/proc").join(pid.to_string()).join("fd");
    for entry in fs::read_dir(folder)? {
        match fs::read_link(entry?.path()) {
            Ok(target) if target.as_os_str().as_bytes() == wanted => return Ok(true),
            Ok(_) => {}
            // It was closed.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The processes and all that they have started, as far as the kernel tells of children.
pub(crate) fn with_descendants(pids: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut left: Vec<u32> = pids.into_iter().collect();
    while let Some(pid) = left.pop() {
        if found.insert(pid) {
            left.extend(children(pid));
        }
    }
    found
}

/// Of all threads. Best effort: a kernel without CONFIG_PROC_CHILDREN, or a process that has ended, gives none.
fn children(pid: u32) -> Vec<u32> {
    let threads = Path::new("/proc").join(pid.to_string()).join("task");
    let Ok(threads) = fs::read_dir(threads) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            let pids = text.split_ascii_whitespace();
            pids.filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn the_server_of_a_connection_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = TcpStream::connect(server).unwrap();
        let client = stream.local_addr().unwrap();
        let (_accepted, _) = listener.accept().unwrap();

        let us = BTreeSet::from([std::process::id()]);
        assert!(served_by(client, server, &us).unwrap());
        assert!(!served_by(client, server, &BTreeSet::new()).unwrap());
        // One that is there, and one that surely is not.
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let others = BTreeSet::from([other.id(), u32::MAX]);
        assert!(!served_by(client, server, &others).unwrap());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_connection_that_nobody_accepts_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = TcpStream::connect(server).unwrap();
        let us = BTreeSet::from([std::process::id()]);
        let error = served_by(stream.local_addr().unwrap(), server, &us).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_connection_that_is_not_there_is_an_error() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let error = served_by(nobody, nobody, &BTreeSet::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn children_are_found() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let child: u32 = line.trim().parse().unwrap();
        let found = with_descendants([shell.id()]);
        assert!(found.contains(&shell.id()));
        if Path::new("/proc/thread-self/children").exists() {
            assert!(found.contains(&child), "{found:?} has no {child}");
        }
        for pid in found {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        shell.wait().unwrap();
    }
}
