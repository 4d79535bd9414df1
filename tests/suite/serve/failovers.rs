//! A peer that knows nothing of Sentinel writes through every change of primary, and its stream does not end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment};
use sentinel_lab::{Config, FakeNode, SetOnDrop, Topology, wait_until};

use crate::pubsub::hearing::scripted;
use crate::serve::peer::Peer;
use crate::support::{PATIENCE, SERVICE, open_on, options, overrides, with};

/// What a writer saw.
#[derive(Debug, Default)]
struct Seen {
    done: u64,
    failed: Vec<String>,
    longest: Duration,
}

/// Counts up, one call after the other, until it is told to stop.
fn write(client: &Client, key: &str, stop: &AtomicBool) -> Seen {
    let (mut peer, mut seen) = (Peer::of(client), Seen::default());
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let reply = peer.ask(&format!("INCR {key}"));
        seen.longest = seen.longest.max(began.elapsed());
        match reply.strip_prefix(':') {
            Some(_) => seen.done += 1,
            None => seen.failed.push(reply),
        }
    }
    seen
}

/// Writes while `change` is made; what is counted in the end is what was told to be done, and at most what was not known.
fn through(change: impl FnOnce(&Topology)) {
    const WRITERS: usize = 4;
    let topology = Topology::start(Config::default());
    let keys = overrides(&[("timeout_ms", "30000")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let stop = AtomicBool::new(false);
    let all: Vec<Seen> = std::thread::scope(|scope| {
        let guard = SetOnDrop(&stop);
        let (client, stop) = (&client, &stop);
        let write = |number| scope.spawn(move || write(client, &format!("count:{number}"), stop));
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        std::thread::sleep(Duration::from_millis(300));
        change(&topology);
        // Written again, on the new primary.
        let mut peer = Peer::of(client);
        for _ in 0..100 {
            assert_eq!(peer.ask("SET count:after 1"), "+OK\\r\\n");
        }
        drop(guard);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (number, seen) in all.iter().enumerate() {
        assert!(seen.done > 100, "{seen:?}");
        // One was under way.
        assert!(seen.failed.len() <= 1, "{seen:?}");
        assert!(
            seen.failed.iter().all(|reply| reply.starts_with("-UNKNOWN ")),
            "{seen:?}"
        );
        assert!(seen.longest < PATIENCE, "{seen:?}");
        let mut peer = Peer::of(&client);
        let counted: u64 = {
            let reply = peer.ask(&format!("GET count:{number}"));
            reply.split("\\r\\n").nth(1).unwrap().parse().unwrap()
        };
        println!("{seen:?}, {counted} counted");
        // What an old primary acknowledged just before it died may be lost with it, and nothing is counted twice.
        assert!(counted <= seen.done + seen.failed.len() as u64, "{counted}, {seen:?}");
    }
}

#[test]
fn writers_go_on_when_the_primary_is_killed() {
    through(|topology| {
        let old = topology.primary();
        topology.kill(old);
        topology.wait_for_primary_change(old, PATIENCE * 4);
    });
}

#[test]
fn writers_go_on_when_the_primary_is_frozen() {
    through(|topology| {
        let old = topology.primary();
        topology.stop(old);
        topology.wait_for_primary_change(old, PATIENCE * 4);
    });
}

#[test]
fn writers_go_on_through_a_planned_failover() {
    through(|topology| {
        let old = topology.primary();
        topology.fail_over();
        topology.wait_for_primary_change(old, PATIENCE * 4);
    });
}

#[test]
fn what_is_known_of_a_failure_is_its_first_word() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let keys = overrides(&[("timeout_ms", "700")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let mut peer = Peer::of(&client);
    assert_eq!(peer.ask("SET a 1"), "+OK\\r\\n");
    let old = topology.primary();
    topology.stop(old);
    let frozen = peer.ask("SET a 2");
    assert!(
        frozen.starts_with("-TIMEOUT ") || frozen.starts_with("-UNKNOWN "),
        "{frozen}"
    );
    topology.kill(old);
    topology.replicas().iter().for_each(|replica| topology.kill(*replica));
    let nobody = peer.ask("SET a 3");
    assert!(nobody.starts_with("-NOTSENT no primary of service"), "{nobody}");
    assert_eq!(nobody.matches("\\r\\n").count(), 1, "one line: {nobody}");
    assert_eq!(peer.ask("PING"), "+PONG\\r\\n", "and the stream goes on");
    // It ends with the client.
    drop(client);
    assert_eq!(peer.try_reply(), None);
}

#[test]
fn while_nobody_knows_the_primary_writes_wait_and_other_sockets_read_on() {
    let topology = Topology::start(Config::default());
    let ports: Vec<u16> = topology.sentinels().into_iter().map(|(_, port)| port).collect();
    let fenced = with(options(&ports), &[("primary.fence_ms", "700")]);
    let deployment = Deployment::open(&fenced).unwrap();
    let keys = overrides(&[("timeout_ms", "1500")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let [mut probe, mut watching, mut waiting, mut reading] = [(); 4].map(|()| Peer::of(&client));
    assert_eq!(watching.ask("SET watched 1"), "+OK\\r\\n");
    assert_eq!(watching.ask("WATCH watched"), "+OK\\r\\n");
    [1, 2].into_iter().for_each(|index| topology.stop_sentinel(index));
    wait_until("writes to wait", PATIENCE, || {
        probe.ask("SET probe 1").starts_with("-NOTSENT ")
    });
    waiting.pipeline(&["SET waits 1", "GET waits"]);
    watching.pipeline(&["GET watched", "MULTI", "INCR watched", "EXEC"]);
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(reading.ask("GET watched"), "$1\\r\\n1\\r\\n");
        assert!(
            began.elapsed() < Duration::from_millis(700),
            "it waits behind another socket's write"
        );
    }
    let told = watching.replies(4);
    assert_eq!(told[0], "$1\\r\\n1\\r\\n", "what was watched can be read");
    assert!(told[3].starts_with("-NOTSENT no primary of service"), "{told:?}");
    let told = waiting.replies(2);
    assert!(told[0].starts_with("-NOTSENT "), "{told:?}");
    [1, 2].into_iter().for_each(|index| topology.cont_sentinel(index));
    wait_until("writes to go out", PATIENCE, || probe.ask("SET probe 1") == "+OK\\r\\n");
    watching.pipeline(&["WATCH watched", "MULTI", "INCR watched", "EXEC"]);
    assert_eq!(
        watching.replies(4)[3],
        "*1\\r\\n:2\\r\\n",
        "and none of it was executed before"
    );
}

#[test]
fn what_waits_and_is_sent_away_by_the_server_waits_on_at_the_new_primary() {
    let answer = |said: &'static str| {
        move |session: &mut sentinel_lab::Session, args: &[Vec<u8>]| {
            let waits = args[0] == b"BLPOP";
            if waits {
                session.send(said);
            }
            waits
        }
    };
    let unblocked = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
    let old = FakeNode::builder().on(answer(unblocked)).start();
    let new = FakeNode::builder().on(answer("*2\r\n$1\r\nk\r\n$3\r\njob\r\n")).start();
    let (sentinel, deployment) = scripted(&old);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let mut peer = Peer::of(&client);
    assert!(peer.ask("GET k").starts_with("$-1"));
    peer.pipeline(&["BLPOP k 0"]);
    old.wait_for_command("BLPOP", PATIENCE);
    sentinel.switch_master("127.0.0.1", new.port());
    assert_eq!(peer.told(), "*2\\r\\n$1\\r\\nk\\r\\n$3\\r\\njob\\r\\n");
}
