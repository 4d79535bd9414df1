//! Everything a server may say arrives as it was said.

use std::time::{Duration, Instant};

use sentinel::resp::{Kind, Reply};
use sentinel::{CallOptions, Client, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{FakeNode, FakeSentinel, Session, servers_since, wait_until};

use crate::support::{
    PATIENCE, SERVICE, open, open_on, options, overrides, run, sentinel_ports, shared, text, timed, with,
};

fn eval(client: &Client, script: &str) -> Result<Reply> {
    client.command(&[b"EVAL", script.as_bytes(), b"0"], &CallOptions::default())
}

#[test]
fn resp3_kinds_of_a_real_server_are_told_apart() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "DEL r3:h r3:s r3:z");
    text(&client, "HSET r3:h one 1 two 2");
    text(&client, "SADD r3:s m");
    text(&client, "ZADD r3:z 1.5 m");
    let map = run(&client, "HGETALL r3:h").unwrap();
    assert_eq!((map.kind(), map.len()), (Kind::Map, 2));
    assert_eq!(map.key_at(0).unwrap().data(), b"one");
    assert_eq!(map.value_at(0).unwrap().data(), b"1");
    assert_eq!(map.get(b"two").unwrap().data(), b"2");
    assert_eq!(run(&client, "SMEMBERS r3:s").unwrap().kind(), Kind::Set);
    let score = run(&client, "ZSCORE r3:z m").unwrap();
    assert_eq!((score.kind(), score.double()), (Kind::Double, 1.5));
    let info = run(&client, "INFO server").unwrap();
    assert_eq!(
        (info.kind(), info.verbatim_format()),
        (Kind::Verbatim, Some(&b"txt"[..]))
    );
    assert!(info.text().starts_with("# Server"));
    assert!(run(&client, "GET r3:none").unwrap().is_nil());
    assert_eq!(
        eval(&client, "redis.setresp(3); return true").unwrap().kind(),
        Kind::Bool
    );
    if !servers_since((7, 0)) {
        return;
    }
    let big = eval(&client, "return {big_number='1234567890123456789012345'}").unwrap();
    assert_eq!(
        (big.kind(), big.data()),
        (Kind::BigNumber, &b"1234567890123456789012345"[..])
    );
}

#[test]
fn resp2_replies_of_a_real_server_are_flat() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("protocol", "2")])))
        .unwrap();
    text(&client, "DEL r2:h");
    text(&client, "HSET r2:h one 1 two 2");
    let flat = run(&client, "HGETALL r2:h").unwrap();
    let items: Vec<_> = flat.elements().map(|item| item.text().into_owned()).collect();
    assert_eq!((flat.kind(), items.join(" ")), (Kind::Array, "one 1 two 2".to_owned()));
    assert!(run(&client, "GET r2:none").unwrap().is_nil());
    assert!(run(&client, "BLPOP r2:none 0.01").unwrap().is_nil());
}

#[test]
fn nested_arrays_keep_their_shape_and_the_errors_within() {
    let topology = shared();
    let deployment = open_on(&topology);
    for protocol in ["2", "3"] {
        let client = deployment
            .primary_for(Some(SERVICE), Some(&overrides(&[("protocol", protocol)])))
            .unwrap();
        let reply = eval(&client, "return {1,{2,{'x',{}}},redis.error_reply('MY nested'),'end'}").unwrap();
        assert_eq!((reply.kind(), reply.len()), (Kind::Array, 4));
        let inner = reply.at(1).unwrap().at(1).unwrap();
        assert_eq!(
            (inner.at(0).unwrap().data(), inner.at(1).unwrap().len()),
            (&b"x"[..], 0)
        );
        let error = reply.at(2).unwrap();
        assert_eq!((error.kind(), &*error.text()), (Kind::Error, "MY nested"));
        assert_eq!(reply.at(3).unwrap().data(), b"end");
        assert!(reply.at(4).is_none());
    }
}

