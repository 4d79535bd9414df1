//! Writes that the disks confirm: WAITAOF.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel::completion::{Queue, Target};
use sentinel::{BatchKind, CallOptions, Client, ErrorKind, Outcome};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Session, Topology, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, WAYS, batch, completions, open, open_on, overrides, run, text, timed, words,
};

fn on_disk(replicas: u32, timeout_ms: i64) -> CallOptions {
    CallOptions {
        replicas,
        timeout_ms,
        wait_aof: true,
        ..CallOptions::default()
    }
}

type Answer = fn(&mut Session, bool);

/// A node whose WAITAOF gives `answer`, which is told whether a write was seen on the connection.
fn node(answer: Answer) -> (FakeNode, FakeSentinel, Client, Arc<Queue>) {
    let written = AtomicBool::new(false);
    let node = FakeNode::builder()
        .on(move |session, args| {
            match args[0].as_slice() {
                b"WAITAOF" => answer(session, written.load(Ordering::SeqCst)),
                b"SET" => {
                    written.store(true, Ordering::SeqCst);
                    return false;
                }
                _ => return false,
            }
            true
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    (node, sentinel, client, queue)
}

#[test]
fn a_write_waits_for_the_disks_on_its_own_connection() {
    let (node, _sentinel, client, queue) = node(|session, _| session.send("*2\r\n:1\r\n:2\r\n"));
    for (replicas, (_, ask)) in [0, 2].into_iter().flat_map(|replicas| WAYS.map(|way| (replicas, way))) {
        node.forget_commands();
        let reply = ask(&client, &queue, "SET k v", &on_disk(replicas, 2000)).unwrap();
        assert_eq!(reply.text(), "OK");
        let commands = node.commands();
        let mine = commands.iter().filter(|command| {
            let text = command.text();
            text.starts_with("SET") || text.starts_with("WAITAOF")
        });
        let mine: Vec<_> = mine.collect();
        assert_eq!(mine.len(), 3);
        assert_eq!(mine[0].text(), "WAITAOF 1 0 1");
        assert_eq!(mine[1].text(), "SET k v");
        let last = mine[2].text();
        assert!(last.starts_with(&format!("WAITAOF 1 {replicas} ")), "{last}");
        assert!(mine.iter().all(|command| command.connection == mine[0].connection));
    }
}

#[test]
fn durability_that_was_not_confirmed_is_never_claimed() {
    let rows: [(Answer, u32, ErrorKind); 4] = [
        (
            |session, written| {
                session.send(if written {
                    "*2\r\n:0\r\n:2\r\n"
                } else {
                    "*2\r\n:1\r\n:2\r\n"
                })
            },
            2,
            ErrorKind::NotOnDisk {
                primary: false,
                wanted: 2,
                have: 2,
            },
        ),
        (
            |session, _| session.send("*2\r\n:1\r\n:1\r\n"),
            2,
            ErrorKind::NotOnDisk {
                primary: true,
                wanted: 2,
                have: 1,
            },
        ),
        (
            |session, written| session.send(if written { "*0\r\n" } else { "*2\r\n:1\r\n:0\r\n" }),
            0,
            ErrorKind::NotOnDisk {
                primary: false,
                wanted: 0,
                have: 0,
            },
        ),
        // It became a replica meanwhile.
        (
            |session, written| match written {
                true => session.error("UNBLOCKED force unblock from blocking operation, instance state changed"),
                false => session.send("*2\r\n:1\r\n:1\r\n"),
            },
            1,
            ErrorKind::NotOnDisk {
                primary: false,
                wanted: 1,
                have: 0,
            },
        ),
    ];
    for ((answer, replicas, kind), (way, ask)) in rows.into_iter().flat_map(|row| WAYS.map(|way| (row.clone(), way))) {
        let (_node, _sentinel, client, queue) = node(answer);
        let error = ask(&client, &queue, "SET k v", &on_disk(replicas, 2000)).unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (&kind, Outcome::Unknown),
            "{way}: {error}"
        );
    }
    let endings: [Answer; 3] = [
        |session, written| {
            if written {
                session.close()
            } else {
                session.send("*2\r\n:1\r\n:0\r\n")
            }
        },
        |session, written| {
            if !written {
                session.send("*2\r\n:1\r\n:0\r\n")
            }
        },
        |session, written| match written {
            true => session.error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
            false => session.send("*2\r\n:1\r\n:0\r\n"),
        },
    ];
    for (answer, (way, ask)) in endings.into_iter().flat_map(|answer| WAYS.map(|way| (answer, way))) {
        let (node, _sentinel, client, queue) = node(answer);
        let (result, took) = timed(|| ask(&client, &queue, "SET k v", &on_disk(0, 500)));
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{way}: {error}");
        assert!(took <= Duration::from_millis(500) + SLACK, "{took:?}");
        assert_eq!(node.count("SET"), 1, "{error}");
    }
}

#[test]
fn a_server_that_cannot_confirm_refuses_before_the_write_is_sent() {
    let refusals: [Answer; 3] = [
        |session, _| session.error("ERR unknown command 'WAITAOF', with args beginning with: '1' '0' '1' "),
        |session, _| session.error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        |session, _| session.error("NOPERM User app has no permissions to run the 'waitaof' command"),
    ];
    for (answer, (_, ask)) in refusals.into_iter().flat_map(|answer| WAYS.map(|way| (answer, way))) {
        let (node, _sentinel, client, queue) = node(answer);
        let (result, took) = timed(|| ask(&client, &queue, "SET k v", &on_disk(1, 2000)));
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Server { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert_eq!(node.count("SET"), 0, "{error}");
        assert!(took < Duration::from_millis(1000), "at once: {took:?}");
    }
}

#[test]
fn a_node_that_became_a_replica_is_not_asked_to_confirm() {
    for (_, ask) in WAYS {
        let (old, sentinel, client, queue) = node(|session, _| {
            session.error("ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local")
        });
        let (new, ..) = node(|session, _| session.send("*2\r\n:1\r\n:0\r\n"));
        client.connect(2000).unwrap();
        sentinel.change_primary("127.0.0.1", new.port());
        let reply = ask(&client, &queue, "SET k v", &on_disk(0, 5000)).unwrap();
        assert_eq!(reply.text(), "OK");
        assert_eq!((old.count("SET"), new.count("SET")), (0, 1));
    }
}

#[test]
fn submitted_writes_that_are_confirmed_share_their_connections_and_give_them_back() {
    let (node, sentinel, ..) = node(|session, _| session.send("*2\r\n:1\r\n:0\r\n"));
    let deployment = open(&[sentinel.port()]);
    let few = overrides(&[("pool.max_connections", "2")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&few)).unwrap();
    let queue = deployment.queue(8).unwrap();
    let target = |tag| Target::Queue(&queue, tag);
    for round in 0..10 {
        for tag in 0..8 {
            let command = format!("SET k:{round}:{tag} v");
            client.submit(&words(&command), &on_disk(0, 5000), target(tag)).unwrap();
        }
        for end in completions(&queue, 8).into_values() {
            assert_eq!(end.unwrap().text(), "OK");
        }
    }
    // Each write stands between its question and its confirmation, whatever else the connection carries.
    let commands = node.commands();
    let mut connections: Vec<usize> = commands.iter().map(|command| command.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    let mut writes = 0;
    for connection in connections {
        let own = commands.iter().filter(|command| command.connection == connection);
        let own: Vec<String> = own.map(|command| command.text()).collect();
        for (place, _) in own.iter().enumerate().filter(|(_, text)| text.starts_with("SET")) {
            assert_eq!(own[place - 1], "WAITAOF 1 0 1");
            assert!(own[place + 1].starts_with("WAITAOF 1 0 "), "{own:?}");
            writes += 1;
        }
    }
    assert_eq!(writes, 80);
    let both = (client.acquire(5000).unwrap(), client.acquire(5000).unwrap());
    drop(both);
}

#[test]
fn only_a_single_write_to_a_primary_is_confirmed() {
    let (_node, sentinel, client, queue) = node(|session, _| session.send("*2\r\n:1\r\n:2\r\n"));
    let call = on_disk(0, 2000);
    let pipeline = batch(BatchKind::Pipeline, &["SET k v"]);
    let target = || Target::Queue(&queue, 0);
    let own = client.acquire(2000).unwrap();
    let replica = open(&[sentinel.port()]).replica_for(Some(SERVICE), None).unwrap();
    let errors = [
        client.batch(&pipeline, &call).unwrap_err(),
        client.submit_batch(&pipeline, &call, target()).unwrap_err(),
        replica.submit(&words("SET k v"), &call, target()).unwrap_err(),
        own.command(&words("SET k v"), &call).unwrap_err(),
        replica.command(&words("SET k v"), &call).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().starts_with("call.flags: "), "{error}");
    }
    let replicas = CallOptions {
        replicas: 1,
        ..CallOptions::default()
    };
    let error = own.command(&words("SET k v"), &replicas).unwrap_err();
    assert!(error.to_string().starts_with("call.replicas: "), "{error}");
    assert_eq!(
        own.command(&words("SET k v"), &CallOptions::default()).unwrap().text(),
        "OK"
    );
}

#[test]
fn a_real_server_confirms_or_says_that_it_cannot() {
    let topology = Topology::start(
        Config::default()
            .node_line("appendonly yes")
            .node_line("appendfsync always"),
    );
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    text(&client, "SET warm up");
    let call = on_disk(2, 5000);
    if topology.node(0).ask(&["WAITAOF", "0", "0", "1"]).is_error() {
        println!("skipped in part: this server has no WAITAOF");
        for (_, ask) in WAYS {
            let error = ask(&client, &queue, "SET k v", &call).unwrap_err();
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
            assert!(error.to_string().contains("WAITAOF"), "{error}");
        }
        assert!(run(&client, "GET k").unwrap().is_nil());
        return;
    }
    for (value, (_, ask)) in ["one", "two"].into_iter().zip(WAYS) {
        let set = format!("SET k {value}");
        assert_eq!(ask(&client, &queue, &set, &call).unwrap().text(), "OK");
    }
    for (way, ask) in WAYS {
        let (result, took) = timed(|| ask(&client, &queue, "SET k three", &on_disk(3, 400)));
        let error = result.unwrap_err();
        // A replica may tell of its disk with its next word only, up to a second later.
        assert!(
            matches!(
                error.kind(),
                ErrorKind::NotOnDisk {
                    primary: true,
                    wanted: 3,
                    have: 0..=2
                }
            ),
            "{way}: {error}"
        );
        assert_eq!(error.outcome(), Outcome::Unknown, "{way}");
        assert!(took <= Duration::from_millis(400) + SLACK, "{way}: {took:?}");
    }
    text(&client, "CONFIG SET appendonly no");
    for (way, ask) in WAYS {
        let error = ask(&client, &queue, "SET k four", &call).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{way}: {error}");
    }
    assert_eq!(text(&client, "GET k"), "three");
}

/// A real primary that is demoted while its replicas are waited for.
#[test]
fn what_a_node_that_is_demoted_has_not_confirmed_is_not_replicated() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let node = topology.node(0);
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let (client, queue) = (
        deployment.primary_for(Some(SERVICE), None).unwrap(),
        deployment.queue(8).unwrap(),
    );
    for (way, ask) in WAYS {
        let call = CallOptions {
            replicas: 1,
            timeout_ms: 20_000,
            ..CallOptions::default()
        };
        let error = std::thread::scope(|scope| {
            let write = scope.spawn(|| ask(&client, &queue, "SET k v", &call));
            wait_until("the write to wait", PATIENCE, || {
                let info = node.ask(&["INFO", "clients"]);
                info.as_text().contains("blocked_clients:1")
            });
            node.ask(&["REPLICAOF", "127.0.0.1", "1"]);
            write.join().unwrap().unwrap_err()
        });
        let kind = ErrorKind::NotReplicated { wanted: 1, have: 0 };
        assert_eq!(
            (error.kind(), error.outcome()),
            (&kind, Outcome::Unknown),
            "{way}: {error}"
        );
        node.ask(&["REPLICAOF", "NO", "ONE"]);
    }
}
