//! At most once, counted at the servers: what is left of writes after the primary was killed under them.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::{CallOptions, Client, Error, Outcome};
use sentinel_lab::{Config, Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, open_on, run, serving_port, text, words};

/// What became of the calls of some threads.
#[derive(Default)]
struct Tally {
    made: AtomicUsize,
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    others: Mutex<Vec<Error>>,
}

impl Tally {
    fn add(&self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.acknowledged.fetch_add(1, Ordering::SeqCst),
            Err(error) if error.outcome() == Outcome::Unknown => self.unknown.fetch_add(1, Ordering::SeqCst),
            Err(error) => {
                let mut others = self.others.lock().unwrap();
                others.push(error);
                others.len()
            }
        };
    }

    fn of(count: &AtomicUsize) -> usize {
        count.load(Ordering::SeqCst)
    }
}

/// Both replicas have the write: it outlives the primary, whichever of them comes next.
const CONFIRMED: CallOptions = CallOptions {
    timeout_ms: 500,
    retry_unknown: false,
    no_retry: false,
    replicas: 2,
    wait_aof: false,
};

/// Calls until `done`; a pause between them leaves the servers the processor that a failover needs.
fn keep_calling(done: &AtomicBool, tally: &Tally, call: impl Fn(usize) -> Result<(), Error>) {
    while !done.load(Ordering::Relaxed) {
        let turn = tally.made.fetch_add(1, Ordering::SeqCst);
        tally.add(call(turn));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the primary under `writing` so many times.
fn kill_under(topology: &Topology, client: &Client, writing: &Tally) {
    let kills: usize = std::env::var("KILLS").map_or(2, |kills| kills.parse().expect("KILLS is a number"));
    for _ in 0..kills {
        let old = topology.primary();
        topology.kill(old);
        let new = topology.wait_for_primary_change(old, PATIENCE);
        let before = Tally::of(&writing.acknowledged);
        wait_until("writes at the new primary", PATIENCE, || {
            Tally::of(&writing.acknowledged) > before + 100
        });
        assert_eq!(serving_port(client), topology.node(new).port());
        topology.restart(old);
        topology.wait_for_settled();
    }
}

#[test]
fn no_write_is_done_more_often_than_it_was_called_for_through_kills_of_the_primary() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET warm up");
    let insistent = CallOptions {
        retry_unknown: true,
        timeout_ms: 20_000,
        ..CallOptions::default()
    };
    let patient = CallOptions {
        timeout_ms: 20_000,
        ..CallOptions::default()
    };
    let (increments, entries, insisted) = (Tally::default(), Tally::default(), Tally::default());
    let confirmed = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (client, done) = (&client, &done);
        for _ in 0..8 {
            scope.spawn(|| {
                keep_calling(done, &increments, |_| {
                    client.command(&words("INCR once:count"), &patient).map(drop)
                });
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                keep_calling(done, &entries, |turn| {
                    let entry = format!("RPUSH once:list {turn}");
                    client.command(&words(&entry), &patient).map(drop)
                });
            });
            scope.spawn(|| {
                keep_calling(done, &insisted, |_| {
                    client.command(&words("INCR once:insisted"), &insistent).map(drop)
                });
            });
        }
        scope.spawn(|| {
            for turn in 0.. {
                let entry = format!("RPUSH once:confirmed {turn}");
                if done.load(Ordering::Relaxed) {
                    break;
                }
                if client.command(&words(&entry), &CONFIRMED).is_ok() {
                    confirmed.lock().unwrap().push(turn.to_string());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        // The writers end also when the scene panics.
        let scene = std::panic::AssertUnwindSafe(|| kill_under(&topology, client, &increments));
        let ended = std::panic::catch_unwind(scene);
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    for tally in [&increments, &entries, &insisted] {
        let others = tally.others.lock().unwrap();
        assert!(
            others.is_empty(),
            "what was not executed is repeated: {:?}",
            others.first()
        );
    }
    let count: usize = text(&client, "GET once:count").parse().unwrap();
    let (made, acknowledged, unknown) = (
        Tally::of(&increments.made),
        Tally::of(&increments.acknowledged),
        Tally::of(&increments.unknown),
    );
    println!("{made} increments: {acknowledged} acknowledged, {unknown} unknown, {count} are there");
    assert_eq!(made, acknowledged + unknown);
    assert!(unknown > 0, "the kills met no call");
    assert!(
        count.saturating_sub(acknowledged) <= unknown,
        "more were done than can be"
    );
    // A killed primary takes acknowledged writes with it, which would hide those that were done twice; entries do not.
    let list = run(&client, "LRANGE once:list 0 -1").unwrap();
    let mut seen = HashSet::new();
    for entry in list.elements() {
        assert!(seen.insert(entry.data().to_vec()), "{} was written twice", entry.text());
    }
    assert!(seen.len() <= Tally::of(&entries.made));
    let list = run(&client, "LRANGE once:confirmed 0 -1").unwrap();
    let kept: HashSet<String> = list.elements().map(|entry| entry.text().into_owned()).collect();
    let confirmed = confirmed.into_inner().unwrap();
    println!("{} entries were confirmed by both replicas", confirmed.len());
    assert!(confirmed.len() > 100, "{} confirmed", confirmed.len());
    for entry in &confirmed {
        assert!(
            kept.contains(entry),
            "{entry} was confirmed by both replicas and is gone"
        );
    }
    assert_eq!(
        Tally::of(&insisted.unknown),
        0,
        "UNKNOWN is repeated when the caller says so"
    );
}
