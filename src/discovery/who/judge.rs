//! Whose words count: found out from nothing but what each link has shown, and whom we knew before.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Instant;

use super::{Change, Entry, LinkId, MOST_LEARNT, MOST_PLACES, Peer, RunId, Standing, Way, Who};
use crate::net::Endpoint;

impl Who {
    /// Finds it out.
    pub(super) fn judge(&mut self, now: Instant) {
        self.keep_in_touch(now);
        let given_anew = self.is_given_anew();
        self.met.clear();
        for way in self.ways.values_mut() {
            way.standing = if way.shows() {
                Standing::Stranger
            } else {
                Standing::Silent
            };
            way.run_id.clone_from(&way.told);
            way.expelled = false;
        }
        if !given_anew {
            self.admit_all();
        }
        if self.voices().next().is_none() && (given_anew || self.may_begin_anew(now)) {
            self.begin_anew(now);
        }
        self.begin_services_anew(now);
        self.settle_clans(now);
        self.meet_all(now);
        let lists_somebody = |(_, voice): (LinkId, &Way)| voice.entries().next().is_some();
        let list_each_other = self.voices().any(lists_somebody);
        self.list_each_other |= list_each_other;
        self.name_all(now);
        self.make_friends();
        self.count_the_given();
        self.take_stock(now);
        let disowned = |way: &Way| way.standing == Standing::Stranger && self.is_beside_ours(way);
        let disowned: Vec<LinkId> = self
            .ways
            .iter()
            .filter(|(_, way)| disowned(way))
            .map(|(&link, _)| link)
            .collect();
        for (link, way) in &mut self.ways {
            way.doubted |= way.standing == Standing::Stranger && way.told.is_some();
            way.disowned |= disowned.contains(link);
        }
        self.announce_strangers();
    }

    /// Who has said what it watches and is nobody's is told of. A newcomer, who watches what ours watch, is waited for.
    fn announce_strangers(&mut self) {
        let has_shown_itself = |way: &&mut Way| !way.lists.is_empty() && !way.kin && !way.announced;
        let strangers = self.ways.values_mut().filter(|way| way.standing == Standing::Stranger);
        for way in strangers.filter(has_shown_itself) {
            way.announced = true;
            self.changes.push(Change::Stranger(way.shown.clone()));
        }
    }

    /// Whoever has a voice may vouch for others.
    pub(super) fn admit_all(&mut self) {
        while let Some(link) = self.next_voice() {
            self.admit(link);
        }
    }

    /// The first of those that have none yet and should have a voice: whoever is known to be ours, and where there is none
    /// such, whoever nothing speaks against.
    fn next_voice(&self) -> Option<LinkId> {
        let first = |is_one: &dyn Fn(&Way) -> bool| {
            let strangers = self.ways.iter().filter(|(_, way)| way.is_a_candidate());
            let ours = strangers.filter(|(_, way)| is_one(way));
            ours.min_by_key(|(link, way)| (!way.given, !way.was_kin, **link))
                .map(|(&link, _)| link)
        };
        first(&|way| self.is_known(way)).or_else(|| first(&|way| self.is_believed(way)))
    }

    /// Whether it is one of ours: ours list its run id. That it lists ours itself says nothing: ours greet whoever answers
    /// where one of them was, and it lists who greets it. Those that do not say who they are can only be told by whom they
    /// list: ours, and nobody else that is up but one who has just joined.
    fn is_known(&self, way: &Way) -> bool {
        match &way.run_id {
            Some(run_id) => self.is_ours(run_id),
            None => way.spoke || (self.has_a_place(way) && self.lists_ours(way)),
        }
    }

    fn lists_ours(&self, way: &Way) -> bool {
        let (ours, others): (Vec<&Entry>, Vec<&Entry>) = way.entries().partition(|entry| self.knows_ours(entry));
        let up: HashSet<&RunId> = others
            .into_iter()
            .filter(|entry| !entry.down)
            .map(|entry| &entry.run_id)
            .collect();
        !ours.is_empty() && up.len() <= 1
    }

