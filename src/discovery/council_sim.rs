//! Whole lives of a [`Council`] under a virtual clock, from a seed: failovers, partitions, Sentinels that die and come
//! back with old news, pauses of the process, SENTINEL REMOVE and MONITOR.
//!
//! The Sentinels are modelled as SENTINEL.md's measurements show them: the leader of a failover knows first, the others
//! 50 to 120 ms later, a Sentinel restarted with an old configuration tells of it for some 285 ms.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use super::{Act, Council};
use crate::base::error::{Attempt, Stage};
use crate::net::Endpoint;
use crate::topology::Word;

/// Milliseconds of a life in which faults happen, and of the quiet in which the truth must be found.
const STORM_MS: u64 = 25_000;
const QUIET_MS: u64 = 8_000;

/// What a Sentinel believes: the node, and the epoch under which it was named.
type View = (usize, u64);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A Sentinel comes to a view, as the leader of a failover or by a hello.
    Learn {
        sentinel: usize,
        view: View,
        reset: u32,
    },
    /// The question that was sent to it is processed, or the wait for it is over.
    Answer {
        sentinel: usize,
        view: Option<View>,
    },
    /// An event of it arrives.
    Event {
        sentinel: usize,
    },
    /// The link tries again.
    Redial {
        sentinel: usize,
    },
    /// Something goes wrong, or is mended.
    Fault,
    Mend {
        sentinel: usize,
        stale: Option<View>,
    },
    Tick,
}

#[derive(Debug, Clone)]
struct Sentinel {
    view: View,
    /// Down, or cut off from the client.
    dark: bool,
    /// The client's link to it is up: events arrive.
    linked: bool,
    in_flight: bool,
    again: bool,
}

struct World {
    rng: fastrand::Rng,
    start: Instant,
    now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    count: u64,
    sentinels: Vec<Sentinel>,
    nodes: usize,
    truth: View,
    /// The highest epoch the Sentinels ever agreed to use.
    current_epoch: u64,
    resets: u32,
    paused_until: u64,
    council: Council,
    history: Vec<View>,
    switches: BTreeMap<(u32, u64), usize>,
    asked: u64,
    allowed: u64,
    quiet: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = *rng.choice(&[1usize, 3, 3, 3, 5]).unwrap();
        let nodes = rng.usize(2..5);
        let sentinel = Sentinel {
            view: (0, 1),
            dark: false,
            linked: false,
            in_flight: false,
            again: false,
        };
        let mut council = Council::new(Some(Duration::from_millis(1000)));
        for link in 0..count {
            council.seat(link, &Endpoint::new("sentinel", 26379));
        }
        council.know((0..nodes).map(node_at).collect());
        let mut world = World {
            rng,
            start: Instant::now() + Duration::from_secs(3600),
            now_ms: 0,
            queue: BinaryHeap::new(),
            count: 0,
            sentinels: vec![sentinel; count],
            nodes,
            truth: (0, 1),
            current_epoch: 1,
            resets: 0,
            paused_until: 0,
            council,
            history: Vec::new(),
            switches: BTreeMap::new(),
            asked: 0,
            allowed: 0,
            quiet: false,
        };
        let first = world.rng.u64(0..3000);
        world.at(first, Happening::Fault);
        world
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    fn at(&mut self, in_ms: u64, what: Happening) {
        self.count += 1;
        self.queue.push(Reverse((self.now_ms + in_ms, self.count, what)));
    }

    fn live(&mut self) {
        self.request();
        while self.now_ms < STORM_MS + QUIET_MS {
            self.schedule_tick();
            let Some(Reverse((due, _, what))) = self.queue.pop() else {
                break;
            };
            self.now_ms = self.now_ms.max(due);
            if self.now_ms >= STORM_MS && !self.quiet {
                self.calm_down();
            }
            self.happen(what);
            self.check();
        }
    }

    fn schedule_tick(&mut self) {
        let Some(at) = self.council.next_tick() else { return };
        let due = u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap() + 1;
        let due = due.max(self.paused_until);
        self.at(due.saturating_sub(self.now_ms), Happening::Tick);
    }