#[test]
fn keys_and_values_are_binary() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let key = [b"binary:\0\r\n".as_slice(), &all].concat();
    client.command(&[b"SET", &key, &all], &CallOptions::default()).unwrap();
    assert_eq!(
        client.command(&[b"GET", &key], &CallOptions::default()).unwrap().data(),
        all
    );
    client.command(&[b"SET", &key, b""], &CallOptions::default()).unwrap();
    let empty = client.command(&[b"GET", &key], &CallOptions::default()).unwrap();
    assert_eq!((empty.kind(), empty.data().len()), (Kind::String, 0));
    client.command(&[b"DEL", &key], &CallOptions::default()).unwrap();
}

#[test]
fn a_value_of_5_mib_goes_there_and_back() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let value: Vec<u8> = (0..5 << 20).map(|i: u32| i.to_le_bytes()[(i % 3) as usize]).collect();
    client
        .command(&[b"SET", b"big", &value], &CallOptions::default())
        .unwrap();
    let reply = client.command(&[b"GET", b"big"], &CallOptions::default()).unwrap();
    assert!(reply.data() == value, "{} bytes came back", reply.data().len());
    text(&client, "DEL big");
}

#[test]
fn limits_on_replies_end_the_connection_and_not_the_client() {
    let topology = shared();
    let keys = [("max_reply_bytes", "2000"), ("max_reply_depth", "3")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    for script in ["return string.rep('x', 3000)", "return {{{{{1}}}}}"] {
        let error = eval(&client, script).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{script}: {error}");
        assert_eq!(error.outcome(), Outcome::Unknown, "{script}");
        assert_eq!(text(&client, "ECHO after"), "after");
    }
}

/// A client of a scripted node.
struct Scripted {
    node: FakeNode,
    _sentinel: FakeSentinel,
    client: Client,
}

/// A client of a node that answers each command `SAY` as `say` does.
fn with_node(say: impl Fn(&mut Session) + Send + Sync + 'static) -> Scripted {
    let answer = move |session: &mut Session, args: &[Vec<u8>]| {
        let said = args[0] == b"SAY";
        if said {
            say(session);
        }
        said
    };
    let node = FakeNode::builder().on(answer).start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    Scripted {
        node,
        _sentinel: sentinel,
        client,
    }
}

#[test]
fn maps_keep_order_duplicates_and_keys_of_any_kind() {
    let wire = b"%4\r\n:1\r\n+a\r\n:1\r\n+b\r\n*1\r\n:7\r\n+c\r\n_\r\n$-1\r\n";
    let Scripted { client, .. } = &with_node(move |session| session.send(wire));
    let reply = run(client, "SAY").unwrap();
    assert_eq!((reply.kind(), reply.len()), (Kind::Map, 4));
    assert_eq!(
        (reply.key_at(0).unwrap().integer(), &*reply.value_at(0).unwrap().text()),
        (1, "a")
    );
    assert_eq!(
        (reply.key_at(1).unwrap().integer(), &*reply.value_at(1).unwrap().text()),
        (1, "b")
    );
    assert_eq!(reply.key_at(2).unwrap().at(0).unwrap().integer(), 7);
    assert!(
        reply.key_at(3).unwrap().is_nil() && reply.value_at(3).unwrap().is_nil(),
        "two spellings of nil"
    );
}

#[test]
fn both_spellings_of_a_resp2_nil_are_nil_on_a_resp3_connection() {
    for nil in ["$-1\r\n", "*-1\r\n", "_\r\n"] {
        let Scripted { client, .. } = &with_node(move |session| session.send(nil));
        assert!(run(client, "SAY").unwrap().is_nil(), "{nil:?}");
    }
}

#[test]
fn a_reply_may_come_byte_by_byte_and_with_pushes_and_attributes_around_it() {
    let wire = b">2\r\n+invalidate\r\n_\r\n|1\r\n+ttl\r\n:9\r\n*2\r\n$3\r\nabc\r\n~1\r\n#t\r\n";
    let Scripted { client, .. } = &with_node(move |session| session.send_slowly(wire, Duration::from_micros(200)));
    for _ in 0..3 {
        let reply = run(client, "SAY").unwrap();
        assert_eq!((reply.kind(), reply.len()), (Kind::Array, 2), "{reply:?}");
        assert_eq!(reply.at(1).unwrap().kind(), Kind::Set);
        assert_eq!(text(client, "ECHO next"), "next");
    }
}

#[test]
fn broken_protocol_ends_the_connection_and_not_the_client() {
    let broken: [&[u8]; 6] = [
        b"?\r\n",
        b"$3\r\nabcd\r\n",
        b":x\r\n",
        b"$-2\r\n",
        b"*99999999999\r\n",
        b"\r\n",
    ];
    for bytes in broken {
        let Scripted { node, client, .. } = &with_node(move |session| session.send(bytes));
        let error = run(client, "SAY").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Protocol { .. }),
            "{}: {error}",
            bytes.escape_ascii()
        );
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.endpoint(), Some(&*node.address()));
        assert_eq!(node.count("SAY"), 1, "it may have been executed: never sent again");
        assert_eq!(text(client, "ECHO next"), "next");
    }
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_the_next_calls() {
    let Scripted { client, .. } = &with_node(move |session| session.send("+first\r\n+unasked\r\n"));
    for _ in 0..10 {
        assert_eq!(text(client, "SAY"), "first");
        assert_eq!(text(client, "ECHO own"), "own");
    }
}

