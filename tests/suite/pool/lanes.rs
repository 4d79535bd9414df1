//! A crowd of callers shares lanes: few connections, each caller its own replies, deadlines and outcomes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::completion::Target;
use sentinel::{BatchKind, CallOptions, Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Cut, FakeNode, FakeSentinel, SetOnDrop, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, batch, completions, named_connections, open, open_on, overrides, run, run_within,
    serving_port, shared, text, timed, within, words,
};

/// A service whose one node answers `ECHO` with its argument, and to `HOLD` not before it is let go.
struct World {
    node: FakeNode,
    _sentinel: FakeSentinel,
    deployment: Deployment,
    executed: Arc<AtomicUsize>,
}

impl World {
    fn new() -> World {
        let executed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&executed);
        let node = FakeNode::builder()
            .on(move |session, args| match args {
                [name, own] if name == b"ECHO" => {
                    session.bulk(own);
                    true
                }
                [name, own] if name == b"WRITE" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    session.bulk(own);
                    true
                }
                _ => false,
            })
            .start();
        let sentinel = FakeSentinel::builder(SERVICE, node.port()).start();
        let deployment = open(&[sentinel.port()]);
        World {
            node,
            _sentinel: sentinel,
            deployment,
            executed,
        }
    }

    /// A client whose callers are a crowd from the second on.
    fn client(&self, pairs: &[(&str, &str)]) -> Client {
        let mut all = vec![("pool.direct", "1"), ("retry.backoff_max_ms", "20")];
        all.extend(pairs);
        self.deployment
            .primary_for(Some(SERVICE), Some(&overrides(&all)))
            .unwrap()
    }
}

/// So many callers at once, each with calls of its own until `done`; all replies must be the caller's own.
fn crowd(client: &Client, callers: usize, done: &AtomicBool) -> usize {
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let calls = &calls;
            scope.spawn(move || {
                let mut turn = 0;
                while !done.load(Ordering::Relaxed) {
                    turn += 1;
                    let own = format!("{caller}:{turn}");
                    assert_eq!(text(client, &format!("ECHO {own}")), own);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    calls.into_inner()
}

/// Runs `while_busy` while a crowd of eight calls.
fn with_crowd(client: &Client, while_busy: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let calling = scope.spawn(|| crowd(client, 8, &done));
        while_busy();
        drop(guard);
        assert!(calling.join().unwrap() > 0);
    });
}

#[test]
fn a_crowd_takes_the_direct_connections_and_one_lane() {
    let topology = shared();
    let deployment = open_on(&topology);
    let named = overrides(&[
        ("client_name", "crowd-of-32"),
        ("pool.direct", "3"),
        ("pool.lanes", "2"),
    ]);
    let client = deployment.primary_for(Some(SERVICE), Some(&named)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let calling = scope.spawn(|| crowd(&client, 32, &done));
        let port = serving_port(&client);
        let node = (0..3)
            .map(|n| topology.node(n))
            .find(|node| node.port() == port)
            .unwrap();
        // Three of their own, two lanes, and the one that only listens for the node's life.
        let open = || named_connections(node, "crowd-of-32");
        wait_until("the lanes", PATIENCE, || open() >= 5);
        assert!(open() <= 6, "{} connections", open());
        drop(guard);
        assert!(calling.join().unwrap() > 0);
    });
}

#[test]
fn large_values_batches_and_transactions_of_a_crowd_are_each_their_callers() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        for caller in 0..16usize {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..12usize {
                    let size = [10, 3_000, 70_000, 300_000][(caller + turn) % 4];
                    let own = vec![b'a' + u8::try_from(caller).unwrap(); size + turn];
                    let key = format!("lanes:{caller}");
                    let set: [&[u8]; 3] = [b"SET", key.as_bytes(), &own];
                    client.command(&set, &CallOptions::default()).unwrap();
                    let get: [&[u8]; 2] = [b"GET", key.as_bytes()];
                    assert!(client.command(&get, &CallOptions::default()).unwrap().data() == own);
                    let commands = [format!("STRLEN {key}"), format!("ECHO {key}"), "NO.SUCH".into()];
                    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
                    let pipeline = batch(BatchKind::Pipeline, &commands);
                    let replies = client.batch(&pipeline, &CallOptions::default()).unwrap();
                    assert_eq!(replies.at(0).unwrap().integer(), i64::try_from(own.len()).unwrap());
                    assert_eq!(replies.at(1).unwrap().text(), key);
                    assert_eq!(replies.len(), 3);
                    let transaction = batch(BatchKind::Transaction, &commands[..2]);
                    let replies = client.batch(&transaction, &CallOptions::default()).unwrap();
                    assert_eq!((replies.len(), replies.at(1).unwrap().text().into_owned()), (2, key));
                }
            });
        }
    });
}

#[test]
fn callers_of_a_silent_lane_return_at_their_deadlines_and_late_replies_reach_nobody() {
    let world = World::new();
    let client = world.client(&[]);
    with_crowd(&client, || {
        wait_until("the lane", PATIENCE, || world.node.callers_connections() >= 2);
    });
    world.node.set_delay(Duration::from_millis(700));
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let client = &client;
            scope.spawn(move || {
                let call = || run_within(client, &format!("ECHO late:{caller}"), 250);
                let (result, took) = timed(call);
                let error = result.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
                assert!(took <= Duration::from_millis(250) + SLACK, "{took:?}");
            });
        }
    });
    world.node.set_delay(Duration::ZERO);
    // The late replies arrive among those of the next crowd, and each of its calls still gets its own.
    with_crowd(&client, || {
        let before = world.node.count("ECHO");
        wait_until("calls", PATIENCE, || world.node.count("ECHO") >= before + 100);
    });
}

