//! What a watcher publishes: the view of its service, what each Sentinel last said, and what is foreseen.

use std::sync::Arc;
use std::time::Instant;

use super::answer::{Answer, Depth, LinkId};
use super::fence;
use super::foresight::Step;
use super::verdict::Adopted;
use super::watcher::Watcher;
use super::{replicas, view};
use crate::base::clock;
use crate::base::error::Reason;
use crate::net::{AddressMap, Endpoint};
use crate::observe::Turn;
use crate::topology::{Node, Snapshot, Word, Writes};

impl Watcher {
    /// A step of a failover that a Sentinel leads.
    pub(super) fn step(&mut self, link: LinkId, step: &Step, now: Instant) {
        let map = &self.discovery.settings().address_map;
        let step = match step {
            Step::Selects(replica) => &Step::Selects(map.map(replica.clone())),
            step => step,
        };
        let (council, foresight) = (&self.council, &mut self.foresight);
        foresight.step(link, step, council.adopted(), |node| council.lists(node), now);
    }

    /// Draws the consequences of what was foreseen, and of what was said of it.
    pub(super) fn look_ahead(&mut self, callers: bool, now: Instant, jitter: f64) {
        let council = &self.council;
        self.foresight
            .judged(council.adopted(), |at| council.agreed_since(at, now), now);
        let turns = self.foresight.take_turns();
        if turns.is_empty() {
            return;
        }
        self.is_news = true;
        self.publish();
        for turn in &turns {
            self.discovery.observer().failover(&self.service, turn);
        }
        if turns.iter().any(|turn| matches!(turn, Turn::Unconfirmed { .. })) {
            // Whatever they say of it now counts.
            let acts = self.council.request(now, jitter);
            self.carry_out(acts, callers);
        }
    }

    pub(super) fn publish_words(&self) {
        let words = self.council.words();
        let before = std::mem::replace(&mut *self.ends.words.lock(), words.clone());
        self.discovery.observer().words_changed(&self.service, &before, &words);
    }

    pub(super) fn publish(&mut self) {
        let in_force = self.foresight.in_force(self.council.adopted());
        let as_before = !self.is_news && self.drawn == in_force;
        if as_before && self.memory.is_confirmed(clock::now()) {
            return;
        }
        (self.is_news, self.drawn) = (false, in_force.clone());
        let Some(in_force) = in_force else { return };
        let before = Arc::clone(&self.ends.snapshot.borrow());
        self.replace_view(&in_force);
        let after = Arc::clone(&self.ends.snapshot.borrow());
        if Arc::ptr_eq(&before, &after) {
            return;
        }
        // What has left the view is known no more.
        self.know();
        let first_sign = self.first_sign.map_or_else(clock::now, |(at, _)| at);
        if before.generation != after.generation {
            self.first_sign = None;
        }
        let (observer, words) = (self.discovery.observer(), self.council.words());
        observer.view_changed(&self.service, &before, &after, &words, first_sign);
    }

    fn replace_view(&mut self, adopted: &Adopted) {
        let before = Arc::clone(&self.ends.snapshot.borrow());
        let is_switch = is_switch(&before, adopted);
        let view = match self.agreed_view(&before, adopted) {
            Some(view) => view,
            // The Sentinels will name it a second later.
            None if self.foresight.is_provisional() && is_switch => promoted(&before, adopted),
            // No Sentinel left to ask: what was known stays.
            None => Snapshot::clone(&before),
        };
        let view = self.former.without_its_run_id(&before, view);
        let next = Snapshot {
            generation: before.generation + u64::from(is_switch && view.epoch == adopted.epoch),
            foreseen: self.foresight.is_provisional(),
            awaited: self.foresight.awaited(),
            writes: self.writes(),
            ..view
        };
        let endpoints = |snapshot: &Snapshot| -> Vec<Endpoint> {
            snapshot.replicas.iter().map(|node| node.endpoint.clone()).collect()
        };
        let is_told = next.generation != before.generation
            || (next.foreseen, &next.awaited) != (before.foreseen, &before.awaited)
            || endpoints(&next) != endpoints(&before);
        if next != *before {
            self.ends.snapshot.send_if_modified(|current| {
                *current = Arc::new(next);
                is_told
            });
        }
    }

