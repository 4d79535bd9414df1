//! Who waits for one of `pool.max_connections` is served in the order of asking, whatever asks; who waits for nothing
//! any more costs nobody anything; and every call ends when its client or deployment does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::{Queue, Target};
use sentinel::{CallOptions, Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, completions, open, overrides, run, run_within, timed, within, words};

/// A node on which BLPOP takes this long.
const BLOCKS: Duration = Duration::from_millis(20);

fn world(limit: &str) -> (FakeNode, FakeSentinel, Deployment, Client) {
    let node = FakeNode::builder()
        .on(|session, args| {
            let waits = args[0] == b"BLPOP";
            if waits && args[1] != b"never" {
                std::thread::sleep(BLOCKS);
                session.nil_array();
            }
            waits
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("pool.max_connections", limit)])))
        .unwrap();
    client.connect(5000).unwrap();
    (node, sentinel, deployment, client)
}

fn submit(client: &Client, queue: &Arc<Queue>, command: &str, tag: u64) {
    client
        .submit(&words(command), &within(10_000), Target::Queue(queue, tag))
        .unwrap();
}

/// Waits until so many calls of the deployment wait for a connection.
fn wait_for_waiters(deployment: &Deployment, count: usize) {
    let wanted = format!("\"waiting\":{count}");
    wait_until(&format!("{count} waiting"), PATIENCE, || {
        let text: String = deployment.describe().unwrap();
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        text.contains(&wanted)
    });
}

#[test]
fn the_only_connection_goes_from_hand_to_hand_in_the_order_of_asking() {
    let (node, _sentinel, deployment, client) = world("1");
    let queue = deployment.queue(8).unwrap();
    let held = client.acquire(2000).unwrap();
    std::thread::scope(|scope| {
        let acquire = |word: &'static str| {
            let client = &client;
            scope.spawn(move || {
                let own = client.acquire(10_000).unwrap();
                own.command(&[b"ECHO", word.as_bytes()], &CallOptions::default())
                    .unwrap();
            })
        };
        submit(&client, &queue, "BLPOP first 0", 1);
        wait_for_waiters(&deployment, 1);
        acquire("second");
        wait_for_waiters(&deployment, 2);
        submit(&client, &queue, "BLPOP third 0", 3);
        wait_for_waiters(&deployment, 3);
        submit(&client, &queue, "BLPOP fourth 0", 4);
        wait_for_waiters(&deployment, 4);
        acquire("fifth");
        wait_for_waiters(&deployment, 5);
        drop(held);
    });
    assert!(completions(&queue, 3).values().all(Result::is_ok));
    let order = ["first", "second", "third", "fourth", "fifth"];
    let seen: Vec<String> = node
        .commands()
        .iter()
        .filter_map(|received| Some(String::from_utf8_lossy(received.args.get(1)?).into_owned()))
        .filter(|word| order.contains(&word.as_str()))
        .collect();
    assert_eq!(seen, order);
}

#[test]
fn a_stream_of_blocking_submissions_lets_who_acquires_have_a_turn() {
    let (_node, _sentinel, deployment, client) = world("1");
    let (queue, done) = (deployment.queue(64).unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        scope.spawn(|| {
            let mut tag = 0;
            while !done.load(Ordering::Relaxed) {
                // Never fewer than four wait.
                while tag < 4 || !done.load(Ordering::Relaxed) {
                    submit(&client, &queue, "BLPOP list 0", tag);
                    tag += 1;
                    if tag >= 4 {
                        assert!(completions(&queue, 1).into_values().all(|end| end.is_ok()));
                    }
                }
            }
            completions(&queue, 3);
        });
        wait_for_waiters(&deployment, 2);
        for _ in 0..3 {
            let (own, took) = timed(|| client.acquire(6000));
            assert!(own.is_ok() && took < BLOCKS * 8 + SLACK, "{took:?}: {own:?}");
        }
    });
}

