//! Sixty thousand calls without a node, and as many in flight when the node changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::{Queue, Target};
use sentinel::{Client, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel};

use crate::noise::Noise;
use crate::probe::beside;
use crate::support::{BESIDE, Figure, LOADED, Late, PATIENCE, World, ms, server, take, within};

const CALLS: usize = 60_000;
const LIMIT: Duration = Duration::from_millis(1500);

fn submit_all(client: &Client, queue: &Arc<Queue>, limit: Duration) -> Vec<Instant> {
    let call = within(limit);
    let submit = |tag: usize| {
        let now = Instant::now();
        let target = Target::Queue(queue, tag as u64);
        client.submit(&[b"SET", b"k", b"v"], &call, target).unwrap();
        now + limit
    };
    (0..CALLS).map(submit).collect()
}

/// Submits them to a service without a primary and takes their ends; the latest of these, and of the probe.
fn without_a_primary() -> (Figure, Figure) {
    let calm = server();
    let gone = FakeNode::start();
    gone.die();
    let world = World::new(&[(LOADED, gone.port()), (BESIDE, calm.node(0).port())], &[]);
    let client = world.client(LOADED);
    let queue = world.deployment.queue(1 << 16).unwrap();
    let mut behind = Late::default();
    let noise = Noise::measure();
    let beside = beside(&world.deployment, &world.ready(BESIDE), || {
        let deadlines = submit_all(&client, &queue, LIMIT);
        take(&queue, CALLS, |entry, now| {
            let error = entry.result.unwrap_err();
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
            let deadline = deadlines[entry.tag as usize];
            assert!(
                now + Duration::from_millis(2) > deadline,
                "ended before its deadline: {error}"
            );
            behind.at(deadline, now);
        });
    });
    (beside, behind.worst(&noise))
}

pub(crate) fn beside_outage() -> Figure {
    without_a_primary().0
}

pub(crate) fn behind() -> Figure {
    without_a_primary().1
}

struct Switch {
    /// From the first completion to the last.
    spread: Figure,
    /// From the event to the first.
    begin: Figure,
    beside: Figure,
}

/// A node that takes writes and never answers them, though it says something now and then, so that all are in flight
/// when the Sentinel names another one.
fn at_a_switch() -> Switch {
    let calm = server();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let old = FakeNode::builder()
        .on(move |session, args| {
            let is_set = args[0] == b"SET";
            let before = counted.fetch_add(usize::from(is_set), Ordering::Relaxed);
            // To a node that says nothing at all no more is sent.
            if is_set && before % 50 == 0 {
                session.send(b">1\r\n+wait\r\n");
            }
            is_set
        })
        .start();
    let new = FakeNode::start();
    let world = World::new(&[(LOADED, old.port()), (BESIDE, calm.node(0).port())], &[]);
    let sentinel: &FakeSentinel = &world.sentinels[0];
    let client = world.ready(LOADED);
    let queue = world.deployment.queue(1 << 16).unwrap();
    let noise = Noise::measure();
    let mut ends = (Instant::now(), None, Instant::now());
    let beside = beside(&world.deployment, &world.ready(BESIDE), || {
        submit_all(&client, &queue, PATIENCE);
        let began = Instant::now();
        while taken.load(Ordering::Relaxed) < CALLS {
            assert!(began.elapsed() < PATIENCE, "{taken:?} of {CALLS} came");
            std::thread::sleep(Duration::from_millis(1));
        }
        ends.0 = Instant::now();
        sentinel.switch_master("127.0.0.1", new.port());
        take(&queue, CALLS, |entry, now| {
            let error = entry.result.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
            ends.1.get_or_insert(now);
            ends.2 = now;
        });
    });
    let (event, first, last) = (ends.0, ends.1.unwrap(), ends.2);
    let between = |from: Instant, to: Instant| Figure {
        value: ms(to - from),
        machine: ms(noise.between(from, to)),
    };
    Switch {
        spread: between(first, last),
        begin: between(event, first),
        beside,
    }
}

pub(crate) fn switch() -> Figure {
    at_a_switch().spread
}

pub(crate) fn switch_begin() -> Figure {
    at_a_switch().begin
}

pub(crate) fn beside_switch() -> Figure {
    at_a_switch().beside
}
