//! What becomes of calls, counted where they end: a few relaxed additions, no lock, and no clock of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Outcome};
use crate::topology::Role;

/// Upper bounds of the latency histogram, microseconds; what is above the last one is in `+Inf`.
pub const BOUNDS: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The word for each kind of failure: the status of the C surface in lower case, misuse under one name.
pub const CLASSES: [&str; 20] = [
    "misuse",
    "primary_not_found",
    "replica_not_found",
    "connect",
    "connection_lost",
    "tls",
    "auth",
    "protocol",
    "timeout",
    "server",
    "readonly",
    "loading",
    "transaction_aborted",
    "not_replicated",
    "pool_exhausted",
    "queue_full",
    "cancelled",
    "closed",
    "internal",
    "panic",
];

/// The place of a failure's word in [`CLASSES`].
fn class(kind: &ErrorKind) -> usize {
    match kind {
        ErrorKind::NullArgument { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::UnknownOption { .. }
        | ErrorKind::InvalidUtf8 { .. }
        | ErrorKind::WrongState { .. }
        | ErrorKind::WouldDeadlock
        | ErrorKind::Forked
        | ErrorKind::BufferTooSmall { .. }
        | ErrorKind::UnsupportedCommand { .. } => 0,
        ErrorKind::PrimaryNotFound { .. } => 1,
        ErrorKind::ReplicaNotFound { .. } => 2,
        ErrorKind::Connect { .. } => 3,
        ErrorKind::ConnectionLost { .. } => 4,
        ErrorKind::Tls { .. } => 5,
        ErrorKind::Auth { .. } => 6,
        ErrorKind::Protocol { .. } => 7,
        ErrorKind::Timeout { .. } => 8,
        ErrorKind::Server { .. } => 9,
        ErrorKind::Readonly { .. } => 10,
        ErrorKind::Loading { .. } => 11,
        ErrorKind::TransactionAborted { .. } => 12,
        ErrorKind::NotReplicated { .. } | ErrorKind::NotOnDisk { .. } => 13,
        ErrorKind::PoolExhausted { .. } => 14,
        ErrorKind::QueueFull { .. } => 15,
        ErrorKind::Cancelled => 16,
        ErrorKind::Closed => 17,
        ErrorKind::Internal { .. } => 18,
        ErrorKind::Panic { .. } => 19,
    }
}

/// The word for a failure, without anything that came from a command or a server.
pub fn word(error: &Error) -> &'static str {
    CLASSES.get(class(error.kind())).copied().unwrap_or("internal")
}

/// The words for what became of a command, in the order in which they are counted.
pub const OUTCOMES: [&str; 3] = ["not_sent", "refused", "unknown"];

/// The word for what became of a command that failed.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "not_sent",
        Outcome::Refused => "refused",
        Outcome::Unknown => "unknown",
    }
}

/// What is known of a call's time, from clocks that were read anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// How long it took; `None`: it was not timed.
    pub took: Option<Duration>,
    /// How many calls it stands for: where each look at the clock counts, one in so many calls is timed. 1 where all
    /// are.
    pub weight: u64,
    /// When its reply came, if anybody looked.
    pub ended: Option<Instant>,
}

