//! No node can be had for long: calls end at once, where that is asked for, and go on as soon as there is one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::{BatchKind, Client, Deployment, Error, ErrorKind, Options, Outcome, Reason};
use sentinel_lab::{Cut, FakeNode, FakeSentinel, Proxy, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, WAYS, batch, options, overrides, run, run_within, text, timed, with, within};

/// What a call that does not wait may take on a machine that others keep busy, and a small part of any deadline here.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A node behind a proxy that a Sentinel names.
struct Scene {
    _node: FakeNode,
    proxy: Proxy,
    sentinel: FakeSentinel,
}

impl Scene {
    fn start() -> Scene {
        let node = FakeNode::start();
        let proxy = Proxy::to(node.port());
        let sentinel = FakeSentinel::start(SERVICE, proxy.port());
        Scene {
            _node: node,
            proxy,
            sentinel,
        }
    }

    fn options(&self, limit: &str) -> Options {
        with(options(&[self.sentinel.port()]), &[("fail_fast_after_ms", limit)])
    }

    fn open(&self, limit: &str) -> Deployment {
        Deployment::open(&self.options(limit)).unwrap()
    }

    /// Nobody is let in any more.
    fn die(&self) {
        self.proxy.turn_away();
    }

    /// How often it was dialled.
    fn dials(&self) -> usize {
        self.proxy.connections().len()
    }
}

/// For how long there has been no node, as the message tells.
fn absent_ms(error: &Error) -> Option<u64> {
    let text = error.to_string();
    let (_, rest) = text.split_once("no node to use for ")?;
    rest.split(' ').next()?.parse().ok()
}

#[track_caller]
fn assert_absent(name: &str, error: &Error, least: u64) {
    let reason = error.reason();
    let is_missing = matches!(
        error.kind(),
        ErrorKind::PrimaryNotFound { .. } | ErrorKind::ReplicaNotFound { .. }
    );
    assert!(is_missing && reason == Some(Reason::NodeUnreachable), "{name}: {error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{name}: {error}");
    let absent = absent_ms(error).unwrap_or_else(|| panic!("{name}: for how long? {error}"));
    assert!(absent >= least, "{name}: {absent} ms");
}

/// Calls until one does not wait any more; when that was.
fn wait_until_turned_away(client: &Client) -> Instant {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = run_within(client, "SET k v", 10_000).unwrap_err();
        if absent_ms(&error).is_some() {
            return Instant::now();
        }
        assert!(Instant::now() < until, "{error}");
    }
}

