//! A failover, foreseen. Pure.
//!
//! Between the promotion of a replica and the first word of it Sentinel lets up to a second pass, in which the old primary
//! takes writes that will be lost. But the Sentinel that leads tells on its own channel which replica it is about to
//! promote, and under which epoch. From then on writes wait, the replica is asked what it is, and when it says that it is
//! the primary it is one: by the same evidence on which the leader itself will announce it, and provisionally, for the
//! leader may be gone before it does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answer::LinkId;
use super::verdict::Adopted;
use crate::net::Endpoint;
use crate::observe::Turn;
use crate::options::Foresee;
use crate::topology::Awaited;

/// So long a replica that was selected may take to say that it is the primary: the leader sends SLAVEOF NO ONE at its next
/// tick, 100 ms later at the most.
pub const PROMOTED_WITHIN: Duration = Duration::from_secs(5);

/// So long after its vote for a leader a Sentinel's word of the epoch counts for a leader whose own was not heard.
const VOTED_WITHIN: Duration = Duration::from_secs(5);

/// So long the leader may be out of touch until nothing more is expected of it.
pub const LEADER_GONE: Duration = Duration::from_secs(2);

/// So long writes may have waited in vain for one Sentinel's failovers until it is not believed for a while.
const IN_VAIN: Duration = PROMOTED_WITHIN;

/// So much of it is forgotten, a second in so many: whatever it announces, a Sentinel holds up writes for no more of the time.
const FORGOTTEN: u32 = 10;

/// What a Sentinel publishes of a failover while it leads it, or wants to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `+new-epoch`: of whichever service.
    NewEpoch(u64),
    /// `+try-failover`: it wants to lead one, under the epoch that it announced last.
    Tries,
    /// `+elected-leader`.
    Leads,
    /// `+selected-slave`, `+failover-state-send-slaveof-noone`: this replica is to be promoted.
    Selects(Endpoint),
    /// `-failover-abort-...`
    GivesUp,
}

/// A replica that is about to be promoted.
#[derive(Debug)]
struct Armed {
    leader: LinkId,
    replica: Endpoint,
    epoch: u64,
    since: Instant,
    /// Since when nothing can be heard of the leader.
    out_of_touch: Option<Instant>,
}

/// A primary that no Sentinel names yet.
#[derive(Debug)]
struct Foreseen {
    leader: LinkId,
    replica: Endpoint,
    epoch: u64,
    since: Instant,
    /// Since when it is in doubt.
    unconfirmed: Option<Instant>,
}

/// A primary that was foreseen under a newer epoch than that under which the Sentinels name it: it stays what it was.
#[derive(Debug)]
struct Kept {
    primary: Endpoint,
    foreseen: u64,
    named: u64,
}

/// What is foreseen of one service.
#[derive(Debug)]
pub struct Foresight {
    mode: Foresee,
    confirm: Duration,
    /// The epoch that each Sentinel announced last, and when; and the one under which it tried to fail this service over last.
    announced: BTreeMap<LinkId, (u64, Instant)>,
    tries: BTreeMap<LinkId, u64>,
    /// Whose failover writes have waited for last, and under which epoch: it makes them wait once.
    spent: Option<(LinkId, u64)>,
    /// How long writes have waited in vain for the failovers of each, and when that was counted.
    in_vain: BTreeMap<LinkId, (Duration, Instant)>,
    armed: Option<Armed>,
    foreseen: Option<Foreseen>,
    kept: Option<Kept>,
    turns: Vec<Turn>,
}

impl Foresight {
    /// Nothing is foreseen yet. What is must be confirmed within `confirm`.
    pub fn new(mode: Foresee, confirm: Duration) -> Foresight {
        Foresight {
            mode,
            confirm,
            announced: BTreeMap::new(),
            tries: BTreeMap::new(),
            spent: None,
            in_vain: BTreeMap::new(),
            armed: None,
            foreseen: None,
            kept: None,
            turns: Vec::new(),
        }
    }

    /// Others are believed from now on: what these told counts no more.
    pub fn begin_anew(&mut self, now: Instant) {
        self.disarm("other Sentinels are believed", now);
        (self.foreseen, self.kept) = (None, None);
        self.announced.clear();
        self.tries.clear();
        self.spent = None;
        self.in_vain.clear();
    }

    /// What has happened since this was asked last.
    pub fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// Whether writes wait for a promotion.
    pub fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Whether the primary in force is one that no Sentinel names yet.
    pub fn is_provisional(&self) -> bool {
        self.foreseen.is_some()
    }

    /// Since when writes wait because a foreseen primary was not confirmed.
    pub fn unconfirmed(&self) -> Option<Instant> {
        self.foreseen.as_ref().and_then(|foreseen| foreseen.unconfirmed)
    }

    /// Who is to be asked what it is.
    pub fn awaited(&self) -> Option<Awaited> {
        let armed = self.armed.as_ref().filter(|_| self.mode == Foresee::Adopt)?;
        Some(Awaited {
            replica: armed.replica.clone(),
            epoch: armed.epoch,
        })
    }

