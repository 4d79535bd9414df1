//! Real Sentinels that die, come back, forget and begin again.

use std::fs;
use std::time::{Duration, Instant};

use sentinel_lab::{Config, Topology, wait_until};

use crate::events::{Events, FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    P1_FIRST_WRITE, P7_RECOVERY, PATIENCE, SERVICE, SLACK, alone, connected, connections_to, keys_on, ms, ms_between,
    sentinel_ports, serving, tell, together, write, write_through,
};
use crate::writer::{Writer, failed, lost};

/// A call that waits out a quorum that takes its time.
const PATIENT_MS: i64 = 60_000;

#[test]
fn with_one_of_three_sentinels_left_the_calls_wait_and_go_out_once_there_is_a_quorum_again() {
    let _machine = together();
    let topology = Topology::start(Config::default());
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let old = topology.primary();
    let writer = Writer::start(std::sync::Arc::clone(&client), 20, PATIENT_MS);
    writer.wait_for_success(Instant::now() + Duration::from_millis(200), PATIENCE);
    topology.kill_sentinel(1);
    topology.kill_sentinel(2);
    std::thread::sleep(Duration::from_millis(700));
    let killed = Instant::now();
    topology.kill(old);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(
        writer.writes().iter().all(|write| write.sent < killed),
        "nobody can have answered"
    );
    topology.restart_sentinel(1);
    // What the other one tells may come before the client is connected to it again: a second is not over yet.
    let events = Events::of_sentinel(&topology, 0);
    let noise = Noise::measure();
    let event = events.wait(FLOOR, killed, Duration::from_secs(30)).at;
    writer.wait_for_success(event + Duration::from_millis(300), PATIENCE);
    let writes = writer.stop();
    let new = topology.wait_for_primary_change(old, PATIENCE);
    let first = writes
        .iter()
        .filter(|write| write.is_acknowledged() && write.done > killed);
    let first = first.map(|write| write.done).min().unwrap();
    println!(
        "two of three Sentinels dead: switch {} ms after the kill, first write {:+.1} ms after it, {} of {} calls failed",
        ms(event - killed),
        ms_between(event, first),
        failed(&writes).len(),
        writes.len()
    );
    assert!(first <= event + P1_FIRST_WRITE + noise.around(event));
    assert!(
        failed(&writes).iter().all(|write| write.sent <= killed),
        "{:?}",
        failed(&writes)
    );
    let kept = keys_on(topology.node(new));
    assert!(lost(&writes, &kept).iter().all(|write| write.sent <= killed));
}

#[test]
fn without_any_sentinel_no_command_fails_and_connections_are_made_again() {
    let _machine = alone();
    let topology = Topology::start(Config::default());
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let primary = topology.primary();
    let writer = Writer::start(std::sync::Arc::clone(&client), 200, 0);
    writer.wait_for_success(Instant::now(), PATIENCE);
    for sentinel in 0..3 {
        topology.kill_sentinel(sentinel);
    }
    std::thread::sleep(Duration::from_secs(3));
    let writes = writer.stop();
    println!(
        "all Sentinels dead: {} of {} commands failed",
        failed(&writes).len(),
        writes.len()
    );
    assert!(failed(&writes).is_empty(), "{:?}", failed(&writes).first());
    let slowest = writes.iter().map(|write| write.took()).max().unwrap();
    assert!(slowest < SLACK, "{slowest:?}");
    // The known primary is dialled again, Sentinels or not.
    for _ in 0..3 {
        tell(topology.node(primary), "CLIENT KILL TYPE normal");
        std::thread::sleep(Duration::from_millis(100));
        let since = Instant::now();
        write(&client, "SET w:again v");
        assert!(since.elapsed() < P7_RECOVERY, "{:?}", since.elapsed());
    }
    // All back: nothing happens to the client, and the next failover is followed.
    for sentinel in 0..3 {
        topology.restart_sentinel(sentinel);
    }
    topology.wait_for_settled();
    std::thread::sleep(Duration::from_millis(1500));
    let events = Events::of(&topology);
    let ordered = Instant::now();
    topology.fail_over();
    let event = events.wait(FLOOR, ordered, PATIENCE).at;
    let old_port = topology.node(primary).port();
    wait_until("the client to follow", PATIENCE, || {
        write_through(&client, "SET w:after v") && serving(&client) != Some(old_port)
    });
    println!(
        "all Sentinels back: the next failover is followed after {} ms",
        ms(event.elapsed())
    );
    assert!(event.elapsed() <= P1_FIRST_WRITE + SLACK);
}

#[test]
fn everything_dead_it_is_served_within_a_second_of_the_first_sentinels_return() {
    let _machine = together();
    let topology = Topology::start(Config::default());
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let primary = topology.primary();
    for sentinel in 0..3 {
        topology.kill_sentinel(sentinel);
    }
    topology.kill(primary);
    // What is written at this very moment may meet a connection whose end nobody has noticed yet.
    std::thread::sleep(Duration::from_millis(100));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (crate::support::run(&client, "SET w:x v", PATIENT_MS), Instant::now()));
        std::thread::sleep(Duration::from_secs(3));
        topology.restart(primary);
        let back = Instant::now();
        topology.restart_sentinel(0);
        let (result, done) = waiting.join().unwrap();
        result.unwrap();
        println!(
            "everything dead and back: first write {:+.1} ms after the primary",
            ms_between(back, done)
        );
        assert!(ms_between(back, done) <= P7_RECOVERY.as_secs_f64() * 1e3);
    });
}

