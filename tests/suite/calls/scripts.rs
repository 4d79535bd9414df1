//! Scripts by name, on nodes that have them and nodes that do not.

use sentinel::{CallOptions, Client, ErrorKind, Outcome, Result, Script};
use sentinel_lab::{FakeNode, FakeSentinel, Session, servers_since, skipped_before};

use crate::support::{PATIENCE, SERVICE, open, open_on, run, shared, text};

const MISSING: &str = "NOSCRIPT No matching script. Please use EVAL.";

fn script(client: &Client, source: &str, keys: usize, args: &[&str]) -> Result<String> {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let reply = client.script(
        &Script::new(source.as_bytes(), false),
        keys,
        &args,
        &CallOptions::default(),
    )?;
    Ok(reply.text().into_owned())
}

#[test]
fn a_script_runs_whether_the_server_has_it_or_not() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    // A source that no other run has sent.
    let source = format!(
        "redis.call('SET', KEYS[1], ARGV[1]) return KEYS[1] .. #ARGV -- {}",
        topology.node(0).port()
    );
    let sha1 = Script::new(source.as_bytes(), false).sha1().to_owned();
    assert_eq!(
        run(&client, &format!("SCRIPT EXISTS {sha1}"))
            .unwrap()
            .at(0)
            .unwrap()
            .integer(),
        0
    );
    for value in ["one", "two"] {
        assert_eq!(
            script(&client, &source, 1, &["script:k", value, "x"]).unwrap(),
            "script:k2"
        );
        assert_eq!(text(&client, "GET script:k"), value);
        assert_eq!(
            run(&client, &format!("SCRIPT EXISTS {sha1}"))
                .unwrap()
                .at(0)
                .unwrap()
                .integer(),
            1
        );
    }
    assert_eq!(
        script(&client, "return 'no arguments'", 0, &[]).unwrap(),
        "no arguments"
    );
    let error = script(&client, "return redis.call('LPUSH', KEYS[1], 'x')", 1, &["script:k"]).unwrap_err();
    // Before, it was the text of an ERR.
    let code = if servers_since((7, 0)) { "WRONGTYPE" } else { "ERR" };
    assert_eq!(error.server_code(), Some(code), "{error}");
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    let error = script(&client, "return 1", 2, &["script:k"]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
}

/// As after a failover: all of them meet a node that does not have it.
#[test]
fn many_callers_run_a_script_that_the_node_does_not_have() {
    let topology = shared();
    let deployment = open_on(&topology);
    let name = topology.node(0).port();
    for round in 0..40 {
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let source = format!("return redis.call('INCR', KEYS[1]) .. '' -- {name} {round}");
        let ready = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    text(&client, "PING");
                    ready.wait();
                    let ended = script(&client, &source, 1, &[&format!("script:many:{round}")]);
                    ended.unwrap_or_else(|error| panic!("{:?}: {error}", error.outcome()));
                });
            }
        });
        assert_eq!(text(&client, &format!("GET script:many:{round}")), "16");
    }
}

#[test]
fn a_script_that_only_reads_runs_on_replicas_and_writes_nothing() {
    if skipped_before((7, 0), "EVAL_RO") {
        return;
    }
    let topology = shared();
    let deployment = open_on(&topology);
    let reader = deployment.replica_for(Some(SERVICE), None).unwrap();
    let call = CallOptions::default();
    let read = Script::new(b"return 'read ' .. tostring(redis.call('GET', KEYS[1]))", true);
    let reply = reader.script(&read, 1, &[b"script:none"], &call).unwrap();
    assert_eq!(reply.text(), "read false");
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let write = Script::new(b"return redis.call('SET', KEYS[1], 1)", true);
    let error = primary.script(&write, 1, &[b"script:ro"], &call).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(run(&primary, "GET script:ro").unwrap().is_nil());
}

/// Answers EVALSHA only on a connection to a node that saw EVAL, as a real one does.
fn node() -> FakeNode {
    let known = std::sync::atomic::AtomicBool::new(false);
    FakeNode::builder()
        .on(move |session, args| {
            use std::sync::atomic::Ordering::SeqCst;
            match args[0].as_slice() {
                b"EVALSHA" if !known.load(SeqCst) => session.error(MISSING),
                b"EVALSHA" => session.status("by name"),
                b"SCRIPT" => session.send(format!("*1\r\n:{}\r\n", u8::from(known.load(SeqCst)))),
                b"EVAL" => {
                    known.store(true, SeqCst);
                    session.status("by source");
                }
                _ => return false,
            }
            true
        })
        .start()
}

