//! Every way in which a primary goes but kill -9: SIGSTOP, SIGTERM, a restart, the server's own FAILOVER.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, Outcome};
use sentinel_lab::{Config, Topology, skipped_before, wait_until};

use crate::events::{Events, FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    P1_FIRST_WRITE, P2_OLD_PRIMARY, P3_IN_FLIGHT, P7_RECOVERY, PATIENCE, alone, connected, connections_to, keys_on, ms,
    ms_between, run, sentinel_ports, serving, tell,
};
use crate::writer::{Write, Writer, assert_ends, assert_failed_in_flight, failed, lost};

/// Longer than any of these failovers: a call that ends with it was not ended by the switch.
const DEADLINE_MS: i64 = 20_000;
const DEADLINE: Duration = Duration::from_millis(DEADLINE_MS as u64);

/// Calls that `pool.direct` lets be on their way at the same time.
const IN_FLIGHT: usize = 2;

/// A topology with short timers, a client, and a writer that has begun.
struct Scene {
    topology: Topology,
    events: Events,
    noise: Noise,
    _deployment: Deployment,
    client: Arc<Client>,
    old: usize,
}

impl Scene {
    fn new() -> Scene {
        let topology = Topology::start(Config::default());
        let events = Events::of(&topology);
        let (deployment, client) = connected(&sentinel_ports(&topology), &[]);
        let old = topology.primary();
        Scene {
            topology,
            events,
            noise: Noise::measure(),
            _deployment: deployment,
            client,
            old,
        }
    }

    fn write(&self) -> Writer {
        let writer = Writer::start(Arc::clone(&self.client), 200, DEADLINE_MS);
        writer.wait_for_success(Instant::now() + Duration::from_millis(250), PATIENCE);
        writer
    }

    /// Checks that nothing was lost that was sent after `event`, and that all calls ended as promised.
    #[track_caller]
    fn assert_kept(&self, what: &str, writes: &[Write], event: Instant) {
        self.topology.wait_for_settled();
        let kept = keys_on(self.topology.node(self.topology.primary()));
        let lost = lost(writes, &kept);
        let last_lost = lost.iter().map(|write| write.sent).max();
        let first = writes
            .iter()
            .filter(|write| write.is_acknowledged() && write.done >= event);
        let first = first.map(|write| write.done).min().expect("writes after the event");
        let late = self.noise.around(event);
        println!(
            "{what}: first write {:+.1} ms after the event, {} of {} calls failed, {} acknowledged writes lost, the last \
             sent {:+.1} ms after the event, noise {} ms",
            ms_between(event, first),
            failed(writes).len(),
            writes.len(),
            lost.len(),
            last_lost.map_or(f64::NAN, |last| ms_between(event, last)),
            ms(late),
        );
        let limit = event + P2_OLD_PRIMARY + late;
        assert!(last_lost.is_none_or(|last| last <= limit), "{what}: lost {lost:?}");
        assert!(first <= event + P1_FIRST_WRITE + late, "{what}");
        assert_ends(writes, DEADLINE, late);
    }
}

#[test]
fn a_call_in_flight_on_a_stopped_primary_ends_at_the_switch_and_its_late_answer_is_nobodys() {
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let stopped = Instant::now();
    scene.topology.stop(scene.old);
    let event = scene.events.wait(FLOOR, stopped, PATIENCE).at;
    std::thread::sleep(Duration::from_millis(300));
    let at_switch = writer.writes();
    // Those that were on their way to the old primary have ended, those that waited for the new one have succeeded.
    let late = scene.noise.around(event);
    let unknown = failed(&at_switch);
    assert!(!unknown.is_empty(), "no write was in flight");
    for write in &unknown {
        assert_eq!(write.failure.as_ref().unwrap().outcome(), Outcome::Unknown, "{write:?}");
        assert!(write.done <= event + P3_IN_FLIGHT + P2_OLD_PRIMARY + late, "{write:?}");
        assert!(write.sent <= event, "{write:?}");
    }
    let resumed = Instant::now();
    scene.topology.cont(scene.old);
    writer.wait_for_success(resumed + Duration::from_millis(1500), PATIENCE);
    let writes = writer.stop();
    let late_end = unknown.iter().map(|write| write.done).max().unwrap();
    println!(
        "SIGSTOP: floor {} ms, {} calls in flight ended by {:+.1} ms after it",
        ms(event - stopped),
        unknown.len(),
        ms_between(event, late_end)
    );
    assert_failed_in_flight(&writes, event, late);
    let answered = writes.iter().filter(|write| write.is_acknowledged());
    // Whoever was foreseen answers before the event.
    let kept = keys_on(scene.topology.node(scene.topology.primary()));
    let early = answered.filter(|write| write.sent >= stopped && write.done < event);
    let from_stopped = early.filter(|write| !kept.contains(&write.key));
    assert_eq!(from_stopped.count(), 0, "answers of a stopped node");
    scene.assert_kept("SIGSTOP and SIGCONT", &writes, event);
}

