//! Calls that no thread waits for: each completes once, at its tag, with the reply, deadline and outcome of its own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{CallId, Entry, Queue, Target};
use sentinel::resp::Reply;
use sentinel::{BatchKind, CallOptions, Client, Deadline, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{Config, Cut, FakeNode, FakeSentinel, Topology, wait_until};

use crate::support::completions as collect;
use crate::support::{
    PATIENCE, SERVICE, SLACK, batch, open, open_on, overrides, run, shared, tell, text, timed, within, words,
};

fn submit(client: &Client, queue: &Arc<Queue>, tag: u64, command: &str, call: &CallOptions) -> Result<CallId> {
    client.submit(&words(command), call, Target::Queue(queue, tag))
}

fn submit_now(client: &Client, queue: &Arc<Queue>, tag: u64, command: &str) -> CallId {
    submit(client, queue, tag, command, &CallOptions::default()).unwrap()
}

fn assert_nothing_more(queue: &Queue) {
    let polled = queue.poll(1, Deadline::after(Some(Duration::from_millis(50))), |entry| {
        panic!("one more: {entry:?}");
    });
    assert!(matches!(polled, Ok(Polled::Empty)) || polled.is_err());
}

/// A scripted node whose `WRITE` counts, behind one scripted Sentinel.
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
                [name, own] if name == b"ECHO" || name == b"WRITE" => {
                    counted.fetch_add(usize::from(name == b"WRITE"), Ordering::SeqCst);
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

    fn client(&self, pairs: &[(&str, &str)]) -> Client {
        let all: Vec<_> = pairs.iter().copied().chain([("retry.backoff_max_ms", "20")]).collect();
        self.deployment
            .primary_for(Some(SERVICE), Some(&overrides(&all)))
            .unwrap()
    }
}

#[test]
fn ten_thousand_calls_complete_each_at_its_own_tag_and_in_order() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(10_000).unwrap();
    for tag in 0..10_000 {
        submit_now(&client, &queue, tag, &format!("ECHO {tag}"));
    }
    let mut order = Vec::new();
    while order.len() < 10_000 {
        let deadline = Deadline::after(Some(PATIENCE));
        let polled = queue.poll(64, deadline, |entry| {
            assert_eq!(entry.result.unwrap().text(), entry.tag.to_string());
            order.push(entry.tag);
        });
        assert!(matches!(polled, Ok(Polled::Some(1..=64))), "{polled:?}");
    }
    assert!(order.is_sorted(), "one connection answers in order");
    assert_nothing_more(&queue);
}

#[test]
fn errors_batches_blocking_and_replicated_calls_end_as_they_do_for_a_waiting_caller() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(64).unwrap();
    text(&client, "SET submitted:text x");
    submit_now(&client, &queue, 1, "LPUSH submitted:text y");
    let pipeline = batch(BatchKind::Pipeline, &["ECHO a", "NO.SUCH", "ECHO b"]);
    let target = |tag| Target::Queue(&queue, tag);
    client
        .submit_batch(&pipeline, &CallOptions::default(), target(2))
        .unwrap();
    let transaction = batch(BatchKind::Transaction, &["INCR submitted:n", "INCR submitted:n"]);
    client
        .submit_batch(&transaction, &CallOptions::default(), target(3))
        .unwrap();
    let empty = batch(BatchKind::Pipeline, &[]);
    client.submit_batch(&empty, &CallOptions::default(), target(4)).unwrap();
    let replicated = CallOptions {
        replicas: 2,
        ..CallOptions::default()
    };
    submit(&client, &queue, 5, "SET submitted:r 1", &replicated).unwrap();
    // Replicas that have just joined confirm nothing for a second.
    client.command(&words("SET submitted:r 0"), &replicated).unwrap();
    let too_many = CallOptions {
        replicas: 9,
        timeout_ms: 600,
        ..CallOptions::default()
    };
    submit(&client, &queue, 6, "SET submitted:r 2", &too_many).unwrap();
    submit_now(&client, &queue, 7, "BLPOP submitted:list 10");
    submit_now(&client, &queue, 8, "BLPOP submitted:none 1");
    let mut all = collect(&queue, 7);
    text(&client, "RPUSH submitted:list item");
    all.extend(collect(&queue, 1));
    let mut end = |tag| all.remove(&tag).unwrap();
    let error = end(1).unwrap_err();
    assert_eq!(error.server_code(), Some("WRONGTYPE"));
    assert_eq!(error.outcome(), Outcome::Refused);
    let replies = end(2).unwrap();
    assert_eq!(
        (replies.len(), replies.at(2).unwrap().text().into_owned()),
        (3, "b".to_owned())
    );
    assert!(replies.at(1).unwrap().text().contains("unknown command"));
    assert_eq!(end(3).unwrap().at(1).unwrap().integer(), 2);
    assert_eq!(end(4).unwrap().len(), 0);
    assert_eq!(end(5).unwrap().text(), "OK");
    let error = end(6).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotReplicated { wanted: 9, have: 2 });
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(end(7).unwrap().at(1).unwrap().text(), "item");
    assert!(end(8).unwrap().is_nil());
}

