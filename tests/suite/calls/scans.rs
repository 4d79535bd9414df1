//! Walks through keys and elements, whose cursors are a node's own.

use std::collections::BTreeSet;

use sentinel::{CallOptions, Client, Deployment, ErrorKind, Outcome, Scan};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Topology};

use crate::support::{SERVICE, open, open_on, overrides, run, shared, tell, text, words};

fn next(scan: &mut Scan) -> Option<Vec<String>> {
    let page = scan
        .next(&CallOptions::default())
        .unwrap_or_else(|error| panic!("{error}"));
    page.map(|page| page.elements().map(|item| item.text().into_owned()).collect())
}

/// Everything that a walk gives from where it is.
fn rest(scan: &mut Scan) -> Vec<String> {
    std::iter::from_fn(|| next(scan)).flatten().collect()
}

fn scan(client: &Client, command: &str) -> Scan {
    client.scan(&words(command)).unwrap()
}

#[test]
fn a_scan_gives_every_key_and_every_element() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let keys: BTreeSet<String> = (0..500).map(|n| format!("scan:{n}")).collect();
    for key in &keys {
        text(&client, &format!("SET {key} {key}"));
        text(&client, &format!("HSET scan-h {key} v"));
        text(&client, &format!("SADD scan-s {key}"));
        text(&client, &format!("ZADD scan-z 1 {key}"));
    }
    for command in [
        "SCAN MATCH scan:*",
        "scan MATCH scan:* COUNT 100 TYPE string",
        "SSCAN scan-s",
        "sscan scan-s COUNT 7",
    ] {
        let found: BTreeSet<String> = rest(&mut scan(&client, command)).into_iter().collect();
        assert_eq!(found, keys, "{command}");
    }
    for command in ["HSCAN scan-h COUNT 50", "ZSCAN scan-z"] {
        let found = rest(&mut scan(&client, command));
        let found: BTreeSet<String> = found.chunks(2).map(|pair| pair[0].clone()).collect();
        assert_eq!(found, keys, "{command}");
    }
    let mut none = scan(&client, "SCAN MATCH no-such-key COUNT 10");
    assert_eq!(next(&mut none), Some(vec![]), "a page may be empty");
    assert!(rest(&mut none).is_empty());
    assert_eq!(next(&mut none), None, "an end is an end");
    none.restart();
    assert_eq!(next(&mut none), Some(vec![]));
    let found: BTreeSet<String> = rest(&mut scan(
        &open_on(&topology).replica_for(Some(SERVICE), None).unwrap(),
        "HSCAN no-such-key",
    ))
    .into_iter()
    .collect();
    assert!(found.is_empty());
}

#[test]
fn what_is_no_scan_is_refused() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    for command in ["KEYS *", "GET k", "HSCAN"] {
        let error = client.scan(&words(command)).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
            "{command}: {error}"
        );
    }
    text(&client, "SET scan-string v");
    let mut wrong = scan(&client, "HSCAN scan-string");
    for _ in 0..2 {
        let error = wrong.next(&CallOptions::default()).unwrap_err();
        assert_eq!(error.server_code(), Some("WRONGTYPE"), "{error}");
    }
    let confirmed = CallOptions {
        replicas: 1,
        ..CallOptions::default()
    };
    let error = scan(&client, "SCAN").next(&confirmed).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
}

/// Two servers without a Sentinel of their own, with the same keys, and a scripted Sentinel that names the first.
struct Pair {
    servers: [Topology; 2],
    sentinel: FakeSentinel,
    _deployment: Deployment,
    client: Client,
}

fn pair(keys: &[(&str, &str)]) -> Pair {
    let alone = || Topology::start(Config::default().nodes(1).sentinels(0));
    let servers = [alone(), alone()];
    for server in &servers {
        tell(server.node(0), "DEBUG POPULATE 1000 key 1");
    }
    let sentinel = FakeSentinel::start(SERVICE, servers[0].node(0).port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), Some(&overrides(keys))).unwrap();
    Pair {
        servers,
        sentinel,
        _deployment: deployment,
        client,
    }
}

