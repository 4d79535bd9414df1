//! Peers that send anything but what the protocol has: the call fails and says so, the connection ends, and nothing
//! grows with what was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel::base::error::Stage;
use sentinel::{Client, Deployment, ErrorKind, Outcome, Reason};
use sentinel_lab::{FakeNode, FakeSentinel, Mode, Session, wait_until};

use crate::handles::lifecycle::alone;
use crate::support::{
    PATIENCE, SERVICE, assert_attempts, assert_not_found, fail_each, open, options, run, run_within, slowness, text,
    timed, with,
};

/// What a TLS server says to plain words: that is no protocol error but a mistake in the options.
const TLS_ALERT: &str = "a TLS alert";

/// Milliseconds in which a peer has been heard, for a call that will fail.
fn short() -> i64 {
    300 * i64::from(slowness())
}

/// What no server sends, by name.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nesting", b"*1\r\n".repeat(129)),
        ("nesting of maps in attributes", b"|1\r\n%1\r\n".repeat(70)),
        ("a count", b"*2147483647\r\n".to_vec()),
        ("counts in counts", b"*30000000\r\n*30000000\r\n".to_vec()),
        ("a length", b"$999999999999\r\n".to_vec()),
        ("a length beyond 64 bits", b"$99999999999999999999999\r\n".to_vec()),
        ("a negative length", b"$-2\r\n".to_vec()),
        ("a length that is none", b"$1a\r\n".to_vec()),
        (
            "an endless length",
            b"$".iter().chain(&b"0".repeat(100)).copied().collect(),
        ),
        (
            "an endless line",
            b"+".iter().chain(&b"x".repeat(70_000)).copied().collect(),
        ),
        ("a bulk string without its line end", b"$3\r\nabcdef\r\n".to_vec()),
        ("a length with a line feed alone", b"$3\nabc\n".to_vec()),
        ("a push inside a reply", b"*2\r\n>1\r\n+x\r\n:1\r\n".to_vec()),
        ("a streamed string", b"$?\r\n;1\r\na\r\n;0\r\n".to_vec()),
        ("a streamed array", b"*?\r\n:1\r\n.\r\n".to_vec()),
        ("an attribute of nothing, for ever", b"|1\r\n+a\r\n|0\r\n".repeat(200)),
        (
            "HTTP",
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
        (TLS_ALERT, vec![0x15, 3, 1, 0, 2, 2, 0x46]),
        ("a TLS hello", [&[0x16, 3, 1, 2, 0, 1], [0; 512].as_slice()].concat()),
        ("zeros", vec![0; 64]),
        ("a memcached error", b"ERROR\r\n".to_vec()),
    ]
}

/// Answers this command so, and then nothing any more.
fn answering(
    command: &'static str,
    bytes: Arc<Vec<u8>>,
) -> impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync + 'static {
    move |session, args| {
        let is_it = args[0].eq_ignore_ascii_case(command.as_bytes());
        if is_it {
            session.send(&*bytes);
        }
        is_it
    }
}

struct World {
    node: FakeNode,
    _sentinel: FakeSentinel,
    deployment: Deployment,
    client: Client,
}

fn world(node: FakeNode, keys: &[(&str, &str)]) -> World {
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    World {
        node,
        _sentinel: sentinel,
        deployment,
        client,
    }
}

/// Each of them as the answer to a command, which travels on a lane when all direct connections are in use.
fn assert_answers_are_refused(on_lane: bool) {
    for (name, bytes) in hostile() {
        let say = answering("SAY", Arc::new(bytes));
        let node = FakeNode::builder()
            .on(move |session, args| args[0] == b"STALL".as_slice() || say(session, args))
            .start();
        let world = world(node, &[("pool.direct", "1")]);
        text(&world.client, "SET k v");
        if !on_lane {
            assert_answer_is_refused(name, &world);
            continue;
        }
        std::thread::scope(|scope| {
            let stalled = scope.spawn(|| run_within(&world.client, "STALL", 10_000));
            world.node.wait_for_command("STALL", PATIENCE);
            assert_answer_is_refused(name, &world);
            world.deployment.close(1000).unwrap();
            assert!(stalled.join().unwrap().is_err());
        });
    }
}

