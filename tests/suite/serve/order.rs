//! Pipelines are answered in their order, and what waits in the server delays nobody but what comes behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment};
use sentinel_lab::Topology;

use crate::serve::peer::{Peer, encoded, served};
use crate::support::{PATIENCE, SERVICE, open_on, overrides, shared, tell, text};

fn client() -> (Arc<Topology>, Deployment, Client) {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    (topology, deployment, client)
}

#[test]
fn a_pipeline_of_everything_is_answered_in_its_order() {
    let (_topology, _deployment, client) = client();
    let mut peer = Peer::of(&client);
    let (mut sent, mut wanted) = (Vec::new(), Vec::new());
    for number in 0..5000 {
        // Answered here, by a node, by none: no way is the same.
        let (args, reply): (Vec<String>, String) = match number % 5 {
            0 => (
                vec!["SET".into(), format!("order:{number}"), number.to_string()],
                "+OK\r\n".into(),
            ),
            1 => {
                let before = (number - 1).to_string();
                let reply = format!("${}\r\n{before}\r\n", before.len());
                (vec!["GET".into(), format!("order:{}", number - 1)], reply)
            }
            2 => {
                let text = number.to_string();
                (
                    vec!["ECHO".into(), text.clone()],
                    format!("${}\r\n{text}\r\n", text.len()),
                )
            }
            3 => (vec!["MONITOR".into()], "-ERR MONITOR".into()),
            _ => (
                vec!["INCR".into(), "order:count".into()],
                format!(":{}\r\n", number / 5 + 1),
            ),
        };
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        sent.extend(encoded(&args));
        wanted.push(reply);
    }
    text(&client, "DEL order:count");
    std::thread::scope(|scope| {
        let mut writer = served(&client);
        let mut peer = Peer::on(&writer);
        scope.spawn(move || std::io::Write::write_all(&mut writer, &sent).unwrap());
        for (number, wanted) in wanted.iter().enumerate() {
            let reply = String::from_utf8(peer.reply()).unwrap();
            let same = if wanted.ends_with('\n') {
                reply == *wanted
            } else {
                reply.starts_with(wanted.as_str())
            };
            assert!(same, "{number}: {reply:?} in place of {wanted:?}");
        }
    });
    assert_eq!(peer.ask("PING"), "+PONG\\r\\n");
}

#[test]
fn a_client_that_reads_only_when_it_has_sent_all_gets_all() {
    let (_topology, _deployment, client) = client();
    let mut peer = Peer::of(&client);
    peer.ask(&format!("SET order:large {}", "x".repeat(1000)));
    let get = encoded(&[b"GET", b"order:large"]);
    let all: Vec<u8> = std::iter::repeat_n(get, 30_000).flatten().collect();
    peer.raw(&all);
    for _ in 0..30_000 {
        assert_eq!(peer.reply().len(), 1000 + 9);
    }
}

#[test]
fn what_waits_delays_no_other_socket_and_keeps_its_place_on_its_own() {
    let (_topology, _deployment, client) = client();
    let (mut waiting, mut other) = (Peer::of(&client), Peer::of(&client));
    other.ask("DEL order:queue");
    waiting.pipeline(&["SET order:before 1", "BLPOP order:queue 0", "SET order:after 1", "PING"]);
    assert_eq!(waiting.told(), "+OK\\r\\n");
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(other.ask("GET order:after"), "$-1\\r\\n", "it comes behind what waits");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(other.ask("RPUSH order:queue job"), ":1\\r\\n");
    assert_eq!(waiting.told(), "*2\\r\\n$11\\r\\norder:queue\\r\\n$3\\r\\njob\\r\\n");
    assert_eq!(waiting.replies(2), ["+OK\\r\\n", "+PONG\\r\\n"]);
    assert_eq!(other.ask("GET order:after"), "$1\\r\\n1\\r\\n");
    other.ask("DEL order:after");
}

