//! The fence: while no majority of the Sentinels is heard no way sends a write, and reads go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{Queue, Target};
use sentinel::resp::Reply;
use sentinel::{
    BatchKind, CallOptions, Client, Connection, Deadline, Deployment, Error, ErrorKind, Outcome, Reason, Result, Script,
};
use sentinel_lab::{Config, SetOnDrop, Topology, servers_since, wait_until};

use crate::support::{
    PATIENCE, SERVICE, WAYS, batch, completions, options, run, run_within, sentinel_ports, submitted_batch, text,
    timed, with, within, words,
};

const WRITES_HELD: u32 = 0x2000;

/// A way to write, or to read, within a deadline.
type Run<'a> = (String, Box<dyn Fn(i64) -> Result<()> + 'a>);

fn fenced(topology: &Topology, fence: &str) -> Deployment {
    let options = with(options(&sentinel_ports(topology)), &[("primary.fence_ms", fence)]);
    Deployment::open(&options).unwrap()
}

#[track_caller]
fn wait_for_held(deployment: &Deployment, held: i64) {
    wait_until("the fence", PATIENCE, || {
        deployment.metric("writes_held").unwrap() == held
    });
}

fn of_ways<'a>(client: &'a Client, queue: &'a Arc<Queue>, command: &'static str) -> impl Iterator<Item = Run<'a>> {
    WAYS.iter().map(move |(name, way)| {
        let run = move |ms| way(client, queue, command, &within(ms)).map(drop);
        (format!("{name} {command}"), Box::new(run) as Box<_>)
    })
}

fn on<'a>(connection: &'a Connection, command: &'static str) -> Run<'a> {
    let run = move |ms| connection.command(&words(command), &within(ms)).map(drop);
    (format!("acquired {command}"), Box::new(run))
}

/// Everything that adds to the key `count`, or may wait for it.
fn writes<'a>(client: &'a Client, queue: &'a Arc<Queue>, own: &'a Connection, large: &'a [u8]) -> Vec<Run<'a>> {
    let mut all: Vec<Run<'a>> = of_ways(client, queue, "INCR count").collect();
    all.extend(of_ways(client, queue, "BLPOP list 0.01"));
    all.extend(of_ways(client, queue, "PUBLISH channel message"));
    all.extend(of_ways(client, queue, "NOBODY knows it"));
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let several = move || batch(kind, &["GET count", "INCR count"]);
        let waiting = move |ms| client.batch(&several(), &within(ms)).map(drop);
        all.push((format!("a waiting {kind:?}"), Box::new(waiting)));
        let submitted = move |ms| submitted_batch(client, queue, &several(), &within(ms)).map(drop);
        all.push((format!("a submitted {kind:?}"), Box::new(submitted)));
    }
    let script = |ms| {
        let script = Script::new(b"return redis.call('INCR', KEYS[1])", false);
        client.script(&script, 1, &[b"count"], &within(ms)).map(drop)
    };
    all.push(("a script".into(), Box::new(script)));
    let confirmed = |ms| {
        let call = CallOptions {
            replicas: 1,
            ..within(ms)
        };
        client.command(&words("INCR count"), &call).map(drop)
    };
    all.push(("a confirmed INCR".into(), Box::new(confirmed)));
    let whole = |ms| client.command(&[b"APPEND", b"count", large], &within(ms)).map(drop);
    all.push(("a large APPEND".into(), Box::new(whole)));
    all.push(on(own, "INCR count"));
    all
}

/// The same of what only reads.
fn reads<'a>(client: &'a Client, queue: &'a Arc<Queue>, own: &'a Connection) -> Vec<Run<'a>> {
    let mut all: Vec<Run<'a>> = of_ways(client, queue, "GET count").collect();
    all.extend(of_ways(client, queue, "PING"));
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let several = move || batch(kind, &["GET count", "EXISTS count"]);
        let waiting = move |ms| client.batch(&several(), &within(ms)).map(drop);
        all.push((format!("a waiting {kind:?}"), Box::new(waiting)));
        let submitted = move |ms| submitted_batch(client, queue, &several(), &within(ms)).map(drop);
        all.push((format!("a submitted {kind:?}"), Box::new(submitted)));
    }
    let script = |ms| {
        let script = Script::new(b"return redis.call('GET', KEYS[1])", true);
        client.script(&script, 1, &[b"count"], &within(ms)).map(drop)
    };
    if servers_since((7, 0)) {
        all.push(("a script that only reads".into(), Box::new(script)));
    }
    all.extend(["GET count", "WATCH count", "MULTI", "GET count", "EXEC"].map(|command| on(own, command)));
    all
}