fn assert_answer_is_refused(name: &str, world: &World) {
    let (result, took) = timed(|| run_within(&world.client, "SAY", 5000));
    let error = result.expect_err(name);
    assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{name}: {error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{name}");
    assert!(took < Duration::from_secs(1), "{name} took {took:?}");
    assert_eq!(text(&world.client, "GET k"), "v", "{name}");
    assert_eq!(world.node.count("SAY"), 1, "{name}: it was sent again");
    let commands = world.node.commands();
    let said = commands.iter().position(|command| command.text() == "SAY").unwrap();
    let (used, later) = (commands[said].connection, &commands[said + 1..]);
    assert!(
        later.iter().all(|command| command.connection != used),
        "{name}: that connection was used on"
    );
}

#[test]
fn what_is_no_reply_is_a_protocol_error_and_ends_the_connection() {
    assert_answers_are_refused(false);
}

#[test]
fn what_is_no_reply_is_a_protocol_error_on_a_lane_too() {
    assert_answers_are_refused(true);
}

#[test]
fn a_node_that_greets_with_nonsense_is_told_in_the_attempts() {
    for (name, bytes) in hostile() {
        let node = FakeNode::builder().on(answering("HELLO", Arc::new(bytes))).start();
        let world = world(node, &[("retry.backoff_min_ms", "50")]);
        let error = run_within(&world.client, "SET k v", short()).expect_err(name);
        let kind = ErrorKind::PrimaryNotFound {
            service: SERVICE.into(),
            reason: Reason::NodeUnreachable,
        };
        assert_eq!(error.outcome(), Outcome::NotSent, "{name}");
        if name == TLS_ALERT {
            assert!(matches!(error.kind(), ErrorKind::Tls { .. }), "{name}: {error}");
            let told = (world.node.port(), Stage::Tls, "the server speaks TLS there");
            assert_attempts(name, &error, &[told]);
        } else {
            assert_eq!(error.kind(), &kind, "{name}: {error}");
            assert_attempts(name, &error, &[(world.node.port(), Stage::Connect, "protocol error")]);
        }
        wait_until("the connections to end", PATIENCE, || {
            world.node.open_connections() == 0
        });
    }
}

#[test]
fn a_node_that_answers_hello_with_another_protocol_is_told_in_the_attempts() {
    let replies: [(&str, &[u8]); 4] = [
        ("a status", b"+OK\r\n"),
        ("a number", b":3\r\n"),
        ("protocol 4", b"%1\r\n$5\r\nproto\r\n:4\r\n"),
        ("protocol 2 in RESP3", b"%1\r\n$5\r\nproto\r\n:2\r\n"),
    ];
    for (name, reply) in replies {
        let node = FakeNode::builder()
            .on(answering("HELLO", Arc::new(reply.to_vec())))
            .start();
        let world = world(node, &[("retry.backoff_min_ms", "50")]);
        let error = run_within(&world.client, "SET k v", short()).expect_err(name);
        assert_attempts(name, &error, &[(world.node.port(), Stage::Connect, "protocol error")]);
        wait_until("the connections to end", PATIENCE, || {
            world.node.open_connections() == 0
        });
        assert_eq!(world.node.count("SET"), 0, "{name}");
    }
}

#[test]
fn a_sentinel_that_greets_or_answers_with_nonsense_is_told_in_the_attempts() {
    for (name, bytes) in hostile() {
        let bytes = Arc::new(bytes);
        let sentinels = [
            FakeSentinel::builder(SERVICE, 1)
                .on(answering("HELLO", Arc::clone(&bytes)))
                .start(),
            FakeSentinel::builder(SERVICE, 1)
                .view(|view| view.mode = Mode::Raw(bytes.to_vec()))
                .start(),
        ];
        let ports = [sentinels[0].port(), sentinels[1].port()];
        let deployment = open(&ports);
        let failures = fail_each(&deployment, short(), &[]);
        let greeting = match name == TLS_ALERT {
            true => (ports[0], Stage::Tls, "the server speaks TLS there"),
            false => (ports[0], Stage::Connect, "protocol error"),
        };
        let attempts = [greeting, (ports[1], Stage::Query, "protocol error")];
        for failure in &failures {
            assert_attempts(name, &failure.error, &attempts);
        }
        assert_not_found(&failures, Reason::NoSentinelReachable, &[]);
        drop(deployment);
        wait_until("the connections to end", PATIENCE, || {
            sentinels.iter().all(|sentinel| sentinel.open_connections() == 0)
        });
    }
}

#[test]
fn an_honest_sentinel_is_enough_beside_a_hostile_one() {
    let node = FakeNode::start();
    for (name, bytes) in hostile() {
        let liar = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.mode = Mode::Raw(bytes))
            .start();
        let honest = FakeSentinel::start(SERVICE, node.port());
        let deployment = open(&[liar.port(), honest.port()]);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        assert!(run_within(&client, "SET k v", 2000).is_ok(), "{name}");
    }
}

