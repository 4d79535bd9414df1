//! At most once, counted at the servers: what is left of writes after the primary was killed under them.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::{CallOptions, Client, Error, Outcome};
use sentinel_lab::{Config, SetOnDrop, Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, open_on, run, serving_port, tell, text, words};

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

/// An acknowledged INCR: the count that it answered with, and how many kills there had been when it began and ended.
struct Increment {
    count: i64,
    began: usize,
    ended: usize,
}

/// What the replicas had around a kill of the primary.
struct Kill {
    /// The count that both of them were seen to have before it.
    before: i64,
    /// The count with which the one began that was promoted.
    kept: i64,
}

/// Every acknowledged INCR of one key, and the kills.
///
/// What a primary takes with it can be told from outside. Each INCR answers with the count that it made, so on one
/// primary no two have the same. When the primary is dead and the links to it are down, a replica has all of its stream
/// that it will ever have, and nobody writes to it before it is promoted: its count then is `kept`, and of the counts
/// that the dead primary acknowledged exactly those up to `kept` live on. So each kill has a loss that is known, and
/// the end is bounded from both sides: nothing acknowledged is missing beyond the losses, and nothing is there beyond
/// what was acknowledged or `UNKNOWN`.
#[derive(Default)]
struct Ledger {
    kills: Mutex<Vec<Kill>>,
    deaths: AtomicUsize,
    acknowledged: Mutex<Vec<Increment>>,
}

impl Ledger {
    fn increment(&self, client: &Client, call: &CallOptions) -> Result<(), Error> {
        let began = self.deaths.load(Ordering::SeqCst);
        let count = client.command(&words("INCR once:count"), call)?.integer();
        let ended = self.deaths.load(Ordering::SeqCst);
        self.acknowledged
            .lock()
            .unwrap()
            .push(Increment { count, began, ended });
        Ok(())
    }

    /// How many acknowledged increments each kill has cost.
    ///
    /// A call that began and ended between the same kills was done by the primary of that time. One that a kill met was
    /// done by either, and counts for the later one that can have done it: no two calls may need the same place.
    fn losses(&self) -> Vec<usize> {
        let (kills, mut calls) = (self.kills.lock().unwrap(), self.acknowledged.lock().unwrap());
        let mut done: Vec<HashSet<i64>> = (0..=kills.len()).map(|_| HashSet::new()).collect();
        calls.sort_by_key(|call| call.ended - call.began);
        for call in calls.iter() {
            let mut primaries = (call.began..=call.ended).rev();
            let found = primaries.any(|primary| {
                let begins_at = primary.checked_sub(1).map_or(0, |kill| kills[kill].kept);
                call.count > begins_at && done[primary].insert(call.count)
            });
            let Increment { count, began, ended } = call;
            assert!(
                found,
                "{count} was acknowledged twice, or by nobody: between kills {began} and {ended}"
            );
        }
        let losses = kills.iter().zip(&done).map(|(Kill { before, kept }, done)| {
            let lost: Vec<&i64> = done.iter().filter(|count| *count > kept).collect();
            let late = done.iter().filter(|count| *count > before).count();
            println!(
                "both had {before}, {kept} were kept: {} acknowledged ones lost of {late}",
                lost.len()
            );
            assert!(kept >= before, "{kept} were kept of {before} that both replicas had");
            lost.len()
        });
        losses.collect()
    }
}

fn count_of(topology: &Topology, node: usize) -> i64 {
    let count = topology.node(node).ask(&["GET", "once:count"]);
    if count.is_nil() {
        0
    } else {
        count.as_text().parse().unwrap()
    }
}

fn is_role(topology: &Topology, node: usize, wanted: &str) -> bool {
    topology.node(node).ask(&["ROLE"]).as_items()[0].as_text() == wanted
}

/// Acknowledged writes that the replicas certainly do not have when they are cut off before a kill.
const CUT_OFF: usize = 50;

/// Kills the primary under `writing` so many times. Before every second kill the replicas lose their links, so that what
/// is acknowledged from then on dies with the primary.
fn kill_under(topology: &Topology, client: &Client, writing: &Tally, ledger: &Ledger) {
    let kills: usize = std::env::var("KILLS").map_or(2, |kills| kills.parse().expect("KILLS is a number"));
    let acknowledged = |more: usize| {
        let before = Tally::of(&writing.acknowledged);
        wait_until("acknowledged writes", PATIENCE, || {
            Tally::of(&writing.acknowledged) > before + more
        });
    };
    for kill in 0..kills {
        let old = topology.primary();
        let replicas = topology.replicas();
        acknowledged(100);
        let before = replicas.iter().map(|node| count_of(topology, *node)).min().unwrap();
        if kill % 2 == 1 {
            replicas.iter().for_each(|node| topology.stop(*node));
            tell(topology.node(old), "CLIENT KILL TYPE replica");
            // Those under way at that moment may still be in the stream.
            acknowledged(CUT_OFF + 8);
        }
        topology.kill(old);
        if kill % 2 == 1 {
            replicas.iter().for_each(|node| topology.cont(*node));
        }
        wait_until("the links to go down", PATIENCE, || {
            let down = |node: &usize| {
                let info = topology.node(*node).ask(&["INFO", "replication"]).as_text();
                info.contains("master_link_status:down")
            };
            replicas.iter().all(down)
        });
        let kept: Vec<i64> = replicas.iter().map(|node| count_of(topology, *node)).collect();
        ledger.deaths.fetch_add(1, Ordering::SeqCst);
        let still = replicas.iter().all(|node| is_role(topology, *node, "slave"));
        assert!(still, "one was promoted before its count was read");
        let new = topology.wait_for_primary_change(old, PATIENCE);
        let place = replicas.iter().position(|node| *node == new).unwrap();
        let kept = kept[place];
        ledger.kills.lock().unwrap().push(Kill { before, kept });
        acknowledged(100);
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
    let ledger = Ledger::default();
    let confirmed = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        let (client, done) = (&client, &done);
        for _ in 0..8 {
            scope.spawn(|| {
                keep_calling(done, &increments, |_| ledger.increment(client, &patient));
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
        wait_until("confirmed entries", PATIENCE, || confirmed.lock().unwrap().len() > 100);
        kill_under(&topology, client, &increments, &ledger);
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
    let losses = ledger.losses();
    let lost: usize = losses.iter().sum();
    let cut_off = losses.iter().skip(1).step_by(2);
    assert!(cut_off.into_iter().all(|lost| *lost >= CUT_OFF), "{losses:?}");
    assert!(
        count >= acknowledged - lost,
        "of {acknowledged} acknowledged only {lost} may be lost"
    );
    assert!(count <= acknowledged - lost + unknown, "more were done than can be");
    // The same by name: no entry is there twice.
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
