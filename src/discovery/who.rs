//! Who is who among the Sentinels: whose words count, who is to be connected to, whom nobody knows any more. Pure.
//!
//! A Sentinel is its run id, and an address is only where it was last. The given ones are trusted; whoever else speaks
//! has to be acquainted with those that speak already: listed by one of them under its run id, or listing one of them.
//! An address that answers under another run id than before is a stranger until that holds: addresses change hands.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::link::LinkId;
use crate::net::Endpoint;

mod plan;
#[cfg(test)]
mod tests;

pub use plan::Plan;

/// The run id of a Sentinel.
pub type RunId = Rc<str>;

/// Nobody is known for longer whom no live Sentinel has listed since, and who is down.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Where all whom we knew have been silent for so long, whoever answers at an address that was given is believed.
const ANEW_AFTER: Duration = Duration::from_secs(10);

/// So many are learnt at the most.
const MOST_LEARNT: usize = 64;

/// So many entries of one list are read.
const MOST_LISTED: usize = 512;

/// An entry of SENTINELS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its run id.
    pub run_id: RunId,
    /// Where it is, after `address.map`.
    pub at: Endpoint,
    /// The one that lists it holds it to be down.
    pub down: bool,
}

/// What the words of whoever answers on a link are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody answers there.
    Silent,
    /// It is one of ours: its words count.
    Voice,
    /// It is one of ours, and another link leads to it as well: that one has its voice.
    Double,
    /// It answers, and none of ours knows it: its words count for nothing.
    Stranger,
}

impl Standing {
    /// Whether its words count.
    pub fn has_a_say(self) -> bool {
        matches!(self, Standing::Voice | Standing::Double)
    }
}

/// What became of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The others told of it.
    Learnt(Endpoint),
    /// Nobody lists it any more, and it is down.
    Forgotten(Endpoint),
    /// The same Sentinel is elsewhere now.
    Moved(Endpoint, Endpoint),
    /// Whoever answers at this address is none of ours.
    Stranger(Endpoint),
}

/// A link as what it has shown.
#[derive(Debug)]
struct Way {
    /// Under which address it goes: that which was given, a name perhaps, or listed.
    shown: Endpoint,
    /// The address it dials; none: a name that has not been resolved.
    at: Option<Endpoint>,
    /// Where its last connection led.
    peer: Option<Endpoint>,
    /// The address was given to the program, or is one of a name that was.
    given: bool,
    /// Whom it was opened for.
    learnt_as: Option<RunId>,
    up: bool,
    /// Who said that it is there, on the last connection.
    told: Option<RunId>,
    /// Who is there: the same, or whom the others list there where nobody says.
    run_id: Option<RunId>,
    /// The last one of ours that was there.
    was: Option<RunId>,
    /// Whom it lists, for each service.
    lists: HashMap<Rc<str>, Vec<Entry>>,
    failures: u32,
    standing: Standing,
}

impl Way {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lists.values().flatten()
    }

    fn leads_to(&self, at: &Endpoint) -> bool {
        [Some(&self.shown), self.at.as_ref(), self.peer.as_ref()].contains(&Some(at))
    }
}

/// One of ours.
#[derive(Debug)]
struct Peer {
    /// Where it was last, by what the others say.
    at: Option<Endpoint>,
    /// Every live Sentinel that lists it holds it to be down.
    down: bool,
    /// When a live Sentinel listed it last, or it spoke itself.
    known: Instant,
    /// How often its address was tried in vain.
    tries: u32,
}

/// All links, and all whom we know.
#[derive(Debug)]
pub struct Who {
    ways: BTreeMap<LinkId, Way>,
    peers: HashMap<RunId, Peer>,
    /// When one of ours was heard last.
    heard: Option<Instant>,
    /// Since when there has been one all the time.
    voices_since: Option<Instant>,
    /// Other addresses were given: whoever answers there decides anew who is one of ours.
    given_anew: bool,
    learns: bool,
    changes: Vec<Change>,
}