#[test]
fn a_scan_outlives_its_connection_but_not_its_node() {
    let pair = pair(&[]);
    let mut walk = scan(&pair.client, "SCAN COUNT 20");
    let mut found: BTreeSet<String> = next(&mut walk).unwrap().into_iter().collect();
    for _ in 0..3 {
        tell(pair.servers[0].node(0), "CLIENT KILL TYPE normal");
        found.extend(next(&mut walk).unwrap());
    }
    found.extend(rest(&mut walk));
    assert_eq!(found.len(), 1000, "the same process answers: nothing is skipped");

    let moved = |walk: &mut Scan| {
        for _ in 0..2 {
            let error = walk.next(&CallOptions::default()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WrongState { .. }), "{error}");
            assert_eq!(error.outcome(), Outcome::NotSent);
        }
    };
    walk.restart();
    next(&mut walk).unwrap();
    pair.servers[0].kill(0);
    pair.servers[0].restart(0);
    tell(pair.servers[0].node(0), "DEBUG POPULATE 1000 key 1");
    moved(&mut walk);

    walk.restart();
    next(&mut walk).unwrap();
    pair.sentinel.switch_master("127.0.0.1", pair.servers[1].node(0).port());
    pair.servers[0].kill(0);
    moved(&mut walk);
    walk.restart();
    let found: BTreeSet<String> = rest(&mut walk).into_iter().collect();
    assert_eq!(found.len(), 1000);
}

#[test]
fn a_scan_holds_one_connection_until_its_end() {
    let pair = pair(&[("pool.max_connections", "1")]);
    let mut walk = scan(&pair.client, "SCAN COUNT 200");
    pair.client.acquire(2000).unwrap();
    next(&mut walk).unwrap();
    let error = pair.client.acquire(50).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{error}");
    rest(&mut walk);
    pair.client.acquire(2000).unwrap();
    walk.restart();
    next(&mut walk).unwrap();
    drop(walk);
    pair.client.acquire(2000).unwrap();
}

/// A node whose SCAN goes 0, 7, 9, 0, and that closes the connection instead of answering 7 for the first time.
fn cutting(run_id: bool) -> FakeNode {
    let cut = std::sync::atomic::AtomicBool::new(false);
    FakeNode::builder()
        .on(move |session, args| {
            match (args[0].as_slice(), args.get(1).map(Vec::as_slice)) {
                (b"INFO", _) if !run_id => {
                    session.error("NOPERM User app has no permissions to run the 'info' command")
                }
                (b"SCAN", Some(b"0")) => session.send("*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n"),
                (b"SCAN", Some(b"7")) if !cut.swap(true, std::sync::atomic::Ordering::SeqCst) => session.close(),
                (b"SCAN", Some(b"7")) => session.send("*2\r\n$1\r\n9\r\n*0\r\n"),
                (b"SCAN", Some(b"9")) => session.send("*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"),
                _ => return false,
            }
            true
        })
        .start()
}

#[test]
fn a_page_that_was_lost_is_asked_for_again_at_the_same_process() {
    let node = cutting(true);
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(rest(&mut scan(&client, "SCAN COUNT 3")), ["a", "b"]);
    assert_eq!(node.count("SCAN 7 COUNT 3"), 2);
    assert_eq!(node.count("INFO server"), 2, "once a connection");
}

#[test]
fn a_node_that_does_not_tell_which_process_it_is_is_not_trusted_with_a_cursor() {
    let node = cutting(false);
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    run(&client, "ECHO on").unwrap();
    let mut walk = scan(&client, "SCAN");
    assert_eq!(next(&mut walk), Some(vec!["a".to_owned()]));
    let error = walk.next(&CallOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongState { .. }), "{error}");
    walk.restart();
    assert_eq!(rest(&mut walk), ["a", "b"], "a connection that lasts needs no run id");
}