    /// Whether it is taken for one of ours for where it is. Somebody who does not say who it is, and comes back, lists others
    /// of ours; where those who have a voice list nobody, there is nothing to tell it by. While all whom we know are silent
    /// nobody else is believed.
    fn is_believed(&self, way: &Way) -> bool {
        let somebody_speaks = self.voices().next().is_some();
        match &way.run_id {
            Some(run_id) => {
                let might_be = somebody_speaks || self.peers.is_empty();
                way.given && might_be && !self.is_doubtful(way, run_id)
            }
            None => {
                let lists_nobody = |way: &Way| way.entries().next().is_none();
                // Whom it lists for other services than those of which ours tell says nothing against it.
                let is_apart = |(_, voice): (LinkId, &Way)| !way.tells_of_others_as(voice);
                let is_alone = lists_nobody(way) && self.voices().all(|(_, voice)| lists_nobody(voice));
                let is_given_for_others = way.given && !lists_nobody(way) && self.voices().all(is_apart);
                somebody_speaks && ((self.has_a_place(way) && is_alone) || is_given_for_others)
            }
        }
    }

    /// Whether it is at an address that was given, and at which none of ours has ever been, and was first heard while ours were
    /// silent: it is heard when one of them tells of what it tells of, too, and lists somebody if any of ours ever did. Where
    /// somebody else was before it is not late but another one, and where somebody else is to be.
    fn comes_late(&self, way: &Way) -> bool {
        let was_another = |told| way.was.as_ref().is_some_and(|was| was != told);
        let is_new = |told| !was_another(told) && !way.was_ours && self.expected_at(way).is_none();
        let mut voices = self.voices();
        let can_tell = !self.list_each_other || voices.any(|(_, voice)| voice.entries().next().is_some());
        let may_be_heard = can_tell && self.is_beside_ours(way);
        way.given && !way.disowned && may_be_heard && way.told.as_ref().is_some_and(is_new)
    }

    /// Whether it and one of ours tell whom they list for the same service, so that it can be told by that.
    fn is_beside_ours(&self, way: &Way) -> bool {
        let tells = |voice: &Way| way.lists.keys().any(|service| voice.lists.contains_key(service));
        self.voices().any(|(_, voice)| tells(voice))
    }

    /// Whether somebody of ours is expected at its address.
    fn has_a_place(&self, way: &Way) -> bool {
        let of_ours = [&way.was, &way.learnt_as].into_iter().flatten();
        let was_ours = of_ours.into_iter().any(|run_id| self.is_ours(run_id));
        way.given || was_ours || self.listed_at(way).is_some()
    }

    fn knows_ours(&self, entry: &Entry) -> bool {
        let is_at_ours = |voice: &Way| voice.leads_to(&entry.at);
        self.is_ours(&entry.run_id) || self.voices().any(|(_, voice)| is_at_ours(voice))
    }

    /// The first to have a voice where nobody is known yet, and nobody says who it is: whoever most of the others know, and of
    /// those that who lists most, for whoever has taken over the address of one of ours may list nobody yet.
    pub(super) fn first_unnamed(&self) -> Option<LinkId> {
        let knows = |one: &Way, other: &Way| one.entries().any(|entry| other.leads_to(&entry.at));
        let known_by = |way: &Way| {
            let others = self.ways.values().filter(|other| other.up);
            others.filter(|other| knows(other, way) || knows(way, other)).count()
        };
        let given = self.ways.iter().filter(|(_, way)| way.given && way.shows());
        let unnamed = given.filter(|(_, way)| way.told.is_none());
        unnamed
            .min_by_key(|(link, way)| (Reverse((known_by(way), way.entries().count())), **link))
            .map(|(&link, _)| link)
    }

    /// An address that was given, and answers as somebody whom nobody knows: it was somebody else before, or a stranger, or
    /// those whom it lists are others than those whom ours list, or it lists nobody yet, for a service for which ours do.
    fn is_doubtful(&self, way: &Way, run_id: &RunId) -> bool {
        let was_another = way.was.as_ref().is_some_and(|was| was != run_id);
        let doubted = way.doubted && !self.comes_late(way);
        was_another || doubted || self.voices().any(|(_, voice)| self.are_foreign(way, voice))
    }

