//! A great many submissions with deadlines too short to be met, cancels, batches and failovers in between: exactly as
//! many completions, each at a tag of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::completion::queue::Polled;
use sentinel::completion::{CallId, Queue, Target};
use sentinel::{BatchKind, Client, Deadline, ErrorKind, Outcome};
use sentinel_lab::{Config, SetOnDrop, Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, batch, open_on, overrides, text, within, words};

const SUBMITTERS: u64 = 4;

/// What became of the calls of all submitters.
#[derive(Debug, Default)]
struct Ends {
    ok: AtomicUsize,
    by_kind: std::sync::Mutex<HashMap<&'static str, usize>>,
    increments_ok: AtomicUsize,
    increments_unknown: AtomicUsize,
}

fn name(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Timeout { .. } => "timeout",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::ConnectionLost { .. } => "connection lost",
        ErrorKind::PrimaryNotFound { .. } => "no primary",
        ErrorKind::Server { .. } => "server",
        ErrorKind::PoolExhausted { .. } => "pool exhausted",
        _ => "other",
    }
}

/// Whether the call of this tag is an INCR, whose effects are counted at the end.
fn is_increment(tag: u64) -> bool {
    tag % 4 == 0
}

fn submit(client: &Client, queue: &Arc<Queue>, tag: u64) -> Option<CallId> {
    let target = Target::Queue(queue, tag);
    let call = match fastrand::u32(..10) {
        0 => within(fastrand::i64(1..20)),
        _ => within(20_000),
    };
    let submitted = match tag % 4 {
        0 => client.submit(&words("INCR storm:count"), &call, target),
        1 if tag % 401 == 1 => client.submit(&words("BLPOP storm:none 0.01"), &call, target),
        1 => client.submit(&words("GET storm:count"), &call, target),
        2 if tag % 40 == 2 => {
            let kind = if tag % 80 == 2 {
                BatchKind::Pipeline
            } else {
                BatchKind::Transaction
            };
            let commands = batch(kind, &["GET storm:count", "STRLEN storm:count", "ECHO x"]);
            client.submit_batch(&commands, &call, target)
        }
        // Fails, and makes nothing where a failover has lost the key.
        2 => client.submit(&words("INCRBY storm:count much"), &call, target),
        _ => client.submit(&words("ECHO x"), &call, target),
    };
    match submitted {
        Ok(id) => Some(id),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::QueueFull { .. }), "{error}");
            None
        }
    }
}

/// Submits `calls` calls, cancels some, and takes every completion: one for each, no more.
fn submit_and_take(client: &Client, queue: &Arc<Queue>, calls: u64, ends: &Ends, progress: &AtomicUsize) {
    let (mut next, mut open) = (0u64, HashMap::new());
    while next < calls || !open.is_empty() {
        while next < calls && open.len() < 2000 {
            let Some(id) = submit(client, queue, next) else { break };
            open.insert(next, id);
            if fastrand::u32(..20) == 0 {
                client.cancel(id).unwrap();
            }
            next += 1;
        }
        let wait = Deadline::after(Some(PATIENCE * 2));
        let polled = queue.poll(500, wait, |entry| {
            assert!(open.remove(&entry.tag).is_some(), "two completions for {}", entry.tag);
            let result = entry.result;
            if is_increment(entry.tag) {
                let count = match &result {
                    Ok(_) => Some(&ends.increments_ok),
                    Err(error) if error.outcome() == Outcome::Unknown => Some(&ends.increments_unknown),
                    Err(_) => None,
                };
                count.map(|count| count.fetch_add(1, Ordering::Relaxed));
            }
            match result {
                Ok(_) => _ = ends.ok.fetch_add(1, Ordering::Relaxed),
                Err(error) => *ends.by_kind.lock().unwrap().entry(name(error.kind())).or_default() += 1,
            }
            progress.fetch_add(1, Ordering::Relaxed);
        });
        assert_ne!(polled, Ok(Polled::Empty), "{} calls never completed", open.len());
    }
    let more = queue.poll(1, Deadline::after(Some(Duration::from_millis(30))), |entry| {
        panic!("one more: {entry:?}");
    });
    assert_eq!(more, Ok(Polled::Empty));
}

/// `SUBMISSIONS` of them, 40,000 without it, chosen by `SEED`; a failover or kill of the primary after each quarter.
#[test]
fn every_submission_completes_once_through_cancels_deadlines_and_failovers() {
    let submissions: u64 = std::env::var("SUBMISSIONS").map_or(40_000, |count| count.parse().expect("a number"));
    let seed: u64 = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let topology = Topology::start(Config::default().fast(true));
    let deployment = open_on(&topology);
    let client = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("pool.max_connections", "8")])))
        .unwrap();
    text(&client, "SET storm:count 0");
    let (ends, progress, over) = (Ends::default(), AtomicUsize::new(0), AtomicBool::new(false));
    let each = submissions / SUBMITTERS;
    let failovers = std::thread::scope(|scope| {
        let guard = SetOnDrop(&over);
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|number| {
                let queue = deployment.queue(3000).unwrap();
                let (client, ends, progress) = (&client, &ends, &progress);
                scope.spawn(move || {
                    fastrand::seed(seed.wrapping_add(number));
                    submit_and_take(client, &queue, each, ends, progress);
                })
            })
            .collect();
        let over = &over;
        let (topology, progress) = (&topology, &progress);
        let faults = scope.spawn(move || {
            let mut failovers = 0;
            for quarter in 1..4 {
                let due = usize::try_from(submissions * quarter / 4).unwrap();
                wait_until("a quarter of the calls", PATIENCE * 40, || {
                    progress.load(Ordering::Relaxed) >= due || over.load(Ordering::Relaxed)
                });
                let old = topology.primary();
                if quarter % 2 == 0 {
                    topology.fail_over();
                    topology.wait_for_primary_change(old, PATIENCE);
                } else {
                    topology.kill(old);
                    topology.wait_for_primary_change(old, PATIENCE);
                    topology.restart(old);
                }
                topology.wait_for_settled();
                failovers += 1;
            }
            failovers
        });
        for submitter in submitters {
            submitter.join().unwrap();
        }
        drop(guard);
        faults.join().unwrap()
    });
    let by_kind = ends.by_kind.into_inner().unwrap();
    let ok = ends.ok.into_inner();
    println!("{submissions} submissions, {failovers} failovers: {ok} ok, {by_kind:?}");
    assert_eq!(
        ok + by_kind.values().sum::<usize>(),
        usize::try_from(each * SUBMITTERS).unwrap()
    );
    assert!(by_kind["cancelled"] > 0 && by_kind["server"] > 0, "{by_kind:?}");
    assert!(!by_kind.contains_key("other"), "{by_kind:?}");
    text(&client, "INCRBY storm:count 0");
    let count: usize = text(&client, "GET storm:count").parse().unwrap();
    let (acknowledged, unknown) = (ends.increments_ok.into_inner(), ends.increments_unknown.into_inner());
    assert!(
        count <= acknowledged + unknown,
        "{count}: {acknowledged} acknowledged, {unknown} unknown"
    );
}
