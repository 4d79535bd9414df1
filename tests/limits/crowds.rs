//! Many queues, many connections of calls' own, many completions taken at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel::completion::queue::Polled;
use sentinel::completion::{Queue, Target};
use sentinel::{Client, Deadline, ErrorKind};
use sentinel_lab::{FakeNode, SetOnDrop};

use crate::probe::beside;
use crate::support::{BESIDE, Figure, LOADED, PATIENCE, World, server, take, within};

/// 60,000 calls, each into the next of 1,000 queues.
pub(crate) fn queues() -> Figure {
    const QUEUES: usize = 1000;
    const EACH: usize = 60;
    let (busy, calm) = (server(), server());
    let world = World::new(&[(LOADED, busy.node(0).port()), (BESIDE, calm.node(0).port())], &[]);
    let client = world.ready(LOADED);
    let queue = || world.deployment.queue(EACH).unwrap();
    let queues: Vec<Arc<Queue>> = (0..QUEUES).map(|_| queue()).collect();
    beside(&world.deployment, &world.ready(BESIDE), || {
        for queue in (0..EACH).flat_map(|_| &queues) {
            client
                .submit(&[b"PING"], &within(PATIENCE), Target::Queue(queue, 0))
                .unwrap();
        }
        for queue in &queues {
            take(queue, EACH, |entry, _| _ = entry.result.unwrap());
        }
    })
}

/// 3,000 submitted calls that wait in the server, each with a connection of its own where it gets one.
pub(crate) fn own_connections() -> Figure {
    const CALLS: usize = 3000;
    let (busy, calm) = (server(), server());
    let services = [(LOADED, busy.node(0).port()), (BESIDE, calm.node(0).port())];
    let world = World::new(&services, &[("pool.max_connections", "4000")]);
    let client = world.ready(LOADED);
    let queue = world.deployment.queue(CALLS).unwrap();
    beside(&world.deployment, &world.ready(BESIDE), || {
        for _ in 0..CALLS {
            let target = Target::Queue(&queue, 0);
            client
                .submit(&[b"BLPOP", b"none", b"0"], &within(Duration::from_secs(3)), target)
                .unwrap();
        }
        take(&queue, CALLS, |entry, _| {
            let error = entry.result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
        });
    })
}

/// One poll that takes 60,000 failures and writes out each, while others end in the same queue.
pub(crate) fn one_poll() -> Figure {
    const CALLS: usize = 60_000;
    let calm = server();
    let gone = FakeNode::start();
    gone.die();
    let world = World::new(&[(LOADED, gone.port()), (BESIDE, calm.node(0).port())], &[]);
    let (client, other) = (world.client(LOADED), world.client(LOADED));
    let queue = world.deployment.queue(1 << 20).unwrap();
    let submit = |client: &Client, limit: u64| {
        let call = within(Duration::from_millis(limit));
        client
            .submit(&[b"SET", b"k", b"v"], &call, Target::Queue(&queue, 0))
            .unwrap();
    };
    let done = AtomicBool::new(false);
    beside(&world.deployment, &world.ready(BESIDE), || {
        std::thread::scope(|scope| {
            let guard = SetOnDrop(&done);
            (0..CALLS).for_each(|_| submit(&client, 300));
            std::thread::sleep(Duration::from_secs(2));
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    submit(&other, 10);
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            std::thread::sleep(Duration::from_millis(100));
            let mut said = Vec::new();
            let polled = queue.poll(usize::MAX, Deadline::NEVER, |entry| {
                said.push(entry.result.unwrap_err().to_string());
            });
            drop(guard);
            assert!(
                matches!(polled, Ok(Polled::Some(count)) if count >= CALLS),
                "{polled:?}"
            );
        });
    })
}
