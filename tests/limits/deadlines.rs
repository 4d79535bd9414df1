//! Calls that nobody answers: how late they end, and what it costs to take one back.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use sentinel::ErrorKind;
use sentinel::completion::{CallId, Target};
use sentinel_lab::FakeNode;

use crate::noise::Noise;
use crate::support::{Figure, LOADED, Late, PATIENCE, World, take, within};

const ROUNDS: usize = 3;
/// Cancels whose time is taken.
const CANCELS: usize = 1000;

/// A thousand threads, each with one SET of 60 KB, and a node that has fallen silent.
pub(crate) fn thousand() -> Figure {
    const LIMIT: Duration = Duration::from_millis(800);
    let node = FakeNode::start();
    let world = World::new(&[(LOADED, node.port())], &[]);
    let client = world.ready(LOADED);
    node.set_silent(true);
    let value = vec![b'x'; 60_000];
    let noise = Noise::measure();
    let late = std::thread::scope(|scope| {
        let call = || {
            let deadline = Instant::now() + LIMIT;
            let result = client.command(&[b"SET", b"k", &value], &within(LIMIT));
            let end = Instant::now();
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
            (deadline, end)
        };
        let threads: Vec<_> = (0..1000).map(|_| scope.spawn(call)).collect();
        let mut late = Late::default();
        for thread in threads {
            let (deadline, end) = thread.join().unwrap();
            late.at(deadline, end);
        }
        late
    });
    late.worst(&noise)
}

/// How long this thread was ready to run and did not get a processor, since it began.
fn waited_for_a_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = stat.split(' ').nth(1).and_then(|text| text.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// 64 threads that ask again and again for what no Sentinel tells them, a millisecond each time.
pub(crate) fn short() -> Figure {
    const LIMIT: Duration = Duration::from_millis(1);
    let sentinel = sentinel_lab::FakeSentinel::start(LOADED, 1);
    sentinel.die();
    let mut options = sentinel::Options::new();
    options.add_sentinel("127.0.0.1", sentinel.port()).unwrap();
    let deployment = sentinel::Deployment::open(&options).unwrap();
    let client = deployment.primary_for(Some(LOADED), None).unwrap();
    let noise = Noise::measure();
    let ready = Barrier::new(64);
    let end = Instant::now() + Duration::from_secs(2);
    let call = || {
        let mut worst = Figure::default();
        ready.wait();
        while Instant::now() < end {
            let (began, waited) = (Instant::now(), waited_for_a_processor());
            client.command(&[b"SET", b"k", b"v"], &within(LIMIT)).unwrap_err();
            let late = began.elapsed().saturating_sub(LIMIT);
            let own = waited_for_a_processor().saturating_sub(waited);
            if late > Duration::from_millis(1) {
                let machine = own.max(noise.between(began, Instant::now()));
                let (value, machine) = (late.as_secs_f64() * 1e3, machine.as_secs_f64() * 1e3);
                worst = worst.worse(Figure { value, machine });
            }
        }
        worst
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(call)).collect();
        let figures = threads.into_iter().map(|thread| thread.join().unwrap());
        figures.fold(Figure::default(), Figure::worse)
    })
}

/// Microseconds of a cancel while so many calls wait that were not sent.
fn cancel(waiting: usize) -> f64 {
    let node = FakeNode::start();
    let world = World::new(&[(LOADED, node.port())], &[]);
    let client = world.ready(LOADED);
    let queue = world.deployment.queue(1 << 16).unwrap();
    node.set_silent(true);
    let submit = |value: &[u8], tag: usize| -> CallId {
        let target = Target::Queue(&queue, tag as u64);
        client
            .submit(&[b"SET", b"k", value], &within(PATIENCE), target)
            .unwrap()
    };
    // What the kernel takes on both sides; what is behind it waits.
    let filler = vec![b'x'; 12_000];
    let full = 600;
    (0..full).for_each(|tag| _ = submit(&filler, tag));
    std::thread::sleep(Duration::from_millis(200));
    let calls: Vec<CallId> = (0..waiting).map(|tag| submit(b"0123456789", full + tag)).collect();
    let each = waiting / CANCELS;
    let began = Instant::now();
    calls.iter().step_by(each).for_each(|id| client.cancel(*id).unwrap());
    let took = began.elapsed();
    let mut cancelled = 0;
    take(&queue, CANCELS, |entry, _| {
        cancelled += 1;
        assert!(entry.tag as usize >= full, "{entry:?}");
    });
    assert_eq!(cancelled, CANCELS);
    world.deployment.close(0).ok();
    took.as_secs_f64() * 1e6 / CANCELS as f64
}

fn best(waiting: usize) -> f64 {
    (0..ROUNDS).map(|_| cancel(waiting)).fold(f64::INFINITY, f64::min)
}

pub(crate) fn cancel_of_20_000() -> Figure {
    Figure {
        value: best(20_000),
        machine: 0.0,
    }
}

pub(crate) fn cancel_growth() -> Figure {
    Figure {
        value: best(20_000) / best(5000),
        machine: 0.0,
    }
}
