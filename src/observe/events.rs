//! What happened, as values; and who waits to be told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;

use super::calls::{Counter, millis};
use super::turn::Turn;
use crate::base::error::Reason;
use crate::net::Endpoint;
use crate::resp::{Builder, Reply};
use crate::topology::Role;

/// What an event is about. The bits are those of the C surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Another node is the primary, or it began anew.
    Primary = 0x01,
    /// Other replicas are usable.
    Replicas = 0x02,
    /// A Sentinel came or went.
    Sentinels = 0x04,
    /// A connection was made or lost.
    Connection = 0x08,
    /// Messages may have been missed.
    Gap = 0x10,
    /// A Sentinel is about to fail the service over, or what was foreseen of that has come about or not.
    Failover = 0x1000,
    /// Writes are held, or go out again.
    Writes = 0x2000,
}

/// All topics, in the order of their bits.
pub const TOPICS: [Topic; 7] = [
    Topic::Primary,
    Topic::Replicas,
    Topic::Sentinels,
    Topic::Connection,
    Topic::Gap,
    Topic::Failover,
    Topic::Writes,
];

impl Topic {
    fn bit(self) -> u32 {
        match self {
            Topic::Primary => 0x01,
            Topic::Replicas => 0x02,
            Topic::Sentinels => 0x04,
            Topic::Connection => 0x08,
            Topic::Gap => 0x10,
            Topic::Failover => 0x1000,
            Topic::Writes => 0x2000,
        }
    }

    /// Its word: what `event` says in the map, and the label of its counter.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Primary => "primary_changed",
            Topic::Replicas => "replicas_changed",
            Topic::Sentinels => "sentinels_changed",
            Topic::Connection => "connection",
            Topic::Gap => "subscription_gap",
            Topic::Failover => "failover",
            Topic::Writes => "writes_held",
        }
    }
}

/// Something that happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The service.
    pub service: String,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Another primary, the same one under another epoch, or the same one begun anew.
    Primary {
        /// The primary before.
        from: Endpoint,
        /// The primary now.
        to: Endpoint,
        /// Its epoch.
        epoch: u64,
        /// It is the same node, restarted: its run id is another one.
        reboot: bool,
        /// Since the last good reply of the one before, if a client ever had one.
        last_good_ms: Option<u64>,
        /// No Sentinel names it yet.
        foreseen: bool,
    },
    /// Other replicas are usable.
    Replicas {
        /// All that are usable now.
        usable: Vec<Endpoint>,
        /// Those of them that were not.
        added: Vec<Endpoint>,
        /// Those that were and are not any more.
        removed: Vec<Endpoint>,
    },
    /// A Sentinel came or went.
    Sentinel {
        /// Which one.
        sentinel: Endpoint,
        /// What became of it.
        change: SentinelChange,
    },
    /// A connection was made or lost.
    Connection {
        /// To which node.
        node: Endpoint,
        /// The role that the node holds.
        role: Role,
        /// Why it was lost; `None`: it was made.
        lost: Option<String>,
    },
    /// Messages of a subscription may have been missed.
    Gap {
        /// The node that the last message before it came from.
        from: Endpoint,
        /// The node that the first message after it comes from.
        to: Endpoint,
        /// How long it was.
        milliseconds: u64,
        /// Messages that were received and dropped.
        dropped: u64,
    },
    /// A failover that a Sentinel tells of beforehand has taken a turn.
    Failover {
        /// Which one.
        turn: Turn,
        /// Where a foreseen primary was not confirmed: how many calls it has answered.
        answered: Option<u64>,
    },
    /// No writes are sent, or they are again.
    Writes {
        /// Why none is; none: they are.
        held: Option<Reason>,
        /// How long what holds them has lasted by now, or did.
        milliseconds: u64,
    },
}

/// The word for what holds writes.
pub fn hold_word(reason: Reason) -> &'static str {
    match reason {
        Reason::NoMajority => "no_majority",
        Reason::Unconfirmed => "unconfirmed",
        _ => "other",
    }
}