impl Timing {
    /// The same for a call that began at `since` or a little before, of which only the last exchange was timed: what it
    /// waited before counts too.
    pub fn since(self, since: Option<Instant>) -> Timing {
        let whole = since.zip(self.ended);
        let whole = whole.map(|(since, ended)| ended.saturating_duration_since(since));
        let took = self.took.map(|took| whole.map_or(took, |whole| whole.max(took)));
        Timing { took, ..self }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of all clients of one service and role. They outlive the clients, so that they never go back.
#[derive(Debug)]
pub struct CallStats {
    /// The service.
    pub service: String,
    /// The role that its clients ask for.
    pub role: Role,
    /// What times are counted from.
    base: Instant,
    /// When the last good reply came, microseconds from `base`; 0: never.
    last_good: AtomicU64,
    /// Successful calls of which each was timed, by their time: each in the first bucket whose bound it does not exceed.
    buckets: [Counter; BOUNDS.len() + 1],
    /// Successful calls of which only some were timed.
    others: Counter,
    /// Those that were timed, each as often as it stands for.
    sampled: [Counter; BOUNDS.len() + 1],
    /// The time of all of them, microseconds.
    micros: Counter,
    /// Failed calls by [`CLASSES`].
    failed: [Counter; CLASSES.len()],
    /// Failed calls by [`OUTCOMES`].
    outcomes: [Counter; OUTCOMES.len()],
    /// Commands of batches beyond the first, by which commands outnumber calls.
    pub more_commands: Counter,
    /// Attempts after the first.
    pub retries: Counter,
    /// Connections that were verified and put to use.
    pub opened: Counter,
    /// Connections that ended without the library's wish.
    pub lost: Counter,
    /// Attempts to connect that failed.
    pub refused: Counter,
    /// Times that a replica client turned to the primary.
    pub fallbacks: Counter,
}

impl CallStats {
    /// Everything at zero.
    pub fn new(service: &str, role: Role, base: Instant) -> CallStats {
        CallStats {
            service: service.to_owned(),
            role,
            base,
            last_good: AtomicU64::new(0),
            buckets: Default::default(),
            others: Counter::default(),
            sampled: Default::default(),
            micros: Counter::default(),
            failed: Default::default(),
            outcomes: Default::default(),
            more_commands: Counter::default(),
            retries: Counter::default(),
            opened: Counter::default(),
            lost: Counter::default(),
            refused: Counter::default(),
            fallbacks: Counter::default(),
        }
    }

    /// A call of any kind has ended: the one place where calls are counted.
    pub fn call_ended<T>(&self, result: &Result<T, Error>, timing: Timing) {
        match result {
            Ok(_) => self.succeeded(timing),
            Err(error) => self.failed(error),
        }
    }

    /// So many calls have succeeded together, of which some were timed: the same as one after the other.
    pub fn succeeded_together(&self, count: usize, took: impl Iterator<Item = Duration>, timing: Timing) {
        self.others.add(count as u64);
        for took in took {
            self.timed(took, timing.weight, &self.sampled);
        }
        if let Some(ended) = timing.ended {
            self.answered(ended);
        }
    }

    fn timed(&self, took: Duration, weight: u64, buckets: &[Counter]) {
        let micros = micros(took);
        if let Some(bucket) = buckets.get(bucket(micros)) {
            bucket.add(weight);
        }
        self.micros.add(micros.saturating_mul(weight));
    }

    fn succeeded(&self, timing: Timing) {
        let exact = timing.weight == 1;
        if !exact {
            self.others.count();
        }
        if let Some(took) = timing.took {
            let buckets = if exact { &self.buckets } else { &self.sampled };
            self.timed(took, timing.weight, buckets);
        }
        if let Some(ended) = timing.ended {
            self.answered(ended);
        }
    }

    #[cold]
    fn failed(&self, error: &Error) {
        if let Some(class) = self.failed.get(class(error.kind())) {
            class.count();
        }
        let place = match error.outcome() {
            Outcome::NotSent => 0,
            Outcome::Refused => 1,
            Outcome::Unknown => 2,
        };
        if let Some(outcome) = self.outcomes.get(place) {
            outcome.count();
        }
    }

    /// A good reply came at `at`, to a call or to a sign of life that was asked for.
    pub fn answered(&self, at: Instant) {
        let at = micros(at.saturating_duration_since(self.base)).max(1);
        self.last_good.store(at, Ordering::Relaxed);
    }

    /// When the last good reply came.
    pub fn last_good(&self) -> Option<Instant> {
        match self.last_good.load(Ordering::Relaxed) {
            0 => None,
            at => self.base.checked_add(Duration::from_micros(at)),
        }
    }

    /// Successful calls.
    pub fn successes(&self) -> u64 {
        self.others.get() + self.buckets.iter().map(Counter::get).sum::<u64>()
    }

    /// Successful calls of each bucket alone, and the time of all of them in microseconds.
    pub fn latency(&self) -> (Vec<u64>, u64) {
        let both = self.buckets.iter().zip(&self.sampled);
        let both = both.map(|(exact, sampled)| exact.get() + sampled.get());
        (both.collect(), self.micros.get())
    }

    /// Failed calls by the words of their kinds.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.failed.iter().map(Counter::get))
    }

    /// Failed calls by what became of their commands.
    pub fn failed_outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(self.outcomes.iter().map(Counter::get))
    }
}

