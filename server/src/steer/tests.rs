#![allow(clippy::print_stdout, reason = "the measurements")]

mod stage;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    thread,
    time::Duration,
};

use tokio::io::AsyncReadExt as _;

use self::stage::{Clients, Server, in_namespace, servers, until};
use super::{
    Phase::{Split, Swapped, Younger},
    sockets, *,
};

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;
const V6: Ipv6Addr = Ipv6Addr::LOCALHOST;
const NO_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// Who serves a connection by the newcomer's route, and whether it is this process.
fn newcomer(steerer: &Steerer) -> (u8, bool) {
    block_on(async {
        let mut stream = steerer.connect().await.unwrap();
        let ours = served_by(&stream, &BTreeSet::from([std::process::id()]));
        let name = stream.read_u8().await.unwrap();
        (name, ours.unwrap())
    })
}

#[test]
fn each_phase_has_connections_go_where_it_says() {
    in_namespace("each_phase_has_connections_go_where_it_says", "", || {
        let older = Server::start(b'o', 0);
        let port = older.port;
        let steerer = Steerer::probe(port).unwrap();
        assert_eq!(steerer.used(), SteeringUsed::ByLoopback);
        assert_eq!(steerer.phase(), None);

        // A single one has everything.
        for phase in [Split, Younger, Swapped, Split] {
            steerer.set(phase, None).unwrap();
            assert_eq!(servers((V4, port)), b"o");
            assert_eq!(servers((V6, port)), b"o");
        }
        let younger = Server::start(b'y', port);
        assert_eq!(steerer.listeners().unwrap().len(), 2);
        for _ in 0..2 {
            assert_eq!(servers((V4, port)), b"o");
            assert_eq!(servers((V6, port)), b"y");
            assert_eq!(newcomer(&steerer).0, b'y');
            steerer.set(Younger, None).unwrap();
            assert_eq!(steerer.phase(), Some(Younger));
            assert_eq!(servers((V4, port)), b"y");
            assert_eq!(servers((V6, port)), b"y");
            steerer.set(Swapped, None).unwrap();
            assert_eq!(servers((V4, port)), b"y");
            assert_eq!(servers((V6, port)), b"o");
            assert_eq!(newcomer(&steerer).0, b'o');
            steerer.set(Split, None).unwrap();
        }
        // Whose index was 1 has 0 when the older is gone, and the next one is the younger.
        older.end();
        let next = Server::start(b'n', port);
        assert_eq!(servers((V4, port)), b"y");
        assert_eq!(servers((V6, port)), b"n");
        // A younger one that goes leaves the older with all.
        next.end();
        assert_eq!(servers((V6, port)), b"y");

        let _next = Server::start(b'n', port);
        steerer.clear().unwrap();
        steerer.clear().unwrap();
        assert_eq!(steerer.phase(), None);
        assert_eq!(servers((V4, port)), b"ny");
        drop(younger);
    });
}

#[test]
fn what_is_attached_outlives_the_steerer() {
    in_namespace("what_is_attached_outlives_the_steerer", "", || {
        let older = Server::start(b'o', 0);
        let steerer = Steerer::probe(older.port).unwrap();
        steerer.set(Split, None).unwrap();
        drop(steerer);
        let _younger = Server::start(b'y', older.port);
        assert_eq!(servers((V4, older.port)), b"o");
        assert_eq!(servers((V6, older.port)), b"y");
    });
}

