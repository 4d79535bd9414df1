//! Real failovers, and Sentinels that die while nothing else does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Client, Deployment, Error, ErrorKind, Outcome, Reason};
use sentinel_lab::{Config, SetOnDrop, Topology, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, open, open_on, run, run_within, sentinel_ports, serving_port, text, timed, words,
};

/// What a write that begins right after a kill may still meet: the kernel's news of it on its way to the library.
const NOTICE: Duration = Duration::from_millis(20);

/// From before something was cut until it was.
#[derive(Clone, Copy)]
struct Cut {
    from: Instant,
    to: Instant,
}

impl Cut {
    fn by(cut: impl FnOnce()) -> Cut {
        let from = Instant::now();
        cut();
        Cut {
            from,
            to: Instant::now(),
        }
    }
}

/// One call of the writer.
struct Write {
    began: Instant,
    ended: Instant,
    error: Option<Error>,
}

/// The calls of a thread that writes fifty times a second, with default options.
#[derive(Default)]
struct Diary(Mutex<Vec<Write>>);

impl Diary {
    fn keep(&self, client: &Client, done: &AtomicBool) {
        let mut n = 0;
        while !done.load(Ordering::Relaxed) {
            n += 1;
            let began = Instant::now();
            let error = run(client, &format!("SET written {n}")).err();
            let ended = Instant::now();
            self.0.lock().unwrap().push(Write { began, ended, error });
            std::thread::sleep(Duration::from_millis(20).saturating_sub(began.elapsed()));
        }
    }

    /// Writes that began after `since` and succeeded.
    fn successes_since(&self, since: Instant) -> usize {
        let writes = self.0.lock().unwrap();
        writes
            .iter()
            .filter(|write| write.began > since && write.error.is_none())
            .count()
    }

    #[track_caller]
    fn wait_for_successes(&self, count: usize) {
        let since = Instant::now();
        wait_until("writes to succeed", PATIENCE, || self.successes_since(since) >= count);
    }

    /// No call failed but those that may have been in flight at one of `cuts`, and these with outcome unknown.
    #[track_caller]
    fn assert_failures_in_flight_at(&self, cuts: &[Cut]) {
        for write in self.0.lock().unwrap().iter() {
            let Some(error) = &write.error else { continue };
            let in_flight = |cut: &Cut| write.began <= cut.to + NOTICE && write.ended >= cut.from;
            let after = |at: Instant| cuts.iter().map(|cut| at.saturating_duration_since(cut.from)).min();
            assert!(
                cuts.iter().any(in_flight),
                "a write failed that began {:?} and ended {:?} after the last cut: {error}",
                after(write.began),
                after(write.ended)
            );
            assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        }
    }

    /// The longest time without a success around `cut`.
    fn outage(&self, Cut { from: cut, .. }: Cut) -> Duration {
        let writes = self.0.lock().unwrap();
        let succeeded = || {
            writes
                .iter()
                .filter(|write| write.error.is_none())
                .map(|write| write.ended)
        };
        let before = succeeded().take_while(|ended| *ended <= cut).last().unwrap_or(cut);
        let after = succeeded().find(|ended| *ended > cut).unwrap_or(cut);
        after - before
    }
}

/// Runs `scene` while a thread writes through `client`.
fn while_writing(client: &Client, diary: &Diary, scene: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        scope.spawn(|| diary.keep(client, &done));
        diary.wait_for_successes(5);
        scene();
    });
}

fn port_of(topology: &Topology, index: usize) -> u16 {
    topology.node(index).port()
}

/// What the node says itself; it closes all connections when it is demoted.
fn is_replica(topology: &Topology, index: usize) -> bool {
    let role = topology.node(index).try_ask(Duration::from_secs(5), &["ROLE"]);
    role.is_ok_and(|role| role.as_items().first().is_some_and(|role| role.as_text() == "slave"))
}

fn primary_client(deployment: &Deployment) -> Client {
    deployment.primary_for(Some(SERVICE), None).unwrap()
}

#[test]
fn follows_the_primary_when_it_is_killed() {
    let topology = Topology::start(Config::default());
    let client = primary_client(&open_on(&topology));
    let diary = Diary::default();
    let mut killed = None;
    while_writing(&client, &diary, || {
        let old = topology.primary();
        killed = Some(Cut::by(|| topology.kill(old)));
        let new = topology.wait_for_primary_change(old, PATIENCE);
        diary.wait_for_successes(50);
        assert_eq!(serving_port(&client), port_of(&topology, new));
    });
    diary.assert_failures_in_flight_at(killed.as_slice());
    println!("outage after kill -9: {:?}", killed.map(|cut| diary.outage(cut)));
}

