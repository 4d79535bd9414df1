//! Where the messages and events of a subscription go: its queue, as far as that has room.
//!
//! Events wait for room, messages do not: those that find none are dropped and counted, and the count is told in one
//! gap event, before the next message. What waits is bounded by the number of names.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::gap::Gap;
use super::names::{Added, ChannelKind, Names};
use super::said::name_of;
use crate::base::clock;
use crate::base::error::Error;
use crate::completion::{Entry, EntryKind, Queue};
use crate::net::Endpoint;
use crate::resp::{Builder, Reply};

/// An event that the program is to be told.
#[derive(Debug)]
pub(super) enum Notice {
    /// The name is in force, at this node.
    Subscribed(Added, Endpoint),
    /// The node refused the name.
    Refused(Added, Error),
    /// No connection can be made, for a reason that time alone does not cure.
    Failed(Error),
}

/// The way to the program.
pub(super) struct Outlet {
    queue: Arc<Queue>,
    tag: u64,
    service: Arc<str>,
    notices: VecDeque<Notice>,
    gap: Option<Gap>,
    /// Tells those who watch the service of a gap.
    watchers: Box<dyn Fn(&Gap)>,
}

impl Outlet {
    pub(super) fn new(queue: Arc<Queue>, tag: u64, service: &str, watchers: Box<dyn Fn(&Gap)>) -> Outlet {
        Outlet {
            queue,
            tag,
            service: service.into(),
            notices: VecDeque::new(),
            gap: None,
            watchers,
        }
    }

    /// Whether something waits for room.
    pub(super) fn waits(&self) -> bool {
        self.gap.is_some() || !self.notices.is_empty()
    }

    /// Returns when there may be room again.
    pub(super) async fn room(&self) {
        self.queue.room().await;
    }

    /// Tells of an event, now or when there is room.
    pub(super) fn notice(&mut self, names: &Names, notice: Notice) {
        // Of names that were removed or added anew meanwhile nothing is told.
        if self.notices.len() > 2 * names.len() + 16 {
            self.notices.retain(|notice| notice.is_current(names));
        }
        self.notices.push_back(notice);
        self.flush(names);
    }

    /// Tells of a gap: after the events that wait, before any other message.
    pub(super) fn gap(&mut self, names: &Names, from: Endpoint, to: Endpoint, since: Instant, dropped: u64) {
        let gap = Gap {
            service: Arc::clone(&self.service),
            from,
            to,
            since,
            dropped,
        };
        match &mut self.gap {
            Some(earlier) => earlier.merge(gap),
            None => self.gap = Some(gap),
        }
        self.flush(names);
    }

    /// Posts the messages of `node` that are still wanted, all at once.
    pub(super) fn messages(
        &mut self,
        names: &Names,
        node: &Endpoint,
        messages: impl Iterator<Item = (ChannelKind, Reply)>,
    ) {
        let wanted = messages.filter(|(kind, reply)| names.wants(*kind, name_of(reply)));
        let entry = |(_, reply)| self.entry(EntryKind::Message, Ok(reply));
        let mut entries: VecDeque<Entry> = wanted.map(entry).collect();
        if self.flush(names) {
            self.queue.post_some(&mut entries);
        }
        if !entries.is_empty() {
            let dropped = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            self.gap(names, node.clone(), node.clone(), clock::now(), dropped);
        }
    }

    /// Posts what waits, in order, as far as there is room. True when nothing waits any more.
    pub(super) fn flush(&mut self, names: &Names) -> bool {
        while let Some(notice) = self.notices.front() {
            let result = match notice {
                _ if !notice.is_current(names) => None,
                Notice::Subscribed(added, node) => self.subscribed(added, node).map(Ok),
                Notice::Refused(_, error) | Notice::Failed(error) => Some(Err(error.clone())),
            };
            if let Some(result) = result {
                if !self.queue.post(self.entry(EntryKind::Event, result)) {
                    return false;
                }
            }
            self.notices.pop_front();
        }
        if let Some(gap) = &self.gap {
            if let Some(reply) = gap.reply() {
                if !self.queue.post(self.entry(EntryKind::Event, Ok(reply))) {
                    return false;
                }
            }
            (self.watchers)(gap);
            self.gap = None;
        }
        true
    }

    fn entry(&self, kind: EntryKind, result: Result<Reply, Error>) -> Entry {
        let tag = self.tag;
        Entry { tag, kind, result }
    }

    fn subscribed(&self, added: &Added, node: &Endpoint) -> Option<Reply> {
        let mut map = Builder::new();
        map.map(5);
        map.string(b"event").string(b"subscribed");
        map.string(b"service").string(self.service.as_bytes());
        map.string(b"kind").string(added.name.kind.name().as_bytes());
        map.string(b"channel").string(&added.name.bytes);
        map.string(b"node").string(node.to_string().as_bytes());
        map.finish()
    }
}

