//! When which Sentinel is asked how much: with manners, for a Sentinel answers one after the other, and has many clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::answer::{Depth, LinkId};

/// After an event of one of them the others are asked within this, so that not all clients ask at once.
const OTHERS_WITHIN: Duration = Duration::from_millis(200);

/// The lists of each are read this often, and of one no more often than that when something tells of changes.
const LISTS_EVERY: Duration = Duration::from_secs(10);
const MIN_BETWEEN_LISTS: Duration = Duration::from_secs(1);

/// Hints make no more questions than one each so often: what matters comes as an event.
const MIN_BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// The others are not asked more often than this for what a single one says over and over again; and so often it is looked
/// whether those who contradict each other still do, however seldom anything else is asked.
const MIN_BETWEEN_DOUBTS: Duration = Duration::from_secs(1);

/// So many events of one of them are followed by a question each at once: a failover makes eight. Those beyond that are by one
/// each so often.
const EVENTS_AT_ONCE: u32 = 12;
const BETWEEN_EVENTS: Duration = Duration::from_millis(40);

/// What is to be asked, and when.
#[derive(Debug)]
pub(super) struct Agenda {
    refresh: Option<Duration>,
    /// Some contradict what is in force.
    in_doubt: bool,
    poll: Option<Instant>,
    polls: bool,
    retry: Option<Instant>,
    /// One Sentinel is to be asked where the primary is.
    look: Option<Instant>,
    looked: Option<Instant>,
    /// Whose turn it was.
    turn: LinkId,
    /// All but this one are to be asked.
    others: Option<(Instant, LinkId)>,
    doubted: Option<Instant>,
    /// The lists of these are to be read, one after the other: of who told of something last first.
    lists: Option<Instant>,
    tellers: VecDeque<LinkId>,
    lists_read: BTreeMap<LinkId, Instant>,
    /// Those that were asked for their lists, and have not answered yet.
    owed: BTreeSet<LinkId>,
    /// When each may be asked for an event, were there none at once; and who is to be asked for one then.
    events: BTreeMap<LinkId, Instant>,
    told: BTreeMap<LinkId, Instant>,
}

