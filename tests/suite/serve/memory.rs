//! What a peer costs that asks for more than it reads.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use sentinel::Client;
use sentinel_lab::{Config, FakeSentinel, Topology, wait_until};

use crate::calls::bulk::memory;
use crate::handles::lifecycle::alone;
use crate::serve::peer::{Peer, encoded_text, served};
use crate::support::{PATIENCE, SERVICE, open, open_on, overrides, run, shared, text};

const LIMIT: usize = 256 << 10;
/// A reply of nearly that.
const LARGE: usize = 200_000;
/// What a peer may cost: the limit, a few replies, and what the kernel's and the allocator's buffers bring.
const MOST: usize = 6 << 20;

/// A client of a server of its own whose replies may have [`LIMIT`] bytes, with values of several shapes there.
fn limited(timeout_ms: &str, body: impl FnOnce(&Client)) {
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let sentinel = FakeSentinel::start(SERVICE, topology.node(0).port());
    let keys = overrides(&[("max_reply_bytes", &LIMIT.to_string()), ("timeout_ms", timeout_ms)]);
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, &format!("SET large {}", "v".repeat(LARGE)));
    text(&client, "SET small v");
    // Each of its elements costs more than its bytes.
    let elements = "x ".repeat(3000);
    text(&client, &format!("RPUSH list {}", elements.trim_end()));
    body(&client);
}

/// Asks for these until the stream ends, and reads nothing; how much memory that took.
fn ask_and_read_nothing(client: &Client, stream: &mut UnixStream, command: &str) -> usize {
    let all = encoded_text(command).repeat(100);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let before = memory("VmRSS");
    let mut asked = 0;
    let ended = loop {
        if let Err(error) = stream.write_all(&all) {
            break error.kind();
        }
        asked += 100;
        assert!(asked < 1_000_000, "it is never closed");
    };
    let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    assert!(closed.contains(&ended), "it is never closed: {ended}");
    // What was under way comes behind the end of the stream, and stays nowhere either.
    wait_until("the last reply to come", PATIENCE, || {
        (0..2000).all(|_| run(client, "GET small").is_ok())
    });
    let grown = memory("VmHWM").saturating_sub(before);
    println!("{command}: asked for {asked}, memory grew by {grown} bytes");
    grown
}

#[test]
fn a_peer_that_reads_nothing_costs_the_limit_and_a_few_replies() {
    alone(
        "serve::memory::a_peer_that_reads_nothing_costs_the_limit_and_a_few_replies",
        || {
            limited("1000", |client| {
                for command in ["GET large", "LRANGE list 0 -1", "GET small"] {
                    let grown = ask_and_read_nothing(client, &mut served(client), command);
                    assert!(grown < MOST, "{command}: {grown}");
                }
            });
        },
    );
}

#[test]
fn small_replies_do_not_open_the_way_for_large_ones() {
    alone(
        "serve::memory::small_replies_do_not_open_the_way_for_large_ones",
        || {
            limited("3000", |client| {
                for command in ["GET large", "LRANGE list 0 -1"] {
                    let mut stream = served(client);
                    let mut peer = Peer::on(&stream);
                    for _ in 0..20 {
                        peer.pipeline(&["GET small"; 500]);
                        for reply in peer.replies(500) {
                            assert_eq!(reply, "$1\\r\\nv\\r\\n");
                        }
                    }
                    let grown = ask_and_read_nothing(client, &mut stream, command);
                    assert!(grown < MOST, "{command}: {grown}");
                }
            });
        },
    );
}

#[test]
fn messages_that_nobody_reads_cost_no_more() {
    alone("serve::memory::messages_that_nobody_reads_cost_no_more", || {
        limited("3000", |client| {
            let mut stream = served(client);
            let mut peer = Peer::on(&stream);
            assert!(peer.ask("SUBSCRIBE news").contains("subscribe"));
            let before = memory("VmRSS");
            let message = format!("PUBLISH news {}", "m".repeat(LARGE));
            for _ in 0..300 {
                text(client, &message);
            }
            let grown = memory("VmHWM").saturating_sub(before);
            assert!(grown < MOST, "{grown}");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() < 8 * LIMIT, "{}", rest.len());
        });
    });
}

#[test]
fn who_reads_slowly_gets_all_however_much_it_asks_for_at_once() {
    let topology = shared();
    let keys = overrides(&[("max_reply_bytes", &LIMIT.to_string())]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, &format!("SET memory:slow {}", "v".repeat(LARGE)));
    let mut peer = Peer::of(&client);
    // A hundred times what may wait.
    peer.pipeline(&["GET memory:slow"; 100]);
    for _ in 0..100 {
        assert_eq!(peer.reply().len(), LARGE + 11);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    text(&client, "DEL memory:slow");
}
