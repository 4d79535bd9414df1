//! Bursts of submissions to real servers over TLS, with failovers in between: no payload is in the data twice, and none
//! that was called not sent is in it at all.
//!
//! `make check-tls-storm APPENDS=5000000` is the same at length; there the processor time of the process is looked at too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{Queue, Target};
use sentinel::resp::Reply;
use sentinel::{Client, Deadline, ErrorKind, Outcome, Result};
use sentinel_lab::{Config, SetOnDrop, Topology, cpu_time};

use crate::support::{PATIENCE, SERVICE, within};
use crate::tls::world::World;

/// Submitted at once.
const BURST: usize = 8000;
const KEYS: usize = 1000;
/// Bursts until the keys are read and others take their place: 64 KiB a key.
const ROUND: usize = 8;
/// A number in sixteen digits, and what fills it up.
const PAYLOAD: usize = 1024;
/// No call ends for want of time.
const LIMIT_MS: i64 = 60_000;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number in the environment"))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Ok,
    Unknown,
    /// NOT_SENT or REFUSED: it was not executed.
    Never,
}

/// What happened to the servers, as far as the callers' books need it.
#[derive(Default)]
struct Weather {
    /// Failovers that have begun, and those that are over.
    begun: AtomicU64,
    over: AtomicU64,
    ended: AtomicBool,
    /// Appends that have ended.
    appended: AtomicU64,
    /// Completions so far: a process in which none come has nothing to do.
    completed: AtomicU64,
}

#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    unknown: u64,
    never: u64,
    /// Acknowledged, and gone with an old primary.
    lost: u64,
    /// Behind one of the same key that was submitted later.
    inverted: u64,
    wrong: Vec<String>,
}

fn key(round: usize, number: usize) -> String {
    format!("storm:{round}:{}", number % KEYS)
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("{number:016}").into_bytes();
    payload.resize(PAYLOAD, b'.');
    payload
}

/// Takes the ends of so many calls, each at its tag.
fn take(queue: &Queue, count: usize, weather: &Weather) -> Vec<Result<Reply>> {
    let mut ends: Vec<Option<Result<Reply>>> = (0..count).map(|_| None).collect();
    let (mut taken, deadline) = (
        0,
        Deadline::after(Some(Duration::from_millis(2 * LIMIT_MS.unsigned_abs()))),
    );
    while taken < count {
        let polled = queue.poll(count - taken, deadline, |entry| {
            let before = ends[usize::try_from(entry.tag).unwrap()].replace(entry.result);
            assert!(before.is_none(), "two completions for {}", entry.tag);
        });
        let Ok(Polled::Some(some)) = polled else {
            panic!("{taken} of {count} completions: {polled:?}");
        };
        taken += some;
        weather.completed.fetch_add(some as u64, Ordering::Relaxed);
    }
    ends.into_iter().map(Option::unwrap).collect()
}

/// Submits numbers from `first` on, a burst of them, and takes how each ended.
fn burst(
    (client, queue, weather): (&Client, &Arc<Queue>, &Weather),
    round: usize,
    first: usize,
    tally: &mut Tally,
) -> Vec<End> {
    for number in first..first + BURST {
        let (key, payload) = (key(round, number), payload(number));
        let target = Target::Queue(queue, (number - first) as u64);
        let args: [&[u8]; 3] = [b"APPEND", key.as_bytes(), &payload];
        client.submit(&args, &within(LIMIT_MS), target).unwrap();
    }
    let mut end = |(tag, end): (usize, Result<Reply>)| match end {
        Ok(reply) => {
            if reply.integer().rem_euclid(1024) != 0 {
                tally.wrong.push(format!("APPEND {} gave {reply:?}", first + tag));
            }
            End::Ok
        }
        Err(error) => {
            if matches!(error.kind(), ErrorKind::Protocol { .. }) || error.to_string().contains("nobody asked") {
                tally.wrong.push(format!("{}: {error}", first + tag));
            }
            match error.outcome() {
                Outcome::Unknown => End::Unknown,
                Outcome::NotSent | Outcome::Refused => End::Never,
            }
        }
    };
    let ends = take(queue, BURST, weather).into_iter();
    ends.enumerate().map(&mut end).collect()
}

/// Reads all keys of a round with what they hold, and lets go of them.
fn read((client, queue, weather): (&Client, &Arc<Queue>, &Weather), round: usize) -> Vec<Vec<u8>> {
    let all = |name: &str| -> Vec<Result<Reply>> {
        for number in 0..KEYS {
            let key = key(round, number);
            let target = Target::Queue(queue, number as u64);
            client
                .submit(&[name.as_bytes(), key.as_bytes()], &within(LIMIT_MS), target)
                .unwrap();
        }
        take(queue, KEYS, weather)
    };
    let values = all("GET").into_iter().map(|value| value.unwrap().data().to_vec());
    let values = values.collect();
    // That a failover takes one of these away does not matter.
    drop(all("UNLINK"));
    values
}