#[test]
fn follows_the_primary_through_kill_after_kill() {
    let runs: usize = std::env::var("RUNS").map_or(3, |runs| runs.parse().expect("RUNS is a number"));
    let topology = Topology::start(Config::default());
    let client = primary_client(&open_on(&topology));
    let diary = Diary::default();
    let mut kills = Vec::new();
    while_writing(&client, &diary, || {
        for _ in 0..runs {
            let old = topology.primary();
            let killed = Cut::by(|| topology.kill(old));
            kills.push(killed);
            let new = topology.wait_for_primary_change(old, PATIENCE);
            diary.wait_for_successes(10);
            assert_eq!(serving_port(&client), port_of(&topology, new));
            println!("run {} of {runs}: outage {:?}", kills.len(), diary.outage(killed));
            topology.restart(old);
            topology.wait_for_settled();
            diary.assert_failures_in_flight_at(&kills);
        }
    });
    diary.assert_failures_in_flight_at(&kills);
}

#[test]
fn follows_a_manual_failover_at_once() {
    let topology = Topology::start(Config::default());
    let client = primary_client(&open_on(&topology));
    let diary = Diary::default();
    let (mut ordered, mut switched) = (Instant::now(), Instant::now());
    while_writing(&client, &diary, || {
        let old = topology.primary();
        ordered = Instant::now();
        topology.fail_over();
        let new = topology.wait_for_primary_change(old, PATIENCE);
        switched = Instant::now();
        wait_until("the client to have moved", Duration::from_secs(1), || {
            serving_port(&client) == port_of(&topology, new)
        });
        let moved = Instant::now();
        println!("moved {:?} after the Sentinels' answer changed", moved - switched);
        // The old primary goes on answering for a second: not one write goes back there.
        for _ in 0..50 {
            assert_eq!(serving_port(&client), port_of(&topology, new));
        }
        diary.wait_for_successes(30);
        switched = moved;
    });
    for write in diary.0.lock().unwrap().iter().filter(|write| write.error.is_some()) {
        let error = write.error.as_ref().unwrap();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert!(
            write.ended >= ordered && write.began <= switched,
            "not in flight at the switch: {error}"
        );
    }
    assert!(
        diary
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|write| write.error.is_some())
            .count()
            <= 1
    );
}

#[test]
fn calls_in_flight_at_a_hung_primary_end_at_the_switch_and_nothing_goes_back_to_it() {
    let topology = Topology::start(Config::default());
    // Each has one idle connection, so each of the two calls is in flight at once.
    let (client, reader) = (primary_client(&open_on(&topology)), primary_client(&open_on(&topology)));
    let replicated = CallOptions {
        replicas: 2,
        ..CallOptions::default()
    };
    client.command(&words("SET hung before"), &replicated).unwrap();
    assert_eq!(
        (text(&client, "GET hung"), text(&reader, "GET hung")),
        ("before".into(), "before".into())
    );
    let old = topology.primary();
    topology.stop(old);
    let new = std::thread::scope(|scope| {
        let write = scope.spawn(|| (run_within(&client, "SET hung during", -1), Instant::now()));
        let read = scope.spawn(|| run_within(&reader, "GET hung", -1));
        let new = topology.wait_for_primary_change(old, PATIENCE);
        let switched = Instant::now();
        let (result, ended) = write.join().unwrap();
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        // 50 ms after the first event, which may come a little later than the leader's answer.
        let late = ended.saturating_duration_since(switched);
        assert!(
            late <= Duration::from_millis(250) + SLACK,
            "the call ended {late:?} after the switch"
        );
        assert_eq!(read.join().unwrap().unwrap().text(), "before", "a read is repeated");
        new
    });
    assert_eq!(text(&client, "SET hung after"), "OK");
    assert_eq!(serving_port(&client), port_of(&topology, new));
    // It says it is a primary until the Sentinels demote it.
    topology.cont(old);
    wait_until("the old primary to be demoted", PATIENCE, || {
        assert_eq!(serving_port(&client), port_of(&topology, new), "nothing turns back");
        is_replica(&topology, old)
    });
    assert_eq!(text(&client, "GET hung"), "after");
}

#[test]
fn the_restart_of_the_old_primary_turns_nothing_back() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = primary_client(&deployment);
    text(&client, "SET k v");
    let old = topology.primary();
    topology.kill(old);
    let new = port_of(&topology, topology.wait_for_primary_change(old, PATIENCE));
    assert_eq!(serving_port(&client), new);
    topology.restart(old);
    wait_until("the old primary to be demoted", PATIENCE, || {
        assert_eq!(serving_port(&client), new);
        let found = deployment.discover_primary(Some(SERVICE), 2000).unwrap();
        assert_eq!(found[0].endpoint.port, new);
        is_replica(&topology, old)
    });
    topology.wait_for_settled();
    let reader = deployment.replica_for(Some(SERVICE), None).unwrap();
    wait_until("the old primary to serve as a replica", PATIENCE, || {
        serving_port(&reader) == port_of(&topology, old)
    });
    assert_eq!(serving_port(&client), new);
}

