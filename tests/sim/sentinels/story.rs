//! What befalls the Sentinels, and what must hold of the client.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::court::{Court, NODES, SLOTS, Told};
use super::{MS, absence, address, answers, court, foresight, names};
use crate::discovery::Discovery;
use crate::discovery::watcher::{Ends, Watcher};
use crate::kernel::kernel;
use crate::kernel::trace::tell;
use crate::net::{Endpoint, Vault};
use crate::network::{Weather, network};
use crate::node::{Life, live};
use crate::observe::{Log, Observer};
use crate::options::Options;
use crate::topology::{self, Hint, Request, Snapshots};

/// Things happen for so long; then it is quiet, and the truth must be found.
const STORM: u64 = 60_000 * MS;
const FINDS: u64 = 35_000 * MS;
/// All Sentinels have this port.
const PORT: u16 = 26_379;
const SETTLED: u64 = 12_000 * MS;
const QUIET: u64 = 20_000 * MS;
pub(super) const END: u64 = STORM + FINDS + QUIET;

/// What is told on a connection is known so much later: the primary, and its replicas.
const SOON: (u64, u64) = (300 * MS, 3_200 * MS);
const SOON_WHEN_SLOW: (u64, u64) = (2_000 * MS, 4_000 * MS);

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mischief {
    Failover,
    /// A Sentinel dies and comes back where it was.
    Restart,
    /// The same elsewhere, with its run id.
    Move,
    /// Another one takes its place elsewhere.
    Replace,
    /// Another one takes its place in its place.
    Rebirth,
    /// Its address goes to another deployment, and it comes back elsewhere.
    Reuse,
    /// Its machine is out of reach for a while.
    Away,
    /// The program is told where the Sentinels are.
    Update,
    /// SENTINEL REMOVE and MONITOR on all of them: the epochs begin again.
    Again,
    /// All die, some of their addresses, or all, go to another deployment, and all come back, where they were.
    Eclipse,
    /// All are out of reach, and their name leads to another deployment until they are back.
    Detour,
}

const ALL: [Mischief; 11] = [
    Mischief::Failover,
    Mischief::Restart,
    Mischief::Move,
    Mischief::Replace,
    Mischief::Rebirth,
    Mischief::Reuse,
    Mischief::Away,
    Mischief::Update,
    Mischief::Again,
    Mischief::Eclipse,
    Mischief::Detour,
];

/// The plan of a seed.
#[derive(Debug, Clone)]
pub(super) struct Tale {
    count: usize,
    seeds: usize,
    /// One of the given addresses was never anybody's.
    wrong_seed: bool,
    /// What is given is the name of all of ours.
    by_name: bool,
    /// And a name that nobody knows.
    wrong_name: bool,
    pub(super) dead: usize,
    pub(super) old: bool,
    slow: bool,
    /// Nothing is asked without an event.
    unpolled: bool,
    mischief: Vec<Mischief>,
    /// One of the addresses that are given, of four at least, leads to another deployment from the start.
    taken: bool,
}

impl Tale {
    pub(super) fn of(seed: u64) -> Tale {
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0x5e17_1e15);
        let mut mischief = ALL.to_vec();
        rng.shuffle(&mut mischief);
        mischief.truncate(1 + rng.usize(..5));
        mischief.push(Mischief::Failover);
        let count = [3, 3, 5][rng.usize(..3)];
        let seeds = 1 + rng.usize(..count);
        let mut tale = Tale {
            count,
            seeds,
            wrong_seed: rng.u8(..4) == 0,
            by_name: rng.u8(..3) == 0,
            wrong_name: rng.u8(..4) == 0,
            dead: [0, 0, 0, 20, 300][rng.usize(..5)],
            old: rng.u8(..4) == 0,
            slow: rng.u8(..4) == 0,
            unpolled: false,
            mischief,
            taken: false,
        };
        // Where ours are slow the first verdict does not wait for them.
        tale.taken = seeds >= 3 && rng.bool() && !tale.slow;
        tale.unpolled = rng.u8(..3) == 0;
        tale
    }

    pub(super) fn weather(&self) -> Weather {
        Weather {
            fastest: MS / 10,
            slowest: if self.slow { 90 * MS } else { 2 * MS },
            room: 1 << 20,
            piece: 1 << 16,
            short: 0,
            service: if self.slow { 20 * MS } else { MS },
            faulty: 0,
            refused: 0,
            hangs: 0,
        }
    }
}

