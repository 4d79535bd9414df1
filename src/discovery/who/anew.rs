//! When nothing of what was known counts any more: for all that was given, or for one service; and who was ours before that.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use super::{ANEW_AFTER, LinkId, RunId, Standing, Way, Who};
use crate::net::Endpoint;

impl Way {
    /// It is of those whose number decides: its address was given, and its name has it still.
    pub(super) fn decides(&self) -> bool {
        self.given && !self.outdated
    }
}

impl Who {
    /// Which services one of ours can tell of, until now.
    pub(super) fn keep_in_touch(&mut self, now: Instant) {
        self.given_again &= self.somebody_is_missed();
        for way in self.ways.values_mut().filter(|way| way.standing == Standing::Voice) {
            self.heard = Some(now);
            self.heard_of
                .extend(way.lists.keys().map(|service| (Rc::clone(service), now)));
            way.watched.extend(way.lists.keys().cloned());
        }
    }

    /// None of ours answers, or all of those who do know nothing of the service.
    fn is_missed(&self, service: &str) -> bool {
        self.voices().all(|(_, voice)| voice.denies.contains(service))
    }

    fn somebody_is_missed(&self) -> bool {
        let nobody_answers = self.heard.is_some() && self.voices().next().is_none();
        nobody_answers || self.heard_of.keys().any(|service| self.is_missed(service))
    }

    /// What was given is given once more: whoever is there now is meant, where ours are silent.
    pub fn give_again(&mut self) {
        self.given_again = self.somebody_is_missed();
        if !self.first.is_empty() {
            // Or where others are believed than those who were first: whoever is there decides.
            let given = self.ways.values_mut().filter(|way| way.decides());
            given.for_each(|way| way.decides_anew = way.standing == Standing::Stranger);
        }
    }