#[test]
fn nothing_fails_while_all_sentinels_are_gone_and_failovers_are_followed_when_they_are_back() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = primary_client(&deployment);
    let reader = deployment.replica_for(Some(SERVICE), None).unwrap();
    serving_port(&reader);
    let diary = Diary::default();
    let mut cut = Vec::new();
    while_writing(&client, &diary, || {
        (0..3).for_each(|index| topology.kill_sentinel(index));
        diary.wait_for_successes(60);
        let error = deployment.discover_primary(Some(SERVICE), 300).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::NoSentinelReachable), "{error}");
        assert_ne!(
            serving_port(&reader),
            port_of(&topology, 0),
            "the replicas go on serving"
        );
        // New connections are made to what was known.
        cut.push(Cut::by(|| {
            drop(topology.node(0).ask(&["CLIENT", "KILL", "TYPE", "normal"]))
        }));
        diary.wait_for_successes(10);
        assert_eq!(text(&client, "ECHO more"), "more");

        (0..3).for_each(|index| topology.restart_sentinel(index));
        topology.wait_for_settled();
        cut.push(Cut::by(|| topology.kill(0)));
        let new = topology.wait_for_primary_change(0, PATIENCE);
        diary.wait_for_successes(10);
        assert_eq!(serving_port(&client), port_of(&topology, new));
    });
    diary.assert_failures_in_flight_at(&cut);
}

#[test]
fn a_deployment_opened_while_all_sentinels_are_down_serves_when_they_are_up() {
    let topology = Topology::start(Config::default().nodes(2));
    (0..3).for_each(|index| topology.kill_sentinel(index));
    let deployment = open_on(&topology);
    let client = primary_client(&deployment);
    let error = run_within(&client, "SET k v", 300).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::NoSentinelReachable), "{error}");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| (run_within(&client, "SET k v", 20_000), Instant::now()));
        topology.restart_sentinel(1);
        let back = Instant::now();
        let (result, ended) = call.join().unwrap();
        assert_eq!(result.unwrap().text(), "OK");
        // P7: within 1 s of the first Sentinel's return.
        let took = ended.saturating_duration_since(back);
        assert!(took <= Duration::from_secs(1) + SLACK, "it took {took:?}");
    });
}

#[test]
fn sentinels_that_restart_one_after_the_other_disturb_nothing() {
    let topology = Topology::start(Config::default());
    let client = primary_client(&open(&sentinel_ports(&topology)[..1]));
    let diary = Diary::default();
    let mut killed = None;
    while_writing(&client, &diary, || {
        for index in 0..3 {
            topology.restart_sentinel(index);
            diary.wait_for_successes(10);
        }
        topology.wait_for_settled();
        killed = Some(Cut::by(|| topology.kill(0)));
        let new = topology.wait_for_primary_change(0, PATIENCE);
        diary.wait_for_successes(10);
        assert_eq!(serving_port(&client), port_of(&topology, new));
    });
    diary.assert_failures_in_flight_at(killed.as_slice());
}

#[test]
fn a_call_at_a_stopped_node_returns_by_its_deadline_and_is_unknown() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(1).down_after_ms(60_000));
    let client = primary_client(&open_on(&topology));
    text(&client, "SET stopped 0");
    topology.stop(0);
    std::thread::scope(|scope| {
        for timeout_ms in [100, 200, 300, 400, 500, 600] {
            let client = &client;
            scope.spawn(move || {
                let (result, took) = timed(|| run_within(client, "INCR stopped", timeout_ms));
                let error = result.unwrap_err();
                let limit = Duration::from_millis(timeout_ms.unsigned_abs());
                assert!(took >= limit && took <= limit + SLACK, "{took:?} of {limit:?}: {error}");
            });
        }
    });
    topology.cont(0);
    wait_until("the node to serve again", PATIENCE, || run(&client, "PING").is_ok());
    let count: usize = text(&client, "GET stopped").parse().unwrap();
    assert!(
        count <= 2,
        "only what was written on the two direct connections was executed, but {count} were"
    );
}

#[test]
fn a_node_that_was_lost_and_cannot_be_connected_to_in_time_is_unreachable() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(1).down_after_ms(60_000));
    let client = primary_client(&open_on(&topology));
    text(&client, "SET lost 0");
    topology.stop(0);
    let error = run_within(&client, "INCR lost", 100).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    // Its connection is gone with it, and the stopped node answers no handshake.
    let (result, took) = timed(|| run_within(&client, "INCR lost", 300));
    let error = result.unwrap_err();
    assert!(took <= Duration::from_millis(300) + SLACK, "{took:?}: {error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert_eq!(error.reason(), Some(Reason::NodeUnreachable), "{error}");
}