#[test]
fn the_source_is_sent_once_to_each_primary() {
    let nodes = [node(), node()];
    let sentinel = FakeSentinel::start(SERVICE, nodes[0].port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    client.connect(2000).unwrap();
    sentinel.wait_for_subscribers(1, PATIENCE);
    for (turn, node) in nodes.iter().enumerate() {
        if turn > 0 {
            sentinel.switch_master("127.0.0.1", node.port());
            sentinel_lab::wait_until("the switch", PATIENCE, || {
                let serving = client.node().unwrap();
                let _ = run(&client, "ECHO on");
                serving.is_some_and(|serving| serving.endpoint.port == node.port())
            });
        }
        assert_eq!(script(&client, "return 1", 0, &[]).unwrap(), "by source");
        for _ in 0..3 {
            assert_eq!(script(&client, "return 1", 0, &[]).unwrap(), "by name");
        }
        let asked = node.count("SCRIPT EXISTS");
        assert_eq!((asked, node.count("EVAL"), node.count("EVALSHA")), (1, 1, 3));
    }
}

fn serving(
    handler: impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync + 'static,
) -> (FakeNode, FakeSentinel, Client) {
    let node = FakeNode::builder().on(handler).start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    (node, sentinel, client)
}

#[test]
fn what_a_script_itself_says_is_no_reason_to_run_it_again() {
    let (node, _sentinel, client) = serving(|session, args| {
        let is_it = args[0] == b"EVALSHA";
        if is_it {
            session.error("NOSCRIPT of the script's own");
        }
        is_it
    });
    let error = script(&client, "return 1", 0, &[]).unwrap_err();
    assert_eq!(
        (error.server_code(), error.outcome()),
        (Some("NOSCRIPT"), Outcome::Unknown)
    );
    assert_eq!((node.count("EVALSHA"), node.count("EVAL")), (1, 0));
}

#[test]
fn what_an_attempt_by_name_left_unknown_stays_unknown() {
    let cut = std::sync::atomic::AtomicBool::new(false);
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let (node, _sentinel, client) = serving(move |session, args| {
        match args[0].as_slice() {
            b"SCRIPT" if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 1 => session.send("*1\r\n:1\r\n"),
            b"EVALSHA" if !cut.swap(true, std::sync::atomic::Ordering::SeqCst) => session.close(),
            b"EVALSHA" => session.error(MISSING),
            b"SCRIPT" => session.send("*1\r\n:0\r\n"),
            b"EVAL" => session.error("BUSY Redis is busy running a script. You can only call SCRIPT KILL"),
            _ => return false,
        }
        true
    });
    let insistent = CallOptions {
        retry_unknown: true,
        ..CallOptions::default()
    };
    let error = client
        .script(&Script::new(b"return 1", false), 0, &[], &insistent)
        .unwrap_err();
    assert_eq!((error.server_code(), error.outcome()), (Some("BUSY"), Outcome::Unknown));
    assert_eq!((node.count("EVALSHA"), node.count("EVAL")), (2, 1));
    // It was asked first, has lost the script meanwhile, and is asked again.
    assert_eq!(node.count("SCRIPT"), 2);
}

#[test]
fn a_script_that_only_reads_is_repeated_and_one_that_may_write_is_not() {
    for (read_only, name) in [(true, "EVALSHA_RO"), (false, "EVALSHA")] {
        let cut = std::sync::atomic::AtomicBool::new(false);
        let (node, _sentinel, client) = serving(move |session, args| {
            let is_it = args[0] == name.as_bytes();
            match is_it {
                true if !cut.swap(true, std::sync::atomic::Ordering::SeqCst) => session.close(),
                true => session.status("done"),
                false => {}
            }
            is_it
        });
        let result = client.script(&Script::new(b"return 1", read_only), 0, &[], &CallOptions::default());
        match read_only {
            true => assert_eq!(result.unwrap().text(), "done"),
            false => assert_eq!(result.unwrap_err().outcome(), Outcome::Unknown),
        }
        assert_eq!(node.count(name), if read_only { 2 } else { 1 });
    }
}