    /// Whoever answers at an address that was given is believed, and nothing of what was known before counts.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.begun = Some(now);
        self.nobody_is_late = false;
        self.given_again = false;
        let are_back = self.first_are_back();
        let kin: Vec<LinkId> = self
            .ways
            .iter()
            .filter(|(_, way)| way.kin)
            .map(|(&link, _)| link)
            .collect();
        if !self.peers.is_empty() {
            self.leave_all_behind(self.is_given_anew() || are_back);
        }
        self.friends.clear();
        for (link, way) in &mut self.ways {
            way.begin_anew();
            way.was_kin = kin.contains(link);
        }
        self.admit_all();
        if let Some(first) = self.first_unnamed().filter(|_| self.voices().next().is_none()) {
            self.admit(first);
            self.admit_all();
        }
        if self.voices().next().is_some() {
            self.ways.values_mut().for_each(|way| way.decides_anew = false);
        }
    }

    /// Those of a service of which none of ours has told for long: whoever most of the addresses lead to that led to them. What
    /// else was known counts still, and whoever is foreign to one of ours for another service stays so.
    pub(super) fn begin_services_anew(&mut self, now: Instant) {
        if self.voices().next().is_none() {
            return;
        }
        let is_long_ago = |at: &Instant| now.saturating_duration_since(*at) >= ANEW_AFTER;
        let is_foreign = |way: &Way| self.voices().any(|(_, voice)| self.are_foreign(way, voice));
        let strangers = self
            .ways
            .iter()
            .filter(|(_, way)| way.is_a_candidate() && way.decides());
        let strangers: Vec<(LinkId, &Way)> = strangers
            .filter(|(_, way)| !is_foreign(way))
            .map(|(&link, way)| (link, way))
            .collect();
        let shown: HashSet<&Rc<str>> = strangers.iter().flat_map(|(_, way)| way.lists.keys()).collect();
        let is_over = |service: &Rc<str>| match self.heard_of.get(service) {
            Some(at) => {
                let shows = |way: &Way| way.lists.contains_key(service);
                is_long_ago(at) && self.most_are_meant(shows, |way| way.watched.contains(service))
            }
            // Nobody was ever asked for it before: it is of those who know it.
            None => true,
        };
        let over = shown
            .into_iter()
            .filter(|service| self.is_missed(service) && is_over(service));
        let over: Vec<Rc<str>> = over.cloned().collect();
        let strangers: Vec<LinkId> = strangers.into_iter().map(|(link, _)| link).collect();
        for service in over {
            let of_it = self
                .ways
                .iter_mut()
                .filter(|(link, way)| strangers.contains(link) && way.lists.contains_key(&service));
            of_it.for_each(|(_, way)| way.begin_anew());
            *self.begun_anew.entry(service).or_default() += 1;
        }
        self.admit_all();
    }

    /// Other addresses were given, and somebody answers at one that was not given before: who is one of ours is found out anew
    /// from them.
    pub(super) fn is_given_anew(&self) -> bool {
        self.ways
            .values()
            .any(|way| way.given && way.decides_anew && way.shows())
    }

    /// None of ours answers, all have been silent for a while, and most of the addresses that were given and led to somebody
    /// answer as others who are meant. Fewer of them may have changed hands, whatever the silence; and where there never was
    /// but the one that answers as another now, that is it.
    pub(super) fn may_begin_anew(&self, now: Instant) -> bool {
        let Some(heard) = self.heard else { return true };
        let alone = self.ways.values().filter(|way| way.decides()).count() == 1 && self.peers.len() <= 1;
        let is_long_ago = now.saturating_duration_since(heard) >= ANEW_AFTER;
        self.first_are_back() || (self.most_are_meant(|_| true, |way| way.was_ours) && (alone || is_long_ago))
    }

    /// Whether most of the addresses that lead to somebody lead to those who were first.
    fn first_are_back(&self) -> bool {
        let there = self.ways.values().filter(|way| way.decides() && way.shows());
        let (all, first) = there.fold((0, 0), |(all, first), way| {
            (all + 1, first + usize::from(self.was_first(way)))
        });
        first * 2 > all
    }

    /// Whether most of the addresses that led to ours, or lead to somebody now, lead to others who are meant: who watch our
    /// nodes, a deployment made anew. Whoever watches other nodes at an address of one of ours is another deployment, for ever,
    /// unless the addresses are given again; not so where none of ours ever was: a name has other addresses by now.
    fn most_are_meant(&self, shows: impl Fn(&Way) -> bool, led_to_ours: impl Fn(&Way) -> bool) -> bool {
        let was_ours = |way: &Way| way.was_ours || self.places.iter().any(|place| way.leads_to(place));
        let is_there = |way: &Way| way.shows() && shows(way);
        let is_meant = |way: &Way| is_there(way) && (way.kin || !was_ours(way) || self.given_again);
        let given = self.ways.values().filter(|way| way.decides());
        let led_somewhere = given.filter(|way| is_there(way) || led_to_ours(way));
        let (all, meant) = led_somewhere.fold((0, 0), |(all, meant), way| {
            (all + 1, meant + usize::from(is_meant(way)))
        });
        meant * 2 > all
    }

    /// Counts how often others were believed of the service than those who had told of it.
    pub fn belief(&self, service: &str) -> u64 {
        self.beliefs + self.begun_anew.get(service).copied().unwrap_or_default()
    }

    /// Nothing of what was known counts. Those who were first are remembered with where they were, unless others were given in
    /// their place.
    pub(super) fn leave_all_behind(&mut self, for_good: bool) {
        let places = self.peers.drain().filter_map(|(run_id, peer)| Some((run_id, peer.at?)));
        let left: HashMap<RunId, Endpoint> = places.collect();
        if self.first.is_empty() {
            self.first = left;
        }
        if for_good {
            self.first.clear();
        }
        self.list_each_other = false;
        self.believe_others();
    }

    /// Whether those who are believed have spoken for so long, once, as ours must be silent for others to be.
    pub(super) fn were_believed(&self, now: Instant) -> bool {
        let is_long_ago = |at: Instant| now.saturating_duration_since(at) >= ANEW_AFTER;
        self.spoke_for_long || self.voices_since.is_some_and(is_long_ago)
    }

    /// Those who were first are believed again.
    pub(super) fn they_are_back(&mut self) {
        self.first.clear();
        self.believe_others();
    }

    /// Nor are the nodes of those who were believed ours.
    fn believe_others(&mut self) {
        self.beliefs += 1;
        self.spoke_for_long = false;
        self.voices_since = None;
        for way in self.ways.values_mut() {
            (way.kin, way.was_kin, way.of_the_first) = (false, false, false);
        }
    }

    /// Whether there were others before those who are believed.
    pub fn remembers_others(&self) -> bool {
        !self.first.is_empty()
    }

    /// Whoever is at the end of the link names a node of those who were believed first.
    pub fn is_of_the_first(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.of_the_first = true;
        }
    }

    /// Whoever has no voice was ours before others were believed for having been at most of the addresses, or watches the nodes
    /// of those who were, and its address is given: where most of the addresses lead to such as these, as the name has them
    /// again, they are ours again. Whoever does not say who it is, and is where one of them was, lists some of those.
    pub(super) fn was_first(&self, way: &Way) -> bool {
        let is_one = || match &way.told {
            Some(run_id) => self.first.contains_key(run_id),
            None => {
                let mut listed = way.entries();
                self.first.values().any(|at| way.leads_to(at))
                    && listed.any(|entry| self.first.contains_key(&entry.run_id))
            }
        };
        way.standing == Standing::Stranger && way.decides() && !self.first.is_empty() && (way.of_the_first || is_one())
    }
}
