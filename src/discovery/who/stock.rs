//! What those who have a voice say of the others: who is there, where, and up.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::{LinkId, RunId, Way, Who};
use crate::net::Endpoint;

impl Who {
    /// What all who have a voice say of the others.
    pub(super) fn take_stock(&mut self, now: Instant) {
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
            let has_left = self.has_left(&run_id);
            if let Some(peer) = self.peers.get_mut(&run_id) {
                let is_back = peer.down && up;
                peer.known = now;
                peer.down = !up;
                if has_left {
                    self.changes.extend(peer.is_at(at));
                }
                if is_back {
                    let of_it =
                        |way: &Way| way.learnt_as.as_ref() == Some(&run_id) || way.was.as_ref() == Some(&run_id);
                    self.revive(of_it);
                }
            }
        }
        if self.voices_since.is_none() && self.voices().next().is_some() {
            // Where one is back the others may be.
            self.revive(|_| true);
        }
        self.speak(now);
    }

    /// Whether it is not where it is known to be, as far as that was tried. Until then no list counts for more: some have
    /// not heard yet that it has moved, and those who told of it may have fallen silent since.
    fn has_left(&self, run_id: &RunId) -> bool {
        let peer = self.peers.get(run_id);
        let Some((peer, at)) = peer.and_then(|peer| Some((peer, peer.at.as_ref()?))) else {
            return true;
        };
        let mut there = self.ways.values().filter(|way| way.leads_to(at));
        let is_not_there = |way: &Way| match way.up {
            true => way.run_id.as_ref() != Some(run_id),
            false => way.failures > 0,
        };
        !self.speaks_where_it_was(run_id) && (peer.tries > 0 || peer.down || there.any(is_not_there))
    }

    /// Whether a link leads to it, where it is known to be.
    pub(super) fn speaks_where_it_was(&self, run_id: &RunId) -> bool {
        let at = self.peers.get(run_id).and_then(|peer| peer.at.as_ref());
        let is_there =
            |way: &Way| way.up && way.run_id.as_ref() == Some(run_id) && at.is_some_and(|at| way.leads_to(at));
        self.ways.values().any(is_there)
    }

    fn revive(&mut self, which: impl Fn(&Way) -> bool) {
        for way in self.ways.values_mut().filter(|way| which(way)) {
            way.revived += 1;
        }
    }

    /// Those who have a voice are known for as long as they have it.
    pub(super) fn speak(&mut self, now: Instant) {
        let speaking: Vec<RunId> = self.voices().filter_map(|(_, voice)| voice.run_id.clone()).collect();
        self.keep_in_touch(now);
        self.spoke_for_long = self.were_believed(now);
        if self.voices().next().is_some() {
            self.begun.get_or_insert(now);
            if self.voices_since.replace(self.voices_since.unwrap_or(now)).is_none() {
                // One of ours is back.
                self.given_again = false;
            }
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
    pub(super) fn acknowledge(&mut self, link: LinkId, service: &str, now: Instant) {
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
}