#[track_caller]
fn assert_held(name: &str, error: &Error) {
    let (service, reason) = (SERVICE.to_owned(), Reason::NoMajority);
    assert_eq!(
        error.kind(),
        &ErrorKind::PrimaryNotFound { service, reason },
        "{name}: {error}"
    );
    assert_eq!(error.outcome(), Outcome::NotSent, "{name}: {error}");
    assert_eq!(error.attempts().len(), 3, "{name}: each Sentinel is named: {error}");
}

#[test]
fn no_way_sends_a_write_while_no_majority_is_heard() {
    const DEADLINE: i64 = 150;
    let topology = Topology::start(Config::default());
    let deployment = fenced(&topology, "400");
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(64).unwrap();
    assert_eq!(text(&client, "SET count 0"), "OK");
    let (own, by_hand) = (client.acquire(5000).unwrap(), client.acquire(5000).unwrap());
    for command in ["MULTI", "INCR count"] {
        by_hand.command(&words(command), &within(5000)).unwrap();
    }
    topology.stop_sentinel(0);
    topology.stop_sentinel(1);
    wait_for_held(&deployment, 1);
    let large = vec![b'x'; 1 << 20];
    for (name, write) in &writes(&client, &queue, &own, &large) {
        let (result, took) = timed(|| write(DEADLINE));
        assert_held(name, &result.expect_err(name));
        let least = Duration::from_millis(DEADLINE.unsigned_abs());
        // How exactly, the simulation says; here others keep the machine busy.
        assert!(
            took >= least && took <= least + Duration::from_secs(1),
            "{name}: {took:?}"
        );
    }
    // What is queued runs with EXEC.
    by_hand.command(&words("INCR count"), &within(DEADLINE)).unwrap();
    let error = by_hand.command(&words("EXEC"), &within(DEADLINE)).unwrap_err();
    assert_held("EXEC", &error);
    for (name, read) in &reads(&client, &queue, &own) {
        let (result, took) = timed(|| read(5000));
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
    }
    assert_eq!(text(&client, "GET count"), "0");
    assert_eq!(
        deployment.metric("held_writes").unwrap(),
        0,
        "their deadlines have passed"
    );
    // A connection of one's own is given up at once, whoever waits on it.
    std::thread::scope(|scope| {
        let held = scope.spawn(|| own.command(&words("INCR count"), &within(60_000)));
        wait_until("a held write", PATIENCE, || {
            deployment.metric("held_writes").unwrap() == 1
        });
        let (_, took) = timed(|| {
            own.cancel();
            let error = held.join().unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.outcome()),
                (&ErrorKind::Cancelled, Outcome::NotSent)
            );
        });
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
    topology.cont_sentinel(0);
    wait_for_held(&deployment, 0);
    let replies = by_hand.command(&words("EXEC"), &within(5000)).unwrap();
    assert_eq!(replies.len(), 2, "not sent, and so it was still to come");
    for (name, write) in &writes(&client, &queue, &client.acquire(5000).unwrap(), &large) {
        match write(5000) {
            Err(error) if matches!(error.kind(), ErrorKind::Server { .. }) => {}
            result => result.unwrap_or_else(|error| panic!("{name}: {error}")),
        }
    }
}

/// An event as `held reason`.
fn told(event: &Reply) -> String {
    let value = |name: &[u8]| event.get(name).unwrap();
    let ms = value(b"milliseconds").integer();
    assert!((400..60_000).contains(&ms), "{ms} ms");
    format!("{} {}", value(b"held").integer(), value(b"reason").text())
}

