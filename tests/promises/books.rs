//! Writers whose every write can be told from all others at the end, and readers beside them.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Client, Error, Outcome};
use sentinel_lab::Value;

/// Between two calls of a thread: it leaves the servers the processor that a failover needs.
const PAUSE: Duration = Duration::from_millis(5);

/// How a writer leaves its marks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// RPUSH of a number.
    List,
    /// APPEND of a number of fixed length.
    Text,
    /// INCR, of which only the sum can be told.
    Count,
}

const LEN: usize = 9;

impl Kind {
    fn of(writer: usize) -> Kind {
        [Kind::List, Kind::Text, Kind::Count][writer % 3]
    }

    fn call(self, client: &Client, key: &str, number: usize) -> Result<(), Error> {
        let call = CallOptions::default();
        let mark = match self {
            Kind::List => number.to_string(),
            Kind::Text => format!("{number:08},"),
            Kind::Count => String::new(),
        };
        let (key, mark) = (key.as_bytes(), mark.as_bytes());
        let reply = match self {
            Kind::List => client.command(&[b"RPUSH", key, mark], &call),
            Kind::Text => client.command(&[b"APPEND", key, mark], &call),
            Kind::Count => client.command(&[b"INCR", key], &call),
        };
        reply.map(drop)
    }
}

/// One write.
struct Entry {
    sent: Instant,
    done: Instant,
    failure: Option<Error>,
}

/// What a writer was told.
struct Book {
    kind: Kind,
    key: String,
    entries: Vec<Entry>,
}

/// Times at which calls in flight may fail: a kill, or a failover from its order to its end.
pub(crate) type Disturbance = (Instant, Instant);

/// Who writes and who reads; each writer is one thread with one call under way.
#[derive(Default)]
pub(crate) struct Traffic {
    stopped: AtomicBool,
    books: Mutex<Vec<Book>>,
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    failed_reads: Mutex<Vec<String>>,
}

