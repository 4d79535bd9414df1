//! A thread that a channel pours on, now and then, as fast as the server can: whatever else lives beside it must not be
//! late for it, and the program must not keep what it took.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sentinel::completion::queue::Polled;
use sentinel::completion::{ChannelKind, Entry, EntryKind};
use sentinel::{Deadline, Deployment};

use crate::callers::World;

pub(crate) const CHANNEL: &str = "soak:flood";

/// Messages that may wait; what is beyond falls into a gap.
const WAITING: usize = 10_000;

/// How often the thread looks whether the world has stopped.
const LOOK: Duration = Duration::from_millis(100);

/// Takes what comes until the world stops; a line about it.
pub(crate) fn live(world: &World, deployment: &Deployment) -> String {
    let queue = deployment.queue(WAITING).unwrap();
    let subscription = world.primary.subscribe(&queue, 0).unwrap();
    subscription.add(ChannelKind::Channel, CHANNEL.as_bytes()).unwrap();
    let (mut messages, mut gaps) = (0u64, 0u64);
    while !world.stopped.load(Ordering::Relaxed) {
        let take = |Entry { kind, result, .. }: Entry| match (kind, result) {
            (EntryKind::Message, Ok(_)) => messages += 1,
            (EntryKind::Event, Ok(_)) => gaps += 1,
            other => panic!("the flood brought {other:?}"),
        };
        let polled = queue.poll(1000, Deadline::after(Some(LOOK)), take);
        assert!(matches!(polled, Ok(Polled::Some(_) | Polled::Empty)), "{polled:?}");
    }
    format!("flood: {messages} messages, {gaps} gaps told")
}
