//! The servers, the proxies in front of them, and what is done to them, one fault after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sentinel_lab::{Authority, Config, Cut, Proxy, Tls, Topology};

/// How long a topology may take to come to rest.
const REST: Duration = Duration::from_secs(90);

/// How long a failover may take.
const FAILOVER: Duration = Duration::from_secs(40);

type Fault = (&'static str, fn(&mut Faults));

/// A channel that pours: so many messages a turn, of so many bytes.
const POURED: &str = "for i = 1, 2000 do redis.call('PUBLISH', KEYS[1], ARGV[1]) end";
const POURED_BYTES: usize = 200;

/// Each once in so many; the dearer ones are not rarer, for they are what the library is for.
const FAULTS: [Fault; 18] = [
    ("a flood of messages", Faults::pour),
    ("silence single connections", |on| {
        let primary = on.topology.primary();
        for _ in 0..on.random.usize(1..4) {
            on.nodes[primary].silence_one(on.random.usize(..));
        }
        on.wait_ms(500..6000);
        on.nodes[primary].pass();
    }),
    ("kill the primary", |on| {
        on.lose_primary(|t, i| t.kill(i), |t, i| t.restart(i))
    }),
    ("end the primary", |on| {
        on.lose_primary(|t, i| t.terminate(i), |t, i| t.restart(i))
    }),
    ("stop the primary", |on| {
        on.lose_primary(|t, i| t.stop(i), |t, i| t.cont(i))
    }),
    ("stop the primary for a moment", |on| {
        let primary = on.topology.primary();
        on.topology.stop(primary);
        on.wait_ms(50..350);
        on.topology.cont(primary);
    }),
    ("order a failover", Faults::order),
    ("order two failovers", |on| {
        on.order();
        on.settle();
        on.order();
    }),
    ("kill a replica", |on| {
        let replica = on.any_replica();
        on.topology.kill(replica);
        on.wait_ms(500..3000);
        on.topology.restart(replica);
    }),
    ("stop a replica", |on| {
        let replica = on.any_replica();
        on.topology.stop(replica);
        on.wait_ms(500..3000);
        on.topology.cont(replica);
    }),
    ("cut off from the primary", |on| {
        let primary = on.topology.primary();
        on.nodes[primary].black_hole();
        on.wait_ms(100..4000);
        on.nodes[primary].pass();
    }),
    ("cut off from all nodes", |on| {
        on.nodes.iter().for_each(Proxy::black_hole);
        on.wait_ms(100..3000);
        on.nodes.iter().for_each(Proxy::pass);
    }),
    ("cut off from all Sentinels", |on| {
        on.sentinels.iter().for_each(Proxy::black_hole);
        on.wait_ms(500..4000);
        on.sentinels.iter().for_each(Proxy::pass);
    }),
    ("reset every connection", |on| {
        on.nodes
            .iter()
            .chain(&on.sentinels)
            .for_each(|proxy| proxy.cut_all(Cut::Reset));
    }),
    ("slow and in slices", |on| {
        for proxy in on.nodes.iter().chain(&on.sentinels) {
            proxy.delay(Duration::from_millis(20));
            proxy.slice(7);
        }
        on.wait_ms(500..2000);
        on.nodes.iter().chain(&on.sentinels).for_each(Proxy::pass);
    }),
    ("kill a Sentinel", |on| {
        let sentinel = on.random.usize(..3);
        on.topology.kill_sentinel(sentinel);
        on.wait_ms(500..4000);
        on.topology.restart_sentinel(sentinel);
    }),
    ("stop a Sentinel, kill the primary", |on| {
        let sentinel = on.random.usize(..3);
        on.topology.stop_sentinel(sentinel);
        on.lose_primary(|t, i| t.kill(i), |t, i| t.restart(i));
        on.topology.cont_sentinel(sentinel);
    }),
    ("cut off from the Sentinels during a failover", |on| {
        on.sentinels.iter().for_each(Proxy::black_hole);
        on.order();
        on.wait_ms(1000..3000);
        on.sentinels.iter().for_each(Proxy::pass);
    }),
];

/// All that there is to break.
pub(crate) struct Faults {
    topology: Topology,
    /// Of the servers' certificates, with TLS=1.
    authority: Option<Authority>,
    nodes: Vec<Proxy>,
    sentinels: Vec<Proxy>,
    random: fastrand::Rng,
    log: Vec<(Duration, &'static str)>,
    troubles: usize,
}

impl Faults {
    pub(crate) fn start(seed: u64) -> Faults {
        let authority = (crate::from_env("TLS", 0) == 1).then(Authority::new);
        let tls = authority.as_ref().map(|authority| Tls {
            ca: authority.ca(),
            identity: authority.issue("server", &["127.0.0.1", "localhost"]),
            clients_have_certificates: false,
            among_servers: true,
        });
        let config = Config::default();
        let topology = Topology::start(match tls {
            Some(tls) => config.tls(tls),
            None => config,
        });
        let proxies = |addresses: Vec<(String, u16)>| addresses.into_iter().map(|(_, port)| Proxy::to(port)).collect();
        Faults {
            nodes: proxies(topology.nodes()),
            sentinels: proxies(topology.sentinels()),
            topology,
            authority,
            random: fastrand::Rng::with_seed(seed),
            log: Vec::new(),
            troubles: 0,
        }
    }

    /// The ports to begin with.
    pub(crate) fn sentinels(&self) -> String {
        let ports: Vec<String> = self.sentinels.iter().map(|proxy| proxy.port().to_string()).collect();
        ports.join(",")
    }

    /// The file of the authority to trust; empty without TLS.
    pub(crate) fn ca(&self) -> String {
        self.authority.as_ref().map_or_else(String::new, Authority::ca)
    }

    /// From each server to its proxy.
    pub(crate) fn address_map(&self) -> String {
        let servers = self.topology.nodes().into_iter().chain(self.topology.sentinels());
        let pairs: Vec<String> = servers
            .zip(self.nodes.iter().chain(&self.sentinels))
            .map(|((host, port), proxy)| format!("{host}:{port}=127.0.0.1:{}", proxy.port()))
            .collect();
        pairs.join(",")
    }

    /// A while of calm, then a fault and what cures it.
    pub(crate) fn next(&mut self, started: Instant) {
        self.settle();
        self.wait_ms(500..4000);
        // The flood once to begin with, for what the program grows to by it is no leak later.
        let turn = if self.log.is_empty() {
            0
        } else {
            self.random.usize(..FAULTS.len())
        };
        let (name, fault) = FAULTS[turn];
        self.log.push((started.elapsed(), name));
        println!("soak: {:7.1} s  {name}", started.elapsed().as_secs_f64());
        // The laboratory panics when a server does not do what it is told.
        if catch_unwind(AssertUnwindSafe(|| fault(self))).is_err() {
            self.troubles += 1;
            self.mend();
        }
    }

    fn wait_ms(&mut self, range: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.random.u64(range)));
    }

    fn any_replica(&mut self) -> usize {
        let replicas = self.topology.replicas();
        replicas[self.random.usize(..replicas.len())]
    }

    /// Publishes as fast as the primary can, for a while.
    fn pour(&mut self) {
        let payload = "x".repeat(POURED_BYTES);
        let end = Instant::now() + Duration::from_millis(self.random.u64(500..3000));
        let primary = self.topology.node(self.topology.primary());
        while Instant::now() < end {
            primary.ask(&["EVAL", POURED, "1", crate::flood::CHANNEL, &payload]);
        }
    }

    fn lose_primary(&mut self, lose: fn(&Topology, usize), find: fn(&Topology, usize)) {
        let old = self.topology.primary();
        lose(&self.topology, old);
        self.topology.wait_for_primary_change(old, FAILOVER);
        self.wait_ms(0..1500);
        find(&self.topology, old);
    }

    /// A failover that the Sentinels give up or turn back is ordered again.
    fn order(&mut self) {
        let old = self.topology.primary();
        for _ in 0..4 {
            self.topology.fail_over();
            let ordered = Instant::now();
            while ordered.elapsed() < FAILOVER / 4 {
                if self.topology.primary() != old {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("four failovers were ordered, and node {old} is still the primary");
    }

    /// Everything runs again and nothing is in the way.
    fn mend(&mut self) {
        self.nodes.iter().chain(&self.sentinels).for_each(Proxy::pass);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for index in 0..3 {
                if !self.topology.node(index).is_responsive() {
                    self.topology.restart(index);
                }
                if !self.topology.sentinel(index).is_responsive() {
                    self.topology.restart_sentinel(index);
                }
            }
        }));
    }

    /// Waits until the servers are at rest; once mended they must be.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2 {
            let started = Instant::now();
            while started.elapsed() < REST {
                match catch_unwind(AssertUnwindSafe(|| self.topology.unsettled())) {
                    Ok(None) => return,
                    _ => std::thread::sleep(Duration::from_millis(50)),
                }
            }
            self.mend();
        }
        println!(
            "soak: not at rest: {:?}\n{}",
            self.topology.unsettled(),
            self.topology.log_tails()
        );
        self.troubles += 1;
    }

    /// What was done, and when.
    pub(crate) fn log(&self) -> &[(Duration, &'static str)] {
        &self.log
    }

    /// How often the servers did not do what they were told.
    pub(crate) fn troubles(&self) -> usize {
        self.troubles
    }

    /// How often each was done.
    pub(crate) fn summary(&self) -> String {
        let counts = FAULTS.iter().map(|(name, _)| {
            let count = self.log.iter().filter(|(_, done)| done == name).count();
            format!("soak: {count:4} x {name}\n")
        });
        format!(
            "soak: {} faults\n{}",
            self.log.len(),
            counts.collect::<String>().trim_end()
        )
    }
}