#[test]
fn calls_end_at_once_after_the_limit_whatever_way_they_came() {
    const LIMIT: u64 = 400;
    let scene = Scene::start();
    let deployment = scene.open(&LIMIT.to_string());
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(64).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    // From the primary, for there is no replica.
    run(&replica, "GET k").unwrap();
    scene.die();
    scene.proxy.cut_all(Cut::Reset);
    let lost = Instant::now();
    let away = wait_until_turned_away(&client);
    assert!(away - lost >= Duration::from_millis(LIMIT) && away - lost < Duration::from_secs(5));
    for (name, way) in WAYS {
        for command in ["SET k v", "GET k", "BLPOP list 1", "NOBODY knows it"] {
            let (result, took) = timed(|| way(&client, &queue, command, &within(10_000)));
            assert_absent(name, &result.unwrap_err(), LIMIT);
            assert!(took < AT_ONCE, "{name} {command}: {took:?}");
        }
    }
    for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
        let (result, took) = timed(|| client.batch(&batch(kind, &["SET k v", "GET k"]), &within(10_000)));
        assert_absent("a batch", &result.unwrap_err(), LIMIT);
        assert!(took < AT_ONCE, "{took:?}");
    }
    let (result, took) = timed(|| client.acquire(10_000).map(drop));
    assert_absent("acquire", &result.unwrap_err(), LIMIT);
    assert!(took < AT_ONCE, "{took:?}");
    wait_until_turned_away(&replica);
    let error = run_within(&replica, "GET k", 10_000).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplicaNotFound { .. }), "{error}");
    assert_absent("a replica's client", &error, LIMIT);
    scene.proxy.pass();
    wait_until("the node's return", PATIENCE, || run(&client, "SET k v").is_ok());
    // All that come from now on.
    for (name, way) in WAYS {
        way(&client, &queue, "SET k v", &within(10_000)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn of_eight_threads_none_waits_and_the_node_is_dialled_no_more_often() {
    const CALLS: usize = 1250;
    let (scene, patient) = (Scene::start(), Scene::start());
    let lines: Arc<Mutex<Option<Instant>>> = Arc::default();
    let mut options = scene.options("300");
    let made = Arc::clone(&lines);
    let hook = move |_: i32, line: &str| {
        if line.contains("connected to the primary") {
            made.lock().unwrap().get_or_insert_with(Instant::now);
        }
    };
    options.set_log(4, Some(Arc::new(hook))).unwrap();
    let deployment = Deployment::open(&options).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    scene.die();
    patient.die();
    // Another program whose calls wait.
    let waits = patient.open("-1").primary_for(Some(SERVICE), None).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&over);
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = run_within(&waits, "SET k v", 5000);
                }
            });
        }
        let begun = wait_until_turned_away(&client);
        let (before, before_there) = (scene.dials(), patient.dials());
        let took = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut own = Vec::with_capacity(CALLS);
                    for _ in 0..CALLS {
                        let (result, time) = timed(|| run_within(&client, "SET k v", 10_000));
                        assert_absent("a call", &result.unwrap_err(), 300);
                        own.push(time);
                    }
                    took.lock().unwrap().append(&mut own);
                });
            }
        });
        let mut took = took.into_inner().unwrap();
        took.sort_unstable();
        let p99 = took[took.len() * 99 / 100];
        println!(
            "{} calls that do not wait: p99 {p99:?}, longest {:?}",
            took.len(),
            took.last().unwrap()
        );
        assert!(p99 < AT_ONCE / 5, "{p99:?}");
        // For as long as the others have waited: a few more calls keep it going.
        while begun.elapsed() < Duration::from_secs(3) {
            run_within(&client, "SET k v", 10_000).unwrap_err();
            std::thread::sleep(Duration::from_millis(5));
        }
        let (dials, there) = (scene.dials() - before, patient.dials() - before_there);
        println!("dials in {:?}: {dials}, where calls wait {there}", begun.elapsed());
        // The same pace: calls that do not wait keep it up.
        assert!(2 * dials + 2 >= there && dials <= there + 5, "{dials} and {there}");
        drop(guard);
        patient.proxy.pass();
    });
    // The first verified connection ends it, for all.
    *lines.lock().unwrap() = None;
    let calls = Mutex::new(Vec::new());
    let until = Instant::now() + PATIENCE;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut successes = 0;
                while successes < 20 {
                    let began = Instant::now();
                    let is_ok = run_within(&client, "SET k v", 10_000).is_ok();
                    successes += usize::from(is_ok);
                    calls.lock().unwrap().push((began, Instant::now(), is_ok));
                    assert!(began < until, "no success");
                    std::thread::sleep(Duration::from_micros(500));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        scene.proxy.pass();
    });
    let calls = calls.into_inner().unwrap();
    let verified = lines.lock().unwrap().expect("a line about the connection");
    let first = calls
        .iter()
        .filter(|(.., is_ok)| *is_ok)
        .map(|(_, ended, _)| *ended)
        .min()
        .unwrap();
    let after = first.saturating_duration_since(verified);
    println!("first success {after:?} after the first verified connection was told of");
    let late = calls
        .iter()
        .filter(|(began, _, is_ok)| *began > first.max(verified) && !is_ok)
        .count();
    assert_eq!(late, 0, "calls that began after the first success failed");
}

