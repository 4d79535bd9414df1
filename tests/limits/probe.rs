//! Whether anything else is late meanwhile: a thread with small calls of another client of the same deployment, and one
//! that submits one each millisecond.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::Target;
use sentinel::completion::queue::Polled;
use sentinel::{CallOptions, Client, Deadline, Deployment};
use sentinel_lab::SetOnDrop;

use crate::noise::Noise;
use crate::support::{Figure, Late};

const STEP: Duration = Duration::from_millis(1);
const GET: [&[u8]; 2] = [b"GET", b"probe"];

/// Runs `load` with the probe beside it: the latest of its calls.
pub(crate) fn beside(deployment: &Deployment, client: &Client, load: impl FnOnce()) -> Figure {
    client.connect(10_000).unwrap();
    let ended = AtomicBool::new(false);
    let noise = Noise::measure();
    let late = std::thread::scope(|scope| {
        let guard = SetOnDrop(&ended);
        let calls = scope.spawn(|| call(client, &ended));
        let submissions = scope.spawn(|| submit(deployment, client, &ended));
        load();
        drop(guard);
        let mut late = calls.join().unwrap();
        late.append(submissions.join().unwrap());
        late
    });
    late.worst(&noise)
}

fn call(client: &Client, ended: &AtomicBool) -> Late {
    let mut late = Late::default();
    while !ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.command(&GET, &CallOptions::default()).unwrap();
        late.note(began);
        std::thread::sleep(STEP);
    }
    late
}

/// What the submitting thread itself was late by does not count: each has its time from its submission on.
fn submit(deployment: &Deployment, client: &Client, ended: &AtomicBool) -> Late {
    let queue = deployment.queue(1 << 16).unwrap();
    let began = Instant::now();
    let (mut late, mut next, mut completed) = (Late::default(), 0u64, 0u64);
    let mut submitted: Vec<Instant> = Vec::new();
    while !ended.load(Ordering::Relaxed) || completed < next {
        let due = began + STEP * u32::try_from(next).unwrap();
        if Instant::now() >= due && !ended.load(Ordering::Relaxed) {
            submitted.push(Instant::now());
            let target = Target::Queue(&queue, next);
            client.submit(&GET, &CallOptions::default(), target).unwrap();
            next += 1;
        }
        let due = (began + STEP * u32::try_from(next).unwrap()).saturating_duration_since(Instant::now());
        let polled = queue.poll(1000, Deadline::after(Some(due.max(STEP / 10))), |entry| {
            entry.result.unwrap();
            late.note(submitted[entry.tag as usize]);
        });
        match polled.unwrap() {
            Polled::Some(count) => completed += count as u64,
            Polled::Empty => {}
        }
    }
    late
}
