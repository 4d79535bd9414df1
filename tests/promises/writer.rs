//! A program that writes at a fixed rate, whatever becomes of its earlier writes: each slot of the schedule has a thread
//! that waits for it, and each write has a key of its own.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sentinel::{CallOptions, Client, Error, Outcome};

use crate::cpu;

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: String,
    /// Before the call.
    pub(crate) sent: Instant,
    /// After the call.
    pub(crate) done: Instant,
    pub(crate) failure: Option<Error>,
    /// Processor time of the calling thread within the call.
    pub(crate) cpu: Duration,
}

impl Write {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.failure.is_none()
    }

    pub(crate) fn took(&self) -> Duration {
        self.done - self.sent
    }
}

struct Shared {
    client: Arc<Client>,
    timeout_ms: i64,
    every: Duration,
    started: Instant,
    next: AtomicU64,
    writes: Mutex<Vec<Write>>,
    stopped: Mutex<bool>,
    stopping: Condvar,
}

/// Writes until [`stop`](Writer::stop).
pub(crate) struct Writer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Writes under way at the same time are at most those of this time; longer outages slow the writer down.
const OPEN_LOOP: Duration = Duration::from_secs(5);

const STACK: usize = 256 << 10;

impl Writer {
    /// Writes `rate` times a second with `timeout_ms` for each call.
    pub(crate) fn start(client: Arc<Client>, rate: u32, timeout_ms: i64) -> Writer {
        let every = Duration::from_secs(1) / rate;
        let shared = Arc::new(Shared {
            client,
            timeout_ms,
            every,
            started: Instant::now() + Duration::from_millis(100),
            next: AtomicU64::new(0),
            writes: Mutex::new(Vec::new()),
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
        });
        let slots = (OPEN_LOOP.as_secs_f64() * f64::from(rate)).ceil() as usize;
        let threads = (0..slots).map(|_| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("writer".into()).stack_size(STACK);
            thread.spawn(move || shared.work()).unwrap()
        });
        Writer {
            threads: threads.collect(),
            shared,
        }
    }

    /// The writes that have ended so far.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.shared.writes.lock().unwrap().clone()
    }

    /// Waits for a write that was sent after `since` and succeeded; the one that ended first.
    #[track_caller]
    pub(crate) fn wait_for_success(&self, since: Instant, timeout: Duration) -> Write {
        let find = || {
            let writes = self.shared.writes.lock().unwrap();
            let good = writes
                .iter()
                .filter(|write| write.is_acknowledged() && write.sent >= since);
            good.min_by_key(|write| write.done).cloned()
        };
        sentinel_lab::wait_for("a write that succeeds", timeout, find)
    }

    /// Starts no further write, waits for those under way, and returns all in the order in which they were sent.
    pub(crate) fn stop(self) -> Vec<Write> {
        *self.shared.stopped.lock().unwrap() = true;
        self.shared.stopping.notify_all();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let mut writes = std::mem::take(&mut *self.shared.writes.lock().unwrap());
        writes.sort_by_key(|write| write.sent);
        writes
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let slot = self.next.fetch_add(1, Ordering::Relaxed);
            let at = self.started + self.every.mul_f64(slot as f64);
            if self.stops_before(at) {
                return;
            }
            let write = self.write(slot);
            self.writes.lock().unwrap().push(write);
        }
    }

    fn stops_before(&self, at: Instant) -> bool {
        let stopped = self.stopped.lock().unwrap();
        let left = at.saturating_duration_since(Instant::now());
        let (stopped, _) = self
            .stopping
            .wait_timeout_while(stopped, left, |stopped| !*stopped)
            .unwrap();
        *stopped
    }

    fn write(&self, slot: u64) -> Write {
        let key = format!("w:{slot}");
        let call = CallOptions {
            timeout_ms: self.timeout_ms,
            ..CallOptions::default()
        };
        let (sent, used) = (Instant::now(), cpu::used_by_this_thread());
        let result = self.client.command(&[b"SET", key.as_bytes(), b"v"], &call);
        Write {
            key,
            sent,
            done: Instant::now(),
            failure: result.err(),
            cpu: cpu::used_by_this_thread().saturating_sub(used),
        }
    }
}

/// Acknowledged writes that a node does not have.
pub(crate) fn lost<'a>(writes: &'a [Write], kept: &HashSet<String>) -> Vec<&'a Write> {
    let is_lost = |write: &&Write| write.is_acknowledged() && !kept.contains(&write.key);
    writes.iter().filter(is_lost).collect()
}

/// The writes that failed.
pub(crate) fn failed(writes: &[Write]) -> Vec<&Write> {
    writes.iter().filter(|write| !write.is_acknowledged()).collect()
}

/// Checks that every call ended within its deadline + 20 ms.
#[track_caller]
pub(crate) fn assert_ends(writes: &[Write], deadline: Duration, noise: Duration) {
    for write in writes {
        assert!(
            write.took() <= deadline + crate::support::P3_DEADLINE + noise,
            "{} took {:?}: {:?}",
            write.key,
            write.took(),
            write.failure
        );
    }
}

/// Checks that the failed writes were under way at `event`: sent no later, ended no sooner, outcome unknown.
#[track_caller]
pub(crate) fn assert_failed_in_flight(writes: &[Write], event: Instant, noise: Duration) {
    for write in failed(writes) {
        let error = write.failure.as_ref().unwrap();
        assert_eq!(error.outcome(), Outcome::Unknown, "{}: {error}", write.key);
        assert!(
            write.sent <= event + noise,
            "{} was sent {:?} after the event and failed: {error}",
            write.key,
            write.sent - event
        );
    }
}
