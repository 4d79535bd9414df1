//! The Sentinels of one service in session: what each of them said, who is to be asked and when, what it amounts to.
//! Pure: every moment and every random number comes from outside, so that whole lives can be run under a virtual clock.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::answer::{Depth, LinkId};
use super::verdict::{Adopted, Ballot, Verdict, majority_agrees, verdict};
use crate::net::Endpoint;
use crate::topology::{Word, Words, is_final};

mod agenda;
mod belief;
mod questions;

use agenda::{Agenda, Asked};
pub use belief::stranger;

/// How long those who ask wait for further answers when one Sentinel names a primary and no majority has spoken yet.
const GRACE: Duration = Duration::from_millis(25);

/// The same where nothing is known of the service: most of the addresses that were given are to be heard first, for one of
/// them may lead to another deployment. Those that fail are not waited for, unless they may only be slow.
const FIRST_GRACE: Duration = Duration::from_millis(300);

/// The wait before the Sentinels are asked again on behalf of callers that none of them could help; up to eight times as
/// long when it goes on.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// Who has answered about the service within so long has a say in what the majority is.
const HAS_A_SAY: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Ask this Sentinel.
    Ask(LinkId, Depth),
    /// The view changed or was confirmed: publish it.
    Publish,
    /// Tell the callers that wait: whether a Sentinel named a primary.
    Release(bool),
    /// Every Sentinel has answered or failed.
    Complete,
}

/// One question to all Sentinels: who is waited for has not been heard since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// None of them has named a primary.
    Asked,
    /// One has: until then the others may still join in.
    Grace(Instant),
    /// They had their time.
    Over,
}

/// A Sentinel in session.
#[derive(Debug)]
struct Seat {
    endpoint: Endpoint,
    word: Word,
    /// When it named a primary last.
    named: Option<Instant>,
    /// It is the same Sentinel as one of the others: what it says counts, and not for one more.
    double: bool,
    /// Its address was given to the program.
    given: bool,
    /// It has failed, and may only be slow.
    late: bool,
    /// The round waits for it.
    awaited: bool,
    asked: Asked,
}

/// The state of one service's discovery.
#[derive(Debug, Default)]
pub struct Council {
    seats: BTreeMap<LinkId, Seat>,
    adopted: Option<Adopted>,
    /// Nodes of the service, by what those who have a say list, and the primaries there have been.
    known: HashSet<Endpoint>,
    past: Vec<Endpoint>,
    /// Those of the deployment that was believed before others were.
    first: HashSet<Endpoint>,
    round: Option<Round>,
    /// When there is to be another one.
    retry: Option<Instant>,
    agenda: Agenda,
    /// Rounds since one named a primary.
    fruitless: u32,
}

impl Council {
    /// A council without a Sentinel that re-checks one of them each `refresh`.
    pub fn new(refresh: Option<Duration>) -> Council {
        let mut council = Council::default();
        council.agenda.refresh = refresh;
        council
    }

    /// Gives a Sentinel its seat. True when it is new.
    pub fn seat(&mut self, link: LinkId, endpoint: &Endpoint) -> bool {
        let new = !self.seats.contains_key(&link);
        if new {
            let seat = Seat {
                endpoint: endpoint.clone(),
                word: Word::Asked,
                named: None,
                double: false,
                given: true,
                late: false,
                awaited: false,
                asked: Asked::default(),
            };
            self.seats.insert(link, seat);
        }
        new
    }

    /// Takes the seats of all but these Sentinels.
    pub fn keep_only(&mut self, keep: impl Fn(LinkId) -> bool) {
        self.seats.retain(|&link, _| keep(link));
    }

    /// Which of them are the same Sentinel as one of the others, and which were given.
    pub fn tell_apart(&mut self, is_double: impl Fn(LinkId) -> bool, is_given: impl Fn(LinkId) -> bool) {
        for (&link, seat) in &mut self.seats {
            seat.double = is_double(link);
            seat.given = is_given(link);
        }
    }

