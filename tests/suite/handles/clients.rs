//! Clients of the primary and of the replicas: what they cost, what they inherit, what they refuse.

use std::time::Duration;

use sentinel::resp::Kind;
use sentinel::{CallOptions, Deployment, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeReplica, FakeSentinel, skipped_before, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, named_connections, open, open_on, options, overrides, run, run_within, sentinel_ports,
    serving_port, shared, text, timed, with, within, words,
};

#[test]
fn nothing_is_connected_before_the_first_command() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .view(|view| view.replicas = vec![FakeReplica::new("127.0.0.1", node.port())])
        .start();
    let deployment = open(&[sentinel.port()]);
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    assert!(primary.node().unwrap().is_none());
    // Whatever open and the two above began would be done before another deployment's question is answered.
    assert_eq!(
        open(&[sentinel.port()])
            .discover_primary(Some(SERVICE), 2000)
            .unwrap()
            .len(),
        1
    );
    let before = sentinel.connections().len();
    assert_eq!(before, 1, "the connection of the other deployment");
    assert_eq!(node.connections().len(), 0);
    text(&primary, "SET k v");
    assert!(sentinel.connections().len() > before);
    let served_by = primary.node().unwrap().expect("a node serves");
    assert_eq!(served_by.endpoint.port, node.port());
    drop(replica);
}

#[test]
fn connect_makes_the_first_connection() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(2000).unwrap();
    assert_eq!(node.open_connections(), 1);
    assert_eq!(client.node().unwrap().unwrap().endpoint.port, node.port());
    text(&client, "SET k v");
    assert_eq!(node.connections().len(), 1, "the connection made is the one used");
}

#[test]
fn what_is_set_through_the_primary_is_read_through_a_replica() {
    let topology = shared();
    let deployment = open_on(&topology);
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    let call = CallOptions {
        replicas: 2,
        ..CallOptions::default()
    };
    assert_eq!(primary.command(&words("SET read:me bar"), &call).unwrap().text(), "OK");
    for _ in 0..4 {
        assert_eq!(text(&replica, "GET read:me"), "bar");
    }
    assert_ne!(serving_port(&replica), serving_port(&primary));
}

#[test]
fn overrides_inherit_what_they_leave_unset() {
    if skipped_before((6, 2), "CLIENT INFO") {
        return;
    }
    let topology = shared();
    let ports = sentinel_ports(&topology);
    let keys = [("database", "4"), ("client_name", "inherited"), ("timeout_ms", "1500")];
    let deployment = Deployment::open(&with(options(&ports), &keys)).unwrap();
    let client = |pairs: &[(&str, &str)]| deployment.primary_for(Some(SERVICE), Some(&overrides(pairs))).unwrap();
    let info = |client| text(client, "CLIENT INFO");

    let (plain, other) = (client(&[]), client(&[("database", "6"), ("client_name", "other")]));
    assert!(info(&plain).contains(" name=inherited ") && info(&plain).contains(" db=4 "));
    assert!(info(&other).contains(" name=other ") && info(&other).contains(" db=6 "));
    let node = topology.node(topology.primary());
    assert_eq!(
        (named_connections(node, "inherited"), named_connections(node, "other")),
        (1, 1)
    );
    text(&plain, "SET which:db four");
    assert!(run(&other, "GET which:db").unwrap().is_nil());
    text(&plain, "DEL which:db");

    assert_eq!(
        run(&plain, "HGETALL none").unwrap().kind(),
        Kind::Map,
        "RESP3 by default"
    );
    let resp2 = client(&[("protocol", "2")]);
    assert_eq!(run(&resp2, "HGETALL none").unwrap().kind(), Kind::Array);
    assert!(info(&resp2).contains(" name=inherited ") && info(&resp2).contains(" db=4 "));
}

#[test]
fn the_default_deadline_is_inherited_and_overridden() {
    let node = FakeNode::builder().on(|_, args| args[0] == b"STALL").start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("timeout_ms", "200")])).unwrap();
    let plain = deployment.primary_for(Some(SERVICE), None).unwrap();
    let longer = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("timeout_ms", "600")])))
        .unwrap();
    for (client, call, expected) in [(&plain, 0, 200), (&longer, 0, 600), (&longer, 300, 300)] {
        let (result, took) = timed(|| run_within(client, "STALL", call));
        let error = result.unwrap_err();
        let expected = Duration::from_millis(expected);
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.endpoint(), Some(&*node.address()));
        assert!(
            took >= expected && took <= expected + SLACK,
            "{took:?} for {expected:?}"
        );
    }
    let error = run_within(&plain, "GET k", -2).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
}

