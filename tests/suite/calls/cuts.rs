//! A connection that is cut at any byte of a request or of a reply: what the call says of it, and what was done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sentinel::{Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Cut, FakeNode, FakeSentinel, Proxy, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, open, overrides, run, text, words};

/// A scripted node behind a line that can be cut, and its Sentinel.
struct World {
    node: FakeNode,
    proxy: Proxy,
    _sentinel: FakeSentinel,
    deployment: Deployment,
}

impl World {
    fn new() -> World {
        let node = FakeNode::start();
        let proxy = Proxy::to(node.port());
        let sentinel = FakeSentinel::start(SERVICE, proxy.port());
        let deployment = open(&[sentinel.port()]);
        World {
            node,
            proxy,
            _sentinel: sentinel,
            deployment,
        }
    }

    fn client(&self, pairs: &[(&str, &str)]) -> Client {
        let client = self.deployment.primary_for(Some(SERVICE), Some(&overrides(pairs)));
        let client = client.unwrap();
        text(&client, "SET warm up");
        client
    }
}

/// The request of a command of words as it goes over the wire.
fn encoded(command: &str) -> String {
    let args = words(command);
    let each = args
        .iter()
        .map(|arg| format!("${}\r\n{}\r\n", arg.len(), String::from_utf8_lossy(arg)));
    format!("*{}\r\n{}", args.len(), each.collect::<String>())
}

/// Whether bytes of the request or of the reply are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Request,
    Reply,
}

/// One world for each number of bytes, four at a time: a line that is cut again and again would be dialled ever later.
fn at_every_byte(len: usize, check: impl Fn(usize, Cut) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn > 2 * len + 1 {
                        return;
                    }
                    let how = if turn % 2 == 0 { Cut::Close } else { Cut::Reset };
                    check(turn / 2, how);
                }
            });
        }
    });
}

fn cut(world: &World, side: Side, text: &str, bytes: usize, how: Cut) {
    match side {
        Side::Request => world.proxy.cut_at_from_client(text, bytes, how),
        Side::Reply => world.proxy.cut_at_from_server(text, bytes, how),
    }
}

/// A write whose line is cut behind `bytes` bytes.
fn write_is_cut(side: Side, bytes: usize, how: Cut) {
    let world = World::new();
    let client = world.client(&[]);
    let before = 1_000_000_007;
    text(&client, &format!("SET n {before}"));
    let (request, reply) = (encoded("INCR n"), format!(":{}\r\n", before + 1));
    let (marked, whole) = match side {
        Side::Request => (&request, false),
        Side::Reply => (&reply, bytes == reply.len()),
    };
    cut(&world, side, marked, bytes, how);
    let result = run(&client, "INCR n");
    let told = format!("{side:?} cut ({how:?}) behind byte {bytes}: {result:?}");
    assert!(!world.proxy.is_cut_due(), "{told}");
    let executed = || -> i64 {
        let value = world.node.value("n").unwrap();
        String::from_utf8_lossy(&value).parse::<i64>().unwrap() - before
    };
    let reached = side == Side::Reply || bytes == request.len();
    if reached {
        wait_until("the write to be executed", PATIENCE, || executed() > 0);
    }
    match &result {
        Ok(reply) => assert!(reply.integer() == before + 1 && (whole || reached), "{told}"),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{told}");
            assert_eq!(
                error.outcome(),
                Outcome::Unknown,
                "bytes of it were on their way: {told}"
            );
            assert!(!whole || how == Cut::Reset, "the reply had come: {told}");
        }
    }
    assert_eq!(world.node.count("INCR"), usize::from(reached), "sent once: {told}");
    assert_eq!(executed(), i64::from(reached), "{told}");
    // The next call gets its own reply. It is a read, for the end of the line may come after a whole reply.
    let next = text(&client, "GET n");
    assert_eq!(next, (before + i64::from(reached)).to_string(), "{told}");
}

#[test]
fn a_write_cut_at_any_byte_of_its_request_is_unknown_and_not_sent_again() {
    at_every_byte(encoded("INCR n").len(), |bytes, how| {
        write_is_cut(Side::Request, bytes, how);
    });
}

#[test]
fn a_write_cut_at_any_byte_of_its_reply_is_unknown_and_not_sent_again() {
    at_every_byte(":1000000008\r\n".len(), |bytes, how| {
        write_is_cut(Side::Reply, bytes, how);
    });
}

