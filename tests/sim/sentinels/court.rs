//! The Sentinels of two deployments that have a service of the same name, and what each of them believes.

use std::collections::{BTreeMap, BTreeSet};

use super::story::Tale;
use super::{MS, address, answers};
use crate::kernel::kernel;
use crate::kernel::trace::tell;
use crate::network::{Connection, network};
use crate::node::{Life, live};

/// Addresses that there are.
pub(crate) const SLOTS: usize = 24;

/// Nodes of a deployment.
pub(crate) const NODES: usize = 4;

/// A peer as a Sentinel sees it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) slot: usize,
    pub(super) down: bool,
    /// When it was last heard.
    heard: u64,
}

/// A Sentinel.
#[derive(Debug)]
pub(super) struct Sentinel {
    pub(super) run_id: String,
    pub(super) foreign: bool,
    /// Where it listens, while it runs.
    pub(super) slot: Option<usize>,
    pub(super) primary: usize,
    pub(super) epoch: u64,
    pub(super) peers: BTreeMap<String, Peer>,
    /// Connections that are subscribed.
    pub(super) subscribers: Vec<usize>,
}

/// A switch that was told to a connection.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: u64,
    pub(super) who: usize,
    pub(super) slot: usize,
    pub(super) connection: usize,
    pub(super) primary: usize,
    pub(super) epoch: u64,
}

/// So long after the name told where ours are the client may still be elsewhere.
const BACK_WITHIN: u64 = 5_000 * MS;

/// All of them.
#[derive(Debug)]
pub(super) struct Court {
    pub(super) sentinels: Vec<Sentinel>,
    /// The primary of our deployment, and the epoch under which it was named.
    pub(super) truth: (usize, u64),
    /// How many dead peers each of ours lists.
    pub(super) dead: usize,
    /// They do not tell who they are.
    pub(super) old: bool,
    pub(super) dials: Vec<u64>,
    pub(super) asked: u64,
    /// When each Sentinel was asked.
    pub(super) commands: Vec<(u64, usize)>,
    /// Whom a connection was greeted by.
    pub(super) greeted: BTreeSet<usize>,
    pub(super) over: bool,
    /// What must be followed yet.
    pub(super) told: Vec<Told>,
    /// Where ours run, by their name.
    pub(super) published: Vec<usize>,
    /// It is published that it leads elsewhere.
    published_elsewhere: bool,
    /// The last lookup that told something told that it leads elsewhere: the client cannot know better.
    pub(super) told_elsewhere: bool,
    /// Their name leads to another deployment, and the client may be there until then.
    pub(super) diverted: bool,
    pub(super) elsewhere_until: u64,
    named: usize,
    /// The highest epoch that a Sentinel has announced.
    pub(super) announced: u64,
    /// A failover is told of that is not over yet.
    pub(super) promoting: bool,
    /// Nodes that say that they are the primary, each since it was promoted under that epoch.
    pub(super) promoted: BTreeSet<(usize, u64)>,
    /// Those that ever did.
    pub(super) were_promoted: BTreeSet<(usize, u64)>,
    /// How often the epochs began again, and the highest of those before.
    resets: usize,
    given_up: u64,
}

impl Court {
    pub(super) fn new(tale: &Tale) -> Court {
        Court {
            sentinels: Vec::new(),
            truth: (0, 7),
            dead: tale.dead,
            old: tale.old,
            dials: Vec::new(),
            asked: 0,
            commands: Vec::new(),
            greeted: BTreeSet::new(),
            over: false,
            told: Vec::new(),
            published: Vec::new(),
            published_elsewhere: false,
            told_elsewhere: false,
            diverted: false,
            elsewhere_until: 0,
            named: 0,
            announced: 0,
            promoting: false,
            promoted: BTreeSet::new(),
            were_promoted: BTreeSet::new(),
            resets: 0,
            given_up: 0,
        }
    }

    /// The name stands for those of ours that run now, or for those of another deployment.
    pub(super) fn publish_names(&mut self) {
        let living = self.living(self.diverted).into_iter();
        self.published = living.filter_map(|who| self.sentinels[who].slot).collect();
        self.published_elsewhere = self.diverted;
    }

    /// A lookup tells what is published. From the first one that tells where ours are the client has a while to be there.
    pub(super) fn has_told(&mut self) {
        let was_elsewhere = std::mem::replace(&mut self.told_elsewhere, self.published_elsewhere);
        if was_elsewhere && !self.told_elsewhere {
            self.elsewhere_until = self.elsewhere_until.max(kernel().now() + BACK_WITHIN);
        }
    }

    /// The Sentinel that listens there.
    pub(super) fn at(&self, slot: usize) -> Option<usize> {
        self.sentinels.iter().position(|sentinel| sentinel.slot == Some(slot))
    }