/// Holds what the servers have against what the callers were told.
fn judge(values: &[Vec<u8>], first: usize, ends: &[End], calm: bool, tally: &mut Tally) {
    let mut seen = vec![0u32; ends.len()];
    for value in values {
        let mut last = 0;
        for payload in value.chunks(PAYLOAD) {
            let number = std::str::from_utf8(&payload[..16])
                .ok()
                .and_then(|text| text.parse::<usize>().ok());
            let place = number
                .and_then(|number| number.checked_sub(first))
                .filter(|place| *place < ends.len());
            let Some(place) = place.filter(|_| payload.len() == PAYLOAD) else {
                tally
                    .wrong
                    .push(format!("no payload: {:?}", String::from_utf8_lossy(payload)));
                continue;
            };
            seen[place] += 1;
            tally.inverted += u64::from(place < last);
            last = last.max(place);
        }
    }
    for (place, (end, seen)) in ends.iter().zip(seen).enumerate() {
        let number = first + place;
        match end {
            End::Ok => tally.ok += 1,
            End::Unknown => tally.unknown += 1,
            End::Never => tally.never += 1,
        }
        match (end, seen) {
            (_, 2..) => tally.wrong.push(format!("{number} is there {seen} times, {end:?}")),
            (End::Never, 1) => tally.wrong.push(format!("{number} was called not sent and is there")),
            (End::Ok, 0) if calm => tally.wrong.push(format!("{number} was acknowledged and is not there")),
            (End::Ok, 0) => tally.lost += 1,
            _ => {}
        }
    }
}

/// Kills the primary and orders failovers by turns, spread over all the calls.
fn fail_over(topology: &Topology, weather: &Weather, appends: u64, failovers: u64) {
    for number in 0..failovers {
        let due = appends * (2 * number + 1) / (2 * failovers);
        while weather.appended.load(Ordering::Relaxed) < due {
            if weather.ended.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        topology.wait_for_settled();
        weather.begun.fetch_add(1, Ordering::SeqCst);
        let old = topology.primary();
        if number % 2 == 0 {
            topology.kill(old);
            topology.wait_for_primary_change(old, PATIENCE * 2);
            topology.restart(old);
        } else {
            topology.fail_over();
            topology.wait_for_primary_change(old, PATIENCE * 2);
        }
        topology.wait_for_settled();
        weather.over.fetch_add(1, Ordering::SeqCst);
    }
}

/// How long nothing completed, and the processor time that this took.
fn watch(weather: &Weather) -> (Duration, Duration) {
    let own = std::process::id();
    let (mut idle, mut spent) = (Duration::ZERO, Duration::ZERO);
    let mut before = (weather.completed.load(Ordering::Relaxed), Instant::now(), cpu_time(own));
    while !weather.ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let now = (weather.completed.load(Ordering::Relaxed), Instant::now(), cpu_time(own));
        let waits = weather.begun.load(Ordering::SeqCst) > weather.over.load(Ordering::SeqCst);
        if waits && now.0 == before.0 {
            idle += now.1 - before.1;
            spent += now.2 - before.2;
        }
        before = now;
    }
    (idle, spent)
}

fn storm(parts: (&Client, &Arc<Queue>, &Weather), appends: u64) -> Tally {
    let weather = parts.2;
    let _guard = SetOnDrop(&weather.ended);
    let mut tally = Tally::default();
    let bursts = usize::try_from(appends).unwrap().div_ceil(BURST);
    let (mut number, mut rounds) = (0, 0);
    while number < bursts * BURST && tally.wrong.is_empty() {
        let (before, first) = (weather.begun.load(Ordering::SeqCst), number);
        let calm = before == weather.over.load(Ordering::SeqCst);
        let mut ends = Vec::new();
        for _ in 0..ROUND.min(bursts - number / BURST) {
            ends.extend(burst(parts, rounds, number, &mut tally));
            number += BURST;
            weather.appended.store(number as u64, Ordering::Relaxed);
        }
        let values = read(parts, rounds);
        let calm = calm && before == weather.begun.load(Ordering::SeqCst);
        judge(&values, first, &ends, calm, &mut tally);
        rounds += 1;
    }
    tally
}

#[test]
fn no_append_of_a_burst_over_tls_runs_twice_through_failovers() {
    let appends = from_env("APPENDS", 80_000);
    let failovers = from_env("FAILOVERS", if appends > 80_000 { 30 } else { 2 });
    let alone = std::env::var_os("APPENDS").is_some();
    let world = World::new(Config::default(), |tls| tls);
    let deployment = world.open(&[]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(10_000).unwrap();
    let queue = deployment.queue(BURST).unwrap();
    let (weather, began) = (Weather::default(), Instant::now());
    let (tally, (idle, spent)) = std::thread::scope(|scope| {
        let (weather, topology) = (&weather, &world.topology);
        scope.spawn(move || fail_over(topology, weather, appends, failovers));
        let watching = scope.spawn(move || watch(weather));
        let tally = storm((&client, &queue, weather), appends);
        (tally, watching.join().unwrap())
    });
    let over = weather.over.into_inner();
    println!(
        "{} ok ({} lost with an old primary), {} unknown, {} not sent; {} out of order; {over} failovers, {:.1} s; {:.2} s \
         of processor time in {:.2} s in which nothing completed",
        tally.ok,
        tally.lost,
        tally.unknown,
        tally.never,
        tally.inverted,
        began.elapsed().as_secs_f64(),
        spent.as_secs_f64(),
        idle.as_secs_f64()
    );
    let few: Vec<&String> = tally.wrong.iter().take(20).collect();
    assert!(few.is_empty(), "{} wrong: {few:#?}", tally.wrong.len());
    assert!(over == failovers, "{over} of {failovers} failovers");
    // Other tests of the suite are in the same process.
    let spins = alone && spent > idle / 4 + Duration::from_millis(200);
    assert!(!spins, "{spent:?} of processor time in {idle:?} of waiting");
}
