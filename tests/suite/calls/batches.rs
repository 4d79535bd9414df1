//! Many commands in one write, and writes that replicas confirm.

use std::time::Duration;

use sentinel::resp::{Kind, Reply, Said};
use sentinel::{Batch, BatchKind, CallOptions, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel};

use crate::support::{SERVICE, SLACK, batch, open, open_on, run, shared, submitted_batch, text, timed, within, words};

fn texts(reply: &Reply) -> Vec<String> {
    reply.elements().map(|element| element.text().into_owned()).collect()
}

#[test]
fn a_pipeline_answers_in_order_with_the_errors_in_their_places() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let commands = batch(
        BatchKind::Pipeline,
        &[
            "SET batch:a 1",
            "GET batch:a",
            "LPUSH batch:a x",
            "NO.SUCH",
            "INCR batch:a",
            "GET batch:a",
        ],
    );
    assert_eq!(commands.len(), 6);
    // A batch may be run again.
    for _ in 0..2 {
        let reply = client.batch(&commands, &CallOptions::default()).unwrap();
        assert_eq!((reply.kind(), reply.len()), (Kind::Array, 6));
        let kinds: Vec<Kind> = reply.elements().map(|element| element.kind()).collect();
        use Kind::{Error, Integer, Status, String};
        assert_eq!(kinds, [Status, String, Error, Error, Integer, String]);
        assert_eq!(reply.at(1).unwrap().data(), b"1");
        assert!(reply.at(2).unwrap().text().starts_with("WRONGTYPE "));
        assert!(reply.at(3).unwrap().text().starts_with("ERR unknown command"));
        assert_eq!(reply.at(4).unwrap().integer(), 2);
        assert_eq!(reply.at(5).unwrap().data(), b"2");
    }
}

#[test]
fn a_transaction_answers_in_order_and_an_error_in_it_does_not_undo_the_rest() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let commands = batch(
        BatchKind::Transaction,
        &["SET batch:t 5", "LPUSH batch:t x", "INCR batch:t"],
    );
    let reply = client.batch(&commands, &CallOptions::default()).unwrap();
    assert_eq!((reply.kind(), reply.len()), (Kind::Array, 3));
    assert_eq!(reply.at(0).unwrap().data(), b"OK");
    assert_eq!(reply.at(1).unwrap().kind(), Kind::Error);
    assert_eq!(reply.at(2).unwrap().integer(), 6);
}

/// What a script says after it has written is no promise that nothing ran, in whatever words.
#[test]
fn an_error_is_the_servers_own_word_or_somebodys() {
    const SCRIPT: &[u8] = b"redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])";
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "DEL batch:said batch:said:list");
    text(&client, "RPUSH batch:said:list x");
    let words_of_its_own: [&[u8]; 4] = [b"ERR x", b"NOTSENT x", b"UNKNOWN x", b"WRONGTYPE x"];
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let mut commands = Batch::new(kind);
        for own in words_of_its_own {
            commands.add(&[b"EVAL", SCRIPT, b"1", b"batch:said", own]).unwrap();
        }
        commands.add(&words("INCR batch:said:list")).unwrap();
        commands.add(&words("GET batch:said")).unwrap();
        let reply = client.batch(&commands, &CallOptions::default()).unwrap();
        let said: Vec<Said> = reply.elements().map(|element| element.said()).collect();
        assert_eq!(said[..4], [Said::BySomebody; 4]);
        assert_eq!(said[4..], [Said::ByServer, Said::BySomebody]);
    }
    assert_eq!(text(&client, "GET batch:said"), "8");
}

#[test]
fn a_transaction_that_the_server_refuses_changes_nothing() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET batch:r before");
    let commands = batch(BatchKind::Transaction, &["SET batch:r after", "NO.SUCH"]);
    let error = client.batch(&commands, &CallOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TransactionAborted { .. }), "{error}");
    assert!(
        error.to_string().contains("unknown command"),
        "the cause is told: {error}"
    );
    assert_eq!(error.outcome(), Outcome::Refused);
    assert_eq!(text(&client, "GET batch:r"), "before");
}

#[test]
fn transactions_of_many_threads_are_atomic() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET batch:n 0");
    let commands = batch(
        BatchKind::Transaction,
        &["GET batch:n", "INCR batch:n", "INCR batch:n", "GET batch:n"],
    );
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let reply = texts(&client.batch(&commands, &CallOptions::default()).unwrap());
                    let (before, after): (i64, i64) = (reply[0].parse().unwrap(), reply[3].parse().unwrap());
                    assert_eq!(after, before + 2);
                }
            });
        }
    });
    assert_eq!(text(&client, "GET batch:n"), "320");
}

#[test]
fn an_empty_batch_answers_an_empty_array() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let reply = client.batch(&Batch::new(kind), &CallOptions::default()).unwrap();
        assert_eq!((reply.kind(), reply.len()), (Kind::Array, 0));
    }
    let mut cleared = batch(BatchKind::Pipeline, &["SET batch:cleared 1"]);
    cleared.clear();
    assert!(cleared.is_empty());
    assert_eq!(client.batch(&cleared, &CallOptions::default()).unwrap().len(), 0);
    assert!(run(&client, "GET batch:cleared").unwrap().is_nil());
}

#[test]
fn ten_thousand_commands_go_in_one_batch() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let padding = "x".repeat(500);
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let mut commands = Batch::new(kind);
        for n in 0..10_000 {
            commands.add(&words(&format!("ECHO {n}:{padding}"))).unwrap();
        }
        let reply = client.batch(&commands, &within(20_000)).unwrap();
        assert_eq!(reply.len(), 10_000);
        for (n, element) in reply.elements().enumerate() {
            assert!(
                element.text().starts_with(&format!("{n}:")),
                "{kind:?}: element {n} is {element:?}"
            );
        }
    }
    assert_eq!(text(&client, "ECHO after"), "after");
}