    /// The primary in force, where the Sentinels' words amount to `adopted`.
    pub fn in_force(&self, adopted: Option<&Adopted>) -> Option<Adopted> {
        match &self.foreseen {
            Some(foreseen) => Some(Adopted {
                primary: foreseen.replica.clone(),
                epoch: foreseen.epoch,
                given_up: adopted.map_or(0, |adopted| adopted.given_up),
                since: foreseen.since,
            }),
            None => adopted.map(|adopted| Adopted {
                epoch: self.kept_epoch(adopted).unwrap_or(adopted.epoch),
                ..adopted.clone()
            }),
        }
    }

    fn kept_epoch(&self, adopted: &Adopted) -> Option<u64> {
        let kept = self.kept.as_ref()?;
        (kept.named == adopted.epoch && kept.primary == adopted.primary).then_some(kept.foreseen)
    }

    /// A Sentinel that has a say publishes a step of a failover. `is_replica`: whether a node is one of the service, by
    /// what those who have a say list.
    pub fn step(
        &mut self,
        link: LinkId,
        step: &Step,
        adopted: Option<&Adopted>,
        is_replica: impl FnOnce(&Endpoint) -> bool,
        now: Instant,
    ) {
        if self.mode == Foresee::Off {
            return;
        }
        match step {
            Step::NewEpoch(epoch) => _ = self.announced.insert(link, (*epoch, now)),
            Step::Tries => {
                if let Some((epoch, _)) = self.announced.get(&link) {
                    self.tries.insert(link, *epoch);
                }
            }
            Step::Leads => {
                let newer = self.epoch_of(link).is_some_and(|epoch| {
                    let armed = self.armed.as_ref();
                    armed.is_some_and(|armed| armed.leader != link && armed.epoch < epoch)
                });
                if newer {
                    self.disarm("another Sentinel leads a newer failover", now);
                }
            }
            Step::Selects(replica) => {
                let Some(in_force) = self.in_force(adopted) else { return };
                let foreseen = self.foreseen.as_ref().map(|foreseen| foreseen.epoch);
                let named = adopted.map_or(0, |adopted| adopted.epoch);
                let before = foreseen.unwrap_or(named);
                let epoch = self.epoch_of(link).or_else(|| self.epoch_above(before, now));
                let Some(epoch) = epoch else { return };
                let armed = self.armed.as_ref().map_or(0, |armed| armed.epoch);
                let is_new = epoch > before.max(armed) && self.spent != Some((link, epoch));
                let is_believed = self.in_vain(link, now) < IN_VAIN;
                if is_new && is_believed && in_force.primary != *replica && is_replica(replica) {
                    self.spent = Some((link, epoch));
                    let same = self.armed.as_ref().filter(|armed| armed.leader == link);
                    let since = same.map_or(now, |armed| armed.since);
                    self.waited_in_vain(now);
                    self.turns.push(Turn::Armed {
                        replica: replica.clone(),
                        epoch,
                    });
                    self.armed = Some(Armed {
                        leader: link,
                        replica: replica.clone(),
                        epoch,
                        since,
                        out_of_touch: None,
                    });
                }
            }
            Step::GivesUp => {
                if self.armed.as_ref().is_some_and(|armed| armed.leader == link) {
                    self.disarm("the leader gave the failover up", now);
                }
                if self.foreseen.as_ref().is_some_and(|foreseen| foreseen.leader == link) {
                    self.doubt(now);
                }
            }
        }
    }

    /// The epoch under which a Sentinel leads a failover of this service: another service's may be newer.
    fn epoch_of(&self, link: LinkId) -> Option<u64> {
        let announced = || self.announced.get(&link).map(|(epoch, _)| *epoch);
        self.tries.get(&link).copied().or_else(announced)
    }

    /// The same where its announcement was lost with its connection, and others, asked for their votes, have announced one
    /// just now: the lowest that it can be, for that of another service may be theirs.
    fn epoch_above(&self, in_force: u64, now: Instant) -> Option<u64> {
        let mut others = self.announced.values();
        let voted = others.any(|(epoch, at)| *epoch > in_force && now.saturating_duration_since(*at) <= VOTED_WITHIN);
        voted.then(|| in_force.saturating_add(1))
    }

    /// Something came from a Sentinel: what it goes on to tell is heard.
    pub fn heard(&mut self, link: LinkId) {
        if let Some(armed) = self.armed.as_mut().filter(|armed| armed.leader == link) {
            armed.out_of_touch = None;
        }
    }

    /// The connection to a Sentinel was lost, or cannot be made: what it announced on the next one is not known.
    pub fn lost(&mut self, link: LinkId, now: Instant) {
        self.announced.remove(&link);
        self.tries.remove(&link);
        if let Some(armed) = self.armed.as_mut().filter(|armed| armed.leader == link) {
            armed.out_of_touch.get_or_insert(now);
        }
    }