impl Who {
    /// Nobody yet. `learns`: whether others than the given ones are to be connected to.
    pub fn new(learns: bool) -> Who {
        Who {
            ways: BTreeMap::new(),
            peers: HashMap::new(),
            heard: None,
            voices_since: None,
            given_anew: false,
            learns,
            changes: Vec::new(),
        }
    }

    /// There is a link to an address that was given, or will be when its name is resolved.
    pub fn give(&mut self, link: LinkId, shown: Endpoint, at: Option<Endpoint>) {
        self.open(link, shown, at, None);
    }

    /// An address that a link leads to was given.
    pub fn give_known(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.given = true;
        }
    }

    fn open(&mut self, link: LinkId, shown: Endpoint, at: Option<Endpoint>, learnt_as: Option<RunId>) {
        let given = learnt_as.is_none();
        let way = Way {
            shown,
            at,
            peer: None,
            given,
            learnt_as,
            up: false,
            told: None,
            run_id: None,
            was: None,
            lists: HashMap::new(),
            failures: 0,
            standing: Standing::Silent,
        };
        self.ways.insert(link, way);
    }

    /// A link that was planned is there.
    pub fn opened(&mut self, link: LinkId, at: Endpoint, run_id: RunId) {
        self.open(link, at.clone(), Some(at), Some(run_id));
    }

    /// A link is no more.
    pub fn close(&mut self, link: LinkId) {
        self.ways.remove(&link);
    }

    /// The link dials another address from now on, since its name has that.
    pub fn redirect(&mut self, link: LinkId, at: Endpoint) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.at = Some(at);
        }
    }

    /// Other Sentinels take the place of those that were given: the links of those that are not among them count as learnt.
    pub fn withdraw(&mut self, link: LinkId) {
        self.given_anew = true;
        if let Some(way) = self.ways.get_mut(&link) {
            way.given = false;
        }
    }

    /// Whoever answers on the link is known now, as far as it can be: `peer` is where the connection leads, a server before
    /// 6.2 does not tell its run id.
    pub fn answers(&mut self, link: LinkId, peer: Option<Endpoint>, run_id: Option<&str>, now: Instant) {
        let Some(way) = self.ways.get_mut(&link) else { return };
        way.up = true;
        way.failures = 0;
        way.peer = peer;
        let run_id: Option<RunId> = run_id.filter(|id| !id.is_empty()).map(Rc::from);
        if way.told != run_id {
            way.lists.clear();
        }
        way.told = run_id;
        self.judge(now);
    }

    /// The connection is lost, or was not to be had.
    pub fn fails(&mut self, link: LinkId, now: Instant) {
        let Some(way) = self.ways.get_mut(&link) else { return };
        way.failures = way.failures.saturating_add(1);
        let tried = way.learnt_as.clone().filter(|_| !way.up);
        if let Some(peer) = tried.and_then(|run_id| self.peers.get_mut(&run_id)) {
            peer.tries = peer.tries.saturating_add(1);
        }
        if way.up {
            way.up = false;
            self.judge(now);
        }
    }

    /// Whom the Sentinel at the end of the link lists for a service.
    pub fn lists(&mut self, link: LinkId, service: &Rc<str>, mut entries: Vec<Entry>, now: Instant) {
        entries.truncate(MOST_LISTED);
        let Some(way) = self.ways.get_mut(&link) else { return };
        if way.lists.get(service) == Some(&entries) && way.standing == Standing::Voice {
            return self.acknowledge(link, service, now);
        }
        let before = way
            .lists
            .insert(Rc::clone(service), entries.clone())
            .unwrap_or_default();
        self.judge(now);
        if self.standing(link) == Standing::Voice {
            self.follow(&before, entries);
        }
    }

    /// What is told of another address than before is news.
    fn follow(&mut self, before: &[Entry], after: Vec<Entry>) {
        for entry in after.into_iter().filter(|entry| !entry.down) {
            let moved = before
                .iter()
                .any(|old| old.run_id == entry.run_id && old.at != entry.at);
            if let Some(peer) = self.peers.get_mut(&entry.run_id).filter(|_| moved) {
                self.changes.extend(peer.is_at(entry.at));
            }
        }
    }

    /// Finds out anew whose words count.
    pub fn settle(&mut self, now: Instant) {
        self.judge(now);
    }

    /// Nobody asks for the service any more.
    pub fn forget_service(&mut self, service: &str) {
        for way in self.ways.values_mut() {
            way.lists.remove(service);
        }
    }

    /// What the words of whoever is at the end of the link are worth.
    pub fn standing(&self, link: LinkId) -> Standing {
        self.ways.get(&link).map_or(Standing::Silent, |way| way.standing)
    }

    /// Whether one of ours answers, on another link than this one.
    pub fn others_answer(&self, link: LinkId) -> bool {
        self.voices().any(|(id, _)| id != link)
    }

    /// What has changed since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn voices(&self) -> impl Iterator<Item = (LinkId, &Way)> {
        let voices = self.ways.iter().filter(|(_, way)| way.standing == Standing::Voice);
        voices.map(|(&link, way)| (link, way))
    }

    /// Finds out whose words count, from nothing but what each link has shown and whom we knew before.
    fn judge(&mut self, now: Instant) {
        let before: Vec<(LinkId, Standing)> = self.ways.iter().map(|(&link, way)| (link, way.standing)).collect();
        self.begin_anew();
        for way in self.ways.values_mut() {
            way.standing = if way.up { Standing::Stranger } else { Standing::Silent };
            way.run_id.clone_from(&way.told);
        }
        self.admit_all(now);
        if self.voices().next().is_none() && self.may_begin_anew(now) {
            self.forget_all();
            self.admit_all(now);
        }
        while let Some(impostor) = self.impostor() {
            self.expel(impostor);
        }
        self.take_stock(now);
        for (link, before) in before {
            let now_stranger = |way: &&Way| way.standing == Standing::Stranger && before != Standing::Stranger;
            if let Some(way) = self.ways.get(&link).filter(now_stranger) {
                self.changes.push(Change::Stranger(way.shown.clone()));
            }
        }
    }

    /// Whoever has a voice may vouch for others.
    fn admit_all(&mut self, now: Instant) {
        while let Some(link) = self.next_voice() {
            self.admit(link, now);
        }
    }

    /// The first of those that have none yet and should have a voice.
    fn next_voice(&self) -> Option<LinkId> {
        let strangers = self.ways.iter().filter(|(_, way)| way.standing == Standing::Stranger);
        let ours = strangers.filter(|(_, way)| self.is_ours(way));
        ours.min_by_key(|(link, way)| (!way.given, **link))
            .map(|(&link, _)| link)
    }

    fn is_ours(&self, way: &Way) -> bool {
        let Some(run_id) = &way.run_id else {
            return self.is_ours_unnamed(way);
        };
        self.peers.contains_key(run_id) || (way.given && !self.is_doubtful(way, run_id)) || self.vouches_for_ours(way)
    }

    /// Somebody who does not say who it is: those who list its address decide, and whom it lists itself.
    fn is_ours_unnamed(&self, way: &Way) -> bool {
        let is_at_ours = |entry: &Entry| self.voices().any(|(_, voice)| voice.leads_to(&entry.at));
        let mut entries = way.entries().peekable();
        let is_among_others = entries.peek().is_some()
            && !entries.any(|entry| self.peers.contains_key(&entry.run_id) || is_at_ours(entry));
        let others = is_among_others && self.voices().next().is_some();
        (way.given || self.listed_at(way).is_some()) && !others
    }

    /// An address that was given, and answers as somebody whom nobody knows: it was somebody else before, or others
    /// of ours say that somebody else is there.
    fn is_doubtful(&self, way: &Way, run_id: &RunId) -> bool {
        let was_another = way
            .was
            .as_ref()
            .is_some_and(|was| was != run_id && self.peers.contains_key(was));
        was_another || self.listed_at(way).is_some_and(|listed| listed != run_id)
    }

    /// Whether it lists one of ours that is up.
    fn vouches_for_ours(&self, way: &Way) -> bool {
        let ours: HashSet<&RunId> = self.voices().filter_map(|(_, voice)| voice.run_id.as_ref()).collect();
        way.entries().any(|entry| ours.contains(&entry.run_id))
    }

    /// Somebody who was believed for its address alone, before one of the others told that somebody else belongs there: it
    /// knows none of them, and none of them knows it.
    fn impostor(&self) -> Option<LinkId> {
        let is_one = |link: LinkId, way: &Way| {
            let others: Vec<&Way> = self
                .voices()
                .filter(|(other, _)| *other != link)
                .map(|(_, other)| other)
                .collect();
            let knows =
                |one: &Way, other: &Way| one.entries().any(|entry| Some(&entry.run_id) == other.run_id.as_ref());
            let is_known = others.iter().any(|other| knows(other, way) || knows(way, other));
            let belongs = |entry: &Entry| way.leads_to(&entry.at) && Some(&entry.run_id) != way.run_id.as_ref();
            !is_known && others.iter().any(|other| other.entries().any(belongs))
        };
        let mut named = self.voices().filter(|(_, way)| way.given && way.run_id.is_some());
        named.find(|(link, way)| is_one(*link, way)).map(|(link, _)| link)
    }

    /// Takes its voice, and forgets whom it alone told of.
    fn expel(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.standing = Standing::Stranger;
            way.was = None;
        }
        let speaking = self.voices().filter_map(|(_, voice)| voice.run_id.clone());
        let listed = self
            .voices()
            .flat_map(|(_, voice)| voice.entries())
            .map(|entry| RunId::clone(&entry.run_id));
        let kept: HashSet<RunId> = speaking.chain(listed).collect();
        self.peers.retain(|run_id, _| kept.contains(run_id));
    }

    /// Under which run id those who have a voice list the address.
    fn listed_at(&self, way: &Way) -> Option<&RunId> {
        let mut entries = self.voices().flat_map(|(_, voice)| voice.entries());
        entries.find(|entry| way.leads_to(&entry.at)).map(|entry| &entry.run_id)
    }

    /// Gives a voice, and makes those whom it lists ours.
    fn admit(&mut self, link: LinkId, now: Instant) {
        let Some(way) = self.ways.get(&link) else { return };
        let run_id = way.run_id.clone().or_else(|| self.listed_at(way).cloned());
        let doubled = run_id.is_some() && self.voices().any(|(_, voice)| voice.run_id == run_id);
        let at = way.peer.clone().or_else(|| way.at.clone());
        let entries: Vec<Entry> = way.entries().cloned().collect();
        if let Some(way) = self.ways.get_mut(&link) {
            way.standing = if doubled { Standing::Double } else { Standing::Voice };
            way.was.clone_from(&run_id);
            way.run_id.clone_from(&run_id);
        }
        if let Some(run_id) = run_id {
            let peer = self.peers.entry(run_id).or_insert_with(|| Peer::new(at.clone(), now));
            peer.at = peer.at.take().or(at);
            peer.tries = 0;
        }
        for entry in entries
            .iter()
            .filter(|entry| !self.peers.contains_key(&entry.run_id))
            .cloned()
            .collect::<Vec<_>>()
        {
            self.meet(entry, now);
        }
    }

    /// Somebody of whom a voice told for the first time.
    fn meet(&mut self, entry: Entry, now: Instant) {
        if !self.peers.contains_key(&entry.run_id) && self.has_room(&entry) {
            self.changes.push(Change::Learnt(entry.at.clone()));
            self.peers.insert(entry.run_id, Peer::new(Some(entry.at), now));
        }
    }

    /// Other addresses were given, and somebody answers there: who is one of ours is found out anew from them.
    fn begin_anew(&mut self) {
        let answers = self.ways.values().any(|way| way.given && way.up);
        if self.given_anew && answers {
            self.given_anew = false;
            self.forget_all();
        }
    }

    fn forget_all(&mut self) {
        self.peers.clear();
        self.ways.values_mut().for_each(|way| way.was = None);
    }

    /// None of ours answers. All have been silent for long, or most of the addresses that were given answer as others,
    /// and so does the only one where there never was another.
    fn may_begin_anew(&self, now: Instant) -> bool {
        let given = self.ways.values().filter(|way| way.given);
        let (all, up) = given.fold((0, 0), |(all, up), way| (all + 1, up + usize::from(way.up)));
        let silent = self
            .heard
            .is_none_or(|at| now.saturating_duration_since(at) >= ANEW_AFTER);
        up > 0 && (silent || (up * 2 > all && (all > 1 || self.peers.len() <= 1)))
    }

    /// What all who have a voice say of the others.
    fn take_stock(&mut self, now: Instant) {
        let mut listed: HashMap<RunId, (Endpoint, bool)> = HashMap::new();
        for entry in self.voices().flat_map(|(_, voice)| voice.entries()) {
            let known = self.peers.get(&entry.run_id).and_then(|peer| peer.at.as_ref());
            let is_where_it_was = known == Some(&entry.at);
            match listed.get_mut(&entry.run_id) {
                Some((at, up)) => {
                    *up |= !entry.down;
                    if is_where_it_was {
                        at.clone_from(&entry.at);
                    }
                }
                None => drop(listed.insert(Rc::clone(&entry.run_id), (entry.at.clone(), !entry.down))),
            }
        }
        for (run_id, (at, up)) in listed {
            if let Some(peer) = self.peers.get_mut(&run_id) {
                peer.known = now;
                peer.down = !up;
                self.changes.extend(peer.is_at(at));
            }
        }
        self.speak(now);
    }

    /// Those who have a voice are known for as long as they have it.
    fn speak(&mut self, now: Instant) {
        let speaking: Vec<RunId> = self.voices().filter_map(|(_, voice)| voice.run_id.clone()).collect();
        if self.voices().next().is_some() {
            self.heard = Some(now);
            self.voices_since.get_or_insert(now);
        } else {
            self.voices_since = None;
        }
        for run_id in speaking {
            if let Some(peer) = self.peers.get_mut(&run_id) {
                peer.known = now;
                peer.down = false;
            }
        }
    }

    /// The same list again.
    fn acknowledge(&mut self, link: LinkId, service: &str, now: Instant) {
        let Some(entries) = self.ways.get(&link).and_then(|way| way.lists.get(service)) else {
            return;
        };
        for entry in entries {
            if let Some(peer) = self.peers.get_mut(&entry.run_id) {
                peer.known = now;
            }
        }
        self.speak(now);
    }

    /// Whether there is room for one more; one that is down makes room for one that is not.
    fn has_room(&mut self, entry: &Entry) -> bool {
        if self.peers.len() < MOST_LEARNT + self.ways.len() {
            return true;
        }
        let is_at_the_end_of_a_link = |run_id| self.ways.values().any(|way| way.run_id.as_ref() == Some(run_id));
        let useless = self
            .peers
            .iter()
            .find(|(run_id, peer)| peer.down && !is_at_the_end_of_a_link(*run_id));
        match useless.map(|(run_id, _)| Rc::clone(run_id)).filter(|_| !entry.down) {
            Some(useless) => self.peers.remove(&useless).is_some(),
            None => false,
        }
    }
}

impl Peer {
    fn new(at: Option<Endpoint>, now: Instant) -> Peer {
        Peer {
            at,
            down: false,
            known: now,
            tries: 0,
        }
    }

    /// It is there now.
    fn is_at(&mut self, at: Endpoint) -> Option<Change> {
        if self.at.as_ref() == Some(&at) {
            return None;
        }
        self.tries = 0;
        let from = self.at.replace(at.clone())?;
        Some(Change::Moved(from, at))
    }
}