#[test]
fn a_reply_that_comes_after_its_deadline_reaches_nobody() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET late no");
    text(&client, "SET own yes");
    for _ in 0..5 {
        node.set_silent(true);
        let error = run_within(&client, "ECHO late", 50).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
        // The answer to the call that has ended is written now.
        node.set_silent(false);
        assert_eq!(text(&client, "GET own"), "yes");
    }
}

#[test]
fn commands_that_would_change_a_shared_connection_are_refused_before_they_are_sent() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET k v");
    node.forget_commands();
    let commands = [
        "SELECT 1",
        "select 1",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH k",
        "UNWATCH",
        "SUBSCRIBE c",
        "PSUBSCRIBE c",
        "SSUBSCRIBE c",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SUNSUBSCRIBE",
        "MONITOR",
        "CLIENT REPLY OFF",
        "client reply skip",
        "CLIENT TRACKING ON",
        "HELLO 3",
        "AUTH secret",
        "RESET",
        "QUIT",
    ];
    for command in commands {
        let error = run(&client, command).unwrap_err();
        let ErrorKind::UnsupportedCommand {
            command: named,
            instead,
        } = error.kind()
        else {
            panic!("{command}: {error}");
        };
        let upper = command.to_uppercase();
        assert!(upper.starts_with(&**named), "{command} is called {named}");
        assert!(instead.len() > 5, "{command}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(!error.to_string().contains("secret"));
    }
    assert_eq!(node.commands().len(), 0, "nothing was sent");
}

#[test]
fn a_command_without_a_name_is_refused() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let error = client.command(&[], &within(500)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
}

#[test]
fn error_replies_are_errors_with_their_code_and_outcome() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET a:string 1");
    let rows = [
        ("LPUSH a:string x", "WRONGTYPE", Outcome::Refused),
        ("NO.SUCH.COMMAND x", "ERR", Outcome::Refused),
        ("GET", "ERR", Outcome::Refused),
        (
            "EVALSHA 0000000000000000000000000000000000000000 0",
            "NOSCRIPT",
            Outcome::Refused,
        ),
        (
            "EVAL redis.call('SET','a:string','2');return(nil).x 0",
            "ERR",
            Outcome::Unknown,
        ),
    ];
    for (command, code, outcome) in rows {
        let error = run(&client, command).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Server { .. }), "{command}: {error}");
        assert_eq!(error.server_code(), Some(code), "{command}: {error}");
        assert_eq!(error.outcome(), outcome, "{command}: {error}");
        let at = format!("127.0.0.1:{}", topology.node(topology.primary()).port());
        assert_eq!(error.endpoint(), Some(&*at));
    }
    assert_eq!(text(&client, "GET a:string"), "2", "the connection goes on");
}

#[test]
fn a_readonly_answer_moves_the_command_to_the_node_that_the_sentinels_name_then() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "0")])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET k old");
    // A demotion that nobody announces and that closes no connection.
    old.set_role(sentinel_lab::Role::Replica(
        "127.0.0.1".into(),
        new.port(),
        "connected".into(),
    ));
    sentinel.change_primary("127.0.0.1", new.port());
    assert_eq!(text(&client, "SET k new"), "OK");
    assert_eq!(new.value("k").as_deref(), Some(&b"new"[..]));
    assert_eq!(old.value("k").as_deref(), Some(&b"old"[..]));
}

#[test]
fn connections_that_the_server_closes_while_idle_do_not_fail_the_next_write() {
    let topology = shared();
    let deployment = open_on(&topology);
    let named = overrides(&[("client_name", "idle-close")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&named)).unwrap();
    let node = topology.node(topology.primary());
    let our_ids = || -> Vec<String> {
        let list = node.ask(&["CLIENT", "LIST"]).as_text();
        let ours = list.lines().filter(|line| line.contains(" name=idle-close "));
        ours.filter_map(|line| line.split(' ').next()?.strip_prefix("id=").map(String::from))
            .collect()
    };
    for round in 0..20 {
        text(&client, &format!("SET idle:close {round}"));
        for id in our_ids() {
            node.ask(&["CLIENT", "KILL", "ID", &id]);
        }
        // The library has closed its own end: it has noticed.
        wait_until("the closed connections to be noticed", PATIENCE, || {
            half_closed(node.port()) == 0
        });
        let written = run(&client, &format!("SET idle:close {round}"));
        assert!(written.is_ok(), "round {round}: {}", written.unwrap_err());
    }
}

/// Sockets of this machine that a server on `port` has closed and their owner has not.
fn half_closed(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (remote, close_wait) = (format!(":{port:04X}"), "08");
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 3 && fields[2].ends_with(&remote) && fields[3] == close_wait
    };
    table.lines().filter(is_one).count()
}