    pub(super) fn living(&self, foreign: bool) -> Vec<usize> {
        let living = self.sentinels.iter().enumerate();
        let living = living.filter(|(_, sentinel)| sentinel.slot.is_some() && sentinel.foreign == foreign);
        living.map(|(who, _)| who).collect()
    }

    pub(super) fn free_slot(&self) -> usize {
        loop {
            let slot = kernel().index(SLOTS);
            let known = self.sentinels.iter().flat_map(|sentinel| sentinel.peers.values());
            if self.at(slot).is_none() && !known.into_iter().any(|peer| peer.slot == slot) {
                return slot;
            }
        }
    }

    /// A Sentinel that nobody knows yet begins there. It is told of the primary as an operator does it.
    pub(super) fn begin(&mut self, slot: usize, foreign: bool) -> usize {
        self.named += 1;
        let (primary, epoch) = if foreign { (0, 50) } else { self.truth };
        let kind = if foreign { "f" } else { "a" };
        self.sentinels.push(Sentinel {
            run_id: format!("{kind}{:039}", self.named),
            foreign,
            slot: None,
            primary,
            epoch: if foreign { epoch } else { epoch.min(7) },
            peers: BTreeMap::new(),
            subscribers: Vec::new(),
        });
        let who = self.sentinels.len() - 1;
        self.start(who, slot);
        who
    }

    /// It runs there now.
    pub(super) fn start(&mut self, who: usize, slot: usize) {
        tell(|| {
            format!(
                "Sentinel {who} ({}) runs at {}",
                self.sentinels[who].run_id,
                address(slot)
            )
        });
        self.sentinels[who].slot = Some(slot);
        kernel().after(0, move || live(slot, Life::Up));
    }

    /// It is killed.
    pub(super) fn kill(&mut self, who: usize) {
        let sentinel = &mut self.sentinels[who];
        sentinel.subscribers.clear();
        if let Some(slot) = sentinel.slot.take() {
            tell(|| format!("Sentinel {who} is killed at {}", address(slot)));
            kernel().after(0, move || live(slot, Life::Down));
        }
    }

    /// A hello of each reaches all others of its deployment: who is where, and under which epoch who is the primary.
    pub(super) fn greet_each_other(&mut self) {
        let now = kernel().now();
        self.greet_strangers(now);
        for foreign in [false, true] {
            let living = self.living(foreign);
            for &from in &living {
                for &to in living.iter().filter(|&&to| to != from) {
                    self.greet(from, to, now);
                }
            }
        }
    }

    /// Ours greet whoever is where one of them was, and strangers list those who greet them. They do not greet back: they have
    /// no password.
    fn greet_strangers(&mut self, now: u64) {
        for from in self.living(false) {
            let run_id = self.sentinels[from].run_id.clone();
            let slot = self.sentinels[from].slot.unwrap();
            let slots: Vec<usize> = self.sentinels[from].peers.values().map(|peer| peer.slot).collect();
            let there: Vec<usize> = slots.into_iter().filter_map(|slot| self.at(slot)).collect();
            for at in there {
                let hears = &mut self.sentinels[at];
                if hears.foreign {
                    let down = false;
                    hears.peers.insert(run_id.clone(), Peer { slot, down, heard: now });
                }
            }
        }
    }

    fn greet(&mut self, from: usize, to: usize, now: u64) {
        let (run_id, slot) = (self.sentinels[from].run_id.clone(), self.sentinels[from].slot.unwrap());
        let (primary, epoch) = (self.sentinels[from].primary, self.sentinels[from].epoch);
        let hears = &mut self.sentinels[to];
        let known = hears.peers.get(&run_id).map(|peer| peer.slot);
        if known != Some(slot) {
            // Whoever was thought to be there is not.
            hears.peers.retain(|_, peer| peer.slot != slot);
        }
        let peer = Peer {
            slot,
            down: false,
            heard: now,
        };
        let was_down = hears.peers.insert(run_id.clone(), peer).is_some_and(|peer| peer.down);
        if epoch > hears.epoch {
            (hears.primary, hears.epoch) = (primary, epoch);
            self.publish_switch(to);
        }
        match known {
            None => self.publish(to, "+sentinel", &format!("sentinel {run_id} x 1 @ s x 1")),
            Some(known) if known != slot => {
                self.publish(
                    to,
                    "+sentinel-address-switch",
                    &format!("master s x 1 ip y port 2 for {run_id}"),
                );
            }
            Some(_) if was_down => self.publish(to, "-sdown", &format!("sentinel {run_id} x 1 @ s x 1")),
            Some(_) => {}
        }
    }

    /// Who was not heard for long is held to be down.
    pub(super) fn look_for_the_dead(&mut self) {
        let now = kernel().now();
        for who in 0..self.sentinels.len() {
            if self.sentinels[who].slot.is_none() {
                continue;
            }
            let mut lost = Vec::new();
            for (run_id, peer) in &mut self.sentinels[who].peers {
                if !peer.down && now - peer.heard > 5_000 * MS {
                    peer.down = true;
                    lost.push(run_id.clone());
                }
            }
            for run_id in lost {
                self.publish(who, "+sdown", &format!("sentinel {run_id} x 1 @ s x 1"));
            }
        }
    }