impl Agenda {
    pub(super) fn new(refresh: Option<Duration>) -> Agenda {
        Agenda {
            refresh,
            in_doubt: false,
            poll: None,
            polls: false,
            retry: None,
            look: None,
            looked: None,
            turn: 0,
            others: None,
            doubted: None,
            lists: None,
            tellers: VecDeque::new(),
            lists_read: BTreeMap::new(),
            owed: BTreeSet::new(),
            events: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let others = self.others.map(|(at, _)| at);
        let told = self.told.values().min().copied();
        [self.poll, self.retry, self.look, others, self.lists, told]
            .into_iter()
            .flatten()
            .min()
    }

    /// The net under the events: from now on one Sentinel after the other is asked. The first wait is any part of the
    /// usual one, so that not all clients ask at once.
    pub(super) fn begin_to_poll(&mut self, now: Instant, jitter: f64) {
        if self.poll.is_none() {
            let share = if self.polls { 0.9 + jitter / 10.0 } else { jitter };
            self.polls = true;
            self.poll = self.refresh.map(|every| now + every.mul_f64(share));
        }
        if self.in_doubt {
            let soon = now + MIN_BETWEEN_DOUBTS;
            self.poll = Some(self.poll.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Whether some contradict what is in force: that is looked into until it is over.
    pub(super) fn doubts(&mut self, in_doubt: bool) {
        self.in_doubt = in_doubt;
    }

    pub(super) fn poll_is_due(&mut self, now: Instant) -> bool {
        self.poll.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn retry_at(&mut self, at: Instant) {
        self.retry = Some(at);
    }

    pub(super) fn no_retry(&mut self) {
        self.retry = None;
    }

    pub(super) fn retry_is_due(&self, now: Instant) -> bool {
        self.retry.is_some_and(|at| at <= now)
    }

    pub(super) fn look_now(&mut self, now: Instant) {
        self.look = Some(now);
    }

    /// A storm of hints is no storm of questions.
    pub(super) fn look_soon(&mut self, now: Instant) {
        let soonest = self.looked.map_or(now, |at| (at + MIN_BETWEEN_LOOKS).max(now));
        self.look = Some(self.look.map_or(soonest, |at| at.min(soonest)));
    }

    /// How much to ask whoever tells of another primary: its lists too, unless lists have just been read.
    pub(super) fn depth_now(&mut self, link: LinkId, now: Instant) -> Depth {
        let lately = |at: Instant| now.saturating_duration_since(at) < MIN_BETWEEN_LISTS;
        if self.newest_lists().is_some_and(lately) {
            return Depth::Epoch;
        }
        self.lists_were_read(link, now);
        Depth::Lists
    }

    pub(super) fn lists_were_read(&mut self, link: LinkId, now: Instant) {
        self.lists_read.insert(link, now);
        self.owed.insert(link);
        self.tellers.retain(|&teller| teller != link);
    }

    pub(super) fn lists_are_here(&mut self, link: LinkId) {
        self.owed.remove(&link);
    }

    /// It has not answered. It is asked when it is back, and keeps no other from being asked.
    pub(super) fn is_lost(&mut self, link: LinkId, now: Instant, jitter: f64) {
        self.owed.remove(&link);
        self.lists_read.remove(&link);
        self.tellers.retain(|&teller| teller != link);
        self.lists = None;
        if !self.tellers.is_empty() {
            self.read_lists(now, jitter);
        }
    }

    pub(super) fn owes_lists(&self, link: LinkId) -> bool {
        self.owed.contains(&link)
    }

    fn newest_lists(&self) -> Option<Instant> {
        self.lists_read.values().max().copied()
    }

    /// Only these Sentinels are left.
    pub(super) fn keep_only(&mut self, keep: impl Fn(LinkId) -> bool) {
        self.lists_read.retain(|&link, _| keep(link));
        self.owed.retain(|&link| keep(link));
        self.events.retain(|&link, _| keep(link));
        self.told.retain(|&link, _| keep(link));
        self.tellers.retain(|&link| keep(link));
    }

    /// One more event. Where there have been too many it is looked into a little later, with those that come until then.
    pub(super) fn is_one_too_many(&mut self, link: LinkId, now: Instant) -> bool {
        if self.told.contains_key(&link) {
            return true;
        }
        let saved = BETWEEN_EVENTS * (EVENTS_AT_ONCE - 1);
        let next = self.events.get(&link).map_or(now, |next| (*next).max(now));
        let later = next.checked_sub(saved).filter(|at| *at > now);
        self.events.insert(link, next + BETWEEN_EVENTS);
        if let Some(at) = later {
            self.told.insert(link, at);
        }
        later.is_some()
    }

    /// All but `link` are to be asked, unless what it says settles it.
    pub(super) fn ask_others(&mut self, link: LinkId, now: Instant, jitter: f64) {
        self.others = Some((now + OTHERS_WITHIN.mul_f64(jitter), link));
    }

    /// The same for what was said without an event.
    pub(super) fn ask_others_again(&mut self, link: LinkId, now: Instant, jitter: f64) {
        if self
            .doubted
            .is_none_or(|at| now.saturating_duration_since(at) >= MIN_BETWEEN_DOUBTS)
        {
            self.doubted = Some(now);
            self.ask_others(link, now, jitter);
        }
    }

    pub(super) fn settled_by(&mut self, link: LinkId) {
        self.others.take_if(|(_, asked)| *asked == link);
    }

    /// A list of `link` has changed.
    pub(super) fn read_lists_of(&mut self, link: LinkId, now: Instant, jitter: f64) {
        self.tellers.retain(|&teller| teller != link);
        self.tellers.push_front(link);
        self.read_lists(now, jitter);
    }

    /// When the next of those lists may be read.
    fn read_lists(&mut self, now: Instant, jitter: f64) {
        let soonest = self.newest_lists().map_or(now, |at| (at + MIN_BETWEEN_LISTS).max(now));
        self.lists.get_or_insert(soonest + OTHERS_WITHIN.mul_f64(jitter));
    }

    /// Whom to ask now, of those that are `up`, and of the `strangers`, who have no say, but whose lists may show that they are
    /// ours.
    pub(super) fn due(
        &mut self,
        up: &[LinkId],
        strangers: &[LinkId],
        now: Instant,
        jitter: f64,
    ) -> Vec<(LinkId, Depth)> {
        let mut asked = Vec::new();
        let told: Vec<LinkId> = self
            .told
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(&link, _)| link)
            .collect();
        for link in told {
            self.told.remove(&link);
            asked.push((link, Depth::Epoch));
        }
        if let Some((_, link)) = self.others.take_if(|(at, _)| *at <= now) {
            asked.extend(
                up.iter()
                    .filter(|&&other| other != link)
                    .map(|&other| (other, Depth::Epoch)),
            );
        }
        if self.lists.take_if(|at| *at <= now).is_some() {
            asked.extend(self.next_lists(now, jitter).map(|link| (link, Depth::Lists)));
        }
        if self.look.take_if(|at| *at <= now).is_some() {
            self.looked = Some(now);
            asked.extend(self.next_turn(up, now, jitter));
            // Where nobody has a say it matters soon.
            let every = if up.is_empty() { MIN_BETWEEN_LISTS } else { LISTS_EVERY };
            let due = |link: &&LinkId| self.lists_are_due(**link, every, now, jitter);
            if let Some(&stranger) = strangers.iter().find(due) {
                self.lists_were_read(stranger, now);
                asked.push((stranger, Depth::Lists));
            }
        }
        asked
    }

    /// Whose lists are read now.
    fn next_lists(&mut self, now: Instant, jitter: f64) -> Option<LinkId> {
        let link = self.tellers.pop_front()?;
        self.lists_were_read(link, now);
        if !self.tellers.is_empty() {
            self.read_lists(now, jitter);
        }
        Some(link)
    }

    fn lists_are_due(&self, link: LinkId, every: Duration, now: Instant, jitter: f64) -> bool {
        let every = every.mul_f64(0.9 + jitter / 10.0);
        let read = self.lists_read.get(&link);
        read.is_none_or(|&at| now.saturating_duration_since(at) >= every)
    }

    /// One after the other: where the primary is, and now and then everything.
    fn next_turn(&mut self, up: &[LinkId], now: Instant, jitter: f64) -> Option<(LinkId, Depth)> {
        let next = up.iter().find(|&&link| link > self.turn).or(up.first())?;
        self.turn = *next;
        if !self.lists_are_due(*next, LISTS_EVERY, now, jitter) {
            return Some((*next, Depth::Address));
        }
        self.lists_were_read(*next, now);
        Some((*next, Depth::Lists))
    }
}