    /// Under which run id those who have a voice list the address.
    fn listed_at(&self, way: &Way) -> Option<&RunId> {
        let mut entries = self.voices().flat_map(|(_, voice)| voice.entries());
        entries.find(|entry| way.leads_to(&entry.at)).map(|entry| &entry.run_id)
    }

    /// Gives a voice: those whom it lists are ours, as long as it has it.
    pub(super) fn admit(&mut self, link: LinkId) {
        let Some(way) = self.ways.get_mut(&link) else { return };
        way.standing = Standing::Voice;
        way.spoke = true;
        way.was_ours |= way.told.is_none();
        (way.doubted, way.disowned) = (false, false);
        let listed: Vec<RunId> = way.entries().map(|entry| RunId::clone(&entry.run_id)).collect();
        self.met.extend(listed);
    }

    /// It is known, or somebody who has a voice lists it.
    fn is_ours(&self, run_id: &RunId) -> bool {
        self.peers.contains_key(run_id) || self.met.contains(run_id)
    }

    /// Whoever those list who have kept their voice is known from now on. There may not be room for all.
    fn meet_all(&mut self, now: Instant) {
        let listed = self.voices().flat_map(|(_, voice)| voice.entries());
        let new = listed.filter(|entry| !self.peers.contains_key(&entry.run_id));
        let (down, up): (Vec<Entry>, Vec<Entry>) = new.cloned().partition(|entry| entry.down);
        for entry in up.into_iter().chain(down) {
            self.meet(entry, now);
        }
    }

    /// Who those are that have a voice: whom they say to be, or whom the others list where they are, or who was there
    /// before. By two ways there is one voice. Who was believed for the address alone is ours once it has told whom it lists,
    /// and was still believed.
    fn name_all(&mut self, now: Instant) {
        let speaks_alone = self.voices().nth(1).is_none();
        let mut links: Vec<(bool, LinkId)> = self.voices().map(|(link, way)| (!way.given, link)).collect();
        links.sort_unstable();
        let mut seen = HashSet::new();
        for (_, link) in links {
            let Some(way) = self.ways.get(&link) else { continue };
            // Nobody lists itself.
            let is_itself = |run_id: &RunId| !way.entries().any(|entry| entry.run_id == *run_id);
            let run_id = way
                .told
                .clone()
                .or_else(|| self.listed_at(way).cloned().filter(is_itself));
            let run_id = run_id.or_else(|| way.was.clone().filter(is_itself));
            let at = way.peer.clone().or_else(|| way.at.clone());
            let has_shown_itself = speaks_alone || !way.lists.is_empty();
            let is_new_place = |at: &Endpoint| has_shown_itself && self.places.front() != Some(at);
            if let Some(at) = at.clone().filter(is_new_place) {
                self.places.retain(|place| *place != at);
                self.places.truncate(MOST_PLACES - 1);
                self.places.push_front(at);
            }
            let Some(way) = self.ways.get_mut(&link) else { continue };
            way.was.clone_from(&run_id);
            way.run_id.clone_from(&run_id);
            let Some(run_id) = run_id else { continue };
            if !seen.insert(RunId::clone(&run_id)) {
                way.standing = Standing::Double;
            }
            if !has_shown_itself && !self.peers.contains_key(&run_id) {
                continue;
            }
            way.was_ours = true;
            let peer = self.peers.entry(run_id).or_insert_with(|| Peer::new(at.clone(), now));
            peer.at = peer.at.take().or(at);
            peer.tries = 0;
        }
    }

    /// Somebody of whom a voice told for the first time.
    fn meet(&mut self, entry: Entry, now: Instant) {
        if !self.peers.contains_key(&entry.run_id) && self.has_room(&entry) {
            let is_news = !self.ways.values().any(|way| way.given && way.leads_to(&entry.at));
            let learnt = is_news.then(|| Change::Learnt(entry.at.clone()));
            self.changes.extend(learnt);
            let peer = Peer {
                down: entry.down,
                ..Peer::new(Some(entry.at), now)
            };
            self.peers.insert(entry.run_id, peer);
        }
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
        match useless.map(|(run_id, _)| RunId::clone(run_id)).filter(|_| !entry.down) {
            Some(useless) => self.peers.remove(&useless).is_some(),
            None => false,
        }
    }
}
