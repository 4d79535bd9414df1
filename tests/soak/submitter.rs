//! One thread that submits increments and takes their completions from a queue: exactly one a submission.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{Entry, EntryKind, Queue, Target};
use sentinel::{CallOptions, Deadline, Deployment};

use crate::callers::{Account, TIMEOUTS_MS, World};
use crate::punctual::{Begun, Way};

/// Submissions under way at once.
const WINDOW: usize = 8;

/// Twice the longest deadline.
const PATIENCE: Duration = Duration::from_secs(6);

pub(crate) const KEY: &str = "soak:submitted";

/// A submission that has not completed: since when, and how long it has.
type Open = HashMap<u64, (Begun, Duration)>;

/// What the submitting thread did.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    pub(crate) account: Account,
    submissions: u64,
    completions: u64,
    /// Submissions that were not accepted.
    turned_away: u64,
}

impl Submitted {
    fn submit(&mut self, world: &World, queue: &Arc<Queue>, open: &mut Open, timeout_ms: i64) {
        let call = CallOptions {
            timeout_ms,
            ..CallOptions::default()
        };
        let (tag, begun) = (self.submissions, Begun::now());
        let target = Target::Queue(queue, tag);
        match world.primary.submit(&[b"INCR", KEY.as_bytes()], &call, target) {
            Ok(_) => {
                self.submissions += 1;
                self.account.ledger.in_flight += 1;
                open.insert(tag, (begun, Duration::from_millis(timeout_ms.unsigned_abs())));
            }
            Err(error) => {
                self.turned_away += 1;
                self.account.fail(&error, 0);
            }
        }
    }

    fn complete(&mut self, world: &World, open: &mut Open, entry: Entry) {
        let Some((begun, limit)) = open.remove(&entry.tag).filter(|_| entry.kind == EntryKind::Call) else {
            let violation = format!("a completion that nobody waits for: {entry:?}");
            return self.account.ledger.violations.push(violation);
        };
        self.completions += 1;
        world.punctual.note(Way::Submitted, &begun, limit);
        world.count(true, entry.result.is_ok());
        self.account.ledger.in_flight -= 1;
        match entry.result {
            Ok(reply) => self.account.ledger.acknowledge(reply.integer(), Instant::now()),
            Err(error) => self.account.fail(&error, 1),
        }
    }

    /// Takes what has come, or waits for the first for so long; false when nothing came.
    fn take(&mut self, world: &World, queue: &Queue, open: &mut Open, wait: Duration) -> bool {
        let mut entries = Vec::new();
        let polled = queue.poll(WINDOW, Deadline::after(Some(wait)), |entry| entries.push(entry));
        entries.into_iter().for_each(|entry| self.complete(world, open, entry));
        match polled {
            Ok(Polled::Some(_)) => true,
            Ok(Polled::Empty) => false,
            Err(error) => panic!("the queue: {error}"),
        }
    }

    pub(crate) fn summary(&self) -> String {
        let Submitted {
            submissions,
            completions,
            turned_away,
            account,
        } = self;
        let (done, unknown) = (account.ledger.acknowledged, account.ledger.unknown);
        format!(
            "{submissions} submissions, {completions} completions: {done} acknowledged, {unknown} unknown, {} not sent, {} \
             refused; {turned_away} not accepted",
            account.not_sent, account.refused
        )
    }
}

/// Submits until the world stops, then waits for what is under way.
pub(crate) fn live(world: &World, deployment: &Deployment, seed: u64) -> Submitted {
    let queue = deployment.queue(WINDOW).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut open = Open::new();
    let mut own = Submitted {
        account: Account {
            key: KEY.to_owned(),
            ..Account::default()
        },
        ..Submitted::default()
    };
    while !world.stopped.load(Ordering::Relaxed) {
        while open.len() < WINDOW {
            own.submit(world, &queue, &mut open, TIMEOUTS_MS[random.usize(..TIMEOUTS_MS.len())]);
        }
        own.take(world, &queue, &mut open, PATIENCE);
        std::thread::sleep(world.pause);
    }
    while !open.is_empty() && own.take(world, &queue, &mut open, PATIENCE) {}
    if own.completions != own.submissions {
        let violation = format!("{} submissions without a completion: {:?}", open.len(), open.keys());
        own.account.ledger.violations.push(violation);
    }
    // One more would be one too many.
    while own.take(world, &queue, &mut open, Duration::from_millis(50)) {}
    own
}