#[test]
fn with_0_calls_never_wait_for_a_node_that_is_not_there() {
    let scene = Scene::start();
    // One that is there is waited for, also the first time.
    let deployment = scene.open("0");
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    scene.die();
    scene.proxy.cut_all(Cut::Reset);
    wait_until_turned_away(&client);
    let (error, took) = timed(|| run_within(&client, "SET k v", 10_000).unwrap_err());
    assert_absent("a write", &error, 0);
    assert!(took < AT_ONCE, "{took:?}");
    let fresh = scene
        .open("-1")
        .primary_for(Some(SERVICE), Some(&overrides(&[("fail_fast_after_ms", "0")])));
    let (error, took) = timed(|| run_within(&fresh.unwrap(), "SET k v", 10_000).unwrap_err());
    // On a busy machine it may be the Sentinel that is not there in time.
    assert!(
        absent_ms(&error).is_some() && error.outcome() == Outcome::NotSent,
        "{error}"
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
    scene.proxy.pass();
    wait_until("the node's return", PATIENCE, || run(&client, "SET k v").is_ok());
}

#[test]
fn what_one_client_has_found_out_counts_for_all_of_the_service() {
    let scene = Scene::start();
    let deployment = scene.open("0");
    let clients: Vec<Client> = (0..20)
        .map(|_| deployment.primary_for(Some(SERVICE), None).unwrap())
        .collect();
    for client in &clients {
        assert_eq!(text(client, "SET k v"), "OK");
    }
    scene.die();
    scene.proxy.cut_all(Cut::Reset);
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                let (error, took) = timed(|| run_within(client, "SET k v", 10_000).unwrap_err());
                // Who was the first has to find out.
                assert!(took < Duration::from_secs(1), "{took:?}: {error}");
            });
        }
    });
    for client in &clients {
        let (error, took) = timed(|| run_within(client, "SET k v", 10_000).unwrap_err());
        assert_absent("a write", &error, 0);
        assert!(took < AT_ONCE, "{took:?}");
    }
    scene.proxy.pass();
    for client in &clients {
        wait_until("the node's return", PATIENCE, || run(client, "SET k v").is_ok());
    }
}

#[test]
fn the_refused_login_of_one_client_is_no_absence_for_another() {
    let node = FakeNode::builder().password("right").start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let options = with(
        options(&[sentinel.port()]),
        &[("fail_fast_after_ms", "0"), ("password", "right")],
    );
    let deployment = Deployment::open(&options).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let wrong = overrides(&[("password", "wrong")]);
    let stranger = deployment.primary_for(Some(SERVICE), Some(&wrong)).unwrap();
    for round in 0..10 {
        let (reply, took) = timed(|| run_within(&client, "SET k v", 10_000));
        reply.unwrap_or_else(|error| panic!("round {round}, after {took:?}: {error}"));
        node.cut_all(Cut::Reset);
        let error = run_within(&stranger, "SET k v", 10_000).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Auth { .. }), "{error}");
    }
    assert_eq!(text(&client, "SET k v"), "OK");
}

#[test]
fn without_a_primary_named_calls_end_at_once_too() {
    let scene = Scene::start();
    let client = scene.open("300").primary_for(Some(SERVICE), None).unwrap();
    scene.sentinel.refuse();
    let (error, took) = timed(|| run_within(&client, "SET k v", 10_000).unwrap_err());
    assert_eq!(error.reason(), Some(Reason::NoSentinelReachable), "{error}");
    assert!(absent_ms(&error).is_some_and(|ms| ms >= 300), "{error}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let (result, took) = timed(|| run_within(&client, "SET k v", 10_000));
    result.unwrap_err();
    assert!(took < AT_ONCE, "{took:?}");
    scene.sentinel.listen();
    wait_until("the Sentinel's return", PATIENCE, || run(&client, "SET k v").is_ok());
}
