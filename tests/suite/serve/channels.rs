//! Subscriptions through a socket: confirmations, messages and their shapes, and a failover in between.

use std::time::Duration;

use sentinel_lab::{Config, Topology, skipped_before, wait_until};

use crate::pubsub::hearing::publish;
use crate::serve::peer::{Peer, served};
use crate::support::{PATIENCE, SERVICE, open_on, shared, tell};

#[test]
fn confirmations_and_messages_are_those_of_a_server() {
    if skipped_before((7, 0), "SSUBSCRIBE") {
        return;
    }
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let node = topology.node(topology.primary());
    for protocol in ["2", "3"] {
        let (mut own, mut direct) = (Peer::of(&client), Peer::at(node));
        own.ask(&format!("HELLO {protocol}"));
        direct.ask(&format!("HELLO {protocol}"));
        let mut both = |commands: &[&str], replies: usize| {
            own.pipeline(commands);
            direct.pipeline(commands);
            assert_eq!(
                own.replies(replies),
                direct.replies(replies),
                "RESP{protocol}: {commands:?}"
            );
        };
        both(&["SUBSCRIBE served:a served:b"], 2);
        both(&["PSUBSCRIBE served:*", "SUBSCRIBE served:a", "SSUBSCRIBE served:s"], 3);
        both(&["PING", "PING text"], 2);
        publish(node, "served:a", "one");
        publish(node, "served:c", "two");
        tell(node, "SPUBLISH served:s three");
        both(&[], 4);
        both(&["UNSUBSCRIBE served:a none", "SUNSUBSCRIBE"], 3);
        publish(node, "served:a", "four");
        both(&[], 1);
        if protocol == "2" {
            both(&["GET a", "MULTI", "CLIENT ID"], 3);
        } else {
            both(&["GET served:none", "ECHO a"], 2);
        }
        both(
            &["UNSUBSCRIBE", "PUNSUBSCRIBE", "UNSUBSCRIBE", "PING", "GET served:none"],
            5,
        );
        both(&["SUBSCRIBE served:x", "RESET", "PING", "UNSUBSCRIBE"], 4);
    }
}

#[test]
fn a_name_that_the_server_refuses_is_an_error() {
    if skipped_before((6, 2), "rights for channels") {
        return;
    }
    let topology = shared();
    let deployment = open_on(&topology);
    let node = topology.node(topology.primary());
    tell(node, "ACL SETUSER deaf on nopass +@all ~* resetchannels &deaf:may");
    let keys = crate::support::overrides(&[("username", "deaf"), ("password", "x")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let (mut own, mut direct) = (Peer::of(&client), Peer::at(node));
    direct.ask("AUTH deaf x");
    assert_eq!(own.ask("SUBSCRIBE deaf:may"), direct.ask("SUBSCRIBE deaf:may"));
    assert_eq!(own.ask("SUBSCRIBE deaf:not"), direct.ask("SUBSCRIBE deaf:not"));
    publish(node, "deaf:may", "heard");
    assert_eq!(own.told(), direct.told());
    tell(node, "ACL DELUSER deaf");
}

#[test]
fn a_subscription_is_restored_after_a_failover_without_a_word() {
    let topology = Topology::start(Config::default());
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let stream = served(&client);
    let mut peer = Peer::on(&stream);
    assert!(peer.ask("SUBSCRIBE served:news").contains("subscribe"));
    let old = topology.primary();
    assert_eq!(publish(topology.node(old), "served:news", "before"), 1);
    assert!(peer.told().contains("before"));
    topology.kill(old);
    let new = topology.wait_for_primary_change(old, PATIENCE * 4);
    wait_until("it to be heard again", PATIENCE * 2, || {
        publish(topology.node(new), "served:news", "after") == 1
    });
    assert!(peer.told().contains("after"));
    assert!(peer.is_quiet(&stream, Duration::from_millis(200)), "nothing else");
    assert!(peer.ask("PING").contains("pong"));
}