impl Traffic {
    /// Writes until [`stop`](Traffic::stop).
    pub(crate) fn write(&self, writer: usize, client: &Client) {
        let (kind, key) = (Kind::of(writer), format!("book:{writer}"));
        let mut entries = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let sent = Instant::now();
            let failure = kind.call(client, &key, entries.len()).err();
            self.writes.fetch_add(u64::from(failure.is_none()), Ordering::Relaxed);
            entries.push(Entry {
                sent,
                done: Instant::now(),
                failure,
            });
            std::thread::sleep(PAUSE);
        }
        self.books.lock().unwrap().push(Book { kind, key, entries });
    }

    /// Reads until [`stop`](Traffic::stop).
    pub(crate) fn read(&self, client: &Client) {
        let began = Instant::now();
        while !self.stopped.load(Ordering::Relaxed) {
            let result = client.command(&[b"GET", b"book:1"], &CallOptions::default());
            match result {
                Ok(_) => _ = self.reads.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    let at = began.elapsed();
                    self.failed_reads
                        .lock()
                        .unwrap()
                        .push(format!("after {at:.3?}: {error}"));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Holds what the writers were told against what the primary has, and says everything that is not right.
    pub(crate) fn balance(&self, disturbances: &[Disturbance], ask: impl Fn(&str) -> Value) -> Vec<String> {
        let mut faults: Vec<String> = self
            .failed_reads
            .lock()
            .unwrap()
            .iter()
            .map(|error| format!("a read failed {error}"))
            .collect();
        let (mut acknowledged, mut failed, mut lost) = (0, 0, 0);
        for book in self.books.lock().unwrap().iter() {
            acknowledged += book.entries.iter().filter(|entry| entry.failure.is_none()).count();
            failed += book.entries.iter().filter(|entry| entry.failure.is_some()).count();
            faults.extend(book.failures(disturbances));
            lost += match book.kind {
                Kind::Count => book.settle_count(&ask, &mut faults),
                _ => book.settle_marks(disturbances, &ask, &mut faults),
            };
        }
        println!(
            "{acknowledged} writes acknowledged, {failed} failed, {} reads, {} of them failed; {lost} acknowledged writes were \
             lost while the primary moved",
            self.reads.load(Ordering::Relaxed),
            self.failed_reads.lock().unwrap().len()
        );
        faults
    }
}

impl Book {
    /// The failures that no kill and no switch explains: each meets one call of a thread.
    fn failures(&self, disturbances: &[Disturbance]) -> Vec<String> {
        let mut met = HashMap::new();
        let mut unexplained = |entry: &Entry| {
            let error = entry.failure.as_ref()?;
            let mut overlapping = disturbances
                .iter()
                .enumerate()
                .filter(|(_, (from, to))| entry.sent <= *to && entry.done >= *from);
            let explained = overlapping.any(|(number, _)| {
                let times = met.entry(number).or_insert(0);
                *times += 1;
                *times == 1
            });
            let explained = explained && error.outcome() == Outcome::Unknown;
            (!explained).then(|| format!("a write of {} failed: {error}, {:?}", self.key, error.outcome()))
        };
        self.entries.iter().filter_map(&mut unexplained).collect()
    }

    /// The numbers that are there: none twice, and of the acknowledged ones none is missing but those of a failover. How
    /// many are missing.
    fn settle_marks(
        &self,
        disturbances: &[Disturbance],
        ask: impl Fn(&str) -> Value,
        faults: &mut Vec<String>,
    ) -> usize {
        let marks: Vec<usize> = match self.kind {
            Kind::List => {
                let list = ask(&format!("LRANGE {} 0 -1", self.key));
                list.as_items()
                    .iter()
                    .map(|mark| mark.as_text().parse().unwrap())
                    .collect()
            }
            _ => {
                let text = ask(&format!("GET {}", self.key)).as_text();
                text.as_bytes()
                    .chunks(LEN)
                    .map(|mark| String::from_utf8_lossy(&mark[..LEN - 1]).parse().unwrap())
                    .collect()
            }
        };
        let mut there = HashSet::new();
        for mark in marks {
            if !there.insert(mark) {
                faults.push(format!("{mark} was executed twice in {}", self.key));
            }
        }
        let missing = self
            .entries
            .iter()
            .enumerate()
            .filter(|(number, entry)| entry.failure.is_none() && !there.contains(number));
        let missing: Vec<_> = missing.collect();
        for (number, entry) in &missing {
            if !disturbances
                .iter()
                .any(|(from, to)| entry.sent <= *to && entry.done >= *from)
            {
                let before = disturbances
                    .iter()
                    .map(|(from, _)| from.saturating_duration_since(entry.done));
                let after = disturbances
                    .iter()
                    .map(|(_, to)| entry.sent.saturating_duration_since(*to));
                let shortest = |times: &mut dyn Iterator<Item = Duration>| times.filter(|time| !time.is_zero()).min();
                faults.push(format!(
                    "{number} of {} was acknowledged and is gone, {:?} before what was done, {:?} after it",
                    self.key,
                    shortest(&mut before.into_iter()),
                    shortest(&mut after.into_iter())
                ));
            }
        }
        missing.len()
    }

    /// The sum: no more than was called for. How many of the acknowledged increments are missing at least.
    fn settle_count(&self, ask: impl Fn(&str) -> Value, faults: &mut Vec<String>) -> usize {
        let acknowledged = self.entries.iter().filter(|entry| entry.failure.is_none()).count();
        let sum: usize = ask(&format!("GET {}", self.key)).as_text().parse().unwrap_or(0);
        if sum > self.entries.len() {
            faults.push(format!(
                "{sum} increments of {}, and {} calls",
                self.key,
                self.entries.len()
            ));
        }
        acknowledged.saturating_sub(sum)
    }
}
