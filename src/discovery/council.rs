//! The Sentinels of one service in session: what each of them said, who is to be asked and when, what it amounts to.
//! Pure: every moment and every random number comes from outside, so that whole lives can be run under a virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::link::LinkId;
use super::verdict::{Adopted, Verdict, majority_agrees, verdict};
use crate::net::Endpoint;
use crate::topology::{Word, Words, is_final};

/// How long the first verdict waits for further answers when one names a primary and no majority has spoken yet.
const FIRST_WORD_GRACE: Duration = Duration::from_millis(25);

/// The wait before the Sentinels are asked again on behalf of callers that none of them could help; up to four times as
/// long when it goes on.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// Hints make no more questions than one each so often: what matters comes as an event.
const MIN_BETWEEN_HINTED: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Ask this Sentinel.
    Ask(LinkId),
    /// The view changed or was confirmed: publish it.
    Publish,
    /// Tell the callers that wait: whether a Sentinel named a primary.
    Release(bool),
    /// Every Sentinel has answered or failed: a moment to learn of others and to forget some.
    Complete,
}

/// One question to all Sentinels.
#[derive(Debug)]
struct Round {
    waiting: BTreeSet<LinkId>,
    /// A Sentinel of this round named a primary.
    named: bool,
    /// Until when the others may still join in; `None` before the first one spoke, and when it is over.
    grace: Option<Instant>,
    grace_over: bool,
}

/// The state of one service's discovery.
#[derive(Debug)]
pub struct Council {
    seats: BTreeMap<LinkId, (Endpoint, Word)>,
    adopted: Option<Adopted>,
    round: Option<Round>,
    refresh: Option<Duration>,
    asked_at: Option<Instant>,
    /// Rounds since one named a primary.
    fruitless: u32,
    retry_at: Option<Instant>,
    poll_at: Option<Instant>,
    poll_turn: LinkId,
}

impl Council {
    /// A council without a Sentinel that re-checks one of them each `refresh`.
    pub fn new(refresh: Option<Duration>) -> Council {
        Council {
            seats: BTreeMap::new(),
            adopted: None,
            round: None,
            refresh,
            asked_at: None,
            fruitless: 0,
            retry_at: None,
            poll_at: None,
            poll_turn: 0,
        }
    }

    /// Gives a Sentinel its seat. True when it is new.
    pub fn seat(&mut self, link: LinkId, endpoint: &Endpoint) -> bool {
        let new = !self.seats.contains_key(&link);
        if new {
            self.seats.insert(link, (endpoint.clone(), Word::Asked));
        }
        new
    }

    /// Takes the seats of all but these Sentinels.
    pub fn keep_only(&mut self, keep: impl Fn(LinkId) -> bool) {
        self.seats.retain(|&link, _| keep(link));
        if let Some(round) = &mut self.round {
            round.waiting.retain(|&link| keep(link));
        }
    }