#[test]
fn no_error_of_a_greeting_repeats_the_password() {
    const SECRET: &str = "node-secret";
    let told: [(&str, &str); 3] = [("SELECT", "ERR DB"), ("SELECT", "BUSY"), ("PING", "LOADING")];
    for (command, code) in told {
        let node = FakeNode::builder()
            .password(SECRET)
            .on(move |session, args| {
                let is_it = args[0] == command.as_bytes();
                if is_it {
                    session.error(&format!("{code} you said {SECRET}"));
                }
                is_it
            })
            .start();
        let world = world(node, &[("password", SECRET), ("database", "1")]);
        let error = run_within(&world.client, "SET k v", 200).unwrap_err();
        assert!(error.to_string().contains("you said ***"), "{command} {code}: {error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{command} {code}");
    }
}

/// Peak of the resident memory in KiB since [`forget_peak`].
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[test]
fn a_peer_that_never_ends_its_reply_costs_no_memory() {
    alone(
        "wire::hostile::a_peer_that_never_ends_its_reply_costs_no_memory",
        || {
            const MIB: usize = 1 << 20;
            let floods: [(&'static str, &'static [u8]); 5] = [
                ("a line", b"x"),
                ("nesting", b"*1\r\n"),
                ("attributes", b"|0\r\n"),
                ("an array of nils", b"_\r\n"),
                ("a bulk string over the limit", b"$999999999999\r\nx"),
            ];
            for (name, unit) in floods {
                let node = FakeNode::builder()
                    .on(move |session, args| {
                        if args[0] != b"SAY".as_slice() {
                            return false;
                        }
                        session.send(if unit == b"x" { "+" } else { "*33554432\r\n" });
                        let chunk = unit.repeat(MIB / unit.len());
                        // 256 MiB: what is sent to a connection that has ended is lost.
                        (0..256).for_each(|_| session.send(&chunk));
                        true
                    })
                    .start();
                let world = world(node, &[("max_reply_bytes", "4194304")]);
                text(&world.client, "SET k v");
                forget_peak();
                let before = peak_kib();
                let started = Instant::now();
                let error = run_within(&world.client, "SAY", 10_000).expect_err(name);
                assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{name}: {error}");
                assert!(
                    started.elapsed() < Duration::from_secs(5),
                    "{name} took {:?}",
                    started.elapsed()
                );
                let grown = peak_kib() - before;
                assert!(grown < 16 * 1024, "{name}: {grown} KiB more");
                assert_eq!(text(&world.client, "GET k"), "v");
            }
        },
    );
}

#[test]
fn a_reply_over_the_limit_is_refused_at_its_header() {
    let node = FakeNode::builder()
        .on(answering("SAY", Arc::new(b"$999999999999\r\n".to_vec())))
        .start();
    let world = world(node, &[("max_reply_bytes", "1000")]);
    let (result, took) = timed(|| run_within(&world.client, "SAY", 5000));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("max_reply_bytes (1000)"), "{error}");
    assert!(took < Duration::from_secs(1), "nothing is waited for: {took:?}");
}

#[test]
fn a_million_elements_in_small_pieces_take_time_in_proportion() {
    const ELEMENTS: usize = 1_000_000;
    let reply = Arc::new(format!("*{ELEMENTS}\r\n{}", ":1\r\n".repeat(ELEMENTS)).into_bytes());
    let node = FakeNode::builder()
        .on(move |session, args| {
            let is_it = args[0] == b"SAY".as_slice();
            if is_it {
                session.send_pieces(&*reply, 1009, Duration::ZERO);
            }
            is_it
        })
        .start();
    let world = world(node, &[]);
    let (result, took) = timed(|| run(&world.client, "SAY"));
    assert_eq!(result.unwrap().len(), ELEMENTS);
    // Four thousand writes and reads on a busy machine; a decoder that began anew with each would take minutes.
    assert!(took < Duration::from_secs(4), "{took:?}");
}