    /// Whether one that has failed may only be slow.
    pub fn excuse(&mut self, link: LinkId, late: bool) {
        if let Some(seat) = self.seats.get_mut(&link) {
            seat.late = late;
        }
    }

    /// The nodes that those who have a say list.
    pub fn know(&mut self, nodes: HashSet<Endpoint>) {
        self.known = nodes;
    }

    /// Whether it is a node of the service.
    pub fn knows(&self, node: &Endpoint) -> bool {
        self.known.contains(node) || self.past.contains(node)
    }

    /// Whether it is listed as a replica by those who have a say.
    pub fn lists(&self, node: &Endpoint) -> bool {
        self.known.contains(node)
    }

    /// Whether a majority of those who have a say has named what is in force since `at`.
    pub fn agreed_since(&self, at: Instant, now: Instant) -> bool {
        let heard = |seat: &Seat| matches!(seat.word, Word::Names { heard, .. } if heard >= at);
        let agree = self
            .seats
            .iter()
            .filter(|(link, seat)| !seat.double && heard(seat) && self.agrees(**link));
        let count = agree.count();
        count > 0 && count * 2 > self.say(now)
    }

    /// The primary in force.
    pub fn adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref()
    }

    /// Under which address a Sentinel sits here, and what it last said.
    pub fn last_word(&self, link: LinkId) -> Option<(&Endpoint, &Word)> {
        self.seats.get(&link).map(|seat| (&seat.endpoint, &seat.word))
    }

    /// What all of them last said.
    pub fn words(&self) -> Words {
        self.seats
            .values()
            .map(|seat| (seat.endpoint.clone(), seat.word.clone()))
            .collect()
    }

    /// When [`Council::tick`] is due.
    pub fn next_tick(&self) -> Option<Instant> {
        let grace = match self.round {
            Some(Round::Grace(at)) => Some(at),
            _ => None,
        };
        [grace, self.retry, self.next_question()].into_iter().flatten().min()
    }

    /// Somebody asks: every Sentinel is asked, unless that is under way.
    pub fn request(&mut self, now: Instant, jitter: f64) -> Vec<Act> {
        self.begin_to_poll(now, jitter);
        self.ask_all(now)
    }

    /// Something looked wrong: one Sentinel is asked where the primary is, now or soon.
    pub fn hint(&mut self, now: Instant, jitter: f64) -> Vec<Act> {
        if self.adopted.is_none() {
            return self.request(now, jitter);
        }
        self.begin_to_poll(now, jitter);
        self.agenda.look_soon(now);
        self.due(now, jitter)
    }

    /// There are new credentials: whoever refused the old ones may take these.
    pub fn renew(&mut self, now: Instant) -> Vec<Act> {
        for seat in self.seats.values_mut() {
            seat.word.forget_refusal();
        }
        self.ask_anew(now)
    }

    /// A Sentinel has answered a question of this depth.
    pub fn answered(&mut self, link: LinkId, depth: Depth) {
        if let Some(seat) = self.seats.get_mut(&link).filter(|_| depth == Depth::Lists) {
            seat.asked.owes = false;
        }
    }

    /// A Sentinel published that the primary may be another one: it is asked at once, a question of before that may be
    /// answered from before; where events come `in_line` with the answers, what it still owes will be of after them. The
    /// others are asked a little later, unless what it says settles it.
    pub fn primary_event(&mut self, link: LinkId, in_line: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let Some(Seat { asked, .. }) = self.seats.get_mut(&link) else {
            return Vec::new();
        };
        if asked.is_one_too_many(now) {
            return Vec::new();
        }
        let owes = in_line && asked.owes;
        self.agenda.ask_others(link, now, jitter);
        match owes {
            true => Vec::new(),
            false => vec![self.ask_for_event(link, now, jitter)],
        }
    }

    /// A Sentinel published that something else has changed.
    pub fn view_event(&mut self, link: LinkId, in_line: bool, now: Instant, jitter: f64) -> Vec<Act> {
        if in_line && self.seats.get(&link).is_some_and(|seat| seat.asked.owes) {
            return Vec::new();
        }
        self.read_lists_of(link, now, jitter);
        self.due(now, jitter)
    }

    /// A Sentinel answered or failed. `callers`: whether some wait.
    pub fn hear(&mut self, link: LinkId, word: Word, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let names = matches!(word, Word::Names { .. });
        if matches!(word, Word::Failed(_) | Word::Refused(_)) {
            self.is_lost(link, now, jitter);
        }
        let Some(seat) = self.seats.get_mut(&link) else {
            return Vec::new();
        };
        let goes_out = match (&seat.word, &word) {
            (before, Word::Stranger(_)) => !matches!(before, Word::Stranger(_)),
            (Word::Names { .. }, Word::Failed(_)) => true,
            _ => false,
        };
        seat.word = word;
        seat.awaited = false;
        if names {
            seat.named = Some(now);
        }
        if let Some(other) = self.up().0.first().copied().filter(|_| goes_out) {
            // Who is where by now?
            self.read_lists_of(other, now, jitter);
        }
        self.disown(link);
        if names && self.round == Some(Round::Asked) {
            let grace = if self.adopted.is_some() { GRACE } else { FIRST_GRACE };
            self.round = Some(Round::Grace(now + grace));
        }
        let acts = self.conclude(callers, now, jitter);
        if names {
            match self.agrees(link) {
                true => self.agenda.settled_by(link),
                // What was said and what is in force differ: what do the others say?
                false if self.round.is_none() => self.agenda.ask_others_again(link, now, jitter),
                false => {}
            }
        }
        acts
    }

    /// Some may have left: a question that only they have not answered is answered.
    pub fn revise(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        match self.round {
            Some(_) if !self.is_awaited() => self.conclude(callers, now, jitter),
            _ => Vec::new(),
        }
    }

    /// What is due at `now`.
    pub fn tick(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.retry.is_some_and(|at| at <= now) {
            acts.extend(self.ask_all(now));
        }
        self.poll(callers, now, jitter);
        acts.extend(self.due(now, jitter));
        if matches!(self.round, Some(Round::Grace(at)) if at <= now) {
            self.round = Some(Round::Over);
            acts.extend(self.conclude(callers, now, jitter));
        }
        acts
    }

    /// Those that answered the last question: who has a say, and who has none.
    fn up(&self) -> (Vec<LinkId>, Vec<LinkId>) {
        let silent = |word: &Word| matches!(word, Word::Failed(_) | Word::Refused(_) | Word::Asked);
        let up = self.seats.iter().filter(|(_, seat)| !silent(&seat.word));
        let (strangers, have_a_say): (Vec<_>, Vec<_>) =
            up.partition(|(_, seat)| matches!(seat.word, Word::Stranger(_)));
        let links = |seats: Vec<(&LinkId, &Seat)>| seats.into_iter().map(|(&link, _)| link).collect();
        (links(have_a_say), links(strangers))
    }

    fn ask_all(&mut self, now: Instant) -> Vec<Act> {
        self.retry = None;
        match self.round {
            Some(Round::Grace(_)) => Vec::new(),
            _ if self.is_awaited() => Vec::new(),
            _ => self.ask_anew(now),
        }
    }

    fn ask_anew(&mut self, now: Instant) -> Vec<Act> {
        self.round = Some(Round::Asked);
        self.seats.values_mut().for_each(|seat| seat.awaited = true);
        let all: Vec<LinkId> = self.seats.keys().copied().collect();
        all.into_iter().map(|link| self.ask_lists(link, now)).collect()
    }

    /// Whether one of them has not been heard since the round began.
    fn is_awaited(&self) -> bool {
        self.seats.values().any(|seat| seat.awaited)
    }

    /// Whether a Sentinel names what is in force.
    fn agrees(&self, link: LinkId) -> bool {
        match (self.seats.get(&link).map(|seat| &seat.word), &self.adopted) {
            (Some(Word::Names { primary, epoch, .. }), Some(adopted)) => {
                *primary == adopted.primary && *epoch == adopted.epoch
            }
            _ => false,
        }
    }

    /// Whether one of those who name a primary names something else than what is in force.
    fn is_in_doubt(&self) -> bool {
        let names = |seat: &Seat| matches!(seat.word, Word::Names { .. });
        let mut naming = self.seats.iter().filter(|(_, seat)| names(seat));
        self.adopted.is_some() && naming.any(|(&link, _)| !self.agrees(link))
    }

    /// What was adopted on the word of somebody who turns out to be a stranger, and of nobody else, is not in force.
    fn disown(&mut self, link: LinkId) {
        let (Some(seat), Some(adopted)) = (self.seats.get(&link), &self.adopted) else {
            return;
        };
        let is_its_own =
            matches!(&seat.word, Word::Stranger(Some(said)) if *said == (adopted.primary.clone(), adopted.epoch));
        let others = |seat: &Seat| matches!(seat.word, Word::Names { .. });
        let has_no_other = !self.seats.keys().any(|&other| self.agrees(other));
        if is_its_own && has_no_other && self.seats.values().any(others) {
            // Nor was it ever a node of the service.
            let disowned = adopted.primary.clone();
            self.past.retain(|primary| *primary != disowned);
            self.adopted = None;
        }
    }

    /// How many have a say: those whose last word names a primary, whenever they were asked, and those who named one lately.
    fn say(&self, now: Instant) -> usize {
        let has_a_say = |seat: &&Seat| {
            let lately = |at: Instant| now.saturating_duration_since(at) < HAS_A_SAY;
            let names = matches!(seat.word, Word::Names { .. }) || seat.named.is_some_and(lately);
            names && !seat.double && !matches!(seat.word, Word::Stranger(_))
        };
        self.seats.values().filter(has_a_say).count()
    }

    fn judge(&mut self, words: &Words, now: Instant) {
        // Where no Sentinel lists anybody, nothing can be told by that; at the beginning most of them can tell.
        let nobody_lists = self.known.is_empty() && self.adopted.is_some();
        let known = |at: &Endpoint| nobody_lists || self.knows(at);
        let doubles: Vec<bool> = self.seats.values().map(|seat| seat.double).collect();
        let ballot = Ballot {
            words,
            doubles: &doubles,
            say: self.say(now),
            known: &known,
        };
        if let Verdict::Adopt(adopted) = verdict(ballot, self.adopted.as_ref(), now) {
            if !self.past.contains(&adopted.primary) {
                self.past.truncate(7);
                self.past.insert(0, adopted.primary.clone());
            }
            self.adopted = Some(adopted);
        }
    }

    /// Those of which a majority is enough: all, and at the beginning those that were given, for whoever was learnt is of
    /// one mind with those who told of it.
    fn words_that_settle(&self) -> Words {
        let seats = self.seats.values();
        let settle = seats.filter(|seat| self.adopted.is_some() || seat.given);
        settle.map(|seat| (seat.endpoint.clone(), seat.word.clone())).collect()
    }

    /// Whether one that was given may still be heard.
    fn somebody_is_late(&self) -> bool {
        let is_late = |seat: &Seat| match seat.word {
            Word::Asked => true,
            Word::Failed(_) => seat.late,
            _ => false,
        };
        self.seats.values().any(|seat| seat.given && is_late(seat))
    }

    /// Draws the consequences of what was heard so far.
    fn conclude(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let words = self.words();
        let named = matches!(self.round, Some(Round::Grace(_) | Round::Over));
        let agreed = self.round == Some(Round::Over) || majority_agrees(&self.words_that_settle());
        let complete = !self.is_awaited() && (agreed || !named || self.adopted.is_some() || !self.somebody_is_late());
        let settled = complete || agreed;
        if self.adopted.is_some() || settled {
            self.judge(&words, now);
        }
        if self.adopted.is_some() {
            self.begin_to_poll(now, jitter);
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
                self.retry = Some(now + wait * (1 << self.fruitless.min(4)) / 2);
            }
        }
        acts
    }
}

#[cfg(test)]
#[path = "council_sim.rs"]
mod sim;

#[cfg(test)]
#[path = "council_tests.rs"]
mod tests;
