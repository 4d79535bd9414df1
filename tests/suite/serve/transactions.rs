//! MULTI and WATCH through a socket are those of a server.

use std::sync::{Mutex, PoisonError};

use sentinel::Client;

use crate::serve::peer::Peer;
use crate::support::{SERVICE, named_connections, open_on, overrides, shared, text};
use sentinel_lab::{servers_are_valkey, skipped_before, skipped_where};

/// Valkey 8.1 has other words for a MULTI within a transaction, and discards that: there it is left out.
fn known_here(steps: &[&'static str]) -> Vec<&'static str> {
    let mut open = false;
    let known = steps.iter().copied().filter(|step| {
        let nested = *step == "MULTI" && std::mem::replace(&mut open, true);
        open &= !matches!(*step, "EXEC" | "DISCARD");
        !(nested && servers_are_valkey())
    });
    known.collect()
}

/// Commands, and the place of a command that somebody else runs in between.
fn compare(steps: &[&'static str]) {
    let steps = &known_here(steps)[..];
    // Both have databases 14 and 15.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let topology = shared();
    let deployment = open_on(&topology);
    for protocol in ["2", "3"] {
        let clients = ["14", "15"].map(|database| {
            let keys = overrides(&[("database", database)]);
            deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap()
        });
        let mut own = Peer::of(&clients[0]);
        let mut direct = Peer::at(topology.node(topology.primary()));
        direct.ask("SELECT 15");
        own.ask(&format!("HELLO {protocol}"));
        direct.ask(&format!("HELLO {protocol}"));
        for step in ["FLUSHDB"].iter().chain(steps) {
            match step.strip_prefix("other: ") {
                Some(command) => clients.iter().for_each(|client: &Client| _ = text(client, command)),
                None => assert_eq!(own.ask(step), direct.ask(step), "RESP{protocol}: {step}"),
            }
        }
        // And all of it in one write.
        let alone: Vec<&str> = steps
            .iter()
            .copied()
            .filter(|step| !step.starts_with("other: "))
            .collect();
        own.ask("FLUSHDB");
        direct.ask("FLUSHDB");
        own.pipeline(&alone);
        direct.pipeline(&alone);
        for step in alone {
            assert_eq!(own.told(), direct.told(), "RESP{protocol}, in one write: {step}");
        }
    }
}

const OTHER_WORDS: &str = "Valkey has other words for what frames a transaction inside of one";

#[test]
fn transactions_are_those_of_a_server() {
    if skipped_before((7, 0), "these words of errors") || skipped_where(servers_are_valkey(), OTHER_WORDS) {
        return;
    }
    compare(&[
        "EXEC",
        "DISCARD",
        "MULTI",
        "MULTI",
        "SET a 1",
        "INCR a",
        "GET none",
        "HSET h f v",
        "HGETALL h",
        "ZADD z 1 a 2 b",
        "ZRANGE z 0 -1 WITHSCORES",
        "BLPOP none 0",
        "SADD s x",
        "SMEMBERS s",
        "LPUSH a wrong",
        "PING",
        "PING text",
        "ECHO text",
        "UNWATCH",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "SELECT 14 15",
        "WATCH a",
        "LPOP none 2",
        "XREAD STREAMS none 0",
        "EXEC",
        "GET a",
        "MULTI",
        "EXEC",
        "MULTI",
        "SET a 9",
        "DISCARD",
        "GET a",
        "CLIENT GETNAME",
        "EXEC",
        "MULTI",
        "EVAL return(1) 0",
        "EXEC",
    ]);
}

#[test]
fn what_a_socket_says_of_itself_in_a_transaction_is_said_behind_what_came_before_and_before_what_comes_after() {
    if skipped_before((7, 0), "HELLO inside of a transaction") {
        return;
    }
    compare(&[
        "MULTI",
        "CLIENT GETNAME",
        "GET none",
        "EXEC",
        "CLIENT SETNAME later",
        "MULTI",
        "CLIENT SETNAME within",
        "GET none",
        "EXEC",
        "CLIENT GETNAME",
    ]);
    // The replies to what came before are still of the protocol of then.
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let commands = [
        "GET none",
        "MULTI",
        "HELLO 3",
        "EXEC",
        "GET none",
        "MULTI",
        "HELLO 2",
        "GET none",
        "EXEC",
        "CLIENT GETNAME",
    ];
    let mut both = [Peer::of(&client), Peer::at(topology.node(topology.primary()))];
    let [own, direct] = both.each_mut().map(|peer| {
        peer.pipeline(&commands);
        let replies = commands.map(|_| peer.told());
        // The greeting has a number of its own.
        replies.map(|reply| {
            if reply.contains("proto") {
                reply[..6].to_owned()
            } else {
                reply
            }
        })
    });
    assert_eq!(own, direct);
}

#[test]
fn watched_keys_are_watched_until_the_end_of_the_transaction() {
    compare(&[
        "SET k 1",
        "WATCH k other",
        "GET k",
        "WATCH third",
        "MULTI",
        "INCR k",
        "EXEC",
        "WATCH k",
        "other: INCR k",
        "GET none",
        "MULTI",
        "INCR k",
        "PING",
        "EXEC",
        "MULTI",
        "SET k 7",
        "EXEC",
        "WATCH k",
        "other: INCR k",
        "UNWATCH",
        "MULTI",
        "SET k 8",
        "EXEC",
        "WATCH k",
        "MULTI",
        "SET k 9",
        "DISCARD",
        "GET k",
        "WATCH k",
        "BLPOP none 0.01",
        "RPUSH list a",
        "BLPOP list 1",
        "MULTI",
        "EXEC",
        "WATCH k",
        "other: INCR k",
        "MULTI",
        "CLIENT SETNAME me",
        "EXEC",
        "CLIENT GETNAME",
        "WATCH k",
        "MULTI",
        "CLIENT SETNAME me",
        "EXEC",
        "CLIENT GETNAME",
        "WATCH",
        "GET k",
    ]);
}

#[test]
fn what_frames_a_transaction_and_has_too_many_words_spoils_it_as_on_a_server() {
    if skipped_where(servers_are_valkey(), OTHER_WORDS) {
        return;
    }
    let mut asked = vec!["SET k 1"];
    for misfit in ["EXEC x", "DISCARD x", "MULTI x", "WATCH", "MULTI", "WATCH k", "RESET x"] {
        asked.extend(["MULTI", "INCR k", misfit, "EXEC", "GET k"]);
    }
    asked.extend(["EXEC x", "MULTI", "EXEC x", "DISCARD", "MULTI", "INCR k", "EXEC"]);
    // EXEC that is refused ends what is watched, also where there is no transaction.
    asked.extend(["WATCH k", "EXEC x", "INCR k", "MULTI", "INCR k", "EXEC"]);
    asked.extend([
        "WATCH k",
        "SUBSCRIBE c",
        "EXEC",
        "UNSUBSCRIBE c",
        "INCR k",
        "MULTI",
        "INCR k",
        "EXEC",
    ]);
    compare(&asked);
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut peer = Peer::of(&client);
    peer.ask("DEL transactions:spoilt");
    let wanted = [
        "+OK\\r\\n",
        "+QUEUED\\r\\n",
        "-ERR MONITOR cannot run on this socket: use redis-cli\\r\\n",
        "-EXECABORT Transaction discarded because of previous errors.\\r\\n",
        "$-1\\r\\n",
    ];
    peer.pipeline(&[
        "MULTI",
        "SET transactions:spoilt 1",
        "MONITOR",
        "EXEC",
        "GET transactions:spoilt",
    ]);
    assert_eq!(peer.replies(5), wanted);
    // What a server says as it queues is told at the end.
    peer.pipeline(&[
        "MULTI",
        "SET transactions:spoilt 1",
        "GET",
        "EXEC",
        "GET transactions:spoilt",
    ]);
    let told = peer.replies(5);
    assert!(
        told[3].starts_with("-EXECABORT Transaction discarded because of: "),
        "{told:?}"
    );
    assert!(told[3].contains("wrong number of arguments for \\'get\\'"), "{told:?}");
    assert_eq!(told[4], "$-1\\r\\n");
}

#[test]
fn a_transaction_that_a_replica_refuses_was_discarded() {
    let topology = shared();
    let client = open_on(&topology).replica_for(Some(SERVICE), None).unwrap();
    let mut peer = Peer::of(&client);
    for before in ["PING", "WATCH transactions:none"] {
        peer.pipeline(&[before, "MULTI", "SET transactions:none 1", "EXEC", "PING"]);
        let told = peer.replies(5);
        assert!(
            told[3].starts_with("-EXECABORT Transaction discarded because of: READONLY "),
            "{told:?}"
        );
        assert_eq!(told[4], "+PONG\\r\\n");
    }
}

#[test]
fn a_connection_that_was_watched_is_given_back_clean_and_closed_with_its_peer() {
    let topology = shared();
    let keys = overrides(&[
        ("client_name", "served-watch"),
        ("pool.max_connections", "1"),
        ("timeout_ms", "3000"),
    ]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let (mut first, mut second) = (Peer::of(&client), Peer::of(&client));
    for round in 0..5 {
        assert_eq!(first.ask("WATCH transactions:given"), "+OK\\r\\n");
        first.pipeline(&["MULTI", "PING", "EXEC"]);
        assert_eq!(first.replies(3)[2], "*1\\r\\n+PONG\\r\\n");
        assert_eq!(second.ask("WATCH transactions:given"), "+OK\\r\\n", "round {round}");
        assert_eq!(second.ask("UNWATCH"), "+OK\\r\\n");
        // The next transaction watches nothing of the last one.
        assert_eq!(second.ask("WATCH transactions:other"), "+OK\\r\\n");
        text(&client, "INCR transactions:given");
        second.pipeline(&["MULTI", "PING", "EXEC"]);
        assert_eq!(second.replies(3)[2], "*1\\r\\n+PONG\\r\\n", "round {round}");
    }
    let before = named_connections(topology.node(topology.primary()), "served-watch");
    assert_eq!(first.ask("WATCH transactions:given"), "+OK\\r\\n");
    assert_eq!(
        named_connections(topology.node(topology.primary()), "served-watch"),
        before,
        "one for all of them"
    );
    let late = second.ask("WATCH transactions:given");
    assert!(late.starts_with("-NOTSENT all 1 connections"), "{late}");
    drop(first);
    assert_eq!(second.ask("WATCH transactions:given"), "+OK\\r\\n");
}

#[test]
fn a_transaction_never_runs_where_nothing_was_watched_for_it() {
    let topology = shared();
    let keys = overrides(&[("client_name", "served-lost")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let node = topology.node(topology.primary());
    let mut peer = Peer::of(&client);
    peer.ask("SET transactions:lost 1");
    for read_again in [false, true] {
        assert_eq!(peer.ask("WATCH transactions:lost"), "+OK\\r\\n");
        // All of the client's connections end, and that one with what it watched.
        let list = crate::support::tell(node, "CLIENT LIST").as_text();
        for line in list.lines().filter(|line| line.contains(" name=served-lost ")) {
            let id = line.split(' ').next().unwrap().strip_prefix("id=").unwrap();
            crate::support::tell(node, &format!("CLIENT KILL ID {id}"));
        }
        if read_again {
            let lost = peer.ask("GET transactions:lost");
            assert!(lost.starts_with("-UNKNOWN ") || lost.starts_with("-NOTSENT "), "{lost}");
        }
        peer.pipeline(&["MULTI", "INCR transactions:lost", "EXEC", "GET transactions:lost"]);
        let told = peer.replies(4);
        assert!(
            told[2].starts_with("-UNKNOWN ") || told[2].starts_with("-NOTSENT "),
            "{told:?}"
        );
        assert_eq!(told[3], "$1\\r\\n1\\r\\n", "it was not executed");
    }
    // The next one is as good as new.
    peer.pipeline(&["WATCH transactions:lost", "MULTI", "INCR transactions:lost", "EXEC"]);
    assert_eq!(peer.replies(4)[3], "*1\\r\\n:2\\r\\n");
}
