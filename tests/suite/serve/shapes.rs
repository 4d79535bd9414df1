//! Replies through a socket, byte for byte those of a server, in both protocols and for both of the lane's.

use sentinel_lab::{Server, servers_are_valkey, skipped_before};

use crate::serve::peer::{Peer, refuses_to_unsubscribe};
use crate::support::{SERVICE, open_on, overrides, shared};
use crate::wire::rendered::arguments;

/// Commands of all types, and replies of all kinds.
const COMMANDS: &str = include_str!("../wire/rendered.txt");

/// What is spelt in its own way where there is nothing, and pairs that are nested in one protocol alone.
const MORE: &str = include_str!("shapes.txt");

/// Replies that name the connection, the time, or what chance gave.
fn differs(line: &str) -> bool {
    ["CLIENT ID", "CLIENT INFO", "HELLO", "CLIENT NO-TOUCH", "CLIENT SETINFO"]
        .iter()
        .any(|start| line.starts_with(start))
}

fn compare(lane: &str, protocol: &str, databases: [&str; 2]) {
    let topology = shared();
    let keys = overrides(&[("protocol", lane), ("database", databases[0])]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let server: &Server = topology.node(topology.primary());
    let (mut own, mut direct) = (Peer::of(&client), Peer::at(server));
    assert_eq!(direct.ask(&format!("SELECT {}", databases[1])), "+OK\\r\\n");
    if protocol == "3" {
        assert!(own.ask("HELLO 3").starts_with("%7\\r\\n"));
        direct.ask("HELLO 3");
    }
    let lines = COMMANDS.lines().chain(MORE.lines());
    let (mut compared, mut differences) = (0, Vec::new());
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("# ") && !differs(line)) {
        let args = arguments(line);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        own.send(&args);
        direct.send(&args);
        let (own, direct) = (own.told(), direct.told());
        if own != direct {
            differences.push(format!("{line}\n  {own}\n  {direct}"));
        }
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
    assert!(
        differences.is_empty(),
        "lane {lane}, RESP{protocol}:\n{}",
        differences.join("\n")
    );
}

#[test]
fn replies_are_those_of_a_server_in_resp2_over_a_lane_of_resp3() {
    compare("3", "2", ["5", "4"]);
}

#[test]
fn replies_are_those_of_a_server_in_resp2_over_a_lane_of_resp2() {
    compare("2", "2", ["3", "2"]);
}

#[test]
fn replies_are_those_of_a_server_in_resp3() {
    compare("3", "3", ["7", "6"]);
}

#[test]
fn the_greeting_is_answered_as_a_server_does() {
    if skipped_before((7, 0), "these words of errors") {
        return;
    }
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replicas = deployment.replica_for(Some(SERVICE), None).unwrap();
    let (mut own, mut direct) = (Peer::of(&client), Peer::at(topology.node(topology.primary())));
    for command in [
        "CLIENT GETNAME",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "CLIENT SETNAME a b",
        "CLIENT SETNAME",
        "CLIENT NO-EVICT on",
        "CLIENT NO-EVICT maybe",
        "CLIENT NO-EVICT",
        "AUTH",
        "AUTH a b c",
        "PING",
        "PING a",
        "PING a b",
        "ECHO a",
        "ECHO",
        "SELECT 0",
        "SELECT x",
        "SELECT 00",
        "SELECT +0",
        "SELECT",
        "HELLO x",
        "HELLO 02",
        "HELLO +3",
        "HELLO 4",
        "HELLO 3 SETNAME",
        "HELLO 3 WHAT",
        "READONLY",
        "RESET",
        "CLIENT GETNAME",
        "EXEC",
        "DISCARD",
        "UNWATCH",
        "WATCH",
        "MULTI x",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE a b",
        "SUNSUBSCRIBE",
        "SUBSCRIBE",
    ] {
        // What Valkey takes for clients that it redirects, which a socket has none of.
        if command == "READONLY" && servers_are_valkey() {
            continue;
        }
        if command.contains("UNSUB") && refuses_to_unsubscribe() {
            continue;
        }
        assert_eq!(own.ask(command), direct.ask(command), "{command}");
        if command.starts_with("UNSUB") || command.starts_with("PUNSUB") {
            let more = command.split(' ').count().saturating_sub(2);
            assert_eq!(own.replies(more), direct.replies(more), "{command}");
        }
    }
    assert_eq!(own.ask("AUTH any word"), "+OK\\r\\n");
    assert_eq!(own.ask("CLIENT SETINFO LIB-NAME x"), "+OK\\r\\n");
    assert_eq!(own.ask("CLIENT NO-TOUCH on"), "+OK\\r\\n");
    // No connection of a server has such a number: who is told to end this one ends none.
    let number = own.ask("CLIENT ID");
    let number = number.strip_prefix(':').unwrap().strip_suffix("\\r\\n").unwrap();
    assert!(number.parse::<i64>().unwrap() > 1 << 48, "{number}");
    assert_eq!(own.ask(&format!("CLIENT KILL ID {number}")), ":0\\r\\n");
    assert_eq!(own.ask(&format!("CLIENT UNBLOCK {number}")), ":0\\r\\n");
    assert!(own.ask("CLIENT INFO").contains("resp=2"));
    let refused = own.ask("SELECT 1");
    assert!(
        refused.starts_with("-ERR this socket is for database 0 alone"),
        "{refused}"
    );
    for command in [
        "MONITOR",
        "SYNC",
        "PSYNC ? -1",
        "CLIENT REPLY OFF",
        "CLIENT TRACKING ON",
        "WAIT 1 1",
    ] {
        let refused = own.ask(command);
        assert!(
            refused.starts_with("-ERR ") && refused.contains("cannot run on this socket"),
            "{refused}"
        );
    }
    // The same words in the same order as a server's map.
    let greeting = own.ask("HELLO 3 AUTH u p SETNAME you");
    assert!(
        greeting.starts_with("%7\\r\\n$6\\r\\nserver\\r\\n$5\\r\\nredis\\r\\n$7\\r\\nversion"),
        "{greeting}"
    );
    assert!(
        greeting.contains("proto\\r\\n:3\\r\\n") && greeting.contains("role\\r\\n$6\\r\\nmaster\\r\\n"),
        "{greeting}"
    );
    assert_eq!(own.ask("CLIENT GETNAME"), "$3\\r\\nyou\\r\\n");
    assert_eq!(own.ask("GET none"), "_\\r\\n");
    assert!(own.ask("HELLO 2").starts_with("*14\\r\\n"));
    assert!(
        Peer::of(&replicas)
            .ask("HELLO")
            .contains("role\\r\\n$7\\r\\nreplica\\r\\n")
    );
    assert_eq!(own.ask("QUIT"), "+OK\\r\\n");
    assert_eq!(own.try_reply(), None);
}
