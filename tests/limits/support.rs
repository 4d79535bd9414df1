//! What the lines share: servers that are slow, silent or lost, and figures less what the machine owes to them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{Entry, Queue, Target};
use sentinel::{CallOptions, Client, Deadline, Deployment, Options};
use sentinel_lab::{Config, FakeSentinel, Topology};

use crate::noise::Noise;

/// The service that a line loads, and the one beside it.
pub(crate) const LOADED: &str = "loaded";
pub(crate) const BESIDE: &str = "beside";

/// Until anything must have ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The worst of what was measured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    /// What of it is the machine's.
    pub(crate) machine: f64,
}

impl Figure {
    pub(crate) fn net(&self) -> f64 {
        (self.value - self.machine).max(0.0)
    }

    pub(crate) fn worse(self, other: Figure) -> Figure {
        if other.net() > self.net() { other } else { self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.machine {
            0.0 => write!(f, "{:.2}", self.value),
            _ => write!(f, "{:.2} + {:.2}", self.net(), self.machine),
        }
    }
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What came too late, and between which moments a thread had to run for it.
#[derive(Default)]
pub(crate) struct Late(Vec<(Instant, Instant, Duration)>);

impl Late {
    /// Something was wanted at `wanted` and was there now. Less than a millisecond is not kept: there are too many.
    pub(crate) fn note(&mut self, wanted: Instant) {
        self.at(wanted, Instant::now());
    }

    pub(crate) fn at(&mut self, wanted: Instant, end: Instant) {
        let late = end.saturating_duration_since(wanted);
        if late > Duration::from_millis(1) {
            self.0.push((wanted, end, late));
        }
    }

    pub(crate) fn append(&mut self, other: Late) {
        self.0.extend(other.0);
    }

    /// The one that is worst without what a thread that only sleeps was late by meanwhile.
    pub(crate) fn worst(&self, noise: &Noise) -> Figure {
        let mut worst: Vec<_> = self.0.iter().collect();
        // The machine can only make it less: behind the first few there is nothing to find.
        worst.sort_by_key(|(.., late)| std::cmp::Reverse(*late));
        let figures = worst.into_iter().take(200).map(|(from, to, late)| Figure {
            value: ms(*late),
            machine: ms(noise.between(*from, *to)),
        });
        figures.fold(Figure::default(), Figure::worse)
    }
}

/// A call with a deadline.
pub(crate) fn within(timeout: Duration) -> CallOptions {
    CallOptions {
        timeout_ms: i64::try_from(timeout.as_millis()).unwrap(),
        ..CallOptions::default()
    }
}

/// A deployment of scripted Sentinels, each for a service of its own on this port.
pub(crate) struct World {
    pub(crate) deployment: Deployment,
    pub(crate) sentinels: Vec<FakeSentinel>,
}

impl World {
    pub(crate) fn new(services: &[(&str, u16)], pairs: &[(&str, &str)]) -> World {
        let start = |(service, port): &(&str, u16)| FakeSentinel::start(service, *port);
        let sentinels: Vec<FakeSentinel> = services.iter().map(start).collect();
        let mut options = Options::new();
        for sentinel in &sentinels {
            options.add_sentinel("127.0.0.1", sentinel.port()).unwrap();
        }
        for (key, value) in pairs {
            options.set(key, value).unwrap();
        }
        let deployment = Deployment::open(&options).unwrap();
        World { deployment, sentinels }
    }

    pub(crate) fn client(&self, service: &str) -> Client {
        self.deployment.primary_for(Some(service), None).unwrap()
    }

    /// A client that has its first connection, and a lane.
    pub(crate) fn ready(&self, service: &str) -> Client {
        let client = self.client(service);
        client.connect(10_000).unwrap();
        let queue = self.deployment.queue(1).unwrap();
        let target = Target::Queue(&queue, 0);
        client.submit(&[b"GET", b"none"], &within(PATIENCE), target).unwrap();
        take(&queue, 1, |entry, _| _ = entry.result.unwrap());
        client
    }
}

/// A real server alone.
pub(crate) fn server() -> Topology {
    Topology::start(Config::default().nodes(1).sentinels(0))
}

/// Takes `count` completions with the moment at which each was had.
pub(crate) fn take(queue: &Arc<Queue>, count: usize, mut each: impl FnMut(Entry, Instant)) {
    let deadline = Deadline::after(Some(PATIENCE));
    let mut taken = 0;
    while taken < count {
        let polled = queue.poll(1000.min(count - taken), deadline, |entry| each(entry, Instant::now()));
        match polled {
            Ok(Polled::Some(some)) => taken += some,
            other => panic!("{taken} of {count} completions: {other:?}"),
        }
    }
}
