//! Subscriptions through a socket: confirmations, messages and their shapes, and a failover in between.

use std::time::Duration;

use sentinel_lab::{Config, Topology, servers_since, skipped_before, skipped_where, wait_until};

use crate::pubsub::hearing::publish;
use crate::serve::peer::{Peer, refuses_to_unsubscribe, served};
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
        both(&["UNSUBSCRIBE", "PUNSUBSCRIBE", "PING", "GET served:none"], 4);
        both(&["SUBSCRIBE served:x", "RESET", "PING"], 3);
        if !refuses_to_unsubscribe() {
            both(&["UNSUBSCRIBE", "GET served:none"], 2);
        }
    }
}

#[test]
fn who_hears_itself_is_told_in_the_order_of_a_server() {
    if skipped_before((7, 0), "SSUBSCRIBE")
        || skipped_where(
            servers_since((7, 2)),
            "from 7.2 on the reply comes before what it publishes to its own peer",
        )
    {
        return;
    }
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut own = Peer::of(&client);
    let mut direct = Peer::at(topology.node(topology.primary()));
    // Names of its own: another test hears all of `served:*`, and each hears the other's messages too.
    for (peer, name) in [(&mut own, "itself:1"), (&mut direct, "itself:2")] {
        peer.ask("HELLO 3");
        let commands = [
            format!("SUBSCRIBE {name} {name}:more"),
            format!("PSUBSCRIBE {name}*"),
            format!("SSUBSCRIBE {name}"),
        ];
        for command in commands {
            peer.ask(&command);
        }
        peer.told();
    }
    let mut both = |commands: &[&str], replies: usize| {
        let of = |peer: &mut Peer, name: &str| {
            let named: Vec<String> = commands.iter().map(|command| command.replace('@', name)).collect();
            peer.pipeline(&named.iter().map(String::as_str).collect::<Vec<_>>());
            let told = peer.replies(replies).into_iter();
            told.map(|reply| reply.replace(name, "@")).collect::<Vec<_>>()
        };
        assert_eq!(of(&mut own, "itself:1"), of(&mut direct, "itself:2"), "{commands:?}");
    };
    both(&["PUBLISH @ one"], 3);
    both(&["SPUBLISH @ two"], 2);
    both(
        &[
            "ECHO before",
            "PUBLISH @ three",
            "ECHO behind",
            "PUBLISH @ four",
            "PUBLISH nobody five",
            "ECHO last",
        ],
        10,
    );
    both(&["PUBLISH @ six"; 20], 60);
    both(&["PUBLISH @", "ECHO last"], 2);
}

#[test]
fn who_subscribes_inside_multi_is_told_that_it_cannot() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut peer = Peer::of(&client);
    for command in ["SUBSCRIBE served:in", "PUNSUBSCRIBE", "SSUBSCRIBE served:in"] {
        peer.pipeline(&["MULTI", command, "EXEC", "GET served:none"]);
        let told = peer.replies(4);
        let name = command.split(' ').next().unwrap();
        assert_eq!(
            told[1],
            format!(
                "-ERR {name} inside MULTI is not possible on this socket: say it in front of MULTI or behind EXEC\\r\\n"
            )
        );
        assert!(told[2].starts_with("-EXECABORT ") && told[3] == "$-1\\r\\n", "{told:?}");
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
