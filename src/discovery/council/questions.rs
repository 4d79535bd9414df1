//! Whom to ask now, and how much.

use std::time::{Duration, Instant};

use super::agenda::OTHERS_WITHIN;
use super::{Act, Council, Seat};
use crate::discovery::answer::{Depth, LinkId};

/// The lists of each are read this often, and of one no more often than that when something tells of changes.
const LISTS_EVERY: Duration = Duration::from_secs(10);
const MIN_BETWEEN_LISTS: Duration = Duration::from_secs(1);

impl Council {
    /// When one of them is to be asked.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let follow_ups = self.seats.values().map(|seat| seat.asked.follow_up);
        follow_ups.chain([self.agenda.next()]).flatten().min()
    }

    /// The net under the events.
    pub(super) fn begin_to_poll(&mut self, now: Instant, jitter: f64) {
        let is_in_doubt = self.is_in_doubt();
        self.agenda.begin_to_poll(is_in_doubt, now, jitter);
    }

    /// A name that no Sentinel knows is not polled for ever: the next request begins it again.
    pub(super) fn poll(&mut self, callers: bool, now: Instant, jitter: f64) {
        let is_due = self.agenda.poll.take_if(|at| *at <= now).is_some();
        if is_due && (self.adopted.is_some() || callers) {
            self.begin_to_poll(now, jitter);
            self.agenda.look = Some(now);
        }
    }

    /// Where the primary is according to one that tells of another one: its lists too, unless lists have just been read.
    pub(super) fn ask_for_event(&mut self, link: LinkId, now: Instant, jitter: f64) -> Act {
        let lately = |at: Instant| now.saturating_duration_since(at) < MIN_BETWEEN_LISTS;
        if !self.newest_lists().is_some_and(lately) {
            return self.ask_lists(link, now);
        }
        // What was read just before is of before the event.
        self.read_lists_of(link, now, jitter);
        Act::Ask(link, Depth::Epoch)
    }

    /// Everything that it knows.
    pub(super) fn ask_lists(&mut self, link: LinkId, now: Instant) -> Act {
        if let Some(Seat { asked, .. }) = self.seats.get_mut(&link) {
            (asked.lists, asked.owes, asked.told) = (Some(now), true, None);
        }
        Act::Ask(link, Depth::Lists)
    }

    /// It has not answered. It is asked when it is back, and keeps no other from being asked.
    pub(super) fn is_lost(&mut self, link: LinkId, now: Instant, jitter: f64) {
        if let Some(Seat { asked, .. }) = self.seats.get_mut(&link) {
            (asked.lists, asked.owes, asked.told) = (None, false, None);
        }
        self.agenda.lists = None;
        self.read_lists(now, jitter);
    }

    fn newest_lists(&self) -> Option<Instant> {
        self.seats.values().filter_map(|seat| seat.asked.lists).max()
    }

    /// A list of `link` has changed.
    pub(super) fn read_lists_of(&mut self, link: LinkId, now: Instant, jitter: f64) {
        if let Some(seat) = self.seats.get_mut(&link) {
            seat.asked.told = Some(now);
        }
        self.read_lists(now, jitter);
    }

    /// When the next of those lists may be read, if there are any.
    fn read_lists(&mut self, now: Instant, jitter: f64) {
        if self.last_to_tell().is_some() {
            let soonest = self.newest_lists().map_or(now, |at| (at + MIN_BETWEEN_LISTS).max(now));
            self.agenda.lists.get_or_insert(soonest + OTHERS_WITHIN.mul_f64(jitter));
        }
    }

    /// Whose lists are read next.
    fn last_to_tell(&self) -> Option<LinkId> {
        let told = |(&link, seat): (&LinkId, &Seat)| Some((seat.asked.told?, link));
        self.seats.iter().filter_map(told).max().map(|(_, link)| link)
    }

    /// The questions to single Sentinels whose time has come.
    pub(super) fn due(&mut self, now: Instant, jitter: f64) -> Vec<Act> {
        let mut acts = Vec::new();
        for (&link, seat) in &mut self.seats {
            let is_due = seat.asked.follow_up.take_if(|at| *at <= now).is_some();
            acts.extend(is_due.then_some(Act::Ask(link, Depth::Epoch)));
        }
        let (up, strangers) = self.up();
        if let Some((_, link)) = self.agenda.others.take_if(|(at, _)| *at <= now) {
            let others = up.iter().filter(|&&other| other != link);
            acts.extend(others.map(|&other| Act::Ask(other, Depth::Epoch)));
        }
        if self.agenda.lists.take_if(|at| *at <= now).is_some() {
            let next = self.last_to_tell();
            acts.extend(next.map(|link| self.ask_lists(link, now)));
            self.read_lists(now, jitter);
        }
        if self.agenda.look.take_if(|at| *at <= now).is_some() {
            self.agenda.looked = Some(now);
            acts.extend(self.next_turn(&up, now, jitter));
            // Strangers have no say, but their lists may show that they are ours. Where nobody has a say it matters soon.
            let every = if up.is_empty() { MIN_BETWEEN_LISTS } else { LISTS_EVERY };
            let due = |link: &LinkId| self.lists_are_due(*link, every, now, jitter);
            if let Some(stranger) = strangers.into_iter().find(due) {
                acts.push(self.ask_lists(stranger, now));
            }
        }
        acts
    }

    fn lists_are_due(&self, link: LinkId, every: Duration, now: Instant, jitter: f64) -> bool {
        let every = every.mul_f64(0.9 + jitter / 10.0);
        let read = self.seats.get(&link).and_then(|seat| seat.asked.lists);
        read.is_none_or(|at| now.saturating_duration_since(at) >= every)
    }

    /// One after the other: where the primary is, and now and then everything.
    fn next_turn(&mut self, up: &[LinkId], now: Instant, jitter: f64) -> Option<Act> {
        let next = *up.iter().find(|&&link| link > self.agenda.turn).or(up.first())?;
        self.agenda.turn = next;
        Some(match self.lists_are_due(next, LISTS_EVERY, now, jitter) {
            true => self.ask_lists(next, now),
            false => Act::Ask(next, Depth::Address),
        })
    }
}
