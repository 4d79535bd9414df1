//! Whatever a call waits for, it ends by its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{ChannelKind, Target};
use sentinel::resp::Reply;
use sentinel::{BatchKind, CallOptions, Client, Deadline, Deployment, Error, ErrorKind, Outcome, Result};
use sentinel_lab::{BlackHole, FakeNode, FakeSentinel, Proxy, SetOnDrop, wait_until};

use crate::observability::observe::metric;
use crate::support::{
    PATIENCE, SERVICE, SLACK, WAYS, batch, open, options, overrides, run, run_within, submitted_batch, text, timed,
    with, within, words,
};

/// The last one is far enough for sentinel-io to see to it.
const DEADLINES: [i64; 4] = [1, 60, 400, 700];

type Call = (&'static str, fn(&Client, i64) -> Result<()>);

/// One call of each kind.
const CALLS: [Call; 8] = [
    ("connect", |client, limit| client.connect(limit)),
    ("write", |client, limit| run_within(client, "SET k v", limit).map(drop)),
    ("read", |client, limit| run_within(client, "GET k", limit).map(drop)),
    ("pipeline", |client, limit| {
        let commands = batch(BatchKind::Pipeline, &["SET k v", "GET k"]);
        client.batch(&commands, &within(limit)).map(drop)
    }),
    ("transaction", |client, limit| {
        let commands = batch(BatchKind::Transaction, &["SET k v", "GET k"]);
        client.batch(&commands, &within(limit)).map(drop)
    }),
    ("acquire", |client, limit| client.acquire(limit).map(drop)),
    ("blocking", |client, limit| {
        run_within(client, "BLPOP list 0", limit).map(drop)
    }),
    ("replicated", |client, limit| {
        let call = CallOptions {
            replicas: 1,
            ..within(limit)
        };
        client.command(&words("SET k v"), &call).map(drop)
    }),
];

/// Makes every call with every deadline at the same time: all fail, each when its time has come.
#[track_caller]
fn fail_in_time(client: &Client, calls: &[Call]) -> Vec<(&'static str, Error)> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (name, call) in calls {
            for limit in DEADLINES {
                threads.push((*name, limit, scope.spawn(move || timed(|| call(client, limit)))));
            }
        }
        let ended = threads.into_iter().map(|(name, limit, thread)| {
            let (result, took) = thread.join().unwrap();
            let error = result.err().unwrap_or_else(|| panic!("{name} succeeded"));
            let limit = Duration::from_millis(limit.unsigned_abs());
            assert!(took <= limit + SLACK, "{name} took {took:?} of {limit:?}: {error}");
            let early = limit.saturating_sub(Duration::from_millis(5));
            assert!(took >= early, "{name} gave up after {took:?} of {limit:?}: {error}");
            (name, error)
        });
        ended.collect()
    })
}

/// A client that was served by a node, and its Sentinel.
struct World {
    node: FakeNode,
    sentinel: FakeSentinel,
    deployment: Deployment,
    client: Client,
}

fn world(keys: &[(&str, &str)]) -> World {
    let node = FakeNode::builder().on(|_, args| args[0] == b"BLPOP").start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    sentinel.wait_for_subscribers(1, PATIENCE);
    World {
        node,
        sentinel,
        deployment,
        client,
    }
}

fn wait_to_be_cut_off(world: &World) {
    wait_until("the old connections to be gone", PATIENCE, || {
        world.node.open_connections() == 0
    });
}

