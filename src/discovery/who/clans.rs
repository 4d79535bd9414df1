//! Two deployments among those that speak: each knows its own, and nobody knows one of the others.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::{LinkId, Pair, RunId, Standing, Way, Who};

/// For so long after a beginning whoever answers late can still be one of more than those who answered first, unless most
/// of the addresses that were given have led to those already: twice the longest wait before somebody is dialled again.
const MAY_BE_LATE: Duration = Duration::from_secs(60);

type Clan = BTreeSet<LinkId>;

/// Two run ids in their order.
fn pair(one: &RunId, other: &RunId) -> Pair {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    (RunId::clone(first), RunId::clone(second))
}

impl Way {
    /// Whether it lists the other one, by its run id; by its address where that does not tell who it is: whoever is held to be
    /// down is not who is up there.
    fn knows(&self, other: &Way) -> bool {
        self.entries().any(|entry| match &other.run_id {
            Some(run_id) => entry.run_id == *run_id,
            None => !entry.down && other.leads_to(&entry.at),
        })
    }

    /// Whether both list somebody, and hold it for the same: strangers list who greeted them, and hold it to be down soon.
    fn says_the_same_of_somebody(&self, other: &Way) -> bool {
        let listed: HashSet<(&RunId, bool)> = self.entries().map(|entry| (&entry.run_id, entry.down)).collect();
        other
            .entries()
            .any(|entry| listed.contains(&(&entry.run_id, entry.down)))
    }

    /// Whether both list somebody.
    fn knows_somebody_like(&self, other: &Way) -> bool {
        let listed: HashSet<&RunId> = self.entries().map(|entry| &entry.run_id).collect();
        other.entries().any(|entry| listed.contains(&entry.run_id))
    }

    fn lists_somebody(&self, service: &str) -> bool {
        self.lists.get(service).is_some_and(|list| !list.is_empty())
    }

    pub(super) fn tells_of_others_as(&self, other: &Way) -> bool {
        let mut services = self.lists.keys();
        services.any(|service| self.lists_somebody(service) && other.lists_somebody(service))
    }

    /// Whether it knows nobody yet who watches a service that the other one watches with others.
    pub(super) fn is_new_beside(&self, other: &Way) -> bool {
        let mut lists = self.lists.iter();
        lists.any(|(service, list)| list.is_empty() && other.lists_somebody(service))
    }
}

impl Who {
    /// Whether each lists the other, or they are friends: who is at an address of one of ours is greeted by the others, and
    /// lists them, though they do not list it. Where one of them does not tell who it is, it is enough that one lists the
    /// other, or both somebody.
    fn are_acquainted(&self, one: &Way, other: &Way) -> bool {
        if let (Some(first), Some(second)) = (&one.run_id, &other.run_id) {
            // Who lists nobody yet is known where it is listed.
            let knows = |one: &Way, other: &Way| one.knows(other) || one.entries().next().is_none();
            let somebody_knows = one.knows(other) || other.knows(one);
            let know_each_other = || somebody_knows && knows(one, other) && knows(other, one);
            return match first == second {
                // Or a clone of it.
                true => one.knows_somebody_like(other),
                false => know_each_other() || self.are_friends_still(one, other),
            };
        }
        one.says_the_same_of_somebody(other) || one.knows(other) || other.knows(one)
    }

    /// Whether they are friends still: each lists a friend of both.
    fn are_friends_still(&self, one: &Way, other: &Way) -> bool {
        let (Some(first), Some(second)) = (&one.run_id, &other.run_id) else {
            return false;
        };
        let friends = self.friends_of(first);
        let lists_friends = |way: &Way| way.entries().any(|entry| friends.contains(&entry.run_id));
        friends.contains(second) && lists_friends(one) && lists_friends(other)
    }

    /// Itself; whoever listed it once and was listed by it, before one of them was told to forget the others; and the friends
    /// of those, who may have fallen silent since.
    fn friends_of<'a>(&'a self, one: &'a RunId) -> HashSet<&'a RunId> {
        let mut found = HashSet::from([one]);
        let mut to_look_at = vec![one];
        while let Some(friend) = to_look_at.pop() {
            for (first, second) in &self.friends {
                let next = match (first == friend, second == friend) {
                    (true, _) => second,
                    (_, true) => first,
                    _ => continue,
                };
                if found.insert(next) {
                    to_look_at.push(next);
                }
            }
        }
        found
    }