impl Notice {
    fn is_current(&self, names: &Names) -> bool {
        match self {
            Notice::Subscribed(added, _) | Notice::Refused(added, _) => names.is_current(added),
            Notice::Failed(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::deadline::Deadline;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Scene {
        queue: Arc<Queue>,
        outlet: Outlet,
        names: Names,
        node: Endpoint,
        watched: Rc<Cell<u64>>,
    }

    impl Scene {
        fn new(capacity: usize) -> Scene {
            let queue = Arc::new(Queue::new(capacity));
            let mut names = Names::default();
            names.add(ChannelKind::Channel, b"c", true);
            let watched = Rc::new(Cell::new(0));
            let told = Rc::clone(&watched);
            let watchers = Box::new(move |gap: &Gap| told.set(told.get() + gap.dropped));
            Scene {
                outlet: Outlet::new(Arc::clone(&queue), 7, "s", watchers),
                watched,
                queue,
                names,
                node: Endpoint::new("h", 1),
            }
        }

        fn messages(&mut self, payloads: std::ops::Range<u32>) {
            let messages = payloads.map(|n| (ChannelKind::Channel, message("c", n)));
            self.outlet.messages(&self.names, &self.node, messages);
        }

        /// What the program takes: payloads, and events by name and dropped messages.
        fn take(&self, most: usize) -> Vec<String> {
            let mut taken = Vec::new();
            let polled = self
                .queue
                .poll(most, Deadline::after(Some(std::time::Duration::ZERO)), |entry| {
                    assert_eq!(entry.tag, 7);
                    taken.push(shown(&entry));
                });
            polled.unwrap();
            taken
        }
    }

    fn message(channel: &str, n: u32) -> Reply {
        let mut push = Builder::new();
        push.push(3).string(b"message").string(channel.as_bytes());
        push.string(n.to_string().as_bytes());
        push.finish().unwrap()
    }

    fn shown(entry: &Entry) -> String {
        let reply = match &entry.result {
            Err(error) => return error.to_string(),
            Ok(reply) => reply,
        };
        match (reply.get(b"event"), reply.get(b"dropped")) {
            (Some(event), None) => event.text().into_owned(),
            (Some(event), Some(dropped)) => format!("{} {}", event.text(), dropped.integer()),
            _ => reply.at(2).unwrap().text().into_owned(),
        }
    }

    #[test]
    fn messages_that_find_no_room_are_counted_and_told_before_the_next_one() {
        let mut scene = Scene::new(3);
        scene.messages(0..5);
        scene.messages(5..6);
        assert!(scene.outlet.waits());
        assert_eq!(scene.take(1), ["0"]);
        // One place: the event takes it, and the message behind it is dropped in turn.
        scene.messages(6..7);
        assert_eq!(scene.take(9), ["1", "2", "subscription_gap 3"]);
        scene.messages(7..9);
        assert_eq!(scene.take(9), ["subscription_gap 1", "7", "8"]);
        assert_eq!(scene.watched.get(), 4, "whoever watches is told the same");
        assert!(!scene.outlet.waits());
    }

    #[test]
    fn an_event_waits_for_room_and_is_not_told_of_what_is_gone() {
        let mut scene = Scene::new(1);
        scene.messages(0..1);
        scene.names.add(ChannelKind::Channel, b"gone", true);
        for added in scene.names.connect() {
            scene
                .outlet
                .notice(&scene.names, Notice::Subscribed(added, scene.node.clone()));
        }
        scene.names.remove(ChannelKind::Channel, b"gone");
        let (from, to) = (scene.node.clone(), Endpoint::new("h", 2));
        scene.outlet.gap(&scene.names, from, to, Instant::now(), 0);
        assert_eq!(scene.take(9), ["0"]);
        assert!(!scene.outlet.flush(&scene.names), "room for one of two");
        assert_eq!(scene.take(9), ["subscribed"]);
        assert!(scene.outlet.flush(&scene.names));
        assert_eq!(scene.take(9), ["subscription_gap 0"]);
    }

    #[test]
    fn what_waits_does_not_grow_with_names_that_come_and_go() {
        let mut scene = Scene::new(1);
        scene.messages(0..1);
        scene.names.connect();
        for _ in 0..1000 {
            scene.names.add(ChannelKind::Channel, b"x", true);
            for added in scene.names.take_changes().added {
                scene
                    .outlet
                    .notice(&scene.names, Notice::Subscribed(added, scene.node.clone()));
            }
            scene.names.remove(ChannelKind::Channel, b"x");
        }
        assert!(scene.outlet.notices.len() <= 20, "{}", scene.outlet.notices.len());
    }

    #[test]
    fn messages_of_a_removed_name_are_not_posted() {
        let mut scene = Scene::new(9);
        scene.messages(0..1);
        scene.names.remove(ChannelKind::Channel, b"c");
        scene.messages(1..2);
        assert_eq!(scene.take(9), ["0"]);
        assert!(!scene.outlet.waits());
    }
}
