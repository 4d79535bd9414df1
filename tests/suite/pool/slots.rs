//! The places of `pool.max_connections` come back, whatever becomes of the connections that held them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::completion::Target;
use sentinel::resp::Reply;
use sentinel::{CallOptions, Client, Connection, Deployment, ErrorKind, Result};
use sentinel_lab::{Cut, FakeNode, FakeSentinel, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, completions, open, options, run_within, timed, with, within, words};

/// `pool.max_connections`.
const PLACES: usize = 5;

/// A node that resets a connection, breaks the protocol, and never answers a command that waits.
fn node() -> FakeNode {
    FakeNode::builder()
        .on(|session, args| {
            match args[0].as_slice() {
                b"BOOM" => session.reset(),
                b"NOISE" => session.send("?\r\n"),
                b"BLPOP" => {}
                _ => return false,
            }
            true
        })
        .start()
}

fn on(connection: &mut Connection, command: &str) -> Result<Reply> {
    connection.command(&words(command), &within(50))
}

/// One way to hold a place and to fail.
fn fail(client: &Client, way: usize) -> Result<()> {
    match way % 8 {
        0 => on(&mut client.acquire(30)?, "BOOM").map(drop),
        1 => on(&mut client.acquire(30)?, "NOISE").map(drop),
        2 => run_within(client, "BLPOP k 5", 3).map(drop),
        // Cut by the scene, if it comes in time.
        3 => run_within(client, "BLPOP k 0", 40).map(drop),
        4 => {
            let _held = client.acquire(30)?;
            let _held = (client.acquire(2)?, client.acquire(2)?, client.acquire(2)?);
            client.acquire(1).and(client.acquire(1)).map(drop)
        }
        5 => client.acquire(1).map(drop),
        6 => {
            let mut own = client.acquire(30)?;
            on(&mut own, "SELECT 3")?;
            on(&mut own, "NO.SUCH").map(drop)
        }
        _ => {
            let call = CallOptions {
                replicas: 3,
                ..within(5)
            };
            client.command(&words("SET k v"), &call).map(drop)
        }
    }
}

/// What goes wrong outside of the process, one after the other.
fn disturb(turn: usize, nodes: &[FakeNode; 2], sentinel: &FakeSentinel) {
    let (serving, next) = (&nodes[turn / 5 % 2], &nodes[(turn / 5 + 1) % 2]);
    match turn % 5 {
        0 => serving.cut_all(Cut::Reset),
        1 => serving.cut_all(Cut::Close),
        2 => serving.die(),
        3 => serving.listen(),
        _ => {
            sentinel.switch_master("127.0.0.1", next.port());
        }
    }
}

#[test]
fn every_place_is_free_after_thousands_of_failures() {
    let wanted: usize = std::env::var("FAILURES").map_or(2000, |count| count.parse().expect("FAILURES is a number"));
    let nodes = [node(), node()];
    let sentinel = FakeSentinel::start(SERVICE, nodes[0].port());
    let keys = [("pool.max_connections", "5"), ("connect_timeout_ms", "300")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(2000).unwrap();
    sentinel.wait_for_subscribers(1, PATIENCE);
    let (done, failures) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        for thread in 0..8 {
            let (client, done, failures) = (&client, &done, &failures);
            scope.spawn(move || {
                let mut way = thread;
                while !done.load(Ordering::Relaxed) {
                    way += 1;
                    failures.fetch_add(usize::from(fail(client, way).is_err()), Ordering::SeqCst);
                }
            });
        }
        let mut turn = 0;
        while failures.load(Ordering::SeqCst) < wanted || turn % 5 != 0 {
            disturb(turn, &nodes, &sentinel);
            turn += 1;
            let before = failures.load(Ordering::SeqCst);
            wait_until("failures", PATIENCE, || failures.load(Ordering::SeqCst) >= before + 25);
        }
        drop(guard);
        println!("{} failures, {turn} disturbances", failures.load(Ordering::SeqCst));
    });
    let count = |command| nodes.iter().map(|node| node.count(command)).sum::<usize>();
    let [cut, broken, waited] = ["BOOM", "NOISE", "BLPOP"].map(count);
    println!("{cut} connections reset, {broken} broken, {waited} waited on");
    assert!(cut >= 10 && broken >= 10 && waited >= 10, "{cut} {broken} {waited}");
    let mut held: Vec<Connection> = (0..PLACES)
        .map(|place| {
            client
                .acquire(5000)
                .unwrap_or_else(|error| panic!("place {place}: {error}"))
        })
        .collect();
    for connection in &mut held {
        assert_eq!(on(connection, "ECHO own").unwrap().text(), "own");
    }
    let (result, took) = timed(|| client.acquire(200));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: PLACES }, "{error}");
    let limit = Duration::from_millis(200);
    assert!(took >= limit && took <= limit + SLACK, "{took:?}");
    let open: usize = nodes.iter().map(|node| node.open_connections()).sum();
    assert!(open <= PLACES + 4, "{open} connections are open");
}

#[test]
fn a_blocking_call_that_is_cancelled_says_nothing_about_its_node() {
    let node = FakeNode::builder().on(|_, args| args[0] == b"BLPOP").start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    for turn in 1..4 {
        let blocked = client
            .submit(
                &words("BLPOP none 0"),
                &CallOptions::default(),
                Target::Queue(&queue, turn),
            )
            .unwrap();
        wait_until("the node has it", PATIENCE, || node.count("BLPOP") as u64 == turn);
        client.cancel(blocked).unwrap();
        let error = completions(&queue, 1).remove(&turn).unwrap().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Cancelled);
    }
    assert_eq!(deployment.metric("connections_lost_total"), Ok(0));
}
