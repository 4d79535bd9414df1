//! Commands that the library does not know, of modules and newer servers: the server is asked for what they do.

use std::sync::Arc;
use std::time::Duration;

use sentinel::completion::{Queue, Target};
use sentinel::{BatchKind, CallOptions, Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Session, Topology, skipped_before, wait_until};

use crate::observability::observe::metric;
use crate::support::{
    PATIENCE, SERVICE, SLACK, WAYS, batch, completions, open, overrides, submitted_batch, tell, text, timed, within,
    words,
};

/// The answer to COMMAND INFO of a command with this flag.
fn describe(session: &mut Session, name: &[u8], flag: &str) {
    let (name, len) = (String::from_utf8_lossy(name), name.len());
    let head = if session.is_resp3() { '~' } else { '*' };
    session.send(format!(
        "*1\r\n*7\r\n${len}\r\n{name}\r\n:-2\r\n{head}2\r\n+{flag}\r\n+movablekeys\r\n:1\r\n:1\r\n:1\r\n*0\r\n"
    ));
}

/// A node with the commands of a module.
fn module() -> FakeNode {
    FakeNode::builder()
        .on(|session, args| {
            let name = args[0].to_ascii_uppercase();
            if name == b"COMMAND" {
                match args[2].as_slice() {
                    name if name.starts_with(b"MOD.GET") => describe(session, name, "readonly"),
                    name if name.starts_with(b"MOD.SET") => describe(session, name, "write"),
                    name if name.starts_with(b"MOD.OTHER") => describe(session, name, "fast"),
                    name if name.starts_with(b"MOD.WAIT") => describe(session, name, "blocking"),
                    _ => session.send("*1\r\n*-1\r\n"),
                }
                return true;
            }
            let is_mine = name.starts_with(b"MOD.");
            // One that waits is answered by the test, or never.
            if is_mine && !name.starts_with(b"MOD.WAIT") {
                session.status("done");
            }
            is_mine
        })
        .start()
}

struct World {
    node: FakeNode,
    _sentinel: FakeSentinel,
    deployment: Deployment,
}

fn world(node: FakeNode) -> World {
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    World {
        node,
        _sentinel: sentinel,
        deployment,
    }
}

impl World {
    fn client(&self, keys: &[(&str, &str)]) -> Client {
        self.deployment
            .primary_for(Some(SERVICE), Some(&overrides(keys)))
            .unwrap()
    }

    fn queue(&self) -> Arc<Queue> {
        self.deployment.queue(1000).unwrap()
    }
}

/// The default options of a call.
const PLAIN: CallOptions = CallOptions {
    timeout_ms: 0,
    retry_unknown: false,
    no_retry: false,
    replicas: 0,
    wait_aof: false,
};

#[test]
fn an_unknown_command_is_asked_for_once_a_deployment_and_a_known_one_never() {
    for (_, ask) in WAYS {
        let world = world(module());
        let (client, queue) = (world.client(&[]), world.queue());
        for command in ["SET k v", "GET k", "INCR n", "HEXPIRE h 1"] {
            let _ = ask(&client, &queue, command, &PLAIN);
        }
        assert_eq!(world.node.count("COMMAND"), 0);
        for command in ["MOD.GET k", "mod.get k", "MOD.SET k v", "MOD.GET k"] {
            assert_eq!(ask(&client, &queue, command, &PLAIN).unwrap().text(), "done");
        }
        let other = world.client(&[("client_name", "other")]);
        for (_, ask) in WAYS {
            assert_eq!(ask(&other, &queue, "Mod.Get k", &PLAIN).unwrap().text(), "done");
        }
        assert_eq!(world.node.count("COMMAND INFO MOD.GET"), 1);
        assert_eq!(world.node.count("COMMAND INFO MOD.SET"), 1);
        // A module may be loaded later: what is not there is asked for again.
        for _ in 0..2 {
            let error = ask(&client, &queue, "OTHER k", &PLAIN).unwrap_err();
            assert_eq!((error.server_code(), error.outcome()), (Some("ERR"), Outcome::Refused));
        }
        assert_eq!(world.node.count("COMMAND INFO OTHER"), 2);
    }
}