/// The client, and what it says.
pub(super) struct Client {
    discovery: Rc<Discovery>,
    snapshot: Snapshots,
    requests: mpsc::UnboundedSender<Request>,
    given: RefCell<Vec<usize>>,
    tale: Tale,
    waits: RefCell<foresight::Waits>,
}

/// Begins the story. It ends when the world says that it is over.
pub(super) fn begin(tale: Tale) -> Rc<Client> {
    let slots = court(|court| {
        for foreign in std::iter::repeat_n(false, tale.count).chain([true; 3]) {
            let slot = court.free_slot();
            court.begin(slot, foreign);
        }
        court.greet_each_other();
        court
            .living(false)
            .into_iter()
            .filter_map(|who| court.sentinels[who].slot)
            .collect::<Vec<_>>()
    });
    let given: Vec<usize> = slots.into_iter().take(tale.seeds).collect();
    let mut options = Options::new();
    if tale.taken {
        let stranger = court(|court| court.living(true).into_iter().find_map(|who| court.sentinels[who].slot));
        let at = address(stranger.unwrap());
        options.add_sentinel(&at.ip().to_string(), at.port()).unwrap();
    }
    court(Court::publish_names);
    if tale.by_name {
        options.add_sentinel(names::OURS, PORT).unwrap();
    } else {
        for slot in &given {
            let at = address(*slot);
            options.add_sentinel(&at.ip().to_string(), at.port()).unwrap();
        }
    }
    if tale.wrong_name {
        options.add_sentinel(names::NOWHERE, PORT).unwrap();
    }
    if tale.wrong_seed {
        options.add_sentinel("10.9.9.9", 26_379).unwrap();
    }
    if tale.mischief.contains(&Mischief::Detour) {
        options.set("sentinel.resolve_ms", "2000").unwrap();
    }
    if tale.unpolled {
        options.set("discovery.refresh_ms", "0").unwrap();
    }
    let settings = options.deployment().unwrap();
    let vault = Vault::new(settings.credentials.clone());
    let observer = Arc::new(Observer::new(Log::silent()));
    let discovery = Discovery::new(settings, vault, observer);
    let (snapshots, snapshot) = topology::snapshots();
    let (requests, requested) = mpsc::unbounded_channel();
    let ends = Ends {
        snapshot: snapshots,
        words: Arc::default(),
        requests: requested,
        unserved: Arc::default(),
    };
    tokio::task::spawn_local(Watcher::new("s", Rc::clone(&discovery), ends).run());
    let client = Rc::new(Client {
        discovery,
        snapshot,
        requests,
        given: RefCell::new(given),
        tale,
        waits: RefCell::default(),
    });
    client.requests.send(Request::Look(Hint::Lost)).unwrap();
    let (hello, dead, published) = (2_000 * MS, 1_000 * MS, 3_000 * MS);
    again(published, || court(Court::publish_names));
    again(hello, || court(Court::greet_each_other));
    again(dead, || court(Court::look_for_the_dead));
    let looks = Rc::clone(&client);
    again(20 * MS, move || looks.check());
    let scout = Rc::clone(&client);
    again(4 * MS, move || {
        foresight::scout(&scout.snapshot.newest(), &scout.requests)
    });
    let storm = Rc::clone(&client);
    kernel().after(4_000 * MS, move || storm.befall());
    let truth = Rc::clone(&client);
    kernel().at(STORM + FINDS, move || truth.knows_the_truth());
    let end = Rc::clone(&client);
    kernel().at(END, move || end.ends());
    client
}

/// Each so often, until the end.
fn again(every: u64, mut what: impl FnMut() + 'static) {
    kernel().after(every, move || {
        if kernel().now() < END {
            what();
            again(every, what);
        }
    });
}

impl Client {
    fn befall(self: Rc<Self>) {
        if kernel().now() >= STORM {
            return;
        }
        let what = kernel().pick(&self.tale.mischief);
        tell(|| format!("{what:?}"));
        self.one(what);
        let next = kernel().between(300 * MS, 9_000 * MS);
        kernel().after(next, move || self.befall());
    }

    fn one(&self, what: Mischief) {
        match what {
            // Some tell of it beforehand.
            Mischief::Failover if !kernel().one_in(4) => foresight::fail_over(self.victim()),
            Mischief::Failover => court(Court::fail_over),
            Mischief::Update => self.update(),
            Mischief::Eclipse if self.victim().is_some() => absence::eclipse(),
            // Ours are remembered when they have been believed for a while.
            Mischief::Detour if self.tale.by_name && kernel().now() > SETTLED && self.victim().is_some() => {
                absence::detour();
            }
            Mischief::Eclipse | Mischief::Detour => {}
            Mischief::Again => {
                if self.victim().is_some() {
                    court(Court::begin_again);
                }
            }
            _ => {
                let Some(victim) = self.victim() else { return };
                self.strike(what, victim);
            }
        }
    }