#[test]
fn calls_in_flight_on_a_lane_that_is_cut_are_unknown_and_writes_are_not_repeated() {
    let world = World::new();
    let client = world.client(&[("timeout_ms", "3000")]);
    with_crowd(&client, || {
        wait_until("the lane", PATIENCE, || world.node.callers_connections() >= 2);
    });
    for turn in 0..5 {
        world.node.set_delay(Duration::from_millis(300));
        let before = world.executed.load(Ordering::SeqCst);
        let outcomes = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|caller| {
                    let client = &client;
                    scope.spawn(move || run(client, &format!("WRITE {turn}:{caller}")))
                })
                .collect();
            wait_until("the writes", PATIENCE, || world.node.count("WRITE") >= (turn + 1) * 2);
            world.node.cut_all(Cut::Reset);
            world.node.set_delay(Duration::ZERO);
            let ends = callers.into_iter().map(|caller| caller.join().unwrap());
            ends.collect::<Vec<_>>()
        });
        let mut count: HashMap<&str, usize> = HashMap::new();
        let mut unsent = Vec::new();
        for outcome in outcomes {
            let name = match outcome {
                Ok(_) => "ok",
                Err(error) if error.outcome() == Outcome::Unknown => "unknown",
                Err(error) => {
                    unsent.push(format!("{error}: {:?}", error.attempts()));
                    "not executed"
                }
            };
            *count.entry(name).or_default() += 1;
        }
        let of = |name: &str| count.get(name).copied().unwrap_or(0);
        let executed = world.executed.load(Ordering::SeqCst) - before;
        assert!(
            executed >= of("ok") && executed <= of("ok") + of("unknown"),
            "{executed} {count:?}"
        );
        assert_eq!(
            of("not executed"),
            0,
            "what was not sent is sent again: {count:?} {unsent:#?}"
        );
    }
}

#[test]
fn no_more_than_max_pending_calls_are_taken() {
    let world = World::new();
    let client = world.client(&[("max_pending", "4")]);
    text(&client, "ECHO warm");
    world.node.set_delay(Duration::from_millis(500));
    let refused = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| run_within(&client, "ECHO x", 5000)))
            .collect();
        let ends = callers.into_iter().map(|caller| caller.join().unwrap());
        ends.filter_map(Result::err).collect::<Vec<_>>()
    });
    assert!(!refused.is_empty() && refused.len() <= 8, "{} refused", refused.len());
    for error in refused {
        assert_eq!(error.kind(), &ErrorKind::QueueFull { limit: 4 });
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    world.node.set_delay(Duration::ZERO);
    assert_eq!(text(&client, "ECHO after"), "after");
}

#[test]
fn no_more_bytes_gather_than_a_lane_may_hold_and_they_go_out_in_their_order() {
    let over = Arc::new(AtomicBool::new(false));
    let node = FakeNode::builder()
        .on({
            let over = Arc::clone(&over);
            move |_, args| {
                if args[0] == b"SET" && args[1] == b"stalled" {
                    wait_until("the lane to be full", PATIENCE, || over.load(Ordering::SeqCst));
                }
                false
            }
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(10_000).unwrap();
    let value = vec![b'x'; 60_000];
    let set = |tag: u64, key: &str| {
        let target = Target::Queue(&queue, tag);
        client
            .submit(&[b"SET", key.as_bytes(), &value], &within(30_000), target)
            .unwrap();
    };
    set(0, "stalled");
    wait_until("the stall", PATIENCE, || node.count("SET stalled") == 1);
    // 96 MB: more than a lane and the kernel hold.
    for tag in 1..1600 {
        set(tag, &tag.to_string());
    }
    let mut ends = completions(&queue, 1);
    over.store(true, Ordering::SeqCst);
    ends.extend(completions(&queue, 1599));
    for error in ends.values().filter_map(|end| end.as_ref().err()) {
        assert!(matches!(error.kind(), ErrorKind::QueueFull { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }
    let mut done: Vec<u64> = ends
        .iter()
        .filter(|(_, end)| end.is_ok())
        .map(|(tag, _)| *tag)
        .collect();
    done.sort_unstable();
    assert!(
        done.len() < 1600 && done.len() * value.len() > 64 << 20,
        "{} taken",
        done.len()
    );
    let keys = node.commands().into_iter().filter(|command| command.args[0] == b"SET");
    let keys: Vec<u64> = keys
        .map(|set| String::from_utf8_lossy(&set.args[1]).parse().unwrap_or(0))
        .collect();
    assert_eq!(keys, done, "in the order in which they were submitted");
}

#[test]
fn pushes_between_the_replies_of_a_lane_are_nobodys() {
    let world = World::new();
    let client = world.client(&[]);
    with_crowd(&client, || {
        for _ in 0..50 {
            world.node.broadcast(b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n");
            let before = world.node.count("ECHO");
            wait_until("calls", PATIENCE, || world.node.count("ECHO") > before + 5);
        }
    });
}

#[test]
fn closing_the_deployment_ends_the_calls_of_a_crowd() {
    let world = World::new();
    let client = world.client(&[]);
    text(&client, "ECHO warm");
    world.node.set_silent(true);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| timed(|| client.command(&words("ECHO x"), &crate::support::within(-1)))))
            .collect();
        wait_until("the calls", PATIENCE, || world.node.count("ECHO") >= 2);
        world.deployment.close(2000).unwrap();
        for caller in callers {
            let (result, took) = caller.join().unwrap();
            assert_eq!(result.unwrap_err().kind(), &ErrorKind::Closed);
            assert!(took < PATIENCE);
        }
    });
}