    /// Whether they have nothing to do with each other, though both tell of others who watch the same service, or one is alone
    /// with it and nobody who has a voice lists it.
    pub(super) fn are_foreign(&self, one: &Way, other: &Way) -> bool {
        let are_friends = |one: &Way, other: &Way| match (&one.run_id, &other.run_id) {
            (Some(first), Some(second)) => self.friends_of(first).contains(second),
            _ => false,
        };
        let is_listed = |one: &Way| self.voices().any(|(_, voice)| voice.knows(one));
        let is_alone_beside =
            |one: &Way, other: &Way| one.is_new_beside(other) && !is_listed(one) && !are_friends(one, other);
        let tells = || one.tells_of_others_as(other) || is_alone_beside(one, other) || is_alone_beside(other, one);
        tells() && !self.are_acquainted(one, other)
    }

    /// Those who list each other are one deployment from now on.
    pub(super) fn make_friends(&mut self) {
        let voices: Vec<&Way> = self.voices().map(|(_, way)| way).collect();
        let mut met = Vec::new();
        for (place, one) in voices.iter().enumerate() {
            for other in voices.iter().skip(place + 1) {
                if let (Some(first), Some(second)) = (&one.run_id, &other.run_id) {
                    if one.knows(other) && other.knows(one) {
                        met.push(pair(first, second));
                    }
                }
            }
        }
        self.friends.extend(met);
        let peers = &self.peers;
        self.friends
            .retain(|(first, second)| peers.contains_key(first) && peers.contains_key(second));
    }

    /// Where some of those that have a voice are foreign to others of them, one deployment keeps it: that which most of the
    /// addresses that were given lead to. At the beginning those that came second count as well.
    pub(super) fn settle_clans(&mut self, now: Instant) {
        let clans = self.clans(now);
        // Whoever is foreign to one that has more of the given addresses.
        let is_less = |clan: &&Clan| {
            let more = clans
                .iter()
                .filter(|other| self.weight(other, now) > self.weight(clan, now));
            more.into_iter().any(|other| self.have_foreigners(clan, other))
        };
        let less = clans.iter().filter(is_less).flatten().copied();
        // And whoever one of ours vouches for alone, against the others.
        let all = clans.iter().flatten().copied();
        let outsiders = all.filter(|link| self.is_an_outsider(*link, &clans));
        let expelled: Clan = less
            .chain(outsiders)
            .filter(|link| self.standing(*link) == Standing::Voice)
            .collect();
        if !expelled.is_empty() {
            let most = clans.iter().max_by_key(|clan| self.weight(clan, now));
            let is_back = most.is_some_and(|clan| self.ways_of(clan).any(|way| self.was_first(way)));
            let most = most.and_then(BTreeSet::first).copied();
            for &link in &expelled {
                self.expel(link);
            }
            let others_are_believed = self.voices().next().is_none();
            match (others_are_believed, is_back) {
                (true, true) => self.they_are_back(),
                // Whoever answered first, and no more than that, was never anybody.
                (true, false) if self.were_believed(now) => self.leave_all_behind(false),
                _ => {}
            }
            self.forget_whom_they_told_of(&expelled);
            if let Some(first) = most.filter(|_| others_are_believed) {
                self.admit(first);
            }
            self.admit_all();
        }
    }

    /// Whether more of the given addresses lead to somebody of its clan who is foreign to it than to somebody who is not.
    fn is_an_outsider(&self, link: LinkId, clans: &[Clan]) -> bool {
        let clan = clans.iter().find(|clan| clan.contains(&link));
        let (Some(clan), Some(one)) = (clan, self.ways.get(&link)) else {
            return false;
        };
        let given = || self.ways_of(clan).filter(|way| way.given);
        let against = given().filter(|other| self.are_foreign(one, other)).count();
        against > given().count() - against
    }

    /// Where most of the addresses that were given have led to ours at once, they are not the fewer whoever comes.
    pub(super) fn count_the_given(&mut self) {
        let given = self.ways.values().filter(|way| way.given);
        let (all, ours) = given.fold((0, 0), |(all, ours), way| {
            (
                all + 1,
                ours + usize::from(way.standing == Standing::Voice && way.was_ours),
            )
        });
        self.nobody_is_late |= ours * 2 > all;
    }

    /// At the beginning more may come than were there first.
    fn may_be_late(&self, now: Instant) -> bool {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= MAY_BE_LATE;
        !self.nobody_is_late && !self.begun.is_some_and(is_over)
    }

