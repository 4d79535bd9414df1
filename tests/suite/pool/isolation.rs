//! One caller never sees, delays or outlasts another: threads, blocking commands, acquired connections.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use sentinel::resp::Reply;
use sentinel::{CallOptions, Client, Connection, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{Config, Cut, FakeNode, FakeSentinel, Proxy, SetOnDrop, Topology, skipped_before, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, named_connections, open, open_on, options, overrides, run, run_within, sentinel_ports,
    serving_port, shared, tell, text, timed, with, within, words,
};

const THREADS: usize = 64;

fn on(connection: &mut Connection, command: &str) -> Result<Reply> {
    connection.command(&words(command), &CallOptions::default())
}

#[test]
fn commands_from_64_threads_give_each_thread_its_own_replies() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..30 {
                    let own = format!("{thread}:{turn}:{}", "x".repeat(thread * turn));
                    assert_eq!(text(client, &format!("SET many:{thread} {own}")), "OK");
                    assert_eq!(text(client, &format!("GET many:{thread}")), own);
                }
            });
        }
    });
}

#[test]
fn commands_from_64_threads_through_a_manual_failover_give_each_thread_its_own_replies() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    let (done, written, cut) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (client, done, written, cut, started) = (&client, &done, &written, &cut, &started);
                scope.spawn(move || {
                    started.wait();
                    let mut turn = 0;
                    while !done.load(Ordering::Relaxed) {
                        turn += 1;
                        let own = format!("{thread}:{turn}");
                        let said = run(client, &format!("ECHO {own}")).map(|reply| reply.text().into_owned());
                        assert_eq!(
                            said.as_deref(),
                            Ok(own.as_str()),
                            "a read is repeated through the switch"
                        );
                        match run(client, &format!("SET mine:{thread} {own}")) {
                            Ok(reply) => assert_eq!(reply.text(), "OK"),
                            Err(error) => {
                                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                                assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
                                cut.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        let got = run(client, &format!("GET mine:{thread}")).unwrap();
                        // The new primary may have an older value, for replication is asynchronous.
                        let is_own = got.is_nil() || got.text().starts_with(&format!("{thread}:"));
                        assert!(is_own, "thread {thread} got {got:?}");
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        started.wait();
        let old = topology.primary();
        topology.fail_over();
        let new = topology.wait_for_primary_change(old, PATIENCE);
        let port = topology.node(new).port();
        wait_until("the client to have moved", PATIENCE, || {
            client.node().unwrap().is_some_and(|node| node.endpoint.port == port)
        });
        let before = written.load(Ordering::Relaxed);
        wait_until("writes at the new primary", PATIENCE, || {
            written.load(Ordering::Relaxed) > before + 4 * THREADS || threads.iter().any(|thread| thread.is_finished())
        });
    });
    let cut = cut.into_inner();
    assert!(
        cut <= THREADS,
        "{cut} writes were cut, though each thread has one in flight at the switch"
    );
    assert_eq!(text(&client, "PING"), "PONG");
}

#[test]
fn outcomes_are_never_wrong_on_a_line_that_is_cut_all_the_time() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET cut:count 0");
    let (done, acknowledged, unknown) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match run(&client, "INCR cut:count") {
                        Ok(_) => acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.outcome() == Outcome::Unknown => unknown.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("what was not sent is repeated: {error}"),
                    };
                }
            });
        }
        for cut in 0..40 {
            let enough = acknowledged.load(Ordering::Relaxed) + 5;
            wait_until("some writes", PATIENCE, || {
                acknowledged.load(Ordering::Relaxed) >= enough
            });
            proxy.cut_all(if cut % 2 == 0 { Cut::Close } else { Cut::Reset });
        }
    });
    let count: usize = text(&client, "GET cut:count").parse().unwrap();
    let (acknowledged, unknown) = (acknowledged.into_inner(), unknown.into_inner());
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&count),
        "{acknowledged} acknowledged and {unknown} unknown, but {count} were done"
    );
}

/// Its shared connections serve, and no other can be had.
#[test]
fn who_waits_for_a_connection_of_its_own_is_told_why_there_is_none() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    tell(topology.node(topology.primary()), "CONFIG SET maxclients 1");
    let mut held = Vec::new();
    let error = loop {
        match client.acquire(300) {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() < 10, "a server that takes nobody more does");
    };
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("max number of clients reached"), "{error}");
    let error = run_within(&client, "BLPOP nothing 5", 300).unwrap_err();
    assert!(error.to_string().contains("max number of clients reached"), "{error}");
    assert_eq!(text(&client, "GET warm"), "up");
}

