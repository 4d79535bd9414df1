//! Connections that are lost and made again: who watches them, how fast they are dialled, and what an old one is
//! trusted with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Cut, FakeNode, FakeReplica, FakeSentinel, Proxy, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, open, options, run, run_within, text, timed, with, within, words};

/// P5, and the time in which nothing but the sentry can have noticed.
const NOTICED: Duration = Duration::from_secs(2);

#[test]
fn a_node_whose_sentry_was_refused_is_watched_all_the_same() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    let own = proxy.open_connections();
    proxy.refuse();
    // The sentry dials for the first time within this time.
    std::thread::sleep(Duration::from_millis(1600));
    proxy.pass();
    wait_until("a sentry's connection", PATIENCE, || {
        text(&client, "SET in use");
        proxy.open_connections() > own
    });
    proxy.black_hole();
    std::thread::sleep(NOTICED);
    let error = run_within(&client, "SET half open", 300).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "written into a black hole: {error}");
    proxy.cut_all(Cut::Reset);
    proxy.pass();
    assert_eq!(run_within(&client, "SET after wards", 5000).unwrap().text(), "OK");
}

#[test]
fn a_node_that_falls_silent_again_and_again_is_noticed_each_time() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    for _ in 0..2 {
        text(&client, "SET warm up");
        wait_until("the sentry's PING", PATIENCE, || {
            let pings = node.count("PING");
            text(&client, "SET in use");
            pings > 0
        });
        proxy.black_hole();
        std::thread::sleep(NOTICED);
        let error = run_within(&client, "SET half open", 300).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "written into a black hole: {error}");
        proxy.cut_all(Cut::Reset);
        proxy.pass();
        node.forget_commands();
    }
}

#[test]
fn writers_make_progress_on_a_node_that_cuts_every_fifth_reply() {
    let (asked, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let node = FakeNode::builder()
        .on(move |session, args| {
            let cuts = args[0] == b"SET" && asked.fetch_add(1, Ordering::SeqCst) % 5 == 4;
            if cuts {
                session.close();
            }
            cuts
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    client.connect(5000).unwrap();
    let (written, before, began) = (AtomicUsize::new(0), node.connections().len(), Instant::now());
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let call = CallOptions {
                        no_retry: true,
                        ..within(2000)
                    };
                    let answered = client.command(&words("SET k v"), &call).is_ok();
                    written.fetch_add(usize::from(answered), Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_secs(4));
    });
    let seconds = began.elapsed().as_secs_f64();
    let (written, dials) = (written.into_inner(), node.connections().len() - before);
    println!("{written} written over {dials} connections in {seconds:.1} s");
    assert!(written as f64 / seconds >= 20.0, "{written} in {seconds:.1} s");
    // Ten at once and ten a second, and those that the pool grew by before the first was cut.
    assert!(dials as f64 <= 16.0 + 10.0 * seconds, "{dials} dials in {seconds:.1} s");
}

#[test]
fn a_connection_that_served_and_was_lost_costs_one_dial_and_no_wait() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let cuts = args[0] == b"CUT";
            if cuts {
                session.close();
            }
            cuts
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    for turn in 0..5 {
        let call = CallOptions {
            no_retry: true,
            ..within(2000)
        };
        client.command(&words("CUT"), &call).unwrap_err();
        let (result, took) = timed(|| run_within(&client, "SET k v", 2000));
        assert!(result.is_ok() && took < SLACK, "turn {turn}: {took:?}, {result:?}");
    }
}