/// What became of a Sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentinelChange {
    /// The others told of it.
    Added,
    /// Nobody reports it any more.
    Removed,
    /// It does not answer, and why.
    Lost(String),
    /// It answers again.
    Back,
    /// Somebody else answers at its address, whom none of the others knows.
    Stranger,
    /// It is at this address now.
    Moved(Endpoint),
}

impl SentinelChange {
    /// Its word in the map.
    pub fn word(&self) -> &'static str {
        match self {
            SentinelChange::Added => "added",
            SentinelChange::Removed => "removed",
            SentinelChange::Lost(_) => "lost",
            SentinelChange::Back => "back",
            SentinelChange::Stranger => "stranger",
            SentinelChange::Moved(_) => "moved",
        }
    }
}

/// The word for a role.
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Sentinel => "sentinel",
    }
}

/// A value of the map.
enum Field<'a> {
    Text(&'a str),
    At(&'a Endpoint),
    List(&'a [Endpoint]),
    Number(Option<u64>),
    Flag(bool),
    Nil,
}

impl Event {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self.what {
            What::Primary { .. } => Topic::Primary,
            What::Replicas { .. } => Topic::Replicas,
            What::Sentinel { .. } => Topic::Sentinels,
            What::Connection { .. } => Topic::Connection,
            What::Gap { .. } => Topic::Gap,
            What::Failover { .. } => Topic::Failover,
            What::Writes { .. } => Topic::Writes,
        }
    }

    /// The map that a program gets.
    pub fn reply(&self) -> Option<Reply> {
        let mut fields = vec![
            ("event", Field::Text(self.topic().word())),
            ("service", Field::Text(&self.service)),
        ];
        fields.extend(self.fields());
        let mut map = Builder::new();
        map.map(fields.len());
        for (name, value) in fields {
            map.string(name.as_bytes());
            write(&mut map, &value);
        }
        map.finish()
    }

    fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        match &self.what {
            What::Primary {
                from,
                to,
                epoch,
                reboot,
                last_good_ms,
                foreseen,
            } => vec![
                ("from", Field::At(from)),
                ("to", Field::At(to)),
                ("epoch", Field::Number(Some(*epoch))),
                ("reboot", Field::Flag(*reboot)),
                ("last_good_ms", Field::Number(*last_good_ms)),
                ("foreseen", Field::Flag(*foreseen)),
            ],
            What::Replicas { usable, added, removed } => vec![
                ("replicas", Field::List(usable)),
                ("added", Field::List(added)),
                ("removed", Field::List(removed)),
            ],
            What::Sentinel { sentinel, change } => vec![
                ("sentinel", Field::At(sentinel)),
                ("change", Field::Text(change.word())),
                (
                    "cause",
                    match change {
                        SentinelChange::Lost(cause) => Field::Text(cause),
                        _ => Field::Nil,
                    },
                ),
                (
                    "to",
                    match change {
                        SentinelChange::Moved(to) => Field::At(to),
                        _ => Field::Nil,
                    },
                ),
            ],
            What::Connection { node, role, lost } => vec![
                ("node", Field::At(node)),
                ("role", Field::Text(role_word(*role))),
                ("change", Field::Text(if lost.is_some() { "lost" } else { "made" })),
                ("cause", lost.as_deref().map_or(Field::Nil, Field::Text)),
            ],
            What::Gap {
                from,
                to,
                milliseconds,
                dropped,
            } => vec![
                ("from", Field::At(from)),
                ("to", Field::At(to)),
                ("milliseconds", Field::Number(Some(*milliseconds))),
                ("dropped", Field::Number(Some(*dropped))),
            ],
            What::Failover { turn, answered } => {
                let (epoch, cause) = match turn {
                    Turn::Armed { epoch, .. } | Turn::Foreseen { epoch, .. } => (Some(*epoch), None),
                    Turn::Disarmed { cause } => (None, Some(*cause)),
                    _ => (None, None),
                };
                let instead_of = match turn {
                    Turn::Resolved { instead_of, .. } => Some(instead_of),
                    _ => None,
                };
                vec![
                    ("change", Field::Text(turn.word())),
                    ("node", turn.node().map_or(Field::Nil, Field::At)),
                    ("epoch", Field::Number(epoch)),
                    ("milliseconds", Field::Number(turn.after().map(millis))),
                    ("answered", Field::Number(*answered)),
                    ("cause", cause.map_or(Field::Nil, Field::Text)),
                    ("instead_of", instead_of.map_or(Field::Nil, Field::At)),
                ]
            }
            What::Writes { held, milliseconds } => vec![
                ("held", Field::Flag(held.is_some())),
                (
                    "reason",
                    held.map_or(Field::Nil, |reason| Field::Text(hold_word(reason))),
                ),
                ("milliseconds", Field::Number(Some(*milliseconds))),
            ],
        }
    }
}