fn bucket(micros: u64) -> usize {
    BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len())
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(time.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(base: Instant) -> CallStats {
        CallStats::new("s", Role::Primary, base)
    }

    fn timed(micros: u64, weight: u64, ended: Instant) -> Timing {
        Timing {
            took: Some(Duration::from_micros(micros)),
            weight,
            ended: Some(ended),
        }
    }

    #[test]
    fn what_a_call_waited_before_its_last_exchange_counts() {
        let base = Instant::now();
        let ended = base + Duration::from_millis(900);
        let took = |since| timed(70, 1, ended).since(since).took.unwrap();
        assert_eq!(took(None), Duration::from_micros(70));
        assert_eq!(took(Some(base)), Duration::from_millis(900));
        // A tick may be ahead of the call's true beginning.
        assert_eq!(took(Some(ended + Duration::from_millis(3))), Duration::from_micros(70));
        assert_eq!(Timing::default().since(Some(base)).took, None);
    }

    #[test]
    fn a_call_is_in_the_first_bucket_that_holds_it() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(25), 0);
        assert_eq!(bucket(26), 1);
        assert_eq!(bucket(10_000_000), 17);
        assert_eq!(bucket(u64::MAX), 18);
    }

    #[test]
    fn successes_and_failures_are_counted_apart() {
        let base = Instant::now();
        let stats = stats(base);
        stats.call_ended(&Ok(()), timed(60, 1, base));
        stats.call_ended(&Ok(()), timed(1060, 8, base));
        stats.call_ended(&Ok(()), Timing::default());
        let lost = Error::new(ErrorKind::ConnectionLost { cause: "x".into() }).with_outcome(Outcome::Unknown);
        stats.call_ended::<()>(&Err(lost), timed(1, 1, base));
        assert_eq!(stats.successes(), 3);
        let (buckets, micros) = stats.latency();
        assert_eq!((buckets[2], buckets[6], micros), (1, 8, 60 + 8 * 1060));
        let failures: Vec<_> = stats.failures().filter(|(_, count)| *count > 0).collect();
        assert_eq!(failures, [("connection_lost", 1)]);
        let outcomes: Vec<_> = stats.failed_outcomes().filter(|(_, count)| *count > 0).collect();
        assert_eq!(outcomes, [("unknown", 1)]);
    }

    #[test]
    fn the_last_good_reply_is_of_the_last_success() {
        let base = Instant::now();
        let stats = stats(base);
        assert_eq!(stats.last_good(), None);
        let at = base + Duration::from_millis(5);
        stats.call_ended(&Ok(()), timed(1, 1, at));
        stats.call_ended(&Ok(()), Timing::default());
        let later = timed(1, 1, at + Duration::from_secs(1));
        stats.call_ended::<()>(&Err(Error::new(ErrorKind::Closed)), later);
        assert_eq!(stats.last_good(), Some(base + Duration::from_millis(5)));
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let server = Error::new(ErrorKind::Server {
            text: "ERR hunter2".into(),
        });
        assert_eq!(word(&server), "server");
        assert_eq!(word(&Error::new(ErrorKind::Closed)), "closed");
        assert_eq!(word(&Error::new(ErrorKind::Panic { problem: "x".into() })), "panic");
        let mut words = CLASSES.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), CLASSES.len());
    }
}