fn blocked_clients(topology: &Topology, name: &str) -> usize {
    let list = tell(topology.node(topology.primary()), "CLIENT LIST").as_text();
    let named = format!(" name={name} ");
    list.lines()
        .filter(|line| line.contains(&named) && line.contains(" flags=b "))
        .count()
}

#[test]
fn a_command_that_waits_delays_no_other() {
    let topology = shared();
    let one = overrides(&[("pool.direct", "1"), ("client_name", "waits")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&one)).unwrap();
    text(&client, "DEL waits:list");
    std::thread::scope(|scope| {
        let pops: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| run(&client, "BLPOP waits:list 30")))
            .collect();
        wait_until("the pops to wait", PATIENCE, || {
            blocked_clients(&topology, "waits") == 4
        });
        let ((), took) = timed(|| (0..50).for_each(|n| assert_eq!(text(&client, &format!("ECHO {n}")), n.to_string())));
        assert!(
            took < Duration::from_secs(2),
            "50 commands beside those that wait took {took:?}"
        );
        text(&client, "RPUSH waits:list a b c d");
        let popped: HashSet<String> = pops
            .into_iter()
            .map(|pop| pop.join().unwrap().unwrap().at(1).unwrap().text().into_owned())
            .collect();
        assert_eq!(popped.len(), 4, "each got one of its own: {popped:?}");
    });
}

#[test]
fn a_commands_own_timeout_extends_the_default_deadline_and_no_explicit_one() {
    let topology = shared();
    let keys = overrides(&[("timeout_ms", "300"), ("client_name", "own-timeout")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, "DEL own:list");
    let (reply, took) = timed(|| run(&client, "BLPOP own:list 0.9").unwrap());
    assert!(
        reply.is_nil() && took >= Duration::from_millis(900),
        "{reply:?} after {took:?}"
    );
    let (result, took) = timed(|| run_within(&client, "BLPOP own:list 30", 300));
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(took <= Duration::from_millis(300) + SLACK, "it took {took:?}");
    // The pop that has ended must not take what comes later.
    wait_until("the server to drop the pop", PATIENCE, || {
        blocked_clients(&topology, "own-timeout") == 0
    });
    text(&client, "RPUSH own:list later");
    assert_eq!(run(&client, "LLEN own:list").unwrap().integer(), 1);
}

#[test]
fn a_transaction_by_hand_works_and_is_aborted_by_a_conflict() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET watched 1");
    let mut own = client.acquire(0).unwrap();
    for conflict in [false, true] {
        on(&mut own, "WATCH watched").unwrap();
        let before = on(&mut own, "GET watched").unwrap().text().into_owned();
        on(&mut own, "MULTI").unwrap();
        assert_eq!(
            on(&mut own, &format!("SET watched {before}0")).unwrap().text(),
            "QUEUED"
        );
        if conflict {
            text(&client, "SET watched other");
            let error = on(&mut own, "EXEC").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::TransactionAborted { .. }), "{error}");
            assert_eq!(error.outcome(), Outcome::Refused);
            assert_eq!(text(&client, "GET watched"), "other");
        } else {
            assert_eq!(on(&mut own, "EXEC").unwrap().at(0).unwrap().text(), "OK");
            assert_eq!(text(&client, "GET watched"), "10");
        }
    }
    let error = on(&mut own, "SUBSCRIBE c").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnsupportedCommand { .. }), "{error}");
}