#[test]
fn a_primary_that_a_script_keeps_busy_is_left_at_the_switch_and_stays_so_when_the_script_is_ended() {
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let old = scene.topology.node(scene.old);
    // Until then it answers nobody, after that with BUSY: then a Sentinel ends the script.
    tell(old, "CONFIG SET lua-time-limit 2500");
    std::thread::scope(|scope| {
        let busy = Instant::now();
        let script = scope.spawn(|| old.try_ask(PATIENCE, &["EVAL", "while true do end", "0"]));
        let event = scene.events.wait(FLOOR, busy, PATIENCE).at;
        writer.wait_for_success(event + Duration::from_millis(300), PATIENCE);
        let late = scene.noise.around(event);
        let unknown = failed(&writer.writes()).into_iter().cloned().collect::<Vec<_>>();
        assert!(!unknown.is_empty(), "no write was in flight");
        for write in &unknown {
            assert!(write.done <= event + P3_IN_FLIGHT + P2_OLD_PRIMARY + late, "{write:?}");
        }
        assert!(
            script.join().unwrap().is_ok_and(|reply| reply.is_error()),
            "it was not ended"
        );
        let over = Instant::now();
        let role = old.ask(&["ROLE"]).as_items()[0].as_text();
        assert_eq!(role, "master", "it takes no writes any more");
        writer.wait_for_success(over + Duration::from_millis(1500), PATIENCE);
        let writes = writer.stop();
        assert_failed_in_flight(&writes, event, late);
        scene.assert_kept("an endless script", &writes, event);
    });
}

#[test]
fn a_primary_that_is_shut_down_is_left_without_loss() {
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let asked = Instant::now();
    scene.topology.terminate(scene.old);
    let event = scene.events.wait(FLOOR, asked, PATIENCE).at;
    scene.topology.node(scene.old).wait_exit(PATIENCE);
    writer.wait_for_success(event + Duration::from_millis(500), PATIENCE);
    let writes = writer.stop();
    println!("SIGTERM: floor {} ms", ms(event - asked));
    assert_failed_in_flight(&writes, event, Duration::ZERO);
    let kept = keys_on(scene.topology.node(scene.topology.primary()));
    assert!(lost(&writes, &kept).is_empty(), "an orderly shutdown loses nothing");
    scene.assert_kept("SIGTERM", &writes, event);
}

#[test]
fn an_old_primary_that_is_started_again_gets_nothing() {
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let killed = Instant::now();
    scene.topology.kill(scene.old);
    let event = scene.events.wait(FLOOR, killed, PATIENCE).at;
    let new = scene.topology.wait_for_primary_change(scene.old, PATIENCE);
    scene.topology.restart(scene.old);
    // It says that it is a master until the Sentinels demote it.
    let node = scene.topology.node(scene.old);
    let mut looks = 0;
    wait_until("the old primary to be demoted", PATIENCE, || {
        looks += 1;
        assert_eq!(connections_to(node), 0, "the library connects to the old primary");
        // The demotion closes every connection, this one's as well.
        let role = node.try_ask(PATIENCE, &["ROLE"]);
        role.is_ok_and(|role| role.as_items()[0].as_text() == "slave")
    });
    let writes = writer.stop();
    println!("restart of the old primary: no connection in {looks} looks until it was demoted");
    assert_eq!(serving(&scene.client), Some(scene.topology.node(new).port()));
    scene.assert_kept("restart of the old primary", &writes, event);
}

#[test]
fn a_primary_that_is_back_before_it_was_missed_is_used_again() {
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let killed = Instant::now();
    scene.topology.kill(scene.old);
    scene.topology.restart(scene.old);
    let back = Instant::now();
    let first = writer.wait_for_success(killed + Duration::from_millis(10), PATIENCE);
    std::thread::sleep(Duration::from_millis(300));
    let writes = writer.stop();
    println!(
        "kill and restart at once: back after {} ms, first write {:+.1} ms later, {} of {} calls failed",
        ms(back - killed),
        ms_between(back, first.done),
        failed(&writes).len(),
        writes.len()
    );
    assert_failed_in_flight(&writes, killed, Duration::from_millis(25));
    assert!(first.done <= back + P7_RECOVERY);
    if scene.events.first(SWITCH, killed).is_none() {
        assert_eq!(serving(&scene.client), Some(scene.topology.node(scene.old).port()));
    }
}

#[test]
fn the_servers_own_failover_is_followed_when_the_sentinels_follow_it() {
    if skipped_before((6, 2), "FAILOVER") {
        return;
    }
    let _machine = alone();
    let scene = Scene::new();
    let writer = scene.write();
    let ordered = Instant::now();
    tell(scene.topology.node(scene.old), "FAILOVER");
    wait_until("the primary to become a replica", PATIENCE, || {
        scene.topology.node(scene.old).ask(&["ROLE"]).as_items()[0].as_text() == "slave"
    });
    let demoted = Instant::now();
    let role = scene.topology.node(scene.old).ask(&["ROLE"]);
    let chosen = role.as_items()[2].as_text().parse().unwrap();
    let chosen = scene.topology.node_of_port(chosen).unwrap();
    // Until the Sentinels have their own failover, they name a node that is a replica: nobody is to be written to.
    let switch = loop {
        if let Some(event) = scene.events.first(FLOOR, ordered) {
            break event.at;
        }
        let uninvited = connections_to(scene.topology.node(chosen));
        let named = scene.events.first(FLOOR, ordered).is_none();
        assert!(
            !named || uninvited == 0,
            "the library follows the node's word instead of the Sentinels'"
        );
        assert!(demoted.elapsed() < Duration::from_secs(15), "the Sentinels do not act");
        std::thread::sleep(Duration::from_millis(10));
    };
    writer.wait_for_success(switch + Duration::from_millis(800), PATIENCE);
    let writes = writer.stop();
    let between = writes
        .iter()
        .filter(|write| write.is_acknowledged() && write.sent > demoted && write.done < switch);
    println!(
        "FAILOVER: the old primary demoted after {} ms, the Sentinels' switch after {} ms, {} writes acknowledged between \
         them",
        ms(demoted - ordered),
        ms(switch - ordered),
        between.count()
    );
    assert_failed_in_flight(&writes, demoted, Duration::ZERO);
    assert!(failed(&writes).len() <= IN_FLIGHT, "{:?}", failed(&writes));
    scene.assert_kept("FAILOVER", &writes, switch);
    assert!(run(&scene.client, "SET w:last v", 1000).is_ok());
}