#[test]
fn a_port_where_nobody_listens_is_steered_as_soon_as_somebody_does() {
    let test = "a_port_where_nobody_listens_is_steered_as_soon_as_somebody_does";
    in_namespace(test, "", || {
        let port = Server::listen(b'-', 0).port;
        let steerer = Steerer::probe(port).unwrap();
        steerer.set(Split, None).unwrap();
        // Nothing of ours takes a connection meanwhile.
        assert_eq!(
            stage::who((V4, port)).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        // And so it is when all listeners have gone.
        for (first, second) in [(b'a', b'b'), (b'c', b'd')] {
            let older = Server::start(first, port);
            let attached = || {
                steerer
                    .inner
                    .keeper
                    .knows(&sockets::listeners(port).unwrap())
            };
            until("the first one is known", attached);
            let younger = Server::start(second, port);
            assert_eq!(servers((V4, port)), [first]);
            assert_eq!(servers((V6, port)), [second]);
            older.end();
            younger.end();
        }
    });
}

#[test]
fn a_newcomer_ends_the_reign_of_the_younger() {
    in_namespace("a_newcomer_ends_the_reign_of_the_younger", "", || {
        let older = Server::start(b'o', 0);
        let port = older.port;
        let steerer = Steerer::probe(port).unwrap();
        let mut younger = Server::start(b'y', port);
        for phase in [Younger, Swapped] {
            steerer.set(phase, None).unwrap();
            assert_eq!(servers((V4, port)), b"y");
            // It dies, and comes again without serving.
            younger.end();
            assert_eq!(servers((V4, port)), b"o");
            let again = Server::listen(b'y', port);
            until("it is split again", || steerer.phase() == Some(Split));
            assert_eq!(servers((V4, port)), b"o");
            again.serve(true);
            assert_eq!(newcomer(&steerer), (b'y', true));
            younger = again;
        }
    });
}

#[test]
fn without_ipv6_the_newcomer_is_known_by_its_mark() {
    in_namespace(
        "without_ipv6_the_newcomer_is_known_by_its_mark",
        NO_IPV6,
        || {
            let older = Server::start(b'o', 0);
            let port = older.port;
            let steerer = Steerer::probe(port).unwrap();
            assert_eq!(steerer.used(), SteeringUsed::ByMark);
            let _younger = Server::start(b'y', port);
            // A group that nobody here is of, then ours.
            steerer.set(Split, Some(65210)).unwrap();
            assert_eq!(servers((V4, port)), b"o");
            assert_eq!(newcomer(&steerer), (b'y', true));
            let ours = rustix::process::getegid().as_raw();
            steerer.set(Split, Some(ours)).unwrap();
            assert_eq!(servers((V4, port)), b"y");
            // Without a group the last one stays.
            steerer.set(Younger, Some(65210)).unwrap();
            assert_eq!(servers((V4, port)), b"y");
            steerer.set(Swapped, None).unwrap();
            assert_eq!(servers((V4, port)), b"y");
            assert_eq!(newcomer(&steerer), (b'o', true));
            steerer.set(Split, None).unwrap();
            assert_eq!(servers((V4, port)), b"o");

            assert!(rules().contains(&format!("seedpod-{port}")), "{}", rules());
            steerer.clear().unwrap();
            steerer.clear().unwrap();
            assert_eq!(rules(), "");
            assert_eq!(servers((V4, port)), b"oy");
        },
    );
}

fn rules() -> String {
    let nft = std::process::Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    String::from_utf8(nft.stdout).unwrap()
}

#[test]
fn what_is_missing_is_told_with_the_remedy() {
    let before = format!("{NO_IPV6}; PATH=/nowhere");
    in_namespace("what_is_missing_is_told_with_the_remedy", &before, || {
        let Unsupported(why) = Steerer::probe(1).unwrap_err();
        assert!(why.contains("install nftables"), "{why}");
    });
}

#[test]
fn a_loopback_interface_that_is_down_is_told() {
    let test = "a_loopback_interface_that_is_down_is_told";
    in_namespace(test, "ip link set lo down", || {
        let Unsupported(why) = Steerer::probe(1).unwrap_err();
        assert!(why.contains("loopback interface"), "{why}");
    });
}

#[test]
fn who_does_not_share_its_port_is_told() {
    in_namespace("who_does_not_share_its_port_is_told", "", || {
        let alone = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = alone.local_addr().unwrap().port();
        let error = Steerer::probe(port).unwrap().set(Split, None).unwrap_err();
        assert!(matches!(error, SteerError::NotShared { .. }), "{error:?}");

        let narrow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = narrow.local_addr().unwrap().port();
        let error = Steerer::probe(port).unwrap().set(Split, None).unwrap_err();
        assert!(matches!(error, SteerError::Address { .. }), "{error:?}");
    });
}

/// A handoff: the younger starts, does not serve for a while, serves; the older does not accept for a while, closes.
fn handoff(steerer: Option<&Steerer>, older: Server, before: impl Fn()) -> (usize, Vec<io::Error>) {
    let port = older.port;
    let set = |phase| steerer.map_or((), |it| it.set(phase, None).unwrap());
    set(Split);
    let clients = Clients::start(8, port);
    clients.more(500);
    let younger = Server::listen(b'y', port);
    if steerer.is_some() {
        clients.more(1000);
    }
    younger.serve(true);
    set(Younger);
    // What the older one had accepted before is served in the meantime.
    clients.more(500);
    older.serve(false);
    before();
    older.end();
    clients.more(500);
    set(Split);
    clients.more(500);
    assert!(younger.served() > 0);
    clients.end()
}

#[test]
fn no_connection_is_lost_when_the_younger_takes_over() {
    in_namespace(
        "no_connection_is_lost_when_the_younger_takes_over",
        "",
        || {
            let older = Server::start(b'o', 0);
            let steerer = Steerer::probe(older.port).unwrap();
            let nothing = || thread::sleep(Duration::from_millis(50));
            let (served, lost) = handoff(Some(&steerer), older, nothing);
            assert!(
                lost.is_empty(),
                "{} of {}: {:?}",
                lost.len(),
                lost.len() + served,
                lost[0]
            );
            println!("steered: {served} served, 0 lost");
        },
    );
}

#[test]
fn without_steering_connections_are_lost() {
    in_namespace("without_steering_connections_are_lost", "", || {
        let older = Server::start(b'o', 0);
        // Half of the clients' next connections wait for it.
        let wait_in_its_queue = || thread::sleep(Duration::from_millis(50));
        let (served, lost) = handoff(None, older, wait_in_its_queue);
        println!("not steered: {served} served, {} lost", lost.len());
        assert!(!lost.is_empty());
    });
}

#[test]
fn attaching_loses_no_connection() {
    in_namespace("attaching_loses_no_connection", "", || {
        let older = Server::start(b'o', 0);
        let _younger = Server::start(b'y', older.port);
        let steerer = Steerer::probe(older.port).unwrap();
        let clients = Clients::start(4, older.port);
        for _ in 0..200 {
            for phase in [Split, Younger] {
                steerer.set(phase, None).unwrap();
                clients.more(5);
            }
            steerer.clear().unwrap();
        }
        let (served, lost) = clients.end();
        assert!(
            lost.is_empty(),
            "{} of {}: {:?}",
            lost.len(),
            lost.len() + served,
            lost[0]
        );
    });
}
