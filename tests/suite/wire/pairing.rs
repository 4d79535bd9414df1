//! Replies in pieces, between pushes, in the wrong number, or errors at any place: each call takes its own.

use std::time::Duration;

use sentinel::resp::{Kind, Reply};
use sentinel::{Batch, BatchKind, CallOptions, Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel, Proxy, Role, Session};

use crate::support::{
    PATIENCE, SERVICE, SLACK, batch, open, open_on, overrides, run, serving_port, shared, text, timed, within,
};

const KINDS: [BatchKind; 2] = [BatchKind::Pipeline, BatchKind::Transaction];

fn texts(reply: &Reply) -> Vec<String> {
    reply.elements().map(|element| element.text().into_owned()).collect()
}

fn batch_of(kind: BatchKind, commands: &[String]) -> Batch {
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    batch(kind, &commands)
}

/// A client whose callers are all on connections of their own, and one whose callers are a crowd from the second on.
fn clients(deployment: &Deployment) -> [Client; 2] {
    ["8", "1"].map(|direct| {
        deployment
            .primary_for(Some(SERVICE), Some(&overrides(&[("pool.direct", direct)])))
            .unwrap()
    })
}

/// Runs `calls` on four threads at once.
fn at_once(calls: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let calls = &calls;
            scope.spawn(move || calls(thread));
        }
    });
}