    fn happen(&mut self, what: Happening) {
        // While the process is paused nothing reaches it; the world goes on.
        let reaches = matches!(
            what,
            Happening::Answer { .. } | Happening::Event { .. } | Happening::Tick
        );
        if reaches && self.now_ms < self.paused_until {
            let wait = self.paused_until - self.now_ms;
            return self.at(wait, what);
        }
        match what {
            Happening::Learn { sentinel, view, reset } => self.learn(sentinel, view, reset),
            Happening::Answer { sentinel, view } => self.answer(sentinel, view),
            Happening::Event { sentinel } if self.sentinels[sentinel].linked => {
                self.allowed += self.sentinels.len() as u64;
                let (now, jitter) = (self.now(), self.rng.f64());
                let acts = self.council.primary_event(sentinel, false, now, jitter);
                self.carry_out(acts);
            }
            Happening::Event { .. } => {}
            Happening::Redial { sentinel } => self.ask(sentinel),
            Happening::Fault => self.fault(),
            Happening::Mend { sentinel, stale } => self.mend(sentinel, stale),
            Happening::Tick => {
                let (now, jitter) = (self.now(), self.rng.f64());
                if self.council.next_tick().is_some_and(|at| at <= now) {
                    self.allowed += 1 + self.sentinels.len() as u64;
                    let acts = self.council.tick(false, now, jitter);
                    self.carry_out(acts);
                }
            }
        }
    }

    fn request(&mut self) {
        let (now, jitter) = (self.now(), self.rng.f64());
        self.allowed += self.sentinels.len() as u64;
        let acts = self.council.request(now, jitter);
        self.carry_out(acts);
    }

    fn carry_out(&mut self, acts: Vec<Act>) {
        for act in acts {
            if let Act::Ask(link, _) = act {
                self.asked += 1;
                self.ask(link);
            }
        }
    }

    /// One question in flight a link, and one more behind it.
    fn ask(&mut self, sentinel: usize) {
        if self.sentinels[sentinel].in_flight {
            self.sentinels[sentinel].again = true;
            return;
        }
        self.sentinels[sentinel].in_flight = true;
        if self.sentinels[sentinel].dark {
            let wait = *self.rng.choice(&[1, 200, 300]).unwrap();
            return self.at(wait, Happening::Answer { sentinel, view: None });
        }
        let (way, view) = (self.rng.u64(0..8), self.sentinels[sentinel].view);
        self.at(
            way,
            Happening::Answer {
                sentinel,
                view: Some(view),
            },
        );
    }

    fn answer(&mut self, sentinel: usize, view: Option<View>) {
        let view = view.filter(|_| !self.sentinels[sentinel].dark);
        let again = std::mem::take(&mut self.sentinels[sentinel].again);
        self.sentinels[sentinel].in_flight = false;
        self.sentinels[sentinel].linked = view.is_some();
        let word = match view {
            Some(view) => self.names(sentinel, view),
            None => failed(),
        };
        self.hear(sentinel, word);
        match view {
            Some(_) if again => self.ask(sentinel),
            Some(_) => {}
            None => {
                let backoff = self.rng.u64(125..500);
                self.at(backoff, Happening::Redial { sentinel });
            }
        }
    }

    fn names(&self, sentinel: usize, (node, epoch): View) -> Word {
        let (primary, now) = (node_at(node), self.now());
        let since = match self.council.last_word(sentinel) {
            Some((
                _,
                Word::Names {
                    primary: said,
                    epoch: under,
                    since,
                    ..
                },
            )) if *said == primary && *under == epoch => *since,
            _ => now,
        };
        Word::Names {
            primary,
            epoch,
            since,
            heard: now,
        }
    }

    fn hear(&mut self, sentinel: usize, word: Word) {
        let (now, jitter) = (self.now(), self.rng.f64());
        self.allowed += self.sentinels.len() as u64;
        let acts = self.council.hear(sentinel, word, false, now, jitter);
        self.carry_out(acts);
    }

    fn learn(&mut self, sentinel: usize, view: View, reset: u32) {
        if reset != self.resets || (self.sentinels[sentinel].view.1 >= view.1 && reset == 0) {
            return;
        }
        self.sentinels[sentinel].view = view;
        if self.sentinels[sentinel].linked {
            let way = self.rng.u64(0..5);
            self.at(way, Happening::Event { sentinel });
        }
    }

    fn fault(&mut self) {
        if self.quiet {
            return;
        }
        let next = self.rng.u64(100..6000);
        self.at(next, Happening::Fault);
        match self.rng.u32(0..10) {
            0..4 => self.fail_over(),
            4..6 => self.darken(false),
            6..8 => self.darken(true),
            8 => self.paused_until = self.now_ms + self.rng.u64(50..5000),
            _ => self.begin_again(),
        }
    }

