//! Whom to connect to: those of ours that no link leads to.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Change, FORGOTTEN_AFTER, LinkId, Peer, RunId, Standing, Way, Who};
use crate::net::Endpoint;

/// So many links are open at the most beyond those to the addresses that were given.
const MOST_OPEN: usize = 5;

/// After so many failures a link may have to make room for one to somebody who was tried less often.
const TRIED_ENOUGH: u32 = 2;

/// And where that one was tried before, no more often than this while others answer.
const TRIED_AGAIN_EVERY: Duration = Duration::from_secs(10);

/// The links to open and to close.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To these addresses, for these Sentinels.
    pub open: Vec<(Endpoint, RunId)>,
    /// Of no use any more.
    pub close: Vec<LinkId>,
}

impl Who {
    /// What is to be done; the links to close are closed here already.
    pub fn plan(&mut self, now: Instant) -> Plan {
        self.forget(now);
        let mut close: Vec<LinkId> = self
            .learnt()
            .filter(|(_, way)| self.is_useless(way))
            .map(|(link, _)| link)
            .collect();
        close.iter().for_each(|&link| self.close(link));
        let mut open = Vec::new();
        for (run_id, at, tries) in self.wanted() {
            let room = self.learnt().count() + open.len() < MOST_OPEN;
            if !room {
                // Whoever was tried already is tried again now and then, as long as others answer.
                let lately = |at: Instant| now.saturating_duration_since(at) < TRIED_AGAIN_EVERY;
                if tries > 0 && self.voices().next().is_some() && self.tried_again.is_some_and(lately) {
                    break;
                }
                self.tried_again = (tries > 0).then_some(now).or(self.tried_again);
                let Some(tired) = self.most_tired(tries) else { break };
                self.close(tired);
                close.push(tired);
            }
            open.push((at, run_id));
        }
        Plan { open, close }
    }

    fn learnt(&self) -> impl Iterator<Item = (LinkId, &Way)> {
        self.ways
            .iter()
            .filter(|(_, way)| !way.given)
            .map(|(&link, way)| (link, way))
    }

    /// Drops whom no live Sentinel has listed for long, and who is down. While none of ours answers, nobody can be said
    /// not to be listed.
    fn forget(&mut self, now: Instant) {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= FORGOTTEN_AFTER;
        if !self.voices_since.is_some_and(is_old) {
            return;
        }
        let old: Vec<RunId> = self
            .peers
            .iter()
            .filter(|(_, peer)| is_old(peer.known))
            .map(|(id, _)| RunId::clone(id))
            .collect();
        for run_id in old
            .into_iter()
            .filter(|run_id| !self.speaks(run_id))
            .collect::<Vec<_>>()
        {
            let forgotten = self.peers.remove(&run_id).and_then(|peer| peer.at);
            self.changes.extend(forgotten.map(Change::Forgotten));
        }
    }

    fn speaks(&self, run_id: &RunId) -> bool {
        self.ways
            .values()
            .any(|way| way.standing.has_a_say() && way.run_id.as_ref() == Some(run_id))
    }

    /// Nothing is to be had of the link any more: its Sentinel has its voice elsewhere, has moved, is down or forgotten, or its
    /// address was given by now and has a link for that.
    fn is_useless(&self, way: &Way) -> bool {
        let peer = way.learnt_as.as_ref().and_then(|run_id| self.peers.get(run_id));
        match way.standing {
            Standing::Voice => false,
            Standing::Double => true,
            Standing::Silent | Standing::Stranger => {
                let is_given = |other: &Way| other.given && other.at == way.at;
                peer.is_none_or(|peer| peer.at != way.at || self.is_not_dialled(peer))
                    || self.ways.values().any(is_given)
            }
        }
    }

    /// Those who are held to be down are not dialled, unless nobody is left to say so.
    fn is_not_dialled(&self, peer: &Peer) -> bool {
        !self.learns || (peer.down && self.voices().next().is_some())
    }

    /// Those of ours that no link leads to, the least tried first.
    fn wanted(&self) -> Vec<(RunId, Endpoint, u32)> {
        let mut wanted: Vec<(RunId, Endpoint, &Peer)> = Vec::new();
        for (run_id, peer) in &self.peers {
            let Some(at) = peer.at.as_ref().filter(|_| !self.is_not_dialled(peer)) else {
                continue;
            };
            let led_to = |way: &Way| way.leads_to(at) || way.learnt_as.as_ref() == Some(run_id);
            if !self.speaks(run_id) && !self.ways.values().any(led_to) {
                wanted.push((RunId::clone(run_id), at.clone(), peer));
            }
        }
        wanted.sort_by_key(|(run_id, _, peer)| (peer.tries, Reverse(peer.known), RunId::clone(run_id)));
        // Whoever was listed at an address last is there, and nobody else.
        let mut addresses = HashSet::new();
        wanted.retain(|(_, at, _)| addresses.insert(at.clone()));
        wanted
            .into_iter()
            .map(|(run_id, at, peer)| (run_id, at, peer.tries))
            .collect()
    }

    /// The silent link that failed most often, where somebody else was tried less often.
    fn most_tired(&self, tries: u32) -> Option<LinkId> {
        let tired = self.learnt().filter(|(_, way)| {
            let tried = way
                .learnt_as
                .as_ref()
                .and_then(|run_id| self.peers.get(run_id))
                .map_or(0, |peer| peer.tries);
            way.standing == Standing::Silent && way.failures >= TRIED_ENOUGH && tried > tries
        });
        tired.min_by_key(|(_, way)| Reverse(way.failures)).map(|(link, _)| link)
    }
}