#[test]
fn held_writes_go_out_in_their_order_when_a_majority_is_heard_again() {
    const SUBMITTED: u64 = 200;
    let topology = Topology::start(Config::default());
    let deployment = fenced(&topology, "400");
    let events = deployment.queue(64).unwrap();
    deployment.watch_events(&events, WRITES_HELD, 0).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(1024).unwrap();
    assert_eq!(text(&client, "SET count 0"), "OK");
    topology.stop_sentinel(1);
    topology.stop_sentinel(2);
    wait_for_held(&deployment, 1);
    let described = deployment.describe().unwrap();
    assert!(described.contains("\"writes\":\"no_majority\""), "{described}");
    assert!(deployment.metric("no_majority_milliseconds").unwrap() >= 400);
    let first = std::sync::Mutex::new(None);
    let began = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let result = run_within(&client, "INCR count", 30_000);
                    first.lock().unwrap().get_or_insert_with(Instant::now);
                    result
                })
            })
            .collect();
        for tag in 0..SUBMITTED {
            let (number, call) = (tag.to_string(), within(30_000));
            let args: [&[u8]; 3] = [b"RPUSH", b"list", number.as_bytes()];
            client.submit(&args, &call, Target::Queue(&queue, tag)).unwrap();
        }
        let all = i64::try_from(SUBMITTED).unwrap() + 4;
        wait_until("held writes", PATIENCE, || {
            deployment.metric("held_writes").unwrap() == all
        });
        assert_eq!(text(&client, "GET count"), "0");
        topology.cont_sentinel(1);
        let began = Instant::now();
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
        began
    });
    let took = first.lock().unwrap().unwrap() - began;
    println!("first write {took:?} after a majority could be heard again");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(completions(&queue, 200).values().all(Result::is_ok));
    let list = run(&client, "LRANGE list 0 -1").unwrap();
    let list: Vec<String> = list.elements().map(|item| item.text().into_owned()).collect();
    let in_order: Vec<String> = (0..SUBMITTED).map(|n| n.to_string()).collect();
    assert_eq!((text(&client, "GET count").as_str(), list), ("4", in_order));
    assert_eq!(deployment.metric("writes_held").unwrap(), 0);
    assert_eq!(deployment.metric("no_majority_milliseconds").unwrap(), 0);
    let mut seen = Vec::new();
    let deadline = Deadline::after(Some(PATIENCE));
    while seen.len() < 2 {
        let polled = events.poll(2, deadline, |entry| seen.push(told(&entry.result.unwrap())));
        assert_ne!(polled, Ok(Polled::Empty), "{seen:?}");
    }
    assert_eq!(seen, ["1 no_majority", "0 "]);
}

#[test]
fn without_a_fence_and_with_a_majority_nothing_waits() {
    let topology = Topology::start(Config::default());
    let (open, fenced) = (fenced(&topology, "-1"), fenced(&topology, "1000"));
    let clients = [&open, &fenced].map(|deployment| deployment.primary_for(Some(SERVICE), None).unwrap());
    clients
        .iter()
        .for_each(|client| assert_eq!(text(client, "SET k v"), "OK"));
    // Of three one is silent, for longer than the fence has patience.
    topology.stop_sentinel(2);
    let (over, slowest) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&over);
        for client in &clients {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (result, took) = timed(|| run_within(client, "SET k v", 5000));
                    result.unwrap();
                    let took = usize::try_from(took.as_millis()).unwrap();
                    slowest.fetch_max(took, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        // It says each second, at the latest, that it lives.
        std::thread::sleep(Duration::from_secs(3));
    });
    assert_eq!(fenced.metric("writes_held").unwrap(), 0);
    let slowest = slowest.into_inner();
    assert!(slowest < 300, "{slowest} ms");
    topology.stop_sentinel(1);
    wait_for_held(&fenced, 1);
    assert_eq!(run_within(&clients[0], "SET k v", 5000).unwrap().text(), "OK");
    run_within(&clients[1], "SET k v", 100).unwrap_err();
}

#[test]
fn a_fence_that_is_too_short_is_refused() {
    for short in ["0", "1", "49"] {
        let set = options(&[1]).set("primary.fence_ms", short).and_then(|()| {
            let options = with(options(&[1]), &[("primary.fence_ms", short)]);
            Deployment::open(&options).map(drop)
        });
        let error = set.unwrap_err();
        assert!(error.to_string().contains("primary.fence_ms"), "{error}");
    }
}