    /// Holds writes while no majority of the Sentinels is heard.
    pub(super) fn mind_the_fence(&mut self, now: Instant) {
        let in_force = self.foresight.in_force(self.council.adopted());
        let (Some(_), Some(in_force)) = (&self.fence, in_force) else {
            return;
        };
        let members = self.discovery.members();
        let named = |link: LinkId| match self.council.last_word(link) {
            Some((_, Word::Names { primary, heard, .. })) if *primary == in_force.primary => Some(*heard),
            _ => None,
        };
        let heard = |links: &Vec<LinkId>| fence::Heard {
            at: links.iter().filter_map(|link| members.heard(*link)).max(),
            named: links.iter().filter_map(|link| named(*link)).max(),
        };
        let ours = members.with(|who| who.ours());
        let sentinels: Vec<fence::Heard> = ours.iter().map(heard).collect();
        let Some(fence) = &mut self.fence else { return };
        let before = fence.closed();
        fence.look(&sentinels, now);
        let (after, asked): (_, Vec<bool>) = (
            fence.closed(),
            sentinels.iter().map(|heard| fence.asks(heard)).collect(),
        );
        let writes = self.writes();
        self.ends.snapshot.hold(writes);
        if before.is_some() != after.is_some() {
            let lasted = before.or(after).map(|since| now.saturating_duration_since(since));
            let observer = self.discovery.observer();
            observer.service(&self.service).no_majority_since(after);
            let held = after.map(|_| Reason::NoMajority);
            observer.writes_changed(&self.service, held, lasted.unwrap_or_default());
        }
        let asked = ours.iter().zip(asked).filter(|(_, asked)| *asked);
        for link in asked.flat_map(|(links, _)| links) {
            self.ask(*link, Depth::Address, false);
        }
    }

    /// Whether it is sure enough who the primary is.
    fn writes(&self) -> Writes {
        if self.fence.as_ref().is_some_and(|fence| fence.closed().is_some()) {
            return Writes::Held(Reason::NoMajority);
        }
        let waits = self.foresight.is_armed() || self.foresight.unconfirmed().is_some();
        if waits {
            Writes::Held(Reason::Unconfirmed)
        } else {
            Writes::Flow
        }
    }

    /// The service as the Sentinels that name this primary show it; none: there is none.
    fn agreed_view(&mut self, before: &Snapshot, adopted: &Adopted) -> Option<Snapshot> {
        let map = &self.discovery.settings().address_map;
        let links = self.discovery.links();
        let answered = links
            .iter()
            .filter_map(|link| Some((link, self.answers.get(&link.id)?)));
        // Sentinels that still name another primary list its replicas, not this one's.
        let agrees = |link: LinkId| match self.council.last_word(link) {
            Some((_, Word::Names { primary, .. })) => *primary == adopted.primary,
            _ => false,
        };
        let agreed = self.answers.iter().filter(|(link, _)| agrees(**link));
        let mut agreed = agreed.map(|(_, answer)| answer).peekable();
        agreed.peek()?;
        let listed = replicas::sorted(agreed, Some(&adopted.primary), map);
        let replicas = self.memory.complete(listed, &adopted.primary, clock::now());
        Some(Snapshot {
            epoch: adopted.epoch,
            primary: Some(view::primary(self.answers.values(), adopted, map)),
            replicas: replicas.usable,
            forgotten: replicas.forgotten,
            freshest: replicas.freshest,
            left_out: replicas.left_out,
            sentinels: view::sentinels(answered, map),
            generation: before.generation,
            ..Snapshot::default()
        })
    }
}

fn is_switch(before: &Snapshot, adopted: &Adopted) -> bool {
    let primary = before.primary.as_ref().map(|node| &node.endpoint);
    primary != Some(&adopted.primary) || before.epoch != adopted.epoch
}

/// What was known of the service, with one of its replicas in the primary's place.
fn promoted(before: &Snapshot, adopted: &Adopted) -> Snapshot {
    let mut view = before.clone();
    let is_it = |node: &Node| node.endpoint == adopted.primary;
    view.replicas.retain(|node| !is_it(node));
    view.left_out.retain(|(node, _)| !is_it(node));
    view.forgotten.retain(|at| *at != adopted.primary);
    view.epoch = adopted.epoch;
    let nobody = std::iter::empty::<&Answer>();
    view.primary = Some(view::primary(nobody, adopted, &AddressMap::default()));
    view
}
