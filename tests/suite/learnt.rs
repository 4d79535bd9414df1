//! Commands that the library does not know, of modules and newer servers: the server is asked for what they do.

use std::time::Duration;

use sentinel::client::BatchKind;
use sentinel::{CallOptions, Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Session, Topology, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, batch, open, overrides, run, run_within, tell, text, timed, within, words,
};

/// The answer to COMMAND INFO of a command with this flag.
fn describe(session: &mut Session, name: &[u8], flag: &str) {
    let (name, len) = (String::from_utf8_lossy(name), name.len());
    let head = if session.is_resp3() { '~' } else { '*' };
    session.send(format!(
        "*1\r\n*7\r\n${len}\r\n{name}\r\n:-2\r\n{head}2\r\n+{flag}\r\n+movablekeys\r\n:1\r\n:1\r\n:1\r\n*0\r\n"
    ));
}

/// A node with the commands of a module.
fn module() -> FakeNode {
    FakeNode::builder()
        .on(|session, args| {
            let name = args[0].to_ascii_uppercase();
            if name == b"COMMAND" {
                match args[2].as_slice() {
                    name if name.starts_with(b"MOD.GET") => describe(session, name, "readonly"),
                    name if name.starts_with(b"MOD.SET") => describe(session, name, "write"),
                    name if name.starts_with(b"MOD.WAIT") => describe(session, name, "blocking"),
                    _ => session.send("*1\r\n*-1\r\n"),
                }
                return true;
            }
            let is_mine = name.starts_with(b"MOD.");
            // One that waits is answered by the test, or never.
            if is_mine && !name.starts_with(b"MOD.WAIT") {
                session.status("done");
            }
            is_mine
        })
        .start()
}

struct World {
    node: FakeNode,
    _sentinel: FakeSentinel,
    deployment: Deployment,
}

fn world(node: FakeNode) -> World {
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    World {
        node,
        _sentinel: sentinel,
        deployment,
    }
}

impl World {
    fn client(&self, keys: &[(&str, &str)]) -> Client {
        self.deployment
            .primary_for(Some(SERVICE), Some(&overrides(keys)))
            .unwrap()
    }
}

#[test]
fn an_unknown_command_is_asked_for_once_a_deployment_and_a_known_one_never() {
    let world = world(module());
    let client = world.client(&[]);
    for command in ["SET k v", "GET k", "INCR n", "HEXPIRE h 1"] {
        let _ = run(&client, command);
    }
    assert_eq!(world.node.count("COMMAND"), 0);
    for command in ["MOD.GET k", "mod.get k", "MOD.SET k v", "MOD.GET k"] {
        assert_eq!(text(&client, command), "done");
    }
    let other = world.client(&[("client_name", "other")]);
    assert_eq!(text(&other, "Mod.Get k"), "done");
    assert_eq!(world.node.count("COMMAND INFO MOD.GET"), 1);
    assert_eq!(world.node.count("COMMAND INFO MOD.SET"), 1);
    // A module may be loaded later: what is not there is asked for again.
    for _ in 0..2 {
        let error = run(&client, "OTHER k").unwrap_err();
        assert_eq!((error.server_code(), error.outcome()), (Some("ERR"), Outcome::Refused));
    }
    assert_eq!(world.node.count("COMMAND INFO OTHER"), 2);
}

#[test]
fn an_unknown_command_that_only_reads_is_repeated_and_no_other() {
    let node = FakeNode::builder();
    let left = std::sync::atomic::AtomicUsize::new(1);
    let node = node
        .on(move |session, args| {
            use std::sync::atomic::Ordering::SeqCst;
            match args[0].as_slice() {
                b"COMMAND" if args[2] == b"MOD.GET" => describe(session, &args[2], "readonly"),
                b"COMMAND" => describe(session, &args[2], "write"),
                b"MOD.GET" if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() => session.close(),
                b"MOD.SET" => session.close(),
                b"MOD.GET" => session.status("done"),
                _ => return false,
            }
            true
        })
        .start();
    let world = world(node);
    let client = world.client(&[]);
    assert_eq!(text(&client, "MOD.GET k"), "done");
    assert_eq!(world.node.count("MOD.GET"), 2);
    let error = run(&client, "MOD.SET k v").unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(world.node.count("MOD.SET"), 1);
    // The same in a batch.
    let reads = batch(BatchKind::Pipeline, &["MOD.GET k", "GET k"]);
    assert_eq!(client.batch(&reads, &CallOptions::default()).unwrap().len(), 2);
}

