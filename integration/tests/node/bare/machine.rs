//! The rig's nodes with networks of their own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use seedpod_integration::{
    ContainerKind, Node, NodeNetwork, NodeOptions, ProcessRecord, Seedpodd, SeedpoddOptions,
};
use serde_json::json;

use crate::rig::{place, pod, unique};
use crate::scene::wait_running;

/// A port that all nodes can have at once.
const PORT: u16 = 6443;

/// Answers with a word whoever connects, `count` times.
fn serve(
    node: &Node,
    address: Ipv4Addr,
    word: &'static str,
    count: usize,
) -> thread::JoinHandle<()> {
    let listener = node
        .in_network(|| TcpListener::bind((address, PORT)))
        .unwrap()
        .unwrap();
    thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(word.as_bytes()).unwrap();
        }
    })
}

fn ask(address: Ipv4Addr) -> String {
    let mut text = String::new();
    let mut stream = TcpStream::connect((address, PORT)).unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn links() -> String {
    let output = Command::new("ip").args(["-o", "link"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_nodes_have_the_same_port_each_and_reach_each_other() {
    let nodes = [0, 1].map(|_| Node::start(&NodeOptions::machine()).unwrap());
    let [first, second] = nodes.each_ref();
    assert_ne!(first.address(), second.address());

    let servers = [
        serve(first, Ipv4Addr::UNSPECIFIED, "first", 3),
        serve(second, Ipv4Addr::UNSPECIFIED, "second", 3),
    ];
    assert_eq!(ask(first.address()), "first");
    assert_eq!(ask(second.address()), "second");
    for (node, own, other, word) in [
        (first, "first", second, "second"),
        (second, "second", first, "first"),
    ] {
        let heard = node.in_network(|| (ask(Ipv4Addr::LOCALHOST), ask(other.address())));
        assert_eq!(heard.unwrap(), (own.to_owned(), word.to_owned()));
    }
    servers.into_iter().for_each(|it| it.join().unwrap());

    // A pod on the node's network sees the node's address, and the daemon serves there.
    let name = unique("where");
    let mut pod = pod(&name, "$(ip -4 -o addr show dev eth0)");
    pod["spec"]["hostNetwork"] = json!(true);
    let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap();
    let script = script
        .replace('\'', "\"")
        .replacen("\"exit 0\"", "'exit 0'", 1);
    pod["spec"]["containers"][0]["command"][2] = json!(script);
    place(first, &pod);
    let line = first.first_line(&name, "main", crate::rig::LIMIT).unwrap();
    assert!(line.contains(&format!("{}/24", first.address())), "{line}");
    let daemon = Seedpodd::start(second, &SeedpoddOptions::default()).unwrap();
    assert!(
        daemon
            .tls_address()
            .starts_with(&second.address().to_string())
    );
    drop(daemon);

    let ids = nodes.each_ref().map(|node| node.layout().id().to_owned());
    drop(nodes);
    let links = links();
    assert!(ids.iter().all(|id| !links.contains(id)), "{links}");
}

#[test]
fn a_node_without_ipv6_has_no_loopback_address_of_it() {
    let node = Node::start(&NodeOptions {
        network: NodeNetwork::Own { ipv6: false },
        ..NodeOptions::machine()
    })
    .unwrap();
    let bound = node.in_network(|| TcpListener::bind("[::1]:0").is_ok());
    assert!(!bound.unwrap());
    let off = node
        .command_in_network("cat")
        .unwrap()
        .arg("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .output()
        .unwrap();
    assert_eq!(off.stdout, b"1\n");
}

#[test]
fn a_power_cut_takes_the_network_and_brings_it_back_the_same() {
    let node = Node::start(&NodeOptions::machine()).unwrap();
    let address = node.address();
    let name = unique("pod");
    place(&node, &pod(&name, "hello"));
    let first = wait_running(&node, &name, ContainerKind::Container);
    let process = ProcessRecord::of(first.pid).unwrap();
    node.cut_power().unwrap();
    assert!(!process.is_alive());
    assert!(node.in_network(|| ()).is_err());
    node.power_on().unwrap();
    let other = wait_running(&node, &name, ContainerKind::Container);
    assert_ne!(other.id, first.id);
    assert_eq!(node.address(), address);
    let server = serve(&node, Ipv4Addr::UNSPECIFIED, "again", 1);
    assert_eq!(ask(address), "again");
    server.join().unwrap();
}
