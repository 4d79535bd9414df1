//! kill -9 of the primary with default options and 200 writes a second for the whole time.

use std::time::{Duration, Instant};

use crate::cpu::{DEBUG_FACTOR, IO, Meter};
use crate::events::{Events, FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    PATIENCE, alone, connected, default_timers, keys_on, median, ms, ms_between, number_from_env, sentinel_ports,
};
use crate::writer::{Write, Writer, assert_ends, assert_failed_in_flight, failed, lost};

/// The first good write after the first `+switch-master`, in the median.
const FIRST_WRITE_MS: f64 = 5.0;

/// Of a core, by the library and its callers, while nobody is primary.
const OUTAGE_CPU: f64 = 2.0;

/// What the kernel takes to tell a client that its peer was killed, and the client to hear it.
const NOTICE: Duration = Duration::from_millis(3);

const DEADLINE_MS: u64 = 5000;

#[test]
fn through_a_kill_no_call_fails_but_those_in_flight_and_the_process_is_idle() {
    let _machine = alone();
    let runs = number_from_env("RUNS", 3);
    let runs: Vec<Run> = (0..runs).map(kill_once).collect();
    let after_switch = median(runs.iter().map(|run| run.after_switch).collect());
    let noise = median(runs.iter().map(|run| run.noise).collect());
    let cpu = median(runs.iter().map(|run| run.cpu).collect());
    println!(
        "kill -9, {} runs: first good write {after_switch:+.1} ms after the first +switch-master (median), {cpu:.2} % of a \
         core during the outage, noise {noise:.1} ms",
        runs.len()
    );
    assert!(after_switch <= FIRST_WRITE_MS + noise);
    assert!(cpu < OUTAGE_CPU * DEBUG_FACTOR, "{cpu} % of a core");
}

struct Run {
    after_switch: f64,
    cpu: f64,
    noise: f64,
}

fn kill_once(run: u64) -> Run {
    let topology = sentinel_lab::Topology::start(default_timers());
    let events = Events::of(&topology);
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let old = topology.primary();
    let noise = Noise::measure();
    let writer = Writer::start(client, 200, 0);
    writer.wait_for_success(Instant::now() + Duration::from_millis(300), PATIENCE);

    let before = Instant::now();
    topology.kill(old);
    let killed = Instant::now();
    std::thread::sleep(Duration::from_millis(100));
    let (io, from) = (Meter::start(IO), Instant::now());
    std::thread::sleep(Duration::from_millis(1700));
    let (io, to) = (io.percent(), Instant::now());
    assert!(events.first(FLOOR, before).is_none(), "a failover too soon to measure");
    let event = events.wait(FLOOR, before, PATIENCE).at;
    let switch = events.wait(SWITCH, before, PATIENCE).at;
    let first = writer.wait_for_success(killed, PATIENCE);
    let settled = writer.wait_for_success(event + Duration::from_millis(300), PATIENCE);
    let released = writer.writes();
    let released = released
        .iter()
        .filter(|write| write.sent < event && write.done > killed);
    let released = released
        .map(|write| ms_between(event, write.done))
        .fold(f64::MIN, f64::max);
    std::thread::sleep((settled.done + Duration::from_millis(500)).saturating_duration_since(Instant::now()));
    let writes = writer.stop();
    let new = topology.wait_for_primary_change(old, PATIENCE);
    let kept = keys_on(topology.node(new));
    // With what the calls of that time took of their own threads, but for the exchange, which came when it was over.
    let mean = |writes: &[&Write]| -> Duration {
        let sum: Duration = writes.iter().map(|write| write.cpu).sum();
        sum / writes.len().max(1) as u32
    };
    let usual: Vec<&Write> = writes.iter().filter(|write| write.done < before).collect();
    let waited: Vec<&Write> = writes
        .iter()
        .filter(|write| write.sent >= from && write.sent < to)
        .collect();
    let (usual, of_waiting) = (mean(&usual), mean(&waited));
    let waiting = of_waiting.saturating_sub(usual) * waited.len() as u32;
    let cpu = io + 100.0 * waiting.as_secs_f64() / (to - from).as_secs_f64();
    let at_kill = noise.between(before - Duration::from_millis(20), killed + Duration::from_millis(20));
    let late = noise.around(event).max(noise.around(switch));
    println!(
        "kill -9 {run}: floor {} ms, first +switch-master {} ms, first good write {:+.1} ms after it, the last of those that \
         waited {released:+.1} ms after the floor, {} of {} calls failed, {cpu:.2} % of a core ({io:.2} % sentinel-io; \
         {} us a call that waits, {} us usually), \
         noise {} ms at the kill, {} ms at the switch",
        ms(event - before),
        ms(switch - before),
        ms_between(switch, first.done),
        failed(&writes).len(),
        writes.len(),
        of_waiting.as_micros(),
        usual.as_micros(),
        ms(at_kill),
        ms(late),
    );
    assert_failed_in_flight(&writes, killed + NOTICE, at_kill);
    assert!(
        failed(&writes).len() <= 2 + at_kill.as_millis() as usize / 5,
        "{:?}",
        failed(&writes)
    );
    assert_ends(&writes, Duration::from_millis(DEADLINE_MS), late);
    let lost = lost(&writes, &kept);
    assert!(lost.iter().all(|write| write.sent < before), "lost: {lost:?}");
    Run {
        after_switch: ms_between(switch, first.done),
        cpu,
        noise: late.as_secs_f64() * 1e3,
    }
}
