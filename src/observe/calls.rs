//! What becomes of calls, counted where they end: a few relaxed additions, no lock, and no clock of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::clock::Moment;
use crate::base::error::{Error, ErrorKind, Outcome};
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
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long it took, in microseconds; `None`: it was not timed.
    pub took: Option<u32>,
    /// How many calls it stands for: where each look at the clock counts, one in so many calls is timed. 1 where all
    /// are.
    pub weight: u32,
    /// When its reply came; never, if nobody looked.
    pub ended: Moment,
}

impl Default for Timing {
    /// Nothing is known.
    fn default() -> Timing {
        Timing {
            took: None,
            weight: 0,
            ended: Moment::NEVER,
        }
    }
}

impl Timing {
    /// The same for a call that began at `since` or a little before, of which only the last exchange was timed: what it
    /// waited before counts too.
    pub fn since(self, since: Option<Moment>) -> Timing {
        let (Some(took), Some(since)) = (self.took, since) else {
            return self;
        };
        let took = took.max(short_micros(self.ended.since(since)));
        Timing {
            took: Some(took),
            ..self
        }
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
    /// The number of the moment when the last good reply came; 0: it never did.
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
    pub fn new(service: &str, role: Role) -> CallStats {
        CallStats {
            service: service.to_owned(),
            role,
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
    pub fn succeeded_together(&self, count: usize, took: impl Iterator<Item = u32>, timing: Timing) {
        self.others.add(count as u64);
        for took in took {
            self.timed(took, timing.weight, &self.sampled);
        }
        if timing.ended != Moment::NEVER {
            self.answered(timing.ended);
        }
    }

    fn timed(&self, micros: u32, weight: u32, buckets: &[Counter]) {
        let (micros, weight) = (u64::from(micros), u64::from(weight));
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
        if timing.ended != Moment::NEVER {
            self.answered(timing.ended);
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
    pub fn answered(&self, at: Moment) {
        self.last_good.store(at.number(), Ordering::Relaxed);
    }

    /// When the last good reply came.
    pub fn last_good(&self) -> Option<Instant> {
        match self.last_good.load(Ordering::Relaxed) {
            0 => None,
            at => Moment::of(at).instant(),
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

/// Whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds of what takes less than an hour, which is as good as more.
pub fn short_micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
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

    fn stats() -> CallStats {
        CallStats::new("s", Role::Primary)
    }

    fn timed(micros: u32, weight: u32, ended: Moment) -> Timing {
        Timing {
            took: Some(micros),
            weight,
            ended,
        }
    }

    #[test]
    fn what_a_call_waited_before_its_last_exchange_counts() {
        let base = Moment::now();
        let ended = base.plus_ms(900);
        let took = |since| timed(70, 1, ended).since(since).took.unwrap();
        assert_eq!(took(None), 70);
        assert_eq!(took(Some(base)), 900_000);
        // A tick may be ahead of the call's true beginning.
        assert_eq!(took(Some(ended.plus_ms(3))), 70);
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
        let base = Moment::now();
        let stats = stats();
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
        let base = Moment::now();
        let stats = stats();
        assert_eq!(stats.last_good(), None);
        let at = base.plus_ms(5);
        stats.call_ended(&Ok(()), timed(1, 1, at));
        stats.call_ended(&Ok(()), Timing::default());
        let later = timed(1, 1, at.plus_ms(1000));
        stats.call_ended::<()>(&Err(Error::new(ErrorKind::Closed)), later);
        assert_eq!(stats.last_good(), at.instant());
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