    /// The replica that was asked says that it is the primary.
    pub fn is_primary(&mut self, who: &Awaited, now: Instant) {
        if self.awaited().as_ref() != Some(who) {
            return;
        }
        if let Some(armed) = self.armed.take() {
            self.turns.push(Turn::Foreseen {
                replica: armed.replica.clone(),
                epoch: armed.epoch,
                after: now.saturating_duration_since(armed.since),
            });
            self.foreseen = Some(Foreseen {
                leader: armed.leader,
                replica: armed.replica,
                epoch: armed.epoch,
                since: now,
                unconfirmed: None,
            });
        }
    }

    /// The Sentinels' words amount to this. `agreed_since`: whether a majority of them has said so since.
    pub fn judged(&mut self, adopted: Option<&Adopted>, agreed_since: impl FnOnce(Instant) -> bool, now: Instant) {
        let Some(adopted) = adopted else { return };
        if let Some(armed) = self.armed.as_ref().filter(|armed| adopted.epoch >= armed.epoch) {
            // No promotion was seen, and it is over: who was named is who serves.
            let (leader, as_told) = (armed.leader, armed.replica == adopted.primary);
            self.disarm("a Sentinel names the primary", now);
            if as_told {
                self.in_vain.remove(&leader);
            }
        }
        let Some(foreseen) = &self.foreseen else { return };
        // Another Sentinel's failover has come to its end meanwhile: that of the leader was given up without a word.
        let is_overtaken = adopted.since > foreseen.since && adopted.primary != foreseen.replica;
        let in_doubt = foreseen.unconfirmed.or(is_overtaken.then_some(foreseen.since));
        // Named since, it was promoted by whoever names it, be the epoch under which it was foreseen somebody else's.
        let is_named = adopted.primary == foreseen.replica && adopted.since > foreseen.since;
        let turn = if is_named || (adopted.epoch >= foreseen.epoch && adopted.primary == foreseen.replica) {
            self.kept = (adopted.epoch < foreseen.epoch).then(|| Kept {
                primary: adopted.primary.clone(),
                foreseen: foreseen.epoch,
                named: adopted.epoch,
            });
            Turn::Confirmed {
                replica: foreseen.replica.clone(),
                after: now.saturating_duration_since(foreseen.since),
            }
        } else if adopted.epoch >= foreseen.epoch || in_doubt.is_some_and(agreed_since) {
            Turn::Resolved {
                primary: adopted.primary.clone(),
                instead_of: foreseen.replica.clone(),
            }
        } else {
            return;
        };
        self.turns.push(turn);
        self.foreseen = None;
    }

    /// When [`Foresight::tick`] is due.
    pub fn next_tick(&self) -> Option<Instant> {
        let armed = self.armed.as_ref().map(|armed| {
            let promoted = armed.since + PROMOTED_WITHIN;
            let gone = armed.out_of_touch.map(|since| since + LEADER_GONE);
            gone.map_or(promoted, |gone| gone.min(promoted))
        });
        let foreseen = self.foreseen.as_ref().filter(|it| it.unconfirmed.is_none());
        let confirmed = foreseen.map(|foreseen| foreseen.since + self.confirm);
        [armed, confirmed].into_iter().flatten().min()
    }

    /// What is due at `now`.
    pub fn tick(&mut self, now: Instant) {
        if let Some(armed) = &self.armed {
            if armed.since + PROMOTED_WITHIN <= now {
                self.disarm("the replica was not promoted", now);
            } else if armed.out_of_touch.is_some_and(|since| since + LEADER_GONE <= now) {
                self.disarm("the leader cannot be heard", now);
            }
        }
        let due = |foreseen: &Foreseen| foreseen.unconfirmed.is_none() && foreseen.since + self.confirm <= now;
        if self.foreseen.as_ref().is_some_and(due) {
            self.doubt(now);
        }
    }

    fn disarm(&mut self, why: &'static str, now: Instant) {
        self.waited_in_vain(now);
        if self.armed.take().is_some() {
            self.turns.push(Turn::Disarmed { cause: why });
        }
    }

    /// How long writes have waited in vain for a Sentinel's failovers, as far as that is not forgotten.
    fn in_vain(&self, link: LinkId, now: Instant) -> Duration {
        let counted = self.in_vain.get(&link);
        counted.map_or(Duration::ZERO, |(waited, at)| {
            waited.saturating_sub(now.saturating_duration_since(*at) / FORGOTTEN)
        })
    }

    /// They have for whom they wait for now.
    fn waited_in_vain(&mut self, now: Instant) {
        if let Some(armed) = &self.armed {
            let (leader, waited) = (armed.leader, now.saturating_duration_since(armed.since));
            let before = self.in_vain(leader, now);
            self.in_vain.insert(leader, (before + waited, now));
        }
    }

    fn doubt(&mut self, now: Instant) {
        if let Some(foreseen) = self.foreseen.as_mut().filter(|it| it.unconfirmed.is_none()) {
            foreseen.unconfirmed = Some(now);
            self.turns.push(Turn::Unconfirmed {
                replica: foreseen.replica.clone(),
                after: now.saturating_duration_since(foreseen.since),
            });
        }
    }
}

#[cfg(test)]
mod tests;