    /// One of ours that can be spared: most of them stay, all of them know each other, and the client hears another one.
    fn victim(&self) -> Option<usize> {
        let living = court(|court| court.living(false));
        if living.len() != self.tale.count {
            return None;
        }
        let victim = kernel().pick(&living);
        let others: Vec<usize> = living.iter().copied().filter(|&who| who != victim).collect();
        let known = court(|court| {
            let knows = |one: usize, other: usize| {
                let (run_id, slot) = (&court.sentinels[other].run_id, court.sentinels[other].slot);
                let peer = court.sentinels[one].peers.get(run_id);
                peer.is_some_and(|peer| !peer.down && Some(peer.slot) == slot)
            };
            others
                .iter()
                .all(|&one| others.iter().all(|&other| one == other || knows(one, other)))
        });
        let heard = others.iter().any(|&who| {
            court(|court| court.sentinels[who].slot)
                .is_some_and(|slot| !network().with_node(slot, |node| node.is_out_of_reach()) && self.has_a_say(slot))
        });
        (known && heard).then_some(victim)
    }

    /// The client knows the one there to be ours.
    fn has_a_say(&self, slot: usize) -> bool {
        let at = Endpoint::new(address(slot).ip().to_string(), PORT);
        self.discovery.members().with(|who| who.has_a_say_at(&at))
    }

    fn strike(&self, what: Mischief, victim: usize) {
        let slot = court(|court| court.sentinels[victim].slot).unwrap();
        let back = kernel().between(100 * MS, 8_000 * MS);
        if what == Mischief::Away {
            live(slot, Life::Away);
            return kernel().after(back, move || {
                if court(|court| court.at(slot)) == Some(victim) {
                    live(slot, Life::Up);
                }
            });
        }
        court(|court| court.kill(victim));
        if what == Mischief::Reuse {
            let soon = kernel().between(0, back);
            kernel().after(soon, move || {
                court(|court| court.begin(slot, true));
            });
        }
        kernel().after(back, move || {
            court(|court| match what {
                Mischief::Restart => court.start(victim, slot),
                Mischief::Rebirth => {
                    court.begin(slot, false);
                }
                Mischief::Replace => {
                    let free = court.free_slot();
                    court.begin(free, false);
                }
                _ => {
                    let free = court.free_slot();
                    court.start(victim, free);
                }
            });
        });
    }

    fn update(&self) {
        let slots: Vec<usize> = court(|court| {
            let living = court.living(false);
            living.into_iter().filter_map(|who| court.sentinels[who].slot).collect()
        });
        self.given.replace(slots.clone());
        let given = |slot: &usize| {
            let at = address(*slot);
            Endpoint::new(at.ip().to_string(), at.port())
        };
        self.discovery.give(&slots.iter().map(given).collect::<Vec<_>>());
    }

    /// Never to another deployment, no more dials than there may be, and what is told is followed.
    fn check(&self) {
        self.follows();
        let snapshot = self.snapshot.newest();
        self.waits.borrow_mut().look(&snapshot);
        let Some(primary) = snapshot.primary.as_ref().map(|node| node.endpoint.clone()) else {
            return;
        };
        let ours = (0..NODES).any(|node| answers::host(false, node) == primary.host);
        let now = kernel().now();
        let may_be_there = court(|court| court.told_elsewhere || now < court.elsewhere_until);
        if !ours && !may_be_there {
            tell(|| self.discovery.members().with(|who| format!("{who:#?}")));
        }
        assert!(
            ours || may_be_there,
            "writes go to {primary}, which is another deployment's"
        );
        let dials = court(|court| court.dials.iter().filter(|&&at| at + 1_000 * MS > now).count());
        // Sixteen at once, and each second ten, or as many as were given, before a name led elsewhere perhaps; with RESP2 a link
        // that is there has a second connection.
        let seconds = if self.tale.old { self.most_open() } else { 0 };
        let given = self.discovery.members().with(|who| who.given());
        let most = 16 + given.max(10) + 6 + seconds;
        assert!(dials <= most, "{dials} dials in a second");
    }

