//! Servers and clients on the loopback interface of a network namespace of their own.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::net::{listen, sockopt};

use super::super::{group::shared_socket, sockets::Family};

const INSIDE: &str = "SEEDPOD_TEST_NAMESPACE";

/// Runs a test in a process and network namespace of its own, with the loopback interface up; `before` is what a shell
/// does there first. Needs no root: a user namespace gives the rights.
pub(super) fn in_namespace(test: &str, before: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let script = format!("set -e; ip link set lo up; {before}\nexec \"$@\"");
    let output = unshare
        .args(["--", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("steer::tests::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    print!("{stdout}");
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no test {test}: {stdout}");
}

/// Waits until it is so.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not so within 20 s");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server that tells who it is, in one byte.
pub(super) struct Server {
    pub(super) port: u16,
    serves: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One that serves at once. Port 0: any.
    pub(super) fn start(name: u8, port: u16) -> Self {
        let server = Self::listen(name, port);
        server.serve(true);
        server
    }

    /// One that listens, but accepts nothing yet.
    pub(super) fn listen(name: u8, port: u16) -> Self {
        let socket = shared_socket(Family::V6, port).unwrap();
        listen(&socket, 4096).unwrap();
        let wait = Some(Duration::from_millis(5));
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, wait).unwrap();
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().unwrap().port();
        let (serves, ends) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let served = Arc::<AtomicUsize>::default();
        let thread = thread::spawn({
            let (serves, ends, served) = (serves.clone(), ends.clone(), served.clone());
            move || {
                // The last one stays open, so that it can be looked at.
                let mut last = None;
                while !ends.load(SeqCst) {
                    if !serves.load(SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    if let Ok((mut stream, _)) = listener.accept() {
                        served.fetch_add(1, SeqCst);
                        let _ = stream.write_all(&[name]);
                        last = Some(stream);
                    }
                }
                drop(last);
            }
        });
        Self {
            port,
            serves,
            ends,
            served,
            thread: Some(thread),
        }
    }

    pub(super) fn serve(&self, serves: bool) {
        self.serves.store(serves, SeqCst);
    }

    pub(super) fn served(&self) -> usize {
        self.served.load(SeqCst)
    }

    /// Closes the listener, whatever waits in its queue.
    pub(super) fn end(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Who serves a new connection.
pub(super) fn who(address: impl Into<SocketAddr>) -> io::Result<u8> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address.into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut name = [0];
    stream.read_exact(&mut name)?;
    Ok(name[0])
}

/// Who serves many new connections, each once, in order.
pub(super) fn servers(address: impl Into<SocketAddr>) -> Vec<u8> {
    let address = address.into();
    let mut names: Vec<u8> = (0..40).map(|_| who(address).unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Clients that make one connection after another to 127.0.0.1.
pub(super) struct Clients {
    ends: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<io::Error>>>,
}

impl Clients {
    pub(super) fn start(count: usize, port: u16) -> Self {
        let (ends, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..count)
            .map(|_| {
                let (ends, done) = (ends.clone(), done.clone());
                thread::spawn(move || {
                    let mut lost = Vec::new();
                    while !ends.load(SeqCst) {
                        match who((Ipv4Addr::LOCALHOST, port)) {
                            Ok(_) => _ = done.fetch_add(1, SeqCst),
                            Err(error) => lost.push(error),
                        }
                    }
                    lost
                })
            })
            .collect();
        Self {
            ends,
            done,
            threads,
        }
    }

    /// Waits until so many more connections have been served.
    pub(super) fn more(&self, count: usize) {
        let goal = self.done.load(SeqCst) + count;
        until("the clients are served", || self.done.load(SeqCst) >= goal);
    }

    /// How many were served, and the errors of the others.
    pub(super) fn end(self) -> (usize, Vec<io::Error>) {
        self.ends.store(true, SeqCst);
        let lost = self.threads.into_iter().flat_map(|it| it.join().unwrap());
        let lost = lost.collect();
        (self.done.load(SeqCst), lost)
    }
}