#[test]
fn a_peer_that_goes_away_takes_nothing_out_of_a_queue() {
    let (topology, deployment, _client) = client();
    let name = overrides(&[("client_name", "served-gone")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&name)).unwrap();
    let node = topology.node(topology.primary());
    let blocked = || {
        tell(node, "CLIENT LIST")
            .as_text()
            .lines()
            .filter(|line| line.contains("name=served-gone") && line.contains("cmd=blpop"))
            .count()
    };
    let mut peer = Peer::of(&client);
    peer.pipeline(&["DEL order:left", "BLPOP order:left 0"]);
    peer.told();
    sentinel_lab::wait_until("it to wait", PATIENCE, || blocked() == 1);
    drop(peer);
    sentinel_lab::wait_until("it to be gone", PATIENCE, || blocked() == 0);
    assert_eq!(text(&client, "RPUSH order:left job"), "");
    assert_eq!(sentinel_lab::Value::Int(1), tell(node, "LLEN order:left"));
    text(&client, "DEL order:left");
}

#[test]
fn large_values_come_and_go_whole() {
    let (_topology, _deployment, client) = client();
    let mut peer = Peer::of(&client);
    let value: Vec<u8> = (0..20_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    peer.send(&[b"SET", b"order:huge", &value]);
    assert_eq!(peer.told(), "+OK\\r\\n");
    peer.pipeline(&["GET order:huge", "STRLEN order:huge", "DEL order:huge"]);
    let reply = peer.reply();
    assert!(reply.starts_with(b"$20000000\r\n") && reply[11..].starts_with(&value) && reply.len() == 20_000_013);
    assert_eq!(peer.replies(2), [":20000000\\r\\n", ":1\\r\\n"]);
}

#[test]
fn a_thousand_sockets_at_once_each_get_their_own() {
    let (_topology, _deployment, client) = client();
    let mut peers: Vec<Peer> = (0..1000).map(|_| Peer::of(&client)).collect();
    for round in 0..3 {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.pipeline(&[
                &format!("SET order:many:{number} {round}.{number}"),
                &format!("GET order:many:{number}"),
            ]);
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            let own = format!("{round}.{number}");
            assert_eq!(
                peer.replies(2),
                ["+OK\\r\\n".to_owned(), format!("${}\\r\\n{own}\\r\\n", own.len())]
            );
        }
    }
}

#[test]
fn what_finds_too_many_under_way_waits_for_them() {
    let topology = shared();
    let keys = overrides(&[("max_pending", "3")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::of(&client)).collect();
    for peer in &mut peers {
        peer.pipeline(
            &[
                "ECHO a",
                "TYPE order:none",
                "TTL order:none",
                "MULTI",
                "TTL order:none",
                "EXEC",
            ]
            .repeat(20),
        );
    }
    for peer in &mut peers {
        for _ in 0..20 {
            let wanted = ["$1\\r\\na", "+none", ":-2", "+OK", "+QUEUED", "*1\\r\\n:-2"];
            assert_eq!(peer.replies(6), wanted.map(|reply| format!("{reply}\\r\\n")));
        }
    }
}

#[test]
fn a_transaction_that_found_too_many_under_way_for_too_long_says_that_it_was_not_sent() {
    let topology = shared();
    let keys = overrides(&[
        ("max_pending", "1"),
        ("timeout_ms", "300"),
        ("client_name", "served-full"),
    ]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let (mut waiting, mut other) = (Peer::of(&client), Peer::of(&client));
    waiting.send(&[b"BLPOP", b"order:full", b"0"]);
    let node = topology.node(topology.primary());
    sentinel_lab::wait_until("it to wait", PATIENCE, || {
        let all = tell(node, "CLIENT LIST").as_text().to_owned();
        all.lines()
            .any(|line| line.contains("name=served-full") && line.contains("cmd=blpop"))
    });
    for begin in ["PING", "RESET"] {
        other.pipeline(&[begin, "MULTI", "SET order:never 1", "EXEC", "PING"]);
        let told = other.replies(5);
        assert!(told[3].starts_with("-NOTSENT "), "{told:?}");
        assert_eq!(told[4], "+PONG\\r\\n");
    }
    assert_eq!(sentinel_lab::Value::Int(0), tell(node, "EXISTS order:never"));
}
