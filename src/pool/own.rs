//! The connections of submitted calls' own: which carry a call and which are idle. Finding one of either takes the same
//! time however many there are. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::generation::ConnectionId;
use super::lane::Lane;

#[derive(Debug)]
struct Own {
    lane: Arc<Lane>,
    /// The end of its time, where it is idle.
    idle_until: Option<Instant>,
}

/// All of a pool's.
#[derive(Debug, Default)]
pub(super) struct OwnLanes {
    all: HashMap<ConnectionId, Own>,
    /// The idle ones, by the end of their time.
    idle: BTreeSet<(Instant, ConnectionId)>,
}

impl OwnLanes {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Enters one, which is not idle.
    pub(super) fn add(&mut self, lane: &Arc<Lane>) {
        let lane = Arc::clone(lane);
        let id = lane.id();
        let idle_until = None;
        self.all.insert(id, Own { lane, idle_until });
    }

    /// It is idle from now on. False when it is none of these.
    pub(super) fn rest(&mut self, id: ConnectionId, until: Instant) -> bool {
        let Some(own) = self.all.get_mut(&id) else { return false };
        if let Some(before) = own.idle_until.replace(until) {
            self.idle.remove(&(before, id));
        }
        self.idle.insert((until, id))
    }

    /// The idle one that was in use last, which is idle no more.
    pub(super) fn take_idle(&mut self) -> Option<(Arc<Lane>, Instant)> {
        let (until, id) = self.idle.pop_last()?;
        let own = self.all.get_mut(&id)?;
        own.idle_until = None;
        Some((Arc::clone(&own.lane), until))
    }

    /// Whether one is idle.
    pub(super) fn any_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// When the next idle one is due to be closed.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.idle.first().map(|(until, _)| *until)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Arc<Lane>> {
        let own = self.all.remove(&id)?;
        if let Some(until) = own.idle_until {
            self.idle.remove(&(until, id));
        }
        Some(own.lane)
    }

    /// Takes the idle one out whose time ends first.
    pub(super) fn remove_idle(&mut self) -> Option<Arc<Lane>> {
        let (_, id) = self.idle.pop_first()?;
        self.all.remove(&id).map(|own| own.lane)
    }

    /// Takes those of the idle ones out.
    pub(super) fn remove_idle_if(&mut self, which: impl Fn(&Lane, Instant) -> bool) -> Vec<Arc<Lane>> {
        let OwnLanes { all, idle } = self;
        let mut gone = Vec::new();
        idle.retain(|(until, id)| {
            let goes = all.get(id).is_none_or(|own| which(&own.lane, *until));
            if goes {
                gone.extend(all.remove(id).map(|own| own.lane));
            }
            !goes
        });
        gone
    }
}
