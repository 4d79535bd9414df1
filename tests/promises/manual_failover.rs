//! SENTINEL FAILOVER with Sentinel's own timers: the old primary says +OK for ten more seconds, to nobody of ours.

use std::time::{Duration, Instant};

use crate::events::{Events, FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    P1_FIRST_WRITE, P2_OLD_PRIMARY, P3_IN_FLIGHT, PATIENCE, alone, connected, default_timers, keys_on, median, ms,
    ms_between, number_from_env, sentinel_ports,
};
use crate::writer::{Write, Writer, assert_ends, assert_failed_in_flight, failed};

/// The outage that the writer sees, beyond the floor: the first event.
const OUTAGE_ABOVE_FLOOR: Duration = Duration::from_millis(100);

const DEADLINE_MS: i64 = 5000;

#[test]
fn a_manual_failover_costs_no_write_that_was_sent_after_the_first_event() {
    let _machine = alone();
    let runs = number_from_env("RUNS", 2);
    let first_writes: Vec<f64> = (0..runs).map(fail_over_once).collect();
    println!(
        "manual failover, {runs} runs: first event to first write on the new primary, median {:.1} ms",
        median(first_writes)
    );
}

/// One failover; milliseconds from the first event to the first write on the new primary.
fn fail_over_once(run: u64) -> f64 {
    let topology = sentinel_lab::Topology::start(default_timers());
    let events = Events::of(&topology);
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let old = topology.primary();
    let noise = Noise::measure();
    let writer = Writer::start(client, 200, DEADLINE_MS);
    writer.wait_for_success(Instant::now() + Duration::from_millis(300), PATIENCE);

    let ordered = Instant::now();
    topology.fail_over();
    let event = events.wait(FLOOR, ordered, PATIENCE).at;
    let switch = events.wait(SWITCH, ordered, PATIENCE).at;
    std::thread::sleep((switch + Duration::from_millis(1300)).saturating_duration_since(Instant::now()));
    let writes = writer.stop();
    let new = topology.wait_for_primary_change(old, PATIENCE);
    // The old primary has not been told yet: it holds what it took, and nothing of what the new one takes.
    let (at_old, at_new) = (keys_on(topology.node(old)), keys_on(topology.node(new)));
    let late = noise.around(event).max(noise.around(switch));

    let only_old: Vec<&Write> = writes
        .iter()
        .filter(|write| at_old.contains(&write.key) && !at_new.contains(&write.key))
        .collect();
    let moved = writes
        .iter()
        .filter(|write| write.is_acknowledged() && at_new.contains(&write.key) && !at_old.contains(&write.key));
    let first = moved.min_by_key(|write| write.done).expect("writes on the new primary");
    let last_old = only_old.iter().map(|write| write.sent).max();
    println!(
        "manual failover {run}: floor {} ms, +switch-master +{} ms, first write on the new primary {:+.1} ms, last write \
         sent to the old one {:+.1} ms, {} of {} writes lost to the servers' own second, {} calls failed, noise {} ms",
        ms(event - ordered),
        ms(switch - event),
        ms_between(event, first.done),
        last_old.map_or(f64::NAN, |last| ms_between(event, last)),
        only_old.iter().filter(|write| write.is_acknowledged()).count(),
        writes.len(),
        failed(&writes).len(),
        ms(late),
    );
    for write in &only_old {
        assert!(
            write.sent <= event + P2_OLD_PRIMARY + late,
            "{} was sent to the old primary {} ms after the event",
            write.key,
            ms(write.sent - event)
        );
    }
    for write in writes.iter().filter(|write| write.is_acknowledged()) {
        assert!(
            at_new.contains(&write.key) || write.sent <= event + P2_OLD_PRIMARY + late,
            "{} is nowhere",
            write.key
        );
    }
    assert!(
        first.done - ordered <= (event - ordered) + OUTAGE_ABOVE_FLOOR + late,
        "the outage exceeds the floor by {} ms",
        ms(first.done - event)
    );
    assert!(
        first.done <= event + P1_FIRST_WRITE + late,
        "P1: {} ms",
        ms(first.done - event)
    );
    assert_ends(&writes, Duration::from_millis(DEADLINE_MS as u64), late);
    assert_failed_in_flight(&writes, event + P2_OLD_PRIMARY, late);
    for write in failed(&writes) {
        assert!(
            write.done <= event + P2_OLD_PRIMARY + P3_IN_FLIGHT + late,
            "P3: {write:?}"
        );
    }
    ms_between(event, first.done)
}