#[test]
fn a_question_is_no_call_in_the_numbers_and_a_call_that_it_fails_is_one() {
    for (way, ask) in WAYS {
        let world = world(module());
        let (client, queue) = (world.client(&[]), world.queue());
        assert!(ask(&client, &queue, "MOD.GET k", &PLAIN).is_ok());
        assert!(ask(&client, &queue, "OTHER k", &PLAIN).is_err());
        world.node.set_delay(Duration::from_millis(500));
        let error = ask(&client, &queue, "MOD.OTHER k", &within(50)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{way}");
        let ended = ["ok", "refused", "not_sent", "unknown"]
            .map(|result| metric(&world.deployment, &format!("calls_total{{result=\"{result}\"}}")));
        assert_eq!(ended, [1, 1, 1, 0], "{way}");
    }
}

#[test]
fn calls_submitted_behind_a_question_keep_their_order_and_its_answer_serves_them_all() {
    let world = world(module());
    let (client, queue) = (world.client(&[]), world.queue());
    text(&client, "SET warm up");
    world.node.forget_commands();
    world.node.set_delay(Duration::from_millis(20));
    let commands = [
        "MOD.SET 0",
        "ECHO 1",
        "MOD.SET 2",
        "MOD.GET 3",
        "ECHO 4",
        "MOD.GET 5",
        "ECHO 6",
    ];
    let target = |tag| Target::Queue(&queue, tag);
    for (tag, command) in (0..).zip(commands) {
        client.submit(&words(command), &PLAIN, target(tag)).unwrap();
    }
    let both = batch(BatchKind::Pipeline, &["MOD.GET 7", "MOD.OTHER 7", "ECHO 7"]);
    client.submit_batch(&both, &PLAIN, target(7)).unwrap();
    let ends = completions(&queue, 8);
    assert!(ends.values().all(Result::is_ok), "{ends:?}");
    let received: Vec<String> = world.node.commands().iter().map(|command| command.text()).collect();
    let asked = received.iter().filter(|text| text.starts_with("COMMAND INFO"));
    let asked: Vec<&str> = asked.map(|text| text.trim_start_matches("COMMAND INFO ")).collect();
    assert_eq!(asked, ["MOD.SET", "MOD.GET", "MOD.OTHER"]);
    let mine = |text: &&String| text.starts_with("MOD.") || text.starts_with("ECHO");
    let order: Vec<&str> = received.iter().filter(mine).map(String::as_str).collect();
    assert_eq!(order[..7], commands);
    assert_eq!(order[7..], ["MOD.GET 7", "MOD.OTHER 7", "ECHO 7"]);
}

#[test]
fn the_end_of_a_call_with_a_question_lets_those_behind_it_go_on() {
    let world = world(module());
    let (client, queue) = (world.client(&[]), world.queue());
    text(&client, "SET warm up");
    for cancelled in [true, false] {
        let name = if cancelled { "MOD.SET1" } else { "MOD.SET2" };
        let delay = Duration::from_millis(200);
        world.node.set_delay(delay);
        let target = |tag| Target::Queue(&queue, tag);
        let call = if cancelled { PLAIN } else { within(50) };
        let (ends, took) = timed(|| {
            let first = client.submit(&words(&format!("{name} 1")), &call, target(1)).unwrap();
            for tag in 2..5 {
                let command = format!("{name} {tag}");
                client.submit(&words(&command), &PLAIN, target(tag)).unwrap();
            }
            if cancelled {
                client.cancel(first).unwrap();
            }
            let mut ends = completions(&queue, 1);
            world.node.set_delay(Duration::ZERO);
            ends.extend(completions(&queue, 3));
            ends
        });
        let error = ends[&1].as_ref().unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        let cause_is_right = match error.kind() {
            ErrorKind::Cancelled => cancelled,
            ErrorKind::Timeout { .. } => !cancelled,
            _ => false,
        };
        assert!(cause_is_right, "{error}");
        assert!((2..5).all(|tag| ends[&tag].is_ok()), "{ends:?}");
        assert!(took < 5 * delay, "{took:?}");
        assert_eq!(world.node.count(&format!("{name} 1")), 0);
    }
    // The client's end is the end of them all, asked or not.
    world.node.set_silent(true);
    for tag in 1..4 {
        let target = Target::Queue(&queue, tag);
        client.submit(&words("MOD.SET3 x"), &PLAIN, target).unwrap();
    }
    drop(client);
    for end in completions(&queue, 3).into_values() {
        let error = end.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::NotSent));
    }
}