    /// The primary in force.
    pub fn adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref()
    }

    /// What a Sentinel last said, and under which address it sits here.
    pub fn last_word(&self, link: LinkId) -> Option<&(Endpoint, Word)> {
        self.seats.get(&link)
    }

    /// What all of them last said.
    pub fn words(&self) -> Words {
        self.seats.values().cloned().collect()
    }

    /// When [`Council::tick`] is due.
    pub fn next_tick(&self) -> Option<Instant> {
        let grace = self.round.as_ref().and_then(|round| round.grace);
        [grace, self.retry_at, self.poll_at].into_iter().flatten().min()
    }

    /// Somebody asks: every Sentinel is asked, unless that is under way.
    pub fn request(&mut self, now: Instant, jitter: f64) -> Vec<Act> {
        if self.poll_at.is_none() {
            self.schedule_poll(now, jitter);
        }
        self.ask_all(now)
    }

    /// Something looked wrong: the same, but a storm of hints is no storm of questions.
    pub fn hint(&mut self, now: Instant, jitter: f64) -> Vec<Act> {
        match self
            .asked_at
            .map(|at| at + MIN_BETWEEN_HINTED)
            .filter(|&next| next > now)
        {
            Some(next) if self.round.is_none() => {
                self.retry_at = Some(self.retry_at.map_or(next, |at| at.min(next)));
                Vec::new()
            }
            _ => self.request(now, jitter),
        }
    }

    /// There are new credentials: whoever refused the old ones may take these.
    pub fn renew(&mut self, now: Instant) -> Vec<Act> {
        for (_, word) in self.seats.values_mut() {
            word.forget_refusal();
        }
        self.ask_anew(now)
    }

    /// A Sentinel published that the primary may be another one. A question under way may be answered from before
    /// that: every Sentinel is asked anew.
    pub fn primary_event(&mut self, now: Instant) -> Vec<Act> {
        self.ask_anew(now)
    }

    /// A Sentinel answered or failed. `callers`: whether some wait.
    pub fn hear(&mut self, link: LinkId, word: Word, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let names = matches!(word, Word::Names { .. });
        let contradicts = match (&word, &self.adopted) {
            (Word::Names { primary, .. }, Some(adopted)) => *primary != adopted.primary,
            _ => false,
        };
        match self.seats.get_mut(&link) {
            Some((_, before)) => *before = word,
            None => return Vec::new(),
        }
        let mut acts = Vec::new();
        if let Some(round) = &mut self.round {
            let was_asked = round.waiting.remove(&link);
            if was_asked && names && !round.named {
                round.named = true;
                round.grace = Some(now + FIRST_WORD_GRACE);
            }
        } else if contradicts {
            acts = self.ask_all(now);
        }
        acts.extend(self.conclude(callers, now, jitter));
        acts
    }

    /// What is due at `now`.
    pub fn tick(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.retry_at.is_some_and(|at| at <= now) {
            acts.extend(self.ask_all(now));
        }
        if self.poll_at.is_some_and(|at| at <= now) {
            self.poll_at = None;
            // A name that no Sentinel knows is not polled for ever: the next request begins it again.
            if self.adopted.is_some() || callers {
                self.schedule_poll(now, jitter);
                acts.extend(self.poll());
            }
        }
        let over = |round: &&mut Round| round.grace.is_some_and(|at| at <= now);
        if let Some(round) = self.round.as_mut().filter(over) {
            round.grace = None;
            round.grace_over = true;
            acts.extend(self.conclude(callers, now, jitter));
        }
        acts
    }

    fn ask_all(&mut self, now: Instant) -> Vec<Act> {
        self.retry_at = None;
        match &self.round {
            Some(round) if !round.waiting.is_empty() => Vec::new(),
            _ => self.ask_anew(now),
        }
    }

    fn ask_anew(&mut self, now: Instant) -> Vec<Act> {
        self.asked_at = Some(now);
        let waiting: BTreeSet<LinkId> = self.seats.keys().copied().collect();
        let acts = waiting.iter().map(|&link| Act::Ask(link)).collect();
        self.round = Some(Round {
            waiting,
            named: false,
            grace: None,
            grace_over: false,
        });
        acts
    }

    /// The net under the events: one Sentinel after the other is asked.
    fn poll(&mut self) -> Option<Act> {
        let mut seats = self.seats.keys().copied();
        let next = seats.clone().find(|&link| link > self.poll_turn).or(seats.next())?;
        self.poll_turn = next;
        Some(Act::Ask(next))
    }

    fn schedule_poll(&mut self, now: Instant, jitter: f64) {
        self.poll_at = self.refresh.map(|every| now + every.mul_f64(0.75 + jitter / 2.0));
    }

    /// Draws the consequences of what was heard so far.
    fn conclude(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let words = self.words();
        let complete = self.round.as_ref().is_none_or(|round| round.waiting.is_empty());
        let named = self.round.as_ref().is_some_and(|round| round.named);
        let grace_over = self.round.as_ref().is_some_and(|round| round.grace_over);
        let settled = complete || grace_over || majority_agrees(&words);
        if self.adopted.is_some() || settled {
            if let Verdict::Adopt(adopted) = verdict(&words, self.adopted.as_ref(), now) {
                self.adopted = Some(adopted);
            }
        }
        if self.adopted.is_some() && self.poll_at.is_none() {
            self.schedule_poll(now, jitter);
        }
        let mut acts = vec![Act::Publish];
        if settled && named {
            acts.push(Act::Release(true));
        }
        if complete && self.round.take().is_some() {
            acts.push(Act::Complete);
            self.fruitless = if named { 0 } else { self.fruitless.saturating_add(1) };
            if !named && is_final(&words) {
                acts.push(Act::Release(false));
            }
            if !named && callers {
                let wait = RETRY.0 + (RETRY.1 - RETRY.0).mul_f64(jitter);
                self.retry_at = Some(now + wait * (1 << self.fruitless.min(3)) / 2);
            }
        }
        acts
    }
}

#[cfg(test)]
#[path = "council_sim.rs"]
mod sim;