#[test]
fn the_state_of_an_acquired_connection_does_not_reach_its_next_user() {
    if skipped_before((6, 2), "CLIENT INFO") {
        return;
    }
    let topology = shared();
    let keys = overrides(&[("pool.max_connections", "1"), ("client_name", "leaks")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, "SET where zero");
    for state in [
        "SELECT 5",
        "MULTI",
        "WATCH where",
        "CLIENT SETNAME thief",
        "CLIENT TRACKING ON",
        "HELLO 2",
    ] {
        let mut own = client.acquire(2000).unwrap();
        on(&mut own, state).unwrap();
        drop(own);
        let mut next = client.acquire(2000).unwrap();
        let info = on(&mut next, "CLIENT INFO").unwrap().text().into_owned();
        for sign in [" db=0 ", " multi=-1 ", " name=leaks ", " redir=-1 ", " resp=3"] {
            assert!(
                info.contains(sign) || !info.contains(sign.split('=').next().unwrap()),
                "{state}: {info}"
            );
        }
        assert_eq!(on(&mut next, "GET where").unwrap().text(), "zero", "{state}");
    }
}

#[test]
fn a_released_connection_is_used_again_and_a_full_pool_says_so() {
    let topology = shared();
    let keys = overrides(&[("pool.max_connections", "2"), ("client_name", "full")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let id = |own: &mut Connection| on(own, "CLIENT ID").unwrap().integer();
    let mut first = client.acquire(2000).unwrap();
    let mut second = client.acquire(2000).unwrap();
    assert_ne!(id(&mut first), id(&mut second));
    let (result, took) = timed(|| client.acquire(200));
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PoolExhausted { limit: 2 }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(
        took >= Duration::from_millis(200) && took <= Duration::from_millis(200) + SLACK,
        "{took:?}"
    );
    let error = run_within(&client, "BLPOP full:list 1", 100).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PoolExhausted { .. }), "{error}");
    assert_eq!(text(&client, "PING"), "PONG", "other commands do not need one");
    let released = id(&mut first);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| id(&mut client.acquire(5000).unwrap()));
        drop(first);
        assert_eq!(waiter.join().unwrap(), released, "the waiter gets what was released");
    });
    let node = topology.node(topology.primary());
    assert!(named_connections(node, "full") <= 4, "two of each kind");
}

#[test]
fn no_slot_is_lost_by_failures_of_any_kind() {
    let node = FakeNode::builder()
        .on(|session, args| {
            match args[0].as_slice() {
                b"BOOM" => session.reset(),
                b"NOISE" => session.send("?\r\n"),
                b"BLPOP" => {}
                _ => return false,
            }
            true
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let keys = [("pool.max_connections", "2"), ("connect_timeout_ms", "300")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    // A node that hangs up on everyone is dialled at most ten times a second, and the four take turns.
    let fail = |client: &Client, turn: usize| match turn % 5 {
        0 => on(&mut client.acquire(30_000).unwrap(), "BOOM").map(drop),
        1 => on(&mut client.acquire(30_000).unwrap(), "NOISE").map(drop),
        2 => run_within(client, "BLPOP k 5", 10).map(drop),
        3 => run_within(client, "BOOM", 1000).map(drop),
        _ => run_within(client, "NOISE", 1000).map(drop),
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (client, fail) = (&client, &fail);
            scope.spawn(move || (0..15).for_each(|turn| assert!(fail(client, thread + turn).is_err())));
        }
    });
    let held = Mutex::new(Vec::new());
    for _ in 0..2 {
        held.lock()
            .unwrap()
            .push(client.acquire(2000).expect("both slots are free"));
    }
    let error = client.acquire(100).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PoolExhausted { .. }), "{error}");
    text(&client, "SET k v");
    assert!(
        node.open_connections() <= 4,
        "{} connections are open",
        node.open_connections()
    );
}

#[test]
fn a_lost_connection_fails_and_is_not_silently_replaced() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut own = client.acquire(2000).unwrap();
    on(&mut own, "SELECT 3").unwrap();
    let id = on(&mut own, "CLIENT ID").unwrap().integer();
    tell(topology.node(topology.primary()), &format!("CLIENT KILL ID {id}"));
    for _ in 0..2 {
        let error = on(&mut own, "GET k").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
    }
    assert_eq!(text(&client, "PING"), "PONG");
}

#[test]
fn idle_connections_of_the_pool_are_closed_after_their_time() {
    let topology = shared();
    let keys = overrides(&[("pool.idle_timeout_ms", "200"), ("client_name", "idles")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let node = topology.node(topology.primary());
    assert_ne!(serving_port(&client), 0);
    let lent: Vec<_> = (0..3).map(|_| client.acquire(2000).unwrap()).collect();
    assert!(named_connections(node, "idles") >= 4);
    drop(lent);
    wait_until("the idle leases to be closed", PATIENCE, || {
        named_connections(node, "idles") <= 2
    });
    assert!(client.command(&words("PING"), &within(1000)).is_ok());
}

#[test]
fn the_pool_opens_no_more_connections_than_it_may_for_many_callers() {
    let topology = shared();
    let keys = [("client_name", "few"), ("pool.direct", "2"), ("pool.lanes", "1")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let node = topology.node(topology.primary());
    let until = Instant::now() + Duration::from_millis(500);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while Instant::now() < until {
                    text(&client, "PING");
                }
            });
        }
        while Instant::now() < until {
            assert!(named_connections(node, "few") <= 3, "two direct ones and a lane");
        }
    });
}
