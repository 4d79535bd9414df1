//! A primary that is told to end: it holds back the replies to writes until its replicas have caught up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::Outcome;
use sentinel_lab::{Config, FakeSentinel, SetOnDrop, Topology, skipped_before, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, open, open_on, overrides, run_within, serving_port, text, timed};

/// Writers with a pause between their calls, who give up each call after `timeout_ms`: the (unknown, not sent) ones of
/// a primary that cannot shut down at once, for one of its replicas does not listen.
fn shut_down_under(writers: usize, timeout_ms: i64) -> (usize, usize) {
    let topology = Topology::start(Config::default().node_line("shutdown-timeout 2"));
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    let (done, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (unknown, not_sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..writers {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let count = match run_within(&client, "INCR shutdown:count", timeout_ms) {
                        Ok(_) => &acknowledged,
                        Err(error) if error.outcome() == Outcome::Unknown => &unknown,
                        Err(_) => &not_sent,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        wait_until("writes", PATIENCE, || acknowledged.load(Ordering::Relaxed) > 1000);
        let (old, deaf) = (topology.primary(), topology.replicas()[0]);
        topology.stop(deaf);
        topology.terminate(old);
        let ((), took) = timed(|| topology.node(old).wait_exit(PATIENCE));
        println!("the primary took {took:?} to shut down");
        topology.cont(deaf);
        let new = topology.wait_for_primary_change(old, PATIENCE);
        let before = acknowledged.load(Ordering::Relaxed);
        wait_until("writes at the new primary", PATIENCE, || {
            acknowledged.load(Ordering::Relaxed) > before + 1000
        });
        assert_eq!(serving_port(&client), topology.node(new).port());
    });
    let (unknown, not_sent) = (unknown.into_inner(), not_sent.into_inner());
    let there: usize = text(&client, "GET shutdown:count").parse().unwrap();
    let acknowledged = acknowledged.into_inner();
    println!(
        "{writers} writers: {acknowledged} acknowledged, {unknown} unknown, {not_sent} not sent, {there} are there"
    );
    assert!(there <= acknowledged + unknown, "more were done than can be");
    (unknown, not_sent)
}

#[test]
fn writes_gather_unsent_while_a_primary_shuts_down() {
    if skipped_before((7, 0), "shutdown-timeout") {
        return;
    }
    let writers = 16;
    let (unknown, not_sent) = shut_down_under(writers, 150);
    // One each may be under way when it falls silent, and one each on the direct connections that are made anew.
    assert!(unknown <= 2 * writers, "{unknown} unknown");
    assert!(not_sent > 0, "{not_sent} not sent");
}

/// A merely slow command must not cost the others of its lane more than its own time.
#[test]
fn a_slow_command_holds_the_calls_of_its_lane_no_longer_than_it_takes() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let sentinel = FakeSentinel::start(SERVICE, topology.node(0).port());
    let keys = overrides(&[("pool.direct", "1")]);
    let client = open(&[sentinel.port()])
        .primary_for(Some(SERVICE), Some(&keys))
        .unwrap();
    text(&client, "SET k v");
    let slow = Duration::from_millis(200);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut longest = Duration::ZERO;
                    while !done.load(Ordering::Relaxed) {
                        longest = longest.max(timed(|| text(&client, "GET k")).1);
                    }
                    longest
                })
            })
            .collect();
        for _ in 0..5 {
            text(&client, "DEBUG SLEEP 0.2");
        }
        drop(guard);
        for reader in readers {
            // A lane that did not go on at the first reply would hold them for all five, and for ever.
            let longest = reader.join().unwrap();
            assert!(longest <= 2 * slow + SLACK, "{longest:?}");
        }
    });
}
