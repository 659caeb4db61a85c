//! The prober against a real API server: what it counts elsewhere is to be relied on.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seedpod_integration::pki::{Authority, Identity, Request};
use seedpod_integration::prober::{Plan, Prober, User};
use seedpod_integration::{Node, NodeOptions, wait_until};

use crate::rig::LIMIT;

fn plan(node: &Node) -> Plan {
    let api_server = node.api_server().expect("it has an API server");
    let folder = api_server.kubeconfig.parent().expect("a folder").to_owned();
    let port = api_server.url.rsplit(':').next().expect("a port");
    let identity = |name: &str| Identity {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    let [admin, scheduler] = ["admin", "kube-scheduler"].map(identity);
    Plan {
        network: None,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        port: port.parse().unwrap(),
        ca: folder.join("ca.crt"),
        server_name: "127.0.0.1".to_owned(),
        users: vec![
            User::reader("admin", &admin, "/api/v1/namespaces/default"),
            User::reader("scheduler", &scheduler, "/api/v1/nodes?limit=1"),
            User::writer("writer", &admin),
        ],
        watcher: Some(admin),
    }
}

fn more(prober: &Prober, count: usize) {
    let goal = prober.requests() + count;
    wait_until(LIMIT, "requests are made", || prober.requests() >= goal).unwrap();
}

#[test]
fn probes_lose_nothing_while_an_api_server_runs_and_tell_when_it_has_gone() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    node.start_api_server().unwrap();
    let prober = Prober::start(plan(&node)).unwrap();
    more(&prober, 500);
    let report = prober.finish().unwrap();
    println!("{report}");
    assert!(report.lost().is_empty(), "{report}");
    let watched = report.watched.as_ref().unwrap();
    assert!(watched.events > 0, "{report}");
    assert_eq!(watched.missed, 0, "{report}");

    let prober = Prober::start(plan(&node)).unwrap();
    node.stop_api_server().unwrap();
    more(&prober, 20);
    let report = prober.finish().unwrap();
    assert!(report.lost().len() >= 10, "{report}");
}

/// A network namespace, as long as this lives.
struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        let child = command.args(["--net", "sh", "-c", "ip link set lo up && exec sleep 600"]);
        let namespace = Self(child.stdin(Stdio::null()).spawn().unwrap());
        wait_until(LIMIT, "the process is itself", || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", namespace.0.id()));
            name.is_ok_and(|name| name.trim() == "sleep")
        })
        .unwrap();
        namespace
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn probes_ask_in_the_network_namespace_of_the_node() {
    let namespace = Namespace::new();
    let path = namespace.path();
    let node = std::thread::spawn(move || {
        // What this thread starts is in the namespace too.
        let file = File::open(path).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let listener = node.join().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    authority.write(&folder.path().join("ca.crt")).unwrap();
    let user = authority
        .issue(folder.path(), "user", &Request::user("user"))
        .unwrap();
    let plan = Plan {
        network: Some(namespace.path()),
        addresses: vec!["127.0.0.1".parse().unwrap()],
        port: listener.local_addr().unwrap().port(),
        ca: folder.path().join("ca.crt"),
        server_name: "127.0.0.1".to_owned(),
        users: vec![User::reader("user", &user, "/")],
        watcher: None,
    };
    // Nobody answers, for which it has patience; that it comes is enough.
    std::thread::spawn(move || Prober::start(plan));
    wait_until(LIMIT, "a probe has come", || listener.accept().is_ok()).unwrap();
}
