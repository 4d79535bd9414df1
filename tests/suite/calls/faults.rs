//! Faults that meet a call in the middle: what is lost with EXEC, refused with MULTI, or gone with its node.

use std::sync::atomic::{AtomicBool, Ordering};

use sentinel::{Batch, BatchKind, CallOptions, Client, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel, Session, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, batch, open, open_on, overrides, run, shared, text, within, words};

fn serving(
    handler: impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync + 'static,
) -> (FakeNode, FakeSentinel, Client) {
    let node = FakeNode::builder().on(handler).start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    (node, sentinel, client)
}

#[test]
fn a_transaction_of_which_everything_was_refused_was_not_executed() {
    let said = "NOAUTH Authentication required.";
    let (node, _sentinel, client) = serving(move |session, args| {
        let refuses = ["MULTI", "SET", "EXEC"].iter().any(|name| args[0] == name.as_bytes());
        if refuses {
            session.error(said);
        }
        refuses
    });
    let transaction = batch(BatchKind::Transaction, &["SET a 1", "SET b 2"]);
    let error = client.batch(&transaction, &CallOptions::default()).unwrap_err();
    assert_eq!(
        (error.server_code(), error.outcome()),
        (Some("NOAUTH"), Outcome::Refused),
        "{error}"
    );
    assert_eq!(node.count("EXEC"), 1);
}

#[test]
fn a_transaction_without_the_right_to_begin_may_have_run_one_by_one() {
    let (node, _sentinel, client) = serving(|session, args| {
        match args[0].as_slice() {
            b"MULTI" => session.error("NOPERM User app has no permissions to run the 'multi' command"),
            b"EXEC" => session.error("ERR EXEC without MULTI"),
            _ => return false,
        }
        true
    });
    let transaction = batch(BatchKind::Transaction, &["SET a 1"]);
    let error = client.batch(&transaction, &CallOptions::default()).unwrap_err();
    assert_eq!(
        (error.server_code(), error.outcome()),
        (Some("NOPERM"), Outcome::Unknown),
        "{error}"
    );
    assert_eq!((node.count("EXEC"), node.count("SET")), (1, 1));
}

#[test]
fn a_lost_exec_is_unknown_and_sent_again_only_for_a_caller_who_says_so() {
    let cut = AtomicBool::new(false);
    let (node, _sentinel, client) = serving(move |session, args| {
        match args[0].as_slice() {
            b"MULTI" => session.ok(),
            b"SET" => session.status("QUEUED"),
            b"EXEC" if !cut.fetch_xor(true, Ordering::SeqCst) => session.close(),
            b"EXEC" => session.send("*1\r\n+OK\r\n"),
            _ => return false,
        }
        true
    });
    let transaction = batch(BatchKind::Transaction, &["SET a 1"]);
    let error = client.batch(&transaction, &CallOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(node.count("EXEC"), 1);
    assert_eq!(client.batch(&transaction, &CallOptions::default()).unwrap().len(), 1);
    let insistent = CallOptions {
        retry_unknown: true,
        ..CallOptions::default()
    };
    assert_eq!(client.batch(&transaction, &insistent).unwrap().len(), 1);
    assert_eq!(node.count("EXEC"), 4);
}

/// Two nodes, of which the first is the primary, and what was written where.
fn pair(keys: &[(&str, &str)]) -> ([FakeNode; 2], FakeSentinel, Client) {
    let node = || {
        FakeNode::builder()
            .on(|session, args| {
                match args[0].as_slice() {
                    b"MULTI" => session.ok(),
                    b"QUEUE" => session.status("QUEUED"),
                    b"WHERE" => session.int(i64::from(session.database())),
                    _ => return false,
                }
                true
            })
            .start()
    };
    let nodes = [node(), node()];
    let sentinel = FakeSentinel::start(SERVICE, nodes[0].port());
    let client = open(&[sentinel.port()]);
    let client = client.primary_for(Some(SERVICE), Some(&overrides(keys))).unwrap();
    client.connect(5000).unwrap();
    sentinel.wait_for_subscribers(1, PATIENCE);
    (nodes, sentinel, client)
}

fn move_to(client: &Client, sentinel: &FakeSentinel, node: &FakeNode) {
    sentinel.switch_master("127.0.0.1", node.port());
    wait_until("the switch", PATIENCE, || {
        let _ = run(client, "ECHO on");
        let serving = client.node().unwrap();
        serving.is_some_and(|serving| serving.endpoint.port == node.port())
    });
}

#[test]
fn a_transaction_by_hand_ends_with_its_node() {
    let ([old, new], sentinel, client) = pair(&[]);
    let own = client.acquire(5000).unwrap();
    let call = CallOptions::default();
    assert_eq!(own.command(&words("MULTI"), &call).unwrap().text(), "OK");
    assert_eq!(own.command(&words("QUEUE a 1"), &call).unwrap().text(), "QUEUED");
    move_to(&client, &sentinel, &new);
    for _ in 0..2 {
        let error = own.command(&words("EXEC"), &call).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }
    drop(own);
    let own = client.acquire(5000).unwrap();
    assert_eq!(own.command(&words("MULTI"), &call).unwrap().text(), "OK");
    assert_eq!((old.count("EXEC"), new.count("EXEC"), new.count("QUEUE")), (0, 0, 0));
}

#[test]
fn the_database_is_selected_at_every_primary() {
    let ([old, new], sentinel, client) = pair(&[("database", "4"), ("protocol", "2")]);
    for (turn, node) in [&old, &new, &old].into_iter().enumerate() {
        // At the first it is already: a switch to where it is would end what is under way at any moment after this.
        if turn > 0 {
            move_to(&client, &sentinel, node);
        }
        assert_eq!(run(&client, "WHERE").unwrap().integer(), 4);
        let own = client.acquire(5000).unwrap();
        assert_eq!(
            own.command(&words("WHERE"), &CallOptions::default()).unwrap().integer(),
            4
        );
    }
}

#[test]
fn a_hundred_thousand_commands_go_in_one_transaction() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut commands = Batch::new(BatchKind::Transaction);
    for _ in 0..100_000 {
        commands.add(&words("INCR faults:count")).unwrap();
    }
    let reply = client.batch(&commands, &within(30_000)).unwrap();
    assert_eq!(reply.len(), 100_000);
    for (n, element) in (1..).zip(reply.elements()) {
        assert_eq!(element.integer(), n);
    }
    assert_eq!(text(&client, "GET faults:count"), "100000");
}

#[test]
fn a_reply_beyond_the_limit_costs_those_who_read_on_its_lane_nothing() {
    let topology = shared();
    let keys = overrides(&[("max_reply_bytes", "100000"), ("pool.direct", "1")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, &format!("SET faults:large {}", "x".repeat(200_000)));
    text(&client, "SET faults:small v");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(text(&client, "GET faults:small"), "v");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..10 {
            let error = run(&client, "GET faults:large").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{error}");
        }
        drop(guard);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}
