//! What the tests of subscriptions need: what a queue gave in a form that reads well, and somebody who publishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel::completion::queue::Polled;
use sentinel::completion::{ChannelKind::Channel, Entry, EntryKind, Queue};
use sentinel::resp::{Kind, Reply};
use sentinel::{Client, Deployment, ErrorKind, Result, Subscription};
use sentinel_lab::{FakeNode, FakeSentinel, Server, SetOnDrop};

use crate::support::{PATIENCE, SERVICE, open};

/// A tag that nothing else has.
pub(crate) const TAG: u64 = 0xfeed_0000_0000_0001;

/// What a queue gave, in a form that reads well in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// The elements of the push.
    Message(Vec<String>),
    /// Kind and channel.
    Subscribed(String, String),
    /// From, to, milliseconds, dropped.
    Gap(String, String, i64, i64),
    /// Kind and text of an error.
    Failed(ErrorKind),
}

impl Got {
    pub(crate) fn of(entry: &Entry) -> Got {
        assert_eq!(entry.tag, TAG);
        let reply = match &entry.result {
            Err(error) => {
                assert_eq!(entry.kind, EntryKind::Event);
                assert!(error.endpoint().is_some(), "{error}");
                return Got::Failed(error.kind().clone());
            }
            Ok(reply) => reply,
        };
        if entry.kind == EntryKind::Message {
            assert_eq!(reply.kind(), Kind::Push, "{reply:?}");
            return Got::Message(reply.elements().map(|part| part.text().into_owned()).collect());
        }
        assert_eq!((entry.kind, reply.kind()), (EntryKind::Event, Kind::Map), "{reply:?}");
        assert_eq!(text(reply, "service"), SERVICE);
        match &*text(reply, "event") {
            "subscribed" => Got::Subscribed(text(reply, "kind"), text(reply, "channel")),
            "subscription_gap" => {
                let number = |key: &str| reply.get(key.as_bytes()).unwrap().integer();
                let (milliseconds, dropped) = (number("milliseconds"), number("dropped"));
                Got::Gap(text(reply, "from"), text(reply, "to"), milliseconds, dropped)
            }
            other => panic!("event {other}"),
        }
    }

    pub(crate) fn is_gap(&self) -> bool {
        matches!(self, Got::Gap(..))
    }

    /// The payload as a number.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Got::Message(parts) => parts.last().unwrap().parse().ok(),
            _ => None,
        }
    }
}

pub(crate) fn text(reply: &Reply, key: &str) -> String {
    reply.get(key.as_bytes()).unwrap().text().into_owned()
}

pub(crate) fn message(channel: &str, payload: &str) -> Got {
    Got::Message(vec!["message".into(), channel.into(), payload.into()])
}

pub(crate) fn subscribed(kind: &str, channel: &str) -> Got {
    Got::Subscribed(kind.into(), channel.into())
}

/// A subscription and what it hears.
pub(crate) struct Hearer {
    pub(crate) subscription: Subscription,
    pub(crate) queue: Arc<Queue>,
}

impl Hearer {
    pub(crate) fn new(deployment: &Deployment, client: &Client, capacity: usize) -> Hearer {
        let queue = deployment.queue(capacity).unwrap();
        let subscription = client.subscribe(&queue, TAG).unwrap();
        Hearer { subscription, queue }
    }

    pub(crate) fn of_primary(deployment: &Deployment) -> Hearer {
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        Hearer::new(deployment, &client, 100_000)
    }

    /// What came so far.
    pub(crate) fn take(&self) -> Vec<Got> {
        let mut got = Vec::new();
        while self.poll(Duration::ZERO, |entry| got.push(Got::of(&entry))) == Ok(Polled::Some(1)) {}
        got
    }

    pub(crate) fn poll(&self, wait: Duration, take: impl FnMut(Entry)) -> Result<Polled> {
        self.queue.poll(1, sentinel::Deadline::after(Some(wait)), take)
    }

    /// The next thing that comes.
    #[track_caller]
    pub(crate) fn next(&self) -> Got {
        let mut got = None;
        let polled = self.poll(PATIENCE, |entry| got = Some(Got::of(&entry)));
        assert_eq!(polled, Ok(Polled::Some(1)), "nothing came");
        got.unwrap()
    }

    /// Adds a channel and waits until it is in force.
    #[track_caller]
    pub(crate) fn add(&self, channel: &str) {
        self.subscription.add_confirmed(Channel, channel.as_bytes()).unwrap();
        assert_eq!(self.next(), subscribed("channel", channel));
    }
}

/// Publishes on a connection of the test's own and tells how many heard it.
#[track_caller]
pub(crate) fn publish(server: &Server, channel: &str, payload: &str) -> i64 {
    match server.ask(&["PUBLISH", channel, payload]) {
        sentinel_lab::Value::Int(heard) => heard,
        other => panic!("PUBLISH: {other:?}"),
    }
}

/// How many connections the server has that are subscribed to `channel`.
pub(crate) fn subscribers(server: &Server, channel: &str) -> i64 {
    match server.ask(&["PUBSUB", "NUMSUB", channel]) {
        sentinel_lab::Value::Array(Some(pair)) => match pair.last() {
            Some(sentinel_lab::Value::Int(count)) => *count,
            other => panic!("PUBSUB NUMSUB: {other:?}"),
        },
        other => panic!("PUBSUB NUMSUB: {other:?}"),
    }
}

/// Publishes rising numbers on `channel` through the library until told to stop.
pub(crate) fn publish_numbers(client: &Client, channel: &str, done: &AtomicBool, pause: Duration) -> u64 {
    let mut n = 0;
    while !done.load(Ordering::Relaxed) {
        n += 1;
        let number = n.to_string();
        let command = [b"PUBLISH".as_slice(), channel.as_bytes(), number.as_bytes()];
        // What is in flight at a failover may fail, and be missing or not.
        let _ = client.command(&command, &sentinel::CallOptions::default());
        std::thread::sleep(pause);
    }
    n
}

/// Runs `scene` while numbers are published on `channel`; the last number.
pub(crate) fn while_publishing(client: &Client, channel: &str, pause: Duration, scene: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let publisher = scope.spawn(|| publish_numbers(client, channel, &done, pause));
        scene();
        drop(guard);
        publisher.join().unwrap()
    })
}

/// A scripted primary under a scripted Sentinel.
pub(crate) fn scripted(node: &FakeNode) -> (FakeSentinel, Deployment) {
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    (sentinel, deployment)
}