#[test]
fn what_cannot_be_submitted_is_refused_at_once_and_leaves_the_queue_as_it_was() {
    let world = World::new();
    let client = world.client(&[("max_pending", "2")]);
    let queue = world.deployment.queue(3).unwrap();
    for (command, kind) in [
        ("SUBSCRIBE x", "UnsupportedCommand"),
        ("SELECT 1", "UnsupportedCommand"),
    ] {
        let error = submit(&client, &queue, 9, command, &CallOptions::default()).unwrap_err();
        assert!(format!("{:?}", error.kind()).starts_with(kind), "{error}");
    }
    assert!(
        client
            .submit(&[], &CallOptions::default(), Target::Queue(&queue, 9))
            .is_err()
    );
    assert!(submit(&client, &queue, 9, "ECHO x", &within(-7)).is_err());
    world.node.set_silent(true);
    submit_now(&client, &queue, 1, "ECHO 1");
    submit_now(&client, &queue, 2, "ECHO 2");
    let error = submit(&client, &queue, 9, "ECHO 3", &CallOptions::default()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::QueueFull { limit: 2 });
    let other = world.client(&[]);
    submit_now(&other, &queue, 3, "ECHO 3");
    let error = submit(&other, &queue, 9, "ECHO 4", &CallOptions::default()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::QueueFull { limit: 3 });
    drop((client, other));
    let ends = collect(&queue, 3);
    for (tag, end) in ends {
        assert_eq!(end.unwrap_err().kind(), &ErrorKind::Closed, "{tag}");
    }
    assert_nothing_more(&queue);
    submit_now(&world.client(&[]), &queue, 4, "ECHO 4");
    assert_eq!(collect(&queue, 1).len(), 1, "its client is gone at once");
}

#[test]
fn each_call_ends_at_its_own_deadline_whatever_holds_it_up() {
    let world = World::new();
    let client = world.client(&[]);
    let queue = world.deployment.queue(4096).unwrap();
    submit_now(&client, &queue, 0, "ECHO warm");
    collect(&queue, 1);
    world.node.set_silent(true);
    let start = Instant::now();
    for tag in 1..=2000u64 {
        let ms = 100 + i64::try_from(tag % 10).unwrap() * 30;
        submit(&client, &queue, tag, &format!("WRITE {tag}"), &within(ms)).unwrap();
    }
    let mut seen = HashSet::new();
    while seen.len() < 2000 {
        let deadline = Deadline::after(Some(PATIENCE));
        queue
            .poll(1000, deadline, |entry| {
                let due = Duration::from_millis(100 + (entry.tag % 10) * 30);
                let took = start.elapsed();
                assert!(took + Duration::from_millis(1) >= due, "{} after {took:?}", entry.tag);
                assert!(
                    took <= due + SLACK + Duration::from_millis(100),
                    "{} after {took:?}",
                    entry.tag
                );
                let error = entry.result.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
                assert!(seen.insert(entry.tag));
            })
            .unwrap();
    }
    // A service that nobody serves: the wait for a connection ends at the deadline too.
    let lost = Deployment::open(&crate::support::options(&[sentinel_lab::Peer::start(|_, _| {}).port()])).unwrap();
    let client = lost.primary_for(Some(SERVICE), None).unwrap();
    let queue = lost.queue(8).unwrap();
    let start = Instant::now();
    submit(&client, &queue, 1, "SET k v", &within(300)).unwrap();
    let error = collect(&queue, 1).remove(&1).unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PrimaryNotFound { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(299) && took <= Duration::from_millis(300) + SLACK,
        "{took:?}"
    );
}

#[test]
fn a_cancelled_call_completes_as_cancelled_once_and_a_late_reply_reaches_nobody() {
    let world = World::new();
    let client = world.client(&[]);
    let queue = world.deployment.queue(64).unwrap();
    submit_now(&client, &queue, 0, "ECHO warm");
    collect(&queue, 1);
    world.node.set_delay(Duration::from_millis(300));
    let id = submit_now(&client, &queue, 1, "WRITE 1");
    let blocked = submit_now(&client, &queue, 2, "BLPOP none 0");
    world.node.wait_for_command("WRITE", PATIENCE);
    client.cancel(id).unwrap();
    client.cancel(blocked).unwrap();
    client.cancel(id).unwrap();
    let ends = collect(&queue, 2);
    for (tag, end) in ends {
        let error = end.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Cancelled);
        assert!(tag != 1 || error.outcome() == Outcome::Unknown, "it was sent: {error}");
    }
    world.node.set_delay(Duration::ZERO);
    submit_now(&client, &queue, 3, "ECHO 3");
    let end = collect(&queue, 1).remove(&3).unwrap();
    assert_eq!(end.unwrap().text(), "3");
    assert_eq!(client.cancel(id), Ok(()));
    assert!(client.cancel(0).is_err() && client.cancel(u64::MAX).is_err());
    assert_nothing_more(&queue);
}

