//! Failovers by real Sentinels. One that goes well loses nothing. One that goes wrong between the promotion and the first word of it: writes stop where nobody confirms it, nothing
//! is executed twice, and service is back with what the Sentinels agree on.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Client, Deployment, Outcome};
use sentinel_lab::{Config, SetOnDrop, Topology, Value, wait_until};

use crate::support::{PATIENCE, SERVICE, options, sentinel_ports, tell, with, within, words};

/// A confirmation may take so long: more than Sentinel's own period with the timers of the laboratory.
const CONFIRM_MS: u64 = 1000;

/// A write of an element of its own.
struct Push {
    began: Instant,
    ended: Instant,
    /// What it came to, and the words of its failure.
    end: Result<(), (Outcome, String)>,
}

/// What became of the writes of some threads.
#[derive(Default)]
struct Pushes {
    next: AtomicUsize,
    ends: Mutex<HashMap<usize, Push>>,
}

impl Pushes {
    fn go_on(&self, client: &Client, done: &AtomicBool) {
        let call: CallOptions = within(15_000);
        while !done.load(Ordering::Relaxed) {
            let (id, began) = (self.next.fetch_add(1, Ordering::Relaxed), Instant::now());
            let end = client.command(&words(&format!("RPUSH pushed {id}")), &call);
            let end = end.map(drop).map_err(|error| (error.outcome(), error.to_string()));
            let ended = Instant::now();
            self.ends.lock().unwrap().insert(id, Push { began, ended, end });
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn successes_begun_after(&self, at: Instant) -> usize {
        let ends = self.ends.lock().unwrap();
        ends.values().filter(|push| push.began > at && push.end.is_ok()).count()
    }

    /// How many were acknowledged between two moments.
    fn acknowledged_between(&self, from: Instant, to: Instant) -> usize {
        let ends = self.ends.lock().unwrap();
        let between = |push: &&Push| push.end.is_ok() && push.ended > from && push.ended < to;
        ends.values().filter(between).count()
    }
}

/// What is left of writes.
struct Kept {
    /// Those that were acknowledged and are not there.
    missing: Vec<usize>,
}

struct Scene {
    topology: Topology,
    /// Kept for its client.
    _deployment: Deployment,
    client: Client,
}

impl Scene {
    fn start(keys: &[(&str, &str)]) -> Scene {
        // Nobody is held to be down for being slow: another failover would lose what a replica is about to load.
        let config = Config::default().failover_timeout_ms(3000).down_after_ms(10_000);
        let topology = Topology::start(config);
        let confirm = CONFIRM_MS.to_string();
        let options = with(
            options(&sentinel_ports(&topology)),
            &[("failover.confirm_ms", &confirm)],
        );
        let deployment = Deployment::open(&with(options, keys)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        client.connect(10_000).unwrap();
        Scene {
            topology,
            _deployment: deployment,
            client,
        }
    }

    /// Has a Sentinel fail the service over, and returns it with the node that it promotes, as soon as that says so.
    fn promotes(&self) -> (usize, usize) {
        let (leader, old) = (0, self.topology.primary());
        tell(self.topology.sentinel(leader), &format!("SENTINEL FAILOVER {SERVICE}"));
        let started = Instant::now();
        loop {
            let promoted = (0..3).filter(|node| *node != old).find(|node| self.is_primary(*node));
            if let Some(promoted) = promoted {
                return (leader, promoted);
            }
            assert!(started.elapsed() < PATIENCE, "nobody is promoted");
        }
    }

    fn is_primary(&self, node: usize) -> bool {
        let role = self.topology.node(node).try_ask(Duration::from_secs(1), &["ROLE"]);
        match role {
            Ok(Value::Array(Some(role))) => role.first().is_some_and(|word| word.as_text() == "master"),
            _ => false,
        }
    }

    /// Runs writers around `fault`, and afterwards until they are served again. No write ran twice, and none that was
    /// said not to have been sent.
    #[track_caller]
    fn writes_through(&self, fault: impl FnOnce(&Pushes)) -> Kept {
        let (pushes, done) = (Pushes::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _guard = SetOnDrop(&done);
            for _ in 0..4 {
                scope.spawn(|| pushes.go_on(&self.client, &done));
            }
            // A replica that has just been in sync gets what is written a second later: until then it has nothing to lose.
            wait_until("writes, at the replicas too", PATIENCE, || {
                let length = |node: usize| self.topology.node(node).ask(&["LLEN", "pushed"]);
                (0..3).all(|node| matches!(length(node), Value::Int(many) if many > 50))
            });
            fault(&pushes);
            let after = Instant::now();
            wait_until("writes to be served", PATIENCE * 2, || {
                pushes.successes_begun_after(after) > 50
            });
        });
        let there = self
            .client
            .command(&words("LRANGE pushed 0 -1"), &within(10_000))
            .unwrap();
        let mut seen = HashSet::new();
        for index in 0..there.len() {
            let id: usize = there.at(index).unwrap().text().parse().unwrap();
            assert!(seen.insert(id), "{id} ran twice");
        }
        let mut missing = Vec::new();
        for (id, push) in pushes.ends.lock().unwrap().iter() {
            match &push.end {
                Ok(()) if seen.contains(id) => {}
                Ok(()) => missing.push(*id),
                Err((outcome, message)) => assert!(
                    *outcome == Outcome::Unknown || !seen.contains(id),
                    "{id} ran and was called {outcome:?}: {message}"
                ),
            }
        }
        Kept { missing }
    }
}

#[test]
fn a_planned_failover_loses_no_acknowledged_write() {
    let scene = Scene::start(&[]);
    let kept = scene.writes_through(|_| {
        let old = scene.topology.primary();
        scene.topology.fail_over();
        scene.topology.wait_for_primary_change(old, PATIENCE);
        // The old one is told so a little later: by then everything has been heard.
        scene.topology.wait_for_settled();
    });
    assert!(kept.missing.is_empty(), "lost: {:?}", kept.missing);
}

#[test]
fn the_leader_crashes_after_the_promotion() {
    let scene = Scene::start(&[]);
    for sentinel in 0..3 {
        tell(
            scene.topology.sentinel(sentinel),
            "SENTINEL SIMULATE-FAILURE crash-after-promotion",
        );
    }
    scene.writes_through(|pushes| {
        let (leader, promoted) = scene.promotes();
        let at = Instant::now();
        scene.topology.sentinel(leader).wait_exit(PATIENCE);
        stops_at(&scene, pushes, promoted, at);
    });
}

#[test]
fn the_leader_freezes_after_the_promotion() {
    let scene = Scene::start(&[]);
    scene.writes_through(|pushes| {
        let (leader, promoted) = scene.promotes();
        scene.topology.stop_sentinel(leader);
        stops_at(&scene, pushes, promoted, Instant::now());
    });
}

/// Writes stop at a node that nobody confirms within `failover.confirm_ms`, and go on where the Sentinels agree.
#[track_caller]
fn stops_at(scene: &Scene, pushes: &Pushes, promoted: usize, since: Instant) {
    wait_until("another primary", PATIENCE, || {
        let node = scene.client.node();
        node.unwrap()
            .is_some_and(|node| node.endpoint.port != scene.topology.node(promoted).port())
    });
    let bound = since + Duration::from_millis(CONFIRM_MS + 250);
    let late = pushes.acknowledged_between(bound, Instant::now());
    println!(
        "{} acknowledged by the promoted node",
        pushes.acknowledged_between(since, bound)
    );
    // Those at the end may be of the old primary already.
    assert!(
        late < 20,
        "{late} acknowledged after {CONFIRM_MS} ms without a word of a Sentinel"
    );
}

#[test]
fn the_promoted_replica_dies_before_it_is_named() {
    let scene = Scene::start(&[]);
    scene.writes_through(|_| {
        let (_, promoted) = scene.promotes();
        scene.topology.kill(promoted);
    });
}

#[test]
fn two_sentinels_lead_a_failover_each() {
    let scene = Scene::start(&[]);
    scene.writes_through(|_| {
        let old = scene.topology.primary();
        for sentinel in [0, 1] {
            tell(
                scene.topology.sentinel(sentinel),
                &format!("SENTINEL FAILOVER {SERVICE}"),
            );
        }
        scene.topology.wait_for_primary_change(old, PATIENCE);
    });
}

#[test]
fn an_election_without_a_good_replica_holds_no_write() {
    let scene = Scene::start(&[]);
    for node in 1..3 {
        tell(scene.topology.node(node), "CONFIG SET replica-priority 0");
    }
    // What they know of a replica is as old as its last INFO. To order a failover in the meantime would be one.
    wait_until("the Sentinels to see it", PATIENCE * 2, || {
        (0..3).all(|sentinel| {
            let listed = scene
                .topology
                .sentinel(sentinel)
                .ask(&["SENTINEL", "REPLICAS", SERVICE]);
            let refuses = |replica: &Value| replica.field("slave-priority") == "0";
            listed.as_items().len() == 2 && listed.as_items().iter().all(refuses)
        })
    });
    let old = scene.topology.primary();
    for sentinel in 0..3 {
        let told = format!("SENTINEL SET {SERVICE} down-after-milliseconds 500");
        tell(scene.topology.sentinel(sentinel), &told);
    }
    scene.topology.stop(old);
    wait_until("a leader to give up", PATIENCE, || {
        (0..3).any(|sentinel| {
            let log = scene.topology.sentinel(sentinel).log_tail();
            log.contains("-failover-abort-no-good-slave")
        })
    });
    scene.topology.cont(old);
    let call = within(1000);
    assert!(scene.client.command(&words("SET k v"), &call).is_ok());
}