#[test]
fn replies_of_a_real_server_come_whole_when_each_packet_is_one_byte() {
    let topology = shared();
    let proxy = Proxy::to(topology.node(topology.primary()).port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let deployment = open(&[sentinel.port()]);
    for client in clients(&deployment) {
        text(&client, "DEL bytes:list");
        text(&client, "RPUSH bytes:list one two three");
        proxy.slice(1);
        at_once(|thread| {
            let own = format!("own-{thread}\r\n+OK");
            let echo: [&[u8]; 2] = [b"ECHO", own.as_bytes()];
            for turn in 0..3 {
                let reply = client.command(&echo, &CallOptions::default()).unwrap();
                assert_eq!(reply.text(), own);
                let list = run(&client, "LRANGE bytes:list 0 -1").unwrap();
                assert_eq!(texts(&list), ["one", "two", "three"]);
                let commands = [
                    format!("ECHO {thread}:{turn}"),
                    "LLEN bytes:list".into(),
                    "NO.SUCH".into(),
                ];
                let reply = client
                    .batch(&batch_of(BatchKind::Pipeline, &commands), &CallOptions::default())
                    .unwrap();
                assert_eq!(reply.at(0).unwrap().text(), format!("{thread}:{turn}"));
                assert_eq!(reply.at(1).unwrap().integer(), 3);
                assert_eq!((reply.len(), reply.at(2).unwrap().kind()), (3, Kind::Error));
                let reply = client
                    .batch(
                        &batch_of(BatchKind::Transaction, &commands[..2]),
                        &CallOptions::default(),
                    )
                    .unwrap();
                assert_eq!(reply.at(0).unwrap().text(), format!("{thread}:{turn}"));
                assert_eq!((reply.len(), reply.at(1).unwrap().integer()), (2, 3));
            }
        });
        proxy.pass();
    }
}

/// A node that answers ECHO, and what a transaction needs, with `reply`.
fn node_that(reply: impl Fn(&mut Session, &[u8]) + Send + Sync + 'static) -> FakeNode {
    let queue = std::sync::Mutex::new(std::collections::HashMap::<usize, Vec<Vec<u8>>>::new());
    FakeNode::builder()
        .on(move |session, args| {
            let mut queues = queue.lock().unwrap();
            match (args[0].as_slice(), queues.get_mut(&session.id())) {
                (b"MULTI", _) => {
                    queues.insert(session.id(), Vec::new());
                    reply(session, b"+OK\r\n");
                }
                (b"EXEC", Some(_)) => {
                    let queued = queues.remove(&session.id()).unwrap_or_default();
                    let mut all = format!("*{}\r\n", queued.len()).into_bytes();
                    queued.iter().for_each(|own| all.extend_from_slice(own));
                    reply(session, &all);
                }
                (b"ECHO", queue) => {
                    let own = [format!("${}\r\n", args[1].len()).as_bytes(), &args[1], b"\r\n"].concat();
                    match queue {
                        Some(queue) => {
                            queue.push(own);
                            reply(session, b"+QUEUED\r\n");
                        }
                        None => reply(session, &own),
                    }
                }
                _ => return false,
            }
            true
        })
        .start()
}

const PUSH: &[u8] = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*1\r\n+no reply\r\n";

#[test]
fn pushes_before_between_and_behind_the_replies_are_nobodys() {
    let node = node_that(|session, own| session.send([PUSH, own, PUSH, PUSH].concat()));
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    for client in clients(&deployment) {
        at_once(|thread| {
            for turn in 0..50 {
                let own = format!("{thread}:{turn}");
                assert_eq!(text(&client, &format!("ECHO {own}")), own);
                let commands: Vec<String> = (0..5).map(|place| format!("ECHO {own}:{place}")).collect();
                let wanted: Vec<String> = (0..5).map(|place| format!("{own}:{place}")).collect();
                for kind in KINDS {
                    let reply = client.batch(&batch_of(kind, &commands), &CallOptions::default());
                    assert_eq!(texts(&reply.unwrap()), wanted, "{kind:?}");
                }
            }
        });
    }
    assert!(
        node.connections().len() <= 20,
        "pushes cost connections: {}",
        node.connections().len()
    );
}

#[test]
fn half_a_push_behind_a_reply_is_no_part_of_the_batch_that_follows() {
    let half = PUSH.len() / 2;
    for cut in [1, 4, half, PUSH.len() - 1] {
        // Each answer begins with the rest of a push whose beginning came with the one before.
        let begun = std::sync::Mutex::new(std::collections::HashSet::<usize>::new());
        let node = node_that(move |session, own| {
            let begun = !begun.lock().unwrap().insert(session.id());
            let rest = if begun { &PUSH[cut..] } else { b"" };
            session.send([rest, own, &PUSH[..cut]].concat());
        });
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
        for turn in 0..20 {
            let own = format!("own:{turn}");
            let commands: Vec<String> = (0..3).map(|place| format!("ECHO {own}:{place}")).collect();
            let wanted: Vec<String> = (0..3).map(|place| format!("{own}:{place}")).collect();
            assert_eq!(text(&client, &format!("ECHO {own}")), own, "cut at {cut}");
            for kind in KINDS {
                let reply = client
                    .batch(&batch_of(kind, &commands), &CallOptions::default())
                    .unwrap();
                assert_eq!(
                    (reply.kind(), texts(&reply)),
                    (Kind::Array, wanted.clone()),
                    "cut at {cut}"
                );
            }
        }
        assert_eq!(node.callers_connections(), 1, "cut at {cut}");
    }
}

#[test]
fn the_rest_of_a_push_that_comes_between_two_calls_is_read_and_costs_no_connection() {
    let node = node_that(|session, own| session.send([own, &PUSH[..5]].concat()));
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let commands = ["ECHO a".to_owned()];
    for turn in 0..20 {
        let reply = client.batch(&batch_of(BatchKind::Pipeline, &commands), &CallOptions::default());
        assert_eq!(texts(&reply.unwrap()), ["a"], "{turn}");
        node.broadcast(&PUSH[5..]);
    }
    assert_eq!(node.callers_connections(), 1);
}

#[test]
fn pushes_that_come_byte_by_byte_between_the_replies_are_nobodys() {
    let node = node_that(|session, own| session.send_bytewise([PUSH, own].concat()));
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    for client in clients(&deployment) {
        at_once(|thread| {
            for kind in KINDS {
                let commands: Vec<String> = (0..10).map(|place| format!("ECHO {thread}:{place}")).collect();
                let reply = client.batch(&batch_of(kind, &commands), &CallOptions::default());
                for (place, own) in texts(&reply.unwrap()).into_iter().enumerate() {
                    assert_eq!(own, format!("{thread}:{place}"), "{kind:?}");
                }
            }
        });
    }
}

/// The connection on which the node has received a command last.
fn last_connection(node: &FakeNode, command: &str) -> usize {
    let mut commands = node.commands().into_iter().rev();
    commands
        .find(|received| received.text() == command)
        .expect("it was sent")
        .connection
}

#[test]
fn one_reply_too_many_for_a_batch_costs_its_connection_and_no_call() {
    let node = node_that(|session, own| {
        let extra: &[u8] = if own.ends_with(b"last\r\n") { b"+extra\r\n" } else { b"" };
        session.send([own, extra].concat());
    });
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    for turn in 0..5 {
        for kind in KINDS {
            let commands = [format!("ECHO a:{turn}"), format!("ECHO b:{turn}-last")];
            let reply = client.batch(&batch_of(kind, &commands), &CallOptions::default());
            assert_eq!(texts(&reply.unwrap()), [format!("a:{turn}"), format!("b:{turn}-last")]);
            let own = format!("{kind:?}:{turn}");
            assert_eq!(text(&client, &format!("ECHO {own}")), own);
            assert_ne!(
                last_connection(&node, &commands[1]),
                last_connection(&node, &format!("ECHO {own}")),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn one_reply_too_few_for_a_batch_is_missing_at_the_end_and_reaches_no_other_call() {
    let node = node_that(|session, own| {
        if !own.ends_with(b"mute\r\n") {
            session.send(own);
        }
    });
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    for turn in 0..3 {
        let commands = [format!("ECHO a:{turn}"), "ECHO mute".into(), format!("ECHO c:{turn}")];
        let pipeline = batch_of(BatchKind::Pipeline, &commands);
        let (reply, took) = timed(|| client.batch(&pipeline, &within(150)));
        assert!(took <= Duration::from_millis(150) + SLACK, "{took:?}");
        let reply = reply.unwrap();
        // Which of the three is missing cannot be known; that one is, can.
        assert_eq!(texts(&reply)[..2], [format!("a:{turn}"), format!("c:{turn}")]);
        assert_eq!((reply.len(), reply.at(2).unwrap().kind()), (3, Kind::Error));
        assert!(reply.at(2).unwrap().text().starts_with("UNKNOWN "), "{reply:?}");
        assert_eq!(text(&client, "ECHO next"), "next");
    }
}

/// Commands that succeed, with `odd` in one place.
fn with_odd_one(place: usize, odd: &str, key: &str) -> Vec<String> {
    let one = |at| match at == place {
        true => odd.to_owned(),
        false => format!("APPEND {key} {at}"),
    };
    (0..6).map(one).collect()
}

#[test]
fn an_error_at_any_place_of_a_batch_stands_there_and_the_rest_is_done() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET places:string s");
    for kind in KINDS {
        for place in 0..6 {
            text(&client, "DEL places:done");
            let commands = with_odd_one(place, "LPUSH places:string x", "places:done");
            let reply = client
                .batch(&batch_of(kind, &commands), &CallOptions::default())
                .unwrap();
            assert_eq!(reply.len(), 6);
            for (at, element) in reply.elements().enumerate() {
                match at == place {
                    true => assert!(element.text().starts_with("WRONGTYPE "), "{kind:?} {place}: {reply:?}"),
                    false => assert_eq!(element.integer(), i64::try_from(at + usize::from(at < place)).unwrap()),
                }
            }
            let done: String = (0..6).filter(|at| *at != place).map(|at| at.to_string()).collect();
            assert_eq!(text(&client, "GET places:done"), done);
        }
    }
}

#[test]
fn a_command_that_is_not_queued_at_any_place_aborts_its_transaction() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    for place in 0..6 {
        let commands = with_odd_one(place, "NO.SUCH", "places:never");
        let error = client
            .batch(&batch_of(BatchKind::Transaction, &commands), &CallOptions::default())
            .unwrap_err();
        let ErrorKind::TransactionAborted { text: cause } = error.kind() else {
            panic!("{place}: {error}");
        };
        assert!(
            cause.contains("unknown command") && cause.contains("NO.SUCH"),
            "{place}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::Refused, "{place}: {error}");
        assert!(run(&client, "GET places:never").unwrap().is_nil(), "{place}");
        assert_eq!(text(&client, "ECHO next"), "next");
    }
}

/// Two nodes and the Sentinel that names the first.
fn pair_of_nodes() -> (FakeNode, FakeNode, FakeSentinel, Client) {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    (old, new, sentinel, client)
}

#[test]
fn a_refusal_at_any_place_of_a_batch_stands_there_and_the_next_call_goes_to_the_new_primary() {
    for place in 0..4 {
        let (old, new, sentinel, client) = pair_of_nodes();
        text(&client, "SET warm up");
        // A demotion in the midst of a batch: what only reads is answered all the same.
        old.set_role(Role::Replica("127.0.0.1".into(), new.port(), "connected".into()));
        sentinel.change_primary("127.0.0.1", new.port());
        let commands: Vec<String> = (0..4)
            .map(|at| match at == place {
                true => "SET k v".to_owned(),
                false => format!("ECHO {at}"),
            })
            .collect();
        let reply = client
            .batch(&batch_of(BatchKind::Pipeline, &commands), &CallOptions::default())
            .unwrap();
        for (at, element) in reply.elements().enumerate() {
            match at == place {
                true => assert!(element.text().starts_with("READONLY "), "{place}: {reply:?}"),
                false => assert_eq!(element.text(), at.to_string()),
            }
        }
        assert_eq!(
            old.count("SET k") + new.count("SET k"),
            1,
            "it is not for the library to repeat"
        );
        assert_eq!(text(&client, "SET next call"), "OK");
        assert_eq!(new.count("SET next"), 1);
        assert_eq!(old.count("SET next"), 0, "nothing more is written to the old primary");
    }
}

#[test]
fn a_transaction_with_a_refusal_at_any_place_is_done_once_at_the_new_primary() {
    let topology = shared();
    let replica = topology.node(topology.replicas()[0]).port();
    let primary = topology.node(topology.primary()).port();
    for place in 0..4 {
        let direct = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
        text(&direct, "DEL refused:once");
        // As after a demotion that nobody has announced: the node that is named is a replica when it is written to.
        let demoted = FakeNode::builder().on(forward_transactions(replica)).start();
        let sentinel = FakeSentinel::start(SERVICE, demoted.port());
        let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
        let commands: Vec<String> = (0..4)
            .map(|at| match at < place {
                true => format!("GET refused:{at}"),
                false => "INCR refused:once".to_owned(),
            })
            .collect();
        let transaction = batch_of(BatchKind::Transaction, &commands);
        let reply = std::thread::scope(|scope| {
            let call = scope.spawn(|| client.batch(&transaction, &CallOptions::default()));
            demoted.wait_for_command("EXEC", PATIENCE);
            sentinel.switch_master("127.0.0.1", primary);
            call.join().unwrap()
        });
        assert_eq!(reply.unwrap().len(), 4, "{place}");
        assert_eq!(text(&direct, "GET refused:once"), (4 - place).to_string());
        assert_eq!(serving_port(&client), primary);
    }
}

/// What a scripted node that calls itself a primary answers to commands: what the real replica on `port` says.
fn forward_transactions(port: u16) -> impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync {
    let lines = std::sync::Mutex::new(std::collections::HashMap::<usize, sentinel_lab::Control>::new());
    move |session, args| {
        let own: [&[u8]; 4] = [b"MULTI", b"EXEC", b"INCR", b"GET"];
        if !own.contains(&args[0].as_slice()) {
            return false;
        }
        let mut lines = lines.lock().unwrap();
        let line = lines
            .entry(session.id())
            .or_insert_with(|| sentinel_lab::Control::connect(("127.0.0.1", port)).unwrap());
        let args: Vec<String> = args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match line.ask(&args) {
            sentinel_lab::Value::Error(error) => session.error(&error),
            other => session.status(&other.as_text()),
        }
        true
    }
}