#[test]
fn calls_that_wait_for_a_failover_end_at_their_deadlines() {
    let world = world(&[]);
    world.node.die();
    // A connection that nobody has found dead yet is one that can still be had.
    wait_until("the client to have noticed", PATIENCE, || {
        metric(&world.deployment, "connections{role=\"primary\"}") == 0
    });
    for (call, error) in fail_in_time(&world.client, &CALLS) {
        assert!(
            matches!(error.kind(), ErrorKind::PrimaryNotFound { .. }),
            "{call}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::NotSent, "{call}: {error}");
    }
}

#[test]
fn calls_that_wait_for_a_connection_to_a_black_hole_end_at_their_deadlines() {
    let world = world(&[("connect_timeout_ms", "5000")]);
    let hole = BlackHole::start();
    world.sentinel.switch_master("127.0.0.1", hole.port());
    wait_to_be_cut_off(&world);
    for (call, error) in fail_in_time(&world.client, &CALLS) {
        assert!(
            matches!(error.kind(), ErrorKind::PrimaryNotFound { .. }),
            "{call}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::NotSent, "{call}: {error}");
    }
}

#[test]
fn calls_that_wait_for_the_greeting_of_a_silent_node_end_at_their_deadlines() {
    let world = world(&[("connect_timeout_ms", "5000")]);
    let silent = FakeNode::start();
    silent.set_silent(true);
    world.sentinel.switch_master("127.0.0.1", silent.port());
    wait_to_be_cut_off(&world);
    for (call, error) in fail_in_time(&world.client, &CALLS) {
        assert!(
            matches!(error.kind(), ErrorKind::PrimaryNotFound { .. }),
            "{call}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::NotSent, "{call}: {error}");
    }
    for own in ["SET", "GET", "BLPOP", "MULTI"] {
        assert_eq!(silent.count(own), 0, "nothing is sent before the greeting");
    }
    silent.set_silent(false);
    assert_eq!(text(&world.client, "SET k v"), "OK");
}

#[test]
fn calls_that_wait_for_a_slot_of_the_pool_end_at_their_deadlines() {
    let world = world(&[("pool.max_connections", "2")]);
    let held: Vec<_> = (0..2).map(|_| world.client.acquire(2000).unwrap()).collect();
    for (call, error) in fail_in_time(&world.client, &CALLS[5..]) {
        assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 2 }, "{call}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{call}: {error}");
    }
    assert_eq!(text(&world.client, "SET k v"), "OK", "the others go on");
    drop(held);
    assert!(world.client.acquire(2000).is_ok());
}

#[test]
fn calls_that_wait_for_the_reply_of_a_silent_node_end_at_their_deadlines() {
    let world = world(&[("sentinel.timeout_ms", "5000")]);
    let held: Vec<_> = (0..24).map(|_| world.client.acquire(2000).unwrap()).collect();
    drop(held);
    world.node.set_silent(true);
    for (call, error) in fail_in_time(&world.client, &CALLS[1..5]) {
        assert_ne!(error.outcome(), Outcome::Refused, "{call}: {error}");
    }
}

/// A call that gets no reply: why it failed, by its deadline.
#[track_caller]
fn fail_by(limit: i64, call: impl FnOnce(i64) -> Result<Reply>) -> Error {
    let (result, took) = timed(|| call(limit));
    let error = result.unwrap_err();
    let limit = Duration::from_millis(limit.unsigned_abs());
    assert!(took <= limit + SLACK, "{took:?} of {limit:?}: {error}");
    error
}

fn get(client: &Client) -> impl Fn(i64) -> Result<Reply> + Copy {
    |limit| run_within(client, "GET k", limit)
}

#[test]
fn a_near_deadline_is_kept_on_a_lane_that_was_idle() {
    let World { node, client, .. } = &world(&[("pool.direct", "1")]);
    warm(client, node);
    std::thread::sleep(Duration::from_millis(1300));
    node.set_silent(true);
    std::thread::scope(|scope| {
        // On a connection of its own.
        scope.spawn(|| get(client)(400));
        wait_until("the first request", PATIENCE, || node.count("GET") == 1);
        fail_by(60, get(client));
    });
}

#[test]
fn near_deadlines_are_kept_on_a_lane_that_holds_back() {
    let World { node, client, .. } = &world(&[("pool.direct", "1")]);
    warm(client, node);
    node.set_silent(true);
    std::thread::scope(|scope| {
        // One on a connection of its own, the others on the lane; what gathers behind the first of them is held back.
        for _ in 0..3 {
            scope.spawn(|| get(client)(2500));
        }
        let held = Instant::now();
        while held.elapsed() < Duration::from_millis(1700) {
            std::thread::sleep(Duration::from_millis(30));
            scope.spawn(|| fail_by(60, get(client)));
        }
    });
}

#[test]
fn deadlines_are_kept_behind_a_request_that_was_answered_in_part_before_it_was_read() {
    let over = Arc::new(AtomicBool::new(false));
    let node = FakeNode::builder()
        .on({
            let over = Arc::clone(&over);
            move |session, args| match args {
                [name, own] if name == b"ECHO" && own == b"early" => {
                    session.send("+OK\r\n");
                    wait_until("the end of the test", PATIENCE, || over.load(Ordering::SeqCst));
                    true
                }
                [_, own] => own == b"unanswered",
                _ => false,
            }
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let keys = with(options(&[sentinel.port()]), &[("pool.direct", "1")]);
    let deployment = Deployment::open(&keys).unwrap();
    let client = &deployment.primary_for(Some(SERVICE), None).unwrap();
    warm(client, &node);
    let queue = deployment.queue(1).unwrap();
    let mut early = batch(BatchKind::Pipeline, &["ECHO early"]);
    early.add(&[b"SET", b"k", &vec![b'x'; 32 << 20]]).unwrap();
    client
        .submit_batch(&early, &within(10_000), Target::Queue(&queue, 0))
        .unwrap();
    wait_until("the batch", PATIENCE, || node.count("ECHO early") == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| run_within(client, "ECHO unanswered", 2500));
        wait_until("the first request", PATIENCE, || node.count("ECHO unanswered") == 1);
        // After one and a half seconds the lane is given up, and they go on over another one.
        for limit in [60, 400, 600] {
            let error = fail_by(limit, get(client));
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        }
        run_within(client, "GET k", 5_000).unwrap();
    });
    over.store(true, Ordering::SeqCst);
}

/// What is left of such a request would be taken for the next one: its connection ends, and what waits there goes on.
#[test]
fn a_request_that_was_answered_before_it_was_read_ends_its_connection_and_nothing_else() {
    let over = Arc::new(AtomicBool::new(false));
    let node = FakeNode::builder()
        .on({
            let over = Arc::clone(&over);
            move |session, args| {
                let early = args.len() == 2 && args[1] == b"early";
                if early {
                    session.send("+OK\r\n+OK\r\n");
                    wait_until("the end of the test", PATIENCE, || over.load(Ordering::SeqCst));
                }
                early
            }
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&options(&[sentinel.port()])).unwrap();
    let client = &deployment.primary_for(Some(SERVICE), None).unwrap();
    let mut early = batch(BatchKind::Pipeline, &["ECHO early"]);
    early.add(&[b"SET", b"k", &vec![b'x'; 32 << 20]]).unwrap();
    let queue = deployment.queue(1).unwrap();
    let waited = client.batch(&early, &within(5_000)).unwrap_err();
    let submitted = submitted_batch(client, &queue, &early, &within(5_000)).unwrap_err();
    for error in [waited, submitted] {
        assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    run_within(client, "GET k", 1000).unwrap();
    over.store(true, Ordering::SeqCst);
}

#[test]
fn deadlines_are_kept_while_a_node_pours_messages_into_a_subscription() {
    let over = Arc::new(AtomicBool::new(false));
    let _guard = SetOnDrop(&over);
    let node = FakeNode::builder()
        .on({
            let over = Arc::clone(&over);
            move |session, args| match args {
                [name, channel] if name == b"SUBSCRIBE" && channel == b"c" => {
                    session.send(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
                    while !over.load(Ordering::SeqCst) {
                        session.send(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n".repeat(2000));
                    }
                    true
                }
                [_, own] => own == b"unanswered",
                _ => false,
            }
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    let messages = deployment.queue(10).unwrap();
    let subscription = client.subscribe(&messages, 0).unwrap();
    subscription.add(ChannelKind::Channel, b"c").unwrap();
    let first = messages.poll(1, Deadline::after(Some(PATIENCE)), drop).unwrap();
    assert_ne!(first, Polled::Empty, "a message");
    let queue = deployment.queue(1).unwrap();
    let (_, submitted) = WAYS[1];
    for limit in [60, 400] {
        fail_by(limit, |limit| {
            submitted(&client, &queue, "ECHO unanswered", &within(limit))
        });
    }
}

#[test]
fn a_request_that_the_peer_does_not_take_ends_at_its_deadline_and_is_unknown() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    proxy.black_hole();
    let value = vec![b'x'; 48 << 20];
    for limit in [60, 400] {
        let set: [&[u8]; 3] = [b"SET", b"large", &value];
        let call = CallOptions {
            no_retry: true,
            ..within(limit)
        };
        let (result, took) = timed(|| client.command(&set, &call));
        let error = result.unwrap_err();
        let limit = Duration::from_millis(limit.unsigned_abs());
        assert!(took <= limit + SLACK, "{took:?} of {limit:?}: {error}");
        let sent = error.outcome() == Outcome::Unknown;
        assert!(
            sent || limit > Duration::from_millis(60),
            "a part of it was on its way: {error}"
        );
    }
    proxy.cut_all(sentinel_lab::Cut::Reset);
    proxy.pass();
    assert_eq!(run_within(&client, "ECHO after", 5000).unwrap().text(), "after");
    assert_eq!(node.count("SET large"), 0, "no part of it is a command");
}

/// Three calls at once, so that three later ones have their connections already.
fn warm(client: &Client, node: &FakeNode) {
    node.set_delay(Duration::from_millis(100));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| text(client, "ECHO warm"));
        }
    });
    node.set_delay(Duration::ZERO);
}

/// Calls `command` with several deadlines at once; none gets a reply.
fn time_out(client: &Client, command: &'static str) {
    std::thread::scope(|scope| {
        for limit in [300i64, 450, 700] {
            scope.spawn(move || {
                let error = fail_by(limit, |limit| run_within(client, command, limit));
                assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{command}: {error}");
                assert_eq!(error.outcome(), Outcome::Unknown, "{command}");
            });
        }
    });
}

#[test]
fn a_reply_that_never_ends_is_left_at_the_deadline_whether_it_drips_or_pours() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let endless = |bytes| [b"$500000000\r\n".as_slice(), &vec![b'x'; bytes]].concat();
            match args[0].as_slice() {
                b"DRIP" => session.send_slowly(endless(100_000), Duration::from_millis(1)),
                b"POUR" => session.send_pieces(endless(64 << 20), 64, Duration::ZERO),
                _ => return false,
            }
            true
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    for direct in ["4", "1"] {
        for command in ["DRIP", "POUR"] {
            let keys = overrides(&[("pool.direct", direct)]);
            let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
            warm(&client, &node);
            time_out(&client, command);
        }
    }
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(run(&client, "ECHO after").unwrap().text(), "after");
}