    /// A switch that one of ours told on a connection which is still there is followed soon, whether anything is polled or
    /// not: the primary, and a little later the replicas of that primary, for lists are read once a second at the most.
    fn follows(&self) {
        let (soon, lists) = if self.tale.slow { SOON_WHEN_SLOW } else { SOON };
        let now = kernel().now();
        let told = court(|court| std::mem::take(&mut court.told));
        let (due, early) = told
            .into_iter()
            .filter(|told| self.hears_of(told))
            .partition::<Vec<_>, _>(|told| told.at + lists <= now);
        let snapshot = self.snapshot.newest();
        for told in due.iter().chain(&early).filter(|told| told.at + soon <= now) {
            assert!(
                snapshot.epoch >= told.epoch,
                "{told:?} is not followed: {:?} is known, under {}",
                snapshot.primary.as_ref().map(|node| &node.endpoint),
                snapshot.epoch
            );
        }
        for told in due.into_iter().filter(|told| told.epoch == snapshot.epoch) {
            let left_out = snapshot.left_out.iter().map(|(node, _)| node);
            let listed = snapshot.replicas.iter().chain(left_out);
            let listed: BTreeSet<String> = listed.map(|node| node.endpoint.host.clone()).collect();
            let replicas = (0..NODES).filter(|node| *node != told.primary);
            let replicas: BTreeSet<String> = replicas.map(|node| answers::host(false, node)).collect();
            assert_eq!(listed, replicas, "the replicas after {told:?}");
        }
        court(|court| court.told.splice(..0, early).for_each(drop));
    }

    /// The Sentinel that told of it is one of ours to the client, and where it was.
    fn hears_of(&self, told: &Told) -> bool {
        let stayed = court(|court| court.sentinels[told.who].slot == Some(told.slot));
        let is_open = network().with(told.connection, |connection| !connection.is_over());
        let is_reached = !network().with_node(told.slot, |node| node.is_out_of_reach());
        stayed && is_open && is_reached && self.has_a_say(told.slot)
    }

    fn knows_the_truth(&self) {
        let snapshot = self.snapshot.newest();
        let known = snapshot
            .primary
            .as_ref()
            .map(|node| (node.endpoint.host.clone(), snapshot.epoch));
        let truth = court(|court| (answers::host(false, court.truth.0), court.truth.1));
        assert_eq!(known, Some(truth), "the client has not found its primary");
        court(|court| {
            court.dials.clear();
            court.commands.clear();
            court.greeted.clear();
        });
    }

    /// In quiet times little is asked, and hardly anybody is dialled.
    fn ends(&self) {
        let (dials, commands) = court(|court| (court.dials.len(), court.commands.clone()));
        let greeted = court(|court| court.greeted.clone());
        let seconds = usize::try_from(QUIET / (1_000 * MS)).unwrap();
        assert!(dials <= 5 * seconds, "{dials} dials in {seconds} quiet seconds");
        for slot in 0..SLOTS {
            let asked = commands.iter().filter(|(_, of)| *of == slot).count();
            // Two, and what events of others add; a slow one that lost its link is greeted, and asked everything once.
            let is_new = self.tale.slow && greeted.contains(&slot);
            let most = seconds * 5 / 2 + 2 + if is_new { 14 } else { 0 };
            // And where one of the others is lost this one is asked where it is by now.
            let most = most + if self.tale.slow { 8 } else { 0 };
            assert!(
                asked <= most,
                "{} was asked {asked} times in {seconds} s",
                address(slot)
            );
        }
        let open: usize = (0..SLOTS).filter(|&slot| !network().of_node(slot).is_empty()).count();
        assert!(open <= self.most_open(), "{open} Sentinels are connected to");
        // A slow one may have lost its link just now.
        let unheard = court(|court| {
            let is_open = |id: &&usize| network().with(**id, |connection| !connection.is_over());
            let is_heard = |who: &usize| court.sentinels[*who].subscribers.iter().any(|id| is_open(&id));
            let living = court.living(false).into_iter();
            living
                .filter(|who| !is_heard(who))
                .map(|who| court.sentinels[who].run_id.clone())
                .collect::<Vec<_>>()
        });
        if !unheard.is_empty() {
            tell(|| self.discovery.members().with(|who| format!("{who:#?}")));
        }
        assert!(
            unheard.len() <= usize::from(self.tale.slow),
            "{unheard:?} are not heard"
        );
        court(|court| court.over = true);
    }

    /// How many links there may be.
    fn most_open(&self) -> usize {
        let of_the_name = if self.tale.by_name { self.tale.count } else { 0 };
        self.given.borrow().len().max(of_the_name)
            + usize::from(self.tale.wrong_seed)
            + usize::from(self.tale.taken)
            + 5
    }
}