#[test]
fn a_connection_that_was_idle_and_fell_silent_is_not_trusted_with_a_write() {
    let silent = std::sync::Arc::new(AtomicUsize::new(0));
    let victim = std::sync::Arc::clone(&silent);
    let node = FakeNode::builder()
        .on(move |session, args| {
            // The first connection that writes is the one that falls silent later.
            if args[0] == b"SET" {
                let _ = victim.compare_exchange(0, session.id() + 1, Ordering::SeqCst, Ordering::SeqCst);
            }
            args.get(1).is_none_or(|key| key != b"first") && victim.load(Ordering::SeqCst) == session.id() + 1
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET first up");
    assert!(silent.load(Ordering::SeqCst) > 0);
    // As long as a connection is trusted without a question.
    std::thread::sleep(Duration::from_millis(15_100));
    let (result, took) = timed(|| run(&client, "SET second x"));
    assert!(result.is_ok(), "{result:?}");
    assert!(took <= Duration::from_secs(1) + SLACK, "{took:?}");
    assert_eq!(node.count("SET second"), 1);
}

#[test]
fn a_direct_connection_that_alone_falls_silent_is_given_up() {
    let node = FakeNode::start();
    for acquired in [false, true] {
        let proxy = Proxy::to(node.port());
        let sentinel = FakeSentinel::start(SERVICE, proxy.port());
        let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
        let mut own = acquired.then(|| client.acquire(5_000).unwrap());
        let mut call = |command: &str| match &mut own {
            Some(own) => own.command(&words(command), &within(-1)),
            None => client.command(&words(command), &within(-1)),
        };
        call("SET warm up").unwrap();
        let opened = proxy.open_connections();
        wait_until("the sentry", PATIENCE, || proxy.open_connections() > opened);
        // The caller's was opened last but for the sentry's, which comes a second later.
        assert!(proxy.silence_one(opened - 1));
        let (result, took) = timed(|| call("SET under way"));
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        let lost = matches!(error.kind(), ErrorKind::ConnectionLost { .. });
        // Its node's next word to the sentry may be a second away, after the time in which silence means nothing.
        assert!(
            lost && took <= Duration::from_millis(2500) + SLACK,
            "{error} after {took:?}"
        );
        if !acquired {
            assert_eq!(text(&client, "SET again and"), "OK");
        }
    }
}

#[test]
fn what_is_under_way_on_a_node_that_is_not_asked_any_more_is_given_up_when_it_falls_silent() {
    let mute = Arc::new(AtomicBool::new(false));
    let muted = Arc::clone(&mute);
    let node = FakeNode::builder()
        .on(move |_, args| match &*args[0] {
            b"PING" => muted.load(Ordering::SeqCst),
            _ => args.get(1).is_some_and(|key| key == b"held"),
        })
        .start();
    let replica = FakeNode::builder().replica_of(node.port()).start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).replica_for(Some(SERVICE), None).unwrap();
    // There is no replica: the primary serves.
    text(&client, "GET warm");
    std::thread::scope(|scope| {
        // Its sentry hears nothing until the primary is not asked any more.
        mute.store(true, Ordering::SeqCst);
        let held = scope.spawn(|| run_within(&client, "GET held", 20_000));
        node.wait_for_command("GET held", PATIENCE);
        let (host, port) = ("127.0.0.1", replica.port());
        sentinel.edit(|view| view.replicas.push(FakeReplica::new(host, port)));
        sentinel.emit("+slave", &format!("slave {host}:{port} {host} {port}"));
        wait_until("the replica serves", PATIENCE, || {
            run_within(&client, "GET other", 200).is_ok() && replica.count("GET other") > 0
        });
        mute.store(false, Ordering::SeqCst);
        // A read is run again, by the replica.
        let (result, took) = timed(|| held.join().unwrap());
        assert!(result.is_ok(), "{result:?}");
        assert!(took <= 2 * NOTICED + SLACK, "after {took:?}");
    });
}

/// P7: whatever ends connections, an address is dialled ten times a second in the long run.
#[test]
fn calls_that_give_up_on_a_node_dial_it_no_oftener_than_the_budget_allows() {
    let node = FakeNode::builder().on(|_, args| args[0] == b"STALL").start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let clients: Vec<_> = (0..10)
        .map(|_| deployment.primary_for(Some(SERVICE), None).unwrap())
        .collect();
    clients.iter().for_each(|client| drop(text(client, "SET warm up")));
    let (done, before, began) = (AtomicBool::new(false), node.connections().len(), Instant::now());
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for client in &clients {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = run_within(client, "STALL", 20);
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
    });
    let (dials, seconds) = (node.connections().len() - before, began.elapsed().as_secs_f64());
    println!("{dials} dials in {seconds:.1} s");
    // A burst of ten, and each client's first lane.
    assert!(
        f64::from(u32::try_from(dials).unwrap()) <= 20.0 + 10.0 * seconds,
        "{dials} dials in {seconds:.1} s"
    );
}

#[test]
fn who_waits_for_a_connection_of_its_own_follows_a_switch_at_once() {
    let nodes = [FakeNode::start(), FakeNode::start()];
    let proxy = Proxy::to(nodes[0].port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let patient = with(options(&[sentinel.port()]), &[("connect_timeout_ms", "8000")]);
    let deployment = Deployment::open(&patient).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    proxy.black_hole();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run_within(&client, "BLPOP none 0.1", 20_000));
        wait_until("a dial that hangs", PATIENCE, || proxy.open_connections() > 0);
        sentinel.wait_for_subscribers(1, PATIENCE);
        sentinel.switch_master("127.0.0.1", nodes[1].port());
        let (reply, took) = timed(|| call.join().unwrap());
        assert!(took < Duration::from_millis(500) + SLACK, "{took:?}: {reply:?}");
        assert_eq!(nodes[1].count("BLPOP"), 1, "{reply:?}");
    });
}

#[test]
fn a_connection_that_is_held_is_counted_when_the_node_is_connected_to_anew() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let one = with(options(&[sentinel.port()]), &[("pool.max_connections", "1")]);
    let deployment = Deployment::open(&one).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let held = client.acquire(1000).unwrap();
    node.cut_all(Cut::Reset);
    wait_until("the node to be lost", PATIENCE, || node.open_connections() == 0);
    let error = client.acquire(500).map(drop).expect_err("one is held");
    assert!(matches!(error.kind(), ErrorKind::PoolExhausted { .. }), "{error}");
    drop(held);
    client.acquire(2000).unwrap();
}
