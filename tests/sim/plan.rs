//! What a seed makes of a run, before anything happens.

use crate::kernel::Temper;
use crate::network::Weather;
use crate::options::Options;

const MS: u64 = 1_000_000;

/// What may befall the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    Switch,
    Freeze,
    Away,
    Crash,
    Break,
    Close,
    Silence,
    Rotate,
    Load,
    /// Writes are held for a while.
    Hold,
}

const ALL: [Mischief; 10] = [
    Mischief::Switch,
    Mischief::Freeze,
    Mischief::Away,
    Mischief::Crash,
    Mischief::Break,
    Mischief::Close,
    Mischief::Silence,
    Mischief::Rotate,
    Mischief::Load,
    Mischief::Hold,
];

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) temper: Temper,
    pub(crate) weather: Weather,
    pub(crate) nodes: usize,
    pub(crate) tls: bool,
    pub(crate) asks_login: bool,
    pub(crate) old_nodes: bool,
    pub(crate) hasty: u64,
    pub(crate) moody: u64,
    pub(crate) chatty: u64,
    pub(crate) callers: usize,
    pub(crate) calls: usize,
    /// What callers do: the more, the more of it is submitted.
    pub(crate) mix: u64,
    pub(crate) burst: u64,
    pub(crate) queue: usize,
    pub(crate) replica_clients: bool,
    /// All threads begin at once, with commands that the library does not know.
    pub(crate) overture: bool,
    pub(crate) storm: u64,
    pub(crate) pause: u64,
    pub(crate) mischief: Vec<Mischief>,
    /// Nothing else happens than that writes are held: what only reads notices nothing of it.
    pub(crate) only_holds: bool,
    direct: i64,
    lanes: i64,
    connections: i64,
    pending: i64,
    protocol: i64,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Plan {
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0x5ee0_0000_0000_0001);
        let mut mischief: Vec<Mischief> = ALL.to_vec();
        rng.shuffle(&mut mischief);
        mischief.truncate(rng.usize(0..6));
        let only_holds = rng.u64(..8) == 0;
        if only_holds {
            mischief = vec![Mischief::Hold];
        }
        let one_in = |rng: &mut fastrand::Rng, many: u64, what: u64| if rng.u64(..many) == 0 { what } else { 0 };
        let tls = rng.u64(..3) == 0;
        Plan {
            temper: Temper {
                preempts: [0, 4, 20, 60, 130][rng.usize(..5)],
                yields: [30, 128, 220, 255][rng.usize(..4)],
                costs: [1, 500, 2_000, 10_000][rng.usize(..4)],
            },
            weather: if only_holds { fair(weather(rng)) } else { weather(rng) },
            only_holds,
            nodes: 2 + rng.usize(..2),
            tls,
            asks_login: rng.u64(..3) == 0,
            old_nodes: !tls && rng.u64(..8) == 0,
            hasty: one_in(rng, 4, 3) * u64::from(!only_holds),
            moody: one_in(rng, 3, 20),
            callers: 1 + rng.usize(..6),
            calls: 10 + rng.usize(..60),
            mix: [14, 16, 30][rng.usize(..3)],
            burst: [1, 6, 40][rng.usize(..3)],
            queue: [8, 1_000, 100_000][rng.usize(..3)],
            replica_clients: rng.u64(..3) == 0,
            storm: rng.u64(100..4_000) * MS,
            pause: [20, 100, 600][rng.usize(..3)] * MS,
            mischief,
            direct: [1, 2, 2, 4][rng.usize(..4)],
            lanes: [1, 1, 1, 3][rng.usize(..4)],
            connections: [1, 2, 64][rng.usize(..3)],
            pending: [4, 64, 65_536][rng.usize(..3)],
            protocol: 2 + rng.i64(0..2),
            chatty: one_in(rng, 3, 5),
            overture: rng.u64(..6) == 0,
        }
    }

    /// The options of the deployment and its clients.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new();
        options.add_sentinel("10.0.0.99", 26_379).unwrap();
        for (key, value) in [
            ("pool.direct", self.direct),
            ("pool.lanes", self.lanes),
            ("pool.max_connections", self.connections),
            ("max_pending", self.pending),
            ("protocol", self.protocol),
            ("tls", i64::from(self.tls)),
        ] {
            options.set_int(key, value).unwrap();
        }
        if self.tls {
            options.set("tls.verify", "none").unwrap();
        }
        if self.asks_login {
            options.set_secret("password", b"first").unwrap();
        }
        options
    }
}

/// The same without anything that fails.
fn fair(weather: Weather) -> Weather {
    Weather {
        faulty: 0,
        refused: 0,
        hangs: 0,
        ..weather
    }
}

fn weather(rng: &mut fastrand::Rng) -> Weather {
    let fastest = [1_000, 50_000, 500_000][rng.usize(..3)];
    Weather {
        fastest,
        slowest: fastest * [1, 2, 10][rng.usize(..3)],
        room: [300, 2_000, 16_384, 200_000][rng.usize(..4)],
        piece: [7, 100, 1_460, 65_536][rng.usize(..4)],
        short: [0, 0, 4, 30][rng.usize(..4)],
        service: [1_000, 20_000, 200_000, 2_000_000][rng.usize(..4)],
        faulty: [0, 0, 3, 10, 30][rng.usize(..5)],
        refused: [0, 0, 0, 5][rng.usize(..4)],
        hangs: [0, 0, 0, 10][rng.usize(..4)],
    }
}
