//! Who is who among the Sentinels: whose words count, who is to be connected to, whom nobody knows any more. Pure.
//!
//! A Sentinel is its run id, and an address is only where it was last. The given ones are trusted, as far as they do not
//! contradict each other; whoever else speaks must be listed by one that speaks already, under its run id. An address that
//! answers under another run id than before is a stranger until that holds: addresses change hands.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::answer::{Entry, LinkId, RunId};
use crate::net::Endpoint;

mod anew;
#[cfg(test)]
mod anew_tests;
mod clans;
mod judge;
mod ours;
mod peer;
mod plan;
mod stock;
#[cfg(test)]
mod tests;

pub use peer::Change;
use peer::Peer;
pub use plan::Plan;

/// Two run ids in one order.
type Pair = (RunId, RunId);

/// Nobody is known for longer whom no live Sentinel has listed since, and who is down.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Where all whom we knew have been silent for so long, whoever has most of the addresses that were given is believed, if it
/// watches the nodes that ours watched.
const ANEW_AFTER: Duration = Duration::from_secs(5);

/// So many are learnt at the most.
const MOST_LEARNT: usize = 64;

/// So many addresses are remembered where ours have been.
const MOST_PLACES: usize = 256;

/// So many entries of one list are read.
const MOST_LISTED: usize = 512;

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
    /// Its name has other addresses by now.
    outdated: bool,
    /// It was given in the place of others, and nobody has answered there yet.
    decides_anew: bool,
    /// Whom it was opened for, where it was not given.
    learnt_as: Option<RunId>,
    up: bool,
    /// Who said that it is there, on the last connection.
    told: Option<RunId>,
    /// Who is there: the same, or whom the others list there where nobody says.
    run_id: Option<RunId>,
    /// The last one of ours that was there.
    was: Option<RunId>,
    /// Whoever is there has been one of ours on this connection.
    spoke: bool,
    /// One of ours has been there.
    was_ours: bool,
    /// The services that ours told of there.
    watched: HashSet<Rc<str>>,
    /// A stranger has been there since.
    doubted: bool,
    /// And was one while one of ours told of what it told of.
    disowned: bool,
    /// It was taken for one of ours, and has its words against it.
    expelled: bool,
    /// It names a node that the deployment has, for one of the services.
    kin: bool,
    /// It named one when who is ours was found out anew.
    was_kin: bool,
    /// It names a node that the deployment had before others were believed.
    of_the_first: bool,
    /// That it is a stranger was told, on this connection.
    announced: bool,
    /// It was asked about a service, and has answered.
    answered: bool,
    /// Whom it lists, for each service that it knows; and those of which it says that it does not.
    lists: HashMap<Rc<str>, Vec<Entry>>,
    denies: HashSet<Rc<str>>,
    failures: u32,
    /// Counts the signs that it can be reached again, for whoever waits to dial it.
    revived: u64,
    standing: Standing,
}

impl Way {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lists.values().flatten()
    }

    /// Nobody of ours has ever been there.
    fn begin_anew(&mut self) {
        self.was = None;
        self.spoke = false;
        self.was_ours = false;
        self.watched.clear();
        (self.doubted, self.disowned) = (false, false);
    }

    /// Something is known of whoever answers there: of those who do not tell who they are nothing is before they list
    /// somebody, or nobody, or say that they do not know the service.
    fn shows(&self) -> bool {
        self.up && (self.told.is_some() || self.answered)
    }

    /// It answers, and has no voice yet.
    fn is_a_candidate(&self) -> bool {
        self.standing == Standing::Stranger && !self.expelled
    }

    fn leads_to(&self, at: &Endpoint) -> bool {
        [Some(&self.shown), self.at.as_ref(), self.peer.as_ref()].contains(&Some(at))
    }
}