/// A read whose line is cut behind `bytes` bytes.
fn read_is_cut(side: Side, bytes: usize, how: Cut) {
    let world = World::new();
    let client = world.client(&[]);
    text(&client, "SET own unique-value");
    let marked = match side {
        Side::Request => encoded("GET own"),
        Side::Reply => "$12\r\nunique-value\r\n".to_owned(),
    };
    cut(&world, side, &marked, bytes, how);
    let result = run(&client, "GET own");
    let told = format!("{side:?} cut ({how:?}) behind byte {bytes}: {result:?}");
    assert!(!world.proxy.is_cut_due(), "{told}");
    assert_eq!(result.as_ref().unwrap().text(), "unique-value", "{told}");
    let came = match (side, bytes == marked.len()) {
        (Side::Request, false) => 1..=1,
        (Side::Reply, false) => 2..=2,
        (_, true) => 1..=2,
    };
    let sent = world.node.count("GET");
    assert!(came.contains(&sent), "{sent} GETs arrived: {told}");
    assert_eq!(text(&client, "ECHO next"), "next", "{told}");
}

#[test]
fn a_read_cut_at_any_byte_of_its_request_is_repeated() {
    at_every_byte(encoded("GET own").len(), |bytes, how| {
        read_is_cut(Side::Request, bytes, how);
    });
}

#[test]
fn a_read_cut_at_any_byte_of_its_reply_is_repeated() {
    at_every_byte("$12\r\nunique-value\r\n".len(), |bytes, how| {
        read_is_cut(Side::Reply, bytes, how);
    });
}

#[test]
fn a_set_cut_at_any_byte_without_repetitions_is_unknown() {
    let request = encoded("SET k value");
    at_every_byte(request.len(), |bytes, how| {
        let world = World::new();
        let client = world.client(&[]);
        cut(&world, Side::Request, &request, bytes, how);
        let call = sentinel::CallOptions {
            no_retry: true,
            ..Default::default()
        };
        let result = client.command(&words("SET k value"), &call);
        if bytes < request.len() {
            assert_eq!(result.unwrap_err().outcome(), Outcome::Unknown, "byte {bytes}");
            assert_eq!(world.node.value("k"), None, "byte {bytes}");
        } else {
            wait_until("the write", PATIENCE, || world.node.value("k").is_some());
            let safe = result.is_ok_and(|reply| reply.text() == "OK");
            assert!(safe || world.node.count("SET k") == 1);
        }
        assert!(world.node.count("SET k") <= 1, "byte {bytes}");
    });
}

/// What the threads of a crowd have seen.
#[derive(Default)]
struct Seen {
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
}

/// Reads with values that are unique, and writes that are counted, until `done`.
fn use_line(client: &Client, thread: usize, done: &AtomicBool, seen: &Seen) {
    let mut turn = 0;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let own = format!("{thread}:{turn}");
        assert_eq!(text(client, &format!("ECHO {own}")), own, "a read is repeated");
        match run(client, "INCR crowd") {
            Ok(_) => seen.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                assert_eq!(
                    error.outcome(),
                    Outcome::Unknown,
                    "what was not sent is repeated: {error}"
                );
                seen.unknown.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

/// Cuts the line of six threads at each of so many bytes of requests and of replies.
fn crowd_is_cut(keys: &[(&str, &str)]) {
    let world = World::new();
    let client = world.client(keys);
    let (done, seen) = (AtomicBool::new(false), Seen::default());
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let (client, done, seen) = (&client, &done, &seen);
                scope.spawn(move || use_line(client, thread, done, seen))
            })
            .collect();
        let ended = || threads.iter().any(|thread| thread.is_finished());
        for bytes in 0..encoded("INCR crowd").len() {
            let how = if bytes % 2 == 0 { Cut::Close } else { Cut::Reset };
            let (side, marked) = match bytes % 3 {
                0 => (Side::Reply, ":"),
                _ => (Side::Request, "*2\r\n$4\r\nINCR"),
            };
            cut(&world, side, marked, bytes, how);
            wait_until("the cut", PATIENCE, || !world.proxy.is_cut_due() || ended());
        }
    });
    let count: usize = text(&client, "GET crowd").parse().unwrap();
    let (acknowledged, unknown) = (seen.acknowledged.into_inner(), seen.unknown.into_inner());
    assert!(unknown > 0, "the cuts met nothing");
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&count),
        "{acknowledged} acknowledged and {unknown} unknown, but {count} were done"
    );
}

#[test]
fn callers_on_connections_of_their_own_get_no_others_reply_when_these_are_cut() {
    crowd_is_cut(&[("pool.direct", "6")]);
}

#[test]
fn callers_on_a_lane_get_no_others_reply_when_it_is_cut() {
    crowd_is_cut(&[("pool.direct", "1")]);
}