#[test]
fn an_unasked_reply_on_an_idle_connection_is_not_the_next_calls() {
    let Scripted { node, client, .. } = &with_node(|session| session.ok());
    assert_eq!(text(client, "SAY"), "OK");
    assert!(node.broadcast("+unasked\r\n") > 0);
    // Calls in a row are not looked at, so that they pay no system call for it: the least pause is enough.
    let sent = Instant::now();
    wait_until("a pause", PATIENCE, || sent.elapsed() > Duration::from_millis(1));
    let next = run(client, "ECHO own").map(|reply| reply.text().into_owned());
    assert_ne!(next.as_deref(), Ok("unasked"));
}

#[test]
fn a_write_whose_connection_dies_unanswered_is_unknown_and_a_read_is_repeated() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let first_get = args[0] == b"GET" && session.id() == 0;
            if args[0] == b"INCR" || first_get {
                session.close();
            }
            args[0] == b"INCR" || first_get
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&options(&[sentinel.port()])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert!(run(&client, "GET k").unwrap().is_nil());
    assert_eq!(node.count("GET"), 2, "a read is sent again");
    let error = run(&client, "INCR n").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(node.count("INCR"), 1, "a write is not");
    let call = CallOptions {
        retry_unknown: true,
        timeout_ms: 3000,
        ..CallOptions::default()
    };
    let error = client.command(&[b"INCR", b"n"], &call).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let sent = node.count("INCR");
    assert!(sent > 2, "unless the caller says so: {sent} times, {error}");
    let once = CallOptions {
        no_retry: true,
        ..CallOptions::default()
    };
    node.forget_commands();
    node.cut_all(sentinel_lab::Cut::Close);
    sentinel_lab::wait_until("a read without repetition", PATIENCE, || {
        client.command(&[b"GET", b"k"], &once).is_ok()
    });
}

#[test]
fn one_lost_connection_is_replaced_without_a_wait() {
    for round in 0..4 {
        let Scripted { client, .. } = &with_node(|session| session.close());
        assert!(run(client, "SAY").is_err());
        let (next, took) = timed(|| text(client, "ECHO next"));
        assert_eq!(next, "next");
        assert!(
            took < Duration::from_millis(250),
            "round {round}: the next call took {took:?}"
        );
    }
}