/// All links, and all whom we know.
#[derive(Debug)]
pub struct Who {
    ways: BTreeMap<LinkId, Way>,
    peers: HashMap<RunId, Peer>,
    /// Whom those list who have a voice so far: while it is found out who has one.
    met: HashSet<RunId>,
    /// Where ours have been, the last ones first: a link to there may be another one by now.
    places: VecDeque<Endpoint>,
    /// Those that have listed each other.
    friends: HashSet<Pair>,
    /// When one of ours was heard last, and when one that could tell of a service.
    heard: Option<Instant>,
    heard_of: HashMap<Rc<str>, Instant>,
    /// One of ours has listed somebody: then whoever is one of them is listed.
    list_each_other: bool,
    /// Who was ours before others were believed in their place, and where.
    first: HashMap<RunId, Endpoint>,
    /// How often others were believed than before, for all services and for single ones.
    beliefs: u64,
    begun_anew: HashMap<Rc<str>, u64>,
    /// When who is one of ours was last found out from nothing but the addresses that were given.
    begun: Option<Instant>,
    /// Most of the addresses that were given have led to ours since: they are not the fewer whoever comes.
    nobody_is_late: bool,
    /// Since when there has been one all the time.
    voices_since: Option<Instant>,
    /// Those who are believed have spoken for so long as ours must be silent for others to be.
    spoke_for_long: bool,
    /// The same ones were given again while none of ours answered: whoever is there now is meant.
    given_again: bool,
    learns: bool,
    /// When somebody who had been tried in vain was given the place of another one last.
    tried_again: Option<Instant>,
    changes: Vec<Change>,
}

impl Who {
    /// Nobody yet. `learns`: whether others than the given ones are to be connected to.
    pub fn new(learns: bool) -> Who {
        Who {
            ways: BTreeMap::new(),
            peers: HashMap::new(),
            met: HashSet::new(),
            places: VecDeque::new(),
            friends: HashSet::new(),
            heard: None,
            heard_of: HashMap::new(),
            list_each_other: false,
            first: HashMap::new(),
            beliefs: 0,
            begun_anew: HashMap::new(),
            begun: None,
            nobody_is_late: false,
            voices_since: None,
            spoke_for_long: false,
            given_again: false,
            learns,
            tried_again: None,
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
            way.learnt_as = None;
        }
    }

    fn open(&mut self, link: LinkId, shown: Endpoint, at: Option<Endpoint>, learnt_as: Option<RunId>) {
        let given = learnt_as.is_none();
        let way = Way {
            shown,
            at,
            peer: None,
            given,
            outdated: false,
            decides_anew: false,
            learnt_as,
            up: false,
            told: None,
            run_id: None,
            was: None,
            spoke: false,
            was_ours: false,
            watched: HashSet::new(),
            doubted: false,
            disowned: false,
            expelled: false,
            kin: false,
            was_kin: false,
            of_the_first: false,
            announced: false,
            answered: false,
            lists: HashMap::new(),
            denies: HashSet::new(),
            failures: 0,
            revived: 0,
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

    /// Whether the name of the link has its address still.
    pub fn is_outdated(&mut self, link: LinkId, outdated: bool) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.outdated = outdated;
        }
    }