    fn fail_over(&mut self) {
        self.current_epoch += 1;
        let node = (self.truth.0 + self.rng.usize(1..self.nodes)) % self.nodes;
        self.truth = (node, self.current_epoch);
        let leader = self.rng.usize(0..self.sentinels.len());
        for sentinel in 0..self.sentinels.len() {
            let after = if sentinel == leader { 0 } else { self.rng.u64(50..120) };
            self.at(
                after,
                Happening::Learn {
                    sentinel,
                    view: self.truth,
                    reset: self.resets,
                },
            );
        }
    }

    /// A Sentinel dies or is cut off, and comes back, perhaps with the configuration it had long ago.
    fn darken(&mut self, dies: bool) {
        let sentinel = self.rng.usize(0..self.sentinels.len());
        if self.sentinels[sentinel].dark {
            return;
        }
        let stale = (dies && self.rng.bool()).then_some(self.sentinels[sentinel].view);
        self.sentinels[sentinel].dark = true;
        self.sentinels[sentinel].linked = false;
        self.hear(sentinel, failed());
        self.at(1, Happening::Redial { sentinel });
        let after = self.rng.u64(50..9000);
        self.at(after, Happening::Mend { sentinel, stale });
    }

    fn mend(&mut self, sentinel: usize, stale: Option<View>) {
        self.sentinels[sentinel].dark = false;
        if let Some(view) = stale.filter(|_| self.resets == 0) {
            self.sentinels[sentinel].view = view;
            self.at(
                285,
                Happening::Learn {
                    sentinel,
                    view: self.truth,
                    reset: self.resets,
                },
            );
        }
    }

    /// REMOVE and MONITOR on every Sentinel: the service starts again at epoch 0.
    fn begin_again(&mut self) {
        if self.resets > 0 || self.sentinels.iter().any(|sentinel| sentinel.dark) {
            return;
        }
        self.resets += 1;
        self.truth.1 = 0;
        for sentinel in 0..self.sentinels.len() {
            self.sentinels[sentinel].view = self.truth;
        }
    }

    fn calm_down(&mut self) {
        self.quiet = true;
        self.paused_until = self.now_ms;
        for sentinel in 0..self.sentinels.len() {
            self.sentinels[sentinel].dark = false;
            self.at(
                300,
                Happening::Learn {
                    sentinel,
                    view: self.truth,
                    reset: self.resets,
                },
            );
        }
    }

    /// At most one switch an epoch, and never to a lower one that no reset explains.
    fn check(&mut self) {
        let Some(adopted) = self.council.adopted() else { return };
        let node = (0..self.nodes).find(|&node| node_at(node) == adopted.primary).unwrap();
        let view = (node, adopted.epoch);
        let before = self.history.last().copied();
        if before == Some(view) {
            return;
        }
        if let Some((_, epoch)) = before {
            assert!(
                view.1 > epoch || self.resets > 0,
                "from epoch {epoch} back to {}",
                view.1
            );
        }
        self.history.push(view);
        let switches = self.switches.entry((self.resets, view.1)).or_default();
        *switches += 1;
        assert!(
            *switches <= 1,
            "{switches} switches in epoch {}: {:?}",
            view.1,
            self.history
        );
    }

    fn verify(&self) {
        let adopted = self
            .council
            .adopted()
            .map(|adopted| (adopted.primary.clone(), adopted.epoch));
        let truth = Some((node_at(self.truth.0), self.truth.1));
        assert_eq!(adopted, truth, "stuck; so far {:?}", self.history);
        assert!(
            self.asked <= self.allowed,
            "{} questions, {} had a reason",
            self.asked,
            self.allowed
        );
    }
}

fn node_at(node: usize) -> Endpoint {
    Endpoint::new("node", 7000 + u16::try_from(node).unwrap())
}

fn failed() -> Word {
    Word::Failed(Attempt {
        endpoint: "sentinel".into(),
        stage: Stage::Connect,
        cause: "refused".into(),
    })
}

/// `SEED=n` runs one life again, `SEEDS=n` so many from 0.
#[test]
fn every_life_ends_at_the_truth_without_a_step_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(5_000),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let seeds = seeds.clone().skip(first).step_by(threads);
            scope.spawn(|| seeds.for_each(live_and_verify));
        }
    });
}

fn live_and_verify(seed: u64) {
    let life = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        world.live();
        world.verify();
    });
    assert!(life.is_ok(), "the life of SEED={seed} went wrong, see above");
}