/// A node that closes the connection at the first MOD.GET and at every MOD.SET.
fn cutting() -> FakeNode {
    let node = FakeNode::builder();
    let left = std::sync::atomic::AtomicUsize::new(1);
    node.on(move |session, args| {
        use std::sync::atomic::Ordering::SeqCst;
        match args[0].as_slice() {
            b"COMMAND" if args[2] == b"MOD.GET" => describe(session, &args[2], "readonly"),
            b"COMMAND" => describe(session, &args[2], "write"),
            b"MOD.GET" if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() => session.close(),
            b"MOD.SET" => session.close(),
            b"MOD.GET" => session.status("done"),
            _ => return false,
        }
        true
    })
    .start()
}

#[test]
fn an_unknown_command_that_only_reads_is_repeated_and_no_other() {
    for (way, ask) in WAYS {
        let world = world(cutting());
        let (client, queue) = (world.client(&[]), world.queue());
        assert_eq!(
            ask(&client, &queue, "MOD.GET k", &PLAIN).unwrap().text(),
            "done",
            "{way}"
        );
        assert_eq!(world.node.count("MOD.GET"), 2, "{way}");
        let error = ask(&client, &queue, "MOD.SET k v", &PLAIN).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{way}: {error}");
        assert_eq!(world.node.count("MOD.SET"), 1, "{way}");
    }
    // The same in a batch.
    let reads = batch(BatchKind::Pipeline, &["MOD.GET k", "GET k"]);
    let worlds = [world(cutting()), world(cutting())];
    let clients = [worlds[0].client(&[]), worlds[1].client(&[])];
    assert_eq!(clients[0].batch(&reads, &PLAIN).unwrap().len(), 2);
    let submitted = submitted_batch(&clients[1], &worlds[1].queue(), &reads, &PLAIN);
    assert_eq!(submitted.unwrap().len(), 2);
    assert!(worlds.iter().all(|world| world.node.count("MOD.GET") == 2));
}

#[test]
fn an_unknown_command_that_waits_has_a_connection_of_its_own() {
    for (way, ask) in WAYS {
        let world = world(module());
        let client = world.client(&[("pool.max_connections", "1"), ("pool.direct", "1")]);
        let (queue, other) = (world.queue(), world.queue());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ask(&client, &queue, "MOD.WAIT k", &within(1000)));
            world.node.wait_for_command("MOD.WAIT", PATIENCE);
            let error = client.acquire(50).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{way}: {error}");
            let pipeline = batch(BatchKind::Pipeline, &["ECHO a", "MOD.WAIT k"]);
            for end in [
                client.batch(&pipeline, &within(50)),
                submitted_batch(&client, &other, &pipeline, &within(50)),
            ] {
                let error = end.unwrap_err();
                assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{way}: {error}");
            }
            for (_, ask) in WAYS {
                let echo = ask(&client, &other, "ECHO on", &within(500));
                assert_eq!(echo.unwrap().text(), "on", "{way}: it delays nobody");
            }
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{way}: {error}");
            assert_eq!(error.outcome(), Outcome::Unknown, "{way}");
        });
    }
}

