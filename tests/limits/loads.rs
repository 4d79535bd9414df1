//! Large requests and large replies, and what is late beside them.

use std::time::{Duration, Instant};

use sentinel::completion::Target;
use sentinel::{Batch, BatchKind, CallOptions, Client, Error, ErrorKind};
use sentinel_lab::Proxy;

use crate::noise::Noise;
use crate::probe::beside;
use crate::support::{BESIDE, Figure, LOADED, Late, PATIENCE, World, server, take, within};

/// Runs a load on one server and the probe on another, through one deployment.
fn loaded(load: impl FnOnce(&World, &Client)) -> Figure {
    let (busy, calm) = (server(), server());
    let world = World::new(&[(LOADED, busy.node(0).port()), (BESIDE, calm.node(0).port())], &[]);
    let client = world.ready(LOADED);
    beside(&world.deployment, &world.ready(BESIDE), || load(&world, &client))
}

/// Submits so many at once, as far as they are taken, and those that were too many behind them.
fn submit_all(world: &World, client: &Client, count: usize, value: &[u8]) {
    let queue = world.deployment.queue(count).unwrap();
    let is_full = |error: &Error| matches!(error.kind(), ErrorKind::QueueFull { .. });
    let (mut done, mut open, mut most) = (0, 0, count);
    while done < count {
        while done + open < count && open < most {
            let target = Target::Queue(&queue, 0);
            match client.submit(&[b"SET", b"large", value], &within(PATIENCE), target) {
                Ok(_) => open += 1,
                Err(error) if is_full(&error) => most = open.max(1),
                Err(error) => panic!("{error}"),
            }
        }
        take(&queue, 1, |entry, _| {
            open -= 1;
            match entry.result {
                Ok(_) => done += 1,
                Err(error) if is_full(&error) => most = most.min(open.max(1)),
                Err(error) => panic!("{error}"),
            }
        });
    }
}

fn submitted(count: usize, size: usize) -> Figure {
    let value = vec![b'x'; size];
    loaded(|world, client| submit_all(world, client, count, &value))
}

pub(crate) fn megabytes() -> Figure {
    submitted(400, 1 << 20)
}

pub(crate) fn ten_megabytes() -> Figure {
    submitted(40, 10 << 20)
}

fn pipeline(run: impl FnOnce(&World, &Client, &Batch)) -> Figure {
    const COUNT: usize = 4000;
    loaded(|world, client| {
        let value = vec![b'x'; 100_000];
        client
            .command(&[b"SET", b"large", &value], &CallOptions::default())
            .unwrap();
        let mut batch = Batch::new(BatchKind::Pipeline);
        (0..COUNT).for_each(|_| batch.add(&[b"GET", b"large"]).unwrap());
        run(world, client, &batch);
    })
}

pub(crate) fn pipeline_waited() -> Figure {
    pipeline(|_, client, batch| {
        let reply = client.batch(batch, &within(PATIENCE)).unwrap();
        assert!(reply.elements().all(|value| value.data().len() == 100_000));
    })
}

pub(crate) fn pipeline_submitted() -> Figure {
    pipeline(|world, client, batch| {
        let queue = world.deployment.queue(1).unwrap();
        client
            .submit_batch(batch, &within(PATIENCE), Target::Queue(&queue, 0))
            .unwrap();
        take(&queue, 1, |entry, _| {
            let reply = entry.result.unwrap();
            assert!(reply.elements().all(|value| value.data().len() == 100_000));
        });
    })
}

pub(crate) fn pipeline_of_failures() -> Figure {
    const COUNT: usize = 1_000_000;
    loaded(|world, client| {
        client.command(&[b"LPUSH", b"list", b"x"], &within(PATIENCE)).unwrap();
        let mut batch = Batch::new(BatchKind::Pipeline);
        (0..COUNT).for_each(|_| batch.add(&[b"INCR", b"list"]).unwrap());
        let queue = world.deployment.queue(1).unwrap();
        client
            .submit_batch(&batch, &within(PATIENCE), Target::Queue(&queue, 0))
            .unwrap();
        take(&queue, 1, |entry, _| assert_eq!(entry.result.unwrap().len(), COUNT));
    })
}

pub(crate) fn four_of_400_megabytes() -> Figure {
    submitted(4, 400 << 20)
}

const LARGE: usize = 12;
/// So much takes a second on a line that is sliced so.
const SECOND: usize = 5 << 20;
const SLICE: usize = 1024;

/// A slow line to a real server, and a client that knows no other.
struct Slow {
    world: World,
    proxy: Proxy,
    _server: sentinel_lab::Topology,
}

impl Slow {
    fn new() -> Slow {
        let server = server();
        let proxy = Proxy::to(server.node(0).port());
        let world = World::new(&[(LOADED, proxy.port())], &[]);
        Slow {
            world,
            proxy,
            _server: server,
        }
    }

    /// Measures `get` some times once the large ones are under way.
    fn measure(&self, noise: &Noise, mut get: impl FnMut()) -> Figure {
        let before = self.proxy.bytes_from_client();
        let began = Instant::now();
        while self.proxy.bytes_from_client() < before + (SECOND / 4) as u64 {
            assert!(began.elapsed() < PATIENCE, "the large ones are not under way");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut late = Late::default();
        for _ in 0..5 {
            let began = Instant::now();
            get();
            late.note(began);
        }
        late.worst(noise)
    }
}

pub(crate) fn small_beside_large() -> Figure {
    let slow = Slow::new();
    let client = slow.world.ready(LOADED);
    let value = vec![b'x'; SECOND];
    slow.proxy.slice(SLICE);
    let noise = Noise::measure();
    std::thread::scope(|scope| {
        let set = || client.command(&[b"SET", b"large", &value], &within(PATIENCE)).map(drop);
        let sets: Vec<_> = (0..LARGE).map(|_| scope.spawn(set)).collect();
        let figure = slow.measure(&noise, || {
            client.command(&[b"GET", b"small"], &within(PATIENCE)).unwrap();
        });
        slow.proxy.pass();
        sets.into_iter().for_each(|set| set.join().unwrap().unwrap());
        figure
    })
}