#[test]
fn writes_in_flight_on_a_cut_connection_are_unknown_and_never_repeated_reads_are() {
    let world = World::new();
    let client = world.client(&[("timeout_ms", "3000")]);
    let queue = world.deployment.queue(1000).unwrap();
    submit_now(&client, &queue, 0, "ECHO warm");
    collect(&queue, 1);
    for _ in 0..5 {
        world.node.set_delay(Duration::from_millis(200));
        let before = world.executed.load(Ordering::SeqCst);
        let asked = world.node.count("WRITE");
        for tag in 0..100 {
            submit_now(&client, &queue, tag, &format!("WRITE {tag}"));
        }
        submit_now(&client, &queue, 100, "GET k");
        wait_until("a write", PATIENCE, || world.node.count("WRITE") > asked);
        world.node.cut_all(Cut::Reset);
        world.node.set_delay(Duration::ZERO);
        let ends = collect(&queue, 101);
        let ok = ends.iter().filter(|(tag, end)| **tag < 100 && end.is_ok()).count();
        let unknown = |end: &&Result<Reply>| end.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown);
        let unknown = ends.values().filter(unknown).count();
        let executed = world.executed.load(Ordering::SeqCst) - before;
        assert!(
            executed >= ok && executed <= ok + unknown,
            "{executed}: {ok} ok, {unknown} unknown"
        );
        assert_eq!(ok + unknown, 100, "what was not sent is sent again");
        assert!(ends[&100].is_ok(), "{:?}", ends[&100]);
    }
}

#[test]
fn callbacks_run_one_at_a_time_in_order_may_submit_and_free_and_may_not_wait() {
    let topology = shared();
    let deployment = Arc::new(open_on(&topology));
    let client = Arc::new(deployment.primary_for(Some(SERVICE), None).unwrap());
    let (send, ended) = mpsc::channel();
    for number in 0..100 {
        let (send, own, deployment) = (send.clone(), Arc::clone(&client), Arc::clone(&deployment));
        let done = move |entry: Entry| {
            assert_eq!(entry.result.unwrap().text(), number.to_string());
            assert_eq!(std::thread::current().name(), Some("sentinel-cb"));
            let refused = [
                run(&own, "PING").map(drop),
                own.connect(100),
                own.acquire(100).map(drop),
                deployment.discover_primary(Some(SERVICE), 100).map(drop),
                deployment.close(100),
            ];
            for end in refused {
                assert_eq!(end.unwrap_err().kind(), &ErrorKind::WouldDeadlock);
            }
            let again = send.clone();
            let done = Target::Done(Box::new(move |entry| {
                again.send(1000 + entry.result.unwrap().integer()).unwrap()
            }));
            own.submit(&words(&format!("STRLEN none:{number}")), &CallOptions::default(), done)
                .unwrap();
            send.send(number).unwrap();
            // The last of these frees the client inside a callback.
            drop(own);
        };
        let command = format!("ECHO {number}");
        client
            .submit(&words(&command), &CallOptions::default(), Target::Done(Box::new(done)))
            .unwrap();
    }
    let mut numbers = Vec::new();
    while numbers.len() < 200 {
        numbers.push(ended.recv_timeout(PATIENCE).unwrap());
    }
    let own: Vec<i64> = numbers.iter().copied().filter(|number| *number < 1000).collect();
    assert_eq!(own, (0..100).collect::<Vec<_>>());
    drop(client);
    let last = Arc::into_inner(deployment).expect("every callback has let go");
    last.close(2000).unwrap();
}

#[test]
fn a_callback_that_never_returns_stalls_callbacks_alone() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let done = move |_| {
        entered.send(()).unwrap();
        let _ = held.recv();
    };
    client
        .submit(&words("PING"), &CallOptions::default(), Target::Done(Box::new(done)))
        .unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    let queue = deployment.queue(4).unwrap();
    submit_now(&client, &queue, 1, "PING");
    collect(&queue, 1);
    text(&client, "PING");
    let (result, took) = timed(|| deployment.close(200));
    assert!(matches!(result.unwrap_err().kind(), ErrorKind::Timeout { .. }));
    assert!(took <= Duration::from_millis(200) + SLACK, "{took:?}");
    let ((), took) = timed(|| drop((client, deployment)));
    assert!(took < Duration::from_millis(500), "{took:?}");
    drop(release);
}