#[test]
fn a_server_that_does_not_tell_is_asked_no_more() {
    let words = [
        "NOPERM User app has no permissions to run the 'command|info' command",
        "ERR unknown command 'COMMAND', with args beginning with: 'INFO' 'MOD.GET' ",
    ];
    for (said, (_, ask)) in words.into_iter().flat_map(|said| WAYS.map(|way| (said, way))) {
        let node = FakeNode::builder()
            .on(move |session, args| {
                match args[0].as_slice() {
                    b"COMMAND" => session.error(said),
                    b"MOD.GET" if args.len() > 2 => session.close(),
                    b"MOD.GET" => session.status("done"),
                    _ => return false,
                }
                true
            })
            .start();
        let world = world(node);
        let (client, queue) = (world.client(&[]), world.queue());
        assert_eq!(ask(&client, &queue, "MOD.GET k", &PLAIN).unwrap().text(), "done");
        let error = ask(&client, &queue, "MOD.GET k cut", &PLAIN).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "it is not known to read: {error}");
        assert_eq!(ask(&client, &queue, "MOD.GET k", &PLAIN).unwrap().text(), "done");
        assert_eq!(world.node.count("COMMAND"), 1, "{said}");
    }
}

#[test]
fn a_question_that_fails_leaves_the_command_unsent() {
    for (way, ask) in WAYS {
        let node = FakeNode::builder().on(|_, args| args[0] == b"COMMAND").start();
        let world = world(node);
        let (client, queue) = (world.client(&[]), world.queue());
        text(&client, "SET warm up");
        let (result, took) = timed(|| ask(&client, &queue, "MOD.SET k v", &within(200)));
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{way}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{way}: {error}");
        assert!(took <= Duration::from_millis(200) + SLACK, "{way}: {took:?}");
        assert_eq!(world.node.count("MOD.SET"), 0, "{way}");
    }
}

#[test]
fn a_question_whose_connection_is_lost_is_repeated_unless_the_call_says_never() {
    for (way, ask) in WAYS {
        let left = std::sync::atomic::AtomicUsize::new(2);
        let node = FakeNode::builder().on(move |session, args| {
            use std::sync::atomic::Ordering::SeqCst;
            match args[0].as_slice() {
                b"COMMAND" if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() => session.close(),
                b"COMMAND" => describe(session, &args[2], "write"),
                b"MOD.SET" => session.status("done"),
                _ => return false,
            }
            true
        });
        let world = world(node.start());
        let (client, queue) = (world.client(&[]), world.queue());
        text(&client, "SET warm up");
        let never = CallOptions {
            no_retry: true,
            ..PLAIN
        };
        let error = ask(&client, &queue, "MOD.SET k v", &never).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionLost { .. }),
            "{way}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::NotSent, "{way}: {error}");
        assert_eq!(
            ask(&client, &queue, "MOD.SET k v", &PLAIN).unwrap().text(),
            "done",
            "{way}"
        );
        assert_eq!(
            (world.node.count("COMMAND"), world.node.count("MOD.SET")),
            (3, 1),
            "{way}"
        );
    }
}

/// Real commands under names that the table does not have.
#[test]
fn a_real_server_tells_of_its_commands() {
    if skipped_before((7, 0), "the flag `blocking`") {
        return;
    }
    let names = Config::default().nodes(1).sentinels(0);
    let names = names
        .node_line("rename-command BLPOP mod.wait")
        .node_line("rename-command GETRANGE mod.read");
    let topology = Topology::start(names);
    let node = topology.node(0);
    let world = FakeSentinel::start(SERVICE, node.port());
    for protocol in ["2", "3"] {
        let deployment = open(&[world.port()]);
        let keys = [("pool.max_connections", "1"), ("protocol", protocol)];
        let client = deployment.primary_for(Some(SERVICE), Some(&overrides(&keys))).unwrap();
        text(&client, "SET k value");
        let queue = deployment.queue(8).unwrap();
        for (_, ask) in WAYS {
            assert_eq!(ask(&client, &queue, "mod.read k 0 2", &PLAIN).unwrap().text(), "val");
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| ask(&client, &queue, "mod.wait list 0", &within(10_000)));
                wait_until("a client that waits", PATIENCE, || {
                    node.ask(&["INFO", "clients"]).as_text().contains("blocked_clients:1")
                });
                let error = client.acquire(50).unwrap_err();
                assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{error}");
                tell(node, "RPUSH list x");
                assert_eq!(waiting.join().unwrap().unwrap().at(1).unwrap().data(), b"x");
            });
        }
        assert_eq!(text(&client, "mod.read k 0 0"), "v");
    }
}
