//! The process of the callers: one deployment, three clients, sixteen threads that wait for their calls, one that submits,
//! one that publishes and hears and one that a flood comes to, a line a second.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Deployment, Options};
use sentinel_lab::{SetOnDrop, count_fds, count_threads};

use crate::callers::{Account, Habit, World, habit, live};
use crate::hearers::{self, Heard};
use crate::punctual::Punctual;
use crate::sample::Sample;
use crate::submitter::{self, Submitted};
use crate::{flood, from_env};

const CALLERS: usize = 16;

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn held() -> (usize, usize) {
    let own = std::process::id();
    (count_fds(own), count_threads(own))
}

/// Threads that come for work which may block, such as the certificates of a new connection, and end a second later.
const HELPERS: [&str; 3] = ["sentinel-dns", "sentinel-files", "sentinel-aside"];

/// The threads that stay.
fn lasting_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // One that has ended meanwhile has no name any more.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| !HELPERS.contains(&name.trim_end())).count()
}

fn options() -> Options {
    let mut options = Options::new();
    for port in std::env::var("SOAK_SENTINELS").unwrap().split(',') {
        options.add_sentinel("127.0.0.1", port.parse().unwrap()).unwrap();
    }
    options.set("address.map", &std::env::var("SOAK_MAP").unwrap()).unwrap();
    let ca = std::env::var("SOAK_CA").unwrap_or_default();
    if !ca.is_empty() {
        for (key, value) in [
            ("tls", "1"),
            ("tls.ca_file", &ca),
            ("sentinel.tls", "1"),
            ("sentinel.tls.ca_file", &ca),
        ] {
            options.set(key, value).unwrap();
        }
    }
    options
}

/// Calls until standard input ends, then checks the books. Panics when a promise was broken.
pub(crate) fn run() {
    let before = held();
    let deployment = Deployment::open(&options()).unwrap();
    let world = Arc::new(World {
        primary: deployment.primary_for(Some("mymaster"), None).unwrap(),
        replica: deployment.replica_for(Some("mymaster"), None).unwrap(),
        punctual: Punctual::default(),
        stopped: AtomicBool::new(false),
        succeeded: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        started: Instant::now(),
        last_success_ms: AtomicU64::new(0),
        gap_ms: AtomicU64::new(0),
        pause: Duration::from_millis(from_env("PAUSE_MS", 2)),
    });
    world.primary.connect(10_000).expect("a primary to begin with");
    let (accounts, submitted, heard) = call_until_told(&world, &deployment);
    heard.lines.iter().for_each(|line| println!("soak: {line}"));
    println!("soak: {}", submitted.summary());
    let mut violations = heard.violations;
    violations.extend(balance(&world, accounts.into_iter().chain([submitted.account])));
    let (lines, late) = world.punctual.summary();
    lines.iter().for_each(|line| println!("soak: {line}"));
    if late > 0 {
        violations.push(format!("{late} calls ended too late"));
    }
    deployment.close(2000).unwrap();
    drop((world, deployment));
    // Of a thread that was joined, the kernel's entry may outlive the join by a moment.
    let patience = Instant::now() + Duration::from_secs(5);
    while held() != before && Instant::now() < patience {
        std::thread::yield_now();
    }
    println!("soak: descriptors and threads {before:?} before, {:?} after", held());
    if held() != before {
        violations.push("descriptors or threads are left".into());
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

fn call_until_told(world: &World, deployment: &Deployment) -> (Vec<Account>, Submitted, Heard) {
    let seed = from_env("SOAK_SEED", 0);
    std::thread::scope(|scope| {
        let punctual = SetOnDrop(&world.punctual.ended);
        let stopped = SetOnDrop(&world.stopped);
        scope.spawn(|| world.punctual.listen());
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| scope.spawn(move || live(world, number, seed.wrapping_add(number as u64))))
            .collect();
        let submitting = scope.spawn(|| submitter::live(world, deployment, seed.wrapping_add(100)));
        let hearing = scope.spawn(|| hearers::live(world, deployment, seed.wrapping_add(101)));
        let flooded = scope.spawn(|| flood::live(world, deployment));
        scope.spawn(|| tell(world));
        // The parent's end of the pipe closes also when the parent dies.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(stopped);
        let accounts = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let mut heard = hearing.join().unwrap();
        heard.lines.push(flooded.join().unwrap());
        let ended = (accounts, submitting.join().unwrap(), heard);
        drop(punctual);
        ended
    })
}

/// A line a second.
fn tell(world: &World) {
    for second in 1.. {
        let due = world.started + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (descriptors, _) = held();
        if world.stopped.load(Ordering::Relaxed) {
            // The callers are leaving.
            return;
        }
        let sample = Sample {
            second,
            succeeded: world.succeeded.swap(0, Ordering::Relaxed),
            failed: world.failed.swap(0, Ordering::Relaxed),
            gap_ms: world.gap_ms.swap(0, Ordering::Relaxed),
            rss_kib: rss_kib(),
            descriptors: descriptors as u64,
            threads: lasting_threads() as u64,
        };
        println!("{sample}");
    }
}

/// Holds what the callers were told against what the servers hold.
fn balance(world: &World, accounts: impl Iterator<Item = Account>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut total = [0u64; 5];
    for (number, mut account) in accounts.enumerate() {
        let counts = matches!(habit(number), Habit::Counts | Habit::Pipelines | Habit::Transacts);
        if counts || account.key == submitter::KEY {
            let get: [&[u8]; 2] = [b"GET", account.key.as_bytes()];
            match world.primary.command(&get, &CallOptions::default()) {
                Ok(reply) => account.ledger.close(reply.text().parse().unwrap_or(0), Instant::now()),
                Err(error) => violations.push(format!("GET {}: {error}", account.key)),
            }
        }
        let book = &account.ledger;
        let own = [
            book.acknowledged,
            book.unknown,
            book.lost,
            account.not_sent,
            account.refused,
        ];
        total.iter_mut().zip(own).for_each(|(sum, count)| *sum += count);
        violations.extend(
            account
                .ledger
                .violations
                .drain(..)
                .map(|text| format!("{}: {text}", account.key)),
        );
    }
    let [acknowledged, unknown, lost, not_sent, refused] = total;
    println!(
        "soak: {acknowledged} increments acknowledged, {unknown} unknown, {not_sent} calls not sent, {refused} refused; {lost} \
         acknowledged increments lost with an old primary"
    );
    violations
}