#[test]
fn a_stream_of_acquirers_lets_a_blocking_submission_have_a_turn() {
    let (_node, _sentinel, deployment, client) = world("1");
    let (queue, done) = (deployment.queue(64).unwrap(), AtomicBool::new(false));
    let turns = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _own = client.acquire(10_000).unwrap();
                    turns.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(BLOCKS / 4);
                }
            });
        }
        wait_for_waiters(&deployment, 3);
        for tag in 0..3 {
            let began = Instant::now();
            submit(&client, &queue, "BLPOP list 0", tag);
            let end = completions(&queue, 1).remove(&tag).unwrap();
            let took = began.elapsed();
            assert!(
                end.is_ok() && took <= BLOCKS * 8 + SLACK,
                "{took:?} and {turns:?} turns of others: {end:?}"
            );
        }
    });
}

#[test]
fn calls_that_have_given_up_cost_the_others_nothing() {
    let nobody = sentinel_lab::free_port();
    let client = open(&[nobody.number()]).primary_for(Some(SERVICE), None).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    // What the machine makes of a plain sleep in these threads is not the library's doing.
    let (latest, plain) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let (mut latest, mut plain) = (Duration::ZERO, Duration::ZERO);
                    while Instant::now() < until {
                        let (result, took) = timed(|| run_within(&client, "GET k", 1));
                        result.unwrap_err();
                        latest = latest.max(took);
                        plain = plain.max(timed(|| std::thread::sleep(Duration::from_millis(1))).1);
                    }
                    (latest, plain)
                })
            })
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join().unwrap());
        ends.fold((Duration::ZERO, Duration::ZERO), |most, end| {
            (most.0.max(end.0), most.1.max(end.1))
        })
    });
    println!("the latest of all took {latest:?}, a plain sleep {plain:?}");
    assert!(latest <= plain + SLACK, "{latest:?}, a plain sleep {plain:?}");
}

#[test]
fn a_freed_client_ends_its_submissions_and_leaves_its_connections_in_use() {
    for with_scan in [false, true] {
        let (_node, _sentinel, deployment, client) = world("8");
        let queue = deployment.queue(8).unwrap();
        let own = client.acquire(2000).unwrap();
        let scan = with_scan.then(|| client.scan(&words("SCAN")).unwrap());
        submit(&client, &queue, "BLPOP never 0", 1);
        client
            .submit(&words("BLPOP never 0"), &within(-1), Target::Queue(&queue, 2))
            .unwrap();
        drop(client);
        let (ends, took) = timed(|| completions(&queue, 2));
        assert!(took <= SLACK, "{took:?}");
        for end in ends.into_values() {
            assert_eq!(end.unwrap_err().kind(), &ErrorKind::Closed);
        }
        let reply = own.command(&words("ECHO on"), &CallOptions::default());
        assert_eq!(reply.unwrap().text(), "on");
        drop((own, scan));
    }
}

#[test]
fn close_ends_what_runs_on_acquired_connections_and_what_waits_for_a_confirmation() {
    let node = FakeNode::builder()
        .on(|_, args| matches!(args[0].as_slice(), b"BLPOP" | b"WAIT"))
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let own = client.acquire(2000).unwrap();
    let idle = client.acquire(2000).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| own.command(&words("BLPOP k 0"), &CallOptions::default()).map(drop));
        let confirmed = CallOptions {
            replicas: 1,
            ..within(10_000)
        };
        let client = &client;
        let confirmed = scope.spawn(move || client.command(&words("SET k v"), &confirmed).map(drop));
        wait_until("both", PATIENCE, || node.count("BLPOP") + node.count("WAIT") == 2);
        deployment.close(2000).unwrap();
        for call in [blocked, confirmed] {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::Unknown));
        }
    });
    let error = idle.command(&words("ECHO k"), &CallOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::NotSent));
    assert_eq!(run(&client, "GET k").unwrap_err().kind(), &ErrorKind::Closed);
}