    /// Those that have a voice, and at the beginning those that may have come too late, by whom they know.
    fn clans(&self, now: Instant) -> Vec<Clan> {
        let may_be_late = self.may_be_late(now);
        let counts = |way: &Way| match way.standing {
            Standing::Voice => true,
            Standing::Stranger => (may_be_late && way.given && !way.was_ours) || self.was_first(way),
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

    /// How many addresses that were given lead to it, or led to a friend of it until that fell silent, whoever is there now, or
    /// have led nowhere yet and are those of whom it alone lists; of two alike the one that has been believed for long, or whose
    /// nodes were ours, the one that is believed, where the other was once, the one that lists somebody, or that was given
    /// first. All whom we know are friends.
    fn weight(&self, clan: &Clan, now: Instant) -> (usize, [bool; 4], Reverse<Option<LinkId>>) {
        // Whoever does not say who it is is whom it was connected to for.
        let known_as = |way: &Way| way.run_id.clone().or(way.was.clone()).or(way.learnt_as.clone());
        let members: Vec<RunId> = self.ways_of(clan).filter_map(known_as).collect();
        let mut friends: HashSet<&RunId> = members.iter().flat_map(|member| self.friends_of(member)).collect();
        if members.iter().any(|member| self.peers.contains_key(member)) {
            friends.extend(self.peers.keys());
        }
        let led_to_a_friend =
            |way: &Way| !way.standing.has_a_say() && way.was.as_ref().is_some_and(|was| friends.contains(was));
        let given = self.ways.iter().filter(|(_, way)| way.decides());
        let leads_there = given
            .filter(|(link, way)| clan.contains(link) || led_to_a_friend(way) || self.is_only_listed_by(clan, way));
        let has_company = self.ways_of(clan).any(|way| way.entries().next().is_some());
        let is_back = self.ways_of(clan).any(|way| self.was_first(way));
        let is_believed = self.were_believed(now) && self.ways_of(clan).any(|way| way.standing == Standing::Voice);
        let was_kin = self.ways_of(clan).any(|way| way.was_kin);
        (
            leads_there.count(),
            [is_believed, was_kin, !is_back, has_company],
            Reverse(clan.first().copied()),
        )
    }

    /// Nobody has been heard there yet, and of all who answer only those of the clan list somebody there.
    fn is_only_listed_by(&self, clan: &Clan, silent: &Way) -> bool {
        let is_unheard = silent.standing == Standing::Silent && !silent.was_ours;
        let lists = |way: &Way| way.entries().any(|entry| silent.leads_to(&entry.at));
        let mut listing = self.ways.iter().filter(|(_, way)| way.shows() && lists(way)).peekable();
        is_unheard && listing.peek().is_some() && listing.all(|(link, _)| clan.contains(link))
    }

    fn have_foreigners(&self, one: &Clan, other: &Clan) -> bool {
        self.ways_of(one)
            .any(|way| self.ways_of(other).any(|other| self.are_foreign(way, other)))
    }

    /// All that are acquainted with `first`, directly or through others; they are taken out of `left`.
    fn clan_of(&self, first: LinkId, left: &mut Clan) -> Clan {
        let mut clan = Clan::from([first]);
        let mut to_look_at = vec![first];
        while let Some(one) = to_look_at.pop().and_then(|link| self.ways.get(&link)) {
            let is_acquainted =
                |link: &LinkId| self.ways.get(link).is_some_and(|other| self.are_acquainted(one, other));
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
            way.expelled = true;
            way.begin_anew();
        }
    }

    /// Whom only those told of who have no voice any more is nobody of ours; nobody is, where there is none left.
    fn forget_whom_they_told_of(&mut self, expelled: &Clan) {
        let told_of = |way: &Way| -> Vec<RunId> {
            let listed = way.entries().map(|entry| RunId::clone(&entry.run_id));
            listed.chain(way.run_id.clone()).collect()
        };
        let left: HashSet<RunId> = self.voices().flat_map(|(_, voice)| told_of(voice)).collect();
        let gone: HashSet<RunId> = self.ways_of(expelled).flat_map(told_of).collect();
        let is_ours = |run_id: &RunId| left.contains(run_id) || (!left.is_empty() && !gone.contains(run_id));
        self.peers.retain(|run_id, _| is_ours(run_id));
        self.met.retain(is_ours);
    }
}