#[test]
fn a_sentinel_that_is_started_again_with_old_news_turns_nothing_back() {
    let _machine = together();
    let topology = Topology::start(Config::default());
    let events = Events::of(&topology);
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let old = topology.primary();
    let config = topology.sentinel(2).dir().join("conf");
    let before_failover = fs::read(&config).unwrap();
    topology.kill_sentinel(2);
    let ordered = Instant::now();
    topology.fail_over();
    events.wait(SWITCH, ordered, PATIENCE);
    let new = topology.wait_for_primary_change(old, PATIENCE);
    wait_until("the client to follow", PATIENCE, || {
        write_through(&client, "SET w:a v") && serving(&client) == Some(topology.node(new).port())
    });
    wait_until("the old primary to be demoted", PATIENCE, || {
        topology.node(old).ask(&["ROLE"]).as_items()[0].as_text() == "slave"
    });
    fs::write(&config, before_failover).unwrap();
    let identities = connections_to(topology.node(new));
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| topology.restart_sentinel(2));
        let since = Instant::now();
        let mut stale = 0;
        let old_port = topology.node(old).port().to_string();
        while since.elapsed() < Duration::from_secs(3) {
            write(&client, "SET w:b v");
            assert_eq!(serving(&client), Some(topology.node(new).port()), "turned back");
            assert_eq!(connections_to(topology.node(old)), 0, "dialled the old primary");
            let patience = Duration::from_millis(50);
            let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
            if let Ok(answer) = topology.sentinel(2).try_ask(patience, &asked) {
                stale += usize::from(answer.as_items().get(1).is_some_and(|port| port.as_text() == old_port));
            }
        }
        restart.join().unwrap();
        println!("stale Sentinel: {stale} answers named the old primary, none was followed");
    });
    assert_eq!(
        connections_to(topology.node(new)),
        identities,
        "the connections have stayed"
    );
}

#[test]
fn a_reset_of_every_sentinel_disturbs_nobody() {
    let _machine = together();
    let topology = Topology::start(Config::default());
    let (deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let primary = topology.node(topology.primary()).port();
    let replicas = deployment.discover_replicas(Some(SERVICE), 2000).unwrap().len();
    let writer = Writer::start(std::sync::Arc::clone(&client), 200, 0);
    writer.wait_for_success(Instant::now(), PATIENCE);
    for sentinel in 0..3 {
        tell(topology.sentinel(sentinel), "SENTINEL RESET *");
    }
    std::thread::sleep(Duration::from_secs(2));
    let writes = writer.stop();
    assert!(failed(&writes).is_empty(), "{:?}", failed(&writes).first());
    assert_eq!(serving(&client), Some(primary));
    topology.wait_for_settled();
    let now = deployment.discover_replicas(Some(SERVICE), 2000).unwrap().len();
    println!(
        "SENTINEL RESET: {} writes without a failure, {now} of {replicas} replicas",
        writes.len()
    );
    assert_eq!(now, replicas);
}

#[test]
fn a_service_that_is_removed_and_monitored_again_is_followed_through_its_next_failover() {
    let _machine = alone();
    let topology = Topology::start(Config::default());
    let (_deployment, client) = connected(&sentinel_ports(&topology), &[]);
    let first = topology.primary();
    topology.fail_over();
    let second = topology.wait_for_primary_change(first, PATIENCE);
    topology.wait_for_settled();
    let writer = Writer::start(std::sync::Arc::clone(&client), 200, 0);
    writer.wait_for_success(Instant::now(), PATIENCE);
    let monitor = format!(
        "SENTINEL MONITOR {SERVICE} 127.0.0.1 {} 2",
        topology.node(second).port()
    );
    for sentinel in 0..3 {
        let sentinel = topology.sentinel(sentinel);
        tell(sentinel, &format!("SENTINEL REMOVE {SERVICE}"));
        tell(sentinel, &monitor);
        tell(sentinel, &format!("SENTINEL SET {SERVICE} down-after-milliseconds 500"));
        tell(sentinel, &format!("SENTINEL SET {SERVICE} failover-timeout 2000"));
    }
    topology.wait_for_settled();
    std::thread::sleep(Duration::from_secs(4));
    let writes = writer.stop();
    println!(
        "REMOVE and MONITOR: {} of {} writes failed",
        failed(&writes).len(),
        writes.len()
    );
    assert!(failed(&writes).len() <= 2, "{:?}", failed(&writes));
    assert_eq!(serving(&client), Some(topology.node(second).port()));
    let events = Events::of(&topology);
    let ordered = Instant::now();
    topology.fail_over();
    let event = events.wait(FLOOR, ordered, PATIENCE).at;
    let old_port = topology.node(second).port();
    wait_until("the client to follow", PATIENCE, || {
        write_through(&client, "SET w:after v") && serving(&client) != Some(old_port)
    });
    println!(
        "REMOVE and MONITOR: the next failover is followed after {} ms",
        ms(event.elapsed())
    );
    assert!(event.elapsed() <= P1_FIRST_WRITE + SLACK);
}