#[test]
fn an_unknown_command_that_waits_has_a_connection_of_its_own() {
    let world = world(module());
    let client = world.client(&[("pool.max_connections", "1"), ("pool.direct", "1")]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run_within(&client, "MOD.WAIT k", 3000));
        world.node.wait_for_command("MOD.WAIT", PATIENCE);
        let error = client.acquire(50).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{error}");
        let pipeline = batch(BatchKind::Pipeline, &["ECHO a", "MOD.WAIT k"]);
        let error = client.batch(&pipeline, &within(50)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{error}");
        assert_eq!(text(&client, "ECHO on"), "on", "it delays nobody");
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    });
}

#[test]
fn a_server_that_does_not_tell_is_asked_no_more() {
    for said in [
        "NOPERM User app has no permissions to run the 'command|info' command",
        "ERR unknown command 'COMMAND', with args beginning with: 'INFO' 'MOD.GET' ",
    ] {
        let node = FakeNode::builder()
            .on(move |session, args| {
                match args[0].as_slice() {
                    b"COMMAND" => session.error(said),
                    b"MOD.GET" if args.len() > 2 => session.close(),
                    b"MOD.GET" => session.status("done"),
                    _ => return false,
                }
                true
            })
            .start();
        let world = world(node);
        let client = world.client(&[]);
        assert_eq!(text(&client, "MOD.GET k"), "done");
        let error = run(&client, "MOD.GET k cut").unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "it is not known to read: {error}");
        assert_eq!(text(&client, "MOD.GET k"), "done");
        assert_eq!(world.node.count("COMMAND"), 1, "{said}");
    }
}

#[test]
fn a_question_that_fails_leaves_the_command_unsent() {
    let node = FakeNode::builder().on(|_, args| args[0] == b"COMMAND").start();
    let world = world(node);
    let client = world.client(&[]);
    text(&client, "SET warm up");
    let (result, took) = timed(|| run_within(&client, "MOD.SET k v", 200));
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(took <= Duration::from_millis(200) + SLACK, "{took:?}");
    assert_eq!(world.node.count("MOD.SET"), 0);
}

/// Real commands under names that the table does not have.
#[test]
fn a_real_server_tells_of_its_commands() {
    let names = Config::default().nodes(1).sentinels(0);
    let names = names
        .node_line("rename-command BLPOP mod.wait")
        .node_line("rename-command GETRANGE mod.read");
    let topology = Topology::start(names);
    let node = topology.node(0);
    let world = FakeSentinel::start(SERVICE, node.port());
    for protocol in ["2", "3"] {
        let deployment = open(&[world.port()]);
        let keys = [("pool.max_connections", "1"), ("protocol", protocol)];
        let client = deployment.primary_for(Some(SERVICE), Some(&overrides(&keys))).unwrap();
        text(&client, "SET k value");
        assert_eq!(text(&client, "mod.read k 0 2"), "val");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| run_within(&client, "mod.wait list 0", 10_000));
            wait_until("a client that waits", PATIENCE, || {
                node.ask(&["INFO", "clients"]).as_text().contains("blocked_clients:1")
            });
            let error = client.acquire(50).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{error}");
            tell(node, "RPUSH list x");
            assert_eq!(waiting.join().unwrap().unwrap().at(1).unwrap().data(), b"x");
        });
        let asked = client.command(&words("mod.read k 0 0"), &CallOptions::default());
        assert_eq!(asked.unwrap().text(), "v");
    }
}