    /// Another node is the primary: one of ours leads and knows first.
    pub(super) fn fail_over(&mut self) {
        let living = self.living(false);
        // Of one that is told of the end comes first.
        if living.is_empty() || self.promoting {
            return;
        }
        let leader = kernel().pick(&living);
        let (primary, epoch) = self.next();
        self.is_promoted(primary, epoch, leader);
    }

    /// Another node is to be the primary, under an epoch that there was not yet.
    pub(super) fn next(&mut self) -> (usize, u64) {
        let primary = (self.truth.0 + 1 + kernel().index(NODES - 1)) % NODES;
        self.announced = self.announced.max(self.truth.1) + 1;
        (primary, self.announced)
    }

    /// Who led its promotion knows it by now, and the others soon will.
    pub(super) fn is_promoted(&mut self, primary: usize, epoch: u64, leader: usize) {
        self.truth = (primary, epoch);
        // Whoever was promoted before is told to follow it.
        self.promoted.retain(|(node, _)| *node == primary);
        let (truth, living) = (self.truth, self.living(false));
        tell(|| format!("failover to {truth:?}, led by Sentinel {leader}"));
        for who in living {
            let after = if who == leader {
                0
            } else {
                kernel().between(50 * MS, 120 * MS)
            };
            let resets = self.resets;
            kernel().after(after, move || {
                super::court(|court| {
                    if court.resets == resets {
                        court.learn(who, truth, who == leader);
                    }
                });
            });
        }
    }

    /// All that run are told of the primary anew.
    pub(super) fn begin_again(&mut self) {
        self.given_up = self.given_up.max(self.truth.1);
        self.truth.1 = 0;
        let truth = self.truth;
        self.resets += 1;
        self.told.clear();
        tell(|| "the epochs begin again".to_owned());
        for who in self.living(false) {
            (self.sentinels[who].primary, self.sentinels[who].epoch) = truth;
            self.publish(who, "-monitor", "master s x 1");
            self.publish(who, "+monitor", "master s x 1 quorum 2");
        }
    }

    fn learn(&mut self, who: usize, (primary, epoch): (usize, u64), leads: bool) {
        let sentinel = &mut self.sentinels[who];
        if sentinel.slot.is_none() || sentinel.epoch >= epoch {
            return;
        }
        (sentinel.primary, sentinel.epoch) = (primary, epoch);
        if leads {
            self.publish(who, "+promoted-slave", "slave x:1 x 1 @ s x 1");
            kernel().after(1_000 * MS, move || super::court(|court| court.publish_switch(who)));
        } else {
            self.publish_switch(who);
        }
    }

    fn publish_switch(&mut self, who: usize) {
        self.publish(who, "+config-update-from", "sentinel x x 1 @ s x 1");
        self.publish(who, "+switch-master", "s x 1 y 2");
        self.publish(who, "+slave", "slave x:1 x 1 @ s x 1");
    }

    /// A single one is right about an epoch that there was not yet; of one that there was already most must say so whom the
    /// client has heard lately: all who live, for some may have died since.
    fn is_to_be_followed(&self, teller: &Sentinel) -> bool {
        let word = (teller.primary, teller.epoch);
        let is_open = |id: &usize| network().with(*id, |connection| !connection.is_over());
        let is_reached = |slot: usize| !network().with_node(slot, |node| node.is_out_of_reach());
        let living = self.living(false);
        let say_so = living.iter().map(|&who| &self.sentinels[who]);
        let say_so = say_so.filter(|who| (who.primary, who.epoch) == word && who.slot.is_some_and(is_reached));
        let heard = say_so.filter(|who| who.subscribers.iter().any(is_open)).count();
        teller.epoch > self.given_up || heard == living.len().max(3)
    }

    /// One event in eight is lost on its way, with the connection it was on.
    pub(super) fn publish(&mut self, who: usize, channel: &str, payload: &str) {
        let lost = kernel().one_in(8);
        for id in self.sentinels[who].subscribers.clone() {
            if lost {
                kernel().after(0, move || network().with(id, Connection::break_off));
                continue;
            }
            let push = answers::message(
                network().with(id, |connection| connection.session.has_pushes()),
                channel,
                payload,
            );
            network().with(id, |connection| connection.session.put(&push));
            kernel().after(0, move || network().serve_later(id));
            let sentinel = &self.sentinels[who];
            if channel == "+switch-master" && !sentinel.foreign && self.is_to_be_followed(sentinel) {
                self.told.push(Told {
                    at: kernel().now(),
                    who,
                    slot: sentinel.slot.unwrap(),
                    connection: id,
                    primary: sentinel.primary,
                    epoch: sentinel.epoch,
                });
            }
        }
    }
}