    /// The link dials another address from now on, since its name has that.
    pub fn redirect(&mut self, link: LinkId, at: Endpoint) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.at = Some(at);
            way.outdated = false;
            // Whom it led to was at the old one.
            way.begin_anew();
        }
    }

    /// Other Sentinels take the place of those that were given: the links of those that are not among them count as learnt.
    pub fn withdraw(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.given = false;
        }
    }

    /// This one was not given before those that took the place of others: when it answers, those decide anew who is ours.
    pub fn decides_anew(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.decides_anew = true;
        }
    }

    /// Whoever answers on the link is known now, as far as it can be: `peer` is where the connection leads, a server before
    /// 6.2 does not tell its run id.
    pub fn answers(&mut self, link: LinkId, peer: Option<Endpoint>, run_id: Option<&str>, now: Instant) {
        let Some(way) = self.ways.get_mut(&link) else { return };
        way.up = true;
        way.spoke = false;
        way.failures = 0;
        way.peer = peer;
        let run_id: Option<RunId> = run_id.filter(|id| !id.is_empty()).map(Rc::from);
        // What it said before it was lost is old.
        way.lists.clear();
        way.denies.clear();
        (way.kin, way.was_kin, way.of_the_first) = (false, false, false);
        (way.announced, way.answered) = (false, false);
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
        // It is not there: an older word of where else it is may be right.
        if std::mem::take(&mut way.up) || way.failures == 1 {
            self.judge(now);
        }
    }

    /// Whom the Sentinel at the end of the link lists for a service. Whether that is news.
    pub fn lists(&mut self, link: LinkId, service: &Rc<str>, mut entries: Vec<Entry>, now: Instant) -> bool {
        entries.truncate(MOST_LISTED);
        let Some(way) = self.ways.get_mut(&link) else {
            return false;
        };
        if way.lists.get(service) == Some(&entries) && way.standing.has_a_say() {
            self.acknowledge(link, service, now);
            return false;
        }
        way.answered = true;
        way.denies.remove(service);
        let before = way
            .lists
            .insert(Rc::clone(service), entries.clone())
            .unwrap_or_default();
        self.judge(now);
        if self.standing(link) == Standing::Voice {
            self.follow(&before, entries);
        }
        true
    }

    /// The Sentinel at the end of the link does not know the service. Whether that is news.
    pub fn does_not_know(&mut self, link: LinkId, service: &Rc<str>, now: Instant) -> bool {
        let Some(way) = self.ways.get_mut(&link) else {
            return false;
        };
        way.lists.remove(service);
        let is_news = way.denies.insert(Rc::clone(service));
        way.answered = true;
        self.judge(now);
        is_news
    }

    /// Whoever is at the end of the link names a node that the deployment has.
    pub fn is_kin(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.kin = true;
        }
    }

    /// What is told of another address than before is news.
    fn follow(&mut self, before: &[Entry], after: Vec<Entry>) {
        for entry in after.into_iter().filter(|entry| !entry.down) {
            let moved = before
                .iter()
                .any(|old| old.run_id == entry.run_id && old.at != entry.at);
            let moved = moved && !self.speaks_where_it_was(&entry.run_id);
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
            way.watched.remove(service);
            way.denies.remove(service);
        }
        self.heard_of.remove(service);
        self.begun_anew.remove(service);
    }

    /// What the words of whoever is at the end of the link are worth.
    pub fn standing(&self, link: LinkId) -> Standing {
        self.ways.get(&link).map_or(Standing::Silent, |way| way.standing)
    }

    /// Whether another link has the voice of the link's Sentinel: of the one that answers there, or did until it moved.
    pub fn is_spoken_for(&self, link: LinkId) -> bool {
        let speaks_elsewhere = |run_id: &RunId| {
            let mut voices = self.voices();
            voices.any(|(other, voice)| other != link && voice.run_id.as_ref() == Some(run_id))
        };
        self.ways.get(&link).is_some_and(|way| match way.standing {
            Standing::Double => true,
            Standing::Silent => way.was.as_ref().is_some_and(speaks_elsewhere),
            Standing::Voice | Standing::Stranger => false,
        })
    }

    /// How many addresses were given.
    pub fn given(&self) -> usize {
        self.ways.values().filter(|way| way.given).count()
    }

    /// Whether the link's address was given.
    pub fn is_given(&self, link: LinkId) -> bool {
        self.ways.get(&link).is_some_and(|way| way.given)
    }

    /// Whether whoever answers at the address has a say.
    #[cfg(test)]
    pub fn has_a_say_at(&self, at: &Endpoint) -> bool {
        self.ways
            .values()
            .any(|way| way.leads_to(at) && way.standing.has_a_say())
    }

    /// Counts the signs that the link's Sentinel is back: others hold it to be up again, or are the first to be back
    /// themselves.
    pub fn revived(&self, link: LinkId) -> u64 {
        self.ways.get(&link).map_or(0, |way| way.revived)
    }

    /// Whether those who have a voice hold the link's Sentinel to be up.
    pub fn is_held_up(&self, link: LinkId) -> bool {
        let run_id = self
            .ways
            .get(&link)
            .and_then(|way| way.learnt_as.as_ref().or(way.was.as_ref()));
        run_id
            .and_then(|run_id| self.peers.get(run_id))
            .is_some_and(|peer| !peer.down)
    }

    /// Whether one of ours answers, on another link than this one, and can tell of what ours told there.
    pub fn others_answer(&self, link: LinkId) -> bool {
        let watched = self.ways.get(&link).map(|way| &way.watched);
        let tells = |voice: &Way| {
            watched.is_none_or(|watched| {
                watched.is_empty() || !watched.iter().all(|service| voice.denies.contains(service))
            })
        };
        self.voices().any(|(id, voice)| id != link && tells(voice))
    }

    /// What has changed since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn voices(&self) -> impl Iterator<Item = (LinkId, &Way)> {
        let voices = self.ways.iter().filter(|(_, way)| way.standing == Standing::Voice);
        voices.map(|(&link, way)| (link, way))
    }
}