#[test]
fn everything_ends_in_any_order_of_frees() {
    let world = World::new();
    world.node.set_silent(true);
    // The queue first: what was submitted to it ends unseen.
    let client = world.client(&[]);
    let queue = world.deployment.queue(8).unwrap();
    submit_now(&client, &queue, 1, "ECHO 1");
    queue.free();
    assert_eq!(
        queue.poll(1, Deadline::NEVER, |_| ()).unwrap_err().kind(),
        &ErrorKind::Closed
    );
    // The client first: its calls end with CLOSED.
    let queue = world.deployment.queue(8).unwrap();
    submit_now(&client, &queue, 1, "ECHO 1");
    submit_now(&client, &queue, 2, "BLPOP k 0");
    drop(client);
    for end in collect(&queue, 2).into_values() {
        assert_eq!(end.unwrap_err().kind(), &ErrorKind::Closed);
    }
    // The deployment's close: everything that waits is told, then the queue says so.
    let client = world.client(&[]);
    for tag in 0..5 {
        submit_now(&client, &queue, tag, "ECHO x");
    }
    world.deployment.close(2000).unwrap();
    for end in collect(&queue, 5).into_values() {
        assert_eq!(end.unwrap_err().kind(), &ErrorKind::Closed);
    }
    assert_eq!(
        queue.poll(1, Deadline::NEVER, |_| ()).unwrap_err().kind(),
        &ErrorKind::Closed
    );
    let error = submit(&client, &queue, 9, "ECHO x", &CallOptions::default()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
}

#[test]
fn blocking_calls_share_their_connections_with_acquired_ones_within_the_limit() {
    let topology = shared();
    let deployment = open_on(&topology);
    let few = overrides(&[("pool.max_connections", "2"), ("client_name", "submitted-own")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&few)).unwrap();
    let queue = deployment.queue(64).unwrap();
    // More than there are connections: they take turns, on connections that are used again.
    for tag in 0..20 {
        submit(&client, &queue, tag, "BLPOP submitted:nobody 0.05", &within(10_000)).unwrap();
    }
    for end in collect(&queue, 20).into_values() {
        assert!(end.unwrap().is_nil());
    }
    // Idle ones on the one side make room for the other, there and back.
    let mine = client.acquire(5000).unwrap();
    let other = client.acquire(5000).unwrap();
    submit(&client, &queue, 1, "BLPOP submitted:nobody 0.05", &within(200)).unwrap();
    let error = collect(&queue, 1).remove(&1).unwrap().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 2 });
    drop((mine, other));
    submit(&client, &queue, 2, "BLPOP submitted:nobody 0.05", &within(5000)).unwrap();
    assert!(collect(&queue, 1).remove(&2).unwrap().unwrap().is_nil());
    let again = (client.acquire(5000).unwrap(), client.acquire(5000).unwrap());
    drop(again);
}

#[test]
fn calls_follow_the_primary_through_a_failover() {
    let topology = Topology::start(Config::default().fast(true));
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(50_000).unwrap();
    let old = topology.primary();
    let (mut tag, mut ends, mut killed) = (0, HashMap::new(), false);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for _ in 0..20 {
            submit(&client, &queue, tag, "INCR submitted:failover", &within(10_000)).unwrap();
            tag += 1;
        }
        let deadline = Deadline::after(Some(Duration::from_millis(10)));
        queue
            .poll(1000, deadline, |entry| {
                ends.insert(entry.tag, entry.result);
            })
            .unwrap();
        if !killed && ends.len() > 200 {
            topology.kill(old);
            killed = true;
        }
        if killed && topology.primary() != old && ends.keys().max().is_some_and(|last| *last + 100 > tag) {
            break;
        }
    }
    let rest = collect(&queue, usize::try_from(tag).unwrap() - ends.len());
    ends.extend(rest);
    let acknowledged = ends.values().filter(|end| end.is_ok()).count();
    let unknown = |end: &&Result<Reply>| end.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown);
    let unknown = ends.values().filter(unknown).count();
    assert_eq!(
        acknowledged + unknown,
        ends.len(),
        "everything that was not sent waits for the new primary"
    );
    let count: usize = text(&client, "GET submitted:failover").parse().unwrap();
    assert!(
        count <= acknowledged + unknown,
        "{count}: {acknowledged} ok, {unknown} unknown"
    );
    let primary = topology.node(topology.primary());
    tell(primary, "PING");
}
