//! The daemon as the rig runs it.

use seedpod_integration::{Node, NodeOptions, Seedpodd, SeedpoddOptions};

#[test]
fn a_daemon_comes_back_after_it_was_killed_and_ends_when_it_is_asked_to() {
    let node = Node::start(&NodeOptions::default()).unwrap();
    let daemon = Seedpodd::start(&node, &SeedpoddOptions::default()).unwrap();
    let first = daemon.process().unwrap();

    daemon.kill9().unwrap();
    assert!(!daemon.is_ready());
    daemon.start_again().unwrap();
    let second = daemon.process().unwrap();
    assert_ne!(first, second);

    daemon.stop().unwrap();
    assert_eq!(daemon.process(), None);
}
