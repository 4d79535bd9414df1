//! The server's own FAILOVER: the primary holds back writes until the replica that takes over has caught up, and says so to
//! whoever asks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::Target;
use sentinel_lab::{Config, SetOnDrop, Topology, skipped_before, wait_until};

use crate::support::{PATIENCE, SERVICE, completions, open_on, run_within, tell, text, within, words};

/// Longer than a connection may be silent whose node answers elsewhere.
const PAUSE: Duration = Duration::from_secs(5);

/// Has the primary wait for a replica that does not listen, until it gives that up.
#[track_caller]
fn pause_writes(topology: &Topology) {
    let (node, deaf) = (topology.node(topology.primary()), topology.replicas()[0]);
    topology.stop(deaf);
    // Something that it cannot have.
    tell(node, "SET behind yes");
    let port = topology.node(deaf).port();
    tell(
        node,
        &format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT {}", PAUSE.as_millis()),
    );
    let state = || node.ask(&["INFO", "replication"]).as_text();
    assert!(
        state().contains("master_failover_state:waiting-for-sync"),
        "{}",
        state()
    );
    wait_until("the failover to be given up", PAUSE + PATIENCE, || {
        state().contains("master_failover_state:no-failover")
    });
    topology.cont(deaf);
}

fn topology() -> Topology {
    // Nobody else finds fault with a replica that does not listen, or a primary that does not answer.
    Topology::start(Config::default().down_after_ms(30_000))
}

#[test]
fn writes_that_the_server_holds_back_are_waited_for() {
    if skipped_before((6, 2), "FAILOVER") {
        return;
    }
    let topology = topology();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET count 0");
    let (done, acknowledged, longest) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        // More than have a connection of their own: the others share lanes.
        for _ in 0..6 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let ended = run_within(&client, "INCR count", 20_000);
                    ended.unwrap_or_else(|error| panic!("after {:?}: {error}", began.elapsed()));
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    longest.fetch_max(began.elapsed().as_millis() as usize, Ordering::Relaxed);
                }
            });
        }
        wait_until("writes", PATIENCE, || acknowledged.load(Ordering::Relaxed) > 1000);
        pause_writes(&topology);
        let before = acknowledged.load(Ordering::Relaxed);
        wait_until("writes to go on", PATIENCE, || {
            acknowledged.load(Ordering::Relaxed) > before + 1000
        });
    });
    assert_eq!(
        text(&client, "GET count"),
        acknowledged.load(Ordering::Relaxed).to_string()
    );
    let longest = Duration::from_millis(longest.into_inner() as u64);
    assert!(
        longest + Duration::from_secs(1) > PAUSE,
        "nothing was held back: {longest:?}"
    );
}

#[test]
fn submitted_writes_too() {
    if skipped_before((6, 2), "FAILOVER") {
        return;
    }
    let topology = topology();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET count 0");
    let queue = deployment.queue(8192).unwrap();
    let (submitted, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let tag = submitted.fetch_add(1, Ordering::Relaxed) as u64;
                let target = Target::Queue(&queue, tag);
                client.submit(&words("INCR count"), &within(20_000), target).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        pause_writes(&topology);
    });
    let submitted = submitted.into_inner();
    for (tag, ended) in completions(&queue, submitted) {
        ended.unwrap_or_else(|error| panic!("{tag} of {submitted}: {error}"));
    }
    assert_eq!(text(&client, "GET count"), submitted.to_string());
}
