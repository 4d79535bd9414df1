//! Two deployments among those that speak: each knows its own, and nobody knows one of the others.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::{LinkId, RunId, Standing, Way, Who};

/// For so long after a beginning whoever answers late can still be one of more than those who answered first.
const MAY_BE_LATE: Duration = Duration::from_secs(10);

type Clan = BTreeSet<LinkId>;

impl Way {
    /// Whether it lists the other one, by its run id; by its address where that does not tell who it is.
    pub(super) fn knows(&self, other: &Way) -> bool {
        let is_it = |run_id: &RunId| match &other.run_id {
            Some(other) => run_id == other,
            None => false,
        };
        self.entries()
            .any(|entry| is_it(&entry.run_id) || (other.run_id.is_none() && other.leads_to(&entry.at)))
    }

    /// Whether one of them knows the other, or both know somebody.
    fn is_acquainted_with(&self, other: &Way) -> bool {
        let listed: HashSet<&RunId> = self.entries().map(|entry| &entry.run_id).collect();
        let both_know_somebody = other.entries().any(|entry| listed.contains(&entry.run_id));
        both_know_somebody || self.knows(other) || other.knows(self)
    }

    /// Whether they have nothing to do with each other, though both tell of others who watch the same service.
    pub(super) fn is_foreign_to(&self, other: &Way) -> bool {
        let lists = |way: &Way, service: &str| way.lists.get(service).is_some_and(|list| !list.is_empty());
        let both_tell = self
            .lists
            .keys()
            .any(|service| lists(self, service) && lists(other, service));
        both_tell && !self.is_acquainted_with(other)
    }
}

impl Who {
    /// Where some of those that have a voice are foreign to others of them, one deployment keeps it: that which most of the
    /// addresses that were given lead to. At the beginning those that came second count as well.
    pub(super) fn settle_clans(&mut self, now: Instant) {
        let clans = self.clans(now);
        // Whoever is foreign to one that has more of the given addresses.
        let is_less = |clan: &&Clan| {
            let more = clans.iter().filter(|other| self.weight(other) > self.weight(clan));
            more.into_iter().any(|other| self.are_foreign(clan, other))
        };
        let less = clans.iter().filter(is_less).flatten();
        let expelled: Vec<LinkId> = less
            .filter(|link| self.standing(**link) == Standing::Voice)
            .copied()
            .collect();
        if expelled.is_empty() {
            return;
        }
        let most = clans.iter().max_by_key(|clan| self.weight(clan));
        let most = most.and_then(BTreeSet::first).copied();
        for link in expelled {
            self.expel(link);
        }
        self.forget_who_is_not_listed();
        if let Some(first) = most.filter(|_| self.voices().next().is_none()) {
            self.admit(first, now);
        }
        self.admit_all(now);
    }

    /// Those that have a voice, and at the beginning those that may have come too late, by whom they know.
    fn clans(&self, now: Instant) -> Vec<Clan> {
        let is_late = |at: Instant| now.saturating_duration_since(at) >= MAY_BE_LATE;
        let may_be_late = !self.begun.is_some_and(is_late);
        let counts = |way: &Way| match way.standing {
            Standing::Voice => true,
            Standing::Stranger => may_be_late && way.given && !way.was_ours,
            Standing::Silent | Standing::Double => false,
        };
        let counted = self.ways.iter().filter(|(_, way)| counts(way));
        let mut left: Clan = counted.map(|(&link, _)| link).collect();
        let mut clans = Vec::new();
        while let Some(first) = left.pop_first() {
            clans.push(self.clan_of(first, &mut left));
        }
        clans
    }

    fn ways_of<'a>(&'a self, clan: &'a Clan) -> impl Iterator<Item = &'a Way> {
        clan.iter().filter_map(|link| self.ways.get(link))
    }

    /// How many addresses that were given lead to it; of two alike the one that was given first.
    fn weight(&self, clan: &Clan) -> (usize, Reverse<Option<LinkId>>) {
        let given = self.ways_of(clan).filter(|way| way.given);
        (given.count(), Reverse(clan.first().copied()))
    }

    fn are_foreign(&self, one: &Clan, other: &Clan) -> bool {
        self.ways_of(one)
            .any(|way| self.ways_of(other).any(|other| way.is_foreign_to(other)))
    }

    /// All that are acquainted with `first`, directly or through others; they are taken out of `left`.
    fn clan_of(&self, first: LinkId, left: &mut Clan) -> Clan {
        let mut clan = Clan::from([first]);
        let mut to_look_at = vec![first];
        while let Some(one) = to_look_at.pop().and_then(|link| self.ways.get(&link)) {
            let is_acquainted = |link: &LinkId| self.ways.get(link).is_some_and(|other| one.is_acquainted_with(other));
            let found: Vec<LinkId> = left.iter().filter(|link| is_acquainted(link)).copied().collect();
            left.retain(|link| !found.contains(link));
            clan.extend(&found);
            to_look_at.extend(found);
        }
        clan
    }

    /// Takes its voice.
    fn expel(&mut self, link: LinkId) {
        if let Some(way) = self.ways.get_mut(&link) {
            way.standing = Standing::Stranger;
            way.begin_anew();
        }
    }

    /// Whom only those told of who have no voice any more is nobody of ours.
    fn forget_who_is_not_listed(&mut self) {
        let speaking = self.voices().filter_map(|(_, voice)| voice.run_id.clone());
        let listed = self.voices().flat_map(|(_, voice)| voice.entries());
        let listed = listed.map(|entry| RunId::clone(&entry.run_id));
        let kept: HashSet<RunId> = speaking.chain(listed).collect();
        self.peers.retain(|run_id, _| kept.contains(run_id));
    }
}