#[test]
fn commands_that_wait_or_change_the_connection_have_no_place_in_a_batch() {
    let mut commands = Batch::new(BatchKind::Pipeline);
    for command in ["BLPOP k 0", "SELECT 1", "MULTI", "SUBSCRIBE c", "CLIENT REPLY OFF"] {
        let error = commands.add(&words(command)).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnsupportedCommand { .. }),
            "{command}: {error}"
        );
    }
    assert!(commands.is_empty());
}

#[test]
fn a_batch_that_is_cut_keeps_what_was_answered() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let cuts = args[0] == b"CUT";
            if cuts {
                session.close();
            }
            cuts
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let commands = batch(BatchKind::Pipeline, &["SET a 1", "INCR a", "CUT", "INCR a"]);
    let reply = client.batch(&commands, &CallOptions::default()).unwrap();
    let said = texts(&reply);
    assert_eq!(reply.len(), 4);
    assert_eq!((&*said[0], reply.at(1).unwrap().integer()), ("OK", 2));
    for at in [2, 3] {
        assert_eq!(reply.at(at).unwrap().kind(), Kind::Error);
        assert!(said[at].starts_with("UNKNOWN "), "{said:?}");
    }
    assert_eq!(node.count("CUT"), 1, "nothing of it is sent again");

    // Cut before any answer: the call itself fails.
    let error = client
        .batch(&batch(BatchKind::Pipeline, &["CUT", "INCR a"]), &CallOptions::default())
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let error = client.batch(
        &batch(BatchKind::Transaction, &["CUT", "INCR a"]),
        &CallOptions::default(),
    );
    assert_eq!(error.unwrap_err().outcome(), Outcome::Unknown);
}

#[test]
fn a_batch_that_only_reads_is_sent_again_when_it_is_cut() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let cuts = args[0] == b"GET" && session.id() == 0;
            if cuts {
                session.close();
            }
            cuts
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let reply = client
        .batch(
            &batch(BatchKind::Pipeline, &["GET a", "EXISTS a"]),
            &CallOptions::default(),
        )
        .unwrap();
    assert!(reply.at(0).unwrap().is_nil());
    assert_eq!(reply.at(1).unwrap().integer(), 0);
}

#[test]
fn a_batch_refused_as_a_whole_goes_to_the_node_that_is_named_then() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET a 1");
    old.set_role(sentinel_lab::Role::Replica(
        "127.0.0.1".into(),
        new.port(),
        "connected".into(),
    ));
    sentinel.change_primary("127.0.0.1", new.port());
    let reply = client
        .batch(
            &batch(BatchKind::Pipeline, &["SET a 2", "INCR a"]),
            &CallOptions::default(),
        )
        .unwrap();
    assert_eq!(reply.at(1).unwrap().integer(), 3);
    assert_eq!(new.value("a").as_deref(), Some(&b"3"[..]));
}

#[test]
fn a_write_can_wait_for_its_replicas() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let with_replicas = |replicas, timeout_ms| CallOptions {
        replicas,
        timeout_ms,
        ..CallOptions::default()
    };
    assert_eq!(
        client
            .command(&words("SET wait:me 1"), &with_replicas(2, 5000))
            .unwrap()
            .text(),
        "OK"
    );
    for index in topology.replicas() {
        assert_eq!(topology.node(index).ask(&["GET", "wait:me"]).as_text(), "1");
    }
    let (result, took) = timed(|| client.command(&words("SET wait:me 2"), &with_replicas(5, 400)));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotReplicated { wanted: 5, have: 2 });
    assert!(
        took <= std::time::Duration::from_millis(400) + SLACK,
        "it took {took:?}"
    );
    assert_ne!(error.outcome(), Outcome::NotSent, "the write was done");
    assert_ne!(error.outcome(), Outcome::Refused, "the write was done");
    assert_eq!(text(&client, "GET wait:me"), "2");
    let reader = open_on(&topology).replica_for(Some(SERVICE), None).unwrap();
    let error = reader
        .command(&words("SET wait:me 3"), &with_replicas(1, 400))
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
}

/// What lies behind the point at which a pipeline was cut was not sent, and each element says so for itself.
#[test]
fn each_element_of_a_pipeline_that_is_cut_has_an_outcome_of_its_own() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let is_it = args[0] == b"ECHO";
            if is_it {
                session.bulk("heard");
                // Nothing more is read until the sender is stuck.
                std::thread::sleep(Duration::from_millis(300));
                session.reset();
            }
            is_it
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let queue = deployment.queue(1).unwrap();
    let large = vec![b'x'; 32 << 20];
    for submitted in [false, true] {
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let mut commands = Batch::new(BatchKind::Pipeline);
        for args in [
            &[b"ECHO".as_slice(), b"x"][..],
            &[b"SET", b"k", &large],
            &[b"INCR", b"n"],
            &[b"INCR", b"m"],
        ] {
            commands.add(args).unwrap();
        }
        let reply = match submitted {
            true => submitted_batch(&client, &queue, &commands, &within(20_000)),
            false => client.batch(&commands, &within(20_000)),
        };
        let reply = reply.unwrap();
        let said = texts(&reply);
        let words: Vec<_> = said.iter().map(|said| said.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["heard", "UNKNOWN", "NOTSENT", "NOTSENT"], "{said:?}");
        let whose: Vec<Said> = reply.elements().map(|element| element.said()).collect();
        assert_eq!(whose, [Said::BySomebody, Said::CutOff, Said::NotSent, Said::NotSent]);
    }
}
