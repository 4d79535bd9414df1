//! When which Sentinel is asked how much: with manners, for a Sentinel answers one after the other, and has many clients.

use std::time::{Duration, Instant};

use crate::discovery::answer::LinkId;

/// After an event of one of them the others are asked within this, so that not all clients ask at once.
pub(super) const OTHERS_WITHIN: Duration = Duration::from_millis(200);

/// Hints make no more questions than one each so often: what matters comes as an event.
const MIN_BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// The others are not asked more often than this for what a single one says over and over again; and so often it is looked
/// whether those who contradict each other still do, however seldom anything else is asked.
const MIN_BETWEEN_DOUBTS: Duration = Duration::from_secs(1);

/// So many events of one of them are followed by a question each at once: a failover makes eight. Those beyond that are by one
/// each so often.
const EVENTS_AT_ONCE: u32 = 12;
const BETWEEN_EVENTS: Duration = Duration::from_millis(40);

/// When any of them is to be asked.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) refresh: Option<Duration>,
    pub(super) poll: Option<Instant>,
    polls: bool,
    /// One Sentinel is to be asked where the primary is.
    pub(super) look: Option<Instant>,
    pub(super) looked: Option<Instant>,
    /// Whose turn it was.
    pub(super) turn: LinkId,
    /// All but this one are to be asked.
    pub(super) others: Option<(Instant, LinkId)>,
    doubted: Option<Instant>,
    /// The lists of one who told of a change are to be read.
    pub(super) lists: Option<Instant>,
}

/// What one of them was asked, and what it is to be asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// When it was asked for its lists last, unless it was lost since.
    pub(super) lists: Option<Instant>,
    /// They have not come yet.
    pub(super) owes: bool,
    /// When it told of a change, of which its lists are to be read.
    pub(super) told: Option<Instant>,
    /// When it may be asked for an event, were there none at once.
    events: Option<Instant>,
    /// When it is to be asked for those that were too many.
    pub(super) follow_up: Option<Instant>,
}

impl Asked {
    /// One more event. Where there have been too many it is looked into a little later, with those that come until then.
    pub(super) fn is_one_too_many(&mut self, now: Instant) -> bool {
        if self.follow_up.is_none() {
            let saved = BETWEEN_EVENTS * (EVENTS_AT_ONCE - 1);
            let next = self.events.map_or(now, |next| next.max(now));
            self.events = Some(next + BETWEEN_EVENTS);
            self.follow_up = next.checked_sub(saved).filter(|at| *at > now);
        }
        self.follow_up.is_some()
    }
}

impl Agenda {
    pub(super) fn next(&self) -> Option<Instant> {
        let others = self.others.map(|(at, _)| at);
        [self.poll, self.look, self.lists, others].into_iter().flatten().min()
    }

    /// From now on one Sentinel after the other is asked. The first wait is any part of the usual one, so that not all
    /// clients ask at once. A contradiction is looked into until it is over.
    pub(super) fn begin_to_poll(&mut self, is_in_doubt: bool, now: Instant, jitter: f64) {
        if self.poll.is_none() {
            let share = if self.polls { 0.9 + jitter / 10.0 } else { jitter };
            self.polls = true;
            self.poll = self.refresh.map(|every| now + every.mul_f64(share));
        }
        if is_in_doubt {
            let soon = now + MIN_BETWEEN_DOUBTS;
            self.poll = Some(self.poll.map_or(soon, |at| at.min(soon)));
        }
    }

    /// A storm of hints is no storm of questions.
    pub(super) fn look_soon(&mut self, now: Instant) {
        let soonest = self.looked.map_or(now, |at| (at + MIN_BETWEEN_LOOKS).max(now));
        self.look = Some(self.look.map_or(soonest, |at| at.min(soonest)));
    }

    /// All but `link` are to be asked, unless what it says settles it.
    pub(super) fn ask_others(&mut self, link: LinkId, now: Instant, jitter: f64) {
        self.others = Some((now + OTHERS_WITHIN.mul_f64(jitter), link));
    }

    /// The same for what was said without an event.
    pub(super) fn ask_others_again(&mut self, link: LinkId, now: Instant, jitter: f64) {
        let lately = |at: Instant| now.saturating_duration_since(at) < MIN_BETWEEN_DOUBTS;
        if !self.doubted.is_some_and(lately) {
            self.doubted = Some(now);
            self.ask_others(link, now, jitter);
        }
    }

    pub(super) fn settled_by(&mut self, link: LinkId) {
        self.others.take_if(|(_, asked)| *asked == link);
    }
}
