//! Scripted sentinels beside the real ones: they say what those say, until they are told to lie.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sentinel_lab::{FakeReplica, FakeSentinel, Mode, SentinelView, Topology};

/// How often they ask the real ones.
const STEP: Duration = Duration::from_millis(100);

/// What one of them does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lie {
    /// It says what the real ones say.
    Honest,
    /// It names another primary, at the next epoch, and publishes a switch to it.
    WrongPrimary,
    /// It stays with what it said last, primary and epoch, whatever happens.
    StaleEpoch,
    /// It takes connections and commands and answers nothing.
    Silent,
    /// It knows no service.
    UnknownService,
}

impl Lie {
    const ALL: [(&'static str, Lie); 5] = [
        ("honest", Lie::Honest),
        ("wrong-primary", Lie::WrongPrimary),
        ("stale-epoch", Lie::StaleEpoch),
        ("silent", Lie::Silent),
        ("unknown-service", Lie::UnknownService),
    ];

    pub(crate) fn from(word: &str) -> Result<Lie, String> {
        let found = Lie::ALL.iter().find(|(name, _)| *name == word);
        let names: Vec<&str> = Lie::ALL.iter().map(|(name, _)| *name).collect();
        found
            .map(|(_, lie)| *lie)
            .ok_or_else(|| format!("no lie {word:?}; there are {}", names.join(", ")))
    }

    pub(crate) fn name(self) -> &'static str {
        let found = Lie::ALL.iter().find(|(_, lie)| *lie == self);
        found.map_or("honest", |(name, _)| name)
    }

    fn mode(self) -> Mode {
        match self {
            Lie::Silent => Mode::Silent,
            Lie::UnknownService => Mode::UnknownService,
            _ => Mode::Normal,
        }
    }
}

struct Fake {
    sentinel: FakeSentinel,
    lie: Mutex<Lie>,
}

impl Fake {
    fn lie(&self) -> MutexGuard<'_, Lie> {
        self.lie.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Says what the real ones say; a switch is published, as they do.
    fn follow(&self, truth: &Truth) {
        let lie = self.lie();
        if *lie == Lie::WrongPrimary || *lie == Lie::StaleEpoch {
            return;
        }
        self.tell(truth);
    }

    fn tell(&self, truth: &Truth) {
        let (host, port) = &truth.primary;
        if self.sentinel.edit(|view| view.primary != truth.primary) {
            self.sentinel.switch_master(host, *port);
        }
        self.sentinel.edit(|view| truth.write(view));
    }
}

/// What the real ones say.
struct Truth {
    epoch: u64,
    primary: (String, u16),
    replicas: Vec<FakeReplica>,
}

impl Truth {
    fn of(topology: &Topology) -> Option<Truth> {
        let (epoch, primary) = topology.named()?;
        let address = |index: usize| {
            let node = topology.node(index);
            (node.host().to_owned(), node.port())
        };
        let replica = |index: usize| {
            let (host, port) = address(index);
            let mut replica = FakeReplica::new(&host, port);
            if !topology.node(index).is_responsive() {
                replica.flags = "s_down,slave,disconnected".into();
                replica.link_status = "err".into();
            }
            replica
        };
        let others = (0..topology.nodes().len()).filter(|index| *index != primary);
        Some(Truth {
            epoch,
            primary: address(primary),
            replicas: others.map(replica).collect(),
        })
    }

    fn write(&self, view: &mut SentinelView) {
        view.primary = self.primary.clone();
        view.epoch = self.epoch;
        view.replicas = self.replicas.clone();
    }
}

/// All scripted sentinels of a topology.
pub(crate) struct Fakes {
    all: Arc<Vec<Fake>>,
}

impl Fakes {
    /// Starts so many, which follow `topology` on a thread of their own.
    pub(crate) fn start(count: usize, topology: &Arc<Topology>, password: Option<&str>) -> Fakes {
        let truth = (count > 0).then(|| Truth::of(topology)).flatten();
        let port = truth.as_ref().map_or(0, |truth| truth.primary.1);
        let one = |_| {
            let builder = FakeSentinel::builder(topology.service(), port).view(|view| {
                view.sentinels = topology.sentinels();
                if let Some(truth) = &truth {
                    truth.write(view);
                }
            });
            let builder = match password {
                Some(password) => builder.password(password),
                None => builder,
            };
            Fake {
                sentinel: builder.start(),
                lie: Mutex::new(Lie::Honest),
            }
        };
        let all: Arc<Vec<Fake>> = Arc::new((0..count).map(one).collect());
        if count > 0 {
            let (following, source) = (all.clone(), topology.clone());
            std::thread::spawn(move || {
                loop {
                    if let Some(truth) = Truth::of(&source) {
                        following.iter().for_each(|fake| fake.follow(&truth));
                    }
                    std::thread::sleep(STEP);
                }
            });
        }
        Fakes { all }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Name, address and lie of each.
    pub(crate) fn list(&self) -> Vec<(String, String, &'static str)> {
        let numbered = self.all.iter().enumerate();
        numbered
            .map(|(index, fake)| (format!("fake-{index}"), fake.sentinel.address(), fake.lie().name()))
            .collect()
    }

    /// Lets one of them lie; the wrong primary is `node`.
    pub(crate) fn tell(&self, index: usize, lie: Lie, topology: &Topology, node: Option<usize>) -> Result<(), String> {
        let fake = self.all.get(index).ok_or("there is no such scripted Sentinel")?;
        let truth = Truth::of(topology).ok_or("no Sentinel names a primary now")?;
        let mut current = fake.lie();
        *current = lie;
        match lie {
            Lie::WrongPrimary => {
                let wrong = node.map(|node| (topology.node(node).host().to_owned(), topology.node(node).port()));
                let first = truth
                    .replicas
                    .first()
                    .map(|replica| (replica.host.clone(), replica.port));
                let (host, port) = wrong.or(first).ok_or("there is no other node to name")?;
                fake.tell(&truth);
                fake.sentinel.switch_master(&host, port);
            }
            Lie::StaleEpoch => fake.tell(&truth),
            _ => {}
        }
        fake.sentinel.set_silent(lie == Lie::Silent);
        fake.sentinel.set_mode(lie.mode());
        Ok(())
    }
}