fn write(map: &mut Builder, value: &Field<'_>) {
    match value {
        Field::Text(text) => map.string(text.as_bytes()),
        Field::At(endpoint) => map.string(endpoint.to_string().as_bytes()),
        Field::List(endpoints) => endpoints.iter().fold(map.array(endpoints.len()), |map, endpoint| {
            map.string(endpoint.to_string().as_bytes())
        }),
        Field::Number(Some(number)) => map.integer(i64::try_from(*number).unwrap_or(i64::MAX)),
        Field::Flag(flag) => map.boolean(*flag),
        Field::Number(None) | Field::Nil => map.nil(),
    };
}

/// Takes events for a program. Not to be shown, see `pool::holder`.
pub trait Sink: Send + Sync {
    /// Takes an event; false where there is no room for it.
    fn take(&self, tag: u64, event: Reply) -> bool;
}

/// Whoever waits for events. It is not kept alive: the program frees it, and the watch ends.
#[derive(Debug)]
struct Watch {
    sink: Weak<dyn Sink>,
    mask: u32,
    tag: u64,
}

/// Brings events to the queues that asked for them.
#[derive(Debug, Default)]
pub struct Bus {
    /// What anybody waits for, so that nothing is made that nobody does.
    wanted: AtomicU32,
    watches: Mutex<Vec<Watch>>,
    /// Events that happened, by topic.
    happened: [Counter; TOPICS.len()],
    /// Events that found their queue full.
    pub dropped: Counter,
}

impl Bus {
    /// Lets the events of `mask` go to `sink` with `tag`, in place of what it waited for before; 0: none.
    pub fn watch(&self, sink: &Arc<impl Sink + 'static>, mask: u32, tag: u64) {
        let mut watches = self.watches.lock();
        let same = |watch: &Watch| std::ptr::addr_eq(watch.sink.as_ptr(), Arc::as_ptr(sink));
        watches.retain(|watch| watch.sink.strong_count() > 0 && !same(watch));
        if mask != 0 {
            let sink = Arc::downgrade(sink);
            watches.push(Watch { sink, mask, tag });
        }
        self.wanted.store(all(&watches), Ordering::Relaxed);
    }

    /// Tells everyone who waits for it. All see events in the same order.
    pub fn post(&self, event: &Event) {
        let topic = event.topic();
        if let Some(count) = TOPICS
            .iter()
            .position(|each| *each == topic)
            .and_then(|at| self.happened.get(at))
        {
            count.count();
        }
        if self.wanted.load(Ordering::Relaxed) & topic.bit() == 0 {
            return;
        }
        let mut watches = self.watches.lock();
        watches.retain(|watch| {
            let Some(sink) = watch.sink.upgrade() else {
                return false;
            };
            if watch.mask & topic.bit() != 0 {
                self.deliver(event, &*sink, watch.tag);
            }
            true
        });
        self.wanted.store(all(&watches), Ordering::Relaxed);
    }

    fn deliver(&self, event: &Event, sink: &dyn Sink, tag: u64) {
        let Some(reply) = event.reply() else { return };
        if !sink.take(tag, reply) {
            self.dropped.count();
        }
    }

    /// Events that happened so far, by the word of their topic.
    pub fn happened(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = TOPICS.iter().map(|topic| topic.word());
        words.zip(self.happened.iter().map(Counter::get))
    }
}

fn all(watches: &[Watch]) -> u32 {
    watches.iter().fold(0, |all, watch| all | watch.mask)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
